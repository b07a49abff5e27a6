//! What a postmaster asks of the queue: queries, orders, listings and numbers.

use std::fmt;
use std::str::FromStr;

use smtp::address::{Mailbox, ReversePath};
use smtp::time::WallTime;

use crate::delivery::{Phase, RecipientState};
use crate::message::{Destination, Hold, QueuedMessage};
use crate::queue_id::QueueId;
use crate::spool::Window;

/// Which recipients of which messages are meant; every part that is given must match, an empty query matches all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Query {
    /// One of these messages; empty: any.
    pub ids: Vec<QueueId>,
    /// The message's reverse-path.
    pub reverse_path: Option<AddressPattern>,
    /// The recipient's mailbox.
    pub recipient: Option<AddressPattern>,
    /// Where the recipient goes.
    pub destination: Option<Destination>,
    /// Where the recipient stands; recipients that are finished never match.
    pub phase: Option<Phase>,
    /// The message was received before this time.
    pub received_before: Option<WallTime>,
}

impl Query {
    /// Whether the message must be read for an answer.
    pub(crate) fn reads_envelope(&self) -> bool {
        self.reverse_path.is_some() || self.recipient.is_some()
    }

    pub(crate) fn matches_id(&self, id: QueueId) -> bool {
        self.ids.is_empty() || self.ids.contains(&id)
    }

    pub(crate) fn matches_received(&self, received: WallTime) -> bool {
        self.received_before.is_none_or(|limit| received < limit)
    }

    pub(crate) fn matches_delivery(&self, destination: &Destination, phase: Phase) -> bool {
        self.destination.as_ref().is_none_or(|wanted| wanted == destination)
            && self.phase.is_none_or(|wanted| wanted == phase)
    }

    pub(crate) fn matches_reverse_path(&self, reverse_path: &ReversePath) -> bool {
        self.reverse_path.as_ref().is_none_or(|pattern| pattern.matches(&reverse_path.to_string()))
    }

    pub(crate) fn matches_recipient(&self, mailbox: &Mailbox) -> bool {
        self.recipient.as_ref().is_none_or(|pattern| pattern.matches(&mailbox.to_string()))
    }
}

/// An address, `@` and a domain, or `<>`, compared without regard to ASCII case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressPattern(String);

impl AddressPattern {
    fn matches(&self, address: &str) -> bool {
        let address = address.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(address);
        let compared = match (self.0.starts_with('@'), address.rfind('@')) {
            (true, Some(at)) => address.get(at..).unwrap_or_default(),
            _ => address,
        };
        compared.eq_ignore_ascii_case(&self.0)
    }
}

/// The text is no pattern for addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAPattern;

impl fmt::Display for NotAPattern {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not an address, an @domain or <>")
    }
}

impl std::error::Error for NotAPattern {}

impl FromStr for AddressPattern {
    type Err = NotAPattern;

    /// A plain word is refused: whether it means a local part, a domain or a part of either would be a guess.
    fn from_str(text: &str) -> Result<Self, NotAPattern> {
        let inner = text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>'));
        let address = inner.unwrap_or(text);
        let null = address.is_empty() && inner.is_some();
        if null || address.contains('@') || address.eq_ignore_ascii_case("postmaster") {
            return Ok(Self(address.to_owned()));
        }
        Err(NotAPattern)
    }
}

/// What to do with the recipients that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// No attempt until released.
    Hold,
    /// Ends a hold; the time that it is due stays.
    Release,
    /// Due at this time, whatever the schedule said.
    Retry {
        /// Usually now.
        due: WallTime,
    },
    /// Finished, with nothing delivered and no notice sent.
    Drop,
    /// Goes there from now on.
    Redirect(Destination),
}

/// One message of a listing, with those of its recipients that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The message.
    pub id: QueueId,
    /// When it was received.
    pub received: WallTime,
    /// Who it is from.
    pub reverse_path: ReversePath,
    /// Octets of its body.
    pub size_octets: u64,
    /// Whether it waited for the postmaster from its first moment on, and why.
    pub hold: Option<Hold>,
    /// The recipients that match and are not finished.
    pub recipients: Vec<(Mailbox, RecipientState)>,
}

