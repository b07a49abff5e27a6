//! A policy that is in force: loaded, checked, immutable, and asked stage by stage.

use std::hash::Hasher as _;
use std::sync::Arc;

use smtp::reply::{Enhanced, ReplyCode};

use crate::check::{self, Checked, Outcome};
use crate::decision::{RuleId, Step};
use crate::diagnostic::Diagnostic;
use crate::evaluate;
use crate::facts::Scope;
use crate::fingerprint::Fnv;
use crate::plan::RuleInfo;
use crate::slot::{Facts, Origin, Slot, SlotInfo};
use crate::source::{DnsListKind, GreylistSettings, Source, SourceKind};
use crate::span::SourceFile;
use crate::stage::Stage;
use crate::trace::{self, Trace};
use crate::trial::{self, TestResult};
use crate::value::State;

/// The name of the built-in policy's file.
pub(crate) const BUILTIN_NAME: &str = "builtin.policy";

/// Its text.
pub(crate) const BUILTIN_TEXT: &str = include_str!("builtin.policy");

/// Reads the files that a policy names. Paths stand as in the policy: relative ones start at the policy file's directory.
pub trait Files {
    /// The text of the file.
    ///
    /// # Errors
    /// Why it can't be read, in a few words.
    fn read(&mut self, path: &str) -> Result<String, String>;
}

/// No file can be read.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, _: &str) -> Result<String, String> {
        Err("no such file".to_owned())
    }
}

/// A policy; shared by all sessions in an [`Arc`].
#[derive(Debug)]
pub struct Policy {
    files: Vec<SourceFile>,
    policy_files: usize,
    checked: Checked,
    needs: [Box<[Slot]>; 8],
    can_ask: Box<[Slot]>,
    fingerprint: u64,
}

/// A policy that can be used, and what is to be said of it all the same.
#[derive(Debug)]
pub struct Loaded {
    /// The policy.
    pub policy: Policy,
    /// The warnings, in the order of their places.
    pub warnings: Vec<Diagnostic>,
}

/// A policy that can't be used.
#[derive(Debug)]
pub struct Refused {
    /// The files that the findings speak of: the built-in policy's, the site's, lists and tables.
    pub files: Vec<SourceFile>,
    /// Errors and warnings, in the order of their places.
    pub findings: Vec<Diagnostic>,
}

/// A site's own words for a fixed reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTemplate {
    /// The catalogue's entry.
    pub entry: &'static str,
    /// The reply code.
    pub code: ReplyCode,
    /// Subject and detail of the enhanced status code.
    pub enhanced: Enhanced,
    /// The text with the entry's placeholders; a fact that the entry has no name for stands under its own.
    pub text: String,
    /// Whether a rule of the built-in policy gives it; else the session does, and [`Policy::step`] never will.
    pub by_rule: bool,
}

/// A fact that is given beside a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// The fact; one that the policy never asks for, too.
    pub fact: SlotInfo,
    /// What it is.
    pub state: State,
}

impl Policy {
    /// Loads a site's policy, whose main file is called `name` and holds `text`.
    ///
    /// # Errors
    /// Everything that is wrong with it; nothing of it is in force then.
    pub fn load(name: &str, text: &str, files: &mut dyn Files) -> Result<Loaded, Refused> {
        Self::from_outcome(check::check(Some((name, text)), files))
    }

    /// Runs the tests of a site's policy, also when one of them fails and the policy could not be used for that: how each
    /// went, and the files that they stand in.
    ///
    /// # Errors
    /// Everything else that is wrong with it.
    pub fn run_tests(
        name: &str,
        text: &str,
        files: &mut dyn Files,
    ) -> Result<(Vec<TestResult>, Vec<SourceFile>), Refused> {
        let outcome = check::check(Some((name, text)), files);
        match outcome.results {
            Some(results) => Ok((results, outcome.files)),
            None => Err(Refused { files: outcome.files, findings: outcome.findings }),
        }
    }

    /// No policy of a site: the fixed rules alone.
    #[must_use]
    pub fn builtin() -> Self {
        // The text is compiled in, and a test loads it.
        match Self::from_outcome(check::check(None, &mut NoFiles)) {
            Ok(loaded) => loaded.policy,
            Err(refused) => Self::new(refused.files, 1, Checked::default()),
        }
    }

