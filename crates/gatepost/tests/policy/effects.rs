//! What a rule does besides answering: each effect reaches the message it was meant for, and no other.

use std::fs;
use std::time::Duration;

use crate::harness::{Letter, now};
use crate::site::Site;

const MESSAGE: &[u8] = b"From: ann@client.example\r\nSubject: hello\r\n\r\nhello\r\n";

/// The effect of a rule at `stage` when `condition` holds.
fn rule(stage: &str, condition: &str, effect: &str) -> String {
    format!("at {stage} {{\n    rule it when {condition}\n        {effect}\n}}\n")
}

fn header(letter: &Letter) -> String {
    let content = String::from_utf8_lossy(&letter.content).into_owned();
    format!("Received: {}\n{}", letter.received, content.split("\r\n\r\n").next().unwrap())
}

#[test]
fn a_tag_stands_in_the_log() {
    let site = Site::new(&rule("mail", "sender.local == \"sender\"", "tag \"seen\""), "");
    site.session(2).deliver("bob@example.org", MESSAGE);
    site.server.wait_for_log("seen");
}

#[test]
fn a_header_field_stands_on_top_of_small_and_large_messages() {
    let policy = rule("message", "message.size > 0 kB", "add header \"X-Client\" \"{client.ip} {{x}}\"");
    let site = Site::new(&policy, "");
    let mut client = site.session(2);
    client.deliver("bob@example.org", MESSAGE);
    let large = [MESSAGE, "0123456789abcde\r\n".repeat(130_000).as_bytes()].concat();
    client.deliver("bob@example.org", &large);
    let maildir = site.server.maildir("example.org", "bob");
    maildir.wait_for(2);
    for file in maildir.files() {
        let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
        let field = text.find("X-Client: 127.0.0.2 {x}\r\n").expect("the field is there");
        assert!(field < text.find("Subject:").unwrap());
        assert!(text.ends_with("hello\r\n") || text.len() > 2_000_000, "{} octets", text.len());
    }
}

#[test]
fn a_field_that_holds_what_a_client_wrote_is_ascii_and_has_short_lines() {
    let policy =
        rule("message", "message.subject is present", "add header \"X-Subject\" \"{message.subject}\"");
    let site = Site::new(&policy, "");
    let words = "=?utf-8?q?gr=C3=BC=C3=9Fe=0D=0ABcc:_x?= ".repeat(60);
    let message = format!(
        "From: ann@client.example\r\nSubject: {}\r\n\r\nhello\r\n",
        words.trim().replace("?= =?", "?=\r\n =?")
    );
    site.session(2).deliver("bob@example.org", message.as_bytes());
    site.server.maildir("example.org", "bob").wait_for(1);
    let file = site.server.maildir("example.org", "bob").files().remove(0);
    let octets = fs::read(file).unwrap();
    let text = String::from_utf8_lossy(&octets);
    let head = text.split("\r\n\r\n").next().unwrap();
    assert!(head.contains("X-Subject:"), "{head}");
    assert!(head.is_ascii(), "a header section is ASCII: {head}");
    assert!(head.split("\r\n").all(|line| line.len() <= 998), "RFC 5322 §2.1.1: {head}");
    assert!(!head.contains("\r\nBcc:"), "{head}");
}

#[test]
fn what_is_held_or_in_quarantine_waits_until_it_is_released() {
    for effect in ["hold", "quarantine"] {
        let mut site = Site::new(&rule("recipient", "recipient.local == \"bob\"", effect), "");
        let mut client = site.session(2);
        client.deliver("bob@example.org", MESSAGE);
        client.deliver("alice@example.org", MESSAGE);
        // The one that came later is there, the one before is not.
        site.server.maildir("example.org", "alice").wait_for(1);
        assert!(site.server.maildir("example.org", "bob").files().is_empty(), "{effect}");
        site.server.stop();
        let list = site.server.queue(&["list"]);
        assert!(list.contains("bob@example.org"), "{effect}: {list}");
        let id = list.split_whitespace().find(|word| word.len() == 11).expect("a queue id").to_owned();
        site.server.queue(&["release", &id]);
        site.server.start_again();
        site.server.maildir("example.org", "bob").wait_for(1);
    }
}

#[test]
fn a_redirection_takes_the_mail_of_one_recipient_elsewhere() {
    let site =
        Site::new(&rule("recipient", "recipient.local == \"bob\"", "redirect to \"alice@example.org\""), "");
    site.session(2).deliver("bob@example.org", MESSAGE);
    let letter = site.server.maildir("example.org", "alice").wait_for_one();
    assert!(header(&letter).contains("Subject: hello"));
    assert!(site.server.maildir("example.org", "bob").files().is_empty());
}

#[test]
fn what_is_discarded_is_accepted_logged_and_gone() {
    let site = Site::new(&rule("recipient", "recipient.local == \"bob\"", "discard"), "");
    let mut client = site.session(2);
    client.deliver("bob@example.org", MESSAGE);
    site.server.wait_for_log("thrown away");
    client.transaction(&["bob@example.org", "alice@example.org"]);
    client.data(MESSAGE, "250 2.6.0");
    site.server.maildir("example.org", "alice").wait_for(1);
    assert!(site.server.maildir("example.org", "bob").files().is_empty());
}

