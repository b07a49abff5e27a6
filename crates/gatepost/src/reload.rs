//! Reloads: the configuration as it is now, put in force by a signal or by a request.
//!
//! Invariants: one reload at a time; a configuration with a mistake changes nothing.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use queue::kernel_disk::KernelDisk;
use queue::log_spool::LogSpool;
use smtp::time::WallTime;

use crate::clock;
use crate::config::Problem;
use crate::control::Reloaded;
use crate::server::{Start, make_own_certificate};
use crate::site::{Site, Sites};

/// Puts the configuration in force again.
#[derive(Debug)]
pub struct Reloads {
    start: Arc<Start>,
    sites: Arc<Sites>,
    spool: Arc<LogSpool<KernelDisk>>,
    loaded: Mutex<WallTime>,
}

impl Reloads {
    /// Reloads for a server whose configuration was put in force just now.
    #[must_use]
    pub fn new(start: Arc<Start>, sites: Arc<Sites>, spool: Arc<LogSpool<KernelDisk>>) -> Self {
        Self { start, sites, spool, loaded: Mutex::new(clock::wall()) }
    }

    /// When the configuration was last put in force.
    #[must_use]
    pub fn loaded(&self) -> WallTime {
        *self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts the configuration as it is now in force, the spool's watermarks included, and says in the log and to the
    /// caller what came of it. Blocks on the disk.
    pub fn now(&self) -> Reloaded {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        tracing::info!("reloading the configuration");
        let before = self.sites.current();
        let reloaded = self.sites.reload();
        report(&reloaded, "configuration");
        let render = |problems: &[Problem]| problems.iter().map(|problem| problem.render(false)).collect();
        let mut problems: Vec<String> = match &reloaded {
            Err(problems) => return Reloaded { in_force: false, problems: render(problems) },
            Ok(warnings) => render(warnings),
        };
        *loaded = clock::wall();
        make_own_certificate(&self.sites);
        let site = self.sites.current();
        match free_octets_min(&self.start.state, &site) {
            Ok(octets) => self.spool.set_watermarks(octets, site.config.spool.min_free_inodes),
            Err(error) => {
                let problem = format!("{error:#}; the spool keeps its watermarks");
                tracing::error!("{problem}");
                problems.push(problem);
            }
        }
        if self.start.listen.is_empty() && site.config.listen != before.config.listen {
            let problem = "`[listen]` has changed: restart the server to listen there";
            tracing::warn!("{problem}");
            problems.push(problem.to_owned());
        }
        Reloaded { in_force: true, problems }
    }
}

/// Free octets below which no mail is taken: the greater of both watermarks.
///
/// # Errors
/// When the disk can't be asked.
pub(crate) fn free_octets_min(state: &Path, site: &Site) -> anyhow::Result<u64> {
    let watermarks = &site.config.spool;
    let disk = rustix::fs::statvfs(state)
        .with_context(|| format!("cannot see how large the disk of {} is", state.display()))?;
    let part_octets =
        disk.f_blocks.saturating_mul(disk.f_frsize) / 100 * u64::from(watermarks.min_free_percent);
    Ok(watermarks.min_free_octets.max(part_octets))
}

/// Says in the log what a reload came to.
pub(crate) fn report(reloaded: &Result<Vec<Problem>, Vec<Problem>>, what: &str) {
    match reloaded {
        Ok(warnings) => {
            tracing::info!("{what} reloaded");
            for problem in warnings {
                tracing::warn!("{problem}");
            }
        }
        Err(problems) => {
            tracing::error!("{what} not reloaded, the old one stays in force");
            for problem in problems {
                tracing::error!("{problem}");
            }
        }
    }
}
