//! A block: many chunks as one value of the store.
//!
//! Invariants: a block that was cut or changed reads as nothing, not as something else (CRC-32 over all of it); a chunk
//! is found again by its place in the block.

use queue::queue_id::QueueId;

use super::codec::{Cursor, put_octets};
use super::record::Chunk;

/// How a block begins; the digit is the version.
const MARK: &[u8; 4] = b"GPJ1";

/// Octets of the check sum at the end.
const SUM_OCTETS: usize = 4;

/// A block that is being filled.
#[derive(Debug, Clone)]
pub(super) struct Filling {
    octets: Vec<u8>,
    chunks: u32,
}

impl Filling {
    pub(super) fn new() -> Self {
        Self { octets: MARK.to_vec(), chunks: 0 }
    }

    /// Adds a chunk and gives its place.
    pub(super) fn push(&mut self, chunk: &[u8]) -> u32 {
        let place = u32::try_from(self.octets.len()).unwrap_or(u32::MAX);
        put_octets(&mut self.octets, chunk);
        self.chunks += 1;
        place
    }

    pub(super) const fn chunks(&self) -> u32 {
        self.chunks
    }

    pub(super) const fn octets(&self) -> usize {
        self.octets.len()
    }

    /// The block, check sum and all.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let sum = crc32fast::hash(&self.octets);
        self.octets.extend_from_slice(&sum.to_le_bytes());
        self.octets
    }
}

/// A block that is read.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a>(&'a [u8]);

impl<'a> Block<'a> {
    /// The block in these octets; `None` when they are not whole.
    #[must_use]
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let (octets, sum) = octets.split_at_checked(octets.len().checked_sub(SUM_OCTETS)?)?;
        let whole = octets.starts_with(MARK) && crc32fast::hash(octets).to_le_bytes() == sum;
        whole.then_some(Self(octets))
    }

    /// The octets of each chunk, in the order in which they came.
    pub fn chunks(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.placed_chunks().map(|(_, octets)| octets)
    }

    /// The octets of each chunk, and its place.
    fn placed_chunks(&self) -> impl Iterator<Item = (u32, &'a [u8])> + use<'a> {
        let octets = self.0.len();
        let mut cursor = Cursor::new(self.0.get(MARK.len()..).unwrap_or_default());
        std::iter::from_fn(move || {
            let place = u32::try_from(octets - cursor.left()).unwrap_or(u32::MAX);
            cursor.octets().map(|chunk| (place, chunk))
        })
    }

    /// The place of the chunk in which the message became durable, and the number of that entry in it.
    pub(super) fn stored(&self, id: QueueId) -> Option<(u32, usize)> {
        self.placed_chunks().find_map(|(place, octets)| {
            let mut entries = Chunk::read(octets)?.entries().flatten();
            entries.position(|entry| entry.queue_id == Some(id)).map(|entry| (place, entry))
        })
    }

    /// The octets of the chunk at that place.
    #[must_use]
    pub fn chunk_at(&self, place: u32) -> Option<&'a [u8]> {
        Cursor::new(self.0.get(place as usize..)?).octets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_found_in_order_and_by_place() {
        let mut filling = Filling::new();
        let chunks: [&[u8]; 3] = [b"one", b"", &[7; 300]];
        let places = chunks.map(|chunk| filling.push(chunk));
        assert_eq!((filling.chunks(), filling.octets()), (3, 4 + 4 + 1 + 302));
        let octets = filling.finish();
        let block = Block::read(&octets).unwrap();
        assert_eq!(block.chunks().collect::<Vec<_>>(), chunks);
        assert_eq!(block.placed_chunks().map(|(place, _)| place).collect::<Vec<_>>(), places);
        for (place, chunk) in places.into_iter().zip(chunks) {
            assert_eq!(block.chunk_at(place), Some(chunk));
        }
        assert_eq!(block.chunk_at(9_999), None);
    }

    #[test]
    fn a_damaged_block_is_none() {
        let mut filling = Filling::new();
        filling.push(b"one");
        let octets = filling.finish();
        for place in 0..octets.len() {
            let mut damaged = octets.clone();
            damaged[place] ^= 1;
            assert!(Block::read(&damaged).is_none(), "{place}");
            assert!(Block::read(&octets[..place]).is_none(), "{place}");
        }
    }
}
