//! Why a decision was what it was: the rules of the policy of the time, tried once more on the facts of the time.
//!
//! Invariants: what is shown as the answer is what was recorded; what the rules come to is said only by the policy that
//! decided, loaded from its stored text; where that can't be had, it says so and shows what is recorded.

use policy::Policy;
use policy::decision::RuleId;
use policy::slot::Facts;
use policy::stage::Stage;
use serde::Serialize;
use smtp::catalogue;

use super::again::Translation;
use super::day::show_time;
use super::effects::in_words;
use super::record::{Answer, Chunk, Entry, Point};
use super::texts::PolicyText;
pub use super::tried::{RulePlace, Seen, Tried};
use super::tried::{instead, name_in, place, tried};

/// One decision and how it came about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// When.
    pub time: String,
    /// The stage, `command` or `stored`.
    pub stage: &'static str,
    /// Who was asked about.
    pub client: String,
    /// The client's port; of a masked record none.
    pub port: Option<u16>,
    /// Where it connected.
    pub listener: String,
    /// When the session began.
    pub connected: String,
    /// The EHLO name.
    pub helo: Option<String>,
    /// The reverse-path's mailbox; empty for the null reverse-path.
    pub reverse_path: Option<String>,
    /// The recipient.
    pub recipient: Option<String>,
    /// Whether addresses are masked.
    pub masked: bool,
    /// The reply, or `accept`.
    pub answer: String,
    /// The id in the reply.
    pub id: Option<String>,
    /// The queue id of a message that became durable.
    pub queue_id: Option<String>,
    /// The rule that answered.
    pub rule: Option<RulePlace>,
    /// Whether its `unsure` arm did.
    pub by_unsure_arm: bool,
    /// The catalogue's entry, for a refusal that is one of its.
    pub catalogue: Option<CatalogueEntry>,
    /// What was done beside.
    pub effects: Vec<String>,
    /// Rules that only watched and would have answered.
    pub observed: Vec<String>,
    /// Rules that could not be told.
    pub unsure: Vec<String>,
    /// The last of the dialogue.
    pub dialogue: Vec<String>,
    /// The rules of the stage, in order.
    pub tried: Vec<Tried>,
    /// What would have happened without the rule that answered.
    pub then: Option<String>,
    /// What keeps the explanation from being whole.
    pub notes: Vec<String>,
}

/// What the catalogue says of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CatalogueEntry {
    /// Its name.
    pub name: &'static str,
    /// When it is given.
    pub condition: &'static str,
    /// Where the RFCs describe that.
    pub section: &'static str,
}

/// A policy that decided, and whether it can decide once more.
pub struct Decider {
    text: Option<PolicyText>,
    policy: Result<Policy, String>,
    translation: Option<Translation>,
}

impl std::fmt::Debug for Decider {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Decider").field("policy", &self.policy.as_ref().err()).finish_non_exhaustive()
    }
}

impl Decider {
    /// The policy of a stored text; `None` when the journal doesn't have it.
    #[must_use]
    pub fn new(text: Option<PolicyText>) -> Self {
        let policy = match &text {
            Some(text) => text.load(),
            None => Err(String::from("the journal doesn't have it")),
        };
        let translation = match (&text, &policy) {
            (Some(text), Ok(policy)) => Some(Translation::to_itself(text, policy)),
            _ => None,
        };
        Self { text, policy, translation }
    }

    /// Explains the decision with that number in the chunk.
    #[must_use]
    pub fn explain(&self, chunk: &Chunk<'_>, number: usize) -> Option<Explanation> {
        let mut facts = Facts::new(self.policy.as_ref().map_or(0, |policy| policy.slots().len()));
        let mut masked = Vec::new();
        for (place, entry) in chunk.entries().flatten().enumerate() {
            if let Some(translation) = &self.translation {
                translation.apply(entry.facts, &mut facts, &mut masked);
            }
            if place == number {
                return Some(self.at(chunk, &entry, &facts));
            }
        }
        None
    }

