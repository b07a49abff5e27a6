//! The session itself: its state, how events move it, and how input becomes lines, data and chunks.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::mem;

use super::data::{ChunkChecker, DataDecoder};
use super::lines::Skip;
use super::settings::{EarlyTalkers, Rights, Settings};
use super::{Action, Decision, Event, Notice, Question};
use crate::catalogue::{self, Entry};
use crate::envelope::{Envelope, Recipient};
use crate::reply::{Refusal, Reply, Severity};
use crate::time::Timestamp;

/// Octets that may wait unparsed while an answer is awaited; past them `wants_input` is false (ours).
const INPUT_OCTETS_MAX: usize = 65_536;

/// What the session is doing.
#[derive(Debug)]
pub(super) enum Phase {
    /// Not connected yet.
    Created,
    /// Reading commands.
    Command,
    /// An answer is awaited; nothing is parsed.
    Awaiting(Awaited),
    /// Reading mail data.
    Data(DataDecoder),
    /// Reading a BDAT chunk.
    Chunk(Chunk),
    /// Reading the client's answer to an AUTH challenge.
    AuthLine,
    /// Closed: nothing more is read or sent.
    Closed,
}

/// Which answer is awaited, and what it is about.
#[derive(Debug)]
pub(super) enum Awaited {
    Client,
    Hello,
    Mail,
    Recipient,
    /// For DATA, or for the first chunk of BDAT.
    Data(Option<Chunk>),
    Message,
    Inquiry,
    /// VRFY from a client that may not be told.
    ConcealedInquiry,
    Status,
    Authentication,
    /// Whether the user that was established may come in.
    User,
    Commit,
    Tls,
}

/// A BDAT chunk that is being read.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) size_octets: u64,
    pub(super) left_octets: u64,
    pub(super) last: bool,
    /// When the chunk is read only to be thrown away: the reply that follows it.
    pub(super) refused: Option<Reply>,
}

/// What EHLO or HELO said.
#[derive(Debug)]
pub(super) struct Hello {
    pub(super) name: String,
    pub(super) extended: bool,
}

/// A transaction, from MAIL on.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) envelope: Box<Envelope>,
    /// RCPT commands seen, refused ones included.
    pub(super) attempts: u32,
    /// The recipient that is being decided.
    pub(super) candidate: Option<Recipient>,
    /// Whether MAIL was accepted.
    pub(super) accepted: bool,
    /// The message that BDAT is sending, when it began.
    pub(super) chunks: Option<ChunkChecker>,
    /// Decoded content so far, in octets.
    pub(super) size_octets: u64,
}

/// One session with one client.
#[derive(Debug)]
pub struct Session {
    pub(super) settings: Arc<Settings>,
    pub(super) rights: Rights,
    pub(super) client: String,
    pub(super) phase: Phase,
    pub(super) hello: Option<Hello>,
    pub(super) tls: bool,
    pub(super) user: Option<String>,
    pub(super) transaction: Option<Transaction>,
    /// Mechanisms that this connection can carry beside those of the settings.
    pub(super) further: Vec<String>,
    /// The mechanism of the AUTH exchange that is under way.
    pub(super) mechanism: String,
    /// Input that was not parsed yet.
    pending: Vec<u8>,
    /// Set while an over-long or refused line is thrown away up to its CRLF.
    pub(super) skipping: Option<Skip>,
    pub(super) refused: bool,
    /// Whether VRFY or EXPN, being answered, had SMTPUTF8.
    pub(super) utf8_inquiry: bool,
    early_talker: bool,
    /// Set while the server drains: how long a transaction may still take.
    pub(super) drain_end: Option<Timestamp>,
    pub(super) errors: u32,
    pub(super) idle_commands: u32,
    pub(super) messages: u32,
    /// Commands since they were last taken, when the settings want them kept.
    pub(super) heard: Vec<u8>,
    pub(super) deadline: Timestamp,
    pub(super) session_end: Timestamp,
}