    fn from_outcome(outcome: Outcome) -> Result<Loaded, Refused> {
        let Outcome { files, policy_files, findings, checked, .. } = outcome;
        match checked {
            Some(checked) => {
                Ok(Loaded { policy: Self::new(files, policy_files, checked), warnings: findings })
            }
            None => Err(Refused { files, findings }),
        }
    }

    fn new(files: Vec<SourceFile>, policy_files: usize, checked: Checked) -> Self {
        let needs = Stage::ALL.map(|stage| needs_at(&checked, stage));
        let mut can_ask: Vec<Slot> = needs.iter().flat_map(|slots| slots.iter().copied()).collect();
        can_ask.sort_unstable();
        can_ask.dedup();
        let mut hasher = Fnv::default();
        for file in &files {
            // Lengths keep one file's end apart from the next one's beginning.
            hasher.write(&(file.name.len() as u64).to_le_bytes());
            hasher.write(file.name.as_bytes());
            hasher.write(&(file.text.len() as u64).to_le_bytes());
            hasher.write(file.text.as_bytes());
        }
        Self { files, policy_files, checked, needs, can_ask: can_ask.into(), fingerprint: hasher.finish() }
    }

    /// The files of the policy: the built-in one, the site's, then what it includes.
    #[must_use]
    pub fn files(&self) -> &[SourceFile] {
        self.files.get(..self.policy_files).unwrap_or_default()
    }

    /// Every other file that was read (lists, tables), under the names that the policy has for them: with these it can be
    /// loaded again from memory.
    #[must_use]
    pub fn material(&self) -> &[SourceFile] {
        self.files.get(self.policy_files..).unwrap_or_default()
    }

    /// [`Policy::files`] and [`Policy::material`] in one, as spans number them.
    #[must_use]
    pub fn all_files(&self) -> &[SourceFile] {
        &self.files
    }

    /// A number made of all its text: the same over restarts and builds.
    #[must_use]
    pub const fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// The facts that it can ask for, by number.
    #[must_use]
    pub fn slots(&self) -> &[SlotInfo] {
        &self.checked.slots
    }

    /// The number of the fact of that name.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<Slot> {
        let index = self.checked.slots.iter().position(|info| *info.name == *name)?;
        u16::try_from(index).ok().map(Slot)
    }

    /// The sources that it declares.
    #[must_use]
    pub fn sources(&self) -> &[Source] {
        &self.checked.sources
    }

    /// How its greylist works.
    #[must_use]
    pub const fn greylist(&self) -> &GreylistSettings {
        &self.checked.greylist
    }

    /// Its rules, the fixed ones first; a [`RuleId`] is a place here.
    #[must_use]
    pub fn rules(&self) -> &[RuleInfo] {
        &self.checked.infos
    }

    /// The rule.
    #[must_use]
    pub fn rule(&self, id: RuleId) -> Option<&RuleInfo> {
        self.checked.infos.get(usize::from(id.0))
    }

    /// The rules of a stage in the order in which they are tried.
    #[must_use]
    pub fn rules_at(&self, stage: Stage) -> &[RuleId] {
        self.checked.plan.rules_at(stage)
    }

    /// Every fact that the rules of a stage can ask for, the keys of its sources too, and what shadows gather there.
    #[must_use]
    pub fn needs(&self, stage: Stage) -> &[Slot] {
        self.needs.get(stage.index()).map_or(&[], |slots| slots)
    }

    /// Every fact that it can ask for at any stage.
    #[must_use]
    pub fn can_ask(&self) -> &[Slot] {
        &self.can_ask
    }

    /// Forgets the facts of that scope and of shorter ones.
    pub fn clear(&self, facts: &mut Facts, scope: Scope) {
        for (index, info) in self.checked.slots.iter().enumerate() {
            if info.scope >= scope
                && let Ok(slot) = u16::try_from(index).map(Slot)
            {
                facts.set(slot, State::NotAsked);
            }
        }
    }

    /// Decides a stage, or says which facts are needed first. Allocates nothing when it accepts and nothing else is to be
    /// done. What is decided never changes when more facts are told.
    #[must_use]
    pub fn step(&self, stage: Stage, facts: &Facts) -> Step {
        let plan = &self.checked.plan;
        evaluate::decide(plan, (stage, plan.rules_at(stage)), facts, &mut ())
    }

    /// Decides as [`Policy::step`] does, and keeps what each rule came to.
    #[must_use]
    pub fn trace(&self, stage: Stage, facts: &Facts) -> Trace {
        let plan = &self.checked.plan;
        trace::trace(plan, (stage, plan.rules_at(stage)), facts)
    }

    /// The site's own words for a catalogue entry.
    #[must_use]
    pub fn reply(&self, entry: &str) -> Option<&ReplyTemplate> {
        self.checked.replies.iter().find(|reply| reply.entry == entry)
    }

    /// All of the site's own words for catalogue entries.
    #[must_use]
    pub fn replies(&self) -> &[ReplyTemplate] {
        &self.checked.replies
    }

    /// Reads facts that are given beside it, as `given` and tests write them: `fact = value`, one a line, with comments. The
    /// last value of each counts. Of a source with one fact given, the others are what a test takes them for.
    ///
    /// # Errors
    /// Everything that is wrong with the texts, each of which has its name in front.
    pub fn given(&self, texts: &[(&str, &str)]) -> Result<Vec<Given>, Refused> {
        check::read_given(&self.files, &self.checked.sources, texts)
    }

    /// Runs its tests.
    #[must_use]
    pub fn tests(&self) -> Vec<TestResult> {
        trial::run(&self.checked, &self.files).into_iter().map(|(result, _)| result).collect()
    }
}

