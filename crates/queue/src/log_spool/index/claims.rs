//! What is given out to be delivered, and given back.

use smtp::time::WallTime;

use super::{Hand, Index, Key};
use crate::delivery::Delivery;
use crate::log_spool::line::Waiting;
use crate::message::Destination;
use crate::spool::{Overdue, Window};

impl Index {
    /// Claims at most `limit` deliveries that are due, of one destination if one is named.
    pub(in super::super) fn take_due(
        &mut self,
        of: Option<&Destination>,
        now: WallTime,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < limit {
            let taken = match of {
                Some(destination) => self.agenda.take_due_of(destination, now),
                None => self.agenda.take_due(now),
            };
            let Some(key) = taken else { break };
            deliveries.extend(self.claim(key));
        }
        deliveries
    }

    /// Claims at most `limit` deliveries of the destination that are overdue.
    pub(in super::super) fn take_overdue(
        &mut self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> Vec<Delivery> {
        let is_overdue = |waiting: &Waiting| {
            let message = self.messages.get(&waiting.id);
            message.is_some_and(|message| overdue.takes(now, message.received, waiting.due))
        };
        let mut found: Vec<Waiting> = self.agenda.waiting(destination).filter(is_overdue).collect();
        found.sort_unstable();
        found.truncate(limit);
        let mut deliveries = Vec::with_capacity(found.len());
        for waiting in found {
            self.agenda.take(destination, &waiting);
            deliveries.extend(self.claim((waiting.id, waiting.number)));
        }
        deliveries
    }

    /// The delivery as its claimant gets it, which the agenda has let go.
    fn claim(&mut self, (id, number): Key) -> Option<Delivery> {
        let message = self.messages.get_mut(&id)?;
        let received = message.received;
        let entry = message.entry_mut(number)?;
        entry.hand = Hand::Claimed;
        self.last_claim += 1;
        self.claims.insert((id, number), (self.last_claim, entry.slot));
        Some(Delivery {
            id,
            destination: self.agenda.destination(entry.slot),
            recipients: entry.pending.as_slice().to_vec(),
            attempts: entry.attempts,
            received,
            due: entry.due,
            number,
            claim: self.last_claim,
        })
    }

    pub(in super::super) fn next_due(&self) -> Option<WallTime> {
        self.agenda.next_due()
    }

    pub(in super::super) fn set_window(&mut self, destination: &Destination, window: Window) {
        self.agenda.set_window(destination, window);
    }

    pub(in super::super) fn window(&self, destination: &Destination) -> Window {
        self.agenda.window(destination)
    }

    /// The claim of a delivery, if there is one, is over: its place in the window is free.
    pub(super) fn end_claim(&mut self, key: Key) {
        if let Some((_, slot)) = self.claims.remove(&key) {
            self.agenda.give_back(slot);
        }
    }
}
