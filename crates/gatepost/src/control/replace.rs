//! Recipients that something else takes the place of: mail to another address, or a DSN to the sender.
//!
//! Invariants: what takes its place is durable before a recipient is dropped, so a crash loses nothing; the recipient is
//! held meanwhile, so it is not delivered beside. A recipient whose attempt is under way is left alone and said so.

use std::sync::Arc;

use queue::body::{Body, StoredMessage};
use queue::delivery::Phase;
use queue::message::{Destination, QueuedMessage, QueuedRecipient};
use queue::postmaster::{Entry, Order, Query};
use queue::spool::{Arrival, Spool, SpoolError};
use queue::wait::block_on;
use smtp::address::{ForwardPath, Mailbox, ReversePath};

use super::answer::{Done, Failure, FailureKind};
use super::copy::copied;
use super::ordering::{Ends, exact};
use super::request::Selection;
use super::service::{Program, Service};
use crate::mailboxes::{self, Resolved};
use crate::site::Site;
use crate::{clock, deliver};

/// What the sender of a message that was dropped is told.
const REMOVED: (&str, &str) = ("5.0.0", "the postmaster has removed the message from the queue");

/// What takes the place of recipients.
#[derive(Debug)]
pub(super) struct Replacement {
    site: Arc<Site>,
    by: By,
}

#[derive(Debug)]
enum By {
    Bounce,
    /// Mail for these instead.
    Recipients(Vec<Resolved>),
}

impl Replacement {
    pub(super) fn bounce(program: &dyn Program) -> Result<Self, Failure> {
        Ok(Self { site: site(program)?, by: By::Bounce })
    }

    pub(super) fn other_mailbox(program: &dyn Program, mailbox: &Mailbox) -> Result<Self, Failure> {
        let site = site(program)?;
        let resolved = site.directory.resolve(&ForwardPath::Mailbox(mailbox.clone()));
        let missing = |end: &Resolved| matches!(end.destination, mailboxes::Destination::Undeliverable(_));
        if resolved.is_empty() || resolved.iter().any(missing) {
            return Err(Failure::usage(format!(
                "mail for {mailbox} can't be delivered here: see its domain's mailboxes"
            )));
        }
        Ok(Self { site, by: By::Recipients(resolved) })
    }
}

fn site(program: &dyn Program) -> Result<Arc<Site>, Failure> {
    program.site().map_err(|why| Failure::new(FailureKind::Unavailable, why))
}

impl<S: Spool> Service<S> {
    /// Replaces the recipients of an entry; how many DSNs were queued.
    pub(super) fn replace(
        &self,
        replacement: &Replacement,
        selection: &Selection,
        entry: &Entry,
        done: &mut Done,
    ) -> Result<u64, SpoolError> {
        let entire = selection.is_of_messages();
        let all = || vec![Query { ids: vec![entry.id], ..Query::default() }];
        let queries = |wanted: &dyn Fn(&Ends) -> bool| -> Vec<Query> { exactly(entry, wanted) };
        let hold = if entire { all() } else { queries(&|_| true) };
        for query in &hold {
            block_on(self.spool.order(query, Order::Hold))?;
        }
        let replaced = self.replace_held(replacement, entry, done);
        let is_replaced = |ends: &Ends| match &replaced {
            Ok((places, _)) => {
                places.iter().any(|(mailbox, way)| *mailbox == ends.0 && *way == ends.1.destination)
            }
            Err(_) => false,
        };
        let drops = match &replaced {
            // Each of them was held when it was looked at, so nothing else can have become of it.
            Ok((places, _)) if entire && places.len() >= entry.recipients.len() => all(),
            _ => queries(&is_replaced),
        };
        for query in drops {
            block_on(self.spool.order(&Query { phase: Some(Phase::Held), ..query }, Order::Drop))?;
        }
        for query in queries(&|ends| !is_replaced(ends) && ends.1.phase != Phase::Held) {
            block_on(self.spool.order(&query, Order::Release))?;
        }
        match replaced {
            Ok((_, bounced)) => Ok(bounced),
            Err(SpoolError::Gone(_)) => {
                done.missed += 1;
                Ok(0)
            }
            Err(SpoolError::Damaged(id)) => {
                done.missed += 1;
                done.problem(format!("{}: it can only be dropped without --bounce", SpoolError::Damaged(id)));
                Ok(0)
            }
            Err(error) => Err(error),
        }
    }

