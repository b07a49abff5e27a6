//! What a policy does with mail besides refusing it, and that a policy that changes under load never decides by halves.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::harness::{Server, Setup, wait_for};

const EFFECTS: &str = r#"at recipient {
    rule aside when recipient.local == "aside"
        redirect to "bob@example.org"

    rule bin when recipient.local == "bin"
        discard
}

at message {
    rule mark when message.subject contains "mark"
        tag "marked"
        add header "X-Gate" "{message.size} octets, {message.subject}"

    rule suspicious when message.subject contains "suspicious"
        quarantine

    rule look-at-it when message.subject contains "look"
        hold

    rule elsewhere when message.subject contains "elsewhere"
        redirect to "bob@example.org"

    rule away when message.subject contains "away"
        discard
}
"#;

fn site(policy: &str) -> Setup {
    let config = "hostname = \"mx.example.org\"\npolicy.file = \"site.policy\"\n[clients]\ntrusted = [\"127.0.0.1\"]\n[limits]\nmessages_per_session = 1000000\n\
                  [domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\nbob = {}\naside = {}\nbin = {}\n";
    let files = vec![("site.policy", policy.to_owned())];
    Setup { config: Some(config.to_owned()), files, ..Setup::default() }
}

fn message(subject: &str) -> String {
    format!("Subject: {subject}\r\n\r\nhello\r\n")
}

#[test]
fn effects_are_carried_out() {
    let mut server = Server::start(site(EFFECTS));
    let mut session = server.session();
    for (recipient, subject) in [
        ("alice", "mark this"),
        ("aside", "plain"),
        ("bin", "plain"),
        ("alice", "suspicious"),
        ("alice", "look"),
        ("alice", "elsewhere"),
        ("alice", "away"),
    ] {
        session.deliver(&format!("{recipient}@example.org"), message(subject).as_bytes());
    }
    // A large body is on the disk before its subject is decided upon, and gets its field in front all the same.
    let large = message("mark large") + &("y".repeat(70) + "\r\n").repeat(30_000);
    session.deliver("alice@example.org", large.as_bytes());
    session.ask_for("QUIT", "221");

    let alice = server.maildir("example.org", "alice");
    let letters = alice.wait_for(2);
    let texts: Vec<String> =
        alice.files().iter().map(|file| String::from_utf8(fs::read(file).unwrap()).unwrap()).collect();
    assert!(
        texts.iter().all(|text| text.contains("\r\nX-Gate: ") && text.contains("\r\nReceived: ")),
        "{texts:?}"
    );
    let sizes: Vec<usize> = letters.iter().map(|letter| letter.content.len()).collect();
    assert!(sizes.iter().any(|size| *size > 2_000_000), "{sizes:?}");
    let small = texts.iter().find(|text| text.len() < 10_000).unwrap();
    let field = format!("X-Gate: {} octets, mark this\r\n", message("mark this").len());
    assert!(small.contains(&field), "{small}");
    let bob = server.maildir("example.org", "bob").wait_for(2);
    assert!(bob.iter().all(|letter| letter.delivered_to == "bob@example.org"));
    server.wait_for_log("tags=\"marked\"");
    server.wait_for_lines(2, &["thrown away, as the policy wants"]);
    assert_eq!(server.log().matches("thrown away, as the policy wants").count(), 2);
    server.stop();
    let queue = server.queue(&["list"]);
    assert_eq!(queue.matches("attempts, held: not tried yet").count(), 2, "{queue}");
    for (reason, order, done) in
        [("quarantined by the policy", "release", "released"), ("held on arrival", "drop", "dropped")]
    {
        let line = queue.lines().find(|line| line.contains(reason)).unwrap_or_else(|| panic!("{queue}"));
        let id = line.split(' ').next().unwrap();
        assert_eq!(server.queue(&[order, id]), format!("1 recipient of 1 message {done}\n"));
    }
    server.start_again();
    alice.wait_for(3);
    server.wait_for_empty_queue();
    assert!(server.maildir("example.org", "aside").files().is_empty());
    assert!(server.maildir("example.org", "bin").files().is_empty());
}

/// A policy that says at the start and at the end of a transaction which one it is.
fn named(name: &str) -> String {
    format!(
        "at mail {{\n    rule begin\n        add header \"X-Begin\" \"{name}\"\n}}\n\n\
         at recipient {{\n    rule gone when recipient.local == \"gone\"\n        reject 550 5.1.1 \"{name}\"\n}}\n\n\
         at message {{\n    rule end\n        add header \"X-End\" \"{name}\"\n}}\n"
    )
}

#[test]
fn a_policy_that_changes_under_load_decides_whole_transactions() {
    const SESSIONS: u8 = 4;
    const RELOADS: usize = 30;
    let server = Server::start(site(&named("first")));
    let (sent, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    thread::scope(|scope| {
        for client in 1..=SESSIONS {
            let (server, sent, done) = (&server, &sent, &done);
            scope.spawn(move || {
                let mut session = server.session_from(client);
                while !done.load(Ordering::Relaxed) {
                    session.deliver("alice@example.org", message("hello").as_bytes());
                    sent.fetch_add(1, Ordering::Relaxed);
                }
                session.ask_for("QUIT", "221");
            });
        }
        for name in ["second", "first"].into_iter().cycle().take(RELOADS) {
            server.write("site.policy", &named(name));
            server.reload();
            // One of them at least was begun under the new policy.
            let enough = sent.load(Ordering::Relaxed) + usize::from(SESSIONS) + 1;
            wait_for("messages", || (sent.load(Ordering::Relaxed) >= enough).then_some(()));
        }
        // A broken policy never replaces a good one.
        server.write("site.policy", "at mail { rule begin reject 250 \"no\" }");
        server.signal(Signal::HUP);
        server.wait_for_log("configuration not reloaded, the old one stays in force");
        done.store(true, Ordering::Relaxed);
    });
    let sent = sent.into_inner();
    let maildir = server.maildir("example.org", "alice");
    maildir.wait_for(sent);
    let (mut first, mut second) = (0, 0);
    for file in maildir.files() {
        let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
        match (
            text.contains("X-Begin: first\r\nX-End: first\r\n"),
            text.contains("X-Begin: second\r\nX-End: second\r\n"),
        ) {
            (true, false) => first += 1,
            (false, true) => second += 1,
            _ => panic!("decided by halves: {text}"),
        }
    }
    assert!(first > 0 && second > 0 && first + second == sent, "{first} and {second} of {sent}");
}
