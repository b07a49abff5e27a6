//! The evaluation: conditions in three-valued logic, rules in order, and the facts that are needed next.
//!
//! Invariants: nothing is allocated until a rule does something; an answer that is given before all facts are told is the
//! answer with all facts told; no path accepts a recipient of a foreign domain unless a rule said `accept relay`.

use std::sync::Arc;

use smtp::reply::{Enhanced, Refusal, Reply, ReplyCode};

use crate::decision::{Decision, Effect, Need, RuleId, Step, Verdict};
use crate::plan::{Act, Answer, Condition, Form, Own, Piece, Plan, Rule, Template, Test, Values, Words};
use crate::slot::{Facts, Slot};
use crate::stage::Stage;
use crate::value::{State, Value};

/// What a condition comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Truth {
    /// It does not hold.
    No,
    /// It holds.
    Yes,
    /// A fact that it hangs on could not be found out.
    Unsure,
    /// A fact that it hangs on has not been asked for.
    NotTold,
}

impl Truth {
    const fn of(yes: bool) -> Self {
        if yes { Self::Yes } else { Self::No }
    }

    const fn negated(self) -> Self {
        match self {
            Self::No => Self::Yes,
            Self::Yes => Self::No,
            other => other,
        }
    }
}

/// What `condition` comes to (Kleene's logic; what has not been asked for may still turn out either way).
pub(crate) fn truth(condition: &Condition, facts: &Facts) -> Truth {
    match condition {
        Condition::Always => Truth::Yes,
        Condition::All(parts) => joined(parts.iter().map(|part| truth(part, facts)), Truth::No),
        Condition::Any(parts) => joined(parts.iter().map(|part| truth(part, facts)), Truth::Yes),
        Condition::Not(inner) => truth(inner, facts).negated(),
        Condition::Test(test) => test_truth(test, facts),
    }
}

/// The parts' truths taken together, where one that is `decisive` decides.
fn joined(parts: impl Iterator<Item = Truth>, decisive: Truth) -> Truth {
    let mut all = decisive.negated();
    for part in parts {
        if part == decisive {
            return decisive;
        }
        all = all.max(if part >= Truth::Unsure { part } else { all });
    }
    all
}

fn test_truth(test: &Test, facts: &Facts) -> Truth {
    let several = match test.values {
        Values::One => None,
        Values::Any { negated } => Some((negated, Truth::Yes)),
        Values::Every { negated } => Some((negated, Truth::No)),
    };
    let state = facts.get(test.slot);
    let Some((negated, decisive)) = several else { return state_truth(&test.form, state, facts) };
    let one = |truth: Truth| if negated { truth.negated() } else { truth };
    match state {
        State::NotAsked => Truth::NotTold,
        State::Unsure(_) => Truth::Unsure,
        State::Known(Value::Texts(texts)) => {
            joined(texts.iter().map(|text| one(text_truth(&test.form, text, facts))), decisive)
        }
        State::Known(Value::Addresses(addresses)) => {
            let each = addresses
                .iter()
                .map(|address| one(value_truth(&test.form, &Value::Address(*address), facts)));
            joined(each, decisive)
        }
        // With no value, or one of another kind, there is none to hold for.
        State::Missing | State::Known(_) => decisive.negated(),
    }
}

fn state_truth(form: &Form, state: &State, facts: &Facts) -> Truth {
    match state {
        State::Known(value) => value_truth(form, value, facts),
        State::Missing => Truth::No,
        State::Unsure(_) => match form {
            // Nothing that is missing compares: whatever the other one would be, it is no.
            Form::Fact(_, other) if matches!(facts.get(*other), State::Missing) => Truth::No,
            Form::Fact(_, other) if matches!(facts.get(*other), State::NotAsked) => Truth::NotTold,
            _ => Truth::Unsure,
        },
        State::NotAsked => match form {
            Form::Fact(_, other) if matches!(facts.get(*other), State::Missing) => Truth::No,
            _ => Truth::NotTold,
        },
    }
}

fn value_truth(form: &Form, value: &Value, facts: &Facts) -> Truth {
    if let Form::Fact(relation, other) = form {
        return match facts.get(*other) {
            State::Known(right) => Truth::of(related(*relation, value, right)),
            State::Missing => Truth::No,
            State::Unsure(_) => Truth::Unsure,
            State::NotAsked => Truth::NotTold,
        };
    }
    Truth::of(holds(form, value))
}

fn related(relation: crate::plan::Relation, left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Text(left), Value::Text(right)) => left.eq_ignore_ascii_case(right),
        (Value::Number(left), Value::Number(right)) => relation.holds(left, right),
        (Value::Duration(left), Value::Duration(right)) => relation.holds(left, right),
        (Value::Boolean(left), Value::Boolean(right)) => left == right,
        (Value::Address(left), Value::Address(right)) => left == right,
        (Value::Choice(left), Value::Choice(right)) => left == right,
        _ => false,
    }
}

