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

impl Chosen {
    /// The configuration with the keys that are chosen; `None` when it is refused, which is shown.
    fn published(&self, options: &SiteOptions) -> anyhow::Result<Option<(Config, Vec<Published>)>> {
        let Some(config) = super::configuration(options) else { return Ok(None) };
        let Some(mut published) = published(&config)? else { return Ok(None) };
        published.retain(|one| self.domain.as_ref().is_none_or(|chosen| *chosen == one.domain));
        Ok(Some((config, published)))
    }
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
#[derive(PartialEq, Eq)]
pub(super) struct Published {
    /// The domain that signs or seals with it.
    pub(super) domain: DomainName,
    /// The record's name.
    pub(super) name: String,
    /// The key's kind, for people.
    pub(super) kind: String,
    /// The record's text.
    pub(super) record: String,
}

impl Published {
    fn of(domain: &DomainName, selector: &DomainName, key: &SigningKey) -> anyhow::Result<Self> {
        let kind = match key.algorithm() {
            sign::Algorithm::RsaSha256 => format!("RSA, {} bits", key.bits()),
            sign::Algorithm::Ed25519Sha256 => "Ed25519".to_owned(),
        };
        let record = key.record().context("the public key can't be told")?;
        let name = key_name(selector.as_str(), domain.as_str());
        Ok(Self { domain: domain.clone(), name, kind, record })
    }
}

/// The keys of the configuration, each once; `None` when they are refused, which is shown.
pub(super) fn published(config: &Config) -> anyhow::Result<Option<Vec<Published>>> {
    let mut warnings = Vec::new();
    let Some(signing) = super::accepted(sign::load(config, &Arc::from([]), &mut warnings)) else {
        return Ok(None);
    };
    super::show(&warnings);
    let mut published = Vec::new();
    for (domain, selector, key) in signing.keys() {
        let one = Published::of(domain, selector, key)?;
        // A key may both sign and seal.
        if !published.contains(&one) {
            published.push(one);
        }
    }
    Ok(Some(published))
}
