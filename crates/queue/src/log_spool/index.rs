//! The index in memory: where each message's records stand, and what of it waits, is under way or is held.
//!
//! Invariants: it says what is durable, but for claims and times put off by `release`, which are memory only; a
//! delivery is in the agenda exactly when it is free, not held and not finished; `live` counts the octets of every
//! record that a place here refers to.

mod claims;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;

use smtp::time::WallTime;

use foldhash::HashMap;

use super::agenda::{Agenda, Slot};
use super::digest::{Digest, Summary};
use super::entry::{Entry, Hand, Message, Pending, StateSummary};

use super::line::Waiting;
use super::record::Place;
use crate::delivery::{Delivery, DeliveryState, Phase};
use crate::message::Destination;
use crate::postmaster::{Order, Query};
use crate::queue_id::QueueId;
use crate::sender::SenderKey;

/// A delivery: its message and its number there.
pub(super) type Key = (QueueId, u32);

/// A record that a place of the index refers to: a message's, or with a number that delivery's state.
pub(super) type LiveRecord = (QueueId, Option<u32>, Place);

/// A delivery as a reader sees it.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) destination: Destination,
    pub(super) phase: Phase,
    pub(super) attempts: u32,
    pub(super) due: WallTime,
    pub(super) received: WallTime,
    pub(super) pending: Vec<u32>,
    pub(super) state: Option<Place>,
}

/// Most deliveries of one message: each recipient alone, each split off by orders several times (ours: a damaged
/// number must not fill the memory).
const DELIVERIES_MAX: u32 = 1_000_000;

#[derive(Debug, Default)]
pub(super) struct Index {
    messages: BTreeMap<QueueId, Message>,
    agenda: Agenda,
    claims: HashMap<Key, (u64, Slot)>,
    last_claim: u64,
    /// Orders for deliveries that are in somebody's hands.
    wishes: HashMap<Key, Vec<(Order, Vec<u32>)>>,
    /// States whose message comes later in the log, because that was moved.
    orphans: HashMap<QueueId, Vec<(Place, u32, StateSummary)>>,
    live: BTreeMap<NonZeroU32, u64>,
    live_octets: u64,
    damaged: BTreeSet<QueueId>,
}

impl Index {
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn contains(&self, id: QueueId) -> bool {
        self.messages.contains_key(&id)
    }

    pub(super) fn is_damaged(&self, id: QueueId) -> bool {
        self.damaged.contains(&id)
    }

    pub(super) fn set_damaged(&mut self, id: QueueId) {
        self.damaged.insert(id);
    }

    pub(super) fn live_octets(&self) -> u64 {
        self.live_octets
    }

