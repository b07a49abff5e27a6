//! What the schedule decides, over a whole life and when the clock steps.

use proptest::prelude::*;

use super::*;

const RECEIVED: WallTime = WallTime::from_unix_millis(1_795_000_000_000);

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

/// The times of all attempts of a message that is always deferred, since it was received; without jitter.
fn life(schedule: &Schedule) -> (Vec<Duration>, Vec<Duration>) {
    let (mut due, mut attempts, mut times, mut warnings) = (RECEIVED, 0, Vec::new(), Vec::new());
    loop {
        attempts += 1;
        times.push(due.since(RECEIVED));
        let attempt = Attempt { received: RECEIVED, due, attempts };
        if schedule.is_warning_due(attempt, due) {
            warnings.push(due.since(RECEIVED));
        }
        match schedule.next(attempt, due, 0) {
            Next::At(next) => due = next,
            Next::Expired => return (times, warnings),
        }
    }
}

#[test]
fn a_life_by_the_defaults_is_the_documented_one() {
    let (times, warnings) = life(&Schedule::default());
    let first: Vec<u64> = times.iter().take(9).map(|time| time.as_secs() / 60).collect();
    assert_eq!(first, [0, 5, 15, 35, 75, 155, 240, 480, 720]);
    assert_eq!(warnings, [minutes(240)], "one warning, at its time");
    assert_eq!(times.last(), Some(&Duration::from_secs(5 * 86_400)), "one attempt at the end of the lifetime");
    assert!(times.len() > 30, "{} attempts", times.len());
}

#[test]
fn a_short_life_ends_after_three_attempts_at_least() {
    let second = Duration::from_secs(1);
    let schedule = Schedule { first: second, factor: 1, max: second, lifetime: second, warn_after: None };
    assert_eq!(life(&schedule).0, [Duration::ZERO, second, 2 * second]);
}

#[test]
fn a_clock_set_forward_expires_nothing_at_once() {
    let schedule = Schedule::default();
    let attempt = Attempt { received: WallTime::from_unix_millis(0), due: WallTime::from_unix_millis(0), attempts: 1 };
    assert_eq!(schedule.next(attempt, RECEIVED, 0), Next::At(RECEIVED + minutes(5)));
    assert_eq!(schedule.next(Attempt { attempts: 3, ..attempt }, RECEIVED, 0), Next::Expired);
}

#[test]
fn a_clock_set_back_keeps_the_waits_and_the_end() {
    let schedule = Schedule::default();
    let earlier = WallTime::from_unix_millis(5_000);
    let attempt = Attempt { received: RECEIVED, due: RECEIVED, attempts: 2 };
    assert_eq!(schedule.next(attempt, earlier, 0), Next::At(earlier + minutes(10)));
    assert!(!schedule.is_warning_due(attempt, earlier));
    assert_eq!(schedule.next(Attempt { attempts: 500, ..attempt }, earlier, 0), Next::Expired);
}

#[test]
fn an_attempt_that_comes_late_warns_once() {
    let schedule = Schedule::default();
    let late = RECEIVED + minutes(600);
    assert!(schedule.is_warning_due(Attempt { received: RECEIVED, due: RECEIVED, attempts: 1 }, late));
    let after = Attempt { received: RECEIVED, due: late + minutes(5), attempts: 2 };
    assert!(!schedule.is_warning_due(after, late + minutes(5)));
    let never = Schedule { lifetime: minutes(200), ..schedule };
    assert!(!never.is_warning_due(Attempt { received: RECEIVED, due: RECEIVED, attempts: 1 }, late));
}

#[test]
fn jitter_adds_at_most_an_eighth() {
    let schedule = Schedule { warn_after: None, ..Schedule::default() };
    let attempt = Attempt { received: RECEIVED, due: RECEIVED, attempts: 40 };
    let longest = Next::At(RECEIVED + minutes(270));
    assert_eq!(schedule.next(attempt, RECEIVED, u32::MAX), longest);
    assert_eq!(schedule.horizon(), minutes(270));
}

proptest! {
    #[test]
    fn no_attempt_lies_in_the_past_or_beyond_the_horizon(
        first in 0_u64..100_000_000, factor in 0_u32..12, max in 0_u64..100_000_000, lifetime in 0_u64..3_000_000_000,
        received in any::<u32>(), now in any::<u32>(), attempts in any::<u32>(), jitter in any::<u32>(),
    ) {
        let schedule = Schedule {
            first: Duration::from_millis(first),
            factor,
            max: Duration::from_millis(max),
            lifetime: Duration::from_millis(lifetime),
            warn_after: Some(WARN_AFTER),
        };
        let received = WallTime::from_unix_millis(u64::from(received) * 1_000);
        let now = WallTime::from_unix_millis(u64::from(now) * 1_000);
        let attempt = Attempt { received, due: received, attempts };
        match schedule.next(attempt, now, jitter) {
            Next::At(next) => {
                prop_assert!(next > now);
                prop_assert!(next.since(now) <= schedule.horizon().max(Duration::from_millis(2)));
            }
            Next::Expired => prop_assert!(attempts >= ATTEMPTS_MIN),
        }
    }

    #[test]
    fn every_life_ends(first in 1_u64..5_000, factor in 1_u32..5, max in 1_u64..20_000, lifetime in 1_u64..500_000) {
        let schedule = Schedule {
            first: Duration::from_millis(first * 100),
            factor,
            max: Duration::from_millis(max * 100),
            lifetime: Duration::from_millis(lifetime),
            warn_after: Some(Duration::from_secs(100)),
        };
        let (times, warnings) = life(&schedule);
        prop_assert!(times.len() <= schedule.attempts_max() as usize);
        prop_assert!(warnings.len() <= 1);
    }
}
