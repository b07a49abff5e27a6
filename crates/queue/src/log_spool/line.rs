//! What waits for one destination: for its time, then for its sender's turn.
//!
//! Invariants: nothing is handed out before its time, also after the clock stepped back; senders take turns, and within
//! one the oldest goes first; a step costs O(log n), and at most [`READY_STEP`] times that when much has become due at once.

use std::collections::BTreeSet;
use std::ops::Bound::{Excluded, Unbounded};

use smtp::time::WallTime;

use crate::message::Destination;
use crate::queue_id::QueueId;
use crate::sender::SenderKey;
use crate::spool::Window;

/// Deliveries that join the senders' turns with each that is handed out (ours: well below a millisecond, and a sender
/// behind 100,000 others is heard after 400 at the latest).
const READY_STEP: usize = 256;

/// A waiting delivery: when it is due, its message, its number there, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Waiting {
    pub(super) due: WallTime,
    pub(super) id: QueueId,
    pub(super) number: u32,
    pub(super) sender_key: SenderKey,
}

/// A delivery whose time has come: those of one sender stand together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ready {
    sender_key: SenderKey,
    due: WallTime,
    id: QueueId,
    number: u32,
}

/// A place among those that wait.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cursor {
    Ready(Ready),
    Later(Waiting),
}

impl Waiting {
    const fn ready(self) -> Ready {
        Ready { sender_key: self.sender_key, due: self.due, id: self.id, number: self.number }
    }
}

impl Ready {
    const fn waiting(self) -> Waiting {
        Waiting { due: self.due, id: self.id, number: self.number, sender_key: self.sender_key }
    }
}

/// A destination and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Line {
    pub(super) destination: Option<Destination>,
    pub(super) references: u32,
    pub(super) window: Window,
    /// Deliveries that are claimed.
    pub(super) claims: u32,
    pub(super) in_round: bool,
    /// The time under which it stands in the calendar.
    pub(super) in_calendar: Option<WallTime>,
    later: BTreeSet<Waiting>,
    ready: BTreeSet<Ready>,
    /// No time in `ready` is earlier.
    ready_since: WallTime,
    /// The last that was handed out: the sender after that one is next.
    last: Option<Ready>,
}

impl Line {
    /// When its next delivery may be claimed, or a time that is past when that is; `None` when nothing waits or the window
    /// is full.
    pub(super) fn next(&self) -> Option<WallTime> {
        if self.claims >= self.window.claims_max {
            return None;
        }
        let ready = (!self.ready.is_empty()).then_some(self.ready_since);
        let first = ready.into_iter().chain(self.later.first().map(|waiting| waiting.due)).min()?;
        Some(first.max(self.window.opens))
    }

    pub(super) fn insert(&mut self, waiting: Waiting) {
        self.later.insert(waiting);
    }

    /// Whether it waited.
    pub(super) fn remove(&mut self, waiting: &Waiting) -> bool {
        self.later.remove(waiting) || self.ready.remove(&waiting.ready())
    }

    /// Claims the delivery whose turn it is, if one is due and the window lets it through.
    pub(super) fn take(&mut self, now: WallTime) -> Option<Waiting> {
        if self.ready_since > now {
            // The clock stepped back since these were due.
            self.later.extend(std::mem::take(&mut self.ready).into_iter().map(Ready::waiting));
        }
        self.next().filter(|next| *next <= now)?;
        let taken = self.next_of_turn(now)?;
        self.claims += 1;
        Some(taken)
    }

    fn next_of_turn(&mut self, now: WallTime) -> Option<Waiting> {
        for _ in 0..READY_STEP {
            let Some(first) = self.later.first().copied().filter(|first| first.due <= now) else { break };
            self.later.pop_first();
            if self.ready.is_empty() && self.later.first().is_none_or(|second| second.due > now) {
                self.last = Some(first.ready());
                return Some(first);
            }
            self.make_ready(first);
        }
        loop {
            let found = self.after_last().or_else(|| self.ready.first().copied())?;
            self.ready.remove(&found);
            if found.due <= now {
                self.last = Some(found);
                return Some(found.waiting());
            }
            // The clock stepped back, though not as far.
            self.later.insert(found.waiting());
        }
    }

    fn make_ready(&mut self, waiting: Waiting) {
        self.ready_since =
            if self.ready.is_empty() { waiting.due } else { self.ready_since.min(waiting.due) };
        self.ready.insert(waiting.ready());
    }

    /// The oldest delivery of the sender after the one that was served last.
    fn after_last(&self) -> Option<Ready> {
        let last = self.last?;
        let end = Ready { due: WallTime::from_unix_millis(u64::MAX), number: u32::MAX, ..last };
        self.ready.range((Excluded(end), Unbounded)).next().copied()
    }

    /// Takes no more memory than what waits needs.
    pub(super) fn compact(&mut self) {
        let mut later = std::mem::take(&mut self.later);
        if let Some(first) = later.pop_first() {
            self.later.insert(first);
            self.later.append(&mut later);
        }
    }

