//! The first way through a message: what each part needs.

use smtp::envelope::BodyType;
use smtp::limits::TEXT_LINE_OCTETS_MAX;

use super::section::{Encoding, Kind, Section};
use super::walk::{Place, Visit};
use super::{Change, Obstacle};

/// One octet in so many outside ASCII makes base64 the shorter encoding: quoted-printable makes three octets of one,
/// base64 four of three and some line ends.
const BASE64_FROM: u64 = 6;

/// What was seen of the present body.
#[derive(Debug, Default)]
struct Seen {
    octets: u64,
    eight_bit: u64,
    line_octets: usize,
    /// A NUL, a bare CR or LF, or a line that is too long: only a binary body may have those.
    is_binary: bool,
    ends_with_cr: bool,
}

/// Looks at a message.
#[derive(Debug)]
pub(super) struct Survey {
    is_binary: bool,
    keeps_eight_bit: bool,
    changes: Vec<Change>,
    /// The encoding that the present body names, whether it may have another one, and whether it is signed.
    leaf: (Encoding, bool, bool),
    seen: Seen,
    obstacle: Option<Obstacle>,
}

impl Survey {
    pub(super) fn new(kind: BodyType, keeps_eight_bit: bool) -> Self {
        Self {
            is_binary: kind == BodyType::BinaryMime,
            keeps_eight_bit,
            changes: Vec::new(),
            leaf: (Encoding::SevenBit, false, false),
            seen: Seen::default(),
            obstacle: None,
        }
    }

    /// What each body needs.
    ///
    /// # Errors
    /// Why the message can't be converted.
    pub(super) fn into_changes(self) -> Result<Vec<Change>, Obstacle> {
        self.obstacle.map_or(Ok(self.changes), Err)
    }

    /// A header section counts before all else: what its octets mean decides on SMTPUTF8, too.
    fn meets(&mut self, obstacle: Obstacle) {
        if self.obstacle.is_none() || obstacle == Obstacle::Header {
            self.obstacle = Some(obstacle);
        }
    }

    fn change(&mut self) -> Change {
        let (encoding, is_encodable, is_signed) = self.leaf;
        let Seen { octets, eight_bit, is_binary, .. } = self.seen;
        let is_binary = is_binary && self.is_binary;
        let must_change = is_binary || eight_bit > 0 && !self.keeps_eight_bit;
        match (encoding, must_change) {
            (Encoding::SevenBit, false) | (Encoding::Other, false) => Change::Keep,
            (Encoding::EightBit, false) if self.keeps_eight_bit => Change::Keep,
            (Encoding::EightBit | Encoding::Binary, false) if is_signed => Change::Keep,
            (Encoding::EightBit | Encoding::Binary, false) => Change::Relabel(eight_bit > 0),
            (_, true) if is_signed => {
                self.meets(Obstacle::Signed);
                Change::Keep
            }
            (Encoding::Other, true) => {
                self.meets(Obstacle::Encoding);
                Change::Keep
            }
            (_, true) if !is_encodable => {
                self.meets(Obstacle::Encoding);
                Change::Keep
            }
            (_, true) if is_binary || eight_bit > octets / BASE64_FROM => Change::Base64,
            (_, true) => Change::QuotedPrintable,
        }
    }
}

impl Visit for Survey {
    fn section(&mut self, section: &Section, place: Place) {
        if !self.keeps_eight_bit && !section.octets.is_ascii() {
            self.meets(Obstacle::Header);
        }
        self.leaf = (section.encoding, section.is_encodable, place.is_signed);
        let is_labelled = matches!(section.encoding, Encoding::EightBit | Encoding::Binary);
        let change = match section.kind {
            Kind::Multipart { .. } | Kind::Message if is_labelled && !place.is_signed => {
                Change::Relabel(self.keeps_eight_bit)
            }
            Kind::Leaf | Kind::Multipart { .. } | Kind::Message => Change::Keep,
        };
        self.changes.push(change);
    }

    fn leaf(&mut self, octets: &[u8]) {
        let Seen { octets: total, eight_bit, line_octets, is_binary, ends_with_cr } = &mut self.seen;
        *total = total.saturating_add(octets.len() as u64);
        let outside = octets.iter().filter(|octet| !octet.is_ascii()).count();
        *eight_bit = eight_bit.saturating_add(outside as u64);
        let (text, has_end) = match octets.strip_suffix(b"\r\n") {
            Some(text) => (text, true),
            None if octets == b"\n" && *ends_with_cr => (&[][..], true),
            None => (octets, false),
        };
        *is_binary |= *ends_with_cr && octets != b"\n";
        *ends_with_cr = !has_end && text.ends_with(b"\r");
        let text = if *ends_with_cr { text.get(..text.len() - 1).unwrap_or_default() } else { text };
        *is_binary |= text.iter().any(|octet| matches!(octet, 0 | b'\r' | b'\n'));
        *line_octets = line_octets.saturating_add(text.len());
        *is_binary |= *line_octets > TEXT_LINE_OCTETS_MAX;
        if has_end {
            *line_octets = 0;
        }
    }

    fn leaf_end(&mut self, _: bool) {
        self.seen.is_binary |= self.seen.ends_with_cr;
        let change = self.change();
        if let Some(last) = self.changes.last_mut() {
            *last = change;
        }
        self.seen = Seen::default();
    }

    fn between(&mut self, _: &[u8]) {}
}
