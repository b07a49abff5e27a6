//! Scripted servers that Gatepost hands mail to, over SMTP or LMTP, on loopback addresses and Unix sockets.
//!
//! A peer takes what it is not told to refuse. `RCPT` to an address that begins with `refused` gets 550, to one that
//! begins with `later` 450. Over LMTP each recipient has a reply at the end of data: 552 when it begins with `full`.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;

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
    /// The addresses that connections came from.
    pub(crate) clients: Vec<SocketAddr>,
}

impl Seen {
    /// The recipients that were asked for, in order.
    pub(crate) fn recipients(&self) -> Vec<&str> {
        let recipient = |command: &'_ String| {
            let (start, end) = (command.find('<')? + 1, command.find('>')?);
            command.starts_with("RCPT TO:").then_some(start..end)
        };
        self.commands.iter().filter_map(|command| command.get(recipient(command)?)).collect()
    }
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
        let bind = |last, port| TcpListener::bind((Ipv4Addr::new(127, 0, 0, last), port)).ok();
        for _ in 0..100 {
            let first = bind(peers[0].0, 0).unwrap();
            let port = first.local_addr().unwrap().port();
            let others = peers[1..].iter().map(|(last, _)| bind(*last, port));
            let Some(listeners) = std::iter::once(Some(first)).chain(others).collect::<Option<Vec<_>>>()
            else {
                continue;
            };
            let mut listeners = listeners.into_iter();
            let peers = peers.map(|(_, manner)| Self::on(listeners.next().unwrap(), manner));
            return (port, peers);
        }
        panic!("no port is free at all of the addresses");
    }

    fn on(listener: TcpListener, manner: Manner) -> Self {
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
    // The recipients of the transaction, when each has a reply of its own.
    let (mut is_lmtp, mut taken) = (false, Vec::new());
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
            "RCPT" if said.contains("<later") => replies = vec!["450 4.2.1 mailbox busy at the peer"],
            "MAIL" => taken.clear(),
            "RCPT" => taken.push(said),
            "DATA" => {
                stream.write_all(b"354 go ahead\r\n")?;
                let message = read_data(&mut reader)?;
                let mut seen = seen.lock().unwrap();
                seen.messages.push(message);
                let usual = manner.replies[(seen.messages.len() - 1).min(manner.replies.len() - 1)];
                replies = if is_lmtp {
                    let reply = |recipient: &String| {
                        if recipient.contains("<full") { "552 5.2.2 mailbox full at the peer" } else { usual }
                    };
                    taken.iter().map(reply).collect()
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
