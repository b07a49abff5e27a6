//! A day's file that is being written: blocks go in, with the rows that find what is in them.
//!
//! Invariants: what is taken in one call is written in one transaction: it is there as a whole or not at all; the hits
//! of rules that only watch are samples, refusals and accepted messages are found each.

use std::cell::LazyCell;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use policy::decision::RuleId;
use queue::queue_id::QueueId;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use smtp::time::WallTime;

use super::super::block::Filling;
use super::super::day::Day;
use super::super::inbox::needs_new_block;
use super::super::mask::Masker;
use super::super::record::{Chunk, Entry, Head, Point};
use super::super::settings::Mask;
use super::super::texts::PolicyText;
use super::counts::{Counts, Deed, Pending, hour_of};
use super::{files, layout};

/// Hits of one rule in one hour that are found each, when the rule only watched or could not be told (ours).
const SAMPLES_PER_HOUR: u32 = 100;

/// Kinds of hits.
pub(super) const REFUSED: i64 = 0;
pub(super) const OBSERVED: i64 = 1;
pub(super) const PASSED_OVER: i64 = 2;

/// The policies that sessions name.
pub(in super::super) type Policies = HashMap<u64, Arc<PolicyText>>;

/// The file of a day.
#[derive(Debug)]
pub(super) struct OpenDay {
    pub(super) day: Day,
    connection: Connection,
    masker: Option<Masker>,
    /// Policies whose text stands in the file.
    told: HashSet<u64>,
    next_block: i64,
    samples: HashMap<(u64, Arc<str>, i64), u32>,
}

impl OpenDay {
    pub(super) fn open(folder: &Path, day: Day, mask: (Mask, [u64; 2])) -> rusqlite::Result<Self> {
        let connection = layout::open_to_write(&files::path(folder, day))?;
        let next_block =
            connection.query_row("SELECT coalesce(max(id), 0) + 1 FROM blocks", [], |row| row.get(0))?;
        let told = connection
            .prepare("SELECT fingerprint FROM policies")?
            .query_map([], |row| row.get::<_, i64>(0))?
            .map(|fingerprint| fingerprint.map(i64::cast_unsigned))
            .collect::<Result<_, _>>()?;
        let masker = (mask.0 != Mask::None).then(|| Masker::new(mask.0, mask.1));
        Ok(Self { day, connection, masker, told, next_block, samples: HashMap::new() })
    }

    /// Writes the chunks; what they count goes into `pending` once they are written. Gives how many there were and how
    /// many of them could not be read.
    pub(super) fn write<'c>(
        &mut self,
        chunks: impl Iterator<Item = &'c [u8]>,
        policies: &Policies,
        pending: &mut Pending,
    ) -> rusqlite::Result<u64> {
        let next_block = self.next_block;
        let told = self.told.clone();
        let result = self.write_all(chunks, policies, pending);
        if result.is_err() {
            self.next_block = next_block;
            self.told = told;
        }
        result
    }

    fn write_all<'c>(
        &mut self,
        chunks: impl Iterator<Item = &'c [u8]>,
        policies: &Policies,
        pending: &mut Pending,
    ) -> rusqlite::Result<u64> {
        let Self { connection, masker, told, next_block, samples, .. } = self;
        let transaction = connection.transaction()?;
        let mut unreadable = 0;
        let mut noted = Vec::new();
        let mut run = Run {
            transaction: &transaction,
            block: *next_block,
            filling: Filling::new(),
            times: None,
            stored: None,
        };
        for chunk in chunks {
            let Some(head) = Chunk::read(chunk).map(|chunk| chunk.head) else {
                unreadable += 1;
                continue;
            };
            let policy = policies.get(&head.policy).map(|policy| &**policy);
            let masked = match masker {
                None => None,
                Some(masker) => match masker.chunk(chunk, policy) {
                    Some(masked) => Some(masked),
                    None => {
                        unreadable += 1;
                        continue;
                    }
                },
            };
            let chunk = masked.as_deref().unwrap_or(chunk);
            if let Some(policy) = policy
                && told.insert(policy.fingerprint)
            {
                put_policy(&transaction, policy, head.started)?;
            }
            if needs_new_block(&run.filling, chunk) {
                run.put_block()?;
            }
            run.chunk(chunk, policy, samples, &mut noted)?;
        }
        if run.filling.chunks() > 0 {
            run.put_block()?;
        }
        let block = run.block;
        transaction.commit()?;
        *next_block = block;
        for Note { rule, deed, time, client, reverse_path } in noted {
            pending.note(&rule, deed, time, &client, reverse_path.as_deref());
        }
        Ok(unreadable)
    }

    /// Adds to the counts of rules.
    pub(super) fn put_counts(&mut self, pending: &mut Pending) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        for (hour, rule, mut counts) in pending.take() {
            if let Some(before) = read_counts(&transaction, hour, &rule)? {
                counts.add(&before);
            }
            transaction
                .prepare_cached("INSERT OR REPLACE INTO hours VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
                .execute(params![
                    hour.cast_signed(),
                    &*rule,
                    counts.answered.cast_signed(),
                    counts.observed.cast_signed(),
                    counts.passed_over.cast_signed(),
                    millis(counts.first),
                    millis(counts.last),
                    counts.tops(),
                ])?;
        }
        transaction.commit()
    }

    /// Adds to the counts of what was lost.
    pub(super) fn put_lost(&self, now: WallTime, reason: &str, chunks: u64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO lost VALUES (?1, ?2, ?3)
                   ON CONFLICT (hour, reason) DO UPDATE SET chunks = chunks + excluded.chunks";
        let hour = hour_of(now).cast_signed();
        self.connection.prepare_cached(sql)?.execute(params![hour, reason, chunks.cast_signed()])?;
        Ok(())
    }

    /// Octets that the file's contents take.
    pub(super) fn octets(&self) -> rusqlite::Result<u64> {
        let number = |name: &str| -> rusqlite::Result<u64> {
            let number: i64 = self.connection.pragma_query_value(None, name, |row| row.get(0))?;
            Ok(number.cast_unsigned())
        };
        Ok((number("page_count")? - number("freelist_count")?) * number("page_size")?)
    }

    /// Deletes the older half of the blocks and what finds them; gives how many chunks they had. The room is used again.
    pub(super) fn prune(&mut self) -> rusqlite::Result<u64> {
        let transaction = self.connection.transaction()?;
        let middle: i64 = transaction.query_row(
            "SELECT (coalesce(min(id), 0) + coalesce(max(id), 0)) / 2 FROM blocks",
            [],
            |row| row.get(0),
        )?;
        let chunks: i64 = transaction.query_row(
            "SELECT coalesce(sum(chunks), 0) FROM blocks WHERE id <= ?1",
            [middle],
            |row| row.get(0),
        )?;
        transaction.execute("DELETE FROM blocks WHERE id <= ?1", [middle])?;
        transaction.execute("DELETE FROM hits WHERE block <= ?1", [middle])?;
        transaction.execute("DELETE FROM stored WHERE block <= ?1", [middle])?;
        transaction.commit()?;
        Ok(chunks.cast_unsigned())
    }
}

