//! Whose turn it is: what of the model is given out, in which order.

use std::collections::HashMap;

use smtp::time::WallTime;

use super::{Line, Queue};
use crate::delivery::{Delivery, Phase};
use crate::message::Destination;
use crate::spool::{Overdue, Window};

impl Queue {
    pub(super) fn take_due(
        &mut self,
        of: Option<&Destination>,
        now: WallTime,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut waiting = Vec::new();
        let mut places: HashMap<Destination, u32> = HashMap::new();
        for (&id, message) in &self.messages {
            for (number, line) in (0u32..).zip(&message.deliveries) {
                let destination = &line.state.destination;
                let window = self.window(destination);
                if of.is_some_and(|of| of != destination) {
                    continue;
                }
                let places = places.entry(destination.clone()).or_insert(window.claims_max);
                if line.claim.is_some() {
                    *places = places.saturating_sub(1);
                } else if line.phase() == Phase::Waiting && line.state.due.max(window.opens) <= now {
                    waiting.push((line.state.due, id, number, destination.clone()));
                }
            }
        }
        waiting.sort();
        waiting.retain(|(.., destination)| {
            let places = places.entry(destination.clone()).or_default();
            let is_let_through = *places > 0;
            *places = places.saturating_sub(1);
            is_let_through
        });
        let mut taken = Vec::new();
        while taken.len() < limit && !waiting.is_empty() {
            let mut served = Vec::new();
            waiting.retain(|candidate| {
                let turn = taken.len() < limit && !served.contains(&candidate.3);
                if turn {
                    served.push(candidate.3.clone());
                    taken.push(candidate.clone());
                }
                !turn
            });
        }
        taken.into_iter().filter_map(|(due, id, number, _)| self.claim(due, id, number)).collect()
    }

    pub(super) fn take_overdue(
        &mut self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut found = Vec::new();
        for (&id, message) in &self.messages {
            for (number, line) in (0u32..).zip(&message.deliveries) {
                let is_meant = line.state.destination == *destination && line.phase() == Phase::Waiting;
                if is_meant && overdue.takes(now, message.message.received, line.state.due) {
                    found.push((line.state.due, id, number));
                }
            }
        }
        found.sort();
        found.into_iter().take(limit).filter_map(|(due, id, number)| self.claim(due, id, number)).collect()
    }

    fn window(&self, destination: &Destination) -> Window {
        self.windows.get(destination).copied().unwrap_or_default()
    }

    pub(super) fn next_due(&self) -> Option<WallTime> {
        let lines = || self.messages.values().flat_map(|message| &message.deliveries);
        let mut claims: HashMap<&Destination, u32> = HashMap::new();
        for line in lines().filter(|line| line.claim.is_some()) {
            *claims.entry(&line.state.destination).or_default() += 1;
        }
        let next = |line: &Line| {
            let destination = &line.state.destination;
            let window = self.window(destination);
            let is_full = claims.get(destination).copied().unwrap_or(0) >= window.claims_max;
            (line.phase() == Phase::Waiting && !is_full).then(|| line.state.due.max(window.opens))
        };
        lines().filter_map(next).min()
    }
}
