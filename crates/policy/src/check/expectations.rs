//! `given` and `test`: the facts that are set, and what is expected of a stage.

use std::collections::BTreeSet;

use super::Checker;
use super::literals::{described, one_of};
use crate::diagnostic::Diagnostic;
use crate::nearest::did_you_mean;
use crate::slot::{Slot, SlotInfo};
use crate::source::Field;
use crate::span::Span;
use crate::stage::Stage;
use crate::syntax::ast::{self, Expectation, GivenFact, Item, LiteralValue, TestStep, Word};
use crate::trial::{Expected, Trial, TrialStep, Wanted};
use crate::value::{State, Type, Value};

impl<'a> Checker<'a> {
    /// The tests of the policy, checked.
    pub(super) fn expectations(&mut self, items: &'a [Item]) -> Vec<Trial> {
        self.setting_facts = true;
        let mut seen: Vec<(&str, Span)> = Vec::new();
        let mut trials = Vec::new();
        for item in items {
            match item {
                Item::Given(given) => {
                    // Its facts are looked at once, also when no test starts from it.
                    for fact in &given.facts {
                        self.given_fact(fact);
                    }
                    if let Some(base) = &given.base {
                        self.check_base(base);
                    }
                }
                Item::Test(test) => {
                    if let Some((_, first)) = seen.iter().find(|(name, _)| *name == test.name.node) {
                        let title = format!("there is a test \"{}\" already", test.name.node);
                        let finding = Diagnostic::error(title, test.name.span, "named a second time");
                        self.report(finding.also(*first, "first here"));
                    }
                    seen.push((&test.name.node, test.name.span));
                    trials.extend(self.trial(test));
                }
                _ => {}
            }
        }
        self.setting_facts = false;
        trials
    }

    fn check_base(&mut self, base: &Word) {
        if let Some(given) = self.names.givens.get_mut(&base.node) {
            given.used = true;
            return;
        }
        if self.spoilt.contains(&base.node) {
            return;
        }
        let near = did_you_mean(&base.node, self.names.givens.keys().map(String::as_str));
        let title = format!("there are no given facts `{}`", base.node);
        self.report(Diagnostic::error(title, base.span, "unknown name").help(near));
    }

    fn trial(&mut self, test: &'a ast::Test) -> Option<Trial> {
        if let Some(base) = &test.base {
            self.check_base(base);
        }
        let mut steps: Vec<TrialStep> = self.base_facts(test.base.as_ref());
        let mut sound = true;
        let mut expects = false;
        for step in &test.steps {
            match step {
                TestStep::Fact(fact) => match self.given_fact(fact) {
                    Some((slot, state)) => steps.push(self.said(slot, state)),
                    None => sound = false,
                },
                TestStep::Expect(expectation) => {
                    expects = true;
                    match self.expected(expectation) {
                        Some(expected) => steps.push(TrialStep::Expect(expected)),
                        None => sound = false,
                    }
                }
            }
        }
        if !expects && sound {
            let title = format!("the test \"{}\" expects nothing", test.name.node);
            let finding = Diagnostic::error(title, test.name.span, "it could not fail");
            self.report(finding.help("add a line: at recipient expect accept".to_owned()));
            return None;
        }
        sound.then(|| Trial { name: test.name.node.as_str().into(), span: test.name.span, steps })
    }

    /// The facts of a group of given facts, those that it starts from first. A group that starts from itself ends there.
    fn base_facts(&mut self, base: Option<&Word>) -> Vec<TrialStep> {
        let mut chain = Vec::new();
        let mut seen = BTreeSet::new();
        let mut next = base.map(|base| (base.node.clone(), base.span));
        while let Some((name, span)) = next.take() {
            let Some(given) = self.names.givens.get(&name).map(|declared| declared.what) else { break };
            if !seen.insert(name.clone()) {
                let title = format!("the given facts `{name}` start from themselves");
                self.report(Diagnostic::error(title, span, "goes round in a circle"));
                break;
            }
            chain.push(given);
            next = given.base.as_ref().map(|base| (base.node.clone(), base.span));
        }
        let mut steps = Vec::new();
        let findings = self.findings.len();
        for given in chain.into_iter().rev() {
            for fact in &given.facts {
                if let Some((slot, state)) = self.given_fact(fact) {
                    steps.push(self.said(slot, state));
                }
            }
        }
        // What is wrong with them is reported where they stand.
        self.findings.truncate(findings);
        steps
    }

    fn said(&self, slot: Slot, state: State) -> TrialStep {
        let name = self.facts.info(slot).map_or_else(|| "".into(), |info| info.name.clone());
        TrialStep::Fact(slot, name, state)
    }

