//! The greylist in memory and in a file: waits, passes, clock steps, restarts, faults, bounds.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use proptest::prelude::*;

use super::*;

const CLIENT: &str = "192.0.2.7";

fn at(seconds: u64) -> WallTime {
    WallTime::from_unix_millis(1_800_000_000_000 + seconds * 1_000)
}

/// A greylist that is asked in few words.
struct Asked {
    greylist: Greylist,
    settings: GreylistSettings,
}

impl Asked {
    fn new(greylist: Greylist) -> Self {
        Self { greylist, settings: GreylistSettings { auto_allow: 0, ..GreylistSettings::default() } }
    }

    fn ask(&self, client: &str, sender: &str, recipient: &str, now: WallTime) -> String {
        let found = self.greylist.passed(&self.settings, client.parse().unwrap(), sender, recipient, now);
        let [(passed_name, passed), (age_name, age)] = found.as_slice() else {
            panic!("two facts are expected")
        };
        assert_eq!((*passed_name, *age_name), ("greylist.passed", "greylist.age"));
        format!("{passed} {age}")
    }

    fn again(&self, now: WallTime) -> String {
        self.ask(CLIENT, "a@b.example", "c@d.example", now)
    }
}

#[test]
fn who_waits_and_comes_back_passes() {
    let asked = Asked::new(Greylist::in_memory());
    assert_eq!(asked.again(at(0)), "no 0s");
    assert_eq!(asked.again(at(299)), "no 299s");
    assert_eq!(asked.again(at(300)), "yes 5min");
    assert_eq!(asked.again(at(301)), "yes 301s");
    assert_eq!(
        asked.ask("192.0.2.200", "A@B.example", "C@D.example", at(302)),
        "yes 302s",
        "the same network"
    );
    assert_eq!(asked.ask("192.0.3.7", "a@b.example", "c@d.example", at(302)), "no 0s", "another network");
    assert_eq!(asked.ask("::ffff:192.0.2.7", "a@b.example", "c@d.example", at(302)), "yes 302s");
    assert_eq!(asked.ask(CLIENT, "", "c@d.example", at(302)), "no 0s", "another sender");
}

#[test]
fn who_comes_back_too_late_waits_again() {
    let asked = Asked::new(Greylist::in_memory());
    assert_eq!(asked.again(at(0)), "no 0s");
    let late = asked.settings.retry_within.as_secs() + 1;
    assert_eq!(asked.again(at(late)), "no 0s");
    assert_eq!(asked.again(at(late + 300)), "yes 5min");
}

#[test]
fn what_has_passed_is_remembered_from_its_last_use() {
    let asked = Asked::new(Greylist::in_memory());
    let keep = asked.settings.keep.as_secs();
    asked.again(at(0));
    for time in [300, 300 + keep, 300 + 2 * keep] {
        assert!(asked.again(at(time)).starts_with("yes"), "{time}");
    }
    assert_eq!(asked.again(at(301 + 3 * keep)), "no 0s");
}

#[test]
fn a_clock_that_steps_costs_one_more_wait_at_most() {
    let asked = Asked::new(Greylist::in_memory());
    assert_eq!(asked.again(at(1_000_000_000)), "no 0s", "the clock is decades ahead");
    assert_eq!(asked.again(at(0)), "no 0s", "it was set right");
    assert_eq!(asked.again(at(300)), "yes 5min");
    assert_eq!(asked.again(at(100)), "yes 100s", "a small step back");
    assert_eq!(asked.again(WallTime::from_unix_millis(0)), "yes 0s", "no clock at all");
    assert!(asked.again(at(400)).starts_with("yes"));
}

