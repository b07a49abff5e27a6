//! `gatepost queue`: list, print, release, drop and check the queue of a server that is not running.

use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::pin::pin;
use std::process::ExitCode;
use std::task::{Context, Poll, Waker};

use anyhow::bail;
use queue::delivery::{Phase, RecipientState};
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{LogSpool, Options, fsck};
use queue::message::Hold;
use queue::postmaster::{Order, Query};
use queue::queue_id::QueueId;
use queue::spool::Spool as _;
use queue::wait::block_on;
use smtp::address::Mailbox;

use super::SiteOptions;
use crate::server::unusable;

/// What `gatepost queue` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the messages: id, arrival, size, reverse-path, and each recipient with its last reply.
    List,
    /// Print a message as it stands in the spool.
    Cat {
        /// The queue id, as the reply and the log have it.
        id: QueueId,
    },
    /// End the hold of a message, a quarantine's too: it is delivered once the server runs.
    Release {
        /// The queue id, as the reply and the log have it.
        id: QueueId,
    },
    /// Throw a message away; nobody is told.
    Drop {
        /// The queue id, as the reply and the log have it.
        id: QueueId,
    },
    /// Check the spool and say what is in it; exit code 1 when something is damaged.
    Fsck,
}

/// Messages listed at a time.
const PAGE: usize = 1_000;

/// Carries out the command.
///
/// # Errors
/// When the spool can't be opened, say because a server is running, or has no such message.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let folder = options.state.join("spool");
    if !folder.is_dir() {
        bail!(
            "there is no spool in {}; --state names the directory that the server was run with",
            options.state.display()
        );
    }
    match &args.command {
        Command::List => list(&folder),
        Command::Cat { id } => cat(&folder, *id),
        Command::Release { id } => order(&folder, *id, Order::Release, "released"),
        Command::Drop { id } => order(&folder, *id, Order::Drop, "dropped"),
        Command::Fsck => check(&folder),
    }
}

fn open(folder: &Path) -> anyhow::Result<LogSpool<KernelDisk>> {
    let (spool, _) = LogSpool::at(folder, Options::new(0)).map_err(|error| unusable(folder, error))?;
    Ok(spool)
}

/// The value of a future that does not wait: what is asked here is answered from memory and disk at once.
fn now<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => bail!("the spool did not answer"),
    }
}

fn list(folder: &Path) -> anyhow::Result<ExitCode> {
    let spool = open(folder)?;
    let mut out = std::io::stdout().lock();
    let mut after = None;
    loop {
        let entries = now(spool.list(&Query::default(), after, PAGE))??;
        let Some(last) = entries.last() else { return Ok(ExitCode::SUCCESS) };
        after = Some(last.id);
        for entry in &entries {
            writeln!(
                out,
                "{}  {}  {} octets  from {}{}",
                entry.id,
                entry.received.to_date_time(),
                entry.size_octets,
                entry.reverse_path,
                match entry.hold {
                    None => "",
                    Some(Hold::Held) => ", held by the policy",
                    Some(Hold::Quarantined) => ", quarantined by the policy",
                }
            )?;
            for (mailbox, state) in &entry.recipients {
                writeln!(out, "    {}", recipient_line(mailbox, state))?;
            }
        }
    }
}

/// One recipient: its address, where it goes, its attempts, when the next one is, and what the last one met.
fn recipient_line(mailbox: &Mailbox, state: &RecipientState) -> String {
    let last = state.last_reply.as_deref().unwrap_or("not tried yet");
    let next = match state.phase {
        Phase::Held => "held".to_owned(),
        _ => format!("next {}", state.due.to_date_time()),
    };
    format!("<{mailbox}> to {}, {} attempts, {next}: {last}", state.destination, state.attempts)
}

/// Gives an order on every recipient of a message.
fn order(folder: &Path, id: QueueId, order: Order, done: &str) -> anyhow::Result<ExitCode> {
    let spool = open(folder)?;
    let only = Query { ids: vec![id], ..Query::default() };
    let met = block_on(spool.order(&only, order))?;
    if met == 0 {
        bail!("no recipient of {id} was {done}: `gatepost queue list` shows what is there");
    }
    writeln!(std::io::stdout(), "{id}: {met} recipients {done}")?;
    Ok(ExitCode::SUCCESS)
}

fn cat(folder: &Path, id: QueueId) -> anyhow::Result<ExitCode> {
    let spool = open(folder)?;
    let stored = now(spool.open(id))??;
    let mut out = std::io::stdout().lock();
    let mut reader = stored.body.reader();
    while let Some(chunk) = reader.next_chunk()? {
        out.write_all(chunk)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path) -> anyhow::Result<ExitCode> {
    let report = fsck(folder).map_err(|error| unusable(folder, error))?;
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
