//! Made-up traffic for the journal: sessions that a policy decides on facts drawn by chance, from one seed.
//!
//! The server's part is acted out in its plainest form: ask for what the policy needs, decide, write it down.

#![allow(clippy::expect_used, clippy::indexing_slicing, reason = "a test that can't go on has failed")]

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use gatepost::journal::{About, Journal, Peer, PolicyText, SessionLog};
use policy::Policy;
use policy::decision::{Decision, Step, Verdict};
use policy::facts::Scope;
use policy::slot::{Facts, Origin, Slot, SlotInfo};
use policy::stage::Stage;
use policy::value::{State, Type, Value};
use queue::queue_id::QueueId;
use smtp::time::WallTime;

/// Chance, from a seed (xorshift).
#[derive(Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    fn percent(&mut self, part: u64) -> bool {
        self.below(100) < part
    }
}

/// A decision as it was made, with everything that was known.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub(crate) stage: Stage,
    pub(crate) facts: Vec<(Arc<str>, State)>,
    pub(crate) decision: Decision,
    pub(crate) reverse_path: Option<String>,
    pub(crate) recipient: Option<String>,
    pub(crate) client: IpAddr,
}

/// Traffic that goes on.
#[derive(Debug)]
pub(crate) struct Traffic<'t> {
    pub(crate) journal: &'t Journal,
    pub(crate) policy: &'t Policy,
    pub(crate) text: Arc<PolicyText>,
    pub(crate) chance: Chance,
    pub(crate) now: WallTime,
    pub(crate) queue_id: u64,
    /// Recipients that were asked about so far.
    pub(crate) recipients: u64,
}

/// A session under way.
struct Talk {
    log: SessionLog,
    facts: Facts,
    client: IpAddr,
    helo: String,
    reverse_path: Option<String>,
    recipient: Option<String>,
    made: Vec<Made>,
}

