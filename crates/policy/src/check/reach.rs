//! Rules that can never answer: what they ask is never so, or a rule before them has answered whenever it is.

use super::Checker;
use crate::decision::RuleId;
use crate::diagnostic::Diagnostic;
use crate::implication::Logic;
use crate::plan::{Condition, Rule};
use crate::span::Span;
use crate::stage::Stage;

/// Why a rule is never reached.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// Its own condition never holds.
    Never,
    /// Whenever it holds, this rule has answered.
    Behind(RuleId),
}

/// Whether the rule, when its condition holds, ends the stage for rules of the site.
const fn ends(rule: &Rule) -> bool {
    // The refusal of relaying is passed where relaying was opened: it ends nothing for sure.
    rule.answer.is_some() && !rule.observe && !rule.denies_relaying
}

impl Checker<'_> {
    /// Reports the site's rules that can never be reached at any of their stages, and those that can't at one.
    pub(super) fn check_reach(&mut self) {
        let mut findings = Vec::new();
        for (index, rule) in self.plan.rules.iter().enumerate() {
            let Ok(id) = u16::try_from(index).map(RuleId) else { continue };
            if rule.fixed {
                continue;
            }
            let stages: Vec<Stage> =
                Stage::ALL.into_iter().filter(|stage| self.plan.rules_at(*stage).contains(&id)).collect();
            let blocked: Vec<(Stage, Why)> =
                stages.iter().filter_map(|stage| Some((*stage, self.why_unreachable(id, *stage)?))).collect();
            if let Some((stage, why)) = blocked.first() {
                let everywhere = blocked.len() == stages.len();
                findings.push(self.unreachable(rule, *why, (!everywhere).then_some(*stage)));
            }
        }
        self.findings.extend(findings);
    }

    fn why_unreachable(&self, id: RuleId, stage: Stage) -> Option<Why> {
        let rule = self.plan.rule(id)?;
        let mut logic = Logic::new(&self.facts.slots);
        if logic.never(&rule.condition) {
            return Some(Why::Never);
        }
        let before = self.plan.rules_at(stage).iter().take_while(|other| **other != id);
        before.copied().find_map(|other| {
            let first = self.plan.rule(other).filter(|first| ends(first))?;
            logic.implies(&rule.condition, &first.condition).then_some(Why::Behind(other))
        })
    }

    fn unreachable(&self, rule: &Rule, why: Why, only_at: Option<Stage>) -> Diagnostic {
        let span = self.place_of(&rule.name);
        let at = only_at.map_or_else(String::new, |stage| format!(" at {}", stage.name()));
        let title = match why {
            Why::Never => format!("the condition of `{}` can never hold", rule.name),
            Why::Behind(_) => format!("the rule `{}` can never be reached{at}", rule.name),
        };
        let new = if only_at.is_some() { Diagnostic::warning } else { Diagnostic::error };
        let Why::Behind(other) = why else {
            return new(title, span, "it contradicts itself".to_owned());
        };
        let Some(first) = self.plan.rule(other) else { return new(title, span, String::new()) };
        let always = first.condition == Condition::Always;
        let label = if always {
            format!("`{}` answers always", first.name)
        } else {
            format!("whenever this holds, `{}` has already answered", first.name)
        };
        let same = !always && Logic::new(&self.facts.slots).implies(&first.condition, &rule.condition);
        let advice = if same {
            format!("`{}` and `{}` ask the same: leave one out", rule.name, first.name)
        } else {
            format!("move `{}` above `{}`", rule.name, first.name)
        };
        new(title, span, label).also(self.place_of(&first.name), "answers first").help(advice)
    }

    /// The place of a rule's name.
    pub(super) fn place_of(&self, rule: &str) -> Span {
        self.names.rules.get(rule).copied().unwrap_or_default()
    }
}
