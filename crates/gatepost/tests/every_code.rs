//! The site of `examples/every-code` over TCP: each row of its README, each reply code from its own condition.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use harness::{Dialogue, Server, Setup, every_code_config};

/// One octet more than the site takes.
const OVER_THE_LIMIT: usize = 1024 * 1024 + 1;

/// The client whom the site tells no addresses and no counts.
const STRANGER: u8 = 3;

/// The client whom the site refuses.
const REFUSED: u8 = 9;

/// A session with an open transaction that has no recipient yet.
fn transaction(server: &Server) -> Dialogue {
    let mut client = server.session();
    client.transaction(&[]);
    client
}

#[test]
fn the_greeting_the_hello_and_the_closing_begin_with_the_hostname() {
    let server = Server::every_code();
    let mut client = server.connect(1);
    assert!(client.expect("220").lines[0].starts_with("220 mx.example.org ESMTP"));
    let hello = client.ask_for("EHLO client.example", "250");
    assert_eq!(hello.lines[0], "250-mx.example.org");
    for extension in [
        "PIPELINING",
        "8BITMIME",
        "CHUNKING",
        "BINARYMIME",
        "SMTPUTF8",
        "ENHANCEDSTATUSCODES",
        "DSN",
        "HELP",
        "VRFY",
        "EXPN",
        "SIZE 1048576",
        "LIMITS MAILMAX=1000 RCPTMAX=10",
    ] {
        assert!(hello.lines.iter().any(|line| &line[4..] == extension), "{extension} is missing: {hello}");
    }
    assert_eq!(client.ask("HELO client.example").to_string(), "250 mx.example.org");
    assert!(client.ask_for("QUIT", "221 2.0.0").says("221 2.0.0 mx.example.org"));
    client.expect_close();
}

#[test]
fn extensions_that_a_client_may_not_use_are_not_offered_to_it() {
    let server = Server::every_code();
    let mut client = server.connect(STRANGER);
    client.expect("220");
    let hello = client.ask_for("EHLO client.example", "250");
    assert!(hello.lines.iter().all(|line| &line[4..] != "EXPN"), "{hello}");
}

#[test]
fn help_lists_commands_explains_one_and_knows_what_it_does_not_know() {
    let server = Server::every_code();
    let mut client = server.session();
    let help = client.ask_for("HELP", "214 2.0.0");
    assert!(help.says("MAIL RCPT DATA BDAT"), "{help}");
    assert!(help.says("EXPN"), "{help}");
    assert!(!server.session_from(STRANGER).ask_for("HELP", "214 2.0.0").says("EXPN"));
    let topic = client.ask_for("HELP rcpt", "214 2.0.0");
    assert!(
        topic.says("RCPT TO:<forward-path>") && topic.says("RFC 5321") && topic.says("at most 10 recipients"),
        "{topic}"
    );
    client.ask_for("HELP TEA", "504 5.5.4");
}

#[test]
fn the_status_has_counts_for_the_trusted_client_only() {
    let server = Server::every_code();
    let mut client = server.session();
    client.deliver("alice@example.org", b"Subject: one\r\n\r\n");
    let status = client.ask_for("HELP STATUS", "211 2.0.0");
    assert!(status.says("Gatepost ") && status.says("mx.example.org") && status.says("up "), "{status}");
    assert!(status.says("1 open, 1 messages accepted") && status.says("queue: "), "{status}");
    let status = server.session_from(STRANGER).ask_for("HELP STATUS", "211 2.0.0");
    assert!(status.says("Gatepost ") && status.says("up "), "{status}");
    assert!(!status.says("open") && !status.says("queue"), "{status}");
}

#[test]
fn the_status_names_the_address_that_is_listened_on() {
    let server = Server::every_code();
    let status = server.session().ask_for("HELP STATUS", "211 2.0.0");
    assert!(status.says(&format!("listening on {}", server.address())), "{status}");
}

