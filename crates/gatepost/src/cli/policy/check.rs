//! `gatepost policy check`: everything that is wrong with a policy, before it goes live.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use policy::diagnostic::{Diagnostic, Severity};
use policy::span::SourceFile;
use serde::Serialize;

use super::json::{Finding, SCHEMA};

/// What `gatepost policy check` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 it can be used, 1 it is refused or can't be read.")]
pub(super) struct Args {
    /// The policy's main file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What the check found.
#[derive(Debug, Serialize)]
struct Report {
    schema: u8,
    kind: &'static str,
    file: String,
    /// Whether it can be used.
    accepted: bool,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

/// Checks the policy; exit code 1 when it is refused.
///
/// # Errors
/// When the file can't be read, or standard output is gone.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (accepted, findings, files): (bool, Vec<Diagnostic>, Vec<SourceFile>) = match super::load(&args.file)?
    {
        Ok(loaded) => (true, loaded.warnings, loaded.policy.all_files().to_vec()),
        Err(refused) => (false, refused.findings, refused.files),
    };
    let count = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    let name = args.file.display().to_string();
    if args.json {
        let findings = findings.iter().map(|finding| Finding::of(finding, &files)).collect();
        let report =
            Report { schema: SCHEMA, kind: "check", file: name, accepted, errors, warnings, findings };
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        super::tell(&findings, &files);
        let verdict = if accepted { "it can be used" } else { "refused" };
        let summary =
            format!("{name}: {}, {}; {verdict}", counted(errors, "error"), counted(warnings, "warning"));
        if accepted {
            writeln!(io::stdout(), "{summary}")?;
        } else {
            writeln!(io::stderr(), "{summary}")?;
        }
    }
    Ok(if accepted { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// `1 error`, `2 errors`.
pub(super) fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}
