//! The built-in policy: it loads without a word, and its refusals are the catalogue's.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

use policy::decision::{Step, Verdict};
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Value};
use policy::{NoFiles, Policy};
use smtp::catalogue;

/// A refusal's name, its stage, and the facts that bring it about.
type Case<'a> = (&'a str, Stage, &'a [(&'a str, State)]);

/// A value for a fact of the built-in rules' texts, and the placeholder that the catalogue has for it.
const SHOWN: [(&str, &str, &str); 4] = [
    ("server.hostname", "hostname", "mx.example.org"),
    ("recipient.address", "address", "bob@example.org"),
    ("mailbox.moved", "address", "bob@example.net"),
    ("client.refused", "refusal", "no SMTP service for [192.0.2.1] here"),
];

/// The facts of a recipient that is accepted.
fn clean(policy: &Policy) -> Facts {
    let mut facts = Facts::new(policy.slots().len());
    for (index, info) in policy.slots().iter().enumerate() {
        let state = policy::ordinary::state(&info.name).unwrap_or_default();
        facts.set(policy::slot::Slot(u16::try_from(index).unwrap()), state);
    }
    facts
}

fn set(policy: &Policy, facts: &mut Facts, name: &str, state: State) {
    facts.set(policy.slot(name).unwrap_or_else(|| panic!("{name}")), state);
}

#[test]
fn it_loads_without_a_word() {
    let loaded = Policy::load("empty.policy", "", &mut NoFiles).unwrap_or_else(|refused| {
        let said: Vec<_> =
            refused.findings.iter().map(|finding| finding.render(&refused.files, false)).collect();
        panic!("{}", said.join("\n"))
    });
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.policy.rules(), Policy::builtin().rules());
    assert_eq!(loaded.policy.rules().len(), 14);
    assert!(loaded.policy.rules().iter().all(|rule| rule.fixed));
}

#[test]
fn its_refusals_are_the_catalogues() {
    let policy = Policy::builtin();
    let user = || ("auth.user", State::text("bob"));
    let cases: [Case<'_>; 13] = [
        ("user-over-messages", Stage::Mail, &[user(), ("auth.over_messages", State::yes_or_no(true))]),
        ("sender-not-owned", Stage::Mail, &[user(), ("auth.owns_sender", State::yes_or_no(false))]),
        (
            "user-over-recipients",
            Stage::Recipient,
            &[user(), ("auth.over_recipients", State::yes_or_no(true))],
        ),
        (
            "no-way-out",
            Stage::Recipient,
            &[
                user(),
                ("server.has_way_out", State::yes_or_no(false)),
                ("recipient.local_domain", State::yes_or_no(false)),
            ],
        ),
        ("author-not-owned", Stage::Message, &[user(), ("auth.owns_author", State::yes_or_no(false))]),
        ("refused-client", Stage::Connect, &[("client.refused", State::text(SHOWN[3].2))]),
        ("relaying-denied", Stage::Recipient, &[("recipient.local_domain", State::yes_or_no(false))]),
        ("no-such-mailbox", Stage::Recipient, &[("mailbox.exists", State::yes_or_no(false))]),
        ("moved", Stage::Recipient, &[("mailbox.moved", State::text("bob@example.net"))]),
        ("mailbox-busy", Stage::Recipient, &[("mailbox.busy", State::yes_or_no(true))]),
        ("over-quota", Stage::Recipient, &[("mailbox.over_quota", State::yes_or_no(true))]),
        (
            "over-quota-temporary",
            Stage::Recipient,
            &[
                ("mailbox.over_quota", State::yes_or_no(true)),
                ("mailbox.quota_is_temporary", State::yes_or_no(true)),
            ],
        ),
        ("mail-loop", Stage::Message, &[("message.received_count", State::number(101))]),
    ];
    for (name, stage, told) in cases {
        let mut facts = clean(&policy);
        set(&policy, &mut facts, "recipient.address", State::text("bob@example.org"));
        set(&policy, &mut facts, "sender.address", State::text("bob@example.org"));
        for (fact, state) in told {
            set(&policy, &mut facts, fact, state.clone());
        }
        let Step::Decided(decision) = policy.step(stage, &facts) else { panic!("{name}: facts are missing") };
        let Verdict::Refuse(refusal) = &decision.verdict else { panic!("{name}: {decision:?}") };
        let entry = catalogue::named(name).unwrap();
        let address = if name == "moved" { "bob@example.net" } else { "bob@example.org" };
        let values = [
            ("address", address),
            ("hostname", "mx.example.org"),
            ("client", "[192.0.2.1]"),
            ("count", "101"),
        ];
        assert_eq!(refusal.reply(), &entry.fill(&values), "{name}");
        assert_eq!(decision.rule.and_then(|rule| policy.rule(rule)).map(|rule| &*rule.name), Some(name));
    }
}

#[test]
fn an_unsure_fact_is_a_temporary_refusal_and_never_an_open_door() {
    let policy = Policy::builtin();
    for name in ["recipient.local_domain", "mailbox.exists", "mailbox.over_quota"] {
        let mut facts = clean(&policy);
        set(&policy, &mut facts, name, State::unsure("time-out"));
        let Step::Decided(decision) = policy.step(Stage::Recipient, &facts) else { panic!("{name}") };
        let Verdict::Refuse(refusal) = &decision.verdict else { panic!("{name}: {decision:?}") };
        assert_eq!(refusal.reply().to_string(), catalogue::LOCAL_FAULT.reply().to_string(), "{name}");
    }
    for state in [State::Missing, State::Known(Value::Number(1))] {
        let mut facts = clean(&policy);
        set(&policy, &mut facts, "recipient.local_domain", state);
        let Step::Decided(decision) = policy.step(Stage::Recipient, &facts) else { panic!() };
        assert!(matches!(decision.verdict, Verdict::Refuse(_)), "{decision:?}");
    }
}
