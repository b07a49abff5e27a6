//! What a milter hears, what comes of its answers, and what happens when there is none.

use std::process::Command;

use super::harness::{Dialogue, Reply, Server, wait_for};
use super::scripted::{Heard, Scripted};
use super::{letters, site};

const ALICE: &str = "alice@example.org";

const MESSAGE: &[u8] =
    b"From: ann@example.net\r\nSubject: one\r\n folded\r\nX-Old: 1\r\nX-Old: 2\r\n\r\nthe body\r\n";

fn applied(filter: &Scripted) -> Server {
    site(&format!("milter spam = \"{}\" apply\n", filter.address()))
}

fn changes(heard: &Heard) -> Vec<(u8, Vec<u8>)> {
    match heard.kind {
        'E' => vec![
            (b'p', Vec::new()),
            (b'h', b"X-Added\0last\0".to_vec()),
            (b'i', b"\0\0\0\0X-First\0f\0".to_vec()),
            (b'i', b"\0\0\0\x01X-Second\0evil\nBcc: x\0".to_vec()),
            (b'm', b"\0\0\0\x02X-Old\0changed\0".to_vec()),
            (b'm', b"\0\0\0\x01subject\0\0".to_vec()),
            (b'p', Vec::new()),
        ],
        _ => Vec::new(),
    }
}

#[test]
fn a_milter_hears_a_session_in_its_order_and_changes_the_header_section() {
    let filter = Scripted::start(0, changes);
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE, "bob@example.org"]);
    client.data(MESSAGE, "250");
    let letter = &letters(&server, "alice", 1)[0];
    let section = letter.split("\n\n").next().unwrap().replace("\r\n", "\n");
    let at = |field: &str| section.find(field).unwrap_or_else(|| panic!("{field} in {section}"));
    assert!(at("X-First: f") < at("Received: "), "{section}");
    assert!(
        at("Received: ") < at("X-Second: evil\n\tBcc: x\n") && at("X-Second: ") < at("From: ann"),
        "{section}"
    );
    assert!(at("X-Old: 1") < at("X-Old: changed") && at("X-Old: changed") < at("X-Added: last"), "{section}");
    assert!(!section.contains("Subject:") && !section.contains("\nBcc"), "{section}");
    assert!(letter.trim_end().ends_with("the body"));
    assert_eq!(filter.letters(), "OCHMRRTLLLLNBE");
    assert_eq!(filter.last('M'), "<sender@client.example>|");
    assert_eq!(filter.last('R'), "<bob@example.org>|");
    assert_eq!(filter.last('B'), "the body\r\n|".trim_end_matches('|'));
    let macros: Vec<_> = filter.heard().into_iter().filter(|heard| heard.kind == 'D').collect();
    assert!(macros[0].content.starts_with("Cj|mx.example.org|"), "{macros:?}");
    assert!(macros.last().unwrap().content.starts_with("Ei|"), "{macros:?}");
    client.ask_for("QUIT", "221");
    wait_for("the end of the session", || filter.letters().ends_with('Q').then_some(()));
}

#[test]
fn an_aborted_transaction_is_told_and_the_next_one_is_another() {
    let filter = Scripted::start(0, |_| Vec::new());
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    // Of a recipient that is refused without it a milter doesn't hear.
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    client.ask_for("RSET", "250");
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    assert_eq!(filter.letters(), "OCHMRAMRTLLLLNBE");
}

#[test]
fn steps_that_a_milter_does_not_want_or_answer_are_left_out() {
    // No connection, no recipients; fields, EHLO and the body are not answered.
    let filter = Scripted::start(0x1 | 0x8 | 0x80 | 0x2000 | 0x8_0000, changes);
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    assert_eq!(filter.letters(), "OHMTLLLLNBE");
    assert!(letters(&server, "alice", 1)[0].contains("X-Added: last"));
}

