//! A record of the log: header and payload, each with its checksum.
//!
//! ```text
//! header crc32c 4 · payload crc32c 4 · payload length 4 · group 4 · segment 4 · kind 1 · queue id 8 · payload
//! ```
//! All numbers are little-endian. Invariants: both checksums start from the segment's salt, which no client ever sees,
//! so mail data cannot pose as a record; the segment's number in each record keeps what a recycled segment held before
//! from being read; `group` is where in the segment the commit began that wrote the record, so that whatever stands
//! before it was durable when it was written. A record within a `Group` has the inner bit and counts only with it.

use std::num::NonZeroU32;

use crate::disk::DiskFile;

pub(super) const HEADER_OCTETS: usize = 29;

/// Longest record, in octets, header included (ours: bounds what recovery and a commit hold in memory).
pub(super) const RECORD_OCTETS_MAX: usize = 128 * 1024 * 1024;

/// The bit of the kind octet that says that the record stands in a group.
const INNER: u8 = 0x80;

/// Where in the header the segment's number stands, which a search looks for.
pub(super) const SEGMENT_OFFSET: usize = 16;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message was accepted: envelope and body.
    Message,
    /// What a delivery's recipients met; replaces the delivery's record before.
    State,
    /// The last recipient is done.
    Gone,
    /// No id up to this one may be given again; and whether the segment before was synced to its end.
    Mark,
    /// Records that count together or not at all.
    Group,
}

impl Kind {
    fn from_octet(octet: u8) -> Option<Self> {
        [Self::Message, Self::State, Self::Gone, Self::Mark, Self::Group]
            .into_iter()
            .find(|kind| kind.octet() == octet)
    }

    fn octet(self) -> u8 {
        match self {
            Self::Message => 1,
            Self::State => 2,
            Self::Gone => 3,
            Self::Mark => 4,
            Self::Group => 5,
        }
    }
}

/// Where a record stands. Its length counts the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: NonZeroU32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) payload_crc: u32,
    pub(super) length: u32,
    pub(super) group: u32,
    pub(super) segment: u32,
    pub(super) kind: Kind,
    pub(super) inner: bool,
    pub(super) id: u64,
}

impl Header {
    /// The header at the start of `octets`, when its checksum is right.
    pub(super) fn read(octets: &[u8], salt: u32) -> Option<Self> {
        let header = octets.get(..HEADER_OCTETS)?;
        let crc = word(header, 0)?;
        if crc != crc32c::crc32c_append(salt, header.get(4..)?) {
            return None;
        }
        let kind = *header.get(20)?;
        let id = header.get(21..)?.try_into().ok()?;
        Some(Self {
            payload_crc: word(header, 4)?,
            length: word(header, 8)?,
            group: word(header, 12)?,
            segment: word(header, SEGMENT_OFFSET)?,
            kind: Kind::from_octet(kind & !INNER)?,
            inner: kind & INNER != 0,
            id: u64::from_le_bytes(id),
        })
    }

    fn write(&self, octets: &mut [u8], salt: u32) {
        let kind = self.kind.octet() | if self.inner { INNER } else { 0 };
        let mut rest = &mut *octets;
        for part in [
            &[0; 4],
            self.payload_crc.to_le_bytes().as_slice(),
            &self.length.to_le_bytes(),
            &self.group.to_le_bytes(),
            &self.segment.to_le_bytes(),
            &[kind],
            &self.id.to_le_bytes(),
        ] {
            let Some((field, behind)) = rest.split_at_mut_checked(part.len()) else { return };
            field.copy_from_slice(part);
            rest = behind;
        }
        if let Some((sum, fields)) = octets.split_at_mut_checked(4) {
            sum.copy_from_slice(&crc32c::crc32c_append(salt, fields).to_le_bytes());
        }
    }

    /// Octets of header and payload.
    pub(super) fn record_octets(&self) -> usize {
        HEADER_OCTETS.saturating_add(self.length as usize)
    }

    pub(super) fn is_payload(&self, payload: &[u8], salt: u32) -> bool {
        payload.len() == self.length as usize && crc32c::crc32c_append(salt, payload) == self.payload_crc
    }
}

/// The number at `offset`.
pub(super) fn word(octets: &[u8], offset: usize) -> Option<u32> {
    Some(u32::from_le_bytes(octets.get(offset..offset.checked_add(4)?)?.try_into().ok()?))
}

/// What the records of one commit to one segment have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) salt: u32,
    pub(super) segment: NonZeroU32,
    pub(super) group: u32,
}

impl Frame {
    /// Appends a record, whose payload `fill` appends, to what is to be written at `self.group`. Where it will stand.
    pub(super) fn append(
        &self,
        buffer: &mut Vec<u8>,
        kind: Kind,
        inner: bool,
        id: u64,
        fill: impl FnOnce(&mut Vec<u8>),
    ) -> Place {
        let start = buffer.len();
        buffer.resize(start + HEADER_OCTETS, 0);
        fill(buffer);
        let Self { salt, segment, group } = *self;
        let (header, payload) = buffer
            .get_mut(start..)
            .unwrap_or_default()
            .split_at_mut_checked(HEADER_OCTETS)
            .unwrap_or_default();
        let length = payload.len() as u32;
        let payload_crc = crc32c::crc32c_append(salt, payload);
        Header { payload_crc, length, group, segment: segment.get(), kind, inner, id }.write(header, salt);
        Place { segment, offset: group + start as u32, length: length + HEADER_OCTETS as u32 }
    }
}

/// The record at `place`, header included; `None` when it is not whole.
///
/// # Errors
/// The file could not be read.
pub(super) fn read_record(
    file: &impl DiskFile,
    place: Place,
    salt: u32,
) -> std::io::Result<Option<(Header, Vec<u8>)>> {
    let mut octets = vec![0; place.length as usize];
    if file.read_at(&mut octets, u64::from(place.offset))? < octets.len() {
        return Ok(None);
    }
    let header = Header::read(&octets, salt).filter(|header| {
        header.segment == place.segment.get()
            && header.is_payload(octets.get(HEADER_OCTETS..).unwrap_or_default(), salt)
    });
    Ok(header.map(|header| (header, octets)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_and_no_changed_bit_goes_unnoticed() {
        let frame = Frame { salt: 0x5a17, segment: NonZeroU32::new(7).unwrap(), group: 100 };
        let mut buffer = vec![1, 2, 3];
        let place =
            frame.append(&mut buffer, Kind::Message, true, 99, |out| out.extend_from_slice(b"payload"));
        assert_eq!((place.offset, place.length as usize), (103, HEADER_OCTETS + 7));
        let record = &buffer[3..];
        let whole = |record: &[u8], salt| {
            Header::read(record, salt).is_some_and(|header| header.is_payload(&record[HEADER_OCTETS..], salt))
        };
        let header = Header::read(record, 0x5a17).unwrap();
        assert_eq!((header.kind, header.inner, header.id, header.group), (Kind::Message, true, 99, 100));
        assert!(whole(record, 0x5a17) && !whole(record, 0x5a18));
        for bit in 0..record.len() * 8 {
            let mut changed = record.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(!whole(&changed, 0x5a17), "bit {bit}");
        }
    }
}
