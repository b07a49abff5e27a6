//! Who may still guess: failed logins counted by address, by network and by account.
//!
//! Invariants: many attempts at once get no further than twice a limit; one that is given up has failed; memory is bounded
//! by [`ENTRIES_MAX`]; whoever logged in from an address lately is not kept out from there by what others guess elsewhere.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::time::Timestamp;

use crate::config::{Network, client_network};

/// Addresses, networks, accounts and known pairs that are remembered, each (ours: some 100 octets each).
const ENTRIES_MAX: usize = 50_000;

/// How long an address stays known as one that an account logs in from (ours).
const KNOWN_TIME: Duration = Duration::from_secs(30 * 86_400);

/// How many times the first wait a wrong password costs at most (ours).
const DELAY_FACTOR_MAX: u32 = 8;

/// How much guessing is borne.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuessLimits {
    /// Failed logins from one address.
    pub per_address: u32,
    /// Failed logins from one network, see [`client_network`].
    pub per_network: u32,
    /// Failed logins of one account.
    pub per_account: u32,
    /// The time over which they are counted, from the first one on.
    pub window: Duration,
    /// How long the answer to the first wrong password waits; each that follows waits twice as long as the one before, up to
    /// eight times.
    pub delay: Duration,
}

/// An attempt that may go on; dropped without having been settled, it has failed.
#[derive(Debug)]
#[must_use]
pub(crate) struct Attempt {
    counts: Arc<Mutex<Counts>>,
    address: Option<IpAddr>,
    account: String,
    client: IpAddr,
    is_settled: bool,
}

/// What is remembered of attempts.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<IpAddr, Count>,
    networks: HashMap<Network, Count>,
    accounts: HashMap<String, Count>,
    known: HashMap<(String, IpAddr), Timestamp>,
}

/// Attempts since the first one.
#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    failures: u32,
    under_way: u32,
}

/// What has become of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Failed,
    /// It has succeeded, or could not be checked.
    NoFailure,
}

impl Guard {
    /// Begins an attempt of `client` at `account`. The client's address and network don't count unless it `is_limited`.
    ///
    /// # Errors
    /// For how long nothing is checked.
    pub(crate) fn begin(
        &self,
        (client, is_limited): (IpAddr, bool),
        account: &str,
        limits: &GuessLimits,
        now: Timestamp,
    ) -> Result<Attempt, Duration> {
        let client = client.to_canonical();
        let address = is_limited.then_some(client);
        let mut counts = self.lock();
        let known = counts.known.get(&(account.to_owned(), client));
        let is_known = known.is_some_and(|since| now.since(*since) < KNOWN_TIME);
        let waits = [
            address.and_then(|address| left(&counts.addresses, &address, limits.per_address, limits, now)),
            address.and_then(|address| {
                left(&counts.networks, &client_network(address), limits.per_network, limits, now)
            }),
            left(&counts.accounts, account, limits.per_account, limits, now).filter(|_| !is_known),
        ];
        if let Some(wait) = waits.into_iter().flatten().max() {
            return Err(wait);
        }
        if let Some(address) = address {
            add(&mut counts.addresses, address, limits.window, now);
            add(&mut counts.networks, client_network(address), limits.window, now);
        }
        add(&mut counts.accounts, account.to_owned(), limits.window, now);
        let counts = Arc::clone(&self.counts);
        Ok(Attempt { counts, address, account: account.to_owned(), client, is_settled: false })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt {
    /// It has failed: how long its answer waits.
    pub(crate) fn failed(&mut self, limits: &GuessLimits) -> Duration {
        self.settle(Outcome::Failed);
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let of_account = counts.accounts.get(&self.account);
        let of_address = self.address.and_then(|address| counts.addresses.get(&address));
        let failures =
            of_account.into_iter().chain(of_address).map(|count| count.failures).max().unwrap_or(1);
        let factor = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        limits.delay.saturating_mul(factor.clamp(1, DELAY_FACTOR_MAX))
    }

    /// It was none: it could not be checked.
    pub(crate) fn undone(&mut self) {
        self.settle(Outcome::NoFailure);
    }

    /// It has succeeded.
    pub(crate) fn succeeded(&mut self, now: Timestamp) {
        self.settle(Outcome::NoFailure);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.known.len() >= ENTRIES_MAX {
            counts.known.retain(|_, since| now.since(*since) < KNOWN_TIME);
        }
        if counts.known.len() < ENTRIES_MAX {
            counts.known.insert((self.account.clone(), self.client), now);
        }
    }

    fn settle(&mut self, outcome: Outcome) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(address) = self.address {
            settle(&mut counts.addresses, &address, outcome);
            settle(&mut counts.networks, &client_network(address), outcome);
        }
        settle(&mut counts.accounts, self.account.as_str(), outcome);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.settle(Outcome::Failed);
    }
}

/// How long nothing is checked for whoever has reached the limit.
fn left<K, Q>(
    counts: &HashMap<K, Count>,
    key: &Q,
    limit: u32,
    limits: &GuessLimits,
    now: Timestamp,
) -> Option<Duration>
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    let is_reached = |count: &&Count| {
        let all = count.failures.saturating_add(count.under_way);
        count.failures >= limit || all >= limit.saturating_mul(2)
    };
    let count = counts.get(key).filter(is_reached)?;
    limits.window.checked_sub(now.since(count.since)).filter(|left| !left.is_zero())
}