/// Mail data of more than a mebibyte.
fn large() -> Vec<u8> {
    let line = b"a line of a large message that goes into a file of its own\r\n";
    [MESSAGE, &line.repeat(40_000)].concat()
}

#[test]
fn a_large_body_comes_in_pieces_and_can_be_skipped() {
    let filter = Scripted::start(0x400, changes);
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(&large(), "250");
    let octets: usize =
        filter.heard().iter().filter(|heard| heard.kind == 'B').map(|heard| heard.octets).sum();
    assert_eq!(octets, large().len() - MESSAGE.len() + "the body\r\n".len());
    assert!(filter.heard().iter().all(|heard| heard.octets <= 65_535));
    let letter = &letters(&server, "alice", 1)[0];
    assert!(
        letter.contains("X-Added: last")
            && letter.contains("X-Old: changed")
            && !letter.contains("Subject: one")
    );
    assert_eq!(letter.matches("a line of a large").count(), 40_000);

    let skipping = Scripted::start(0x400, |heard| match heard.kind {
        'B' => vec![(b's', Vec::new())],
        _ => Vec::new(),
    });
    let server = applied(&skipping);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(&large(), "250");
    assert_eq!(skipping.letters().matches('B').count(), 1);
}

fn replaces(heard: &Heard) -> Vec<(u8, Vec<u8>)> {
    match heard.kind {
        'E' => vec![(b'b', b"another ".to_vec()), (b'b', b"body\r\n".to_vec())],
        _ => Vec::new(),
    }
}

fn enlarges(heard: &Heard) -> Vec<(u8, Vec<u8>)> {
    match heard.kind {
        'E' => vec![(b'b', b"a large body instead\r\n".repeat(20_000)); 4],
        _ => Vec::new(),
    }
}

#[test]
fn a_body_is_replaced_by_a_small_and_by_a_large_one() {
    for (script, line, count) in
        [(replaces as super::scripted::Script, "another body", 1), (enlarges, "a large body instead", 80_000)]
    {
        let filter = Scripted::start(0, script);
        let server = applied(&filter);
        let mut client = server.session();
        for data in [MESSAGE, &large()] {
            client.transaction(&[ALICE]);
            client.data(data, "250");
        }
        for letter in letters(&server, "alice", 2) {
            assert!(letter.contains("Received: ") && letter.contains("Subject: one"), "{letter:.800}");
            assert_eq!(letter.matches(line).count(), count, "{letter:.800}");
            assert!(!letter.contains("the body") && !letter.contains("a line of a large"), "{letter:.800}");
        }
    }
}

#[test]
fn recipients_are_added_and_removed_and_the_sender_changed() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![
            (b'+', b"<bob@example.org>\0".to_vec()),
            (b'-', b"<alice@example.org>\0".to_vec()),
            (b'e', b"<bounces@example.net>\0".to_vec()),
        ],
        _ => Vec::new(),
    });
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    let letter = &letters(&server, "bob", 1)[0];
    assert!(letter.contains("Return-Path: <bounces@example.net>"), "{letter}");
    assert!(server.maildir("example.org", "alice").files().is_empty());
}

#[test]
fn another_takes_the_place_of_the_only_recipient_and_the_last_change_of_the_sender_holds() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![
            (b'-', b"<alice@example.org>\0".to_vec()),
            (b'+', b"<bob@example.org>\0".to_vec()),
            (b'e', b"<first@example.net>\0".to_vec()),
            (b'e', b"<last@example.net>\0".to_vec()),
        ],
        _ => Vec::new(),
    });
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    let letter = &letters(&server, "bob", 1)[0];
    assert!(letter.contains("Return-Path: <last@example.net>"), "{letter}");
}

