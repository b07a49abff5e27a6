//! The load: many sessions in one thread, each playing the same script over and over.
//!
//! Invariant: a reply that the script doesn't expect ends the run with an error, so that nothing but accepted mail
//! (or refused recipients, where these are the load) is ever counted.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::script::{Script, Step};
use crate::dialogue::{loopback_source, socket_from};
use crate::stopwatch::Stopwatch;

/// Longest silence of a server before the run is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Most events taken from the kernel at once.
const EVENTS_MAX: usize = 1_024;

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

/// Octets of a reply line that are kept to be shown.
const LINE_SHOWN_OCTETS: usize = 200;

/// What a run achieved.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Achieved {
    /// Units done before the time was up.
    pub(super) in_time: u64,
    /// Units done in all, those in flight at the end included.
    pub(super) in_all: u64,
    /// How long the load ran before no new unit was begun.
    pub(super) elapsed: Duration,
}

/// Plays `script` in `sessions` sessions until `duration` has passed, then lets each finish.
///
/// # Errors
/// When a connection fails or a reply isn't what the script expects.
pub(super) fn run(
    server: SocketAddr,
    script: &Script,
    sessions: usize,
    duration: Duration,
) -> Result<Achieved> {
    let mut load = Load {
        poll: Poll::new().context("no event queue")?,
        server,
        script,
        sessions: Vec::with_capacity(sessions),
        opened: 0,
        achieved: Achieved::default(),
        watch: Stopwatch::start(),
        stopping: false,
        read: vec![0; READ_OCTETS],
    };
    for index in 0..sessions {
        let session = load.connect(index)?;
        load.sessions.push(Some(session));
    }
    load.watch = Stopwatch::start();
    let mut events = Events::with_capacity(EVENTS_MAX);
    while load.sessions.iter().any(Option::is_some) {
        load.poll.poll(&mut events, Some(SILENCE_MAX)).context("the event queue failed")?;
        if events.is_empty() {
            bail!("the server has been silent for {} s", SILENCE_MAX.as_secs());
        }
        for event in &events {
            load.serve(event.token().0)?;
        }
        if !load.stopping && load.watch.elapsed() >= duration {
            load.stopping = true;
            load.achieved.in_time = load.achieved.in_all;
            load.achieved.elapsed = load.watch.elapsed();
        }
    }
    Ok(load.achieved)
}

struct Load<'a> {
    poll: Poll,
    server: SocketAddr,
    script: &'a Script,
    sessions: Vec<Option<Session<'a>>>,
    opened: usize,
    achieved: Achieved,
    watch: Stopwatch,
    stopping: bool,
    read: Vec<u8>,
}

/// Which part of the script a session plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Opening,
    Cycle,
    Closing,
}

struct Session<'a> {
    stream: TcpStream,
    part: Part,
    /// The step of the part that is being played.
    step: usize,
    /// What is still to be sent of it.
    sending: &'a [u8],
    /// First digits of the replies that are still due.
    due: VecDeque<u8>,
    /// The reply line as far as it has come.
    line: Vec<u8>,
}

impl<'a> Load<'a> {
    /// A new connection for the session at `index`.
    fn connect(&mut self, index: usize) -> Result<Session<'a>> {
        let socket = socket_from(loopback_source(self.opened))?;
        self.opened += 1;
        socket.set_nonblocking(true).context("can't set a socket up")?;
        match socket.connect(&self.server.into()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
            Err(error) => return Err(error).context("can't connect"),
        }
        let mut stream = TcpStream::from_std(socket.into());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest).context("can't watch a socket")?;
        let mut session = Session {
            stream,
            part: Part::Opening,
            step: 0,
            sending: &[],
            due: VecDeque::new(),
            line: Vec::new(),
        };
        session.begin(self.script.opening.first().context("a script opens with a step")?);
        Ok(session)
    }

    /// Does for the session at `index` all that can be done now.
    fn serve(&mut self, index: usize) -> Result<()> {
        let Some(mut session) = self.sessions.get_mut(index).and_then(Option::take) else { return Ok(()) };
        let mut next = self.advance(&mut session)?.then_some(session);
        if next.is_none() && self.script.reconnects && !self.stopping {
            next = Some(self.connect(index)?);
        }
        if let Some(slot) = self.sessions.get_mut(index) {
            *slot = next;
        }
        Ok(())
    }

    /// Sends and reads until the socket would block; false when the session has ended.
    fn advance(&mut self, session: &mut Session<'a>) -> Result<bool> {
        loop {
            session.send()?;
            let octets = match session.stream.read(&mut self.read) {
                Ok(0) if session.due.is_empty() => return Ok(false),
                Ok(0) => bail!("the server closed a connection that it owed {} replies", session.due.len()),
                Ok(octets) => octets,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error).context("can't read replies"),
            };
            let received = self.read.get(..octets).unwrap_or_default();
            session.take(received)?;
            while session.due.is_empty() {
                if !self.next_step(session) {
                    return Ok(false);
                }
            }
        }
    }

    /// Begins the next step; false when the script has ended.
    fn next_step(&mut self, session: &mut Session<'a>) -> bool {
        session.step += 1;
        let script = self.script;
        loop {
            let steps = match session.part {
                Part::Opening => &script.opening,
                Part::Cycle => &script.cycle,
                Part::Closing => &script.closing,
            };
            if let Some(step) = steps.get(session.step) {
                session.begin(step);
                return true;
            }
            session.step = 0;
            session.part = match session.part {
                Part::Closing => {
                    self.achieved.in_all += script.units_at_closing;
                    return false;
                }
                Part::Cycle => {
                    self.achieved.in_all += script.units_in_cycle;
                    if self.stopping || script.reconnects { Part::Closing } else { Part::Cycle }
                }
                Part::Opening if self.stopping => Part::Closing,
                Part::Opening => Part::Cycle,
            };
            // A script that stops between its opening and its closing may owe nothing at the closing.
        }
    }
}

impl<'a> Session<'a> {
    fn begin(&mut self, step: &'a Step) {
        self.sending = &step.send;
        self.due.extend(step.due.iter().copied());
    }

    fn send(&mut self) -> Result<()> {
        while !self.sending.is_empty() {
            match self.stream.write(self.sending) {
                Ok(octets) => self.sending = self.sending.get(octets..).unwrap_or_default(),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => {
                    break;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("can't send"),
            }
        }
        Ok(())
    }

    /// Takes received octets and strikes off each whole reply.
    fn take(&mut self, received: &[u8]) -> Result<()> {
        for piece in received.split_inclusive(|octet| *octet == b'\n') {
            let room = LINE_SHOWN_OCTETS.saturating_sub(self.line.len());
            self.line.extend(piece.iter().take(room));
            if !piece.ends_with(b"\n") {
                continue;
            }
            if self.line.get(3) != Some(&b'-') {
                let due = self.due.pop_front();
                if due.is_none() || due != self.line.first().copied() {
                    let due =
                        due.map_or_else(|| "nothing".to_owned(), |digit| format!("{}yz", char::from(digit)));
                    bail!(
                        "{due} was due, but the server said: {}",
                        String::from_utf8_lossy(&self.line).trim_end()
                    );
                }
            }
            self.line.clear();
        }
        Ok(())
    }
}
