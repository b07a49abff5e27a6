//! Ways out of the server: the smart hosts and MX delivery of `[relay]`, and the routes of `[route."NAME"]`.
//!
//! Invariants: a host that was read can be connected to; a password stands in no message and no log.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use smtp::address::Domain;
use smtp::client::Protocol;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::address_form::{domain_name, host_and_port};
use super::agent::{Agent, read_agent};
use super::domain::TableFiles;
use super::form::{Fault, Form, text_of};
use super::key::{Table, as_table, in_order};
use super::problem::{Place, Problem};
use super::read::{plain, resolved};
use super::tls::demand_dnssec;
use super::{Config, Host, SmartHost, keys};
use crate::mailboxes::domain_key;

/// The port of SMTP, and of LMTP where none is written (RFC 5321 §4.5.4.2, RFC 2033 §5 leaves it to agreement).
const SMTP_PORT: u16 = 25;

/// The port of LMTP by common use.
const LMTP_PORT: u16 = 24;

/// The port of submission that begins with TLS (RFC 8314 §7.3).
const SUBMISSIONS_PORT: u16 = 465;

/// How mail for other domains leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relaying {
    /// The servers that take all mail without a route, in the order in which they are tried.
    pub smart_hosts: Vec<SmartHost>,
    /// Tables of routes for domains without one, in the order in which they are asked.
    pub routes_from: Vec<Arc<str>>,
    /// Whether mail goes to the MX hosts of its domain when there is neither a route nor a smart host for it.
    pub mx: bool,
    /// The port of MX hosts.
    pub mx_port: u16,
    /// Whether MX hosts may have addresses of this machine's own loopback network.
    pub mx_loopback: bool,
    /// How the servers are used.
    pub access: Access,
}

/// How a server is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// Who to log in as.
    pub login: Option<Login>,
    /// What is asked of TLS; `None`: whatever is usual there.
    pub tls: Option<TlsChoice>,
    /// Where connections to IPv4 hosts come from.
    pub source_ipv4: Option<Ipv4Addr>,
    /// Where connections to IPv6 hosts come from.
    pub source_ipv6: Option<Ipv6Addr>,
    /// Most deliveries at a time.
    pub connections: Option<u32>,
    /// Most messages a minute.
    pub rate: Option<u32>,
}

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Login({:?}, a password)", self.user)
    }
}

/// What is asked of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsChoice {
    /// None.
    Off,
    /// TLS when it is offered, whatever the certificate.
    Opportunistic,
    /// TLS, whatever the certificate.
    Encrypted,
    /// TLS with a certificate for the host's name.
    Verified,
    /// TLS with a certificate that a proven TLSA record names.
    Dane,
}

/// A way for some domains.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its name.
    pub name: String,
    /// The domains whose mail goes this way.
    pub domains: Vec<DomainPattern>,
    /// Where to, in the order in which it is tried; at least one, unless it has an `agent`.
    pub hops: Vec<Hop>,
    /// The command that delivers instead.
    pub agent: Option<Agent>,
    /// How the servers are used.
    pub access: Access,
}

/// Where a route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hop {
    /// To the MX hosts of the recipient's domain.
    Mx,
    /// To this host.
    Host {
        /// What it speaks.
        protocol: Protocol,
        /// Whether the connection begins with TLS.
        implicit_tls: bool,
        /// Which host.
        host: SmartHost,
    },
    /// To this Unix socket.
    Socket {
        /// What is spoken there.
        protocol: Protocol,
        /// Its path.
        path: PathBuf,
    },
}

impl Hop {
    /// What is spoken there.
    const fn protocol(&self) -> Protocol {
        match self {
            Self::Mx => Protocol::Smtp,
            Self::Host { protocol, .. } | Self::Socket { protocol, .. } => *protocol,
        }
    }
}

/// A domain, or all below one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DomainPattern {
    /// This one, in its normal form.
    Exact(String),
    /// All below it.
    Below(String),
    /// All.
    Any,
}

