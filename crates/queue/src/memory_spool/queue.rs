//! What the spool in memory holds, and how it hands it out: every rule spelled out, nothing kept that can be counted.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

use smtp::time::WallTime;

use crate::delivery::{Delivery, DeliveryState, Phase, RecipientState};
use crate::message::{Destination, QueuedMessage};
use crate::postmaster::{Order, Query};
use crate::queue_id::QueueId;
use crate::sender::SenderKey;
use crate::spool::{Overdue, Window};

/// A delivery that is due: since when, its message and its number there.
type Due = (WallTime, QueueId, u32);

#[derive(Default)]
pub(super) struct Queue {
    pub(super) messages: BTreeMap<QueueId, Message>,
    pub(super) windows: HashMap<Destination, Window>,
    /// Whose delivery was handed out last.
    turns: HashMap<Destination, SenderKey>,
    last_claim: u64,
}

pub(super) struct Message {
    pub(super) message: QueuedMessage,
    pub(super) body: Arc<Vec<u8>>,
    pub(super) deliveries: Vec<Line>,
}

/// A delivery of the model.
pub(super) struct Line {
    pub(super) state: DeliveryState,
    pub(super) claim: Option<u64>,
    /// Orders to be carried out when it is settled or released.
    pub(super) wishes: Vec<(Order, Vec<u32>)>,
}

impl Line {
    pub(super) fn new(state: DeliveryState) -> Self {
        Self { state, claim: None, wishes: Vec::new() }
    }

    pub(super) fn phase(&self) -> Phase {
        match (self.state.pending.is_empty(), self.claim, self.state.held) {
            (true, ..) => Phase::Finished,
            (_, Some(_), _) => Phase::UnderWay,
            (_, None, true) => Phase::Held,
            (_, None, false) => Phase::Waiting,
        }
    }

    /// Carries out the orders that waited; the deliveries that they split off.
    pub(super) fn obey_wishes(&mut self) -> Vec<Self> {
        let mut splits: Vec<DeliveryState> = Vec::new();
        for (order, recipients) in std::mem::take(&mut self.wishes) {
            let mut new = Vec::new();
            for state in std::iter::once(&mut self.state).chain(&mut splits) {
                new.extend(state.order(&order, &recipients).1);
            }
            splits.append(&mut new);
        }
        splits.into_iter().map(Self::new).collect()
    }
}

impl Message {
    pub(super) fn new(message: QueuedMessage, body: Vec<u8>) -> Self {
        let (received, held) = (message.received, message.hold.is_some());
        let first = |(destination, recipients): (_, Vec<u32>)| {
            Line::new(DeliveryState { held, ..DeliveryState::first(destination, received, &recipients) })
        };
        let deliveries = message.groups().into_iter().map(first).collect();
        Self { message, body: Arc::new(body), deliveries }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.deliveries.iter().all(|line| line.state.pending.is_empty())
    }

    pub(super) fn recipient_states(&self) -> Vec<RecipientState> {
        let state = |index: u32, destination: &Destination| {
            let find = |line: &&Line| line.state.pending.iter().any(|(recipient, _)| *recipient == index);
            let Some(line) = self.deliveries.iter().find(find) else {
                return RecipientState {
                    phase: Phase::Finished,
                    destination: destination.clone(),
                    attempts: 0,
                    due: self.message.received,
                    last_reply: None,
                };
            };
            let pending = line.state.pending.iter().find(|(recipient, _)| *recipient == index);
            RecipientState {
                phase: line.phase(),
                destination: line.state.destination.clone(),
                attempts: line.state.attempts,
                due: line.state.due,
                last_reply: pending.and_then(|(_, reply)| reply.clone()),
            }
        };
        (0u32..)
            .zip(&self.message.recipients)
            .map(|(index, recipient)| state(index, &recipient.destination))
            .collect()
    }
}

