//! Rates: how many connections, messages, recipients, refusals or failures came in a time, by any facts.
//!
//! Invariants: a count includes the event that it is asked for; it holds at most [`KEYS_MAX`] keys, those that were
//! counted longest ago make room, and how many still counted is said. A declaration that stays the same over a reload of
//! the policy keeps its counts. Times are those of sessions: no step of the wall clock changes a count.

mod counter;

use std::sync::Arc;

use policy::slot::{Facts, SlotInfo};
use policy::source::{Counted, Source, SourceKind};
use policy::value::State;
use smtp::time::Timestamp;

pub use counter::{Counters, Key, Memory, Shape};

/// Most keys that one rate counts (ours: about 15 MB for a window).
pub const KEYS_MAX: usize = 100_000;

/// The rates that a policy declares.
#[derive(Debug, Default)]
pub struct Rates {
    rates: Vec<Rate>,
}

/// One rate.
#[derive(Debug)]
struct Rate {
    /// Its place in the policy's sources.
    source: u16,
    declared: Declared,
    counters: Arc<dyn Counters>,
}

/// What must stay the same for the counts to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Declared {
    name: Arc<str>,
    counted: Counted,
    /// The names of the facts, for their slots are one policy's own.
    keys: Vec<Arc<str>>,
    shape: Shape,
}

impl Rates {
    /// The rates of a policy's `sources`, whose facts are `slots`, with the counts of `before` where the same was
    /// declared.
    #[must_use]
    pub fn of(sources: &[Source], slots: &[SlotInfo], before: &Self) -> Self {
        let mut rates = Vec::new();
        for (place, source) in (0..).zip(sources) {
            let SourceKind::Rate { counted, keys, over, bucket } = &source.kind else { continue };
            let name = |key: &policy::slot::Slot| slots.get(key.index()).map(|slot| Arc::clone(&slot.name));
            let declared = Declared {
                name: Arc::clone(&source.name),
                counted: *counted,
                keys: keys.iter().filter_map(name).collect(),
                shape: Shape { over: *over, is_bucket: *bucket },
            };
            let kept = before.rates.iter().find(|rate| rate.declared == declared);
            let counters = kept.map_or_else(
                || Arc::new(Memory::new(declared.shape, KEYS_MAX)) as Arc<dyn Counters>,
                |rate| Arc::clone(&rate.counters),
            );
            rates.push(Rate { source: place, declared, counters });
        }
        Self { rates }
    }

    /// Which sources count such events, by their places in the policy's sources.
    pub fn counting(&self, counted: Counted) -> impl Iterator<Item = u16> {
        self.rates.iter().filter(move |rate| rate.declared.counted == counted).map(|rate| rate.source)
    }

    /// Counts an event at the rate that is `source` of the policy, by the facts of its declaration `of`, and says the
    /// count with it. Nothing is counted while one of the facts is missing (the count is 0) or not known (it is unsure).
    #[must_use]
    pub fn count(&self, source: u16, of: &Source, facts: &Facts, now: Timestamp) -> State {
        self.ask(source, of, facts, |counters, key| counters.add(key, now))
    }

    /// The count as it stands; for refusals and failures, which come after the rules that ask.
    #[must_use]
    pub fn look(&self, source: u16, of: &Source, facts: &Facts, now: Timestamp) -> State {
        self.ask(source, of, facts, |counters, key| counters.count(key, now))
    }

    /// For each rate, how many keys that still counted had to make room.
    pub fn dropped(&self) -> impl Iterator<Item = (&str, u64)> {
        self.rates.iter().map(|rate| (&*rate.declared.name, rate.counters.dropped()))
    }

    fn ask(
        &self,
        source: u16,
        of: &Source,
        facts: &Facts,
        ask: impl FnOnce(&dyn Counters, Key) -> Result<u64, String>,
    ) -> State {
        let SourceKind::Rate { keys, .. } = &of.kind else { return State::unsure("not a rate") };
        let Some(rate) = self.rates.iter().find(|rate| rate.source == source) else {
            return State::unsure("the rate isn't counted yet");
        };
        let mut values = Vec::with_capacity(keys.len());
        for key in keys {
            match facts.get(*key) {
                State::Known(value) => values.push(value),
                State::Missing => return State::number(0),
                State::Unsure(why) => return State::Unsure(Arc::clone(why)),
                State::NotAsked => return State::unsure("a fact that it counts by isn't known"),
            }
        }
        match ask(&*rate.counters, Key::of(&values)) {
            Ok(count) => State::number(count),
            Err(why) => State::unsure(&why),
        }
    }
}

#[cfg(test)]
mod tests;
