//! The store: an SQLite file a day under `journal/` of the state directory, with blocks of chunks and what finds them.
//!
//! Invariants: one writer at a time, any number of readers beside it (WAL); a file stands alone: it has the text of
//! every policy that decided on its day.

pub(super) mod counts;
mod files;
mod layout;
mod open_day;
mod reader;
pub(super) mod writer;

use std::path::{Path, PathBuf};

pub use counts::{Counts, RuleHour, Top};
pub use files::{DayFile, list};
pub use reader::{Found, Hit, HitKind, LostRow, Reader, Search, StoredBlock};

/// The folder of the journal in a state directory.
#[must_use]
pub fn folder(state: &Path) -> PathBuf {
    state.join("journal")
}