    /// At most `limit` of those that wait behind `after`: those whose time has come first, then the others by their time.
    pub(super) fn waiting(&self, after: Option<Cursor>, limit: usize) -> Vec<Waiting> {
        let ready = match after {
            None => Some(Unbounded),
            Some(Cursor::Ready(last)) => Some(Excluded(last)),
            Some(Cursor::Later(_)) => None,
        };
        let later = match after {
            Some(Cursor::Later(last)) => Excluded(last),
            _ => Unbounded,
        };
        let ready = ready.into_iter().flat_map(|start| self.ready.range((start, Unbounded)));
        let later = self.later.range((later, Unbounded)).copied();
        ready.map(|ready| ready.waiting()).chain(later).take(limit).collect()
    }

    /// Where to go on behind one that waits.
    pub(super) fn cursor(&self, last: &Waiting) -> Cursor {
        if self.ready.contains(&last.ready()) { Cursor::Ready(last.ready()) } else { Cursor::Later(*last) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn at(millis: u64) -> WallTime {
        WallTime::from_unix_millis(millis)
    }

    fn waiting(due: u64, id: u64, sender: u32) -> Waiting {
        let id = QueueId::from_number(id).unwrap();
        Waiting { due: at(due), id, number: 0, sender_key: SenderKey::from_number(sender) }
    }

    fn open() -> Line {
        Line { window: Window { claims_max: u32::MAX, ..Window::default() }, ..Line::default() }
    }

    fn ids(line: &mut Line, now: u64) -> Vec<u64> {
        std::iter::from_fn(|| line.take(at(now))).map(|taken| taken.id.number()).collect()
    }

    #[test]
    fn senders_take_turns_and_the_oldest_of_each_goes_first() {
        let mut line = open();
        for id in [4, 2, 3, 1] {
            line.insert(waiting(id, id, 7));
        }
        line.insert(waiting(50, 50, 3));
        line.insert(waiting(51, 51, 9));
        line.insert(waiting(99, 99, 9));
        assert_eq!(ids(&mut line, 60), [50, 1, 51, 2, 3, 4]);
        assert_eq!(line.next(), Some(at(99)));
    }

    #[test]
    fn one_message_behind_a_hundred_thousand_is_soon_heard() {
        let mut line = open();
        for id in 1..=100_000 {
            line.insert(waiting(id, id, 1));
        }
        line.insert(waiting(200_000, 200_000, 2));
        let before = std::iter::from_fn(|| line.take(at(300_000))).take_while(|taken| taken.number_of() != 2);
        assert!(before.count() <= 100_000 / READY_STEP + 1);
    }

    #[test]
    fn a_clock_that_stepped_back_hands_nothing_out_early() {
        let mut line = open();
        for id in 1..=5 {
            line.insert(waiting(10 * id, id, id as u32));
        }
        assert_eq!(line.take(at(60)).map(|taken| taken.id.number()), Some(1));
        assert_eq!(line.take(at(5)), None);
        assert_eq!(ids(&mut line, 30), [2, 3]);
        assert_eq!(line.next(), Some(at(40)));
        assert_eq!(ids(&mut line, 60), [4, 5]);
    }

    impl Waiting {
        fn number_of(&self) -> u32 {
            self.sender_key.number()
        }
    }

    proptest! {
        #[test]
        fn all_that_is_due_comes_out_once_each_sender_in_its_order(
            arrivals in prop::collection::vec((0u64..50, 0u32..5), 0..60), now in 0u64..60,
        ) {
            let mut line = open();
            for (id, (due, sender)) in (1u64..).zip(&arrivals) {
                line.insert(waiting(*due, id, *sender));
            }
            let taken: Vec<Waiting> = std::iter::from_fn(|| line.take(at(now))).collect();
            prop_assert_eq!(taken.len(), arrivals.iter().filter(|(due, _)| *due <= now).count());
            let mut left: BTreeMap<SenderKey, usize> = BTreeMap::new();
            taken.iter().for_each(|taken| *left.entry(taken.sender_key).or_default() += 1);
            let mut before: BTreeMap<SenderKey, Waiting> = BTreeMap::new();
            for (place, one) in taken.iter().enumerate() {
                if let Some(before) = before.insert(one.sender_key, *one) {
                    prop_assert!(before < *one);
                }
                // Nobody is served twice while another sender waits.
                let again = taken.get(place + 1).is_some_and(|next| next.sender_key == one.sender_key);
                *left.entry(one.sender_key).or_default() -= 1;
                let others = left.iter().any(|(sender, left)| *sender != one.sender_key && *left > 0);
                prop_assert!(!(again && others));
            }
            let all = line.waiting(None, usize::MAX);
            prop_assert_eq!(all.len() + taken.len(), arrivals.len());
        }

        #[test]
        fn what_waits_is_seen_once_in_pieces(
            arrivals in prop::collection::vec((0u64..50, 0u32..5), 0..60), now in 0u64..60, taken in 0usize..20,
        ) {
            let mut line = open();
            for (id, (due, by)) in (1u64..).zip(&arrivals) {
                line.insert(waiting(*due, id, *by));
            }
            // Some of what is due has taken its place among the senders' turns.
            for _ in 0..taken {
                let _ = line.take(at(now));
            }
            let (mut cursor, mut seen) = (None, Vec::new());
            for _ in 0..=arrivals.len() {
                let piece = line.waiting(cursor, 3);
                let Some(last) = piece.last() else { break };
                cursor = Some(line.cursor(last));
                seen.extend(piece);
            }
            prop_assert_eq!(seen, line.waiting(None, usize::MAX));
        }
    }
}
