//! `gatepost dkim`: makes keys, shows the records that verifiers ask for, and looks whether the DNS has them.

mod check;
mod new;
mod show;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use smtp::address::DomainName;

use super::SiteOptions;
use crate::config::Config;
use crate::mailboxes::domain_key;
use crate::net::mail_auth::key_record::key_name;
use crate::sign::{self, SigningKey};
use crate::site;

/// What `gatepost dkim` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make a key, and say what goes into the DNS and into the configuration.
    New(new::Args),
    /// Print the records of the configured keys, those of ARC too.
    Show(Chosen),
    /// Ask the DNS whether the records of the configured keys are there; exit code 1 when one isn't.
    Check(Chosen),
}

/// Which keys a command is about.
#[derive(Debug, clap::Args)]
struct Chosen {
    /// Only those of this domain.
    #[arg(value_parser = parse_domain)]
    domain: Option<DomainName>,
}

/// Carries out the command.
///
/// # Errors
/// When a new key can't be written, the DNS can't be asked at all, or standard output is gone.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::New(args) => new::run(args, options),
        Command::Show(chosen) => show::run(chosen, options),
        Command::Check(chosen) => check::run(chosen, options),
    }
}

/// A domain name in A-labels.
fn parse_domain(text: &str) -> Result<DomainName, String> {
    let ascii = domain_key(text.trim_end_matches('.')).ok_or("IDNA refuses the name")?;
    ascii.parse().map_err(|error| format!("{error}"))
}

/// What one configured key should have in the DNS.
struct Published {
    name: String,
    kind: String,
    record: String,
}

impl Published {
    fn of(domain: &DomainName, selector: &DomainName, key: &SigningKey) -> anyhow::Result<Self> {
        let kind = match key.algorithm() {
            sign::Algorithm::RsaSha256 => format!("RSA, {} bits", key.bits()),
            sign::Algorithm::Ed25519Sha256 => "Ed25519".to_owned(),
        };
        let record = key.record().context("the public key can't be told")?;
        Ok(Self { name: key_name(selector.as_str(), domain.as_str()), kind, record })
    }
}

/// The keys of the configuration; `None` when it is refused, which is shown.
fn published(chosen: &Chosen, options: &SiteOptions) -> anyhow::Result<Option<(Config, Vec<Published>)>> {
    let Some(config) = config(options) else { return Ok(None) };
    let mut warnings = Vec::new();
    let signing = match sign::load(&config, &Arc::from([]), &mut warnings) {
        Ok(signing) => signing,
        Err(problems) => {
            super::show(&problems);
            return Ok(None);
        }
    };
    super::show(&warnings);
    let mut published = Vec::new();
    let of_domains = signing
        .domains()
        .iter()
        .flat_map(|domain| domain.keys.iter().map(move |key| (&domain.domain, &key.selector, &key.key)));
    let of_sealer = signing.sealer().map(|sealer| (&sealer.domain, &sealer.selector, &sealer.key));
    for (domain, selector, key) in of_domains.chain(of_sealer) {
        if chosen.domain.as_ref().is_none_or(|chosen| chosen == domain) {
            let one = Published::of(domain, selector, key)?;
            // A key may both sign and seal.
            if !published.iter().any(|known: &Published| known.name == one.name && known.record == one.record)
            {
                published.push(one);
            }
        }
    }
    Ok(Some((config, published)))
}

/// The configuration; `None` when it is refused, which is shown.
fn config(options: &SiteOptions) -> Option<Config> {
    match site::read(options.config.as_deref(), &super::user()) {
        Ok(loaded) => Some(loaded.config),
        Err(problems) => {
            super::show(&problems);
            None
        }
    }
}
