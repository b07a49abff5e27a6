//! Real clients deliver, and the Maildir holds what they sent, octet for octet behind the trace fields.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::env;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::thread;

use harness::{Dialogue, Letter, Maildir, Server, finish, program, script};

/// Mailboxes for everybody, limits that a thousand messages fit in, and the default size limit of 50 MB.
const CONFIG: &str = "hostname = \"mx.example.org\"\n[clients]\nrelay = []\n[limits]\n\
    new_connections_per_minute = 1000\n\
    [domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\n\"jürgen\" = {}\n";

/// A message with everything that a client may not change: 8-bit text is for those that can say so.
const MESSAGE: &[u8] = b"From: Sender <sender@client.example>\r\n\
    To: alice@example.org\r\n\
    Subject: kept as it is\r\n\
    Date: Mon, 23 Nov 2026 12:00:00 +0000\r\n\
    Message-ID: <1@client.example>\r\n\
    MIME-Version: 1.0\r\n\
    Content-Type: text/plain\r\n\
    \r\n\
    first line\r\n\
    .a line that starts with a dot\r\n\
    .\r\n\
    ..\r\n\
    \r\n\
    trailing space \t\r\n\
    last line\r\n";

/// Default limit of a message, in octets.
const MESSAGE_OCTETS_MAX: usize = 50_000_000;

fn server() -> Server {
    Server::with_config(CONFIG)
}

fn alice(server: &Server) -> Maildir {
    server.maildir("example.org", "alice")
}

/// `HOST PORT`, as the clients want them.
fn host_and_port(server: &Server) -> [String; 2] {
    [server.address().ip().to_string(), server.address().port().to_string()]
}

/// The one letter for alice, which must hold `content`.
fn expect_delivered(server: &Server, content: &[u8]) -> Letter {
    let letter = alice(server).wait_for_one();
    assert_eq!(String::from_utf8_lossy(&letter.content), String::from_utf8_lossy(content));
    assert_eq!(letter.content, content);
    assert_eq!(letter.return_path, "<sender@client.example>");
    assert_eq!(letter.delivered_to, "alice@example.org");
    for part in [
        "from client.example ([127.0.0.1])",
        "by mx.example.org",
        " id ",
        "for <alice@example.org>;",
        " +0000",
    ] {
        assert!(letter.received.contains(part), "{part:?} is missing in Received: {}", letter.received);
    }
    letter
}

/// A message whose body is `body`.
fn message(body: &[u8]) -> Vec<u8> {
    [b"Subject: octets\r\n\r\n", body].concat()
}

#[test]
fn swaks() {
    let server = server();
    let mut command = program("swaks");
    command.args([
        "--server",
        &server.address().to_string(),
        "--ehlo",
        "client.example",
        "--to",
        "alice@example.org",
    ]);
    command.args(["--from", "sender@client.example", "--data", "-"]);
    let printed = finish(&mut command, MESSAGE);
    assert!(printed.contains("250 2.6.0 queued as"), "{printed}");
    // swaks stuffs the dots, and ends the data with an empty line of its own.
    let letter = alice(&server).wait_for_one();
    assert_eq!(letter.content, [MESSAGE, b"\r\n"].concat(), "{}", String::from_utf8_lossy(&letter.content));
}

#[test]
fn curl() {
    let server = server();
    let mut command = program("curl");
    command.args(["-sS", &format!("smtp://{}/client.example", server.address()), "--upload-file", "-"]);
    command.args(["--mail-from", "sender@client.example", "--mail-rcpt", "alice@example.org"]);
    finish(&mut command, MESSAGE);
    expect_delivered(&server, MESSAGE);
}

#[test]
fn msmtp() {
    let server = server();
    let [host, port] = host_and_port(&server);
    let mut command = program("msmtp");
    command.args([
        "--file=/dev/null",
        &format!("--host={host}"),
        &format!("--port={port}"),
        "--domain=client.example",
    ]);
    command.args(["--from=sender@client.example", "--set-from-header=off", "--set-date-header=off"]);
    command.args(["--", "alice@example.org"]);
    finish(&mut command, MESSAGE);
    expect_delivered(&server, MESSAGE);
}

