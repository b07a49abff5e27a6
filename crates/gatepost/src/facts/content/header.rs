//! Header sections (RFC 5322 §2.2): fields gathered within limits, and their values decoded (RFC 2047).
//!
//! Invariants: a value is at most [`FIELD_OCTETS_MAX`](super::FIELD_OCTETS_MAX) long, and its text has no control
//! characters.

use mail_parser::parsers::MessageStream;
use mail_parser::{ContentType, HeaderValue};

use super::line::Piece;
use super::{FIELD_OCTETS_MAX, FIELDS_MAX, HEADER_OCTETS_MAX, PART_FIELD_OCTETS_MAX};
use crate::mailboxes::folded_domain;

/// The fields that describe a part (RFC 2045 §3, RFC 2183).
const PART_FIELDS: [&str; 3] = ["content-type", "content-disposition", "content-transfer-encoding"];

/// A header field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    /// In lower case.
    pub(super) name: Box<str>,
    /// What stands behind the colon, folded as it came.
    value: Vec<u8>,
}

impl Field {
    /// The value with its encoded words decoded and its white space made single spaces.
    pub(super) fn text(&self) -> String {
        match MessageStream::new(&self.closed_value()).parse_unstructured() {
            HeaderValue::Text(text) => without_controls(&text),
            _ => String::new(),
        }
    }

    /// The first message identifier in it, without its angle brackets.
    pub(super) fn id(&self) -> Option<String> {
        let value = self.closed_value();
        let id = match MessageStream::new(&value).parse_id() {
            HeaderValue::Text(id) => Some(id),
            HeaderValue::TextList(ids) => ids.into_iter().next(),
            _ => None,
        };
        id.map(|id| without_controls(&id)).filter(|id| !id.is_empty())
    }

    /// A value of the form of Content-Type and Content-Disposition, parameters decoded (RFC 2231); none when there is no
    /// word in it.
    pub(super) fn described(&self) -> Option<ContentType<'static>> {
        match MessageStream::new(&self.closed_value()).parse_content_type().into_owned() {
            HeaderValue::ContentType(described) => Some(described),
            _ => None,
        }
    }

    /// The value as the parser wants it: closed by a line's end behind which nothing stands.
    fn closed_value(&self) -> Vec<u8> {
        let mut value = self.value.trim_ascii_end().to_vec();
        value.push(b'\n');
        value
    }
}

fn without_controls(text: &str) -> String {
    text.trim().chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The addresses of From fields.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    pub(super) count: u64,
    /// The first one, its domain in its normal form.
    pub(super) first: Option<String>,
}

impl Addresses {
    pub(super) fn read(&mut self, field: &Field) {
        let value = field.closed_value();
        let HeaderValue::Address(addresses) = MessageStream::new(&value).parse_address() else { return };
        for address in addresses.iter().filter_map(|address| address.address()) {
            self.count = self.count.saturating_add(1);
            if self.first.is_none() {
                self.first = Some(normal(address));
            }
        }
    }

    /// The domain of the first address.
    pub(super) fn first_domain(&self) -> Option<&str> {
        let (_, domain) = self.first.as_deref()?.rsplit_once('@')?;
        Some(domain).filter(|domain| !domain.is_empty())
    }
}

/// An address with its domain in A-labels and lower case, as far as it has one.
fn normal(address: &str) -> String {
    let address = without_controls(address);
    match address.rsplit_once('@') {
        Some((local_part, domain)) => {
            let domain = domain.trim_end_matches('.');
            format!("{local_part}@{}", folded_domain(domain))
        }
        None => address,
    }
}

/// How much of a message's header sections may still be looked at.
#[derive(Debug)]
pub(super) struct HeaderBudget {
    fields: usize,
    octets: usize,
}

impl Default for HeaderBudget {
    fn default() -> Self {
        Self { fields: FIELDS_MAX, octets: HEADER_OCTETS_MAX }
    }
}

/// A header section while it passes.
#[derive(Debug, Default)]
pub(super) struct Section {
    /// The fields that are wanted.
    pub(super) fields: Vec<Field>,
    /// Whether a line is no field, or a limit was reached.
    pub(super) is_damaged: bool,
    current: Current,
}

/// Where a line that continues belongs.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Current {
    /// To nothing: no field has begun.
    #[default]
    None,
    /// To a field that nobody wants, of so many octets so far.
    Unwanted(usize),
    /// To the last of the fields.
    Wanted,
}

