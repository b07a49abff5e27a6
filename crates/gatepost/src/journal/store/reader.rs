//! Reads the store beside the server that writes it.
//!
//! Invariants: a day whose file can't be read is named, not passed over in silence; what is found comes newest first.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::span::SourceFile;
use queue::queue_id::QueueId;
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use smtp::time::WallTime;

use super::super::block::Block;
use super::super::day::Day;
use super::super::ids::DecisionId;
use super::super::record::{Chunk, Head};
use super::super::texts::{PolicyText, RuleText};
use super::counts::{RuleHour, hour_of, start_of};
use super::open_day::{OBSERVED, PASSED_OVER, counts_of};
use super::{files, layout};
use crate::config::Network;

/// Blocks that are looked through for the earlier chunks of a session (ours): 64 MiB.
const BLOCKS_BACK: i64 = 1_024;

/// Why something was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HitKind {
    /// It was refused.
    Refused,
    /// An observed rule would have answered.
    Observed,
    /// A rule could not be told.
    PassedOver,
    /// A message became durable.
    Stored,
}

impl HitKind {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Observed => "observed",
            Self::PassedOver => "unsure",
            Self::Stored => "stored",
        }
    }
}

/// Where a decision stands, and what the index says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The day's file.
    pub day: Day,
    block: i64,
    place: u32,
    /// The number of the decision in its chunk.
    pub entry: usize,
    /// Why it is in the index.
    pub kind: HitKind,
    /// When; of a stored message the start of its day, until it is read.
    pub time: WallTime,
    /// The id in the reply.
    pub id: Option<DecisionId>,
    /// The stage, `command` or `stored`.
    pub stage: String,
    /// The reply code.
    pub code: Option<u16>,
    /// The enhanced code.
    pub enhanced: Option<String>,
    /// The rule, or the catalogue's entry.
    pub rule: String,
    /// The client.
    pub client: String,
    /// The reverse-path's mailbox.
    pub reverse_path: Option<String>,
    /// The recipient.
    pub recipient: Option<String>,
}

/// What is searched for; everything that is given must fit.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// In the reverse-path, without regard to case; `<>` is the null reverse-path.
    pub reverse_path: Option<String>,
    /// In the recipient, without regard to case.
    pub recipient: Option<String>,
    /// The client, or its network.
    pub client: Option<Network>,
    /// A reply code, an enhanced code, or both.
    pub code: Option<String>,
    /// The rule, or the catalogue's entry.
    pub rule: Option<String>,
    /// Not before.
    pub since: WallTime,
    /// Before.
    pub until: Option<WallTime>,
}

impl Search {
    fn fits(&self, hit: &Hit) -> bool {
        let holds = |wanted: &Option<String>, text: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| {
                text.as_ref().is_some_and(|text| match wanted.as_str() {
                    "<>" => text.is_empty(),
                    wanted => text.to_lowercase().contains(&wanted.to_lowercase()),
                })
            })
        };
        let client = |wanted: &Network| {
            let address = hit.client.split('/').next().and_then(|text| text.parse::<IpAddr>().ok());
            address.is_some_and(|address| wanted.contains(address))
        };
        let code = |wanted: &String| {
            let code = hit.code.map_or_else(String::new, |code| code.to_string());
            let enhanced = hit.enhanced.as_deref().unwrap_or_default();
            wanted.split_whitespace().all(|wanted| wanted == code || wanted == enhanced)
        };
        holds(&self.reverse_path, &hit.reverse_path)
            && holds(&self.recipient, &hit.recipient)
            && self.client.as_ref().is_none_or(client)
            && self.code.as_ref().is_none_or(code)
            && self.rule.as_ref().is_none_or(|wanted| *wanted == hit.rule)
    }
}

/// A decision that was found: the octets of its chunk.
#[derive(Debug, Clone)]
pub struct Found {
    /// The chunk.
    pub chunk: Vec<u8>,
}

/// What was lost in an hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostRow {
    /// The first instant of the hour.
    pub hour: WallTime,
    /// Why.
    pub reason: String,
    /// How many chunks.
    pub chunks: u64,
}

/// A block's number, times and place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredBlock {
    /// The day's file.
    pub day: Day,
    id: i64,
}

