//! Other programs: the mail clients that deliver through Gatepost, and a scripted peer that it relays to.

use std::env;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{PATIENCE, wait_for};

/// A command for `name`; panics with what to do when it isn't installed.
pub(crate) fn program(name: &str) -> Command {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(
        found,
        "{name} is missing: `cargo xtask test` installs the mail clients that the end-to-end tests use"
    );
    Command::new(name)
}

/// The file `name` in `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Runs `command` with `input`, and gives what it printed; panics when it fails or hangs.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that ends early closes its input, and its exit code says why.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = thread::spawn(move || child.wait_with_output().unwrap());
    wait_for(&format!("the end of {command:?}"), || output.is_finished().then_some(()));
    let output = output.join().unwrap();
    writer.join().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}): {printed}{complaint}", output.status);
    printed
}

/// A server that says what its script says: to each transaction's end of data the next of its replies, the last one for
/// ever; `RCPT` lines to an address that begins with `refused` get 550.
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
}

impl Peer {
    /// Starts a peer with these replies to the end of data.
    pub(crate) fn start(replies: &'static [&'static str]) -> Self {
        Self::start_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), replies)
    }

    /// The same, at an address of its own.
    pub(crate) fn start_at(address: SocketAddr, replies: &'static [&'static str]) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        // The thread ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&shared);
                // A client that goes away in the middle is what some tests want.
                thread::spawn(move || drop(serve(stream.unwrap(), replies, &shared)));
            }
        });
        Self { address, seen }
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

fn serve(mut stream: TcpStream, replies: &[&str], seen: &Mutex<Seen>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    stream.write_all(b"220 peer.example ESMTP\r\n")?;
    let mut command = String::new();
    while reader.read_line(&mut command)? > 0 {
        let said = command.trim_end().to_owned();
        command.clear();
        seen.lock().unwrap().commands.push(said.clone());
        let verb = said.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-peer.example\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES",
            "RCPT" if said.contains("<refused") => "550 5.1.1 no such mailbox at the peer",
            "DATA" => {
                stream.write_all(b"354 go ahead\r\n")?;
                let message = read_data(&mut reader)?;
                let mut seen = seen.lock().unwrap();
                seen.messages.push(message);
                replies[(seen.messages.len() - 1).min(replies.len() - 1)]
            }
            "QUIT" => "221 2.0.0 closing",
            _ => "250 2.0.0 ok",
        };
        stream.write_all(format!("{reply}\r\n").as_bytes())?;
        if verb == "QUIT" {
            break;
        }
    }
    Ok(())
}

fn read_data(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
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
