//! What one session writes into the journal: its decisions, gathered into chunks.
//!
//! Invariants: a session that has decided nothing since its last chunk holds no buffer but its dialogue's and an octet a
//! fact; a chunk is handed over at a refusal, at the end of a transaction and at the session's end; nothing here waits.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use policy::decision::{Decision, Verdict};
use policy::slot::Facts;
use policy::stage::Stage;
use queue::queue_id::QueueId;
use smtp::reply::Reply;
use smtp::time::WallTime;

use super::codec::put_number;
use super::dialogue::Dialogue;
use super::ids::DecisionId;
use super::record::{
    Answer, Changes, Entry, Head, Point, Words, Written, put_entry, put_head, set_continues,
};
use super::states::put_state;
use super::store::writer::Shared;
use super::texts::{Kind, PolicyText};

/// Octets of a chunk after which the next begins, so that a session of many messages stays bounded (ours).
const CHUNK_OCTETS: usize = 64 * 1024;

/// Octets that a chunk is given room for at first (ours).
const CHUNK_OCTETS_FIRST: usize = 1024;

/// Who is asked about, at the time of a decision.
#[derive(Debug, Clone, Copy, Default)]
pub struct About<'a> {
    /// The EHLO name.
    pub helo: Option<&'a str>,
    /// The mailbox of the reverse-path, without brackets; empty for the null reverse-path.
    pub reverse_path: Option<&'a str>,
    /// The recipient, without brackets.
    pub recipient: Option<&'a str>,
}

/// Who is connected.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The client.
    pub client: SocketAddr,
    /// Where it connected.
    pub listener: SocketAddr,
}

/// The journal of one session. Dropping it hands over what is left.
#[derive(Debug)]
pub struct SessionLog {
    /// `None` when nothing is journalled.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    shared: Arc<Shared>,
    policy: Arc<PolicyText>,
    head: Head,
    chunk: Vec<u8>,
    written: Written,
    known: Vec<Kind>,
    in_transaction: bool,
    dialogue: Option<Dialogue>,
}

impl SessionLog {
    /// A log that keeps nothing.
    #[must_use]
    pub const fn disabled() -> Self {
        Self { open: None }
    }

    pub(super) fn new(
        shared: Arc<Shared>,
        policy: Arc<PolicyText>,
        (session, peer, started): (u64, Peer, WallTime),
        keeps_dialogue: bool,
    ) -> Self {
        shared.know(&policy);
        let head = Head {
            session,
            part: 0,
            client: SocketAddr::new(peer.client.ip().to_canonical(), peer.client.port()),
            listener: peer.listener,
            started,
            policy: policy.fingerprint,
            continues: false,
            masked: false,
        };
        let dialogue = keeps_dialogue.then(Dialogue::default);
        let (chunk, written, known) = (Vec::new(), Written::default(), Vec::new());
        Self {
            open: Some(Open { shared, policy, head, chunk, written, known, in_transaction: false, dialogue }),
        }
    }

    /// Whether anything is kept.
    #[must_use]
    pub const fn is_enabled(&self) -> bool {
        self.open.is_some()
    }

    /// The policy that decides from now on: after a reload another one.
    pub fn decided_by(&mut self, policy: &Arc<PolicyText>) {
        if let Some(open) = &mut self.open
            && open.policy.fingerprint != policy.fingerprint
        {
            open.hand_over();
            open.shared.know(policy);
            open.policy = Arc::clone(policy);
            open.head.policy = policy.fingerprint;
        }
    }

    /// What the client said: lines, ended by LF or CRLF.
    pub fn heard(&mut self, lines: &[u8]) {
        if let Some(dialogue) = self.open.as_mut().and_then(|open| open.dialogue.as_mut()) {
            dialogue.heard(lines);
        }
    }

    /// What the server said: a reply as it goes over the wire.
    pub fn said(&mut self, wire: &[u8]) {
        if let Some(dialogue) = self.open.as_mut().and_then(|open| open.dialogue.as_mut()) {
            dialogue.said(wire);
        }
    }

