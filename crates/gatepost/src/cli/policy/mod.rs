//! `gatepost policy`: what can be done with a policy's text, one file a subcommand.

mod check;
mod fmt;
mod json;
mod show;
mod test;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use policy::diagnostic::Diagnostic;
use policy::span::SourceFile;
use policy::{Loaded, Policy, Refused};

use crate::policies::{self, Disk};

/// What `gatepost policy` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Check a policy: everything that is wrong with it, with its place; its tests are run.
    Check(check::Args),
    /// Run a policy's tests; of one that fails, show what each rule saw.
    Test(test::Args),
    /// Print the whole policy in force: the rules of each stage in their order, fixed ones too, and the fixed replies.
    Show(show::Args),
    /// Lay a policy's text out well: blanks and ends of lines change, nothing else.
    Fmt(fmt::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// When a file can't be read or written, or standard output is gone.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Show(args) => show::run(args),
        Command::Fmt(args) => fmt::run(args),
    }
}

/// Loads the policy of a file.
///
/// # Errors
/// When the file can't be read; one that can and is no policy is `Ok(Err(..))`.
fn load(file: &Path) -> anyhow::Result<Result<Loaded, Refused>> {
    let text = read(file)?;
    Ok(Policy::load(&file.display().to_string(), &text, &mut Disk::beside(file)))
}

/// The text of a policy's main file.
///
/// # Errors
/// Why it can't be read.
fn read(file: &Path) -> anyhow::Result<String> {
    policies::read_text(file).map_err(|why| anyhow::anyhow!("can't read {}: {why}", file.display()))
}

/// Writes findings to standard error, in colour on a terminal.
fn tell(findings: &[Diagnostic], files: &[SourceFile]) {
    let mut stderr = std::io::stderr();
    let coloured = stderr.is_terminal();
    for finding in findings {
        // A reader that has gone is no failure of ours.
        let _ = writeln!(stderr, "{}\n", finding.render(files, coloured));
    }
}
