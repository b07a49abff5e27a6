//! The stream of a connection: TCP or a Unix socket, in clear text or under TLS.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

use super::peer::Peer;
use crate::deliver::next_hop::{Endpoint, Sources};

/// Longest wait for a connection to one address (ours: another address or a later attempt may do better).
const CONNECT_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream in clear text.
#[derive(Debug)]
pub(crate) enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

/// A stream, whatever protects it.
#[derive(Debug)]
pub(super) enum Stream {
    /// Nothing does.
    Clear(Socket),
    /// TLS does.
    Tls(Box<TlsStream<Socket>>),
    /// It went with a handshake that failed: nothing comes, and nothing can be written.
    Gone,
}

impl Socket {
    /// Connects to a peer.
    ///
    /// # Errors
    /// No connection came about in time.
    pub(super) async fn connect(peer: &Peer) -> io::Result<Self> {
        let connecting = async {
            match &peer.endpoint {
                Endpoint::Tcp(address) => {
                    let stream = connect_from(peer.sources, *address).await?;
                    // Commands are written in groups already; waiting for more only delays them.
                    stream.set_nodelay(true)?;
                    Ok(Self::Tcp(stream))
                }
                Endpoint::Unix(path) => UnixStream::connect(path).await.map(Self::Unix),
            }
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connecting).await?
    }

    /// The address that it comes from.
    pub(super) fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.local_addr().ok().map(|address| address.ip()),
            Self::Unix(_) => None,
        }
    }
}

async fn connect_from(sources: Sources, address: SocketAddr) -> io::Result<TcpStream> {
    let (socket, source) = match address {
        SocketAddr::V4(_) => (TcpSocket::new_v4()?, sources.v4.map(IpAddr::V4)),
        SocketAddr::V6(_) => (TcpSocket::new_v6()?, sources.v6.map(IpAddr::V6)),
    };
    if let Some(source) = source {
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot connect from the source address {source}: {error}"))
        };
        socket.bind(SocketAddr::new(source, 0)).map_err(told)?;
    }
    socket.connect(address).await
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, octets),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Stream {
    /// The address that it comes from.
    pub(super) fn source(&self) -> Option<IpAddr> {
        match self {
            Self::Clear(socket) => socket.source(),
            Self::Tls(stream) => stream.get_ref().0.source(),
            Self::Gone => None,
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, octets: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, octets),
            Self::Gone => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Clear(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Gone => Poll::Ready(Ok(())),
        }
    }
}
