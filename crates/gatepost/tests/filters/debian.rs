//! rspamd, opendkim, clamav-milter and clamd, postgrey and policyd-spf of Debian, unchanged.

use super::filter::Filter;
use super::harness::wait_for;
use super::{letters, site};

const ALICE: &str = "alice@example.org";

/// A message that spam filters refuse wherever they stand (GTUBE).
const GTUBE: &str = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X";

/// The EICAR test file, in two pieces so that no scanner takes this file for it.
const EICAR: [&str; 2] = [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-", "STANDARD-ANTIVIRUS-TEST-FILE!$H+H*"];

fn message(body: &str) -> Vec<u8> {
    format!(
        "From: Ann <ann@example.net>\r\nTo: alice@example.org\r\nSubject: hello\r\n\
         Date: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@example.net>\r\n\r\n{body}\r\n"
    )
    .into_bytes()
}

/// A body of more than a mebibyte, which goes into a file of its own.
fn large(last: &str) -> String {
    format!(
        "{}{last}",
        "nothing to see in this line of the body, and in no other one of them\r\n".repeat(20_000)
    )
}

#[test]
fn opendkim_signs_what_is_stored() {
    let filter = Filter::start("opendkim");
    let server = site(&format!("milter opendkim = \"{}\" apply\n", filter.address()));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(&message("one"), "250");
    client.transaction(&[ALICE]);
    client.data(&message(&large("the end")), "250");
    let letters = letters(&server, "alice", 2);
    for text in &letters {
        assert!(
            text.contains("DKIM-Signature: v=1; a=rsa-sha256;") && text.contains("d=example.net"),
            "{text:.900}"
        );
        assert!(text.contains("Subject: hello\r\n") || text.contains("Subject: hello\n"), "{text:.900}");
    }
    assert!(letters.iter().any(|text| text.trim_end().ends_with("the end")));
}

#[test]
fn rspamd_refuses_with_its_own_words_and_marks_what_it_takes() {
    let filter = Filter::start("rspamd");
    let server = site(&format!("milter rspamd = \"{}\" apply\n", filter.address()));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    let refused = client.data(&message(GTUBE), "554 5.7.1");
    assert!(refused.says("Gtube pattern"), "{refused:?}");
    client.transaction(&[ALICE]);
    client.data(&message("lunch?"), "250");
    letters(&server, "alice", 1);
}

#[test]
fn sessions_come_one_after_the_other() {
    for name in ["opendkim", "clamav", "rspamd"] {
        let filter = Filter::start(name);
        let server = site(&format!("milter filter = \"{}\" apply\n", filter.address()));
        for session in 1..=3 {
            let mut client = server.session();
            client.transaction(&[ALICE]);
            client.ask_for("RSET", "250");
            client.transaction(&[ALICE]);
            client.data(&message("hello"), "250");
            client.ask_for("QUIT", "221");
            client.expect_close();
            let letters = letters(&server, "alice", session);
            let mark = match name {
                "opendkim" => "DKIM-Signature: ",
                "clamav" => "X-Virus-Scanned: ",
                _ => "Received: ",
            };
            assert!(letters.iter().all(|letter| letter.contains(mark)), "{name}: {letters:?}");
        }
    }
}

#[test]
fn rspamd_is_asked_over_http_too() {
    let mut filter = Filter::start("rspamd");
    let server = site(&format!(
        "rspamd scan = \"{}\"\nat message {{\n    rule spam when scan.action == \"reject\" and any scan.symbols == \"GTUBE\"\n        \
         reject 550 5.7.1 \"spam of {{scan.score}} points\"\n        unsure defer 451 4.7.1 \"later\"\n}}\n",
        filter.wait_for_socket("http")
    ));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(&message(GTUBE), "550 5.7.1");
    client.transaction(&[ALICE]);
    client.data(&message(&large("lunch?")), "250");
    letters(&server, "alice", 1);
}

#[test]
fn clamav_milter_refuses_a_virus_and_marks_the_rest() {
    let filter = Filter::start("clamav");
    let server = site(&format!("milter clamav-milter = \"{}\" apply\n", filter.address()));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    let refused = client.data(&message(&EICAR.concat()), "550 5.7.1");
    assert!(refused.says("Infected by Eicar-Test-Signature"), "{refused:?}");
    client.transaction(&[ALICE]);
    client.data(&message("clean"), "250");
    let letter = &letters(&server, "alice", 1)[0];
    assert!(letter.contains("X-Virus-Scanned: "), "{letter}");
}

#[test]
fn clamd_finds_a_virus_at_the_end_of_a_large_message() {
    let mut filter = Filter::start("clamav");
    let server = site(&format!(
        "clamav av = \"{}\"\nat message {{\n    rule virus when av.infected\n        reject 550 5.7.1 \"found {{av.signature}}\"\n        \
         unsure defer 451 4.7.1 \"cannot be scanned just now\"\n}}\n",
        filter.wait_for_socket("clamd")
    ));
    let mut client = server.session();
    for body in [EICAR.concat(), large(&EICAR.concat())] {
        client.transaction(&[ALICE]);
        let refused = client.data(&message(&body), "550 5.7.1");
        assert!(refused.says("found Eicar-Test-Signature"), "{refused:?}");
    }
    client.transaction(&[ALICE]);
    client.data(&message("clean"), "250");
}

#[test]
fn postgrey_makes_a_stranger_wait_and_marks_who_comes_back() {
    let filter = Filter::start("postgrey");
    let server = site(&format!("service postgrey = \"{}\" apply\n", filter.address()));
    let mut client = server.session();
    client.ask_for("MAIL FROM:<ann@example.net>", "250");
    let refused = client.ask_for(&format!("RCPT TO:<{ALICE}>"), "450 4.2.0");
    assert!(refused.says("Greylisted"), "{refused:?}");
    wait_for("postgrey to let it through", || {
        client.ask(&format!("RCPT TO:<{ALICE}>")).is("250").then_some(())
    });
    client.data(&message("at last"), "250");
    let letter = &letters(&server, "alice", 1)[0];
    assert!(letter.contains("X-Greylist: delayed"), "{letter}");
}

#[test]
fn policyd_spf_puts_its_field_in_front() {
    let filter = Filter::start("policyd-spf");
    let server = site(&format!("service spf-engine = \"{}\" apply\n", filter.address()));
    let mut client = server.session();
    client.transaction(&[ALICE]);
    client.data(&message("hello"), "250");
    let letter = &letters(&server, "alice", 1)[0];
    assert!(letter.contains("SPF"), "{letter}");
}
