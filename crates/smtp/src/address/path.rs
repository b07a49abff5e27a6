//! Paths: the bracketed arguments of MAIL and RCPT (RFC 5321 §4.1.1.2, §4.1.1.3, §4.1.2).
//!
//! A source route is read and dropped, never kept or printed (RFC 5321 §4.1.1.3, Appendix C).

use core::fmt;
use core::str::FromStr;

use super::domain::check_name;
use super::error::check_repertoire;
use super::{AddressError, Mailbox};
use crate::limits::PATH_OCTETS_MAX;

/// The argument of MAIL; it prints with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ReversePath {
    /// `<>`: nobody, to whom no DSN may go (RFC 5321 §4.5.5).
    Null,
    /// The mailbox that a DSN goes to.
    Mailbox(Mailbox),
}

impl ReversePath {
    /// Reads a path with its brackets; without `smtputf8` a non-ASCII character is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    /// The mailbox, unless the path is null.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Null => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether every character is ASCII, so that the path needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// The argument of RCPT; it prints with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ForwardPath {
    /// `<Postmaster>`, in any case and without a domain: the postmaster of this server (RFC 5321 §4.5.1).
    Postmaster,
    /// The recipient's mailbox.
    Mailbox(Mailbox),
}

impl ForwardPath {
    /// Reads a path with its brackets; without `smtputf8` a non-ASCII character is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    /// The mailbox, unless the path is `<Postmaster>`.
    #[must_use]
    pub const fn mailbox(&self) -> Option<&Mailbox> {
        match self {
            Self::Postmaster => None,
            Self::Mailbox(mailbox) => Some(mailbox),
        }
    }

    /// Whether every character is ASCII, so that the path needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.mailbox().is_none_or(Mailbox::is_ascii)
    }
}

/// Reads `<[source-route:]mailbox>`.
fn parse_path(text: &str) -> Result<Mailbox, AddressError> {
    let inner =
        text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).ok_or(AddressError::Brackets)?;
    if text.len() > PATH_OCTETS_MAX {
        return Err(AddressError::PathTooLong);
    }
    let mailbox = if inner.starts_with('@') { skip_source_route(inner)? } else { inner };
    Mailbox::parse_at(mailbox, 1 + inner.len() - mailbox.len())
}

/// What follows the source route `@domain,@domain:` at the start of `text`.
fn skip_source_route(text: &str) -> Result<&str, AddressError> {
    let (route, mailbox) = text.split_once(':').ok_or(AddressError::SourceRoute)?;
    for hop in route.split(',') {
        let name = hop.strip_prefix('@').ok_or(AddressError::SourceRoute)?;
        check_name(name, 0).map_err(|_| AddressError::SourceRoute)?;
    }
    Ok(mailbox)
}

/// Parts `text`, which starts with `<`, after the `>` that closes the path; `None` when there is no path.
///
/// A quoted string and an address literal may hold a `>` of their own. Where one of them doesn't end, the first `>`
/// of all ends the path, which is malformed anyway, and its reader says how.
pub(crate) fn split_path(text: &str) -> Option<(&str, &str)> {
    let octets = text.strip_prefix('<')?.as_bytes();
    let (mut quoted, mut escaped, mut literal) = (false, false, false);
    let end = octets.iter().position(|&octet| {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' if !literal => quoted = !quoted,
            b'[' if !quoted => literal = true,
            b']' if !quoted => literal = false,
            b'>' => return !quoted && !literal,
            _ => {}
        }
        false
    });
    let end = end.or_else(|| memchr::memchr(b'>', octets))?;
    text.split_at_checked(end + 2)
}

impl FromStr for ReversePath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text == "<>" {
            return Ok(Self::Null);
        }
        parse_path(text).map(Self::Mailbox)
    }
}

impl fmt::Display for ReversePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => formatter.write_str("<>"),
            Self::Mailbox(mailbox) => {
                formatter.write_str("<")?;
                mailbox.fmt(formatter)?;
                formatter.write_str(">")
            }
        }
    }
}

impl FromStr for ForwardPath {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if text.eq_ignore_ascii_case("<postmaster>") {
            return Ok(Self::Postmaster);
        }
        parse_path(text).map(Self::Mailbox)
    }
}

impl fmt::Display for ForwardPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Postmaster => formatter.write_str("<Postmaster>"),
            Self::Mailbox(mailbox) => {
                formatter.write_str("<")?;
                mailbox.fmt(formatter)?;
                formatter.write_str(">")
            }
        }
    }
}
