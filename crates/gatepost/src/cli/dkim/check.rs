//! `gatepost dkim check`: whether the DNS has the records of the configured keys.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;

use super::Chosen;
use crate::cli::SiteOptions;
use crate::net::dns::Dns;
use crate::net::mail_auth::key_record::{Publication, look_up};

pub(super) fn run(chosen: &Chosen, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let Some((config, published)) = chosen.published(options)? else { return Ok(ExitCode::FAILURE) };
    let mut out = std::io::stdout().lock();
    if published.is_empty() {
        writeln!(out, "no key is configured: `gatepost dkim new` makes one")?;
        return Ok(ExitCode::FAILURE);
    }
    let runtime = crate::cli::runtime()?;
    // Its sockets belong to the runtime.
    let _guard = runtime.enter();
    let dns = Dns::new(&config.dns).map_err(anyhow::Error::msg).context("cannot ask the DNS")?;
    let mut is_good = true;
    for one in &published {
        let found = runtime.block_on(look_up(&dns, &one.name, &one.record));
        is_good &= found == Publication::Right;
        writeln!(out, "{}: {}", one.name, said(&found))?;
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn said(found: &Publication) -> String {
    match found {
        Publication::Right => "ok".to_owned(),
        Publication::Missing => "missing: put the record of `gatepost dkim show` into the DNS".to_owned(),
        Publication::Revoked => {
            "revoked: the record has an empty p=, so that every signature fails".to_owned()
        }
        Publication::Other => "wrong: the record has another key, so that every signature fails".to_owned(),
        Publication::Malformed => "wrong: the record can't be read as a DKIM key".to_owned(),
        Publication::Several => "wrong: there are several records, and verifiers take any".to_owned(),
        Publication::Unknown(failure) => format!("can't be told now: {failure}"),
    }
}
