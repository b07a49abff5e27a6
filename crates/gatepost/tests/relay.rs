//! Mail for other domains: through a smart host, again after a deferral, and back to its sender when it can't go.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::net::SocketAddr;

use harness::{Letter, Peer, Server, finish, program, script};

const MESSAGE: &[u8] = b"Subject: onwards\r\n\r\n.dot\r\nhello\r\n";

/// A site that sends mail for other domains to `smart_host` and takes it from loopback.
fn outbound(smart_host: SocketAddr) -> Server {
    Server::with_config(&format!(
        "hostname = \"out.client.example\"\n[relay]\nsmart_host = \"{smart_host}\"\n[queue]\nretry_first = \"1s\"\n\
         [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n\
         carol = {{ forward = \"carol@example.org\" }}\n\
         team = {{ members = [\"refused@example.org\"], owner = \"sender\" }}\n"
    ))
}

fn send(server: &Server, recipient: &str) {
    // A message as the octets stand on the wire has its dots stuffed.
    server.session().deliver(recipient, b"Subject: onwards\r\n\r\n..dot\r\nhello\r\n");
}

/// What Python's email package reads in the DSN that came to the local sender.
fn read_report(server: &Server) -> (Letter, String) {
    let letter = server.maildir("client.example", "sender").wait_for_one();
    assert_eq!(letter.return_path, "<>", "a DSN has the null reverse-path");
    let printed = finish(program("python3").arg(script("report_reader.py")), &letter.content);
    (letter, printed)
}

#[test]
fn a_message_goes_through_a_smart_host_into_a_maildir() {
    let inbound = Server::every_code();
    let outbound = outbound(inbound.address());
    send(&outbound, "alice@example.org");
    let letter = inbound.maildir("example.org", "alice").wait_for_one();
    assert_eq!(letter.return_path, "<sender@client.example>");
    assert!(letter.received.contains("from out.client.example ([127.0.0.1])"), "{}", letter.received);
    let content = String::from_utf8(letter.content).unwrap();
    assert!(content.starts_with("Received: from client.example"), "{content}");
    assert!(content.ends_with(std::str::from_utf8(MESSAGE).unwrap()), "{content}");
}

#[test]
fn a_forward_goes_through_the_smart_host() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let server = outbound(peer.address());
    send(&server, "carol@client.example");
    let seen = peer.wait_for(1);
    assert!(
        seen.commands.iter().any(|command| command.starts_with("MAIL FROM:<sender@client.example>")),
        "{seen:?}"
    );
    assert!(
        seen.commands.iter().any(|command| command.starts_with("RCPT TO:<carol@example.org>")),
        "{seen:?}"
    );
    assert!(seen.messages[0].ends_with(MESSAGE), "{seen:?}");
}

#[test]
fn a_deferred_message_is_tried_again_and_goes() {
    let peer = Peer::start(&["451 4.3.0 not now", "452 4.3.1 not yet", "250 2.0.0 taken"]);
    let mut server = outbound(peer.address());
    send(&server, "bob@example.org");
    let messages = peer.wait_for(3).messages;
    assert!(messages.iter().all(|message| *message == messages[0] && message.ends_with(MESSAGE)));
    server.wait_for_empty_queue();
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    assert!(server.maildir("client.example", "sender").files().is_empty(), "a deferral is no failure");
}

#[test]
fn a_message_waits_while_the_smart_host_is_away() {
    let mut inbound = Server::every_code();
    inbound.stop();
    let outbound = outbound(inbound.address());
    send(&outbound, "alice@example.org");
    inbound.start_again();
    inbound.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn a_refused_recipient_is_reported_to_the_sender() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let server = outbound(peer.address());
    send(&server, "refused@example.org");
    let (_, report) = read_report(&server);
    for line in [
        "multipart/report delivery-status",
        "Final-Recipient: rfc822; refused@example.org",
        "Action: failed",
        "Status: 5.1.1",
        "Diagnostic-Code: smtp; 550 5.1.1 no such mailbox at the peer",
        "Subject: onwards",
    ] {
        assert!(report.contains(line), "{line:?} is missing: {report}");
    }
    assert!(peer.seen().messages.is_empty());
}

