//! Reading a segment without its index file: every whole record in order, and what was there and is whole no more.
//!
//! A bad record is *damage* when it is known to have been durable: the segment was closed in order, or a later record
//! says that the commit that wrote it began behind the bad one. Otherwise it may be the end that a power cut tore, which
//! nobody was told about, and is *unfinished*. Either way the scan goes on behind it: a record that was acknowledged is
//! never dropped because of its neighbour.

use std::num::NonZeroU32;

use memchr::memmem;

use super::digest::Digest;
use super::entry::Destinations;
use super::record::{HEADER_OCTETS, Header, Kind, Place, SEGMENT_OFFSET, word};
use crate::queue_id::QueueId;

/// Octets of a segment that hold no whole record though one was (or was to be) there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number; 0 for a message whose large body is lost.
    pub segment: u32,
    /// Where in the segment they begin.
    pub offset: u64,
    /// How many they are.
    pub octets: u64,
    /// The message that the record was about, when that can still be read.
    pub id: Option<QueueId>,
    /// Whether the record was the message itself, not a note on it.
    pub is_message: bool,
}

/// A segment's contents.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) digests: Vec<Digest>,
    pub(super) damage: Vec<Damage>,
    pub(super) unfinished: Vec<Damage>,
    /// What the digests name.
    pub(super) names: Destinations,
    /// Where the last whole record ends.
    pub(super) end: u32,
}

/// A piece of a segment, in order.
enum Piece {
    Whole { offset: usize, header: Header },
    Bad { range: std::ops::Range<usize>, header: Option<Header>, inner: Vec<(usize, Header)> },
}

struct Scanner<'a> {
    octets: &'a [u8],
    number: NonZeroU32,
    salt: u32,
}

/// Reads a segment. `sealed_octets`: up to where it is known to have been synced when the next segment was begun.
pub(super) fn scan(octets: &[u8], number: NonZeroU32, salt: u32, sealed_octets: usize) -> Scan {
    let scanner = Scanner { octets, number, salt };
    let (pieces, end) = scanner.pieces(sealed_octets);
    let mut last_group = 0;
    for piece in &pieces {
        if let Piece::Whole { header, .. } = piece {
            last_group = last_group.max(header.group as usize);
        }
    }
    let mut scan = Scan { end: end as u32, ..Scan::default() };
    for piece in pieces {
        match piece {
            Piece::Whole { offset, header } => scanner.take(offset, header, &mut scan),
            Piece::Bad { range, header, inner } => {
                let durable = range.start < sealed_octets || range.start < last_group;
                let damage = scanner.damage(&range, header);
                if !durable {
                    scan.unfinished.push(damage);
                    continue;
                }
                if header.is_none_or(|header| header.kind != Kind::Group) || inner.is_empty() {
                    scan.damage.push(damage);
                    for (offset, header) in inner {
                        scanner.take(offset, header, &mut scan);
                    }
                    continue;
                }
                scanner.salvage(&range, inner, &mut scan);
            }
        }
    }
    scan
}

