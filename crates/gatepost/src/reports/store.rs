//! What is to be reported, in an SQLite file of the state directory, until it is sent.
//!
//! Invariants: messages and sessions that are alike are one row with a count; a report is written down as being handed over
//! before it is, so that after a crash it counts as sent and no two reports tell of the same; what is too old or too much
//! is dropped and counted, never waited for.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest;
use rusqlite::{Connection, OptionalExtension as _, params};
use smtp::time::WallTime;

use crate::journal::day::Day;

/// The file in the state directory.
const FILE_NAME: &str = "reports.sqlite";

/// The version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 1;

/// Most rows that are kept (ours: about 150 MB).
const ROWS_MAX: u64 = 200_000;

/// How many days a row is kept when its report can't be sent (ours).
const DAYS_KEPT: u64 = 7;

/// Longest wait for another program that writes the file (ours).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE rows (
        id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, day INTEGER NOT NULL, domain TEXT NOT NULL,
        digest BLOB NOT NULL, head TEXT NOT NULL, body TEXT NOT NULL, count INTEGER NOT NULL,
        UNIQUE (kind, day, domain, digest)
    );
    CREATE TABLE handed_over (report TEXT NOT NULL, row INTEGER NOT NULL, count INTEGER NOT NULL);
    CREATE TABLE orders (
        id INTEGER PRIMARY KEY AUTOINCREMENT, asked_ms INTEGER NOT NULL, today INTEGER NOT NULL, answer TEXT
    );
    PRAGMA user_version = 1;
";

/// Files of the first version may be without it.
const INDEX: &str = "CREATE UNIQUE INDEX IF NOT EXISTS handed_over_rows ON handed_over (report, row)";

/// What a report is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    /// Mail in the domain's name.
    Dmarc,
    /// TLS with the domain's servers.
    Tls,
}

/// What is reported of messages or sessions that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// The day on which they were.
    pub(crate) day: Day,
    /// The domain that is told.
    pub(crate) domain: String,
    /// What they share with all others of a report or a part of it, in JSON.
    pub(crate) head: String,
    /// What is particular to them, in JSON.
    pub(crate) body: String,
}

/// A domain that is to be told of a day.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Due {
    pub(crate) kind: Kind,
    pub(crate) day: Day,
    pub(crate) domain: String,
}

/// A row as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredRow {
    pub(crate) id: i64,
    pub(crate) head: String,
    pub(crate) body: String,
    pub(crate) count: u64,
}

/// What a domain would be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Collected {
    pub(crate) due: Due,
    pub(crate) rows: u64,
    /// Messages or sessions.
    pub(crate) count: u64,
}

/// Somebody wants reports to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) id: i64,
    /// Whether the day that isn't over is reported on, too.
    pub(crate) today: bool,
}

/// The file.
#[derive(Debug)]
pub(crate) struct Store {
    connection: Connection,
    rows_max: u64,
}

impl Kind {
    /// As it is shown.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Dmarc => "DMARC",
            Self::Tls => "TLS",
        }
    }

    const fn number(self) -> i64 {
        match self {
            Self::Dmarc => 0,
            Self::Tls => 1,
        }
    }

    const fn of(number: i64) -> Self {
        if number == 0 { Self::Dmarc } else { Self::Tls }
    }
}

impl Store {
    /// Opens the file in the directory `state`, and makes it when it isn't there.
    pub(crate) fn open(state: &Path) -> rusqlite::Result<Self> {
        let mut connection = Connection::open(state.join(FILE_NAME))?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        // What is handed over must be known to be, whatever happens.
        connection.pragma_update(None, "synchronous", "FULL")?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        match transaction.pragma_query_value(None, "user_version", |row| row.get(0))? {
            0_i64 => transaction.execute_batch(TABLES)?,
            VERSION => {}
            _ => {
                let why = "the file was written by another version of Gatepost";
                return Err(rusqlite::Error::ToSqlConversionFailure(why.into()));
            }
        }
        transaction.execute_batch(INDEX)?;
        transaction.commit()?;
        Ok(Self { connection, rows_max: ROWS_MAX })
    }

    /// Opens the file if there is one.
    pub(crate) fn open_existing(state: &Path) -> rusqlite::Result<Option<Self>> {
        if state.join(FILE_NAME).exists() { Self::open(state).map(Some) } else { Ok(None) }
    }