const fn millis(time: WallTime) -> i64 {
    time.as_unix_millis().cast_signed()
}

pub(super) fn read_counts(
    connection: &Connection,
    hour: u64,
    rule: &str,
) -> rusqlite::Result<Option<Counts>> {
    let sql = "SELECT answered, observed, passed_over, first_ms, last_ms, tops FROM hours WHERE hour = ?1 AND rule = ?2";
    connection
        .prepare_cached(sql)?
        .query_row(params![hour.cast_signed(), rule], |row| counts_of(row, 0))
        .optional()
}

/// The counts in six columns of a row.
pub(super) fn counts_of(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Counts> {
    let number = |place: usize| row.get::<_, i64>(first + place).map(i64::cast_unsigned);
    let mut counts = Counts {
        answered: number(0)?,
        observed: number(1)?,
        passed_over: number(2)?,
        first: WallTime::from_unix_millis(number(3)?),
        last: WallTime::from_unix_millis(number(4)?),
        ..Counts::default()
    };
    // Names that can't be read are left out: the counts are exact without them.
    let _ = counts.set_tops(&row.get::<_, Vec<u8>>(first + 5)?);
    Ok(counts)
}

fn put_policy(transaction: &Transaction<'_>, policy: &PolicyText, first: WallTime) -> rusqlite::Result<()> {
    let fingerprint = policy.fingerprint.cast_signed();
    transaction
        .execute("INSERT OR IGNORE INTO policies VALUES (?1, ?2)", params![fingerprint, millis(first)])?;
    let mut files =
        transaction.prepare_cached("INSERT OR IGNORE INTO policy_files VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (kind, sources) in [(0, &policy.files), (1, &policy.material)] {
        for (number, file) in (0i64..).zip(sources) {
            files.execute(params![fingerprint, kind, number, &*file.name, &*file.text])?;
        }
    }
    let mut names =
        transaction.prepare_cached("INSERT OR IGNORE INTO policy_names VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for (number, name) in (0i64..).zip(&policy.facts) {
        names.execute(params![fingerprint, 0, number, &**name, 0])?;
    }
    for (number, rule) in (0i64..).zip(&policy.rules) {
        let flags = i64::from(rule.observed) | i64::from(rule.fixed) << 1;
        names.execute(params![fingerprint, 1, number, &*rule.name, flags])?;
    }
    Ok(())
}

/// What a rule did, to be counted once it is written.
struct Note {
    rule: Arc<str>,
    deed: Deed,
    time: WallTime,
    client: Arc<str>,
    reverse_path: Option<String>,
}

/// A transaction that fills blocks.
struct Run<'t> {
    transaction: &'t Transaction<'t>,
    block: i64,
    filling: Filling,
    /// The times of the first and the last decision in the block.
    times: Option<(WallTime, WallTime)>,
    /// The least and the greatest id of a message that became durable in it.
    stored: Option<(QueueId, QueueId)>,
}

