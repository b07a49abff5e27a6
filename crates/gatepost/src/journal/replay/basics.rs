//! Facts that every record has, whether or not the policy of the time asked for them.
//!
//! Invariant: they are set only when the facts as recorded don't have them, and never from masked records.

use std::net::IpAddr;

use policy::policy::Policy;
use policy::slot::{Facts, Slot};
use policy::value::{State, Value};

/// The numbers of these facts in a policy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Basics {
    ip: Option<Slot>,
    port: Option<Slot>,
    helo: Option<Slot>,
    sender: Parts,
    null: Option<Slot>,
    recipient: Parts,
}

/// An address and its parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    address: Option<Slot>,
    local: Option<Slot>,
    domain: Option<Slot>,
}

impl Basics {
    pub(super) fn of(policy: &Policy) -> Self {
        let parts = |name: &str| Parts {
            address: policy.slot(&format!("{name}.address")),
            local: policy.slot(&format!("{name}.local")),
            domain: policy.slot(&format!("{name}.domain")),
        };
        Self {
            ip: policy.slot("client.ip"),
            port: policy.slot("client.port"),
            helo: policy.slot("helo.name"),
            sender: parts("sender"),
            null: policy.slot("sender.null"),
            recipient: parts("recipient"),
        }
    }

    pub(super) fn client(&self, facts: &mut Facts, ip: IpAddr, port: u16) {
        fill(facts, self.ip, || State::Known(Value::address(ip)));
        fill(facts, self.port, || State::number(u64::from(port)));
    }

    pub(super) fn helo(&self, facts: &mut Facts, name: &str) {
        fill(facts, self.helo, || State::text(name));
    }

    pub(super) fn reverse_path(&self, facts: &mut Facts, mailbox: &str) {
        self.sender.fill(facts, mailbox);
        fill(facts, self.null, || State::yes_or_no(mailbox.is_empty()));
    }

    pub(super) fn recipient(&self, facts: &mut Facts, mailbox: &str) {
        self.recipient.fill(facts, mailbox);
    }
}

impl Parts {
    fn fill(&self, facts: &mut Facts, mailbox: &str) {
        let (local, domain) = mailbox.rsplit_once('@').unwrap_or((mailbox, ""));
        fill(facts, self.address, || State::text(mailbox));
        fill(facts, self.local, || State::text(local));
        // A name beyond ASCII has another form as a fact: that one isn't guessed.
        if domain.is_ascii() {
            fill(facts, self.domain, || State::text(&domain.to_ascii_lowercase()));
        }
    }
}

fn fill(facts: &mut Facts, slot: Option<Slot>, state: impl FnOnce() -> State) {
    if let Some(slot) = slot
        && *facts.get(slot) == State::NotAsked
    {
        facts.set(slot, state());
    }
}