#[test]
fn a_client_that_passes_often_need_not_wait() {
    let mut asked = Asked::new(Greylist::in_memory());
    asked.settings.auto_allow = 2;
    for recipient in ["1@d.example", "2@d.example"] {
        assert_eq!(asked.ask(CLIENT, "a@b.example", recipient, at(0)), "no 0s");
        assert_eq!(asked.ask(CLIENT, "a@b.example", recipient, at(300)), "yes 5min");
        assert_eq!(asked.ask("198.51.100.1", "a@b.example", recipient, at(300)), "no 0s");
    }
    assert_eq!(asked.ask(CLIENT, "new@b.example", "3@d.example", at(301)), "yes (none)");
    let keep = asked.settings.keep.as_secs();
    assert_eq!(asked.ask(CLIENT, "new@b.example", "3@d.example", at(300 + keep)), "yes (none)");
    assert_eq!(asked.ask(CLIENT, "new@b.example", "3@d.example", at(301 + 2 * keep)), "no 0s");
}

#[test]
fn repeated_use_of_one_triplet_is_one_pass() {
    let mut asked = Asked::new(Greylist::in_memory());
    asked.settings.auto_allow = 2;
    asked.again(at(0));
    for time in 300..320 {
        assert!(asked.again(at(time)).starts_with("yes"));
    }
    assert_eq!(asked.ask(CLIENT, "a@b.example", "other@d.example", at(320)), "no 0s");
}

#[test]
fn a_file_outlives_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let open = || Asked::new(Greylist::open(directory.path()).unwrap());
    assert_eq!(open().again(at(0)), "no 0s");
    assert_eq!(open().again(at(299)), "no 299s");
    assert_eq!(open().again(at(300)), "yes 5min");
    assert_eq!(open().again(at(310)), "yes 310s");
    let mut allowing = open();
    allowing.settings.auto_allow = 1;
    allowing.ask(CLIENT, "x@b.example", "c@d.example", at(0));
    allowing.ask(CLIENT, "x@b.example", "c@d.example", at(300));
    drop(allowing);
    let mut allowing = open();
    allowing.settings.auto_allow = 1;
    assert_eq!(allowing.ask(CLIENT, "y@b.example", "c@d.example", at(301)), "yes (none)");
}

#[test]
fn what_memory_can_tell_needs_no_disk() {
    let directory = tempfile::tempdir().unwrap();
    let asked = Asked::new(Greylist::open(directory.path()).unwrap());
    let at_hand = |now| {
        let client = CLIENT.parse().unwrap();
        asked.greylist.passed_at_hand(&asked.settings, client, "a@b.example", "c@d.example", now)
    };
    assert_eq!(at_hand(at(0)), None, "nothing is known yet");
    asked.again(at(0));
    assert_eq!(at_hand(at(299)), Some(findings((false, Some(Duration::from_secs(299))))));
    assert_eq!(at_hand(at(300)), None, "a pass is to be noted");
    asked.again(at(300));
    assert_eq!(at_hand(at(301)), Some(findings((true, Some(Duration::from_secs(301))))));
    assert_eq!(at_hand(at(300 + REFRESH.as_secs())), None, "its use is to be noted anew");
    let again = Asked::new(Greylist::open(directory.path()).unwrap());
    let client = CLIENT.parse().unwrap();
    let known = again.greylist.passed_at_hand(&again.settings, client, "a@b.example", "c@d.example", at(302));
    assert_eq!(known, None, "what only the file knows");
}

#[test]
fn a_file_that_is_none_is_an_error_and_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("greylist.sqlite");
    let other = b"not a database, but longer than a header of SQLite's would have to be ".repeat(20);
    std::fs::write(&file, &other).unwrap();
    assert!(Greylist::open(directory.path()).is_err());
    assert_eq!(std::fs::read(&file).unwrap(), other);
    assert!(Greylist::open(&directory.path().join("nowhere")).is_err());
}

#[test]
fn tables_of_another_version_are_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let file = rusqlite::Connection::open(directory.path().join("greylist.sqlite")).unwrap();
    file.pragma_update(None, "user_version", 99).unwrap();
    drop(file);
    let why = Greylist::open(directory.path()).unwrap_err().to_string();
    assert!(why.contains("another version"), "{why}");
}

