//! Rates: windows and buckets against a model, keys, bounds, reloads.

use std::net::IpAddr;
use std::time::Duration;

use policy::facts::{self, Group, Scope};
use policy::slot::{Origin, Slot};
use policy::span::Span;
use policy::stage::Stage;
use policy::value::Value;
use proptest::prelude::*;

use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn key(text: &str) -> Key {
    Key::of(&[&Value::text(text)])
}

fn memory(is_bucket: bool, keys_max: usize) -> Memory {
    Memory::new(Shape { over: HOUR, is_bucket }, keys_max)
}

#[test]
fn a_window_counts_what_came_in_its_time() {
    let window = memory(false, 10);
    let key = key("a");
    assert_eq!(window.count(key, at(0)), Ok(0));
    assert_eq!(window.add(key, at(0)), Ok(1), "the present one is included");
    assert_eq!(window.add(key, at(1_800)), Ok(2));
    assert_eq!(window.count(key, at(3_600)), Ok(2));
    assert_eq!(window.count(key, at(3_600 + 180)), Ok(1), "a twentieth later the first is out");
    assert_eq!(window.add(key, at(100_000)), Ok(1));
    assert_eq!(window.count(key, at(99_000)), Ok(1), "a time that is late changes nothing");
}

#[test]
fn a_bucket_leaks_all_the_time() {
    let bucket = memory(true, 10);
    let key = key("a");
    for burst in 1..=10 {
        assert_eq!(bucket.add(key, at(0)), Ok(burst));
    }
    assert_eq!(bucket.count(key, at(3_600)), Ok(4), "an e-th of ten");
    assert_eq!(bucket.count(key, at(36_000)), Ok(0));
    let even = memory(true, 10);
    let last = (0..2_000).map(|event| even.add(key, at(event * 36)).unwrap()).last();
    assert!(
        last.is_some_and(|level| (99..=102).contains(&level)),
        "100 an hour stand at about 100: {last:?}"
    );
}

#[test]
fn keys_are_bounded_and_the_oldest_make_room() {
    let window = memory(false, 100);
    window.add(key("old"), at(0)).unwrap();
    for number in 0..1_000 {
        window.add(key(&number.to_string()), at(1)).unwrap();
        window.add(key("busy"), at(1)).unwrap();
    }
    assert_eq!(window.count(key("old"), at(1)), Ok(0));
    assert_eq!(window.count(key("busy"), at(1)), Ok(1_000));
    let kept = (0..1_000).filter(|number| window.count(key(&number.to_string()), at(1)) == Ok(1)).count();
    assert!((49..100).contains(&kept), "{kept} keys");
    assert_eq!(window.dropped(), 1_001 - u64::try_from(kept).unwrap());
}

#[test]
fn what_no_longer_counts_is_not_dropped() {
    let window = memory(false, 10);
    for number in 0..1_000 {
        window.add(key(&number.to_string()), at(number * 2_000)).unwrap();
    }
    assert_eq!(window.dropped(), 0);
}

#[test]
fn keys_differ_by_every_value_and_its_place() {
    let [a, b] = ["a", "b"].map(Value::text);
    let number = Value::Number(1);
    assert_ne!(Key::of(&[&a, &b]), Key::of(&[&b, &a]));
    assert_ne!(Key::of(&[&a, &b]), Key::of(&[&Value::text("ab")]));
    assert_ne!(Key::of(&[&number]), Key::of(&[&Value::text("1")]));
    assert_eq!(Key::of(&[&a]), Key::of(&[&Value::text("A")]));
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(Key::of(&[&Value::Address(mapped)]), Key::of(&[&Value::address(mapped)]));
}

fn slot(name: &'static str) -> SlotInfo {
    let fact = facts::named(name).unwrap();
    SlotInfo {
        name: name.into(),
        origin: Origin::Builtin(fact),
        value_type: fact.value_type,
        since: fact.since,
        scope: fact.scope,
        group: Group::Session,
        optional: fact.optional,
        fallible: fact.fallible,
        remembers: fact.remembers,
    }
}

fn source(name: &str, keys: &[u16], over: Duration) -> Source {
    Source {
        name: name.into(),
        shadow: false,
        since: Stage::Recipient,
        scope: Scope::Recipient,
        kind: SourceKind::Rate {
            counted: Counted::Recipients,
            keys: keys.iter().map(|key| Slot(*key)).collect(),
            over,
            bucket: false,
        },
        span: Span::default(),
    }
}

#[test]
fn a_reload_keeps_the_counts_of_what_stays_the_same() {
    let sources = [source("per_client", &[0, 1], HOUR), source("per_user", &[1], HOUR)];
    let slots = [slot("client.ip"), slot("auth.user")];
    let mut facts = Facts::new(2);
    facts.set(Slot(0), State::Known(Value::address("192.0.2.1".parse().unwrap())));
    facts.set(Slot(1), State::text("mike"));
    let rates = Rates::of(&sources, &slots, &Rates::default());
    assert_eq!(rates.counting(Counted::Recipients).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(rates.counting(Counted::Messages).count(), 0);
    assert_eq!(rates.count(0, &sources[0], &facts, at(0)), State::number(1));
    assert_eq!(rates.count(1, &sources[1], &facts, at(0)), State::number(1));
    assert_eq!(rates.look(1, &sources[1], &facts, at(0)), State::number(1));

    // The same by other slots and at another place, and one over another time.
    let sources = [source("per_user", &[0], HOUR * 2), source("per_client", &[1, 0], HOUR)];
    let slots = [slot("auth.user"), slot("client.ip")];
    let mut turned = Facts::new(2);
    turned.set(Slot(0), facts.get(Slot(1)).clone());
    turned.set(Slot(1), facts.get(Slot(0)).clone());
    let rates = Rates::of(&sources, &slots, &rates);
    assert_eq!(rates.count(1, &sources[1], &turned, at(0)), State::number(2));
    assert_eq!(rates.count(0, &sources[0], &turned, at(0)), State::number(1));
    assert_eq!(rates.dropped().collect::<Vec<_>>(), [("per_user", 0), ("per_client", 0)]);
}

#[test]
fn without_its_facts_nothing_is_counted() {
    let sources = [source("per_user", &[0], HOUR)];
    let rates = Rates::of(&sources, &[slot("auth.user")], &Rates::default());
    let mut facts = Facts::new(1);
    assert!(matches!(rates.count(0, &sources[0], &facts, at(0)), State::Unsure(_)));
    facts.set(Slot(0), State::unsure("time-out"));
    assert_eq!(rates.count(0, &sources[0], &facts, at(0)), State::unsure("time-out"));
    facts.set(Slot(0), State::Missing);
    assert_eq!(rates.count(0, &sources[0], &facts, at(0)), State::number(0));
    facts.set(Slot(0), State::text("mike"));
    assert_eq!(rates.count(0, &sources[0], &facts, at(0)), State::number(1));
}

proptest! {
    /// A window counts all of its time, and nothing that is older than its time and a slice.
    #[test]
    fn a_window_is_between_its_time_and_a_slice_more(steps in prop::collection::vec(0_u64..1_000, 1..200)) {
        let window = memory(false, 10);
        let mut times = Vec::new();
        let mut now = 0;
        for step in steps {
            now += step;
            times.push(now);
            let count = window.add(key("a"), at(now)).unwrap();
            let since = |seconds: u64| times.iter().filter(|time| now - **time <= seconds).count() as u64;
            prop_assert!(since(3_599) <= count && count <= since(3_600 + 180), "{count}");
            prop_assert_eq!(window.count(key("a"), at(now)), Ok(count));
        }
    }
}
