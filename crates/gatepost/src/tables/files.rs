//! Tables in memory: entries of the configuration, and of files that are read again when they change.
//!
//! Invariants: a file that can't be read again leaves the entries as they were; one that was never read makes every look-up
//! fail; a file that is being written is left alone until it lies still.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use super::answers::Found;
use super::entries::Entries;
use super::key::normal;
use super::read::{self, Keys};
use super::settings::InMemory;
use super::values::Values;
use crate::clock;
use crate::config::{Problem, Stamp};

/// The entries of one table.
#[derive(Debug)]
pub(super) struct Files {
    from: InMemory,
    /// None while it was never read.
    entries: RwLock<Option<Arc<Entries>>>,
    /// None while it was never read.
    last_read: Mutex<Option<LastRead>>,
}

/// A file as it was when it was read last.
#[derive(Debug)]
struct LastRead {
    stamp: Option<Stamp>,
    /// Whether what was read is in force: the file is not broken.
    is_in_force: bool,
}

impl Files {
    pub(super) fn new(from: InMemory) -> Self {
        let entries = match &from {
            InMemory::Inline(pairs) => Some(Arc::new(read::inline(pairs))),
            _ => None,
        };
        Self { from, entries: RwLock::new(entries), last_read: Mutex::default() }
    }

    /// The value under `key`. Patterns see it as it is written.
    pub(super) fn look_up(&self, key: &str) -> Found {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner).clone();
        let entries = entries.ok_or("its file can't be read")?;
        Ok(entries.of_key(key).map(|value| Arc::new(Values::one(value))))
    }

    /// Reads the file again if it has changed and, once it was read, isn't being written just now: many programs empty a
    /// file first and fill it then, and an entry that is missing for a moment would be refused for good.
    pub(super) fn read_again(&self) -> Vec<Problem> {
        let Some((path, keys)) = self.file() else { return Vec::new() };
        let stamp = Stamp::of(path);
        let is_read = self.entries.read().unwrap_or_else(PoisonError::into_inner).is_some();
        let is_fresh = is_read && stamp.as_ref().is_some_and(|stamp| stamp.is_fresh(clock::wall()));
        if is_fresh || self.last_read().as_ref().is_some_and(|last| last.stamp == stamp) {
            return Vec::new();
        }
        let read = read::file(path, keys);
        *self.last_read() = Some(LastRead { stamp, is_in_force: read.is_ok() });
        match read {
            Ok(entries) => {
                *self.entries.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(entries));
                Vec::new()
            }
            Err(problems) => problems,
        }
    }

    /// Has a broken file read again even if it does not change: what is wrong with it was said to somebody else.
    pub(super) fn forget(&self) {
        self.last_read().take_if(|last| !last.is_in_force);
    }

    fn file(&self) -> Option<(&Path, Keys)> {
        match &self.from {
            InMemory::Inline(_) => None,
            InMemory::File(path) => Some((path, Keys::Texts)),
            InMemory::Cidr(path) => Some((path, Keys::Networks)),
            InMemory::Regex(path) => Some((path, Keys::Patterns)),
        }
    }

    fn last_read(&self) -> MutexGuard<'_, Option<LastRead>> {
        self.last_read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// The value that stands under this very key, letters' case aside, or under the closest network or the first pattern
    /// that holds it.
    fn of_key(&self, key: &str) -> Option<&str> {
        let found = match self {
            Self::Texts(texts) => texts.find(&normal(key)),
            Self::Networks(_) | Self::Patterns(_) => self.of_text(key),
        };
        found.map(|found| found.value)
    }
}
