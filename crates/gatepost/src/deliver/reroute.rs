//! Mail whose address has come to mean something else while it waited: it is queued anew for where it goes now.
//!
//! Invariants: what is queued anew keeps its time of receipt, so that its lifetime goes on; an address is given up only
//! once what replaces it is durable, so that a crash may double a message and never loses one.

use queue::body::{Body, LargeBody, StoredMessage};
use queue::dsn::{self, Expansions};
use queue::message::{QueuedMessage, QueuedRecipient};
use queue::spool::{LARGE_BODY_OCTETS, Spool, SpoolError};
use smtp::address::{ForwardPath, ReversePath};
use smtp::envelope::RcptParameters;

use super::attempt::{Attempt, Failure};
use super::route;
use crate::config::Config;
use crate::mailboxes::{Known, LookedUp, Resolved};
use crate::site::Site;

/// What a recipient's address means now.
pub(super) enum Meaning {
    /// What it meant when it was queued.
    Same(Box<Resolved>),
    /// Other addresses, or the same one by another way.
    Changed(Vec<Resolved>),
}

/// Looks up in the tables what the addresses of these recipients mean now.
pub(super) async fn look_up(site: &Site, tried: &[(&StoredMessage, &[u32])]) -> LookedUp {
    let resolve = |known: Known<'_>| {
        for (stored, indexes) in tried {
            for index in *indexes {
                let _ = meaning(&site.config, known, stored, *index);
            }
        }
    };
    site.look_up(resolve).await
}

/// What the address of the recipient `index` means now; `None` when the message has no such recipient. What a
/// postmaster has sent another way stays there.
pub(super) fn meaning(
    config: &Config,
    known: Known<'_>,
    stored: &StoredMessage,
    index: u32,
) -> Option<Meaning> {
    let place = usize::try_from(index).ok()?;
    let recipient = stored.message.recipients.get(place)?;
    let redirected =
        stored.recipients.get(place).is_some_and(|state| state.destination != recipient.destination);
    let mut resolved = known.resolve(&ForwardPath::Mailbox(recipient.mailbox.clone()));
    let is_same = |end: &Resolved| {
        let way = route::destination(config, end, &recipient.parameters);
        end.mailbox == recipient.mailbox && (redirected || way == recipient.destination)
    };
    // A mailbox whose mail goes to others, too, is itself still; the others had the message from the beginning.
    match resolved.iter().position(is_same) {
        Some(place) => Some(Meaning::Same(Box::new(resolved.swap_remove(place)))),
        None => Some(Meaning::Changed(resolved)),
    }
}

/// The addresses that now stand for the recipient `index`, when they are others.
pub(super) fn changed(
    config: &Config,
    known: Known<'_>,
    stored: &StoredMessage,
    index: u32,
) -> Option<Vec<Resolved>> {
    match meaning(config, known, stored, index)? {
        Meaning::Same(_) => None,
        Meaning::Changed(ends) => Some(ends),
    }
}

/// Queues the message anew for the addresses of every [`Attempt::Rerouted`]; when that fails they are deferred.
/// `attempts` stand in the order of `indexes`.
pub(super) async fn queue_anew<S: Spool>(
    spool: &S,
    site: &Site,
    stored: &StoredMessage,
    indexes: &[u32],
    attempts: &mut [Attempt],
) {
    let parts = parts(&site.config, stored, indexes, attempts);
    for (reverse_path, recipients) in parts {
        if let Err(error) = enqueue(spool, stored, reverse_path, recipients).await {
            tracing::error!(queue_id = %stored.id, %error, "mail cannot be queued anew for where it goes now");
            let failure = Failure::local("4.3.0", "the address has changed; cannot queue the message anew");
            for attempt in attempts.iter_mut().filter(|attempt| matches!(attempt, Attempt::Rerouted(_))) {
                *attempt = Attempt::Deferred(failure.clone());
            }
            return;
        }
    }
}

/// The new recipients by their reverse-path: mail for a list carries its owner's (RFC 5321 §3.9.2). One that has the
/// message already is left out.
fn parts(
    config: &Config,
    stored: &StoredMessage,
    indexes: &[u32],
    attempts: &[Attempt],
) -> Vec<(ReversePath, Vec<QueuedRecipient>)> {
    let message = &stored.message;
    let expansions = Expansions::of(message);
    let mut parts: Vec<(ReversePath, Vec<QueuedRecipient>)> = Vec::new();
    for (index, attempt) in indexes.iter().zip(attempts) {
        let Attempt::Rerouted(ends) = attempt else { continue };
        let Some(recipient) = usize::try_from(*index).ok().and_then(|index| message.recipients.get(index))
        else {
            continue;
        };
        for end in ends {
            let known = |others: &[QueuedRecipient]| others.iter().any(|other| other.mailbox == end.mailbox);
            if end.mailbox != recipient.mailbox && known(&message.recipients) {
                continue;
            }
            let reverse_path = end.reverse_path(&message.reverse_path);
            let is_own = reverse_path == message.reverse_path;
            let parameters =
                if is_own { expansions.parameters(recipient) } else { RcptParameters::default() };
            let queued = QueuedRecipient {
                mailbox: end.mailbox.clone(),
                destination: route::destination(config, end, &parameters),
                parameters,
                ..recipient.clone()
            };
            match parts.iter_mut().find(|(path, _)| *path == reverse_path) {
                Some((_, recipients)) if known(recipients) => {}
                Some((_, recipients)) => recipients.push(queued),
                None => parts.push((reverse_path, vec![queued])),
            }
        }
    }
    parts
}

async fn enqueue<S: Spool>(
    spool: &S,
    stored: &StoredMessage,
    reverse_path: ReversePath,
    recipients: Vec<QueuedRecipient>,
) -> Result<(), SpoolError> {
    let id = spool.allot(stored.message.received);
    let body = if stored.body.size_octets() > LARGE_BODY_OCTETS {
        tokio::task::block_in_place(|| copy(stored, spool.large_body(id)?))?
    } else {
        Body::Memory(stored.read_body()?)
    };
    let parameters = if reverse_path == stored.message.reverse_path {
        stored.message.parameters.clone()
    } else {
        dsn::of_list(&stored.message.parameters)
    };
    let message =
        QueuedMessage { reverse_path, parameters, recipients, hold: None, ..stored.message.clone() };
    tracing::info!(
        target: "gatepost::delivery",
        queue_id = %stored.id,
        new_queue_id = %id,
        recipients = message.recipients.len(),
        "an address has changed: the message is queued anew for where it goes now"
    );
    spool.enqueue(id, message, body).await
}

fn copy(stored: &StoredMessage, mut large: LargeBody) -> Result<Body, SpoolError> {
    let mut reader = stored.body.reader();
    while let Some(chunk) = reader.next_chunk()? {
        large.append(chunk)?;
    }
    large.seal().map(Body::Large)
}
