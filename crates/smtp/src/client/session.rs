//! The session: what each event does in each state.
//!
//! Invariants: after [`Action::Close`] nothing is done any more; a transaction that began ends in one
//! [`Action::Outcome`]; the deadline moves when a step is done, not when octets come, so that a server that trickles
//! gains nothing.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use super::fault::Fault;
use super::meaning::Stage;
use super::outcome::{Cause, End, LocalCause};
use super::remote_reply::RemoteReply;
use super::reply_parser::ReplyParser;
use super::settings::{Settings, Tls};
use super::transfer::{Progress, Terms, Transfer};
use super::{Action, Content, Event, Transaction};
use crate::extension::Extensions;
use crate::time::Timestamp;

/// Where the session is.
#[derive(Debug)]
pub(super) enum State {
    /// Not connected yet.
    New,
    /// Before the first transaction: Greeting, Ehlo, Helo, StartTls, Handshake or Auth.
    Opening(Stage),
    /// Between transactions.
    Ready,
    Transacting(Box<Transfer>),
    /// QUIT was said.
    Quitting,
    Closed,
}

/// The client's end of an SMTP or LMTP session.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) state: State,
    pub(super) parser: ReplyParser,
    pub(super) extensions: Extensions,
    pub(super) encrypted: bool,
    pub(super) authenticated: bool,
    /// What AUTH has left to say, a line a challenge.
    pub(super) responses: VecDeque<Vec<u8>>,
    /// Whether the server may still hold something of an earlier transaction.
    needs_reset: bool,
    finishing: bool,
    transactions: u32,
    deadline: Timestamp,
}

impl Session {
    /// A session that awaits [`Event::Connected`]; connecting counts against the greeting's deadline.
    #[must_use]
    pub fn new(settings: Arc<Settings>, now: Timestamp) -> Self {
        let encrypted = settings.tls == Tls::Implicit;
        let deadline = now + settings.timeouts.greeting;
        Self {
            settings,
            state: State::New,
            parser: ReplyParser::new(),
            extensions: Extensions::default(),
            encrypted,
            authenticated: false,
            responses: VecDeque::new(),
            needs_reset: false,
            finishing: false,
            transactions: 0,
            deadline,
        }
    }

    /// When to report [`Event::TimedOut`].
    #[must_use]
    pub const fn deadline(&self) -> Timestamp {
        self.deadline
    }

    /// What the server offers at this moment.
    #[must_use]
    pub const fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub const fn is_encrypted(&self) -> bool {
        self.encrypted
    }

