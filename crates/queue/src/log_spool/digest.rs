//! What the index needs to know of a record, and the file that keeps it for a whole segment.
//!
//! An index file is a shortcut: one that is missing or not whole only costs reading its segment.

use std::num::NonZeroU32;

use smtp::time::WallTime;

use super::codec::{Cursor, put_number, put_text};
use super::entry::{Destinations, StateSummary};
use super::payload::{BodyForm, RawMessage, put_state_summary, read_mark, read_state_summary};
use super::record::{Kind, Place};
use super::scan::Damage;
use crate::message::Destination;
use crate::queue_id::QueueId;
use crate::sender::SenderKey;

/// What the index keeps of an accepted message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) received: WallTime,
    pub(super) size_octets: u64,
    pub(super) large: bool,
    /// Whether it waits for the postmaster from its first moment on.
    pub(super) held: bool,
    /// Whose turn it takes.
    pub(super) sender_key: SenderKey,
    pub(super) groups: Vec<(Destination, Vec<u32>)>,
}

/// What a record says to the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Digest {
    Message { id: QueueId, place: Place, summary: Summary },
    State { id: QueueId, place: Place, number: u32, state: StateSummary },
    Gone { id: QueueId },
    Mark { ids_until: u64, sealed_octets: u32 },
}

impl Digest {
    /// The digest of a whole record that is no group; `None` when its payload does not read.
    pub(super) fn of(
        kind: Kind,
        id: u64,
        place: Place,
        payload: &[u8],
        names: &mut Destinations,
    ) -> Option<Self> {
        let id = QueueId::from_number(id);
        match kind {
            Kind::Message => {
                let raw = RawMessage::read(payload)?;
                let summary = Summary {
                    received: raw.received,
                    size_octets: raw.size_octets(),
                    large: raw.form != BodyForm::Inline,
                    held: raw.hold().is_some(),
                    sender_key: SenderKey::of_text(raw.reverse_path),
                    groups: raw.groups(names),
                };
                Some(Self::Message { id: id?, place, summary })
            }
            Kind::State => {
                let (number, state) = read_state_summary(&mut Cursor::new(payload), names)?;
                Some(Self::State { id: id?, place, number, state })
            }
            Kind::Gone => Some(Self::Gone { id: id? }),
            Kind::Mark => {
                let (ids_until, sealed_octets) = read_mark(payload)?;
                Some(Self::Mark { ids_until, sealed_octets })
            }
            Kind::Group => None,
        }
    }
}

const MESSAGE: u8 = 1;
const STATE: u8 = 2;
const GONE: u8 = 3;
const MARK: u8 = 4;
const DAMAGE: u8 = 5;

/// Flag of a message whose sender's key follows; those of index files that were written before are all one sender's.
const SENDER: u8 = 4;

/// Octets in front of an index file's digests: its checksum, the segment's number and its end.
const INDEX_HEADER_OCTETS: usize = 12;

/// Collects the digests of a segment while it is written.
#[derive(Debug, Default)]
pub(super) struct IndexFile {
    octets: Vec<u8>,
}

impl IndexFile {
    pub(super) fn push(&mut self, digest: &Digest) {
        let out = &mut self.octets;
        match digest {
            Digest::Message { id, place, summary } => {
                out.push(MESSAGE);
                put_place(out, *id, place);
                put_number(out, summary.received.as_unix_millis());
                put_number(out, summary.size_octets);
                out.push(u8::from(summary.large) | (u8::from(summary.held) << 1) | SENDER);
                out.extend_from_slice(&summary.sender_key.number().to_le_bytes());
                put_number(out, summary.groups.len() as u64);
                for (destination, recipients) in &summary.groups {
                    put_text(out, destination.as_str());
                    put_number(out, recipients.len() as u64);
                    for &recipient in recipients {
                        put_number(out, u64::from(recipient));
                    }
                }
            }
            Digest::State { id, place, number, state } => {
                out.push(STATE);
                put_place(out, *id, place);
                put_state_summary(out, *number, state);
            }
            Digest::Gone { id } => {
                out.push(GONE);
                put_number(out, id.number());
            }
            Digest::Mark { ids_until, sealed_octets } => {
                out.push(MARK);
                put_number(out, *ids_until);
                put_number(out, u64::from(*sealed_octets));
            }
        }
    }

    pub(super) fn push_damage(&mut self, damage: &Damage) {
        let out = &mut self.octets;
        out.push(DAMAGE);
        out.push(u8::from(damage.is_message));
        put_number(out, damage.offset);
        put_number(out, damage.octets);
        put_number(out, damage.id.map_or(0, |id| id.number() + 1));
    }

    /// The file's octets, for a segment whose records end at `end`.
    pub(super) fn finish(self, segment: NonZeroU32, salt: u32, end: u32) -> Vec<u8> {
        let mut rest = Vec::with_capacity(INDEX_HEADER_OCTETS + self.octets.len());
        rest.extend_from_slice(&segment.get().to_le_bytes());
        rest.extend_from_slice(&end.to_le_bytes());
        rest.extend_from_slice(&self.octets);
        let mut file = crc32c::crc32c_append(salt, &rest).to_le_bytes().to_vec();
        file.append(&mut rest);
        file
    }
}

