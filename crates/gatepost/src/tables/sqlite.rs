//! Tables that are queries of an SQLite file.
//!
//! Invariants: the file is only read; a question that takes too long is interrupted; a file that was put into the place of
//! another is opened anew.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::types::ValueRef;
use rusqlite::{Connection, InterruptHandle, OpenFlags, params_from_iter};
use tokio::sync::Semaphore;

use super::settings::Limits;
use super::template::Placeholder;
use super::values::Values;

/// A query of an SQLite file.
#[derive(Debug)]
pub(super) struct Sqlite {
    path: PathBuf,
    query: String,
    bound: Vec<Placeholder>,
    limits: Limits,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Open>>,
}

/// An open file, and which one it is.
#[derive(Debug)]
struct Open {
    connection: Connection,
    file: (u64, u64),
}

/// What interrupts the question that a thread is asking.
type Running = Mutex<Option<InterruptHandle>>;

fn set(running: &Running, handle: Option<InterruptHandle>) {
    *running.lock().unwrap_or_else(PoisonError::into_inner) = handle;
}

/// Interrupts the question when nobody waits for its answer any more.
#[derive(Default)]
struct Asking(Arc<Running>);

impl Drop for Asking {
    fn drop(&mut self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }
}

impl Sqlite {
    pub(super) fn new(path: PathBuf, (query, bound): (String, Vec<Placeholder>), limits: Limits) -> Self {
        let places = usize::try_from(limits.connections).unwrap_or(1);
        let idle = Mutex::default();
        Self { path, query, bound, limits, places: Arc::new(Semaphore::new(places)), idle }
    }

    /// The columns of the rows that the query has for `key`, looked up on a thread that may block.
    pub(super) async fn look_up(self: Arc<Self>, key: &str) -> Result<Option<Values>, String> {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await.map_err(|_| "it is closed")?;
        let (key, asking) = (key.to_owned(), Asking::default());
        let running = Arc::clone(&asking.0);
        let read = tokio::task::spawn_blocking(move || {
            let found = self.read(&key, &running);
            drop(place);
            found
        });
        let found = read.await.unwrap_or_else(|_| Err("reading the file ended abnormally".into()));
        drop(asking);
        found
    }

    fn read(&self, key: &str, running: &Running) -> Result<Option<Values>, String> {
        let file = self.file()?;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let known = std::iter::from_fn(|| idle().pop()).find(|open| open.file == file);
        let open = match known {
            Some(open) => open,
            None => Open { connection: self.open().map_err(|error| error.to_string())?, file },
        };
        set(running, Some(open.connection.get_interrupt_handle()));
        let found = self.ask(&open.connection, key);
        set(running, None);
        // One that failed is not used again.
        let found = found?;
        idle().push(open);
        Ok(found)
    }

