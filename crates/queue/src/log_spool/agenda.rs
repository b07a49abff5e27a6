//! The deliveries that wait for their time, by destination, and which destination's turn it is.
//!
//! Invariants: a destination is in the round when one of its deliveries was seen to be due, else in the calendar under
//! its earliest time, else (nothing waits, or its window is full) in neither; it may linger in the round after its last
//! delivery left. A destination whose window is full or closed costs nothing, however much waits for it.

use std::collections::{BTreeSet, HashMap, VecDeque};

use smtp::time::WallTime;

use super::line::{Cursor, Line, Waiting};
use crate::message::Destination;
use crate::queue_id::QueueId;
use crate::spool::Window;

/// A destination's number, for as long as a delivery refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

#[derive(Debug, Default)]
pub(super) struct Agenda {
    lines: Vec<Line>,
    vacant: Vec<u32>,
    slots: HashMap<Destination, u32>,
    /// Those that are not the default.
    windows: HashMap<Destination, Window>,
    calendar: BTreeSet<(WallTime, u32)>,
    round: VecDeque<u32>,
}

impl Agenda {
    /// The slot of a destination, with one reference more.
    pub(super) fn refer(&mut self, destination: &Destination) -> Slot {
        let slot = match self.slots.get(destination) {
            Some(&slot) => slot,
            None => {
                let slot = self.vacant.pop().unwrap_or_else(|| {
                    self.lines.push(Line::default());
                    self.lines.len() as u32 - 1
                });
                self.slots.insert(destination.clone(), slot);
                slot
            }
        };
        if let Some(line) = self.lines.get_mut(slot as usize) {
            line.references += 1;
            if line.destination.is_none() {
                line.destination = Some(destination.clone());
                line.window = self.windows.get(destination).copied().unwrap_or_default();
            }
        }
        Slot(slot)
    }

    /// Gives a reference back; the last one frees the slot.
    pub(super) fn forget(&mut self, slot: Slot) {
        if let Some(line) = self.lines.get_mut(slot.0 as usize) {
            line.references = line.references.saturating_sub(1);
            if line.references == 0
                && let Some(destination) = line.destination.take()
            {
                self.slots.remove(&destination);
                self.vacant.push(slot.0);
            }
        }
    }

    pub(super) fn destination(&self, slot: Slot) -> Destination {
        let line = self.lines.get(slot.0 as usize);
        line.and_then(|line| line.destination.clone()).unwrap_or_else(|| Destination::new(""))
    }

    pub(super) fn insert(&mut self, slot: Slot, waiting: Waiting) {
        self.change(slot, |line| line.insert(waiting));
    }

    pub(super) fn remove(&mut self, slot: Slot, waiting: &Waiting) {
        self.change(slot, |line| {
            line.remove(waiting);
        });
    }

    /// A claim of a delivery to the slot's destination is over.
    pub(super) fn give_back(&mut self, slot: Slot) {
        self.change(slot, |line| line.claims = line.claims.saturating_sub(1));
    }

    /// Takes no more memory than what waits needs.
    pub(super) fn compact(&mut self) {
        self.lines.iter_mut().for_each(Line::compact);
    }

    /// Sets how the destination's deliveries are handed out.
    pub(super) fn set_window(&mut self, destination: &Destination, window: Window) {
        if window == Window::default() {
            self.windows.remove(destination);
        } else {
            self.windows.insert(destination.clone(), window);
        }
        if let Some(&slot) = self.slots.get(destination) {
            self.change(Slot(slot), |line| line.window = window);
        }
    }

    pub(super) fn window(&self, destination: &Destination) -> Window {
        self.windows.get(destination).copied().unwrap_or_default()
    }

