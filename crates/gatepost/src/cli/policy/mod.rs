//! `gatepost policy`: what can be done with a policy's text, and what its rules did; one file a subcommand.

mod fmt;
mod report;

use std::process::ExitCode;

use super::SiteOptions;

/// What `gatepost policy` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lay a policy's text out well: blanks and ends of lines change, nothing else.
    Fmt(fmt::Args),
    /// Say of each rule how often it answered, would have answered or could not be told, and for whom.
    Report(report::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// What the subcommand says.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Fmt(args) => fmt::run(args),
        Command::Report(args) => report::run(args, options),
    }
}

/// The page of `policy report`.
#[cfg(test)]
pub(super) fn report_page(args: &Args, reader: &crate::journal::store::Reader) -> anyhow::Result<String> {
    match &args.command {
        Command::Report(args) => report::page(args, reader),
        Command::Fmt(_) => anyhow::bail!("not a report"),
    }
}
