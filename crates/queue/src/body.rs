//! Bodies: how a message's mail data goes into the spool and comes out again.
//!
//! Invariants: a large body that is dropped before its message is queued leaves nothing behind; no octet of a body is
//! handed out before its checksum was verified.

use std::fmt;
use std::sync::Arc;

use crate::delivery::RecipientState;
use crate::message::QueuedMessage;
use crate::queue_id::QueueId;
use crate::spool::SpoolError;

/// The mail data of a message that is to be queued.
#[derive(Debug)]
pub enum Body {
    /// All of it, at most [`LARGE_BODY_OCTETS`](crate::spool::LARGE_BODY_OCTETS).
    Memory(Vec<u8>),
    /// Written and synced already.
    Large(SealedBody),
}

impl Body {
    /// Octets of mail data.
    #[must_use]
    pub fn size_octets(&self) -> u64 {
        match self {
            Self::Memory(octets) => octets.len() as u64,
            Self::Large(sealed) => sealed.size_octets.saturating_add(sealed.head.len() as u64),
        }
    }
}

/// What a spool gives to write a large body into.
pub(crate) trait BodySink: Send {
    fn append(&mut self, octets: &[u8]) -> Result<(), SpoolError>;
    fn complete(&mut self) -> Result<StoredBody, SpoolError>;
    fn seal(self: Box<Self>) -> Result<SealedBody, SpoolError>;
}

/// Writes a large body while it arrives. Removed when it is dropped unsealed.
pub struct LargeBody {
    pub(crate) sink: Box<dyn BodySink>,
}

impl LargeBody {
    /// Appends mail data. Blocks on the disk.
    ///
    /// # Errors
    /// The body is of no use any more: drop it.
    pub fn append(&mut self, octets: &[u8]) -> Result<(), SpoolError> {
        self.sink.append(octets)
    }

    /// All of it has been appended: gives it to be read before it is durable. Blocks on the disk.
    ///
    /// # Errors
    /// The body is of no use any more: drop it.
    pub fn complete(&mut self) -> Result<StoredBody, SpoolError> {
        self.sink.complete()
    }

    /// Makes it durable. Blocks on the disk.
    ///
    /// # Errors
    /// It was removed.
    pub fn seal(self) -> Result<SealedBody, SpoolError> {
        self.sink.seal()
    }
}

impl fmt::Debug for LargeBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("LargeBody")
    }
}

/// A large body that is durable, for one message. Removed when it is dropped before its message is queued.
pub struct SealedBody {
    pub(crate) id: QueueId,
    /// What stands in front of the octets that were written, kept in the message's record.
    pub(crate) head: Vec<u8>,
    /// Octets that were written.
    pub(crate) size_octets: u64,
    pub(crate) content: SealedContent,
}

pub(crate) enum SealedContent {
    Memory(Vec<u8>),
    File(Unkept),
}

impl SealedBody {
    /// Puts `head` in front: the header fields that are only known once the rest was written.
    #[must_use]
    pub fn with_head(mut self, head: Vec<u8>) -> Self {
        self.head = head;
        self
    }
}

impl fmt::Debug for SealedBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, size_octets, .. } = self;
        write!(formatter, "SealedBody({id}, {size_octets} octets)")
    }
}

/// A file that goes unless it is kept.
pub(crate) struct Unkept(Option<Box<dyn FnOnce() + Send>>);

impl Unkept {
    pub(crate) fn new(remove: impl FnOnce() + Send + 'static) -> Self {
        Self(Some(Box::new(remove)))
    }

    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unkept {
    fn drop(&mut self) {
        if let Some(remove) = self.0.take() {
            remove();
        }
    }
}

/// A message out of the spool.
#[derive(Debug, Clone)]
pub struct StoredMessage {
    /// Its name.
    pub id: QueueId,
    /// Its envelope, as it was queued.
    pub message: QueuedMessage,
    /// Where each recipient stands, in the envelope's order.
    pub recipients: Vec<RecipientState>,
    /// Its mail data.
    pub body: StoredBody,
}

impl StoredMessage {
    /// All of the mail data. For a large body this takes as much memory; see [`StoredBody::reader`].
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Unavailable`].
    pub fn read_body(&self) -> Result<Vec<u8>, SpoolError> {
        let mut octets = Vec::with_capacity(usize::try_from(self.body.size_octets).unwrap_or(0));
        let mut reader = self.body.reader();
        while let Some(chunk) = reader.next_chunk()? {
            octets.extend_from_slice(chunk);
        }
        Ok(octets)
    }
}

/// The mail data of a stored message. Cloning is cheap.
#[derive(Clone)]
pub struct StoredBody {
    pub(crate) size_octets: u64,
    pub(crate) content: Content,
}

#[derive(Clone)]
pub(crate) enum Content {
    /// What follows the first `start` octets.
    Memory { octets: Arc<Vec<u8>>, start: usize },
    /// What follows the first `start` octets of `head`, then the file, read as it is asked for.
    File { head: Arc<Vec<u8>>, start: usize, source: Arc<dyn ChunkSource> },
}

/// Chunks of a large body by number.
pub(crate) trait ChunkSource: Send + Sync {
    /// Puts the chunk into `chunk`; leaves that empty behind the last one.
    fn read_chunk(&self, number: u64, chunk: &mut Vec<u8>) -> Result<(), SpoolError>;
}

impl StoredBody {
    /// Octets of mail data.
    #[must_use]
    pub fn size_octets(&self) -> u64 {
        self.size_octets
    }

    /// The mail data from its start, in verified chunks.
    #[must_use]
    pub fn reader(&self) -> BodyReader {
        BodyReader { body: self.clone(), next: 0, chunk: Vec::new() }
    }
}

impl fmt::Debug for StoredBody {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "StoredBody({} octets)", self.size_octets)
    }
}

/// Reads mail data chunk by chunk: one chunk for a small body, at most 256 KiB each for a large one.
#[derive(Debug)]
pub struct BodyReader {
    body: StoredBody,
    next: u64,
    chunk: Vec<u8>,
}

impl BodyReader {
    /// The next chunk, `None` behind the last. Blocks on the disk for a large body.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`], [`SpoolError::Unavailable`]: what was handed out before is right but not all.
    pub fn next_chunk(&mut self) -> Result<Option<&[u8]>, SpoolError> {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let chunk = match &self.body.content {
            Content::Memory { octets, start } if number == 0 => octets.get(*start..).unwrap_or_default(),
            Content::Memory { .. } => &[],
            Content::File { head, start, .. } if number == 0 && head.len() > *start => {
                head.get(*start..).unwrap_or_default()
            }
            Content::File { head, start, source } => {
                let before = u64::from(head.len() > *start);
                source.read_chunk(number.saturating_sub(before), &mut self.chunk)?;
                &self.chunk
            }
        };
        Ok(if chunk.is_empty() { None } else { Some(chunk) })
    }
}
