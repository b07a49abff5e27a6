//! What is known of destinations at other servers: the pace of each, and which are forgotten to make room.
//!
//! Invariant: no more than [`PACES_MAX`] are remembered, however many there are and however long they are away.

use std::collections::HashMap;

use queue::message::Destination;
use queue::pace::{Limits, Pace};
use smtp::time::WallTime;

/// Destinations whose pace is remembered (ours: about 2 MB).
pub(super) const PACES_MAX: usize = 20_000;

/// Those that are forgotten at once when there is room for no more (ours: they are put in order for it).
const FORGOTTEN: usize = PACES_MAX / 4;

/// The paces that are remembered.
#[derive(Debug, Default)]
pub(super) struct Paces(HashMap<Destination, Pace>);

impl Paces {
    /// What is known of a destination.
    pub(super) fn get(&self, destination: &Destination) -> Option<Pace> {
        self.0.get(destination).copied()
    }

    /// The destinations that something is known of.
    pub(super) fn destinations(&self) -> impl Iterator<Item = &Destination> {
        self.0.keys()
    }

    /// Goes by other limits for a destination, if something is known of it.
    pub(super) fn follow(&mut self, destination: &Destination, limits: Limits) {
        if let Some(pace) = self.0.get_mut(destination) {
            pace.follow(limits);
        }
    }

    /// Shortens waits that a clock which was wrong has made too long.
    pub(super) fn mend(&mut self, now: WallTime) {
        self.0.values_mut().for_each(|pace| pace.mend(now));
    }

    /// Remembers what is known of a destination; gives those that were forgotten for it.
    pub(super) fn remember(&mut self, destination: &Destination, pace: Pace) -> Vec<Destination> {
        let is_new = !self.0.contains_key(destination);
        let forgotten = if is_new && self.0.len() >= PACES_MAX { self.least_missed() } else { Vec::new() };
        for forgotten in &forgotten {
            self.0.remove(forgotten);
        }
        self.0.insert(destination.clone(), pace);
        forgotten
    }

    /// Those that go well, then those whose time to be probed is longest past: nothing waits there, or it is about to be
    /// tried anyway.
    fn least_missed(&self) -> Vec<Destination> {
        let mut order: Vec<(bool, WallTime, &Destination)> = self
            .0
            .iter()
            .map(|(destination, pace)| (!pace.is_unremarkable(), pace.window().opens, destination))
            .collect();
        order.sort_unstable();
        order.into_iter().take(FORGOTTEN).map(|(.., destination)| destination.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::pace::Met;

    fn at(seconds: u64) -> WallTime {
        WallTime::from_unix_millis(seconds * 1_000)
    }

    fn met(met: Met, seconds: u64) -> Pace {
        let mut pace = Pace::new(Limits::default());
        pace.learn(met, at(seconds), 0);
        pace
    }

    #[test]
    fn a_hundred_thousand_destinations_that_are_away_take_no_more_memory_than_twenty_thousand() {
        let mut paces = Paces::default();
        let mut forgotten = Vec::new();
        for number in 0..100_000 {
            let destination = Destination::new(&format!("mx:d{number}.example"));
            forgotten.extend(paces.remember(&destination, met(Met::Absence, number)));
            assert!(paces.0.len() <= PACES_MAX);
        }
        assert_eq!(forgotten.len() + paces.0.len(), 100_000);
        assert!(forgotten.contains(&Destination::new("mx:d0.example")), "its time is longest past");
        assert!(paces.get(&Destination::new("mx:d99999.example")).is_some());
        assert!(paces.get(&Destination::new("mx:d90000.example")).is_some());
    }

    #[test]
    fn those_that_go_well_are_forgotten_before_those_that_are_away() {
        let mut paces = Paces::default();
        for number in 0..PACES_MAX as u64 {
            let how = if number % 4 == 0 { Met::Welcome } else { Met::Absence };
            paces.remember(&Destination::new(&format!("mx:d{number}.example")), met(how, number));
        }
        let forgotten = paces.remember(&Destination::new("mx:new.example"), met(Met::Welcome, 0));
        assert_eq!(forgotten.len(), FORGOTTEN);
        assert!(!forgotten.contains(&Destination::new("mx:new.example")));
        assert!(paces.0.values().filter(|pace| !pace.is_shut_off()).count() == 1);
    }
}
