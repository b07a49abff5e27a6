//! The configuration: one TOML file, and the tables of addresses that it names.
//!
//! Invariants: a [`Config`] never changes: a reload makes another one, and a file with an error makes none. All problems
//! of a file are reported at once, each with its place. [`keys`] is the one source of what can be written, and of the
//! reference.

mod address_form;
mod agent;
mod auth;
mod beside;
mod check;
mod domain;
mod form;
mod key;
mod keys;
mod keys_auth;
mod keys_in;
mod keys_out;
mod keys_tls;
mod load;
mod loops;
mod network;
mod problem;
mod read;
mod reference;
mod reports;
mod route;
mod signing;
mod table;
mod table_source;
mod tls;
mod tls_inwards;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use smtp::address::DomainName;

pub(crate) use address_form::Target;
pub use agent::{Account, Agent, Argument, Placeholder};
pub(crate) use form::size_octets;
pub use load::{Loaded, STILL, Tables, load, zero_configuration};
pub(crate) use load::{Stamp, read_text};
pub use network::{Network, NetworkError, any_contains};
pub use problem::{Place, Problem, Severity, SourceFile};
pub use read::{Parsed, parse};
pub use reference::reference;
pub use reports::ReportSettings;
pub(crate) use route::hop;
pub use route::{Access, DomainPattern, Hop, Login, Relaying, Route, TlsChoice, key_of, route_for};
pub use signing::{ArcSettings, DkimSettings, KeyFile, SigningSettings, SrsSettings};
pub use tls::TlsSettings;
pub use tls_inwards::{CertificateFiles, InwardTls, NamedFile, Offer, TlsVersion};

use crate::auth::AuthSettings;
use crate::journal;
use crate::mailboxes::Declared;
use crate::tables::TableSettings;

/// All that a site chooses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The server's own name.
    pub hostname: DomainName,
    /// Where clients connect.
    pub listen: Listen,
    /// What a client may use.
    pub limits: Limits,
    /// Who may do what.
    pub clients: Clients,
    /// Who may ask for mailboxes.
    pub verify: Verify,
    /// When there is no room for more mail.
    pub spool: Watermarks,
    /// How clients and messages are decided upon.
    pub policy: PolicyChoice,
    /// When delivery is tried again.
    pub queue: RetrySchedule,
    /// How mail for other domains leaves.
    pub relaying: Relaying,
    /// Ways for some domains.
    pub routes: Vec<Route>,
    /// How connections to other servers are protected.
    pub tls: TlsSettings,
    /// How connections from clients are protected.
    pub inward_tls: InwardTls,
    /// Who signs mail that leaves, and rewrites the reverse-paths of what is forwarded.
    pub signing: SigningSettings,
    /// How names are looked up.
    pub dns: DnsSettings,
    /// Where addresses are said to be.
    pub geo: Geo,
    /// Tables that stand elsewhere.
    pub tables: Vec<TableSettings>,
    /// Domains and their addresses.
    pub mailboxes: Declared,
    /// The least grave that is logged.
    pub log_level: LogLevel,
    /// What is remembered of sessions.
    pub journal: journal::Settings,
    /// Which reports are sent to other domains.
    pub reports: ReportSettings,
    /// How users log in.
    pub auth: AuthSettings,
    /// What is taken from users of this machine.
    pub sendmail: Sendmail,
}

/// What is taken from users of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sendmail {
    /// Whether anything is.
    pub enabled: bool,
    /// The domain of addresses without one, where it is not the usual one.
    pub domain: Option<DomainName>,
    /// Messages that a user may hand in in 24 hours.
    pub messages_per_day: Option<u32>,
    /// Recipients of these.
    pub recipients_per_day: Option<u32>,
}

/// Where clients connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// For mail from other servers; at least one, none twice.
    pub mx: Vec<SocketAddr>,
    /// For mail that users submit; none that is in `mx`.
    pub submission: Vec<SocketAddr>,
    /// The same, under TLS from the first octet on; none that is in the others.
    pub submissions: Vec<SocketAddr>,
}

