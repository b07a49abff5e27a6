//! What follows from what: whether a condition holds whenever another one does.
//!
//! Sound, not complete: what is claimed holds for all facts (known, missing or unsure); what holds is not always claimed.

use std::net::IpAddr;
use std::time::Duration;

use crate::evaluate;
use crate::plan::{Condition, Form, Test, Values};
use crate::sets::NetworkSet;
use crate::slot::SlotInfo;
use crate::value::{Type, Value};

/// Most comparisons of two tests for one question; past them nothing is claimed.
const COMPARISONS_MAX: u32 = 20_000;

/// Most values that are tried out for one comparison of two tests.
const SAMPLES_MAX: usize = 4_000;

/// Answers questions about the conditions of one policy.
#[derive(Debug)]
pub(crate) struct Logic<'a> {
    slots: &'a [SlotInfo],
    comparisons: u32,
}

/// A test, and whether it is to hold.
#[derive(Clone, Copy)]
struct Literal<'a> {
    test: &'a Test,
    holds: bool,
}

impl<'a> Logic<'a> {
    pub(crate) const fn new(slots: &'a [SlotInfo]) -> Self {
        Self { slots, comparisons: 0 }
    }

    /// Whether `then` is yes whenever `given` is.
    pub(crate) fn implies(&mut self, given: &Condition, then: &Condition) -> bool {
        self.comparisons = 0;
        self.follows((given, true), (then, true))
    }

    /// Whether `condition` is never yes.
    pub(crate) fn never(&mut self, condition: &Condition) -> bool {
        self.comparisons = 0;
        self.impossible(condition, true)
    }

    fn impossible(&mut self, condition: &Condition, holds: bool) -> bool {
        match condition {
            Condition::Always => !holds,
            Condition::Not(inner) => self.impossible(inner, !holds),
            Condition::Test(test) => self.never_so(Literal { test, holds }),
            Condition::All(parts) if holds => self.clash(parts, true),
            Condition::Any(parts) if !holds => self.clash(parts, false),
            Condition::All(parts) | Condition::Any(parts) => {
                parts.iter().all(|part| self.impossible(part, holds))
            }
        }
    }

    /// Whether the parts can't all be `holds`: one can't be, or two contradict each other.
    fn clash(&mut self, parts: &[Condition], holds: bool) -> bool {
        let (mut flat, mut rest) = (Vec::new(), Vec::new());
        for part in parts {
            flatten(part, holds, &mut flat, &mut rest);
        }
        if rest.iter().any(|(part, holds)| self.impossible(part, *holds)) {
            return true;
        }
        let all: Vec<_> = flat.iter().chain(&rest).copied().collect();
        all.iter().enumerate().any(|(place, one)| {
            all.iter().skip(place + 1).any(|(other, holds)| self.follows(*one, (other, !*holds)))
        }) || flat.iter().any(|(part, holds)| match part {
            Condition::Test(test) => self.never_so(Literal { test, holds: *holds }),
            _ => false,
        })
    }

    /// Whether the second is so whenever the first is.
    fn follows(&mut self, given: (&Condition, bool), then: (&Condition, bool)) -> bool {
        self.comparisons += 1;
        if self.comparisons > COMPARISONS_MAX {
            return false;
        }
        match then {
            (Condition::Always, holds) => return holds,
            (Condition::Not(inner), holds) => return self.follows(given, (inner, !holds)),
            (Condition::All(parts), true) | (Condition::Any(parts), false) => {
                return parts.iter().all(|part| self.follows(given, (part, then.1)));
            }
            _ => {}
        }
        match given {
            (Condition::Always, holds) if !holds => return true,
            (Condition::Not(inner), holds) => return self.follows((inner, !holds), then),
            (Condition::Any(parts), true) | (Condition::All(parts), false) => {
                return parts.iter().all(|part| self.follows((part, given.1), then));
            }
            _ => {}
        }
        if let (Condition::All(parts), true) | (Condition::Any(parts), false) = given
            && parts.iter().any(|part| self.follows((part, given.1), then))
        {
            return true;
        }
        if let (Condition::Any(parts), true) | (Condition::All(parts), false) = then {
            return parts.iter().any(|part| self.follows(given, (part, then.1)));
        }
        match (given, then) {
            ((Condition::Test(one), one_holds), (Condition::Test(other), other_holds)) => self.test_follows(
                Literal { test: one, holds: one_holds },
                Literal { test: other, holds: other_holds },
            ),
            _ => false,
        }
    }

