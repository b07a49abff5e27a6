//! A stage of twenty rules, and the facts of ordinary mail that none of them refuses.

use std::fmt::Write as _;

use policy::slot::{Facts, Slot};
use policy::value::{State, Value};
use policy::{Files, Policy};

/// A hundred networks and two hundred names.
struct Lists;

impl Files for Lists {
    fn read(&mut self, path: &str) -> Result<String, String> {
        let mut text = String::new();
        for index in 0..if path == "names.txt" { 200 } else { 100 } {
            // Writing to a string cannot fail.
            let _ = match path {
                "names.txt" => writeln!(text, "spam{index}@example.com"),
                _ => writeln!(text, "198.18.{index}.0/24"),
            };
        }
        Ok(text)
    }
}

/// The policy.
pub(crate) fn policy() -> Policy {
    let text = include_str!("../twenty-rules.policy");
    match Policy::load("twenty-rules.policy", text, &mut Lists) {
        Ok(loaded) => loaded.policy,
        Err(refused) => {
            let said: Vec<_> =
                refused.findings.iter().map(|finding| finding.render(&refused.files, false)).collect();
            panic!("{}", said.join("\n"))
        }
    }
}

/// The facts of ordinary mail.
pub(crate) fn clean(policy: &Policy) -> Facts {
    let mut facts = Facts::new(policy.slots().len());
    for (slot, info) in (0..).map(Slot).zip(policy.slots()) {
        let state = match &*info.name {
            "client.ip" => State::Known(Value::address([203, 0, 113, 9].into())),
            "client.ptr" => State::text("mx3.sender.example"),
            "sender.address" => State::text("ann@sender.example"),
            "sender.domain" => State::text("sender.example"),
            "recipient.address" => State::text("bob@example.org"),
            "recipient.domain" => State::text("example.org"),
            "helo.name" => State::text("mx3.sender.example"),
            "spf.result" => State::Known(Value::Choice("pass")),
            "zen.listed" | "two.listed" | "bad.listed" => State::yes_or_no(false),
            "per_client" => State::number(3),
            "mailbox.quota_percent" => State::number(40),
            "client.asn" => State::number(64_496),
            "client.country" => State::text("de"),
            "sender.declared_size" => State::number(4_000),
            other => policy::ordinary::state(other).unwrap_or(State::Missing),
        };
        facts.set(slot, state);
    }
    facts
}
