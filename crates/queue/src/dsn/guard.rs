//! The guard against backscatter: how many DSNs go to one address and one domain within an hour.
//!
//! A reverse-path is easily forged, and whoever is named in it gets the DSNs. Mail is best refused in the session, where
//! nobody else is written to; where that isn't possible the guard bounds what a flood does to a third party.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use smtp::time::WallTime;

use crate::message::QueuedMessage;
use crate::rate::{Rate, Rates};

/// DSNs to one address within an hour about mail that others handed in (ours: more than a person reads).
pub const ADDRESS_AN_HOUR: u32 = 100;

/// DSNs to one domain within an hour about mail that others handed in (ours: forged local parts are cheap).
pub const DOMAIN_AN_HOUR: u32 = 1_000;

/// DSNs to one address within an hour about mail that the site's own users handed in (ours: who wrote to thousands is
/// to hear who got nothing).
pub const SUBMITTER_AN_HOUR: u32 = 5_000;

/// Addresses, and domains, that are told apart (ours: about 3 MB each); the rest share one allowance.
const KEYS_MAX: usize = 50_000;

/// Counts the DSNs.
#[derive(Debug)]
pub struct Guard {
    addresses: Rates<u64>,
    domains: Rates<u64>,
    submitters: Rates<u64>,
    /// Keyed by chance, so that nobody can make addresses share a count.
    hasher: RandomState,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            addresses: Rates::new(Rate::an_hour(ADDRESS_AN_HOUR), KEYS_MAX),
            domains: Rates::new(Rate::an_hour(DOMAIN_AN_HOUR), KEYS_MAX),
            submitters: Rates::new(Rate::an_hour(SUBMITTER_AN_HOUR), KEYS_MAX),
            hasher: RandomState::new(),
        }
    }
}

impl Guard {
    /// Whether another DSN about `message` may be sent, which counts as sent when it may. One that may not is to be logged.
    pub fn lets_through(&mut self, message: &QueuedMessage, now: WallTime) -> bool {
        let Some(mailbox) = message.reverse_path.mailbox() else { return false };
        let address = self.hasher.hash_one(mailbox.to_string().to_ascii_lowercase());
        if message.origin.submitted {
            return self.submitters.take(address, now).is_ok();
        }
        let domain = self.hasher.hash_one(mailbox.domain.to_string().to_ascii_lowercase());
        self.addresses.take(address, now).is_ok() && self.domains.take(domain, now).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Origin;
    use smtp::envelope::MailParameters;

    const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

    fn message(reverse_path: &str, submitted: bool) -> QueuedMessage {
        QueuedMessage {
            reverse_path: reverse_path.parse().unwrap(),
            parameters: MailParameters::default(),
            received: NOW,
            hold: None,
            origin: Origin { submitted, ..Origin::default() },
            recipients: Vec::new(),
        }
    }

    fn sent(guard: &mut Guard, message: &QueuedMessage) -> usize {
        (0..10_000).take_while(|_| guard.lets_through(message, NOW)).count()
    }

    #[test]
    fn an_address_gets_so_many_whatever_its_case_and_others_get_theirs() {
        let mut guard = Guard::default();
        assert_eq!(sent(&mut guard, &message("<ann@example.org>", false)), ADDRESS_AN_HOUR as usize);
        assert_eq!(sent(&mut guard, &message("<Ann@EXAMPLE.org>", false)), 0);
        assert_eq!(sent(&mut guard, &message("<bob@example.org>", false)), ADDRESS_AN_HOUR as usize);
        assert_eq!(sent(&mut guard, &message("<ann@example.org>", true)), SUBMITTER_AN_HOUR as usize);
        let hour = std::time::Duration::from_secs(3_600);
        assert!(guard.lets_through(&message("<ann@example.org>", false), NOW + hour));
    }

    #[test]
    fn a_domain_gets_so_many_over_all_its_addresses() {
        let mut guard = Guard::default();
        let forged = |number| message(&format!("<u{number}@victim.example>"), false);
        let sent = (0..5_000).filter(|number| guard.lets_through(&forged(*number), NOW)).count();
        assert_eq!(sent, DOMAIN_AN_HOUR as usize);
        assert!(!guard.lets_through(&message("<>", false), NOW));
    }
}
