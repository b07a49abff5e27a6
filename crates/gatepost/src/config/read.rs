//! From the text of a configuration to a [`Config`], or to everything that is wrong with it.
//!
//! Invariants: no file is touched but through the function that is passed in; a value that was refused stands for its
//! default, so that one mistake is one problem.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::DeTable;

use super::auth::read_auth;
use super::beside::Beside;
use super::domain::{Draft, TableFiles, read_domains};
use super::form::Fault;
use super::key::{Frame, Table};
use super::problem::{Place, Problem, Severity, SourceFile, in_order};
use super::reports::read_reports;
use super::signing::read_signing;
use super::{
    Clients, Config, DnsSettings, Geo, Limits, Listen, Network, PolicyChoice, RefusedClient, RetrySchedule,
    Sendmail, Verify, Watermarks, check, keys, route, tls,
};
use crate::journal;
use crate::mailboxes::PathTemplate;

/// A configuration that can be used.
#[derive(Debug)]
pub struct Parsed {
    /// What it says.
    pub config: Config,
    /// What is hardly meant so.
    pub warnings: Vec<Problem>,
    /// Where the files of [`Config::geo`] are named.
    pub(super) geo_places: GeoPlaces,
    /// What files beside the tables say.
    pub(super) beside: Beside,
}

/// Where the files of [`Config::geo`] are named.
#[derive(Debug, Default)]
pub(super) struct GeoPlaces {
    pub(super) country: Option<Place>,
    pub(super) asn: Option<Place>,
}

/// The parts of a configuration before they are checked against each other.
pub(super) struct Site<'t> {
    pub(super) top: &'t Table<'t>,
    pub(super) config: Config,
    pub(super) domains: Vec<Draft>,
    /// The networks of `clients.relay`, with their places.
    pub(super) relay: Vec<(Network, Place)>,
}

/// Reads the configuration `text` of the file `file_name`. `read_table` gives the text of a table; relative names start
/// at the directory of `file_name`.
///
/// # Errors
/// All problems, warnings included, by file and place; at least one is an error.
pub fn parse(
    text: &str,
    file_name: &str,
    read_table: &mut dyn FnMut(&Path) -> io::Result<String>,
) -> Result<Parsed, Vec<Problem>> {
    parse_again(text, file_name, read_table, &Beside::default())
}

/// The same when it was parsed before. What another file than a table said `before` holds on while that can't be used.
///
/// # Errors
/// As [`parse`].
pub(super) fn parse_again(
    text: &str,
    file_name: &str,
    read_table: &mut dyn FnMut(&Path) -> io::Result<String>,
    before: &Beside,
) -> Result<Parsed, Vec<Problem>> {
    let source = Arc::new(SourceFile { name: file_name.into(), text: text.into() });
    let frame = Frame::whole(Arc::clone(&source));
    let (document, syntax_errors) = DeTable::parse_recoverable(&source.text);
    let mut problems: Vec<Problem> = syntax_errors.iter().map(|error| syntax(&frame, error)).collect();

    let top = Table::new(&frame, document.get_ref(), &keys::TOP, &mut problems);
    let base = Path::new(file_name).parent();
    let mut files = TableFiles { base, read: read_table, all_read: true, before, beside: Beside::default() };
    let site = read_site(&top, &mut files, &mut problems);
    let geo = top.section("geo", &keys::GEO, &mut Vec::new());
    let geo_places = GeoPlaces { country: geo.place("country"), asn: geo.place("asn") };
    let config = match site {
        // What the parser left out would show as missing.
        Some(site) if syntax_errors.is_empty() => Some(check::check(site, files.all_read, &mut problems)),
        _ => None,
    };
    let problems = in_order(problems);
    match config {
        Some(config) if problems.iter().all(|problem| problem.severity() == Severity::Warning) => {
            Ok(Parsed { config, warnings: problems, geo_places, beside: files.beside })
        }
        _ => Err(problems),
    }
}

/// A problem of TOML itself.
pub(super) fn syntax(frame: &Frame, error: &toml::de::Error) -> Problem {
    let title = error.message().lines().collect::<Vec<_>>().join("; ");
    frame.problem(Fault::new(error.span().unwrap_or(0..0), title, "this is no TOML"))
}