#[test]
fn refusals_have_the_milters_own_words_where_its_code_may_stand() {
    let filter = Scripted::start(0, |heard| match (heard.kind, heard.content.as_str()) {
        ('R', "<bob@example.org>|") => vec![(b'y', b"550-5.7.9 not you\r\n550 5.7.9 bob\0".to_vec())],
        // 354 is no code of a refusal, 571 of no stage.
        ('T', _) => vec![(b'y', b"571 5.9.9 odd\0".to_vec())],
        _ => Vec::new(),
    });
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    let refused = client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.9");
    assert!(refused.says("not you") && refused.says("bob"), "{refused}");
    let refused = client.ask("DATA");
    assert!(refused.says("5.9.9 odd") && (refused.is("550") || refused.is("554")), "{refused}");
    let mail = Scripted::start(0, |heard| match heard.kind {
        'M' => vec![(b't', Vec::new())],
        _ => Vec::new(),
    });
    let server = applied(&mail);
    server.session().ask_for("MAIL FROM:<ann@example.net>", "451 4.7.1");
    let connect = Scripted::start(0, |heard| match heard.kind {
        'C' => vec![(b'r', Vec::new())],
        _ => Vec::new(),
    });
    applied(&connect).connect(1).expect("554");
}

#[test]
fn discard_and_quarantine_are_done() {
    let filter = Scripted::start(0, |heard| match (heard.kind, heard.content.as_str()) {
        ('R', "<bob@example.org>|") => vec![(b'd', Vec::new())],
        ('E', _) => vec![(b'q', b"looks odd\0".to_vec())],
        _ => Vec::new(),
    });
    let mut server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE, "bob@example.org"]);
    client.data(MESSAGE, "250");
    server.wait_for_log("thrown away, as the policy wants");
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    client.ask_for("QUIT", "221");
    server.stop();
    let queue = server.queue(&["list"]);
    assert!(queue.contains("quarantine"), "{queue}");
    assert!(server.maildir("example.org", "alice").files().is_empty());
}

/// RCPT of a site without its milter.
fn without_milter(options: &str) -> Dialogue {
    let server = site(&format!("milter spam = \"unix:/nonexistent/socket\" {options}\n"));
    let mut client = server.connect(1);
    let greeting = client.reply();
    assert!(greeting.is(if options.contains("accept") { "220" } else { "421" }), "{greeting}");
    client
}

#[test]
fn a_milter_that_is_not_there_defers_unless_the_policy_goes_on_without_it() {
    without_milter("apply");
    without_milter("apply failing defer");
    let server = site("milter spam = \"unix:/nonexistent/socket\" apply failing accept\n");
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    letters(&server, "alice", 1);
}

#[test]
fn a_milter_that_answers_nonsense_is_unsure_and_told_anew() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![(b'?', Vec::new())],
        _ => Vec::new(),
    });
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    let refused = client.data(MESSAGE, "451 4.7.1");
    assert!(refused.says("spam cannot be asked just now"), "{refused}");
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "451 4.7.1");
    assert_eq!(filter.letters(), "OCHMRTLLLLNBEOCHMRTLLLLNBE");
}

#[test]
fn rules_decide_on_what_a_milter_says_and_explain_shows_it() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![(b'y', b"550 5.7.1 too many pills\0".to_vec()), (b'r', Vec::new())],
        _ => Vec::new(),
    });
    let policy = format!(
        "milter spam = \"{}\"\nat recipient {{\n    rule alice when recipient.local == \"alice\"\n        accept\n}}\n\
         at message {{\n    rule pills when spam.verdict is reject\n        reject 554 5.7.1 \"no: {{spam.reply}}\"\n        unsure accept\n}}\n\
         test \"pills are refused\" {{\n    spam.verdict = reject\n    at message expect reject 554 by pills\n}}\n",
        filter.address()
    );
    let server = site(&policy);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    let refused = client.data(MESSAGE, "554 5.7.1");
    assert!(refused.says("no: too many pills"), "{refused}");
    // Asked first at the end, it was told of all that went before.
    assert_eq!(filter.letters(), "OCHMRTLLLLNBE");
    let explained = explain(&server, &refused);
    assert!(explained.contains("spam.verdict") && explained.contains("reject"), "{explained}");
}

