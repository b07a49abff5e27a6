//! Listeners: they accept connections, have them admitted, and start a task for each.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use queue::spool::Spool;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;

use super::admission::Verdict;
use super::{Reception, connection};
use crate::clock;
use crate::config::ListenerKind;

/// Wait before accepting again when descriptors or memory have run out (ours: closing sessions free them).
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// Connections that wait to be accepted (ours; the system may have a lower limit).
const BACKLOG: u32 = 1_024;

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
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, peer)) => start(&mut sessions, &reception, stream, (peer, listener.kind)),
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
    stream: tokio::net::TcpStream,
    (peer, kind): (SocketAddr, ListenerKind),
) {
    let site = reception.sites.current();
    let (place, refused) = match reception.admission.admit(peer.ip(), &site.config, clock::monotonic()) {
        Verdict::Serve(place) => (place, None),
        Verdict::Refuse(place, entry) => (place, Some(entry)),
        Verdict::Drop => return,
    };
    // A reply is small and awaited; Nagle's algorithm would only hold it back.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    sessions.spawn(connection::serve(Arc::clone(reception), stream, (peer, kind), refused, place));
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
