//! `gatepost dialogue`: what it prints, and its exit code, for the command lines under `tests/dialogue/cases`.
//!
//! A case is a line that says what it shows, the command line, its exit code, and what it prints; with `UPDATE_EXPECTED`
//! set, code and output are written anew, for review.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod harness;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogue")
}

/// The words of a command line; single quotes hold what is between them together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted) = (Vec::new(), None::<String>, false);
    for letter in line.chars() {
        match letter {
            '\'' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            ' ' if !quoted => words.extend(word.take()),
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

fn gatepost(arguments: &[String], state: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_gatepost"))
        .args(arguments)
        .arg("--state")
        .arg(state)
        .current_dir(folder())
        .env("USER", "root")
        .output()
        .unwrap()
}

fn shown(output: &Output) -> String {
    let mut text = format!("exit code {}\n", output.status.code().unwrap());
    for (name, octets) in [("output", &output.stdout), ("errors", &output.stderr)] {
        if !octets.is_empty() {
            text.push_str(&format!("---- {name}\n{}", String::from_utf8_lossy(octets)));
        }
    }
    text
}

#[test]
fn each_case_prints_what_it_did() {
    let scratch = tempfile::tempdir().unwrap();
    let state = scratch.path().join("state");
    let (mut looked_at, mut wrong) = (0, Vec::new());
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder().join("cases")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let mut lines = text.lines();
        let (says, command) = (lines.next().unwrap(), lines.next().unwrap());
        assert!(says.starts_with("# "), "{} says what it shows", file.display());
        let arguments = words(command.strip_prefix("$ gatepost ").expect("a command line"));
        let is = format!("{says}\n{command}\n{}", shown(&gatepost(&arguments, &state)));
        looked_at += 1;
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&file, &is).unwrap();
        } else if is != text {
            wrong.push(format!("==== {}\n{is}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(looked_at >= 20, "{looked_at} cases");
    assert!(!state.exists(), "a dialogue writes nothing");
}

/// JSON says the same twice: nothing in it hangs on the time or on what was played before.
#[test]
fn it_is_the_same_each_time() {
    let scratch = tempfile::tempdir().unwrap();
    let arguments = words("dialogue --config site.toml --policy site.policy --facts clean.facts --json");
    let [first, second] = [(), ()].map(|()| gatepost(&arguments, scratch.path()));
    assert_eq!(first.stdout, second.stdout);
    let json: serde_json::Value = serde_json::from_slice(&first.stdout).unwrap();
    assert_eq!(
        (&json["schema"], &json["kind"], &json["passed"]),
        (&1.into(), &"dialogue".into(), &true.into())
    );
}

/// With `--dns` the DNS is asked, and what is given is not.
#[test]
fn the_dns_is_asked_on_demand_for_what_is_not_given() {
    let scratch = tempfile::tempdir().unwrap();
    let server = harness::DnsServer::with(
        "9.113.0.203.zen.example A 127.0.0.2\n9.113.0.203.zen.example TXT seen in a trap\nsender.example MX 10 mx.sender.example",
    );
    let config = fs::read_to_string(folder().join("site.toml"))
        .unwrap()
        .replace("[verify]", &format!("{}\n[verify]", server.config()));
    let file = scratch.path().join("site.toml");
    fs::write(&file, config).unwrap();
    let line = format!(
        "dialogue --config {} --policy site.policy --client 203.0.113.9 --mail ann@sender.example --rcpt bob@example.org --fact client.ptr=missing",
        file.display()
    );
    let play = |more: &str| {
        String::from_utf8(gatepost(&words(&format!("{line}{more}")), scratch.path()).stdout).unwrap()
    };
    let unasked = play("");
    assert!(unasked.contains("sender.domain_exists = unsure: not given"), "{unasked}");
    assert_eq!(server.questions(), Vec::<String>::new(), "without --dns nobody is asked");
    let asked = play(" --dns");
    assert!(asked.contains("S: 550 5.7.1 203.0.113.9 is listed: seen in a trap"), "{asked}");
    assert!(!asked.contains("not given"), "{asked}");
    let questions = server.questions();
    assert!(questions.iter().any(|question| question.contains("sender.example")), "{questions:?}");
    assert!(!questions.iter().any(|question| question.contains("in-addr.arpa")), "{questions:?}");
}
