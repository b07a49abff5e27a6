//! `gatepost queue fsck`: every octet of a spool that is not in use is read.

use std::io::Write as _;
use std::process::ExitCode;

use queue::log_spool::fsck;

use super::super::SiteOptions;
use crate::control::Unreachable;
use crate::server::{spool_folder, unusable};

/// Checks the spool, and says what is in it.
///
/// # Errors
/// [`Unreachable`], say because a server is running.
pub(super) fn run(options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let folder = spool_folder(&options.state);
    if !folder.is_dir() {
        let why = format!(
            "there is no spool in {}; --state names the directory that the server was run with",
            options.state.display()
        );
        return Err(Unreachable::new(why).into());
    }
    let report =
        fsck(&folder).map_err(|error| Unreachable::new(format!("{:#}", unusable(&folder, error))))?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{} messages, {} segments, {} octets, {} large bodies; {} damaged, {} unfinished, {} leftovers",
        report.messages,
        report.segments,
        report.octets,
        report.large_bodies,
        report.damaged.len(),
        report.unfinished.len(),
        report.leftovers
    )?;
    for damage in &report.damaged {
        writeln!(out, "damaged: {damage:?}")?;
    }
    Ok(if report.damaged.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
