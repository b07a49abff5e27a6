//! Policies that come and go: broken ones at the start and at SIGHUP, and what a session that is open keeps of the old.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::site::Site;

#[test]
fn a_broken_policy_keeps_the_server_from_starting_and_says_all_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("gatepost.toml");
    let text = "hostname = \"mx.example.org\"\n[policy]\nfile = \"site.policy\"\n\
                [domain.\"example.org\".mailbox]\nalice = {}\n";
    fs::write(&config, text).unwrap();
    let policy = "at recipient {\n    rule a when client.prt is missing\n        reject 450 5.7.1 \"x\"\n}\n";
    fs::write(folder.path().join("site.policy"), policy).unwrap();
    for command in ["run", "check"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        program.arg(command).arg("--config").arg(&config).arg("--state").arg(folder.path().join("state"));
        if command == "run" {
            program.args(["--listen", "127.0.0.1:0"]);
        }
        let output = program.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{command}: {said}");
        for words in ["client.prt", "did you mean `client.ptr`", "site.policy:2:17", "site.policy:3:16"] {
            assert!(said.contains(words), "{command}: {words:?} is not in {said}");
        }
    }
}

#[test]
fn a_broken_policy_at_sighup_leaves_the_old_one_in_force() {
    let good =
        "at helo {\n    rule odd when helo.name == \"odd.example\"\n        reject 550 5.7.1 \"odd\"\n}\n";
    let site = Site::new(good, "");
    site.write("site.policy", "at helo {\n    rule odd when helo.nam == \"x\"\n        accept\n}\n");
    site.server.signal(Signal::HUP);
    site.server.wait_for_log("configuration not reloaded, the old one stays in force");
    site.server.wait_for_log("helo.nam");
    let mut client = site.session(2);
    client.ask_for("EHLO odd.example", "550 5.7.1");
    site.write("site.policy", &good.replace("odd.example", "even.example"));
    site.server.reload();
    let mut client = site.session(2);
    client.ask_for("EHLO odd.example", "250");
    client.ask_for("EHLO even.example", "550 5.7.1");
}

#[test]
fn who_may_no_longer_relay_may_not_in_a_session_that_is_open() {
    let tables = |relay: &str| {
        format!("[relay]\nsmart_host = \"127.0.0.1:9\"\n[clients]\nrelay = [{relay}]\ntrusted = []\n")
    };
    let site = Site::with("", "", &tables("\"127.0.0.2\""), vec![]);
    let mut client = site.session(2);
    client.transaction(&["ann@elsewhere.example"]);
    let config = fs::read_to_string(site.server.folder().join("gatepost.toml")).unwrap();
    site.server.configure(&config.replace("relay = [\"127.0.0.2\"]", "relay = []"));
    site.server.reload();
    client.ask("RSET");
    client.transaction(&[]);
    client.ask_for("RCPT TO:<ann@elsewhere.example>", "550 5.7.1");
}

#[test]
fn a_configuration_without_a_policy_leaves_the_fixed_refusals_in_force() {
    let site = Site::new("at helo {\n    rule all\n        reject 550 5.7.1 \"closed\"\n}\n", "");
    let mut client = site.server.connect(2);
    client.expect("220");
    client.ask_for("EHLO client.example", "550 5.7.1");
    let config = fs::read_to_string(site.server.folder().join("gatepost.toml")).unwrap();
    site.server.configure(&config.replace("file = \"site.policy\"", ""));
    site.server.reload();
    let mut client = site.session(2);
    client.transaction(&[]);
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    client.ask_for("RCPT TO:<ann@elsewhere.example>", "550 5.7.1");
}
