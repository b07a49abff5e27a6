//! Warnings about rules that work, but hardly as meant.

use super::Checker;
use super::condition::{Compiled, Use};
use crate::diagnostic::Diagnostic;
use crate::facts::Group;
use crate::implication::{Logic, proves_present};
use crate::plan::{Act, Answer, Condition, Form, Test, Values};
use crate::slot::{Origin, Slot, SlotInfo};
use crate::source::Field;
use crate::span::Span;
use crate::stage::Stage;
use crate::syntax::ast;
use smtp::reply::Severity;

impl Checker<'_> {
    /// Whether the fact is there whenever the condition holds. A list that lists has a reason, if only its zone, a table that
    /// has a value found it under a key, what is infected a signature,
    /// and a quarantine a reason.
    pub(super) fn proves(&self, condition: &Condition, slot: Slot) -> bool {
        let slots = &self.facts.slots;
        if proves_present(condition, slot, slots) {
            return true;
        }
        // What proves it besides: the list's listing, the table's value.
        let (index, field, form) = match self.facts.info(slot).map(|info| info.origin.clone()) {
            Some(Origin::Source(index, Field::Reason)) => (index, Field::Listed, Form::Boolean(true)),
            Some(Origin::Source(index, Field::Key)) => (index, Field::Value, Form::Present),
            Some(Origin::Source(index, Field::Quarantine)) => {
                (index, Field::Verdict, Form::Choices(vec!["quarantine"].into()))
            }
            Some(Origin::Source(index, Field::Signature)) => (index, Field::Infected, Form::Boolean(true)),
            _ => return false,
        };
        let proof = slots.iter().position(|info| info.origin == Origin::Source(index, field));
        let Some(proof) = proof.and_then(|proof| u16::try_from(proof).ok()) else { return false };
        let test = Test { slot: Slot(proof), values: Values::One, form };
        Logic::new(slots).implies(condition, &Condition::Test(test))
    }

    /// Looks at a rule that is sound.
    pub(super) fn lint(
        &mut self,
        rule: &ast::Rule,
        condition: &Compiled,
        acts: &[Act],
        answer: Option<&Answer>,
        stages: &[(Stage, Span)],
    ) {
        if self.in_builtin {
            return;
        }
        if acts.contains(&Act::Discard) {
            let span = rule.actions.iter().find(|action| action.node == ast::Action::Discard);
            let title = "`discard` accepts mail and throws it away";
            let label = "neither sender nor recipient hears of it";
            let advice = "`reject` tells the sender, `quarantine` keeps the message";
            let span = span.map_or(rule.span, |action| action.span);
            self.report(Diagnostic::warning(title, span, label).help(advice.to_owned()));
        }
        self.lint_negated(condition);
        let refuses_for_good = matches!(answer, Some(Answer::Refuse { reply, .. })
            if reply.code.severity() == Severity::Permanent);
        if refuses_for_good {
            self.lint_unsure(rule, condition);
            self.lint_passing(rule, condition);
            self.lint_early(rule, condition, stages);
        }
    }

    /// A negated test of a fact that can be missing holds when there is none.
    fn lint_negated(&mut self, condition: &Compiled) {
        let mut negated = Vec::new();
        negated_tests(&condition.condition, false, &mut negated);
        for slot in negated {
            let Some(info) = self.facts.info(slot).filter(|info| info.optional) else { continue };
            if asks_for_presence(&condition.condition, slot) {
                continue;
            }
            let name = info.name.clone();
            let Some(used) = condition.uses.iter().find(|used| used.slot == slot) else { continue };
            let span = used.through.unwrap_or(used.span);
            let title = format!("`{name}` may be missing, and the negated test holds then");
            let advice =
                format!("write `{name} is present and ...`, or `{name} is missing or ...` if that is meant");
            self.report(Diagnostic::warning(title, span, "holds when there is none").help(advice));
        }
    }

    fn first_use(&self, condition: &Compiled, which: impl Fn(&SlotInfo) -> bool) -> Option<(Use, SlotInfo)> {
        condition.uses.iter().find_map(|used| {
            self.facts.info(used.slot).filter(|info| which(info)).map(|info| (*used, info.clone()))
        })
    }

    /// A refusal for good of what the DNS may not tell just now.
    fn lint_unsure(&mut self, rule: &ast::Rule, condition: &Compiled) {
        let by_dns = |info: &SlotInfo| {
            use Group::{ClientName, HeloName, RecipientDomain, SenderDomain};
            info.fallible && matches!(info.group, ClientName | HeloName | SenderDomain | RecipientDomain)
        };
        if rule.unsure.is_some() {
            return;
        }
        let Some((used, info)) = self.first_use(condition, by_dns) else { return };
        let title = format!("`{}` can be unsure: the rule is passed over then", info.name);
        let label = "found out over the DNS, which may not answer just now";
        let advice = "add an arm: unsure defer 451 4.4.3 \"cannot look it up just now\"";
        self.report(Diagnostic::warning(title, used.span, label).help(advice.to_owned()));
    }

    /// A refusal for good of what passes by itself.
    fn lint_passing(&mut self, rule: &ast::Rule, condition: &Compiled) {
        let passes = |info: &SlotInfo| {
            let rate = matches!(info.origin, Origin::Source(_, Field::Count));
            info.group == Group::Greylist
                || rate
                || matches!(&*info.name, "mailbox.busy" | "client.connections")
        };
        let Some((used, info)) = self.first_use(condition, passes) else { return };
        let title = format!("`{}` passes by itself, a 5yz says that it never will", info.name);
        let answer = rule.actions.last().map_or(rule.span, |action| action.span);
        self.report(
            Diagnostic::warning(title, answer, "the client gives up")
                .also(used.span, "another time it is another")
                .help("write `defer 451 4.7.1 \"...\"`: the client tries again".to_owned()),
        );
    }

    /// A refusal before the recipient is known, on more than the client's address: the log lacks whom it was for.
    fn lint_early(&mut self, rule: &ast::Rule, condition: &Compiled, stages: &[(Stage, Span)]) {
        let Some((stage, _)) = stages.iter().find(|(stage, _)| matches!(stage, Stage::Connect | Stage::Helo))
        else {
            return;
        };
        let by_address = |info: &SlotInfo| {
            matches!(&*info.name, "client.ip" | "client.asn" | "client.country" | "client.connections")
        };
        if condition.uses.iter().all(|used| self.facts.info(used.slot).is_some_and(by_address)) {
            return;
        }
        let title = format!(
            "`{}` answers at {}: its log knows neither sender nor recipient",
            rule.name.node,
            stage.name()
        );
        let advice = "write it `at recipient`: all that is known here is known there";
        self.report(
            Diagnostic::warning(title, rule.name.span, "nobody can be told whose mail it was")
                .help(advice.to_owned()),
        );
    }
}

/// The facts of the tests that hold when they fail.
fn negated_tests(condition: &Condition, negated: bool, found: &mut Vec<Slot>) {
    match condition {
        Condition::Always => {}
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().for_each(|part| negated_tests(part, negated, found));
        }
        Condition::Not(inner) => negated_tests(inner, !negated, found),
        Condition::Test(test) => {
            let slots = match test.form {
                Form::Present => return,
                Form::Fact(_, other) => [Some(test.slot), Some(other)],
                _ => [Some(test.slot), None],
            };
            for slot in slots.into_iter().flatten() {
                if negated && test.values == Values::One && !found.contains(&slot) {
                    found.push(slot);
                }
            }
        }
    }
}

fn asks_for_presence(condition: &Condition, slot: Slot) -> bool {
    match condition {
        Condition::Always => false,
        Condition::All(parts) | Condition::Any(parts) => {
            parts.iter().any(|part| asks_for_presence(part, slot))
        }
        Condition::Not(inner) => asks_for_presence(inner, slot),
        Condition::Test(test) => test.slot == slot && test.form == Form::Present,
    }
}
