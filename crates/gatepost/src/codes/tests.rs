//! The tables are whole, in both languages, and agree with the catalogue and the registry.

use std::collections::BTreeSet;

use policy::replies;
use smtp::catalogue::{self, Stage};
use smtp::reply::{Enhanced, ReplyCode};

use super::explain::{BasicPage, Explanation};
use super::reference::CORE_CODES;
use super::table::{Standing, Table};
use super::{Filter, Language, Listing, Query, reference_replies};

/// The pairs of the catalogue that the IANA registry doesn't name, though it names others for the enhanced code.
const DEPARTURES: &[(u16, Enhanced, &str)] = &[
    (251, Enhanced::new(1, 5), "the registry names 250 only; 251 accepts a recipient as well"),
    (421, Enhanced::new(3, 2), "453 and 521 are named; X.3.2 describes the shutdown that 421 announces"),
    (421, Enhanced::new(5, 4), "421 closes after the 501 with the same detail"),
    (421, Enhanced::new(7, 0), "limits and errors of a client; Postfix and Gmail send the same pair"),
    (452, Enhanced::new(2, 2), "552 is named; the site asked for a temporary refusal"),
    (452, Enhanced::new(5, 3), "451 is named; RFC 5321 §4.5.3.1.10 says 452"),
    (
        502,
        Enhanced::new(5, 1),
        "500, 501 and 503 are named; RFC 5321 §4.2.4 says 502 for a command that is off",
    ),
    (553, Enhanced::new(1, 3), "501 is named; RFC 5321 §4.2.3 says 553 for a bad mailbox name"),
    (553, Enhanced::new(7, 1), "550 is named; 553 says at MAIL which mailbox it is about, as Postfix does"),
    (554, Enhanced::new(7, 1), "550 is named; as a greeting only 554 can stand (RFC 5321 §3.1)"),
];

fn table() -> Table {
    Table::load().unwrap()
}

fn explain(question: &str, language: Language) -> Explanation {
    Explanation::new(&table(), Query::parse(question).unwrap(), language)
}

#[test]
fn every_code_stands_once_and_in_order() {
    let table = table();
    assert!(table.codes.windows(2).all(|pair| pair[0].code < pair[1].code));
    let details: Vec<_> = table.details.iter().map(|detail| (detail.registered(), detail.code)).collect();
    let registered: Vec<_> = details.iter().filter(|(registered, _)| *registered).collect();
    assert!(registered.windows(2).all(|pair| pair[0].1 < pair[1].1));
    assert_eq!(details.iter().map(|(_, code)| code).collect::<BTreeSet<_>>().len(), details.len());
}

#[test]
fn the_22_and_their_successors_are_there() {
    let table = table();
    for code in CORE_CODES {
        assert_eq!(table.basic(code).unwrap().standing, Standing::Core, "{code}");
    }
    assert_eq!(table.codes.iter().filter(|basic| basic.standing == Standing::Core).count(), 22);
    for code in [235, 334, 432, 453, 454, 455, 458, 459, 521, 530, 534, 535, 538, 555, 556] {
        assert_eq!(table.basic(code).unwrap().standing, Standing::Extension, "{code}");
    }
    for code in [422, 424, 520, 524, 541, 571, 577, 591, 599] {
        assert!(!table.basic(code).unwrap().refuses(), "{code}");
        assert!(table.basic(code).unwrap().entries().next().is_none(), "{code}");
    }
}

#[test]
fn the_registry_is_whole() {
    let table = table();
    let last_details = [(0, 0), (1, 10), (2, 4), (3, 6), (4, 7), (5, 6), (6, 10), (7, 30)];
    for (subject, last) in last_details {
        for detail in 0..=last {
            let found = table.detail(Enhanced::new(subject, detail));
            assert!(found.is_some_and(|found| found.registered()), "X.{subject}.{detail}");
        }
        assert!(table.detail(Enhanced::new(subject, last + 1)).is_none_or(|found| !found.registered()));
    }
    for detail in &table.details {
        assert_eq!(detail.registered(), detail.reference.is_some(), "{:?}", detail.code);
        assert_eq!(detail.title, detail.texts.get(Language::En).title, "{:?}", detail.code);
    }
    assert_eq!(table.codes.len(), replies::BASIC.len());
    assert_eq!(table.details.len(), replies::REGISTERED.len() + replies::PRIVATE.len());
}