/// The queue in numbers. Only recipients that are not finished count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Census {
    /// Messages.
    pub messages: u64,
    /// Recipients.
    pub recipients: u64,
    /// Recipients that are held.
    pub held: u64,
    /// Recipients that were tried at least once.
    pub deferred: u64,
    /// Recipients with an attempt under way.
    pub under_way: u64,
    /// Octets of all bodies.
    pub octets: u64,
    /// When the oldest message was received.
    pub oldest: Option<WallTime>,
    /// The destinations, in the order of their keys.
    pub destinations: Vec<(Destination, DestinationCensus)>,
}

/// What waits for one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DestinationCensus {
    /// Recipients.
    pub recipients: u64,
    /// Recipients that are held.
    pub held: u64,
    /// Recipients that were tried at least once.
    pub deferred: u64,
    /// Recipients with an attempt under way.
    pub under_way: u64,
    /// When the oldest message was received.
    pub oldest: Option<WallTime>,
    /// When the next that waits is due, or its destination open again; how much goes at a time is another matter.
    pub next_due: Option<WallTime>,
    /// How its deliveries are handed out.
    pub window: Window,
}

impl DestinationCensus {
    /// Counts a delivery of `recipients` recipients that is due at `due`.
    pub(crate) fn count(
        &mut self,
        recipients: u64,
        phase: Phase,
        attempts: u32,
        [received, due]: [WallTime; 2],
    ) {
        self.recipients += recipients;
        match phase {
            Phase::Held => self.held += recipients,
            Phase::UnderWay => self.under_way += recipients,
            Phase::Waiting => {
                let due = due.max(self.window.opens);
                self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
            }
            Phase::Finished => {}
        }
        if attempts > 0 {
            self.deferred += recipients;
        }
        self.oldest = Some(self.oldest.map_or(received, |oldest| oldest.min(received)));
    }
}

impl Census {
    /// Adds up the destinations.
    pub(crate) fn of_destinations(mut self) -> Self {
        self.destinations.sort_by(|left, right| left.0.cmp(&right.0));
        for (_, destination) in &self.destinations {
            self.recipients += destination.recipients;
            self.held += destination.held;
            self.deferred += destination.deferred;
            self.under_way += destination.under_way;
        }
        self
    }
}

/// The entry of a message, or `None` when none of its recipients matches.
pub(crate) fn entry(
    query: &Query,
    id: QueueId,
    message: &QueuedMessage,
    size_octets: u64,
    states: Vec<RecipientState>,
) -> Option<Entry> {
    if !query.matches_id(id)
        || !query.matches_received(message.received)
        || !query.matches_reverse_path(&message.reverse_path)
    {
        return None;
    }
    let recipients: Vec<_> = message
        .recipients
        .iter()
        .zip(states)
        .filter(|(recipient, state)| {
            state.phase != Phase::Finished
                && query.matches_delivery(&state.destination, state.phase)
                && query.matches_recipient(&recipient.mailbox)
        })
        .map(|(recipient, state)| (recipient.mailbox.clone(), state))
        .collect();
    if recipients.is_empty() {
        return None;
    }
    let reverse_path = message.reverse_path.clone();
    let (received, hold) = (message.received, message.hold);
    Some(Entry { id, received, reverse_path, size_octets, hold, recipients })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, address: &str) -> bool {
        pattern.parse::<AddressPattern>().unwrap().matches(address)
    }

    #[test]
    fn a_pattern_is_a_whole_address_or_a_whole_domain() {
        assert!(matches("Bob@Example.org", "<bob@example.org>"));
        assert!(!matches("bob@example.org", "notbob@example.org"));
        assert!(matches("@example.org", "bob@EXAMPLE.org"));
        assert!(!matches("@example.org", "bob@sub.example.org"));
        assert!(matches("<>", "<>"));
        assert!(!matches("<>", "<bob@example.org>"));
        assert!("example".parse::<AddressPattern>().is_err());
    }
}
