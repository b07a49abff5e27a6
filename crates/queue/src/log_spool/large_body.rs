//! Large bodies: a file of checksummed chunks each, written while the mail data arrives.
//!
//! ```text
//! crc32c of id, chunk number and octets 4 · octets in the chunk 4 · octets
//! ```
//! Every chunk but the last is full, so that a chunk is found by its number.

use std::sync::Arc;

use super::names::Name;
use super::shared::Shared;
use crate::body::{BodySink, ChunkSource, Content, SealedBody, SealedContent, StoredBody, Unkept};
use crate::disk::{Disk, DiskFile};
use crate::queue_id::QueueId;
use crate::spool::SpoolError;

/// Octets of mail data in a full chunk (ours).
const CHUNK_OCTETS: usize = 256 * 1024;

const CHUNK_HEADER_OCTETS: usize = 8;

pub(super) struct Sink<D: Disk> {
    shared: Arc<Shared<D>>,
    file: D::File,
    id: QueueId,
    /// The chunk that is being filled, its header included.
    chunk: Vec<u8>,
    number: u64,
    size_octets: u64,
    unkept: Unkept,
}

impl<D: Disk> Sink<D> {
    pub(super) fn create(shared: &Arc<Shared<D>>, id: QueueId) -> Result<Self, SpoolError> {
        shared.check_fault()?;
        let name = Name::Large(id).to_string();
        let file = shared.disk.create(&name, 0).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => SpoolError::Taken(id),
            _ => error.into(),
        })?;
        let disk = Arc::clone(shared);
        let unkept = Unkept::new(move || {
            // What cannot be removed now is cleared away when the spool is next opened.
            let _ = disk.disk.remove(&name);
        });
        let shared = Arc::clone(shared);
        Ok(Self { shared, file, id, chunk: Vec::new(), number: 0, size_octets: 0, unkept })
    }

    fn write_chunk(&mut self) -> Result<(), SpoolError> {
        let Some((header, octets)) = self.chunk.split_first_chunk_mut::<CHUNK_HEADER_OCTETS>() else {
            return Ok(());
        };
        let crc = checksum(self.id, self.number, octets).to_le_bytes();
        let length = (octets.len() as u32).to_le_bytes();
        for (target, octet) in header.iter_mut().zip(crc.iter().chain(&length)) {
            *target = *octet;
        }
        let written = self.file.write_at(&self.chunk, offset(self.number));
        written.map_err(|error| failed(&self.shared, "writing a large body", &error))?;
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }
}

impl<D: Disk> BodySink for Sink<D> {
    fn append(&mut self, mut octets: &[u8]) -> Result<(), SpoolError> {
        while !octets.is_empty() {
            if self.chunk.is_empty() {
                self.chunk.resize(CHUNK_HEADER_OCTETS, 0);
            }
            let room = CHUNK_HEADER_OCTETS + CHUNK_OCTETS - self.chunk.len();
            let (now, later) = octets.split_at(room.min(octets.len()));
            self.chunk.extend_from_slice(now);
            self.size_octets += now.len() as u64;
            octets = later;
            if now.len() == room {
                self.write_chunk()?;
            }
        }
        Ok(())
    }

    fn complete(&mut self) -> Result<StoredBody, SpoolError> {
        self.write_chunk()?;
        let file = self.shared.disk.open(&Name::Large(self.id).to_string())?;
        let source = Arc::new(Source { file, id: self.id, size_octets: self.size_octets });
        let content = Content::File { head: Arc::default(), start: 0, source };
        Ok(StoredBody { size_octets: self.size_octets, content })
    }

    fn seal(mut self: Box<Self>) -> Result<SealedBody, SpoolError> {
        self.write_chunk()?;
        let synced = self.file.sync().and_then(|()| self.shared.disk.sync_directory());
        synced.map_err(|error| failed(&self.shared, "syncing a large body", &error))?;
        let Self { id, size_octets, unkept, .. } = *self;
        Ok(SealedBody { id, head: Vec::new(), size_octets, content: SealedContent::File(unkept) })
    }
}

/// A full disk is met again; any other failure is not.
fn failed<D: Disk>(shared: &Shared<D>, what: &str, error: &std::io::Error) -> SpoolError {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    if matches!(error.kind(), StorageFull | QuotaExceeded) {
        return std::io::Error::from(error.kind()).into();
    }
    shared.latch(what, error)
}

fn offset(number: u64) -> u64 {
    number.saturating_mul((CHUNK_HEADER_OCTETS + CHUNK_OCTETS) as u64)
}

fn checksum(id: QueueId, number: u64, octets: &[u8]) -> u32 {
    let place = crc32c::crc32c_append(crc32c::crc32c(&id.number().to_le_bytes()), &number.to_le_bytes());
    crc32c::crc32c_append(place, octets)
}

/// A stored large body.
pub(super) struct Source<F> {
    pub(super) file: F,
    pub(super) id: QueueId,
    pub(super) size_octets: u64,
}

impl<F: DiskFile> ChunkSource for Source<F> {
    fn read_chunk(&self, number: u64, chunk: &mut Vec<u8>) -> Result<(), SpoolError> {
        chunk.clear();
        let start = number.saturating_mul(CHUNK_OCTETS as u64);
        let left = self.size_octets.saturating_sub(start).min(CHUNK_OCTETS as u64) as usize;
        if left == 0 {
            return Ok(());
        }
        let mut header = [0u8; CHUNK_HEADER_OCTETS];
        chunk.resize(left, 0);
        let place = offset(number);
        let read = self.file.read_at(&mut header, place)?
            + self.file.read_at(chunk, place.saturating_add(CHUNK_HEADER_OCTETS as u64))?;
        let mut expected = checksum(self.id, number, chunk).to_le_bytes().to_vec();
        expected.extend_from_slice(&(left as u32).to_le_bytes());
        if read != left + CHUNK_HEADER_OCTETS || header.as_slice() != expected {
            chunk.clear();
            return Err(SpoolError::Damaged(self.id));
        }
        Ok(())
    }
}
