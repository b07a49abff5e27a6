//! Goes through the decisions of one session by another policy.
//!
//! Invariants: a stage that comes later is reached only when the policy passes every stage before it; a decision that
//! hangs on one that cannot be told cannot be told either.

use std::sync::Arc;

use policy::Policy;
use policy::decision::{Decision, RuleId, Step};
use policy::slot::{Facts, Slot};
use policy::stage::Stage;
use policy::value::State;

use super::super::again::{Gap, Translation};
use super::super::record::{Entry, Head, Point};
use super::basics::{Basics, take_back};
use super::outcome::Outcome;
use super::summary::{Key, Sample, Summary};

/// How a session fares by the policy, as far as it was looked at.
#[derive(Debug, Clone, Default)]
pub(super) struct Walk {
    connect: Way,
    helo: Way,
    auth: Way,
    mail: Way,
    recipients: Recipients,
}

/// Whether what comes behind a stage is reached.
#[derive(Debug, Clone, Default)]
enum Way {
    /// The stage was not looked at.
    #[default]
    Unseen,
    Open,
    /// Refused, by that rule.
    Closed(Closed),
    /// It cannot be told, for want of these facts.
    Untold(Vec<(Slot, Gap)>),
}

#[derive(Debug, Clone)]
struct Closed {
    stage: Stage,
    outcome: Outcome,
    rule: Option<RuleId>,
    counterfactual: bool,
}

/// The recipients of a transaction.
#[derive(Debug, Clone, Copy, Default)]
struct Recipients {
    accepted: u32,
    refused: u32,
    untold: u32,
}

impl Walk {
    /// Goes on with a chunk of the session.
    pub(super) fn begin<'w>(
        &'w mut self,
        policy: &'w Policy,
        head: &'w Head,
        translation: &'w Translation,
        rules: &'w [Arc<str>],
    ) -> Pass<'w> {
        let facts = Facts::new(policy.slots().len());
        let basics = Basics::of(policy, translation);
        Pass {
            walk: self,
            policy,
            head,
            translation,
            rules,
            facts,
            masked: Vec::new(),
            basics,
            filled: Vec::new(),
        }
    }

    /// Whether it must be remembered once the transaction is over: something was not simply passed.
    pub(super) fn holds_back(&self) -> bool {
        [&self.connect, &self.helo, &self.auth]
            .iter()
            .any(|way| matches!(way, Way::Closed(_) | Way::Untold(_)))
    }

    fn way(&mut self, stage: Stage) -> Option<&mut Way> {
        match stage {
            Stage::Connect => Some(&mut self.connect),
            Stage::Helo => Some(&mut self.helo),
            Stage::Auth => Some(&mut self.auth),
            Stage::Mail => Some(&mut self.mail),
            _ => None,
        }
    }
}

/// The way through one chunk.
pub(super) struct Pass<'w> {
    walk: &'w mut Walk,
    policy: &'w Policy,
    head: &'w Head,
    translation: &'w Translation,
    rules: &'w [Arc<str>],
    facts: Facts,
    masked: Vec<Slot>,
    basics: Basics,
    /// Facts that `basics` set for the decision at hand.
    filled: Vec<Slot>,
}

