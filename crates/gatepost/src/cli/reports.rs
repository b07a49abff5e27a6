//! `gatepost reports`: what is collected for other domains, and sending it before its time.

use std::collections::HashMap;
use std::fs::DirBuilder;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use queue::log_spool::{LogSpool, OpenError, Options};
use serde::Serialize;

use super::SiteOptions;
use crate::clock;
use crate::config::Config;
use crate::reports::{self, Collected, Due, Preview, Store, Tally, Wanted};
use crate::server::{prepare_state, unusable};
use crate::site::{Site, Sites};

/// Longest wait for a server that is asked to send (ours: it looks up each domain).
const ANSWER_TIMEOUT: Duration = Duration::from_secs(600);

/// How often it is looked whether the server has answered.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Domains that are read at a time.
const DOMAINS_AT_ONCE: usize = 500;

/// What `gatepost reports` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List what is collected and not sent yet: kind, day, domain, and how many messages or sessions.
    List {
        /// Print JSON: a list of {kind, day, domain, rows, count}.
        #[arg(long)]
        json: bool,
    },
    /// Send the reports of all days that are over, without waiting for their time; a server that runs does it itself.
    Send {
        /// Report on today, too, as far as it has gone.
        #[arg(long)]
        now: bool,
        /// Print the reports and who would get them, and send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

#[derive(Serialize)]
struct Listed<'c> {
    kind: &'static str,
    day: String,
    domain: &'c str,
    rows: u64,
    count: u64,
}

/// Carries out the command; exit code 1 when a report could not be sent.
///
/// # Errors
/// When what is collected can't be read, or a server doesn't answer.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    match args.command {
        Command::List { json } => list(&options.state, json),
        Command::Send { now, dry_run } => {
            let state = prepare_state(&options.state)?;
            let loaded = Sites::load(options.config.as_deref(), &super::user(), &state);
            let Some((sites, warnings)) = super::accepted(loaded) else { return Ok(ExitCode::FAILURE) };
            super::show(&warnings);
            let site = sites.current();
            if !site.config.reports.is_on() {
                bail!("no reports are sent: set `dmarc` or `tls` under `[reports]` in the configuration");
            }
            let Some(store) = open(&state)? else {
                writeln!(std::io::stdout(), "nothing is collected")?;
                return Ok(ExitCode::SUCCESS);
            };
            let wanted = Wanted::All { today: now };
            super::runtime()?.block_on(async {
                if dry_run {
                    show(&site, &store, wanted).await
                } else {
                    send(&site, &state, store, wanted).await
                }
            })
        }
    }
}

fn open(state: &Path) -> anyhow::Result<Option<Store>> {
    Store::open_existing(state)
        .with_context(|| format!("cannot read what is collected in {}", state.display()))
}

fn list(state: &Path, json: bool) -> anyhow::Result<ExitCode> {
    let collected = match open(state)? {
        Some(store) => store.collected()?,
        None => Vec::new(),
    };
    let mut out = std::io::stdout().lock();
    if json {
        let listed: Vec<Listed<'_>> = collected.iter().map(listed).collect();
        serde_json::to_writer_pretty(&mut out, &listed)?;
        writeln!(out)?;
    } else if collected.is_empty() {
        writeln!(out, "nothing is collected")?;
    } else {
        let width = collected.iter().map(|one| one.due.domain.len()).max().unwrap_or(0);
        for one in collected.iter().map(listed) {
            let what = if one.kind == "DMARC" { "messages" } else { "sessions" };
            writeln!(
                out,
                "{}  {:5}  {:width$}  {} {what} in {} rows",
                one.day, one.kind, one.domain, one.count, one.rows
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn listed(collected: &Collected) -> Listed<'_> {
    let Collected { due, rows, count } = collected;
    Listed {
        kind: due.kind.name(),
        day: due.day.to_string(),
        domain: &due.domain,
        rows: *rows,
        count: *count,
    }
}

/// Prints what would be sent.
async fn show(site: &Site, store: &Store, wanted: Wanted) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let mut is_whole = true;
    for due in due(store, &site.config, wanted)? {
        let head = format!("{} report on {} for {}", due.kind.name(), due.domain, due.day);
        let mut preview = match Preview::of(site, store, &due).await {
            Err(why) => {
                is_whole = false;
                writeln!(out, "# {head}: waits: {why}\n")?;
                continue;
            }
            Ok(preview) => preview,
        };
        let recipients = preview.recipients().join(", ");
        if recipients.is_empty() {
            writeln!(out, "# {head}: nobody wants it\n")?;
            continue;
        }
        while let Some(texts) = preview.next().map_err(anyhow::Error::msg)? {
            for text in texts {
                writeln!(out, "# {head}, to {recipients}\n{}\n", text.trim_end())?;
            }
        }
    }
    Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is wanted now.
fn due(store: &Store, config: &Config, wanted: Wanted) -> anyhow::Result<Vec<Due>> {
    let before = reports::first_untold(wanted, clock::wall());
    let mut all: Vec<Due> = Vec::new();
    loop {
        let page = store.due(before, all.last(), DOMAINS_AT_ONCE)?;
        if page.is_empty() {
            all.retain(|due| reports::is_on(config, due.kind));
            return Ok(all);
        }
        all.extend(page);
    }
}

/// Sends by the spool, or has the server that holds it send.
async fn send(site: &Site, state: &Path, store: Store, wanted: Wanted) -> anyhow::Result<ExitCode> {
    let folder = state.join("spool");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    let salt = getrandom::u64().map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    let (text, waits) = match LogSpool::at(&folder, Options::new(salt)) {
        Ok((spool, _)) => {
            drop(store);
            let Some(mut store) = reports::open(state)? else { bail!("what is collected has gone") };
            let tally: Tally = reports::send(
                site,
                &spool,
                &mut store,
                (wanted, clock::wall()),
                &mut HashMap::new(),
                &|| false,
            )
            .await?;
            (tally.to_string(), !tally.waiting.is_empty())
        }
        Err(OpenError::Disk(error)) if error.kind() == ErrorKind::ResourceBusy => {
            let text = order(&store, wanted)?;
            let waits = text.contains('\n');
            (text, waits)
        }
        Err(error) => return Err(unusable(&folder, error)),
    };
    writeln!(std::io::stdout(), "{text}")?;
    Ok(if waits { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Has the server that runs send, and waits for what it says.
fn order(store: &Store, wanted: Wanted) -> anyhow::Result<String> {
    let order = store.order(wanted == Wanted::All { today: true }, clock::wall())?;
    let since = clock::monotonic();
    loop {
        if let Some(answer) = store.answer_to(order)? {
            return Ok(answer);
        }
        if clock::monotonic().since(since) > ANSWER_TIMEOUT {
            store.withdraw(order)?;
            bail!("the server that holds the spool does not answer; is it another version?");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}
