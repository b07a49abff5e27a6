//! The trace: what each rule of a stage came to, which facts it saw, and what would have happened next.

use crate::decision::{Decision, Need, RuleId, Step};
use crate::evaluate::{self, Truth, Watch};
use crate::plan::{Answer, Plan};
use crate::slot::{Facts, Slot};
use crate::stage::Stage;

/// How a stage was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// The rules that were tried, in order.
    pub steps: Vec<TraceStep>,
    /// The decision; `None` when facts are not told.
    pub decision: Option<Decision>,
    /// The facts without which nothing is decided, when there is no decision.
    pub need: Need,
    /// The next rule that would have answered had the deciding one not been there.
    pub then: Option<RuleId>,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceStep {
    /// The rule.
    pub rule: RuleId,
    /// What its condition came to; [`Truth::NotTold`] too when a fact that its text prints is not told.
    pub outcome: Truth,
    /// The facts that it looked at, in the order of its text.
    pub facts: Vec<Slot>,
    /// Whether the decision is its.
    pub decided: bool,
}

struct Recorder<'a> {
    plan: &'a Plan,
    steps: Vec<TraceStep>,
}

impl Watch for Recorder<'_> {
    fn tried(&mut self, id: RuleId, outcome: Truth, _: bool) {
        let facts = self.plan.rule(id).map_or_else(Vec::new, |rule| {
            if outcome == Truth::NotTold { rule.slots().collect() } else { rule.tested.to_vec() }
        });
        self.steps.push(TraceStep { rule: id, outcome, facts, decided: false });
    }
}

/// Decides `stage` as [`evaluate::decide`] does, and keeps what each rule came to.
pub(crate) fn trace(plan: &Plan, (stage, order): (Stage, &[RuleId]), facts: &Facts) -> Trace {
    let mut recorder = Recorder { plan, steps: Vec::new() };
    let (decision, need) = match evaluate::decide(plan, (stage, order), facts, &mut recorder) {
        Step::Decided(decision) => (Some(decision), Need::default()),
        Step::Need(need) => (None, need),
    };
    let mut steps = recorder.steps;
    let by = decision.as_ref().and_then(|decision| decision.rule);
    for step in &mut steps {
        step.decided = Some(step.rule) == by;
    }
    let then = by.and_then(|rule| next(plan, order, rule, facts));
    Trace { steps, decision, need, then }
}

/// The first rule behind `decided` that would answer by itself.
fn next(plan: &Plan, order: &[RuleId], decided: RuleId, facts: &Facts) -> Option<RuleId> {
    let relay_is_open =
        plan.rule(decided).is_some_and(|rule| matches!(rule.answer, Some(Answer::Accept { relay: true })));
    let behind = order.iter().skip_while(|id| **id != decided).skip(1);
    behind.copied().find(|id| {
        plan.rule(*id).is_some_and(|rule| {
            let answers = match evaluate::truth(&rule.condition, facts) {
                Truth::Yes => rule.answer.is_some(),
                Truth::Unsure => rule.unsure.is_some(),
                Truth::No | Truth::NotTold => false,
            };
            answers && !rule.observe && !(relay_is_open && rule.denies_relaying)
        })
    })
}
