//! What the callers of a log, its committer and its readers share.
//!
//! Locks are taken one at a time, except that `segments` may be taken within `index`.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use super::digest::Summary;
use super::index::{Index, Key};
use super::intake::{Intake, Turn};
use super::names::Name;
use super::options::{Drill, Options};
use crate::body::Unkept;
use crate::delivery::{Delivery, RecipientOutcome};
use crate::disk::Disk;
use crate::postmaster::Order;
use crate::queue_id::{Allotter, QueueId};
use crate::spool::{NoRoom, SpoolError};
use crate::wait::{Bell, Sender};

/// Octets that one commit gathers (ours: about what a disk writes in the time of a few syncs).
pub(super) const GROUP_OCTETS_MAX: usize = 16 * 1024 * 1024;

/// A segment of the log as it is read.
#[derive(Debug)]
pub(super) struct Segment<F> {
    pub(super) file: Arc<F>,
    pub(super) salt: u32,
    pub(super) size_octets: u64,
    pub(super) damaged: bool,
}

impl<F> Segment<F> {
    pub(super) fn name(&self, number: NonZeroU32) -> Name {
        Name::Segment(number, self.salt)
    }
}

/// A message that is ready to be written.
pub(super) struct Prepared {
    pub(super) id: QueueId,
    /// The payload but for an inline body.
    pub(super) head: Vec<u8>,
    /// An inline body.
    pub(super) body: Vec<u8>,
    pub(super) summary: Summary,
}

/// A delivery that an order is for, and the recipients that are meant.
pub(super) struct Target {
    pub(super) key: Key,
    pub(super) recipients: Vec<u32>,
}

/// What the committer is asked to do.
pub(super) enum Job {
    Accept {
        /// Each with its large body, if it has one. All are taken or none.
        messages: Vec<(Prepared, Option<Unkept>)>,
        answer: Sender<Result<(), SpoolError>>,
    },
    Settle {
        delivery: Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Prepared>,
        answer: Sender<Result<Vec<QueueId>, SpoolError>>,
    },
    Order {
        targets: Vec<Target>,
        order: Order,
        answer: Sender<Result<u64, SpoolError>>,
    },
    /// Orders came for a delivery while it was in somebody's hands; it is in ours now.
    Wishes(Key),
}

impl Job {
    /// Whether somebody waits for it. A message that is in its mailboxes needs no sync of its own: the names of the
    /// files there tell a repetition after a crash. One that was relayed can't be told, and is recorded at once.
    pub(super) fn is_urgent(&self) -> bool {
        match self {
            Self::Settle { outcomes, notices, .. } => {
                !notices.is_empty() || !outcomes.iter().all(|outcome| *outcome == RecipientOutcome::Delivered)
            }
            Self::Accept { .. } | Self::Order { .. } | Self::Wishes(_) => true,
        }
    }

    pub(super) fn octets(&self) -> usize {
        let prepared = |prepared: &Prepared| prepared.head.len() + prepared.body.len();
        match self {
            Self::Accept { messages, .. } => messages.iter().map(|(message, _)| prepared(message)).sum(),
            Self::Settle { notices, .. } => notices.iter().map(prepared).sum(),
            Self::Order { .. } | Self::Wishes(_) => 0,
        }
    }
}

/// What is known of the room for more mail.
#[derive(Debug)]
pub(super) struct Room {
    free_octets: AtomicU64,
    free_inodes: AtomicU64,
    free_octets_min: AtomicU64,
    free_inodes_min: AtomicU64,
    backlog_octets: AtomicU64,
    messages: AtomicU64,
    /// Whether the reserve segment is there.
    reserve: AtomicBool,
}

pub(super) struct Shared<D: Disk> {
    pub(super) disk: D,
    pub(super) options: Options,
    pub(super) index: Mutex<Index>,
    pub(super) segments: Mutex<BTreeMap<NonZeroU32, Segment<D::File>>>,
    pub(super) intake: Intake,
    pub(super) allotter: Allotter,
    /// No id up to this number is given again after a restart.
    pub(super) mark: AtomicU64,
    pub(super) room: Room,
    pub(super) fault: OnceLock<String>,
    pub(super) bell: Bell,
}

impl<D: Disk> Shared<D> {
    /// Stops taking mail for good: what a failed write or sync left on the disk is not known, and a second try that
    /// succeeds would say nothing about the first.
    pub(super) fn latch(&self, what: &str, error: &std::io::Error) -> SpoolError {
        let why = self.fault.get_or_init(|| format!("{what}: {error}"));
        SpoolError::Unavailable(why.clone())
    }

    pub(super) fn check_fault(&self) -> Result<(), SpoolError> {
        match self.fault.get() {
            Some(why) => Err(SpoolError::Unavailable(why.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn room(&self, size_octets: u64) -> Result<(), NoRoom> {
        let (room, options) = (&self.room, &self.options);
        let free_octets = match options.drill {
            Some(Drill::NoRoom) => 0,
            _ => room.free_octets.load(Ordering::Relaxed),
        };
        if free_octets < room.free_octets_min.load(Ordering::Relaxed).saturating_add(size_octets).max(1) {
            return Err(NoRoom::Octets);
        }
        if room.free_inodes.load(Ordering::Relaxed) < room.free_inodes_min.load(Ordering::Relaxed) {
            return Err(NoRoom::Inodes);
        }
        if room.backlog_octets.load(Ordering::Relaxed) > options.backlog_octets_max {
            return Err(NoRoom::Backlog);
        }
        if room.messages.load(Ordering::Relaxed) >= options.messages_max as u64 {
            return Err(NoRoom::Messages);
        }
        if !room.reserve.load(Ordering::Relaxed) {
            return Err(NoRoom::Reserve);
        }
        Ok(())
    }

    /// Hands a job to the committer. Await the turn before the answer, or drop it when nobody waits.
    pub(super) fn submit(&self, job: Job) -> Result<Option<Turn<'_>>, SpoolError> {
        let octets = job.octets() as u64;
        self.room.backlog_octets.fetch_add(octets, Ordering::Relaxed);
        self.intake.push(job).inspect_err(|_| self.room.written(octets))
    }
}

pub(super) fn stopped() -> SpoolError {
    SpoolError::Unavailable("the spool is shutting down".into())
}

impl Room {
    pub(super) fn new(messages: usize, options: &Options) -> Self {
        Self {
            free_octets: AtomicU64::new(u64::MAX),
            free_inodes: AtomicU64::new(u64::MAX),
            free_octets_min: AtomicU64::new(options.free_octets_min),
            free_inodes_min: AtomicU64::new(options.free_inodes_min),
            backlog_octets: AtomicU64::new(0),
            messages: AtomicU64::new(messages as u64),
            reserve: AtomicBool::new(false),
        }
    }

    pub(super) fn set_free(&self, free: crate::disk::FreeSpace) {
        self.free_octets.store(free.octets, Ordering::Relaxed);
        self.free_inodes.store(free.inodes, Ordering::Relaxed);
    }

    pub(super) fn set_watermarks(&self, free_octets_min: u64, free_inodes_min: u64) {
        self.free_octets_min.store(free_octets_min, Ordering::Relaxed);
        self.free_inodes_min.store(free_inodes_min, Ordering::Relaxed);
    }

    pub(super) fn set_messages(&self, messages: usize) {
        self.messages.store(messages as u64, Ordering::Relaxed);
    }

    pub(super) fn set_reserve(&self, there: bool) {
        self.reserve.store(there, Ordering::Relaxed);
    }

    pub(super) fn written(&self, octets: u64) {
        self.backlog_octets.fetch_sub(octets, Ordering::Relaxed);
    }
}
