//! `gatepost queue stats`: what waits, in all and by destination.

use std::io::Write as _;
use std::process::ExitCode;

use smtp::time::WallTime;

use super::super::reach::Reach;
use super::super::words::{Width, count, due, size, span};
use crate::clock;
use crate::control::{Answer, Census, DestinationRow, Request};

/// What `gatepost queue stats` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// At most so many destinations, those with most recipients first; 100 by default.
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints the numbers.
pub(super) fn run(args: &Args, reach: &mut Reach) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    let width = Width::of_stdout();
    let now = clock::wall();
    let mut shown = 0;
    let mut destinations = 0;
    reach.ask(Request::Census { limit: args.limit }, &mut |answer| {
        match &answer {
            Answer::Census(census) => destinations = census.destinations,
            Answer::Destination(_) => shown += 1,
            _ => return Ok(()),
        }
        if args.json {
            writeln!(out, "{}", serde_json::to_string(&answer)?)?;
            return Ok(());
        }
        let line = match answer {
            Answer::Census(census) => totals(&census, now),
            Answer::Destination(row) => in_words(&row, now),
            _ => return Ok(()),
        };
        writeln!(out, "{}", width.fit(&line))?;
        Ok(())
    })?;
    if !args.json && shown < destinations {
        writeln!(out, "and {} more: --limit shows them", count(destinations - shown, "destination"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The totals in a line.
pub(crate) fn totals(census: &Census, now: WallTime) -> String {
    let oldest = census
        .oldest
        .map_or_else(String::new, |oldest| format!(", the oldest {} old", span(now.since(oldest.0))));
    format!(
        "{}, {} ({} tried before, {} held, {} under way), {}{oldest}",
        count(census.messages, "message"),
        count(census.recipients, "recipient"),
        census.deferred,
        census.held,
        census.active,
        size(census.octets)
    )
}

fn in_words(row: &DestinationRow, now: WallTime) -> String {
    let DestinationRow { destination, recipients, held, deferred, active, .. } = row;
    let oldest = row.oldest.map_or_else(|| String::from("-"), |oldest| span(now.since(oldest.0)));
    let next = row.next_due.map_or_else(|| String::from("-"), |next| due(next.0, now));
    let last = row.last_reply.as_deref().unwrap_or("not tried yet");
    format!(
        "{destination:24}  {recipients:>7} waiting, {deferred} tried before, {held} held, {active} under way, \
         oldest {oldest}, next {next}: {last}"
    )
}
