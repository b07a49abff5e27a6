//! The writer: the one thread that brings chunks to disk, reserves ids, and deletes what is too old.
//!
//! Invariants: nothing that fails here refuses mail or ends the thread: it is counted, said once a minute at most, and
//! tried again; what waits in memory is bounded by the inbox.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use smtp::time::WallTime;

use super::super::day::Day;
use super::super::ids::Ids;
use super::super::inbox::{Inbox, Lost, Taken};
use super::super::settings::{Mask, Settings};
use super::super::texts::PolicyText;
use super::counts::Pending;
use super::files;
use super::open_day::{OpenDay, Policies};

/// Longest wait of a decision for the disk.
pub(in super::super) const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Longest wait of a rule's counts for the disk.
const COUNTS_EVERY: Duration = Duration::from_secs(10);

/// How often files are looked at that may have to go.
const TIDY_EVERY: Duration = Duration::from_secs(60);

/// How long a file that could not be opened is left alone.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// Policies that are remembered for sessions that began under them (ours).
const POLICIES_MAX: usize = 64;

/// How often at most a failure is said.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// What sessions, the writer and whoever asks for numbers share.
#[derive(Debug)]
pub(in super::super) struct Shared {
    pub(in super::super) inbox: Arc<Inbox>,
    pub(in super::super) ids: Arc<Ids>,
    pub(in super::super) policies: Mutex<Policies>,
    pub(in super::super) lost: Mutex<Lost>,
}

impl Shared {
    pub(in super::super) fn policies(&self) -> std::sync::MutexGuard<'_, Policies> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a policy known whose decisions will come.
    pub(in super::super) fn know(&self, policy: &Arc<PolicyText>) {
        let mut policies = self.policies();
        if policies.contains_key(&policy.fingerprint) {
            return;
        }
        if policies.len() >= POLICIES_MAX {
            policies.retain(|_, known| Arc::strong_count(known) > 1);
        }
        policies.insert(policy.fingerprint, Arc::clone(policy));
    }

