//! The spool on a local disk: a log of segments, written by one thread and indexed in memory.
//!
//! A record is appended and synced together with all that wait at that moment; nothing is written in place. A message
//! exists from the moment its record is durable; its last recipient's outcome appends a short record that ends it.
//! Segments whose records are all dead are used again, oldest first.
//!
//! Ids stay unique over restarts because a mark ahead of the last id is written before any message with it. Only an id
//! that no durable record followed can come again, and only if the clock steps back over a crash.

mod agenda;
mod codec;
mod committer;
mod digest;
mod entry;
mod fsck;
mod index;
mod intake;
mod jobs;
mod large_body;
mod line;
mod names;
mod options;
mod payload;
mod read;
mod reclaim;
mod record;
mod recovery;
mod scan;
mod shared;

use std::fmt;
use std::future::{Future, ready};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use smtp::time::WallTime;

pub use self::fsck::{fsck, fsck_disk};
pub use self::options::{
    BACKLOG_OCTETS_MAX, Commits, Drill, FREE_INODES_MIN, FREE_OCTETS_MIN, MESSAGES_MAX, Options,
    RECLAIM_SLACK_OCTETS, SEGMENT_OCTETS, SPARES_MAX,
};
pub use self::recovery::{OpenError, Report};
pub use self::scan::Damage;

use self::committer::{Committer, Group};
use self::digest::Summary;
use self::intake::Intake;
use self::large_body::Sink;
use self::payload::{BodyForm, put_message};
use self::reclaim::Reclaim;
use self::recovery::{Purpose, Recovered, recover};
use self::shared::{Job, Prepared, Room, Shared, stopped};
use crate::body::{Body, LargeBody, SealedBody, SealedContent, StoredMessage, Unkept};
use crate::delivery::{Delivery, RecipientOutcome};
use crate::disk::Disk;
use crate::kernel_disk::KernelDisk;
use crate::message::{Destination, Draft, QueuedMessage};
use crate::postmaster::{Census, Entry, Order, Query};
use crate::queue_id::{Allotter, QueueId};
use crate::sender::SenderKey;
use crate::spool::{Arrival, NoRoom, Overdue, RECIPIENTS_MAX, Spool, SpoolError, Window};
use crate::wait::{Bell, Changed, Receiver, lock, oneshot};

/// A spool on a disk.
pub struct LogSpool<D: Disk> {
    shared: Arc<Shared<D>>,
    thread: Option<JoinHandle<()>>,
    /// Here when commits are made on call.
    committer: Mutex<Option<Committer<D>>>,
}

impl LogSpool<KernelDisk> {
    /// Opens the spool in a directory, which is made when there is none and is locked until the spool is dropped.
    ///
    /// # Errors
    /// [`OpenError`]; of kind `ResourceBusy` when another process has it.
    pub fn at(path: &Path, options: Options) -> Result<(Self, Report), OpenError> {
        Self::open_on(KernelDisk::open(path)?, options)
    }
}