    /// Adds to the counts; gives how many messages or sessions found no room.
    pub(crate) fn add<'e>(
        &mut self,
        entries: impl Iterator<Item = (&'e Entry, u64)>,
    ) -> rusqlite::Result<u64> {
        let rows_max = self.rows_max;
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let mut rows =
            transaction.query_row("SELECT count(*) FROM rows", [], |row| row.get(0).map(unsigned))?;
        let mut lost = 0;
        {
            let mut update = transaction.prepare_cached(
                "UPDATE rows SET count = count + ?5 WHERE kind = ?1 AND day = ?2 AND domain = ?3 AND digest = ?4",
            )?;
            let mut insert = transaction.prepare_cached(
                "INSERT INTO rows (kind, day, domain, digest, head, body, count) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            for (entry, count) in entries {
                let Entry { kind, day, domain, head, body } = entry;
                let (kind, day, digest) = (kind.number(), signed(day.number()), digest_of(head, body));
                let counted = signed(count);
                if update.execute(params![kind, day, domain, digest, counted])? > 0 {
                    continue;
                }
                if rows >= rows_max {
                    lost += count;
                    continue;
                }
                insert.execute(params![kind, day, domain, digest, head, body, counted])?;
                rows += 1;
            }
        }
        transaction.commit()?;
        Ok(lost)
    }

    /// Domains that are to be told of days before `before`, those behind `after`, at most `limit`, in order.
    pub(crate) fn due(&self, before: Day, after: Option<&Due>, limit: usize) -> rusqlite::Result<Vec<Due>> {
        let mut select = self.connection.prepare_cached(
            "SELECT DISTINCT kind, day, domain FROM rows WHERE day < ?1 AND (kind, day, domain) > (?2, ?3, ?4)
             ORDER BY kind, day, domain LIMIT ?5",
        )?;
        let (kind, day, domain) = after.map_or((-1, 0, ""), |after| {
            (after.kind.number(), signed(after.day.number()), after.domain.as_str())
        });
        let found = select.query_map(
            params![signed(before.number()), kind, day, domain, signed(limit as u64)],
            |row| {
                Ok(Due {
                    kind: Kind::of(row.get(0)?),
                    day: Day::numbered(unsigned(row.get(1)?)),
                    domain: row.get(2)?,
                })
            },
        )?;
        found.collect()
    }

    /// Rows of a report, those of one head behind each other, those behind `after`, at most `limit`.
    pub(crate) fn rows(
        &self,
        due: &Due,
        after: Option<&StoredRow>,
        limit: usize,
    ) -> rusqlite::Result<Vec<StoredRow>> {
        let mut select = self.connection.prepare_cached(
            "SELECT id, head, body, count FROM rows WHERE kind = ?1 AND day = ?2 AND domain = ?3
             AND id NOT IN (SELECT row FROM handed_over) AND (head, id) > (?4, ?5) ORDER BY head, id LIMIT ?6",
        )?;
        let (kind, day, limit) = (due.kind.number(), signed(due.day.number()), signed(limit as u64));
        // No head is empty.
        let (head, id) = after.map_or(("", 0), |after| (after.head.as_str(), after.id));
        let key = params![kind, day, due.domain, head, id, limit];
        let found = select.query_map(key, |row| {
            Ok(StoredRow {
                id: row.get(0)?,
                head: row.get(1)?,
                body: row.get(2)?,
                count: unsigned(row.get(3)?),
            })
        })?;
        found.collect()
    }

