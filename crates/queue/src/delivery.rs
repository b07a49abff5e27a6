//! A delivery: the recipients of one message that go to one destination, and what becomes of them.

use smtp::time::WallTime;

use crate::message::Destination;
use crate::postmaster::Order;
use crate::queue_id::QueueId;

/// Recipients of one message that are to be delivered together, claimed from the spool. Hand it back with `settle` or
/// `release`; one that is dropped stays claimed until the spool is next opened.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a delivery that is neither settled nor released is not tried again before the spool is next opened"]
pub struct Delivery {
    /// The message.
    pub id: QueueId,
    /// Where it goes.
    pub destination: Destination,
    /// Indexes into the message's recipients, ascending.
    pub recipients: Vec<u32>,
    /// Attempts that were made before this one.
    pub attempts: u32,
    /// When the message was received.
    pub received: WallTime,
    /// When this attempt was due.
    pub due: WallTime,
    pub(crate) number: u32,
    pub(crate) claim: u64,
}

/// What became of one recipient at an attempt. Replies are kept as they are shown, on one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientOutcome {
    /// It is in the mailbox: done.
    Delivered,
    /// The next server took it: done.
    Relayed {
        /// Its reply.
        reply: String,
    },
    /// To be tried again. A delivery whose recipients have different times is due at the latest of them.
    Deferred {
        /// Not before this time.
        until: WallTime,
        /// What stood in the way.
        reply: String,
    },
    /// It will not succeed: done.
    Failed {
        /// What stood in the way.
        reply: String,
    },
    /// It was tried for as long as the schedule says: done.
    Expired {
        /// What stood in the way the last time.
        reply: String,
    },
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Waits for its time.
    Waiting,
    /// Held by the postmaster until released.
    Held,
    /// An attempt is under way.
    UnderWay,
    /// Delivered, relayed, failed, expired or dropped.
    Finished,
}

/// What the spool knows of one recipient of a stored message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientState {
    /// Where it stands.
    pub phase: Phase,
    /// Where it goes, redirections followed.
    pub destination: Destination,
    /// Attempts made.
    pub attempts: u32,
    /// When it is due (next); meaningless once finished.
    pub due: WallTime,
    /// What the last attempt met.
    pub last_reply: Option<String>,
}

/// The durable part of a delivery: what a State record holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeliveryState {
    pub(crate) destination: Destination,
    pub(crate) held: bool,
    pub(crate) due: WallTime,
    pub(crate) attempts: u32,
    /// The recipients that are not done, ascending, each with what it met last.
    pub(crate) pending: Vec<(u32, Option<String>)>,
}

impl DeliveryState {
    /// The delivery as it is when the message is received.
    pub(crate) fn first(destination: Destination, received: WallTime, recipients: &[u32]) -> Self {
        let pending = recipients.iter().map(|&recipient| (recipient, None)).collect();
        Self { destination, held: false, due: received, attempts: 0, pending }
    }

    /// Counts an attempt and drops the recipients that are done. `outcomes` stand in the order of `pending`.
    pub(crate) fn settle(&mut self, outcomes: Vec<RecipientOutcome>) {
        let mut due = None;
        let tried = std::mem::take(&mut self.pending);
        for ((recipient, _), outcome) in tried.into_iter().zip(outcomes) {
            if let RecipientOutcome::Deferred { until, reply } = outcome {
                due = due.max(Some(until));
                self.pending.push((recipient, Some(reply)));
            }
        }
        self.attempts = self.attempts.saturating_add(1);
        self.due = due.unwrap_or(self.due);
    }

    /// Carries out `order` on those of `recipients` that are pending: their number, and the delivery that they form
    /// from now on when they are not all of this one.
    pub(crate) fn order(&mut self, order: &Order, recipients: &[u32]) -> (u64, Option<Self>) {
        let (ordered, others): (Vec<_>, Vec<_>) =
            self.pending.drain(..).partition(|(recipient, _)| recipients.binary_search(recipient).is_ok());
        let count = ordered.len() as u64;
        if matches!(order, Order::Drop) {
            self.pending = others;
            return (count, None);
        }
        if ordered.is_empty() {
            self.pending = others;
            return (0, None);
        }
        if others.is_empty() {
            self.pending = ordered;
            self.obey(order);
            return (count, None);
        }
        let mut split = Self { pending: ordered, ..self.clone() };
        split.obey(order);
        self.pending = others;
        (count, Some(split))
    }

    fn obey(&mut self, order: &Order) {
        match order {
            Order::Hold => self.held = true,
            Order::Release => self.held = false,
            Order::Retry { due } => self.due = *due,
            Order::Redirect(destination) => self.destination = destination.clone(),
            Order::Drop => self.pending.clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> DeliveryState {
        DeliveryState::first(Destination::new("a"), WallTime::from_unix_millis(5), &[0, 2, 3])
    }

    fn pending(state: &DeliveryState) -> Vec<u32> {
        state.pending.iter().map(|(recipient, _)| *recipient).collect()
    }

    #[test]
    fn only_deferred_recipients_stay_and_the_latest_time_holds() {
        let mut state = state();
        let deferred = |until, reply: &str| RecipientOutcome::Deferred {
            until: WallTime::from_unix_millis(until),
            reply: reply.into(),
        };
        state.settle(vec![deferred(70, "x"), RecipientOutcome::Delivered, deferred(60, "y")]);
        assert_eq!(state.pending, [(0, Some("x".into())), (3, Some("y".into()))]);
        assert_eq!((state.due.as_unix_millis(), state.attempts), (70, 1));
    }

    #[test]
    fn an_order_on_some_recipients_splits_the_delivery() {
        let mut rest = state();
        let (count, split) = rest.order(&Order::Redirect(Destination::new("b")), &[2, 9]);
        let split = split.unwrap();
        assert_eq!((count, pending(&rest), pending(&split)), (1, vec![0, 3], vec![2]));
        assert_eq!((rest.destination.as_str(), split.destination.as_str()), ("a", "b"));
    }

    #[test]
    fn an_order_on_all_recipients_keeps_the_delivery_whole() {
        let mut state = state();
        assert_eq!(state.order(&Order::Hold, &[0, 2, 3]), (3, None));
        assert!(state.held);
        assert_eq!(state.order(&Order::Release, &[]), (0, None));
        assert!(state.held);
        assert_eq!(state.order(&Order::Drop, &[0, 3]), (2, None));
        assert_eq!(pending(&state), [2]);
    }
}
