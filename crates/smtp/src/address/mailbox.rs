//! Mailboxes: `local-part@domain` (RFC 5321 §4.1.2).

use core::fmt;
use core::str::FromStr;

use super::error::check_repertoire;
use super::{AddressError, Domain, LocalPart};
use crate::limits::PATH_OCTETS_MAX;

/// The mailbox that a message comes from or goes to. One that was parsed fits into a path with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Mailbox {
    /// What stands before the `@`.
    pub local_part: LocalPart,
    /// What stands after it.
    pub domain: Domain,
}

impl Mailbox {
    /// Reads a mailbox without brackets; without `smtputf8` a non-ASCII character is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    /// Reads a mailbox that stands at `position` of the text that errors speak of.
    pub(super) fn parse_at(text: &str, position: usize) -> Result<Self, AddressError> {
        if text.is_empty() {
            return Err(AddressError::Empty);
        }
        let (local_part, rest) = LocalPart::parse_prefix(text, position)?;
        let domain_text = rest.strip_prefix('@').ok_or(AddressError::NoDomain)?;
        let domain = Domain::parse_at(domain_text, position + text.len() - domain_text.len())?;
        // The brackets and the `@` are three octets.
        if local_part.printed_octets() + domain_text.len() + 3 > PATH_OCTETS_MAX {
            return Err(AddressError::PathTooLong);
        }
        Ok(Self { local_part, domain })
    }

    /// Whether every character is ASCII, so that the mailbox needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.local_part.as_str().is_ascii() && self.domain.is_ascii()
    }
}

impl FromStr for Mailbox {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl fmt::Display for Mailbox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.local_part.fmt(formatter)?;
        formatter.write_str("@")?;
        self.domain.fmt(formatter)
    }
}
