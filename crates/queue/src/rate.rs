//! How often something may happen: so many times at once and so many in a while, by sender, destination or anything else.
//!
//! Invariants: over any time at most twice the count passes in one `per`, and in the long run the count; a clock that stepped
//! back holds nobody up for longer than one `per`; the memory of [`Rates`] is bounded, and what it has no room for shares
//! one allowance.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::Duration;

use smtp::time::WallTime;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// So many times at once, and in each `per`; 0 counts as 1.
    pub count: u32,
    /// In this time.
    pub per: Duration,
}

impl Rate {
    /// So many times a minute.
    #[must_use]
    pub const fn a_minute(count: u32) -> Self {
        Self { count, per: Duration::from_secs(60) }
    }

    /// So many times an hour.
    #[must_use]
    pub const fn an_hour(count: u32) -> Self {
        Self { count, per: Duration::from_secs(3_600) }
    }

    /// The time that one of them stands for.
    fn interval(&self) -> Duration {
        self.per / self.count.max(1)
    }
}

/// How much of a rate is used: a bucket that leaks, kept as the time at which it will be empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    empty_at: WallTime,
}

impl Usage {
    /// Uses the rate once.
    ///
    /// # Errors
    /// Nothing was used; from this time on it can be, if nobody else does.
    pub fn take(&mut self, rate: Rate, now: WallTime) -> Result<(), WallTime> {
        // What is further away than a full bucket comes from a clock that was wrong.
        self.empty_at = self.empty_at.min(now + rate.per).max(now);
        let level = self.empty_at.since(now) + rate.interval();
        if level > rate.per {
            return Err(now + (level - rate.per));
        }
        self.empty_at = self.empty_at + rate.interval();
        Ok(())
    }

    fn is_empty(&self, now: WallTime) -> bool {
        self.empty_at <= now
    }
}

/// The usage of one rate by each of many.
#[derive(Debug, Clone)]
pub struct Rates<K> {
    rate: Rate,
    usages: HashMap<K, Usage>,
    keys_max: usize,
    /// That of those for whom there was no room.
    others: Usage,
}

impl<K: Eq + Hash> Rates<K> {
    /// Nobody has used anything; at most `keys_max` users are told apart.
    #[must_use]
    pub fn new(rate: Rate, keys_max: usize) -> Self {
        Self { rate, usages: HashMap::new(), keys_max, others: Usage::default() }
    }

    /// Uses the rate of `key` once.
    ///
    /// # Errors
    /// As [`Usage::take`].
    pub fn take(&mut self, key: K, now: WallTime) -> Result<(), WallTime> {
        if let Some(usage) = self.usages.get_mut(&key) {
            return usage.take(self.rate, now);
        }
        if self.usages.len() >= self.keys_max {
            self.usages.retain(|_, usage| !usage.is_empty(now));
        }
        if self.usages.len() >= self.keys_max {
            return self.others.take(self.rate, now);
        }
        self.usages.entry(key).or_default().take(self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_millis(1_795_600_800_000 + seconds * 1_000)
    }

    #[test]
    fn so_many_pass_at_once_and_then_one_for_each_interval() {
        let rate = Rate::a_minute(3);
        let mut usage = Usage::default();
        let passed: Vec<bool> = [0, 0, 0, 0, 19, 20, 20, 100, 100, 100, 100]
            .map(|seconds| usage.take(rate, at(seconds)).is_ok())
            .to_vec();
        assert_eq!(passed, [true, true, true, false, false, true, false, true, true, true, false]);
        assert_eq!(usage.take(rate, at(100)), Err(at(120)));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_up_for_one_interval() {
        let rate = Rate::an_hour(6);
        let mut usage = Usage::default();
        usage.take(rate, at(90_000_000)).unwrap();
        assert_eq!(usage.take(rate, at(0)), Err(at(600)));
        assert_eq!(usage.take(rate, at(600)), Ok(()));
    }

    #[test]
    fn those_without_a_place_share_what_one_has() {
        let mut rates = Rates::new(Rate::a_minute(2), 2);
        assert!([1, 1, 2].iter().all(|key| rates.take(*key, at(0)).is_ok()));
        assert!(rates.take(1, at(0)).is_err() && rates.take(2, at(0)).is_ok());
        assert_eq!([3, 4, 5].map(|key| rates.take(key, at(0)).is_ok()), [true, true, false]);
        assert!(rates.take(6, at(61)).is_ok(), "places are free again");
        assert_eq!(rates.usages.len(), 1);
    }

    proptest! {
        #[test]
        fn never_more_than_twice_the_count_in_one_time(
            count in 1u32..20, times in prop::collection::vec(0u64..400, 1..300),
        ) {
            let rate = Rate::a_minute(count);
            let (mut usage, mut now, mut passed) = (Usage::default(), 0, Vec::new());
            for later in times {
                now += later / 40;
                match usage.take(rate, at(now)) {
                    Ok(()) => passed.push(now),
                    Err(next) => prop_assert!(next > at(now) && next <= at(now + 60)),
                }
            }
            for (place, first) in passed.iter().enumerate() {
                let within = passed.iter().skip(place).take_while(|time| **time < first + 60).count();
                prop_assert!(within <= 2 * count as usize);
            }
        }
    }
}