impl DomainPattern {
    /// How closely it fits `domain` (in its normal form); `None` when it does not.
    fn closeness(&self, domain: &str) -> Option<usize> {
        match self {
            Self::Exact(own) => (own == domain).then_some(usize::MAX),
            Self::Below(own) => {
                let below = domain.strip_suffix(own.as_str())?.strip_suffix('.')?;
                (!below.is_empty()).then_some(own.len())
            }
            Self::Any => Some(0),
        }
    }
}

/// The normal form of a domain, in which it is compared: in lower case, U-labels as A-labels.
#[must_use]
pub fn key_of(domain: &Domain) -> String {
    let text = domain.to_string();
    match domain_key(&text) {
        Some(key) => key.into_owned(),
        None => text.to_ascii_lowercase(),
    }
}

/// The route for mail to `domain`: the one that names it most closely.
#[must_use]
pub fn route_for<'r>(routes: &'r [Route], domain: &Domain) -> Option<&'r Route> {
    let patterns = routes.iter().flat_map(|route| route.domains.iter().map(move |own| (own, route)));
    closest(patterns, &key_of(domain))
}

/// What goes with the pattern that names `domain`, which is in its normal form, most closely; the last one of equals.
pub(super) fn closest<'p, T>(
    patterns: impl Iterator<Item = (&'p DomainPattern, T)>,
    domain: &str,
) -> Option<T> {
    let fitting = patterns.filter_map(|(own, what)| Some((own.closeness(domain)?, what)));
    fitting.max_by_key(|(closeness, _)| *closeness).map(|(_, what)| what)
}

/// A domain, `*.` and a domain, or `*`.
pub(crate) struct PatternForm;

impl Form for PatternForm {
    type Value = DomainPattern;

    fn describe(&self) -> String {
        "a domain, or `*.` and a domain for all below it".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<DomainPattern> {
        let text = text_of(value, "a domain", faults)?;
        match pattern(text) {
            Ok(pattern) => Some(pattern),
            Err(why) => {
                let advice = "write \"example.org\", \"*.example.org\" for all below it, or \"*\" for all";
                let title = format!("`{text}` is not a domain");
                faults.push(Fault::new(value.span(), title, why).help(Some(advice.into())));
                None
            }
        }
    }
}

/// The domains that a text names, or why none.
pub(super) fn pattern(text: &str) -> Result<DomainPattern, String> {
    if text == "*" {
        return Ok(DomainPattern::Any);
    }
    let below = text.strip_prefix("*.");
    let key = key_of(&Domain::Name(domain_name(below.unwrap_or(text))?));
    Ok(if below.is_some() { DomainPattern::Below(key) } else { DomainPattern::Exact(key) })
}

/// Where a route leads.
pub(crate) struct HopForm;

impl Form for HopForm {
    type Value = Hop;

