//! Stored mail that is queued anew for other recipients, in the place of some of its own.
//!
//! Invariants: it keeps its time of receipt, so that its lifetime goes on; each part is durable, or an error is given, before
//! anybody gives up the recipients that it takes the place of.

use std::collections::HashSet;

use queue::body::{Body, StoredMessage};
use queue::dsn::{self, Expansions};
use queue::message::{QueuedMessage, QueuedRecipient};
use queue::queue_id::QueueId;
use queue::spool::{LARGE_BODY_OCTETS, Spool, SpoolError};
use smtp::address::{Mailbox, ReversePath};
use smtp::envelope::RcptParameters;

use super::route;
use crate::config::Config;
use crate::mailboxes::Resolved;

/// What is queued under one reverse-path.
#[derive(Debug)]
pub(crate) struct Part {
    reverse_path: ReversePath,
    recipients: Vec<QueuedRecipient>,
}

/// The new recipients by their reverse-path: mail for a list carries its owner's (RFC 5321 §3.9.2). `replaced` are
/// recipients of the message and what takes the place of each; another address is left out that has the message already, one
/// of `have_it`.
pub(crate) fn parts(
    config: &Config,
    message: &QueuedMessage,
    replaced: &[(&QueuedRecipient, &[Resolved])],
    have_it: &HashSet<&Mailbox>,
) -> Vec<Part> {
    let expansions = Expansions::of(message);
    let mut parts: Vec<Part> = Vec::new();
    for (recipient, end) in
        replaced.iter().flat_map(|(recipient, ends)| ends.iter().map(|end| (*recipient, end)))
    {
        if end.mailbox != recipient.mailbox && have_it.contains(&end.mailbox) {
            continue;
        }
        let reverse_path = end.reverse_path(&message.reverse_path);
        let is_own = reverse_path == message.reverse_path;
        let parameters = if is_own { expansions.parameters(recipient) } else { RcptParameters::default() };
        let queued = QueuedRecipient {
            mailbox: end.mailbox.clone(),
            destination: route::destination(config, end, &parameters),
            parameters,
            ..recipient.clone()
        };
        match parts.iter_mut().find(|part| part.reverse_path == reverse_path) {
            Some(part) if part.recipients.iter().any(|other| other.mailbox == queued.mailbox) => {}
            Some(part) => part.recipients.push(queued),
            None => parts.push(Part { reverse_path, recipients: vec![queued] }),
        }
    }
    parts
}

/// Queues the message anew, a part at a time; `why` is for the log.
///
/// # Errors
/// A part was not taken. Those before it were.
pub(crate) async fn enqueue<S: Spool>(
    spool: &S,
    stored: &StoredMessage,
    parts: Vec<Part>,
    why: &str,
) -> Result<(), SpoolError> {
    for Part { reverse_path, recipients } in parts {
        let id = spool.allot(stored.message.received);
        let body = if stored.body.size_octets() > LARGE_BODY_OCTETS {
            tokio::task::block_in_place(|| copied(spool, id, stored))?
        } else {
            Body::Memory(stored.read_body()?)
        };
        let parameters = if reverse_path == stored.message.reverse_path {
            stored.message.parameters.clone()
        } else {
            dsn::of_list(&stored.message.parameters)
        };
        let count = recipients.len();
        let message =
            QueuedMessage { reverse_path, parameters, recipients, hold: None, ..stored.message.clone() };
        spool.enqueue(id, message, body).await?;
        tracing::info!(
            target: "gatepost::delivery",
            queue_id = %stored.id,
            new_queue_id = %id,
            recipients = count,
            "{why}"
        );
    }
    Ok(())
}

/// The mail data in a file of its own, for the message `id`.
fn copied<S: Spool>(spool: &S, id: QueueId, stored: &StoredMessage) -> Result<Body, SpoolError> {
    let mut large = spool.large_body(id)?;
    let mut reader = stored.body.reader();
    while let Some(chunk) = reader.next_chunk()? {
        large.append(chunk)?;
    }
    large.seal().map(Body::Large)
}
