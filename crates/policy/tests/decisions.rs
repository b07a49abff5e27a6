//! What a decision says besides its verdict: texts, effects, what was watched and what was passed over; and what a policy
//! tells of itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use std::time::Duration;

use policy::decision::{Decision, Effect, Step, Verdict};
use policy::evaluate::Truth;
use policy::facts::Scope;
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Value};
use policy::{Files, NoFiles, Policy};

const SITE: &str = r#"
dnsbl zen = "zen.example" of client.ip
dnsbl two = "two.example" of client.ip weight 3
shadow dnsbl quiet = "quiet.example" of sender.mx

at mail {
    rule listed when zen.listed
        tag "listed"
        add header "X-List" "{zen.reason} {{{client.ip}}}"
        tarpit 2s

    observe rule watched when two.listed
        reject 550 5.7.1 "no"

    rule skipped when helo.resolves
        defer 451 4.7.1 "no"

    rule asked when client.name is present and client.name contains "bad"
        reject 550 5.7.1 "{client.name} at {client.country}"
        unsure defer 451 4.4.3 "who is {client.ip}?"
}

at recipient {
    rule score when dnsbl.score > 2
        defer 451 4.7.1 "{dnsbl.score}"
}
"#;

fn site() -> Policy {
    // `client.country` may be missing and `sender.mx` is no address: both are mended here, so that the rest is one text.
    let text = SITE
        .replace("{client.name} at {client.country}", "{client.name}")
        .replace("quiet.example\" of sender.mx", "quiet.example\" of client.ip");
    match Policy::load("site.policy", &text, &mut NoFiles) {
        Ok(loaded) => loaded.policy,
        Err(refused) => {
            let said: Vec<_> =
                refused.findings.iter().map(|finding| finding.render(&refused.files, false)).collect();
            panic!("{}", said.join("\n"))
        }
    }
}

fn told(policy: &Policy, states: &[(&str, State)]) -> Facts {
    let mut facts = Facts::new(policy.slots().len());
    for (name, state) in states {
        facts.set(policy.slot(name).unwrap_or_else(|| panic!("{name}")), state.clone());
    }
    facts
}

fn decided(policy: &Policy, stage: Stage, facts: &Facts) -> Decision {
    match policy.step(stage, facts) {
        Step::Decided(decision) => decision,
        Step::Need(need) => panic!("{need:?}"),
    }
}

fn names(policy: &Policy, slots: &[policy::slot::Slot]) -> Vec<String> {
    slots.iter().map(|slot| policy.slots()[slot.index()].name.to_string()).collect()
}

#[test]
fn effects_observed_and_passed_over_stand_beside_the_verdict() {
    let policy = site();
    let facts = told(
        &policy,
        &[
            ("client.ip", State::Known(Value::address([192, 0, 2, 1].into()))),
            ("zen.listed", State::yes_or_no(true)),
            ("zen.reason", State::Missing),
            ("two.listed", State::yes_or_no(true)),
            ("helo.resolves", State::unsure("SERVFAIL")),
            ("client.name", State::unsure("time-out")),
        ],
    );
    let decision = decided(&policy, Stage::Mail, &facts);
    let rule = |id: &policy::decision::RuleId| policy.rule(*id).unwrap().name.to_string();
    let effects: Vec<_> = decision.effects.iter().map(|(id, effect)| (rule(id), effect.clone())).collect();
    let header = Effect::AddHeader { name: "X-List".into(), value: "zen.example {192.0.2.1}".into() };
    let expected = [Effect::Tag("listed".into()), header, Effect::Tarpit(Duration::from_secs(2))];
    assert_eq!(effects, expected.map(|effect| ("listed".to_owned(), effect)));
    assert_eq!(decision.observed.iter().map(rule).collect::<Vec<_>>(), ["watched"]);
    assert_eq!(decision.passed_over.iter().map(rule).collect::<Vec<_>>(), ["skipped"]);
    assert!(decision.by_unsure_arm);
    let Verdict::Refuse(refusal) = &decision.verdict else { panic!("{decision:?}") };
    assert_eq!(refusal.reply().to_string(), "451 4.4.3 who is 192.0.2.1?");
    assert_eq!(refusal.reply().name(), "asked");
    let trace = policy.trace(Stage::Mail, &facts);
    let outcomes: Vec<_> =
        trace.steps.iter().map(|step| (rule(&step.rule), step.outcome, step.decided)).collect();
    assert_eq!(
        outcomes,
        [
            ("listed".to_owned(), Truth::Yes, false),
            ("watched".to_owned(), Truth::Yes, false),
            ("skipped".to_owned(), Truth::Unsure, false),
            ("asked".to_owned(), Truth::Unsure, true),
        ]
    );
    assert_eq!(trace.decision, Some(decision));
}

