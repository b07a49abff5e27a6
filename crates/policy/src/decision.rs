//! What a policy decides: an answer or none, what to do beside it, and which rule said so.

use std::sync::Arc;
use std::time::Duration;

use smtp::reply::Refusal;

use crate::slot::Slot;

/// A rule of one policy: its place in `Policy::rules`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(pub u16);

/// What came of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The answer.
    pub verdict: Verdict,
    /// The rule that gave it; `None` when none answered and the stage is accepted for that.
    pub rule: Option<RuleId>,
    /// Whether its `unsure` arm gave it.
    pub by_unsure_arm: bool,
    /// What to do beside, in the order of the rules.
    pub effects: Vec<(RuleId, Effect)>,
    /// The observed rules that would have answered or acted, in order.
    pub observed: Vec<RuleId>,
    /// The rules that were passed over because they could not be told, in order.
    pub passed_over: Vec<RuleId>,
}

/// The answer of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The stage is passed.
    Accept {
        /// Whether a rule said `accept relay`: only this opens relaying.
        relay: bool,
    },
    /// Refused, for good or for now.
    Refuse(Refusal),
    /// Refused, and the connection closed.
    Disconnect(Refusal),
}

/// What to do with a message or its sender besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Remember a word: it stands in the log and the journal.
    Tag(Arc<str>),
    /// Add a header field.
    AddHeader {
        /// Its name.
        name: Arc<str>,
        /// Its value, placeholders filled.
        value: Arc<str>,
    },
    /// Put the message into the quarantine instead of delivering it.
    Quarantine,
    /// Keep the message in the queue until it is released.
    Hold,
    /// Deliver to this address instead.
    Redirect(Arc<str>),
    /// Accept the message and throw it away.
    Discard,
    /// Wait before the reply.
    Tarpit(Duration),
}

/// What a step of the evaluation gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The stage is decided.
    Decided(Decision),
    /// Facts are needed first: ask for `now`, start `soon`, and call again.
    Need(Need),
}

/// The facts that are needed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Need {
    /// Without these nothing is decided.
    pub now: Vec<Slot>,
    /// These may be needed later in the stage; never one of `now`.
    pub soon: Vec<Slot>,
}
