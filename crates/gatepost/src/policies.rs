//! Policies from disk: the file that the configuration names, with its lists and includes.
//!
//! Invariant: a policy with an error is never in force; its findings are problems like the configuration's own.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use policy::diagnostic::{Diagnostic, Severity};
use policy::facts::{Group, Scope};
use policy::nearest::did_you_mean;
use policy::policy::{Loaded, Policy, Refused};
use policy::slot::{Slot, SlotInfo};
use policy::source::{Contents, FilterKind, SourceKind};
use policy::span::{SourceFile, Span};
use policy::stage::Stage;
use policy::value::Type;
use smtp::server::Replacement;

use crate::config::{Config, Place, Problem};
use crate::facts::content::Asked;
use crate::facts::rate::Rates;
use crate::facts::table::Tables;
use crate::filters::Filters;
use crate::journal::PolicyText;
use crate::policy_files::{self, FilesBeside};

/// A policy that can be put in force.
#[derive(Debug)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// What is hardly meant so.
    pub warnings: Vec<Problem>,
}

/// A policy in force: with its tables, and with what its rates have counted.
#[derive(Debug)]
pub struct InForce {
    /// The policy.
    pub policy: Policy,
    /// Its text and names, for the journal.
    pub text: Arc<PolicyText>,
    /// Its tables.
    pub tables: Tables,
    /// Its rates.
    pub rates: Rates,
    /// Its filters.
    pub filters: Filters,
    /// What it can ask of a message's content.
    pub content: Asked,
    /// Whether it can ask for what signatures are verified for.
    pub verifies: bool,
    /// By stage: what is found out before a rule waits for it.
    early: [Vec<Slot>; Stage::ALL.len()],
}

impl InForce {
    /// Puts `policy` in force, with the counts and the tables of `before` where the same is declared; what is wrong with a
    /// table comes beside. Relative paths of tables start at the directory of the policy's `file`. Blocks on the disk.
    #[must_use]
    pub fn new(policy: Policy, file: Option<&Path>, before: Option<&Self>) -> (Self, Vec<Problem>) {
        let (no_tables, no_rates) = (Tables::default(), Rates::default());
        let (old_tables, old_rates) =
            before.map_or((&no_tables, &no_rates), |before| (&before.tables, &before.rates));
        let folder = file.and_then(Path::parent).unwrap_or(Path::new(""));
        let (tables, problems) = Tables::of(policy.sources(), folder, old_tables);
        let rates = Rates::of(policy.sources(), policy.slots(), old_rates);
        let no_filters = Filters::default();
        let filters = Filters::of(policy.sources(), before.map_or(&no_filters, |before| &before.filters));
        let text = Arc::new(PolicyText::of(&policy));
        let infos = || policy.can_ask().iter().filter_map(|slot| policy.slots().get(slot.index()));
        let content = Asked::of(infos());
        let verifies = infos().any(|info| matches!(info.group, Group::Dkim | Group::Dmarc | Group::Arc));
        let early = Stage::ALL.map(|stage| early(&policy, stage));
        (Self { policy, text, tables, rates, filters, content, verifies, early }, problems)
    }

    /// The facts that are found out at the beginning of the stage: what the session knows by itself, and what the policy
    /// may ask for now or later and is worth having early. Texts of the session wait until a rule asks: most are only for
    /// a refusal's words.
    #[must_use]
    pub fn early(&self, stage: Stage) -> &[Slot] {
        self.early.get(stage.index()).map_or(&[], Vec::as_slice)
    }

    /// The site's own words for refusals of the session itself.
    #[must_use]
    pub fn replacements(&self) -> Vec<Replacement> {
        let of_session = self.policy.replies().iter().filter(|reply| !reply.by_rule);
        of_session
            .map(|reply| Replacement {
                entry: reply.entry.to_owned(),
                code: reply.code,
                enhanced: Some(reply.enhanced),
                text: reply.text.clone(),
            })
            .collect()
    }
}

fn early(policy: &Policy, stage: Stage) -> Vec<Slot> {
    let is_early = |slot: &Slot| {
        policy.slots().get(slot.index()).is_some_and(|info| {
            is_known_at(info, stage)
                && match info.group {
                    Group::Session => info.value_type != Type::Text && policy.needs(stage).contains(slot),
                    Group::Mailbox => false,
                    // Only there a shadow is waited for.
                    group if is_filter(policy, group) => {
                        starts_early(policy, group)
                            && matches!(stage, Stage::Mail | Stage::Recipient | Stage::Message)
                    }
                    group => starts_early(policy, group),
                }
        })
    };
    policy.can_ask().iter().copied().filter(is_early).collect()
}

