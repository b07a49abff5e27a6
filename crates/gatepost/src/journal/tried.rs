//! The rules of a stage that were tried, with what each saw and came to, as pages and JSON have them.

use policy::Policy;
use policy::decision::RuleId;
use policy::slot::Facts;
use policy::trace::Trace;
use policy::value::State;
use serde::Serialize;

/// A rule and where it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RulePlace {
    /// Its name.
    pub name: String,
    /// `file:line:column`.
    pub place: Option<String>,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// The rule.
    pub rule: RulePlace,
    /// `yes`, `no`, `unsure` or `not told`.
    pub outcome: &'static str,
    /// Whether it answered.
    pub answered: bool,
    /// Whether it only watches.
    pub observed: bool,
    /// Its condition.
    pub condition: String,
    /// What it does.
    pub does: String,
    /// The facts that it saw.
    pub facts: Vec<Seen>,
}

/// A fact that a rule saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Its name.
    pub name: String,
    /// What was known of it.
    pub state: String,
}

/// The rules that were tried, in order, on these facts.
#[must_use]
pub fn tried(policy: &Policy, trace: &Trace, facts: &Facts) -> Vec<Tried> {
    trace
        .steps
        .iter()
        .map(|step| {
            let info = policy.rules().get(usize::from(step.rule.0));
            let seen = step.facts.iter().map(|slot| Seen {
                name: policy.slots().get(slot.index()).map_or_else(String::new, |info| info.name.to_string()),
                state: shown(facts.get(*slot)),
            });
            Tried {
                rule: place(policy, step.rule),
                outcome: outcome(step.outcome),
                answered: step.decided,
                observed: info.is_some_and(|info| info.observe),
                condition: info.map_or_else(String::new, |info| info.condition.to_string()),
                does: info.map_or_else(String::new, |info| info.answer.to_string()),
                facts: seen.collect(),
            }
        })
        .collect()
}

/// What is known of a fact; no text and no value at all can be seen, too.
fn shown(state: &State) -> String {
    let text = state.to_string();
    if text.is_empty() { String::from("(empty)") } else { text }
}

/// What the rule would have done instead of the one that answered.
#[must_use]
pub fn instead(policy: &Policy, rule: RuleId) -> String {
    let info = policy.rules().get(usize::from(rule.0));
    let does = info.map_or_else(String::new, |info| info.answer.to_string());
    let RulePlace { name, place } = place(policy, rule);
    format!("{name} ({}) would have answered: {does}", place.unwrap_or_default())
}

/// The name of the rule.
#[must_use]
pub fn name_in(policy: &Policy, rule: RuleId) -> String {
    policy.rules().get(usize::from(rule.0)).map_or_else(String::new, |info| info.name.to_string())
}

/// The rule and where it stands.
#[must_use]
pub fn place(policy: &Policy, rule: RuleId) -> RulePlace {
    let info = policy.rules().get(usize::from(rule.0));
    let place = info.and_then(|info| {
        let file = policy.files().get(usize::from(info.span.file))?;
        let (line, column) = file.line_and_column(info.span.start);
        Some(format!("{}:{line}:{column}", file.name))
    });
    RulePlace { name: name_in(policy, rule), place }
}

const fn outcome(truth: policy::evaluate::Truth) -> &'static str {
    match truth {
        policy::evaluate::Truth::Yes => "yes",
        policy::evaluate::Truth::No => "no",
        policy::evaluate::Truth::Unsure => "unsure",
        policy::evaluate::Truth::NotTold => "not told",
    }
}