#[test]
fn vrfy_tells_the_truth_to_the_client_that_may_hear_it() {
    let server = Server::every_code();
    let mut client = server.session();
    for (name, code, text) in [
        ("alice", "250 2.1.5", "<alice@example.org>"),
        ("<bob@example.org>", "250 2.1.5", "<bob@example.org>"),
        ("alice+lists@example.org", "250 2.1.5", "alice"),
        ("postmaster", "250 2.1.5", "@example.org>"),
        ("carol", "251 2.1.5", "<carol@elsewhere.example>"),
        ("erin", "551 5.1.6", "<erin@new.example>"),
        ("nobody", "550 5.1.1", "no such mailbox"),
        ("bob@elsewhere.example", "550 5.7.1", "relaying denied"),
    ] {
        let reply = client.ask_for(&format!("VRFY {name}"), code);
        assert!(reply.says(text), "VRFY {name}: {reply}");
    }
    let dave = client.ask("VRFY dave");
    assert!(dave.is("250 2.1.5") || dave.is("252 2.0.0"), "VRFY dave: {dave}");
    assert!(!dave.says("elsewhere.example"), "a forward that is not disclosed was: {dave}");
    client.ask_for("VRFY", "501 5.5.4");
}

#[test]
fn vrfy_conceals_every_address_from_other_clients() {
    let server = Server::every_code();
    let mut client = server.session_from(STRANGER);
    let mut replies: Vec<String> = Vec::new();
    for name in [
        "alice",
        "carol",
        "dave",
        "erin",
        "frank",
        "grace",
        "team",
        "nobody",
        "a@elsewhere.example",
        "postmaster",
    ] {
        replies.push(client.ask_for(&format!("VRFY {name}"), "252 2.0.0").to_string());
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "the reply must not tell addresses apart: {replies:#?}");
}

#[test]
fn expn_lists_members_to_the_client_that_may_ask() {
    let server = Server::every_code();
    let mut client = server.session();
    let reply = client.ask_for("EXPN team", "250 2.1.5");
    assert_eq!(reply.lines, ["250-2.1.5 <alice@example.org>", "250 2.1.5 <bob@example.org>"]);
    client.ask_for("EXPN nobody", "550 5.1.1");
    client.ask_for("EXPN", "501 5.5.4");
    server.session_from(STRANGER).ask_for("EXPN team", "502 5.5.1");
}

#[test]
fn every_kind_of_recipient_has_its_reply() {
    let server = Server::every_code();
    let mut client = transaction(&server);
    for (recipient, code, text) in [
        ("alice@example.org", "250 2.1.5", ""),
        ("ALICE@EXAMPLE.ORG", "250 2.1.5", ""),
        ("bob+lists@example.org", "250 2.1.5", ""),
        ("dave@example.org", "250 2.1.5", ""),
        ("team@example.org", "250 2.1.5", ""),
        ("postmaster", "250 2.1.5", ""),
        ("PostMaster@example.org", "250 2.1.5", ""),
        ("postmaster@mx.example.org", "250 2.1.5", ""),
        ("carol@example.org", "251 2.1.5", "<carol@elsewhere.example>"),
        ("erin@example.org", "551 5.1.6", "<erin@new.example>"),
        ("frank@example.org", "450 4.2.1", "<frank@example.org>"),
        ("grace@example.org", "552 5.2.2", "<grace@example.org>"),
        ("heidi@example.org", "452 4.2.2", "<heidi@example.org>"),
        ("nobody@example.org", "550 5.1.1", "no such mailbox"),
        ("bob@elsewhere.example", "550 5.7.1", "relaying denied"),
        ("bob@[192.0.2.1]", "550 5.7.1", "relaying denied"),
        ("a..b@example.org", "553 5.1.3", "forward-path is not a valid mailbox"),
        ("alice", "553 5.1.3", ""),
        ("ünal@example.org", "553 5.6.7", "SMTPUTF8"),
    ] {
        let reply = client.ask_for(&format!("RCPT TO:<{recipient}>"), code);
        assert!(reply.says(text), "RCPT {recipient}: {reply}");
        assert!(!reply.says("dave@elsewhere"), "a forward that is not disclosed was: {reply}");
    }
    client.data(b"Subject: for the seven that take it\r\n\r\n", "250 2.6.0");
}

