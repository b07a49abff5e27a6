//! Import: a message that was exported is queued, with its recipients as they stood.
//!
//! Invariants: it is queued whole under a new id, or not at all; the old id is never used again, since outcomes that
//! are recorded under it could end the new message. Until its recipients stand as they stood it is held, so that a
//! crash in between delivers nothing that was to wait; that it was held on arrival is seen afterwards.

use queue::message::Hold;
use queue::postmaster::{AddressPattern, Order, Query};
use queue::queue_id::QueueId;
use queue::spool::{Spool, SpoolError};
use queue::wait::block_on;

use super::answer::{Done, Failure, FailureKind, Outcome};
use super::copy::{Cut, received};
use super::envelope::{Message, MessageRecipient};
use super::form;
use super::request::Phase;
use super::service::{Asker, Service, Stop};
use crate::clock;

impl<S: Spool> Service<S> {
    pub(super) fn import(&self, message: &Message, asker: &mut dyn Asker) -> Result<Done, Stop> {
        let mut queued = message.queued().map_err(Failure::usage)?;
        self.spool.room(Some(message.size_octets)).map_err(SpoolError::NoRoom)?;
        let held_first = queued.hold;
        if needs_orders(message) {
            queued.hold = held_first.or(Some(Hold::Held));
        }
        let is_held = queued.hold.is_some();
        let recipients = queued.recipients.len() as u64;
        let id = self.spool.allot(clock::wall());
        let body = match received(&*self.spool, id, message.size_octets, asker) {
            Ok(body) => body,
            Err(Cut::Spool(error)) => return Err(error.into()),
            Err(Cut::Short(error)) => {
                let why = format!("the mail data of {} ended early: {error}", message.id);
                return Err(Failure::new(FailureKind::Unavailable, why).into());
            }
        };
        block_on(self.spool.enqueue(id, queued, body))?;
        tracing::info!(
            target: "gatepost::control", queue_id = %id, exported_as = %message.id, "a message was imported"
        );
        let mut done =
            Done { messages: 1, recipients, outcome: Some(Outcome::Imported(id)), ..Done::default() };
        if is_held && let Err(error) = self.restore(id, message) {
            done.problem(format!("{id} is queued and held, but does not stand as it stood: {error}"));
        }
        Ok(done)
    }

    /// Lets the recipients of the imported message stand as they stood.
    fn restore(&self, id: QueueId, message: &Message) -> Result<(), SpoolError> {
        let pending = || message.recipients.iter().filter(|recipient| recipient.phase != Phase::Finished);
        let orders = |query: &Query, recipient: &MessageRecipient| -> Result<(), SpoolError> {
            if recipient.goes_to != recipient.destination
                && let Ok(destination) = form::destination(&recipient.goes_to)
            {
                block_on(self.spool.order(query, Order::Redirect(destination)))?;
            }
            if let Some(due) = recipient.due {
                block_on(self.spool.order(query, Order::Retry { due: due.0 }))?;
            }
            if recipient.phase != Phase::Held {
                block_on(self.spool.order(query, Order::Release))?;
            }
            Ok(())
        };
        let stands =
            |recipient: &MessageRecipient| (recipient.goes_to.clone(), recipient.due, recipient.phase);
        let all = Query { ids: vec![id], ..Query::default() };
        let Some(first) = pending().next() else { return Ok(()) };
        if pending().all(|recipient| stands(recipient) == stands(first)) {
            return orders(&all, first);
        }
        for recipient in pending() {
            // What a mailbox prints is a pattern for it.
            let Ok(pattern) = recipient.mailbox.to_string().parse::<AddressPattern>() else { continue };
            orders(&Query { recipient: Some(pattern), ..all.clone() }, recipient)?;
        }
        Ok(())
    }
}

/// Whether a recipient stands otherwise than in a message that was just received.
fn needs_orders(message: &Message) -> bool {
    message.recipients.iter().filter(|recipient| recipient.phase != Phase::Finished).any(|recipient| {
        recipient.phase == Phase::Held
            || recipient.goes_to != recipient.destination
            || recipient.due.is_some_and(|due| due > message.received)
    })
}
