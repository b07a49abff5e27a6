//! Reads chunks: what was written, or nothing.

use std::net::{IpAddr, SocketAddr};

use policy::decision::{Effect, RuleId};
use queue::queue_id::QueueId;
use smtp::reply::Enhanced;
use smtp::time::WallTime;

use super::super::codec::Cursor;
use super::super::effects::read_effect;
use super::super::ids::DecisionId;
use super::{Answer, CONTINUES, Changes, Entry, Head, MASKED, Point, VERSION, Words, has};

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
