//! A chunk: a stretch of one session as the journal keeps it, with every decision in order.
//!
//! Invariants: a chunk stands alone: it names the session, and its first decision carries every fact that was known by
//! then; each later one carries what has changed. Reading gives back what was written, and of any other octets nothing.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use policy::decision::{Effect, RuleId};
use policy::slot::Slot;
use policy::stage::Stage;
use queue::queue_id::QueueId;
use smtp::reply::Enhanced;
use smtp::time::WallTime;

use super::codec::{Cursor, put_address, put_number, put_octets, put_signed, put_text};
use super::effects::{put_effect, read_effect};
use super::ids::DecisionId;
use super::states::{Recorded, read_recorded};

/// The version of the form.
const VERSION: u8 = 1;

/// Where a chunk's flags stand: they are set when it is done.
const FLAGS_PLACE: usize = 1;

const CONTINUES: u8 = 1;
const MASKED: u8 = 2;

/// Octets of the length of a decision's facts.
const LENGTH_OCTETS: usize = 3;

/// What a chunk says of its session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The session: chunks of one session have the same number.
    pub session: u64,
    /// The place of the chunk among those of its session, from 0.
    pub part: u32,
    /// The client.
    pub client: SocketAddr,
    /// Where it connected.
    pub listener: SocketAddr,
    /// When the session began.
    pub started: WallTime,
    /// The fingerprint of the policy that decided.
    pub policy: u64,
    /// Whether a transaction was open at the end of the chunk: its rest stands in the next.
    pub continues: bool,
    /// Whether addresses in it are masked.
    pub masked: bool,
}

/// What a decision was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Point {
    /// The policy's decision at a stage.
    Stage(Stage),
    /// The session's own refusal, of a command out of its order for instance.
    Command,
    /// A message became durable.
    Stored,
}

impl Point {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stage(stage) => stage.name(),
            Self::Command => "command",
            Self::Stored => "stored",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Stage(stage) => stage.index() as u8,
            Self::Command => 14,
            Self::Stored => 15,
        }
    }

    fn numbered(number: u8) -> Option<Self> {
        match number {
            14 => Some(Self::Command),
            15 => Some(Self::Stored),
            _ => Stage::ALL.get(usize::from(number)).copied().map(Self::Stage),
        }
    }
}

/// An answer, as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Passed.
    Accept {
        /// Whether relaying was opened.
        relay: bool,
    },
    /// Refused.
    Refuse(Words<'a>),
    /// Refused, and the connection closed.
    Disconnect(Words<'a>),
}

/// A refusal's reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words<'a> {
    /// The reply code.
    pub code: u16,
    /// Subject and detail of the enhanced code.
    pub enhanced: Option<Enhanced>,
    /// The text, lines separated by LF.
    pub text: &'a str,
    /// The catalogue's entry or the rule that it came from.
    pub name: &'a str,
}

impl<'a> Answer<'a> {
    /// The refusal's reply, if it is one.
    #[must_use]
    pub const fn words(&self) -> Option<&Words<'a>> {
        match self {
            Self::Accept { .. } => None,
            Self::Refuse(words) | Self::Disconnect(words) => Some(words),
        }
    }
}

impl Words<'_> {
    /// `550 5.1.1`, or `550` without an enhanced code.
    #[must_use]
    pub fn codes(&self) -> String {
        match self.enhanced {
            Some(Enhanced { subject, detail }) => {
                format!("{} {}.{subject}.{detail}", self.code, self.code / 100)
            }
            None => self.code.to_string(),
        }
    }
}

/// One decision, as it was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When.
    pub time: WallTime,
    /// At which point of the session.
    pub point: Point,
    /// The EHLO name then.
    pub helo: Option<&'a str>,
    /// The mailbox of the reverse-path then; empty for the null reverse-path.
    pub reverse_path: Option<&'a str>,
    /// The recipient that was asked about.
    pub recipient: Option<&'a str>,
    /// The answer.
    pub answer: Answer<'a>,
    /// The rule that gave it.
    pub rule: Option<RuleId>,
    /// Whether its `unsure` arm did.
    pub by_unsure_arm: bool,
    /// Rules that would have answered, had they not been observed only.
    pub observed: Cow<'a, [RuleId]>,
    /// Rules that could not be told.
    pub passed_over: Cow<'a, [RuleId]>,
    /// What was done beside.
    pub effects: Cow<'a, [(RuleId, Effect)]>,
    /// The id in a refusal's reply.
    pub id: Option<DecisionId>,
    /// The queue id of a message that became durable.
    pub queue_id: Option<QueueId>,
    /// The last of the dialogue before a refusal.
    pub dialogue: Option<&'a [u8]>,
    /// What has become known since the decision before, or has changed.
    pub facts: Changes<'a>,
}

