//! `gatepost dkim show`: the records of the configured keys, as zone files have them.

use std::io::Write as _;
use std::process::ExitCode;

use super::Chosen;
use crate::cli::SiteOptions;
use crate::net::mail_auth::key_record::zone_line;

pub(super) fn run(chosen: &Chosen, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let Some((_, published)) = chosen.published(options)? else { return Ok(ExitCode::FAILURE) };
    let mut out = std::io::stdout().lock();
    if published.is_empty() {
        writeln!(out, "; no key is configured: `gatepost dkim new` makes one")?;
    }
    for one in published {
        writeln!(out, "; {}", one.kind)?;
        out.write_all(zone_line(&one.name, &one.record).as_bytes())?;
    }
    Ok(ExitCode::SUCCESS)
}
