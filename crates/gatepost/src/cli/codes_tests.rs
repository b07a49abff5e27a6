//! The command as it is typed: pages, JSON, complaints and exit codes.

use clap::Parser;
use serde_json::Value;

use super::*;

#[derive(Debug, Parser)]
struct Command {
    #[command(flatten)]
    args: Args,
}

const SETTING: Setting = Setting { language: Language::En, style: Style { columns: 100, emphasis: false } };

/// Outcome, page and complaints of `gatepost codes` with these arguments.
fn run_with(arguments: &[&str], setting: Setting) -> (Outcome, String, String) {
    let command = Command::try_parse_from(std::iter::once("codes").chain(arguments.iter().copied())).unwrap();
    let (mut page, mut complaints) = (Vec::new(), Vec::new());
    let outcome = run_to(&command.args, setting, &mut page, &mut complaints).unwrap();
    (outcome, String::from_utf8(page).unwrap(), String::from_utf8(complaints).unwrap())
}

fn page(arguments: &[&str]) -> String {
    let (outcome, page, complaints) = run_with(arguments, SETTING);
    assert_eq!((outcome, complaints.as_str()), (Outcome::Told, ""), "{arguments:?}");
    page
}

fn json(arguments: &[&str]) -> Value {
    let (_, page, _) = run_with(&[arguments, &["--json"]].concat(), SETTING);
    serde_json::from_str(&page).unwrap()
}

/// `UPDATE_EXPECTED=1` rewrites the files; the diff is to be reviewed.
#[test]
fn pages_are_golden() {
    let goldens = [
        (&["551"][..], "551.en.txt"),
        (&["451", "--lang", "de"], "451.de.txt"),
        (&["550 4.7.1 <x@y.example>: Relay access denied"], "mismatch.en.txt"),
        (&["host mx.y.example said: 571 Denied (in reply to RCPT TO command)", "--lang", "de"], "571.de.txt"),
        (&["--reject", "--at", "recipient"], "reject-recipient.en.txt"),
        (&["--reject", "--at", "rcpt", "--permanent", "--lang", "de"], "reject-recipient.de.txt"),
    ];
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/codes/golden");
    for (arguments, name) in goldens {
        let page = page(arguments);
        let file = directory.join(name);
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            std::fs::write(&file, &page).unwrap();
        }
        assert_eq!(page, std::fs::read_to_string(&file).unwrap(), "{arguments:?}");
    }
}

#[test]
fn the_list_holds_every_class_and_marks_gateposts() {
    let list = page(&[]);
    for line in ["2yz  completed", "3yz  more is awaited", "4yz  not now", "5yz  not like this"] {
        assert!(list.lines().any(|found| found == line), "{line}");
    }
    assert!(list.contains("● 550") && list.contains("○ 571") && list.contains("[in no RFC]"));
}

#[test]
fn filters_combine() {
    let codes = |arguments: &[&str]| -> Vec<u64> {
        let value = json(arguments);
        value["codes"].as_array().unwrap().iter().map(|row| row["code"].as_u64().unwrap()).collect()
    };
    assert_eq!(codes(&["--reject", "--at", "starttls"]), [421, 454, 500, 501, 502, 503]);
    assert_eq!(codes(&["--at", "starttls", "--temporary"]), [421, 454]);
    assert!(codes(&["--at", "starttls"]).contains(&220));
    assert!(codes(&["--permanent"]).iter().all(|code| code / 100 == 5));
    assert!(!codes(&["--reject"]).contains(&571));
}

#[test]
fn json_and_page_say_the_same() {
    let value = json(&["550 5.7.26 no"]);
    assert_eq!(value["schema"], 1);
    assert_eq!(value["kind"], "explanation");
    assert_eq!(value["language"], "en");
    assert_eq!(value["query"]["enhanced"], "5.7.26");
    assert_eq!(value["query"]["stage"], Value::Null);
    let page = page(&["550 5.7.26 no"]).split_whitespace().collect::<Vec<_>>().join(" ");
    for field in ["meaning", "condition", "peers", "server", "sender", "refuser", "source"] {
        assert!(page.contains(value["basic"][field].as_str().unwrap()), "{field}");
    }
    for field in ["title", "meaning", "peers", "sender", "source"] {
        assert!(page.contains(value["enhanced"][field].as_str().unwrap()), "{field}");
    }
    let reject = json(&["--reject", "--at", "recipient"]);
    assert_eq!(reject["kind"], "reject");
    assert_eq!(reject["stage"], "recipient");
    let row = reject["codes"].as_array().unwrap().iter().find(|row| row["code"] == 550).unwrap();
    assert_eq!((&row["listed"], &row["gatepost"]), (&Value::Bool(true), &Value::Bool(true)));
    assert!(row["enhanced"].as_array().unwrap().iter().any(|pair| {
        pair["code"] == "5.1.1" && pair["pairing"] == "registry" && pair["gatepost"] == true
    }));
}