    pub(super) fn live_in(&self, segment: NonZeroU32) -> u64 {
        self.live.get(&segment).copied().unwrap_or(0)
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = QueueId> {
        self.messages.keys().copied()
    }

    /// Whether the message has a large body.
    pub(super) fn is_large(&self, id: QueueId) -> bool {
        self.messages.get(&id).is_some_and(|message| message.large)
    }

    pub(super) fn large_ids(&self) -> impl Iterator<Item = QueueId> {
        self.messages.iter().filter(|(_, message)| message.large).map(|(id, _)| *id)
    }

    fn count_live(&mut self, place: Place) {
        *self.live.entry(place.segment).or_default() += u64::from(place.length);
        self.live_octets += u64::from(place.length);
    }

    fn count_dead(&mut self, place: Place) {
        let octets = u64::from(place.length);
        self.live_octets = self.live_octets.saturating_sub(octets);
        if let Some(live) = self.live.get_mut(&place.segment) {
            *live = live.saturating_sub(octets);
            if *live == 0 {
                self.live.remove(&place.segment);
            }
        }
    }

    /// Takes in a durable record; for a message that is gone, whether it had a large body.
    pub(super) fn apply(&mut self, digest: Digest) -> Option<bool> {
        match digest {
            Digest::Message { id, place, summary } => self.put_message(id, place, summary),
            Digest::State { id, place, number, state } => self.put_state(id, Some(place), number, &state),
            Digest::Gone { id } => return self.remove(id),
            Digest::Mark { .. } => {}
        }
        None
    }

    fn put_message(&mut self, id: QueueId, place: Place, summary: Summary) {
        self.count_live(place);
        if let Some(message) = self.messages.get_mut(&id) {
            let old = std::mem::replace(&mut message.place, place);
            self.count_dead(old);
            return;
        }
        let Summary { received, size_octets, large, held, sender_key, groups } = summary;
        let mut entries = groups.iter().map(|(destination, recipients)| Entry {
            due: received,
            slot: self.agenda.refer(destination),
            attempts: 0,
            state: None,
            pending: Pending::new(recipients),
            hand: Hand::Free,
            held,
        });
        let Some(first) = entries.next() else { return };
        let more = entries.collect();
        let message = Message { place, received, size_octets, large, sender_key, first, more };
        for (number, entry) in message.entries().filter(|(_, entry)| entry.waits()) {
            self.agenda.insert(entry.slot, Waiting { due: entry.due, id, number, sender_key });
        }
        self.messages.insert(id, message);
        for (place, number, state) in self.orphans.remove(&id).unwrap_or_default() {
            // It was counted as live when it came.
            self.count_dead(place);
            self.put_state(id, Some(place), number, &state);
        }
    }

    /// A delivery's new state, which also puts it back into nobody's hands. Without a place the state is not on disk.
    pub(super) fn put_state(&mut self, id: QueueId, place: Option<Place>, number: u32, state: &StateSummary) {
        if let Some(place) = place {
            self.count_live(place);
        }
        if !self.messages.contains_key(&id) {
            if let Some(place) = place {
                self.orphans.entry(id).or_default().push((place, number, state.clone()));
            }
            return;
        }
        self.extend_to(id, number);
        self.end_claim((id, number));
        let slot = self.agenda.refer(&state.destination);
        let Some((sender_key, entry)) = self.entry_mut((id, number)) else {
            self.agenda.forget(slot);
            return;
        };
        let waited = entry.waits().then_some(entry.due);
        let old_slot = std::mem::replace(&mut entry.slot, slot);
        entry.pending = state.pending.clone();
        (entry.due, entry.attempts, entry.held, entry.hand) =
            (state.due, state.attempts, state.held, Hand::Free);
        let old = if place.is_some() { std::mem::replace(&mut entry.state, place) } else { None };
        if let Some(due) = waited {
            self.agenda.remove(old_slot, &Waiting { due, id, number, sender_key });
        }
        self.agenda.forget(old_slot);
        self.rejoin((id, number));
        if let Some(old) = old {
            self.count_dead(old);
        }
    }

    /// Makes room for delivery `number`; those before it that were never heard of are finished.
    fn extend_to(&mut self, id: QueueId, number: u32) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        while message.count() <= number && number < DELIVERIES_MAX {
            let destination = self.agenda.destination(message.first.slot);
            let slot = self.agenda.refer(&destination);
            let (due, pending) = (message.received, Pending::None);
            let entry = Entry { due, slot, attempts: 0, state: None, pending, hand: Hand::Free, held: false };
            let mut more = std::mem::take(&mut message.more).into_vec();
            more.push(entry);
            message.more = more.into();
        }
    }

    /// The message is gone; whether it had a large body.
    pub(super) fn remove(&mut self, id: QueueId) -> Option<bool> {
        self.damaged.remove(&id);
        for (place, ..) in self.orphans.remove(&id).unwrap_or_default() {
            self.count_dead(place);
        }
        let message = self.messages.remove(&id)?;
        self.count_dead(message.place);
        for (number, entry) in message.entries() {
            if entry.waits() {
                let sender_key = message.sender_key;
                self.agenda.remove(entry.slot, &Waiting { due: entry.due, id, number, sender_key });
            }
            if self.claims.remove(&(id, number)).is_some() {
                self.agenda.give_back(entry.slot);
            }
            self.agenda.forget(entry.slot);
            self.wishes.remove(&(id, number));
            if let Some(place) = entry.state {
                self.count_dead(place);
            }
        }
        Some(message.large)
    }

    /// States that no message claimed: the message's record is lost.
    pub(super) fn drop_orphans(&mut self) {
        let orphans = std::mem::take(&mut self.orphans);
        for (place, ..) in orphans.into_values().flatten() {
            self.count_dead(place);
        }
    }