    fn at(&self, chunk: &Chunk<'_>, entry: &Entry<'_>, facts: &Facts) -> Explanation {
        let head = &chunk.head;
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let names = |rules: &[RuleId]| rules.iter().map(|rule| self.name(*rule)).collect();
        let mut explanation = Explanation {
            time: show_time(entry.time),
            stage: entry.point.name(),
            client: head.client.ip().to_string(),
            port: (!head.masked).then_some(head.client.port()),
            listener: head.listener.to_string(),
            connected: show_time(head.started),
            helo: owned(entry.helo),
            reverse_path: owned(entry.reverse_path),
            recipient: owned(entry.recipient),
            masked: head.masked,
            answer: answer(&entry.answer),
            id: entry.id.map(|id| id.to_string()),
            queue_id: entry.queue_id.map(|id| id.to_string()),
            rule: entry.rule.map(|rule| self.place(rule)),
            by_unsure_arm: entry.by_unsure_arm,
            catalogue: entry.answer.words().and_then(|words| catalogue::named(words.name)).map(|entry| {
                CatalogueEntry { name: entry.name, condition: entry.condition, section: entry.section }
            }),
            effects: entry
                .effects
                .iter()
                .map(|(rule, effect)| format!("{} ({})", in_words(effect), self.name(*rule)))
                .collect(),
            observed: names(&entry.observed),
            unsure: names(&entry.passed_over),
            dialogue: entry.dialogue.map_or_else(Vec::new, |octets| {
                String::from_utf8_lossy(octets).lines().map(str::to_owned).collect()
            }),
            tried: Vec::new(),
            then: None,
            notes: Vec::new(),
        };
        if let Point::Stage(stage) = entry.point {
            self.retrace(stage, entry, facts, &mut explanation);
        }
        explanation
    }

    /// Tries the rules of the stage once more.
    fn retrace(&self, stage: Stage, entry: &Entry<'_>, facts: &Facts, explanation: &mut Explanation) {
        let policy = match &self.policy {
            Ok(policy) => policy,
            Err(why) => {
                explanation.notes.push(format!("the policy that decided can't be tried again: {why}"));
                return;
            }
        };
        if self.text.as_ref().is_some_and(|text| text.fingerprint != policy.fingerprint()) {
            let note = "the built-in policy of this version differs from the one that decided";
            explanation.notes.push(note.to_owned());
        }
        let trace = policy.trace(stage, facts);
        explanation.tried = tried(policy, &trace, facts);
        match &trace.decision {
            None => explanation.notes.push(String::from("not every fact that decided was recorded")),
            Some(decision)
                if decision.rule.map(|rule| name_in(policy, rule))
                    != entry.rule.map(|rule| self.name(rule)) =>
            {
                explanation.notes.push(String::from(
                    "tried again, another rule answers: what was recorded is the answer above",
                ));
            }
            Some(_) => {}
        }
        explanation.then = match trace.then {
            Some(rule) => Some(instead(policy, rule)),
            None if entry.answer.words().is_some() && trace.decision.is_some() => {
                Some(String::from("no other rule would have answered: the stage would have been passed"))
            }
            None => None,
        };
    }

    fn name(&self, rule: RuleId) -> String {
        let name = self.text.as_ref().and_then(|text| text.rule(rule.0));
        name.map_or_else(|| format!("rule {}", rule.0), |name| name.to_string())
    }

    /// The rule with its place in the policy, when that is loaded.
    fn place(&self, rule: RuleId) -> RulePlace {
        let name = self.name(rule);
        let found = self.policy.as_ref().ok().and_then(|policy| {
            let number = policy.rules().iter().position(|info| *info.name == *name)?;
            place(policy, RuleId(u16::try_from(number).ok()?)).place
        });
        RulePlace { name, place: found }
    }
}

fn answer(answer: &Answer<'_>) -> String {
    match answer {
        Answer::Accept { relay: false } => String::from("accept"),
        Answer::Accept { relay: true } => String::from("accept relay"),
        Answer::Refuse(words) => format!("{} {}", words.codes(), words.text.replace('\n', " / ")),
        Answer::Disconnect(words) => {
            format!("{} {} (and closed)", words.codes(), words.text.replace('\n', " / "))
        }
    }
}