#[test]
fn every_text_stands_in_both_languages() {
    let table = table();
    for basic in &table.codes {
        let english = BasicPage::new(&table, basic, Language::En);
        let german = BasicPage::new(&table, basic, Language::De);
        let texts = |page: &BasicPage| {
            [
                &page.class,
                &page.meaning,
                &page.condition,
                &page.peers,
                &page.server,
                &page.sender,
                &page.refuser,
            ]
            .map(Clone::clone)
        };
        for (en, de) in texts(&english).iter().zip(texts(&german)) {
            differ(en, &de, &basic.code.to_string());
        }
    }
    for detail in &table.details {
        let place = format!("{:?}", detail.code);
        let (english, german) = (detail.texts.get(Language::En), detail.texts.get(Language::De));
        differ(&english.title, &german.title, &place);
        differ(&english.meaning, &german.meaning, &place);
        assert_eq!(english.advice.is_some(), german.advice.is_some(), "{place}");
        assert_eq!(english.seen.is_some(), german.seen.is_some(), "{place}");
        let pairs = [(&english.advice, &german.advice), (&english.seen, &german.seen)];
        for (en, de) in pairs {
            if let (Some(en), Some(de)) = (en, de) {
                // A list of names and codes reads the same in both languages.
                assert!(
                    !en.is_empty() && (en != de || !en.contains(' ') || en.split(' ').count() < 9),
                    "{place}: {en}"
                );
            }
        }
        let subject = |language| table.subject(detail.code.subject, language).unwrap();
        differ(&subject(Language::En).advice, &subject(Language::De).advice, &place);
    }
}

/// Both texts are there and differ, and the German one has no tell-tale English words outside of quotes.
fn differ(english: &str, german: &str, place: &str) {
    assert!(!english.trim().is_empty() && !german.trim().is_empty(), "{place}");
    assert_ne!(english, german, "{place}");
    let unquoted: String = german.split('`').step_by(2).collect();
    for word in unquoted.split(|character: char| !character.is_alphanumeric()) {
        assert!(!["the", "with", "and", "not", "of", "which", "is"].contains(&word), "{place}: {german}");
    }
    for word in english.split(|character: char| !character.is_alphanumeric()) {
        assert!(!["der", "die", "und", "nicht", "ist"].contains(&word), "{place}: {english}");
    }
}

#[test]
fn every_condition_of_the_catalogue_stands_in_german() {
    let table = table();
    for entry in catalogue::ALL {
        differ(entry.condition, table.condition(entry, Language::De), entry.name);
    }
    let names: BTreeSet<_> = catalogue::ALL.iter().map(|entry| entry.name.to_owned()).collect();
    let translated: std::collections::BTreeMap<String, String> =
        toml::from_str(include_str!("conditions.de.toml")).unwrap();
    assert_eq!(translated.into_keys().collect::<BTreeSet<_>>(), names);
}

#[test]
fn the_catalogue_pairs_codes_as_the_registry_does_but_for_the_listed_departures() {
    let table = table();
    let mut departed = BTreeSet::new();
    for entry in catalogue::ALL {
        let code = entry.code.value();
        let basic = table.basic(code).unwrap_or_else(|| panic!("{} has no page", entry.name));
        assert!(matches!(basic.standing, Standing::Core | Standing::Extension), "{}", entry.name);
        let Some(enhanced) = entry.enhanced else { continue };
        let detail = table.detail(enhanced).unwrap_or_else(|| panic!("{}: not registered", entry.name));
        assert!(detail.registered(), "{}", entry.name);
        if detail.any || detail.associated.contains(&code) {
            continue;
        }
        assert!(detail.usual.contains(&code), "{}: the pair is neither registered nor usual", entry.name);
        if !detail.associated.is_empty() {
            let listed = DEPARTURES.iter().any(|(known, pair, _)| (*known, *pair) == (code, enhanced));
            assert!(listed, "{}: {code} with {enhanced:?} departs from the registry", entry.name);
            departed.insert((code, enhanced));
        }
    }
    assert_eq!(departed.len(), DEPARTURES.len(), "a listed departure is gone from the catalogue");
}

#[test]
fn a_stage_of_the_catalogue_is_a_stage_of_its_code() {
    let table = table();
    for entry in catalogue::ALL {
        let basic = table.basic(entry.code.value()).unwrap();
        for stage in entry.stages {
            assert!(basic.stands_at(*stage), "{} at {}", entry.name, stage.name());
        }
    }
}

#[test]
fn refusals_are_4yz_or_5yz_of_an_rfc_at_every_stage() {
    let table = table();
    for stage in Stage::ALL.into_iter().map(Some).chain([None]) {
        let listing = Listing::new(&table, Filter { reject: true, stage, class: None }, Language::En);
        assert!(!listing.codes.is_empty(), "{stage:?}");
        for row in &listing.codes {
            assert!(matches!(row.code / 100, 4 | 5), "{} at {stage:?}", row.code);
            assert!(ReplyCode::new(row.code).is_some(), "{}", row.code);
            assert!(matches!(row.standing, Standing::Core | Standing::Extension), "{}", row.code);
            assert!(!row.enhanced.is_empty(), "{} at {stage:?} has no enhanced code", row.code);
            for companion in &row.enhanced {
                assert_eq!(companion.code.get(..1), Some(if row.code < 500 { "4" } else { "5" }));
            }
        }
    }
}