    /// Writes down that a report of these rows is handed over now.
    pub(crate) fn begin(&mut self, report: &str, rows: &[StoredRow]) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO handed_over VALUES (?1, ?2, ?3)")?;
            for row in rows {
                insert.execute(params![report, row.id, signed(row.count)])?;
            }
        }
        transaction.commit()
    }

    /// The report is handed over: what it told is forgotten.
    pub(crate) fn done(&mut self, report: &str) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        // More may have been counted since the report was made.
        transaction.execute(
            "UPDATE rows SET count = count - (SELECT sum(h.count) FROM handed_over h WHERE h.report = ?1 AND h.row = rows.id)
             WHERE id IN (SELECT row FROM handed_over WHERE report = ?1)",
            [report],
        )?;
        transaction.execute(
            "DELETE FROM rows WHERE count <= 0 AND id IN (SELECT row FROM handed_over WHERE report = ?1)",
            [report],
        )?;
        transaction.execute("DELETE FROM handed_over WHERE report = ?1", [report])?;
        transaction.commit()
    }

    /// The report was not handed over: its rows wait for another.
    pub(crate) fn cancel(&self, report: &str) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM handed_over WHERE report = ?1", [report]).map(drop)
    }

    /// Reports that were being handed over when the program ended. Whether they were can't be told; they count as sent, so
    /// that nobody is told twice.
    pub(crate) fn end_unfinished(&mut self) -> rusqlite::Result<Vec<String>> {
        let mut select = self.connection.prepare("SELECT DISTINCT report FROM handed_over")?;
        let reports: Vec<String> = select.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        drop(select);
        for report in &reports {
            self.done(report)?;
        }
        Ok(reports)
    }

    /// Forgets what nobody wants to hear.
    pub(crate) fn forget(&self, due: &Due) -> rusqlite::Result<()> {
        let key = params![due.kind.number(), signed(due.day.number()), due.domain];
        self.connection
            .execute("DELETE FROM rows WHERE kind = ?1 AND day = ?2 AND domain = ?3", key)
            .map(drop)
    }

    /// Forgets single rows.
    pub(crate) fn forget_rows(&mut self, rows: &[StoredRow]) -> rusqlite::Result<()> {
        let transaction =
            self.connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        for row in rows {
            transaction.execute("DELETE FROM rows WHERE id = ?1", [row.id])?;
        }
        transaction.commit()
    }

    /// Forgets what is too old, and orders that were carried out long ago; gives how many messages and sessions.
    pub(crate) fn tidy(&self, today: Day) -> rusqlite::Result<u64> {
        let oldest = today.before(DAYS_KEPT);
        // Of each kind: the index begins with it.
        let old = "DELETE FROM rows WHERE kind IN (0, 1) AND day < ?1 RETURNING count";
        let mut delete = self.connection.prepare_cached(old)?;
        let counts = delete.query_map([signed(oldest.number())], |row| row.get(0).map(unsigned))?;
        let lost = counts.sum::<rusqlite::Result<u64>>()?;
        let long_ago = signed(oldest.start().as_unix_millis());
        self.connection.execute("DELETE FROM orders WHERE asked_ms < ?1", [long_ago])?;
        Ok(lost)
    }

    /// What is collected, by kind, day and domain.
    pub(crate) fn collected(&self) -> rusqlite::Result<Vec<Collected>> {
        let mut select = self.connection.prepare(
            "SELECT kind, day, domain, count(*), sum(count) FROM rows GROUP BY kind, day, domain ORDER BY day, domain, kind",
        )?;
        let found = select.query_map([], |row| {
            let due = Due {
                kind: Kind::of(row.get(0)?),
                day: Day::numbered(unsigned(row.get(1)?)),
                domain: row.get(2)?,
            };
            Ok(Collected { due, rows: unsigned(row.get(3)?), count: unsigned(row.get(4)?) })
        })?;
        found.collect()
    }

    /// Has the server that runs send what is due.
    pub(crate) fn order(&self, today: bool, now: WallTime) -> rusqlite::Result<i64> {
        let asked = signed(now.as_unix_millis());
        self.connection
            .execute("INSERT INTO orders (asked_ms, today) VALUES (?1, ?2)", params![asked, today])?;
        Ok(self.connection.last_insert_rowid())
    }

    /// The first order that nobody has answered.
    pub(crate) fn open_order(&self) -> rusqlite::Result<Option<Order>> {
        self.connection
            .prepare_cached("SELECT id, today FROM orders WHERE answer IS NULL ORDER BY id LIMIT 1")?
            .query_row([], |row| Ok(Order { id: row.get(0)?, today: row.get(1)? }))
            .optional()
    }

    /// Says what came of an order.
    pub(crate) fn answer(&self, order: i64, answer: &str) -> rusqlite::Result<()> {
        self.connection
            .execute("UPDATE orders SET answer = ?2 WHERE id = ?1", params![order, answer])
            .map(drop)
    }

    /// What came of an order; `None` while it is open.
    pub(crate) fn answer_to(&self, order: i64) -> rusqlite::Result<Option<String>> {
        let found: Option<Option<String>> = self
            .connection
            .prepare_cached("SELECT answer FROM orders WHERE id = ?1")?
            .query_row([order], |row| row.get(0))
            .optional()?;
        Ok(found.flatten())
    }

    /// Takes an order back that nobody carries out.
    pub(crate) fn withdraw(&self, order: i64) -> rusqlite::Result<()> {
        self.connection.execute("DELETE FROM orders WHERE id = ?1 AND answer IS NULL", [order]).map(drop)
    }
}

