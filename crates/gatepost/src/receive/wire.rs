//! The octets of a connection: over TCP alone, or over TLS.
//!
//! Invariants: in clear text no buffer is held; a wire that was secured never carries clear text again.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

thread_local! {
    static INPUT: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_OCTETS]);
}

/// A connection's octets.
#[derive(Debug)]
pub(super) enum Wire {
    /// As they are.
    Clear(TcpStream),
    /// The same within this machine.
    Local(UnixStream),
    /// Under TLS.
    Secured(Box<TlsStream<TcpStream>>),
    /// Nothing any more: the handshake has failed.
    Lost,
}

impl Wire {
    /// Waits for octets and hands them to `take`; how many, 0 at the end. Nothing is lost when it is dropped before.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn read(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<usize> {
        poll_fn(|context| self.poll_take(context, &mut take)).await
    }

    /// Hands octets that are there already to `take`; how many, 0 at the end, `None` when nothing is there.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn read_now(&mut self, mut take: impl FnMut(&[u8])) -> io::Result<Option<usize>> {
        let once = poll_fn(|context| Poll::Ready(self.poll_take(context, &mut take)));
        match once.await {
            Poll::Ready(read) => read.map(Some),
            Poll::Pending => Ok(None),
        }
    }

    fn poll_take(
        &mut self,
        context: &mut Context<'_>,
        take: &mut impl FnMut(&[u8]),
    ) -> Poll<io::Result<usize>> {
        INPUT.with_borrow_mut(|input| {
            let mut input = ReadBuf::new(input);
            let read = match self {
                Self::Clear(stream) => Pin::new(stream).poll_read(context, &mut input),
                Self::Local(stream) => Pin::new(stream).poll_read(context, &mut input),
                Self::Secured(stream) => Pin::new(&mut **stream).poll_read(context, &mut input),
                Self::Lost => Poll::Ready(Ok(())),
            };
            match ready!(read) {
                Ok(()) => {}
                // Many clients close without a close_notify; SMTP marks the end of what matters itself.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Poll::Ready(Ok(0)),
                Err(error) => return Poll::Ready(Err(error)),
            }
            let filled = input.filled();
            if !filled.is_empty() {
                take(filled);
            }
            Poll::Ready(Ok(filled.len()))
        })
    }

    /// Writes some of `octets`.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Local(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Secured(stream) => Pin::new(&mut **stream).poll_write(context, octets),
            Self::Lost => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Has all that was written sent.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Clear(_) | Self::Local(_) | Self::Lost => Poll::Ready(Ok(())),
            Self::Secured(stream) => Pin::new(&mut **stream).poll_flush(context),
        }
    }

    /// Says that nothing more comes, under TLS with a close_notify (RFC 8446 §6.1).
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn end(&mut self) -> io::Result<()> {
        poll_fn(|context| match self {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Local(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Secured(stream) => Pin::new(&mut **stream).poll_shutdown(context),
            Self::Lost => Poll::Ready(Ok(())),
        })
        .await
    }
}