/// Whom a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListenerKind {
    /// Other servers.
    Mx,
    /// Users that submit mail (RFC 6409).
    Submission,
    /// The same, under TLS from the first octet on (RFC 8314 §3.3).
    Submissions,
    /// The machine's own users and programs, over a socket of its file system.
    Local,
}

impl ListenerKind {
    /// The word for it in the configuration and in logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Local => "local",
        }
    }

    /// The word for it in policies.
    #[must_use]
    pub const fn role(self) -> &'static str {
        match self {
            Self::Mx => "mx",
            Self::Submission | Self::Submissions => "submission",
            Self::Local => "local",
        }
    }

    /// Whether users submit mail there, from anywhere.
    #[must_use]
    pub const fn is_submission(self) -> bool {
        matches!(self, Self::Submission | Self::Submissions)
    }
}

impl Listen {
    /// Every address, with whom it is for.
    pub fn all(&self) -> impl Iterator<Item = (ListenerKind, SocketAddr)> {
        let of = |kind| move |address: &SocketAddr| (kind, *address);
        let mx = self.mx.iter().map(of(ListenerKind::Mx));
        mx.chain(self.submission.iter().map(of(ListenerKind::Submission)))
            .chain(self.submissions.iter().map(of(ListenerKind::Submissions)))
    }
}

/// What a client may use. Those for one address, one network and new connections are only for clients that
/// [`Config::is_limited`] names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in octets.
    pub message_octets: u64,
    /// Most recipients in a transaction.
    pub recipients: u32,
    /// Most messages in a session.
    pub messages_per_session: u32,
    /// Errors after which a session is closed.
    pub errors: u32,
    /// Most connections.
    pub connections: u32,
    /// Most connections from one address.
    pub connections_per_address: u32,
    /// Most connections from one network, see [`client_network`].
    pub connections_per_network: u32,
    /// Most new connections a minute from one address.
    pub new_connections_per_minute: u32,
    /// Most TLS handshakes with clients at a time.
    pub handshakes: u32,
    /// Longest TLS handshake.
    pub handshake_timeout: Duration,
    /// Longest wait for a command.
    pub command_timeout: Duration,
    /// Longest wait for more mail data.
    pub data_timeout: Duration,
    /// Longest session.
    pub session_timeout: Duration,
    /// Longest wait for transactions in flight at shutdown.
    pub drain_timeout: Duration,
}

/// Who may do what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clients {
    /// May relay, once there is a way out; see [`Config::may_relay`].
    pub relay: Vec<Network>,
    /// May see counts.
    pub trusted: Vec<Network>,
    /// Say with a header of the PROXY protocol for whom they connect.
    pub proxies: Vec<Network>,
    /// Are greeted with 554; the first that holds a client counts.
    pub refused: Vec<RefusedClient>,
    /// What becomes of clients that send before the greeting.
    pub early_talkers: EarlyTalkers,
    /// How long the greeting waits.
    pub greeting_delay: Duration,
}

/// Clients that are refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedClient {
    /// Which.
    pub network: Network,
    /// What they are told, unless it is the usual text.
    pub text: Option<String>,
}

/// What becomes of clients that send before the greeting (RFC 5321 §4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyTalkers {
    /// They are served, and noted.
    Note,
    /// They are greeted with 554.
    Refuse,
}

/// Who may ask for mailboxes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verify {
    /// What VRFY answers clients that are not in `vrfy_clients`.
    pub vrfy: OtherClients,
    /// Are told the truth by VRFY.
    pub vrfy_clients: Vec<Network>,
    /// May EXPN.
    pub expn_clients: Vec<Network>,
}

/// What VRFY answers clients that may not be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OtherClients {
    /// 252 for every address.
    Conceal,
    /// 502.
    Off,
}

/// Below any of these there is no room for more mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Watermarks {
    /// Space that stays free, in octets.
    pub min_free_octets: u64,
    /// Part of the file system that stays free.
    pub min_free_percent: u32,
    /// Inodes that stay free.
    pub min_free_inodes: u64,
}

