//! What the caller hears of a message that is refused, and by which exit code.

use std::fs;

use crate::harness::{Server, Setup};
use crate::{CONFIG, Machine, text};

#[test]
fn exit_codes_are_those_of_sysexits() {
    let machine = Machine::new();
    for (arguments, input, exit, words) in [
        ("", "x\n", 64, "no recipients"),
        ("-t", "Subject: x\n\n", 64, "no recipients"),
        ("-Z alice", "x\n", 64, "-Z is no option"),
        ("-bd", "", 64, "gatepost run"),
        ("a@b@c", "x\n", 65, "`a@b@c` is no address"),
        ("-t", "To: \"a b\"@example.net\n\n", 65, "is no address"),
        ("nobody.here", "x\n", 67, "550 5.1.1 <nobody.here@example.org>"),
        ("bob@example.net", "x\n", 77, "550 5.7.1 <bob@example.net>: relaying denied"),
    ] {
        let ran = machine.sendmail(arguments, input.as_bytes());
        assert_eq!(ran.exit, exit, "{arguments}: {}", ran.said);
        assert!(ran.said.contains(words), "{arguments}: {}", ran.said);
    }
    assert!(machine.server.maildir("example.org", "alice").files().is_empty());
    assert!(machine.dropped().is_empty());
}

#[test]
fn who_is_refused_among_others_is_reported_to_the_sender() {
    let machine = Machine::new();
    let ran = machine.sendmail("-f root alice nobody.here", b"Subject: for two\n\nx\n");
    assert_eq!(ran.exit, 0, "{}", ran.said);
    assert!(ran.said.contains("<nobody.here@example.org>: 550 5.1.1"), "{}", ran.said);
    machine.alice(1);
    let report = text(&machine.server.maildir("example.org", "root").wait_for_one().content);
    assert!(report.contains("Final-Recipient: rfc822; nobody.here@example.org"), "{report}");
    assert!(report.contains("Status: 5.1.1") && report.contains("Subject: for two"), "{report}");
    machine.server.wait_for_empty_queue();
    assert_eq!(machine.alice(1).len(), 1, "nobody gets it twice");
}

#[test]
fn the_policy_decides_on_local_mail_and_its_refusals_have_ids() {
    let policy = "at message {\n    rule no-secrets when listener.kind is local and message.subject == \"secret\"\n        \
                  reject 550 5.7.1 \"not that\"\n}\n\
                  at recipient {\n    rule later when listener.kind is local and recipient.local == \"postmaster\"\n        \
                  defer 451 4.7.1 \"not now\"\n}\n";
    let machine = Machine::with(Setup {
        config: Some(format!("policy.file = \"site.policy\"\n{CONFIG}")),
        files: vec![("site.policy", policy.to_owned())],
        ..Setup::default()
    });
    let ran = machine.sendmail("alice", b"Subject: secret\n\nx\n");
    assert_eq!(ran.exit, 77, "{}", ran.said);
    assert!(ran.said.contains("550 5.7.1 not that ["), "{}", ran.said);
    let ran = machine.sendmail("alice postmaster", b"Subject: open\n\nx\n");
    assert_eq!(ran.exit, 75, "{}", ran.said);
    assert!(ran.said.contains("451 4.7.1 not now"), "{}", ran.said);
    assert!(machine.server.maildir("example.org", "alice").files().is_empty(), "nobody gets it yet");
    machine.sends("alice", b"Subject: open\n\nx\n");
    machine.alice(1);
}

#[test]
fn a_user_has_his_messages_of_a_day_and_root_has_any_number() {
    let machine = Machine::with_config(&format!("sendmail.messages_per_day = 1\n{CONFIG}"));
    let call = || {
        let (mut command, another) = machine.command_of_another("alice");
        (crate::run(&mut command, b"x\n"), another)
    };
    assert_eq!(call().0.exit, 0);
    machine.alice(1);
    let (ran, another) = call();
    assert_eq!(ran.exit, 75, "{}", ran.said);
    assert!(ran.said.contains("451 4.7.1"), "{}", ran.said);
    let told = text(&machine.server.maildir("example.org", "postmaster").wait_for_one().content);
    assert!(told.contains(&format!("userid {another} has reached a limit")), "{told}");
    assert!(told.contains("sendmail.messages_per_day"), "{told}");
    if crate::uid() == 0 {
        machine.sends("alice", b"x\n");
        machine.sends("alice", b"x\n");
        machine.alice(3);
    }
}

#[test]
fn a_server_that_has_no_time_leaves_the_message_to_the_maildrop() {
    let policy = "at connect {\n    rule busy when listener.kind is local\n        disconnect 421 4.3.2 \"not now\"\n}\n";
    let machine = Machine::with(Setup {
        config: Some(format!("policy.file = \"site.policy\"\n{CONFIG}")),
        files: vec![("site.policy", policy.to_owned())],
        ..Setup::default()
    });
    machine.sends("alice", b"x\n");
    assert_eq!(machine.dropped().len(), 1);
    machine.server.wait_for_log("a message stays in the maildrop for now: 421");
}

#[test]
fn a_server_that_takes_no_mail_is_a_temporary_failure() {
    let setup = Setup { config: Some(CONFIG.to_owned()), fault: Some("spool-write"), ..Setup::default() };
    let machine = Machine::with(setup);
    let ran = machine.sendmail("alice", b"x\n");
    assert_eq!(ran.exit, 75, "{}", ran.said);
    assert!(ran.said.contains("451 4.3.0"), "{}", ran.said);
}

#[test]
fn nothing_is_taken_where_the_site_does_not_want_it() {
    let machine = Machine::with_config(&format!("sendmail.enabled = false\n{CONFIG}"));
    assert!(!machine.state().join("submit.sock").exists());
    let ran = machine.sendmail("alice", b"x\n");
    assert_eq!(ran.exit, 78, "{}", ran.said);
}

#[test]
fn a_state_directory_that_is_not_there_is_a_fault_of_the_configuration() {
    let server = Server::zero_configuration();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("--state").arg(server.folder().join("elsewhere")).args(["sendmail", "alice"]);
    let ran = crate::run(&mut command, b"x\n");
    assert_eq!(ran.exit, 78, "{}", ran.said);
    assert!(fs::metadata(server.folder().join("elsewhere")).is_err());
}
