//! How much goes to a destination at a time: more while it takes mail, less when it doesn't, down to one probe.
//!
//! Invariants: at least one delivery is let through, at most [`Limits::claims_max`]; nobody is shut out for longer than
//! [`Limits::back_off_max`] and its jitter; what was under way when a destination was shut off counts as one failure with it.

use std::time::Duration;

use smtp::time::WallTime;

use crate::spool::{CLAIMS_FIRST, Window};

/// First wait before a destination that can't be reached is probed (ours: a restart of a server takes about as long).
pub const BACK_OFF_FIRST: Duration = Duration::from_secs(30);

/// Longest wait before it is probed again (ours; RFC 5321 §4.5.4.1 asks for 30 minutes between attempts).
pub const BACK_OFF_MAX: Duration = Duration::from_secs(30 * 60);

/// Most deliveries to a destination at a time (ours: what Postfix takes for the most that a server likes,
/// `default_destination_concurrency_limit`).
pub const CLAIMS_MAX: u32 = 20;

/// The jitter's reach, in thousandths of the wait, that is added.
const JITTER_THOUSANDTHS: u64 = 200;

/// One delivery, in the unit that a window grows by.
const ONE: u32 = 1_000;

/// How much may go to a destination at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// At first.
    pub claims_first: u32,
    /// At most; 0 counts as 1.
    pub claims_max: u32,
    /// First wait before a destination that can't be reached is probed.
    pub back_off_first: Duration,
    /// Longest wait before it is probed again.
    pub back_off_max: Duration,
}

impl Default for Limits {
    /// [`CLAIMS_FIRST`] and [`CLAIMS_MAX`], [`BACK_OFF_FIRST`] and [`BACK_OFF_MAX`].
    fn default() -> Self {
        Self {
            claims_first: CLAIMS_FIRST,
            claims_max: CLAIMS_MAX,
            back_off_first: BACK_OFF_FIRST,
            back_off_max: BACK_OFF_MAX,
        }
    }
}

/// What a delivery met at its destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Met {
    /// Something that says nothing of the destination as a whole: a refused recipient, say.
    Indifference,
    /// It took a message.
    Welcome,
    /// It is there and wants less: 421, another 4yz for all, a time-out halfway.
    Reluctance,
    /// Nobody is there who could take a message: no connection, no greeting, no TLS.
    Absence,
}

/// What is known of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    limits: Limits,
    /// Deliveries at a time, in thousandths.
    size: u32,
    /// Failures in a row.
    failures: u32,
    opens: WallTime,
}

impl Pace {
    /// A destination that nothing is known of.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        let size = ONE.saturating_mul(limits.claims_first.clamp(1, limits.claims_max.max(1)));
        Self { limits, size, failures: 0, opens: WallTime::from_unix_millis(0) }
    }

    /// Whether nothing is known but that mail goes.
    #[must_use]
    pub fn is_unremarkable(&self) -> bool {
        self.failures == 0 && self.size >= Self::new(self.limits).size
    }

    /// Whether the destination was shut off for want of an answer.
    #[must_use]
    pub fn is_shut_off(&self) -> bool {
        self.failures > 0
    }

    /// The window that follows from what is known.
    #[must_use]
    pub fn window(&self) -> Window {
        Window { claims_max: (self.size / ONE).max(1), opens: self.opens }
    }

    /// Takes in what a delivery met that ended at `now`; `jitter` is any random number.
    pub fn learn(&mut self, met: Met, now: WallTime, jitter: u32) {
        match met {
            Met::Indifference => {}
            Met::Welcome => {
                if self.failures > 0 {
                    *self = Self { size: ONE, ..Self::new(self.limits) };
                }
                // Doubled up to what was allowed at first, then by one for as many as go at a time.
                let first = Self::new(self.limits).size;
                let grown = if self.size < first { ONE } else { ONE.saturating_mul(ONE) / self.size.max(1) };
                let max = ONE.saturating_mul(self.limits.claims_max.max(1));
                self.size = self.size.saturating_add(grown.max(1)).min(max);
            }
            // These were under way when the destination was shut off.
            Met::Reluctance | Met::Absence if now < self.opens => {}
            Met::Reluctance if self.size > ONE => self.size = (self.size / 2).max(ONE),
            Met::Reluctance | Met::Absence => {
                self.size = ONE;
                self.failures = self.failures.saturating_add(1);
                self.opens = now + self.limits.back_off(self.failures, jitter);
            }
        }
    }

    /// Goes by other limits from now on; what was found out stays.
    pub fn follow(&mut self, limits: Limits) {
        self.limits = limits;
        self.size = self.size.min(ONE.saturating_mul(limits.claims_max.max(1)));
    }

    /// Shortens a wait that a clock which was wrong has made too long.
    pub fn mend(&mut self, now: WallTime) {
        self.opens = self.opens.min(now + self.limits.back_off_max);
    }
}