/// How clients and messages are decided upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyChoice {
    /// The policy's file, as a path that can be opened, and where the configuration names it.
    pub file: Option<(PathBuf, Place)>,
    /// Longest wait for the facts of one decision.
    pub deadline: Duration,
    /// Whether messages get an Authentication-Results field.
    pub authentication_results: bool,
}

/// When delivery is tried again (RFC 5321 §4.5.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule {
    /// Wait before the second attempt.
    pub first: Duration,
    /// How many times longer each wait is than the one before.
    pub factor: u32,
    /// Longest wait.
    pub max: Duration,
    /// When the message goes back.
    pub lifetime: Duration,
    /// When its sender hears of the delay.
    pub delay_warning: Duration,
    /// Most messages a minute that leave from one sender of the site's own.
    pub sender_rate: Option<u32>,
    /// How long deliveries under way may go on at shutdown.
    pub stop_timeout: Duration,
}

/// The server that takes mail for other domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartHost {
    /// Which.
    pub host: Host,
    /// Its TCP port, never 0.
    pub port: u16,
}

/// Files that say where addresses are; relative paths are resolved.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Geo {
    /// Countries.
    pub country: Option<PathBuf>,
    /// Autonomous systems.
    pub asn: Option<PathBuf>,
}

/// A server, by name or address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// A name to look up; it may have U-labels.
    Name(DomainName),
    /// An address.
    Address(IpAddr),
}

/// How names are looked up in the DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsSettings {
    /// Recursive servers; empty: the system's.
    pub servers: Vec<SocketAddr>,
    /// Longest wait for an answer before the question is asked again.
    pub timeout: Duration,
    /// How often a question is asked, at least once.
    pub attempts: u32,
    /// Most answers that are kept.
    pub cache_entries: u32,
    /// Whether answers are validated here (RFC 4035).
    pub dnssec: bool,
    /// The file of keys in which validating starts; `None`: the root's.
    pub trust_anchors: Option<PathBuf>,
}

/// The least grave that is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Only what needs the operator.
    Error,
    /// Also what may need him.
    Warn,
    /// Also each message's way.
    Info,
    /// Also each session's commands.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The word for it, as in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

impl Config {
    /// Whether the client may send mail for other domains: it is one of `clients.relay`, and there is a way for such
    /// mail to go. A relay without a way would only fill the queue.
    #[must_use]
    pub fn may_relay(&self, client: IpAddr) -> bool {
        self.has_way_out() && any_contains(&self.clients.relay, client)
    }

    /// Whether there is a way for mail to some other domain at all.
    #[must_use]
    pub fn has_way_out(&self) -> bool {
        let leads_out = |route: &Route| !route.domains.is_empty();
        !self.relaying.smart_hosts.is_empty()
            || self.relaying.mx
            || !self.relaying.routes_from.is_empty()
            || self.routes.iter().any(leads_out)
    }

    /// The route of this name.
    #[must_use]
    pub fn route(&self, name: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.name == name)
    }

    /// Whether the limits for one address, one network and new connections hold for the client: not for those of
    /// `clients.relay`, which are the site's own.
    #[must_use]
    pub fn is_limited(&self, client: IpAddr) -> bool {
        !any_contains(&self.clients.relay, client)
    }

    /// Whether the client may see counts.
    #[must_use]
    pub fn is_trusted(&self, client: IpAddr) -> bool {
        any_contains(&self.clients.trusted, client)
    }

    /// The rule that refuses the client, if one does.
    #[must_use]
    pub fn refused(&self, client: IpAddr) -> Option<&RefusedClient> {
        self.clients.refused.iter().find(|refused| refused.network.contains(client))
    }
}

/// The network that `connections_per_network` counts the client in: IPv4 /24, IPv6 /64.
#[must_use]
pub fn client_network(client: IpAddr) -> Network {
    let client = client.to_canonical();
    Network::of(client, if client.is_ipv4() { 24 } else { 64 })
}

#[cfg(test)]
mod tests;
