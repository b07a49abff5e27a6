//! How connections get under TLS, and what is told of it.
//!
//! Invariants: a handshake is done once on a connection and never repeated on it; each session is told of once
//! (RFC 8460 §4.3), and only where a policy of the domain is to be reported on.

use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use smtp::client::meaning::Stage;
use smtp::client::{Cause, LocalCause, Needed};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::peer::Peer;
use super::stream::{Socket, Stream};
use crate::deliver::next_hop::{Bar, TlsLevel, TlsPlan};
use crate::net::tls_result::{TlsFailure, TlsResult};

/// Takes what came of protecting connections.
pub(crate) type TlsResults = Arc<dyn Fn(TlsResult) + Send + Sync>;

/// A handshake under way.
pub(crate) type Shaking<'a> = Pin<Box<dyn Future<Output = Result<Shaken, HandshakeFault>> + Send + 'a>>;

/// A connection under TLS.
pub(crate) struct Shaken {
    pub(crate) stream: TlsStream<Socket>,
    /// What would have failed under a policy that is only tested.
    pub(crate) remark: Option<TlsFailure>,
}

/// Does TLS handshakes as a plan wants them.
pub(crate) trait Handshake: Send + Sync {
    /// Puts a connection to the host of this name under TLS. No time limit: the caller has one.
    ///
    /// # Errors
    /// The handshake failed, or the host isn't who the plan wants.
    fn shake<'a>(&'a self, socket: Socket, plan: &'a TlsPlan, host_name: &'a str) -> Shaking<'a>;
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HandshakeFault {
    /// As it is reported.
    pub(crate) failure: TlsFailure,
    /// For people.
    pub(crate) text: String,
}

/// What protects the connections of a relay.
#[derive(Clone)]
pub(crate) struct Security {
    /// Does the handshakes.
    pub(crate) handshake: Arc<dyn Handshake>,
    /// Hears what came of them.
    pub(crate) results: TlsResults,
}

impl fmt::Debug for Security {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Security")
    }
}

/// Fails every handshake.
#[cfg(test)]
struct NoHandshake;

#[cfg(test)]
impl Handshake for NoHandshake {
    fn shake<'a>(&'a self, _: Socket, _: &'a TlsPlan, _: &'a str) -> Shaking<'a> {
        let text = String::from("this relay does no handshakes");
        Box::pin(std::future::ready(Err(HandshakeFault { failure: TlsFailure::ValidationFailure, text })))
    }
}

impl Security {
    /// For a relay all of whose next hops are without TLS: a handshake fails, and nobody is told.
    #[cfg(test)]
    pub(crate) fn off() -> Self {
        Self { handshake: Arc::new(NoHandshake), results: Arc::new(|_| ()) }
    }

    /// Puts a stream under TLS until `deadline`, and tells of it.
    ///
    /// # Errors
    /// Why not, for people; the stream is gone.
    pub(super) async fn start(
        &self,
        peer: &Peer,
        stream: &mut Stream,
        deadline: Instant,
    ) -> Result<(), String> {
        let source = stream.source();
        let Stream::Clear(socket) = std::mem::replace(stream, Stream::Gone) else {
            return Err(String::from("the connection has TLS already"));
        };
        let shaking = self.handshake.shake(socket, &peer.tls, &peer.name);
        let shaken = tokio::time::timeout_at(deadline, shaking).await.unwrap_or_else(|_| {
            let text = String::from("timed out");
            Err(HandshakeFault { failure: TlsFailure::ValidationFailure, text })
        });
        let failure = shaken.as_ref().map_or_else(|fault| Some(fault.failure), |shaken| shaken.remark);
        self.report(peer, source, failure);
        match shaken {
            Ok(shaken) => {
                *stream = Stream::Tls(Box::new(shaken.stream));
                Ok(())
            }
            Err(fault) => Err(fault.text),
        }
    }

    /// Tells of a session that never came to a handshake although it should: `cause` is why it ended, if it did.
    pub(super) fn tell_unsecured(&self, peer: &Peer, stream: &Stream, cause: Option<&Cause>) {
        let lacks_it = match cause {
            None => true,
            Some(Cause::Local(LocalCause::NotOffered(Needed::StartTls))) => true,
            Some(cause @ Cause::Reply { stage: Stage::StartTls, .. }) => cause.reply().is_some(),
            Some(_) => false,
        };
        if lacks_it && peer.tls.level != TlsLevel::Off {
            self.report(peer, stream.source(), Some(TlsFailure::StarttlsNotSupported));
        }
    }

    /// Tells of a host to which no connection may be made.
    pub(super) fn tell_barred(&self, peer: &Peer, bar: &Bar) {
        self.report(peer, None, Some(bar.failure));
    }

    /// Tells of a connection that ended before the handshake that the server had agreed to.
    pub(super) fn tell_failed(&self, peer: &Peer, stream: &Stream) {
        self.report(peer, stream.source(), Some(TlsFailure::ValidationFailure));
    }

    fn report(&self, peer: &Peer, source: Option<IpAddr>, failure: Option<TlsFailure>) {
        if let Some(policy) = &peer.tls.reported {
            (self.results)(TlsResult {
                policy: Arc::clone(policy),
                mx_name: peer.name.clone(),
                mx_address: peer.address(),
                source,
                failure,
            });
        }
    }
}
