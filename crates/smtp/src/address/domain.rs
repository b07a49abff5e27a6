//! Domains: names and address literals (RFC 5321 §4.1.2).

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use super::error::check_repertoire;
use super::{AddressError, AddressLiteral};
use crate::limits::{DOMAIN_OCTETS_MAX, LABEL_OCTETS_MAX};

/// What stands after the `@` of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// A name.
    Name(DomainName),
    /// An address in brackets.
    Literal(AddressLiteral),
}

impl Domain {
    /// Reads a domain name or an address literal; without `smtputf8` a non-ASCII character is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    /// Reads a domain that stands at `position` of the text that errors speak of.
    pub(super) fn parse_at(text: &str, position: usize) -> Result<Self, AddressError> {
        if text.starts_with('[') {
            AddressLiteral::parse_at(text, position).map(Self::Literal)
        } else {
            DomainName::parse_at(text, position).map(Self::Name)
        }
    }

    /// The name, unless it is an address literal.
    #[must_use]
    pub const fn name(&self) -> Option<&DomainName> {
        match self {
            Self::Name(name) => Some(name),
            Self::Literal(_) => None,
        }
    }

    /// Whether every character is ASCII, so that the domain needs no SMTPUTF8.
    #[must_use]
    pub fn is_ascii(&self) -> bool {
        self.name().is_none_or(|name| name.as_str().is_ascii())
    }
}

impl FromStr for Domain {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(formatter),
            Self::Literal(literal) => literal.fmt(formatter),
        }
    }
}

/// A domain name of one or more labels, kept as it was given; compared without regard to ASCII case (RFC 5321 §2.4).
///
/// An A-label and the U-label that it encodes are different texts, and so different names here.
#[derive(Debug, Clone)]
pub struct DomainName(String);

impl DomainName {
    /// Reads a name; without `smtputf8` a U-label (RFC 6531 §3.3) is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    fn parse_at(text: &str, position: usize) -> Result<Self, AddressError> {
        check_name(text, position)?;
        Ok(Self(text.to_owned()))
    }

    /// The name as it was given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The labels, from left to right; at least one, none empty.
    pub fn labels(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('.')
    }

    fn lower_case_octets(&self) -> impl Iterator<Item = u8> {
        self.0.bytes().map(|octet| octet.to_ascii_lowercase())
    }
}

/// Checks that `text`, which stands at `position` of the text that errors speak of, is a domain name.
pub(super) fn check_name(text: &str, position: usize) -> Result<(), AddressError> {
    if text.is_empty() {
        return Err(AddressError::DomainEmpty);
    }
    if text.len() > DOMAIN_OCTETS_MAX {
        return Err(AddressError::DomainTooLong);
    }
    if text.len() > 1 && text.ends_with('.') && !text.ends_with("..") {
        return Err(AddressError::DomainTrailingDot);
    }
    let mut start = position;
    for label in text.split('.') {
        check_label(label, start)?;
        start += label.len() + 1;
    }
    Ok(())
}

fn check_label(label: &str, position: usize) -> Result<(), AddressError> {
    if label.is_empty() {
        return Err(AddressError::LabelEmpty { position });
    }
    for (offset, character) in label.char_indices() {
        if !is_label_character(character) {
            return Err(AddressError::DomainCharacter { position: position + offset, character });
        }
    }
    if label.starts_with('-') || label.ends_with('-') {
        return Err(AddressError::LabelHyphen { position });
    }
    // The 63 octets are those of the A-label; the U-label may be longer (RFC 5890 §4.2).
    if label.len() > LABEL_OCTETS_MAX && label.is_ascii() {
        return Err(AddressError::LabelTooLong { position });
    }
    Ok(())
}

/// Whether a label may hold the character. Of the others outside ASCII, what IDNA forbids is left to the look-up, but
/// for what would deceive a reader or a parser: controls, spaces, full stops, marks that can't be seen.
fn is_label_character(character: char) -> bool {
    if character.is_ascii() {
        return character.is_ascii_alphanumeric() || character == '-';
    }
    let full_stop = matches!(character, '\u{3002}' | '\u{FF0E}' | '\u{FF61}');
    let unseen = matches!(
        character,
        '\u{AD}' | '\u{200B}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF0}'..='\u{FFFF}' | '\u{E0000}'..='\u{E007F}'
    );
    !(character.is_control() || character.is_whitespace() || full_stop || unseen)
}

impl PartialEq for DomainName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for DomainName {}

impl Hash for DomainName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.lower_case_octets().for_each(|octet| state.write_u8(octet));
        state.write_u8(0xff);
    }
}

impl Ord for DomainName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower_case_octets().cmp(other.lower_case_octets())
    }
}

impl PartialOrd for DomainName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for DomainName {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl fmt::Display for DomainName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}