impl Traffic<'_> {
    /// A session of up to three transactions with up to four recipients each; what was decided, when `keep` wants it.
    pub(crate) fn session(&mut self, keep: bool) -> Vec<Made> {
        let client = IpAddr::from([192, 0, self.chance.below(4) as u8, self.chance.below(250) as u8]);
        let peer = Peer {
            client: SocketAddr::new(client, 1_024 + self.chance.below(60_000) as u16),
            listener: SocketAddr::from(([198, 51, 100, 1], 25)),
        };
        let mut talk = Talk {
            log: self.journal.session(&self.text, peer, self.now),
            facts: Facts::new(self.policy.slots().len()),
            client,
            helo: format!("mail{}.example.net", self.chance.below(1_000)),
            reverse_path: None,
            recipient: None,
            made: Vec::new(),
        };
        if self.decide(&mut talk, Stage::Connect, keep) && self.decide(&mut talk, Stage::Helo, keep) {
            for _ in 0..=self.chance.below(3) {
                self.transaction(&mut talk, keep);
            }
        }
        talk.log.finish();
        talk.made
    }

    fn transaction(&mut self, talk: &mut Talk, keep: bool) {
        self.policy.clear(&mut talk.facts, Scope::Transaction);
        talk.reverse_path = Some(match self.chance.below(10) {
            0 => String::new(),
            _ => format!("user{}@domain{}.example", self.chance.below(1_000), self.chance.below(50)),
        });
        talk.recipient = None;
        if !self.decide(talk, Stage::Mail, keep) {
            talk.log.transaction_ended();
            return;
        }
        let mut accepted = 0;
        for _ in 0..=self.chance.below(4) {
            self.policy.clear(&mut talk.facts, Scope::Recipient);
            talk.recipient = Some(format!("box{}@example.org", self.chance.below(200)));
            self.recipients += 1;
            accepted += u32::from(self.decide(talk, Stage::Recipient, keep));
        }
        talk.recipient = None;
        self.policy.clear(&mut talk.facts, Scope::Recipient);
        let taken =
            accepted > 0 && self.decide(talk, Stage::Data, keep) && self.decide(talk, Stage::Message, keep);
        if taken {
            self.queue_id += 1;
            let id = QueueId::from_number(self.queue_id).expect("few ids");
            let about =
                About { helo: Some(&talk.helo), reverse_path: talk.reverse_path.as_deref(), recipient: None };
            talk.log.stored(self.now, about, id);
        } else {
            talk.log.transaction_ended();
        }
        talk.reverse_path = None;
    }

    /// Decides a stage; whether it was passed.
    fn decide(&mut self, talk: &mut Talk, stage: Stage, keep: bool) -> bool {
        self.now = WallTime::from_unix_millis(self.now.as_unix_millis() + 1 + self.chance.below(9));
        for slot in self.policy.needs(stage) {
            let info = &self.policy.slots()[slot.index()];
            let shadow = matches!(info.origin, Origin::Source(place, _) if self.policy.sources()[usize::from(place)].shadow);
            if shadow || self.chance.percent(20) {
                self.ask(talk, *slot, stage);
            }
        }
        let decision = loop {
            match self.policy.step(stage, &talk.facts) {
                Step::Decided(decision) => break decision,
                Step::Need(need) => need.now.iter().for_each(|slot| self.ask(talk, *slot, stage)),
            }
        };
        let refused = !matches!(decision.verdict, Verdict::Accept { .. });
        let id = refused.then(|| self.journal.id());
        let about = About {
            helo: (stage != Stage::Connect).then_some(talk.helo.as_str()),
            reverse_path: talk.reverse_path.as_deref(),
            recipient: talk.recipient.as_deref(),
        };
        talk.log.decision(self.now, stage, about, (&decision, &talk.facts), id);
        if keep {
            let known = talk.facts.iter().filter(|(_, state)| **state != State::NotAsked);
            let facts =
                known.map(|(slot, state)| (self.policy.slots()[slot.index()].name.clone(), state.clone()));
            talk.made.push(Made {
                stage,
                facts: facts.collect(),
                decision,
                reverse_path: talk.reverse_path.clone(),
                recipient: talk.recipient.clone(),
                client: talk.client,
            });
        }
        !refused
    }

    /// Finds a fact out, by chance where nothing else says it.
    fn ask(&mut self, talk: &mut Talk, slot: Slot, stage: Stage) {
        let info = &self.policy.slots()[slot.index()];
        if *talk.facts.get(slot) != State::NotAsked || !info.since.reaches(stage) {
            return;
        }
        let state = self.state(talk, info);
        talk.facts.set(slot, state);
    }

    fn state(&mut self, talk: &Talk, info: &SlotInfo) -> State {
        let (local, domain) = talk.reverse_path.as_deref().unwrap_or("").rsplit_once('@').unwrap_or(("", ""));
        let recipient = talk.recipient.as_deref().unwrap_or("");
        match &*info.name {
            "client.ip" => return State::Known(Value::address(talk.client)),
            "helo.name" => return State::text(&talk.helo),
            "sender.address" => return State::text(talk.reverse_path.as_deref().unwrap_or("")),
            "sender.local" => return State::text(local),
            "sender.domain" => return State::text(domain),
            "sender.null" => return State::yes_or_no(domain.is_empty()),
            "recipient.address" => return State::text(recipient),
            "recipient.local" => return State::text(recipient.split('@').next().unwrap_or("")),
            "recipient.domain" => return State::text("example.org"),
            "client.may_relay" | "mailbox.busy" | "mailbox.over_quota" => {
                return State::yes_or_no(self.chance.percent(2));
            }
            // Nobody logs in.
            "auth.over_messages" | "auth.over_recipients" => return State::yes_or_no(false),
            "auth.owns_sender" | "auth.owns_author" => return State::yes_or_no(true),
            "client.refused" | "auth.user" | "mailbox.moved" => return State::Missing,
            "recipient.local_domain" | "mailbox.exists" => return State::yes_or_no(self.chance.percent(93)),
            "message.received_count" => return State::number(self.chance.below(8)),
            _ => {}
        }
        if info.fallible && self.chance.percent(5) {
            return State::unsure("time-out");
        }
        if info.optional && self.chance.percent(20) {
            return State::Missing;
        }
        State::Known(match info.value_type {
            Type::Boolean if &*info.name == "sender.domain_exists" => Value::Boolean(self.chance.percent(93)),
            Type::Boolean => Value::Boolean(self.chance.percent(15)),
            Type::Number => Value::Number(self.chance.below(100).cast_signed()),
            Type::Octets => Value::Number(self.chance.below(2_000_000).cast_signed()),
            Type::Duration => Value::Duration(std::time::Duration::from_secs(self.chance.below(10_000))),
            Type::Choice(words) => Value::Choice(words[self.chance.below(words.len() as u64) as usize]),
            Type::Address => Value::Address(talk.client),
            Type::Text => Value::text(["one", "two", "three"][self.chance.below(3) as usize]),
            Type::Texts => Value::Texts(Arc::from([Arc::from("exe"), Arc::from("txt")])),
            Type::Addresses => Value::Addresses(Arc::from([IpAddr::from([127, 0, 0, 2])])),
        })
    }
}