/// What `gatepost explain` says of a refusal, once the journal has it.
fn explain(server: &Server, refused: &Reply) -> String {
    let id = refused.to_string();
    let id = id.rsplit_once('[').unwrap().1.trim_end_matches(']').to_owned();
    wait_for("the decision in the journal", || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["explain", &id, "--state"]).arg(server.folder().join("state"));
        let output = command.output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
    })
}

#[test]
fn the_journal_has_what_a_milter_said_of_the_stage_that_was_decided() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'R' => vec![(b'y', b"550 5.1.1 nobody here\0".to_vec())],
        _ => Vec::new(),
    });
    let rule = |name: &str| {
        format!("    rule {name} when spam.verdict is reject\n        reject 550 5.7.1 \"{{spam.reply}}\"\n")
    };
    let server = site(&format!(
        "milter spam = \"{}\"\nat mail {{\n{}}}\nat recipient {{\n{}}}\n",
        filter.address(),
        rule("early"),
        rule("late")
    ));
    let mut client = server.session();
    client.ask_for("MAIL FROM:<ann@example.net>", "250");
    let refused = client.ask_for("RCPT TO:<alice@example.org>", "550 5.7.1");
    let explained = explain(&server, &refused);
    let seen = explained.lines().find(|line| line.contains("spam.verdict") && !line.contains("when"));
    assert!(seen.is_some_and(|line| line.contains("reject") && !line.contains("continue")), "{explained}");
}

#[test]
fn a_rehearsed_session_tells_no_filter_and_takes_what_is_given_of_it() {
    let filter = Scripted::start(0, |_| Vec::new());
    let server = applied(&filter);
    let rehearse = |facts: &str| {
        std::fs::write(server.folder().join("facts"), facts).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("dialogue").arg("--policy").arg(server.folder().join("site.policy"));
        command.args(["--client", "192.0.2.9", "--mail", "a@b.example", "--rcpt", ALICE, "--facts"]);
        command.arg(server.folder().join("facts"));
        let output = command.output().unwrap();
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let refused = rehearse("spam.verdict = reject\nspam.code = 554\nspam.reply = \"pills\"\n");
    assert!(refused.contains("554") && refused.contains("pills"), "{refused}");
    let open = rehearse("");
    assert!(open.contains("421 4.7.1") && open.contains("spam.verdict"), "{open}");
    assert_eq!(filter.letters(), "");
}

#[test]
fn one_milter_sees_what_those_before_it_have_changed() {
    let first = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![(b'h', b"X-First\0here\0".to_vec()), (b'b', b"rewritten\r\n".to_vec())],
        _ => Vec::new(),
    });
    let teller = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![(b'h', b"X-Ignored\0here\0".to_vec()), (b'b', b"ignored\r\n".to_vec())],
        _ => Vec::new(),
    });
    let last = Scripted::start(0, |_| Vec::new());
    let server = site(&format!(
        "milter first = \"{}\" apply\nmilter teller = \"{}\"\nmilter last = \"{}\" apply\n\
         at message {{\n    rule told when teller.verdict is discard\n        discard\n}}\n",
        first.address(),
        teller.address(),
        last.address()
    ));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    assert_eq!(last.last('L'), "X-First|here|");
    assert_eq!(last.last('B'), "rewritten\r\n");
    let letter = &letters(&server, "alice", 1)[0];
    assert!(letter.contains("X-First: here") && letter.trim_end().ends_with("rewritten"), "{letter}");
    assert!(!letter.to_lowercase().contains("ignored"), "{letter}");
}

#[test]
fn a_milter_that_says_nothing_is_waited_for_as_long_as_the_policy_wants() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    // Whoever connects to it gets a connection, and no more.
    let _listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
    let server = site(&format!(
        "milter mute = \"unix:{}\" timeout 200ms\nat mail {{\n    rule bad when mute.verdict is reject\n        \
         reject 550 5.7.1 \"no\"\n        unsure defer 451 4.7.1 \"not now\"\n}}\n",
        path.display()
    ));
    let mut client = server.session();
    let deferred = client.ask_for("MAIL FROM:<ann@example.net>", "451 4.7.1");
    let explained = explain(&server, &deferred);
    assert!(explained.contains("unsure: time-out"), "{explained}");
}

