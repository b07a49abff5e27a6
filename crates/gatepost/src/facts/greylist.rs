//! The greylist: who has waited and come back.
//!
//! Invariants: what passes is decided by [`judge`], from times alone; a clock that steps costs at most one more wait. A
//! store that fails makes the facts unsure, never `no`. A client is taken by its network, a sender without what changes
//! from message to message.

mod sqlite;
mod store;

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use policy::source::GreylistSettings;
use policy::value::{State, Value};
use smtp::time::WallTime;

use super::Findings;
use crate::config::Network;
use store::AtHand;
pub use store::{Memory, Passes, Sighting, Store, Triplet, Unavailable};

/// How often what has passed is noted anew (ours: a write an hour for a busy triplet, against a memory of days).
const REFRESH: Duration = Duration::from_secs(3_600);

/// Octets of an address that count; SMTP's are shorter (RFC 5321 §4.5.3.1.3).
const ADDRESS_OCTETS_MAX: usize = 512;

/// The greylist of a server.
#[derive(Debug)]
pub struct Greylist {
    store: Box<dyn Store>,
    /// Whether the store failed last time, so that a fault is one line in the log and its end another.
    is_failing: AtomicBool,
}

impl Greylist {
    /// The greylist that is kept in `directory`. Blocks on the disk.
    ///
    /// # Errors
    /// Why the file can't be opened, made or read; nothing of it has been changed.
    pub fn open(directory: &Path) -> Result<Self, Unavailable> {
        Ok(Self::in_store(Box::new(sqlite::Sqlite::open(directory)?)))
    }

    /// A greylist that ends with the program.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::in_store(Box::new(Memory::default()))
    }

    /// A greylist that is kept in `store`.
    #[must_use]
    pub fn in_store(store: Box<dyn Store>) -> Self {
        Self { store, is_failing: AtomicBool::new(false) }
    }

    /// `greylist.passed` and `greylist.age`: notes the attempt, and the pass when it is one. `sender` is the reverse-path,
    /// empty for the null one. May block on the disk.
    #[must_use]
    pub fn passed(
        &self,
        settings: &GreylistSettings,
        client: IpAddr,
        sender: &str,
        recipient: &str,
        now: WallTime,
    ) -> Findings {
        let found = ask(&*self.store, settings, client, sender, recipient, now);
        let has_failed = found.is_err();
        if self.is_failing.swap(has_failed, Ordering::Relaxed) != has_failed {
            match &found {
                Ok(_) => tracing::info!("the greylist's store works again"),
                Err(why) => tracing::warn!(%why, "the greylist's store fails; nobody has to wait for now"),
            }
        }
        match found {
            Ok(answer) => findings(answer),
            Err(Unavailable(why)) => {
                vec![("greylist.passed", State::unsure(&why)), ("greylist.age", State::unsure(&why))]
            }
        }
    }

    /// The same, when memory alone can tell and nothing is to be noted: it doesn't block.
    #[must_use]
    pub fn passed_at_hand(
        &self,
        settings: &GreylistSettings,
        client: IpAddr,
        sender: &str,
        recipient: &str,
        now: WallTime,
    ) -> Option<Findings> {
        ask(&AtHand(self.store.held()?), settings, client, sender, recipient, now).ok().map(findings)
    }
}

fn findings((is_passed, age): (bool, Option<Duration>)) -> Findings {
    let age = age.map_or(State::Missing, |age| State::Known(Value::Duration(age)));
    vec![("greylist.passed", State::yes_or_no(is_passed)), ("greylist.age", age)]
}

/// Whether it has passed, and how long ago the triplet was first seen; that isn't looked at for a client that need
/// not wait any more.
fn ask(
    store: &dyn Store,
    settings: &GreylistSettings,
    client: IpAddr,
    sender: &str,
    recipient: &str,
    now: WallTime,
) -> Result<(bool, Option<Duration>), Unavailable> {
    let client = network(settings, client);
    let passes = if settings.auto_allow > 0 { store.passes(&client)? } else { None };
    let passes = passes.filter(|passes| now.since(passes.last) <= settings.keep);
    if let Some(passes) = passes.filter(|passes| passes.count >= settings.auto_allow) {
        if is_stale(passes.last, now) {
            store.note_passes(&client, Passes { last: now, ..passes }, now + settings.keep)?;
        }
        return Ok((true, None));
    }
    let triplet = Triplet { client, sender: sender_key(sender).into(), recipient: lower(recipient).into() };
    let known = store.sighting(&triplet)?;
    let sighting = judge(settings, known, now);
    if known.is_none_or(|known| known.first != sighting.first || known.has_passed != sighting.has_passed)
        || sighting.has_passed && known.is_some_and(|known| is_stale(known.last, now))
    {
        let until =
            if sighting.has_passed { now + settings.keep } else { sighting.first + settings.retry_within };
        store.note(&triplet, sighting, until)?;
    }
    if settings.auto_allow > 0 && sighting.has_passed && !known.is_some_and(|known| known.has_passed) {
        let before = passes.unwrap_or(Passes { count: 0, last: now });
        let passes = Passes { count: before.count.saturating_add(1), last: before.last.max(now) };
        store.note_passes(&client, passes, passes.last + settings.keep)?;
    }
    Ok((sighting.has_passed, Some(now.since(sighting.first))))
}

/// What is known of a triplet once it has come again at `now`.
fn judge(settings: &GreylistSettings, known: Option<Sighting>, now: WallTime) -> Sighting {
    let fresh = Sighting { first: now, last: now, has_passed: false };
    let known = match known {
        // The clock has stepped back: counting on from then could take for ever.
        Some(known) if known.first > now => Sighting { first: now, ..known },
        Some(known) if known.has_passed && now.since(known.last) > settings.keep => fresh,
        Some(known) if !known.has_passed && now.since(known.first) > settings.retry_within => fresh,
        Some(known) => known,
        None => fresh,
    };
    let has_passed = known.has_passed || now.since(known.first) >= settings.wait;
    // A clock that goes back for a while (to 1970 at a start, say) must not make what has passed look long forgotten.
    Sighting { last: known.last.max(now), has_passed, ..known }
}

/// Whether the time of the last pass should be noted anew.
fn is_stale(last: WallTime, now: WallTime) -> bool {
    now.since(last) >= REFRESH
}

fn network(settings: &GreylistSettings, client: IpAddr) -> Network {
    let client = client.to_canonical();
    Network::of(client, if client.is_ipv4() { settings.ipv4_prefix } else { settings.ipv6_prefix })
}

fn lower(address: &str) -> String {
    address.get(..address.floor_char_boundary(ADDRESS_OCTETS_MAX)).unwrap_or(address).to_ascii_lowercase()
}

/// The sender without what changes from message to message: words with digits in the local part are `#`, as in the
/// addresses that mailing lists make for each message (VERP) and in signed ones (BATV).
fn sender_key(sender: &str) -> String {
    let sender = lower(sender);
    let Some((local_part, domain)) = sender.rsplit_once('@') else { return sender };
    let mut key = String::with_capacity(sender.len());
    for word in local_part.split_inclusive(|character: char| !character.is_alphanumeric()) {
        let letters = word.trim_end_matches(|character: char| !character.is_alphanumeric());
        if letters.contains(|character: char| character.is_ascii_digit()) {
            key.push('#');
            key.push_str(word.get(letters.len()..).unwrap_or_default());
        } else {
            key.push_str(word);
        }
    }
    key.push('@');
    key.push_str(domain);
    key
}

impl fmt::Display for Unavailable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests;
