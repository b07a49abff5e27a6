//! Mail whose address has come to mean something else while it waited: it is queued anew for where it goes now.
//!
//! Invariant: an address is given up only once what replaces it is durable, so that a crash may double a message and never
//! loses one.

use queue::body::StoredMessage;
use queue::spool::Spool;
use smtp::address::ForwardPath;

use super::attempt::{Attempt, Failure};
use super::{anew, route};
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
    let message = &stored.message;
    let recipient = |index: u32| message.recipients.get(usize::try_from(index).ok()?);
    let rerouted = indexes.iter().zip(&*attempts).filter_map(|(index, attempt)| match attempt {
        Attempt::Rerouted(ends) => Some((recipient(*index)?, ends.as_slice())),
        _ => None,
    });
    let rerouted: Vec<_> = rerouted.collect();
    if rerouted.is_empty() {
        return;
    }
    // The others had the message from the beginning.
    let have_it = message.recipients.iter().map(|recipient| &recipient.mailbox).collect();
    let parts = anew::parts(&site.config, message, &rerouted, &have_it);
    let why = "an address has changed: the message is queued anew for where it goes now";
    if let Err(error) = anew::enqueue(spool, stored, parts, why).await {
        tracing::error!(queue_id = %stored.id, %error, "mail cannot be queued anew for where it goes now");
        let failure = Failure::local("4.3.0", "the address has changed; cannot queue the message anew");
        for attempt in attempts.iter_mut().filter(|attempt| matches!(attempt, Attempt::Rerouted(_))) {
            *attempt = Attempt::Deferred(failure.clone());
        }
    }
}
