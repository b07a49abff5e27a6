//! Conditions: from what is written to what is evaluated, every test against the type of its fact.

use std::sync::Arc;

use super::literals::{described, one_of};
use super::names::Definition;
use super::{CONDITION_TESTS_MAX, Checker};
use crate::diagnostic::Diagnostic;
use crate::facts::Group;
use crate::nearest::nearest;
use crate::plan::{self, Form, Relation, Test, Values};
use crate::slot::{Slot, SlotInfo};
use crate::span::{Span, Spanned};
use crate::syntax::ast::{
    Comparison, Condition, FactPath, LiteralValue, Operand, Operator, Quantifier, Set, TestOf, Word,
};
use crate::value::{Type, Value};

/// A condition that is checked, with the places of the facts that it asks for.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    pub(super) condition: plan::Condition,
    pub(super) uses: Vec<Use>,
}

/// A fact that is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    pub(super) slot: Slot,
    /// Where, in the condition itself.
    pub(super) span: Span,
    /// Where in a definition, when it is asked for through one.
    pub(super) through: Option<Span>,
}

/// A test of one fact, before its fact's values are looked at.
struct Tested {
    form: Form,
    negated: bool,
}

impl Tested {
    const fn plain(form: Form) -> Self {
        Self { form, negated: false }
    }
}

/// From the first to the last octet of a condition.
pub(super) fn extent(condition: &Condition) -> Span {
    match condition {
        Condition::And(parts) | Condition::Or(parts) => {
            let first = parts.first().map(extent).unwrap_or_default();
            first.to(parts.last().map(extent).unwrap_or_default())
        }
        Condition::Not(_, span) => *span,
        Condition::Test(comparison) => comparison.span,
    }
}

impl<'a> Checker<'a> {
    /// Compiles every definition, those that are never used too.
    pub(super) fn compile_definitions(&mut self) {
        let names: Vec<String> = self.names.definitions.keys().cloned().collect();
        for name in names {
            self.definition(&name);
        }
    }

    /// The compiled definition; `None` when it was complained of.
    fn definition(&mut self, name: &str) -> Option<Arc<Compiled>> {
        let declared = self.names.definitions.get_mut(name)?;
        match std::mem::replace(&mut declared.what, Definition::InWork) {
            Definition::Written(define) => {
                let compiled = self.compile(&define.condition).map(Arc::new);
                if let Some(declared) = self.names.definitions.get_mut(name) {
                    declared.what = Definition::Done(compiled.clone());
                }
                compiled
            }
            Definition::InWork => None,
            Definition::Done(compiled) => {
                declared.what = Definition::Done(compiled.clone());
                compiled
            }
        }
    }

    /// The condition, checked; `None` when something in it was complained of.
    pub(super) fn compile(&mut self, condition: &Condition) -> Option<Compiled> {
        let mut uses = Vec::new();
        let compiled = self.part(condition, &mut uses)?;
        if compiled.tests() > CONDITION_TESTS_MAX {
            let title = format!("the condition has over {CONDITION_TESTS_MAX} tests");
            let label = "those of definitions counted where they are used";
            let advice = "a list takes any number of values: client.ip in blocked";
            self.report(Diagnostic::error(title, extent(condition), label).help(advice.to_owned()));
            return None;
        }
        Some(Compiled { condition: compiled, uses })
    }

    fn part(&mut self, condition: &Condition, uses: &mut Vec<Use>) -> Option<plan::Condition> {
        match condition {
            Condition::And(parts) => self.parts(parts, uses).map(plan::Condition::All),
            Condition::Or(parts) => self.parts(parts, uses).map(plan::Condition::Any),
            Condition::Not(inner, _) => Some(plan::Condition::Not(Arc::new(self.part(inner, uses)?))),
            Condition::Test(comparison) => self.comparison(comparison, uses),
        }
    }

    fn parts(&mut self, parts: &[Condition], uses: &mut Vec<Use>) -> Option<Arc<[plan::Condition]>> {
        // All are looked at, so that one run finds every mistake.
        let compiled: Vec<_> = parts.iter().map(|part| self.part(part, uses)).collect();
        compiled.into_iter().collect()
    }

