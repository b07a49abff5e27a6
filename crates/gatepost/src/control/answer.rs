//! Answers: what comes back for a request, one after the other; the last one is `Done` or `Failed`.

use std::fmt;

use queue::queue_id::QueueId;
use queue::spool::SpoolError;
use serde::{Deserialize, Serialize};
use smtp::address::Mailbox;

use super::envelope::{Message, hold_word};
use super::form::{self, Time};
use super::request::Phase;

/// Most octets of mail data in one answer (ours: as the spool reads them; a small body comes whole).
pub(super) const OCTETS_MAX: usize = 1024 * 1024;

/// One part of what comes back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A message of a listing.
    Entry(Entry),
    /// A message without its mail data.
    Message(Box<Message>),
    /// The next octets of mail data. On the wire their number, and they follow the line.
    Octets(#[serde(with = "counted")] Vec<u8>),
    /// The queue in numbers.
    Census(Census),
    /// What waits for one destination.
    Destination(DestinationRow),
    /// How far it is.
    Progress(Progress),
    /// How the server is.
    Status(Box<Status>),
    /// What a reload came to.
    Reloaded(Reloaded),
    /// The end: it was done.
    Done(Done),
    /// The end: it was not done, or not all of it.
    Failed(Failure),
}

impl Answer {
    /// Whether nothing comes behind it.
    #[must_use]
    pub const fn is_last(&self) -> bool {
        matches!(self, Self::Done(_) | Self::Failed(_))
    }
}

/// Octets as their number: what reads the number makes room for them.
mod counted {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(octets: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(octets.len() as u64)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let octets = usize::try_from(u64::deserialize(deserializer)?).unwrap_or(usize::MAX);
        if octets > super::OCTETS_MAX {
            return Err(D::Error::custom(format!("{octets} octets at once, {} at most", super::OCTETS_MAX)));
        }
        Ok(vec![0; octets])
    }
}

/// One message of a listing, with those of its recipients that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its queue id.
    #[serde(with = "form::text")]
    pub id: QueueId,
    /// When it was received.
    pub received: Time,
    /// Octets of its mail data.
    pub size_octets: u64,
    /// Its reverse-path, `<>` for the null one.
    pub reverse_path: String,
    /// Why it waited for the postmaster from its first moment on: `held` or `quarantined`.
    pub hold: Option<String>,
    /// The recipients that match and are not finished.
    pub recipients: Vec<Recipient>,
}

/// How one recipient stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Its mailbox.
    #[serde(with = "form::text")]
    pub mailbox: Mailbox,
    /// Where it goes.
    pub destination: String,
    /// Where it stands.
    pub phase: Phase,
    /// Attempts made.
    pub attempts: u32,
    /// When it is tried (next).
    pub due: Time,
    /// When its destination is tried again, where that is let alone beyond the recipient's own time.
    pub destination_opens: Option<Time>,
    /// What the last attempt met.
    pub last_reply: Option<String>,
}

impl Entry {
    /// An entry of the spool; `opens` says until when a recipient's destination is let alone.
    pub(super) fn of(
        entry: queue::postmaster::Entry,
        opens: impl Fn(&queue::delivery::RecipientState) -> Option<Time>,
    ) -> Self {
        let recipient = |(mailbox, state): (Mailbox, queue::delivery::RecipientState)| Recipient {
            mailbox,
            destination_opens: opens(&state),
            destination: state.destination.to_string(),
            phase: state.phase.into(),
            attempts: state.attempts,
            due: Time(state.due),
            last_reply: state.last_reply,
        };
        Self {
            id: entry.id,
            received: Time(entry.received),
            size_octets: entry.size_octets,
            reverse_path: form::bare(&entry.reverse_path),
            hold: entry.hold.map(|hold| hold_word(hold).to_owned()),
            recipients: entry.recipients.into_iter().map(recipient).collect(),
        }
    }
}

/// The queue in numbers; recipients that are finished don't count.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
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
    pub active: u64,
    /// Octets of mail data.
    pub octets: u64,
    /// When the oldest message was received.
    pub oldest: Option<Time>,
    /// Destinations.
    pub destinations: u64,
}

