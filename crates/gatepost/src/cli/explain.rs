//! `gatepost explain`: from the id in a reply, or a queue id, to the rule and the facts that decided; and the search for
//! refusals.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use queue::queue_id::QueueId;
use serde::Serialize;
use smtp::time::WallTime;

use super::recorded::{self, Coverage};
use super::tried::{placed, write_tried};
use super::{SiteOptions, WrongUsage};
use crate::config::{Network, NetworkError};
use crate::journal::DecisionId;
use crate::journal::day::show_time;
use crate::journal::explanation::{Decider, Explanation};
use crate::journal::record::{Chunk, Point};
use crate::journal::store::{Hit, Reader, Search};

/// How far back a search goes without `--since`.
const SINCE_DEFAULT: Duration = Duration::from_secs(30 * 86_400);

const EXAMPLES: &str = "\
Examples:
  gatepost explain k7q2-m3xf              the id in a reply's brackets
  gatepost explain '550 5.1.1 <x@exam…'   the whole reply, or a bounce's line, as pasted
  gatepost explain 1KWX3N5V1R0            an accepted message, by its queue id
  gatepost explain --to bob@ --since 2d   what was refused, would have been or could not be told
  gatepost explain --client 192.0.2.0/24 --code '550 5.7.1'

JSON (--json) is a list; while `schema` stays 1, fields are only ever added.

Exit codes:
  0  found
  1  not found, or the journal can't be read
  2  wrong usage";

/// Explain a refusal by its id, a message by its queue id, or search for refusals.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples and exit codes.")]
pub struct Args {
    /// An id, a reply with one in brackets, or a queue id.
    #[arg(value_name = "ID OR REPLY", conflicts_with_all = ["sender", "recipient", "client", "code", "rule", "since", "until"])]
    question: Vec<String>,
    /// Search: in the reverse-path; `<>` is the null one.
    #[arg(long = "from", value_name = "TEXT")]
    sender: Option<String>,
    /// Search: in the recipient.
    #[arg(long = "to", value_name = "TEXT")]
    recipient: Option<String>,
    /// Search: the client's address or network.
    #[arg(long, value_name = "ADDRESS", value_parser = parse_network)]
    client: Option<Network>,
    /// Search: a reply code, an enhanced code, or both.
    #[arg(long, value_name = "CODE")]
    code: Option<String>,
    /// Search: the rule, or the fixed refusal.
    #[arg(long, value_name = "NAME")]
    rule: Option<String>,
    /// Search: not before; 7d, 12h, 2026-11-25 or 2026-11-25T10:30 (UTC). By default the last 30 days.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Search: before.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Search: at most so many, the newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_network(text: &str) -> Result<Network, String> {
    match text.parse() {
        Ok(network) | Err(NetworkError::HostBits(network)) => Ok(network),
        Err(NetworkError::Malformed) => Err(String::from("no address; 192.0.2.1 and 192.0.2.0/24 are some")),
    }
}

/// Explains or searches.
///
/// # Errors
/// When the journal can't be read, or nothing was asked.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let (text, found) = answer(args, &recorded::open(options)?)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(if found { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The page, and whether anything was found.
pub(super) fn answer(args: &Args, reader: &Reader) -> anyhow::Result<(String, bool)> {
    if args.question.is_empty() { search(args, reader) } else { explain(args, reader) }
}

/// What `--json` prints.
#[derive(Debug, Serialize)]
struct Output<T> {
    schema: u32,
    found: Vec<T>,
    journal: Coverage,
}

fn explain(args: &Args, reader: &Reader) -> anyhow::Result<(String, bool)> {
    let question = args.question.join(" ");
    let explanations = explanations(reader, &question)?;
    let journal = Coverage::of(reader, WallTime::default())?;
    let found = !explanations.is_empty();
    if args.json {
        let output = Output { schema: 1, found: explanations, journal };
        return Ok((format!("{}\n", serde_json::to_string_pretty(&output)?), found));
    }
    if found {
        let before = std::iter::once(None).chain(explanations.iter().map(Some));
        let pages = before.zip(&explanations).map(|(before, explanation)| in_words(explanation, before));
        return Ok((pages.collect::<Vec<_>>().join("\n"), true));
    }
    let mut text = format!("Not found: {question}\n");
    if DecisionId::candidates(&question).is_empty() && question.trim().parse::<QueueId>().is_err() {
        text.push_str("No id stands in it: an id looks like k7q2-m3xf, a queue id like 1KWX3N5V1R0.\n");
    }
    text.push_str(&journal.in_words());
    Ok((text, false))
}