impl Pass<'_> {
    /// Looks at a recorded decision, and counts it when it is to be counted.
    pub(super) fn entry(&mut self, entry: &Entry<'_>, counts: bool, summary: &mut Summary) {
        let Point::Stage(stage) = entry.point else { return };
        self.know(entry);
        if stage == Stage::Helo || stage == Stage::Mail {
            // A new EHLO ends the transaction, a new MAIL begins one.
            self.walk.mail = Way::Unseen;
            self.walk.recipients = Recipients::default();
        }
        let blocked = self.way_to(stage);
        let mut fresh = Summary::default();
        let counted = if counts { summary } else { &mut fresh };
        counted.decisions += 1;
        counted.recipients += u64::from(stage == Stage::Recipient);
        match blocked {
            Way::Closed(closed) => self.not_reached(stage, entry, &closed, counted),
            Way::Untold(gaps) => self.untold(stage, &gaps, counted),
            Way::Open | Way::Unseen => self.decide(stage, entry, counted),
        }
    }

    /// Brings the facts up to date.
    fn know(&mut self, entry: &Entry<'_>) {
        take_back(&mut self.facts, &mut self.filled);
        self.translation.apply(entry.facts, &mut self.facts, &mut self.masked);
        if !self.head.masked {
            self.basics.fill(&mut self.facts, &mut self.filled, (self.head, entry));
        }
    }

    /// Whether the policy lets the session come to `stage`.
    fn way_to(&mut self, stage: Stage) -> Way {
        for before in [Stage::Connect, Stage::Helo, Stage::Auth, Stage::Mail] {
            let comes_before = before != stage && before.reaches(stage);
            if !comes_before || (before == Stage::Auth && matches!(self.walk.auth, Way::Unseen)) {
                continue;
            }
            // What could not be told then may be told by what became known since.
            if matches!(self.walk.way(before), Some(Way::Unseen | Way::Untold(_))) {
                let way = self.look(before);
                if let Some(place) = self.walk.way(before) {
                    *place = way;
                }
            }
            if let Some(way @ (Way::Closed(_) | Way::Untold(_))) = self.walk.way(before) {
                return way.clone();
            }
        }
        let Recipients { accepted, refused, untold } = self.walk.recipients;
        if matches!(stage, Stage::Data | Stage::Message) && accepted == 0 {
            if untold > 0 {
                return Way::Untold(Vec::new());
            }
            if refused > 0 {
                let (outcome, rule) = (Outcome::PASSED, None);
                return Way::Closed(Closed { stage: Stage::Recipient, outcome, rule, counterfactual: false });
            }
        }
        Way::Open
    }

    /// What the policy makes of a stage that was passed and isn't in the record at hand.
    fn look(&self, stage: Stage) -> Way {
        match self.policy.step(stage, &self.facts) {
            Step::Decided(decision) => self.way_of(stage, &decision),
            Step::Need(need) => Way::Untold(self.gaps(&need.now)),
        }
    }

    fn way_of(&self, stage: Stage, decision: &Decision) -> Way {
        let outcome = Outcome::decided(decision);
        if !outcome.refuses() {
            return Way::Open;
        }
        let counterfactual = self.remembers(stage);
        Way::Closed(Closed { stage, outcome, rule: decision.rule, counterfactual })
    }

    fn gaps(&self, slots: &[Slot]) -> Vec<(Slot, Gap)> {
        slots.iter().map(|slot| (*slot, self.translation.gap(*slot, &self.masked))).collect()
    }

    /// Whether the decision of the stage looked at a fact that depends on what the server did before.
    fn remembers(&self, stage: Stage) -> bool {
        let trace = self.policy.trace(stage, &self.facts);
        let mut looked_at = trace.steps.iter().flat_map(|step| &step.facts);
        looked_at.any(|slot| {
            let remembers = self.policy.slots().get(slot.index()).is_some_and(|info| info.remembers);
            remembers && *self.facts.get(*slot) != State::NotAsked
        })
    }

    fn decide(&mut self, stage: Stage, entry: &Entry<'_>, summary: &mut Summary) {
        let decision = match self.policy.step(stage, &self.facts) {
            Step::Decided(decision) => decision,
            Step::Need(need) => {
                let gaps = self.gaps(&need.now);
                return self.untold(stage, &gaps, summary);
            }
        };
        let after = Outcome::decided(&decision);
        if stage == Stage::Recipient {
            let recipients = &mut self.walk.recipients;
            *if after.refuses() { &mut recipients.refused } else { &mut recipients.accepted } += 1;
        }
        let way = self.way_of(stage, &decision);
        if after.closes() {
            // Nothing of the session is reached any more.
            self.walk.connect = way;
        } else if let Some(place) = self.walk.way(stage) {
            *place = way;
        }
        let before = Outcome::recorded(entry);
        let rule_before = self.rule_before(entry);
        let rule_after = self.rule_name(decision.rule);
        if before == after {
            summary.same += 1;
            summary.same_by_another_rule += u64::from(rule_before != rule_after);
            return;
        }
        let key = Key { stage, before, rule_before, after, rule_after };
        let counterfactual = self.remembers(stage);
        let group = summary.groups.entry(key).or_default();
        group.decisions += 1;
        group.counterfactual += u64::from(counterfactual);
        group.note(domain_of(entry), || self.sample(entry), entry.time);
    }

    fn not_reached(&self, stage: Stage, entry: &Entry<'_>, closed: &Closed, summary: &mut Summary) {
        summary.not_reached += 1;
        if stage != Stage::Recipient {
            return;
        }
        let key = Key {
            stage: closed.stage,
            before: Outcome::recorded(entry),
            rule_before: self.rule_before(entry),
            after: closed.outcome.clone(),
            rule_after: self.rule_name(closed.rule),
        };
        let group = summary.groups.entry(key).or_default();
        group.recipients += 1;
        group.counterfactual += u64::from(closed.counterfactual);
        group.note(domain_of(entry), || self.sample(entry), entry.time);
    }

    fn untold(&mut self, stage: Stage, gaps: &[(Slot, Gap)], summary: &mut Summary) {
        summary.untold += 1;
        if stage == Stage::Recipient {
            summary.untold_recipients += 1;
            self.walk.recipients.untold += 1;
        }
        for (slot, gap) in gaps {
            let name =
                self.policy.slots().get(slot.index()).map_or_else(String::new, |info| info.name.to_string());
            *summary.gaps.entry((name, *gap)).or_default() += 1;
        }
        if let Some(place) = self.walk.way(stage)
            && matches!(place, Way::Unseen)
        {
            *place = Way::Untold(gaps.to_vec());
        }
    }

    fn rule_before(&self, entry: &Entry<'_>) -> Option<String> {
        let named =
            entry.rule.and_then(|rule| self.rules.get(usize::from(rule.0))).map(|name| name.to_string());
        named.or_else(|| entry.answer.words().map(|words| words.name.to_owned()))
    }

    fn rule_name(&self, rule: Option<RuleId>) -> Option<String> {
        let rule = rule.and_then(|rule| self.policy.rules().get(usize::from(rule.0)));
        rule.map(|rule| rule.name.to_string())
    }

    fn sample(&self, entry: &Entry<'_>) -> Sample {
        Sample {
            time: entry.time,
            session: self.head.session,
            client: self.head.client.ip().to_string(),
            reverse_path: entry.reverse_path.map(str::to_owned),
            recipient: entry.recipient.map(str::to_owned),
            id: entry.id.map(|id| id.to_string()),
        }
    }
}

/// The domain of the reverse-path; `<>` for the null reverse-path, `-` before there is one.
fn domain_of<'a>(entry: &Entry<'a>) -> &'a str {
    match entry.reverse_path {
        None => "-",
        Some("") => "<>",
        Some(mailbox) => mailbox.rsplit_once('@').map_or(mailbox, |(_, domain)| domain),
    }
}