    /// Changes a line, and keeps the calendar to the earliest time of it.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut Line)) {
        let Some(line) = self.lines.get_mut(slot.0 as usize) else { return };
        change(line);
        let next = line.next();
        if line.in_round || line.in_calendar == next {
            return;
        }
        let before = std::mem::replace(&mut line.in_calendar, next);
        if let Some(before) = before {
            self.calendar.remove(&(before, slot.0));
        }
        if let Some(next) = next {
            self.calendar.insert((next, slot.0));
        }
    }

    /// Claims the delivery that is next of the destination whose turn it is.
    pub(super) fn take_due(&mut self, now: WallTime) -> Option<(QueueId, u32)> {
        while let Some(&(due, slot)) = self.calendar.first().filter(|(due, _)| *due <= now) {
            self.calendar.remove(&(due, slot));
            if let Some(line) = self.lines.get_mut(slot as usize) {
                (line.in_round, line.in_calendar) = (true, None);
                self.round.push_back(slot);
            }
        }
        while let Some(slot) = self.round.pop_front() {
            let Some(line) = self.lines.get_mut(slot as usize) else { continue };
            let taken = line.take(now);
            if taken.is_some() && line.next().is_some() {
                self.round.push_back(slot);
            } else {
                line.in_round = false;
                self.change(Slot(slot), |_| {});
            }
            if let Some(Waiting { id, number, .. }) = taken {
                return Some((id, number));
            }
        }
        None
    }

    /// Claims the delivery of the destination that is next, if one is due.
    pub(super) fn take_due_of(&mut self, destination: &Destination, now: WallTime) -> Option<(QueueId, u32)> {
        let slot = Slot(*self.slots.get(destination)?);
        let line = self.lines.get_mut(slot.0 as usize)?;
        let Waiting { id, number, .. } = line.take(now)?;
        self.change(slot, |_| {});
        Some((id, number))
    }

    /// At most `limit` of those that wait for the destination behind `after`, and where to go on; see [`Line::waiting`].
    pub(super) fn waiting(
        &self,
        destination: &Destination,
        after: Option<Cursor>,
        limit: usize,
    ) -> (Vec<Waiting>, Option<Cursor>) {
        let line = self.slots.get(destination).and_then(|slot| self.lines.get(*slot as usize));
        let Some(line) = line else { return (Vec::new(), None) };
        let waiting = line.waiting(after, limit);
        let cursor = waiting.last().map(|last| line.cursor(last));
        (waiting, cursor)
    }

    /// Claims one of those that wait, whatever the window says; whether it still waited.
    pub(super) fn take(&mut self, destination: &Destination, waiting: &Waiting) -> bool {
        let Some(&slot) = self.slots.get(destination) else { return false };
        let mut is_taken = false;
        self.change(Slot(slot), |line| {
            is_taken = line.remove(waiting);
            line.claims += u32::from(is_taken);
        });
        is_taken
    }

    /// When the next delivery may be claimed; a time that is past may be another one that is past.
    pub(super) fn next_due(&self) -> Option<WallTime> {
        let next = |slot: &u32| self.lines.get(*slot as usize)?.next();
        // One that is in the round was due already; which one of them it is matters to nobody.
        let in_round = self.round.iter().find_map(next);
        in_round.into_iter().chain(self.calendar.first().map(|(due, _)| *due)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sender::SenderKey;

    fn waiting(due: u64, id: u64) -> Waiting {
        let (due, id) = (WallTime::from_unix_millis(due), QueueId::from_number(id).unwrap());
        Waiting { due, id, number: 0, sender_key: SenderKey::default() }
    }

    fn take(agenda: &mut Agenda, now: u64) -> Option<u64> {
        agenda.take_due(WallTime::from_unix_millis(now)).map(|(id, _)| id.number())
    }

    #[test]
    fn destinations_take_turns_and_the_oldest_goes_first() {
        let mut agenda = Agenda::default();
        let (big, small) = (agenda.refer(&Destination::new("big")), agenda.refer(&Destination::new("small")));
        for id in [3, 1, 2] {
            agenda.insert(big, waiting(id, id));
        }
        agenda.insert(small, waiting(9, 9));
        assert_eq!(agenda.next_due(), Some(WallTime::from_unix_millis(1)));
        let order: Vec<_> = std::iter::from_fn(|| take(&mut agenda, 10)).collect();
        assert_eq!(order, [1, 9, 2, 3]);
        assert_eq!(agenda.next_due(), None);
    }

    #[test]
    fn nothing_is_taken_before_its_time_even_after_the_clock_stepped_back() {
        let mut agenda = Agenda::default();
        let slot = agenda.refer(&Destination::new("x"));
        agenda.insert(slot, waiting(50, 1));
        agenda.insert(slot, waiting(60, 2));
        assert_eq!(take(&mut agenda, 49), None);
        assert_eq!(take(&mut agenda, 60), Some(1));
        assert_eq!(take(&mut agenda, 10), None);
        assert_eq!(agenda.next_due(), Some(WallTime::from_unix_millis(60)));
        agenda.remove(slot, &waiting(60, 2));
        assert_eq!((agenda.next_due(), take(&mut agenda, 99)), (None, None));
    }

    #[test]
    fn a_slot_is_used_again_when_nothing_refers_to_it() {
        let mut agenda = Agenda::default();
        let first = agenda.refer(&Destination::new("a"));
        agenda.insert(first, waiting(1, 1));
        assert_eq!(take(&mut agenda, 5), Some(1));
        agenda.forget(first);
        let second = agenda.refer(&Destination::new("b"));
        assert_eq!(first, second);
        agenda.insert(second, waiting(2, 2));
        assert_eq!(take(&mut agenda, 5), Some(2));
        assert_eq!(agenda.destination(second).as_str(), "b");
    }

    fn window(claims_max: u32, opens: u64) -> Window {
        Window { claims_max, opens: WallTime::from_unix_millis(opens) }
    }

    #[test]
    fn a_full_window_holds_nobody_up_and_opens_with_each_claim_that_ends() {
        let mut agenda = Agenda::default();
        let (dead, live) = (Destination::new("dead"), Destination::new("live"));
        agenda.set_window(&dead, window(1, 0));
        let (dead, live) = (agenda.refer(&dead), agenda.refer(&live));
        for id in 1..4 {
            agenda.insert(dead, waiting(id, id));
            agenda.insert(live, waiting(id, 10 + id));
        }
        let order: Vec<_> = std::iter::from_fn(|| take(&mut agenda, 10)).collect();
        assert_eq!(order, [1, 11, 12, 13]);
        assert_eq!(agenda.next_due(), None);
        agenda.give_back(dead);
        assert!(agenda.next_due().is_some_and(|due| due <= WallTime::from_unix_millis(2)));
        assert_eq!((take(&mut agenda, 10), take(&mut agenda, 10)), (Some(2), None));
        agenda.set_window(&Destination::new("dead"), window(2, 0));
        assert_eq!((take(&mut agenda, 10), take(&mut agenda, 10)), (Some(3), None));
    }

    #[test]
    fn a_window_that_is_closed_opens_at_its_time() {
        let mut agenda = Agenda::default();
        let destination = Destination::new("x");
        let slot = agenda.refer(&destination);
        agenda.insert(slot, waiting(1, 1));
        agenda.insert(slot, waiting(2, 2));
        assert_eq!(take(&mut agenda, 5), Some(1));
        agenda.set_window(&destination, window(5, 100));
        assert_eq!(take(&mut agenda, 99), None);
        assert_eq!(agenda.next_due(), Some(WallTime::from_unix_millis(100)));
        assert_eq!(take(&mut agenda, 100), Some(2));
    }

    #[test]
    fn a_window_outlives_the_mail_that_it_was_set_for() {
        let mut agenda = Agenda::default();
        let destination = Destination::new("x");
        agenda.set_window(&destination, window(5, 100));
        let slot = agenda.refer(&destination);
        agenda.forget(slot);
        let slot = agenda.refer(&destination);
        agenda.insert(slot, waiting(1, 1));
        assert_eq!(take(&mut agenda, 99), None);
        agenda.set_window(&destination, Window::default());
        assert_eq!(take(&mut agenda, 99), Some(1));
        assert!(agenda.windows.is_empty());
    }
}