/// One day that can be read.
#[derive(Debug)]
struct OpenFile {
    day: Day,
    connection: Connection,
}

/// The days of a store.
#[derive(Debug)]
pub struct Reader {
    folder: PathBuf,
    /// The newest first.
    days: Vec<OpenFile>,
    /// Files that can't be read, and why.
    pub unreadable: Vec<(PathBuf, String)>,
}

impl Reader {
    /// Opens all days in the folder of a journal.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let mut reader = Self { folder: folder.to_owned(), days: Vec::new(), unreadable: Vec::new() };
        for file in files::list(folder)?.into_iter().rev() {
            match layout::open_to_read(&file.path) {
                Ok(connection) => reader.days.push(OpenFile { day: file.day, connection }),
                Err(error) => reader.unreadable.push((file.path, error.to_string())),
            }
        }
        Ok(reader)
    }

    /// The same days, opened once more: for another thread.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn again(&self) -> io::Result<Self> {
        Self::open(&self.folder)
    }

    /// The days that can be read, the newest first.
    pub fn days(&self) -> impl Iterator<Item = Day> + '_ {
        self.days.iter().map(|file| file.day)
    }

    fn on(&self, day: Day) -> Option<&Connection> {
        self.days.iter().find(|file| file.day == day).map(|file| &file.connection)
    }

    /// The refusals with that id, the newest first: more than one only when ids were random numbers.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn by_id(&self, id: DecisionId) -> rusqlite::Result<Vec<Hit>> {
        let mut hits = Vec::new();
        for file in &self.days {
            let sql = format!("SELECT {HIT} FROM hits WHERE id = ?1 ORDER BY rowid DESC");
            let mut statement = file.connection.prepare(&sql)?;
            let rows = statement.query_map([id.number().cast_signed()], |row| hit(file.day, row))?;
            for row in rows {
                hits.push(row?);
            }
        }
        Ok(hits)
    }

    /// The message with that queue id.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn by_queue_id(&self, id: QueueId) -> rusqlite::Result<Option<Hit>> {
        for file in &self.days {
            // Ids grow with time, so that few blocks can hold one.
            let sql = "SELECT blocks.id, body FROM stored JOIN blocks ON blocks.id = stored.block
                       WHERE first_queue_id <= ?1 AND last_queue_id >= ?1 ORDER BY blocks.id DESC";
            let mut statement = file.connection.prepare(sql)?;
            let mut rows = statement.query([id.number().cast_signed()])?;
            while let Some(row) = rows.next()? {
                let body: Vec<u8> = row.get(1)?;
                let place = Block::read(&body).and_then(|block| block.stored(id));
                let Some((place, entry)) = place else { continue };
                return Ok(Some(Hit {
                    day: file.day,
                    block: row.get(0)?,
                    place,
                    entry,
                    kind: HitKind::Stored,
                    time: file.day.start(),
                    id: None,
                    stage: String::from("stored"),
                    code: None,
                    enhanced: None,
                    rule: String::new(),
                    client: String::new(),
                    reverse_path: None,
                    recipient: None,
                }));
            }
        }
        Ok(None)
    }

    /// What fits, the newest first, at most `limit`.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn search(&self, search: &Search, limit: usize) -> rusqlite::Result<Vec<Hit>> {
        let mut hits = Vec::new();
        let until = search.until.map_or(i64::MAX, |until| until.as_unix_millis().cast_signed());
        let since = search.since.as_unix_millis().cast_signed();
        for file in &self.days {
            let sql =
                format!("SELECT {HIT} FROM hits WHERE time_ms >= ?1 AND time_ms < ?2 ORDER BY rowid DESC");
            let mut statement = file.connection.prepare(&sql)?;
            for row in statement.query_map(params![since, until], |row| hit(file.day, row))? {
                let hit = row?;
                if search.fits(&hit) {
                    hits.push(hit);
                    if hits.len() >= limit {
                        return Ok(hits);
                    }
                }
            }
        }
        Ok(hits)
    }

    /// The chunk in which a hit stands; `None` when it is no longer there, or damaged.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn chunk(&self, hit: &Hit) -> rusqlite::Result<Option<Found>> {
        let body = self.body(hit.day, hit.block)?;
        let chunk = body.as_deref().and_then(Block::read).and_then(|block| block.chunk_at(hit.place));
        Ok(chunk.map(|chunk| Found { chunk: chunk.to_vec() }))
    }

    /// The chunks of the same session that came before the one of `hit`, whose head is given; those that are no longer
    /// there, or lie further back than [`BLOCKS_BACK`], are left out.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn earlier(&self, hit: &Hit, head: &Head) -> rusqlite::Result<Vec<Vec<u8>>> {
        let mut found: Vec<(u32, Vec<u8>)> = Vec::new();
        let days = self.days.iter().filter(|file| file.day <= hit.day && file.day >= Day::of(head.started));
        let mut left = BLOCKS_BACK;
        for file in days {
            let sql = "SELECT body FROM blocks WHERE id <= ?1 AND last_ms >= ?2 ORDER BY id DESC LIMIT ?3";
            let last = if file.day == hit.day { hit.block } else { i64::MAX };
            let mut statement = file.connection.prepare(sql)?;
            let started = head.started.as_unix_millis().cast_signed();
            let mut rows = statement.query(params![last, started, left])?;
            while let Some(row) = rows.next()? {
                left -= 1;
                let body: Vec<u8> = row.get(0)?;
                let Some(block) = Block::read(&body) else { continue };
                for octets in block.chunks() {
                    let other = Chunk::read(octets).map(|chunk| chunk.head);
                    if let Some(other) =
                        other.filter(|other| other.session == head.session && other.part < head.part)
                    {
                        found.push((other.part, octets.to_vec()));
                    }
                }
                if found.len() >= head.part as usize {
                    break;
                }
            }
        }
        found.sort_by_key(|(part, _)| *part);
        Ok(found.into_iter().map(|(_, octets)| octets).collect())
    }

    /// The octets of a block.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn block(&self, block: StoredBlock) -> rusqlite::Result<Option<Vec<u8>>> {
        self.body(block.day, block.id)
    }

    fn body(&self, day: Day, block: i64) -> rusqlite::Result<Option<Vec<u8>>> {
        let Some(connection) = self.on(day) else { return Ok(None) };
        connection
            .prepare_cached("SELECT body FROM blocks WHERE id = ?1")?
            .query_row([block], |row| row.get(0))
            .optional()
    }

    /// The blocks with decisions in that time, the oldest first.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn blocks(&self, since: WallTime, until: Option<WallTime>) -> rusqlite::Result<Vec<StoredBlock>> {
        let mut blocks = Vec::new();
        let since = since.as_unix_millis().cast_signed();
        let until = until.map_or(i64::MAX, |until| until.as_unix_millis().cast_signed());
        for file in self.days.iter().rev() {
            let sql = "SELECT id FROM blocks WHERE last_ms >= ?1 AND first_ms < ?2 ORDER BY id";
            let mut statement = file.connection.prepare(sql)?;
            for id in statement.query_map([since, until], |row| row.get(0))? {
                blocks.push(StoredBlock { day: file.day, id: id? });
            }
        }
        Ok(blocks)
    }

    /// The policy with that fingerprint, as the newest day with it has it.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn policy(&self, fingerprint: u64) -> rusqlite::Result<Option<PolicyText>> {
        for file in &self.days {
            let sql = "SELECT 1 FROM policies WHERE fingerprint = ?1";
            let found = file.connection.query_row(sql, [fingerprint.cast_signed()], |_| Ok(())).optional()?;
            if found.is_some() {
                return policy(&file.connection, fingerprint).map(Some);
            }
        }
        Ok(None)
    }

    /// The policies that decided, each with when it was first seen, the oldest first.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn policies(&self) -> rusqlite::Result<Vec<(WallTime, u64)>> {
        let mut policies: Vec<(WallTime, u64)> = Vec::new();
        for file in self.days.iter().rev() {
            let mut statement =
                file.connection.prepare("SELECT first_ms, fingerprint FROM policies ORDER BY first_ms")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
            for row in rows {
                let (first, fingerprint) = row?;
                let first = WallTime::from_unix_millis(first.cast_unsigned());
                if !policies.iter().any(|(_, known)| *known == fingerprint.cast_unsigned()) {
                    policies.push((first, fingerprint.cast_unsigned()));
                }
            }
        }
        Ok(policies)
    }

    /// What each rule did in each hour from `since` on.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn hours(&self, since: WallTime) -> rusqlite::Result<Vec<RuleHour>> {
        let mut hours = Vec::new();
        for file in self.days.iter().rev() {
            let sql = "SELECT hour, rule, answered, observed, passed_over, first_ms, last_ms, tops
                       FROM hours WHERE hour >= ?1 ORDER BY hour";
            let mut statement = file.connection.prepare(sql)?;
            let rows = statement.query_map([hour_of(since).cast_signed()], |row| {
                let hour = start_of(row.get::<_, i64>(0)?.cast_unsigned());
                Ok(RuleHour { hour, rule: row.get(1)?, counts: counts_of(row, 2)? })
            })?;
            for row in rows {
                hours.push(row?);
            }
        }
        Ok(hours)
    }

    /// What was lost from `since` on, the oldest first.
    ///
    /// # Errors
    /// When a file can't be read.
    pub fn lost(&self, since: WallTime) -> rusqlite::Result<Vec<LostRow>> {
        let mut lost = Vec::new();
        for file in self.days.iter().rev() {
            let sql = "SELECT hour, reason, chunks FROM lost WHERE hour >= ?1 ORDER BY hour, reason";
            let mut statement = file.connection.prepare(sql)?;
            let rows = statement.query_map([hour_of(since).cast_signed()], |row| {
                let hour = start_of(row.get::<_, i64>(0)?.cast_unsigned());
                Ok(LostRow { hour, reason: row.get(1)?, chunks: row.get::<_, i64>(2)?.cast_unsigned() })
            })?;
            for row in rows {
                lost.push(row?);
            }
        }
        Ok(lost)
    }
}

