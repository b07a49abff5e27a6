//! The second way through a message: it comes out converted.

use super::encode::{Base64, QuotedPrintable};
use super::section::Section;
use super::walk::{Place, Visit};
use super::{Change, Plan};

/// What stands for octets that are shown to nobody (RFC 2046 §5.1.1) and can't go as they are.
const STAND_IN: u8 = b'?';

/// How the present body comes out.
#[derive(Debug)]
enum Body {
    AsIs,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
}

/// Converts a message.
#[derive(Debug)]
pub(super) struct Rewrite {
    plan: Plan,
    body: Body,
    out: Vec<u8>,
}

impl Rewrite {
    pub(super) const fn new(plan: Plan) -> Self {
        Self { plan, body: Body::AsIs, out: Vec::new() }
    }

    /// Moves what is done into `converted`.
    pub(super) fn take(&mut self, converted: &mut Vec<u8>) {
        converted.append(&mut self.out);
    }

    /// The section with the encoding's name replaced, or added at its end.
    fn relabel(&mut self, section: &Section, place: Place, name: &str) {
        let field = format!("Content-Transfer-Encoding: {name}\r\n");
        let mut is_missing = true;
        for (octets, is_encoding) in section.fields() {
            if !is_encoding {
                self.out.extend_from_slice(octets);
            } else if std::mem::take(&mut is_missing) {
                self.out.extend_from_slice(field.as_bytes());
            }
        }
        if is_missing && place.number == 0 && !section.has("mime-version") {
            self.out.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if is_missing && !section.has_type {
            // RFC 1428 §3: octets whose charset nobody named.
            self.out.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
        }
        if is_missing {
            self.out.extend_from_slice(field.as_bytes());
        }
    }
}

impl Visit for Rewrite {
    fn section(&mut self, section: &Section, place: Place) {
        let change = self.plan.changes.get(place.number).copied().unwrap_or(Change::Keep);
        self.body = match change {
            Change::Keep | Change::Relabel(_) => Body::AsIs,
            Change::QuotedPrintable => Body::QuotedPrintable(QuotedPrintable::default()),
            Change::Base64 => Body::Base64(Base64::default()),
        };
        match change {
            Change::Keep => self.out.extend_from_slice(&section.octets),
            Change::Relabel(false) => self.relabel(section, place, "7bit"),
            Change::Relabel(true) => self.relabel(section, place, "8bit"),
            Change::QuotedPrintable => self.relabel(section, place, "quoted-printable"),
            Change::Base64 => self.relabel(section, place, "base64"),
        }
    }

    fn leaf(&mut self, octets: &[u8]) {
        match &mut self.body {
            Body::AsIs => self.out.extend_from_slice(octets),
            Body::QuotedPrintable(encoder) => encoder.read(octets, &mut self.out),
            Body::Base64(encoder) => encoder.read(octets, &mut self.out),
        }
    }

    fn leaf_end(&mut self, at_delimiter: bool) {
        match std::mem::replace(&mut self.body, Body::AsIs) {
            Body::AsIs => {}
            Body::QuotedPrintable(encoder) => encoder.finish(at_delimiter, &mut self.out),
            Body::Base64(encoder) => encoder.finish(at_delimiter, &mut self.out),
        }
    }

    fn between(&mut self, octets: &[u8]) {
        let keeps_eight_bit = self.plan.keeps_eight_bit;
        let shown = |octet: &u8| if keeps_eight_bit || octet.is_ascii() { *octet } else { STAND_IN };
        self.out.extend(octets.iter().map(shown));
    }
}