#[test]
fn each_refusal_of_mail_has_its_code() {
    let server = Server::every_code();
    let mut client = server.session();
    for (arguments, code) in [
        ("FROM:sender@client.example", "501 5.1.7"),
        ("", "501"),
        ("FROM:<a..b@client.example>", "553 5.1.7"),
        ("FROM:<ünal@client.example>", "553 5.6.7"),
        ("FROM:<a@client.example> BODY=9BIT", "504 5.5.4"),
        ("FROM:<a@client.example> SIZE=big", "501 5.5.4"),
        ("FROM:<a@client.example> SIZE=1 SIZE=2", "501 5.5.4"),
        ("FROM:<a@client.example> COLOUR=red", "555 5.5.4"),
        ("FROM:<a@client.example> SIZE=1048577", "552 5.3.4"),
    ] {
        client.ask_for(&format!("MAIL {arguments}"), code);
    }
    client.ask_for("MAIL FROM:<a@client.example> SIZE=1048576", "250 2.1.0");
}

#[test]
fn commands_out_of_order_are_503() {
    let server = Server::every_code();
    let mut client = server.connect(1);
    client.expect("220");
    for command in ["MAIL FROM:<a@client.example>", "RCPT TO:<alice@example.org>", "DATA"] {
        client.ask_for(command, "503 5.5.1");
    }
    client.ask_for("NOOP", "250 2.0.0");
    client.ask_for("HELP", "214");
    client.ask_for("EHLO client.example", "250");
    client.ask_for("RCPT TO:<alice@example.org>", "503 5.5.1");
    client.ask_for("DATA", "503 5.5.1");
    client.transaction(&[]);
    client.ask_for("DATA", "503 5.5.1");
    client.ask_for("MAIL FROM:<b@client.example>", "503 5.5.1");
    client.ask_for("RCPT TO:<alice@example.org>", "250 2.1.5");
    client.ask_for("RSET", "250 2.0.0");
    client.ask_for("DATA", "503 5.5.1");
    client.transaction(&["alice@example.org"]);
    client.ask_for("EHLO again.example", "250");
    client.ask_for("DATA", "503 5.5.1");
}

#[test]
fn commands_that_are_known_and_not_offered_are_502_and_others_500() {
    let server = Server::every_code();
    let mut client = server.session();
    for command in [
        "SEND FROM:<a@client.example>",
        "SOML FROM:<a@client.example>",
        "SAML FROM:<a@client.example>",
        "TURN",
        "ATRN example.org",
        "ETRN example.org",
        "AUTH PLAIN AGEAYg==",
    ] {
        client.ask_for(command, "502 5.5.1");
    }
    for command in ["TEA", "", "MAILFROM:<a@client.example>", "X"] {
        client.ask_for(command, "500 5.5.1");
    }
}

#[test]
fn the_refused_client_gets_503_to_all_but_quit() {
    let server = Server::every_code();
    let mut client = server.connect(REFUSED);
    let greeting = client.expect("554 5.7.1");
    assert!(greeting.says("mx.example.org") && greeting.says("no SMTP service for you here"), "{greeting}");
    for command in [
        "EHLO client.example",
        "HELO client.example",
        "MAIL FROM:<a@client.example>",
        "RCPT TO:<alice@example.org>",
        "DATA",
        "RSET",
        "NOOP",
        "HELP",
        "HELP STATUS",
        "VRFY alice",
        "EXPN team",
        "TEA",
    ] {
        client.ask_for(command, "503 5.5.1");
    }
    client.ask_for("QUIT", "221 2.0.0");
    client.expect_close();
}

#[test]
fn declared_and_real_sizes_over_the_limit_are_552_and_the_next_message_is_taken() {
    let server = Server::every_code();
    let mut client = server.session();
    client.ask_for(&format!("MAIL FROM:<a@client.example> SIZE={OVER_THE_LIMIT}"), "552 5.3.4");
    client.transaction(&["alice@example.org"]);
    let mut data = b"Subject: too big\r\n\r\n".to_vec();
    while data.len() < OVER_THE_LIMIT {
        data.extend_from_slice(&[b'x'; 76]);
        data.extend_from_slice(b"\r\n");
    }
    client.data(&data, "552 5.3.4");
    client.deliver("alice@example.org", b"Subject: small\r\n\r\n");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert_eq!(letter.content, b"Subject: small\r\n\r\n");
}

