//! A header section as far as it says how the body below it is encoded (RFC 2045 §3).

use std::ops::Range;

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use crate::facts::content::line::{Lines, Piece};

/// Longest boundary that is taken, in octets (RFC 2046 §5.1.1 has 70; real ones go beyond).
const BOUNDARY_OCTETS_MAX: usize = 256;

/// What stands below a header section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// A body that is looked at as octets.
    Leaf,
    /// Parts between delimiters.
    Multipart {
        /// What the delimiters say behind `--`.
        boundary: Vec<u8>,
        /// Whether parts are messages unless they say otherwise (RFC 2046 §5.1.5).
        is_digest: bool,
        /// Whether the parts are signed (RFC 1847 §2.1).
        is_signed: bool,
    },
    /// A message with a header section of its own, which may not be encoded (RFC 2046 §5.2.1).
    Message,
}

/// How a body is encoded, as its section says (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// `7bit`, or nothing said.
    SevenBit,
    /// `8bit`.
    EightBit,
    /// `binary`.
    Binary,
    /// Another one: the octets of the body mean something else already.
    Other,
}

/// A header section.
#[derive(Debug)]
pub(super) struct Section {
    /// Its lines, without the empty one behind it.
    pub(super) octets: Vec<u8>,
    /// What stands below it.
    pub(super) kind: Kind,
    /// How that is encoded.
    pub(super) encoding: Encoding,
    /// Whether a Content-Type says what it is.
    pub(super) has_type: bool,
    /// Whether it may be encoded: message/partial and message/external-body may not (RFC 2046 §5.2.2.1, §5.2.3).
    pub(super) is_encodable: bool,
}

impl Section {
    /// The section of these lines; `is_in_digest` says what no Content-Type means.
    pub(super) fn new(octets: Vec<u8>, is_in_digest: bool) -> Self {
        let described = value(&octets, "content-type").and_then(described);
        let encoding = encoding(value(&octets, "content-transfer-encoding"));
        let media_type = described.as_ref().map(|described| {
            let subtype = described.subtype().unwrap_or_default();
            format!("{}/{subtype}", described.ctype()).to_ascii_lowercase()
        });
        let kind = match (media_type.as_deref(), &described) {
            _ if encoding == Encoding::Other => Kind::Leaf,
            (Some(multipart), Some(described)) if multipart.starts_with("multipart/") => {
                multipart_kind(multipart, described)
            }
            (Some("message/rfc822" | "message/news"), _) => Kind::Message,
            (None, _) if is_in_digest => Kind::Message,
            _ => Kind::Leaf,
        };
        let is_encodable =
            !matches!(media_type.as_deref(), Some("message/partial" | "message/external-body"));
        Self { has_type: described.is_some(), octets, kind, encoding, is_encodable }
    }

    /// Whether it has a field of this name, in lower case.
    pub(super) fn has(&self, name: &str) -> bool {
        fields(&self.octets).iter().any(|field| is_named(&self.octets, field, name))
    }

    /// Its fields with their names' ends, without what is no field.
    pub(super) fn fields(&self) -> Vec<(&[u8], bool)> {
        let is_encoding = |field: &Range<usize>| is_named(&self.octets, field, "content-transfer-encoding");
        let fields = fields(&self.octets);
        fields
            .iter()
            .map(|field| (self.octets.get(field.clone()).unwrap_or_default(), is_encoding(field)))
            .collect()
    }
}

fn multipart_kind(media_type: &str, described: &ContentType<'_>) -> Kind {
    match described.attribute("boundary") {
        Some(boundary) if !boundary.is_empty() && boundary.len() <= BOUNDARY_OCTETS_MAX => Kind::Multipart {
            boundary: boundary.as_bytes().to_vec(),
            is_digest: media_type == "multipart/digest",
            is_signed: media_type == "multipart/signed",
        },
        _ => Kind::Leaf,
    }
}

fn encoding(value: Option<Vec<u8>>) -> Encoding {
    let Some(value) = value else { return Encoding::SevenBit };
    let text = String::from_utf8_lossy(&value);
    // A comment or a parameter behind the word changes nothing.
    let word = text.trim().split([' ', ';', '(']).next().unwrap_or_default().to_ascii_lowercase();
    match word.as_str() {
        "7bit" => Encoding::SevenBit,
        "8bit" => Encoding::EightBit,
        "binary" => Encoding::Binary,
        _ => Encoding::Other,
    }
}

fn described(mut value: Vec<u8>) -> Option<ContentType<'static>> {
    value.truncate(value.trim_ascii_end().len());
    // The parser wants a value closed by a line's end.
    value.push(b'\n');
    match MessageStream::new(&value).parse_content_type().into_owned() {
        HeaderValue::ContentType(described) => Some(described),
        _ => None,
    }
}

/// What stands behind the colon of the first field of this name.
fn value(section: &[u8], name: &str) -> Option<Vec<u8>> {
    let field = fields(section).into_iter().find(|field| is_named(section, field, name))?;
    let field = section.get(field)?;
    let colon = memchr::memchr(b':', field)?;
    field.get(colon + 1..).map(<[u8]>::to_vec)
}

/// Where each field stands, its continuation lines included.
fn fields(section: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut end = 0;
    let mut take = |piece: Piece<'_>| {
        let start = end;
        end += piece.octets.len();
        let is_continued =
            !piece.starts_line || piece.octets.starts_with(b" ") || piece.octets.starts_with(b"\t");
        match found.last_mut().filter(|_| is_continued) {
            Some(field) => field.end = end,
            None => found.push(start..end),
        }
    };
    let mut lines = Lines::default();
    lines.read(section, &mut take);
    lines.finish(take);
    found
}

fn is_named(section: &[u8], field: &Range<usize>, name: &str) -> bool {
    let field = section.get(field.clone()).unwrap_or_default();
    memchr::memchr(b':', field)
        .and_then(|colon| field.get(..colon))
        .is_some_and(|found| found.trim_ascii_end().eq_ignore_ascii_case(name.as_bytes()))
}
