//! What a replay counts.
//!
//! Invariant: sums of shares don't depend on how the work was shared.

use std::collections::BTreeMap;

use policy::stage::Stage;
use smtp::time::WallTime;

use super::super::again::Gap;
use super::outcome::Outcome;

/// Samples that are kept of a group.
const SAMPLES: usize = 3;

/// Sender domains that are counted by name in a group; what comes beyond is counted as others (ours).
const DOMAINS_MAX: usize = 100_000;

/// The name under which they are.
const OTHERS: &str = "(others)";

/// Changes that are alike.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// The stage at which the new policy decides.
    pub stage: Stage,
    /// What was answered.
    pub before: Outcome,
    /// The rule that did, or the catalogue's entry.
    pub rule_before: Option<String>,
    /// What would be.
    pub after: Outcome,
    /// The rule that would.
    pub rule_after: Option<String>,
}

/// How many changes are alike, and some of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Group {
    /// Decisions at the stage itself.
    pub decisions: u64,
    /// Recipients that were asked about, and would not be: an earlier stage refuses.
    pub recipients: u64,
    /// How many of both rest on facts that remember what this server did before.
    pub counterfactual: u64,
    /// By sender domain; `<>` is the null reverse-path.
    pub domains: BTreeMap<String, u64>,
    /// The first of them.
    pub samples: Vec<Sample>,
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    /// When it was decided.
    pub time: WallTime,
    /// The session.
    pub session: u64,
    /// The client.
    pub client: String,
    /// The reverse-path's mailbox.
    pub reverse_path: Option<String>,
    /// The recipient.
    pub recipient: Option<String>,
    /// The id in the reply that was given.
    pub id: Option<String>,
}

/// What a replay counts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Decisions that were looked at.
    pub decisions: u64,
    /// Those of them that are about recipients.
    pub recipients: u64,
    /// Decisions that stay.
    pub same: u64,
    /// Those of them that another rule gives.
    pub same_by_another_rule: u64,
    /// Decisions that are not reached, because an earlier stage refuses or no recipient is left. Recipients among them
    /// are counted in their groups, too.
    pub not_reached: u64,
    /// Decisions that cannot be told.
    pub untold: u64,
    /// Those of them that are about recipients.
    pub untold_recipients: u64,
    /// For want of which facts, and why: decisions each; one can want several.
    pub gaps: BTreeMap<(String, Gap), u64>,
    /// What changes.
    pub groups: BTreeMap<Key, Group>,
    /// Blocks, chunks and decisions that can't be read.
    pub unreadable: u64,
    /// Chunks whose policy isn't in the journal.
    pub without_policy: u64,
}

impl Summary {
    /// What changes in all: decisions, and recipients that are no longer reached.
    #[must_use]
    pub fn changed(&self) -> u64 {
        self.groups.values().map(|group| group.decisions + group.recipients).sum()
    }

    /// Adds another share's.
    pub fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.recipients += other.recipients;
        self.same += other.same;
        self.same_by_another_rule += other.same_by_another_rule;
        self.not_reached += other.not_reached;
        self.untold += other.untold;
        self.untold_recipients += other.untold_recipients;
        self.unreadable += other.unreadable;
        self.without_policy += other.without_policy;
        for (gap, count) in other.gaps {
            *self.gaps.entry(gap).or_default() += count;
        }
        for (key, group) in other.groups {
            self.groups.entry(key).or_default().add(group);
        }
    }
}

impl Group {
    pub(super) fn note(&mut self, domain: &str, sample: impl FnOnce() -> Sample, time: WallTime) {
        self.count_domain(domain, 1);
        if self.samples.len() < SAMPLES || self.samples.last().is_some_and(|last| time <= last.time) {
            self.samples.push(sample());
            self.trim();
        }
    }

    fn count_domain(&mut self, domain: &str, times: u64) {
        if let Some(count) = self.domains.get_mut(domain) {
            *count += times;
        } else {
            let domain = if self.domains.len() < DOMAINS_MAX { domain } else { OTHERS };
            *self.domains.entry(domain.to_owned()).or_default() += times;
        }
    }

    fn trim(&mut self) {
        self.samples.sort();
        self.samples.truncate(SAMPLES);
    }

    fn add(&mut self, other: Self) {
        self.decisions += other.decisions;
        self.recipients += other.recipients;
        self.counterfactual += other.counterfactual;
        for (domain, count) in other.domains {
            self.count_domain(&domain, count);
        }
        self.samples.extend(other.samples);
        self.trim();
    }
}
