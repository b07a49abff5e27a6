//! `gatepost policy report`: what each rule did, by the journal.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use smtp::time::WallTime;

use super::super::SiteOptions;
use super::super::recorded::{self, Coverage};
use crate::journal::Block;
use crate::journal::PolicyText;
use crate::journal::day::{Day, show_time};
use crate::journal::record::Chunk;
use crate::journal::store::{Counts, Reader, RuleHour};

/// Without `--since`.
const SINCE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);

/// Clients and senders that are shown of each rule.
const TOP_SHOWN: usize = 3;

/// What `gatepost policy report` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Count from then on: 7d, 12h, 2026-11-25 or 2026-11-25T10:30 (UTC), to the hour. By default the last 7 days.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Prints what each rule did.
///
/// # Errors
/// When the journal can't be read.
pub(super) fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let text = page(args, &recorded::open(options)?)?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// The report, as it is to be printed.
pub(super) fn page(args: &Args, reader: &Reader) -> anyhow::Result<String> {
    let since = recorded::since(args.since.as_deref(), SINCE_DEFAULT)?;
    let report = Report::of(reader, since)?;
    Ok(if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { report.in_words() })
}

/// What each rule did.
#[derive(Debug, Serialize)]
struct Report {
    since: String,
    journal: Coverage,
    /// Those that did something first, the busiest first.
    rules: Vec<Rule>,
}

#[derive(Debug, Serialize)]
struct Rule {
    name: String,
    /// Whether it is in the policy that decided last.
    in_force: bool,
    /// Whether it is one of the built-in policy's, or a refusal of the session's own.
    fixed: bool,
    observed: bool,
    /// The first time that a policy with it decided, as far as the journal goes back.
    known_since: Option<String>,
    answered: u64,
    would_have_answered: u64,
    unsure: u64,
    first: Option<String>,
    last: Option<String>,
    clients: Vec<Often>,
    senders: Vec<Often>,
}

/// Somebody whom a rule met often.
#[derive(Debug, Serialize)]
struct Often {
    name: String,
    /// At most so often,
    count: u64,
    /// and this less at least.
    over: u64,
}

impl Rule {
    const fn is_idle(&self) -> bool {
        self.answered == 0 && self.would_have_answered == 0 && self.unsure == 0
    }
}

impl Report {
    fn of(reader: &Reader, since: WallTime) -> anyhow::Result<Self> {
        let mut sums: BTreeMap<String, Counts> = BTreeMap::new();
        for RuleHour { rule, counts, .. } in reader.hours(since)? {
            sums.entry(rule).or_default().add(&counts);
        }
        let mut known: BTreeMap<String, (WallTime, bool, bool)> = BTreeMap::new();
        let mut in_force = Vec::new();
        let newest = newest_policy(reader)?;
        for (first, fingerprint) in reader.policies()? {
            let Some(policy) = reader.policy(fingerprint)? else { continue };
            if newest == Some(fingerprint) {
                in_force = names(&policy);
            }
            for rule in &policy.rules {
                let seen = known.entry(rule.name.to_string()).or_insert((first, rule.fixed, rule.observed));
                seen.0 = seen.0.min(first);
            }
            if newest == Some(fingerprint) {
                for rule in &policy.rules {
                    known.entry(rule.name.to_string()).and_modify(|seen| {
                        (seen.1, seen.2) = (rule.fixed, rule.observed);
                    });
                }
            }
        }
        let names = sums.keys().chain(known.keys()).cloned().collect::<std::collections::BTreeSet<_>>();
        let mut rules: Vec<Rule> = names
            .into_iter()
            .map(|name| {
                let counts = sums.remove(&name).unwrap_or_default();
                let place = in_force.contains(&name);
                rule(known.get(&name).copied(), place, name, &counts)
            })
            .collect();
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.answered, rule.would_have_answered, rule.unsure)));
        Ok(Self { since: show_time(since), journal: Coverage::of(reader, since)?, rules })
    }

    fn in_words(&self) -> String {
        let mut text = format!("Since {}, to the hour. {}", self.since, self.journal.in_words());
        // Writing to a string cannot fail, here and below.
        let busy: Vec<&Rule> = self.rules.iter().filter(|rule| !rule.is_idle()).collect();
        let width = busy.iter().map(|rule| rule.name.chars().count()).max().unwrap_or(0).max(4);
        if !busy.is_empty() {
            let _ = writeln!(
                text,
                "\n{:width$}  {:>10}  {:>10}  {:>10}  {:<10}  last",
                "rule", "answered", "would have", "unsure", "since"
            );
        }
        for rule in busy {
            let _ = writeln!(
                text,
                "{:width$}  {:>10}  {:>10}  {:>10}  {:<10}  {}{}",
                rule.name,
                rule.answered,
                rule.would_have_answered,
                rule.unsure,
                rule.known_since.as_deref().map_or("-", |time| time.get(..10).unwrap_or(time)),
                rule.last.as_deref().unwrap_or("-"),
                match (rule.in_force, rule.observed) {
                    (false, _) if !rule.fixed => "  (no longer in the policy)",
                    (_, true) => "  (observed)",
                    _ => "",
                }
            );
            for (title, often) in [("clients", &rule.clients), ("senders", &rule.senders)] {
                let shown: Vec<String> = often.iter().take(TOP_SHOWN).map(Often::in_words).collect();
                if !shown.is_empty() {
                    let _ = writeln!(text, "    {title}: {}", shown.join(", "));
                }
            }
        }
        for (title, fixed) in [("Never answered", false), ("Never answered, of the fixed ones", true)] {
            let idle =
                self.rules.iter().filter(|rule| rule.is_idle() && rule.in_force && rule.fixed == fixed);
            let mut idle: Vec<&str> = idle.map(|rule| rule.name.as_str()).collect();
            idle.sort_unstable();
            if !idle.is_empty() {
                let _ = writeln!(text, "\n{title}: {}", idle.join(", "));
            }
        }
        text
    }
}

impl Often {
    fn in_words(&self) -> String {
        match self.over {
            0 => format!("{} ({})", self.name, self.count),
            over => format!("{} ({} to {})", self.name, self.count - over.min(self.count), self.count),
        }
    }
}

fn names(policy: &PolicyText) -> Vec<String> {
    policy.rules.iter().map(|rule| rule.name.to_string()).collect()
}

fn rule(known: Option<(WallTime, bool, bool)>, in_force: bool, name: String, counts: &Counts) -> Rule {
    let often = |top: &crate::journal::store::Top| {
        let often = top.sorted().into_iter();
        often.map(|place| Often { name: place.name.clone(), count: place.count, over: place.over }).collect()
    };
    let time = |time: WallTime| (time != WallTime::default()).then(|| show_time(time));
    Rule {
        name,
        in_force,
        fixed: known.is_none_or(|(_, fixed, _)| fixed),
        observed: known.is_some_and(|(.., observed)| observed),
        known_since: known.map(|(first, ..)| Day::of(first).to_string()),
        answered: counts.answered,
        would_have_answered: counts.observed,
        unsure: counts.passed_over,
        first: time(counts.first),
        last: time(counts.last),
        clients: often(&counts.clients),
        senders: often(&counts.senders),
    }
}

/// The policy that decided last.
fn newest_policy(reader: &Reader) -> anyhow::Result<Option<u64>> {
    let Some(block) = reader.blocks(WallTime::default(), None)?.pop() else { return Ok(None) };
    let Some(body) = reader.block(block)? else { return Ok(None) };
    let last = Block::read(&body).and_then(|block| block.chunks().last());
    Ok(last.and_then(Chunk::read).map(|chunk| chunk.head.policy))
}