/// The columns of a hit, in the order in which [`hit`] reads them.
const HIT: &str =
    "block, place, entry, kind, time_ms, id, stage, code, enhanced, rule, client, reverse_path, recipient";

fn hit(day: Day, row: &Row<'_>) -> rusqlite::Result<Hit> {
    let kind = match row.get::<_, i64>(3)? {
        OBSERVED => HitKind::Observed,
        PASSED_OVER => HitKind::PassedOver,
        _ => HitKind::Refused,
    };
    let id: Option<i64> = row.get(5)?;
    Ok(Hit {
        day,
        block: row.get(0)?,
        place: row.get(1)?,
        entry: row.get::<_, i64>(2)?.cast_unsigned() as usize,
        kind,
        time: WallTime::from_unix_millis(row.get::<_, i64>(4)?.cast_unsigned()),
        id: id.and_then(|id| DecisionId::from_number(id.cast_unsigned())),
        stage: row.get(6)?,
        code: row.get(7)?,
        enhanced: row.get(8)?,
        rule: row.get(9)?,
        client: row.get(10)?,
        reverse_path: row.get(11)?,
        recipient: row.get(12)?,
    })
}

fn policy(connection: &Connection, fingerprint: u64) -> rusqlite::Result<PolicyText> {
    let key = fingerprint.cast_signed();
    let files = |kind: i64| -> rusqlite::Result<Vec<SourceFile>> {
        let sql = "SELECT name, text FROM policy_files WHERE fingerprint = ?1 AND kind = ?2 ORDER BY number";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([key, kind], |row| {
            let (name, text): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(SourceFile { name: Arc::from(name), text: Arc::from(text) })
        })?;
        rows.collect()
    };
    let names = |kind: i64| -> rusqlite::Result<Vec<(Arc<str>, i64)>> {
        let sql = "SELECT name, flags FROM policy_names WHERE fingerprint = ?1 AND kind = ?2 ORDER BY number";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([key, kind], |row| {
            let name: String = row.get(0)?;
            Ok((Arc::from(name), row.get(1)?))
        })?;
        rows.collect()
    };
    let facts = names(0)?.into_iter().map(|(name, _)| name).collect();
    let rules = names(1)?
        .into_iter()
        .map(|(name, flags)| RuleText { name, observed: flags & 1 != 0, fixed: flags & 2 != 0 })
        .collect();
    Ok(PolicyText::stored(fingerprint, files(0)?, files(1)?, facts, rules))
}
