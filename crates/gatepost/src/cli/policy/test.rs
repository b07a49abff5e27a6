//! `gatepost policy test`: the tests beside the rules, and what each rule saw in one that fails.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use policy::diagnostic::Severity;
use policy::{Policy, TestResult};
use serde::Serialize;

use super::check::counted;
use super::json::{Finding, Place, SCHEMA};

/// What `gatepost policy test` takes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Exit codes: 0 every test passed, 1 one failed, or the policy can't be used or read.")]
pub(super) struct Args {
    /// The policy's main file.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Name the tests that pass, too.
    #[arg(long, short)]
    verbose: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How a test went.
#[derive(Debug, Serialize)]
struct Test {
    name: String,
    #[serde(flatten)]
    place: Option<Place>,
    passed: bool,
    report: String,
}

/// How all of them went.
#[derive(Debug, Serialize)]
struct Report {
    schema: u8,
    kind: &'static str,
    file: String,
    passed: usize,
    failed: usize,
    tests: Vec<Test>,
    /// What is wrong with the policy itself, when its tests could not be run.
    findings: Vec<Finding>,
}

/// Runs the tests; exit code 1 when one fails.
///
/// # Errors
/// When the file can't be read, or standard output is gone.
pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let text = crate::policy_files::read(&args.file)?;
    let name = args.file.display().to_string();
    let mut files = crate::policy_files::FilesBeside::of(&args.file);
    let (results, sources) = match Policy::run_tests(&name, &text, &mut files) {
        Ok(run) => run,
        Err(refused) => {
            if args.json {
                let findings =
                    refused.findings.iter().map(|finding| Finding::of(finding, &refused.files)).collect();
                print(&Report { findings, ..report(&name, &[], &[]) })?;
            } else {
                super::tell(&refused.findings, &refused.files);
                let errors = refused.findings.iter().filter(|finding| finding.severity == Severity::Error);
                let errors = counted(errors.count(), "error");
                writeln!(io::stderr(), "{name}: {errors}; its tests were not run")?;
            }
            return Ok(ExitCode::FAILURE);
        }
    };
    let report = report(&name, &results, &sources);
    if args.json {
        print(&report)?;
    } else {
        let mut output = io::stdout();
        for result in &results {
            let place = sources.get(usize::from(result.span.file)).map_or_else(String::new, |file| {
                format!("{}:{}", file.name, file.line_and_column(result.span.start).0)
            });
            if !result.passed {
                writeln!(output, "FAILED  {place} \"{}\"\n{}", result.name, result.report)?;
            } else if args.verbose {
                writeln!(output, "passed  {place} \"{}\"", result.name)?;
            }
        }
        writeln!(output, "{} passed, {} failed", report.passed, report.failed)?;
    }
    Ok(if report.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(name: &str, results: &[TestResult], files: &[policy::span::SourceFile]) -> Report {
    let passed = results.iter().filter(|result| result.passed).count();
    let tests = results.iter().map(|result| Test {
        name: result.name.to_string(),
        place: Place::of(result.span, files),
        passed: result.passed,
        report: result.report.clone(),
    });
    Report {
        schema: SCHEMA,
        kind: "test",
        file: name.to_owned(),
        passed,
        failed: results.len() - passed,
        tests: tests.collect(),
        findings: Vec::new(),
    }
}

fn print(report: &Report) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", serde_json::to_string_pretty(report)?)?)
}