    fn comparison(&mut self, comparison: &Comparison, uses: &mut Vec<Use>) -> Option<plan::Condition> {
        let subject = &comparison.subject;
        if self.names.definitions.contains_key(&subject.name) {
            return self.use_of_definition(comparison, uses);
        }
        // Before anything is complained of: a list beside a fact that there isn't is used, too.
        if let Some(TestOf::In { set: Set::Named(name), .. }) = &comparison.test
            && let Some(list) = self.names.lists.get_mut(&name.node)
        {
            list.used = true;
        }
        let slot = self.fact(subject)?;
        let info = self.facts.info(slot)?.clone();
        uses.push(Use { slot, span: subject.span, through: None });
        let several = matches!(info.value_type, Type::Texts | Type::Addresses);
        let asks_presence = matches!(&comparison.test,
            Some(TestOf::Is { word, .. }) if matches!(word.node.as_str(), "present" | "missing"));
        if !asks_presence {
            self.compared.push(slot);
        }
        let quantifier = self.quantifier(comparison, &info, several, asks_presence)?;
        let tested = match &comparison.test {
            None => self.bare(&info, subject),
            Some(TestOf::Is { negated, word }) => self.is(&info, subject, *negated, word),
            Some(TestOf::Compare(operator, operand)) => {
                self.compare((slot, &info), subject, operator, operand, uses)
            }
            Some(TestOf::In { negated, set }) => {
                let form = self.in_set((slot, &info), subject, set)?;
                Some(Tested { form, negated: *negated })
            }
            Some(TestOf::Matches(test, text)) => {
                self.text_test(&info, subject, test, text).map(Tested::plain)
            }
        }?;
        Some(joined(slot, quantifier, tested))
    }

    fn use_of_definition(&mut self, comparison: &Comparison, uses: &mut Vec<Use>) -> Option<plan::Condition> {
        let name = &comparison.subject.name;
        let span = comparison.subject.span;
        let negated = match (&comparison.quantifier, &comparison.test) {
            (None, None) => false,
            (None, Some(TestOf::Is { negated, word })) if matches!(word.node.as_str(), "yes" | "no") => {
                *negated != (word.node == "no")
            }
            _ => {
                if let Some(definition) = self.names.definitions.get_mut(name) {
                    definition.used = true;
                }
                let title = format!("`{name}` is a definition: it holds or does not");
                self.report(
                    Diagnostic::error(title, comparison.span, "a definition is not compared")
                        .help(format!("write `{name}` or `not {name}`")),
                );
                return None;
            }
        };
        let declared = self.names.definitions.get_mut(name)?;
        declared.used = true;
        let place = declared.span;
        if matches!(declared.what, Definition::InWork) {
            let title = format!("the definition `{name}` asks for itself");
            self.report(
                Diagnostic::error(title, span, "it can't be told that way").also(place, "defined here"),
            );
            return None;
        }
        let compiled = self.definition(name)?;
        uses.extend(compiled.uses.iter().map(|inner| Use {
            slot: inner.slot,
            span,
            through: Some(inner.through.unwrap_or(inner.span)),
        }));
        let condition = compiled.condition.clone();
        Some(if negated { plan::Condition::Not(Arc::new(condition)) } else { condition })
    }

    /// The quantifier, when it fits the fact.
    fn quantifier(
        &mut self,
        comparison: &Comparison,
        info: &SlotInfo,
        several: bool,
        asks_presence: bool,
    ) -> Option<Option<Quantifier>> {
        match &comparison.quantifier {
            Some(quantifier) if !several => {
                let title = format!("`{}` has one value", info.name);
                let label = "goes with facts that have several";
                self.report(Diagnostic::error(title, quantifier.span, label).help("leave it out".to_owned()));
                None
            }
            Some(quantifier) if asks_presence => {
                let title = format!("whether `{}` is there is asked of all its values together", info.name);
                self.report(
                    Diagnostic::error(title, quantifier.span, "leave it out")
                        .help(format!("{} is present: it has a value at least", info.name)),
                );
                None
            }
            None if several && !asks_presence => {
                let title = format!("`{}` has several values", info.name);
                let advice = format!("write `any {0} ...` or `every {0} ...`", info.name);
                self.report(
                    Diagnostic::error(title, comparison.subject.span, "one of them, or all?").help(advice),
                );
                None
            }
            quantifier => Some(quantifier.as_ref().map(|quantifier| quantifier.node)),
        }
    }

