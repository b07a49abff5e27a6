//! The server at the other end of a connection, and what makes one connection as good as another.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use smtp::address::AddressLiteral;
use smtp::client::timeouts::Timeouts;
use smtp::client::{Credentials, Protocol, Settings, Tls};
use smtp::command::ClientName;

use crate::deliver::next_hop::{Bar, Endpoint, NextHop, NextHost, Sources, TlsLevel, TlsPlan};
use crate::net::tls_result::PolicyKind;

/// A server as a connection to it is made: connections with equal peers serve the same mail.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Peer {
    /// Its name, its address without brackets, or the path of its socket.
    pub(super) name: String,
    /// Where it listens.
    pub(super) endpoint: Endpoint,
    /// What is spoken.
    pub(super) protocol: Protocol,
    /// How the connection is protected.
    pub(super) tls: TlsPlan,
    /// Who is logged in.
    pub(super) user: Option<String>,
    /// Where the connection comes from.
    pub(super) sources: Sources,
    /// What EHLO says.
    pub(super) client_name: ClientName,
}

impl Peer {
    /// The peer that a host of a next hop is to the program under the name `client_name`.
    pub(super) fn new(next_hop: &NextHop, host: &NextHost, client_name: &ClientName) -> Self {
        Self {
            name: host.name.clone(),
            endpoint: host.endpoint.clone(),
            protocol: next_hop.protocol,
            tls: host.tls.clone(),
            user: next_hop.credentials.as_ref().map(|credentials| credentials.user().to_owned()),
            sources: next_hop.sources,
            client_name: client_name.clone(),
        }
    }

    /// The peer for a message whose author would rather have it arrive than protected: without what the recipients'
    /// domain asks for, not without what the site does (RFC 8689 §4.3). Nobody is told what comes of it: reports of TLS that
    /// fails come so (RFC 8460 §3).
    pub(super) fn relaxed(mut self) -> Self {
        if is_found(&self.tls) {
            self.tls.level = TlsLevel::Opportunistic;
            self.tls.reported = None;
        }
        self
    }

    /// What the client's session goes by. `in_clear` leaves out STARTTLS, after a handshake that failed.
    pub(super) fn settings(
        &self,
        credentials: Option<&Credentials>,
        timeouts: Timeouts,
        in_clear: bool,
    ) -> Arc<Settings> {
        let tls = match (&self.tls.level, self.tls.implicit) {
            (TlsLevel::Off, _) => Tls::Off,
            (_, true) => Tls::Implicit,
            (TlsLevel::Opportunistic | TlsLevel::Tested(_), false) if in_clear => Tls::Off,
            (TlsLevel::Opportunistic | TlsLevel::Tested(_), false) => Tls::Opportunistic,
            (
                TlsLevel::Encrypted | TlsLevel::Verified(_) | TlsLevel::Dane { .. } | TlsLevel::Barred(_),
                false,
            ) => Tls::Required,
        };
        Arc::new(Settings {
            protocol: self.protocol,
            tls,
            credentials: credentials.cloned(),
            auth_in_clear: self.is_local(),
            timeouts,
            ..Settings::new(self.client_name.clone())
        })
    }

    /// Whether it takes what demands REQUIRETLS, should it offer that: TLS with it is with nobody else (RFC 8689 §4.2.1).
    pub(super) fn is_trusted(&self) -> bool {
        self.is_store() || matches!(self.tls.level, TlsLevel::Verified(_) | TlsLevel::Dane { .. })
    }

    /// Whether mail may go to it in clear text when TLS fails.
    pub(super) fn may_fall_to_clear_text(&self) -> bool {
        matches!(self.tls.level, TlsLevel::Opportunistic | TlsLevel::Tested(_)) && !self.tls.implicit
    }

    /// Why no mail may go to it for now.
    pub(super) fn bar(&self) -> Option<&Bar> {
        match &self.tls.level {
            TlsLevel::Barred(bar) => Some(bar),
            _ => None,
        }
    }

    /// Whether it is this machine's own message store: what goes there is delivered, and not relayed (RFC 2033 §1).
    pub(super) fn is_store(&self) -> bool {
        self.protocol == Protocol::Lmtp && self.is_local()
    }

    /// Whether what is sent to it never leaves this machine.
    fn is_local(&self) -> bool {
        match &self.endpoint {
            Endpoint::Tcp(address) => address.ip().to_canonical().is_loopback(),
            Endpoint::Unix(_) => true,
        }
    }

    /// Its address.
    pub(super) fn address(&self) -> Option<IpAddr> {
        match &self.endpoint {
            Endpoint::Tcp(address) => Some(address.ip()),
            Endpoint::Unix(_) => None,
        }
    }

