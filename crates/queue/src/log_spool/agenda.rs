//! The deliveries that wait for their time, by destination, and which destination's turn it is.
//!
//! Invariants: a destination is in the round when one of its deliveries was seen to be due, else in the calendar under
//! its earliest time, else (nothing waits) in neither; it may linger in the round after its last delivery left.

use std::collections::{BTreeSet, HashMap, VecDeque};

use smtp::time::WallTime;

use crate::message::Destination;
use crate::queue_id::QueueId;

/// A destination's number, for as long as a delivery refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(u32);

/// A waiting delivery: when it is due, its message and its number there.
type Waiting = (WallTime, QueueId, u32);

#[derive(Debug, Default)]
struct Line {
    destination: Option<Destination>,
    references: u32,
    waiting: BTreeSet<Waiting>,
    in_round: bool,
}

impl Line {
    fn is_among(&self, destinations: &[Destination]) -> bool {
        self.destination.as_ref().is_some_and(|destination| destinations.contains(destination))
    }
}

#[derive(Debug, Default)]
pub(super) struct Agenda {
    lines: Vec<Line>,
    vacant: Vec<u32>,
    slots: HashMap<Destination, u32>,
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
            line.destination.get_or_insert_with(|| destination.clone());
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
        self.change(slot, |line| line.remove(waiting));
    }

    /// Changes who waits, and keeps the calendar to the earliest of them.
    fn change(&mut self, slot: Slot, change: impl FnOnce(&mut BTreeSet<Waiting>) -> bool) {
        let Some(line) = self.lines.get_mut(slot.0 as usize) else { return };
        let before = line.waiting.first().map(|first| first.0);
        change(&mut line.waiting);
        let after = line.waiting.first().map(|first| first.0);
        if line.in_round || before == after {
            return;
        }
        if let Some(before) = before {
            self.calendar.remove(&(before, slot.0));
        }
        if let Some(after) = after {
            self.calendar.insert((after, slot.0));
        }
    }

    /// Takes the oldest delivery that is due of the destination whose turn it is, those `left_out` passed over.
    pub(super) fn take_due(&mut self, now: WallTime, left_out: &[Destination]) -> Option<(QueueId, u32)> {
        while let Some(&(due, slot)) = self.calendar.first().filter(|(due, _)| *due <= now) {
            self.calendar.remove(&(due, slot));
            if let Some(line) = self.lines.get_mut(slot as usize) {
                line.in_round = true;
                self.round.push_back(slot);
            }
        }
        for _ in 0..self.round.len() {
            let slot = self.round.pop_front()?;
            let Some(line) = self.lines.get_mut(slot as usize) else { continue };
            if line.is_among(left_out) {
                self.round.push_back(slot);
                continue;
            }
            let taken = match line.waiting.first() {
                Some(first) if first.0 <= now => line.waiting.pop_first(),
                _ => None,
            };
            match line.waiting.first() {
                Some(_) if taken.is_some() => self.round.push_back(slot),
                Some(first) => {
                    line.in_round = false;
                    self.calendar.insert((first.0, slot));
                }
                None => line.in_round = false,
            }
            if let Some((_, id, number)) = taken {
                return Some((id, number));
            }
        }
        None
    }

    /// When the next delivery is due that doesn't go to a destination of `left_out`.
    pub(super) fn next_due(&self, left_out: &[Destination]) -> Option<WallTime> {
        let line = |slot: &u32| self.lines.get(*slot as usize).filter(|line| !line.is_among(left_out));
        let in_round = self.round.iter().filter_map(|slot| Some(line(slot)?.waiting.first()?.0)).min();
        let in_calendar = self.calendar.iter().find(|(_, slot)| line(slot).is_some()).map(|(due, _)| *due);
        in_round.into_iter().chain(in_calendar).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(due: u64, id: u64) -> Waiting {
        (WallTime::from_unix_millis(due), QueueId::from_number(id).unwrap(), 0)
    }

    fn take(agenda: &mut Agenda, now: u64) -> Option<u64> {
        agenda.take_due(WallTime::from_unix_millis(now), &[]).map(|(id, _)| id.number())
    }

    #[test]
    fn destinations_take_turns_and_the_oldest_goes_first() {
        let mut agenda = Agenda::default();
        let (big, small) = (agenda.refer(&Destination::new("big")), agenda.refer(&Destination::new("small")));
        for id in [3, 1, 2] {
            agenda.insert(big, waiting(id, id));
        }
        agenda.insert(small, waiting(9, 9));
        assert_eq!(agenda.next_due(&[]), Some(WallTime::from_unix_millis(1)));
        let order: Vec<_> = std::iter::from_fn(|| take(&mut agenda, 10)).collect();
        assert_eq!(order, [1, 9, 2, 3]);
        assert_eq!(agenda.next_due(&[]), None);
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
        assert_eq!(agenda.next_due(&[]), Some(WallTime::from_unix_millis(60)));
        agenda.remove(slot, &waiting(60, 2));
        assert_eq!((agenda.next_due(&[]), take(&mut agenda, 99)), (None, None));
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
}
