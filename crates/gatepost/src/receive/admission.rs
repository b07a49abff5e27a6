//! Who may connect: counts of connections in all, per address and per network, and the rate of new ones.
//!
//! Invariants: a [`Place`] that is dropped gives back what it took; memory is bounded by the connections that are open
//! and by [`ADDRESSES_MAX`].

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::catalogue::{self, Entry};
use smtp::time::Timestamp;

use crate::config::{Config, Network, client_network};

/// Addresses whose rate is remembered (ours: about 100 octets each); past it the stale ones go.
const ADDRESSES_MAX: usize = 100_000;

/// The time over which new connections are counted.
const RATE_WINDOW: Duration = Duration::from_secs(60);

/// Connections past the limit that are still answered 421; past these they are closed unheard (ours).
const REFUSALS_MAX: u32 = 512;

/// Connections past the descriptors' end that are still answered 421 (ours: part of what is reserved).
const OVERLOAD_REFUSALS_MAX: u32 = 64;

/// The connections that are open.
#[derive(Debug, Clone)]
pub struct Admission {
    counts: Arc<Mutex<Counts>>,
    /// How many clients the descriptors suffice for.
    places: u32,
}

#[derive(Debug, Default)]
struct Counts {
    total: u32,
    refusals: u32,
    addresses: HashMap<IpAddr, u32>,
    networks: HashMap<Network, u32>,
    rates: HashMap<IpAddr, Rate>,
}

/// New connections of an address in the window that began at `since`, and in the one before.
#[derive(Debug, Clone, Copy)]
struct Rate {
    since: Timestamp,
    count: u32,
    before: u32,
}

/// A connection's place among those that are open; dropping it gives the place back.
#[derive(Debug)]
pub struct Place {
    counts: Arc<Mutex<Counts>>,
    taken: Taken,
}

#[derive(Debug, Clone, Copy)]
enum Taken {
    Served { address: IpAddr, network: Network },
    Refused,
}

/// What a new connection is told.
#[derive(Debug)]
pub enum Verdict {
    /// It is served.
    Serve(Place),
    /// It is answered with this entry of the catalogue, then closed.
    Refuse(Place, &'static Entry),
    /// There are too many even to answer.
    Drop,
}

impl Admission {
    /// No connections yet, and descriptors for `places` of them.
    #[must_use]
    pub fn with_places(places: u32) -> Self {
        Self { counts: Arc::default(), places }
    }

    /// Counts a new connection from `client` and decides on it.
    #[must_use]
    pub fn admit(&self, client: IpAddr, config: &Config, now: Timestamp) -> Verdict {
        let client = client.to_canonical();
        let network = client_network(client);
        let mut counts = self.lock();
        let limits = &config.limits;
        let limited = config.is_limited(client);
        let open = counts.total.saturating_add(counts.refusals);
        if open >= self.places.saturating_add(OVERLOAD_REFUSALS_MAX) {
            return Verdict::Drop;
        }
        let refusal = if counts.total >= limits.connections {
            Some(&catalogue::TOO_MANY_CONNECTIONS)
        } else if open >= self.places {
            Some(&catalogue::OVERLOADED)
        } else if counts.addresses.get(&client).is_some_and(|count| *count >= limits.connections_per_address)
            && limited
        {
            Some(&catalogue::TOO_MANY_CONNECTIONS_ADDRESS)
        } else if counts.networks.get(&network).is_some_and(|count| *count >= limits.connections_per_network)
            && limited
        {
            Some(&catalogue::TOO_MANY_CONNECTIONS_NETWORK)
        } else if limited && !counts.within_rate(client, limits.new_connections_per_minute, now) {
            Some(&catalogue::CONNECTION_RATE)
        } else {
            None
        };
        let taken = match refusal {
            None => {
                counts.total += 1;
                *counts.addresses.entry(client).or_default() += 1;
                *counts.networks.entry(network).or_default() += 1;
                Taken::Served { address: client, network }
            }
            Some(_) if counts.refusals >= REFUSALS_MAX => return Verdict::Drop,
            Some(_) => {
                counts.refusals += 1;
                Taken::Refused
            }
        };
        drop(counts);
        let place = Place { counts: Arc::clone(&self.counts), taken };
        match refusal {
            None => Verdict::Serve(place),
            Some(entry) => Verdict::Refuse(place, entry),
        }
    }

    /// Connections that the address has open.
    #[must_use]
    pub fn connections_of(&self, client: IpAddr) -> u32 {
        self.lock().addresses.get(&client).copied().unwrap_or(0)
    }

