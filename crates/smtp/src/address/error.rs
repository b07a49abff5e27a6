//! What is wrong with a text that is no address.
//!
//! Positions are offsets in octets, counted from 0, in the text that was parsed; people read them counted from 1.
//! The words are ASCII, whatever the text was, so that every client can be sent them (RFC 6531 §3.7.4.1).

use core::error::Error;
use core::fmt;

use crate::limits::{DOMAIN_OCTETS_MAX, LABEL_OCTETS_MAX, LOCAL_PART_OCTETS_MAX, PATH_OCTETS_MAX};

/// Why a text is not a mailbox, domain, literal or path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressError {
    /// There is no text, or only `<>` where a mailbox must stand.
    Empty,
    /// The text is not enclosed in `<` and `>`.
    Brackets,
    /// The source route before the mailbox is malformed (RFC 5321 Appendix C).
    SourceRoute,
    /// The path, or the mailbox with the brackets that it would get, is over 256 octets.
    PathTooLong,
    /// A non-ASCII character stands at `position`, but the transaction doesn't use SMTPUTF8 (RFC 6531 §3.4).
    NonAscii {
        /// Where.
        position: usize,
    },
    /// No `@domain` follows the local part.
    NoDomain,
    /// Nothing stands before the `@`.
    LocalPartEmpty,
    /// The local part, quoted as needed, is over 64 octets.
    LocalPartTooLong,
    /// The local part starts or ends with a dot or has two in a row, and isn't quoted.
    LocalPartDot {
        /// The dot that is one too many.
        position: usize,
    },
    /// A character that the local part can't hold, or not without quotes.
    LocalPartCharacter {
        /// Where.
        position: usize,
        /// Which.
        character: char,
    },
    /// A quoted local part lacks its second quotation mark.
    QuoteUnclosed,
    /// Something other than `@` follows a quoted local part.
    QuoteFollowed {
        /// Where.
        position: usize,
    },
    /// Nothing stands where the domain should.
    DomainEmpty,
    /// The domain is over 255 octets.
    DomainTooLong,
    /// The domain ends with a dot.
    DomainTrailingDot,
    /// The domain has a label of no characters.
    LabelEmpty {
        /// The dot before which the label is missing.
        position: usize,
    },
    /// The label at `position` is over 63 octets.
    LabelTooLong {
        /// Where it starts.
        position: usize,
    },
    /// The label at `position` starts or ends with a hyphen.
    LabelHyphen {
        /// Where it starts.
        position: usize,
    },
    /// A character that a domain can't hold.
    DomainCharacter {
        /// Where.
        position: usize,
        /// Which.
        character: char,
    },
    /// The address literal that starts at `position` is malformed (RFC 5321 §4.1.3).
    Literal {
        /// Where its bracket is.
        position: usize,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty => formatter.write_str("the address is empty"),
            Self::Brackets => formatter.write_str("the address must stand between < and >"),
            Self::SourceRoute => formatter.write_str("the source route is malformed"),
            Self::PathTooLong => write!(formatter, "the path is longer than {PATH_OCTETS_MAX} octets"),
            Self::NonAscii { position } => {
                write!(formatter, "non-ASCII character at octet {} without SMTPUTF8", position + 1)
            }
            Self::NoDomain => formatter.write_str("the address has no @domain"),
            Self::LocalPartEmpty => formatter.write_str("nothing stands before the @"),
            Self::LocalPartTooLong => {
                write!(formatter, "the local part is longer than {LOCAL_PART_OCTETS_MAX} octets")
            }
            Self::LocalPartDot { position } => {
                write!(formatter, "misplaced dot in the local part at octet {}", position + 1)
            }
            Self::LocalPartCharacter { position, character } => write!(
                formatter,
                "character '{}' at octet {} cannot stand in a local part there",
                character.escape_default(),
                position + 1
            ),
            Self::QuoteUnclosed => formatter.write_str("the quoted local part has no closing quotation mark"),
            Self::QuoteFollowed { position } => {
                write!(formatter, "the quoted local part must be followed by @ at octet {}", position + 1)
            }
            Self::DomainEmpty => formatter.write_str("the domain is empty"),
            Self::DomainTooLong => {
                write!(formatter, "the domain is longer than {DOMAIN_OCTETS_MAX} octets")
            }
            Self::DomainTrailingDot => formatter.write_str("the domain ends with a dot"),
            Self::LabelEmpty { position } => {
                write!(formatter, "empty label in the domain at octet {}", position + 1)
            }
            Self::LabelTooLong { position } => {
                write!(
                    formatter,
                    "the label at octet {} is longer than {LABEL_OCTETS_MAX} octets",
                    position + 1
                )
            }
            Self::LabelHyphen { position } => {
                write!(formatter, "the label at octet {} starts or ends with a hyphen", position + 1)
            }
            Self::DomainCharacter { position, character } => write!(
                formatter,
                "character '{}' at octet {} cannot stand in a domain",
                character.escape_default(),
                position + 1
            ),
            Self::Literal { position } => {
                write!(formatter, "malformed address literal at octet {}", position + 1)
            }
        }
    }
}

impl Error for AddressError {}

/// Without `smtputf8`, refuses any non-ASCII character before the grammar is looked at, so that the client hears that
/// SMTPUTF8 is what it lacks.
pub(super) fn check_repertoire(text: &str, smtputf8: bool) -> Result<(), AddressError> {
    match text.bytes().position(|octet| !octet.is_ascii()) {
        Some(position) if !smtputf8 => Err(AddressError::NonAscii { position }),
        _ => Ok(()),
    }
}
