//! Who is served, for how long, and how a connection ends: limits, time-outs, other protocols, early talkers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::time::Duration;

use harness::{Dialogue, Server, now, wait_for};

/// A site whose limits hold for the tests' clients too, with `lines` in its `[limits]`.
fn limited(lines: &str) -> Server {
    with_sections(&format!("[limits]\n{lines}\n[clients]\nrelay = []"))
}

fn with_sections(sections: &str) -> Server {
    Server::with_config(&format!(
        "hostname = \"mx.example.org\"\n{sections}\n[domain.\"example.org\".mailbox]\npostmaster = {{}}\n"
    ))
}

/// A connection that is greeted with 421 and closed.
fn expect_turned_away(client: &mut Dialogue, code: &str, words: &str) {
    let reply = client.expect_last(code, "mx.example.org");
    assert!(reply.says(words), "{reply}");
}

#[test]
fn the_sixth_connection_from_an_address_is_turned_away_and_others_are_not() {
    let server = Server::every_code();
    let mut open: Vec<Dialogue> = (0..5).map(|_| server.session_from(4)).collect();
    expect_turned_away(&mut server.connect(4), "421 4.7.0", "127.0.0.4");
    server.session_from(5);
    open[0].ask_for("NOOP", "250 2.0.0");
    open[0].ask_for("QUIT", "221 2.0.0");
    open.remove(0);
    wait_for("the place of a session that ended", || {
        server.connect(4).reply_or_close().filter(|reply| reply.is("220"))
    });
}

#[test]
fn connections_in_all_are_limited() {
    let server = limited("connections = 2\nconnections_per_address = 2\nconnections_per_network = 2");
    let _open = [server.session_from(2), server.session_from(3)];
    expect_turned_away(&mut server.connect(4), "421 4.3.2", "too many connections");
}

#[test]
fn connections_from_one_network_are_limited() {
    let server = limited("connections_per_address = 2\nconnections_per_network = 2");
    let _open = [server.session_from(2), server.session_from(3)];
    expect_turned_away(&mut server.connect(4), "421 4.7.0", "network of 127.0.0.4");
}

#[test]
fn new_connections_a_minute_are_limited() {
    let server = limited("new_connections_per_minute = 3");
    for _ in 0..3 {
        server.session_from(2).ask_for("QUIT", "221");
    }
    expect_turned_away(&mut server.connect(2), "421 4.7.0", "too often");
    server.session_from(3);
}

#[test]
fn the_sites_own_clients_are_not_limited_by_address() {
    let server = with_sections("[limits]\nconnections_per_address = 1\n[clients]\nrelay = [\"127.0.0.2\"]");
    let _open = [server.session_from(2), server.session_from(2)];
    let _one = server.session_from(3);
    expect_turned_away(&mut server.connect(3), "421 4.7.0", "127.0.0.3");
}

#[test]
fn ten_silent_seconds_end_a_session() {
    let server = Server::every_code();
    let start = now();
    let mut client = server.session();
    let reply = client.expect_last("421 4.4.2", "mx.example.org");
    assert!(reply.says("waited too long for a command"), "{reply}");
    let waited = start.elapsed();
    assert!(waited >= Duration::from_secs(10), "ended after {waited:?}");
}

#[test]
fn a_session_has_an_end_however_busy() {
    let server = limited("command_timeout = \"1s\"\nsession_timeout = \"1s\"");
    let mut client = server.connect(1);
    // The greeting may be too late.
    let last = std::iter::from_fn(|| client.reply_or_close()).last().unwrap();
    assert!(last.is("421 4.4.2") && last.says("mx.example.org: the session lasted too long"), "{last}");
}

#[test]
fn mail_data_that_stop_coming_end_a_session_and_nothing_is_stored() {
    let mut server = limited("data_timeout = \"2s\"");
    let mut client = server.session();
    client.transaction(&["postmaster@example.org"]);
    client.ask_for("DATA", "354");
    client.send(b"Subject: half\r\n\r\nha");
    expect_turned_away(&mut client, "421 4.4.2", "waited too long for data");
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
}

#[test]
fn refused_data_without_an_end_hear_their_refusal_before_the_close() {
    let server = limited("data_timeout = \"3m\"");
    let mut client = server.session();
    client.transaction(&["postmaster@example.org"]);
    client.ask_for("DATA", "354");
    client.send(b"Subject: a client that ends lines with LF\n\nhello\n.\n");
    client.expect("554 5.6.0");
    expect_turned_away(&mut client, "421 4.4.2", "waited too long");
}

#[test]
fn the_twentieth_error_has_its_reply_and_then_the_session_ends() {
    let server = Server::every_code();
    let mut client = server.session();
    for _ in 0..19 {
        client.ask_for("TEA", "500 5.5.1");
    }
    client.ask_for("RCPT TO:<alice@example.org>", "503 5.5.1");
    client.expect_last("421 4.7.0", "mx.example.org");

    let mut client = server.session();
    client.send(&b"TEA\r\n".repeat(30));
    for _ in 0..20 {
        client.expect("500 5.5.1");
    }
    client.expect_last("421 4.7.0", "mx.example.org");
}

#[test]
fn messages_in_a_session_are_limited() {
    let server = limited("messages_per_session = 2");
    let mut client = server.session();
    for _ in 0..2 {
        client.deliver("postmaster@example.org", b"Subject: one of two\r\n\r\n");
    }
    client.send(b"MAIL FROM:<sender@client.example>\r\n");
    expect_turned_away(&mut client, "421 4.7.0", "too many messages");
}

#[test]
fn other_protocols_are_closed_at_once() {
    let server = Server::every_code();
    for first in [
        &b"GET / HTTP/1.1\r\nHost: mx.example.org\r\n\r\n"[..],
        b"POST /mail HTTP/1.1\r\nContent-Length: 22\r\n\r\nMAIL FROM:<a@b.example>\r\n",
        b"CONNECT mx.example.org:25 HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03",
    ] {
        let mut client = server.connect(2);
        client.expect("220");
        client.send(first);
        let reply = client.expect_last("421", "mx.example.org");
        assert!(reply.says("SMTP server"), "{reply}");
    }
    server.wait_for_log("ForeignProtocol");
}

#[test]
fn early_talkers_are_refused_where_the_site_wants_that() {
    let server = with_sections("[clients]\nearly_talkers = \"refuse\"\ngreeting_delay = \"30s\"");
    let mut client = server.connect(2);
    client.send(b"EHLO client.example\r\n");
    let greeting = client.expect("554 5.5.1");
    assert!(greeting.says("127.0.0.2 spoke before the greeting"), "{greeting}");
    client.expect("503 5.5.1");
    client.ask_for("QUIT", "221 2.0.0");
}

#[test]
fn early_talkers_are_noted_and_served_otherwise() {
    let server = with_sections("[clients]\nearly_talkers = \"note\"\ngreeting_delay = \"30s\"");
    let mut client = server.connect(2);
    client.send(b"EHLO client.example\r\n");
    client.expect("220");
    client.expect("250");
    server.wait_for_log("EarlyTalker");
}
