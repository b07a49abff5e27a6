//! Proxies in front of the server: whom the PROXY header names is the client, in every respect.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use harness::{Dialogue, Server, finish, program};

const PROXY: u8 = 7;

/// Behind a proxy at 127.0.0.7.
fn server() -> Server {
    limited(20)
}

/// The same, with so many connections at a time from each address.
fn limited(connections: u32) -> Server {
    Server::with_config(&format!(
        "hostname = \"mx.example.org\"\n[limits]\nconnections_per_address = {connections}\n\
         [clients]\nrelay = []\nproxies = [\"127.0.0.7\"]\n\
         [domain.\"example.org\".mailbox]\npostmaster = {{}}\nalice = {{}}\n"
    ))
}

fn proxied(server: &Server, header: &[u8]) -> Dialogue {
    let mut dialogue = server.connect(PROXY);
    dialogue.send(header);
    dialogue
}

fn for_client(server: &Server, address: &str) -> Dialogue {
    proxied(server, format!("PROXY TCP4 {address} 192.0.2.1 40000 25\r\n").as_bytes())
}

#[test]
fn the_client_is_whom_the_header_names() {
    let server = limited(1);
    let mut client = for_client(&server, "203.0.113.9").greeted();
    client.deliver("alice@example.org", b"Subject: hello\r\n\r\nhello\r\n");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert!(letter.received.contains("([203.0.113.9])"), "{}", letter.received);
    // Its limit is its own, and not the proxy's.
    let mut second = for_client(&server, "203.0.113.9");
    assert!(second.expect_last("421 4.7.0", "mx.example.org").says("203.0.113.9"));
    for_client(&server, "203.0.113.10").greeted().ask_for("NOOP", "250");
}

#[test]
fn version_2_and_health_checks() {
    let server = server();
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let mut header = [&signature[..], &[0x21, 0x21, 0, 36]].concat();
    header.extend("2001:db8::9".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    header.extend([0x9c, 0x40, 0, 25]);
    let mut client = proxied(&server, &header).greeted();
    client.deliver("alice@example.org", b"Subject: hello\r\n\r\nhello\r\n");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert!(letter.received.contains("([IPv6:2001:db8::9])"), "{}", letter.received);
    let check = [&signature[..], &[0x20, 0, 0, 0]].concat();
    proxied(&server, &check).greeted().ask_for("QUIT", "221");
    proxied(&server, b"PROXY UNKNOWN\r\n").greeted().ask_for("QUIT", "221");
}

#[test]
fn without_a_header_a_proxy_is_not_heard_and_from_others_none_counts() {
    let server = server();
    for octets in [
        &b"EHLO client.example\r\n"[..],
        b"PROXY TCP4 203.0.113.9 192.0.2.1 40000\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\0",
    ] {
        proxied(&server, octets).expect_close();
    }
    server.wait_for_log("a connection without a PROXY header is closed");
    let mut other = server.connect(2);
    other.expect("220");
    other.ask_for("PROXY TCP4 203.0.113.9 192.0.2.1 40000 25", "500 5.5.1");
}

#[test]
fn a_proxy_that_says_nothing_is_left() {
    let server = server();
    server.connect(PROXY).expect_close();
    server.wait_for_log("a connection without a PROXY header is closed: timed out");
}

#[test]
fn swaks_through_a_proxy() {
    let server = Server::with_config(
        "hostname = \"mx.example.org\"\n[clients]\nproxies = [\"127.0.0.1\"]\n\
         [domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\n",
    );
    for version in ["1", "2"] {
        let mut command = program("swaks");
        command.args(["--server", &server.address().to_string(), "--ehlo", "client.example"]);
        command.args(["--to", "alice@example.org", "--from", "sender@client.example"]);
        let family = if version == "1" { "TCP4" } else { "AF_INET" };
        command.args(["--proxy-version", version, "--proxy-family", family, "--proxy-source", "203.0.113.9"]);
        command.args([
            "--proxy-source-port",
            "40000",
            "--proxy-dest",
            "192.0.2.1",
            "--proxy-dest-port",
            "25",
        ]);
        if version == "2" {
            command.args(["--proxy-command", "PROXY", "--proxy-protocol", "STREAM"]);
        }
        let printed = finish(&mut command, b"");
        assert!(printed.contains("250 2.6.0 queued as"), "version {version}: {printed}");
    }
    server.wait_for_log("client=\"203.0.113.9\"");
}
