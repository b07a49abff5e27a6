//! Messages that are handed in while no server runs, and what else may lie in the maildrop.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use crate::harness::wait_for;
use crate::{Machine, text, uid};

#[test]
fn a_message_waits_for_the_server() {
    let mut machine = Machine::new();
    machine.server.stop();
    machine.sends("-f root alice", b"Subject: later\n\nx\0y\rz");
    machine.sends("-t -f root", b"To: alice\nBcc: root\nSubject: too\n\nx\n.\n");
    assert_eq!(machine.dropped().len(), 2);
    // What can't be sent is refused all the same.
    let ran = machine.sendmail("a@b@c", b"x\n");
    assert_eq!(ran.exit, 65, "{}", ran.said);
    assert_eq!(machine.sendmail("-t", b"Subject: nobody\n\n").exit, 64);
    machine.server.start_again();
    let letters = machine.alice(2);
    let contents: Vec<String> = letters.iter().map(|letter| text(&letter.content)).collect();
    assert!(contents.iter().any(|content| content.ends_with("\r\n\r\nxy\r\nz\r\n")), "{contents:?}");
    assert!(contents.iter().all(|content| !content.contains("Bcc")), "{contents:?}");
    for letter in letters {
        assert_eq!(letter.return_path, "<root@example.org>");
        assert!(letter.received.contains(&format!("from userid {})", uid())), "{}", letter.received);
    }
    wait_for("an empty maildrop", || machine.dropped().is_empty().then_some(()));
    assert!(machine.aside().is_empty());
}

#[test]
fn whom_nobody_takes_a_message_for_hears_of_it() {
    let mut machine = Machine::new();
    machine.server.stop();
    machine.sends("-f root nobody.here", b"Subject: lost\n\nx\n");
    machine.server.start_again();
    let report = machine.server.maildir("example.org", "root").wait_for_one();
    assert_eq!(report.return_path, "<>");
    let report = text(&report.content);
    assert!(report.contains("Final-Recipient: rfc822; nobody.here@example.org"), "{report}");
    assert!(report.contains("Subject: lost"), "{report}");
    wait_for("an empty maildrop", || machine.dropped().is_empty().then_some(()));
}

#[test]
fn a_long_message_waits_too() {
    let mut machine = Machine::new();
    machine.server.stop();
    let message = format!("Subject: long\n\n{}", "line\n".repeat(1_000_000));
    machine.sends("alice", message.as_bytes());
    machine.server.start_again();
    assert!(text(&machine.alice(1).remove(0).content).ends_with(&"line\r\n".repeat(1_000_000)));
}

#[test]
fn what_is_no_message_is_moved_aside_and_holds_nothing_up() {
    let mut machine = Machine::new();
    machine.server.stop();
    let (drop, secret) = (machine.state().join("maildrop"), machine.server.folder().join("secret"));
    let order = r#"{"maildrop":1,"user":"root","reverse_path":null,"full_name":null,"recipients":["alice"],"#;
    let rest = r#""from_header":false,"notify":null,"ret":null,"envid":null,"octets":4}"#;
    let whole = format!("{order}{rest}\nx\ny\n");
    fs::write(&secret, &whole).unwrap();
    symlink(&secret, drop.join("new.link")).unwrap();
    fs::hard_link(&secret, drop.join("new.otherwise")).unwrap();
    fs::create_dir_all(drop.join("new.folder/within")).unwrap();
    drop_socket(&drop.join("new.socket"));
    fs::write(drop.join("new.empty"), "").unwrap();
    fs::write(drop.join("new.binary"), [0, 255, b'\n', 13]).unwrap();
    fs::write(drop.join("new.short"), whole.replace("\"octets\":4", "\"octets\":400")).unwrap();
    fs::write(drop.join("new.unknown"), whole.replace("\"maildrop\":1", "\"maildrop\":9")).unwrap();
    fs::write(drop.join("new.nobody"), whole.replace("[\"alice\"]", "[]")).unwrap();
    fs::write(drop.join("new.endless"), "x".repeat(3_000_000)).unwrap();
    fs::write(drop.join("other-name"), &whole).unwrap();
    fs::write(drop.join("new.a\nname"), "x").unwrap();
    fs::write(drop.join("tmp.unfinished"), &whole).unwrap();
    let pipe = std::process::Command::new("mkfifo").arg(drop.join("new.pipe")).status().unwrap();
    assert!(pipe.success());
    fs::write(drop.join("new.good"), &whole).unwrap();
    machine.server.start_again();
    let letter = machine.alice(1).remove(0);
    assert!(text(&letter.content).ends_with("\r\n\r\nx\r\ny\r\n"), "the good one alone came through");
    wait_for("everything to be moved aside", || (machine.aside().len() == 13).then_some(()));
    let left = machine.dropped();
    assert_eq!(left, [drop.join("tmp.unfinished")], "what is not finished is not touched");
    machine.server.wait_for_log("it is moved aside");
    machine.server.wait_for_log("it has other names");
    assert_eq!(machine.alice(1).len(), 1);
    assert_eq!(fs::read_to_string(&secret).unwrap(), whole);
}

/// A socket that nobody listens at.
fn drop_socket(path: &std::path::Path) {
    drop(UnixListener::bind(path).unwrap());
}

#[test]
fn a_message_that_is_deferred_stays() {
    let config = format!("policy.file = \"site.policy\"\n{}", crate::CONFIG);
    let policy = "at recipient {\n    rule later when recipient.local == \"alice\"\n        defer 451 4.7.1 \"not now\"\n}\n";
    let mut machine = Machine::with(crate::harness::Setup {
        config: Some(config),
        files: vec![("site.policy", policy.to_owned())],
        ..crate::harness::Setup::default()
    });
    machine.server.stop();
    machine.sends("alice", b"x\n");
    machine.server.start_again();
    machine.server.wait_for_log("a message stays in the maildrop for now: 451 4.7.1 not now");
    assert_eq!(machine.dropped().len(), 1);
    machine.server.stop();
    fs::write(machine.server.folder().join("site.policy"), "").unwrap();
    machine.server.start_again();
    machine.alice(1);
    wait_for("an empty maildrop", || machine.dropped().is_empty().then_some(()));
}

#[test]
fn others_can_not_list_the_maildrop() {
    let machine = Machine::new();
    let mode = fs::metadata(machine.state().join("maildrop")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o1733);
    let mode = fs::metadata(machine.state().join("maildrop-bad")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o700);
}