impl Session {
    /// A session with the client at the address `client` (as replies show it).
    #[must_use]
    pub fn new(settings: Arc<Settings>, rights: Rights, client: String, now: Timestamp) -> Self {
        let session_end = now + settings.session_timeout;
        Self {
            settings,
            rights,
            client,
            phase: Phase::Created,
            hello: None,
            tls: false,
            user: None,
            transaction: None,
            further: Vec::new(),
            mechanism: String::new(),
            pending: Vec::new(),
            skipping: None,
            refused: false,
            utf8_inquiry: false,
            early_talker: false,
            drain_end: None,
            errors: 0,
            idle_commands: 0,
            messages: 0,
            heard: Vec::new(),
            deadline: Timestamp::NEVER,
            session_end,
        }
    }

    /// The same session, under TLS from its first octet on (RFC 8314 §3).
    #[must_use]
    pub fn over_tls(self) -> Self {
        Self { tls: true, ..self }
    }

    /// Where AUTH is offered, offers these mechanisms, too, and first: those that this connection alone can carry, such as
    /// ones that are bound to its TLS.
    pub fn offer_also(&mut self, mechanisms: Vec<String>) {
        self.further = mechanisms;
    }

    /// Takes one event and appends what to do about it, in order, to `actions`.
    pub fn handle(&mut self, now: Timestamp, event: Event<'_>, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        match event {
            Event::Connected => self.connected(actions),
            Event::Received(octets) => return self.received(now, octets, actions),
            Event::TlsStarted => self.tls_started(),
            Event::Decided(decision) => self.decided(decision, actions),
            Event::Authenticated(outcome) => self.authenticated(outcome, actions),
            Event::Committed(outcome) => self.committed(outcome, actions),
            Event::TimedOut => return self.timed_out(now, actions),
            Event::ShuttingDown => self.drain_end = Some(now + self.settings.drain_timeout),
        }
        self.go_on(now, actions);
    }

    /// Whether to go on reading from the client.
    #[must_use]
    pub fn wants_input(&self) -> bool {
        match self.phase {
            Phase::Closed => false,
            Phase::Awaiting(_) | Phase::Created => self.pending.len() < INPUT_OCTETS_MAX,
            Phase::Command | Phase::Data(_) | Phase::Chunk(_) | Phase::AuthLine => true,
        }
    }

    /// Whether the session is over.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The name that EHLO or HELO gave.
    #[must_use]
    pub fn hello_name(&self) -> Option<&str> {
        self.hello.as_ref().map(|hello| hello.name.as_str())
    }

    /// Whether it was EHLO and not HELO.
    #[must_use]
    pub fn is_extended(&self) -> bool {
        self.hello.as_ref().is_some_and(|hello| hello.extended)
    }

    /// Whether the session is encrypted.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        self.tls
    }

    /// The `with` keyword for the Received field (RFC 5321 §4.4, RFC 3848, RFC 6531 §4.3).
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        let extended = self.is_extended();
        let utf8 = self.envelope().is_some_and(|envelope| envelope.parameters.smtputf8);
        match (extended, utf8, self.tls, self.user.is_some()) {
            (false, ..) => "SMTP",
            (true, false, false, false) => "ESMTP",
            (true, false, false, true) => "ESMTPA",
            (true, false, true, false) => "ESMTPS",
            (true, false, true, true) => "ESMTPSA",
            (true, true, false, false) => "UTF8SMTP",
            (true, true, false, true) => "UTF8SMTPA",
            (true, true, true, false) => "UTF8SMTPS",
            (true, true, true, true) => "UTF8SMTPSA",
        }
    }

    /// The user that AUTH established.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The mechanism of the AUTH exchange that established the user.
    #[must_use]
    pub fn mechanism(&self) -> Option<&str> {
        self.user.is_some().then_some(self.mechanism.as_str())
    }

    /// RCPT commands of the transaction so far, refused ones and the one being decided included.
    #[must_use]
    pub fn recipients_tried(&self) -> u32 {
        self.transaction.as_ref().map_or(0, |transaction| transaction.attempts)
    }

    /// The envelope so far; at the question about MAIL, what MAIL asks for.
    #[must_use]
    pub fn envelope(&self) -> Option<&Envelope> {
        self.transaction.as_ref().map(|transaction| &*transaction.envelope)
    }

    /// The recipient that `Question::Recipient` is about.
    #[must_use]
    pub fn candidate(&self) -> Option<&Recipient> {
        self.transaction.as_ref()?.candidate.as_ref()
    }

    /// Errors counted so far.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Messages accepted so far.
    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    fn connected(&mut self, actions: &mut Vec<Action>) {
        if self.drain_end.is_some() {
            return self.close_with(self.filled(&catalogue::SHUTTING_DOWN), actions);
        }
        if self.early_talker {
            actions.push(Action::Notice(Notice::EarlyTalker));
        }
        self.ask(Awaited::Client, Question::Client { early_talker: self.early_talker }, actions);
    }

    fn greet(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        let refusal = match decision {
            Decision::Accept | Decision::AcceptWith(_)
                if self.early_talker && self.settings.early_talkers == EarlyTalkers::Refuse =>
            {
                self.filled(&catalogue::EARLY_TALKER)
            }
            Decision::Accept | Decision::AcceptWith(_) => {
                self.say(self.filled(&catalogue::GREETING), actions);
                self.phase = Phase::Command;
                return;
            }
            Decision::Disconnect(refusal) => return self.close_with(refusal.into_reply(), actions),
            Decision::Refuse(refusal) => refusal.into_reply(),
        };
        if refusal.code().value() == 554 {
            // RFC 5321 §3.1: the session stays open for QUIT.
            self.say(refusal, actions);
            self.refused = true;
            self.phase = Phase::Command;
        } else {
            self.close_with(refusal, actions);
        }
    }

    /// The entry's reply, with the names of server and client filled in.
    pub(super) fn filled(&self, entry: &Entry) -> Reply {
        self.refusal(entry, &[("hostname", &self.settings.hostname), ("client", &self.client)])
    }

    /// The entry's reply, in the site's words where it has its own for it.
    pub(super) fn refusal(&self, entry: &Entry, values: &[(&str, &str)]) -> Reply {
        self.settings.reply(entry, values)
    }

    /// Hands a reply on; beyond ASCII only where the client asked for it (RFC 6531 §3.7.4.2).
    pub(super) fn say(&self, reply: Reply, actions: &mut Vec<Action>) {
        actions.push(Action::Send(if self.reads_utf8() { reply } else { reply.into_ascii() }));
    }

    /// Whether the client said SMTPUTF8 of its transaction or its inquiry.
    pub(super) fn reads_utf8(&self) -> bool {
        self.utf8_inquiry || self.envelope().is_some_and(|envelope| envelope.parameters.smtputf8)
    }

    fn decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        let phase = mem::replace(&mut self.phase, Phase::Command);
        let Phase::Awaiting(awaited) = phase else {
            self.phase = phase;
            return;
        };
        match awaited {
            Awaited::Client => self.greet(decision, actions),
            Awaited::Hello => self.hello_decided(decision, actions),
            Awaited::User => self.user_decided(decision, actions),
            Awaited::Mail => self.mail_decided(decision, actions),
            Awaited::Recipient => self.recipient_decided(decision, actions),
            Awaited::Data(chunk) => self.data_decided(chunk, decision, actions),
            Awaited::Message => self.message_decided(decision, actions),
            Awaited::Inquiry | Awaited::Status => self.inquiry_decided(decision, actions),
            Awaited::ConcealedInquiry => self.concealed_inquiry_decided(decision, actions),
            // Not questions: the answer comes as another event.
            awaited @ (Awaited::Authentication | Awaited::Commit | Awaited::Tls) => {
                self.phase = Phase::Awaiting(awaited);
            }
        }
    }

    fn tls_started(&mut self) {
        if matches!(self.phase, Phase::Awaiting(Awaited::Tls)) {
            // RFC 3207 §4.2: everything learnt in clear text is forgotten.
            self.hello = None;
            self.user = None;
            self.transaction = None;
            self.tls = true;
            self.phase = Phase::Command;
        }
    }

    fn received(&mut self, now: Timestamp, octets: &[u8], actions: &mut Vec<Action>) {
        match self.phase {
            Phase::Created => {
                self.early_talker = true;
                self.keep(octets);
            }
            Phase::Awaiting(Awaited::Tls) => self.injected(actions),
            Phase::Awaiting(_) => self.keep(octets),
            _ if self.pending.is_empty() => self.parse(now, octets, 0, actions),
            _ => {
                self.keep(octets);
                self.go_on(now, actions);
            }
        }
    }

    fn keep(&mut self, octets: &[u8]) {
        self.pending.extend_from_slice(octets);
    }

    /// Parses what waited while an answer was out.
    fn go_on(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let pending = mem::take(&mut self.pending);
        self.parse(now, &pending, 0, actions);
    }

    /// Reads `input` from `at` on as far as the phase allows, and keeps the rest.
    fn parse(&mut self, now: Timestamp, input: &[u8], mut at: usize, actions: &mut Vec<Action>) {
        loop {
            self.count_errors(actions);
            self.drain(actions);
            let rest = input.get(at..).unwrap_or_default();
            let read = match self.phase {
                Phase::Command | Phase::AuthLine => self.read_line(rest, actions),
                Phase::Data(_) => self.read_data(rest, actions),
                Phase::Chunk(_) => self.read_chunk(rest, actions),
                Phase::Created | Phase::Awaiting(_) | Phase::Closed => None,
            };
            match read {
                Some(octets) => at += octets,
                None => break,
            }
        }
        if !matches!(self.phase, Phase::Closed) {
            self.pending.extend_from_slice(input.get(at..).unwrap_or_default());
        }
        self.set_deadline(now, at > 0 || input.is_empty());
    }

    /// Closes when the session has had its errors.
    fn count_errors(&mut self, actions: &mut Vec<Action>) {
        if matches!(self.phase, Phase::Command | Phase::AuthLine) && self.errors >= self.settings.errors_max {
            self.close_with(self.filled(&catalogue::TOO_MANY_ERRORS), actions);
        }
    }

    /// Whether a message was opened and neither committed nor discarded.
    pub(super) fn is_open(&self) -> bool {
        match self.phase {
            Phase::Data(_) => true,
            _ => self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some()),
        }
    }

    /// Handles one line, given without its CRLF; `followed` says that octets stand behind it.
    pub(super) fn line(&mut self, line: &[u8], followed: bool, actions: &mut Vec<Action>) {
        if self.settings.record {
            self.hear(line);
        }
        match self.phase {
            Phase::AuthLine => self.auth_line(line, actions),
            _ => self.command(line, followed, actions),
        }
    }

    /// Sends a reply to a command and counts it when it is an error.
    pub(super) fn send(&mut self, reply: Reply, actions: &mut Vec<Action>) {
        if reply.closes() {
            return self.close_with(reply, actions);
        }
        if reply.code().severity() == Severity::Permanent {
            self.errors = self.errors.saturating_add(1);
        }
        self.say(reply, actions);
    }

    /// Sends a refusal that a decision gave; a disconnect closes behind it.
    pub(super) fn refuse(&mut self, refusal: Refusal, disconnect: bool, actions: &mut Vec<Action>) {
        let reply = refusal.into_reply();
        if disconnect && !reply.closes() {
            // RFC 5321 §3.8: only 421 may announce the close, so the refusal's own reply goes first.
            self.say(reply, actions);
            let text = format!("{} closing connection", self.settings.hostname);
            self.close_with(catalogue::TOO_MANY_ERRORS.with_text(text), actions);
        } else {
            self.send(reply, actions);
        }
    }

    /// Sends a last reply and closes.
    pub(super) fn close_with(&mut self, reply: Reply, actions: &mut Vec<Action>) {
        self.say(reply, actions);
        self.close(actions);
    }

    pub(super) fn close(&mut self, actions: &mut Vec<Action>) {
        actions.push(Action::Close);
        self.pending = Vec::new();
        self.transaction = None;
        self.phase = Phase::Closed;
    }

    pub(super) fn ask(&mut self, awaited: Awaited, question: Question, actions: &mut Vec<Action>) {
        self.phase = Phase::Awaiting(awaited);
        actions.push(Action::Ask(question));
    }

    /// Clear text behind STARTTLS: the session ends here (RFC 3207 §4.2).
    pub(super) fn injected(&mut self, actions: &mut Vec<Action>) {
        actions.push(Action::Notice(Notice::CommandInjection));
        self.close_with(self.filled(&catalogue::NOT_CLEAR_TEXT), actions);
    }
}
