//! The spool's contract: accepted mail, kept until every recipient is delivered, failed or dropped.
//!
//! Invariants that every implementation keeps and `tests/contract.rs` checks: a message exists from the moment `enqueue`
//! returns `Ok` until its last recipient is settled; a delivery is with one claimant at a time; an outcome and the
//! notices it causes become durable together or not at all.

use std::fmt;
use std::future::Future;
use std::io;
use std::time::Duration;

use smtp::time::WallTime;

use crate::body::{Body, LargeBody, StoredMessage};
use crate::delivery::{Delivery, RecipientOutcome};
use crate::message::{Destination, Draft, QueuedMessage};
use crate::postmaster::{Census, Entry, Order, Query};
use crate::queue_id::QueueId;
use crate::wait::Changed;

/// Bodies over this go into a file of their own, in octets (ours: bounds the memory of a session and of a commit).
pub const LARGE_BODY_OCTETS: u64 = 1024 * 1024;

/// Most recipients of a queued message after aliases (ours: bounds a record of the log).
pub const RECIPIENTS_MAX: usize = 50_000;

/// Deliveries of one destination that are claimed at a time, unless its window says otherwise (ours: what no server
/// minds from a stranger; [`pace`](crate::pace) finds out what it takes beyond).
pub const CLAIMS_FIRST: u32 = 5;

/// A message that is to be queued.
#[derive(Debug)]
pub struct Arrival {
    /// Its name, from [`Spool::allot`].
    pub id: QueueId,
    /// Its envelope.
    pub message: QueuedMessage,
    /// Its mail data.
    pub body: Body,
}

/// Accepted mail, kept until every recipient is delivered, failed or dropped.
pub trait Spool: Send + Sync + 'static {
    /// A queue id that was never given before. It is wanted before the message is stored: the Received field names it.
    fn allot(&self, now: WallTime) -> QueueId;

    /// Whether a message of `size_octets` would be taken now; asked at MAIL (with SIZE) and at the end of data.
    ///
    /// # Errors
    /// [`NoRoom`] is answered 452 4.3.1.
    fn room(&self, size_octets: Option<u64>) -> Result<(), NoRoom>;

    /// Why no mail is taken any more, once a write or a sync has failed: 451 4.3.0, and an alarm. Delivery goes on.
    fn fault(&self) -> Option<String>;

    /// Looks at the free space again. The program calls it about once a second.
    fn refresh(&self);

    /// A writer for the body of message `id` that is (or may be) over [`LARGE_BODY_OCTETS`].
    ///
    /// # Errors
    /// As [`Spool::enqueue`].
    fn large_body(&self, id: QueueId) -> Result<LargeBody, SpoolError>;

    /// Takes a message. `Ok` means that it is durable; a caller that stops waiting no longer knows.
    ///
    /// # Errors
    /// Nothing was taken, the reply is 4yz: [`SpoolError::NoRoom`] 452, anything else 451.
    fn enqueue(
        &self,
        id: QueueId,
        message: QueuedMessage,
        body: Body,
    ) -> impl Future<Output = Result<(), SpoolError>> + Send {
        self.enqueue_all(vec![Arrival { id, message, body }])
    }

    /// Takes several messages, all or none of them: they become durable together. Their bodies in memory are bounded by
    /// [`LARGE_BODY_OCTETS`] together.
    ///
    /// # Errors
    /// As [`Spool::enqueue`].
    fn enqueue_all(&self, arrivals: Vec<Arrival>) -> impl Future<Output = Result<(), SpoolError>> + Send;

    /// At most `limit` deliveries that are due, destinations in turn, senders in turn within each (see
    /// [`SenderKey`](crate::sender::SenderKey)), a sender's oldest first, and no more of a destination than its window lets
    /// through. They are the caller's until settled or released. Returns at once, empty when nothing is due.
    ///
    /// # Errors
    /// [`SpoolError::Unavailable`] when the spool cannot be asked; nothing was claimed.
    fn due(
        &self,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send;

    /// As [`Spool::due`], of one destination alone.
    ///
    /// # Errors
    /// As [`Spool::due`].
    fn due_of(
        &self,
        destination: &Destination,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send;

    /// At most `limit` deliveries of the destination that are due and `overdue`, whatever its window says: their time
    /// runs out while it is shut off.
    ///
    /// # Errors
    /// As [`Spool::due`].
    fn overdue(
        &self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send;

    /// When the next unclaimed, unheld delivery can be claimed as far as time decides; `None` when there is none.
    fn next_due(&self) -> Option<WallTime>;

    /// Sets how this node is given the deliveries of a destination, until it is set anew or the program ends. Costs the
    /// same whatever waits for the destination; whoever sets it looks for what is due by itself.
    fn set_window(&self, destination: &Destination, window: Window);

    /// How this node is given the deliveries of a destination.
    fn window(&self, destination: &Destination) -> Window;

    /// How many messages are in the queue; costs the same however many they are.
    fn messages(&self) -> u64;

    /// Completes when a delivery became due or was put back after this call. Call it before [`Spool::due`], await it
    /// when nothing was due: then no change is missed.
    fn changed(&self) -> Changed;

    /// A message with its recipients' states and its body. Reads a disk in the calling thread.
    ///
    /// # Errors
    /// [`SpoolError::Gone`] when its last recipient is settled, [`SpoolError::Damaged`] when its record is not whole.
    fn open(&self, id: QueueId) -> impl Future<Output = Result<StoredMessage, SpoolError>> + Send;

    /// Records what became of a delivery, one outcome for each of its recipients, in order, and queues the notices
    /// that this causes, atomically. The message goes with its last recipient. Returns the notices' queue ids.
    ///
    /// # Errors
    /// [`SpoolError::NotClaimed`] and [`SpoolError::Outcomes`]: nothing changed. Otherwise the outcome holds until the
    /// spool is next opened, so that nothing is delivered twice before, and no notice is queued.
    fn settle(
        &self,
        delivery: Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Draft>,
    ) -> impl Future<Output = Result<Vec<QueueId>, SpoolError>> + Send;

    /// Puts a claimed delivery back untried, due at `until`. Nothing is written: after a restart it is due as before.
    fn release(&self, delivery: Delivery, until: WallTime);

    /// Messages that match, in the order of their ids, those after `after`, at most `limit`. Reads a disk in the
    /// calling thread.
    ///
    /// # Errors
    /// [`SpoolError::Unavailable`]. A damaged message is left out.
    fn list(
        &self,
        query: &Query,
        after: Option<QueueId>,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Entry>, SpoolError>> + Send;

    /// Carries out a postmaster's order on every recipient that matches; returns how many. A recipient whose delivery
    /// is under way is changed once that is settled.
    ///
    /// # Errors
    /// As [`Spool::settle`]; part of a long order may have been carried out.
    fn order(&self, query: &Query, order: Order) -> impl Future<Output = Result<u64, SpoolError>> + Send;

    /// What is in the queue, in numbers.
    ///
    /// # Errors
    /// [`SpoolError::Unavailable`].
    fn census(&self) -> impl Future<Output = Result<Census, SpoolError>> + Send;
}

/// How the deliveries of a destination are handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Most deliveries of it that are claimed at a time; 0 gives none out.
    pub claims_max: u32,
    /// None is handed out before this time.
    pub opens: WallTime,
}

impl Default for Window {
    /// Open, for [`CLAIMS_FIRST`] at a time.
    fn default() -> Self {
        Self { claims_max: CLAIMS_FIRST, opens: WallTime::from_unix_millis(0) }
    }
}

/// Which deliveries can't wait for their destination any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overdue {
    /// Those of messages that were received so long ago.
    pub lifetime: Duration,
    /// Those of messages that were received so long ago and were not due again since.
    pub warning: Duration,
}

impl Overdue {
    pub(crate) fn takes(&self, now: WallTime, received: WallTime, due: WallTime) -> bool {
        let age = now.since(received);
        due <= now && (age >= self.lifetime || age >= self.warning && due <= received + self.warning)
    }
}

/// Why nothing more is taken for now; 452 4.3.1 to the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoRoom {
    /// Too few free octets on the disk.
    Octets,
    /// Too few free inodes on the disk.
    Inodes,
    /// Too many octets wait to be written.
    Backlog,
    /// Too many messages are queued.
    Messages,
    /// The last segment that can be written is kept for outcomes and notices.
    Reserve,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Octets => "too little free disk space",
            Self::Inodes => "too few free inodes",
            Self::Backlog => "too much mail is waiting to be written",
            Self::Messages => "too many messages are queued",
            Self::Reserve => "the spool's last segment is kept for delivery",
        })
    }
}

