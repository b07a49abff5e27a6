//! A message as filters see and change it, before it is stored.
//!
//! Invariant: a body is never in memory a second time; it is handed out in pieces from where it is kept.

use std::sync::Arc;

use queue::body::{BodyReader, StoredBody};

use tokio::sync::Mutex;

use super::fields::Fields;

/// Largest body that a filter may put in the place of another, in octets (ours: it is held in memory).
pub const REPLACED_BODY_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// A message before it is stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Its header section, without what this server puts in front.
    pub fields: Fields,
    /// Its body.
    pub body: DraftBody,
    /// Octets of the mail data as they came.
    pub size_octets: u64,
    /// Whether a field was changed.
    pub has_new_fields: bool,
    /// What goes in front of everything, this server's own fields too; each ended by CRLF.
    pub front: Vec<u8>,
    /// What changes of the envelope, in order.
    pub envelope: Vec<EnvelopeChange>,
}

/// A message that filters share, and its queue id.
pub type Lent = (Arc<Mutex<Draft>>, String);

/// Where a body is.
#[derive(Debug, Clone)]
pub enum DraftBody {
    /// Behind the first `start` octets.
    Memory {
        /// The octets.
        octets: Arc<Vec<u8>>,
        /// Where it starts.
        start: usize,
    },
    /// In a file.
    Stored(StoredBody),
    /// A filter has put this in its place.
    Replaced(Arc<Vec<u8>>),
}

/// A change of the envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvelopeChange {
    /// The reverse-path, in brackets.
    Sender(String),
    /// One more recipient.
    Add(String),
    /// One recipient less.
    Remove(String),
}

impl Draft {
    /// The message, out of where filters share it.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let body = DraftBody::Replaced(Arc::default());
        let nothing = Self {
            fields: Fields::default(),
            body,
            size_octets: 0,
            has_new_fields: false,
            front: Vec::new(),
            envelope: Vec::new(),
        };
        std::mem::replace(self, nothing)
    }

    /// The body from its start.
    #[must_use]
    pub fn pieces(&self) -> Pieces {
        let place = match &self.body {
            DraftBody::Memory { octets, start } => Place::Memory(Arc::clone(octets), *start),
            DraftBody::Replaced(octets) => Place::Memory(Arc::clone(octets), 0),
            DraftBody::Stored(stored) => Place::Stored { reader: stored.reader(), chunk: Vec::new(), at: 0 },
        };
        Pieces(place)
    }
}

/// A body in pieces.
#[derive(Debug)]
pub struct Pieces(Place);

#[derive(Debug)]
enum Place {
    Memory(Arc<Vec<u8>>, usize),
    Stored { reader: BodyReader, chunk: Vec<u8>, at: usize },
}

impl Pieces {
    /// The next piece, of at most `octets_max`; `None` at the end. May block on the disk.
    ///
    /// # Errors
    /// The body can't be read.
    pub fn next(&mut self, octets_max: usize) -> Result<Option<&[u8]>, String> {
        match &mut self.0 {
            Place::Memory(octets, at) => {
                let start = *at;
                let end = octets.len().min(start.saturating_add(octets_max));
                *at = end;
                Ok(octets.get(start..end).filter(|piece| !piece.is_empty()))
            }
            Place::Stored { reader, chunk, at } => {
                if *at >= chunk.len() {
                    chunk.clear();
                    *at = 0;
                    let read = tokio::task::block_in_place(|| {
                        reader.next_chunk().map(|next| chunk.extend_from_slice(next.unwrap_or_default()))
                    });
                    read.map_err(|error| format!("the message can't be read: {error}"))?;
                }
                let start = *at;
                let end = chunk.len().min(start.saturating_add(octets_max));
                *at = end;
                Ok(chunk.get(start..end).filter(|piece| !piece.is_empty()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_in_memory_comes_in_pieces_of_any_size() {
        let body = DraftBody::Memory { octets: Arc::new(b"A: b\r\n\r\nhello".to_vec()), start: 8 };
        let (fields, front, envelope) = (Fields::default(), Vec::new(), Vec::new());
        let draft = Draft { fields, body, size_octets: 13, has_new_fields: false, front, envelope };
        for size in [1, 2, 4, 100] {
            let mut pieces = draft.pieces();
            let mut whole = Vec::new();
            while let Some(piece) = pieces.next(size).unwrap() {
                assert!(piece.len() <= size);
                whole.extend_from_slice(piece);
            }
            assert_eq!(whole, b"hello");
        }
    }
}
