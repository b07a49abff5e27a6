//! The entries of a table in memory.
//!
//! Invariants: texts lie in one piece of memory each for all entries, so that a million of them take little more than
//! their file does. Positions fit 32 bits, for a file is at most 256 MiB.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;
use regex::RegexSet;

use super::key::{candidates, normal};
use crate::config::Network;

/// The entries of a table.
#[derive(Debug)]
pub(crate) enum Entries {
    /// By texts.
    Texts(Texts),
    /// By networks; the longest prefix counts.
    Networks(Networks),
    /// By patterns; the first that matches counts.
    Patterns(Patterns),
}

/// What a table has for a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found<'e> {
    /// The key in the table that matched.
    pub(crate) key: Cow<'e, str>,
    pub(crate) value: &'e str,
}

impl Entries {
    pub(crate) fn of_text(&self, text: &str) -> Option<Found<'_>> {
        match self {
            Self::Texts(texts) => {
                let key = normal(text);
                candidates(&key).find_map(|candidate| texts.find(candidate))
            }
            Self::Networks(networks) => networks.find(text.parse().ok()?),
            Self::Patterns(patterns) => patterns.find(text),
        }
    }

    pub(crate) fn of_address(&self, address: IpAddr) -> Option<Found<'_>> {
        match self {
            Self::Texts(texts) => texts.find(&address.to_canonical().to_string()),
            Self::Networks(networks) => networks.find(address),
            Self::Patterns(patterns) => patterns.find(&address.to_canonical().to_string()),
        }
    }
}

/// Where an entry's key lies; its value is behind it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: u32,
    key_octets: u32,
    value_octets: u32,
}

/// Entries by texts.
#[derive(Debug, Default)]
pub(crate) struct Texts {
    arena: String,
    entries: Vec<Entry>,
    index: HashTable<u32>,
    hasher: RandomState,
}

impl Texts {
    /// Adds an entry; a key that is there already stays, and its place among the entries is the error.
    pub(crate) fn insert(&mut self, key: &str, value: &str) -> Result<(), usize> {
        let key = normal(key);
        let hash = self.hasher.hash_one(&*key);
        let Self { arena, entries, index, hasher } = self;
        let same = |place: &u32| text(arena, entries, *place).is_some_and(|(known, _)| known == key);
        if let Some(place) = index.find(hash, same) {
            return Err(index_of(*place));
        }
        let place = u32_of(entries.len());
        entries.push(Entry {
            start: u32_of(arena.len()),
            key_octets: u32_of(key.len()),
            value_octets: u32_of(value.len()),
        });
        arena.push_str(&key);
        arena.push_str(value);
        index.insert_unique(hash, place, |place| {
            text(arena, entries, *place).map_or(0, |(key, _)| hasher.hash_one(key))
        });
        Ok(())
    }

    /// The entry under this very key, which is in its normal form.
    pub(crate) fn find(&self, key: &str) -> Option<Found<'_>> {
        let texts = |place: u32| text(&self.arena, &self.entries, place);
        let same = |place: &u32| texts(*place).is_some_and(|(known, _)| known == key);
        let place = self.index.find(self.hasher.hash_one(key), same)?;
        let (key, value) = texts(*place)?;
        Some(Found { key: Cow::Borrowed(key), value })
    }

    /// Gives back what was only reserved.
    pub(crate) fn shrink(&mut self) {
        self.arena.shrink_to_fit();
        self.entries.shrink_to_fit();
    }
}

fn text<'a>(arena: &'a str, entries: &[Entry], place: u32) -> Option<(&'a str, &'a str)> {
    let entry = entries.get(index_of(place))?;
    let (start, key_octets) = (index_of(entry.start), index_of(entry.key_octets));
    let both = arena.get(start..start + key_octets + index_of(entry.value_octets))?;
    both.split_at_checked(key_octets)
}

/// Entries by networks.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    values: HashMap<Network, Arc<str>>,
    /// The lengths of prefixes that there are, the longest first: for IPv4 and for IPv6.
    prefixes: [Vec<u8>; 2],
    /// Each value once: there are mostly few.
    known_values: HashSet<Arc<str>>,
}

impl Networks {
    /// Adds an entry; whether the network was new.
    pub(crate) fn insert(&mut self, network: Network, value: &str) -> bool {
        if self.values.contains_key(&network) {
            return false;
        }
        let value = self.known_values.get(value).cloned().unwrap_or_else(|| Arc::from(value));
        self.known_values.insert(Arc::clone(&value));
        self.values.insert(network, value);
        let [ipv4, ipv6] = &mut self.prefixes;
        let prefixes = if network.is_ipv4() { ipv4 } else { ipv6 };
        if let Err(place) = prefixes.binary_search_by(|known| network.prefix_bits().cmp(known)) {
            prefixes.insert(place, network.prefix_bits());
        }
        true
    }

    fn find(&self, address: IpAddr) -> Option<Found<'_>> {
        let address = address.to_canonical();
        let [ipv4, ipv6] = &self.prefixes;
        let prefixes = if address.is_ipv4() { ipv4 } else { ipv6 };
        prefixes.iter().find_map(|prefix_bits| {
            let network = Network::of(address, *prefix_bits);
            let value = self.values.get(&network)?;
            Some(Found { key: Cow::Owned(network.to_string()), value })
        })
    }
}

/// Entries by patterns.
#[derive(Debug)]
pub(crate) struct Patterns {
    pub(crate) set: RegexSet,
    /// For each pattern of the set what stands in the file for it, and its value.
    pub(crate) entries: Vec<(Box<str>, Box<str>)>,
}

impl Patterns {
    fn find(&self, text: &str) -> Option<Found<'_>> {
        let first = self.set.matches(text).into_iter().next()?;
        self.entries.get(first).map(|(key, value)| Found { key: Cow::Borrowed(key), value })
    }
}

fn u32_of(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn index_of(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