/// Facts with what is known of them, not yet read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Changes<'a>(pub(super) &'a [u8]);

impl Changes<'_> {
    /// Each fact; `None` stands where the octets can't be read.
    pub fn iter(&self) -> impl Iterator<Item = Option<(Slot, Recorded)>> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || {
            if cursor.is_empty() {
                return None;
            }
            let fact = cursor.small().map(Slot).and_then(|slot| Some((slot, read_recorded(&mut cursor)?)));
            if fact.is_none() {
                cursor = Cursor::new(&[]);
            }
            Some(fact)
        })
    }
}

/// What was written last of each, so that a decision carries only what has changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Written {
    pub(super) time: WallTime,
    pub(super) helo: Place,
    pub(super) reverse_path: Place,
    pub(super) recipient: Place,
}

/// Where a text stands in the chunk that is being written; `None` when there was none.
pub(super) type Place = Option<(usize, usize)>;

pub(super) fn put_head(out: &mut Vec<u8>, head: &Head) {
    let flags = if head.continues { CONTINUES } else { 0 } | if head.masked { MASKED } else { 0 };
    out.extend_from_slice(&[VERSION, flags]);
    out.extend_from_slice(&head.policy.to_le_bytes());
    put_number(out, head.session);
    put_number(out, u64::from(head.part));
    for address in [head.client, head.listener] {
        put_address(out, address.ip());
        put_number(out, u64::from(address.port()));
    }
    put_number(out, head.started.as_unix_millis());
}

/// Says in a chunk that is written that a transaction is open at its end.
pub(super) fn set_continues(chunk: &mut [u8]) {
    if let Some(flags) = chunk.get_mut(FLAGS_PLACE) {
        *flags |= CONTINUES;
    }
}

fn read_head(cursor: &mut Cursor<'_>) -> Option<Head> {
    if cursor.octet()? != VERSION {
        return None;
    }
    let flags = cursor.octet()?;
    let policy = u64::from_le_bytes(cursor.array()?);
    let (session, part) = (cursor.number()?, cursor.small()?);
    let mut address = || -> Option<SocketAddr> {
        let ip: IpAddr = cursor.address()?;
        Some(SocketAddr::new(ip, cursor.small()?))
    };
    let (client, listener) = (address()?, address()?);
    let started = WallTime::from_unix_millis(cursor.number()?);
    let (continues, masked) = (flags & CONTINUES != 0, flags & MASKED != 0);
    (flags & !(CONTINUES | MASKED) == 0).then_some(Head {
        session,
        part,
        client,
        listener,
        started,
        policy,
        continues,
        masked,
    })
}

/// What an entry has beside its fixed part.
mod has {
    pub(super) const HELO: u16 = 1;
    pub(super) const REVERSE_PATH: u16 = 1 << 1;
    pub(super) const RECIPIENT: u16 = 1 << 2;
    pub(super) const RULE: u16 = 1 << 3;
    pub(super) const UNSURE_ARM: u16 = 1 << 4;
    pub(super) const RELAY: u16 = 1 << 5;
    pub(super) const BESIDE: u16 = 1 << 6;
    pub(super) const ID: u16 = 1 << 7;
    pub(super) const QUEUE_ID: u16 = 1 << 8;
    pub(super) const DIALOGUE: u16 = 1 << 9;
    pub(super) const REFUSE: u16 = 1 << 10;
    pub(super) const DISCONNECT: u16 = 1 << 11;
    pub(super) const FACTS: u16 = 1 << 12;
}

