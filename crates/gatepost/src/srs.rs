//! The Sender Rewriting Scheme: reverse-paths of forwarded mail in the forwarder's own name, and bounces led back.
//!
//! `SRS0=HHHH=TT=domain=local@forwarder` stands for `local@domain`, and `SRS1=HHHH=first==HHHH=TT=domain=local@forwarder`
//! for an address that a forwarder before, `first`, has made (draft-mahoney-srs, as libsrs2 and postsrsd do it). The hash
//! is theirs too, HMAC-SHA-1 cut to four characters: bounces that are under way when a site changes over still arrive, and
//! one secret serves machines of both kinds. SHA-1's weakness is in collisions, which help nobody here; that four
//! characters can be guessed by who tries a million times is answered by the limit on errors in a session, and what he gets
//! is one bounce to an address of his choice.
//!
//! Invariants: only what was made with one of the secrets is led back, only for [`AGE_MAX_DAYS`], and only without a
//! reverse-path of its own (who asks sees to that); hashes are compared in constant time.

use aws_lc_rs::{constant_time, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use queue::message::QueuedRecipient;
use smtp::address::{Domain, DomainName, ForwardPath, LocalPart, Mailbox, ReversePath};
use smtp::time::WallTime;

use crate::mailboxes::domain_key;
use crate::sign::is_forwarded;

/// How long an address leads back, in days (libsrs2's; a message that nobody takes has gone back after five).
pub const AGE_MAX_DAYS: u64 = 21;

/// Characters of a hash that is made, and the fewest that one may have (libsrs2's).
const HASH_CHARACTERS: usize = 4;

/// Days after which a timestamp begins anew: two characters of base32.
const DAYS: u64 = 1_024;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// Rewrites reverse-paths for one domain.
pub struct Srs {
    domain: DomainName,
    secrets: Vec<hmac::Key>,
}

impl std::fmt::Debug for Srs {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Srs").field("domain", &self.domain).finish_non_exhaustive()
    }
}

/// What a recipient's address stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bounce {
    /// This address.
    To(Mailbox),
    /// Nobody: it was forged, or its time is over.
    Nobody,
}

/// The parts of a local part that was rewritten.
enum Rewritten<'l> {
    Zero { hash: &'l str, stamp: &'l str, domain: &'l str, local: &'l str },
    One { hash: &'l str, first: &'l str, rest: &'l str },
}

impl Srs {
    /// For addresses at `domain`. The first of `secrets` makes hashes, all of them are accepted.
    #[must_use]
    pub fn new(domain: DomainName, secrets: &[impl AsRef<[u8]>]) -> Self {
        let key = |secret: &_| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, AsRef::as_ref(secret));
        Self { domain, secrets: secrets.iter().map(key).collect() }
    }

    /// The address of ours that stands for `mailbox`; `None` when it would be longer than a local part may be
    /// (RFC 5321 §4.5.3.1.1).
    #[must_use]
    pub fn rewrite(&self, mailbox: &Mailbox, now: WallTime) -> Option<Mailbox> {
        let secret = self.secrets.first()?;
        let (local, domain) = (mailbox.local_part.as_str(), mailbox.domain.to_string());
        let text = match (parts(local), tagged(local, "SRS0")) {
            // An address made twice over leads back to the first who made it, at once.
            (Some(Rewritten::One { first, rest, .. }), _) => {
                format!("SRS1={}={first}={rest}", hash(secret, &[first, rest]))
            }
            (_, Some(rest)) => format!("SRS1={}={domain}={rest}", hash(secret, &[&domain, rest])),
            _ => {
                let stamp = stamp(now);
                format!("SRS0={}={stamp}={domain}={local}", hash(secret, &[&stamp, &domain, local]))
            }
        };
        let local_part = LocalPart::new(text).ok()?;
        Some(Mailbox { local_part, domain: Domain::Name(self.domain.clone()) })
    }

    /// What a recipient's address stands for; `None` when it is none that was rewritten here. One whose time has ended
    /// less than `grace_days` ago still counts.
    #[must_use]
    pub fn bounce(&self, path: &ForwardPath, now: WallTime, grace_days: u64) -> Option<Bounce> {
        let ForwardPath::Mailbox(mailbox) = path else { return None };
        let Domain::Name(domain) = &mailbox.domain else { return None };
        if domain_key(domain.as_str()) != domain_key(self.domain.as_str()) {
            return None;
        }
        let local = mailbox.local_part.as_str();
        tagged(local, "SRS0").or_else(|| tagged(local, "SRS1"))?;
        let meant = parts(local).and_then(|parts| self.meant(&parts, now, grace_days));
        Some(meant.map_or(Bounce::Nobody, Bounce::To))
    }

    fn meant(&self, parts: &Rewritten<'_>, now: WallTime, grace_days: u64) -> Option<Mailbox> {
        let (local, domain) = match *parts {
            Rewritten::Zero { hash, stamp, domain, local } => {
                let is_ours = self.is_ours(hash, &[stamp, domain, local]);
                let is_young = age_days(stamp, now)? <= AGE_MAX_DAYS.saturating_add(grace_days);
                (is_ours && is_young).then(|| (local.to_owned(), domain))?
            }
            Rewritten::One { hash, first, rest } => {
                self.is_ours(hash, &[first, rest]).then(|| (format!("SRS0{rest}"), first))?
            }
        };
        let local_part = LocalPart::new(local).ok().filter(|local_part| !local_part.as_str().is_empty())?;
        Some(Mailbox { local_part, domain: domain.parse().ok()? })
    }

    /// Whether a hash is that of the parts under one of the secrets; case is disregarded, as it gets lost on the way.
    fn is_ours(&self, given: &str, parts: &[&str]) -> bool {
        let given = given.to_ascii_lowercase();
        if given.len() < HASH_CHARACTERS {
            return false;
        }
        let is_same = |secret: &hmac::Key| {
            let whole = whole_hash(secret, parts).to_ascii_lowercase();
            let start = whole.as_bytes().get(..given.len());
            start.is_some_and(|start| constant_time::verify_slices_are_equal(start, given.as_bytes()).is_ok())
        };
        // All are tried, so that the time doesn't tell which it was.
        self.secrets.iter().map(is_same).fold(false, |any, same| any | same)
    }
}

