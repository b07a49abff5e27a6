//! `gatepost queue import`: exported messages are queued, each durably before the next.

use std::io::{self, BufRead, Read, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use queue::queue_id::QueueId;

use super::super::reach::Reach;
use super::super::words::count;
use super::files::{Exported, envelopes};
use crate::control::{Done, Message, Outcome, Request, Unreachable};

/// Longest envelope on standard input, in octets (ours: one with 50,000 recipients).
const ENVELOPE_OCTETS_MAX: u64 = 128 * 1024 * 1024;

/// What an import came to.
#[derive(Debug, Default)]
struct Tally {
    imported: u64,
    problems: u64,
}

impl Tally {
    fn problem(&mut self, problem: &str) {
        self.problems += 1;
        // A reader that has gone is no failure of ours.
        let _ = writeln!(io::stderr(), "gatepost: {problem}");
    }
}

/// Imports.
pub(super) fn run(folder: &Path, json: bool, reach: &mut Reach) -> anyhow::Result<ExitCode> {
    let mut tally = Tally::default();
    if folder.as_os_str() == "-" {
        from_stdin(&mut io::stdin().lock(), json, reach, &mut tally)?;
    } else {
        from_folder(folder, json, reach, &mut tally)?;
    }
    writeln!(io::stderr(), "{} imported", count(tally.imported, "message"))?;
    let all = tally.imported > 0 && tally.problems == 0;
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn from_folder(folder: &Path, json: bool, reach: &mut Reach, tally: &mut Tally) -> anyhow::Result<()> {
    let (waiting, interrupted) = envelopes(folder)?;
    for envelope in interrupted {
        tally.problem(&format!(
            "{} was being imported when that was interrupted, and may be queued: `gatepost queue search` with the old id \
             tells, for it stands in the message; to import it (again), name it .json",
            envelope.display()
        ));
    }
    for envelope in waiting {
        let exported = match Exported::open(&envelope) {
            Ok(exported) => exported,
            Err(error) => {
                tally.problem(&format!("{error:#}"));
                continue;
            }
        };
        exported.importing()?;
        let (message, mut body) = (exported.message.clone(), &exported.body);
        match import(message, &mut body, json, reach, tally) {
            Ok(()) => exported.imported()?,
            // What became of it is not known: it keeps the name that says so.
            Err(error) if error.is::<Unreachable>() => return Err(error),
            Err(error) => {
                exported.refused()?;
                tally.problem(&format!("{}: {error:#}", envelope.display()));
            }
        }
    }
    Ok(())
}

fn from_stdin(
    input: &mut impl BufRead,
    json: bool,
    reach: &mut Reach,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    loop {
        let mut line = Vec::new();
        input.take(ENVELOPE_OCTETS_MAX).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(());
        }
        let message: Message = serde_json::from_slice(&line)
            .context("standard input is not what `gatepost queue export -` printed, or is cut off")?;
        let octets = message.size_octets;
        let id = message.id;
        let mut body = input.take(octets);
        let imported = import(message, &mut body, json, reach, tally);
        let unread = body.limit();
        if let Err(error) = imported {
            if error.is::<Unreachable>() {
                return Err(error);
            }
            tally.problem(&format!("{id}: {error:#}"));
        }
        // What was not taken of it is no envelope.
        if io::copy(&mut body, &mut io::sink())? < unread {
            bail!("the mail data of {id} is cut off, and it was not imported");
        }
    }
}

fn import(
    message: Message,
    body: &mut dyn Read,
    json: bool,
    reach: &mut Reach,
    tally: &mut Tally,
) -> anyhow::Result<()> {
    let old = message.id;
    let request = Request::Import { message: Box::new(message) };
    let Done { outcome, problems, .. } = reach.ask_with(request, body, &mut |_| Ok(()))?;
    tally.imported += 1;
    if let Some(Outcome::Imported(new)) = outcome {
        say(old, new, json)?;
    }
    problems.iter().for_each(|problem| tally.problem(problem));
    Ok(())
}

/// Says under which id a message is queued now.
fn say(old: QueueId, new: QueueId, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        return writeln!(
            out,
            "{}",
            serde_json::json!({ "exported_as": old.to_string(), "id": new.to_string() })
        );
    }
    writeln!(out, "{old} is queued as {new}")
}
