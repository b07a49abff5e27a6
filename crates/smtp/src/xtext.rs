//! The two encodings of parameter values: xtext (RFC 3461 §4) and unitext (RFC 6533 §3).
//!
//! Invariant: what either encoder prints is made of the octets of an esmtp-value (RFC 5321 §4.1.2), and its decoder
//! gives the same text back.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write as _};

/// Prints a text as xtext: printable ASCII stands as it is but for `+`, `=` and the space; other octets become `+2B`.
#[derive(Debug, Clone, Copy)]
pub struct Xtext<'text>(pub &'text str);

impl fmt::Display for Xtext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for octet in self.0.bytes() {
            if is_xchar(octet) {
                formatter.write_char(char::from(octet))?;
            } else {
                write!(formatter, "+{octet:02X}")?;
            }
        }
        Ok(())
    }
}

/// Decodes xtext; hexadecimal digits of either case are taken. `None` when it is malformed or doesn't decode to UTF-8.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        if octet == b'+' {
            octets.push(hexadecimal_octet(&mut rest)?);
        } else if is_xchar(octet) {
            octets.push(octet);
        } else {
            return None;
        }
    }
    String::from_utf8(octets).ok()
}

/// Prints a text as unitext in its 7-bit form (utf-8-addr-xtext): like xtext, but a character becomes `\x{2B}`.
#[derive(Debug, Clone, Copy)]
pub struct Unitext<'text>(pub &'text str);

impl fmt::Display for Unitext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match u8::try_from(character) {
                Ok(octet) if is_xchar(octet) && octet != b'\\' => formatter.write_char(character)?,
                _ => write!(formatter, "\\x{{{:02X}}}", u32::from(character))?,
            }
        }
        Ok(())
    }
}

/// Decodes unitext in its 7-bit or its UTF-8 form. A backslash that starts no `\x{…}` stands for itself, as an address
/// that is labelled utf-8 but isn't must be kept (RFC 6533 §3); `+2B` is decoded as in xtext. `None` when it holds a
/// control, space, `=`, or a `+` that is no xtext.
#[must_use]
pub fn decode_unitext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&octet) = rest.as_bytes().first() {
        if let Some((character, after)) = embedded_character(rest) {
            octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
            continue;
        }
        let mut characters = rest.chars();
        match characters.next() {
            Some('+') => {
                let mut digits = characters.as_str().bytes();
                octets.push(hexadecimal_octet(&mut digits)?);
                rest = rest.get(3..)?;
            }
            Some(character) if is_xchar(octet) || !character.is_ascii() => {
                octets.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = characters.as_str();
            }
            _ => return None,
        }
    }
    String::from_utf8(octets).ok()
}

/// The character of the EmbeddedUnicodeChar that `text` starts with, and what follows it.
fn embedded_character(text: &str) -> Option<(char, &str)> {
    let (digits, after) = text.strip_prefix("\\x{")?.split_once('}')?;
    let hexadecimal =
        (2..=6).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let code_point = if hexadecimal { u32::from_str_radix(digits, 16).ok()? } else { return None };
    Some((char::from_u32(code_point)?, after))
}

fn hexadecimal_octet(digits: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let mut digit = || char::from(digits.next()?).to_digit(16);
    u8::try_from(digit()? * 16 + digit()?).ok()
}

/// Whether the octet is xchar: printable ASCII but for `+` and `=` (RFC 3461 §4).
const fn is_xchar(octet: u8) -> bool {
    octet.is_ascii_graphic() && !matches!(octet, b'+' | b'=')
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use proptest::prelude::*;

    #[test]
    fn xtext_is_encoded_and_decoded() {
        for (text, encoded) in [
            ("e=mc2@example.com", "e+3Dmc2@example.com"),
            ("a b+c", "a+20b+2Bc"),
            ("é", "+C3+A9"),
            ("", ""),
            ("\\x{41}", "\\x{41}"),
        ] {
            assert_eq!(Xtext(text).to_string(), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(text));
        }
        assert_eq!(decode("+3d").as_deref(), Some("="));
        for malformed in ["+", "+3", "+G0", "a b", "a=b", "+C3", "+é9", "é", "\t"] {
            assert_eq!(decode(malformed), None, "{malformed}");
        }
    }

    #[test]
    fn unitext_is_encoded_and_decoded() {
        for (text, encoded) in [
            ("дима@example.com", "\\x{434}\\x{438}\\x{43C}\\x{430}@example.com"),
            ("a+b=c\\d e", "a\\x{2B}b\\x{3D}c\\x{5C}d\\x{20}e"),
            ("😀", "\\x{1F600}"),
        ] {
            assert_eq!(Unitext(text).to_string(), encoded);
            assert_eq!(decode_unitext(encoded).as_deref(), Some(text));
        }
        assert_eq!(decode_unitext("дима@x").as_deref(), Some("дима@x"));
        assert_eq!(decode_unitext("a+2Bb").as_deref(), Some("a+b"));
        for kept in ["\\", "\\x{", "\\x{4", "\\x{}", "\\x{D800}", "\\x{110000}", "\\x{0000041}"] {
            assert_eq!(decode_unitext(kept).as_deref(), Some(kept));
        }
        for malformed in ["a b", "a=b", "+", "+é", "\n", "\\x{+4}"] {
            assert_eq!(decode_unitext(malformed), None, "{malformed}");
        }
    }

    proptest! {
        #[test]
        fn decoding_undoes_encoding(text in any::<String>()) {
            prop_assert_eq!(decode(&Xtext(&text).to_string()), Some(text.clone()));
            prop_assert_eq!(decode_unitext(&Unitext(&text).to_string()), Some(text));
        }

        #[test]
        fn decoding_never_panics(text in "[+\\\\x{}0-9A-Fé =]{0,20}") {
            let _ = (decode(&text), decode_unitext(&text));
        }
    }
}
