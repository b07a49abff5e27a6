//! A chunk: a stretch of one session as the journal keeps it, with every decision in order.
//!
//! Invariants: a chunk stands alone: it names the session, and its first decision carries every fact that was known by
//! then; each later one carries what has changed. Reading gives back what was written, and of any other octets nothing.

mod read;
mod write;

use std::borrow::Cow;
use std::net::SocketAddr;

use policy::decision::{Effect, RuleId};
use policy::slot::Slot;
use policy::stage::Stage;
use queue::queue_id::QueueId;
use smtp::reply::Enhanced;
use smtp::time::WallTime;

use super::codec::Cursor;
use super::ids::DecisionId;
use super::states::{Recorded, read_recorded};

pub use read::{Chunk, Entries};
pub(super) use write::{Written, put_entry, put_head, set_continues};

/// The version of the form.
const VERSION: u8 = 1;

/// Octets of the length of a decision's facts.
const LENGTH_OCTETS: usize = 3;

const CONTINUES: u8 = 1;
const MASKED: u8 = 2;

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

#[cfg(test)]
mod tests;