    /// Connections that are served now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.lock().total
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// Counts a new connection and says whether the address stays within `limit` a minute, over a sliding window.
    fn within_rate(&mut self, client: IpAddr, limit: u32, now: Timestamp) -> bool {
        if self.rates.len() >= ADDRESSES_MAX {
            self.rates.retain(|_, rate| now.since(rate.since) < RATE_WINDOW);
            if self.rates.len() >= ADDRESSES_MAX {
                return true;
            }
        }
        let rate = self.rates.entry(client).or_insert(Rate { since: now, count: 0, before: 0 });
        let age = now.since(rate.since);
        if age >= RATE_WINDOW * 2 {
            *rate = Rate { since: now, count: 0, before: 0 };
        } else if age >= RATE_WINDOW {
            *rate = Rate { since: rate.since + RATE_WINDOW, count: 0, before: rate.count };
        }
        // The part of the window before that still counts.
        let left = RATE_WINDOW.saturating_sub(now.since(rate.since));
        let weighted =
            u64::from(rate.before) * u64::from(left.subsec_millis() + 1_000 * whole_seconds(left)) / 60_000;
        let used = u64::from(rate.count) + weighted;
        if used >= u64::from(limit) {
            return false;
        }
        rate.count += 1;
        true
    }
}

fn whole_seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        match self.taken {
            Taken::Refused => counts.refusals = counts.refusals.saturating_sub(1),
            Taken::Served { address, network } => {
                counts.total = counts.total.saturating_sub(1);
                give_back(&mut counts.addresses, address);
                give_back(&mut counts.networks, network);
            }
        }
    }
}

fn give_back<K: Eq + Hash>(counts: &mut HashMap<K, u32>, key: K) {
    if let Some(count) = counts.get_mut(&key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        let text = format!(
            "{text}\n[clients]\nrelay = [\"10.0.0.0/8\"]\n[domain.\"example.org\".mailbox]\npostmaster = {{}}\n"
        );
        crate::config::parse(&text, "test", &mut |_| Err(std::io::ErrorKind::NotFound.into())).unwrap().config
    }

    fn refused(verdict: &Verdict) -> Option<&'static str> {
        match verdict {
            Verdict::Refuse(_, entry) => Some(entry.name),
            Verdict::Serve(_) => None,
            Verdict::Drop => Some("dropped"),
        }
    }

    #[test]
    fn each_limit_refuses_with_its_own_reply_and_gives_places_back() {
        let config =
            config("[limits]\nconnections = 4\nconnections_per_address = 2\nconnections_per_network = 3\n");
        let admission = Admission::with_places(u32::MAX);
        let now = Timestamp::from_millis(0);
        let admit = |address: &str| admission.admit(address.parse().unwrap(), &config, now);
        let first = admit("192.0.2.1");
        let second = admit("192.0.2.1");
        assert_eq!(refused(&admit("192.0.2.1")), Some("too-many-connections-address"));
        let third = admit("::ffff:192.0.2.2");
        assert_eq!(refused(&third), None);
        assert_eq!(refused(&admit("192.0.2.3")), Some("too-many-connections-network"));
        let fourth = admit("10.0.0.1");
        assert_eq!(refused(&admit("10.0.0.1")), Some("too-many-connections"));
        assert_eq!(admission.connections(), 4);
        drop((first, second, third, fourth));
        assert_eq!(admission.connections(), 0);
        assert!(admission.lock().addresses.is_empty() && admission.lock().networks.is_empty());
        assert_eq!(admission.lock().refusals, 0);
    }

    #[test]
    fn a_client_past_the_descriptors_is_told_and_many_are_dropped() {
        let config = config("");
        let admission = Admission::with_places(2);
        let admit = || admission.admit("192.0.2.1".parse().unwrap(), &config, Timestamp::from_millis(0));
        let served = [admit(), admit()];
        assert!(served.iter().all(|verdict| refused(verdict).is_none()));
        let told: Vec<Verdict> = (0..OVERLOAD_REFUSALS_MAX).map(|_| admit()).collect();
        assert!(told.iter().all(|verdict| refused(verdict) == Some("overloaded")));
        assert_eq!(refused(&admit()), Some("dropped"));
        drop(told);
        drop(served);
        assert_eq!(refused(&admit()), None);
    }

    #[test]
    fn the_rate_slides_and_spares_the_sites_own() {
        let config = config("[limits]\nnew_connections_per_minute = 3\n");
        let admission = Admission::with_places(u32::MAX);
        let at = |address: &str, second: u64| {
            let now = Timestamp::from_millis(second * 1_000);
            refused(&admission.admit(address.parse().unwrap(), &config, now))
        };
        for second in 0..3 {
            assert_eq!(at("192.0.2.1", second), None);
            assert_eq!(at("10.0.0.1", second), None);
        }
        assert_eq!(at("192.0.2.1", 3), Some("connection-rate"));
        assert_eq!(at("10.0.0.1", 3), None);
        // A second into the next minute nearly all of the last one still counts.
        assert_eq!(at("192.0.2.1", 61), None);
        assert_eq!(at("192.0.2.1", 62), Some("connection-rate"));
        assert_eq!(at("192.0.2.1", 200), None);
    }
}
