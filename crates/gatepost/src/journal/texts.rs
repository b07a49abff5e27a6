//! A policy as the journal keeps it: its text, so that an old decision is explained by what decided it, and the names of
//! its facts and rules.
//!
//! Invariant: the numbers of facts and rules in a chunk are those of the policy that its head names.

use std::sync::Arc;

use policy::facts::Scope;
use policy::slot::{Facts, SlotInfo};
use policy::span::SourceFile;
use policy::stage::Stage;
use policy::value::State;

/// A rule's name and what the report says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleText {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it is observed only.
    pub observed: bool,
    /// Whether it is one of the built-in policy's.
    pub fixed: bool,
}

/// A policy that the journal knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyText {
    /// The fingerprint of its text.
    pub fingerprint: u64,
    /// Its files: the built-in policy, the site's, and those that it includes.
    pub files: Vec<SourceFile>,
    /// Other files that were read: lists and tables.
    pub material: Vec<SourceFile>,
    /// The names of its facts, by slot.
    pub facts: Vec<Arc<str>>,
    /// Its rules, by number.
    pub rules: Vec<RuleText>,
    /// How long each fact holds, by slot, `None` for one decision; only in the policy that is in force.
    scopes: Vec<Option<Scope>>,
}

impl PolicyText {
    /// The text of a policy with these facts.
    #[must_use]
    pub fn new(
        fingerprint: u64,
        [files, material]: [&[SourceFile]; 2],
        slots: &[SlotInfo],
        rules: Vec<RuleText>,
    ) -> Self {
        Self {
            fingerprint,
            files: files.to_vec(),
            material: material.to_vec(),
            facts: slots.iter().map(|slot| Arc::clone(&slot.name)).collect(),
            rules,
            scopes: slots.iter().map(|slot| (!slot.is_of_one_decision()).then_some(slot.scope)).collect(),
        }
    }

    /// The text as it stands in the store.
    pub(super) const fn stored(
        fingerprint: u64,
        files: Vec<SourceFile>,
        material: Vec<SourceFile>,
        facts: Vec<Arc<str>>,
        rules: Vec<RuleText>,
    ) -> Self {
        Self { fingerprint, files, material, facts, rules, scopes: Vec::new() }
    }

    /// The name of a rule.
    #[must_use]
    pub fn rule(&self, number: u16) -> Option<&Arc<str>> {
        self.rules.get(usize::from(number)).map(|rule| &rule.name)
    }

    /// Calls `put` with each fact that is not as `known` says, or may have another value since the stage began, and
    /// brings `known` up to date.
    pub(super) fn changes(
        &self,
        stage: Stage,
        facts: &Facts,
        known: &mut Vec<Kind>,
        mut put: impl FnMut(u16, &State),
    ) {
        known.resize(self.scopes.len(), Kind::NotAsked);
        let anew = renewed(stage);
        for (((slot, state), scope), known) in facts.iter().zip(&self.scopes).zip(known) {
            let kind = Kind::of(state);
            let is_renewed = scope.is_none_or(|scope| scope == anew);
            if kind != *known || (is_renewed && kind.has_value()) {
                *known = kind;
                put(slot.0, state);
            }
        }
    }
}

/// The facts whose values are other ones at each decision of the stage.
const fn renewed(stage: Stage) -> Scope {
    match stage {
        Stage::Connect | Stage::Helo | Stage::Auth => Scope::Session,
        Stage::Mail => Scope::Transaction,
        Stage::Recipient => Scope::Recipient,
        Stage::Data | Stage::Message => Scope::Message,
        Stage::Verify => Scope::Inquiry,
    }
}

/// What kind of state was written last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    NotAsked,
    Known,
    Missing,
    Unsure,
}

impl Kind {
    const fn of(state: &State) -> Self {
        match state {
            State::NotAsked => Self::NotAsked,
            State::Known(_) => Self::Known,
            State::Missing => Self::Missing,
            State::Unsure(_) => Self::Unsure,
        }
    }

    const fn has_value(self) -> bool {
        matches!(self, Self::Known | Self::Unsure)
    }
}