/// Appends an entry; `facts` appends the facts that have changed, and what `entry.facts` holds is not looked at.
pub(super) fn put_entry(
    out: &mut Vec<u8>,
    written: &mut Written,
    entry: &Entry<'_>,
    facts: impl FnOnce(&mut Vec<u8>),
) {
    let start = out.len();
    out.extend_from_slice(&[0, 0, entry.point.number()]);
    let elapsed = entry.time.as_unix_millis().wrapping_sub(written.time.as_unix_millis());
    put_signed(out, elapsed as i64);
    written.time = entry.time;
    let mut flags = 0;
    for (text, place, flag) in [
        (entry.helo, &mut written.helo, has::HELO),
        (entry.reverse_path, &mut written.reverse_path, has::REVERSE_PATH),
        (entry.recipient, &mut written.recipient, has::RECIPIENT),
    ] {
        flags |= put_change(out, text, place, flag);
    }
    if let Some(rule) = entry.rule {
        flags |= has::RULE;
        put_number(out, u64::from(rule.0));
    }
    flags |= put_answer(out, &entry.answer);
    flags |= if entry.by_unsure_arm { has::UNSURE_ARM } else { 0 };
    if !(entry.observed.is_empty() && entry.passed_over.is_empty() && entry.effects.is_empty()) {
        flags |= has::BESIDE;
        put_beside(out, entry);
    }
    if let Some(id) = entry.id {
        flags |= has::ID;
        put_number(out, id.number());
    }
    if let Some(id) = entry.queue_id {
        flags |= has::QUEUE_ID;
        put_number(out, id.number());
    }
    if let Some(dialogue) = entry.dialogue {
        flags |= has::DIALOGUE;
        put_octets(out, dialogue);
    }
    flags |= put_facts(out, facts);
    if let Some(place) = out.get_mut(start..start + 2) {
        place.copy_from_slice(&u16::to_le_bytes(flags));
    }
}

/// Appends the text when it is another than the last one; 0 is none.
fn put_change(out: &mut Vec<u8>, text: Option<&str>, place: &mut Place, flag: u16) -> u16 {
    let last = place.and_then(|(start, end)| out.get(start..end));
    if last == text.map(str::as_bytes) {
        return 0;
    }
    match text {
        None => {
            out.push(0);
            *place = None;
        }
        Some(text) => {
            put_number(out, text.len() as u64 + 1);
            let start = out.len();
            out.extend_from_slice(text.as_bytes());
            *place = Some((start, out.len()));
        }
    }
    flag
}

fn put_answer(out: &mut Vec<u8>, answer: &Answer<'_>) -> u16 {
    let (words, flags) = match answer {
        Answer::Accept { relay } => return if *relay { has::RELAY } else { 0 },
        Answer::Refuse(words) => (words, has::REFUSE),
        Answer::Disconnect(words) => (words, has::DISCONNECT),
    };
    put_number(out, u64::from(words.code));
    match words.enhanced {
        None => out.push(0),
        Some(Enhanced { subject, detail }) => {
            put_number(out, u64::from(subject) + 1);
            put_number(out, u64::from(detail));
        }
    }
    put_text(out, words.text);
    put_text(out, words.name);
    flags
}

fn put_beside(out: &mut Vec<u8>, entry: &Entry<'_>) {
    for rules in [&entry.observed, &entry.passed_over] {
        put_number(out, rules.len() as u64);
        rules.iter().for_each(|rule| put_number(out, u64::from(rule.0)));
    }
    put_number(out, entry.effects.len() as u64);
    for (rule, effect) in entry.effects.iter() {
        put_number(out, u64::from(rule.0));
        put_effect(out, effect);
    }
}

fn put_facts(out: &mut Vec<u8>, facts: impl FnOnce(&mut Vec<u8>)) -> u16 {
    let start = out.len();
    out.extend_from_slice(&[0; LENGTH_OCTETS]);
    facts(out);
    let length = out.len() - start - LENGTH_OCTETS;
    // Facts that are longer than their length can say are left out: no message makes 16 MiB of them.
    if length == 0 || length >> (8 * LENGTH_OCTETS) != 0 {
        out.truncate(start);
        return 0;
    }
    if let Some(place) = out.get_mut(start..start + LENGTH_OCTETS) {
        let [low, middle, high, ..] = u32::to_le_bytes(length as u32);
        place.copy_from_slice(&[low, middle, high]);
    }
    has::FACTS
}

/// A chunk that is read.
#[derive(Debug, Clone)]
pub struct Chunk<'a> {
    /// What it says of its session.
    pub head: Head,
    entries: Entries<'a>,
}

impl<'a> Chunk<'a> {
    /// The chunk in these octets; `None` when they are none.
    #[must_use]
    pub fn read(octets: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(octets);
        let head = read_head(&mut cursor)?;
        let time = head.started;
        Some(Self {
            head,
            entries: Entries { cursor, time, helo: None, reverse_path: None, recipient: None },
        })
    }

