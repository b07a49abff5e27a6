//! `gatepost queue list` and `search`: the messages that match, each with its recipients.

use std::io::{BufWriter, Write as _};
use std::process::ExitCode;

use smtp::time::WallTime;

use super::super::reach::Reach;
use super::super::words::{Width, count, due, size, span};
use super::selection::Selection;
use crate::clock;
use crate::control::{Answer, Done, Entry, Filter, Phase, Recipient, Request, Time};

/// What `gatepost queue list` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// At most so many messages.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `gatepost queue search` takes.
#[derive(Debug, clap::Args)]
pub(super) struct SearchArgs {
    /// The text, in either case: in addresses, replies, or the header section.
    #[arg(value_name = "TEXT")]
    text: String,
    #[command(flatten)]
    args: Args,
}

/// Lists.
pub(super) fn list(args: &Args, reach: impl FnOnce() -> anyhow::Result<Reach>) -> anyhow::Result<ExitCode> {
    print(args, None, reach)
}

/// Lists what holds the text.
pub(super) fn search(
    args: &SearchArgs,
    reach: impl FnOnce() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    print(&args.args, Some(args.text.clone()), reach)
}

fn print(
    args: &Args,
    text: Option<String>,
    reach: impl FnOnce() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    let filter = args.selection.filter()?;
    let is_narrowed = text.is_some() || filter != Filter::default();
    let mut reach = reach()?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let width = Width::of_stdout();
    let now = clock::wall();
    let request = Request::List { filter, text, limit: args.limit };
    let done = reach.ask(request, &mut |answer| {
        if let Answer::Entry(entry) = answer {
            if args.json {
                serde_json::to_writer(&mut out, &entry)?;
                writeln!(out)?;
            } else {
                for line in lines(&entry, now) {
                    writeln!(out, "{}", width.fit(&line))?;
                }
            }
        }
        Ok(())
    })?;
    out.flush()?;
    let nothing = is_narrowed && done.messages == 0;
    // What was asked for by its id and is not there is a failure, where nothing else keeps it out.
    let missing = args.limit.is_none() && args.selection.missing(done.messages) > 0;
    if !args.json {
        writeln!(std::io::stderr(), "{}", summary(&done, is_narrowed))?;
    }
    Ok(if nothing || missing { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The lines of an entry: the message, and each of its recipients below it.
fn lines(entry: &Entry, now: WallTime) -> Vec<String> {
    let hold = match entry.hold.as_deref() {
        None => String::new(),
        Some("quarantined") => String::from(", quarantined by the policy"),
        // By the policy, or because it stood so where it was exported.
        Some(hold) => format!(", {hold} on arrival"),
    };
    let sender =
        if entry.reverse_path == "<>" { String::from("<>") } else { format!("<{}>", entry.reverse_path) };
    let first = format!(
        "{}  {:>6}  {:>8}  from {sender}{hold}",
        entry.id,
        span(now.since(entry.received.0)),
        size(entry.size_octets),
    );
    std::iter::once(first)
        .chain(entry.recipients.iter().map(|recipient| recipient_line(recipient, now)))
        .collect()
}

/// One recipient: its address, where it goes, its attempts, when the next one is, and what the last one met.
fn recipient_line(recipient: &Recipient, now: WallTime) -> String {
    let Recipient { mailbox, destination, attempts, .. } = recipient;
    let next = next(recipient.phase, recipient.due.0, (destination, recipient.destination_opens), now);
    let last = recipient.last_reply.as_deref().unwrap_or("not tried yet");
    let attempts = count(u64::from(*attempts), "attempt");
    format!("    <{mailbox}> to {destination}, {attempts}, {next}: {last}")
}

/// When the next attempt is, and whether it waits for its destination, which is tried again at `opens`.
pub(super) fn next(
    phase: Phase,
    at: WallTime,
    (destination, opens): (&str, Option<Time>),
    now: WallTime,
) -> String {
    match phase {
        Phase::Held => String::from("held"),
        Phase::Active => String::from("under way"),
        Phase::Finished => String::from("finished"),
        Phase::Waiting => match opens {
            Some(opens) => format!("waits for {destination}, next {}", due(opens.0, now)),
            None => format!("next {}", due(at, now)),
        },
    }
}

fn summary(done: &Done, is_narrowed: bool) -> String {
    match (done.messages, is_narrowed) {
        (0, true) => String::from("nothing in the queue matches"),
        (0, false) => String::from("the queue is empty"),
        _ => {
            let active = if done.active > 0 { format!(", {} under way", done.active) } else { String::new() };
            format!("{}, {}{active}", count(done.messages, "message"), count(done.recipients, "recipient"))
        }
    }
}