    fn test_follows(&self, given: Literal<'_>, then: Literal<'_>) -> bool {
        let (one, other) = (given.test, then.test);
        if one == other {
            return given.holds == then.holds;
        }
        if one.slot != other.slot {
            return false;
        }
        if one.values != Values::One || other.values != Values::One {
            // A value that passes is there.
            let found = matches!(one.values, Values::Any { .. }) && given.holds;
            return found && other.form == Form::Present && then.holds;
        }
        let Some(info) = self.slots.get(one.slot.index()) else { return false };
        if given.holds && other.form == Form::Present {
            return then.holds;
        }
        if one.form == Form::Present && !given.holds {
            return !then.holds;
        }
        if matches!(one.form, Form::Fact(..)) || matches!(other.form, Form::Fact(..)) {
            return false;
        }
        if let Some(samples) = samples(info.value_type, &one.form, &other.form) {
            let there = samples.iter().all(|value| {
                evaluate::holds(&one.form, value) != given.holds
                    || evaluate::holds(&other.form, value) == then.holds
            });
            // Of what is missing, no test holds.
            return there && (!info.optional || given.holds || !then.holds);
        }
        info.value_type == Type::Address && sets_follow(given, then) || text_follows(given, then, info)
    }

    /// Whether the literal can't be so, whatever the fact is.
    fn never_so(&self, literal: Literal<'_>) -> bool {
        let Some(info) = self.slots.get(literal.test.slot.index()) else { return false };
        let form = &literal.test.form;
        if literal.test.values != Values::One || matches!(form, Form::Fact(..)) {
            return false;
        }
        if *form == Form::Present {
            // Of several values there may be none.
            let several = matches!(info.value_type, Type::Texts | Type::Addresses);
            return !literal.holds && !info.optional && !several;
        }
        if info.optional && !literal.holds {
            return false;
        }
        samples(info.value_type, form, form)
            .is_some_and(|samples| samples.iter().all(|value| evaluate::holds(form, value) != literal.holds))
    }
}

