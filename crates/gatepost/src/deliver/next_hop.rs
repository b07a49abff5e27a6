//! Where a delivery is handed over: what routing finds out and relaying goes by.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use hickory_resolver::proto::rr::rdata::TLSA;
use smtp::client::{Credentials, Protocol};

use crate::net::tls_result::{ReportedPolicy, TlsFailure};

/// The servers that take a delivery, any one of them.
#[derive(Debug, Clone)]
pub(crate) struct NextHop {
    /// What is spoken.
    pub(crate) protocol: Protocol,
    /// The hosts in the order in which they are tried, one for each of their addresses; at least one.
    pub(crate) hosts: Vec<NextHost>,
    /// Who to log in as.
    pub(crate) credentials: Option<Credentials>,
    /// Where connections come from.
    pub(crate) sources: Sources,
}

/// A host at one of its addresses.
#[derive(Debug, Clone)]
pub(crate) struct NextHost {
    /// Its name as the route or the MX record has it, its address without brackets, or the path of its socket.
    pub(crate) name: String,
    /// Where it listens.
    pub(crate) endpoint: Endpoint,
    /// How the connection is protected.
    pub(crate) tls: TlsPlan,
}

/// Where a host listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Endpoint {
    /// On TCP.
    Tcp(SocketAddr),
    /// On a Unix socket.
    Unix(PathBuf),
}

/// The local addresses of outgoing connections; `None`: the system chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Sources {
    /// To IPv4 hosts.
    pub(crate) v4: Option<Ipv4Addr>,
    /// To IPv6 hosts.
    pub(crate) v6: Option<Ipv6Addr>,
}

/// How a connection is protected.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct TlsPlan {
    /// What is asked of it.
    pub(crate) level: TlsLevel,
    /// Whether the connection begins with the handshake (RFC 8314 §3.3) instead of STARTTLS.
    pub(crate) implicit: bool,
    /// The domain's policy that outcomes are reported under (RFC 8460); `None`: they are not.
    pub(crate) reported: Option<Arc<ReportedPolicy>>,
}

impl TlsPlan {
    /// What the site asks for itself, which is reported to nobody.
    pub(crate) const fn chosen(level: TlsLevel, implicit: bool) -> Self {
        Self { level, implicit, reported: None }
    }
}

/// What is asked of a connection's protection.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum TlsLevel {
    /// No TLS.
    Off,
    /// TLS with any certificate when it is offered, clear text when not or when the handshake fails (RFC 7435).
    Opportunistic,
    /// As opportunistic, under a policy that its domain only tests: it is reported whether the certificate is one of a
    /// trusted authority for one of these names; without names it is never the right one (RFC 8461 §5).
    Tested(Arc<[String]>),
    /// TLS with any certificate, or no mail.
    Encrypted,
    /// TLS with a certificate of a trusted authority for one of these names, or no mail.
    Verified(Arc<[String]>),
    /// TLS with a certificate that matches one of these records (RFC 7672); the names count for records that name an
    /// authority (usage DANE-TA).
    Dane {
        /// The usable TLSA records, at least one.
        records: Arc<[TLSA]>,
        /// The names of which a certificate below a DANE-TA authority must have one; the first is the TLSA base domain,
        /// which is asked for in the handshake (RFC 7672 §8.1).
        names: Arc<[String]>,
    },
    /// No mail at all: what must hold for it can't be found out, or doesn't.
    Barred(Arc<Bar>),
}

/// Why no mail may go to a host for now.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Bar {
    /// As it is reported.
    pub(crate) failure: TlsFailure,
    /// For people, with the host's name.
    pub(crate) text: String,
}
