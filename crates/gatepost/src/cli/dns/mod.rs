//! `gatepost dns`: what must stand in the DNS for this site, and what does.
//!
//! Invariants: a look-up that fails is never a record that isn't there; what is only advised never makes the command fail.

mod domain;
mod finding;
mod host;
mod page;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use futures_util::StreamExt as _;
use futures_util::stream;
use rustls::pki_types::CertificateDer;

use super::dkim::{Published, published};
use super::{SiteOptions, WrongUsage};
use crate::config::Config;
use crate::mailboxes::{LocalDomain, domain_key};
use crate::net::dns::Dns;
use crate::net::mta_sts::Fetcher;
use crate::net::tls::{Authorities, ServerTls};
use finding::{Finding, Verdict, Wanted};

/// Records that are looked up at a time (ours).
const LOOK_UPS_MAX: usize = 16;

const AFTER_HELP: &str = "\
Verdicts: ok; missing; wrong, with what is wrong; unknown, when it could not be found out. What is marked as advised
never makes the command fail.

JSON (--json) is one object; while `schema` stays 1, fields are only ever added:
  hostname, addresses, findings: [{subject, record, name, verdict, advised, why, found: [text], write: [zone line],
  hint, policy (the text for https://mta-sts.DOMAIN/.well-known/mta-sts.txt)}]

Exit codes:
  0  everything is ok
  1  something is missing or wrong
  2  wrong usage
  3  nothing is missing or wrong so far, but something could not be found out";

/// What `gatepost dns` takes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = AFTER_HELP, after_help = "See --help for verdicts, JSON and exit codes.")]
pub struct Args {
    /// Only these domains; by default all whose mail ends here or is signed here.
    #[arg(value_name = "DOMAIN")]
    domains: Vec<String>,
    /// A public address of this server (may be given several times); by default those of `listen.mx`.
    #[arg(long = "address", value_name = "ADDRESS")]
    addresses: Vec<IpAddr>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Print what should stand in the DNS as a piece of a zone file, and look nothing up.
    #[arg(long, conflicts_with = "json")]
    zone: bool,
}

/// The site as the DNS should know it.
pub(super) struct Served<'s> {
    pub(super) config: &'s Config,
    /// This server's name, in A-labels.
    pub(super) hostname: String,
    /// Its public addresses; none when they aren't known.
    pub(super) addresses: Vec<IpAddr>,
    /// The domains whose mail ends here, in A-labels.
    pub(super) local: Vec<String>,
    /// The keys that sign or seal.
    pub(super) keys: Vec<Published>,
    /// What it shows clients for its name; `Ok(None)` when it has no certificate, an error when that can't be read.
    pub(super) certificates: Result<Option<Shown>, ()>,
}

/// What the server shows clients.
pub(super) struct Shown {
    /// Certificates, each with those that lead to its authority behind it.
    pub(super) chains: Vec<Vec<CertificateDer<'static>>>,
    /// Whether the server has made it itself.
    pub(super) is_own: bool,
}

impl Shown {
    /// Blocks on the disk.
    fn of(config: &Config, hostname: &str, state: &Path) -> Result<Option<Self>, ()> {
        let tls = ServerTls::load(config, Some(state), None, &mut Vec::new()).map_err(drop)?;
        Ok(tls.map(|tls| Self { chains: tls.shown_for(hostname), is_own: tls.is_own() }))
    }
}

/// What look-ups need.
pub(super) struct Asked {
    pub(super) dns: Arc<Dns>,
    pub(super) fetcher: Result<Fetcher, String>,
}

/// Carries out the command.
///
/// # Errors
/// When the DNS can't be asked at all, or standard output is gone.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let Some(config) = super::configuration(options) else { return Ok(ExitCode::FAILURE) };
    let Some(served) = served(&config, &args.addresses, &options.state)? else {
        return Ok(ExitCode::FAILURE);
    };
    let domains = domains(&served, &args.domains)?;
    let mut wanted = host::wanted(&served);
    wanted.extend(domains.iter().flat_map(|domain| domain::wanted(&served, domain)));
    let mut out = std::io::stdout().lock();
    if args.zone {
        out.write_all(page::zone(&wanted).as_bytes())?;
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = super::runtime()?;
    let _guard = runtime.enter();
    let asked = asked(&config)?;
    let findings = runtime.block_on(async {
        let looks = wanted.into_iter().map(|wanted| look(&asked, &served, wanted));
        stream::iter(looks).buffered(LOOK_UPS_MAX).collect::<Vec<Finding>>().await
    });
    if args.json {
        serde_json::to_writer_pretty(&mut out, &page::json(&served, &findings))?;
        writeln!(out)?;
    } else {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_coloured = std::io::stdout().is_terminal() && !plain;
        out.write_all(page::text(&findings, is_coloured).as_bytes())?;
    }
    Ok(exit_code(&findings))
}

fn asked(config: &Config) -> anyhow::Result<Asked> {
    let dns = Dns::new(&config.dns).map_err(anyhow::Error::msg).context("cannot ask the DNS")?;
    let fetcher = Authorities::load(config.tls.ca_file.as_deref())
        .map(|authorities| Fetcher::new(authorities, config.tls.mta_sts_port, config.relaying.mx_loopback))
        .map_err(|error| format!("no authority is known: {error}"));
    Ok(Asked { dns: Arc::new(dns), fetcher })
}

async fn look(asked: &Asked, served: &Served<'_>, wanted: Wanted) -> Finding {
    match wanted.check.clone() {
        finding::Check::Host(check) => host::look(asked, served, check, wanted).await,
        finding::Check::Domain(check) => domain::look(asked, served, check, wanted).await,
    }
}

fn exit_code(findings: &[Finding]) -> ExitCode {
    let is = |wanted: fn(&Verdict) -> bool| {
        findings.iter().any(|finding| !finding.wanted.is_advised && wanted(&finding.verdict))
    };
    if is(|verdict| matches!(verdict, Verdict::Missing | Verdict::Wrong(_))) {
        ExitCode::from(1)
    } else if is(|verdict| matches!(verdict, Verdict::Unknown(_))) {
        ExitCode::from(3)
    } else {
        ExitCode::SUCCESS
    }
}

/// The site of a configuration; `None` when its keys can't be read, which is shown.
fn served<'s>(config: &'s Config, addresses: &[IpAddr], state: &Path) -> anyhow::Result<Option<Served<'s>>> {
    let Some(keys) = published(config)? else { return Ok(None) };
    let hostname = plain(config.hostname.as_str());
    let local = local(config);
    let certificates = Shown::of(config, &hostname, state);
    Ok(Some(Served { config, hostname, addresses: public(config, addresses), local, keys, certificates }))
}