/// What the question leads to.
fn explanations(reader: &Reader, question: &str) -> anyhow::Result<Vec<Explanation>> {
    if let Ok(id) = question.trim().parse::<QueueId>()
        && let Some(hit) = reader.by_queue_id(id)?
    {
        return transaction(reader, &hit);
    }
    for id in DecisionId::candidates(question) {
        let mut explanations = Vec::new();
        for hit in reader.by_id(id)? {
            let Some(found) = reader.chunk(&hit)? else { continue };
            let Some(chunk) = Chunk::read(&found.chunk) else { continue };
            let decider = Decider::new(reader.policy(chunk.head.policy)?);
            explanations.extend(decider.explain(&chunk, hit.entry));
        }
        if !explanations.is_empty() {
            return Ok(explanations);
        }
    }
    Ok(Vec::new())
}

/// Every decision of the transaction that ended with the stored message.
fn transaction(reader: &Reader, hit: &Hit) -> anyhow::Result<Vec<Explanation>> {
    let Some(found) = reader.chunk(hit)? else { return Ok(Vec::new()) };
    let Some(last) = Chunk::read(&found.chunk) else { return Ok(Vec::new()) };
    let mut chunks = reader.earlier(hit, &last.head)?;
    chunks.push(found.chunk.clone());
    let mut explanations = Vec::new();
    for (number, octets) in chunks.iter().enumerate() {
        let Some(chunk) = Chunk::read(octets) else { continue };
        let decider = Decider::new(reader.policy(chunk.head.policy)?);
        let is_last = number + 1 == chunks.len();
        for (place, entry) in chunk.entries().flatten().enumerate() {
            if is_last && place > hit.entry {
                break;
            }
            if matches!(entry.point, Point::Stage(policy::stage::Stage::Mail)) {
                // Another transaction came before this one: the session's own stages stay.
                explanations
                    .retain(|earlier: &Explanation| matches!(earlier.stage, "connect" | "helo" | "auth"));
            }
            explanations.extend(decider.explain(&chunk, place));
        }
    }
    Ok(explanations)
}

fn search(args: &Args, reader: &Reader) -> anyhow::Result<(String, bool)> {
    let since = recorded::since(args.since.as_deref(), SINCE_DEFAULT)?;
    let search = Search {
        reverse_path: args.sender.clone(),
        recipient: args.recipient.clone(),
        client: args.client,
        code: args.code.clone(),
        rule: args.rule.clone(),
        since,
        until: recorded::until(args.until.as_deref())?,
    };
    let is_bare =
        args.since.is_none() && args.until.is_none() && args.sender.is_none() && args.recipient.is_none();
    if is_bare && args.client.is_none() && args.code.is_none() && args.rule.is_none() {
        let searches = "--from, --to, --client, --code, --rule, --since";
        let wanted =
            format!("an id, a reply or a queue id is wanted, or something to search for: {searches}");
        return Err(WrongUsage(wanted).into());
    }
    let hits = reader.search(&search, args.limit)?;
    let journal = Coverage::of(reader, since)?;
    let found = !hits.is_empty();
    if args.json {
        let output = Output { schema: 1, found: hits.iter().map(Row::of).collect(), journal };
        return Ok((format!("{}\n", serde_json::to_string_pretty(&output)?), found));
    }
    if !found {
        return Ok((format!("Nothing fits.\n{}", journal.in_words()), false));
    }
    let mut text = String::new();
    for row in hits.iter().map(Row::of) {
        text.push_str(&row.in_words());
    }
    if hits.len() == args.limit {
        let _ = writeln!(text, "The newest {}; --limit shows more.", args.limit);
    }
    Ok((text, true))
}

/// A line of a search.
#[derive(Debug, Serialize)]
struct Row {
    time: String,
    kind: &'static str,
    id: Option<String>,
    stage: String,
    code: Option<u16>,
    enhanced: Option<String>,
    rule: String,
    client: String,
    reverse_path: Option<String>,
    recipient: Option<String>,
}

