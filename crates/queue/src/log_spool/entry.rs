//! What the index keeps of one message and its deliveries: about 160 octets for a message to one recipient, its places in
//! the maps included, after a start; about 250 when it came since.

use foldhash::HashSet;
use smtp::time::WallTime;

use super::agenda::Slot;
use super::record::Place;
use crate::delivery::{DeliveryState, Phase};
use crate::message::Destination;
use crate::sender::SenderKey;

/// Recipients that are not done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Pending {
    #[default]
    None,
    One(u32),
    Many(Box<[u32]>),
}

impl Pending {
    pub(super) fn new(recipients: &[u32]) -> Self {
        match recipients {
            [] => Self::None,
            [one] => Self::One(*one),
            many => Self::Many(many.into()),
        }
    }

    pub(super) fn as_slice(&self) -> &[u32] {
        match self {
            Self::None => &[],
            Self::One(recipient) => std::slice::from_ref(recipient),
            Self::Many(recipients) => recipients,
        }
    }
}

/// A delivery's state as the index keeps it: without replies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StateSummary {
    pub(super) destination: Destination,
    pub(super) held: bool,
    pub(super) due: WallTime,
    pub(super) attempts: u32,
    pub(super) pending: Pending,
}

impl StateSummary {
    pub(super) fn of(state: &DeliveryState) -> Self {
        let pending: Vec<u32> = state.pending.iter().map(|(recipient, _)| *recipient).collect();
        Self {
            destination: state.destination.clone(),
            held: state.held,
            due: state.due,
            attempts: state.attempts,
            pending: Pending::new(&pending),
        }
    }
}

/// The destinations that records of a segment name, each of them kept once.
#[derive(Debug, Default)]
pub(super) struct Destinations(HashSet<Destination>);

impl Destinations {
    pub(super) fn named(&mut self, key: &str) -> Destination {
        if let Some(known) = self.0.get(key) {
            return known.clone();
        }
        let destination = Destination::new(key);
        self.0.insert(destination.clone());
        destination
    }
}

/// In whose hands a delivery is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hand {
    /// Nobody's.
    Free,
    /// A claimant's.
    Claimed,
    /// A new state of it is on its way to the disk.
    Committing,
    /// As before, and in that state it is finished.
    Ending,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) due: WallTime,
    pub(super) slot: Slot,
    pub(super) attempts: u32,
    pub(super) state: Option<Place>,
    pub(super) pending: Pending,
    pub(super) hand: Hand,
    pub(super) held: bool,
}

impl Entry {
    pub(super) fn waits(&self) -> bool {
        self.hand == Hand::Free && !self.held && !self.pending.as_slice().is_empty()
    }

    pub(super) fn phase(&self) -> Phase {
        match (self.pending.as_slice().is_empty(), self.hand, self.held) {
            (true, ..) => Phase::Finished,
            (_, Hand::Free, true) => Phase::Held,
            (_, Hand::Free, false) => Phase::Waiting,
            _ => Phase::UnderWay,
        }
    }
}

#[derive(Debug)]
pub(super) struct Message {
    pub(super) place: Place,
    pub(super) received: WallTime,
    pub(super) size_octets: u64,
    pub(super) large: bool,
    pub(super) sender_key: SenderKey,
    pub(super) first: Entry,
    /// The other deliveries; most messages have none.
    pub(super) more: Box<[Entry]>,
}

impl Message {
    pub(super) fn entries(&self) -> impl Iterator<Item = (u32, &Entry)> {
        (0..).zip(std::iter::once(&self.first).chain(self.more.iter()))
    }

    pub(super) fn entry(&self, number: u32) -> Option<&Entry> {
        match number.checked_sub(1) {
            None => Some(&self.first),
            Some(other) => self.more.get(other as usize),
        }
    }

    pub(super) fn entry_mut(&mut self, number: u32) -> Option<&mut Entry> {
        match number.checked_sub(1) {
            None => Some(&mut self.first),
            Some(other) => self.more.get_mut(other as usize),
        }
    }

    pub(super) fn count(&self) -> u32 {
        1 + self.more.len() as u32
    }
}
