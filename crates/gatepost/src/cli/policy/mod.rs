//! `gatepost policy`: what can be done with a policy's text, and what its rules did; one file a subcommand.

mod check;
mod fmt;
mod json;
mod report;
mod show;
mod test;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use policy::diagnostic::Diagnostic;
use policy::span::SourceFile;
use policy::{Loaded, Policy, Refused};

use super::SiteOptions;
use crate::policy_files::FilesBeside;

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
    /// Say of each rule how often it answered, would have answered or could not be told, and for whom.
    Report(report::Args),
}

/// Runs the subcommand.
///
/// # Errors
/// What the subcommand says.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Check(args) => check::run(args),
        Command::Test(args) => test::run(args),
        Command::Show(args) => show::run(args, options),
        Command::Fmt(args) => fmt::run(args),
        Command::Report(args) => report::run(args, options),
    }
}

/// The page of `policy report`.
#[cfg(test)]
pub(super) fn report_page(args: &Args, reader: &crate::journal::store::Reader) -> anyhow::Result<String> {
    match &args.command {
        Command::Report(args) => report::page(args, reader),
        _ => anyhow::bail!("not a report"),
    }
}

/// Loads the policy of a file.
///
/// # Errors
/// When the file can't be read; one that can and is no policy is `Ok(Err(..))`.
fn load(file: &Path) -> anyhow::Result<Result<Loaded, Refused>> {
    let text = crate::policy_files::read(file)?;
    Ok(Policy::load(&file.display().to_string(), &text, &mut FilesBeside::of(file)))
}

/// Writes findings to standard error, in colour on a terminal.
pub(super) fn tell(findings: &[Diagnostic], files: &[SourceFile]) {
    let mut stderr = std::io::stderr();
    let coloured = stderr.is_terminal();
    for finding in findings {
        // A reader that has gone is no failure of ours.
        let _ = writeln!(stderr, "{}\n", finding.render(files, coloured));
    }
}