/// The public addresses: those that are given, else those that the server listens on by themselves.
fn public(config: &Config, given: &[IpAddr]) -> Vec<IpAddr> {
    let listens = config.listen.mx.iter().map(|address| address.ip().to_canonical());
    let own = listens.filter(|address| !address.is_unspecified() && !address.is_loopback());
    let given = given.iter().map(IpAddr::to_canonical);
    let all: BTreeSet<IpAddr> = if given.len() > 0 { given.collect() } else { own.collect() };
    all.into_iter().collect()
}

/// The domains whose mail ends here. The server's own name is always one, and counts when it has more than a postmaster.
fn local(config: &Config) -> Vec<String> {
    let is_bare = |domain: &LocalDomain| {
        let only_postmaster = domain.entries.iter().all(|entry| entry.local_part.is_postmaster());
        domain.name.as_str().eq_ignore_ascii_case(config.hostname.as_str())
            && only_postmaster
            && domain.catch_all.is_none()
            && domain.mailboxes_from.is_empty()
    };
    let several = config.mailboxes.domains.len() > 1;
    let domains = config.mailboxes.domains.iter().filter(|domain| !(several && is_bare(domain)));
    domains.flat_map(LocalDomain::names).map(|name| plain(name.as_str())).collect()
}

/// The domains that are asked about, in A-labels.
fn domains(served: &Served<'_>, chosen: &[String]) -> anyhow::Result<Vec<String>> {
    let mut known = served.local.clone();
    for domain in served.keys.iter().map(|key| plain(key.domain.as_str())) {
        if !known.contains(&domain) {
            known.push(domain);
        }
    }
    if chosen.is_empty() {
        return Ok(known);
    }
    for domain in chosen {
        if !known.contains(&plain(domain)) {
            let near = policy::nearest::did_you_mean(domain, known.iter().map(String::as_str));
            let near = near.map(|near| format!("; {near}")).unwrap_or_default();
            return Err(WrongUsage(format!("no mail for `{domain}` ends or is signed here{near}")).into());
        }
    }
    Ok(known.into_iter().filter(|domain| chosen.iter().any(|chosen| plain(chosen) == *domain)).collect())
}

/// A domain name in lower case and A-labels, without a dot at its end.
fn plain(name: &str) -> String {
    let name = name.trim_end_matches('.');
    domain_key(name).map_or_else(|| name.to_ascii_lowercase(), |name| name.into_owned())
}