impl Run<'_> {
    fn put_block(&mut self) -> rusqlite::Result<()> {
        let (first, last) = self.times.take().unwrap_or_default();
        let chunks = self.filling.chunks();
        let body = std::mem::replace(&mut self.filling, Filling::new()).finish();
        self.transaction
            .prepare_cached("INSERT INTO blocks VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![self.block, millis(first), millis(last), chunks, body])?;
        if let Some((first, last)) = self.stored.take() {
            let (first, last) = (first.number().cast_signed(), last.number().cast_signed());
            self.transaction
                .prepare_cached("INSERT INTO stored VALUES (?1, ?2, ?3)")?
                .execute(params![self.block, first, last])?;
        }
        self.block += 1;
        Ok(())
    }

    fn chunk(
        &mut self,
        octets: &[u8],
        policy: Option<&PolicyText>,
        samples: &mut HashMap<(u64, Arc<str>, i64), u32>,
        noted: &mut Vec<Note>,
    ) -> rusqlite::Result<()> {
        let place = self.filling.push(octets);
        let Some(chunk) = Chunk::read(octets) else { return Ok(()) };
        // Of mail that nothing is said against nobody asks whose it was.
        let client: LazyCell<Arc<str>, _> = LazyCell::new(|| client_name(&chunk.head));
        for (number, entry) in (0i64..).zip(chunk.entries().flatten()) {
            let time = entry.time;
            let (first, last) = self.times.unwrap_or((time, time));
            self.times = Some((first.min(time), last.max(time)));
            let at = || At { place, number, client: &client };
            if let Some(id) = entry.queue_id {
                let (first, last) = self.stored.unwrap_or((id, id));
                self.stored = Some((first.min(id), last.max(id)));
            }
            let name = |rule: RuleId| policy.and_then(|policy| policy.rule(rule.0));
            let mut note = |rule: &Arc<str>, deed| {
                let reverse_path = entry.reverse_path.map(str::to_owned);
                noted.push(Note {
                    rule: Arc::clone(rule),
                    deed,
                    time,
                    client: Arc::clone(&client),
                    reverse_path,
                });
            };
            if let Some(words) = entry.answer.words() {
                let rule = entry.rule.and_then(name).map_or(words.name, |name| name);
                self.hit(&at(), &entry, (REFUSED, rule))?;
                match entry.rule.and_then(name) {
                    Some(rule) => note(rule, Deed::Answered),
                    None => note(&Arc::from(words.name), Deed::Answered),
                }
            } else if let Some(rule) = entry.rule.and_then(name) {
                note(rule, Deed::Answered);
            }
            for (rules, deed, kind) in [
                (&entry.observed, Deed::Observed, OBSERVED),
                (&entry.passed_over, Deed::PassedOver, PASSED_OVER),
            ] {
                for rule in rules.iter().filter_map(|rule| name(*rule)) {
                    note(rule, deed);
                    let seen = samples.entry((hour_of(time), Arc::clone(rule), kind)).or_default();
                    *seen += 1;
                    if *seen <= SAMPLES_PER_HOUR {
                        self.hit(&at(), &entry, (kind, rule))?;
                    }
                }
            }
        }
        if let Some((_, last)) = self.times {
            let hour = hour_of(last).saturating_sub(1);
            samples.retain(|(seen, ..), _| *seen >= hour);
        }
        Ok(())
    }

    fn hit(&self, at: &At<'_>, entry: &Entry<'_>, (kind, rule): (i64, &str)) -> rusqlite::Result<()> {
        let words = entry.answer.words();
        let recipient = entry.recipient.filter(|_| entry.point != Point::Command || words.is_some());
        self.transaction
            .prepare_cached(
                "INSERT INTO hits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            )?
            .execute(params![
                entry.id.filter(|_| kind == REFUSED).map(|id| id.number().cast_signed()),
                millis(entry.time),
                self.block,
                at.place,
                at.number,
                kind,
                entry.point.name(),
                words.map(|words| words.code),
                words
                    .and_then(|words| words.codes().split_once(' ').map(|(_, enhanced)| enhanced.to_owned())),
                rule,
                at.client,
                entry.reverse_path,
                recipient,
            ])?;
        Ok(())
    }
}

/// Where an entry stands, and whose it is.
struct At<'a> {
    place: u32,
    number: i64,
    client: &'a str,
}

/// The client as the index and the counts name it: a masked one as its network.
fn client_name(head: &Head) -> Arc<str> {
    let address = head.client.ip();
    match (head.masked, head.client.is_ipv4()) {
        (false, _) => Arc::from(address.to_string()),
        (true, true) => Arc::from(format!("{address}/24")),
        (true, false) => Arc::from(format!("{address}/48")),
    }
}
