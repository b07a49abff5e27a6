//! Whom a message counts for where senders take turns.
//!
//! A sender is a domain and its local part up to the first `+`, `-` or `=`: a list that gives each message a reverse-path
//! of its own (VERP) is one sender, while the users of one domain are several. By the domain alone, one user's newsletter
//! would hold up everybody else's mail; by the whole mailbox, VERP would make every message a sender with a turn.

use smtp::address::ReversePath;

/// A sender, as a hash. Two that share one by chance share their turns; nothing else comes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SenderKey(u32);

impl SenderKey {
    /// The sender of messages with this reverse-path; that of all DSNs for the null one.
    #[must_use]
    pub fn of(reverse_path: &ReversePath) -> Self {
        Self::of_text(&reverse_path.to_string())
    }

    /// As [`SenderKey::of`], of the reverse-path as it is written, angle brackets included.
    pub(crate) fn of_text(reverse_path: &str) -> Self {
        let address = reverse_path.trim_start_matches('<').trim_end_matches('>').to_ascii_lowercase();
        let (local_part, domain) = match address.rfind('@') {
            Some(at) => address.split_at(at),
            None => (address.as_str(), ""),
        };
        let owner = local_part.split(['+', '-', '=']).next().unwrap_or_default();
        Self(crc32c::crc32c_append(crc32c::crc32c(owner.as_bytes()), domain.as_bytes()))
    }

    pub(crate) const fn from_number(number: u32) -> Self {
        Self(number)
    }

    pub(crate) const fn number(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_one_sender_and_the_users_of_a_domain_are_several() {
        let of = SenderKey::of_text;
        assert_eq!(of("<bounce+1234-bob=example.org@list.example>"), of("<bounce+77@LIST.example>"));
        assert_eq!(of("<Ann@example.org>"), of("<ann@example.org>"));
        assert_ne!(of("<ann@example.org>"), of("<bob@example.org>"));
        assert_ne!(of("<ann@example.org>"), of("<ann@example.net>"));
        assert_ne!(of("<>"), of("<ann@example.org>"));
        let parsed: ReversePath = "<Ann+x@example.org>".parse().unwrap();
        assert_eq!(SenderKey::of(&parsed), of("<ann@example.org>"));
    }
}
