//! One header field with a value of any text: in ASCII, and in lines that may go everywhere (RFC 5322 §2.1.1, RFC 2047).
//!
//! Invariants: no value ends the field; every line but one with a single long word has at most [`LINE_OCTETS`] octets,
//! and none more than 998.

use std::fmt::Write as _;

/// Octets of a line, CRLF not counted (RFC 5322 §2.1.1 asks for 78).
const LINE_OCTETS: usize = 78;

/// Octets of a word that is written as it is; RFC 5322 §2.1.1 has 998 for a line, with the field's name.
const WORD_OCTETS_MAX: usize = 900;

/// Octets of an encoded word (RFC 2047 §2).
const ENCODED_OCTETS_MAX: usize = 75;

/// What begins an encoded word (RFC 2047 §4.2).
const BEGIN: &str = "=?utf-8?Q?";

/// What ends an encoded word.
const END: &str = "?=";

/// The field, ended by CRLF. What is a control character in the value becomes a space.
pub(super) fn field(name: &str, value: &str) -> String {
    let value: String = value.chars().map(|one| if one.is_control() { ' ' } else { one }).collect();
    let is_plain = value.is_ascii()
        && !value.contains("=?")
        && value.split(' ').all(|word| word.len() <= WORD_OCTETS_MAX);
    let words: Vec<String> =
        if is_plain { value.split(' ').map(str::to_owned).collect() } else { encoded(&value) };
    let mut field = format!("{name}:");
    let mut line = field.len();
    // A line of white space alone would be taken for the end of the header section by some.
    let mut is_blank = false;
    for word in words {
        if line + 1 + word.len() > LINE_OCTETS && line > 1 && !word.is_empty() && !is_blank {
            field.push_str("\r\n");
            line = 0;
        }
        is_blank = line == 0 && word.is_empty();
        field.push(' ');
        field.push_str(&word);
        line += 1 + word.len();
    }
    field.push_str("\r\n");
    field
}

/// The text in encoded words; white space between two of them does not count (RFC 2047 §6.2).
fn encoded(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    for character in text.chars() {
        let mut one = String::new();
        match character {
            ' ' => one.push('_'),
            plain if plain.is_ascii_alphanumeric() => one.push(plain),
            other => other.encode_utf8(&mut [0; 4]).bytes().for_each(|octet| {
                // Writing to a string cannot fail.
                let _ = write!(one, "={octet:02X}");
            }),
        }
        if BEGIN.len() + word.len() + one.len() + END.len() > ENCODED_OCTETS_MAX {
            words.push(format!("{BEGIN}{word}{END}"));
            word.clear();
        }
        word.push_str(&one);
    }
    words.push(format!("{BEGIN}{word}{END}"));
    words
}

#[cfg(test)]
mod tests {
    use mail_parser::MessageParser;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(field("X-Note", "from 192.0.2.1  now"), "X-Note: from 192.0.2.1  now\r\n");
        assert_eq!(field("X-Note", "a\r\nBcc: b"), "X-Note: a  Bcc: b\r\n");
        assert_eq!(field("X-Note", ""), "X-Note: \r\n");
    }

    #[test]
    fn what_does_not_is_folded_or_encoded() {
        let long = field("X-Note", &"twelve words ".repeat(12));
        assert!(long.lines().count() == 3 && long.lines().all(|line| line.len() <= LINE_OCTETS), "{long}");
        assert_eq!(field("X-Note", "gr\u{fc}\u{df}e"), "X-Note: =?utf-8?Q?gr=C3=BC=C3=9Fe?=\r\n");
        assert!(field("X-Note", "=?utf-8?Q?=0D?=").starts_with("X-Note: =?utf-8?Q?=3D=3F"));
    }

    proptest! {
        #[test]
        fn a_reader_finds_the_value_and_one_field(value in "\\PC{0,200}|[ -~]{0,3000}|[a=?ü \r\n]{0,40}") {
            let field = field("X-Note", &value);
            prop_assert!(field.is_ascii() && field.ends_with("\r\n"));
            let body = field.trim_end_matches("\r\n");
            for line in body.split("\r\n").skip(1) {
                prop_assert!(line.starts_with(' ') && !line.trim().is_empty(), "{field:?}");
            }
            prop_assert!(body.split("\r\n").all(|line| line.len() <= 998 && !line.contains(['\r', '\n'])));
            let message = format!("{field}Subject: x\r\n\r\n");
            let message = MessageParser::default().parse(message.as_bytes()).unwrap();
            prop_assert_eq!(message.headers().len(), 2);
            let words = |text: &str| text.split(|one: char| one.is_control() || one == ' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
            let read = message.header_raw("X-Note").unwrap_or_default();
            if !field.contains("=?utf-8?Q?") {
                prop_assert_eq!(words(read), words(&value));
            }
        }
    }
}
