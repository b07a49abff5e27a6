//! The facts of a session as one policy numbers them: a slot for each that the policy can ask for.

use std::sync::Arc;

use crate::facts::{FactInfo, Group, Scope};
use crate::source::Field;
use crate::stage::Stage;
use crate::value::{State, Type};

/// The number of a fact in one policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

impl Slot {
    /// The slot as an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a slot stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A fact of the table.
    Builtin(&'static FactInfo),
    /// A fact of the table, with its argument: the name of a header field in lower case.
    Argument(&'static FactInfo, Arc<str>),
    /// A fact of a declared source: the source's place in the policy's sources.
    Source(u16, Field),
}

/// A fact that one policy can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// Its name as the policy writes it.
    pub name: Arc<str>,
    /// What it stands for.
    pub origin: Origin,
    /// The type of its value.
    pub value_type: Type,
    /// The stage from which it can be known.
    pub since: Stage,
    /// How long it holds.
    pub scope: Scope,
    /// What finds it out.
    pub group: Group,
    /// Whether there may be none.
    pub optional: bool,
    /// Whether finding it out may fail for now.
    pub fallible: bool,
    /// Whether it depends on what this server did before.
    pub remembers: bool,
}

impl SlotInfo {
    /// Whether it may have another value at each decision: what a milter says is of the stage that is decided.
    #[must_use]
    pub const fn is_of_one_decision(&self) -> bool {
        use Field::{Code, Enhanced, Quarantine, Reply, Verdict};
        matches!(self.origin, Origin::Source(_, Verdict | Code | Enhanced | Reply | Quarantine))
    }
}

/// What is known of each fact in a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    states: Vec<State>,
}

impl Facts {
    /// Nothing known of `slots` facts.
    #[must_use]
    pub fn new(slots: usize) -> Self {
        Self { states: vec![State::NotAsked; slots] }
    }

    /// What is known of the fact; of one that is not the policy's, nothing.
    #[must_use]
    pub fn get(&self, slot: Slot) -> &State {
        self.states.get(slot.index()).unwrap_or(&State::NotAsked)
    }

    /// Says what is known of the fact.
    pub fn set(&mut self, slot: Slot, state: State) {
        if let Some(place) = self.states.get_mut(slot.index()) {
            *place = state;
        }
    }

    /// Every slot with its state.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &State)> {
        (0..).map(Slot).zip(&self.states)
    }
}