impl<D: Disk> LogSpool<D> {
    /// Opens the spool on a disk, and says what was found there.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn open_on(disk: D, options: Options) -> Result<(Self, Report), OpenError> {
        let Options { spares_max, segment_octets, commits, .. } = options;
        let Recovered { index, segments, spares, next_number, mark, report } =
            recover(&disk, Purpose::Use { spares_max, segment_octets })?;
        let room = Room::new(index.len(), &options);
        room.set_reserve(!spares.is_empty());
        if let Ok(free) = disk.free() {
            room.set_free(free);
        }
        let shared = Arc::new(Shared {
            disk,
            options,
            index: Mutex::new(index),
            segments: Mutex::new(segments),
            intake: Intake::default(),
            allotter: Allotter::above(mark),
            mark: AtomicU64::new(mark),
            room,
            fault: OnceLock::new(),
            bell: Bell::default(),
        });
        let mut committer = Committer {
            shared: Arc::clone(&shared),
            active: None,
            next_number,
            spares,
            group: Group::default(),
            reclaim: Reclaim::default(),
            wished: Vec::new(),
        };
        committer.tend();
        let mut spool = Self { shared, thread: None, committer: Mutex::new(None) };
        match commits {
            Commits::OnCall => spool.committer = Mutex::new(Some(committer)),
            Commits::Thread => {
                let thread = std::thread::Builder::new().name("spool".into());
                spool.thread = Some(thread.spawn(move || committer.work())?);
            }
        }
        Ok((spool, report))
    }

    /// Writes what waits, and does one step of keeping the log in order; whether more such steps are to be done.
    /// Only for [`Commits::OnCall`].
    pub fn commit(&self) -> bool {
        let mut committer = lock(&self.committer);
        let Some(committer) = committer.as_mut() else { return false };
        self.shared.intake.take(false).is_some_and(|(jobs, octets)| committer.commit(jobs, octets))
    }

    /// Takes mail only above other watermarks than those of [`Options`] from now on.
    pub fn set_watermarks(&self, free_octets_min: u64, free_inodes_min: u64) {
        self.shared.room.set_watermarks(free_octets_min, free_inodes_min);
    }

    /// Hands a job in, lets others hand in theirs, and waits for the answer.
    async fn commit_with_others<T>(
        &self,
        job: Job,
        answer: Receiver<Result<T, SpoolError>>,
    ) -> Result<T, SpoolError> {
        if let Some(turn) = self.shared.submit(job)? {
            turn.await;
        }
        answer.await.unwrap_or_else(|| Err(stopped()))
    }

    fn prepare(
        id: QueueId,
        message: &QueuedMessage,
        body: Vec<u8>,
        form: BodyForm,
    ) -> Result<Prepared, SpoolError> {
        if message.recipients.is_empty() || message.recipients.len() > RECIPIENTS_MAX {
            return Err(SpoolError::Recipients(id));
        }
        let mut head = Vec::with_capacity(256);
        put_message(&mut head, message, form);
        let (size_octets, large) = match form {
            BodyForm::Inline => (body.len() as u64, false),
            BodyForm::Large(size_octets) => (size_octets.saturating_add(body.len() as u64), true),
        };
        let summary = Summary {
            received: message.received,
            size_octets,
            large,
            held: message.hold.is_some(),
            sender_key: SenderKey::of(&message.reverse_path),
            groups: message.groups(),
        };
        Ok(Prepared { id, head, body, summary })
    }

    fn prepare_body(
        id: QueueId,
        message: &QueuedMessage,
        body: Body,
    ) -> Result<(Prepared, Option<Unkept>), SpoolError> {
        let (body, form, unkept) = match body {
            Body::Memory(octets) => (octets, BodyForm::Inline, None),
            Body::Large(SealedBody { id: other, .. }) if other != id => {
                return Err(SpoolError::Unavailable(format!("the body of {other} is not the body of {id}")));
            }
            Body::Large(SealedBody { mut head, content: SealedContent::Memory(octets), .. }) => {
                head.extend_from_slice(&octets);
                (head, BodyForm::Inline, None)
            }
            Body::Large(SealedBody { head, size_octets, content: SealedContent::File(unkept), .. }) => {
                (head, BodyForm::Large(size_octets), Some(unkept))
            }
        };
        Ok((Self::prepare(id, message, body, form)?, unkept))
    }
}

impl<D: Disk> Spool for LogSpool<D> {
    fn allot(&self, now: WallTime) -> QueueId {
        let id = self.shared.allotter.allot(now);
        if id.number() > self.shared.mark.load(Ordering::Relaxed) {
            self.shared.intake.tend();
        }
        id
    }

    fn room(&self, size_octets: Option<u64>) -> Result<(), NoRoom> {
        self.shared.room(size_octets.unwrap_or(0))
    }

    fn fault(&self) -> Option<String> {
        self.shared.fault.get().cloned()
    }

    fn refresh(&self) {
        if let Ok(free) = self.shared.disk.free() {
            self.shared.room.set_free(free);
        }
        self.shared.intake.tend();
    }

    fn large_body(&self, id: QueueId) -> Result<LargeBody, SpoolError> {
        Ok(LargeBody { sink: Box::new(Sink::create(&self.shared, id)?) })
    }