    /// Its decisions in order; `None` stands in the place of the first that can't be read, and is the last.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        self.entries.clone()
    }
}

/// The decisions of a chunk.
#[derive(Debug, Clone)]
pub struct Entries<'a> {
    cursor: Cursor<'a>,
    time: WallTime,
    helo: Option<&'a str>,
    reverse_path: Option<&'a str>,
    recipient: Option<&'a str>,
}

impl<'a> Iterator for Entries<'a> {
    type Item = Option<Entry<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.cursor.is_empty() {
            return None;
        }
        let entry = self.read();
        if entry.is_none() {
            self.cursor = Cursor::new(&[]);
        }
        Some(entry)
    }
}

impl<'a> Entries<'a> {
    fn read(&mut self) -> Option<Entry<'a>> {
        let flags = u16::from_le_bytes(self.cursor.array()?);
        let point = Point::numbered(self.cursor.octet()?)?;
        let elapsed = self.cursor.signed()?;
        self.time = WallTime::from_unix_millis(self.time.as_unix_millis().wrapping_add(elapsed as u64));
        let cursor = &mut self.cursor;
        for (text, flag) in [
            (&mut self.helo, has::HELO),
            (&mut self.reverse_path, has::REVERSE_PATH),
            (&mut self.recipient, has::RECIPIENT),
        ] {
            if flags & flag != 0 {
                *text = read_change(cursor)?;
            }
        }
        let rule = if flags & has::RULE != 0 { Some(RuleId(cursor.small()?)) } else { None };
        let answer = read_answer(cursor, flags)?;
        let (observed, passed_over, effects) =
            if flags & has::BESIDE != 0 { read_beside(cursor)? } else { Default::default() };
        let id = if flags & has::ID != 0 { Some(DecisionId::from_number(cursor.number()?)?) } else { None };
        let queue_id =
            if flags & has::QUEUE_ID != 0 { Some(QueueId::from_number(cursor.number()?)?) } else { None };
        let dialogue = if flags & has::DIALOGUE != 0 { Some(cursor.octets()?) } else { None };
        let facts = if flags & has::FACTS != 0 {
            let [low, middle, high] = cursor.array()?;
            Changes(cursor.take(u32::from_le_bytes([low, middle, high, 0]) as usize)?)
        } else {
            Changes::default()
        };
        Some(Entry {
            time: self.time,
            point,
            helo: self.helo,
            reverse_path: self.reverse_path,
            recipient: self.recipient,
            answer,
            rule,
            by_unsure_arm: flags & has::UNSURE_ARM != 0,
            observed: observed.into(),
            passed_over: passed_over.into(),
            effects: effects.into(),
            id,
            queue_id,
            dialogue,
            facts,
        })
    }
}

fn read_change<'a>(cursor: &mut Cursor<'a>) -> Option<Option<&'a str>> {
    match cursor.small::<usize>()?.checked_sub(1) {
        None => Some(None),
        Some(length) => std::str::from_utf8(cursor.take(length)?).ok().map(Some),
    }
}

fn read_answer<'a>(cursor: &mut Cursor<'a>, flags: u16) -> Option<Answer<'a>> {
    let make = match flags & (has::REFUSE | has::DISCONNECT) {
        0 => return Some(Answer::Accept { relay: flags & has::RELAY != 0 }),
        has::REFUSE => Answer::Refuse,
        has::DISCONNECT => Answer::Disconnect,
        _ => return None,
    };
    let code = cursor.small()?;
    let enhanced = match cursor.small::<u16>()?.checked_sub(1) {
        None => None,
        Some(subject) => Some(Enhanced::new(subject, cursor.small()?)),
    };
    Some(make(Words { code, enhanced, text: cursor.text()?, name: cursor.text()? }))
}

type Beside = (Vec<RuleId>, Vec<RuleId>, Vec<(RuleId, Effect)>);

fn read_beside(cursor: &mut Cursor<'_>) -> Option<Beside> {
    let rule = |cursor: &mut Cursor<'_>| cursor.small().map(RuleId);
    let (observed, passed_over) = (cursor.list(rule)?, cursor.list(rule)?);
    let effects = cursor.list(|cursor| Some((rule(cursor)?, read_effect(cursor)?)))?;
    Some((observed, passed_over, effects))
}

#[cfg(test)]
mod tests;