#[test]
fn facts_are_asked_for_as_rules_need_them() {
    let policy = site();
    let facts = told(&policy, &[("client.ip", State::Known(Value::address([192, 0, 2, 1].into())))]);
    let Step::Need(need) = policy.step(Stage::Mail, &facts) else { panic!("nothing is told") };
    assert_eq!(names(&policy, &need.now), ["zen.listed"]);
    assert_eq!(
        names(&policy, &need.soon),
        [
            "zen.reason",
            "two.listed",
            "helo.resolves",
            "client.name",
            "auth.over_messages",
            "auth.owns_sender",
            "sender.address"
        ]
    );
    let mut at_mail = names(&policy, policy.needs(Stage::Mail));
    at_mail.sort_unstable();
    assert_eq!(
        at_mail,
        [
            "auth.over_messages",
            "auth.owns_sender",
            "client.ip",
            "client.name",
            "helo.resolves",
            "sender.address",
            "two.listed",
            "zen.listed",
            "zen.reason"
        ]
    );
    // A shadow is gathered where its key is known, and a score asks for its lists.
    assert!(names(&policy, policy.needs(Stage::Connect)).contains(&"quiet.listed".to_owned()));
    let at_recipient = names(&policy, policy.needs(Stage::Recipient));
    for wanted in ["dnsbl.score", "zen.listed", "two.listed", "recipient.local_domain", "auth.user"] {
        assert!(at_recipient.contains(&wanted.to_owned()), "{wanted}");
    }
    assert!(!at_recipient.contains(&"quiet.listed".to_owned()));
    for stage in Stage::ALL {
        assert!(policy.needs(stage).iter().all(|slot| policy.can_ask().contains(slot)));
    }
}

#[test]
fn facts_are_forgotten_with_their_scope() {
    let policy = site();
    let mut facts = Facts::new(policy.slots().len());
    for (index, _) in policy.slots().iter().enumerate() {
        facts.set(policy::slot::Slot(u16::try_from(index).unwrap()), State::Missing);
    }
    let known = |facts: &Facts| -> Vec<String> {
        facts
            .iter()
            .filter(|(_, state)| **state == State::Missing)
            .map(|(slot, _)| policy.slots()[slot.index()].name.to_string())
            .collect()
    };
    policy.clear(&mut facts, Scope::Recipient);
    assert!(!known(&facts).contains(&"recipient.local_domain".to_owned()));
    assert!(known(&facts).contains(&"zen.listed".to_owned()));
    policy.clear(&mut facts, Scope::Session);
    assert_eq!(known(&facts), [""; 0]);
}

#[test]
fn other_words_are_for_the_rule_and_for_the_session() {
    let text = "reply no-such-mailbox defer 450 4.1.1 \"<{recipient.address}> is unknown\"\n\
                reply line-too-long reject 500 5.5.2 \"{octets} are {{enough}}\"\n";
    let policy = Policy::load("site.policy", text, &mut NoFiles).unwrap().policy;
    let own = policy.reply("no-such-mailbox").unwrap();
    assert_eq!((own.code.value(), own.text.as_str(), own.by_rule), (450, "<{address}> is unknown", true));
    let own = policy.reply("line-too-long").unwrap();
    assert_eq!((own.code.value(), own.text.as_str(), own.by_rule), (500, "{octets} are {enough}", false));
    assert_eq!(policy.reply("moved"), None);
}

#[test]
fn the_fingerprint_is_of_all_text_and_the_policy_loads_again_from_memory() {
    struct One;
    impl Files for One {
        fn read(&mut self, path: &str) -> Result<String, String> {
            match path {
                "more.policy" => Ok("networks home = file \"home.txt\"\n".to_owned()),
                "home.txt" => Ok("192.0.2.0/24\n".to_owned()),
                _ => Err("no such file".to_owned()),
            }
        }
    }
    struct Memory<'a>(&'a Policy);
    impl Files for Memory<'_> {
        fn read(&mut self, path: &str) -> Result<String, String> {
            let file = self.0.all_files().iter().skip(2).find(|file| *file.name == *path);
            file.map(|file| file.text.to_string()).ok_or_else(|| "not kept".to_owned())
        }
    }
    let text =
        "include \"more.policy\"\nat mail {\n    rule home when client.ip in home\n        accept\n}\n";
    let policy = Policy::load("site.policy", text, &mut One).unwrap().policy;
    let of = |files: &[policy::span::SourceFile]| {
        files.iter().map(|file| file.name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(of(policy.files()), ["builtin.policy", "site.policy", "more.policy"]);
    assert_eq!(of(policy.material()), ["home.txt"]);
    let again = Policy::load("site.policy", &policy.files()[1].text, &mut Memory(&policy)).unwrap().policy;
    assert_eq!(again.fingerprint(), policy.fingerprint());
    assert_ne!(Policy::builtin().fingerprint(), policy.fingerprint());
}

#[test]
fn a_file_of_nothing_but_mistakes_is_not_read_out_whole() {
    struct Odd;
    impl Files for Odd {
        fn read(&mut self, _: &str) -> Result<String, String> {
            Ok("not a network at all\n".repeat(100_000))
        }
    }
    let text =
        "networks odd = file \"odd.txt\"\nat mail {\n    rule odd when client.ip in odd\n        accept\n}\n";
    let refused = Policy::load("site.policy", text, &mut Odd).unwrap_err();
    assert_eq!(refused.findings.len(), 20);
}
