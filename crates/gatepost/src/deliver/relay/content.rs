//! What is sent of a message: header fields that are made when it leaves, then its mail data, as stored or converted.
//!
//! The seam for whoever signs: [`Departure::fields`](super::Departure::fields) is asked once a transaction, is fed the
//! mail data in the form in which that transaction sends them, and what it answers is sent in front of them.
//!
//! Invariants: memory is bounded by a chunk of the body; what is fed to the one that signs is what is sent.

use std::sync::Arc;

use queue::body::{BodyReader, StoredBody};
use queue::spool::SpoolError;

use super::convert::{Converter, Plan};
use crate::deliver::reading::reading;

/// Mail data, without the fields in front of them.
#[derive(Debug, Clone)]
pub(super) struct Content<'m> {
    body: &'m StoredBody,
    plan: Option<Plan>,
}

impl<'m> Content<'m> {
    /// The body as it is stored, or converted by a plan for it.
    pub(super) const fn new(body: &'m StoredBody, plan: Option<Plan>) -> Self {
        Self { body, plan }
    }

    /// Octets of mail data.
    pub(super) fn size_octets(&self) -> u64 {
        self.plan.as_ref().map_or_else(|| self.body.size_octets(), Plan::size_octets)
    }

    /// Tells the forms of one message apart; 0 as it is stored.
    pub(super) fn form(&self) -> u8 {
        self.plan.as_ref().map_or(0, Plan::form)
    }

    /// The mail data in pieces, behind `fields`. Blocks on the disk for a large body.
    pub(super) fn reader(&self, fields: Arc<str>) -> Reader {
        Reader {
            fields: Some(fields).filter(|fields| !fields.is_empty()),
            body: self.body.reader(),
            converter: self.plan.as_ref().map(Plan::converter),
            chunk: Vec::new(),
            size_octets: self.body.size_octets(),
            is_over: false,
        }
    }

    /// Feeds the mail data to `read`.
    ///
    /// # Errors
    /// They can't be read.
    pub(super) fn feed(&self, read: &mut dyn FnMut(&[u8])) -> Result<(), SpoolError> {
        let mut reader = self.reader(Arc::from(""));
        while let Some(octets) = reader.next_chunk()? {
            read(octets);
        }
        Ok(())
    }
}

/// Reads what is sent, piece by piece.
#[derive(Debug)]
pub(super) struct Reader {
    fields: Option<Arc<str>>,
    body: BodyReader,
    converter: Option<Converter>,
    chunk: Vec<u8>,
    size_octets: u64,
    is_over: bool,
}

impl Reader {
    /// The next piece, `None` behind the last.
    ///
    /// # Errors
    /// The mail data can't be read.
    pub(super) fn next_chunk(&mut self) -> Result<Option<&[u8]>, SpoolError> {
        reading(self.size_octets, || self.read())
    }

    fn read(&mut self) -> Result<Option<&[u8]>, SpoolError> {
        let Self { fields, body, converter, chunk, is_over, .. } = self;
        if let Some(fields) = fields.take() {
            chunk.clear();
            chunk.extend_from_slice(fields.as_bytes());
            return Ok(Some(chunk));
        }
        let Some(converter) = converter else { return body.next_chunk() };
        chunk.clear();
        while chunk.is_empty() && !*is_over {
            match body.next_chunk()? {
                Some(octets) => chunk.extend_from_slice(converter.read(octets)),
                None => {
                    chunk.extend_from_slice(converter.finish());
                    *is_over = true;
                }
            }
        }
        Ok(Some(chunk.as_slice()).filter(|chunk| !chunk.is_empty()))
    }
}
