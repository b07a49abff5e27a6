//! One connection to a server: moves octets between the socket and the client session, and does what that says.
//!
//! Invariants: what the session sends is written whole and in order, or the connection is given up; replies are read
//! while mail data are written, so that a refusal halfway is heard; no wait is longer than the session's deadline; mail
//! data that can't be read, or are not as long as they should be, are never finished.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use queue::spool::SpoolError;
use smtp::client::meaning::Stage;
use smtp::client::{
    Action, Cause, Content as Sent, End, Event, Fault, Outcome, Session, Settings, Tls, Transaction,
};
use smtp::extension::Extensions;
use smtp::time::Timestamp;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::content::{Content, Reader};
use super::peer::Peer;
use super::security::Security;
use super::stream::{Socket, Stream};
use super::verdict::Verdict;
use crate::clock;

/// Octets read at once: replies are short.
const READ_OCTETS: usize = 4 * 1024;

/// A connection on which the server has greeted us. Dropped between transactions, it says QUIT.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    session: Session,
    peer: Arc<Peer>,
    actions: VecDeque<Action>,
    /// What the session appends to, before it goes to `actions`.
    appended: Vec<Action>,
    transactions: u32,
    idle_since: Timestamp,
    /// Whether something was written in part: nothing may follow that.
    is_cut: bool,
    /// Whether the stream holds octets back that were written.
    is_unflushed: bool,
}

/// Why there is no session with a server.
#[derive(Debug)]
pub(super) struct NoSession {
    /// What it means for those that were to be asked for.
    pub(super) verdict: Verdict,
    /// Whether only TLS came between.
    pub(super) is_handshake: bool,
}

impl NoSession {
    fn of_handshake(peer: &Peer, text: &str) -> Self {
        Self { verdict: Verdict::unsecured(peer, text), is_handshake: true }
    }
}

impl From<Verdict> for NoSession {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, is_handshake: false }
    }
}

/// Where carrying out actions stops.
#[derive(Debug)]
enum Step {
    Ready,
    WantBody,
    Outcome(Outcome),
    StartTls,
    Ended(End),
    /// A transaction came back, or an action that these settings never lead to.
    Unexpected,
}

impl Connection {
    /// Connects, and opens the session.
    ///
    /// # Errors
    /// What it means for those that were to be asked for.
    pub(super) async fn open(
        peer: Arc<Peer>,
        settings: Arc<Settings>,
        security: &Security,
    ) -> Result<Self, NoSession> {
        let stream = match Socket::connect(&peer).await {
            Ok(socket) => Stream::Clear(socket),
            Err(error) => {
                tracing::debug!(%peer, %error, "no connection");
                return Err(Verdict::unreachable(&peer, &error).into());
            }
        };
        tracing::debug!(%peer, "connected");
        let now = clock::monotonic();
        let mut connection = Self {
            stream,
            session: Session::new(Arc::clone(&settings), now),
            peer,
            actions: VecDeque::new(),
            appended: Vec::new(),
            transactions: 0,
            idle_since: now,
            is_cut: false,
            is_unflushed: false,
        };
        if settings.tls == Tls::Implicit {
            let deadline = clock::instant(now + settings.timeouts.handshake);
            if let Err(text) = security.start(&connection.peer, &mut connection.stream, deadline).await {
                return Err(NoSession::of_handshake(&connection.peer, &text));
            }
        }
        connection.event(Event::Connected);
        connection.greet(&settings, security).await?;
        if settings.tls == Tls::Opportunistic && !connection.session.is_encrypted() {
            security.tell_unsecured(&connection.peer, &connection.stream, None);
        }
        Ok(connection)
    }

    /// Goes from the greeting to the first transaction.
    async fn greet(&mut self, settings: &Settings, security: &Security) -> Result<(), NoSession> {
        let mut handshake_fault = None;
        let cause = loop {
            match self.step().await {
                Step::Ready => return Ok(()),
                // What came behind the go-ahead has ended the session already.
                Step::StartTls if self.session.stage() != Some(Stage::Handshake) => {}
                Step::StartTls => {
                    let deadline = clock::instant(self.session.deadline());
                    match security.start(&self.peer, &mut self.stream, deadline).await {
                        Ok(()) => self.event(Event::TlsStarted),
                        Err(text) => {
                            handshake_fault = Some(text);
                            self.event(Event::TlsFailed);
                        }
                    }
                }
                Step::Ended(End::Failed(cause)) => break cause,
                Step::Ended(End::Finished) => {
                    break Cause::Fault { stage: Stage::Greeting, fault: Fault::Lost };
                }
                Step::WantBody | Step::Outcome(_) | Step::Unexpected => {
                    return Err(Verdict::unexpected(&self.peer).into());
                }
            }
        };
        tracing::debug!(peer = %self.peer, %cause, "no session");
        if let Some(text) = handshake_fault {
            return Err(NoSession::of_handshake(&self.peer, &text));
        }
        if let Cause::Fault { stage: Stage::Handshake, fault } = cause {
            security.tell_failed(&self.peer, &self.stream);
            return Err(NoSession::of_handshake(&self.peer, &fault.to_string()));
        }
        if settings.tls == Tls::Required {
            security.tell_unsecured(&self.peer, &self.stream, Some(&cause));
        }
        // A server that doesn't like what the handshake came to may say so only behind it (RFC 8446 §4.4.2.4).
        let is_handshake = self.session.is_encrypted()
            && matches!(cause, Cause::Fault { stage: Stage::Ehlo, fault: Fault::Lost });
        Err(NoSession { verdict: Verdict::of_session(&self.peer, &cause), is_handshake })
    }

