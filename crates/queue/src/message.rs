//! A queued message: its envelope after aliases, where it came from and where each recipient goes.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use smtp::address::{ForwardPath, Mailbox, ReversePath};
use smtp::envelope::{MailParameters, RcptParameters};
use smtp::time::WallTime;

/// What the spool keeps of a message besides its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedMessage {
    /// The argument of MAIL; the null path in a DSN.
    pub reverse_path: ReversePath,
    /// The parameters of MAIL.
    pub parameters: MailParameters,
    /// When it was received; its first attempt is due then.
    pub received: WallTime,
    /// Who handed it in.
    pub origin: Origin,
    /// Whether nobody gets it before the postmaster releases it, and why.
    pub hold: Option<Hold>,
    /// The final recipients. At least one, at most [`RECIPIENTS_MAX`](crate::spool::RECIPIENTS_MAX).
    pub recipients: Vec<QueuedRecipient>,
}

/// Why a message waits for the postmaster from its first moment on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is to be looked at.
    Held,
    /// It is likely unwanted.
    Quarantined,
}

/// The client that a message came from, as logs and DSNs name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// The client's address, or what generated the message.
    pub client: String,
    /// The argument of its EHLO or HELO.
    pub helo: String,
    /// Whether it is the site's own mail: handed in by a client that may relay or has authenticated, or generated here.
    pub submitted: bool,
}

/// One recipient of a queued message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedRecipient {
    /// Where the mail goes, aliases resolved.
    pub mailbox: Mailbox,
    /// What RCPT said; several recipients have the same one when it was an alias.
    pub accepted_as: ForwardPath,
    /// The parameters of RCPT.
    pub parameters: RcptParameters,
    /// What it is delivered by; the recipients of a message with the same destination are delivered together.
    pub destination: Destination,
}

/// An opaque key that the program computes for each recipient, such as `local` or `smtp:[192.0.2.1]:25`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Destination(Arc<str>);

impl Destination {
    /// The destination with this key.
    #[must_use]
    pub fn new(key: &str) -> Self {
        Self(Arc::from(key))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Destination {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.0)
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, formatter)
    }
}

/// A DSN to be queued with the outcome that causes it, atomically: see [`Spool::settle`](crate::spool::Spool::settle).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Its envelope; its queue id is allotted at its time of receipt.
    pub message: QueuedMessage,
    /// The mail data. A draft is never a large body: it is kept in memory and in the log.
    pub body: Vec<u8>,
}

/// Recipients by the key of their destination, in the order of each one's first recipient: the first deliveries.
pub(crate) fn group_by_destination<'a>(
    keys: impl Iterator<Item = &'a str>,
    mut named: impl FnMut(&str) -> Destination,
) -> Vec<(Destination, Vec<u32>)> {
    let mut groups: Vec<(Destination, Vec<u32>)> = Vec::new();
    let mut slots = HashMap::new();
    let mut keys = (0u32..).zip(keys).peekable();
    while let Some((index, key)) = keys.next() {
        if groups.is_empty() && keys.peek().is_none() {
            // Most messages have one recipient: no table for that.
            return vec![(named(key), vec![index])];
        }
        let slot = *slots.entry(key).or_insert_with(|| {
            groups.push((named(key), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, indexes)) = groups.get_mut(slot) {
            indexes.push(index);
        }
    }
    groups
}

impl QueuedMessage {
    /// The recipients by destination.
    pub(crate) fn groups(&self) -> Vec<(Destination, Vec<u32>)> {
        group_by_destination(
            self.recipients.iter().map(|recipient| recipient.destination.as_str()),
            Destination::new,
        )
    }
}