/// What waits for one destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationRow {
    /// Its key.
    pub destination: String,
    /// Recipients.
    pub recipients: u64,
    /// Recipients that are held.
    pub held: u64,
    /// Recipients that were tried at least once.
    pub deferred: u64,
    /// Recipients with an attempt under way.
    pub active: u64,
    /// When the oldest message was received.
    pub oldest: Option<Time>,
    /// When one of the oldest messages is tried next.
    pub next_due: Option<Time>,
    /// What one of the oldest messages met last.
    pub last_reply: Option<String>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Messages that were looked at.
    pub done: u64,
    /// Messages that there were when it began; 0 when they were not counted.
    pub total: u64,
}

/// How the server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Name and version.
    pub product: String,
    /// Its name.
    pub hostname: String,
    /// Its process.
    pub pid: u32,
    /// When it started.
    pub started: Time,
    /// Seconds since then.
    pub uptime_seconds: u64,
    /// Where it listens.
    pub listening: Vec<String>,
    /// The configuration's file; none is the zero configuration.
    pub configuration: Option<String>,
    /// When that was last put in force.
    pub loaded: Time,
    /// Whether it takes no new connections because it ends.
    pub draining: bool,
    /// Sessions that are open.
    pub sessions: u64,
    /// Messages accepted since the start.
    pub accepted: u64,
    /// Replies of 4yz and 5yz since the start.
    pub refused: u64,
    /// Why no mail is taken any more: a write or a sync of the spool has failed.
    pub fault: Option<String>,
    /// Why no mail is taken for now: too little room.
    pub no_room: Option<String>,
    /// The queue.
    pub queue: Census,
}

/// What a reload came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Whether what was read is in force; otherwise what was in force stays.
    pub in_force: bool,
    /// What is wrong, or only doubtful when it is in force; each with its file, line and column.
    pub problems: Vec<String>,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Done {
    /// Messages that matched.
    pub messages: u64,
    /// Recipients that matched.
    pub recipients: u64,
    /// Those of them whose attempt is under way: an order is carried out on them when it is over, unless it succeeds.
    pub active: u64,
    /// Messages that could not be read, or were gone when their turn came.
    pub missed: u64,
    /// Sentences on what was left undone.
    pub problems: Vec<String>,
    /// What else came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Most sentences in one answer (ours: bounds memory; what is left out is counted as missed).
const PROBLEMS_MAX: usize = 100;

impl Done {
    /// Adds a sentence.
    pub(super) fn problem(&mut self, problem: String) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem);
        }
    }
}

/// What else came of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The message is queued under this id.
    Imported(#[serde(with = "form::text")] QueueId),
    /// So many DSNs are queued.
    Bounced(u64),
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What went wrong.
    pub kind: FailureKind,
    /// A sentence that says what to do.
    pub why: String,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request can't be meant.
    Usage,
    /// There is no such message.
    NotFound,
    /// The spool or something else failed; what was done before stays done.
    Unavailable,
    /// Too many ask at a time, or the server is stopping.
    Busy,
    /// Who asks may not.
    Refused,
}

impl Failure {
    pub(super) fn new(kind: FailureKind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    pub(super) fn usage(why: impl Into<String>) -> Self {
        Self::new(FailureKind::Usage, why)
    }
}

impl From<SpoolError> for Failure {
    fn from(error: SpoolError) -> Self {
        let kind = match error {
            SpoolError::Gone(_) => FailureKind::NotFound,
            _ => FailureKind::Unavailable,
        };
        let advice = match error {
            SpoolError::Gone(_) => ": it was delivered, failed or dropped; `gatepost explain` may know it",
            SpoolError::Damaged(_) => ": `gatepost queue fsck` says more once the server is stopped",
            SpoolError::NoRoom(_) => ": free some room and try again",
            _ => "",
        };
        Self::new(kind, format!("{error}{advice}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

impl std::error::Error for Failure {}
