//! A policy as it is evaluated: rules in the order of their stages, conditions over numbered facts.
//!
//! Invariants: every slot is one of the policy's; a negation stands in [`Condition::Not`] or, inside a quantifier, in
//! [`Values`]; texts to compare with are in lower case.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;
use smtp::reply::{Enhanced, ReplyCode};

use crate::decision::RuleId;
use crate::pattern::Pattern;
use crate::sets::{NameSet, NetworkSet, PatternSet};
use crate::slot::Slot;
use crate::span::Span;
use crate::stage::Stage;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// It holds always.
    Always,
    /// All hold.
    All(Arc<[Self]>),
    /// One holds at least.
    Any(Arc<[Self]>),
    /// It does not hold.
    Not(Arc<Self>),
    /// A single test.
    Test(Test),
}

/// A single test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Test {
    pub(crate) slot: Slot,
    pub(crate) values: Values,
    pub(crate) form: Form,
}

/// Which of a fact's values are tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Values {
    /// Its one value.
    One,
    /// One at least of several.
    Any {
        /// Whether the test is not to hold for it.
        negated: bool,
    },
    /// All of several; with none it holds.
    Every {
        /// Whether the test is not to hold for any.
        negated: bool,
    },
}

/// How a value is tested.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Form {
    /// There is a value; of several, one at least.
    Present,
    Boolean(bool),
    Choices(Box<[&'static str]>),
    Number(Relation, i64),
    Numbers(Box<[i64]>),
    Duration(Relation, Duration),
    Text(Arc<str>),
    Address(IpAddr),
    InNetworks(Arc<NetworkSet>),
    InNames(Arc<NameSet>),
    InPatterns(Arc<PatternSet>),
    Contains(Arc<str>),
    StartsWith(Arc<str>),
    EndsWith(Arc<str>),
    Like(Pattern),
    Matches(Expression),
    /// In this relation to the value of another fact.
    Fact(Relation, Slot),
}

/// An order or equality.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Relation {
    Equal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

impl Relation {
    /// Whether `left` stands in it to `right`.
    pub(crate) fn holds<T: Ord + ?Sized>(self, left: &T, right: &T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Less => left < right,
            Self::AtMost => left <= right,
            Self::Greater => left > right,
            Self::AtLeast => left >= right,
        }
    }
}

/// A regular expression; two are equal when their texts are.
#[derive(Debug, Clone)]
pub(crate) struct Expression(pub(crate) Regex);

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

/// A text with facts in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Template {
    pub(crate) pieces: Box<[Piece]>,
}

/// A piece of a [`Template`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Text as it stands.
    Text(Arc<str>),
    /// The value of a fact.
    Fact {
        slot: Slot,
        /// What is printed when there is none.
        otherwise: Arc<str>,
    },
}

impl Template {
    /// The facts in it.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.pieces.iter().filter_map(|piece| match piece {
            Piece::Fact { slot, .. } => Some(*slot),
            Piece::Text(_) => None,
        })
    }
}

/// What a rule answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Accept {
        relay: bool,
    },
    Refuse {
        reply: Words,
        /// Whether the connection is closed.
        close: bool,
    },
}

/// The reply of a refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) code: ReplyCode,
    pub(crate) enhanced: Enhanced,
    pub(crate) text: Template,
    /// The codes of a filter's own reply, which stand instead where they fit.
    pub(crate) own: Option<Own>,
}

/// The codes of a filter's own reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Own {
    pub(crate) code: Slot,
    pub(crate) enhanced: Slot,
}

/// What a rule does besides answering.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Act {
    Tag(Arc<str>),
    AddHeader {
        name: Arc<str>,
        value: Template,
    },
    /// The header field that stands in the fact.
    Prepend(Slot),
    Quarantine,
    Hold,
    Redirect(Arc<str>),
    Discard,
    Tarpit(Duration),
}

/// A rule.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rule {
    pub(crate) name: Arc<str>,
    pub(crate) condition: Condition,
    pub(crate) acts: Box<[Act]>,
    pub(crate) answer: Option<Answer>,
    pub(crate) unsure: Option<Answer>,
    pub(crate) observe: bool,
    /// Whether it is one of the built-in policy.
    pub(crate) fixed: bool,
    /// Whether it is passed when a rule before it opened relaying.
    pub(crate) denies_relaying: bool,
    /// The facts of its condition, each once.
    pub(crate) tested: Box<[Slot]>,
    /// The facts of its texts, each once.
    pub(crate) printed: Box<[Slot]>,
}

impl Rule {
    /// All its facts, those of the condition first.
    pub(crate) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.tested.iter().chain(&self.printed).copied()
    }
}

/// The rules of a policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Plan {
    pub(crate) rules: Vec<Rule>,
    /// The rules of each stage, in order.
    pub(crate) stages: [Box<[RuleId]>; 8],
    /// The slot of `recipient.local_domain`.
    pub(crate) local_domain: Option<Slot>,
}

impl Plan {
    pub(crate) fn rules_at(&self, stage: Stage) -> &[RuleId] {
        self.stages.get(stage.index()).map_or(&[], |rules| rules)
    }

    pub(crate) fn rule(&self, id: RuleId) -> Option<&Rule> {
        self.rules.get(usize::from(id.0))
    }
}

/// A rule as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleInfo {
    /// Its name.
    pub name: Arc<str>,
    /// The stages at which it is tried.
    pub stages: Vec<Stage>,
    /// From its first word to its last.
    pub span: Span,
    /// Whether it only watches.
    pub observe: bool,
    /// Whether it is one of the built-in policy.
    pub fixed: bool,
    /// Its condition as written; empty when it holds always.
    pub condition: String,
    /// What it does, as written.
    pub answer: String,
}

impl Condition {
    /// Calls `see` for every slot in it.
    pub(crate) fn slots(&self, see: &mut impl FnMut(Slot)) {
        match self {
            Self::Always => {}
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.slots(see)),
            Self::Not(inner) => inner.slots(see),
            Self::Test(test) => {
                see(test.slot);
                if let Form::Fact(_, other) = test.form {
                    see(other);
                }
            }
        }
    }

    /// How many tests it has, those of definitions counted where they are used.
    pub(crate) fn tests(&self) -> usize {
        match self {
            Self::Always => 0,
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().fold(0_usize, |sum, part| sum.saturating_add(part.tests()))
            }
            Self::Not(inner) => inner.tests(),
            Self::Test(_) => 1,
        }
    }
}