/// The reverse-path with which a message leaves for a recipient: its own, or one of ours when it is forwarded for
/// somebody elsewhere. What is too long to be rewritten leaves with its own.
#[must_use]
pub fn reverse_path(
    srs: Option<&Srs>,
    own: &ReversePath,
    recipient: &QueuedRecipient,
    is_local: impl FnOnce(&Domain) -> bool,
    now: WallTime,
) -> ReversePath {
    let rewritten = srs.zip(own.mailbox()).and_then(|(srs, mailbox)| {
        if !is_forwarded(recipient) || is_local(&mailbox.domain) {
            return None;
        }
        let rewritten = srs.rewrite(mailbox, now);
        if rewritten.is_none() {
            tracing::debug!(%mailbox, "the reverse-path is too long to be rewritten");
        }
        rewritten
    });
    rewritten.map_or_else(|| own.clone(), ReversePath::Mailbox)
}

/// What comes behind the tag, from its separator on.
fn tagged<'l>(local: &'l str, tag: &str) -> Option<&'l str> {
    let (start, rest) = local.split_at_checked(tag.len())?;
    (start.eq_ignore_ascii_case(tag) && rest.starts_with(['=', '+', '-'])).then_some(rest)
}

fn parts(local: &str) -> Option<Rewritten<'_>> {
    if let Some(rest) = tagged(local, "SRS0") {
        let mut parts = rest.get(1..)?.splitn(4, '=');
        let (hash, stamp) = (parts.next()?, parts.next()?);
        return Some(Rewritten::Zero { hash, stamp, domain: parts.next()?, local: parts.next()? });
    }
    let rest = tagged(local, "SRS1")?;
    let mut parts = rest.get(1..)?.splitn(3, '=');
    let (hash, first, rest) = (parts.next()?, parts.next()?, parts.next()?);
    rest.starts_with(['=', '+', '-']).then_some(Rewritten::One { hash, first, rest })
}

fn hash(secret: &hmac::Key, parts: &[&str]) -> String {
    let mut hash = whole_hash(secret, parts);
    hash.truncate(HASH_CHARACTERS);
    hash
}

fn whole_hash(secret: &hmac::Key, parts: &[&str]) -> String {
    let mut context = hmac::Context::with_key(secret);
    for part in parts {
        context.update(part.to_ascii_lowercase().as_bytes());
    }
    STANDARD_NO_PAD.encode(context.sign())
}

/// The day in two characters.
fn stamp(now: WallTime) -> String {
    let day = now.as_unix_seconds() / 86_400 % DAYS;
    let character = |value: u64| {
        usize::try_from(value % 32)
            .ok()
            .and_then(|place| BASE32.get(place))
            .map_or('A', |octet| char::from(*octet))
    };
    [character(day / 32), character(day)].iter().collect()
}

/// How long ago the day of a stamp was; a day that is still to come was nearly [`DAYS`] days ago.
fn age_days(stamp: &str, now: WallTime) -> Option<u64> {
    let [high, low] = *stamp.as_bytes() else { return None };
    let value = |octet: u8| {
        let place = BASE32.iter().position(|known| *known == octet.to_ascii_uppercase())?;
        u64::try_from(place).ok()
    };
    let day = value(high)? * 32 + value(low)?;
    let today = now.as_unix_seconds() / 86_400 % DAYS;
    Some((today + DAYS - day) % DAYS)
}

#[cfg(test)]
mod tests;
