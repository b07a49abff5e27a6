//! What the committer makes of each job: the records that it takes.

use super::committer::{Answer, Committer, Part, Says};
use super::entry::StateSummary;
use super::index::Key;
use super::payload::put_state;
use super::shared::{Job, Prepared, Target};
use crate::body::Unkept;
use crate::delivery::{Delivery, DeliveryState, RecipientOutcome};
use crate::disk::Disk;
use crate::postmaster::Order;
use crate::queue_id::QueueId;
use crate::spool::{NoRoom, SpoolError};
use crate::wait::{Sender, lock};

impl<D: Disk> Committer<D> {
    pub(super) fn take(&mut self, job: Job) {
        match job {
            Job::Accept { messages, answer } => self.accept(messages, answer),
            Job::Settle { delivery, outcomes, notices, answer } => {
                self.settle(&delivery, outcomes, notices, answer);
            }
            Job::Order { targets, order, answer } => self.order(&targets, &order, answer),
            Job::Wishes(key) => {
                let wishes = lock(&self.shared.index).take_wishes(key);
                // Nobody waits: whoever gave the order was told that it is carried out later.
                let _ = self.obey(key, &wishes);
            }
        }
    }

    fn accept(&mut self, messages: Vec<(Prepared, Option<Unkept>)>, answer: Sender<Result<(), SpoolError>>) {
        let is_taken = |id| self.group.accepting.contains(&id) || lock(&self.shared.index).contains(id);
        if let Some(taken) = messages.iter().map(|(message, _)| message.id).find(|id| is_taken(*id)) {
            for (message, large) in messages {
                // The file, if there is one, is the other message's by its name.
                if let Some(large) = large.filter(|_| message.id == taken) {
                    large.keep();
                }
            }
            answer.send(Err(SpoolError::Taken(taken)));
            return;
        }
        let ids: Vec<QueueId> = messages.iter().map(|(message, _)| message.id).collect();
        let (parts, large): (Vec<Part>, Vec<Option<Unkept>>) =
            messages.into_iter().map(|(message, large)| (Part::from(message), large)).unzip();
        let written = if self.spares.is_empty() {
            Err(SpoolError::NoRoom(NoRoom::Reserve))
        } else {
            self.write(parts, false).map_err(|(error, _)| error)
        };
        match written {
            Ok(()) => {
                self.group.accepting.extend(ids);
                let large = large.into_iter().flatten().collect();
                self.group.answers.push(Answer::Accepted(answer, large));
            }
            Err(error) => answer.send(Err(error)),
        }
    }

    fn settle(
        &mut self,
        delivery: &Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Prepared>,
        answer: Sender<Result<Vec<QueueId>, SpoolError>>,
    ) {
        let key = (delivery.id, delivery.number);
        let (mut state, wishes) = {
            let mut index = lock(&self.shared.index);
            if !index.is_claimed(delivery) {
                answer.send(Err(SpoolError::NotClaimed(delivery.id)));
                return;
            }
            let Some((state, _)) =
                index.state(key).filter(|(state, _)| state.pending.len() == outcomes.len())
            else {
                answer.send(Err(SpoolError::Outcomes(delivery.id)));
                return;
            };
            (state, index.take_wishes(key))
        };
        state.settle(outcomes);
        let mut parts = self.next_states(key, state, &wishes).1;
        let ids: Vec<QueueId> = notices.iter().map(|notice| notice.id).collect();
        parts.extend(notices.into_iter().map(Part::from));
        match self.write(parts, true) {
            Ok(()) => self.group.answers.push(Answer::Settled(answer, ids)),
            Err((error, parts)) => {
                self.refuse(parts);
                answer.send(Err(error));
            }
        }
    }

    fn order(&mut self, targets: &[Target], order: &Order, answer: Sender<Result<u64, SpoolError>>) {
        let mut count = 0;
        for target in targets {
            let in_hand = {
                let mut index = lock(&self.shared.index);
                let in_hand = index.take_in_hand(target.key);
                if !in_hand {
                    count += index.wish(target.key, order, &target.recipients);
                }
                in_hand
            };
            if in_hand {
                match self.obey(target.key, &[(order.clone(), target.recipients.clone())]) {
                    Ok(obeyed) => count += obeyed,
                    Err(error) => {
                        answer.send(Err(error));
                        return;
                    }
                }
            }
        }
        self.group.answers.push(Answer::Ordered(answer, count));
    }

    /// Carries out orders on a delivery that is in our hands; on how many recipients.
    fn obey(&mut self, key: Key, orders: &[(Order, Vec<u32>)]) -> Result<u64, SpoolError> {
        let state = lock(&self.shared.index).state(key);
        let Some((mut state, place)) = state else { return Ok(0) };
        let mut replies = place.map(|place| self.shared.replies(place)).unwrap_or_default();
        for (recipient, reply) in &mut state.pending {
            *reply = replies.remove(recipient).flatten();
        }
        let (count, parts) = self.next_states(key, state, orders);
        self.write(parts, true).map(|()| count).map_err(|(error, parts)| {
            self.refuse(parts);
            error
        })
    }

    /// The records of a delivery's next state after `orders`, or of the end of its message; and how many recipients the
    /// orders met.
    fn next_states(
        &mut self,
        (id, number): Key,
        mut state: DeliveryState,
        orders: &[(Order, Vec<u32>)],
    ) -> (u64, Vec<Part>) {
        let mut count = 0;
        let mut splits: Vec<DeliveryState> = Vec::new();
        for (order, recipients) in orders {
            let mut new = Vec::new();
            for state in std::iter::once(&mut state).chain(&mut splits) {
                let (obeyed, split) = state.order(order, recipients);
                count += obeyed;
                new.extend(split);
            }
            splits.append(&mut new);
        }
        splits.retain(|split| !split.pending.is_empty());
        let mut index = lock(&self.shared.index);
        let finished = state.pending.is_empty() && splits.is_empty();
        if index.commit_hand((id, number), finished) {
            let gone = Part { id: Some(id), head: Vec::new(), body: Vec::new(), says: Says::Gone };
            return (count, vec![gone]);
        }
        let mut parts = vec![state_part(id, number, &state)];
        for split in splits {
            if let Some(number) = index.add_delivery(id) {
                parts.push(state_part(id, number, &split));
            }
        }
        (count, parts)
    }
}

pub(super) fn state_part(id: QueueId, number: u32, state: &DeliveryState) -> Part {
    let mut head = Vec::new();
    put_state(&mut head, number, state);
    Part { id: Some(id), head, body: Vec::new(), says: Says::State(number, StateSummary::of(state)) }
}

impl From<Prepared> for Part {
    fn from(prepared: Prepared) -> Self {
        let Prepared { id, head, body, summary } = prepared;
        Self { id: Some(id), head, body, says: Says::Message(summary) }
    }
}