#[test]
fn python_smtplib() {
    let server = server();
    let mut command = program("python3");
    command
        .arg(script("smtplib_client.py"))
        .args(host_and_port(&server))
        .args(["alice@example.org", "plain"]);
    finish(&mut command, MESSAGE);
    expect_delivered(&server, MESSAGE);
}

#[test]
fn python_smtplib_with_eight_bit_text() {
    let server = server();
    let sent = message("naïve – ünïcode\r\n".as_bytes());
    let mut command = program("python3");
    command
        .arg(script("smtplib_client.py"))
        .args(host_and_port(&server))
        .args(["alice@example.org", "eight-bit"]);
    finish(&mut command, &sent);
    let letter = expect_delivered(&server, &sent);
    assert!(letter.received.contains("with ESMTP "), "{}", letter.received);
}

#[test]
fn python_smtplib_with_utf8_addresses() {
    let server = server();
    let sent = message("grüß dich\r\n".as_bytes());
    let mut command = program("python3");
    command
        .arg(script("smtplib_client.py"))
        .args(host_and_port(&server))
        .args(["jürgen@example.org", "utf8"]);
    finish(&mut command, &sent);
    let letter = server.maildir("example.org", "jürgen").wait_for_one();
    assert_eq!(letter.content, sent);
    assert_eq!(letter.return_path, "<jürgen@client.example>");
    assert_eq!(letter.delivered_to, "jürgen@example.org");
    assert!(letter.received.contains("with UTF8SMTP "), "{}", letter.received);
}

#[test]
fn nodemailer() {
    let server = server();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node/node_modules");
    let modules = env::var_os("NODE_PATH").map_or(own, Into::into);
    assert!(
        env::split_paths(&modules).any(|folder| folder.join("nodemailer").is_dir()),
        "nodemailer is missing: `cargo xtask test` installs it"
    );
    let mut command = program("node");
    command.arg(script("nodemailer_client.mjs")).args(host_and_port(&server)).arg("alice@example.org");
    let printed = finish(command.env("NODE_PATH", modules), MESSAGE);
    assert!(printed.contains("250 2.6.0 queued as"), "{printed}");
    expect_delivered(&server, MESSAGE);
}

#[test]
fn a_pipelined_transaction() {
    let server = server();
    let mut client = server.session();
    client
        .send(b"MAIL FROM:<sender@client.example> BODY=8BITMIME\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n");
    for code in ["250 2.1.0", "250 2.1.5", "354"] {
        client.expect(code);
    }
    client.send(b"Subject: pipelined\r\n\r\nhello\r\n.\r\nQUIT\r\n");
    client.expect("250 2.6.0");
    client.expect("221 2.0.0");
    expect_delivered(&server, b"Subject: pipelined\r\n\r\nhello\r\n");
}

#[test]
fn chunks_in_one_write_and_at_awkward_places() {
    let server = server();
    // Chunks have no dots to stuff, and may end between CR and LF.
    let sent = message(b"one\r\n.\r\ntwo\r\n..\r\n");
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    let cut = sent.windows(2).position(|window| window == b"\r\n").unwrap() + 1;
    let mut octets = Vec::new();
    for (chunk, last) in
        [(&sent[..cut], ""), (&sent[cut..cut + 1], ""), (&sent[cut + 1..], ""), (&b""[..], " LAST")]
    {
        octets.extend_from_slice(format!("BDAT {}{last}\r\n", chunk.len()).as_bytes());
        octets.extend_from_slice(chunk);
    }
    client.send(&octets);
    for code in ["250 2.0.0", "250 2.0.0", "250 2.0.0", "250 2.6.0"] {
        client.expect(code);
    }
    expect_delivered(&server, &sent);
}

