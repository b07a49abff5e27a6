//! `mailq`, queue runs and `newaliases`.

use std::fs;

use crate::harness::{Peer, wait_for};
use crate::{CONFIG, Machine, run, uid};

#[test]
fn mailq_lists_what_waits() {
    let mut machine = Machine::new();
    let ran = run(&mut machine.command("mailq"), b"");
    assert_eq!((ran.exit, ran.printed.as_str()), (0, "Mail queue is empty\n"));
    machine.server.stop();
    machine.sends("-f root alice", b"x\n");
    let ran = run(&mut machine.command("mailq"), b"");
    assert_eq!(ran.exit, 0, "{}", ran.said);
    let lines: Vec<&str> = ran.printed.lines().collect();
    assert_eq!(lines[0], "-Queue ID- --Size-- ----Arrival Time---- -Sender/Recipient-------");
    assert!(lines[1].contains("(maildrop queue, sender UID "), "{}", lines[1]);
    assert_eq!(lines[2..], ["", "-- 1 Kbytes in 1 Request."]);
}

#[test]
fn mail_that_waits_is_listed_and_tried_again_when_asked() {
    let peer = Peer::start(&[]);
    let closed = peer.address();
    drop(peer);
    let machine = Machine::with_config(&format!(
        "{}\n[queue]\nretry_first = \"1h\"\n[relay]\nsmart_host = \"{closed}\"\ntls = \"off\"\n",
        CONFIG
    ));
    machine.sends("-f root bob@example.net eve@example.net", b"Subject: abroad\n\nx\n");
    let listed = wait_for("the first attempt", || {
        let ran = run(&mut machine.command("mailq"), b"");
        ran.printed.contains('(').then_some(ran.printed)
    });
    for words in ["root@example.org", "bob@example.net", "eve@example.net", "-- 1 Kbytes in 1 Request."] {
        assert!(listed.contains(words), "{words}: {listed}");
    }
    let id = listed.lines().nth(1).unwrap().split([' ', '*', '!']).next().unwrap().to_owned();
    assert_eq!(machine.sendmail("-bp", b"").exit, 0);
    assert_eq!(machine.sendmail(&format!("-qI{id}"), b"").exit, 0);
    machine.server.wait_for_log("attempts=2");
    assert_eq!(machine.sendmail("-q", b"").exit, 0);
    machine.server.wait_for_log("attempts=3");
    assert_eq!(machine.sendmail("-qInothing", b"").exit, 64);
}

#[test]
fn the_queue_is_for_root_and_the_user_of_the_server() {
    let mut machine = Machine::new();
    let (mut command, another) = machine.command_of_another("-bp");
    let is_own = another == uid();
    let ran = run(&mut command, b"");
    assert_eq!(ran.exit, if is_own { 0 } else { 77 }, "{}", ran.said);
    assert_eq!(ran.said.contains("is for root and the server's user alone"), !is_own, "{}", ran.said);
    machine.server.stop();
    // He may put something into the maildrop, and not see what is there.
    let (mut command, _) = machine.command_of_another("alice");
    assert_eq!(run(&mut command, b"x\n").exit, 0);
    let (mut command, _) = machine.command_of_another("-bp");
    assert_eq!(run(&mut command, b"").exit, if is_own { 0 } else { 77 });
    machine.server.start_again();
    let letter = machine.alice(1).remove(0);
    assert!(letter.received.contains(&format!("from userid {another})")), "{}", letter.received);
}

#[test]
fn newaliases_has_tables_read_again() {
    let mut machine = Machine::new();
    let ran = run(&mut machine.command("newaliases"), b"");
    assert_eq!(ran.exit, 0, "{}", ran.said);
    assert!(ran.printed.contains("read its configuration and its tables again"), "{}", ran.printed);
    assert_eq!(machine.sendmail("-bi", b"").exit, 0);
    fs::write(machine.server.folder().join("gatepost.toml"), "colour = \"red\"\n").unwrap();
    let ran = run(&mut machine.command("newaliases"), b"");
    assert_eq!(ran.exit, 78, "{}", ran.printed);
    assert!(ran.said.contains("unknown key `colour`"), "{}", ran.said);
    fs::write(machine.server.folder().join("gatepost.toml"), CONFIG).unwrap();
    machine.server.stop();
    let ran = run(&mut machine.command("newaliases"), b"");
    assert_eq!(ran.exit, 0, "{}", ran.said);
    assert!(ran.printed.contains("no server runs"), "{}", ran.printed);
}