/// Whether a group is found out before a rule waits for it. A filter hears of what the rules in front have not decided, unless
/// nothing is decided on it.
#[must_use]
pub fn starts_early(policy: &Policy, group: Group) -> bool {
    let Group::Source(place) = group else { return group.starts_early() };
    let source = policy.sources().get(usize::from(place));
    source.is_none_or(|source| source.shadow || !matches!(source.kind, SourceKind::Filter(_)))
}

fn is_filter(policy: &Policy, group: Group) -> bool {
    let Group::Source(place) = group else { return false };
    let source = policy.sources().get(usize::from(place));
    source.is_some_and(|source| matches!(source.kind, SourceKind::Filter(_)))
}

/// Whether a group only looks at the message: it may be found out beside what a rule waits for at the message already.
#[must_use]
pub fn looks_at_message(policy: &Policy, group: Group) -> bool {
    let Group::Source(place) = group else { return false };
    let source = policy.sources().get(usize::from(place));
    matches!(source.map(|source| &source.kind), Some(SourceKind::Filter(filter))
        if matches!(filter.kind, FilterKind::Clamav | FilterKind::Rspamd))
}

/// Whether a fact can be known at `stage`: what is one recipient's or one message's is not known for another.
fn is_known_at(info: &SlotInfo, stage: Stage) -> bool {
    match info.scope {
        Scope::Recipient => stage == Stage::Recipient,
        Scope::Inquiry => stage == Stage::Verify,
        Scope::Session | Scope::Transaction | Scope::Message => info.since.reaches(stage),
    }
}

/// Loads the policy that the configuration names, or the fixed refusals alone.
///
/// # Errors
/// All problems of the policy.
pub fn load(config: &Config) -> Result<Checked, Vec<Problem>> {
    match &config.policy.file {
        None => Ok(Checked { policy: Policy::builtin(), warnings: Vec::new() }),
        Some((path, place)) => match policy_files::read(path) {
            Ok(text) => {
                let mut checked = check(path, &text)?;
                let undeclared = undeclared(config, &checked.policy);
                if undeclared.is_empty() {
                    return Ok(checked);
                }
                checked.warnings.extend(undeclared);
                Err(checked.warnings)
            }
            Err(why) => {
                Err(vec![Problem::error(format!("the policy: {why:#}"), place.clone(), "named here")])
            }
        },
    }
}

/// Problems of tables that the policy names and the configuration hasn't.
fn undeclared(config: &Config, policy: &Policy) -> Vec<Problem> {
    let declared = || config.tables.iter().map(|table| &*table.name);
    let findings = policy.sources().iter().filter_map(|source| {
        let SourceKind::Table { contents: Contents::External(name), .. } = &source.kind else { return None };
        if declared().any(|known| known == &**name) {
            return None;
        }
        let title = format!("the configuration has no table \"{name}\"");
        let label = format!("expected the name of a `[table.\"{name}\"]`");
        Some(Diagnostic::error(title, source.span, label).help(did_you_mean(name, declared())))
    });
    problems(policy.all_files(), findings.collect())
}

/// Checks the policy `text` of the file `path`.
///
/// # Errors
/// All problems of the policy.
pub fn check(path: &Path, text: &str) -> Result<Checked, Vec<Problem>> {
    let mut files = FilesBeside::of(path);
    match Policy::load(&path.to_string_lossy(), text, &mut files) {
        Ok(Loaded { policy, warnings }) => {
            let warnings = problems(policy.all_files(), warnings);
            Ok(Checked { policy, warnings })
        }
        Err(Refused { files, findings }) => Err(problems(&files, findings)),
    }
}

/// Findings as problems, which hold the text that they point into.
fn problems(files: &[SourceFile], findings: Vec<Diagnostic>) -> Vec<Problem> {
    let mut sources: HashMap<u16, Arc<SourceFile>> = HashMap::new();
    let mut place = |span: Span| {
        let source = sources.entry(span.file).or_insert_with(|| {
            let file = files.get(usize::from(span.file)).cloned();
            Arc::new(file.unwrap_or_else(|| SourceFile { name: "".into(), text: "".into() }))
        });
        Place::new(source, span.start as usize..span.end as usize)
    };
    findings
        .into_iter()
        .map(|finding| {
            let Diagnostic { severity, title, span, label, also, help } = finding;
            let mut problem = match severity {
                Severity::Error => Problem::error(title, place(span), label),
                Severity::Warning => Problem::warning(title, place(span), label),
            };
            if let Some((span, label)) = also {
                problem = problem.also(place(span), label);
            }
            help.into_iter().fold(problem, |problem, advice| problem.help(advice))
        })
        .collect()
}
