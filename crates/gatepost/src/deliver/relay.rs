//! Relaying: hands messages to another server over SMTP or LMTP, and keeps connections for the messages that follow.
//!
//! Invariants: each recipient gets one attempt; relayed is only what the server answered 2yz at its end, failed is only
//! what a server refused for good or can't take, everything else is deferred; an address of a host is tried again only
//! when the connection to it before has decided some recipient, or was an idle one that the server had given up.

mod connection;
mod content;
mod convert;
mod departure;
mod form;
mod handover;
mod idle;
mod peer;
mod reference;
mod security;
mod stream;
mod verdict;

use std::sync::Arc;

use queue::body::StoredMessage;
use smtp::client::RecipientOutcome;
use smtp::client::timeouts::Timeouts;
use smtp::command::ClientName;

use super::attempt::{Attempt, Failure};
use super::next_hop::NextHop;
use crate::clock;
use connection::Connection;
pub(crate) use departure::Departure;
use handover::{Handover, Next};
use idle::IdlePool;
use peer::{Peer, is_found};
pub use reference::remote_replies;
pub(crate) use security::{Handshake, HandshakeFault, Security, Shaking, TlsResults};
pub(crate) use stream::Socket;
use verdict::{Verdict, is_stale};

/// Hands over messages, and keeps connections for those that follow.
#[derive(Debug)]
pub(crate) struct Relay {
    idle: Arc<IdlePool>,
    timeouts: Timeouts,
    security: Security,
}

impl Relay {
    /// A relay without connections.
    pub(crate) fn new(security: Security) -> Self {
        Self { idle: Arc::default(), timeouts: Timeouts::default(), security }
    }

    /// Sends one message as it is stored.
    #[cfg(test)]
    async fn send(
        &self,
        next_hop: &NextHop,
        hostname: &str,
        stored: &StoredMessage,
        indexes: &[u32],
    ) -> Vec<Attempt> {
        self.send_from(next_hop, (hostname, &departure::Unchanged), stored, indexes).await
    }

    /// Sends one message for the recipients `indexes` of its envelope: one attempt each, in order. `hostname` is the
    /// argument of EHLO, and `departure` says what the site does with what leaves. Needs a runtime with several threads,
    /// as a large body is read from the disk in this one.
    pub(crate) async fn send_from(
        &self,
        next_hop: &NextHop,
        (hostname, departure): (&str, &dyn Departure),
        stored: &StoredMessage,
        indexes: &[u32],
    ) -> Vec<Attempt> {
        let mut handover = Handover::new(stored, indexes, (hostname, departure));
        if handover.is_over() {
            return handover.finish();
        }
        let Ok(client_name) = hostname.parse::<ClientName>() else {
            let failure = Failure::local("4.3.5", format!("{hostname:?} is no name for EHLO"));
            handover.decide_open(&Verdict::deferred(failure));
            return handover.finish();
        };
        let is_relaxed = next_hop.hosts.iter().any(|host| is_found(&host.tls)) && handover.waives_tls();
        let peer = |host| {
            let peer = Peer::new(next_hop, host, &client_name);
            Arc::new(if is_relaxed { peer.relaxed() } else { peer })
        };
        let peers: Vec<Arc<Peer>> = next_hop.hosts.iter().map(peer).collect();
        let spent = self.use_idle(&peers, &mut handover).await;
        for (place, peer) in peers.iter().enumerate() {
            if handover.is_over() {
                break;
            }
            if Some(place) != spent {
                self.use_peer(next_hop, peer, &mut handover).await;
            }
        }
        handover.finish()
    }

    /// Sends over a connection that is open already, to the first host that has one. Gives that host's place when it
    /// need not be asked again.
    async fn use_idle(&self, peers: &[Arc<Peer>], handover: &mut Handover<'_>) -> Option<usize> {
        let now = clock::monotonic();
        let requires_tls = handover.requires_tls();
        let mut places = peers.iter().enumerate().filter(|(_, peer)| !requires_tls || peer.is_trusted());
        let (place, connection) =
            places.find_map(|(place, peer)| Some((place, self.idle.take(peer, now)?)))?;
        self.run(connection, handover).await;
        let is_spent = handover.open() == 0;
        handover.next_host();
        is_spent.then_some(place)
    }

    /// Sends over new connections to a host, until every recipient is decided for it.
    async fn use_peer(&self, next_hop: &NextHop, peer: &Arc<Peer>, handover: &mut Handover<'_>) {
        handover.next_host();
        if handover.requires_tls() && !peer.is_trusted() {
            return handover.decide_open(&Verdict::untrusted(peer));
        }
        let mut in_clear = false;
        while handover.open() > 0 {
            let before = handover.open();
            let settings = peer.settings(next_hop.credentials.as_ref(), self.timeouts, in_clear);
            match Connection::open(Arc::clone(peer), settings, &self.security).await {
                Ok(connection) => self.run(connection, handover).await,
                Err(no_session) if no_session.is_handshake && !in_clear && peer.may_fall_to_clear_text() => {
                    tracing::info!(%peer, "TLS failed; as any protection is welcome and none is needed, clear text follows");
                    in_clear = true;
                    continue;
                }
                Err(no_session) => handover.decide_open(&no_session.verdict),
            }
            // Recipients that didn't fit into one transaction or session go into the next, if that gets on.
            if handover.open() >= before {
                break;
            }
        }
    }

    /// Sends over one connection until no recipient is left for it, then keeps it.
    async fn run(&self, mut connection: Connection, handover: &mut Handover<'_>) {
        loop {
            let before = handover.open();
            let is_reused = connection.transactions() > 0;
            let next = match handover.transaction(connection.peer(), connection.extensions()) {
                Ok(next) => next,
                Err(failure) => {
                    handover.decide_open(&Verdict::deferred(failure).by_schedule());
                    return self.idle.put(connection, clock::monotonic());
                }
            };
            let Next { places, transaction, fields, content, obstacle } = next;
            let outcome = connection.transact(transaction, (fields, &content)).await;
            let peer = connection.peer();
            let Some(outcome) = outcome.filter(|outcome| outcome.recipients.len() == places.len()) else {
                handover.decide_open(&Verdict::unexpected(peer));
                return;
            };
            if is_reused && is_stale(&outcome) {
                tracing::debug!(%peer, "the connection was given up meanwhile; another one is made");
                return;
            }
            let verdict = |recipient: &RecipientOutcome| {
                Verdict::of(peer, recipient, outcome.dsn_offered).explained(&recipient.cause, obstacle)
            };
            handover.decide(places.into_iter().zip(outcome.recipients.iter().map(verdict)).collect());
            if !connection.is_ready() {
                return;
            }
            if handover.open() == 0 || handover.open() >= before {
                self.idle.put(connection, clock::monotonic());
                return;
            }
        }
    }
}

#[cfg(test)]
mod certificates;
#[cfg(test)]
mod endpoint_tests;
#[cfg(test)]
mod form_tests;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
