//! Replies on their way to the client: gathered, and written in one go.

use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll, ready};

use super::wire::Wire;

/// Octets that replies get at first, so that those to a group of commands find room (ours).
const ROOM_OCTETS: usize = 512;

/// Replies that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    octets: Vec<u8>,
    written: usize,
}

impl Output {
    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The buffer to write replies into.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.octets.is_empty() {
            self.octets.reserve(ROOM_OCTETS);
        }
        &mut self.octets
    }

    /// Writes what the wire takes without waiting; true, and the memory given back, when that is everything.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn write(&mut self, wire: &mut Wire) -> io::Result<bool> {
        match poll_fn(|context| Poll::Ready(self.poll_flush(wire, context))).await {
            Poll::Ready(written) => written.map(|()| true),
            Poll::Pending => Ok(false),
        }
    }

    /// Writes everything, waiting where the client is slow.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn flush(&mut self, wire: &mut Wire) -> io::Result<()> {
        poll_fn(|context| self.poll_flush(wire, context)).await
    }

    fn poll_flush(&mut self, wire: &mut Wire, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(rest) = self.octets.get(self.written..).filter(|rest| !rest.is_empty()) {
            match ready!(wire.poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                octets => self.written += octets,
            }
        }
        ready!(wire.poll_flush(context))?;
        *self = Self::default();
        Poll::Ready(Ok(()))
    }
}
