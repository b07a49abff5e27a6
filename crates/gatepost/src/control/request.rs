//! Requests: what can be asked, and which messages are meant.

use queue::message::Destination;
use queue::postmaster::{AddressPattern, Query};
use queue::queue_id::QueueId;
use serde::{Deserialize, Serialize};
use smtp::address::{Domain, Mailbox};
use smtp::time::WallTime;

use super::envelope::Message;
use super::form::{self, Time};
use crate::config::key_of;
use crate::deliver::Way;

/// One thing that is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// The messages that match: an [`Answer::Entry`](super::Answer::Entry) each, in the order of their ids.
    List {
        /// Which.
        #[serde(default)]
        filter: Filter,
        /// Only messages with this text in their envelope, their last replies or their header section; case counts for
        /// nothing.
        #[serde(default)]
        text: Option<String>,
        /// At most so many.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// A message's envelope and how its recipients stand: an [`Answer::Message`](super::Answer::Message).
    Show {
        /// The message.
        #[serde(with = "form::text")]
        id: QueueId,
    },
    /// A message's mail data: [`Answer::Octets`](super::Answer::Octets).
    Cat {
        /// The message.
        #[serde(with = "form::text")]
        id: QueueId,
    },
    /// The messages that match, whole: an [`Answer::Message`](super::Answer::Message) and then its
    /// [`Answer::Octets`](super::Answer::Octets), each.
    Export {
        /// Which.
        #[serde(default)]
        filter: Filter,
    },
    /// Queues a message that was exported; `size_octets` of mail data follow the request. The answer is a
    /// [`Outcome::Imported`](super::Outcome::Imported).
    Import {
        /// Its envelope.
        message: Box<Message>,
    },
    /// Carries out an order on every recipient that matches: [`Answer::Progress`](super::Answer::Progress) now and then.
    Order {
        /// Which. An empty one means all.
        filter: Filter,
        /// What is to be done with them.
        order: Order,
    },
    /// The queue in numbers: an [`Answer::Census`](super::Answer::Census), then an
    /// [`Answer::Destination`](super::Answer::Destination) for each destination, those with most recipients first.
    Census {
        /// At most so many destinations.
        #[serde(default)]
        limit: Option<u64>,
    },
    /// How the server is: an [`Answer::Status`](super::Answer::Status).
    Status,
    /// Puts the configuration as it is now in force: an [`Answer::Reloaded`](super::Answer::Reloaded).
    Reload,
    /// Ends the server as SIGTERM does.
    Stop,
}

/// Which recipients of which messages are meant; every part that is given must match.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// One of these messages; empty: any.
    #[serde(with = "form::texts", skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<QueueId>,
    /// The reverse-path: an address, `@` and a domain, or `<>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sender: Option<String>,
    /// The recipient's mailbox: an address, or `@` and a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipient: Option<String>,
    /// Where the recipient goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// Where the recipient stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Received before this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_before: Option<Time>,
    /// Received at this time or after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub received_since: Option<Time>,
    /// The last reply holds this text; case counts for nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<String>,
    /// Tried so often at least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Waits for its time.
    Waiting,
    /// Held until it is released.
    Held,
    /// An attempt is under way.
    Active,
    /// Delivered, relayed, failed, expired or dropped.
    Finished,
}

impl From<queue::delivery::Phase> for Phase {
    fn from(phase: queue::delivery::Phase) -> Self {
        match phase {
            queue::delivery::Phase::Waiting => Self::Waiting,
            queue::delivery::Phase::Held => Self::Held,
            queue::delivery::Phase::UnderWay => Self::Active,
            queue::delivery::Phase::Finished => Self::Finished,
        }
    }
}

impl From<Phase> for queue::delivery::Phase {
    fn from(phase: Phase) -> Self {
        match phase {
            Phase::Waiting => Self::Waiting,
            Phase::Held => Self::Held,
            Phase::Active => Self::UnderWay,
            Phase::Finished => Self::Finished,
        }
    }
}

/// What is to be done with the recipients that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Order {
    /// No attempt until released.
    Hold,
    /// Ends a hold.
    Release,
    /// Due now.
    Retry,
    /// Thrown away.
    Drop {
        /// Whether the sender gets a DSN, if it wants to hear of failures.
        bounce: bool,
    },
    /// Goes there from now on.
    Redirect {
        /// Where.
        to: Redirection,
    },
}

/// Where mail is sent instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Redirection {
    /// The same recipient by another way.
    Destination(String),
    /// To another recipient.
    Mailbox(#[serde(with = "form::text")] Mailbox),
}

impl Redirection {
    /// Reads an address, or a way: `relay`, `local`, `mx:` and a domain, `route:` and a name.
    ///
    /// # Errors
    /// What is wanted.
    pub fn parse(text: &str) -> Result<Self, String> {
        let named = |prefix: &str| text.strip_prefix(prefix).is_some_and(|name| !name.is_empty());
        if matches!(text, "relay" | "local") || named("mx:") || named("route:") {
            return way(text).map(|destination| Self::Destination(destination.to_string()));
        }
        text.parse().map(Self::Mailbox).map_err(|error| {
            format!(
                "`{text}` is neither an address ({error}) nor a way: relay, local, mx:example.org and route:NAME are some"
            )
        })
    }
}

