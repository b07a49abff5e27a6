//! Only CRLF ends a line and CRLF.CRLF the mail data; what breaks that is refused once, never stored, never executed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use harness::{Dialogue, Server};

/// What an attacker hides behind an end of data that is none; the real end stands behind it.
const SMUGGLED: &[u8] = b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\n\
    Subject: smuggled\r\n\r\nhello\r\n.\r\n";

/// Ends of data that are none, because of a bare CR, a bare LF or a NUL.
const FALSE_ENDS: [&[u8]; 14] = [
    b"\n.\n",
    b"\n.\r\n",
    b"\r\n.\n",
    b"\r.\r",
    b"\r.\r\n",
    b"\r\n.\r",
    b"\r\r\n.\r\r\n",
    b"\r\n.\r\r\n",
    b"\n.\r",
    b"\r.\n",
    b"\r\n\0.\r\n",
    b"\r\n.\0\r\n",
    b"\r\n\0\r\n",
    b"\r\0\n.\r\0\n",
];

/// The server ends and holds nothing: neither in its queue nor in a mailbox.
fn expect_nothing_stored(mut server: Server) {
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    for mailbox in ["alice", "bob"] {
        assert!(server.maildir("example.org", mailbox).files().is_empty(), "{mailbox} has mail");
    }
}

/// Nothing but the reply to QUIT comes before the close.
fn expect_nothing_more(mut client: Dialogue) {
    client.ask_for("QUIT", "221 2.0.0");
    client.expect_close();
}

#[test]
fn a_false_end_of_data_is_refused_once_and_nothing_behind_it_is_stored_or_executed() {
    let server = Server::every_code();
    for (source, false_end) in (10..).zip(FALSE_ENDS) {
        let mut client = server.session_from(source);
        client.transaction(&["alice@example.org"]);
        client.ask_for("DATA", "354");
        client.send(&[&b"Subject: outer\r\n\r\nhello"[..], false_end, SMUGGLED].concat());
        let reply = client.expect("554 5.6.0");
        assert!(reply.says("bare") || reply.says("NUL"), "{false_end:?}: {reply}");
        expect_nothing_more(client);
    }
    expect_nothing_stored(server);
}

#[test]
fn a_chunk_with_a_bare_end_of_line_is_refused_once() {
    let server = Server::every_code();
    for (source, false_end) in (10..).zip(FALSE_ENDS) {
        let mut client = server.session_from(source);
        client.transaction(&["alice@example.org"]);
        let chunk = [&b"Subject: outer\r\n\r\nhello"[..], false_end, b"QUIT\r\n"].concat();
        client.send(format!("BDAT {} LAST\r\n", chunk.len()).as_bytes());
        client.send(&chunk);
        client.expect("554 5.6.0");
        expect_nothing_more(client);
    }
    expect_nothing_stored(server);
}

#[test]
fn a_chunk_without_a_readable_size_ends_the_session() {
    let server = Server::every_code();
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    client.send(b"BDAT many LAST\r\nMAIL FROM:<evil@client.example>\r\n");
    client.expect("501 5.5.4");
    client.expect_last("421", "mx.example.org");
    expect_nothing_stored(server);
}

#[test]
fn a_command_line_with_a_bare_end_or_a_nul_is_refused_whole() {
    let server = Server::every_code();
    for line in
        [&b"NOOP\nVRFY alice\r\n"[..], b"NOOP\rVRFY alice\r\n", b"NOOP\0\r\n", b"NOOP\r\r\n", b"\nNOOP\r\n"]
    {
        let mut client = server.session();
        client.send(line);
        client.expect("500 5.5.2");
        expect_nothing_more(client);
    }
}

#[test]
fn a_command_line_over_its_limit_is_discarded_whole() {
    let server = Server::every_code();
    let mut client = server.session();
    client.ask_for(&format!("NOOP {}", "x".repeat(512 - 7)), "250 2.0.0");
    client.ask_for(&format!("NOOP {}", "x".repeat(512 - 6)), "500 5.5.2");
    // Neither its first 512 octets nor what stands behind them is a command.
    client.ask_for(&format!("VRFY alice{}", " ".repeat(600)), "500 5.5.2");
    client.ask_for(&format!("{}NOOP", "x".repeat(512)), "500 5.5.2");
    client.ask_for(&format!("RCPT TO:<{}@example.org>", "x".repeat(100_000)), "500 5.5.2");
    expect_nothing_more(client);
}

#[test]
fn mail_after_a_refused_size_starts_clean() {
    let server = Server::every_code();
    let mut client = server.session();
    client.ask_for("MAIL FROM:<big@client.example> SIZE=9999999", "552 5.3.4");
    client.ask_for("RCPT TO:<alice@example.org>", "503 5.5.1");
    client.ask_for("DATA", "503 5.5.1");
    client.deliver("alice@example.org", b"Subject: clean\r\n\r\n");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert_eq!(letter.return_path, "<sender@client.example>");
}

#[test]
fn arguments_are_as_the_rfc_says() {
    let server = Server::every_code();
    let mut client = server.session();
    for (command, code) in [
        ("RSET now", "501 5.5.4"),
        ("QUIT now", "501 5.5.4"),
        ("DATA now", "501 5.5.4"),
        ("NOOP anything at all", "250 2.0.0"),
        ("EHLO", "501 5.5.4"),
        ("EHLO not_a_domain!", "501 5.5.4"),
        ("EHLO [192.0.2.1]", "250"),
        ("EHLO [IPv6:2001:db8::1]", "250"),
        ("HELO", "501 5.5.4"),
        ("VRFY", "501 5.5.4"),
        ("EXPN", "501 5.5.4"),
        ("BDAT", "501 5.5.4"),
    ] {
        client.ask_for(command, code);
    }
}

#[test]
fn the_case_of_commands_does_not_matter() {
    let server = Server::every_code();
    let mut client = server.connect(1);
    client.expect("220");
    client.ask_for("ehlo client.example", "250");
    client.ask_for("mAIL fROM:<a@client.example> size=10 bOdY=8bitmime", "250 2.1.0");
    client.ask_for("rcpt to:<Alice@Example.ORG> notify=never", "250 2.1.5");
    client.ask_for("Data", "354");
}

#[test]
fn a_group_of_pipelined_commands_is_answered_in_its_order() {
    let server = Server::every_code();
    let mut client = server.session();
    client.send(
        b"MAIL FROM:<a@client.example>\r\nRCPT TO:<alice@example.org>\r\nRCPT TO:<nobody@example.org>\r\nDATA\r\n",
    );
    for code in ["250 2.1.0", "250 2.1.5", "550 5.1.1", "354"] {
        client.expect(code);
    }
    client.send(b"Subject: group\r\n\r\n.\r\nMAIL FROM:<b@client.example>\r\nRSET\r\nVRFY bob\r\nQUIT\r\n");
    for code in ["250 2.6.0", "250 2.1.0", "250 2.0.0", "250 2.1.5", "221 2.0.0"] {
        client.expect(code);
    }
    client.expect_close();
}

#[test]
fn a_client_that_goes_away_inside_its_data_leaves_nothing() {
    let server = Server::every_code();
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    client.ask_for("DATA", "354");
    client.send(b"Subject: half\r\n\r\nhello\r\n");
    drop(client);
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    client.send(b"BDAT 20\r\n12345678901234567890BDAT 20 LAST\r\n1234567890");
    client.expect("250 2.0.0");
    drop(client);
    expect_nothing_stored(server);
}
