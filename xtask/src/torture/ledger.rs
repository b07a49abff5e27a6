//! The ledger: which messages were answered 250, durable before the next one is sent.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// One session's book.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
}

impl Ledger {
    /// A new, empty book in `folder`.
    ///
    /// # Errors
    /// When the file can't be made.
    pub(super) fn create(folder: &Path, session: u64) -> Result<Self> {
        let path = path(folder, session);
        let file = File::create(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { file })
    }

    /// Enters the message `number` and waits until the entry is on disk.
    ///
    /// # Errors
    /// When the file can't be written or synced.
    pub(super) fn acknowledge(&mut self, number: u64) -> Result<()> {
        self.file.write_all(format!("{number}\n").as_bytes()).context("can't write the ledger")?;
        self.file.sync_data().context("can't sync the ledger")
    }
}

/// All numbers in the books of `folder`.
///
/// # Errors
/// When a book can't be read.
pub(super) fn acknowledged(folder: &Path, sessions: u64) -> Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for session in 0..sessions {
        let text = fs::read_to_string(path(folder, session)).context("can't read the ledger")?;
        for line in text.lines() {
            numbers.push(line.parse().context("the ledger holds something else than numbers")?);
        }
    }
    Ok(numbers)
}

fn path(folder: &Path, session: u64) -> PathBuf {
    folder.join(format!("ledger-{session}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn entries_are_read_back() {
        let scratch = Scratch::new(&std::env::temp_dir(), "gatepost-ledger").unwrap();
        for session in 0..2 {
            let mut ledger = Ledger::create(scratch.path(), session).unwrap();
            ledger.acknowledge(session * 10).unwrap();
            ledger.acknowledge(session * 10 + 1).unwrap();
        }
        assert_eq!(acknowledged(scratch.path(), 2).unwrap(), [0, 1, 10, 11]);
        assert!(acknowledged(scratch.path(), 3).is_err());
    }
}
