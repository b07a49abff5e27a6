//! The bare minimum: a receiver that does nothing but what a durable 250 takes, as the floor to measure against.
//!
//! One thread, one event queue. Messages that end in one turn of the loop are written together, synced once, and only
//! then acknowledged. No parsing beyond the verb, no checks, no queue: nothing that takes mail honestly costs less.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use memchr::{memchr, memmem};
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

/// Where the receiver listens and writes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// The folder for the file that messages go to.
    #[arg(long)]
    directory: PathBuf,
}

/// Size of the file, in octets: written whole at the start, then overwritten from its beginning again and again, so
/// that a sync never waits for the file system's own books.
const STORE_OCTETS: u64 = 64 * 1024 * 1024;

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

/// Most events taken from the kernel at once.
const EVENTS_MAX: usize = 1_024;

const LISTENER: Token = Token(usize::MAX);

/// Receives until it is killed.
///
/// # Errors
/// When the address, the file or the event queue fails.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut poll = Poll::new().context("no event queue")?;
    let mut listener = TcpListener::bind(args.listen).context("can't listen")?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)
        .context("can't watch the listener")?;
    let mut receiver = Receiver {
        listener,
        sessions: Vec::new(),
        free: Vec::new(),
        store: Store::create(args)?,
        waiting: Vec::new(),
        read: vec![0; READ_OCTETS],
    };
    let mut events = Events::with_capacity(EVENTS_MAX);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            outcome => outcome.context("the event queue failed")?,
        }
        for event in &events {
            if event.token() == LISTENER {
                receiver.accept(&poll)?;
            } else {
                receiver.serve(event.token().0);
            }
        }
        receiver.commit()?;
    }
}

struct Receiver {
    listener: TcpListener,
    sessions: Vec<Option<Session>>,
    /// Places in `sessions` that are free.
    free: Vec<usize>,
    store: Store,
    /// The sessions whose message waits for the sync.
    waiting: Vec<usize>,
    read: Vec<u8>,
}

struct Session {
    stream: TcpStream,
    /// What has come and isn't used yet.
    input: Vec<u8>,
    output: Vec<u8>,
    stage: Stage,
    recipient: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Commands,
    MailData,
    Waiting,
    Leaving,
}

impl Receiver {
    fn accept(&mut self, poll: &Poll) -> Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error).context("can't accept"),
            };
            stream.set_nodelay(true).context("can't set TCP_NODELAY")?;
            let index = self.free.pop().unwrap_or(self.sessions.len());
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(index), interest).context("can't watch a socket")?;
            let output = b"220 bare.example\r\n".to_vec();
            let mut session =
                Session { stream, input: Vec::new(), output, stage: Stage::Commands, recipient: false };
            session.flush();
            if let Some(slot) = self.sessions.get_mut(index) {
                *slot = Some(session);
            } else {
                self.sessions.push(Some(session));
            }
        }
    }

    fn serve(&mut self, index: usize) {
        let Some(slot) = self.sessions.get_mut(index) else { return };
        let Some(session) = slot.as_mut() else { return };
        let open = session.receive(&mut self.read);
        if session.use_input(&mut self.store) {
            self.waiting.push(index);
        }
        if !session.flush() || !open || session.stage == Stage::Leaving {
            *slot = None;
            self.free.push(index);
            self.waiting.retain(|waiting| *waiting != index);
        }
    }

    /// Makes the turn's messages durable and answers for them.
    fn commit(&mut self) -> Result<()> {
        while !self.waiting.is_empty() {
            self.store.commit()?;
            for index in std::mem::take(&mut self.waiting) {
                let Some(slot) = self.sessions.get_mut(index) else { continue };
                let Some(session) = slot.as_mut() else { continue };
                session.stage = Stage::Commands;
                session.output.extend(b"250 2.0.0 kept\r\n");
                if session.use_input(&mut self.store) {
                    self.waiting.push(index);
                }
                if !session.flush() || session.stage == Stage::Leaving {
                    *slot = None;
                    self.free.push(index);
                }
            }
        }
        Ok(())
    }
}

