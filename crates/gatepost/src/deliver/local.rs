//! Local delivery: a batch of deliveries into Maildirs, in one go on a thread that may block.
//!
//! The files of a batch are synced one by one, each Maildir's `new` once for all of them.

use std::collections::HashMap;
use std::path::PathBuf;

use queue::body::StoredMessage;
use queue::message::QueuedRecipient;
use queue::spool::SpoolError;
use smtp::address::ForwardPath;

use super::attempt::{Attempt, Failure};
use super::maildir::{Letter, LetterError, sync_new};
use super::reading::{has_field, header_section};
use super::reroute::{self, Meaning};
use crate::mailboxes::{Destination, LookedUp, OverQuota, QuotaUsage, Resolved, Undeliverable};
use crate::site::Site;

/// A message and those of its recipients that a delivery is for.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) stored: StoredMessage,
    pub(super) indexes: Vec<u32>,
    /// Whether an earlier attempt, or an earlier run of the program, may have delivered some already.
    pub(super) repeated: bool,
}

/// Delivers a batch; the attempts of each task stand in the order of its recipients.
pub(super) fn deliver(
    site: &Site,
    looked_up: &LookedUp,
    quota: &QuotaUsage,
    tasks: &[Task],
) -> Vec<Vec<Attempt>> {
    let mut batch = Batch { site, looked_up, quota, written: HashMap::new() };
    let mut attempts: Vec<Vec<Attempt>> = Vec::with_capacity(tasks.len());
    for (task_number, task) in tasks.iter().enumerate() {
        let header = header_section(&task.stored);
        let places = task.indexes.iter().enumerate();
        attempts.push(
            places.map(|(place, index)| batch.attempt(task, *index, (task_number, place), &header)).collect(),
        );
    }
    // A name that is not durable is not delivered, whatever its file says.
    for (maildir, letters) in batch.written {
        if let Err(error) = sync_new(&maildir) {
            for (task_number, place) in letters {
                if let Some(attempt) = attempts.get_mut(task_number).and_then(|task| task.get_mut(place)) {
                    *attempt = Attempt::Deferred(disk_failure(&error));
                }
            }
        }
    }
    attempts
}

struct Batch<'a> {
    site: &'a Site,
    looked_up: &'a LookedUp,
    quota: &'a QuotaUsage,
    /// The Maildirs that were written to, with the task and the place in it of each letter.
    written: HashMap<PathBuf, Vec<(usize, usize)>>,
}