    async fn enqueue_all(&self, arrivals: Vec<Arrival>) -> Result<(), SpoolError> {
        if arrivals.is_empty() {
            return Ok(());
        }
        self.shared.check_fault()?;
        let size_octets = arrivals.iter().map(|arrival| arrival.body.size_octets()).sum();
        self.shared.room(size_octets).map_err(SpoolError::NoRoom)?;
        let prepare = |Arrival { id, message, body }: Arrival| Self::prepare_body(id, &message, body);
        let messages = arrivals.into_iter().map(prepare).collect::<Result<_, _>>()?;
        let (answer, receiver) = oneshot();
        self.commit_with_others(Job::Accept { messages, answer }, receiver).await
    }

    fn due(
        &self,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(lock(&self.shared.index).take_due(None, now, limit)))
    }

    fn due_of(
        &self,
        destination: &Destination,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(lock(&self.shared.index).take_due(Some(destination), now, limit)))
    }

    fn overdue(
        &self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(self.shared.take_overdue(destination, now, overdue, limit)))
    }

    fn next_due(&self) -> Option<WallTime> {
        lock(&self.shared.index).next_due()
    }

    fn set_window(&self, destination: &Destination, window: Window) {
        lock(&self.shared.index).set_window(destination, window);
    }

    fn window(&self, destination: &Destination) -> Window {
        lock(&self.shared.index).window(destination)
    }

    fn messages(&self) -> u64 {
        lock(&self.shared.index).len() as u64
    }

    fn changed(&self) -> Changed {
        self.shared.bell.listen()
    }

    async fn open(&self, id: QueueId) -> Result<StoredMessage, SpoolError> {
        self.shared.open(id)
    }

    async fn settle(
        &self,
        delivery: Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Draft>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        let prepared: Result<Vec<Prepared>, SpoolError> = notices
            .into_iter()
            .map(|Draft { message, body }| {
                Self::prepare(self.allot(message.received), &message, body, BodyForm::Inline)
            })
            .collect();
        let (answer, receiver) = oneshot();
        let notices = prepared?;
        self.commit_with_others(Job::Settle { delivery, outcomes, notices, answer }, receiver).await
    }

    fn release(&self, delivery: Delivery, until: WallTime) {
        let put_back = lock(&self.shared.index).release(&delivery, until);
        if put_back {
            self.shared.bell.ring();
        } else {
            // When the spool is shutting down the orders that wait for this delivery go unheard.
            let _ = self.shared.submit(Job::Wishes((delivery.id, delivery.number)));
        }
    }

    async fn list(
        &self,
        query: &Query,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Entry>, SpoolError> {
        Ok(self.shared.list(query, after, limit))
    }

    async fn order(&self, query: &Query, order: Order) -> Result<u64, SpoolError> {
        let mut count = 0;
        let mut after = None;
        while let Some((last, page)) = self.shared.page(query, after) {
            after = Some(last);
            let targets: Vec<_> = page.into_iter().flat_map(|id| self.shared.targets(query, id)).collect();
            if targets.is_empty() {
                continue;
            }
            let (answer, receiver) = oneshot();
            count += self
                .commit_with_others(Job::Order { targets, order: order.clone(), answer }, receiver)
                .await?;
        }
        Ok(count)
    }

    async fn census(&self) -> Result<Census, SpoolError> {
        Ok(self.shared.census())
    }
}

impl<D: Disk> Drop for LogSpool<D> {
    /// Writes what still waits, and what makes the next start fast.
    fn drop(&mut self) {
        self.shared.intake.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed when it happened.
            let _ = thread.join();
        }
        if let Some(mut committer) = lock(&self.committer).take() {
            while let Some((jobs, octets)) = self.shared.intake.take(false) {
                committer.commit(jobs, octets);
            }
            committer.close();
        }
    }
}

impl<D: Disk> fmt::Debug for LogSpool<D> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LogSpool").field("fault", &self.shared.fault).finish_non_exhaustive()
    }
}

impl From<OpenError> for io::Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Disk(error) => error,
            OpenError::OtherVersion(_) => Self::new(io::ErrorKind::InvalidData, error.to_string()),
        }
    }
}