/// The facts that a stage can ask for, in the order in which its rules do.
fn needs_at(checked: &Checked, stage: Stage) -> Box<[Slot]> {
    let mut needs: Vec<Slot> = Vec::new();
    let mut waiting: Vec<Slot> = Vec::new();
    for id in checked.plan.rules_at(stage) {
        let Some(rule) = checked.plan.rule(*id) else { continue };
        waiting.extend(rule.slots());
        let unsure = rule.unsure.iter().filter_map(|answer| match answer {
            crate::plan::Answer::Refuse { reply, .. } => Some(reply.text.slots()),
            crate::plan::Answer::Accept { .. } => None,
        });
        waiting.extend(unsure.flatten());
    }
    if stage == Stage::Recipient {
        waiting.extend(checked.plan.local_domain);
    }
    waiting.extend(shadows(checked, stage));
    // A source is asked once its keys are known; a list's score once the lists are.
    let mut at = 0;
    while let Some(slot) = waiting.get(at).copied() {
        at += 1;
        if needs.contains(&slot) {
            continue;
        }
        needs.push(slot);
        let Some(info) = checked.slots.get(slot.index()) else { continue };
        match &info.origin {
            Origin::Source(index, _) => {
                if let Some(source) = checked.sources.get(usize::from(*index)) {
                    waiting.extend(check::keys(&source.kind));
                }
            }
            Origin::Builtin(fact) if fact.name == "dnsbl.score" => waiting.extend(scored(checked)),
            Origin::Builtin(_) | Origin::Argument(..) => {}
        }
    }
    needs.into()
}

/// The facts of the shadows whose keys are known from this stage on.
fn shadows(checked: &Checked, stage: Stage) -> impl Iterator<Item = Slot> {
    let shadow = move |index: u16| {
        checked.sources.get(usize::from(index)).is_some_and(|source| source.shadow && source.since == stage)
    };
    numbered(checked)
        .filter(move |(_, info)| matches!(info.origin, Origin::Source(index, _) if shadow(index)))
        .map(|(slot, _)| slot)
}

/// What the score is made of: the lists of addresses that look the client's up.
fn scored(checked: &Checked) -> impl Iterator<Item = Slot> {
    let counts = |index: u16| {
        checked.sources.get(usize::from(index)).is_some_and(|source| {
            !source.shadow
                && matches!(
                    source.kind,
                    SourceKind::DnsList { kind: DnsListKind::Dnsbl | DnsListKind::Dnswl, .. }
                )
        })
    };
    numbered(checked)
        .filter(move |(_, info)| {
            matches!(info.origin, Origin::Source(index, crate::source::Field::Listed) if counts(index))
        })
        .map(|(slot, _)| slot)
}

fn numbered(checked: &Checked) -> impl Iterator<Item = (Slot, &SlotInfo)> {
    checked
        .slots
        .iter()
        .enumerate()
        .filter_map(|(index, info)| Some((Slot(u16::try_from(index).ok()?), info)))
}

/// A policy can be shared by all threads.
const _: fn() = || {
    fn shared<T: Send + Sync>() {}
    shared::<Arc<Policy>>();
};