#[test]
fn a_message_refused_after_its_data_is_reported_to_the_sender() {
    let peer = Peer::start(&["554 5.6.0 I don't like it"]);
    let server = outbound(peer.address());
    send(&server, "bob@example.org");
    let (_, report) = read_report(&server);
    assert!(report.contains("Status: 5.6.0") && report.contains("554 5.6.0 I don't like it"), "{report}");
    assert_eq!(peer.seen().messages.len(), 1, "a failure for good is not tried again");
}

#[test]
fn one_recipient_refused_and_one_taken() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let server = outbound(peer.address());
    let mut client = server.session();
    client.transaction(&["refused@example.org", "bob@example.org"]);
    client.data(MESSAGE.strip_suffix(b".dot\r\nhello\r\n").unwrap(), "250 2.6.0");
    let (_, report) = read_report(&server);
    assert!(report.contains("refused@example.org") && !report.contains("bob@example.org"), "{report}");
    peer.wait_for(1);
}

#[test]
fn a_delivery_is_reported_where_the_sender_wants_that() {
    let server = outbound(Peer::start(&["250 2.0.0 taken"]).address());
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example> RET=HDRS ENVID=QQ314159", "250 2.1.0");
    client.ask_for("RCPT TO:<postmaster@client.example> NOTIFY=SUCCESS,FAILURE", "250 2.1.5");
    client.data(b"Subject: onwards\r\n\r\n", "250 2.6.0");
    let (letter, report) = read_report(&server);
    let final_recipient = "Final-Recipient: rfc822; postmaster@client.example";
    for line in ["multipart/report delivery-status", final_recipient, "Action: delivered", "Status: 2."] {
        assert!(report.contains(line), "{line:?} is missing: {report}");
    }
    let text = String::from_utf8_lossy(&letter.content).into_owned();
    assert!(text.contains("Original-Envelope-Id: QQ314159"), "{text}");
}

#[test]
fn a_failure_that_the_sender_does_not_want_to_hear_of_is_not_reported() {
    let mut server = outbound(Peer::start(&["250 2.0.0 taken"]).address());
    let mut client = server.session();
    client.transaction(&[]);
    client.ask_for("RCPT TO:<refused@example.org> NOTIFY=NEVER", "250 2.1.5");
    client.data(b"Subject: onwards\r\n\r\n", "250 2.6.0");
    drop(client);
    server.wait_for_empty_queue();
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    assert!(server.maildir("client.example", "sender").files().is_empty());
}

#[test]
fn the_owner_of_a_list_hears_of_failures_whatever_the_sender_wants_to_hear() {
    let server = outbound(Peer::start(&["250 2.0.0 taken"]).address());
    let mut client = server.session();
    client.ask_for("MAIL FROM:<ann@elsewhere.example> RET=FULL ENVID=QQ314159", "250 2.1.0");
    client.ask_for("RCPT TO:<team@client.example> NOTIFY=NEVER", "250 2.1.5");
    client.data(b"Subject: onwards\r\n\r\nnot returned\r\n", "250 2.6.0");
    let (letter, report) = read_report(&server);
    assert!(report.contains("Action: failed") && report.contains("refused@example.org"), "{report}");
    let text = String::from_utf8_lossy(&letter.content).into_owned();
    assert!(!text.contains("QQ314159") && !text.contains("not returned"), "{text}");
}

#[test]
fn no_dsn_answers_a_dsn() {
    let peer = Peer::start(&["250 2.0.0 taken"]);
    let mut server = outbound(peer.address());
    let mut client = server.session();
    client.ask_for("MAIL FROM:<>", "250 2.1.0");
    client.ask_for("RCPT TO:<refused@example.org>", "250 2.1.5");
    client.data(b"Subject: a notice\r\n\r\n", "250 2.6.0");
    drop(client);
    server.wait_for_empty_queue();
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    assert!(peer.seen().commands.iter().any(|command| command.starts_with("RCPT TO:<refused@example.org>")));
    for mailbox in ["sender", "postmaster"] {
        assert!(server.maildir("client.example", mailbox).files().is_empty(), "{mailbox} got a DSN");
    }
}