    /// A decision of the policy, with the facts as they stand. A refusal's `id` is the one in its reply.
    pub fn decision(
        &mut self,
        now: WallTime,
        stage: Stage,
        about: About<'_>,
        (decision, facts): (&Decision, &Facts),
        id: Option<DecisionId>,
    ) {
        let Some(open) = &mut self.open else { return };
        let answer = match &decision.verdict {
            Verdict::Accept { relay } => Answer::Accept { relay: *relay },
            Verdict::Refuse(refusal) => Answer::Refuse(words(refusal.reply())),
            Verdict::Disconnect(refusal) => Answer::Disconnect(words(refusal.reply())),
        };
        let refused = answer.words().is_some();
        if !refused {
            match stage {
                Stage::Mail => open.in_transaction = true,
                Stage::Helo => open.in_transaction = false,
                _ => {}
            }
        }
        let entry = Entry {
            answer,
            rule: decision.rule,
            by_unsure_arm: decision.by_unsure_arm,
            observed: Cow::Borrowed(&decision.observed),
            passed_over: Cow::Borrowed(&decision.passed_over),
            effects: Cow::Borrowed(&decision.effects),
            id,
            ..plain(now, Point::Stage(stage), about)
        };
        open.put(entry, Some((stage, facts)));
        if refused {
            open.in_transaction &= stage != Stage::Message;
            open.hand_over();
        } else if open.chunk.len() >= CHUNK_OCTETS {
            open.hand_over();
        }
    }

    /// A refusal of the session's own, with the id in its reply.
    pub fn refusal(&mut self, now: WallTime, about: About<'_>, reply: &Reply, id: DecisionId) {
        let Some(open) = &mut self.open else { return };
        let answer = Answer::Refuse(words(reply));
        open.put(Entry { answer, id: Some(id), ..plain(now, Point::Command, about) }, None);
        open.hand_over();
    }

    /// A message became durable: the end of a transaction.
    pub fn stored(&mut self, now: WallTime, about: About<'_>, queue_id: QueueId) {
        let Some(open) = &mut self.open else { return };
        open.put(Entry { queue_id: Some(queue_id), ..plain(now, Point::Stored, about) }, None);
        self.transaction_ended();
    }

    /// A transaction ended in another way: with RSET, EHLO, or a message that was not taken.
    pub fn transaction_ended(&mut self) {
        if let Some(open) = &mut self.open {
            open.in_transaction = false;
            open.hand_over();
        }
    }

    /// The session ended.
    pub fn finish(&mut self) {
        self.transaction_ended();
        self.open = None;
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Open {
    fn put(&mut self, entry: Entry<'_>, facts: Option<(Stage, &Facts)>) {
        if self.chunk.is_empty() {
            self.chunk.reserve_exact(CHUNK_OCTETS_FIRST);
            put_head(&mut self.chunk, &self.head);
            self.written = Written { time: self.head.started, ..Written::default() };
        }
        let refused = entry.answer.words().is_some();
        let dialogue = self.dialogue.as_ref().filter(|_| refused).map(Dialogue::text);
        let entry = Entry { dialogue: dialogue.as_deref(), ..entry };
        let Self { chunk, written, policy, known, .. } = self;
        put_entry(chunk, written, &entry, |out| {
            if let Some((stage, facts)) = facts {
                policy.changes(stage, facts, known, |slot, state| {
                    put_number(out, u64::from(slot));
                    put_state(out, state);
                });
            }
        });
    }

    fn hand_over(&mut self) {
        if self.chunk.is_empty() {
            return;
        }
        let mut chunk = std::mem::take(&mut self.chunk);
        self.known.fill(Kind::NotAsked);
        if self.in_transaction {
            set_continues(&mut chunk);
        }
        self.shared.inbox.put(&chunk);
        self.head.part = self.head.part.wrapping_add(1);
    }
}

fn words(reply: &Reply) -> Words<'_> {
    Words { code: reply.code().value(), enhanced: reply.enhanced(), text: reply.text(), name: reply.name() }
}

fn plain<'a>(time: WallTime, point: Point, about: About<'a>) -> Entry<'a> {
    Entry {
        time,
        point,
        helo: about.helo,
        reverse_path: about.reverse_path,
        recipient: about.recipient,
        answer: Answer::Accept { relay: false },
        rule: None,
        by_unsure_arm: false,
        observed: Cow::Borrowed(&[]),
        passed_over: Cow::Borrowed(&[]),
        effects: Cow::Borrowed(&[]),
        id: None,
        queue_id: None,
        dialogue: None,
        facts: Changes::default(),
    }
}
