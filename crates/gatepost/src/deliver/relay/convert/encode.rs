//! Encoders for bodies that pass (RFC 2045 §6.7, §6.8).
//!
//! Invariants: what comes out is ASCII, its lines end with CRLF and are at most 76 octets long; what went in is decoded
//! from it, but for the line's end before a delimiter, which belongs to the delimiter.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Octets of a line that a soft line break leaves, the `=` counted (RFC 2045 §6.7).
const LINE_OCTETS_MAX: usize = 76;

/// Octets that make up a whole line of base64.
const BASE64_LINE_OCTETS: usize = LINE_OCTETS_MAX / 4 * 3;

/// Makes text quoted-printable.
#[derive(Debug, Default)]
pub(super) struct QuotedPrintable {
    column: usize,
}

impl QuotedPrintable {
    /// Takes a line, or a piece of one.
    pub(super) fn read(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        let (text, end) = match octets.strip_suffix(b"\r\n") {
            Some(text) => (text, &b"\r\n"[..]),
            None => (octets, &[][..]),
        };
        let last = text.len().saturating_sub(1);
        for (place, &octet) in text.iter().enumerate() {
            let is_plain = match octet {
                // White space at a line's end, or where a piece may end with its line.
                b' ' | b'\t' => place != last,
                b'=' => false,
                _ => octet.is_ascii_graphic(),
            };
            let octets = if is_plain { 1 } else { 3 };
            if self.column + octets > LINE_OCTETS_MAX - 1 {
                out.extend_from_slice(b"=\r\n");
                self.column = 0;
            }
            self.column += octets;
            if is_plain {
                out.push(octet);
            } else {
                out.extend_from_slice(&[b'=', digit(octet >> 4), digit(octet & 0xf)]);
            }
        }
        if !end.is_empty() {
            out.extend_from_slice(end);
            self.column = 0;
        }
    }

    /// Ends the body; a delimiter stands at the start of a line.
    pub(super) fn finish(&self, at_delimiter: bool, out: &mut Vec<u8>) {
        if at_delimiter && self.column > 0 {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The upper-case hexadecimal digit of a value below 16.
const fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'A' + (value - 10) }
}

/// Makes octets base64.
#[derive(Debug, Default)]
pub(super) struct Base64 {
    held: Vec<u8>,
    /// A line's end that may belong to a delimiter.
    line_end: &'static [u8],
}

impl Base64 {
    /// Takes a line, or a piece of one.
    pub(super) fn read(&mut self, octets: &[u8], out: &mut Vec<u8>) {
        self.held.extend_from_slice(std::mem::take(&mut self.line_end));
        // The CR came at the end of a piece.
        let octets = if octets == b"\n" && self.held.last() == Some(&b'\r') {
            self.held.pop();
            b"\r\n"
        } else {
            octets
        };
        match octets.strip_suffix(b"\r\n") {
            Some(text) => {
                self.held.extend_from_slice(text);
                self.line_end = b"\r\n";
            }
            None => self.held.extend_from_slice(octets),
        }
        // The last octet stays, as it may be the CR of a line's end.
        let whole = self.held.len().saturating_sub(1) / BASE64_LINE_OCTETS * BASE64_LINE_OCTETS;
        let rest = self.held.split_off(whole);
        let lines = std::mem::replace(&mut self.held, rest);
        lines.chunks(BASE64_LINE_OCTETS).for_each(|line| write_line(line, out));
    }

    /// Ends the body.
    pub(super) fn finish(mut self, at_delimiter: bool, out: &mut Vec<u8>) {
        if !at_delimiter {
            self.held.extend_from_slice(self.line_end);
        }
        self.held.chunks(BASE64_LINE_OCTETS).for_each(|line| write_line(line, out));
    }
}

fn write_line(octets: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(STANDARD.encode(octets).as_bytes());
    out.extend_from_slice(b"\r\n");
}
