//! What follows in time from an attempt that was deferred: the next one, the warning to the sender, or the end.
//!
//! Invariants: the sender is warned once; a message goes back only after an attempt that was due at the end of its
//! lifetime or later, so that a server that was off for a week, or whose clock was set forward, tries again before it
//! turns its queue into DSNs; a clock that was set back leaves nothing waiting for a time that is far away.

use std::time::Duration;

use queue::schedule::{Class, Next, Schedule, delay_notice_due};
use smtp::time::{Timestamp, WallTime};

/// How far the clock is set back before it matters (ours: smaller corrections only shorten or lengthen a wait).
const STEP_MIN: Duration = Duration::from_secs(60);

/// An attempt, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tried {
    /// When the message was received.
    pub(super) received: WallTime,
    /// When the attempt was due.
    pub(super) due: WallTime,
    /// Attempts that were made, this one included.
    pub(super) attempts: u32,
    /// What it was deferred for.
    pub(super) class: Class,
}

/// What follows for the recipients that were deferred.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timing {
    /// When they are tried again, if they are.
    pub(super) next: Next,
    /// When they will go back; set when their sender is to hear of the delay now.
    pub(super) warned_until: Option<WallTime>,
}

impl Timing {
    /// What follows from an attempt that was over at `now`; `warn_after` is the age of a message at which its sender
    /// hears of the delay, `jitter` is any random number.
    pub(super) fn after(
        schedule: &Schedule,
        warn_after: Duration,
        tried: Tried,
        now: WallTime,
        jitter: u32,
    ) -> Self {
        let end = tried.received + schedule.lifetime;
        let next = match schedule.next_after(tried.class, tried.received, tried.attempts, now, jitter) {
            Next::Expired if tried.due < end => Next::At(now + schedule.wait(1).max(Duration::from_secs(1))),
            next => next,
        };
        let warning = tried.received + warn_after;
        let warns = warning < end && next != Next::Expired;
        let is_over = delay_notice_due(tried.received, now, warn_after);
        Self {
            next: match next {
                // An attempt ends at the time of the warning, so that this is neither early nor late.
                Next::At(due) if warns && !is_over => Next::At(due.min(warning)),
                next => next,
            },
            // Every later attempt is due after this one is over, and so after the time of the warning.
            warned_until: (warns && is_over && tried.due <= warning).then_some(end),
        }
    }
}

/// The furthest ahead that an attempt is ever due: what is due later was scheduled by a clock that was wrong.
pub(super) fn horizon(schedule: &Schedule) -> Duration {
    schedule.max.max(schedule.first).saturating_mul(2).saturating_add(STEP_MIN)
}

/// Notices that the clock was set back.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClockWatch {
    wall: WallTime,
    monotonic: Timestamp,
}

impl ClockWatch {
    /// A watch that begins now.
    pub(super) const fn new(wall: WallTime, monotonic: Timestamp) -> Self {
        Self { wall, monotonic }
    }

    /// Whether the clock was set back by more than [`STEP_MIN`] since it was looked at last.
    pub(super) fn was_set_back(&mut self, wall: WallTime, monotonic: Timestamp) -> bool {
        let expected = self.wall + monotonic.since(self.monotonic);
        *self = Self::new(wall, monotonic);
        expected.since(wall) > STEP_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECEIVED: WallTime = WallTime::from_unix_millis(1_795_000_000_000);
    const WARN_AFTER: Duration = Duration::from_secs(4 * 3_600);
    /// What leaves a wait as it is.
    const NO_JITTER: u32 = 100;

    fn minutes(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    fn tried(due: Duration, attempts: u32) -> Tried {
        Tried { received: RECEIVED, due: RECEIVED + due, attempts, class: Class::Here }
    }

    #[test]
    fn over_a_whole_life_the_sender_is_warned_once_and_in_time() {
        let schedule = Schedule::default();
        let (mut due, mut warnings) = (Duration::ZERO, Vec::new());
        for attempts in 1.. {
            let timing =
                Timing::after(&schedule, WARN_AFTER, tried(due, attempts), RECEIVED + due, NO_JITTER);
            if let Some(until) = timing.warned_until {
                warnings.push((due, until));
            }
            match timing.next {
                Next::At(next) => due = next.since(RECEIVED),
                Next::Expired => break,
            }
        }
        assert_eq!(warnings, [(minutes(240), RECEIVED + schedule.lifetime)]);
        assert_eq!(due, schedule.lifetime);
    }

    #[test]
    fn a_late_attempt_warns_and_the_one_after_it_does_not() {
        let schedule = Schedule::default();
        let now = RECEIVED + minutes(600);
        let late = Timing::after(&schedule, WARN_AFTER, tried(Duration::ZERO, 1), now, NO_JITTER);
        assert_eq!(late.warned_until, Some(RECEIVED + schedule.lifetime));
        let Next::At(due) = late.next else { panic!("{late:?}") };
        let after = Timing::after(&schedule, WARN_AFTER, tried(due.since(RECEIVED), 2), due, NO_JITTER);
        assert_eq!(after.warned_until, None);
    }

    #[test]
    fn nobody_is_warned_of_what_goes_back_sooner() {
        let schedule = Schedule { lifetime: minutes(200), ..Schedule::default() };
        let timing = Timing::after(
            &schedule,
            WARN_AFTER,
            tried(Duration::ZERO, 1),
            RECEIVED + minutes(600),
            NO_JITTER,
        );
        assert_eq!(timing.warned_until, None);
    }

    #[test]
    fn a_warning_that_is_not_due_within_the_lifetime_is_off() {
        let schedule = Schedule::default();
        let now = RECEIVED + minutes(600);
        let after =
            |warn_after| Timing::after(&schedule, warn_after, tried(Duration::ZERO, 1), now, NO_JITTER);
        assert_eq!(after(schedule.lifetime).warned_until, None);
        assert_eq!(after(minutes(600)).warned_until, Some(RECEIVED + schedule.lifetime));
    }

    #[test]
    fn a_message_that_was_not_tried_at_its_end_is_tried_once_more() {
        let schedule = Schedule::default();
        let now = RECEIVED + minutes(10 * 24 * 60);
        let late = Timing::after(&schedule, WARN_AFTER, tried(minutes(480), 9), now, NO_JITTER);
        assert_eq!(late.next, Next::At(now + minutes(5)));
        let due = now.since(RECEIVED) + minutes(5);
        let last = Timing::after(&schedule, WARN_AFTER, tried(due, 10), RECEIVED + due, NO_JITTER);
        assert_eq!(last, Timing { next: Next::Expired, warned_until: None });
    }

    #[test]
    fn only_a_clock_that_was_set_back_is_noticed() {
        let at = |wall_seconds: u64, seconds: u64| {
            (WallTime::from_unix_millis(wall_seconds * 1_000), Timestamp::from_millis(seconds * 1_000))
        };
        let (wall, monotonic) = at(10_000, 0);
        let mut watch = ClockWatch::new(wall, monotonic);
        let mut step = |(wall, monotonic)| watch.was_set_back(wall, monotonic);
        assert!(!step(at(10_030, 30)));
        assert!(!step(at(20_000, 31)), "forward");
        assert!(!step(at(19_950, 32)), "a correction");
        assert!(step(at(10_000, 33)));
        assert!(!step(at(10_030, 63)), "once");
    }
}