impl Section {
    /// Takes a piece of a line that isn't empty.
    pub(super) fn read(
        &mut self,
        piece: Piece<'_>,
        budget: &mut HeaderBudget,
        wants: impl FnOnce(&str) -> bool,
    ) {
        budget.octets = budget.octets.saturating_sub(piece.octets.len());
        if budget.octets == 0 {
            self.is_damaged = true;
            return;
        }
        if !piece.starts_line || piece.octets.starts_with(b" ") || piece.octets.starts_with(b"\t") {
            self.extend(piece.octets);
            return;
        }
        let Some((name, value)) = split(piece.octets) else {
            self.is_damaged = true;
            self.current = Current::None;
            return;
        };
        let Some(left) = budget.fields.checked_sub(1) else {
            self.is_damaged = true;
            self.current = Current::None;
            return;
        };
        budget.fields = left;
        if wants(&name) || is_part_field(&name) {
            self.fields.push(Field { name, value: Vec::new() });
            self.current = Current::Wanted;
        } else {
            self.current = Current::Unwanted(0);
        }
        self.extend(value);
    }

    fn extend(&mut self, octets: &[u8]) {
        match (&mut self.current, self.fields.last_mut()) {
            (Current::Wanted, Some(field)) => {
                let max = if is_part_field(&field.name) { PART_FIELD_OCTETS_MAX } else { FIELD_OCTETS_MAX };
                let room = max.saturating_sub(field.value.len());
                self.is_damaged |= octets.len() > room;
                field.value.extend_from_slice(octets.get(..room).unwrap_or(octets));
            }
            (Current::Unwanted(length), _) => {
                *length = length.saturating_add(octets.len());
                self.is_damaged |= *length > FIELD_OCTETS_MAX;
            }
            (Current::None | Current::Wanted, _) => self.is_damaged = true,
        }
    }
}

fn is_part_field(name: &str) -> bool {
    PART_FIELDS.contains(&name)
}

/// The name of a field in lower case and what stands behind its colon (RFC 5322 §2.2; white space before the colon is
/// that of §4.5.8).
fn split(line: &[u8]) -> Option<(Box<str>, &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, rest) = line.split_at_checked(colon)?;
    let name = name.trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let name = std::str::from_utf8(name).ok()?.to_ascii_lowercase();
    Some((name.into_boxed_str(), rest.get(1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(value: &str) -> Field {
        Field { name: "x".into(), value: value.as_bytes().to_vec() }
    }

    #[test]
    fn encoded_words_are_decoded_and_folds_are_spaces() {
        assert_eq!(field(" =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n =?utf-8?b?IQ==?=\r\n").text(), "Grüße!");
        assert_eq!(field(" one\r\n\ttwo\r\n").text(), "one two");
        assert_eq!(field(" =?utf-8?q?a=0D=0Ab?=\r\n").text(), "a  b");
        assert_eq!(field(" \r\n").text(), "");
        assert_eq!(field(" =?x?q?broken\r\n").text(), "=?x?q?broken");
    }

    #[test]
    fn identifiers_lose_their_brackets() {
        assert_eq!(field(" <a.b@c>\r\n").id().as_deref(), Some("a.b@c"));
        assert_eq!(field(" none\r\n").id().as_deref(), Some("none"));
        assert_eq!(field("\r\n").id(), None);
    }

    #[test]
    fn addresses_are_counted_and_the_first_is_in_normal_form() {
        let mut addresses = Addresses::default();
        addresses.read(&field(" \"A, B\" <Anna@BÜCHER.example.>, c@d.example\r\n"));
        addresses.read(&field(" team: e@f.example, g@h.example;\r\n"));
        assert_eq!(addresses.first.as_deref(), Some("Anna@xn--bcher-kva.example"));
        assert_eq!((addresses.first_domain(), addresses.count), (Some("xn--bcher-kva.example"), 4));

        let mut nobody = Addresses::default();
        nobody.read(&field(" undisclosed:;\r\n"));
        assert_eq!((nobody.first_domain(), nobody.count), (None, 0));
    }

    #[test]
    fn a_name_has_no_white_space_inside() {
        assert_eq!(split(b"Subject : x").map(|(name, _)| name).as_deref(), Some("subject"));
        for line in [&b"no colon"[..], b": x", b"two words: x", b"\xff: x", b""] {
            assert_eq!(split(line), None);
        }
    }
}
