//! How many messages a minute go to a destination, or leave from a sender, where the site limits that.
//!
//! Invariants: in no minute go more than the limit and a second's worth; whoever is put off learns of a time at which it may
//! go, and that is never more than a minute and the turns of those before it ahead; a clock that was set back puts nobody off
//! for longer.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use smtp::time::WallTime;

/// What limits are counted by, in milliseconds.
const MINUTE_MILLIS: u64 = 60_000;

/// Destinations or senders that are counted at a time (ours: some 100 octets each); those that have gone slower for longer
/// are forgotten first, which changes nothing for them.
const COUNTED_MAX: usize = 20_000;

/// One limit, and how much of it is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    per_minute: u32,
    /// When the next message would go if all went one by one, at even distances.
    next: WallTime,
    /// The turn of the last one that was put off.
    put_off: WallTime,
}

impl Rate {
    /// A limit of which nothing is used.
    pub(super) const fn new(per_minute: u32) -> Self {
        let never = WallTime::from_unix_millis(0);
        Self { per_minute, next: never, put_off: never }
    }

    /// Another limit, of which as much is used.
    pub(super) const fn at(self, per_minute: u32) -> Self {
        Self { per_minute, ..self }
    }

    fn distance(&self) -> Duration {
        // In whole milliseconds, as the clock counts.
        Duration::from_millis(MINUTE_MILLIS.div_ceil(u64::from(self.per_minute.max(1))))
    }

    /// How far the even distances may be run ahead of: by a second's worth of messages.
    fn slack(&self) -> Duration {
        self.distance() * (self.per_minute / 60)
    }

    /// The even distance's next time as it counts at `now`.
    fn next_at(&self, now: WallTime) -> WallTime {
        self.next.max(now).min(now + self.slack() + self.distance())
    }

    /// Lets one message through.
    ///
    /// # Errors
    /// The time until which it waits.
    pub(super) fn take(&mut self, now: WallTime) -> Result<(), WallTime> {
        let next = self.next_at(now);
        let ahead = next.since(now);
        if ahead <= self.slack() {
            self.next = next + self.distance();
            return Ok(());
        }
        Err(now + ahead.saturating_sub(self.slack()))
    }

    /// As [`Rate::take`], where each one that is put off has a turn of its own, behind those that were put off before.
    ///
    /// # Errors
    /// Its turn.
    pub(super) fn take_a_turn(&mut self, now: WallTime) -> Result<(), WallTime> {
        self.take(now).map_err(|soonest| {
            // A clock that was set back leaves no turn further ahead than they came to be from now on.
            let behind = self.put_off + self.distance();
            self.put_off = if self.put_off < now { soonest } else { behind.max(soonest) };
            self.put_off
        })
    }

    /// How many may go at once, and when the next one may when none may.
    pub(super) fn room(&self, now: WallTime) -> (u32, WallTime) {
        let mut tried = *self;
        for taken in 0..=self.per_minute / 60 {
            if let Err(opens) = tried.take(now) {
                return (taken, opens);
            }
        }
        (self.per_minute / 60 + 1, now)
    }

    /// Whether nothing of it is used at `now`.
    pub(super) fn is_unused(&self, now: WallTime) -> bool {
        self.next <= now && self.put_off <= now
    }
}

/// The limits of many.
#[derive(Debug)]
pub(super) struct Rates<K>(HashMap<K, Rate>);

impl<K> Default for Rates<K> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash> Rates<K> {
    /// Lets one message of `counted` through, at most so many a minute; when there are too many to count, it goes.
    ///
    /// # Errors
    /// Its turn.
    pub(super) fn take_a_turn(&mut self, counted: K, per_minute: u32, now: WallTime) -> Result<(), WallTime> {
        if self.0.len() >= COUNTED_MAX && !self.0.contains_key(&counted) {
            self.0.retain(|_, rate| !rate.is_unused(now));
            if self.0.len() >= COUNTED_MAX {
                return Ok(());
            }
        }
        let rate = self.0.entry(counted).or_insert_with(|| Rate::new(per_minute));
        *rate = rate.at(per_minute);
        rate.take_a_turn(now)
    }
}

/// A destination for which the site has chosen how much it gets.
#[derive(Debug)]
pub(super) struct Limited {
    /// How many messages a minute.
    pub(super) rate: Option<Rate>,
    /// Its deliveries that are under way.
    pub(super) under_way: u32,
}

impl Limited {
    /// Whether something has to be counted.
    pub(super) fn is_in_use(&self, now: WallTime) -> bool {
        self.under_way > 0 || self.rate.is_some_and(|rate| !rate.is_unused(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> WallTime {
        WallTime::from_unix_millis(1_795_000_000_000 + millis)
    }

    #[test]
    fn slow_limits_go_one_by_one_and_fast_ones_a_second_at_a_time() {
        let mut slow = Rate::new(6);
        assert_eq!(slow.room(at(0)).0, 1);
        assert_eq!(slow.take(at(0)), Ok(()));
        assert_eq!(slow.take(at(0)), Err(at(10_000)));
        assert_eq!(slow.room(at(1)), (0, at(10_000)));
        assert_eq!(slow.take(at(10_000)), Ok(()));
        let mut fast = Rate::new(600);
        assert_eq!(fast.room(at(0)).0, 11);
        for _ in 0..11 {
            assert_eq!(fast.take(at(0)), Ok(()));
        }
        assert_eq!(fast.take(at(0)), Err(at(100)));
    }

    #[test]
    fn those_that_are_put_off_have_turns_one_behind_the_other() {
        let mut rates = Rates::default();
        let mut turn = |now| rates.take_a_turn("anna", 60, at(now));
        assert_eq!((turn(0), turn(0)), (Ok(()), Ok(())));
        assert_eq!([turn(0), turn(0), turn(0)], [1_000, 2_000, 3_000].map(|turn| Err(at(turn))));
        assert_eq!((turn(1_000), turn(2_000), turn(3_000)), (Ok(()), Ok(()), Ok(())));
        assert_eq!(rates.take_a_turn("bert", 60, at(0)), Ok(()));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nobody_up() {
        let mut rate = Rate::new(60);
        while rate.take(at(1_000_000)).is_ok() {}
        let Err(next) = rate.take(at(0)) else { panic!("as much was used as there is") };
        assert!(next <= at(1_000), "{next:?}");
    }

    proptest! {
        #[test]
        fn no_minute_sees_more_than_the_limit_and_all_get_on(
            per_minute in 1_u32..2_000,
            waits in prop::collection::vec(0_u64..3_000, 1..300),
        ) {
            let (mut rate, mut now, mut gone) = (Rate::new(per_minute), 0, Vec::new());
            for wait in waits {
                now += wait;
                let room = rate.room(at(now)).0;
                for _ in 0..room {
                    prop_assert_eq!(rate.take(at(now)), Ok(()));
                    gone.push(now);
                }
                let Err(until) = rate.take(at(now)) else { panic!("{room} were all") };
                prop_assert!(until > at(now) && until <= at(now + 60_000), "{:?}", until);
                prop_assert_eq!(rate.room(at(now)), (0, until));
                let mut later = rate;
                prop_assert_eq!(later.take(until), Ok(()));
            }
            let most = usize::try_from(per_minute + per_minute / 60 + 1).unwrap();
            for (first, start) in gone.iter().enumerate() {
                let within = gone[first..].iter().take_while(|time| **time < start + 60_000).count();
                prop_assert!(within <= most, "{} in a minute, of {}", within, per_minute);
            }
        }
    }
}