impl Batch<'_> {
    fn attempt(&mut self, task: &Task, index: u32, place: (usize, usize), header: &[u8]) -> Attempt {
        let recipients = &task.stored.message.recipients;
        let Some(recipient) = usize::try_from(index).ok().and_then(|index| recipients.get(index)) else {
            return Attempt::Deferred(Failure::local("4.3.0", "the queue entry has no such recipient"));
        };
        let known = self.site.directory.with(self.looked_up);
        let resolved = match reroute::meaning(&self.site.config, known, &task.stored, index) {
            Some(Meaning::Same(resolved)) => resolved,
            Some(Meaning::Changed(ends)) => return Attempt::Rerouted(ends),
            None => {
                return Attempt::Deferred(Failure::local("4.3.0", "the queue entry has no such recipient"));
            }
        };
        let maildir = match &resolved.destination {
            Destination::Maildir(maildir) => maildir,
            Destination::Discard => return Attempt::Delivered,
            Destination::Relay | Destination::Route(_) => {
                let redirected = "the address is another server's, and its mail was sent here";
                return Attempt::Deferred(Failure::local("4.3.5", redirected));
            }
            Destination::Undeliverable(why) => return undeliverable(why),
        };
        if delivered_before(header, recipient) {
            return mail_loop(recipient);
        }
        if let Some(attempt) = self.over_quota(&resolved, recipient, task.stored.body.size_octets()) {
            return attempt;
        }
        let letter = Letter {
            maildir,
            stored: &task.stored,
            index,
            recipient,
            hostname: &self.site.settings.hostname,
            repeated: task.repeated,
        };
        match letter.write() {
            Ok(()) => {
                self.quota.delivered(maildir, task.stored.body.size_octets());
                self.written.entry(maildir.clone()).or_default().push(place);
                Attempt::Delivered
            }
            Err(LetterError::Disk(error)) => {
                // The path is for the log alone: a DSN may go anywhere.
                tracing::warn!(queue_id = %task.stored.id, maildir = %maildir.display(), %error, "cannot write into a Maildir");
                Attempt::Deferred(disk_failure(&error))
            }
            Err(LetterError::Spool(error)) => spool_failure(&error),
        }
    }

    /// A mailbox was asked for its room at RCPT; one behind an alias or a list is asked here. A postmaster's always has
    /// room (RFC 5321 §4.5.1).
    fn over_quota(
        &self,
        resolved: &Resolved,
        recipient: &QueuedRecipient,
        size_octets: u64,
    ) -> Option<Attempt> {
        let quota = resolved.quota?;
        let asked_at_rcpt =
            matches!(&recipient.accepted_as, ForwardPath::Mailbox(asked) if *asked == recipient.mailbox);
        if asked_at_rcpt || recipient.mailbox.local_part.is_postmaster() {
            return None;
        }
        let Destination::Maildir(maildir) = &resolved.destination else { return None };
        let used = match self.quota.used_octets(maildir, crate::clock::monotonic()) {
            Ok(used) => used,
            Err(error) => return Some(Attempt::Deferred(disk_failure(&error))),
        };
        if used.saturating_add(size_octets) <= quota.limit_octets {
            return None;
        }
        Some(match quota.over_quota {
            OverQuota::Defer => Attempt::Deferred(Failure::local("4.2.2", "mailbox is full")),
            OverQuota::Reject => Attempt::Failed(Failure::local("5.2.2", "mailbox is full")),
        })
    }
}

fn undeliverable(why: &Undeliverable) -> Attempt {
    match why {
        Undeliverable::Unknown => Attempt::Failed(Failure::local("5.1.1", "no such mailbox")),
        Undeliverable::Moved(address) => {
            Attempt::Failed(Failure::local("5.1.6", format!("user has moved; please try <{address}>")))
        }
        Undeliverable::Busy => Attempt::Deferred(Failure::local("4.2.1", "mailbox busy")),
        Undeliverable::OverQuota { temporary: true } => {
            Attempt::Deferred(Failure::local("4.2.2", "mailbox is full"))
        }
        Undeliverable::OverQuota { temporary: false } => {
            Attempt::Failed(Failure::local("5.2.2", "mailbox is full"))
        }
        Undeliverable::Unsure(why) => {
            // What a table's server said is for the log alone: a DSN may go anywhere.
            tracing::warn!(target: "gatepost::delivery", why, "an address can't be looked up");
            Attempt::Deferred(Failure::local("4.4.3", "the address can't be looked up now"))
        }
        Undeliverable::TooManyAliases => {
            Attempt::Deferred(Failure::local("4.4.6", "the aliases of the address lead too far"))
        }
    }
}

/// What becomes of a message that was delivered to the recipient before.
pub(super) fn mail_loop(recipient: &QueuedRecipient) -> Attempt {
    let loops = format!("the message was delivered to {} before: a mail loop", recipient.mailbox);
    Attempt::Failed(Failure::local("5.4.6", loops))
}

/// A file system may have room or be mended: never a failure for good.
fn disk_failure(error: &std::io::Error) -> Failure {
    let status = match error.kind() {
        std::io::ErrorKind::StorageFull => "4.3.1",
        std::io::ErrorKind::QuotaExceeded => "4.2.2",
        _ => "4.3.0",
    };
    Failure::local(status, format!("cannot write into the mailbox: {error}"))
}

pub(super) fn spool_failure(error: &SpoolError) -> Attempt {
    Attempt::Deferred(Failure::local("4.3.0", format!("cannot read the message: {error}")))
}

/// Whether a Delivered-To field names the recipient.
pub(super) fn delivered_before(header: &[u8], recipient: &QueuedRecipient) -> bool {
    has_field(header, b"delivered-to:", recipient.mailbox.to_string().as_bytes())
}
