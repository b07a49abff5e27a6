//! `gatepost policy`: what a policy says and does; its subcommands have a file each.

pub mod report;

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
    /// Say of each rule how often it answered, would have answered or could not be told, and for whom.
    Report(report::Args),
}

/// Carries out the command.
///
/// # Errors
/// What the subcommand says.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Report(args) => report::run(args, options),
    }
}