#[test]
fn the_stages_are_those_of_rfc_5321() {
    let table = table();
    let listed = |stage| -> Vec<u16> {
        let at_stage = table.codes.iter().filter(|basic| basic.listed.contains(&stage));
        // Any command may get these three (RFC 5321 §4.3.2).
        at_stage.map(|basic| basic.code).filter(|code| ![421, 500, 501].contains(code)).collect()
    };
    assert_eq!(listed(Stage::Recipient), [250, 251, 450, 451, 452, 455, 503, 550, 551, 552, 553, 555, 556]);
    assert_eq!(listed(Stage::Mail), [250, 451, 452, 455, 503, 530, 550, 552, 553, 555]);
    assert_eq!(listed(Stage::Message), [250, 450, 451, 452, 550, 552, 554]);
    assert_eq!(listed(Stage::Data), [354, 503, 554]);
    assert_eq!(listed(Stage::Hello), [250, 502, 504, 550]);
    assert_eq!(listed(Stage::Connect), [220, 521, 554]);
    assert_eq!(listed(Stage::Verify), [250, 251, 252, 502, 504, 550, 551, 553]);
    assert_eq!(listed(Stage::Help), [211, 214, 502, 504]);
}

#[test]
fn odd_replies_are_noticed() {
    let names = |question| -> Vec<&str> {
        explain(question, Language::En).notices.iter().map(|notice| notice.name).collect()
    };
    assert_eq!(names("550 4.7.1"), ["class-mismatch", "class-not-foreseen"]);
    assert_eq!(names("550 5.7.999"), ["enhanced-unregistered"]);
    assert_eq!(names("550 5.7.511"), ["enhanced-unregistered"]);
    assert_eq!(names("571"), ["code-in-no-rfc"]);
    assert_eq!(names("560"), ["code-in-no-rfc"]);
    assert_eq!(names("524 5.2.4"), ["code-in-no-rfc", "pair-not-in-registry"]);
    assert_eq!(names("554 5.7.1"), ["pair-not-in-registry"]);
    assert_eq!(names("354 2.0.0"), ["class-mismatch"]);
    assert_eq!(names("451 4.7.1"), ["class-not-foreseen"]);
    for good in ["550 5.1.1", "550 5.7.26", "250 2.1.5", "452 4.3.1", "550", "5.7.1", "X.7.1", "535 5.7.8"] {
        assert!(names(good).is_empty(), "{good}: {:?}", names(good));
    }
}

#[test]
fn notices_name_the_nearest_code() {
    let text = |question, language| explain(question, language).notices[0].text.clone();
    assert!(text("550 5.7.31", Language::En).contains("5.7.30"));
    assert!(text("550 5.9.1", Language::En).contains("5.7.1"));
    assert!(text("571", Language::En).contains("5.7.1 with its dots lost"));
    assert!(text("571", Language::De).contains("5.7.1 ohne Punkte"));
    assert!(text("557", Language::En).contains("nearest code of the RFCs is 556"));
    assert!(text("550 5.7.620", Language::En).contains("Microsoft 365 uses it"));
}

#[test]
fn an_explanation_holds_what_gatepost_sends() {
    let names = |question| -> Vec<&str> {
        explain(question, Language::En).gatepost.iter().map(|reply| reply.name).collect()
    };
    assert_eq!(
        names("550"),
        ["no-such-mailbox", "relaying-denied", "no-way-out", "author-not-owned", "moved-utf8"]
    );
    let of_policy = ["relaying-denied", "no-way-out", "author-not-owned"];
    assert_eq!(names("550 5.7.1"), of_policy);
    assert_eq!(
        names("X.7.1"),
        [
            &["user-over-messages", "user-over-recipients"],
            &of_policy[..],
            &["sender-not-owned", "refused-client"]
        ]
        .concat()
    );
    assert!(names("550 5.7.26").is_empty());
    assert!(names("571").is_empty());
    assert_eq!(
        explain("354", Language::De).gatepost[0].condition,
        "DATA mit mindestens einem angenommenen Empfänger."
    );
}

#[test]
fn the_reference_holds_every_entry_and_the_22_first() {
    let reference = reference_replies();
    for entry in catalogue::ALL {
        assert!(reference.contains(&format!("| `{}` |", entry.name)), "{}", entry.name);
    }
    let later = reference.find("## Codes of later RFCs").unwrap();
    for code in CORE_CODES {
        assert!(reference.find(&format!("### {code}\n")).unwrap() < later, "{code}");
    }
    assert!(reference.find("### 535\n").unwrap() > later);
    for line in reference.lines().filter(|line| line.starts_with("| `")) {
        assert_eq!(line.matches(" | ").count(), 5, "{line}");
    }
}
