//! `gatepost status`, `reload` and `stop`: how the running server is, its configuration anew, its end.

use std::io::Write as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use queue::kernel_disk::KernelDisk;

use super::SiteOptions;
use super::queue::totals;
use super::reach::Reach;
use super::words::span;
use crate::clock;
use crate::control::{Answer, Request, Status, Unreachable};
use crate::journal::day::show_time;
use crate::server::spool_folder;

/// How often a server that ends is looked after.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What `gatepost status` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `gatepost stop` takes.
#[derive(Debug, clap::Args)]
pub struct StopArgs {
    /// Wait until it has ended and its spool is free.
    #[arg(long)]
    wait: bool,
}

fn server(options: &SiteOptions) -> Result<Reach, Unreachable> {
    Reach::running(options)?.ok_or_else(|| {
        Unreachable::new(format!(
            "no server runs in {}; --state names the directory that it was run with",
            options.state.display()
        ))
    })
}

/// Prints how the server is; the exit code is 1 when it takes no mail.
///
/// # Errors
/// [`Unreachable`] when none runs.
pub fn status(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let mut healthy = true;
    let mut out = std::io::stdout().lock();
    server(options)?.ask(Request::Status, &mut |answer| {
        if let Answer::Status(status) = answer {
            healthy = status.fault.is_none() && status.no_room.is_none();
            let text = if args.json { serde_json::to_string(&status)? } else { in_words(&status) };
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    })?;
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(status: &Status) -> String {
    let now = clock::wall();
    let configuration = status.configuration.as_deref().unwrap_or("none: the zero configuration");
    let mut text = format!(
        "{} on {}, process {}, up {}{}\nlistening on {}\nconfiguration: {configuration}, in force since {}\n\
         sessions: {} open, {} messages accepted, {} replies of 4yz and 5yz\nqueue: {}\n",
        status.product,
        status.hostname,
        status.pid,
        span(Duration::from_secs(status.uptime_seconds)),
        if status.draining { ", draining: it is about to end" } else { "" },
        status.listening.join(", "),
        show_time(status.loaded.0),
        status.sessions,
        status.accepted,
        status.refused,
        totals(&status.queue, now),
    );
    if let Some(fault) = &status.fault {
        text.push_str(&format!(
            "NO MAIL IS TAKEN: the spool has failed: {fault}; mend the disk and restart\n"
        ));
    }
    if let Some(why) = &status.no_room {
        text.push_str(&format!("NO MAIL IS TAKEN for now: {why}\n"));
    }
    text
}

/// Puts the configuration as it is now in force, and says what is wrong with it.
///
/// # Errors
/// [`Unreachable`] when no server runs.
pub fn reload(options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let mut in_force = false;
    let mut stderr = std::io::stderr();
    server(options)?.ask(Request::Reload, &mut |answer| {
        if let Answer::Reloaded(reloaded) = answer {
            in_force = reloaded.in_force;
            for problem in reloaded.problems {
                writeln!(stderr, "{problem}")?;
            }
        }
        Ok(())
    })?;
    if in_force {
        writeln!(std::io::stdout(), "reloaded")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(stderr, "gatepost: not reloaded: what was in force stays")?;
    Ok(ExitCode::FAILURE)
}

/// Ends the server as SIGTERM does.
///
/// # Errors
/// [`Unreachable`] when none runs.
pub fn stop(args: &StopArgs, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    server(options)?.ask(Request::Stop, &mut |_| Ok(()))?;
    if args.wait {
        // The lock is what it gives back last; the socket is gone before.
        let spool = spool_folder(&options.state);
        while KernelDisk::is_in_use(&spool)
            .with_context(|| format!("cannot tell whether {} is in use", spool.display()))?
        {
            thread::sleep(LOOK_AGAIN);
        }
    }
    writeln!(std::io::stdout(), "{}", if args.wait { "stopped" } else { "stopping" })?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spool_is_in_use_for_as_long_as_somebody_has_it() {
        let state = tempfile::tempdir().unwrap();
        let spool = spool_folder(state.path());
        assert!(!KernelDisk::is_in_use(&spool).unwrap(), "there is none");
        let disk = KernelDisk::open(&spool).unwrap();
        assert!(KernelDisk::is_in_use(&spool).unwrap());
        drop(disk);
        assert!(!KernelDisk::is_in_use(&spool).unwrap());
        assert!(KernelDisk::open(&spool).is_ok(), "asking leaves no lock behind");
    }
}