#[test]
fn what_a_milter_changes_without_having_said_so_is_a_failure() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        // Before the end of the message nothing may be changed.
        'N' => vec![(b'h', b"X-Early\0x\0".to_vec())],
        _ => Vec::new(),
    });
    let server = applied(&filter);
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "451 4.7.1");
    assert!(server.maildir("example.org", "alice").files().is_empty());
}

#[test]
fn a_replay_knows_what_a_milter_said_then() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'E' => vec![(b'q', b"odd\0".to_vec())],
        _ => Vec::new(),
    });
    let declared = format!("milter spam = \"{}\"", filter.address());
    let rule = |does: &str| {
        format!(
            "{declared}\nat message {{\n    rule odd when spam.verdict is quarantine\n        {does}\n}}\n"
        )
    };
    let mut server = site(&rule("tag \"odd\""));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    client.ask_for("QUIT", "221");
    server.stop();
    let heard = filter.letters();
    std::fs::write(server.folder().join("new.policy"), rule("reject 550 5.7.1 \"odd: {spam.quarantine}\""))
        .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    command.arg("replay").arg(server.folder().join("new.policy")).args(["--json", "--state"]);
    let output = command.arg(server.folder().join("state")).output().unwrap();
    let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(told.contains("\"odd\"") && told.contains("550"), "{told}");
    assert!(told.contains("\"counterfactual\": 1"), "{told}");
    assert_eq!(filter.letters(), heard, "a replay asks nobody");
}

#[test]
fn a_shadow_refuses_nobody_and_changes_nothing() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'R' | 'E' => vec![(b'h', b"X-Shadow\0x\0".to_vec()), (b'r', Vec::new())],
        _ => Vec::new(),
    });
    let server = site(&format!("shadow milter spam = \"{}\"\n", filter.address()));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(MESSAGE, "250");
    assert!(!letters(&server, "alice", 1)[0].contains("X-Shadow"));
    wait_for("the shadow to be asked", || filter.letters().contains('M').then_some(()));
}

#[test]
fn a_table_of_what_a_milter_says_is_looked_up_at_each_stage() {
    let filter = Scripted::start(0, |heard| match heard.kind {
        'R' => vec![(b'y', b"550 5.1.1 nobody here\0".to_vec())],
        'M' => vec![(b'p', Vec::new())],
        _ => Vec::new(),
    });
    let rule = |name: &str| {
        format!("    rule {name} when meant == \"no\"\n        reject 550 5.7.1 \"{{meant.key}}\"\n")
    };
    let server = site(&format!(
        "milter spam = \"{}\"\ntable meant = {{ \"nobody here\" = \"no\" }} keyed by spam.reply\n\
         at mail {{\n{}}}\nat recipient {{\n{}}}\n",
        filter.address(),
        rule("early"),
        rule("late")
    ));
    let mut client = server.session();
    client.ask_for("MAIL FROM:<ann@example.net>", "250");
    let refused = client.ask_for("RCPT TO:<alice@example.org>", "550 5.7.1");
    assert!(refused.says("nobody here"), "{refused}");
}

#[test]
fn what_is_thrown_away_already_is_thrown_away_whatever_its_size() {
    let filter = Scripted::start(0, changes);
    let server = site(&format!(
        "milter spam = \"{}\" apply\nat recipient {{\n    rule away when recipient.local == \"alice\"\n        discard\n}}\n",
        filter.address()
    ));
    let mut client = server.session();
    for data in [MESSAGE, &large()] {
        client.transaction(&[ALICE]);
        client.data(data, "250");
    }
    assert!(server.maildir("example.org", "alice").files().is_empty());
}