    /// Its name as a DSN has it: an address stands in brackets (RFC 3464 §2.1.2), and what listens on a socket of this
    /// machine is this machine.
    pub(super) fn mta_name(&self) -> String {
        match (&self.endpoint, self.name.parse()) {
            (Endpoint::Unix(_), _) => String::from("localhost"),
            (Endpoint::Tcp(_), Ok(IpAddr::V4(address))) => AddressLiteral::V4(address).to_string(),
            (Endpoint::Tcp(_), Ok(IpAddr::V6(address))) => AddressLiteral::V6(address).to_string(),
            (Endpoint::Tcp(_), Err(_)) => self.name.clone(),
        }
    }
}

impl fmt::Display for Peer {
    /// `mx.example.org (192.0.2.1:25)`; an address and a path stand alone.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.endpoint {
            Endpoint::Tcp(address) if self.name.parse() == Ok(address.ip()) => write!(formatter, "{address}"),
            Endpoint::Tcp(address) => write!(formatter, "{} ({address})", self.name),
            Endpoint::Unix(path) => write!(formatter, "{}", path.display()),
        }
    }
}

/// Whether it is the recipients' domain that asks for the plan's level.
pub(super) fn is_found(plan: &TlsPlan) -> bool {
    let found = plan.reported.as_ref().map(|policy| policy.kind);
    let is_strict = !matches!(plan.level, TlsLevel::Off | TlsLevel::Opportunistic | TlsLevel::Tested(_));
    is_strict && matches!(found, Some(PolicyKind::Sts | PolicyKind::Tlsa))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A peer on TCP without TLS.
    pub(crate) fn on_tcp(name: &str, address: &str) -> Peer {
        Peer {
            name: name.to_owned(),
            endpoint: Endpoint::Tcp(address.parse().unwrap()),
            protocol: Protocol::Smtp,
            tls: TlsPlan { level: TlsLevel::Off, implicit: false, reported: None },
            user: None,
            sources: Sources::default(),
            client_name: "gatepost.example".parse().unwrap(),
        }
    }

    #[test]
    fn names_are_those_of_a_dsn_and_of_a_log() {
        let named = on_tcp("mx.example.org", "192.0.2.1:25");
        assert_eq!(
            (named.mta_name(), named.to_string()),
            ("mx.example.org".into(), "mx.example.org (192.0.2.1:25)".into())
        );
        let literal = on_tcp("192.0.2.1", "192.0.2.1:25");
        assert_eq!((literal.mta_name(), literal.to_string()), ("[192.0.2.1]".into(), "192.0.2.1:25".into()));
        let literal = on_tcp("2001:db8::1", "[2001:db8::1]:25");
        assert_eq!(literal.mta_name(), "[IPv6:2001:db8::1]");
        let socket = Peer { endpoint: Endpoint::Unix("/run/lmtp".into()), ..named };
        assert_eq!((socket.mta_name(), socket.to_string()), ("localhost".into(), "/run/lmtp".into()));
    }

    #[test]
    fn only_opportunistic_tls_ever_falls_to_clear_text() {
        let names: Arc<[String]> = Arc::from([String::from("mx.example.org")]);
        let dane = TlsLevel::Dane { records: Arc::from([]), names: Arc::clone(&names) };
        for (level, implicit, usual, after_failure) in [
            (TlsLevel::Off, false, Tls::Off, Tls::Off),
            (TlsLevel::Opportunistic, false, Tls::Opportunistic, Tls::Off),
            (TlsLevel::Opportunistic, true, Tls::Implicit, Tls::Implicit),
            (TlsLevel::Tested(Arc::clone(&names)), false, Tls::Opportunistic, Tls::Off),
            (TlsLevel::Encrypted, false, Tls::Required, Tls::Required),
            (TlsLevel::Verified(names), false, Tls::Required, Tls::Required),
            (dane.clone(), false, Tls::Required, Tls::Required),
            (dane, true, Tls::Implicit, Tls::Implicit),
        ] {
            let peer = Peer {
                tls: TlsPlan { level, implicit, reported: None },
                ..on_tcp("mx.example.org", "192.0.2.1:25")
            };
            assert_eq!(peer.settings(None, Timeouts::default(), false).tls, usual, "{:?}", peer.tls);
            assert_eq!(peer.settings(None, Timeouts::default(), true).tls, after_failure, "{:?}", peer.tls);
        }
    }

    #[test]
    fn credentials_go_in_clear_text_to_this_machine_only() {
        let in_clear = |peer: &Peer| peer.settings(None, Timeouts::default(), false).auth_in_clear;
        assert!(!in_clear(&on_tcp("mx.example.org", "192.0.2.1:25")));
        assert!(in_clear(&on_tcp("localhost", "127.0.0.1:25")));
        assert!(in_clear(&on_tcp("localhost", "[::ffff:127.0.0.1]:25")));
        let socket = Endpoint::Unix("/run/lmtp".into());
        assert!(in_clear(&Peer { endpoint: socket, ..on_tcp("x", "192.0.2.1:25") }));
    }
}