#[test]
fn the_help_documents_the_json_as_it_is() {
    let lists = [json(&["--at", "mail"]), json(&["--reject", "--at", "mail"]), json(&["550 5.7.1 no"])];
    let mut fields = std::collections::BTreeSet::new();
    lists.iter().for_each(|value| collect_fields(value, &mut fields));
    for field in fields {
        let documented =
            EXAMPLES.split(|character: char| !character.is_alphanumeric()).any(|word| word == field);
        assert!(documented, "{field}");
    }
    assert!(EXAMPLES.lines().all(|line| line.chars().count() <= 98));
}

fn collect_fields(value: &Value, fields: &mut std::collections::BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, member) in object {
                fields.insert(name.clone());
                collect_fields(member, fields);
            }
        }
        Value::Array(members) => members.iter().for_each(|member| collect_fields(member, fields)),
        _ => {}
    }
}

#[test]
fn what_any_command_may_get_is_gateposts_at_every_stage() {
    let value = json(&["--at", "auth"]);
    let row = value["codes"].as_array().unwrap().iter().find(|row| row["code"] == 421).unwrap();
    assert_eq!(row["gatepost"], true);
}

#[test]
fn a_question_may_come_in_several_words() {
    assert_eq!(page(&["550", "5.7.26"]), page(&["550 5.7.26"]));
}

#[test]
fn what_is_unknown_or_unreadable_is_said_clearly() {
    let (outcome, page, complaints) = run_with(&["5.9.9"], SETTING);
    assert_eq!((outcome, page.as_str()), (Outcome::Unknown, ""));
    assert!(complaints.contains("5.9.9 is not in the IANA registry. The nearest registered one is 5.7.9"));
    let (outcome, page, complaints) = run_with(&["560"], SETTING);
    assert_eq!((outcome, page.as_str()), (Outcome::Unknown, ""));
    assert!(complaints.contains("560 is in no RFC"), "{complaints}");
    let (outcome, _, complaints) = run_with(&["999"], SETTING);
    assert_eq!(outcome, Outcome::Misread);
    assert!(complaints.contains("these run from 200 to 599"));
    let (outcome, _, complaints) = run_with(&["hello", "--lang", "de"], SETTING);
    assert_eq!(outcome, Outcome::Misread);
    assert!(complaints.contains("kein Antwortcode gefunden"));
    let (outcome, page, _) = run_with(&["560", "--json"], SETTING);
    assert_eq!(outcome, Outcome::Unknown);
    assert!(page.contains("\"kind\": \"unknown\""));
}

#[test]
fn the_language_is_the_options_else_the_locales() {
    let german = Setting { language: Language::De, ..SETTING };
    assert!(run_with(&["450"], german).1.contains("Bedingung"));
    assert!(run_with(&["450", "--lang", "en"], german).1.contains("Condition"));
}

#[test]
fn lines_keep_to_the_width() {
    for columns in [10, 50, 80, 100, 300] {
        let setting = Setting { style: Style { columns, emphasis: false }, ..SETTING };
        for arguments in [&["550 5.7.26 text"][..], &[], &["--reject"], &["451", "--lang", "de"]] {
            let (_, page, _) = run_with(arguments, setting);
            let room = columns.clamp(40, 110);
            for line in page.lines() {
                // A single long word may stick out, such as the name of an option.
                assert!(line.chars().count() <= room + 12, "{columns}: {line}");
                assert_eq!(line, line.trim_end());
            }
        }
    }
}

#[test]
fn emphasis_stands_only_on_a_terminal() {
    let setting = Setting { style: Style { columns: 80, emphasis: true }, ..SETTING };
    assert!(run_with(&["450"], setting).1.contains("\x1b[1m450\x1b[0m"));
    assert!(!page(&["450"]).contains('\x1b'));
}

#[test]
fn controls_of_a_pasted_reply_do_not_reach_the_terminal() {
    assert!(
        !page(&["550 5.1.1 \u{1b}]0;owned\u{7} \u{9b}31m no such user"])
            .chars()
            .any(|character| { character.is_control() && character != '\n' })
    );
}

#[test]
fn unknown_stages_and_mixed_questions_are_refused_with_the_choices() {
    let refused = |arguments: &[&str]| {
        let arguments = std::iter::once("codes").chain(arguments.iter().copied());
        Command::try_parse_from(arguments).unwrap_err().to_string()
    };
    assert!(refused(&["--at", "rctp"]).contains("did you mean `rcpt`? the stages are connect, helo"));
    assert!(refused(&["--at", "recipent"]).contains("did you mean `recipient`?"));
    assert!(refused(&["--at", "nowhere"]).contains("<STAGE>': the stages are"));
    assert!(refused(&["--temporary", "--permanent"]).contains("cannot be used with"));
    assert!(refused(&["550", "--reject"]).contains("cannot be used with"));
}
