//! Down-conversion: mail data for a server that can't take them as they are (RFC 6152 §3, RFC 3030 §3).
//!
//! A message is read once to see what each of its parts needs, and once more for each time it is sent, when it is
//! converted while it passes.
//!
//! Invariants: memory is bounded whatever the message is; what a part decodes to does not change, nor the order and
//! nesting of parts; of header sections only the MIME fields that say how a body is encoded change; nothing inside a
//! multipart/signed changes (RFC 1847 §2.1). A message that can't be converted so is not converted at all.

mod encode;
mod rewrite;
mod section;
mod survey;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::sync::Arc;

use queue::body::StoredBody;
use queue::spool::SpoolError;
use smtp::envelope::BodyType;
use smtp::extension::Extensions;

use crate::deliver::reading::reading;
use rewrite::Rewrite;
use survey::Survey;
use walk::Walk;

/// Containers inside each other (ours; real mail stays below 10).
const DEPTH_MAX: usize = 32;

/// Header sections of a message (ours: a plan holds an octet for each).
const SECTIONS_MAX: usize = 10_000;

/// Octets of one header section (ours, as what is read of one elsewhere).
const SECTION_OCTETS_MAX: usize = 1024 * 1024;

/// Why a message can't be converted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A header section holds octets outside ASCII, which no encoding of a body reaches.
    Header,
    /// What would have to change is signed, and the signature would break.
    Signed,
    /// A part is said to be encoded already, and holds what no encoding allows.
    Encoding,
    /// Parts are too many, too deep, or their header sections too large.
    Limits,
}

impl fmt::Display for Obstacle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Header => "its header section is not ASCII",
            Self::Signed => "a signature in it would break",
            Self::Encoding => "a part of it is not in the encoding that it names",
            Self::Limits => "it has too many parts",
        })
    }
}

/// What becomes of the body below a header section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// Nothing.
    Keep,
    /// Its encoding has another name: `7bit` or, when set, `8bit`.
    Relabel(bool),
    /// It becomes quoted-printable.
    QuotedPrintable,
    /// It becomes base64.
    Base64,
}

/// How a message is converted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    /// For each header section, in order.
    changes: Arc<[Change]>,
    /// Whether 8-bit octets may stay.
    keeps_eight_bit: bool,
    /// Octets of what comes out.
    size_octets: u64,
}

impl Plan {
    /// How a message of this kind is converted for a server with these extensions; the inner error says why it can't be.
    /// Blocks on the disk for a large body.
    ///
    /// # Errors
    /// The body can't be read.
    pub(super) fn of(
        body: &StoredBody,
        kind: BodyType,
        extensions: &Extensions,
    ) -> Result<Result<Self, Obstacle>, SpoolError> {
        let keeps_eight_bit = kind == BodyType::BinaryMime && extensions.eight_bit_mime;
        let mut survey = Walk::new(Survey::new(kind, keeps_eight_bit));
        feed(body, |octets| survey.read(octets))?;
        let changes = match survey.finish().and_then(Survey::into_changes) {
            Ok(changes) => Arc::from(changes),
            Err(obstacle) => return Ok(Err(obstacle)),
        };
        let mut plan = Self { changes, keeps_eight_bit, size_octets: 0 };
        let mut converter = plan.converter();
        let mut size_octets = 0_u64;
        let mut count = |octets: &[u8]| size_octets = size_octets.saturating_add(octets.len() as u64);
        feed(body, |octets| count(converter.read(octets)))?;
        count(converter.finish());
        plan.size_octets = size_octets;
        Ok(Ok(plan))
    }

    /// Octets of the converted mail data.
    pub(super) const fn size_octets(&self) -> u64 {
        self.size_octets
    }

    /// What the converted mail data are.
    pub(super) const fn kind(&self) -> BodyType {
        if self.keeps_eight_bit { BodyType::EightBitMime } else { BodyType::SevenBit }
    }

    /// Tells the plans for one message apart, never 0.
    pub(super) const fn form(&self) -> u8 {
        if self.keeps_eight_bit { 2 } else { 1 }
    }

    /// A converter at the message's start.
    pub(super) fn converter(&self) -> Converter {
        Converter { walk: Some(Walk::new(Rewrite::new(self.clone()))), converted: Vec::new() }
    }
}

/// Converts a message while it passes.
#[derive(Debug)]
pub(super) struct Converter {
    walk: Option<Walk<Rewrite>>,
    converted: Vec<u8>,
}

impl Converter {
    /// Takes a portion of the message; gives what is done of it, which may be nothing.
    pub(super) fn read(&mut self, octets: &[u8]) -> &[u8] {
        self.converted.clear();
        if let Some(walk) = &mut self.walk {
            walk.read(octets);
            walk.visitor().take(&mut self.converted);
        }
        &self.converted
    }

    /// Ends the message; gives what is left of it.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.converted.clear();
        // The survey went the same way before: it met no limit.
        if let Some(Ok(mut rewrite)) = self.walk.take().map(Walk::finish) {
            rewrite.take(&mut self.converted);
        }
        &self.converted
    }
}

fn feed(body: &StoredBody, mut read: impl FnMut(&[u8])) -> Result<(), SpoolError> {
    let mut reader = body.reader();
    reading(body.size_octets(), || {
        while let Some(chunk) = reader.next_chunk()? {
            read(chunk);
        }
        Ok(())
    })
}