    pub(super) const fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// What the server offers.
    pub(super) const fn extensions(&self) -> &Extensions {
        self.session.extensions()
    }

    /// Transactions so far.
    pub(super) const fn transactions(&self) -> u32 {
        self.transactions
    }

    /// Since when it waits for another transaction.
    pub(super) const fn idle_since(&self) -> Timestamp {
        self.idle_since
    }

    pub(super) const fn set_idle(&mut self, now: Timestamp) {
        self.idle_since = now;
    }

    /// Sends a message; `None` when the session ended without an outcome, which it never should.
    pub(super) async fn transact(
        &mut self,
        transaction: Box<Transaction>,
        (fields, content): (Arc<str>, &Content<'_>),
    ) -> Option<Outcome> {
        self.transactions = self.transactions.saturating_add(1);
        self.event(Event::Transact(transaction));
        let mut supply = Supply::new(fields, content);
        loop {
            match self.step().await {
                Step::WantBody => self.supply(&mut supply),
                Step::Outcome(outcome) => return Some(outcome),
                Step::Ready | Step::StartTls | Step::Ended(_) | Step::Unexpected => return None,
            }
        }
    }

    /// Whether, after an outcome, the session takes another transaction.
    pub(super) fn is_ready(&mut self) -> bool {
        self.actions.pop_front_if(|action| *action == Action::Ready).is_some() && self.is_idle()
    }

    /// Whether an idle connection looks as if it could be used: the server has neither closed it nor said anything.
    pub(super) fn is_alive(&mut self) -> bool {
        self.read_available();
        self.is_idle()
    }

    fn is_idle(&self) -> bool {
        self.session.stage() == Some(Stage::Idle) && self.actions.is_empty() && !self.is_cut
    }

    fn event(&mut self, event: Event<'_>) {
        self.session.handle(clock::monotonic(), event, &mut self.appended);
        self.actions.extend(self.appended.drain(..));
    }

    /// Does what the session says, and reads when it has nothing to say.
    async fn step(&mut self) -> Step {
        loop {
            match self.actions.pop_front() {
                Some(Action::Send { octets, content }) => self.send(&octets, content).await,
                Some(Action::Ready) => return Step::Ready,
                Some(Action::WantBody) => return Step::WantBody,
                Some(Action::Outcome(outcome)) => return Step::Outcome(outcome),
                Some(Action::Close(end)) => return Step::Ended(end),
                Some(Action::StartTls) => return Step::StartTls,
                Some(Action::Returned(_)) => return Step::Unexpected,
                None if self.session.stage().is_none() => return Step::Unexpected,
                None => {
                    self.exchange(&[]).await;
                }
            }
        }
    }

    /// Reads, and writes what can be written of `rest`, until something was done; gives how many octets were taken.
    /// `None` when the session's deadline has passed, which the session has heard then.
    async fn exchange(&mut self, rest: &[u8]) -> Option<usize> {
        let deadline = clock::instant(self.session.deadline());
        let exchanged = poll_fn(|context| self.poll_exchange(context, rest));
        let taken = tokio::time::timeout_at(deadline, exchanged).await.ok();
        if taken.is_none() {
            // What came in time counts, even when this task is late.
            self.read_available();
            self.event(Event::TimedOut);
        }
        taken
    }

    fn poll_exchange(&mut self, context: &mut Context<'_>, rest: &[u8]) -> Poll<usize> {
        let was_read = self.poll_read(context);
        let mut taken = 0;
        if self.session.stage().is_some() && (!rest.is_empty() || self.is_unflushed) {
            match self.poll_write(context, rest) {
                Poll::Ready(Ok(octets)) => taken = octets,
                Poll::Ready(Err(_)) => {
                    // The server may have said why it closes.
                    self.poll_read(context);
                    self.event(Event::Closed);
                }
                Poll::Pending if !was_read => return Poll::Pending,
                Poll::Pending => {}
            }
        } else if !was_read {
            return Poll::Pending;
        }
        Poll::Ready(taken)
    }

    /// Writes a portion, and flushes; gives how many octets of it were taken.
    fn poll_write(&mut self, context: &mut Context<'_>, rest: &[u8]) -> Poll<io::Result<usize>> {
        let mut stream = Pin::new(&mut self.stream);
        let mut taken = 0;
        if !rest.is_empty() {
            taken = ready!(stream.as_mut().poll_write(context, rest))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
        }
        let flushed = stream.poll_flush(context)?;
        self.is_unflushed = flushed.is_pending();
        if taken == 0 && self.is_unflushed { Poll::Pending } else { Poll::Ready(Ok(taken)) }
    }

    /// Hands on what has come; whether anything has.
    fn poll_read(&mut self, context: &mut Context<'_>) -> bool {
        let mut input = [0; READ_OCTETS];
        let mut was_read = false;
        while self.session.stage().is_some() {
            let mut buffer = ReadBuf::new(&mut input);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Pending => break,
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    self.event(Event::Received(buffer.filled()));
                }
                Poll::Ready(_) => self.event(Event::Closed),
            }
            was_read = true;
        }
        was_read
    }

    /// Hands on what has come, without waiting.
    fn read_available(&mut self) {
        self.poll_read(&mut Context::from_waker(Waker::noop()));
    }

    /// Writes octets, and reads meanwhile. When that can't be finished, the session has heard why.
    async fn send(&mut self, octets: &[u8], content: Sent) {
        self.trace(octets, content);
        if self.session.stage().is_none() {
            return self.say_last(octets, content);
        }
        let mut rest = octets;
        self.is_cut = true;
        while (!rest.is_empty() || self.is_unflushed) && self.session.stage().is_some() {
            if let Some(taken) = self.exchange(rest).await {
                rest = rest.get(taken..).unwrap_or_default();
            } else if matches!(self.session.stage(), Some(Stage::Idle | Stage::Quit)) {
                // The server answered early and then stopped reading; QUIT has no place behind half a message.
                self.event(Event::Closed);
            }
        }
        self.is_cut = !rest.is_empty() || self.is_unflushed;
    }

    /// Says QUIT on a connection that is closed next, when it can be said without waiting and nothing is cut.
    fn say_last(&mut self, octets: &[u8], content: Sent) {
        if content == Sent::Commands && !self.is_cut {
            // Whether it arrives matters to nobody.
            let mut context = Context::from_waker(Waker::noop());
            let mut stream = Pin::new(&mut self.stream);
            if stream.as_mut().poll_write(&mut context, octets).is_ready() {
                let _ = stream.as_mut().poll_flush(&mut context);
            }
            if matches!(*stream, Stream::Tls(_)) {
                // RFC 8446 §6.1: the end of what is sent is told, too.
                let _ = stream.poll_shutdown(&mut context);
            }
        }
    }

    fn trace(&self, octets: &[u8], content: Sent) {
        let peer = &self.peer;
        match content {
            Sent::Commands => {
                let commands = octets.escape_ascii();
                tracing::trace!(%peer, %commands, "sends");
            }
            Sent::MailData => tracing::trace!(%peer, octets = octets.len(), "sends mail data"),
            Sent::Secret => tracing::trace!(%peer, "sends credentials"),
        }
    }

    /// Gives the session the next portion of the mail data.
    fn supply(&mut self, supply: &mut Supply) {
        let event = supply.portion().unwrap_or_else(|error| {
            tracing::error!(%error, "the mail data of a message to be relayed cannot be read");
            Event::SupplyFailed
        });
        self.event(event);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if self.is_idle() {
            self.event(Event::Finish);
        }
        // Only after QUIT was decided on: whatever else was not sent belongs to a transaction that was broken off.
        if self.session.stage() == Some(Stage::Quit) {
            while let Some(action) = self.actions.pop_front() {
                if let Action::Send { octets, content } = action {
                    self.say_last(&octets, content);
                }
            }
        }
    }
}

/// The mail data of one transaction, portion by portion.
struct Supply {
    reader: Reader,
    size_octets: u64,
    supplied_octets: u64,
}

impl Supply {
    fn new(fields: Arc<str>, content: &Content<'_>) -> Self {
        let size_octets = content.size_octets().saturating_add(fields.len() as u64);
        Self { reader: content.reader(fields), size_octets, supplied_octets: 0 }
    }

    /// The next portion. Blocks on the disk for a large body.
    fn portion(&mut self) -> Result<Event<'_>, SpoolError> {
        let Self { reader, size_octets, supplied_octets } = self;
        let octets = reader.next_chunk()?.unwrap_or_default();
        *supplied_octets = supplied_octets.saturating_add(octets.len() as u64);
        let last = *supplied_octets == *size_octets;
        if *supplied_octets > *size_octets || (octets.is_empty() && !last) {
            return Err(SpoolError::Unavailable(format!(
                "{supplied_octets} octets of mail data where {size_octets} should be"
            )));
        }
        Ok(Event::Supply { octets, last })
    }
}
