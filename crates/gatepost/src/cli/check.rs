//! `gatepost check`: everything that is wrong with a configuration and its policy, before they are in force.

use std::io::Write as _;
use std::process::ExitCode;

use super::SiteOptions;
use crate::config::Severity;
use crate::site;

/// What `gatepost check` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Fail on warnings, too.
    #[arg(long)]
    strict: bool,
}

/// Checks the configuration; exit code 1 when it would be refused.
///
/// # Errors
/// None: problems are shown.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let problems = match site::check(options.config.as_deref(), &super::user()) {
        Ok(warnings) => warnings,
        Err(problems) => problems,
    };
    super::show(&problems);
    let errors = problems.iter().filter(|problem| problem.severity() == Severity::Error).count();
    let warnings = problems.len() - errors;
    let name = options
        .config
        .as_ref()
        .map_or_else(|| String::from("the zero configuration"), |file| file.display().to_string());
    let verdict = if errors > 0 { "refused" } else { "ok" };
    writeln!(std::io::stdout(), "{name}: {verdict}, {errors} errors, {warnings} warnings")?;
    Ok(if errors > 0 || (args.strict && warnings > 0) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