/// The destination of a way, under the key that mail for it has anyway: a domain is in its normal form.
///
/// # Errors
/// What is wrong with it.
pub(super) fn way(key: &str) -> Result<Destination, String> {
    let destination = form::destination(key)?;
    let normal = |domain: &str| -> Result<String, String> {
        let read: Result<Domain, _> = domain.parse();
        read.map(|domain| key_of(&domain)).map_err(|error| format!("`{domain}` is no domain: {error}"))
    };
    let normal = match Way::of(&destination) {
        Way::Mx(domain) => Way::Mx(&normal(domain)?).key(),
        Way::Table(domain) => Way::Table(&normal(domain)?).key(),
        Way::Route { name, domain: Some(domain) } => {
            Way::Route { name, domain: Some(&normal(domain)?) }.key()
        }
        way @ (Way::Local | Way::Relay | Way::Discard | Way::Route { domain: None, .. }) => way.key(),
    };
    // What is no way at all is looked up as local mail.
    if normal == Way::Local.key() && destination != normal {
        return Err(format!("`{key}` is no way: relay, local, mx:example.org and route:NAME are some"));
    }
    Ok(normal)
}

/// What the spool is asked, and what is looked at beside.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) query: Query,
    received_since: Option<WallTime>,
    /// In lower case.
    reply: Option<String>,
    attempts: Option<u32>,
}

impl Filter {
    /// Whether it means every message.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// What is asked of the spool for it.
    ///
    /// # Errors
    /// A sentence on the part that can't be meant.
    pub(super) fn selection(&self) -> Result<Selection, String> {
        let pattern = |option: &str, text: &Option<String>| -> Result<Option<AddressPattern>, String> {
            let read = |text: &String| text.parse().map_err(|error| format!("{option} `{text}`: {error}"));
            text.as_ref().map(read).transpose()
        };
        let destination: Option<Destination> =
            self.destination.as_deref().map(form::destination).transpose()?;
        Ok(Selection {
            query: Query {
                ids: self.ids.clone(),
                reverse_path: pattern("sender", &self.sender)?,
                recipient: pattern("recipient", &self.recipient)?,
                destination,
                phase: self.phase.map(Into::into),
                received_before: self.received_before.map(|time| time.0),
            },
            received_since: self.received_since.map(|time| time.0),
            reply: self.reply.as_ref().map(|text| text.to_lowercase()),
            attempts: self.attempts,
        })
    }
}

impl Selection {
    /// Whether it tells messages apart only, so that it means all recipients of those that match.
    pub(super) fn is_of_messages(&self) -> bool {
        let Query { recipient, destination, phase, .. } = &self.query;
        recipient.is_none()
            && destination.is_none()
            && phase.is_none()
            && self.reply.is_none()
            && self.attempts.is_none()
    }

    /// Drops the recipients of an entry that don't match; whether any was dropped.
    pub(super) fn narrow(&self, entry: &mut queue::postmaster::Entry) -> bool {
        let before = entry.recipients.len();
        if self.received_since.is_some_and(|since| entry.received < since) {
            entry.recipients.clear();
        }
        entry.recipients.retain(|(_, state)| {
            self.attempts.is_none_or(|least| state.attempts >= least)
                && self.reply.as_ref().is_none_or(|text| {
                    state.last_reply.as_ref().is_some_and(|reply| reply.to_lowercase().contains(text))
                })
        });
        entry.recipients.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirection_is_an_address_or_a_way() {
        let way = |text: &str| Ok(Redirection::Destination(text.to_owned()));
        for text in ["relay", "local", "mx:example.org", "route:partner"] {
            assert_eq!(Redirection::parse(text), way(text));
        }
        for (text, key) in [
            ("mx:Example.ORG", "mx:example.org"),
            ("mx:B\u{fc}cher.example", "mx:xn--bcher-kva.example"),
            ("route:Partner@Example.ORG", "route:Partner@example.org"),
        ] {
            assert_eq!(Redirection::parse(text), way(key), "mail goes by the keys that routing gives");
        }
        let mailbox = Redirection::Mailbox("bob@example.org".parse().unwrap());
        assert_eq!(Redirection::parse("bob@example.org"), Ok(mailbox));
        for text in ["", "bob", "discard", "mx:", "mx:not a domain", "route:", "smtp:x"] {
            assert!(Redirection::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_way_that_nobody_knows_is_refused_from_whomever_it_comes() {
        assert_eq!(way("mx:Example.ORG"), Ok(Destination::new("mx:example.org")));
        for key in ["", "elsewhere", "mx:", "mx:not a domain", "smtp:x"] {
            assert!(way(key).is_err(), "{key}");
        }
    }

    #[test]
    fn a_request_reads_back_and_an_unknown_part_is_refused() {
        let filter = Filter {
            ids: vec!["1KWX3N5V1R0".parse().unwrap()],
            sender: Some("<>".into()),
            phase: Some(Phase::Active),
            received_before: Some(Time(WallTime::from_unix_millis(1_795_434_399_007))),
            ..Filter::default()
        };
        let order = Order::Redirect { to: Redirection::Mailbox("bob@example.org".parse().unwrap()) };
        let request = Request::Order { filter, order };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        assert!(!text.contains("recipient"), "what is not asked for is not sent: {text}");
        assert!(serde_json::from_str::<Request>(r#"{"list":{"filter":{"colour":"red"}}}"#).is_err());
        assert!(serde_json::from_str::<Request>(r#"{"show":{"id":"no id"}}"#).is_err());
        assert!(matches!(serde_json::from_str(r#"{"list":{}}"#), Ok(Request::List { .. })));
    }

    #[test]
    fn what_can_not_be_meant_is_refused_with_its_option() {
        let filter = Filter { sender: Some("alice".into()), ..Filter::default() };
        assert!(filter.selection().unwrap_err().starts_with("sender `alice`"));
    }
}
