//! `gatepost policy`: what can be done with a policy's text, one file a subcommand.

mod fmt;

use std::process::ExitCode;

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
}

/// Runs the subcommand.
///
/// # Errors
/// When a file can't be read or written, or standard output is gone.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Fmt(args) => fmt::run(args),
    }
}