impl Queue {
    pub(super) fn take_due(
        &mut self,
        of: Option<&Destination>,
        now: WallTime,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut places: HashMap<Destination, u32> = HashMap::new();
        // What is due by destination, in the order of what is oldest there, then by whose it is.
        let mut lines: Vec<(Destination, BTreeMap<SenderKey, VecDeque<Due>>)> = Vec::new();
        let mut waiting = Vec::new();
        for (&id, message) in &self.messages {
            let sender_key = SenderKey::of(&message.message.reverse_path);
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
                    waiting.push((line.state.due, id, number, destination.clone(), sender_key));
                }
            }
        }
        waiting.sort();
        for (due, id, number, destination, sender_key) in waiting {
            let known = lines.iter().position(|(known, _)| *known == destination);
            let place = known.unwrap_or(lines.len());
            if known.is_none() {
                lines.push((destination, BTreeMap::new()));
            }
            if let Some((_, senders)) = lines.get_mut(place) {
                senders.entry(sender_key).or_default().push_back((due, id, number));
            }
        }
        self.in_turn(lines, &mut places, limit)
    }

    /// Claims what is due, destinations in turn, and senders in turn within each.
    pub(super) fn in_turn(
        &mut self,
        mut lines: Vec<(Destination, BTreeMap<SenderKey, VecDeque<Due>>)>,
        places: &mut HashMap<Destination, u32>,
        limit: usize,
    ) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < limit && !lines.is_empty() {
            lines.retain_mut(|(destination, senders)| {
                let places = places.entry(destination.clone()).or_default();
                if taken.len() >= limit || *places == 0 {
                    return *places > 0;
                }
                let last = self.turns.get(destination).copied();
                let later = last.and_then(|last| senders.range((Excluded(last), Unbounded)).next());
                let Some(next) = later.or_else(|| senders.iter().next()).map(|(key, _)| *key) else {
                    return false;
                };
                self.turns.insert(destination.clone(), next);
                let due = senders.get_mut(&next).and_then(VecDeque::pop_front);
                senders.retain(|_, due| !due.is_empty());
                *places -= 1;
                taken.extend(due);
                !senders.is_empty()
            });
        }
        taken.into_iter().filter_map(|(due, id, number)| self.claim(due, id, number)).collect()
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

    pub(super) fn window(&self, destination: &Destination) -> Window {
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

    pub(super) fn claim(&mut self, due: WallTime, id: QueueId, number: u32) -> Option<Delivery> {
        self.last_claim += 1;
        let message = self.messages.get_mut(&id)?;
        let line = message.deliveries.get_mut(number as usize)?;
        line.claim = Some(self.last_claim);
        Some(Delivery {
            id,
            destination: line.state.destination.clone(),
            recipients: line.state.pending.iter().map(|(recipient, _)| *recipient).collect(),
            attempts: line.state.attempts,
            received: message.message.received,
            due,
            number,
            claim: self.last_claim,
        })
    }

    /// The claimed delivery, and its message.
    pub(super) fn claimed(&mut self, delivery: &Delivery) -> Option<&mut Message> {
        let message = self.messages.get_mut(&delivery.id)?;
        let line = message.deliveries.get(delivery.number as usize)?;
        (line.claim == Some(delivery.claim)).then_some(message)
    }

    pub(super) fn order(&mut self, query: &Query, order: &Order) -> u64 {
        let mut count = 0;
        for (&id, message) in &mut self.messages {
            let envelope = &message.message;
            if !query.matches_id(id)
                || !query.matches_received(envelope.received)
                || !query.matches_reverse_path(&envelope.reverse_path)
            {
                continue;
            }
            let meant = |recipient: u32| {
                let recipient = envelope.recipients.get(recipient as usize);
                recipient.is_some_and(|recipient| query.matches_recipient(&recipient.mailbox))
            };
            let mut splits = Vec::new();
            for line in &mut message.deliveries {
                if !query.matches_delivery(&line.state.destination, line.phase()) {
                    continue;
                }
                let recipients: Vec<u32> = line
                    .state
                    .pending
                    .iter()
                    .map(|(recipient, _)| *recipient)
                    .filter(|r| meant(*r))
                    .collect();
                if recipients.is_empty() {
                    continue;
                }
                if line.claim.is_some() {
                    count += recipients.len() as u64;
                    line.wishes.push((order.clone(), recipients));
                } else {
                    let (obeyed, split) = line.state.order(order, &recipients);
                    count += obeyed;
                    splits.extend(split.map(Line::new));
                }
            }
            message.deliveries.append(&mut splits);
        }
        self.messages.retain(|_, message| !message.is_finished());
        count
    }
}
