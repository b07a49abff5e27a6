//! Local parts: dot-strings and quoted strings (RFC 5321 §4.1.2, RFC 6531 §3.3).

use alloc::string::String;
use core::fmt::{self, Write as _};
use core::str::FromStr;

use super::AddressError;
use super::error::check_repertoire;
use crate::limits::LOCAL_PART_OCTETS_MAX;

/// What stands before the `@` of a mailbox: the characters that are meant, without quotation marks or backslashes.
///
/// Comparison regards case, as only the domain's own host may do otherwise (RFC 5321 §2.4), and no quoting
/// (RFC 5321 §4.1.2). It prints with the least quoting possible, at most 64 octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LocalPart(String);

impl LocalPart {
    /// The local part that means `value`, which is not quoted.
    ///
    /// # Errors
    /// When a control character is in it, or it is over 64 octets when quoted as needed.
    pub fn new(value: impl Into<String>) -> Result<Self, AddressError> {
        let value = value.into();
        if let Some((position, character)) =
            value.char_indices().find(|(_, character)| character.is_control())
        {
            return Err(AddressError::LocalPartCharacter { position, character });
        }
        Self::checked(value)
    }

    /// Reads a Dot-string or Quoted-string; without `smtputf8` a non-ASCII character is an error.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str, smtputf8: bool) -> Result<Self, AddressError> {
        check_repertoire(text, smtputf8)?;
        text.parse()
    }

    /// Reads the local part that `text`, at `position` of what errors speak of, starts with; gives what follows it,
    /// which is nothing or starts with `@`.
    pub(super) fn parse_prefix(text: &str, position: usize) -> Result<(Self, &str), AddressError> {
        let (value, rest) = match text.strip_prefix('"') {
            Some(quoted) => unquote(quoted, position + 1)?,
            None => {
                let end = memchr::memchr(b'@', text.as_bytes()).unwrap_or(text.len());
                let (local_part, rest) = text.split_at_checked(end).unwrap_or((text, ""));
                check_dot_string(local_part, position)?;
                (String::from(local_part), rest)
            }
        };
        Ok((Self::checked(value)?, rest))
    }

    fn checked(value: String) -> Result<Self, AddressError> {
        let local_part = Self(value);
        if local_part.printed_octets() > LOCAL_PART_OCTETS_MAX {
            return Err(AddressError::LocalPartTooLong);
        }
        Ok(local_part)
    }

    /// The characters that are meant: `Joe,Smith` for `"Joe\,Smith"`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is `postmaster`, in any case (RFC 5321 §4.5.1).
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        self.0.eq_ignore_ascii_case("postmaster")
    }

    /// Octets of the printed form.
    pub(super) fn printed_octets(&self) -> usize {
        let value = self.0.as_str();
        if is_dot_string(value) {
            value.len()
        } else {
            value.len() + 2 + value.bytes().filter(|octet| matches!(octet, b'"' | b'\\')).count()
        }
    }
}

/// Reads a quoted string past its opening mark, up to its closing one; gives its value and what follows.
fn unquote(quoted: &str, position: usize) -> Result<(String, &str), AddressError> {
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((offset, character)) = characters.next() {
        if character == '"' {
            let rest = characters.as_str();
            return if rest.is_empty() || rest.starts_with('@') {
                Ok((value, rest))
            } else {
                Err(AddressError::QuoteFollowed { position: position + offset + 1 })
            };
        }
        let escaped = character == '\\';
        let (offset, character) =
            if escaped { characters.next().ok_or(AddressError::QuoteUnclosed)? } else { (offset, character) };
        let position = position + offset;
        // RFC 6531 §3.3 lets only ASCII follow a backslash.
        if character.is_control() || (escaped && !character.is_ascii()) {
            return Err(AddressError::LocalPartCharacter { position, character });
        }
        value.push(character);
    }
    Err(AddressError::QuoteUnclosed)
}

fn check_dot_string(text: &str, position: usize) -> Result<(), AddressError> {
    if text.is_empty() {
        return Err(AddressError::LocalPartEmpty);
    }
    let mut after_dot = true;
    for (offset, character) in text.char_indices() {
        let position = position + offset;
        match character {
            '.' if after_dot => return Err(AddressError::LocalPartDot { position }),
            '.' => after_dot = true,
            _ if !is_atext(character) => {
                return Err(AddressError::LocalPartCharacter { position, character });
            }
            _ => after_dot = false,
        }
    }
    if after_dot { Err(AddressError::LocalPartDot { position: position + text.len() - 1 }) } else { Ok(()) }
}

fn is_dot_string(value: &str) -> bool {
    let mut after_dot = true;
    for character in value.chars() {
        let is_dot = character == '.';
        if is_dot && after_dot || !is_dot && !is_atext(character) {
            return false;
        }
        after_dot = is_dot;
    }
    !after_dot
}

/// Whether the character is atext (RFC 5322 §3.2.3), or is outside ASCII and no control (RFC 6531 §3.3).
fn is_atext(character: char) -> bool {
    let code = character as usize;
    ASCII_ATEXT.get(code).copied().unwrap_or_else(|| !character.is_control())
}

/// Which characters of ASCII are atext.
#[allow(clippy::indexing_slicing, reason = "evaluated when compiled, where a slip is an error")]
const ASCII_ATEXT: [bool; 128] = {
    let mut table = [false; 128];
    let mut octet = 0u8;
    while octet < 128 {
        table[octet as usize] = octet.is_ascii_alphanumeric()
            || matches!(
                octet,
                b'!' | b'#'
                    | b'$'
                    | b'%'
                    | b'&'
                    | b'\''
                    | b'*'
                    | b'+'
                    | b'-'
                    | b'/'
                    | b'='
                    | b'?'
                    | b'^'
                    | b'_'
                    | b'`'
                    | b'{'
                    | b'|'
                    | b'}'
                    | b'~'
            );
        octet += 1;
    }
    table
};

impl FromStr for LocalPart {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (local_part, rest) = Self::parse_prefix(text, 0)?;
        if rest.is_empty() {
            return Ok(local_part);
        }
        let position = text.len() - rest.len();
        Err(AddressError::LocalPartCharacter { position, character: '@' })
    }
}

impl fmt::Display for LocalPart {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.0) {
            return formatter.write_str(&self.0);
        }
        formatter.write_char('"')?;
        for character in self.0.chars() {
            if matches!(character, '"' | '\\') {
                formatter.write_char('\\')?;
            }
            formatter.write_char(character)?;
        }
        formatter.write_char('"')
    }
}