    fn bare(&mut self, info: &SlotInfo, subject: &FactPath) -> Option<Tested> {
        if info.value_type == Type::Boolean {
            return Some(Tested::plain(Form::Boolean(true)));
        }
        let title = format!("`{}` is {}, not a yes or no", info.name, described(info.value_type));
        let advice = match info.value_type {
            _ if info.optional => format!("write `{} is present`, or compare it", info.name),
            Type::Address => format!("compare it: `{} in trusted`", info.name),
            Type::Number => format!("compare it: `{} > 10`", info.name),
            Type::Octets => format!("compare it: `{} > 50 MB`", info.name),
            Type::Duration => format!("compare it: `{} > 5min`", info.name),
            Type::Choice(words) => {
                format!("compare it: `{} is {}`", info.name, words.first().unwrap_or(&"none"))
            }
            _ => format!("compare it: `{} == \"...\"`", info.name),
        };
        self.report(Diagnostic::error(title, subject.span, "a condition is expected").help(advice));
        None
    }

    fn is(&mut self, info: &SlotInfo, subject: &FactPath, negated: bool, word: &Word) -> Option<Tested> {
        let form = match (word.node.as_str(), info.value_type) {
            ("yes", Type::Boolean) => Form::Boolean(true),
            ("no", Type::Boolean) => Form::Boolean(false),
            (presence @ ("present" | "missing"), value_type) => {
                let several = matches!(value_type, Type::Texts | Type::Addresses);
                if !info.optional && !several {
                    let title = format!("`{}` is always there", info.name);
                    let label = if presence == "present" { "always so" } else { "never so" };
                    self.report(Diagnostic::error(title, word.span, label).help(never_missing(info)));
                    return None;
                }
                return Some(Tested { form: Form::Present, negated: negated != (presence == "missing") });
            }
            ("unsure", _) => {
                let title = "a condition can't ask whether a fact is unsure";
                let advice = "give the rule an `unsure` arm: unsure defer 451 4.4.3 \"...\"";
                self.report(Diagnostic::error(title, word.span, "no word for it").help(advice.to_owned()));
                return None;
            }
            (_, Type::Choice(words)) => {
                Form::Choices(Box::new([self.choice(info, words, &word.node, word.span)?]))
            }
            _ => {
                let title =
                    format!("`{}` is {}, never `{}`", info.name, described(info.value_type), word.node);
                let advice = match info.value_type {
                    Type::Boolean => {
                        nearest(&word.node, ["yes", "no"]).map(|near| format!("did you mean `{near}`?"))
                    }
                    Type::Text | Type::Texts => Some(format!("a text is compared: == \"{}\"", word.node)),
                    _ => None,
                };
                let label = if info.value_type == Type::Boolean { "yes or no" } else { "not a word" };
                self.report(
                    Diagnostic::error(title, word.span, label)
                        .also(subject.span, described(info.value_type))
                        .help(advice),
                );
                return None;
            }
        };
        Some(Tested { form, negated })
    }

