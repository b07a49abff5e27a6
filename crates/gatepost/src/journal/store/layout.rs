//! The tables of a day's file, and how it is opened.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

/// The version of the tables, in `user_version`.
const VERSION: i64 = 2;

/// How long a reader waits for the writer to end a checkpoint (ours).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
CREATE TABLE IF NOT EXISTS policies (
    fingerprint INTEGER PRIMARY KEY, first_ms INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS policy_files (
    fingerprint INTEGER NOT NULL, kind INTEGER NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, text TEXT NOT NULL,
    PRIMARY KEY (fingerprint, kind, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS policy_names (
    fingerprint INTEGER NOT NULL, kind INTEGER NOT NULL, number INTEGER NOT NULL,
    name TEXT NOT NULL, flags INTEGER NOT NULL,
    PRIMARY KEY (fingerprint, kind, number)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS blocks (
    id INTEGER PRIMARY KEY, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    chunks INTEGER NOT NULL, body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS hits (
    id INTEGER, time_ms INTEGER NOT NULL, block INTEGER NOT NULL, place INTEGER NOT NULL, entry INTEGER NOT NULL,
    kind INTEGER NOT NULL, stage TEXT NOT NULL, code INTEGER, enhanced TEXT, rule TEXT NOT NULL,
    client TEXT NOT NULL, reverse_path TEXT, recipient TEXT
);
CREATE INDEX IF NOT EXISTS hits_by_id ON hits (id) WHERE id IS NOT NULL;
CREATE TABLE IF NOT EXISTS stored (
    block INTEGER PRIMARY KEY, first_queue_id INTEGER NOT NULL, last_queue_id INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS hours (
    hour INTEGER NOT NULL, rule TEXT NOT NULL, answered INTEGER NOT NULL, observed INTEGER NOT NULL,
    passed_over INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, tops BLOB NOT NULL,
    PRIMARY KEY (hour, rule)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS lost (
    hour INTEGER NOT NULL, reason TEXT NOT NULL, chunks INTEGER NOT NULL, PRIMARY KEY (hour, reason)
) WITHOUT ROWID;
";

/// Opens the file for the writer, and makes it when it isn't there.
pub(super) fn open_to_write(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    match version(&connection)? {
        0 => {
            connection.execute_batch(TABLES)?;
            connection.pragma_update(None, "user_version", VERSION)?;
        }
        VERSION => {}
        _ => return Err(other_version()),
    }
    Ok(connection)
}

/// Opens the file beside its writer.
pub(super) fn open_to_read(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    match version(&connection)? {
        VERSION => Ok(connection),
        _ => Err(other_version()),
    }
}

fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn other_version() -> rusqlite::Error {
    rusqlite::Error::ToSqlConversionFailure("the file is of another version of the journal".into())
}