#[test]
fn the_file_is_bounded_and_forgets_what_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let rows = || {
        let file = rusqlite::Connection::open(directory.path().join("greylist.sqlite")).unwrap();
        file.query_row("SELECT count(*) FROM triplets", [], |row| row.get::<_, i64>(0)).unwrap()
    };
    let bounded =
        Asked::new(Greylist::in_store(Box::new(sqlite::Sqlite::open_with(directory.path(), 50).unwrap())));
    for recipient in 0..400_u64 {
        bounded.ask(CLIENT, "a@b.example", &format!("{recipient}@d.example"), at(recipient));
    }
    assert!((50..=100).contains(&rows()), "{} rows", rows());
    let over = at(500 + bounded.settings.retry_within.as_secs());
    for recipient in 0..50 {
        bounded.ask("198.51.100.1", "a@b.example", &format!("{recipient}@d.example"), over);
    }
    assert_eq!(rows(), 50, "what could not pass any more is gone");
}

/// A store that fails when it is told to.
#[derive(Debug)]
struct Failing {
    inner: Memory,
    /// Calls until the first that fails; the ones behind it fail too.
    calls_left: Arc<AtomicUsize>,
}

impl Failing {
    fn call(&self) -> Result<&Memory, Unavailable> {
        let left =
            self.calls_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        left.map(|_| &self.inner).map_err(|_| Unavailable("the disk is on fire".to_owned()))
    }
}

impl Store for Failing {
    fn sighting(&self, triplet: &Triplet) -> Result<Option<Sighting>, Unavailable> {
        self.call()?.sighting(triplet)
    }

    fn note(&self, triplet: &Triplet, sighting: Sighting, until: WallTime) -> Result<(), Unavailable> {
        self.call()?.note(triplet, sighting, until)
    }

    fn passes(&self, client: &Network) -> Result<Option<Passes>, Unavailable> {
        self.call()?.passes(client)
    }

    fn note_passes(&self, client: &Network, passes: Passes, until: WallTime) -> Result<(), Unavailable> {
        self.call()?.note_passes(client, passes, until)
    }
}

#[test]
fn a_store_that_fails_is_unsure_and_never_a_no() {
    for calls in 0..3 {
        let calls_left = Arc::new(AtomicUsize::new(calls));
        let store = Failing { inner: Memory::default(), calls_left: Arc::clone(&calls_left) };
        let mut asked = Asked::new(Greylist::in_store(Box::new(store)));
        asked.settings.auto_allow = 5;
        let unsure = "unsure: the disk is on fire unsure: the disk is on fire";
        assert_eq!(asked.again(at(0)), unsure, "the fault is in call {calls}");
        calls_left.store(100, Ordering::Relaxed);
        assert_eq!(asked.again(at(1)), "no 0s", "the store works again");
    }
}

#[test]
fn a_sender_is_taken_without_what_changes() {
    for (sender, key) in [
        ("", ""),
        ("Anna.Bell@Example.org", "anna.bell@example.org"),
        ("bounce-123-anna=d.example@list.example", "bounce-#-anna=d.example@list.example"),
        ("prvs=2345abcd89=anna@b.example", "prvs=#=anna@b.example"),
        ("n0t+a7f3.@x1.example", "#+#.@x1.example"),
        ("grüße7ß@b.example", "#@b.example"),
        ("no-at", "no-at"),
    ] {
        assert_eq!(sender_key(sender), key, "{sender}");
    }
}

proptest! {
    /// Whatever the times: nobody passes before the wait on one clock, and who keeps coming passes in the end.
    #[test]
    fn coming_again_passes_in_the_end(times in prop::collection::vec(0_u64..10_000_000, 0..20)) {
        let settings = GreylistSettings::default();
        let mut known = None;
        for time in &times {
            known = Some(judge(&settings, known, at(*time)));
        }
        let end = times.last().copied().unwrap_or(0);
        let again = judge(&settings, known, at(end));
        let after_the_wait = judge(&settings, Some(again), at(end + settings.wait.as_secs()));
        prop_assert!(after_the_wait.has_passed);
    }

    #[test]
    fn any_sender_has_a_key(sender in ".{0,600}") {
        prop_assert!(sender_key(&sender).len() <= sender.len().max(ADDRESS_OCTETS_MAX));
    }
}