/// An index file's contents: the digests in the order of their records, the damage, and where the records end.
pub(super) fn read_index(
    file: &[u8],
    segment: NonZeroU32,
    salt: u32,
) -> Option<(Vec<Digest>, Vec<Damage>, u32)> {
    let (crc, rest) = file.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*crc) != crc32c::crc32c_append(salt, rest) {
        return None;
    }
    let (number, rest) = rest.split_first_chunk::<4>()?;
    let (end, rest) = rest.split_first_chunk::<4>()?;
    if u32::from_le_bytes(*number) != segment.get() {
        return None;
    }
    let (mut digests, mut damage) = (Vec::new(), Vec::new());
    let mut names = Destinations::default();
    let mut cursor = Cursor::new(rest);
    while let Some(kind) = cursor.octet() {
        if kind == DAMAGE {
            damage.push(read_damage(&mut cursor, segment)?);
        } else {
            digests.push(read_digest(kind, &mut cursor, segment, &mut names)?);
        }
    }
    Some((digests, damage, u32::from_le_bytes(*end)))
}

fn put_place(out: &mut Vec<u8>, id: QueueId, place: &Place) {
    put_number(out, id.number());
    put_number(out, u64::from(place.offset));
    put_number(out, u64::from(place.length));
}

fn read_place(cursor: &mut Cursor<'_>, segment: NonZeroU32) -> Option<(QueueId, Place)> {
    let id = QueueId::from_number(cursor.number()?)?;
    Some((id, Place { segment, offset: cursor.small()?, length: cursor.small()? }))
}

fn read_damage(cursor: &mut Cursor<'_>, segment: NonZeroU32) -> Option<Damage> {
    let is_message = cursor.octet()? != 0;
    let (offset, octets) = (cursor.number()?, cursor.number()?);
    let id = cursor.number()?.checked_sub(1).and_then(QueueId::from_number);
    Some(Damage { segment: segment.get(), offset, octets, id, is_message })
}

fn read_digest(
    kind: u8,
    cursor: &mut Cursor<'_>,
    segment: NonZeroU32,
    names: &mut Destinations,
) -> Option<Digest> {
    match kind {
        MESSAGE => {
            let (id, place) = read_place(cursor, segment)?;
            let received = WallTime::from_unix_millis(cursor.number()?);
            let size_octets = cursor.number()?;
            let flags = cursor.octet()?;
            let (large, held) = (flags & 1 != 0, flags & 2 != 0);
            let sender_key = if flags & SENDER != 0 { cursor.fixed()? } else { [0; 4] };
            let sender_key = SenderKey::from_number(u32::from_le_bytes(sender_key));
            let count = cursor.number()?;
            // Most messages have one: no room for more is kept.
            let mut groups = Vec::with_capacity(usize::from(count > 0));
            for _ in 0..count {
                let destination = names.named(cursor.text()?);
                let recipients =
                    (0..cursor.number()?).map(|_| cursor.small()).collect::<Option<Vec<u32>>>()?;
                groups.push((destination, recipients));
            }
            Some(Digest::Message {
                id,
                place,
                summary: Summary { received, size_octets, large, held, sender_key, groups },
            })
        }
        STATE => {
            let (id, place) = read_place(cursor, segment)?;
            let (number, state) = read_state_summary(cursor, names)?;
            Some(Digest::State { id, place, number, state })
        }
        GONE => Some(Digest::Gone { id: QueueId::from_number(cursor.number()?)? }),
        MARK => Some(Digest::Mark { ids_until: cursor.number()?, sealed_octets: cursor.small()? }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_file_reads_back_and_no_changed_bit_goes_unnoticed() {
        let segment = NonZeroU32::new(3).unwrap();
        let id = QueueId::from_number(1 << 50).unwrap();
        let place = Place { segment, offset: 70_000, length: 400 };
        let summary = Summary {
            received: WallTime::from_unix_millis(8),
            size_octets: 9,
            large: true,
            held: true,
            sender_key: SenderKey::from_number(0x8000_0001),
            groups: vec![(Destination::new("a"), vec![0, 2]), (Destination::new("b"), vec![1])],
        };
        let state = crate::delivery::DeliveryState::first(
            Destination::new("a"),
            WallTime::from_unix_millis(8),
            &[0, 2],
        );
        let digests = vec![
            Digest::Mark { ids_until: 77, sealed_octets: 5 },
            Digest::Message { id, place, summary },
            Digest::State { id, place, number: 1, state: StateSummary::of(&state) },
            Digest::Gone { id },
        ];
        let damage = Damage { segment: 3, offset: 5, octets: 6, id: Some(id), is_message: true };
        let mut index = IndexFile::default();
        for digest in &digests {
            index.push(digest);
        }
        index.push_damage(&damage);
        let file = index.finish(segment, 11, 80_000);
        assert_eq!(read_index(&file, segment, 11), Some((digests, vec![damage], 80_000)));
        for bit in 0..file.len() * 8 {
            let mut changed = file.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read_index(&changed, segment, 11), None, "bit {bit}");
        }
    }
}
