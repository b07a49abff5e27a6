//! `gatepost dkim`: makes keys, shows the records that verifiers ask for, and looks whether the DNS has them.

mod check;
mod new;
mod show;

use std::process::ExitCode;

use smtp::address::DomainName;

use super::SiteOptions;
use crate::config::{Config, KeyFile};
use crate::net::mail_auth::key_name;
use crate::sign::SigningKey;

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
    Show(show::Args),
    /// Ask the DNS whether the records of the configured keys are there; exit code 1 when one isn't.
    Check(show::Args),
}

/// Carries out the command.
///
/// # Errors
/// When the configuration or a key can't be read, or a new key can't be written.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::New(args) => new::run(args, options),
        Command::Show(args) => show::run(args, options),
        Command::Check(args) => check::run(args, options),
    }
}

/// A key with the name of its record.
struct Published {
    domain: DomainName,
    selector: DomainName,
    key: SigningKey,
}

impl Published {
    fn name(&self) -> String {
        key_name(self.selector.as_str(), self.domain.as_str())
    }
}