    /// Takes no more memory than what is there needs: what was inserted in order, as at a start, fills its nodes by half.
    pub(super) fn compact(&mut self) {
        let mut messages = std::mem::take(&mut self.messages);
        if let Some((id, message)) = messages.pop_first() {
            self.messages.insert(id, message);
            self.messages.append(&mut messages);
        }
        self.agenda.compact();
    }

    /// A record was written again elsewhere: the message's, or with a number that delivery's state.
    pub(super) fn moved(&mut self, id: QueueId, number: Option<u32>, old: Place, new: Place) {
        let Some(message) = self.messages.get_mut(&id) else { return };
        let place = match number {
            None => Some(&mut message.place),
            Some(number) => message.entry_mut(number).and_then(|entry| entry.state.as_mut()),
        };
        if let Some(place) = place.filter(|place| **place == old) {
            *place = new;
            self.count_live(new);
            self.count_dead(old);
        }
    }

    /// The live records in a segment of at most `messages_max` messages after `after`, up to about `octets_max`; and
    /// where to go on, `None` when all messages were looked at.
    pub(super) fn records_in(
        &self,
        segment: NonZeroU32,
        after: Option<QueueId>,
        messages_max: usize,
        octets_max: u64,
    ) -> (Vec<LiveRecord>, Option<QueueId>) {
        use std::ops::Bound::{Excluded, Unbounded};
        let mut records = Vec::new();
        let mut octets = 0;
        let start = after.map_or(Unbounded, Excluded);
        for (looked, (&id, message)) in self.messages.range((start, Unbounded)).enumerate() {
            let states = message.entries().filter_map(|(number, entry)| Some((Some(number), entry.state?)));
            for (number, place) in std::iter::once((None, message.place)).chain(states) {
                if place.segment == segment {
                    records.push((id, number, place));
                    octets += u64::from(place.length);
                }
            }
            if looked + 1 >= messages_max || octets >= octets_max {
                return (records, Some(id));
            }
        }
        (records, None)
    }

    /// Whether the delivery is claimed by whoever holds this value of it.
    pub(super) fn is_claimed(&self, delivery: &Delivery) -> bool {
        let key = (delivery.id, delivery.number);
        let entry = self.messages.get(&delivery.id).and_then(|message| message.entry(delivery.number));
        self.claims.get(&key).is_some_and(|(claim, _)| *claim == delivery.claim)
            && entry.is_some_and(|entry| entry.hand == Hand::Claimed)
    }

    /// Puts a claimed delivery back; false when orders wait for it, which then have it in hand.
    pub(super) fn release(&mut self, delivery: &Delivery, until: WallTime) -> bool {
        if !self.is_claimed(delivery) {
            return true;
        }
        let (id, number) = (delivery.id, delivery.number);
        self.end_claim((id, number));
        let wished = self.wishes.contains_key(&(id, number));
        if let Some((_, entry)) = self.entry_mut((id, number)) {
            entry.due = until;
            entry.hand = if wished { Hand::Committing } else { Hand::Free };
        }
        self.rejoin((id, number));
        !wished
    }

    /// A free delivery is taken in hand for a new state; false when it is in somebody's hands or finished.
    pub(super) fn take_in_hand(&mut self, (id, number): Key) -> bool {
        let Some((sender_key, entry)) = self.entry_mut((id, number)) else { return false };
        if entry.hand != Hand::Free || entry.pending.as_slice().is_empty() {
            return false;
        }
        let (waits, slot) = (entry.waits(), entry.slot);
        let waiting = Waiting { due: entry.due, id, number, sender_key };
        entry.hand = Hand::Committing;
        if waits {
            self.agenda.remove(slot, &waiting);
        }
        true
    }

    /// A delivery and whose turn it takes.
    fn entry_mut(&mut self, (id, number): Key) -> Option<(SenderKey, &mut Entry)> {
        let message = self.messages.get_mut(&id)?;
        Some((message.sender_key, message.entry_mut(number)?))
    }

    /// Puts a delivery into the agenda if it waits.
    fn rejoin(&mut self, (id, number): Key) {
        let Some((sender_key, entry)) = self.entry_mut((id, number)) else { return };
        if entry.waits() {
            let (slot, due) = (entry.slot, entry.due);
            self.agenda.insert(slot, Waiting { due, id, number, sender_key });
        }
    }

