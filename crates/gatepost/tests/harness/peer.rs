//! Scripted servers that Gatepost hands mail to, over SMTP or LMTP, on loopback addresses and Unix sockets.
//!
//! A peer takes what it is not told to refuse. `RCPT` to an address that begins with `refused` gets 550. Over LMTP each
//! recipient has a reply at the end of data: 552 when it begins with `full`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::{PATIENCE, Reserved, wait_for};

/// How a peer talks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Manner {
    /// What it says first.
    pub(crate) greeting: &'static str,
    /// What it says to the end of data of each transaction, the last one for ever.
    pub(crate) replies: &'static [&'static str],
}

impl Default for Manner {
    fn default() -> Self {
        Self { greeting: "220 peer.example ESMTP", replies: &["250 2.0.0 taken"] }
    }
}

/// A scripted server.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What a peer heard.
#[derive(Debug, Default, Clone)]
pub(crate) struct Seen {
    /// Every command, in order.
    pub(crate) commands: Vec<String>,
    /// The data of each message, dots unstuffed.
    pub(crate) messages: Vec<Vec<u8>>,
    /// The addresses of each message: its reverse-path, then its recipients that were taken.
    pub(crate) envelopes: Vec<Vec<String>>,
    /// The addresses that connections came from.
    pub(crate) clients: Vec<SocketAddr>,
}

impl Seen {
    /// The recipients that were asked for, in order.
    pub(crate) fn recipients(&self) -> Vec<&str> {
        let recipients = self.commands.iter().filter(|command| command.starts_with("RCPT TO:"));
        recipients.filter_map(|command| path(command)).collect()
    }
}

/// What stands between the angle brackets.
fn path(command: &str) -> Option<&str> {
    command.get(command.find('<')? + 1..command.find('>')?)
}

impl Peer {
    /// Starts a peer with these replies to the end of data.
    pub(crate) fn start(replies: &'static [&'static str]) -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), replies)
    }

    /// The same, at an address of its own.
    pub(crate) fn start_at(address: SocketAddr, replies: &'static [&'static str]) -> Self {
        Self::at(address, Manner { replies, ..Manner::default() })
    }

    /// Starts a peer of this manner.
    pub(crate) fn at(address: SocketAddr, manner: Manner) -> Self {
        Self::on(TcpListener::bind(address).unwrap(), manner)
    }

    /// Starts a peer at `127.0.0.{last}` for each, with one port for all.
    pub(crate) fn all_at<const N: usize>(peers: [(u8, Manner); N]) -> (u16, [Self; N]) {
        let (port, places) = Reserved::together(peers.map(|(last, _)| last));
        let mut manners = peers.into_iter().map(|(_, manner)| manner);
        (port, places.map(|place| Self::on(place.listen(), manners.next().unwrap())))
    }

    /// Starts a peer of this manner on a socket that listens.
    pub(crate) fn on(listener: TcpListener, manner: Manner) -> Self {
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        // The thread ends with the test's process.
        thread::spawn(move || {
            while let Ok((stream, client)) = listener.accept() {
                shared.lock().unwrap().clients.push(client);
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let (reader, shared) = (BufReader::new(stream.try_clone().unwrap()), Arc::clone(&shared));
                // A client that goes away in the middle is what some tests want.
                thread::spawn(move || drop(serve(reader, stream, manner, &shared)));
            }
        });
        Self { address, seen }
    }

    /// Starts a peer on a Unix socket; it has no address.
    pub(crate) fn on_socket(path: &Path, manner: Manner) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let (reader, shared) = (BufReader::new(stream.try_clone().unwrap()), Arc::clone(&shared));
                thread::spawn(move || drop(serve(reader, stream, manner, &shared)));
            }
        });
        Self { address: (Ipv4Addr::UNSPECIFIED, 0).into(), seen }
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has heard so far.
    pub(crate) fn seen(&self) -> Seen {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until it has heard so many messages and no more, and gives what it heard.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) -> Seen {
        let seen = self.wait_for_at_least(count);
        assert_eq!(seen.messages.len(), count, "{:?}", seen.commands);
        seen
    }

    /// Waits until it has heard so many messages, and gives what it heard.
    #[track_caller]
    pub(crate) fn wait_for_at_least(&self, count: usize) -> Seen {
        wait_for(&format!("{count} messages at the peer"), || {
            let seen = self.seen.lock().unwrap();
            (seen.messages.len() >= count).then(|| seen.clone())
        })
    }
}

fn serve(
    mut reader: impl BufRead,
    mut stream: impl Write,
    manner: Manner,
    seen: &Mutex<Seen>,
) -> std::io::Result<()> {
    stream.write_all(format!("{}\r\n", manner.greeting).as_bytes())?;
    if !manner.greeting.starts_with("220") {
        return Ok(());
    }
    let (mut is_lmtp, mut envelope) = (false, Vec::new());
    let mut command = String::new();
    while reader.read_line(&mut command)? > 0 {
        let said = command.trim_end().to_owned();
        command.clear();
        seen.lock().unwrap().commands.push(said.clone());
        let verb = said.get(..4).unwrap_or_default().to_ascii_uppercase();
        let mut replies = vec!["250 2.0.0 ok"];
        match verb.as_str() {
            "EHLO" | "LHLO" => {
                is_lmtp = verb == "LHLO";
                replies = vec!["250-peer.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES"];
            }
            "RCPT" if said.contains("<refused") => replies = vec!["550 5.1.1 no such mailbox at the peer"],
            "MAIL" => envelope = vec![path(&said).unwrap_or_default().to_owned()],
            "RCPT" => envelope.push(path(&said).unwrap_or_default().to_owned()),
            "DATA" => {
                stream.write_all(b"354 go ahead\r\n")?;
                let message = read_data(&mut reader)?;
                let mut seen = seen.lock().unwrap();
                seen.messages.push(message);
                seen.envelopes.push(envelope.clone());
                let usual = manner.replies[(seen.messages.len() - 1).min(manner.replies.len() - 1)];
                replies = if is_lmtp {
                    let reply = |recipient: &String| {
                        if recipient.starts_with("full") {
                            "552 5.2.2 mailbox full at the peer"
                        } else {
                            usual
                        }
                    };
                    envelope.iter().skip(1).map(reply).collect()
                } else {
                    vec![usual]
                };
            }
            "QUIT" => replies = vec!["221 2.0.0 closing"],
            _ => {}
        }
        for reply in replies {
            stream.write_all(format!("{reply}\r\n").as_bytes())?;
        }
        if verb == "QUIT" {
            break;
        }
    }
    Ok(())
}

fn read_data(reader: &mut impl BufRead) -> std::io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        let mut line = Vec::new();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == b".\r\n" {
            return Ok(message);
        }
        message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
    }
}