/// Whether `value` passes; a form that asks for another fact is never asked here.
pub(crate) fn holds(form: &Form, value: &Value) -> bool {
    match (form, value) {
        (Form::Present, Value::Texts(texts)) => !texts.is_empty(),
        (Form::Present, Value::Addresses(addresses)) => !addresses.is_empty(),
        (Form::Present, _) => true,
        (Form::Boolean(wanted), Value::Boolean(yes)) => wanted == yes,
        (Form::Choices(words), Value::Choice(word)) => words.contains(word),
        (Form::Number(relation, number), Value::Number(value)) => relation.holds(value, number),
        (Form::Numbers(numbers), Value::Number(value)) => numbers.contains(value),
        (Form::Duration(relation, duration), Value::Duration(value)) => relation.holds(value, duration),
        (Form::Address(address), Value::Address(value)) => address == value,
        (Form::InNetworks(networks), Value::Address(value)) => networks.contains(*value),
        (form, Value::Text(text)) => text_holds(form, text),
        _ => false,
    }
}

fn text_truth(form: &Form, text: &Arc<str>, facts: &Facts) -> Truth {
    match form {
        Form::Fact(..) => value_truth(form, &Value::Text(Arc::clone(text)), facts),
        _ => Truth::of(text_holds(form, text)),
    }
}

/// Whether `text` passes. The texts of the form are in lower case; regular expressions ignore case themselves.
pub(crate) fn text_holds(form: &Form, text: &str) -> bool {
    let same = |octets: Option<&[u8]>, wanted: &str| {
        octets.is_some_and(|octets| octets.eq_ignore_ascii_case(wanted.as_bytes()))
    };
    let octets = text.as_bytes();
    match form {
        Form::Present => true,
        Form::Text(wanted) => text.eq_ignore_ascii_case(wanted),
        Form::InNames(names) => names.contains(text),
        Form::InPatterns(patterns) => patterns.matches(text),
        Form::Contains(wanted) => {
            wanted.is_empty()
                || octets.windows(wanted.len()).any(|window| window.eq_ignore_ascii_case(wanted.as_bytes()))
        }
        Form::StartsWith(wanted) => same(octets.get(..wanted.len()), wanted),
        Form::EndsWith(wanted) => {
            let start = octets.len().checked_sub(wanted.len());
            same(start.and_then(|start| octets.get(start..)), wanted)
        }
        Form::Like(pattern) => pattern.matches(text),
        Form::Matches(expression) => expression.0.is_match(text),
        _ => false,
    }
}

/// Adds to `needed` the facts without which `condition` can't be told, those that are met first.
fn wanted(condition: &Condition, facts: &Facts, needed: &mut Vec<Slot>) {
    match condition {
        Condition::Always => {}
        Condition::All(parts) | Condition::Any(parts) => {
            if let Some(part) = parts.iter().find(|part| truth(part, facts) == Truth::NotTold) {
                wanted(part, facts, needed);
            }
        }
        Condition::Not(inner) => wanted(inner, facts, needed),
        Condition::Test(test) => {
            let other = match test.form {
                Form::Fact(_, other) => Some(other),
                _ => None,
            };
            for slot in [Some(test.slot), other].into_iter().flatten() {
                note_unasked(slot, facts, needed);
            }
        }
    }
}

fn note_unasked(slot: Slot, facts: &Facts, needed: &mut Vec<Slot>) {
    if !facts.get(slot).is_asked() && !needed.contains(&slot) {
        needed.push(slot);
    }
}

/// What follows the rules while they are tried.
pub(crate) trait Watch {
    /// A rule was tried; `decided` says whether its answer is the stage's.
    fn tried(&mut self, id: RuleId, truth: Truth, decided: bool);
}

/// Nobody follows.
impl Watch for () {
    fn tried(&mut self, _: RuleId, _: Truth, _: bool) {}
}

/// The rules as they are tried: what came of them so far.
struct Walk<'a> {
    plan: &'a Plan,
    stage: Stage,
    order: &'a [RuleId],
    facts: &'a Facts,
    /// The rule that accepted, and whether its unsure arm did.
    accepted: Option<(RuleId, bool)>,
    relay: bool,
    effects: Vec<(RuleId, Effect)>,
    observed: Vec<RuleId>,
    passed_over: Vec<RuleId>,
}