    /// After a state was put: when orders came meanwhile, the delivery is in hand again for them.
    pub(super) fn has_wishes(&mut self, key: Key) -> bool {
        if !self.wishes.contains_key(&key) {
            return false;
        }
        let taken = self.take_in_hand(key);
        if !taken {
            self.wishes.remove(&key);
        }
        taken
    }

    /// Says that a delivery's next state is on its way; whether the message is finished with it.
    pub(super) fn commit_hand(&mut self, (id, number): Key, finished: bool) -> bool {
        let Some(message) = self.messages.get_mut(&id) else { return false };
        if let Some(entry) = message.entry_mut(number) {
            entry.hand = if finished { Hand::Ending } else { Hand::Committing };
        }
        finished
            && message.entries().all(|(other, entry)| {
                other == number
                    || entry.hand == Hand::Ending
                    || entry.hand == Hand::Free && entry.pending.as_slice().is_empty()
            })
    }

    /// A new delivery of the message, in hand, for recipients that an order splits off.
    pub(super) fn add_delivery(&mut self, id: QueueId) -> Option<u32> {
        let number = self.messages.get(&id)?.count();
        self.extend_to(id, number);
        self.messages.get_mut(&id)?.entry_mut(number)?.hand = Hand::Committing;
        Some(number)
    }

    /// Keeps an order for a delivery that is in somebody's hands; how many recipients it is for.
    pub(super) fn wish(&mut self, (id, number): Key, order: &Order, recipients: &[u32]) -> u64 {
        let Some(entry) = self.messages.get(&id).and_then(|message| message.entry(number)) else { return 0 };
        let pending = entry.pending.as_slice();
        let meant: Vec<u32> =
            recipients.iter().copied().filter(|recipient| pending.binary_search(recipient).is_ok()).collect();
        let count = meant.len() as u64;
        if count > 0 && entry.hand != Hand::Free {
            self.wishes.entry((id, number)).or_default().push((order.clone(), meant));
            return count;
        }
        0
    }

    pub(super) fn take_wishes(&mut self, key: Key) -> Vec<(Order, Vec<u32>)> {
        self.wishes.remove(&key).unwrap_or_default()
    }

    /// A delivery's state without replies, and where its record stands.
    pub(super) fn state(&self, (id, number): Key) -> Option<(DeliveryState, Option<Place>)> {
        let entry = self.messages.get(&id)?.entry(number)?;
        let state = DeliveryState {
            destination: self.agenda.destination(entry.slot),
            held: entry.held,
            due: entry.due,
            attempts: entry.attempts,
            pending: entry.pending.as_slice().iter().map(|&recipient| (recipient, None)).collect(),
        };
        Some((state, entry.state))
    }

    pub(super) fn message_place(&self, id: QueueId) -> Option<Place> {
        self.messages.get(&id).map(|message| message.place)
    }

    /// The message's deliveries in the order of their numbers.
    pub(super) fn views(&self, id: QueueId) -> Vec<View> {
        let Some(message) = self.messages.get(&id) else { return Vec::new() };
        message.entries().map(|(_, entry)| self.view(message, entry)).collect()
    }

    /// Whether something of a message may match, as far as the index knows.
    pub(super) fn may_match(&self, query: &Query, id: QueueId) -> bool {
        let Some(message) = self.messages.get(&id) else { return false };
        query.matches_received(message.received)
            && message
                .entries()
                .any(|(_, entry)| query.matches_delivery(&self.agenda.destination(entry.slot), entry.phase()))
    }

    fn view(&self, message: &Message, entry: &Entry) -> View {
        View {
            destination: self.agenda.destination(entry.slot),
            phase: entry.phase(),
            attempts: entry.attempts,
            due: entry.due,
            received: message.received,
            pending: entry.pending.as_slice().to_vec(),
            state: entry.state,
        }
    }

    /// The ids of at most `limit` messages after `after`, and each one's octets and time of receipt.
    pub(super) fn page(&self, after: Option<QueueId>, limit: usize) -> Vec<(QueueId, u64, WallTime)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.messages
            .range((after.map_or(Unbounded, Excluded), Unbounded))
            .take(limit)
            .map(|(id, message)| (*id, message.size_octets, message.received))
            .collect()
    }
}