    fn file(&self) -> Result<(u64, u64), String> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = std::fs::metadata(&self.path)
            .map_err(|error| format!("can't open `{}`: {error}", self.path.display()))?;
        Ok((metadata.dev(), metadata.ino()))
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.limits.timeout)?;
        Ok(connection)
    }

    fn ask(&self, connection: &Connection, key: &str) -> Result<Option<Values>, String> {
        let said = |error: rusqlite::Error| error.to_string();
        let mut statement = connection.prepare_cached(&self.query).map_err(said)?;
        let names: Vec<Arc<str>> = statement.column_names().into_iter().map(Arc::from).collect();
        let bound = self.bound.iter().map(|place| place.value(key));
        let mut rows = statement.query(params_from_iter(bound)).map_err(said)?;
        let mut values: Option<Values> = None;
        while let Some(row) = rows.next().map_err(said)? {
            let values = values.get_or_insert_default();
            for (place, name) in names.iter().enumerate() {
                let text = match row.get_ref(place).map_err(said)? {
                    ValueRef::Null => continue,
                    ValueRef::Integer(number) => number.to_string(),
                    ValueRef::Real(number) => number.to_string(),
                    ValueRef::Text(octets) => match str::from_utf8(octets) {
                        Ok(text) => text.to_owned(),
                        Err(_) => return Err(format!("column `{name}` is not in UTF-8")),
                    },
                    ValueRef::Blob(_) => return Err(format!("column `{name}` is no text: cast it to text")),
                };
                values.push(name, text)?;
            }
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tables::Template;

    fn table(path: &std::path::Path, query: &str) -> Arc<Sqlite> {
        let query = Template::sql(query).unwrap().with_marks(|number| format!("?{number}"));
        let limits = Limits { timeout: Duration::from_secs(5), connections: 2 };
        Arc::new(Sqlite::new(path.to_owned(), query, limits))
    }

    fn fill(path: &std::path::Path, rows: &str) {
        let file = Connection::open(path).unwrap();
        file.execute_batch("CREATE TABLE aliases (address TEXT, goto TEXT, number INTEGER, image BLOB)")
            .unwrap();
        file.execute_batch(&format!("INSERT INTO aliases VALUES {rows}")).unwrap();
    }

    #[test]
    fn rows_and_columns_are_values_and_a_key_is_never_a_query() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        fill(
            &path,
            "('a@x', 'b@y', 1, NULL), ('a@x', 'c@y', NULL, NULL), ('n@x', NULL, NULL, NULL), ('i@x', 'd', 1, x'00')",
        );
        let aliases = table(&path, "SELECT goto, number FROM aliases WHERE address = {address}");
        let found = |key: &str| {
            let values = aliases.read(key, &Mutex::default()).unwrap()?;
            Some(
                values.all().iter().map(|value| format!("{}={}", value.name, value.text)).collect::<Vec<_>>(),
            )
        };
        assert_eq!(found("a@x").unwrap(), ["goto=b@y", "number=1", "goto=c@y"]);
        assert_eq!(found("n@x"), Some(Vec::new()), "a row of nothing is a row");
        for key in ["no@x", "' OR 1=1 --@x", "x'; DROP TABLE aliases; --@x", "?1", "a@x\0"] {
            assert_eq!(found(key), None, "{key}");
        }
        assert!(found("a@x").is_some(), "the table is still there");
        let image = table(&path, "SELECT image FROM aliases WHERE address = {address}");
        assert!(image.read("i@x", &Mutex::default()).unwrap_err().contains("`image` is no text"));
    }

    #[test]
    fn a_question_without_end_is_interrupted_when_its_time_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        fill(&path, "('a@x', 'b@y', 1, NULL)");
        let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
                       SELECT count(*) FROM n WHERE i = {address}";
        let endless = table(&path, endless);
        let places = Arc::clone(&endless.places);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let asked = Arc::clone(&endless).look_up("a@x");
            assert!(tokio::time::timeout(Duration::from_millis(50), asked).await.is_err());
            // Its place is free again once its thread has let go of it.
            let all = tokio::time::timeout(Duration::from_secs(30), places.acquire_many(2)).await;
            assert!(all.is_ok(), "the thread goes on");
        });
    }

    #[test]
    fn a_file_that_is_gone_or_broken_fails_and_another_in_its_place_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sqlite");
        let aliases = table(&path, "SELECT goto FROM aliases WHERE address = {address}");
        assert!(aliases.read("a@x", &Mutex::default()).unwrap_err().contains("can't open"));
        fill(&path, "('a@x', 'b@y', 1, NULL)");
        assert!(aliases.read("a@x", &Mutex::default()).unwrap().is_some());
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        assert!(aliases.read("a@x", &Mutex::default()).is_err());
        fill(&path, "('new@x', 'b@y', 1, NULL)");
        assert!(aliases.read("a@x", &Mutex::default()).unwrap().is_none());
        assert!(aliases.read("new@x", &Mutex::default()).unwrap().is_some());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "no database, but long enough to be looked at as one, which it is not")
            .unwrap();
        assert!(aliases.read("a@x", &Mutex::default()).is_err());
    }
}