#[test]
fn a_message_of_exactly_the_limit_is_taken() {
    let server = Server::every_code();
    let mut client = server.session();
    let mut data = vec![b'x'; OVER_THE_LIMIT - 1];
    for line in data.chunks_mut(64) {
        line[62..].copy_from_slice(b"\r\n");
    }
    client.deliver("alice@example.org", &data);
    assert!(server.maildir("example.org", "alice").wait_for_one().content == data);
}

#[test]
fn the_eleventh_recipient_is_deferred_and_the_message_goes_to_ten() {
    let server = Server::every_code();
    let mut client = transaction(&server);
    for number in 0..10 {
        client.ask_for(&format!("RCPT TO:<alice+{number}@example.org>"), "250 2.1.5");
    }
    client.ask_for("RCPT TO:<bob@example.org>", "452 4.5.3");
    client.data(b"Subject: ten\r\n\r\n", "250 2.6.0");
    let letters = server.maildir("example.org", "alice").wait_for(1);
    assert_eq!(letters[0].content, b"Subject: ten\r\n\r\n");
    assert!(server.maildir("example.org", "bob").files().is_empty());
}

#[test]
fn data_without_a_valid_recipient_are_refused() {
    let server = Server::every_code();
    let mut client = transaction(&server);
    client.ask_for("RCPT TO:<nobody@example.org>", "550 5.1.1");
    client.ask_for("RCPT TO:<bob@elsewhere.example>", "550 5.7.1");
    client.ask_for("DATA", "554 5.5.1");
}

#[test]
fn a_message_that_has_passed_too_many_servers_is_refused() {
    let server = Server::every_code();
    let mut client = server.session();
    let received = b"Received: from a.example by b.example; Mon, 23 Nov 2026 12:00:00 +0000\r\n";
    client.deliver("alice@example.org", &[received.repeat(100), b"\r\n".to_vec()].concat());
    client.transaction(&["alice@example.org"]);
    client.data(&[received.repeat(101), b"\r\n".to_vec()].concat(), "554 5.4.6");
}

#[test]
fn a_full_disk_is_452_and_a_failing_spool_451_and_neither_stores_anything() {
    let start = |fault| {
        Server::start(Setup { config: Some(every_code_config()), fault: Some(fault), ..Setup::default() })
    };
    let mut server = start("disk-full");
    let mut client = server.session();
    client.ask_for("MAIL FROM:<a@client.example>", "452 4.3.1");
    drop(client);
    server.stop();
    assert_eq!(server.queue(&["list"]), "");

    let mut server = start("spool-write");
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    client.data(b"Subject: lost?\r\n\r\n", "451 4.3.0");
    drop(client);
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    assert!(server.maildir("example.org", "alice").files().is_empty());
}

#[test]
fn mail_for_a_sub_address_a_list_and_a_forward_goes_where_it_ought() {
    let mut server = Server::every_code();
    let mut client = server.session();
    client.deliver("bob+lists@example.org", b"Subject: sub-address\r\n\r\n");
    let letter = server.maildir("example.org", "bob").wait_for_one();
    assert_eq!((&*letter.return_path, &*letter.delivered_to), ("<sender@client.example>", "bob@example.org"));
    client.deliver("team@example.org", b"Subject: list\r\n\r\n");
    let letters = server.maildir("example.org", "bob").wait_for(2);
    let list = letters.iter().find(|letter| letter.content == b"Subject: list\r\n\r\n").unwrap();
    assert_eq!(list.return_path, "<alice@example.org>", "mail for a list carries its owner's path");
    server.maildir("example.org", "alice").wait_for(1);
    client.deliver("dave@example.org", b"Subject: forward\r\n\r\n");
    drop(client);
    server.stop();
    let queue = server.queue(&["list"]);
    assert!(queue.contains("dave@elsewhere.example"), "the forward waits for a way to go: {queue}");
}
