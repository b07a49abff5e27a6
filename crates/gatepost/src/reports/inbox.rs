//! What sessions hand over to be reported, and the thread that brings it into the file.
//!
//! Invariants: handing over never waits; what finds no room is counted; nothing that fails here holds mail up; what was
//! handed over is on the disk after [`FLUSH_EVERY`] or at the orderly end, and lost in a crash before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use smtp::time::WallTime;

use super::store::{Entry, Store};
use crate::clock;

/// Entries that wait for the thread (ours: about 4 MB).
const WAITING_MAX: usize = 4_096;

/// How long entries gather before they are written (ours).
const FLUSH_EVERY: Duration = Duration::from_secs(2);

/// Different entries after which they are written at once (ours).
const GATHERED_MAX: usize = 2_000;

/// How often at most it is said that something was lost.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Takes entries.
#[derive(Debug)]
pub(super) struct Inbox {
    state: PathBuf,
    lost: Arc<AtomicU64>,
    writer: Mutex<Option<Writer>>,
}

#[derive(Debug)]
struct Writer {
    entries: SyncSender<Message>,
    thread: JoinHandle<()>,
}

#[derive(Debug)]
enum Message {
    Entry(Box<Entry>),
    /// Everything is to be written, and then said so.
    Flush(SyncSender<()>),
}

impl Inbox {
    /// For the file in the directory `state`; nothing is opened before there is something to write.
    pub(super) fn new(state: &Path) -> Self {
        Self { state: state.to_owned(), lost: Arc::default(), writer: Mutex::new(None) }
    }

    /// Takes an entry, or counts it as lost.
    pub(super) fn put(&self, entry: Entry) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        if writer.is_none() {
            *writer = start(&self.state, &self.lost);
        }
        let sent = writer.as_ref().map(|writer| writer.entries.try_send(Message::Entry(Box::new(entry))));
        if !matches!(sent, Some(Ok(()))) {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts something as lost that never came to be an entry.
    pub(super) fn lose(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until what was taken before is written, or lost for good. Blocks on the disk.
    pub(super) fn flush(&self) {
        let entries = {
            let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.as_ref().map(|writer| writer.entries.clone())
        };
        let (done, written) = sync_channel(1);
        if entries.is_some_and(|entries| entries.send(Message::Flush(done)).is_ok()) {
            // The thread may have ended, which is as well.
            let _ = written.recv();
        }
    }

    /// Writes what was taken, and ends the thread. Blocks on the disk.
    pub(super) fn close(&self) {
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Writer { entries, thread }) = writer {
            drop(entries);
            if thread.join().is_err() {
                tracing::error!("the thread that writes what is to be reported ended abnormally");
            }
        }
    }
}

fn start(state: &Path, lost: &Arc<AtomicU64>) -> Option<Writer> {
    let (entries, waiting) = sync_channel(WAITING_MAX);
    let (state, lost) = (state.to_owned(), Arc::clone(lost));
    let named = std::thread::Builder::new().name("reports".into());
    match named.spawn(move || write(&state, &waiting, &lost)) {
        Ok(thread) => Some(Writer { entries, thread }),
        Err(error) => {
            tracing::error!(%error, "no thread for what is to be reported");
            None
        }
    }
}

/// Writes until there is nobody left to take from.
fn write(state: &Path, waiting: &Receiver<Message>, lost: &AtomicU64) {
    let mut gathered: HashMap<Entry, u64> = HashMap::new();
    let (mut store, mut why) = (None, None);
    let mut said: Option<WallTime> = None;
    let mut since = clock::monotonic();
    loop {
        let patience = if gathered.is_empty() {
            FLUSH_EVERY
        } else {
            FLUSH_EVERY.saturating_sub(clock::monotonic().since(since))
        };
        let (mut is_over, mut wants_flush) = (false, None);
        match waiting.recv_timeout(patience) {
            Ok(Message::Entry(entry)) => {
                if gathered.is_empty() {
                    since = clock::monotonic();
                }
                *gathered.entry(*entry).or_default() += 1;
                if gathered.len() < GATHERED_MAX {
                    continue;
                }
            }
            Ok(Message::Flush(done)) => wants_flush = Some(done),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => is_over = true,
        }
        if let Err(error) = put(state, &mut store, &mut gathered, lost) {
            why = Some(error.to_string());
        }
        say(lost, &mut said, &mut why);
        if let Some(done) = wants_flush {
            // Whoever waits may have gone.
            let _ = done.send(());
        }
        if is_over {
            return;
        }
    }
}

/// Writes what was gathered, or counts it as lost.
fn put(
    state: &Path,
    store: &mut Option<Store>,
    gathered: &mut HashMap<Entry, u64>,
    lost: &AtomicU64,
) -> rusqlite::Result<()> {
    if gathered.is_empty() {
        return Ok(());
    }
    let entries = || gathered.iter().map(|(entry, count)| (entry, *count));
    let written = match store {
        Some(store) => store.add(entries()),
        None => Store::open(state).and_then(|opened| store.insert(opened).add(entries())),
    };
    let (count, outcome) = match written {
        Ok(without_room) => (without_room, Ok(())),
        Err(error) => {
            *store = None;
            (gathered.values().sum(), Err(error))
        }
    };
    lost.fetch_add(count, Ordering::Relaxed);
    gathered.clear();
    outcome
}

/// Says what was lost since it was last said, once in a while.
fn say(lost: &AtomicU64, said: &mut Option<WallTime>, why: &mut Option<String>) {
    let now = clock::wall();
    let is_due = said.is_none_or(|last| now < last || now.since(last) >= SAY_EVERY);
    if is_due && lost.load(Ordering::Relaxed) > 0 {
        let count = lost.swap(0, Ordering::Relaxed);
        *said = Some(now);
        let why = why.take().unwrap_or_else(|| "there was no room for them".to_owned());
        tracing::warn!(count, why, "messages or sessions will be missing in reports; mail goes on");
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::Kind;
    use super::*;
    use crate::journal::day::Day;

    #[test]
    fn what_is_handed_over_is_in_the_file_after_a_flush_and_at_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(folder.path());
        inbox.flush();
        let entry = Entry {
            kind: Kind::Tls,
            day: Day::numbered(7),
            domain: "a.example".into(),
            head: "h".into(),
            body: "b".into(),
        };
        inbox.put(entry.clone());
        inbox.put(entry.clone());
        inbox.flush();
        let count = || Store::open(folder.path()).unwrap().collected().unwrap()[0].count;
        assert_eq!(count(), 2);
        inbox.put(entry);
        inbox.close();
        assert_eq!(count(), 3);
    }

    #[test]
    fn a_file_that_can_not_be_written_loses_counts_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let inbox = Inbox::new(&folder.path().join("missing"));
        let entry = Entry {
            kind: Kind::Dmarc,
            day: Day::numbered(7),
            domain: "a.example".into(),
            head: String::new(),
            body: String::new(),
        };
        inbox.put(entry);
        inbox.flush();
        inbox.close();
    }
}
