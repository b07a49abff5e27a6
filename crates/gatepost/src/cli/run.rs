//! `gatepost run`: start the server.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use queue::log_spool::Drill;

use super::SiteOptions;
use crate::config::Listen;
use crate::observe;
use crate::server::{self, Start};
use crate::site::Sites;

/// What `gatepost run` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Listen here for other servers instead of where the configuration says (may be given several times).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Listen here for users that submit mail; with this or --listen the configuration's listeners don't count (may be given
    /// several times).
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_submission: Vec<SocketAddr>,
    /// The same, under TLS from the first octet on.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen_submissions: Vec<SocketAddr>,
    /// Act out a fault of the spool, to see its replies: never from the configuration, only from here.
    #[arg(long, value_enum, value_name = "FAULT")]
    fault: Option<Fault>,
}

/// A fault that can be acted out.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Fault {
    /// The disk's watermark is reached: 452 4.3.1.
    DiskFull,
    /// Writing a message fails: 451 4.3.0.
    SpoolWrite,
}

/// Starts the server and serves until it is told to stop.
///
/// # Errors
/// What keeps it from starting.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let state = server::prepare_state(&options.state)?;
    let user = super::user();
    let loaded = Sites::load(options.config.as_deref(), &user, &state);
    let Some((sites, warnings)) = super::accepted(loaded) else { return Ok(ExitCode::FAILURE) };
    super::show(&warnings);
    observe::start(sites.current().config.log_level.as_str()).context("cannot start the log")?;
    let start = Start {
        config: options.config.clone(),
        state,
        user,
        listen: Listen {
            mx: args.listen.clone(),
            submission: args.listen_submission.clone(),
            submissions: args.listen_submissions.clone(),
        }
        .all()
        .collect(),
        drill: args.fault.map(|fault| match fault {
            Fault::DiskFull => Drill::NoRoom,
            Fault::SpoolWrite => Drill::MessageWritesFail,
        }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(worker_threads())
        .enable_all()
        .build()
        .context("cannot start the threads of the server")?;
    let served = runtime.block_on(server::run(start, Arc::new(sites)));
    drop(runtime);
    observe::flush();
    served?;
    Ok(ExitCode::SUCCESS)
}

/// Threads that serve connections: one for two processors, since the spool and deliveries have threads of their own and
/// a message that stays in one thread costs least (docs/decisions/0009-threads-and-groups.md).
fn worker_threads() -> usize {
    let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    processors.div_ceil(2)
}
