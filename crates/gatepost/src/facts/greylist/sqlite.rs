//! A greylist in an SQLite file, with what is used most in memory.
//!
//! SQLite, and no log of our own: a look-up by key over days of mail, expiry by time and a bound on size are what it is
//! for, and a wait that is lost in a power cut costs one more wait. So the journal is a write-ahead log that is synced
//! at its checkpoints only.
//!
//! Invariants: what was noted survives the end of the program; memory agrees with the file, but may still know what the
//! file has forgotten.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, params};
use smtp::time::WallTime;

use super::store::{Memory, Passes, Sighting, Store, Triplet, Unavailable};
use crate::config::Network;

/// The file in the state directory.
const FILE_NAME: &str = "greylist.sqlite";

/// The version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 1;

/// Most triplets in the file, and most clients (ours: about 300 MB); the ones whose time is over first make room.
const ROWS_MAX: i64 = 2_000_000;

/// New rows after which the file is tidied (ours).
const TIDY_AFTER: i64 = 500;

/// Rows that are forgotten at a time, so that tidying holds nobody up; more than can be new since the last time (ours).
const TIDY_ROWS: i64 = 2_000;

/// Longest wait for another program that holds the file, such as a backup (ours).
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

const TABLES: &str = "
    CREATE TABLE triplets (
        client TEXT NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL,
        first INTEGER NOT NULL, last INTEGER NOT NULL, has_passed INTEGER NOT NULL, until INTEGER NOT NULL,
        PRIMARY KEY (client, sender, recipient)
    ) WITHOUT ROWID;
    CREATE INDEX triplets_until ON triplets (until);
    CREATE TABLE clients (
        client TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL, last INTEGER NOT NULL, until INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX clients_until ON clients (until);
    PRAGMA user_version = 1;
";

/// A store in a file.
#[derive(Debug)]
pub(super) struct Sqlite {
    file: Mutex<File>,
    hot: Memory,
}

#[derive(Debug)]
struct File {
    connection: Connection,
    triplets: i64,
    clients: i64,
    rows_max: i64,
    new_rows: i64,
}

impl Sqlite {
    pub(super) fn open(directory: &Path) -> Result<Self, Unavailable> {
        Self::open_with(directory, ROWS_MAX)
    }

    pub(super) fn open_with(directory: &Path, rows_max: i64) -> Result<Self, Unavailable> {
        let file = File::open(&directory.join(FILE_NAME), rows_max).map_err(|error| unavailable(&error))?;
        let Some(file) = file else {
            return Err(Unavailable(format!("`{FILE_NAME}` was written by another version of Gatepost")));
        };
        Ok(Self { file: Mutex::new(file), hot: Memory::default() })
    }

    fn file(&self) -> MutexGuard<'_, File> {
        // Each statement is a transaction: a panic between two leaves the file whole.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// `None` when the file's tables are of another version.
    fn open(path: &Path, rows_max: i64) -> rusqlite::Result<Option<Self>> {
        let connection = Connection::open(path)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        match connection.query_row("PRAGMA user_version", [], |row| row.get(0))? {
            0_i64 => connection.execute_batch(&format!("BEGIN; {TABLES} COMMIT;"))?,
            VERSION => {}
            _ => return Ok(None),
        }
        let count = |table: &str| {
            connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get::<_, i64>(0))
        };
        let (triplets, clients) = (count("triplets")?, count("clients")?);
        Ok(Some(Self { triplets, clients, rows_max, new_rows: 0, connection }))
    }

    fn sighting(&self, triplet: &Triplet) -> rusqlite::Result<Option<Sighting>> {
        let mut select = self.connection.prepare_cached(
            "SELECT first, last, has_passed FROM triplets WHERE client = ? AND sender = ? AND recipient = ?",
        )?;
        let key = params![triplet.client.to_string(), triplet.sender, triplet.recipient];
        let sighting = |row: &rusqlite::Row<'_>| {
            Ok(Sighting { first: time(row.get(0)?), last: time(row.get(1)?), has_passed: row.get(2)? })
        };
        select.query_row(key, sighting).optional()
    }

    fn note(&mut self, triplet: &Triplet, sighting: Sighting, until: WallTime) -> rusqlite::Result<()> {
        let Sighting { first, last, has_passed } = sighting;
        let client = triplet.client.to_string();
        let row = params![
            client,
            triplet.sender,
            triplet.recipient,
            millis(first),
            millis(last),
            has_passed,
            millis(until)
        ];
        let known = self
            .connection
            .prepare_cached(
                "UPDATE triplets SET first = ?4, last = ?5, has_passed = ?6, until = ?7
                 WHERE client = ?1 AND sender = ?2 AND recipient = ?3",
            )?
            .execute(row)?;
        if known == 0 {
            self.connection
                .prepare_cached("INSERT INTO triplets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?
                .execute(row)?;
            self.triplets += 1;
            self.tidy(last)?;
        }
        Ok(())
    }

    fn passes(&self, client: &Network) -> rusqlite::Result<Option<Passes>> {
        self.connection
            .prepare_cached("SELECT count, last FROM clients WHERE client = ?")?
            .query_row([client.to_string()], |row| Ok(Passes { count: row.get(0)?, last: time(row.get(1)?) }))
            .optional()
    }

    fn note_passes(&mut self, client: &Network, passes: Passes, until: WallTime) -> rusqlite::Result<()> {
        let client = client.to_string();
        let row = params![client, passes.count, millis(passes.last), millis(until)];
        let known = self
            .connection
            .prepare_cached("UPDATE clients SET count = ?2, last = ?3, until = ?4 WHERE client = ?1")?
            .execute(row)?;
        if known == 0 {
            self.connection.prepare_cached("INSERT INTO clients VALUES (?1, ?2, ?3, ?4)")?.execute(row)?;
            self.clients += 1;
            self.tidy(passes.last)?;
        }
        Ok(())
    }

    /// Once in a while, forgets what its time is over for, and what is too much.
    fn tidy(&mut self, now: WallTime) -> rusqlite::Result<()> {
        self.new_rows += 1;
        if self.new_rows < TIDY_AFTER.min(self.rows_max) {
            return Ok(());
        }
        self.new_rows = 0;
        for (table, key, rows) in [
            ("triplets", "client, sender, recipient", &mut self.triplets),
            ("clients", "client", &mut self.clients),
        ] {
            for is_over in [true, false] {
                let (condition, limit) = if is_over {
                    ("until < ?1", TIDY_ROWS)
                } else {
                    ("?1 = ?1", (*rows - self.rows_max).clamp(0, TIDY_ROWS))
                };
                let forgotten = self
                    .connection
                    .prepare_cached(&format!(
                        "DELETE FROM {table} WHERE ({key}) IN
                         (SELECT {key} FROM {table} WHERE {condition} ORDER BY until LIMIT ?2)"
                    ))?
                    .execute(params![millis(now), limit])?;
                *rows -= i64::try_from(forgotten).unwrap_or(0);
            }
        }
        Ok(())
    }
}