fn read_site<'t>(
    top: &'t Table<'t>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Site<'t>> {
    let domains = read_domains(top, files, problems);
    let hostname = top.read(&keys::HOSTNAME, problems)?.into_inner();
    let maildir: PathTemplate = top.read(&keys::MAILDIR, problems)?;
    let postmaster = top.read(&keys::POSTMASTER, problems);
    let clients = top.section("clients", &keys::CLIENTS, problems);
    let relay = clients.read(&keys::RELAY, problems);
    let relay_places =
        relay.iter().map(|network| (*network.get_ref(), clients.frame.place(network.span()))).collect();
    let listen = read_listen(top, problems);
    let literals: Vec<IpAddr> = listen.mx.iter().map(|address| address.ip().to_canonical()).collect();
    let mailboxes =
        check::declare(&hostname, literals, &domains, postmaster.map(Spanned::into_inner), maildir);
    let log = top.section("log", &keys::LOG, problems);
    let home = domains.first().map(|draft| &draft.domain.name);
    let reports = read_reports(top, &hostname, home, problems);
    let (outward_tls, inward_tls) = tls::read_tls(top, files, problems);
    let config = Config {
        hostname,
        listen,
        limits: read_limits(top, problems),
        clients: read_clients(&clients, plain(relay), problems),
        verify: read_verify(top, problems),
        spool: read_spool(top, problems),
        policy: read_policy(top, problems),
        queue: read_queue(top, problems),
        relaying: route::read_relaying(top, files, problems),
        routes: route::read_routes(top, files, problems),
        inward_tls,
        tls: outward_tls,
        signing: read_signing(top, files.base, problems),
        geo: read_geo(top, files.base, problems),
        dns: read_dns(top, files.base, problems),
        tables: super::table_source::read_tables(top, files.base, problems),
        mailboxes,
        log_level: log.read(&keys::LEVEL, problems),
        journal: read_journal(top, problems),
        reports,
        auth: read_auth(top, files, problems),
        sendmail: read_sendmail(top, problems),
    };
    Some(Site { top, config, domains, relay: relay_places })
}

fn read_listen(top: &Table<'_>, problems: &mut Vec<Problem>) -> Listen {
    let table = top.section("listen", &keys::LISTEN, problems);
    let mx = plain(table.read(&keys::LISTEN_MX, problems));
    let submission = plain(table.read(&keys::LISTEN_SUBMISSION, problems));
    // The default is one for whoever tries the program; a site that says where it listens has said it all.
    let is_said = table.get("mx").is_some() && table.get("submission").is_none();
    let submissions = plain(table.read(&keys::LISTEN_SUBMISSIONS, problems));
    Listen { mx, submission: if is_said { Vec::new() } else { submission }, submissions }
}

fn read_limits(top: &Table<'_>, problems: &mut Vec<Problem>) -> Limits {
    let table = top.section("limits", &keys::LIMITS, problems);
    Limits {
        message_octets: table.read(&keys::MESSAGE_SIZE, problems),
        recipients: table.read(&keys::RECIPIENTS, problems),
        messages_per_session: table.read(&keys::MESSAGES_PER_SESSION, problems),
        errors: table.read(&keys::ERRORS, problems),
        connections: table.read(&keys::CONNECTIONS, problems),
        connections_per_address: table.read(&keys::CONNECTIONS_PER_ADDRESS, problems),
        connections_per_network: table.read(&keys::CONNECTIONS_PER_NETWORK, problems),
        new_connections_per_minute: table.read(&keys::NEW_CONNECTIONS_PER_MINUTE, problems),
        handshakes: table.read(&keys::HANDSHAKES, problems),
        handshake_timeout: table.read(&keys::HANDSHAKE_TIMEOUT, problems),
        command_timeout: table.read(&keys::COMMAND_TIMEOUT, problems),
        data_timeout: table.read(&keys::DATA_TIMEOUT, problems),
        session_timeout: table.read(&keys::SESSION_TIMEOUT, problems),
        drain_timeout: table.read(&keys::DRAIN_TIMEOUT, problems),
    }
}

fn read_clients(table: &Table<'_>, relay: Vec<Network>, problems: &mut Vec<Problem>) -> Clients {
    let refused: Vec<RefusedClient> = plain(table.read(&keys::REFUSED, problems));
    Clients {
        relay,
        trusted: plain(table.read(&keys::TRUSTED, problems)),
        proxies: read_proxies(table, problems),
        refused,
        early_talkers: table.read(&keys::EARLY_TALKERS, problems),
        greeting_delay: table.read(&keys::GREETING_DELAY, problems),
    }
}

fn read_proxies(table: &Table<'_>, problems: &mut Vec<Problem>) -> Vec<Network> {
    let proxies = table.read(&keys::PROXIES, problems);
    for network in proxies.iter().filter(|network| network.get_ref().prefix_bits() == 0) {
        let label = "everybody could connect as anybody";
        problems.push(Problem::error("not only proxies", table.frame.place(network.span()), label));
    }
    plain(proxies)
}

