//! Relaying: hands messages to another server over SMTP, and keeps connections for the messages that follow.
//!
//! Connections are in clear text: STARTTLS is not used, not even where it is offered, and nobody logs in.
//!
//! Invariants: each recipient gets one attempt; relayed is only what the server answered 2yz at its end, failed is only
//! what a server refused for good or can't take, everything else is deferred; an address of a host is tried again only
//! when the connection to it before has decided some recipient, or was an idle one that the server had given up.

mod connection;
mod handover;
mod idle;
mod verdict;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use queue::body::StoredMessage;
use smtp::client::timeouts::Timeouts;
use smtp::client::{Settings, Tls};
use smtp::command::ClientName;

use super::attempt::{Attempt, Failure};
use crate::clock;
use connection::Connection;
use handover::Handover;
use idle::IdlePool;
use verdict::{Server, Verdict, is_stale};

/// Longest wait for the addresses of a host (ours; a resolver gives up earlier by itself).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses of a host that are tried (ours; RFC 5321 §5.1 wants at least two).
const ADDRESSES_MAX: usize = 5;

/// A server that mail is handed to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Target {
    /// Its name, or its address without brackets.
    pub(crate) host: String,
    /// Its port.
    pub(crate) port: u16,
}

/// Hands over messages, and keeps connections for those that follow.
#[derive(Debug)]
pub(crate) struct Relay {
    idle: Arc<IdlePool>,
    timeouts: Timeouts,
}

impl Relay {
    /// A relay without connections.
    pub(crate) fn new() -> Self {
        Self { idle: Arc::default(), timeouts: Timeouts::default() }
    }

    /// Sends one message for the recipients `indexes` of its envelope: one attempt each, in order. `hostname` is the
    /// argument of EHLO. Needs a runtime with several threads, as a large body is read from the disk in this one.
    pub(crate) async fn send(
        &self,
        target: &Target,
        hostname: &str,
        stored: &StoredMessage,
        indexes: &[u32],
    ) -> Vec<Attempt> {
        let mut handover = Handover::new(stored, indexes, hostname);
        if handover.is_over() {
            return handover.finish();
        }
        let Some(settings) = self.settings(hostname) else {
            let failure = Failure::local("4.3.5", format!("{hostname:?} is no name for EHLO"));
            handover.decide_open(&Verdict::deferred(failure));
            return handover.finish();
        };
        let spent = self.use_idle(target, &settings, &mut handover).await;
        if !handover.is_over() {
            match resolve(target).await {
                Ok(mut addresses) => {
                    addresses.retain(|&address| Some(address) != spent);
                    self.use_addresses(target, &addresses, &settings, &mut handover).await;
                }
                Err(error) => {
                    let diagnostic = format!("cannot find the address of {}: {error}", target.host);
                    tracing::debug!(queue_id = %stored.id, "{diagnostic}");
                    handover.decide_open(&Verdict::deferred(Failure::local("4.4.3", diagnostic)));
                }
            }
        }
        handover.finish()
    }

    fn settings(&self, hostname: &str) -> Option<Arc<Settings>> {
        let client_name: ClientName = hostname.parse().ok()?;
        Some(Arc::new(Settings { tls: Tls::Off, timeouts: self.timeouts, ..Settings::new(client_name) }))
    }

    /// Sends over a connection that is open already. Gives its address when that need not be asked again.
    async fn use_idle(
        &self,
        target: &Target,
        settings: &Settings,
        handover: &mut Handover<'_>,
    ) -> Option<SocketAddr> {
        let connection = self.idle.take(target, &settings.client_name, clock::monotonic())?;
        let address = connection.server().address;
        self.run(target, connection, handover).await;
        let is_spent = handover.open() == 0;
        handover.next_host();
        is_spent.then_some(address)
    }

    /// Tries the addresses in order until every recipient is decided.
    async fn use_addresses(
        &self,
        target: &Target,
        addresses: &[SocketAddr],
        settings: &Arc<Settings>,
        handover: &mut Handover<'_>,
    ) {
        for &address in addresses {
            handover.next_host();
            while handover.open() > 0 {
                let before = handover.open();
                let server = Server { host: target.host.clone(), address };
                match Connection::open(server, Arc::clone(settings)).await {
                    Ok(connection) => self.run(target, connection, handover).await,
                    Err(verdict) => handover.decide_open(&verdict),
                }
                // Recipients that didn't fit into one transaction or session go into the next, if that gets on.
                if handover.open() >= before {
                    break;
                }
            }
        }
    }

    /// Sends over one connection until no recipient is left for it, then keeps it.
    async fn run(&self, target: &Target, mut connection: Connection, handover: &mut Handover<'_>) {
        loop {
            let before = handover.open();
            let is_reused = connection.transactions() > 0;
            let (places, transaction) = handover.transaction(connection.extensions());
            let outcome = connection.transact(transaction, handover.body()).await;
            let server = connection.server();
            let Some(outcome) = outcome.filter(|outcome| outcome.recipients.len() == places.len()) else {
                handover.decide_open(&Verdict::unexpected(server));
                return;
            };
            if is_reused && is_stale(&outcome) {
                tracing::debug!(%server, "the connection was given up meanwhile; another one is made");
                return;
            }
            let verdict = |recipient| Verdict::of(server, recipient, outcome.dsn_offered);
            handover.decide(places.into_iter().zip(outcome.recipients.iter().map(verdict)).collect());
            if !connection.is_ready() {
                return;
            }
            if handover.open() == 0 || handover.open() >= before {
                self.idle.put(target, connection, clock::monotonic());
                return;
            }
        }
    }
}

/// The addresses of a host, at least one, in the resolver's order.
async fn resolve(target: &Target) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = target.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, target.port)]);
    }
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await??;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(io::Error::other("it has none")) } else { Ok(addresses) }
}

#[cfg(test)]
mod scripted;
#[cfg(test)]
mod tests;