fn add<K: Eq + Hash>(counts: &mut HashMap<K, Count>, key: K, window: Duration, now: Timestamp) {
    let is_over = |count: &Count| now.since(count.since) >= window;
    if counts.len() >= ENTRIES_MAX && !counts.contains_key(&key) {
        counts.retain(|_, count| !is_over(count));
        if counts.len() >= ENTRIES_MAX {
            // Whoever tried once only makes room: there are too many of him to be the one who tries often.
            counts.retain(|_, count| count.failures > 1 || count.under_way > 1);
        }
        if counts.len() >= ENTRIES_MAX {
            return;
        }
    }
    let count = counts.entry(key).or_insert(Count { since: now, failures: 0, under_way: 0 });
    if is_over(count) {
        *count = Count { since: now, failures: 0, under_way: 0 };
    }
    count.under_way = count.under_way.saturating_add(1);
}

fn settle<K, Q>(counts: &mut HashMap<K, Count>, key: &Q, outcome: Outcome)
where
    K: Eq + Hash + std::borrow::Borrow<Q>,
    Q: Eq + Hash + ?Sized,
{
    let is_none = counts.get_mut(key).is_some_and(|count| {
        count.under_way = count.under_way.saturating_sub(1);
        count.failures = count.failures.saturating_add(u32::from(outcome == Outcome::Failed));
        count.failures == 0 && count.under_way == 0
    });
    if is_none {
        counts.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: GuessLimits = GuessLimits {
        per_address: 3,
        per_network: 4,
        per_account: 5,
        window: Duration::from_secs(600),
        delay: Duration::from_secs(1),
    };

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn fail(guard: &Guard, client: &str, account: &str, seconds: u64) -> Result<Duration, Duration> {
        let client = client.parse().unwrap();
        let mut attempt = guard.begin((client, true), account, &LIMITS, at(seconds))?;
        Ok(attempt.failed(&LIMITS))
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_address_has_its_guesses_and_each_waits_longer() {
        let guard = Guard::default();
        let waits = ["a", "b", "c"].map(|account| fail(&guard, "192.0.2.1", account, 0));
        assert_eq!(waits, [Ok(seconds(1)), Ok(seconds(2)), Ok(seconds(4))]);
        assert_eq!(fail(&guard, "192.0.2.1", "d", 60), Err(seconds(540)));
        assert_eq!(fail(&guard, "192.0.2.1", "d", 600), Ok(seconds(1)));
    }

    #[test]
    fn a_network_has_its_guesses() {
        let guard = Guard::default();
        for last in 1..=4 {
            assert!(fail(&guard, &format!("192.0.2.{last}"), &format!("user{last}"), 0).is_ok());
        }
        assert_eq!(fail(&guard, "192.0.2.9", "d", 1), Err(seconds(599)));
        assert!(fail(&guard, "192.0.3.9", "d", 1).is_ok());
    }

    #[test]
    fn an_account_has_its_guesses_but_its_own_user_is_not_kept_out() {
        let guard = Guard::default();
        let home: IpAddr = "198.51.100.7".parse().unwrap();
        guard.begin((home, true), "alice", &LIMITS, at(0)).unwrap().succeeded(at(0));
        for last in 1..=5 {
            assert!(fail(&guard, &format!("192.0.{last}.1"), "alice", 1).is_ok());
        }
        assert_eq!(fail(&guard, "192.0.9.1", "alice", 2), Err(seconds(599)));
        assert!(guard.begin((home, true), "alice", &LIMITS, at(2)).is_ok());
        assert!(fail(&guard, "192.0.9.1", "bob", 2).is_ok());
    }

    #[test]
    fn attempts_under_way_get_no_further_than_twice_the_limit() {
        let guard = Guard::default();
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let begin = || guard.begin((client, true), "alice", &LIMITS, at(0));
        let mut under_way: Vec<Attempt> = (0..6).map(|_| begin().unwrap()).collect();
        assert!(begin().is_err());
        under_way[0].undone();
        under_way[1].succeeded(at(0));
        under_way.truncate(2);
        // Four were given up, and the limit is three.
        assert!(begin().is_err());
        let own = guard.begin((client, false), "bob", &LIMITS, at(0));
        assert_eq!(own.unwrap().failed(&LIMITS), seconds(1));
    }

    #[test]
    fn memory_is_bounded() {
        let mut counts = HashMap::new();
        add(&mut counts, 0, seconds(600), at(0));
        (0..ENTRIES_MAX + 10).for_each(|key| add(&mut counts, key, seconds(600), at(0)));
        assert!(counts.len() <= ENTRIES_MAX);
        assert_eq!(counts.get(&0).map(|count| count.under_way), Some(2));
    }
}