impl Store for Sqlite {
    fn sighting(&self, triplet: &Triplet) -> Result<Option<Sighting>, Unavailable> {
        if let Some(known) = self.hot.sighting(triplet)? {
            return Ok(Some(known));
        }
        let file = self.file();
        let known = file.sighting(triplet).map_err(|error| unavailable(&error))?;
        if let Some(sighting) = known {
            self.hot.note(triplet, sighting, sighting.last)?;
        }
        Ok(known)
    }

    fn note(&self, triplet: &Triplet, sighting: Sighting, until: WallTime) -> Result<(), Unavailable> {
        let mut file = self.file();
        file.note(triplet, sighting, until).map_err(|error| unavailable(&error))?;
        self.hot.note(triplet, sighting, until)
    }

    fn passes(&self, client: &Network) -> Result<Option<Passes>, Unavailable> {
        if let Some(known) = self.hot.passes(client)? {
            return Ok(Some(known));
        }
        let file = self.file();
        let known = file.passes(client).map_err(|error| unavailable(&error))?;
        if let Some(passes) = known {
            self.hot.note_passes(client, passes, passes.last)?;
        }
        Ok(known)
    }

    fn note_passes(&self, client: &Network, passes: Passes, until: WallTime) -> Result<(), Unavailable> {
        let mut file = self.file();
        file.note_passes(client, passes, until).map_err(|error| unavailable(&error))?;
        self.hot.note_passes(client, passes, until)
    }

    fn held(&self) -> Option<&Memory> {
        Some(&self.hot)
    }
}

/// SQLite's integers are signed; the times that they can't hold are a quarter of a billion years away.
fn millis(time: WallTime) -> i64 {
    i64::try_from(time.as_unix_millis()).unwrap_or(i64::MAX)
}

fn time(millis: i64) -> WallTime {
    WallTime::from_unix_millis(u64::try_from(millis).unwrap_or(0))
}

fn unavailable(error: &rusqlite::Error) -> Unavailable {
    Unavailable(format!("the greylist's file: {error}"))
}