#[test]
fn binary_mail_keeps_every_octet() {
    let server = server();
    let every_octet: Vec<u8> = (0..=255).collect();
    let sent = message(&every_octet);
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example> BODY=BINARYMIME", "250 2.1.0");
    client.ask_for("RCPT TO:<alice@example.org>", "250 2.1.5");
    client.send(format!("BDAT {} LAST\r\n", sent.len()).as_bytes());
    client.send(&sent);
    client.expect("250 2.6.0");
    expect_delivered(&server, &sent);
}

#[test]
fn a_line_of_998_octets_a_message_without_any_and_eight_bit_text_without_saying_so() {
    let server = server();
    let mut client = server.session();
    let long = message(&[&[b'x'; 998][..], b"\r\n"].concat());
    let eight_bit = message(b"\xff\xfe\x80\r\n");
    for sent in [&long[..], b"", &eight_bit, b"\r\n"] {
        client.deliver("alice@example.org", sent);
    }
    let mut delivered: Vec<Vec<u8>> =
        alice(&server).wait_for(4).into_iter().map(|letter| letter.content).collect();
    delivered.sort();
    assert_eq!(delivered, [&b""[..], b"\r\n", &long, &eight_bit]);
}

#[test]
fn dots_at_the_start_of_lines() {
    let server = server();
    server.session().deliver("alice@example.org", b"..\r\n...\r\nSubject: dots\r\n\r\n..end\r\n");
    expect_delivered(&server, b".\r\n..\r\nSubject: dots\r\n\r\n.end\r\n");
}

#[test]
fn fifty_megabytes() {
    let server = server();
    // Different lines, so that one in the wrong place would show.
    let mut sent = message(b"");
    let mut number = 0_u32;
    while sent.len() + 78 <= MESSAGE_OCTETS_MAX {
        sent.extend_from_slice(format!("{number:076}\r\n").as_bytes());
        number += 1;
    }
    assert!(sent.len() > 49_999_900);
    let mut client = server.session();
    client.ask_for(&format!("MAIL FROM:<sender@client.example> SIZE={}", sent.len()), "250 2.1.0");
    client.ask_for("RCPT TO:<alice@example.org>", "250 2.1.5");
    client.data(&sent, "250 2.6.0");
    assert!(alice(&server).wait_for_one().content == sent);
    client.ask_for("MAIL FROM:<sender@client.example> SIZE=50000001", "552 5.3.4");
}

#[test]
fn a_thousand_messages_over_twenty_connections() {
    const CONNECTIONS: usize = 20;
    const MESSAGES: usize = 50;
    let server = server();
    let address = server.address();
    let numbered =
        |connection: usize, number: usize| format!("Subject: {connection:02} {number:02}\r\n\r\nhello\r\n");
    thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            scope.spawn(move || {
                let mut client = Dialogue::connect(address, Ipv4Addr::LOCALHOST).greeted();
                for number in 0..MESSAGES {
                    client.deliver("alice@example.org", numbered(connection, number).as_bytes());
                }
                client.ask_for("QUIT", "221");
            });
        }
    });
    let letters = alice(&server).wait_for(CONNECTIONS * MESSAGES);
    let mut delivered: Vec<Vec<u8>> = letters.into_iter().map(|letter| letter.content).collect();
    delivered.sort();
    let sent =
        (0..CONNECTIONS).flat_map(|connection| (0..MESSAGES).map(move |number| numbered(connection, number)));
    assert!(delivered.into_iter().eq(sent.map(String::into_bytes)));
}

#[test]
fn nothing_is_left_in_tmp() {
    let server = server();
    server.session().deliver("alice@example.org", b"Subject: moved on\r\n\r\n");
    alice(&server).wait_for_one();
    let folder = server.folder().join("state/maildir/example.org/alice");
    assert_eq!(fs::read_dir(folder.join("tmp")).unwrap().count(), 0);
    assert!(folder.join("cur").is_dir());
}