    /// Where the session waits; `None` once it is closed.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        match &self.state {
            State::New => Some(Stage::Greeting),
            State::Opening(stage) => Some(*stage),
            State::Ready => Some(Stage::Idle),
            State::Transacting(transfer) => Some(transfer.stage()),
            State::Quitting => Some(Stage::Quit),
            State::Closed => None,
        }
    }

    /// Takes an event, and appends what is to be done.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>, actions: &mut Vec<Action>) {
        match event {
            Event::Connected => {
                if matches!(self.state, State::New) {
                    self.wait_for(now, Stage::Greeting);
                }
            }
            Event::Received(octets) => self.receive(now, octets, actions),
            Event::TlsStarted => self.tls_started(now, actions),
            Event::TlsFailed => {
                if matches!(self.state, State::Opening(Stage::Handshake)) {
                    self.fail(Fault::TlsFailed, actions);
                }
            }
            Event::Transact(transaction) => self.transact(now, transaction, actions),
            Event::Supply { octets, last } => {
                if let State::Transacting(transfer) = &mut self.state
                    && transfer.wants_body()
                {
                    let progress = transfer.supply(octets, last, actions);
                    self.follow(now, progress, actions);
                }
            }
            Event::SupplyFailed => {
                if matches!(&self.state, State::Transacting(transfer) if transfer.wants_body()) {
                    self.end(Cause::Local(LocalCause::BodyUnavailable), actions);
                }
            }
            Event::TimedOut if now < self.deadline => {}
            Event::TimedOut if matches!(self.state, State::Ready) => self.quit(now, actions),
            Event::TimedOut => self.fail(Fault::TimedOut, actions),
            Event::Finish => match self.state {
                State::Ready => self.quit(now, actions),
                State::New => self.close(End::Finished, actions),
                _ => self.finishing = true,
            },
            Event::Closed => self.fail(Fault::Lost, actions),
        }
    }

    fn receive(&mut self, now: Timestamp, octets: &[u8], actions: &mut Vec<Action>) {
        let mut rest = octets;
        loop {
            match self.state {
                State::New | State::Closed => return,
                // Clear text where only the handshake may be.
                State::Opening(Stage::Handshake) if rest.is_empty() => return,
                State::Opening(Stage::Handshake) => {
                    let cause = Cause::Fault { stage: Stage::StartTls, fault: Fault::Injection };
                    return self.end(cause, actions);
                }
                State::Opening(_) | State::Ready | State::Transacting(_) | State::Quitting => {}
            }
            match self.parser.parse(&mut rest) {
                Ok(Some(reply)) => self.take_reply(now, reply, rest.is_empty(), actions),
                Ok(None) => return,
                Err(broken) => return self.fail(Fault::Broken(broken), actions),
            }
        }
    }

    fn take_reply(&mut self, now: Timestamp, reply: RemoteReply, all_read: bool, actions: &mut Vec<Action>) {
        match &mut self.state {
            State::Opening(stage) => {
                let stage = *stage;
                self.take_opening_reply(now, stage, reply, all_read, actions);
            }
            State::Transacting(transfer) => {
                let progress = transfer.take_reply(reply, actions);
                self.follow(now, progress, actions);
            }
            State::Ready => self.end(Cause::Reply { stage: Stage::Idle, reply }, actions),
            State::Quitting => self.close(End::Finished, actions),
            State::New | State::Closed => {}
        }
    }

    fn transact(&mut self, now: Timestamp, transaction: Box<Transaction>, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Ready) {
            return actions.push(Action::Returned(transaction));
        }
        let terms = Terms {
            settings: &self.settings,
            extensions: &self.extensions,
            encrypted: self.encrypted,
            authenticated: self.authenticated,
            reset: self.needs_reset,
        };
        match Transfer::new(&transaction, terms) {
            Ok(mut transfer) => {
                self.needs_reset = false;
                self.transactions = self.transactions.saturating_add(1);
                let progress = transfer.advance(actions);
                self.state = State::Transacting(Box::new(transfer));
                self.follow(now, progress, actions);
            }
            Err(outcome) => {
                actions.push(Action::Outcome(outcome));
                self.ready(now, actions);
            }
        }
    }

    /// Does what the transaction came to.
    fn follow(&mut self, now: Timestamp, progress: Progress, actions: &mut Vec<Action>) {
        match progress {
            Progress::Waits => {
                if let Some(stage) = self.stage() {
                    self.deadline = now + self.settings.timeouts.at(stage);
                }
            }
            Progress::Over { needs_reset } => {
                self.needs_reset = needs_reset;
                if let State::Transacting(transfer) = core::mem::replace(&mut self.state, State::Ready) {
                    actions.push(Action::Outcome(transfer.outcome()));
                }
                self.ready(now, actions);
            }
            Progress::Broken(cause) => self.end(cause, actions),
        }
    }

    /// Offers to take a transaction, or says QUIT when no other can be.
    pub(super) fn ready(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let exhausted = self.extensions.limits.mail_max.is_some_and(|limit| self.transactions >= limit);
        if self.finishing || exhausted {
            return self.quit(now, actions);
        }
        self.state = State::Ready;
        self.deadline = now + self.settings.timeouts.idle;
        actions.push(Action::Ready);
    }

    fn quit(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        actions.push(Action::Send { octets: b"QUIT\r\n".to_vec(), content: Content::Commands });
        self.state = State::Quitting;
        self.deadline = now + self.settings.timeouts.quit;
    }

    /// Awaits what comes at a stage before the first transaction.
    pub(super) fn wait_for(&mut self, now: Timestamp, stage: Stage) {
        self.state = State::Opening(stage);
        self.deadline = now + self.settings.timeouts.at(stage);
    }

    fn fail(&mut self, fault: Fault, actions: &mut Vec<Action>) {
        match self.stage() {
            None => {}
            Some(Stage::Quit) => self.close(End::Finished, actions),
            Some(stage) => self.end(Cause::Fault { stage, fault }, actions),
        }
    }

    /// Ends the session, and the transaction with it.
    pub(super) fn end(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        if let State::Transacting(transfer) = core::mem::replace(&mut self.state, State::Closed) {
            actions.push(Action::Outcome(transfer.fail(&cause)));
        }
        self.close(End::Failed(cause), actions);
    }

    fn close(&mut self, end: End, actions: &mut Vec<Action>) {
        self.state = State::Closed;
        self.deadline = Timestamp::NEVER;
        actions.push(Action::Close(end));
    }
}
