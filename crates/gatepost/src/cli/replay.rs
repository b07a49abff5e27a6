//! `gatepost replay`: recorded mail decided again by another policy, before that comes into force.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use policy::Policy;
use serde::Serialize;
use smtp::time::WallTime;

use super::SiteOptions;
use super::recorded::{self, Coverage};
use crate::journal::day::show_time;
use crate::journal::replay::{self, Group, Key, Sample, Summary};
use crate::journal::store::Reader;
use crate::policies;

/// Without `--since`.
const SINCE_DEFAULT: Duration = Duration::from_secs(7 * 86_400);

/// Sender domains that are shown of each group.
const DOMAINS_SHOWN: usize = 5;

/// Exit code when more changes than `--fail-over` allows.
const TOO_MANY: u8 = 3;

const EXIT_CODES: &str = "\
What is counted: each recorded decision of a stage once. A recipient that an earlier stage would now
refuse is counted under that stage. A decision for which the new policy needs a fact that the journal
doesn't have cannot be told; nothing is guessed.

Exit codes:
  0  done
  1  the policy is refused, or the journal can't be read
  2  wrong usage
  3  more than --fail-over change";

/// Decide recorded mail again by another policy, and show what would change.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_CODES, after_help = "See --help for what is counted, and exit codes.")]
pub struct Args {
    /// The other policy.
    #[arg(value_name = "NEW.policy")]
    policy: PathBuf,
    /// From then on: 7d, 12h, 2026-11-25 or 2026-11-25T10:30 (UTC). By default the last 7 days.
    #[arg(long, value_name = "TIME")]
    since: Option<String>,
    /// Before then.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Fail with exit code 3 when more than so many decisions and recipients change.
    #[arg(long, value_name = "NUMBER")]
    fail_over: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// From when, and until when if there is an end.
type Times = (WallTime, Option<WallTime>);

/// Replays, and prints what changes.
///
/// # Errors
/// When the policy is refused or the journal can't be read.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let (text, changed) = answer(args, &recorded::open(options)?)?;
    std::io::stdout().write_all(text.as_bytes())?;
    let too_many = args.fail_over.is_some_and(|most| changed > most);
    Ok(if too_many { ExitCode::from(TOO_MANY) } else { ExitCode::SUCCESS })
}

/// The page, and how much changes.
pub(super) fn answer(args: &Args, reader: &Reader) -> anyhow::Result<(String, u64)> {
    let times =
        (recorded::since(args.since.as_deref(), SINCE_DEFAULT)?, recorded::until(args.until.as_deref())?);
    let policy = load(&args.policy)?;
    let summary = in_parallel(reader, &policy, times)?;
    let page = Page::of(&summary, times, Coverage::of(reader, times.0)?);
    let text =
        if args.json { format!("{}\n", serde_json::to_string_pretty(&page)?) } else { page.in_words() };
    Ok((text, summary.changed()))
}

/// Loads a policy from its file, and says what is wrong with it.
fn load(path: &Path) -> anyhow::Result<Policy> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    match policies::check(path, &text) {
        Ok(checked) => Ok(checked.policy),
        Err(problems) => {
            super::show(&problems);
            bail!("{} is refused", path.display())
        }
    }
}

/// Replays with as many threads as there are processors.
fn in_parallel(reader: &Reader, policy: &Policy, times: Times) -> anyhow::Result<Summary> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let blocks = reader.blocks(times.0, times.1)?.len();
    let bar = ProgressBar::new((blocks * threads) as u64);
    if let Ok(style) = ProgressStyle::with_template("{wide_bar} {percent}%, {eta} left") {
        bar.set_style(style);
    }
    let summary = replay::in_parallel(reader, policy, times, threads, &|| bar.inc(1))?;
    bar.finish_and_clear();
    Ok(summary)
}

/// What a replay prints.
#[derive(Debug, Serialize)]
struct Page {
    schema: u32,
    since: String,
    until: Option<String>,
    decisions: u64,
    recipients: u64,
    same: u64,
    same_by_another_rule: u64,
    changed: u64,
    not_reached: u64,
    cannot_be_told: u64,
    cannot_be_told_recipients: u64,
    gaps: Vec<Gap>,
    groups: Vec<Change>,
    unreadable: u64,
    without_policy: u64,
    journal: Coverage,
}

#[derive(Debug, Serialize)]
struct Gap {
    fact: String,
    why: &'static str,
    decisions: u64,
}

/// Changes that are alike.
#[derive(Debug, Serialize)]
struct Change {
    stage: &'static str,
    before: String,
    rule_before: Option<String>,
    after: String,
    rule_after: Option<String>,
    decisions: u64,
    recipients_not_reached: u64,
    counterfactual: u64,
    domains: Vec<Domain>,
    samples: Vec<Shown>,
}

#[derive(Debug, Serialize)]
struct Domain {
    name: String,
    count: u64,
}

#[derive(Debug, Serialize)]
struct Shown {
    time: String,
    client: String,
    reverse_path: Option<String>,
    recipient: Option<String>,
    id: Option<String>,
}