    /// Queues what takes the place of the recipients of an entry that are held by now: which these are, and how many
    /// DSNs were queued.
    fn replace_held(
        &self,
        replacement: &Replacement,
        entry: &Entry,
        done: &mut Done,
    ) -> Result<(Vec<(Mailbox, Destination)>, u64), SpoolError> {
        let stored = block_on(self.spool.open(entry.id))?;
        let meant = |recipient: &QueuedRecipient, destination: &Destination| {
            let is =
                |(mailbox, state): &Ends| *mailbox == recipient.mailbox && state.destination == *destination;
            entry.recipients.iter().any(is)
        };
        let (mut recipients, mut indexes, mut places) = (Vec::new(), Vec::new(), Vec::new());
        let ends = stored.message.recipients.iter().zip(&stored.recipients);
        for (index, (recipient, state)) in (0u32..).zip(ends) {
            if state.phase == Phase::Finished || !meant(recipient, &state.destination) {
                continue;
            }
            if state.phase == Phase::Held {
                recipients.push(recipient);
                indexes.push(index);
                places.push((recipient.mailbox.clone(), state.destination.clone()));
            } else {
                done.missed += 1;
                done.problem(format!(
                    "{}: an attempt for {} is under way; give the order again when it is over",
                    entry.id, recipient.mailbox
                ));
            }
        }
        let bounced = match &replacement.by {
            _ if recipients.is_empty() => 0,
            By::Bounce => self.bounce(&replacement.site, &stored, &indexes)?,
            By::Recipients(resolved) => {
                self.queue_for(&replacement.site, resolved, &stored, &recipients)?;
                0
            }
        };
        Ok((places, bounced))
    }

    /// Queues the DSNs on the recipients with these places in the message, if the sender wants any; how many.
    fn bounce(&self, site: &Site, stored: &StoredMessage, indexes: &[u32]) -> Result<u64, SpoolError> {
        let now = clock::wall();
        let notices = deliver::given_up(site, stored, indexes, REMOVED, now, random());
        let arrivals: Vec<Arrival> = self
            .program
            .runtime()
            .block_on(notices)
            .into_iter()
            .map(|draft| Arrival {
                id: self.spool.allot(now),
                message: draft.message,
                body: Body::Memory(draft.body),
            })
            .collect();
        let bounced = arrivals.len() as u64;
        // One at a time: their bodies together may be more than is taken at once.
        for arrival in arrivals {
            block_on(self.spool.enqueue_all(vec![arrival]))?;
        }
        Ok(bounced)
    }

    /// Queues the message for other recipients: one message for each reverse-path (RFC 5321 §3.9.2). It keeps its time
    /// of receipt, so that its lifetime goes on.
    fn queue_for(
        &self,
        site: &Site,
        resolved: &[Resolved],
        stored: &StoredMessage,
        replaced: &[&QueuedRecipient],
    ) -> Result<(), SpoolError> {
        let Some(recipient) = replaced.first() else { return Ok(()) };
        let mut parts: Vec<(ReversePath, Vec<QueuedRecipient>)> = Vec::new();
        for end in resolved {
            let reverse_path = end.reverse_path(&stored.message.reverse_path);
            let queued = QueuedRecipient {
                mailbox: end.mailbox.clone(),
                destination: deliver::destination(&site.config, end, &recipient.parameters),
                ..(*recipient).clone()
            };
            match parts.iter_mut().find(|(path, _)| *path == reverse_path) {
                Some((_, recipients)) => recipients.push(queued),
                None => parts.push((reverse_path, vec![queued])),
            }
        }
        for (reverse_path, recipients) in parts {
            let id = self.spool.allot(stored.message.received);
            let message = QueuedMessage { reverse_path, recipients, hold: None, ..stored.message.clone() };
            let body = copied(&*self.spool, id, stored)?;
            tracing::info!(
                target: "gatepost::control", queue_id = %stored.id, new_queue_id = %id,
                "queued for another recipient"
            );
            block_on(self.spool.enqueue(id, message, body))?;
        }
        Ok(())
    }
}

/// Queries for exactly those recipients of an entry that are wanted, one each, wherever they stand by now.
fn exactly(entry: &Entry, wanted: &dyn Fn(&Ends) -> bool) -> Vec<Query> {
    entry.recipients.iter().filter(|ends| wanted(ends)).filter_map(|ends| exact(entry, ends)).collect()
}

/// A number for the Message-ID and the boundary; without any chance the queue id keeps them apart.
fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}
