//! The tests beside a policy: given facts, an expected verdict, and the trace when it is another.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::check::{Checked, beside};
use crate::decision::{Decision, Effect, RuleId, Step, Verdict};
use crate::diagnostic::Diagnostic;
use crate::evaluate::{self, Truth};
use crate::ordinary;
use crate::plan::Plan;
use crate::slot::{Facts, Origin, Slot, SlotInfo};
use crate::span::{SourceFile, Span};
use crate::stage::Stage;
use crate::trace;
use crate::value::{State, Value};

/// A test, checked.
#[derive(Debug, Clone)]
pub(crate) struct Trial {
    pub(crate) name: Arc<str>,
    pub(crate) span: Span,
    pub(crate) steps: Vec<TrialStep>,
}

/// A line of a test.
#[derive(Debug, Clone)]
pub(crate) enum TrialStep {
    /// A fact, by number and by name: it may be one that no rule asks for.
    Fact(Slot, Arc<str>, State),
    Expect(Expected),
}

/// What is expected of a stage.
#[derive(Debug, Clone)]
pub(crate) struct Expected {
    pub(crate) stage: Stage,
    pub(crate) wanted: Wanted,
    pub(crate) code: Option<u32>,
    pub(crate) enhanced: Option<[u32; 3]>,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) span: Span,
}

/// A verdict or an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    Accept,
    Relay,
    Reject,
    Defer,
    Disconnect,
    Tag,
    Header,
    Quarantine,
    Hold,
    Redirect,
    Discard,
    Tarpit,
}

impl Wanted {
    const ALL: [(&'static str, Self); 12] = [
        ("accept", Self::Accept),
        ("relay", Self::Relay),
        ("reject", Self::Reject),
        ("defer", Self::Defer),
        ("disconnect", Self::Disconnect),
        ("tag", Self::Tag),
        ("header", Self::Header),
        ("quarantine", Self::Quarantine),
        ("hold", Self::Hold),
        ("redirect", Self::Redirect),
        ("discard", Self::Discard),
        ("tarpit", Self::Tarpit),
    ];

    pub(crate) fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(name, _)| *name == word).map(|(_, wanted)| wanted)
    }

    fn word(self) -> &'static str {
        Self::ALL.into_iter().find(|(_, wanted)| *wanted == self).map_or("", |(name, _)| name)
    }

    const fn of(effect: &Effect) -> Self {
        match effect {
            Effect::Tag(_) => Self::Tag,
            Effect::AddHeader { .. } => Self::Header,
            Effect::Quarantine => Self::Quarantine,
            Effect::Hold => Self::Hold,
            Effect::Redirect(_) => Self::Redirect,
            Effect::Discard => Self::Discard,
            Effect::Tarpit(_) => Self::Tarpit,
        }
    }
}

/// How a test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestResult {
    /// Its name.
    pub name: Arc<str>,
    /// Where it stands.
    pub span: Span,
    /// Whether every expectation was met.
    pub passed: bool,
    /// What was wanted, what came of it, and what each rule saw; empty when it passed.
    pub report: String,
}

/// An expectation that was not met.
struct Failure {
    span: Span,
    wanted: String,
    got: String,
    trace: String,
}

/// Runs the tests: how each went, and the finding of one that failed.
pub(crate) fn run(policy: &Checked, files: &[SourceFile]) -> Vec<(TestResult, Option<Diagnostic>)> {
    policy
        .trials
        .iter()
        .map(|trial| {
            let failure = failure(policy, trial, files);
            let finding = failure.as_ref().map(|failure| failure.finding(trial));
            let result = TestResult {
                name: Arc::clone(&trial.name),
                span: trial.span,
                passed: failure.is_none(),
                report: failure.map_or_else(String::new, |failure| failure.report()),
            };
            (result, finding)
        })
        .collect()
}

impl Failure {
    fn report(&self) -> String {
        format!("    wanted {}\n    got    {}\n{}", self.wanted, self.got, self.trace)
    }

    fn finding(&self, trial: &Trial) -> Diagnostic {
        let title = format!("the test \"{}\" fails", trial.name);
        let label = format!("wanted {}, got {}", self.wanted, self.got);
        Diagnostic::error(title, self.span, label).help(format!("what was tried:\n{}", self.trace.trim_end()))
    }
}

/// A fact that a test says.
type Said = (Slot, Arc<str>, State);