impl Page {
    fn of(summary: &Summary, (since, until): Times, journal: Coverage) -> Self {
        let mut gaps: Vec<Gap> = summary
            .gaps
            .iter()
            .map(|((fact, gap), count)| Gap { fact: fact.clone(), why: gap.in_words(), decisions: *count })
            .collect();
        gaps.sort_by_key(|gap| std::cmp::Reverse(gap.decisions));
        let mut groups: Vec<Change> =
            summary.groups.iter().map(|(key, group)| Change::of(key, group)).collect();
        groups.sort_by_key(|change| std::cmp::Reverse(change.decisions + change.recipients_not_reached));
        Self {
            schema: 1,
            since: show_time(since),
            until: until.map(show_time),
            decisions: summary.decisions,
            recipients: summary.recipients,
            same: summary.same,
            same_by_another_rule: summary.same_by_another_rule,
            changed: summary.changed(),
            not_reached: summary.not_reached,
            cannot_be_told: summary.untold,
            cannot_be_told_recipients: summary.untold_recipients,
            gaps,
            groups,
            unreadable: summary.unreadable,
            without_policy: summary.without_policy,
            journal,
        }
    }

    fn in_words(&self) -> String {
        let mut text = String::new();
        let until = self.until.as_ref().map_or_else(String::new, |until| format!(" until {until}"));
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(
            text,
            "{} decisions since {}{until}, {} of them on recipients: {} stay ({} by another rule), {} change, {} are not \
             reached, {} cannot be told.",
            self.decisions,
            self.since,
            self.recipients,
            self.same,
            self.same_by_another_rule,
            self.changed,
            self.not_reached,
            self.cannot_be_told
        );
        for gap in &self.gaps {
            let _ =
                writeln!(text, "  cannot be told: {} {} ({} decisions)", gap.fact, gap.why, gap.decisions);
        }
        for (count, what) in [
            (self.unreadable, "parts of the journal can't be read"),
            (self.without_policy, "parts of sessions were decided by a policy that the journal doesn't have"),
        ] {
            if count > 0 {
                let _ = writeln!(text, "  {count} {what}");
            }
        }
        self.groups.iter().for_each(|change| change.write(&mut text));
        text.push('\n');
        text.push_str(&self.journal.in_words());
        text
    }
}

impl Change {
    fn of(key: &Key, group: &Group) -> Self {
        let mut domains: Vec<Domain> =
            group.domains.iter().map(|(name, count)| Domain { name: name.clone(), count: *count }).collect();
        domains.sort_by_key(|domain| std::cmp::Reverse(domain.count));
        let shown = |sample: &Sample| Shown {
            time: show_time(sample.time),
            client: sample.client.clone(),
            reverse_path: sample.reverse_path.clone(),
            recipient: sample.recipient.clone(),
            id: sample.id.clone(),
        };
        Self {
            stage: key.stage.name(),
            before: key.before.to_string(),
            rule_before: key.rule_before.clone(),
            after: key.after.to_string(),
            rule_after: key.rule_after.clone(),
            decisions: group.decisions,
            recipients_not_reached: group.recipients,
            counterfactual: group.counterfactual,
            domains,
            samples: group.samples.iter().map(shown).collect(),
        }
    }

    fn write(&self, text: &mut String) {
        let by = |rule: &Option<String>| rule.as_ref().map_or_else(String::new, |rule| format!(" ({rule})"));
        let _ = writeln!(
            text,
            "\nat {}: {}{} becomes {}{}",
            self.stage,
            self.before,
            by(&self.rule_before),
            self.after,
            by(&self.rule_after)
        );
        let _ = write!(text, "  decisions: {}", self.decisions);
        if self.recipients_not_reached > 0 {
            let _ = write!(text, "; recipients that are no longer reached: {}", self.recipients_not_reached);
        }
        text.push('\n');
        if self.counterfactual > 0 {
            let _ = writeln!(
                text,
                "  counterfactual: {} rest on what the server remembered then (greylist, rates, quota) or on what a filter said",
                self.counterfactual
            );
        }
        let domains: Vec<String> = self
            .domains
            .iter()
            .take(DOMAINS_SHOWN)
            .map(|domain| format!("{} ({})", domain.name, domain.count))
            .collect();
        let more = self.domains.len().saturating_sub(DOMAINS_SHOWN);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        let _ = writeln!(text, "  sender domains: {}{more}", domains.join(", "));
        for sample in &self.samples {
            let path = |path: &Option<String>| {
                path.as_ref().map_or_else(|| String::from("-"), |path| format!("<{path}>"))
            };
            let id = sample.id.as_ref().map_or_else(String::new, |id| format!(" [{id}]"));
            let _ = writeln!(
                text,
                "  {}  {}  {} to {}{id}",
                sample.time,
                sample.client,
                path(&sample.reverse_path),
                path(&sample.recipient)
            );
        }
    }
}
