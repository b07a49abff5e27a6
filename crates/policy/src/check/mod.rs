//! The checker: from the tree of a policy to its plan, and to everything that is wrong with it.
//!
//! Invariants: all findings of a policy come from one run; what follows only from a mistake that was reported is not
//! reported again; a policy with an error has no plan.

mod answers;
mod condition;
mod expectations;
mod filters;
mod given;
mod lints;
mod lists;
mod literals;
mod membership;
mod names;
mod reach;
mod relay;
mod replacements;
mod rules;
mod sources;
mod tables;
mod text;
mod text_tests;
mod texts;

use std::collections::BTreeSet;

pub(crate) use expectations::beside;
pub(crate) use given::read as read_given;
use names::{Declared, Definition, Names, Numbering};
pub(crate) use sources::keys;

use crate::diagnostic::{Diagnostic, Severity};
use crate::plan::{Plan, RuleInfo};
use crate::policy::{Files, ReplyTemplate};
use crate::slot::{Slot, SlotInfo};
use crate::source::{GreylistSettings, Source};
use crate::span::{SourceFile, Span};
use crate::syntax::ast::Item;
use crate::trial::{self, TestResult, Trial};

/// Most files of a policy, lists and tables not counted.
pub(crate) const FILES_MAX: usize = 64;

/// Most tests in a condition, those of definitions counted where they are used.
pub(crate) const CONDITION_TESTS_MAX: usize = 2_000;

/// Longest reply id that a refusal ends in, in octets, with the space and brackets: ` [k7q2-m3xf]`.
pub(crate) const ID_SUFFIX_OCTETS: usize = 12;

/// What comes of a policy that can be used.
#[derive(Debug, Default)]
pub(crate) struct Checked {
    pub(crate) plan: Plan,
    pub(crate) infos: Vec<RuleInfo>,
    pub(crate) slots: Vec<SlotInfo>,
    pub(crate) sources: Vec<Source>,
    pub(crate) greylist: GreylistSettings,
    pub(crate) replies: Vec<ReplyTemplate>,
    pub(crate) trials: Vec<Trial>,
}

/// Everything that is known while a policy is checked.
pub(super) struct Checker<'a> {
    /// Files of the policy, then files of lists and tables.
    files: Vec<SourceFile>,
    reader: &'a mut dyn Files,
    findings: Vec<Diagnostic>,
    names: Names<'a>,
    facts: Numbering,
    sources: Vec<Source>,
    greylist: Option<(Span, GreylistSettings)>,
    plan: Plan,
    infos: Vec<RuleInfo>,
    replies: Vec<ReplyTemplate>,
    /// Facts that are compared, and not only printed or asked for being there.
    compared: Vec<Slot>,
    /// Values of tables that look like answers: the source, the place and the value.
    answer_like: Vec<(u16, Span, String)>,
    /// Names whose declarations could not be read: what they stand for is not complained of.
    spoilt: BTreeSet<String>,
    /// Whether a rule was left out for what is wrong with it: what the others do together can't be told.
    incomplete: bool,
    /// Whether what is read are the facts of a test: shadows may be set.
    setting_facts: bool,
    /// Whether the items are the built-in policy's.
    in_builtin: bool,
}

/// What became of the texts: the files of the policy, then those of lists and tables; their findings; the policy.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) files: Vec<SourceFile>,
    pub(crate) policy_files: usize,
    pub(crate) findings: Vec<Diagnostic>,
    pub(crate) checked: Option<Checked>,
    /// How the tests went, when nothing else is wrong.
    pub(crate) results: Option<Vec<TestResult>>,
}

/// Checks the built-in policy with the site's, or alone.
pub(crate) fn check(site: Option<(&str, &str)>, reader: &mut dyn Files) -> Outcome {
    let read = texts::read(site, reader);
    let policy_files = read.files.len();
    let mut checker = Checker {
        files: read.files,
        findings: read.findings,
        incomplete: !read.spoilt.is_empty(),
        spoilt: read.spoilt,
        ..Checker::of(reader)
    };
    let trials = checker.run(&read.builtin, &read.site);
    checker.finish(policy_files, trials)
}