/// The tests of a conjunction in `flat`, what is none in `rest`.
fn flatten<'a>(
    condition: &'a Condition,
    holds: bool,
    flat: &mut Vec<(&'a Condition, bool)>,
    rest: &mut Vec<(&'a Condition, bool)>,
) {
    match condition {
        Condition::Not(inner) => flatten(inner, !holds, flat, rest),
        Condition::All(parts) if holds => parts.iter().for_each(|part| flatten(part, holds, flat, rest)),
        Condition::Any(parts) if !holds => parts.iter().for_each(|part| flatten(part, holds, flat, rest)),
        Condition::Test(_) => flat.push((condition, holds)),
        _ => rest.push((condition, holds)),
    }
}

/// Values such that two forms that agree on them agree on all of the type; `None` when there is no such set.
fn samples(value_type: Type, one: &Form, other: &Form) -> Option<Vec<Value>> {
    match value_type {
        Type::Boolean => Some(vec![Value::Boolean(false), Value::Boolean(true)]),
        Type::Choice(words) => Some(words.iter().map(|word| Value::Choice(word)).collect()),
        Type::Number | Type::Octets => {
            let mut numbers = vec![i64::MIN, 0, i64::MAX];
            for form in [one, other] {
                match form {
                    Form::Number(_, number) => numbers.push(*number),
                    Form::Numbers(all) => numbers.extend(all),
                    _ => {}
                }
            }
            let around = |number: i64| [number.saturating_sub(1), number, number.saturating_add(1)];
            (numbers.len() <= SAMPLES_MAX)
                .then(|| numbers.into_iter().flat_map(around).map(Value::Number).collect())
        }
        Type::Duration => {
            const STEP: Duration = Duration::from_nanos(1);
            let mut durations = vec![Duration::ZERO, Duration::MAX];
            for form in [one, other] {
                if let Form::Duration(_, duration) = form {
                    let around = [duration.saturating_sub(STEP), *duration, duration.saturating_add(STEP)];
                    durations.extend(around);
                }
            }
            Some(durations.into_iter().map(Value::Duration).collect())
        }
        Type::Text | Type::Address | Type::Texts | Type::Addresses => None,
    }
}

/// The addresses that a form takes in, when they can be said.
fn addresses(form: &Form) -> Option<NetworkSet> {
    use crate::syntax::ast::Network;
    match form {
        Form::InNetworks(networks) => Some((**networks).clone()),
        Form::Address(address) => {
            let prefix = if matches!(address, IpAddr::V4(_)) { 32 } else { 128 };
            Some(NetworkSet::new(vec![Network { address: *address, prefix }]))
        }
        _ => None,
    }
}

fn sets_follow(given: Literal<'_>, then: Literal<'_>) -> bool {
    let (Some(one), Some(other)) = (addresses(&given.test.form), addresses(&then.test.form)) else {
        return false;
    };
    match (given.holds, then.holds) {
        (true, true) => other.covers(&one),
        (true, false) => other.apart(&one),
        // Not in the larger one, so not in the smaller one.
        (false, false) => one.covers(&other),
        (false, true) => false,
    }
}

/// The texts that a form takes in, when they are few and can be said.
fn texts(form: &Form) -> Option<Vec<&str>> {
    let texts: Option<Vec<&str>> = match form {
        Form::Text(text) => Some(vec![&**text]),
        Form::InNames(names) if names.is_plain() => Some(names.iter().take(SAMPLES_MAX + 1).collect()),
        _ => None,
    };
    texts.filter(|texts| texts.len() <= SAMPLES_MAX)
}

fn text_follows(given: Literal<'_>, then: Literal<'_>, info: &SlotInfo) -> bool {
    if info.value_type != Type::Text {
        return false;
    }
    let (one, other) = (&given.test.form, &then.test.form);
    if minds_case(one) || minds_case(other) {
        return false;
    }
    match (given.holds, then.holds) {
        (true, holds) => {
            if let Some(texts) = texts(one) {
                return texts.iter().all(|text| evaluate::text_holds(other, text) == holds);
            }
            if holds { includes(one, other) } else { excludes(one, other) }
        }
        (false, false) => match texts(other) {
            Some(texts) => texts.iter().all(|text| evaluate::text_holds(one, text)),
            None => includes(other, one),
        },
        (false, true) => false,
    }
}

/// Whether it may tell upper from lower case: an expression that switches flags.
fn minds_case(form: &Form) -> bool {
    matches!(form, Form::Matches(expression) if expression.0.as_str().contains("(?"))
}

/// Whether every text that passes `one` passes `other`.
fn includes(one: &Form, other: &Form) -> bool {
    match (one, other) {
        (Form::InNames(one), Form::InNames(other)) => other.covers(one),
        (Form::InPatterns(one), Form::InPatterns(other)) => other.covers(one),
        (Form::StartsWith(one), Form::StartsWith(other)) => one.starts_with(&**other),
        (Form::EndsWith(one), Form::EndsWith(other)) => one.ends_with(&**other),
        (Form::StartsWith(one) | Form::EndsWith(one) | Form::Contains(one), Form::Contains(other)) => {
            one.contains(&**other)
        }
        _ => false,
    }
}

/// Whether no text passes both.
fn excludes(one: &Form, other: &Form) -> bool {
    if let Some(texts) = texts(other) {
        return !texts.iter().any(|text| evaluate::text_holds(one, text));
    }
    match (one, other) {
        (Form::StartsWith(one), Form::StartsWith(other)) => {
            !one.starts_with(&**other) && !other.starts_with(&**one)
        }
        (Form::EndsWith(one), Form::EndsWith(other)) => !one.ends_with(&**other) && !other.ends_with(&**one),
        _ => false,
    }
}

/// Whether `condition` can only be yes when the fact `slot` is there.
pub(crate) fn proves_present(condition: &Condition, slot: crate::slot::Slot, slots: &[SlotInfo]) -> bool {
    let present = Condition::Test(Test { slot, values: Values::One, form: Form::Present });
    Logic::new(slots).implies(condition, &present) || is_compared_with(slot, condition)
}

/// Whether it holds only where another fact is the same as, or in order with, the fact `slot`.
fn is_compared_with(slot: crate::slot::Slot, condition: &Condition) -> bool {
    match condition {
        Condition::All(parts) => parts.iter().any(|part| is_compared_with(slot, part)),
        Condition::Test(test) => {
            matches!(test.form, Form::Fact(_, other) if other == slot) && test.values == Values::One
        }
        _ => false,
    }
}
