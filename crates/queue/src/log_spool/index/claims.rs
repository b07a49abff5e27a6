//! What is given out to be delivered, and given back.

use smtp::time::WallTime;

use super::{Hand, Index, Key};
use crate::delivery::Delivery;
use crate::log_spool::line::{Cursor, Waiting};
use crate::message::Destination;
use crate::spool::{Overdue, Window};

/// Deliveries that are looked at with the index locked, in search of what is overdue (ours: about a millisecond).
const OVERDUE_STEP: usize = 5_000;

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

    /// Of the next deliveries that wait for the destination those that are overdue, and where to go on; `None` when no
    /// other can be.
    pub(in super::super) fn overdue(
        &self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        after: Option<Cursor>,
    ) -> (Vec<Waiting>, Option<Cursor>) {
        let (mut waiting, next) = self.agenda.waiting(destination, after, OVERDUE_STEP);
        // Those whose time has not come stand last, by their time.
        let next = next.filter(|next| !matches!(next, Cursor::Later(last) if last.due > now));
        waiting.retain(|waiting| {
            let message = self.messages.get(&waiting.id);
            message.is_some_and(|message| overdue.takes(now, message.received, waiting.due))
        });
        (waiting, next)
    }

    /// Claims those that still wait for the destination.
    pub(in super::super) fn take_all(
        &mut self,
        destination: &Destination,
        found: Vec<Waiting>,
    ) -> Vec<Delivery> {
        let mut deliveries = Vec::with_capacity(found.len());
        for waiting in found {
            if self.agenda.take(destination, &waiting) {
                deliveries.extend(self.claim((waiting.id, waiting.number)));
            }
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