/// SQLite's integers are signed; no number here comes near their end.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// What tells a row from others of its report.
fn digest_of(head: &str, body: &str) -> Vec<u8> {
    const OCTETS: usize = 16;
    let mut whole = digest::Context::new(&digest::SHA256);
    whole.update(head.as_bytes());
    whole.update(b"\n");
    whole.update(body.as_bytes());
    whole.finish().as_ref().iter().take(OCTETS).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: Kind, day: u64, domain: &str, body: &str) -> Entry {
        Entry { kind, day: Day::numbered(day), domain: domain.into(), head: "h".into(), body: body.into() }
    }

    fn bodies(store: &Store, due: &Due) -> Vec<(String, u64)> {
        store.rows(due, None, 100).unwrap().into_iter().map(|row| (row.body, row.count)).collect()
    }

    #[test]
    fn what_is_alike_is_counted_and_what_was_told_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let (one, other) = (entry(Kind::Dmarc, 7, "a.example", "1"), entry(Kind::Dmarc, 7, "a.example", "2"));
        let late = entry(Kind::Tls, 8, "b.example", "1");
        assert_eq!(store.add([(&one, 2), (&other, 1), (&late, 1)].into_iter()).unwrap(), 0);
        assert_eq!(store.add([(&one, 3)].into_iter()).unwrap(), 0);
        let due = store.due(Day::numbered(8), None, 10).unwrap();
        assert_eq!(due, [Due { kind: Kind::Dmarc, day: Day::numbered(7), domain: "a.example".into() }]);
        assert_eq!(store.due(Day::numbered(9), Some(&due[0]), 10).unwrap()[0].domain, "b.example");
        let rows = store.rows(&due[0], None, 100).unwrap();
        store.begin("r1", &rows).unwrap();
        assert_eq!(bodies(&store, &due[0]), [], "what is being handed over isn't told by another report");
        store.add([(&one, 1)].into_iter()).unwrap();
        store.done("r1").unwrap();
        assert_eq!(bodies(&store, &due[0]), [("1".to_owned(), 1)], "what came in between is kept");
        let rows = store.rows(&due[0], None, 100).unwrap();
        store.begin("r2", &rows).unwrap();
        store.cancel("r2").unwrap();
        assert_eq!(bodies(&store, &due[0]).len(), 1);
        store.forget(&due[0]).unwrap();
        assert_eq!(store.collected().unwrap().len(), 1);
    }

    #[test]
    fn rows_come_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let entries = ["1", "2", "3", "4", "5"].map(|body| {
            let head = if body < "3" { "b" } else { "a" };
            Entry { head: head.into(), ..entry(Kind::Dmarc, 7, "a.example", body) }
        });
        store.add(entries.iter().map(|entry| (entry, 1))).unwrap();
        let due = store.due(Day::numbered(8), None, 10).unwrap().remove(0);
        let mut found: Vec<StoredRow> = Vec::new();
        while let page @ [_, ..] = &*store.rows(&due, found.last(), 2).unwrap() {
            found.extend_from_slice(page);
        }
        assert!(found.iter().map(|row| row.body.as_str()).eq(["3", "4", "5", "1", "2"]), "{found:?}");
    }

    #[test]
    fn a_report_that_was_being_handed_over_counts_as_sent_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        store.add([(&entry(Kind::Tls, 7, "a.example", "1"), 2)].into_iter()).unwrap();
        let due = store.due(Day::numbered(8), None, 10).unwrap().remove(0);
        let rows = store.rows(&due, None, 100).unwrap();
        store.begin("r1", &rows).unwrap();
        drop(store);
        let mut store = Store::open_existing(folder.path()).unwrap().unwrap();
        assert_eq!(store.end_unfinished().unwrap(), ["r1"]);
        assert_eq!(store.collected().unwrap(), []);
        assert_eq!(store.end_unfinished().unwrap(), [""; 0]);
    }

    #[test]
    fn what_is_too_much_or_too_old_is_dropped_and_counted() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Store::open_existing(folder.path()).unwrap().is_none());
        let mut store = Store::open(folder.path()).unwrap();
        store.rows_max = 2;
        let rows: Vec<Entry> =
            ["1", "2", "3"].map(|body| entry(Kind::Dmarc, 100, "a.example", body)).to_vec();
        assert_eq!(store.add(rows.iter().map(|row| (row, 5))).unwrap(), 5);
        assert_eq!(store.add([(&rows[0], 1)].into_iter()).unwrap(), 0, "a row that is there counts on");
        assert_eq!(store.tidy(Day::numbered(100 + DAYS_KEPT)).unwrap(), 0);
        assert_eq!(store.tidy(Day::numbered(101 + DAYS_KEPT)).unwrap(), 11);
        assert_eq!(store.collected().unwrap(), []);
    }

    #[test]
    fn an_order_is_open_until_it_is_answered_or_withdrawn() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let (first, second) = (
            store.order(true, WallTime::default()).unwrap(),
            store.order(false, WallTime::default()).unwrap(),
        );
        assert_eq!(store.open_order().unwrap(), Some(Order { id: first, today: true }));
        store.answer(first, "sent").unwrap();
        assert_eq!(store.answer_to(first).unwrap().as_deref(), Some("sent"));
        assert_eq!(
            (store.open_order().unwrap().unwrap().id, store.answer_to(second).unwrap()),
            (second, None)
        );
        store.withdraw(second).unwrap();
        assert_eq!(store.open_order().unwrap(), None);
    }
}