/// Decides `stage` by the rules of `order`, or says which facts are needed first.
pub(crate) fn decide(
    plan: &Plan,
    (stage, order): (Stage, &[RuleId]),
    facts: &Facts,
    watch: &mut impl Watch,
) -> Step {
    let mut walk = Walk {
        plan,
        stage,
        order,
        facts,
        accepted: None,
        relay: false,
        effects: Vec::new(),
        observed: Vec::new(),
        passed_over: Vec::new(),
    };
    for (place, id) in order.iter().enumerate() {
        let Some(rule) = plan.rule(*id) else { continue };
        if walk.passes(rule) {
            continue;
        }
        if let Some(step) = walk.try_rule(place, *id, rule, watch) {
            return step;
        }
    }
    walk.end()
}

impl Walk<'_> {
    /// Whether the rule is not tried any more: a rule of the site once one accepted, the refusal of relaying once it is open.
    const fn passes(&self, rule: &Rule) -> bool {
        self.accepted.is_some() && !rule.fixed || self.relay && rule.denies_relaying
    }

    fn try_rule(&mut self, place: usize, id: RuleId, rule: &Rule, watch: &mut impl Watch) -> Option<Step> {
        let truth = truth(&rule.condition, self.facts);
        match truth {
            Truth::No => {
                watch.tried(id, truth, false);
                None
            }
            Truth::NotTold => {
                watch.tried(id, truth, false);
                let mut now = Vec::new();
                wanted(&rule.condition, self.facts, &mut now);
                Some(self.need(place, now))
            }
            Truth::Unsure => match &rule.unsure {
                Some(_) if rule.observe => {
                    watch.tried(id, truth, false);
                    self.observed.push(id);
                    None
                }
                Some(answer) => self.answer(place, id, (answer, true), watch),
                None => {
                    watch.tried(id, truth, false);
                    self.passed_over.push(id);
                    None
                }
            },
            Truth::Yes if rule.observe => {
                watch.tried(id, truth, false);
                self.observed.push(id);
                None
            }
            Truth::Yes => self.act(place, id, rule, watch),
        }
    }

    fn act(&mut self, place: usize, id: RuleId, rule: &Rule, watch: &mut impl Watch) -> Option<Step> {
        let mut now = Vec::new();
        for slot in &rule.printed {
            note_unasked(*slot, self.facts, &mut now);
        }
        if !now.is_empty() {
            watch.tried(id, Truth::NotTold, false);
            return Some(self.need(place, now));
        }
        let effects = rule.acts.iter().map(|act| (id, effect(act, self.facts)));
        self.effects.extend(effects);
        match &rule.answer {
            Some(answer) => self.answer(place, id, (answer, false), watch),
            None => {
                watch.tried(id, Truth::Yes, false);
                None
            }
        }
    }

    fn answer(
        &mut self,
        place: usize,
        id: RuleId,
        (answer, by_unsure_arm): (&Answer, bool),
        watch: &mut impl Watch,
    ) -> Option<Step> {
        let truth = if by_unsure_arm { Truth::Unsure } else { Truth::Yes };
        match answer {
            Answer::Accept { relay } => {
                watch.tried(id, truth, self.accepted.is_none());
                self.relay |= relay;
                self.accepted = self.accepted.or(Some((id, by_unsure_arm)));
                None
            }
            Answer::Refuse { reply, close } => {
                let mut now = Vec::new();
                for slot in reply.text.slots() {
                    note_unasked(slot, self.facts, &mut now);
                }
                if !now.is_empty() {
                    watch.tried(id, Truth::NotTold, false);
                    return Some(self.need(place, now));
                }
                watch.tried(id, truth, true);
                let name = self.plan.rule(id).map_or_else(String::new, |rule| (*rule.name).to_owned());
                let refusal = refusal(reply, name, (self.stage, self.facts));
                let closes = *close || reply.own.is_some() && refusal.reply().closes();
                let verdict = if closes { Verdict::Disconnect(refusal) } else { Verdict::Refuse(refusal) };
                Some(self.decided(verdict, Some((id, by_unsure_arm))))
            }
        }
    }

    fn need(&self, place: usize, now: Vec<Slot>) -> Step {
        let mut soon = Vec::new();
        for id in self.order.get(place..).unwrap_or_default() {
            let Some(rule) = self.plan.rule(*id).filter(|rule| !self.passes(rule)) else { continue };
            for slot in rule.slots().filter(|slot| !now.contains(slot)) {
                note_unasked(slot, self.facts, &mut soon);
            }
        }
        Step::Need(Need { now, soon })
    }

    fn decided(&mut self, verdict: Verdict, by: Option<(RuleId, bool)>) -> Step {
        Step::Decided(Decision {
            verdict,
            rule: by.map(|(rule, _)| rule),
            by_unsure_arm: by.is_some_and(|(_, by_unsure_arm)| by_unsure_arm),
            effects: std::mem::take(&mut self.effects),
            observed: std::mem::take(&mut self.observed),
            passed_over: std::mem::take(&mut self.passed_over),
        })
    }

    /// No rule refused. What is not known to be local is only accepted where relaying was opened: a fault of ours is 451.
    fn end(mut self) -> Step {
        if self.stage == Stage::Recipient
            && !self.relay
            && let Some(local_domain) = self.plan.local_domain
        {
            match self.facts.get(local_domain) {
                State::Known(Value::Boolean(true)) => {}
                State::NotAsked => {
                    return Step::Need(Need { now: vec![local_domain], soon: Vec::new() });
                }
                _ => {
                    let refusal = smtp::catalogue::LOCAL_FAULT.refuse(&[]);
                    return self.decided(Verdict::Refuse(refusal), None);
                }
            }
        }
        let (relay, accepted) = (self.relay, self.accepted);
        self.decided(Verdict::Accept { relay }, accepted)
    }
}

