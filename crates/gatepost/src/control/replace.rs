//! Recipients that something else takes the place of: mail to another address, or a DSN to the sender.
//!
//! Invariants: what takes its place is durable before a recipient is dropped, so a crash loses nothing; the recipient is
//! held meanwhile, so it is not delivered beside. A recipient whose attempt is under way is left alone and said so.

use std::collections::HashSet;
use std::sync::Arc;

use queue::body::{Body, StoredMessage};
use queue::delivery::Phase;
use queue::message::{Destination, Draft, QueuedRecipient};
use queue::postmaster::{Entry, Order, Query};
use queue::spool::{Spool, SpoolError};
use queue::wait::block_on;
use smtp::address::{ForwardPath, Mailbox};

use super::answer::{Done, Failure, FailureKind};
use super::ordering::{Ends, exact};
use super::request::Selection;
use super::service::{Program, Service};
use crate::deliver::anew;
use crate::mailboxes::{self, Resolved, Undeliverable};
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
        let path = ForwardPath::Mailbox(mailbox.clone());
        let looked_up = program.runtime().block_on(site.look_up(|known| drop(known.resolve(&path))));
        let resolved = site.directory.with(&looked_up).resolve(&path);
        if let Some(why) = resolved.iter().find_map(unsure) {
            let why = format!("cannot tell now what {mailbox} means, try again later: {why}");
            return Err(Failure::new(FailureKind::Unavailable, why));
        }
        let missing = |end: &Resolved| matches!(end.destination, mailboxes::Destination::Undeliverable(_));
        if resolved.is_empty() || resolved.iter().any(missing) {
            return Err(Failure::usage(format!(
                "mail for {mailbox} can't be delivered here: see its domain's mailboxes"
            )));
        }
        Ok(Self { site, by: By::Recipients(resolved) })
    }
}

/// Why it can't be known what an address means.
fn unsure(end: &Resolved) -> Option<&str> {
    match &end.destination {
        mailboxes::Destination::Undeliverable(Undeliverable::Unsure(why)) => Some(why),
        _ => None,
    }
}

/// The mailboxes that are to get the message anyway, by recipients other than those with these places. One that is finished
/// may have been dropped or given up: better that it comes twice than never.
fn on_their_way<'a>(stored: &'a StoredMessage, replaced: &[u32]) -> HashSet<&'a Mailbox> {
    let recipients = (0u32..).zip(stored.message.recipients.iter().zip(&stored.recipients));
    recipients
        .filter(|(index, (_, state))| {
            state.phase != Phase::Finished && replaced.binary_search(index).is_err()
        })
        .map(|(_, (recipient, _))| &recipient.mailbox)
        .collect()
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
                let replaced: Vec<_> =
                    recipients.iter().map(|recipient| (*recipient, resolved.as_slice())).collect();
                let have_it = on_their_way(&stored, &indexes);
                let parts = anew::parts(&replacement.site.config, &stored.message, &replaced, &have_it);
                let why = "redirected: the message is queued anew for another recipient";
                self.program.runtime().block_on(anew::enqueue(&*self.spool, &stored, parts, why))?;
                0
            }
        };
        Ok((places, bounced))
    }

    /// Queues the DSNs on the recipients with these places in the message, if the sender wants any; how many.
    fn bounce(&self, site: &Site, stored: &StoredMessage, indexes: &[u32]) -> Result<u64, SpoolError> {
        let now = clock::wall();
        let notices = deliver::given_up(site, stored, indexes, REMOVED, now, deliver::random());
        let drafts = self.program.runtime().block_on(notices);
        let bounced = drafts.len() as u64;
        // One at a time: their bodies together may be more than is taken at once.
        for Draft { message, body } in drafts {
            block_on(self.spool.enqueue(self.spool.allot(now), message, Body::Memory(body)))?;
        }
        Ok(bounced)
    }
}

/// Queries for exactly those recipients of an entry that are wanted, one each, wherever they stand by now.
fn exactly(entry: &Entry, wanted: &dyn Fn(&Ends) -> bool) -> Vec<Query> {
    entry.recipients.iter().filter(|ends| wanted(ends)).filter_map(|ends| exact(entry, ends)).collect()
}