#[test]
fn two_rules_that_discard_one_recipient_discard_it_once() {
    let policy = "at recipient {\n    rule one when recipient.local == \"bob\"\n        discard\n\n    \
                  rule two when recipient.local == \"bob\"\n        discard\n}\n";
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    client.deliver("bob@example.org", MESSAGE);
    site.server.wait_for_log("thrown away");
    client.transaction(&["bob@example.org", "alice@example.org"]);
    client.data(MESSAGE, "250 2.6.0");
    site.server.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn what_was_decided_for_a_recipient_that_is_refused_touches_no_other() {
    for effect in
        ["discard", "hold", "quarantine", "redirect to \"erin@example.org\"", "add header \"X-Bad\" \"1\""]
    {
        let policy = format!(
            "at recipient {{\n    rule effect when recipient.local == \"bob\"\n        {effect}\n\n    \
             rule refuse when recipient.local == \"bob\"\n        reject 550 5.7.1 \"not bob\"\n}}\n"
        );
        let site = Site::new(&policy, "");
        let mut client = site.session(2);
        client.transaction(&[]);
        client.ask_for("RCPT TO:<bob@example.org>", "550 5.7.1");
        client.ask_for("RCPT TO:<alice@example.org>", "250");
        client.data(MESSAGE, "250 2.6.0");
        let letter = site.server.maildir("example.org", "alice").wait_for_one();
        assert!(!header(&letter).contains("X-Bad"), "{effect}");
    }
}

#[test]
fn a_new_ehlo_replaces_what_was_decided_for_the_one_before() {
    let site = Site::new(&rule("helo", "helo.name == \"odd.example\"", "tag \"odd\""), "");
    let mut client = site.server.connect(2);
    client.expect("220");
    client.ask_for("EHLO odd.example", "250");
    client.ask_for("EHLO odd.example", "250");
    client.deliver("bob@example.org", MESSAGE);
    client.ask_for("EHLO even.example", "250");
    client.deliver("alice@example.org", MESSAGE);
    site.server.wait_for_lines(2, &["gatepost::accept"]);
    let log = site.server.log();
    let accepted: Vec<&str> = log.lines().filter(|line| line.contains("gatepost::accept")).collect();
    assert!(accepted[0].contains("tags=\"odd\""), "{accepted:#?}");
    assert!(!accepted[1].contains("odd"), "{accepted:#?}");
}

#[test]
fn a_tarpit_makes_its_client_wait_and_nobody_else() {
    let policy = rule("recipient", "client.ip == 127.0.0.2", "tarpit 60s")
        + "at mail {\n    rule other when client.ip == 127.0.0.4\n        tarpit 1s\n}\n";
    let site = Site::new(&policy, "");
    let mut slow = site.session(2);
    slow.transaction(&[]);
    slow.send(b"RCPT TO:<bob@example.org>\r\n");
    // Whole messages of other clients are through before.
    site.session(3).deliver("alice@example.org", MESSAGE);
    let begun = now();
    site.session(4).deliver("alice@example.org", MESSAGE);
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    site.server.maildir("example.org", "alice").wait_for(2);
    assert!(!slow.has_input(), "the reply came at once");
}

#[test]
fn what_is_decided_on_the_whole_message_concerns_each_recipient_however_it_came() {
    let policy = "at message {\n    rule gone when message.subject == \"gone\"\n        discard\n\n    \
                  rule elsewhere when message.subject == \"moved\"\n        redirect to \"alice@example.org\"\n\n    \
                  rule held when message.subject == \"held\"\n        hold\n}\n";
    let site = Site::new(policy, "");
    let mut client = site.session(2);
    for subject in ["gone", "moved", "held"] {
        let message = format!("From: ann@client.example\r\nSubject: {subject}\r\n\r\nhello\r\n");
        client.transaction(&["bob@example.org", "alice@example.org"]);
        client.data(message.as_bytes(), "250 2.6.0");
        client.transaction(&["bob@example.org"]);
        client.send(format!("BDAT {} LAST\r\n{message}", message.len()).as_bytes());
        client.expect("250");
    }
    client.deliver("bob@example.org", MESSAGE);
    let letters = site.server.maildir("example.org", "alice").wait_for(2);
    assert!(letters.iter().all(|letter| header(letter).contains("Subject: moved")));
    let letter = site.server.maildir("example.org", "bob").wait_for_one();
    assert!(header(&letter).contains("Subject: hello"));
    site.server.wait_for_lines(2, &["thrown away"]);
    assert_eq!(site.server.log().matches("thrown away").count(), 2);
}

#[test]
fn a_redirection_to_nobody_is_no_loss() {
    let site = Site::new(&rule("message", "message.size > 0 kB", "redirect to \"nobody@example.org\""), "");
    let mut client = site.session(2);
    client.ask_for("MAIL FROM:<bob@example.org>", "250");
    client.ask_for("RCPT TO:<alice@example.org>", "250");
    client.data(MESSAGE, "250 2.6.0");
    // Whoever sent it hears that it could not be delivered.
    let notice = site.server.maildir("example.org", "bob").wait_for_one();
    assert!(String::from_utf8_lossy(&notice.content).contains("alice@example.org"));
}