/// The first expectation of the test that is not met.
fn failure(policy: &Checked, trial: &Trial, files: &[SourceFile]) -> Option<Failure> {
    let mut said: Vec<Said> = Vec::new();
    for step in &trial.steps {
        match step {
            TrialStep::Fact(slot, name, state) => {
                said.retain(|(known, ..)| known != slot);
                said.push((*slot, Arc::clone(name), state.clone()));
            }
            TrialStep::Expect(expected) => {
                let facts = facts(&policy.slots, &said);
                let got = decide(&policy.plan, expected.stage, &facts);
                if let Some(got) = mismatch(policy, expected, &got) {
                    let trace = shown_trace(policy, expected.stage, &facts, files);
                    return Some(Failure { span: expected.span, wanted: wanted(expected), got, trace });
                }
            }
        }
    }
    None
}

/// The facts of a test: those of an ordinary session, those that follow from what it says, and what it says.
fn facts(slots: &[SlotInfo], said: &[Said]) -> Facts {
    let mut facts = Facts::new(slots.len());
    let told = |name: &str| said.iter().find(|(_, known, _)| **known == *name).map(|(.., state)| state);
    for (index, info) in slots.iter().enumerate() {
        let Ok(slot) = u16::try_from(index).map(Slot) else { continue };
        let state = match &info.origin {
            Origin::Builtin(fact) => derived(fact.name, told).or_else(|| ordinary::state(fact.name)),
            Origin::Source(source, field) => {
                let of_source = |slot: &Slot| {
                    let info = slots.get(slot.index());
                    info.is_some_and(|info| matches!(info.origin, Origin::Source(same, _) if same == *source))
                };
                said.iter().any(|(slot, ..)| of_source(slot)).then(|| beside(*field)).flatten()
            }
            Origin::Argument(..) => None,
        };
        if let Some(state) = state {
            facts.set(slot, state);
        }
    }
    for (slot, _, state) in said {
        facts.set(*slot, state.clone());
    }
    facts
}

/// What follows from an address that a test gives: its parts.
fn derived<'a>(name: &str, told: impl Fn(&str) -> Option<&'a State>) -> Option<State> {
    let (whose, part) = name.split_once('.')?;
    if !matches!(whose, "sender" | "recipient") || !matches!(part, "local" | "domain" | "null") {
        return None;
    }
    let State::Known(Value::Text(address)) = told(&format!("{whose}.address"))? else { return None };
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    match (whose, part) {
        (_, "local") => Some(State::text(local)),
        (_, "domain") => Some(State::text(domain)),
        ("sender", "null") => Some(State::yes_or_no(address.is_empty())),
        _ => None,
    }
}

/// The order of a stage without the observed rules that the facts leave open: a test need not say what is only watched.
fn order(plan: &Plan, stage: Stage, facts: &Facts) -> Vec<RuleId> {
    let open = |id: &RuleId| {
        plan.rule(*id)
            .is_some_and(|rule| rule.observe && evaluate::truth(&rule.condition, facts) == Truth::NotTold)
    };
    plan.rules_at(stage).iter().copied().filter(|id| !open(id)).collect()
}

fn decide(plan: &Plan, stage: Stage, facts: &Facts) -> Step {
    evaluate::decide(plan, (stage, &order(plan, stage, facts)), facts, &mut ())
}

fn wanted(expected: &Expected) -> String {
    let mut words = expected.wanted.word().to_owned();
    if let Some(code) = expected.code {
        let _ = write!(words, " {code}");
    }
    if let Some([class, subject, detail]) = expected.enhanced {
        let _ = write!(words, " {class}.{subject}.{detail}");
    }
    if let Some(rule) = &expected.rule {
        let _ = write!(words, " by {rule}");
    }
    words
}

/// What came of the stage when it is not what was expected.
fn mismatch(policy: &Checked, expected: &Expected, got: &Step) -> Option<String> {
    let decision = match got {
        Step::Decided(decision) => decision,
        Step::Need(need) => {
            let names: Vec<String> = need
                .now
                .iter()
                .filter_map(|slot| policy.slots.get(slot.index()))
                .map(|info| format!("`{}`", info.name))
                .collect();
            return Some(format!("no verdict: the test does not say {}", names.join(", ")));
        }
    };
    let is_rule = |id: Option<RuleId>| match (&expected.rule, id.and_then(|id| policy.plan.rule(id))) {
        (None, _) => true,
        (Some(name), Some(rule)) => *rule.name == **name,
        (Some(_), None) => false,
    };
    let met = match expected.wanted {
        Wanted::Accept => matches!(decision.verdict, Verdict::Accept { .. }) && is_rule(decision.rule),
        Wanted::Relay => decision.verdict == Verdict::Accept { relay: true } && is_rule(decision.rule),
        Wanted::Reject | Wanted::Defer | Wanted::Disconnect => {
            refused_as(expected, &decision.verdict) && is_rule(decision.rule)
        }
        effect => {
            decision.effects.iter().any(|(id, found)| Wanted::of(found) == effect && is_rule(Some(*id)))
        }
    };
    (!met).then(|| described(policy, decision))
}

