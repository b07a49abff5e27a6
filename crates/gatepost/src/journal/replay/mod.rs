//! Decides recorded sessions again by another policy, and counts what changes.
//!
//! Invariants: every decision that was recorded is counted exactly once: as the same, as changed, as not reached, or as
//! one that cannot be told; a session's decisions are looked at in order by one thread; nothing is guessed.

mod basics;
mod outcome;
mod summary;
mod walk;

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::thread;

use policy::Policy;
use smtp::time::WallTime;

pub use outcome::Outcome;
pub use summary::{Group, Key, Sample, Summary};

use super::again::Translation;
use super::block::Block;
use super::record::{Chunk, Head};
use super::store::Reader;
use walk::Walk;

/// Sessions that may be open in memory before those that ended without a word are looked for (ours).
const OPEN_SESSIONS: usize = 100_000;

/// How long after its last word a session is taken to have ended (ours): longer than any command's or data's time-out.
const SILENCE_MILLIS: u64 = 2 * 3_600_000;

/// Why a replay came to no end.
#[derive(Debug)]
pub enum Failure {
    /// The journal's folder can't be read.
    Folder(io::Error),
    /// A file of the journal can't be read.
    Store(rusqlite::Error),
    /// A thread ended abnormally.
    Thread,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(error) => write!(formatter, "the journal's folder can't be read: {error}"),
            Self::Store(error) => write!(formatter, "the journal can't be read: {error}"),
            Self::Thread => formatter.write_str("a thread of the replay ended abnormally"),
        }
    }
}

impl std::error::Error for Failure {}

/// Decides again what was recorded in that time, with so many threads. `progress` is called after each block, by each
/// thread.
///
/// # Errors
/// When a file of the journal can't be read.
pub fn in_parallel(
    reader: &Reader,
    policy: &Policy,
    times: (WallTime, Option<WallTime>),
    threads: usize,
    progress: &(dyn Fn() + Sync),
) -> Result<Summary, Failure> {
    let of = threads.max(1) as u64;
    let readers = (0..of).map(|number| Ok((Share { number, of }, reader.again()?)));
    let readers: Vec<_> = readers.collect::<io::Result<_>>().map_err(Failure::Folder)?;
    let shares: Vec<_> = thread::scope(|scope| {
        let work = |(share, reader)| scope.spawn(move || replay(&reader, policy, times, share, progress));
        let threads: Vec<_> = readers.into_iter().map(work).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    let mut summary = Summary::default();
    for share in shares {
        summary.add(share.map_err(|_| Failure::Thread)?.map_err(Failure::Store)?);
    }
    Ok(summary)
}

/// Which part of the work a thread does.
#[derive(Debug, Clone, Copy)]
pub struct Share {
    /// The number of the thread, below `of`.
    pub number: u64,
    /// How many threads there are.
    pub of: u64,
}

/// Decides again what was recorded in that time. `progress` is called after each block.
///
/// # Errors
/// When a file of the journal can't be read.
pub fn replay(
    reader: &Reader,
    policy: &Policy,
    (since, until): (WallTime, Option<WallTime>),
    share: Share,
    progress: &dyn Fn(),
) -> rusqlite::Result<Summary> {
    let mut replay = Replay {
        policy,
        since,
        until,
        reader,
        translations: HashMap::new(),
        open: HashMap::new(),
        open_max: OPEN_SESSIONS,
        summary: Summary::default(),
    };
    for block in reader.blocks(since, until)? {
        let body = reader.block(block)?;
        match body.as_deref().and_then(Block::read) {
            Some(block) => {
                for chunk in block.chunks() {
                    replay.chunk(chunk, share)?;
                }
            }
            // Pruned since it was listed, or damaged: one thread counts it.
            None if share.number == 0 => replay.summary.unreadable += 1,
            None => {}
        }
        progress();
    }
    Ok(replay.summary)
}

struct Replay<'r> {
    policy: &'r Policy,
    since: WallTime,
    until: Option<WallTime>,
    reader: &'r Reader,
    translations: HashMap<u64, Option<Known>>,
    /// Sessions whose transaction goes on in a later chunk.
    open: HashMap<u64, (WallTime, Walk)>,
    open_max: usize,
    summary: Summary,
}

/// A recorded policy.
struct Known {
    translation: Translation,
    rules: Vec<std::sync::Arc<str>>,
}

impl Replay<'_> {
    fn chunk(&mut self, octets: &[u8], share: Share) -> rusqlite::Result<()> {
        let Some(chunk) = Chunk::read(octets) else {
            self.summary.unreadable += u64::from(share.number == 0);
            return Ok(());
        };
        let Head { session, policy: fingerprint, .. } = chunk.head;
        if session % share.of != share.number {
            return Ok(());
        }
        if !self.translations.contains_key(&fingerprint) {
            let known = self.reader.policy(fingerprint)?.map(|text| Known {
                translation: Translation::to_another(&text, self.policy),
                rules: text.rules.iter().map(|rule| std::sync::Arc::clone(&rule.name)).collect(),
            });
            self.translations.insert(fingerprint, known);
        }
        let Some(Some(known)) = self.translations.get(&fingerprint) else {
            self.summary.without_policy += 1;
            return Ok(());
        };
        let mut walk = self.open.remove(&session).map(|(_, walk)| walk).unwrap_or_default();
        let mut last = chunk.head.started;
        let mut pass = walk.begin(self.policy, &chunk.head, &known.translation, &known.rules);
        for entry in chunk.entries() {
            let Some(entry) = entry else {
                self.summary.unreadable += 1;
                break;
            };
            last = entry.time;
            let counts = entry.time >= self.since && self.until.is_none_or(|until| entry.time < until);
            pass.entry(&entry, counts, &mut self.summary);
        }
        if chunk.head.continues || walk.holds_back() {
            self.keep(session, last, walk);
        }
        Ok(())
    }

    /// Keeps how a session fares for its next chunk, and forgets those that have been silent for long.
    fn keep(&mut self, session: u64, last: WallTime, walk: Walk) {
        self.open.insert(session, (last, walk));
        if self.open.len() > self.open_max {
            let oldest = last.as_unix_millis().saturating_sub(SILENCE_MILLIS);
            self.open.retain(|_, (last, _)| last.as_unix_millis() >= oldest);
            self.open_max = OPEN_SESSIONS.max(self.open.len() * 2);
        }
    }
}