fn read_verify(top: &Table<'_>, problems: &mut Vec<Problem>) -> Verify {
    let table = top.section("verify", &keys::VERIFY, problems);
    Verify {
        vrfy: table.read(&keys::VRFY, problems),
        vrfy_clients: plain(table.read(&keys::VRFY_CLIENTS, problems)),
        expn_clients: plain(table.read(&keys::EXPN_CLIENTS, problems)),
    }
}

fn read_spool(top: &Table<'_>, problems: &mut Vec<Problem>) -> Watermarks {
    let table = top.section("spool", &keys::SPOOL, problems);
    Watermarks {
        min_free_octets: table.read(&keys::MIN_FREE, problems),
        min_free_percent: table.read(&keys::MIN_FREE_PERCENT, problems),
        min_free_inodes: u64::from(table.read(&keys::MIN_FREE_INODES, problems)),
    }
}

fn read_policy(top: &Table<'_>, problems: &mut Vec<Problem>) -> PolicyChoice {
    let table = top.section("policy", &keys::POLICY, problems);
    let file = table.read(&keys::POLICY_FILE, problems).map(|file| {
        let place = table.frame.place(file.span());
        let folder = Path::new(place.file()).parent().unwrap_or(Path::new(""));
        (folder.join(file.get_ref()), place)
    });
    PolicyChoice {
        file,
        deadline: table.read(&keys::POLICY_DEADLINE, problems),
        authentication_results: table.read(&keys::POLICY_RESULTS, problems),
    }
}

fn read_queue(top: &Table<'_>, problems: &mut Vec<Problem>) -> RetrySchedule {
    let table = top.section("queue", &keys::QUEUE, problems);
    RetrySchedule {
        first: table.read(&keys::RETRY_FIRST, problems),
        factor: table.read(&keys::RETRY_FACTOR, problems),
        max: table.read(&keys::RETRY_MAX, problems),
        lifetime: table.read(&keys::LIFETIME, problems),
        delay_warning: table.read(&keys::DELAY_WARNING, problems),
        sender_rate: table.read(&keys::SENDER_RATE, problems),
        stop_timeout: table.read(&keys::STOP_TIMEOUT, problems),
    }
}

fn read_dns(top: &Table<'_>, base: Option<&Path>, problems: &mut Vec<Problem>) -> DnsSettings {
    let table = top.section("dns", &keys::DNS, problems);
    DnsSettings {
        servers: plain(table.read(&keys::DNS_SERVERS, problems)),
        timeout: table.read(&keys::DNS_TIMEOUT, problems),
        attempts: table.read(&keys::DNS_ATTEMPTS, problems),
        cache_entries: table.read(&keys::CACHE_ENTRIES, problems),
        dnssec: table.read(&keys::DNSSEC, problems),
        trust_anchors: table.read(&keys::TRUST_ANCHORS, problems).map(|file| resolved(base, &file)),
    }
}

fn read_sendmail(top: &Table<'_>, problems: &mut Vec<Problem>) -> Sendmail {
    let table = top.section("sendmail", &keys::SENDMAIL, problems);
    Sendmail {
        enabled: table.read(&keys::SENDMAIL_ENABLED, problems),
        domain: table.read(&keys::SENDMAIL_DOMAIN, problems),
        messages_per_day: table.read(&keys::SENDMAIL_MESSAGES, problems),
        recipients_per_day: table.read(&keys::SENDMAIL_RECIPIENTS, problems),
    }
}

fn read_journal(top: &Table<'_>, problems: &mut Vec<Problem>) -> journal::Settings {
    let table = top.section("journal", &keys::JOURNAL, problems);
    journal::Settings {
        enabled: table.read(&keys::JOURNAL_ENABLED, problems),
        days: table.read(&keys::JOURNAL_DAYS, problems),
        size_octets: table.read(&keys::JOURNAL_SIZE, problems),
        mask: table.read(&keys::JOURNAL_MASK, problems),
        dialogue: table.read(&keys::JOURNAL_DIALOGUE, problems),
        ids: table.read(&keys::JOURNAL_IDS, problems),
    }
}

fn read_geo(top: &Table<'_>, base: Option<&Path>, problems: &mut Vec<Problem>) -> Geo {
    let table = top.section("geo", &keys::GEO, problems);
    let path = |file: String| resolved(base, &file);
    Geo {
        country: table.read(&keys::COUNTRY, problems).map(path),
        asn: table.read(&keys::ASN, problems).map(path),
    }
}

/// The path of a file: a relative one starts at `base`, the configuration's directory; without it, where we run.
pub(super) fn resolved(base: Option<&Path>, file: &str) -> PathBuf {
    base.map_or_else(|| PathBuf::from(file), |base| base.join(file))
}

/// Values without their places.
pub(super) fn plain<T>(placed: Vec<Spanned<T>>) -> Vec<T> {
    placed.into_iter().map(Spanned::into_inner).collect()
}