    fn compare(
        &mut self,
        (slot, info): (Slot, &SlotInfo),
        subject: &FactPath,
        operator: &Spanned<Operator>,
        operand: &Operand,
        uses: &mut Vec<Use>,
    ) -> Option<Tested> {
        let (relation, negated) = relation(operator.node);
        let ordered = matches!(info.value_type, Type::Number | Type::Octets | Type::Duration);
        if relation != Relation::Equal && !ordered {
            let title = format!("`{}` has no order: it is {}", info.name, described(info.value_type));
            let label = "numbers, sizes and times have one";
            self.report(
                Diagnostic::error(title, operator.span, label).also(subject.span, described(info.value_type)),
            );
            return None;
        }
        let form = match operand {
            Operand::Fact(other) => self.other_fact(info, subject, other, relation, uses)?,
            Operand::Literal(literal) => match &literal.node {
                LiteralValue::Word(word) if self.is_source(word) => {
                    let other = FactPath { name: word.clone(), argument: None, span: literal.span };
                    self.other_fact(info, subject, &other, relation, uses)?
                }
                _ => match self.value(slot, subject.span, literal)? {
                    Value::Number(number) => Form::Number(relation, number),
                    Value::Duration(duration) => Form::Duration(relation, duration),
                    Value::Text(text) => {
                        self.warn_of_wildcard((info, subject), &text, literal.span);
                        Form::Text(text)
                    }
                    Value::Address(address) => Form::Address(address),
                    Value::Choice(word) => Form::Choices(Box::new([word])),
                    Value::Boolean(yes) => Form::Boolean(yes),
                    Value::Texts(_) | Value::Addresses(_) => return None,
                },
            },
        };
        Some(Tested { form, negated })
    }

    /// Warns of a pattern that is compared letter by letter: no address, name or domain has an asterisk, a subject may.
    fn warn_of_wildcard(&mut self, (info, subject): (&SlotInfo, &FactPath), text: &str, span: Span) {
        if text.contains('*') && info.group != Group::Content {
            let title = "texts are compared letter by letter, `*` too";
            let advice = format!("write `{} like \"{text}\"`", subject.name);
            self.report(Diagnostic::warning(title, span, "no pattern here").help(advice));
        }
    }

    fn is_source(&self, name: &str) -> bool {
        self.names.sources.contains_key(name)
    }

    fn other_fact(
        &mut self,
        info: &SlotInfo,
        subject: &FactPath,
        other: &FactPath,
        relation: Relation,
        uses: &mut Vec<Use>,
    ) -> Option<Form> {
        let slot = self.fact_as_value(other)?;
        let right = self.facts.info(slot)?.clone();
        if one_of(info.value_type) != right.value_type {
            let title = format!(
                "`{}` is {}, `{}` is {}",
                info.name,
                described(one_of(info.value_type)),
                right.name,
                described(right.value_type)
            );
            let label = "they can't be compared";
            self.report(
                Diagnostic::error(title, other.span, label).also(subject.span, described(info.value_type)),
            );
            return None;
        }
        uses.push(Use { slot, span: other.span, through: None });
        self.compared.push(slot);
        Some(Form::Fact(relation, slot))
    }
}

fn never_missing(info: &SlotInfo) -> Option<String> {
    match info.name.as_ref() {
        "sender.address" | "sender.domain" | "sender.local" => {
            Some("the null reverse-path is asked for with `sender.null`".to_owned())
        }
        "mailbox.exists" | "sender.domain_exists" => Some(format!("write `{} is no`", info.name)),
        _ => None,
    }
}

const fn relation(operator: Operator) -> (Relation, bool) {
    match operator {
        Operator::Equal => (Relation::Equal, false),
        Operator::NotEqual => (Relation::Equal, true),
        Operator::Less => (Relation::Less, false),
        Operator::AtMost => (Relation::AtMost, false),
        Operator::Greater => (Relation::Greater, false),
        Operator::AtLeast => (Relation::AtLeast, false),
    }
}

fn joined(slot: Slot, quantifier: Option<Quantifier>, Tested { form, negated }: Tested) -> plan::Condition {
    let values = match quantifier {
        None => Values::One,
        Some(Quantifier::Any) => Values::Any { negated },
        Some(Quantifier::Every) => Values::Every { negated },
    };
    let test = plan::Condition::Test(Test { slot, values, form });
    if negated && quantifier.is_none() { plan::Condition::Not(Arc::new(test)) } else { test }
}