impl Session {
    /// Reads until the socket would block; false when the peer is gone.
    fn receive(&mut self, read: &mut [u8]) -> bool {
        loop {
            match self.stream.read(read) {
                Ok(0) => return false,
                Ok(octets) => self.input.extend(read.get(..octets).unwrap_or_default()),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// Takes commands and mail data; true when a message has been put into the batch and waits for the sync.
    fn use_input(&mut self, store: &mut Store) -> bool {
        let mut used = 0;
        let mut complete = false;
        loop {
            let rest = self.input.get(used..).unwrap_or_default();
            match self.stage {
                Stage::Waiting | Stage::Leaving => break,
                Stage::MailData => {
                    let Some(end) = memmem::find(rest, b"\r\n.\r\n") else { break };
                    store.append(rest.get(..end + 2).unwrap_or_default());
                    used += end + 5;
                    self.stage = Stage::Waiting;
                    complete = true;
                }
                Stage::Commands => {
                    let Some(end) = memchr(b'\n', rest) else { break };
                    let (reply, stage) = answer(rest.get(..=end).unwrap_or_default(), &mut self.recipient);
                    self.output.extend(reply);
                    self.stage = stage;
                    used += end + 1;
                }
            }
        }
        self.input.drain(..used);
        if self.input.is_empty() && self.stage == Stage::Commands {
            // An idle session holds no buffer.
            self.input = Vec::new();
        }
        complete
    }

    /// Sends what there is; false when the peer is gone.
    fn flush(&mut self) -> bool {
        while !self.output.is_empty() {
            match self.stream.write(&self.output) {
                Ok(octets) => drop(self.output.drain(..octets)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.output = Vec::new();
        true
    }
}

/// The reply to a command line, and where the session goes with it.
fn answer(line: &[u8], recipient: &mut bool) -> (&'static [u8], Stage) {
    let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
    match verb.as_slice() {
        b"EHLO" => (b"250-bare.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n", Stage::Commands),
        b"MAIL" | b"RSET" | b"NOOP" => {
            *recipient = false;
            (b"250 2.0.0 go on\r\n", Stage::Commands)
        }
        b"RCPT" if memmem::find(line, b"<sink@").is_some() => {
            *recipient = true;
            (b"250 2.1.5 go on\r\n", Stage::Commands)
        }
        b"RCPT" => (b"550 5.1.1 no such mailbox\r\n", Stage::Commands),
        b"DATA" if *recipient => (b"354 go on\r\n", Stage::MailData),
        b"DATA" => (b"554 5.5.1 no valid recipients\r\n", Stage::Commands),
        b"QUIT" => (b"221 2.0.0 bye\r\n", Stage::Leaving),
        _ => (b"500 5.5.1 what\r\n", Stage::Commands),
    }
}

/// The file, and the messages that wait for its next sync.
struct Store {
    file: File,
    offset: u64,
    batch: Vec<u8>,
}

impl Store {
    fn create(args: &Args) -> Result<Self> {
        let path = args.directory.join("store");
        let mut file = File::create(&path).with_context(|| format!("can't make {}", path.display()))?;
        let zeros = vec![0; 1024 * 1024];
        for _ in 0..STORE_OCTETS / zeros.len() as u64 {
            file.write_all(&zeros).context("can't fill the store")?;
        }
        file.sync_all().context("can't sync the store")?;
        Ok(Self { file, offset: 0, batch: Vec::new() })
    }

    fn append(&mut self, message: &[u8]) {
        self.batch.extend((message.len() as u64).to_le_bytes());
        self.batch.extend(message);
    }

    fn commit(&mut self) -> Result<()> {
        let size_octets = self.batch.len() as u64;
        if self.offset + size_octets > STORE_OCTETS {
            self.offset = 0;
        }
        self.file.write_all_at(&self.batch, self.offset).context("can't write")?;
        self.file.sync_data().context("can't sync")?;
        self.offset += size_octets;
        self.batch.clear();
        Ok(())
    }
}
