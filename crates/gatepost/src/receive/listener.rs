//! Listeners: they accept connections, have them admitted, and start a task for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use queue::spool::Spool;
use smtp::catalogue::Entry;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::admission::{Place, Verdict};
use super::proxy_header::{self, HEADER_TIMEOUT, Proxied};
use super::{Reception, connection};
use crate::clock;
use crate::config::{ListenerKind, any_contains};
use crate::journal::Peer;

/// Wait before accepting again when descriptors or memory have run out (ours: closing sessions free them).
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted (ours; the system may have a lower limit).
const BACKLOG: u32 = 1_024;

/// Connections of proxies, to one listener, whose header has not come yet (ours: a proxy sends it at once).
const HEADERS_MAX: usize = 256;

/// A socket that is bound and listens.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    kind: ListenerKind,
}

impl Listener {
    /// Binds `address`. With `[::]` IPv4 clients come, too, unless `beside` has a listener of their own for the port.
    ///
    /// # Errors
    /// When the address is taken, not ours, or not allowed.
    pub fn bind(kind: ListenerKind, address: SocketAddr, beside: &[SocketAddr]) -> io::Result<Self> {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if address.is_ipv6() {
            let shared = beside.iter().any(|other| other.is_ipv4() && other.port() == address.port());
            rustix::net::sockopt::set_ipv6_v6only(&socket, shared)?;
        }
        // A restart need not wait for the connections of the run before.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let socket = socket.listen(BACKLOG)?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address, kind })
    }

    /// Whom it is for.
    #[must_use]
    pub const fn kind(&self) -> ListenerKind {
        self.kind
    }

    /// The address it is bound to.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Accepts connections until the server drains, then waits for those that are open.
pub async fn serve<S: Spool>(listener: Listener, reception: Arc<Reception<S>>) {
    let mut sessions = JoinSet::new();
    let mut draining = reception.draining.clone();
    let headers = Arc::new(Semaphore::new(HEADERS_MAX));
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, peer)) => start(&mut sessions, &reception, stream, (peer, listener.kind), &headers),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    if !is_of_one_connection(&error) {
                        tokio::time::sleep(EXHAUSTED_WAIT).await;
                    }
                }
            },
            Some(_) = sessions.join_next() => {}
            changed = draining.changed() => {
                if changed.is_err() || *draining.borrow() {
                    break;
                }
            }
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

fn start<S: Spool>(
    sessions: &mut JoinSet<()>,
    reception: &Arc<Reception<S>>,
    stream: TcpStream,
    (peer, kind): (SocketAddr, ListenerKind),
    headers: &Arc<Semaphore>,
) {
    let peer = Peer { client: peer, listener: stream.local_addr().unwrap_or(peer) };
    let site = reception.sites.current();
    if any_contains(&site.config.clients.proxies, peer.client.ip()) {
        let Ok(place) = Arc::clone(headers).try_acquire_owned() else {
            tracing::warn!(proxy = %peer.client, "too many connections without a PROXY header; one is closed");
            return;
        };
        let reception = Arc::clone(reception);
        sessions.spawn(async move {
            if let Some((stream, peer)) = proxied(stream, peer).await {
                drop(place);
                if let Some((place, refused)) = admit(&reception, &stream, peer) {
                    connection::serve(reception, stream, (peer, kind), refused, place).await;
                }
            }
        });
    } else if let Some((place, refused)) = admit(reception, &stream, peer) {
        sessions.spawn(connection::serve(Arc::clone(reception), stream, (peer, kind), refused, place));
    }
}

/// A place for the client, and the refusal that it hears instead of being served; `None` when there are too many even to
/// answer.
fn admit<S: Spool>(
    reception: &Reception<S>,
    stream: &TcpStream,
    peer: Peer,
) -> Option<(Place, Option<&'static Entry>)> {
    let site = reception.sites.current();
    let admitted = match reception.admission.admit(peer.client.ip(), &site.config, clock::monotonic()) {
        Verdict::Serve(place) => (place, None),
        Verdict::Refuse(place, entry) => (place, Some(entry)),
        Verdict::Drop => return None,
    };
    // A reply is small and awaited; Nagle's algorithm would only hold it back.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    Some(admitted)
}

/// The connection behind the header that says whom it is for; `None`, and a line in the log, without such a header.
async fn proxied(mut stream: TcpStream, peer: Peer) -> Option<(TcpStream, Peer)> {
    let read = tokio::time::timeout(HEADER_TIMEOUT, proxy_header::read(&mut stream)).await;
    match read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())) {
        Ok(Proxied::Client(client, listener)) => Some((stream, Peer { client, listener })),
        Ok(Proxied::Itself) => Some((stream, peer)),
        Err(error) => {
            tracing::warn!(proxy = %peer.client, "a connection without a PROXY header is closed: {error}");
            None
        }
    }
}

/// Whether accepting failed because of the one connection (accept(2)), not for want of something of ours.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_families_share_a_port() {
        let v4 = Listener::bind(ListenerKind::Mx, "0.0.0.0:0".parse().unwrap(), &[]).unwrap();
        let both = [v4.address(), SocketAddr::new("::".parse().unwrap(), v4.address().port())];
        let v6 = Listener::bind(ListenerKind::Mx, both[1], &both).unwrap();
        assert_eq!(v6.address(), both[1]);
    }
}