impl Row {
    fn of(hit: &Hit) -> Self {
        Self {
            time: show_time(hit.time),
            kind: hit.kind.name(),
            id: hit.id.map(|id| id.to_string()),
            stage: hit.stage.clone(),
            code: hit.code,
            enhanced: hit.enhanced.clone(),
            rule: hit.rule.clone(),
            client: hit.client.clone(),
            reverse_path: hit.reverse_path.clone(),
            recipient: hit.recipient.clone(),
        }
    }

    fn in_words(&self) -> String {
        let path = |text: &Option<String>| {
            text.as_ref().map_or_else(|| String::from("-"), |text| format!("<{text}>"))
        };
        let code = match (self.code, &self.enhanced) {
            (Some(code), Some(enhanced)) => format!("{code} {enhanced}"),
            (Some(code), None) => code.to_string(),
            (None, _) => String::from("-"),
        };
        format!(
            "{}  {:9}  {:8}  {:9}  {code:10}  {}  {}  {} to {}\n",
            self.time,
            self.id.as_deref().unwrap_or("-"),
            self.kind,
            self.stage,
            self.rule,
            self.client,
            path(&self.reverse_path),
            path(&self.recipient)
        )
    }
}

/// The explanation as a page; of who it was about only what differs from the one before.
fn in_words(explanation: &Explanation, before: Option<&Explanation>) -> String {
    let mut text = String::new();
    let mark = explanation.id.as_ref().map_or_else(String::new, |id| format!(" [{id}]"));
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "{}: {}{mark}", explanation.stage, explanation.answer);
    write_about(&mut text, explanation, before);
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<11}{value}");
    };
    if let Some(queue_id) = &explanation.queue_id {
        line("queue id", queue_id);
    }
    if let Some(rule) = &explanation.rule {
        let arm = if explanation.by_unsure_arm { ", by its `unsure` arm" } else { "" };
        line("rule", &format!("{}{arm}", placed(rule)));
    }
    if let Some(entry) = &explanation.catalogue {
        line("condition", &format!("{} ({}, {})", entry.condition, entry.name, entry.section));
    }
    for effect in &explanation.effects {
        line("also", effect);
    }
    if !explanation.observed.is_empty() {
        line("observed", &format!("{} would have answered", explanation.observed.join(", ")));
    }
    if !explanation.unsure.is_empty() {
        line("unsure", &format!("{} could not be told and did not answer", explanation.unsure.join(", ")));
    }
    if !explanation.dialogue.is_empty() {
        text.push_str("\n  dialogue\n");
        for line in &explanation.dialogue {
            let _ = writeln!(text, "    {line}");
        }
    }
    if !explanation.tried.is_empty() {
        let _ = writeln!(text, "\n  rules at {}, in order", explanation.stage);
        explanation.tried.iter().for_each(|tried| write_tried(&mut text, tried));
    }
    if let Some(then) = &explanation.then {
        let _ = writeln!(text, "\n  without it: {then}");
    }
    for note in &explanation.notes {
        let _ = writeln!(text, "\n  note: {note}");
    }
    text
}

/// When it was, and about whom.
fn write_about(text: &mut String, explanation: &Explanation, before: Option<&Explanation>) {
    let about = |explanation: &Explanation| {
        let client = explanation.port.map_or_else(
            || format!("{} (masked)", explanation.client),
            |port| format!("{}, port {port}", explanation.client),
        );
        let path = |text: &Option<String>| text.as_ref().map(|text| format!("<{text}>"));
        [
            ("when", Some(explanation.time.clone())),
            (
                "client",
                Some(format!("{client}, at {} since {}", explanation.listener, explanation.connected)),
            ),
            ("helo", explanation.helo.clone()),
            ("from", path(&explanation.reverse_path)),
            ("to", path(&explanation.recipient)),
        ]
    };
    let before = before.map(about).unwrap_or_default();
    for (place, (label, value)) in about(explanation).into_iter().enumerate() {
        let told = before.get(place).and_then(|(_, value)| value.as_ref());
        if let Some(value) = value.filter(|value| told != Some(value)) {
            let _ = writeln!(text, "  {label:<11}{value}");
        }
    }
}
