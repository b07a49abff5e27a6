//! `gatepost policy check|test|show` as an operator runs them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "test code")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const GOOD: &str = r#"networks trusted = file "trusted.txt"

at recipient {
    rule friends when client.ip in trusted
        accept relay

    rule no-name when client.name is missing
        defer 450 4.7.25 "no name for {client.ip}"
}

reply line-too-long reject 500 5.5.2 "{octets} octets are enough"

test "a stranger without a name waits" {
    client.ip = 203.0.113.9
    client.name = missing
    at recipient expect defer 450 by no-name
}
"#;

/// Exit code, standard output and standard error.
fn gatepost(folder: &Path, arguments: &[&str]) -> (i32, String, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_gatepost")).args(arguments).current_dir(folder).output().unwrap();
    let text = |octets| String::from_utf8(octets).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn site(policy: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("site.policy"), policy).unwrap();
    fs::write(folder.path().join("trusted.txt"), "# the office\n192.0.2.0/24\n").unwrap();
    folder
}

#[test]
fn a_good_policy_is_checked_tested_and_shown() {
    let folder = site(GOOD);
    let (code, output, errors) = gatepost(folder.path(), &["policy", "check", "site.policy"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert_eq!(output, "site.policy: 0 errors, 0 warnings; it can be used\n");
    let (code, output, _) = gatepost(folder.path(), &["policy", "test", "site.policy", "--verbose"]);
    assert_eq!(code, 0);
    assert_eq!(output, "passed  site.policy:13 \"a stranger without a name waits\"\n1 passed, 0 failed\n");
    let (code, output, _) = gatepost(folder.path(), &["policy", "show", "site.policy"]);
    assert_eq!(code, 0);
    assert!(output.contains(
        "    # site.policy:7\n    rule no-name when client.name is missing\n        defer 450 4.7.25"
    ));
    assert!(output.contains("    # builtin.policy:"), "{output}");
    assert!(
        output.contains("line-too-long              500 5.5.2 {octets} octets are enough (the site's words)")
    );
}

#[test]
fn a_broken_policy_is_refused_with_every_place() {
    let broken =
        GOOD.replace("client.name is missing", "client.nam is missing").replace("450 4.7.25", "354 4.7.25");
    let folder = site(&broken);
    let (code, output, errors) = gatepost(folder.path(), &["policy", "check", "site.policy"]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(
        errors.contains("site.policy:7:23") && errors.contains("did you mean `client.name`?"),
        "{errors}"
    );
    assert!(errors.contains("site.policy:8:15"), "{errors}");
    assert!(errors.ends_with("refused\n"), "{errors}");
    let (code, output, errors) = gatepost(folder.path(), &["policy", "check", "--json", "site.policy"]);
    assert_eq!((code, errors.as_str()), (1, ""));
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&report["schema"], &report["accepted"]), (&Value::from(1), &Value::from(false)));
    let finding = &report["findings"][0];
    assert_eq!((&finding["line"], &finding["column"]), (&Value::from(7), &Value::from(23)));
    assert_eq!(finding["severity"], "error");
    for command in ["test", "show"] {
        let (code, _, errors) = gatepost(folder.path(), &["policy", command, "site.policy"]);
        assert_eq!(code, 1, "{command}");
        assert!(errors.contains("client.nam"), "{command}: {errors}");
    }
}

#[test]
fn a_mistake_in_a_list_is_found_where_it_stands() {
    let folder = site(GOOD);
    fs::write(folder.path().join("trusted.txt"), "192.0.2.0/24\n192.0.2.1/24\n").unwrap();
    let (code, _, errors) = gatepost(folder.path(), &["policy", "check", "site.policy"]);
    assert_eq!(code, 1);
    assert!(errors.contains("trusted.txt:2:1"), "{errors}");
}

#[test]
fn a_test_that_fails_shows_what_each_rule_saw() {
    let folder = site(&GOOD.replace("expect defer 450", "expect reject 550"));
    let (code, output, _) = gatepost(folder.path(), &["policy", "test", "site.policy"]);
    assert_eq!(code, 1);
    for wanted in [
        "FAILED  site.policy:13 \"a stranger without a name waits\"",
        "wanted reject 550 by no-name",
        "got    defer 450 4.7.25 by no-name",
        "friends                  no       client.ip = 203.0.113.9",
        "no-name                  YES      client.name = (none)",
        "-> 450 4.7.25 no name for 203.0.113.9",
        "0 passed, 1 failed",
    ] {
        assert!(output.contains(wanted), "{wanted} is not in\n{output}");
    }
    let (code, output, _) = gatepost(folder.path(), &["policy", "test", "--json", "site.policy"]);
    assert_eq!(code, 1);
    let report: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&report["failed"], &report["tests"][0]["passed"]), (&Value::from(1), &Value::from(false)));
    let (code, _, errors) = gatepost(folder.path(), &["policy", "check", "site.policy"]);
    assert_eq!(code, 1, "{errors}");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let folder = tempfile::tempdir().unwrap();
    for command in ["check", "test", "show"] {
        let (code, _, errors) = gatepost(folder.path(), &["policy", command, "none.policy"]);
        assert_eq!(
            (code, errors.as_str()),
            (1, "gatepost: cannot read none.policy: no such file\n"),
            "{command}"
        );
    }
}

#[test]
fn without_a_file_the_fixed_rules_are_shown() {
    let folder = tempfile::tempdir().unwrap();
    let (code, output, _) = gatepost(folder.path(), &["policy", "show", "--json"]);
    assert_eq!(code, 0);
    let shown: Value = serde_json::from_str(&output).unwrap();
    let recipient =
        shown["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "recipient").unwrap();
    let names: Vec<_> =
        recipient["rules"].as_array().unwrap().iter().map(|rule| rule["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["user-over-recipients", "no-way-out", "relay-clients", "relaying-denied"]);
    assert!(shown["replies"].as_array().unwrap().len() > 40);
}

#[test]
fn the_policy_of_a_configuration_is_shown_and_a_broken_configuration_says_so() {
    let folder = site(GOOD);
    let config = "[policy]\nfile = \"site.policy\"\n[domain.\"example.org\".mailbox]\nalice = {}\n";
    fs::write(folder.path().join("gatepost.toml"), config).unwrap();
    let (code, output, errors) = gatepost(folder.path(), &["policy", "show", "--config", "gatepost.toml"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(output.contains("rule no-name when client.name is missing"), "{output}");
    fs::write(folder.path().join("gatepost.toml"), "polic.file = 1\n").unwrap();
    let (code, output, errors) = gatepost(folder.path(), &["policy", "show", "--config", "gatepost.toml"]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(errors.contains("polic"), "{errors}");
}

#[test]
fn a_reader_that_has_seen_enough_is_told_nothing_more() {
    let folder = site(GOOD);
    for arguments in [&["policy", "show", "--json"][..], &["policy", "test", "-v", "site.policy"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(arguments).current_dir(folder.path());
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).output().unwrap();
        assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{arguments:?}");
    }
}
