//! `gatepost queue retry`, `hold`, `release`, `drop` and `redirect`.

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use super::super::WrongUsage;
use super::super::progress::Bar;
use super::super::reach::Reach;
use super::super::words::count;
use super::selection::Selection;
use crate::control::{Answer, Done, Filter, Order, Outcome, Redirection, Request};

/// What an order takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    selection: Selection,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What `gatepost queue drop` takes.
#[derive(Debug, clap::Args)]
pub(super) struct DropArgs {
    #[command(flatten)]
    args: Args,
    /// Tell the sender, as of a delivery that failed.
    #[arg(long)]
    bounce: bool,
    /// Don't ask.
    #[arg(long, short)]
    yes: bool,
}

/// What `gatepost queue redirect` takes.
#[derive(Debug, clap::Args)]
pub(super) struct RedirectArgs {
    #[command(flatten)]
    args: Args,
    /// Another recipient's address; or a way for the same one: local, relay, mx:example.org, route:NAME.
    #[arg(long, value_name = "ADDRESS OR WAY")]
    to: String,
}

/// Makes messages due now.
pub(super) fn retry(args: &Args, reach: impl FnOnce() -> anyhow::Result<Reach>) -> anyhow::Result<ExitCode> {
    let filter = args.selection.deliberate()?;
    give(args, filter, Order::Retry, "due now", &mut reach()?)
}

/// Holds messages.
pub(super) fn hold(args: &Args, reach: impl FnOnce() -> anyhow::Result<Reach>) -> anyhow::Result<ExitCode> {
    let filter = args.selection.deliberate()?;
    give(args, filter, Order::Hold, "held", &mut reach()?)
}

/// Ends holds.
pub(super) fn release(
    args: &Args,
    reach: impl FnOnce() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    let filter = args.selection.deliberate()?;
    give(args, filter, Order::Release, "released", &mut reach()?)
}

/// Throws messages away.
pub(super) fn drop_mail(
    args: &DropArgs,
    reach: impl Fn() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    let filter = args.args.selection.deliberate()?;
    // Whoever is asked may think for long: until then neither a connection nor the spool is kept from others.
    if !args.yes && std::io::stdin().is_terminal() && !confirmed(&filter, reach()?)? {
        writeln!(std::io::stderr(), "nothing was dropped")?;
        return Ok(ExitCode::FAILURE);
    }
    give(&args.args, filter, Order::Drop { bounce: args.bounce }, "dropped", &mut reach()?)
}

/// Sends messages elsewhere.
pub(super) fn redirect(
    args: &RedirectArgs,
    reach: impl FnOnce() -> anyhow::Result<Reach>,
) -> anyhow::Result<ExitCode> {
    let filter = args.args.selection.deliberate()?;
    let to = Redirection::parse(&args.to).map_err(WrongUsage)?;
    give(&args.args, filter, Order::Redirect { to }, "redirected", &mut reach()?)
}

/// Says what would be dropped, and asks.
fn confirmed(filter: &Filter, mut reach: Reach) -> anyhow::Result<bool> {
    let request = Request::List { filter: filter.clone(), text: None, limit: None };
    let done = reach.ask(request, &mut |_| Ok(()))?;
    drop(reach);
    if done.messages == 0 {
        return Ok(true);
    }
    let (recipients, messages) = (count(done.recipients, "recipient"), count(done.messages, "message"));
    write!(std::io::stderr(), "Drop {recipients} of {messages}? [y/N] ")?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Gives the order, and says what it met.
fn give(
    args: &Args,
    filter: Filter,
    order: Order,
    word: &str,
    reach: &mut Reach,
) -> anyhow::Result<ExitCode> {
    let mut bar = Bar::default();
    let done = reach.ask(Request::Order { filter, order }, &mut |answer| {
        if let Answer::Progress(progress) = answer {
            bar.show(progress);
        }
        Ok(())
    })?;
    drop(bar);
    for problem in &done.problems {
        writeln!(std::io::stderr(), "gatepost: {problem}")?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&done)?)?;
    } else if done.messages > 0 {
        writeln!(out, "{}", in_words(&done, word))?;
    } else {
        writeln!(
            std::io::stderr(),
            "gatepost: nothing in the queue matches: `gatepost queue list` shows what is there"
        )?;
    }
    let missing = args.selection.missing(done.messages);
    if missing > 0 && done.messages > 0 {
        writeln!(
            std::io::stderr(),
            "gatepost: {} not in the queue, or nothing of it matches",
            count(missing, "id")
        )?;
    }
    let met_all = done.messages > 0 && done.missed == 0 && missing == 0 && done.problems.is_empty();
    Ok(if met_all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn in_words(done: &Done, word: &str) -> String {
    let (recipients, messages) = (count(done.recipients, "recipient"), count(done.messages, "message"));
    let mut text = format!("{recipients} of {messages} {word}");
    if done.active > 0 {
        text.push_str(&format!(
            ", {} of them when the attempt under way is over, unless it succeeds",
            done.active
        ));
    }
    if let Some(Outcome::Bounced(notices)) = done.outcome {
        text.push_str(&format!(", {} to senders queued", count(notices, "DSN")));
    }
    if done.missed > 0 {
        text.push_str(&format!(", {} left alone", done.missed));
    }
    text
}