fn refused_as(expected: &Expected, verdict: &Verdict) -> bool {
    let (refusal, closes) = match verdict {
        Verdict::Accept { .. } => return false,
        Verdict::Refuse(refusal) => (refusal, false),
        Verdict::Disconnect(refusal) => (refusal, true),
    };
    let reply = refusal.reply();
    let kind = match expected.wanted {
        Wanted::Disconnect => closes,
        Wanted::Reject => !closes && reply.code().class() == Some(5),
        _ => !closes && reply.code().class() == Some(4),
    };
    let enhanced = reply
        .enhanced()
        .zip(reply.code().class())
        .map(|(enhanced, class)| [u32::from(class), u32::from(enhanced.subject), u32::from(enhanced.detail)]);
    kind && expected.code.is_none_or(|code| code == u32::from(reply.code().value()))
        && expected.enhanced.is_none_or(|wanted| enhanced == Some(wanted))
}

/// A decision in words: `reject 550 5.1.1 by no-such-mailbox, tag by friends`.
pub(crate) fn described(policy: &Checked, decision: &Decision) -> String {
    let codes = |refusal: &smtp::reply::Refusal| {
        let reply = refusal.reply();
        let mut words = reply.code().to_string();
        if let (Some(enhanced), Some(class)) = (reply.enhanced(), reply.code().class()) {
            let _ = write!(words, " {class}.{}.{}", enhanced.subject, enhanced.detail);
        }
        words
    };
    let mut words = match &decision.verdict {
        Verdict::Accept { relay: true } => "relay".to_owned(),
        Verdict::Accept { relay: false } => "accept".to_owned(),
        Verdict::Refuse(refusal) if refusal.reply().code().class() == Some(4) => {
            format!("defer {}", codes(refusal))
        }
        Verdict::Refuse(refusal) => format!("reject {}", codes(refusal)),
        Verdict::Disconnect(refusal) => format!("disconnect {}", codes(refusal)),
    };
    if let Some(rule) = decision.rule.and_then(|rule| policy.plan.rule(rule)) {
        let _ = write!(words, " by {}", rule.name);
    }
    for (id, effect) in &decision.effects {
        let rule = policy.plan.rule(*id).map_or("", |rule| &rule.name);
        let _ = write!(words, ", {} by {rule}", Wanted::of(effect).word());
    }
    words
}

/// What each rule came to and which facts it saw, a line each.
fn shown_trace(policy: &Checked, stage: Stage, facts: &Facts, files: &[SourceFile]) -> String {
    let order = order(&policy.plan, stage, facts);
    let traced = trace::trace(&policy.plan, (stage, &order), facts);
    let mut text = String::new();
    for step in &traced.steps {
        let Some(info) = policy.infos.get(usize::from(step.rule.0)) else { continue };
        let place = files.get(usize::from(info.span.file)).map_or_else(String::new, |file| {
            if info.fixed { "fixed".to_owned() } else { file.line_and_column(info.span.start).0.to_string() }
        });
        let outcome = match step.outcome {
            Truth::No => "no",
            Truth::Yes => "YES",
            Truth::Unsure => "unsure",
            Truth::NotTold => "not told",
        };
        let seen: Vec<String> = step
            .facts
            .iter()
            .filter_map(|slot| {
                policy.slots.get(slot.index()).map(|info| format!("{} = {}", info.name, facts.get(*slot)))
            })
            .collect();
        let _ = writeln!(text, "{place:>7}  {:<24} {outcome:<8} {}", info.name, seen.join("; "));
    }
    if let Some(Decision { verdict: Verdict::Refuse(refusal) | Verdict::Disconnect(refusal), .. }) =
        &traced.decision
    {
        let _ = writeln!(text, "         -> {}", refusal.reply());
    }
    text
}