    /// The fact and what a test says of it.
    pub(super) fn given_fact(&mut self, fact: &GivenFact) -> Option<(Slot, State)> {
        let slot = self.fact(&fact.fact)?;
        let info = self.facts.info(slot)?.clone();
        let several = matches!(info.value_type, Type::Texts | Type::Addresses);
        if let [only] = fact.values.as_slice()
            && let LiteralValue::Word(word) = &only.node
        {
            match word.as_str() {
                "unsure" if info.fallible => return Some((slot, State::unsure("as the test says"))),
                "unsure" => {
                    let title = format!("`{}` is never unsure", info.name);
                    self.report(Diagnostic::error(title, only.span, "it is known without asking anybody"));
                    return None;
                }
                "missing" if info.optional || several => return Some((slot, missing(&info))),
                "missing" => {
                    let title = format!("`{}` is always there", info.name);
                    self.report(Diagnostic::error(title, only.span, described(info.value_type)));
                    return None;
                }
                _ => {}
            }
        }
        let values: Vec<Option<Value>> =
            fact.values.iter().map(|literal| self.value(slot, fact.fact.span, literal)).collect();
        let values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        if !several && values.len() > 1 {
            let title = format!("`{}` has one value", info.name);
            let span = fact.values.get(1).map_or(fact.fact.span, |literal| literal.span);
            self.report(Diagnostic::error(title, span, "a second one"));
            return None;
        }
        let state = match one_of(info.value_type) {
            Type::Text if several => State::Known(Value::Texts(
                values
                    .iter()
                    .filter_map(|value| if let Value::Text(text) = value { Some(text.clone()) } else { None })
                    .collect(),
            )),
            Type::Address if several => State::Known(Value::Addresses(
                values
                    .iter()
                    .filter_map(
                        |value| if let Value::Address(address) = value { Some(*address) } else { None },
                    )
                    .collect(),
            )),
            _ => values.into_iter().next().map_or(State::Missing, State::Known),
        };
        Some((slot, state))
    }

    fn expected(&mut self, expectation: &Expectation) -> Option<Expected> {
        let Some(stage) = Stage::named(&expectation.stage.node) else {
            let names = Stage::ALL.map(Stage::name);
            let title = format!("there is no stage `{}`", expectation.stage.node);
            let near = did_you_mean(&expectation.stage.node, names);
            self.report(Diagnostic::error(title, expectation.stage.span, names.join(", ")).help(near));
            return None;
        };
        let wanted = Wanted::named(&expectation.verdict.node)?;
        let refuses = matches!(wanted, Wanted::Reject | Wanted::Defer | Wanted::Disconnect);
        if let Some(code) = expectation.code.as_ref().filter(|_| !refuses) {
            let title = format!("`{}` has no reply code", expectation.verdict.node);
            self.report(Diagnostic::error(title, code.span, "only refusals have one"));
            return None;
        }
        let mut sound = true;
        if let Some(rule) = &expectation.rule {
            sound = self.expected_rule(rule, stage);
        }
        let class = match wanted {
            Wanted::Reject => Some(5),
            Wanted::Defer => Some(4),
            _ => None,
        };
        if let (Some(code), Some(class)) = (&expectation.code, class)
            && code.node / 100 != class
        {
            let title = format!("`{}` never gives {}", expectation.verdict.node, code.node);
            self.report(Diagnostic::error(title, code.span, format!("{class}yz")));
            sound = false;
        }
        sound.then(|| Expected {
            stage,
            wanted,
            code: expectation.code.as_ref().map(|code| code.node),
            enhanced: expectation.enhanced.as_ref().map(|enhanced| enhanced.node),
            rule: expectation.rule.as_ref().map(|rule| rule.node.as_str().into()),
            span: expectation.span,
        })
    }

    fn expected_rule(&mut self, rule: &Word, stage: Stage) -> bool {
        let Some(place) = self.names.rules.get(&rule.node).copied() else {
            if self.spoilt.contains(&rule.node) {
                return false;
            }
            let near = did_you_mean(&rule.node, self.names.rules.keys().map(String::as_str));
            let title = format!("there is no rule `{}`", rule.node);
            self.report(Diagnostic::error(title, rule.span, "unknown name").help(near));
            return false;
        };
        let at_stage = self
            .plan
            .rules_at(stage)
            .iter()
            .any(|id| self.plan.rule(*id).is_some_and(|known| *known.name == *rule.node));
        let compiled = self.plan.rules.iter().any(|known| *known.name == *rule.node);
        if !at_stage && compiled {
            let title = format!("the rule `{}` is not tried at {}", rule.node, stage.name());
            self.report(
                Diagnostic::error(title, rule.span, "never by this rule").also(place, "it stands here"),
            );
            return false;
        }
        // A rule that was complained of is not complained of again.
        at_stage
    }
}

fn missing(info: &SlotInfo) -> State {
    match info.value_type {
        Type::Texts => State::Known(Value::Texts(Vec::new().into())),
        Type::Addresses => State::Known(Value::Addresses(Vec::new().into())),
        _ => State::Missing,
    }
}

/// What a test takes a source's fact to be when it says another of the source.
pub(crate) fn beside(field: Field) -> Option<State> {
    match field {
        Field::Reason
        | Field::Key
        | Field::Code
        | Field::Enhanced
        | Field::Quarantine
        | Field::Prepend
        | Field::Signature => Some(State::Missing),
        Field::Codes => Some(State::Known(Value::Addresses(Vec::new().into()))),
        Field::Symbols => Some(State::Known(Value::Texts(Vec::new().into()))),
        Field::Reply => Some(State::text("")),
        Field::Listed
        | Field::Value
        | Field::Count
        | Field::Verdict
        | Field::Action
        | Field::Infected
        | Field::Score => None,
    }
}
