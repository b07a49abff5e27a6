//! The third part of a DSN: what is returned of the message (RFC 3461 §4.3, RFC 6522 §3, §4, RFC 6533 §4.2, §4.3).

use std::str;

use memchr::memmem;

use super::encoding::{self, Part};
use super::{HEADER_SECTION_OCTETS_MAX, Original};

/// What the part is called when it is the whole message.
const WHOLE: &str = "Returned message";

/// What the part is called when it is the header section.
const HEADER_SECTION: &str = "Header section of the message";

/// The whole message; `None` when its form allows no unchanged copy of it inside another message.
pub(super) fn whole(mail_data: &[u8], smtputf8: bool) -> Option<Part> {
    // `message/rfc822` takes no encoding but 7bit, 8bit and binary (RFC 2046 §5.2.1).
    let encoding = encoding::plain_encoding(mail_data)?;
    let header_section = header_section_of(mail_data);
    if header_section.is_ascii() {
        let octets = mail_data.to_vec();
        return Some(Part { description: WHOLE, content_type: "message/rfc822", encoding, octets });
    }
    str::from_utf8(header_section).ok()?;
    // `message/global` takes any (RFC 6532 §3.7).
    let (encoding, octets) = encoding::encode(mail_data.to_vec(), smtputf8);
    Some(Part { description: WHOLE, content_type: "message/global", encoding, octets })
}

/// The header section, or as much of it as [`HEADER_SECTION_OCTETS_MAX`] allows.
pub(super) fn header_section(original: Original<'_>, smtputf8: bool) -> Part {
    let octets = match original {
        Original::Whole(octets) | Original::HeaderSection(octets) => header_section_of(octets),
    };
    let octets = if octets.len() <= HEADER_SECTION_OCTETS_MAX { octets } else { cut(octets) };
    let international = str::from_utf8(octets).is_ok_and(|text| !text.is_ascii());
    let content_type = if international { "message/global-headers" } else { "text/rfc822-headers" };
    // The older type must be encoded when it isn't 7-bit (RFC 6522 §4).
    let (encoding, octets) = encoding::encode(octets.to_vec(), smtputf8 && international);
    Part { description: HEADER_SECTION, content_type, encoding, octets }
}

/// What stands before the first empty line, with the CRLF of its last line.
fn header_section_of(octets: &[u8]) -> &[u8] {
    if octets.starts_with(b"\r\n") {
        return &[];
    }
    match memmem::find(octets, b"\r\n\r\n") {
        Some(end) => octets.get(..end + 2).unwrap_or(octets),
        None => octets,
    }
}

/// The whole lines in the first [`HEADER_SECTION_OCTETS_MAX`].
fn cut(octets: &[u8]) -> &[u8] {
    let octets = octets.get(..HEADER_SECTION_OCTETS_MAX).unwrap_or(octets);
    let end = memmem::rfind(octets, b"\r\n").map_or(octets.len(), |at| at + 2);
    octets.get(..end).unwrap_or(octets)
}
