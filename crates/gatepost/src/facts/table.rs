//! Tables that a policy declares: what a fact's value stands for, from the policy or from files.
//!
//! Invariants: a table that can't be read again stays as it was; one that was never read makes its facts unsure, never
//! missing. A look-up costs the same however long a table is, but for patterns, which are all tried at once.

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use policy::source::{Contents, Field, Source, SourceKind};
use policy::value::{State, Value};

use crate::config::{Problem, Stamp};
use crate::tables::entries::{self, Entries};
use crate::tables::read::{self, Keys};

/// The tables of a policy.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Table>,
}

/// One table.
#[derive(Debug)]
struct Table {
    /// Its place in the policy's sources.
    source: u16,
    contents: Contents,
    /// The file; none for a table that stands in the policy.
    file: Option<File>,
    /// None while it was never read.
    entries: RwLock<Option<Arc<Entries>>>,
}

/// The file of a table.
#[derive(Debug)]
struct File {
    path: PathBuf,
    keys: Keys,
    last_read: Mutex<LastRead>,
}

/// A file as it was when it was read last.
#[derive(Debug, Clone, Default)]
struct LastRead {
    stamp: Option<Stamp>,
    /// Whether what was read is in force: the file is not broken.
    is_in_force: bool,
}

impl Tables {
    /// The tables of a policy's `sources`. Relative paths start at `base`, the policy file's directory. A file that is as it
    /// was isn't read again, and a table that can't be read keeps the entries that the same table had in `before`. All
    /// problems come beside. Blocks on the disk.
    #[must_use]
    pub fn of(sources: &[Source], base: &Path, before: &Self) -> (Self, Vec<Problem>) {
        let (mut tables, mut problems) = (Vec::new(), Vec::new());
        for (place, source) in (0..).zip(sources) {
            let SourceKind::Table { contents, .. } = &source.kind else { continue };
            // A table of the configuration is kept there.
            if matches!(contents, Contents::External(_)) {
                continue;
            }
            let table = Table::new(place, contents.clone(), base);
            let known = before.same(&table);
            let is_known = known.is_some_and(|known| table.take_over(known));
            if !is_known && let Err(found) = table.read() {
                problems.extend(found);
                table.put(known.and_then(Table::current));
            }
            tables.push(table);
        }
        (Self { tables }, problems)
    }

    /// Reads the files again that have changed. What can't be read stays as it was, and is a problem, once a change.
    /// Blocks on the disk.
    #[must_use]
    pub fn reload(&self) -> Vec<Problem> {
        let changed = self.tables.iter().filter(|table| table.has_changed());
        changed.filter_map(|table| table.read().err()).flatten().collect()
    }

    /// The facts of the table that is `source` of the policy, for the value of its key. Of several values the first that
    /// is in the table counts.
    #[must_use]
    pub fn look_up(&self, source: u16, key: &State) -> [(Field, State); 2] {
        let both = |state: State| [(Field::Value, state.clone()), (Field::Key, state)];
        let value = match key {
            State::Known(value) => value,
            State::Missing => return both(State::Missing),
            State::Unsure(why) => return both(State::Unsure(Arc::clone(why))),
            State::NotAsked => return both(State::unsure("the table's key isn't known")),
        };
        let entries = self.tables.iter().find(|table| table.source == source).and_then(Table::current);
        let Some(entries) = entries else { return both(State::unsure("the table can't be read")) };
        match find(&entries, value) {
            Some(found) => [(Field::Value, State::text(found.value)), (Field::Key, State::text(&found.key))],
            None => both(State::Missing),
        }
    }

    /// The table with the same contents.
    fn same(&self, table: &Table) -> Option<&Table> {
        let path = |table: &Table| table.file.as_ref().map(|file| file.path.clone());
        self.tables.iter().find(|known| known.contents == table.contents && path(known) == path(table))
    }
}

fn find<'e>(entries: &'e Entries, value: &Value) -> Option<entries::Found<'e>> {
    match value {
        Value::Texts(texts) => texts.iter().find_map(|text| entries.of_text(text)),
        Value::Addresses(addresses) => addresses.iter().find_map(|address| entries.of_address(*address)),
        Value::Text(text) => entries.of_text(text),
        Value::Address(address) => entries.of_address(*address),
        other => entries.of_text(&other.to_string()),
    }
}

impl Table {
    fn new(source: u16, contents: Contents, base: &Path) -> Self {
        let file = match &contents {
            Contents::Inline(_) | Contents::External(_) => None,
            Contents::File(path) => Some((path, Keys::Texts)),
            Contents::Cidr(path) => Some((path, Keys::Networks)),
            Contents::Regex(path) => Some((path, Keys::Patterns)),
        };
        let file =
            file.map(|(path, keys)| File { path: base.join(&**path), keys, last_read: Mutex::default() });
        Self { source, contents, file, entries: RwLock::new(None) }
    }

    fn current(&self) -> Option<Arc<Entries>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn put(&self, entries: Option<Arc<Entries>>) {
        *self.entries.write().unwrap_or_else(PoisonError::into_inner) = entries;
    }

    fn has_changed(&self) -> bool {
        self.file.as_ref().is_some_and(|file| Stamp::of(&file.path) != file.lock().stamp)
    }

    /// Takes what `known`, the same table, has in force; whether it is what the file says.
    fn take_over(&self, known: &Self) -> bool {
        let (Some(file), Some(known_file)) = (&self.file, &known.file) else { return false };
        let last_read = known_file.lock().clone();
        if !last_read.is_in_force || last_read.stamp != Stamp::of(&file.path) {
            return false;
        }
        *file.lock() = last_read;
        self.put(known.current());
        true
    }

    /// Reads the entries, and puts them in force.
    fn read(&self) -> Result<(), Vec<Problem>> {
        let entries = match (&self.contents, &self.file) {
            (Contents::Inline(pairs), _) => read::inline(pairs),
            (_, Some(file)) => file.read()?,
            (_, None) => return Ok(()),
        };
        self.put(Some(Arc::new(entries)));
        if let Some(file) = &self.file {
            file.lock().is_in_force = true;
        }
        Ok(())
    }
}

impl File {
    fn lock(&self) -> MutexGuard<'_, LastRead> {
        self.last_read.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> Result<Entries, Vec<Problem>> {
        *self.lock() = LastRead { stamp: Stamp::of(&self.path), is_in_force: false };
        read::file(&self.path, self.keys)
    }
}