    fn lose(&self, count: impl FnOnce(&mut Lost)) {
        count(&mut self.lost.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Something that is done at most so often.
#[derive(Debug, Default)]
struct Rarely(Option<WallTime>);

impl Rarely {
    fn is_due(&mut self, now: WallTime, every: Duration) -> bool {
        let due = self.0.is_none_or(|last| now < last || now.since(last) >= every);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

/// The writer and what it has open.
#[derive(Debug)]
pub(in super::super) struct Writer {
    folder: PathBuf,
    settings: Settings,
    shared: Arc<Shared>,
    open: Option<OpenDay>,
    taken: Taken,
    pending: Pending,
    mask_key: (Day, [u64; 2]),
    /// Not yet in the store: lost for want of room, and for a failure.
    unsaid: Lost,
    granted: u64,
    counts: Rarely,
    tidied: Rarely,
    opened: Rarely,
    said: Rarely,
    said_ids: Rarely,
}

impl Writer {
    pub(in super::super) fn new(
        folder: PathBuf,
        settings: Settings,
        shared: Arc<Shared>,
        now: WallTime,
    ) -> Self {
        Self {
            folder,
            settings,
            shared,
            open: None,
            taken: Taken::default(),
            pending: Pending::default(),
            mask_key: (Day::of(now), random_key()),
            unsaid: Lost::default(),
            granted: 0,
            counts: Rarely::default(),
            tidied: Rarely::default(),
            opened: Rarely::default(),
            said: Rarely::default(),
            said_ids: Rarely::default(),
        }
    }

    /// Writes until the inbox is closed and empty. `clock` says what time it is.
    pub(in super::super) fn run(mut self, clock: impl Fn() -> WallTime) {
        let inbox = Arc::clone(&self.shared.inbox);
        loop {
            inbox.wait(WRITE_EVERY);
            if self.turn(clock()) {
                return;
            }
        }
    }

    /// Does what is to be done; `true` when the inbox is closed and everything is written.
    pub(in super::super) fn turn(&mut self, now: WallTime) -> bool {
        self.reserve_ids(now);
        let mut taken = std::mem::take(&mut self.taken);
        self.shared.inbox.take(&mut taken);
        let closed = taken.closed;
        if self.settings.enabled {
            self.work(now, &taken);
        }
        self.shared.inbox.done(&taken);
        self.taken = taken;
        closed
    }

    fn work(&mut self, now: WallTime, taken: &Taken) {
        let closed = taken.closed;
        if taken.no_room > 0 {
            self.unsaid.no_room += taken.no_room;
            self.shared.lose(|lost| lost.no_room += taken.no_room);
        }
        if let Err(error) = self.write(now, taken) {
            let chunks = taken.chunks().count() as u64;
            self.unsaid.not_written += chunks;
            self.shared.lose(|lost| lost.not_written += chunks);
            self.open = None;
            self.say(now, &format!("the journal can't be written: {error}"));
        } else if self.unsaid.no_room > 0 {
            self.say(now, "the journal can't keep up");
        }
        let wished = taken.wish() != self.granted;
        self.granted = taken.wish();
        if closed || wished || self.counts.is_due(now, COUNTS_EVERY) {
            self.put_counts(now);
        }
        if self.tidied.is_due(now, TIDY_EVERY) {
            self.tidy(now);
        }
        if closed {
            // Closing the file folds the write-ahead log into it.
            self.open = None;
        }
    }

    fn reserve_ids(&mut self, now: WallTime) {
        if self.shared.ids.wants_more()
            && let Err(error) = self.shared.ids.reserve()
            && self.said_ids.is_due(now, SAY_EVERY)
        {
            tracing::warn!(%error, "no more decision ids can be reserved");
        }
    }

    fn write(&mut self, now: WallTime, taken: &Taken) -> rusqlite::Result<()> {
        if taken.is_empty() {
            return Ok(());
        }
        self.open_day(now)?;
        let Self { open: Some(open), pending, shared, .. } = self else { return Ok(()) };
        let policies = shared.policies().clone();
        let unreadable = open.write(taken.chunks(), &policies, pending)?;
        if unreadable > 0 {
            self.unsaid.not_written += unreadable;
            self.shared.lose(|lost| lost.not_written += unreadable);
        }
        Ok(())
    }

    /// Has the file of today open.
    fn open_day(&mut self, now: WallTime) -> rusqlite::Result<()> {
        let today = Day::of(now);
        if self.open.as_ref().is_some_and(|open| open.day == today) {
            return Ok(());
        }
        if self.open.is_some() {
            self.put_counts(now);
            self.open = None;
        } else if !self.opened.is_due(now, RETRY_AFTER) {
            return Err(rusqlite::Error::InvalidPath(files::path(&self.folder, today)));
        }
        if self.mask_key.0 != today {
            self.mask_key = (today, random_key());
        }
        if self.settings.mask != Mask::None {
            self.mask_key.1 = day_key(&self.folder, self.mask_key);
        }
        self.open = Some(OpenDay::open(&self.folder, today, (self.settings.mask, self.mask_key.1))?);
        self.opened = Rarely::default();
        Ok(())
    }

    fn put_counts(&mut self, now: WallTime) {
        let Some(open) = &mut self.open else { return };
        let lost = self.unsaid;
        let mut put = || -> rusqlite::Result<()> {
            open.put_counts(&mut self.pending)?;
            for (reason, chunks) in [("no room", lost.no_room), ("not written", lost.not_written)] {
                if chunks > 0 {
                    open.put_lost(now, reason, chunks)?;
                }
            }
            Ok(())
        };
        match put() {
            Ok(()) => self.unsaid = Lost::default(),
            Err(error) => self.say(now, &format!("the counts of rules can't be written: {error}")),
        }
    }

    fn say(&mut self, now: WallTime, what: &str) {
        if self.said.is_due(now, SAY_EVERY) {
            let lost = *self.shared.lost.lock().unwrap_or_else(PoisonError::into_inner);
            tracing::warn!(no_room = lost.no_room, not_written = lost.not_written, "{what}; mail goes on");
        }
    }

    /// Deletes what is too old or too much.
    fn tidy(&mut self, now: WallTime) {
        let today = Day::of(now);
        let oldest = today.before(u64::from(self.settings.days.saturating_sub(1)));
        let files = match files::list(&self.folder) {
            Ok(files) => files,
            Err(error) => return self.say(now, &format!("the journal's folder can't be read: {error}")),
        };
        let gone = files::surplus(&files, today, oldest, self.settings.size_octets);
        for file in &gone {
            match files::delete(file) {
                Ok(()) => {
                    tracing::info!(day = %file.day, octets = file.octets, "a day of the journal is deleted")
                }
                Err(error) => self.say(now, &format!("{} can't be deleted: {error}", file.path.display())),
            }
        }
        if let Some(open) = &mut self.open {
            let pruned = open.octets().and_then(|octets| {
                if octets <= self.settings.size_octets {
                    return Ok(0);
                }
                let chunks = open.prune()?;
                open.put_lost(now, "no room on disk", chunks)?;
                Ok(chunks)
            });
            match pruned {
                Ok(0) => {}
                Ok(chunks) => {
                    tracing::warn!(chunks, "today's journal is over its size; its older half is deleted")
                }
                Err(error) => self.say(now, &format!("today's journal can't be made smaller: {error}")),
            }
        }
    }
}

fn random_key() -> [u64; 2] {
    // Without random numbers nothing is legible, and nothing can be counted by whom it concerns either.
    [getrandom::u64().unwrap_or(0), getrandom::u64().unwrap_or(0)]
}

/// The day's key: the one in the file when that is of the day, else the given one, which replaces what stands there.
/// When it can't be kept, a restart within the day masks differently.
fn day_key(folder: &std::path::Path, (day, fresh): (Day, [u64; 2])) -> [u64; 2] {
    const FILE: &str = "mask-key";
    let path = folder.join(FILE);
    let kept = std::fs::read_to_string(&path).ok().and_then(|text| {
        let mut words = text.split_whitespace();
        let same_day = words.next()? == day.to_string();
        let mut number = || u64::from_str_radix(words.next()?, 16).ok();
        same_day.then_some([number()?, number()?])
    });
    if kept.is_none()
        && let Err(error) = std::fs::write(&path, format!("{day} {:016x} {:016x}\n", fresh[0], fresh[1]))
    {
        tracing::warn!(%error, "the day's key of the journal can't be kept");
    }
    kept.unwrap_or(fresh)
}