impl Limits {
    /// The wait after so many failures.
    fn back_off(&self, failures: u32, jitter: u32) -> Duration {
        let times = 2u32.saturating_pow(failures.saturating_sub(1));
        let wait = self.back_off_first.saturating_mul(times).min(self.back_off_max);
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        let more = millis / 1_000 * (u64::from(jitter) % (JITTER_THOUSANDTHS + 1));
        Duration::from_millis(millis.saturating_add(more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_millis(seconds * 1_000)
    }

    fn claims(pace: &Pace) -> u32 {
        pace.window().claims_max
    }

    #[test]
    fn a_destination_that_takes_mail_gets_more_of_it() {
        let mut pace = Pace::new(Limits::default());
        assert_eq!(claims(&pace), 5);
        for _ in 0..6 {
            pace.learn(Met::Welcome, at(0), 0);
        }
        assert_eq!(claims(&pace), 6);
        for _ in 0..1_000 {
            pace.learn(Met::Welcome, at(0), 0);
        }
        assert_eq!(claims(&pace), 20);
    }

    #[test]
    fn other_limits_hold_at_once() {
        let mut pace = Pace::new(Limits { claims_first: 8, ..Limits::default() });
        pace.follow(Limits { claims_max: 3, ..Limits::default() });
        assert_eq!(claims(&pace), 3);
        pace.follow(Limits::default());
        pace.learn(Met::Welcome, at(0), 0);
        assert_eq!(claims(&pace), 4, "it grows from there");
    }

    #[test]
    fn one_that_is_reluctant_gets_half_and_in_the_end_a_probe() {
        let mut pace = Pace::new(Limits { claims_first: 8, ..Limits::default() });
        let mut sizes = Vec::new();
        for _ in 0..4 {
            pace.learn(Met::Reluctance, at(9), 0);
            sizes.push(claims(&pace));
        }
        assert_eq!(sizes, [4, 2, 1, 1]);
        assert_eq!(pace.window().opens, at(9 + 30));
    }

    #[test]
    fn one_that_is_away_is_probed_ever_more_seldom_until_it_is_back() {
        let mut pace = Pace::new(Limits::default());
        let (mut now, mut waits) = (at(1_000), Vec::new());
        for _ in 0..8 {
            pace.learn(Met::Absence, now, 0);
            // What was under way at the same time.
            pace.learn(Met::Absence, now, 0);
            assert_eq!(claims(&pace), 1);
            waits.push(pace.window().opens.since(now).as_secs());
            now = pace.window().opens;
        }
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 1_800, 1_800]);
        assert!(pace.is_shut_off());
        pace.learn(Met::Welcome, now, 0);
        assert_eq!((claims(&pace), pace.window().opens), (2, at(0)));
        for _ in 0..3 {
            pace.learn(Met::Welcome, now, 0);
        }
        assert!(claims(&pace) == 5 && pace.is_unremarkable());
    }

    #[test]
    fn a_clock_that_was_set_back_shuts_nobody_off_for_long() {
        let mut pace = Pace::new(Limits::default());
        pace.learn(Met::Absence, at(90_000_000), 0);
        pace.mend(at(5));
        assert_eq!(pace.window().opens, at(5 + 1_800));
    }

    proptest! {
        #[test]
        fn somebody_is_always_let_through_and_never_too_many(
            first in 0u32..100, max in 0u32..100, steps in prop::collection::vec((0u8..4, 0u64..5_000, any::<u32>()), 0..200),
        ) {
            let limits = Limits { claims_first: first, claims_max: max, ..Limits::default() };
            let (mut pace, mut now) = (Pace::new(limits), at(1_000));
            for (met, later, jitter) in steps {
                now = now + Duration::from_secs(later);
                let met = [Met::Indifference, Met::Welcome, Met::Reluctance, Met::Absence][usize::from(met)];
                pace.learn(met, now, jitter);
                let window = pace.window();
                prop_assert!((1..=max.max(1)).contains(&window.claims_max));
                prop_assert!(window.opens <= now + BACK_OFF_MAX * 6 / 5);
            }
            // From wherever it is, it comes back to what it was allowed at first.
            for _ in 0..200 {
                pace.learn(Met::Welcome, now, 0);
            }
            prop_assert!(pace.is_unremarkable());
        }
    }
}