impl Scanner<'_> {
    fn payload(&self, offset: usize, header: &Header) -> Option<&[u8]> {
        self.octets.get(offset + HEADER_OCTETS..offset.checked_add(header.record_octets())?)
    }

    fn is_whole(&self, offset: usize, header: &Header) -> bool {
        self.payload(offset, header).is_some_and(|payload| header.is_payload(payload, self.salt))
    }

    fn header(&self, offset: usize) -> Option<Header> {
        let header = Header::read(self.octets.get(offset..)?, self.salt)?;
        (header.segment == self.number.get()).then_some(header)
    }

    /// The pieces, and where the last whole record ends.
    fn pieces(&self, sealed_octets: usize) -> (Vec<Piece>, usize) {
        let mut pieces = Vec::new();
        let (mut offset, mut end) = (0, 0);
        loop {
            match self.header(offset).filter(|header| !header.inner) {
                Some(header) if self.is_whole(offset, &header) => {
                    pieces.push(Piece::Whole { offset, header });
                    offset += header.record_octets();
                    end = offset;
                }
                Some(header) => {
                    let next = (offset + header.record_octets()).min(self.octets.len());
                    let inner = if header.kind == Kind::Group {
                        self.inner(offset + HEADER_OCTETS..next)
                    } else {
                        Vec::new()
                    };
                    pieces.push(Piece::Bad { range: offset..next, header: Some(header), inner });
                    offset = next;
                }
                None => match self.find(offset + 1..self.octets.len(), false) {
                    Some(next) => {
                        let inner = self.inner(offset..next);
                        pieces.push(Piece::Bad { range: offset..next, header: None, inner });
                        offset = next;
                    }
                    None => break,
                },
            }
        }
        if offset < sealed_octets {
            let range = offset..sealed_octets.min(self.octets.len());
            let inner = self.inner(range.clone());
            pieces.push(Piece::Bad { range, header: None, inner });
        } else if let Some(length) = self.remnant(offset) {
            let range = offset..(offset + length).min(self.octets.len());
            pieces.push(Piece::Bad { range, header: None, inner: Vec::new() });
        }
        (pieces, end)
    }

    /// Octets of a record at `offset` whose header looks like one of this segment's but for a few bits.
    fn remnant(&self, offset: usize) -> Option<usize> {
        let header = self.octets.get(offset..)?;
        let (length, group, segment) = (word(header, 8)?, word(header, 12)?, word(header, SEGMENT_OFFSET)?);
        let here = segment == self.number.get();
        let follows = group > 0 && group as usize <= offset && length > 0;
        (here || follows).then_some(HEADER_OCTETS + length as usize)
    }

    /// Where in `range` the next header stands; whether it is to be one within a group.
    fn find(&self, range: std::ops::Range<usize>, inner: bool) -> Option<usize> {
        let number = self.number.get().to_le_bytes();
        let finder = memmem::Finder::new(&number);
        let mut from = range.start + SEGMENT_OFFSET;
        while let Some(found) = self.octets.get(from..range.end).and_then(|rest| finder.find(rest)) {
            let start = from + found - SEGMENT_OFFSET;
            if self.header(start).is_some_and(|header| header.inner == inner) {
                return Some(start);
            }
            from += found + 1;
        }
        None
    }

    /// The whole records in `range` that count only with a group.
    fn inner(&self, range: std::ops::Range<usize>) -> Vec<(usize, Header)> {
        let mut found = Vec::new();
        let mut from = range.start;
        while let Some(offset) = self.find(from..range.end, true) {
            let Some(header) = self.header(offset) else { break };
            if self.is_whole(offset, &header) {
                found.push((offset, header));
                from = offset + header.record_octets();
            } else {
                from = offset + 1;
            }
        }
        found
    }

    /// Digests of a whole record and, for a group, of those within.
    fn take(&self, offset: usize, header: Header, scan: &mut Scan) {
        if header.kind == Kind::Group {
            let mut inner = offset + HEADER_OCTETS;
            let end = offset + header.record_octets();
            while let Some(header) = self.header(inner).filter(|_| inner < end) {
                self.take(inner, header, scan);
                inner += header.record_octets();
            }
            return;
        }
        let place = self.place(offset, &header);
        let payload = self.payload(offset, &header);
        let digest =
            payload.and_then(|payload| Digest::of(header.kind, header.id, place, payload, &mut scan.names));
        match digest {
            Some(digest) => scan.digests.push(digest),
            None => scan.damage.push(self.damage(&(offset..offset + header.record_octets()), Some(header))),
        }
    }

    /// What is whole of a damaged group that is known to have been durable; what is not is damage.
    fn salvage(&self, range: &std::ops::Range<usize>, inner: Vec<(usize, Header)>, scan: &mut Scan) {
        let mut from = range.start + HEADER_OCTETS;
        for (offset, header) in inner {
            if from < offset {
                scan.damage.push(self.damage(&(from..offset), self.header(from)));
            }
            self.take(offset, header, scan);
            from = offset + header.record_octets();
        }
        if from < range.end {
            scan.damage.push(self.damage(&(from..range.end), self.header(from)));
        }
    }

    fn place(&self, offset: usize, header: &Header) -> Place {
        Place { segment: self.number, offset: offset as u32, length: header.record_octets() as u32 }
    }

    fn damage(&self, range: &std::ops::Range<usize>, header: Option<Header>) -> Damage {
        let about = header.filter(|header| matches!(header.kind, Kind::Message | Kind::State | Kind::Gone));
        Damage {
            segment: self.number.get(),
            offset: range.start as u64,
            octets: range.len() as u64,
            id: about.and_then(|header| QueueId::from_number(header.id)),
            is_message: header.is_some_and(|header| header.kind == Kind::Message),
        }
    }
}