impl<'a> Checker<'a> {
    /// A checker that has seen nothing yet.
    fn of(reader: &'a mut dyn Files) -> Self {
        Self {
            files: Vec::new(),
            reader,
            findings: Vec::new(),
            names: Names::default(),
            facts: Numbering::default(),
            sources: Vec::new(),
            greylist: None,
            plan: Plan::default(),
            infos: Vec::new(),
            replies: Vec::new(),
            compared: Vec::new(),
            answer_like: Vec::new(),
            spoilt: BTreeSet::new(),
            incomplete: false,
            setting_facts: false,
            in_builtin: false,
        }
    }

    fn run(&mut self, builtin: &'a [Item], site: &'a [Item]) -> Vec<Trial> {
        self.declare(builtin);
        self.declare(site);
        self.compile_definitions();
        self.in_builtin = true;
        let fixed = self.fixed_rules(builtin);
        self.in_builtin = false;
        let own = self.site_rules(site, &fixed);
        let applied = self.applied_rules(site);
        self.replace_replies(site, &fixed);
        self.assemble(&fixed, &own, &applied);
        self.number_unnamed();
        self.check_reach();
        if !self.incomplete {
            self.check_relaying();
        }
        let numbered = self.facts.slots.len();
        let trials = self.expectations(site);
        // What only tests speak of, nobody asks for.
        self.facts.slots.truncate(numbered);
        self.check_tables();
        if self.spoilt.is_empty() {
            self.warn_of_unused();
        }
        trials
    }

    fn finish(mut self, policy_files: usize, trials: Vec<Trial>) -> Outcome {
        let (mut checked, mut results) = (None, None);
        if !self.has_errors() {
            let policy = Checked {
                plan: self.plan,
                infos: self.infos,
                slots: self.facts.slots,
                sources: self.sources,
                greylist: self.greylist.map(|(_, settings)| settings).unwrap_or_default(),
                replies: self.replies,
                trials,
            };
            let ran = trial::run(&policy, &self.files);
            let failed: Vec<Diagnostic> = ran.iter().filter_map(|(_, finding)| finding.clone()).collect();
            results = Some(ran.into_iter().map(|(result, _)| result).collect());
            if failed.is_empty() {
                checked = Some(policy);
            }
            self.findings.extend(failed);
        }
        self.findings.sort_by_key(|finding| (finding.span.file, finding.span.start));
        self.findings.dedup();
        Outcome { files: self.files, policy_files, findings: self.findings, checked, results }
    }

    fn report(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
    }

    fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// The text of a stretch of the policy, in one line.
    fn words(&self, span: Span) -> String {
        let file = self.files.get(usize::from(span.file));
        let text = file.and_then(|file| file.text.get(span.start as usize..span.end as usize));
        text.unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// Takes in the names that the items declare.
    fn declare(&mut self, items: &'a [Item]) {
        for item in items {
            match item {
                Item::List(list) => self.declare_list(list),
                Item::Define(define) => {
                    if self.is_free(&define.name, "a definition") {
                        let declared = Declared::new(define.name.span, Definition::Written(define));
                        self.names.definitions.insert(define.name.node.clone(), declared);
                    }
                }
                Item::Given(given) => {
                    let name = &given.name;
                    if let Some(first) = self.names.givens.get(&name.node).map(|first| first.span) {
                        let title = format!("there are given facts `{}` already", name.node);
                        self.report(
                            Diagnostic::error(title, name.span, "declared a second time")
                                .also(first, "first here"),
                        );
                    } else {
                        self.names.givens.insert(name.node.clone(), Declared::new(name.span, given));
                    }
                }
                Item::Greylist(greylist) => self.declare_greylist(greylist),
                Item::Source(_) | Item::Reply(_) | Item::Stage(_) | Item::Test(_) | Item::Include(_) => {}
            }
        }
        // Keys of sources may be facts of sources that stand before them.
        for item in items {
            if let Item::Source(source) = item {
                self.declare_source(source);
            }
        }
    }
}
