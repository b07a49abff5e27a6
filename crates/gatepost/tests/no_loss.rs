//! What was answered 250 is delivered, however often the server is killed under load: a short form of the torture.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use harness::{Letter, PATIENCE, Server, wait_for};

const ROUNDS: usize = 10;
const SESSIONS: usize = 4;

/// Acknowledged messages in a round before the kill: the server is busy then, wherever it stands.
const MESSAGES_A_ROUND: usize = 40;

const CONFIG: &str = "hostname = \"mx.example.org\"\n[limits]\nconnections_per_address = 1000\n\
    connections_per_network = 1000\nnew_connections_per_minute = 100000\n[clients]\nrelay = []\n\
    [domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\n";

/// Every message that was answered 250.
type Ledger = Mutex<BTreeSet<String>>;

/// Sends messages until the connection breaks; each is booked once its 250 has been read.
fn send_until_killed(server: SocketAddr, ledger: &Ledger, name: &str) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    expect(&mut replies, "220")?;
    stream.write_all(b"HELO client.example\r\n")?;
    expect(&mut replies, "250")?;
    for number in 0.. {
        let id = format!("{name}-{number}");
        stream.write_all(b"MAIL FROM:<sender@client.example>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n")?;
        for code in ["250", "250", "354"] {
            expect(&mut replies, code)?;
        }
        stream.write_all(&body(&id))?;
        stream.write_all(b".\r\n")?;
        expect(&mut replies, "250")?;
        ledger.lock().unwrap().insert(id);
    }
    Ok(())
}

/// Reads a reply of one line; any other code but `code` is a failure of the test, not of the connection.
fn expect(replies: &mut impl BufRead, code: &str) -> std::io::Result<()> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    if !line.ends_with("\r\n") {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    assert!(line.starts_with(code), "expected {code}, got: {line}");
    Ok(())
}

/// The message `id`; some are long, so that kills fall inside writes.
fn body(id: &str) -> Vec<u8> {
    let lines = if id.ends_with('7') { 5_000 } else { 20 };
    let text = format!("{id} and so on, to the end of the line\r\n");
    format!("Subject: {id}\r\n\r\n{}", text.repeat(lines)).into_bytes()
}

fn id_of(content: &[u8]) -> String {
    let subject = content.strip_prefix(b"Subject: ").expect("a message begins with its subject");
    let end = subject.iter().position(|octet| *octet == b'\r').unwrap();
    String::from_utf8(subject[..end].to_vec()).unwrap()
}

#[test]
fn ten_kills_under_load_lose_no_acknowledged_message() {
    let mut server = Server::with_config(CONFIG);
    let ledger = Ledger::default();
    for round in 0..ROUNDS {
        let address = server.address();
        let before = ledger.lock().unwrap().len();
        let over = AtomicBool::new(false);
        thread::scope(|scope| {
            for session in 0..SESSIONS {
                let (ledger, over) = (&ledger, &over);
                scope.spawn(move || {
                    let broken = send_until_killed(address, ledger, &format!("{round}-{session}"));
                    assert!(over.load(Ordering::SeqCst), "the connection broke before the kill: {broken:?}");
                });
            }
            wait_for("messages before the kill", || {
                (ledger.lock().unwrap().len() >= before + MESSAGES_A_ROUND).then_some(())
            });
            over.store(true, Ordering::SeqCst);
            server.kill();
        });
        server.start_again();
    }

    let acknowledged = ledger.into_inner().unwrap();
    assert!(acknowledged.len() >= ROUNDS * MESSAGES_A_ROUND);
    let maildir = server.maildir("example.org", "alice");
    let mut delivered: BTreeMap<_, String> = BTreeMap::new();
    wait_for("every acknowledged message in the Maildir", || {
        for file in maildir.files() {
            delivered.entry(file).or_insert_with_key(|file| {
                let letter = Letter::parse(&std::fs::read(file).unwrap());
                let id = id_of(&letter.content);
                assert!(letter.content == body(&id), "{id} is not what was sent");
                id
            });
        }
        let ids: BTreeSet<&String> = delivered.values().collect();
        acknowledged.iter().all(|id| ids.contains(id)).then_some(())
    });
    server.stop();
    assert_eq!(server.queue(&["list"]), "", "what is left in the queue was delivered or never acknowledged");
    let fsck = server.queue(&["fsck"]);
    assert!(fsck.contains(" 0 damaged"), "{fsck}");
}
