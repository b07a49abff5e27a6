//! Facts that every record has, whether or not the policy of the time asked for them.
//!
//! Invariants: they are set only where the facts as recorded don't have them, never from masked records, and taken back
//! before the next decision.

use policy::Policy;
use policy::slot::{Facts, Slot};
use policy::value::{State, Value};

use super::super::again::Translation;
use super::super::record::{Entry, Head};

/// The numbers of these facts in a policy.
#[derive(Debug, Clone)]
pub(super) struct Basics {
    ip: Option<Slot>,
    port: Option<Slot>,
    helo: Option<Slot>,
    sender: Parts,
    null: Option<Slot>,
    recipient: Parts,
    /// What is true of every session of a version that did not know of users.
    without_users: Vec<(Slot, State)>,
}

/// An address and its parts.
#[derive(Debug, Clone, Copy)]
struct Parts {
    address: Option<Slot>,
    local: Option<Slot>,
    domain: Option<Slot>,
}

impl Basics {
    pub(super) fn of(policy: &Policy, translation: &Translation) -> Self {
        let no = || State::yes_or_no(false);
        let yes = || State::yes_or_no(true);
        let of_users = [
            ("auth.over_messages", no()),
            ("auth.over_recipients", no()),
            ("auth.owns_sender", yes()),
            ("auth.owns_author", yes()),
        ];
        // The fixed rules ask for these since there is AUTH.
        let unknown =
            |(name, state)| Some((policy.slot(name).filter(|slot| !translation.knows(*slot))?, state));
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
            without_users: of_users.into_iter().filter_map(unknown).collect(),
        }
    }

    /// Sets what the record says and the facts don't know; the numbers of those facts are added to `filled`.
    pub(super) fn fill(&self, facts: &mut Facts, filled: &mut Vec<Slot>, (head, entry): (&Head, &Entry<'_>)) {
        let mut fill = |slot: Option<Slot>, state: &dyn Fn() -> State| {
            if let Some(slot) = slot
                && *facts.get(slot) == State::NotAsked
            {
                facts.set(slot, state());
                filled.push(slot);
            }
        };
        fill(self.ip, &|| State::Known(Value::address(head.client.ip())));
        for (slot, state) in &self.without_users {
            fill(Some(*slot), &|| state.clone());
        }
        fill(self.port, &|| State::number(u64::from(head.client.port())));
        if let Some(helo) = entry.helo {
            fill(self.helo, &|| State::text(helo));
        }
        if let Some(reverse_path) = entry.reverse_path {
            fill(self.null, &|| State::yes_or_no(reverse_path.is_empty()));
        }
        for (parts, mailbox) in [(&self.sender, entry.reverse_path), (&self.recipient, entry.recipient)] {
            let Some(mailbox) = mailbox else { continue };
            let (local, domain) = mailbox.rsplit_once('@').unwrap_or((mailbox, ""));
            fill(parts.address, &|| State::text(mailbox));
            fill(parts.local, &|| State::text(local));
            // A name beyond ASCII has another form as a fact: that one isn't guessed.
            if domain.is_ascii() {
                fill(parts.domain, &|| State::text(&domain.to_ascii_lowercase()));
            }
        }
    }
}

/// Takes back what was filled in.
pub(super) fn take_back(facts: &mut Facts, filled: &mut Vec<Slot>) {
    for slot in filled.drain(..) {
        facts.set(slot, State::NotAsked);
    }
}
