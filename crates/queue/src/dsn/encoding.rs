//! How text gets into a DSN: cleaned, folded, wrapped and encoded for transfer (RFC 5322 §2.1.1, RFC 2045 §6).

use std::fmt;

use memchr::memmem;
use smtp::limits::TEXT_LINE_OCTETS_MAX;

/// Lines are folded to this many octets where they can be (RFC 5322 §2.1.1).
const LINE_OCTETS: usize = 76;

/// A word longer than this is cut, so that no line comes near the limit of 998 octets.
const WORD_OCTETS_MAX: usize = 900;

/// A part of the report.
#[derive(Debug)]
pub(super) struct Part {
    /// What a reader is shown as its name.
    pub(super) description: &'static str,
    pub(super) content_type: &'static str,
    pub(super) encoding: Encoding,
    /// The content, encoded.
    pub(super) octets: Vec<u8>,
}

/// A content-transfer-encoding (RFC 2045 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    SevenBit,
    EightBit,
    QuotedPrintable,
}

impl fmt::Display for Encoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::SevenBit => "7bit",
            Self::EightBit => "8bit",
            Self::QuotedPrintable => "quoted-printable",
        })
    }
}

/// Encodes what must be: 8-bit content goes as it is only when `eight_bit`, broken lines never.
pub(super) fn encode(content: Vec<u8>, eight_bit: bool) -> (Encoding, Vec<u8>) {
    match plain_encoding(&content) {
        Some(Encoding::EightBit) if !eight_bit => {}
        Some(encoding) => return (encoding, content),
        None => {}
    }
    (Encoding::QuotedPrintable, quoted_printable(&content))
}

/// 7bit or 8bit; `None` for what is neither: long lines, a NUL, a CR or LF that stands alone (RFC 2045 §2.7, §2.8).
pub(super) fn plain_encoding(content: &[u8]) -> Option<Encoding> {
    let mut lines = content.split(|&octet| octet == b'\n').peekable();
    while let Some(line) = lines.next() {
        let line = if lines.peek().is_some() { line.strip_suffix(b"\r")? } else { line };
        if line.len() > TEXT_LINE_OCTETS_MAX || line.iter().any(|octet| matches!(octet, 0 | b'\r')) {
            return None;
        }
    }
    Some(if content.is_ascii() { Encoding::SevenBit } else { Encoding::EightBit })
}

/// Encodes as quoted-printable: CRLF stays a line's end, everything that isn't printable ASCII is written in
/// hexadecimal (RFC 2045 §6.7).
pub(super) fn quoted_printable(content: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(content.len() + content.len() / 4);
    let (mut column, mut rest) = (0, content);
    while let Some((&octet, after)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\r\n") {
            encoded.extend_from_slice(b"\r\n");
            (column, rest) = (0, after);
            continue;
        }
        let last = after.is_empty() || after.starts_with(b"\r\n");
        let plain = match octet {
            b' ' | b'\t' => !last,
            b'=' => false,
            _ => octet.is_ascii_graphic(),
        };
        let width = if plain { 1 } else { 3 };
        // One column is kept for the soft line break.
        if column + width > LINE_OCTETS - 1 {
            encoded.extend_from_slice(b"=\r\n");
            column = 0;
        }
        if plain {
            encoded.push(octet);
        } else {
            encoded.extend_from_slice(format!("={octet:02X}").as_bytes());
        }
        column += width;
        rest = after;
    }
    encoded
}

/// A boundary that occurs in none of the parts.
pub(super) fn boundary(random: u64, parts: &[Part]) -> String {
    let mut number = 0u32;
    loop {
        // `=_` occurs in no quoted-printable text (RFC 2045 §6.7), and a counter reaches what nothing holds.
        let boundary = format!("=_{random:016x}_{number}=");
        if parts.iter().all(|part| memmem::find(&part.octets, boundary.as_bytes()).is_none()) {
            return boundary;
        }
        number = number.wrapping_add(1);
    }
}

/// The text with a space for each character that is a control or moves what is shown (line separators, bidirectional
/// controls), without spaces at its ends.
pub(super) fn clean(text: &str) -> String {
    let spaced: String =
        text.chars().map(|character| if is_unsafe(character) { ' ' } else { character }).collect();
    spaced.trim().to_owned()
}

/// [`clean`], cut to `octets_max` with `...` for what is missing.
pub(super) fn clipped(text: &str, octets_max: usize) -> String {
    // Cut first, so that the work is bounded too; a few octets more allow for what trimming takes away.
    let text = clean(text.get(..text.floor_char_boundary(octets_max.saturating_mul(2))).unwrap_or_default());
    if text.len() <= octets_max {
        return text;
    }
    format!("{}...", text.get(..text.floor_char_boundary(octets_max.saturating_sub(3))).unwrap_or_default())
}

/// The text with a question mark for each character past ASCII.
pub(super) fn ascii(text: &str) -> String {
    text.chars().map(|character| if character.is_ascii() { character } else { '?' }).collect()
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}')
}

/// Appends the header field, folded; `value` must be [`clean`]. One without a word is left out.
pub(super) fn push_field(text: &mut String, name: &str, value: &str) {
    push_words(text, &format!("{name}: "), " ", value);
}

/// Appends the words of `paragraph`, each line indented with `indent`; it must be [`clean`].
pub(super) fn push_paragraph(text: &mut String, indent: &str, paragraph: &str) {
    push_words(text, indent, indent, paragraph);
}

/// Appends the words of `value` in lines of [`LINE_OCTETS`] where that can be: the first line behind `first`, the
/// others behind `other`.
fn push_words(text: &mut String, first: &str, other: &str, value: &str) {
    let mut line = String::new();
    for piece in value.split(' ').flat_map(pieces) {
        if line.is_empty() {
            line.push_str(first);
        } else if line.len() + 1 + piece.len() <= LINE_OCTETS {
            line.push(' ');
        } else {
            text.push_str(&line);
            text.push_str("\r\n");
            line.clear();
            line.push_str(other);
        }
        line.push_str(piece);
    }
    if !line.is_empty() {
        text.push_str(&line);
        text.push_str("\r\n");
    }
}

/// The word in pieces of [`WORD_OCTETS_MAX`]; nothing for an empty one.
fn pieces(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        let (piece, after) = rest.split_at_checked(rest.floor_char_boundary(WORD_OCTETS_MAX))?;
        rest = after;
        Some(piece).filter(|piece| !piece.is_empty())
    })
}