/// Why the spool did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolError {
    /// There is no room for now.
    NoRoom(NoRoom),
    /// The storage failed or failed before.
    Unavailable(String),
    /// The message is stored but its record is not whole.
    Damaged(QueueId),
    /// No such message, or not any more.
    Gone(QueueId),
    /// A message has this id already.
    Taken(QueueId),
    /// The delivery is not the caller's (any more).
    NotClaimed(QueueId),
    /// A delivery needs exactly one outcome for each of its recipients.
    Outcomes(QueueId),
    /// The message has no recipient or more than [`RECIPIENTS_MAX`].
    Recipients(QueueId),
}

impl fmt::Display for SpoolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRoom(why) => write!(formatter, "no room: {why}"),
            Self::Unavailable(why) => write!(formatter, "the spool is unavailable: {why}"),
            Self::Damaged(id) => write!(formatter, "message {id} is damaged"),
            Self::Gone(id) => write!(formatter, "message {id} is not in the spool"),
            Self::Taken(id) => write!(formatter, "queue id {id} is taken"),
            Self::NotClaimed(id) => write!(formatter, "this delivery of message {id} is not claimed"),
            Self::Outcomes(id) => write!(formatter, "message {id}: one outcome a recipient is wanted"),
            Self::Recipients(id) => {
                write!(formatter, "message {id}: between 1 and {RECIPIENTS_MAX} recipients are wanted")
            }
        }
    }
}

impl std::error::Error for SpoolError {}

impl From<io::Error> for SpoolError {
    /// A full disk is no room, anything else unavailable.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom(NoRoom::Octets),
            _ => Self::Unavailable(error.to_string()),
        }
    }
}