fn refusal(words: &Words, name: String, (stage, facts): (Stage, &Facts)) -> Refusal {
    let mut text = fill(&words.text, facts);
    let (mut code, mut enhanced) = (words.code, words.enhanced);
    if let Some(own) = &words.own {
        let known = own_code(own, stage, facts).filter(|own| own.severity() == code.severity());
        code = known.unwrap_or(code);
        enhanced = own_enhanced(own, code, facts).unwrap_or(enhanced);
        if text.is_empty()
            && let Some(Piece::Fact { otherwise, .. }) = words.text.pieces.first()
        {
            text = otherwise.to_string();
        }
    }
    Refusal::or_local_fault(Reply::new(code, Some(enhanced), text, name))
}

/// The code that a filter wants, when it may stand at the stage.
fn own_code(own: &Own, stage: Stage, facts: &Facts) -> Option<ReplyCode> {
    let State::Known(Value::Number(code)) = facts.get(own.code) else { return None };
    let code = u16::try_from(*code).ok().and_then(ReplyCode::new)?;
    let stands = crate::replies::basic(code.value())
        .is_some_and(|basic| basic.refuses() && basic.stands_at(stage.of_session()));
    stands.then_some(code)
}

/// The enhanced code that a filter wants, when it is of the reply code's class.
fn own_enhanced(own: &Own, code: ReplyCode, facts: &Facts) -> Option<Enhanced> {
    let State::Known(Value::Text(text)) = facts.get(own.enhanced) else { return None };
    let mut numbers = text.split('.').map(str::parse::<u16>);
    let (Some(Ok(class)), Some(Ok(subject)), Some(Ok(detail)), None) =
        (numbers.next(), numbers.next(), numbers.next(), numbers.next())
    else {
        return None;
    };
    let fits = code.class().map(u16::from) == Some(class) && subject <= 999 && detail <= 999;
    fits.then(|| Enhanced::new(subject, detail))
}

fn effect(act: &Act, facts: &Facts) -> Effect {
    match act {
        Act::Tag(word) => Effect::Tag(Arc::clone(word)),
        Act::AddHeader { name, value } => {
            Effect::AddHeader { name: Arc::clone(name), value: Arc::from(header_value(&fill(value, facts))) }
        }
        Act::Prepend(slot) => prepended(facts.get(*slot)),
        Act::Quarantine => Effect::Quarantine,
        Act::Hold => Effect::Hold,
        Act::Redirect(address) => Effect::Redirect(Arc::clone(address)),
        Act::Discard => Effect::Discard,
        Act::Tarpit(wait) => Effect::Tarpit(*wait),
    }
}

/// The header field that stands in a filter's answer; one that is none is kept as words for the postmaster.
fn prepended(state: &State) -> Effect {
    let field = state.value().map(ToString::to_string).unwrap_or_default();
    let fits =
        |name: &str| (1..=76).contains(&name.len()) && name.bytes().all(|octet| (33..=126).contains(&octet));
    match field.split_once(':').filter(|(name, _)| fits(name)) {
        Some((name, value)) => {
            Effect::AddHeader { name: Arc::from(name), value: Arc::from(header_value(value.trim())) }
        }
        None => Effect::Tag(Arc::from("prepend-without-a-name")),
    }
}

/// A header field's value in one line: a client's words can't end the field.
fn header_value(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// The text with its facts; what could not be found out is `unknown`.
pub(crate) fn fill(template: &Template, facts: &Facts) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    for piece in &template.pieces {
        // Writing to a string cannot fail.
        let _ = match piece {
            Piece::Text(words) => text.write_str(words),
            Piece::Fact { slot, otherwise } => match facts.get(*slot) {
                State::Known(value) => write!(text, "{value}"),
                State::Missing => text.write_str(otherwise),
                State::Unsure(_) | State::NotAsked => text.write_str("unknown"),
            },
        };
    }
    text
}