    fn describe(&self) -> String {
        "`mx`, `smtp://HOST:PORT`, `smtps://HOST`, `lmtp://HOST:PORT`, or `lmtp:/PATH` for a Unix socket"
            .into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Hop> {
        let text = text_of(value, "where a route leads", faults)?;
        match hop(text) {
            Ok(hop) => Some(hop),
            Err(why) => {
                let advice = "write \"mx\", \"smtp://mail.example.net:25\", \"smtps://mail.example.net\", \
                              \"lmtp://127.0.0.1:24\" or \"lmtp:/run/dovecot/lmtp\"";
                let title = format!("`{text}` leads nowhere");
                faults.push(Fault::new(value.span(), title, why).help(Some(advice.into())));
                None
            }
        }
    }
}

/// Where a route's text leads, or why nowhere.
pub(crate) fn hop(text: &str) -> Result<Hop, String> {
    if text == "mx" {
        return Ok(Hop::Mx);
    }
    let (scheme, rest) = text.split_once(':').ok_or("expected `mx`, `smtp:`, `smtps:` or `lmtp:`")?;
    let (protocol, implicit_tls, port) = match scheme {
        "smtp" => (Protocol::Smtp, false, SMTP_PORT),
        "smtps" => (Protocol::Smtp, true, SUBMISSIONS_PORT),
        "lmtp" => (Protocol::Lmtp, false, LMTP_PORT),
        _ => return Err("expected `mx`, `smtp:`, `smtps:` or `lmtp:`".into()),
    };
    if let Some(host) = rest.strip_prefix("//") {
        let host = host_and_port(host, Some(port))?;
        return Ok(Hop::Host { protocol, implicit_tls, host });
    }
    if rest.starts_with('/') && !implicit_tls && !rest.contains('\0') {
        return Ok(Hop::Socket { protocol, path: rest.into() });
    }
    Err(format!("expected `{scheme}://` and a host"))
}

/// An IPv4 or an IPv6 address to connect from.
pub(crate) struct SourceForm<A>(pub(crate) &'static str, pub(crate) std::marker::PhantomData<A>);

impl<A: std::str::FromStr + Clone + Sync> Form for SourceForm<A> {
    type Value = A;

    fn describe(&self) -> String {
        self.0.to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<A> {
        let text = text_of(value, self.0, faults)?;
        let address = text.parse().ok();
        if address.is_none() {
            let title = format!("`{text}` is not {}", self.0);
            faults.push(Fault::new(value.span(), title, format!("expected {}", self.0)));
        }
        address
    }
}

/// Reads `[relay]`.
pub(super) fn read_relaying(
    top: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Relaying {
    let table = top.section("relay", &keys::RELAYING, problems);
    Relaying {
        smart_hosts: plain(table.read(&keys::SMART_HOST, problems)),
        routes_from: plain(table.read(&keys::ROUTES_FROM, problems)).into_iter().map(Arc::from).collect(),
        mx: table.read(&keys::MX, problems),
        mx_port: u16::try_from(table.read(&keys::MX_PORT, problems)).unwrap_or(SMTP_PORT),
        mx_loopback: table.read(&keys::MX_LOOPBACK, problems),
        access: read_access((top, &table), files, problems),
    }
}

fn read_access(
    (top, table): (&Table<'_>, &Table<'_>),
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Access {
    let user = table.read(&keys::USER, problems);
    let file = table.read(&keys::PASSWORD_FILE, problems);
    let login = match (user, file) {
        (Some(user), Some(file)) => {
            let place = table.frame.place(file.span());
            read_password(file.get_ref(), place, files, problems).map(|password| Login { user, password })
        }
        (None, None) => None,
        (user, _) => {
            let (there, missing) =
                if user.is_some() { ("user", "password_file") } else { ("password_file", "user") };
            let place = table.place(there).unwrap_or_else(|| table.frame.place(0..0));
            let title = format!("`{there}` without `{missing}`");
            problems.push(Problem::error(title, place, format!("nobody can log in without `{missing}`")));
            None
        }
    };
    let tls = table.read(&keys::RELAY_TLS, problems);
    if tls == Some(TlsChoice::Dane) {
        demand_dnssec(top, table.place("tls").unwrap_or_else(|| table.frame.place(0..0)), problems);
    }
    Access {
        login,
        tls,
        source_ipv4: table.read(&keys::SOURCE_IPV4, problems),
        source_ipv6: table.read(&keys::SOURCE_IPV6, problems),
        connections: table.read(&keys::OUT_CONNECTIONS, problems),
        rate: table.read(&keys::OUT_RATE, problems),
    }
}

/// The first line of the file.
fn read_password(
    file: &str,
    place: Place,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Option<String> {
    let path = resolved(files.base, file);
    files.beside(&path, problems, |text| {
        let text = text.map_err(|error| {
            let title = format!("cannot read `{file}`");
            Box::new(Problem::error(title, place.clone(), error.to_string()))
        })?;
        match text.lines().next().unwrap_or_default() {
            "" => {
                let label = "expected it in the file's first line";
                Err(Box::new(Problem::error("an empty password", place.clone(), label)))
            }
            password => Ok(password.to_owned()),
        }
    })
}

/// Reads `[route]`, in the order of the file.
pub(super) fn read_routes(
    top: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Route> {
    let Some(routes) = top.table("route", problems) else { return Vec::new() };
    let mut read = Vec::new();
    for (key, value) in in_order(routes) {
        let Some(table) = as_table(top.frame, key, value, problems) else { continue };
        let table = Table::new(top.frame, table, &keys::ROUTE, problems);
        let hops = table.read(&keys::ROUTE_TO, problems);
        check_protocols(&table, &hops, problems);
        let hops = plain(hops);
        let agent = read_agent(&table, files, problems);
        check_end(&table, &hops, key, problems);
        read.push(Route {
            name: key.get_ref().to_string(),
            domains: plain(table.read(&keys::ROUTE_DOMAINS, problems)),
            hops,
            agent,
            access: read_access((top, &table), files, problems),
        });
    }
    read
}

/// Checks that all hops of a route speak the same protocol: a connection that is tried instead must speak what the first
/// one would have.
fn check_protocols(table: &Table<'_>, hops: &[Spanned<Hop>], problems: &mut Vec<Problem>) {
    let Some((first, others)) = hops.split_first() else { return };
    let other = others.iter().find(|hop| hop.get_ref().protocol() != first.get_ref().protocol());
    if let Some(other) = other {
        let title = "a route can't lead to SMTP and to LMTP";
        let place = table.frame.place(other.span());
        let problem = Problem::error(title, place, "this speaks another protocol than the first");
        problems.push(problem.also(table.frame.place(first.span()), "the first"));
    }
}

/// Checks that a route leads somewhere, and to one place.
fn check_end(table: &Table<'_>, hops: &[Hop], key: &Spanned<DeString<'_>>, problems: &mut Vec<Problem>) {
    let (to, command) = (table.place("to"), table.place("command"));
    match (to, command) {
        (Some(to), Some(command)) => problems.push(
            Problem::error("a route can't have both `to` and `command`", command, "one of them is too many")
                .also(to, "the other"),
        ),
        (Some(to), None) if hops.is_empty() && table.is_empty_list("to") => {
            let title = format!("the route `{}` leads nowhere", key.get_ref());
            problems.push(Problem::error(title, to, "expected at least one"));
        }
        (None, None) => {
            let title = format!("the route `{}` leads nowhere", key.get_ref());
            let place = table.frame.place(key.span());
            problems.push(Problem::error(title, place, "expected a key `to` or `command`"));
        }
        _ => {}
    }
}

/// Checks that no smart host and no route is this server itself, as far as that can be seen.
pub(super) fn check_circles(top: &Table<'_>, config: &Config, problems: &mut Vec<Problem>) {
    // What is wrong with them has been said.
    let unheard = &mut Vec::new();
    let mut hosts: Vec<(SmartHost, Place)> = Vec::new();
    let relaying = top.section("relay", &keys::RELAYING, unheard);
    for host in relaying.read(&keys::SMART_HOST, unheard) {
        let place = top.frame.place(host.span());
        hosts.push((host.into_inner(), place));
    }
    let routes = top.table("route", unheard).map(in_order).unwrap_or_default();
    for (key, value) in routes {
        let Some(table) = as_table(top.frame, key, value, unheard) else { continue };
        for hop in Table::new(top.frame, table, &keys::ROUTE, unheard).read(&keys::ROUTE_TO, unheard) {
            let place = top.frame.place(hop.span());
            if let Hop::Host { host, .. } = hop.into_inner() {
                hosts.push((host, place));
            }
        }
    }
    for (host, place) in hosts.into_iter().filter(|(host, _)| is_own(host, config)) {
        let title = "mail would go in a circle";
        let label = format!("this server itself listens there, at port {}", host.port);
        problems.push(Problem::error(title, place, label));
    }
}

/// Whether this server listens there.
fn is_own(host: &SmartHost, config: &Config) -> bool {
    let listens = config.listen.all().map(|(_, address)| address);
    listens.filter(|listens| listens.port() == host.port).any(|listens| match &host.host {
        Host::Name(name) => *name == config.hostname,
        Host::Address(address) => {
            let (address, listens) = (address.to_canonical(), listens.ip().to_canonical());
            address == listens || (listens.is_unspecified() && address.is_loopback())
        }
    })
}

impl SmartHost {
    /// Its address, when it is written as one.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Address(address) => Some(SocketAddr::new(address, self.port)),
            Host::Name(_) => None,
        }
    }

    /// Its name, or its address without brackets.
    #[must_use]
    pub fn name(&self) -> String {
        match &self.host {
            Host::Name(name) => name.as_str().to_owned(),
            Host::Address(address) => IpAddr::to_string(address),
        }
    }
}
