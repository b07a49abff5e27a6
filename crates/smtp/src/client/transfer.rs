//! One transaction: RSET when needed, MAIL, RCPT, then DATA or BDAT, up to the outcome for each recipient.
//!
//! Invariants: replies are matched with commands in the order in which these were sent; without PIPELINING one command
//! awaits its reply at a time; mail data are sent only when MAIL and at least one RCPT were accepted, and only after
//! all their replies were read; each recipient gets one outcome.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::format;
use alloc::vec::Vec;

use super::data::{DataWriter, Framing};
use super::fault::Fault;
use super::meaning::{Attempt, Fate, Retry, Stage};
use super::outcome::{Cause, LocalCause, Needed, Outcome, RecipientOutcome};
use super::remote_reply::RemoteReply;
use super::settings::{Protocol, Settings};
use super::{Action, Content, PIPELINED_CHUNKS_MAX, PIPELINED_COMMANDS_MAX, Transaction};
use crate::command::{write_mail, write_rcpt};
use crate::envelope::{BodyType, MailParameters, Recipient};
use crate::extension::Extensions;

/// What a transaction depends on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) settings: &'a Settings,
    pub(super) extensions: &'a Extensions,
    /// Whether the connection is under TLS.
    pub(super) encrypted: bool,
    /// Whether AUTH succeeded.
    pub(super) authenticated: bool,
    /// Whether RSET must come first.
    pub(super) reset: bool,
}

/// Where the transaction stands after an event.
#[derive(Debug)]
pub(super) enum Progress {
    /// It awaits a reply or mail data.
    Waits,
    /// It is over, and the session can go on.
    Over {
        /// Whether the server may still hold something of it.
        needs_reset: bool,
    },
    /// It is over, and the session with it.
    Broken(Cause),
}

/// A command that awaits its reply. A recipient is told by its place in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaited {
    Reset,
    Mail,
    Rcpt(usize),
    Data,
    /// A lone dot that ends a transaction without recipients.
    LoneDot,
    Chunk,
    Last,
    /// LMTP's reply after the data, for one recipient.
    LastFor(usize),
}

impl Awaited {
    const fn stage(self) -> Stage {
        match self {
            Self::Reset => Stage::Reset,
            Self::Mail => Stage::Mail,
            Self::Rcpt(_) => Stage::Rcpt,
            Self::Data => Stage::Data,
            Self::Chunk => Stage::Chunk,
            Self::LoneDot | Self::Last | Self::LastFor(_) => Stage::EndOfData,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Up to the reply to DATA, or to the last RCPT when BDAT follows.
    Commands,
    /// Mail data are being sent.
    Body,
    /// Only replies are left.
    Ending,
}

/// A transaction under way.
#[derive(Debug)]
pub(super) struct Transfer {
    outcomes: Vec<Option<RecipientOutcome>>,
    /// Recipients that the server accepted, in order.
    accepted: Vec<usize>,
    unsent: VecDeque<(Awaited, Vec<u8>)>,
    awaiting: VecDeque<Awaited>,
    phase: Phase,
    /// `None` once the end of the data was written.
    writer: Option<DataWriter>,
    wants_body: bool,
    mail_refusal: Option<Cause>,
    needs_reset: bool,
    commands_max: usize,
    chunks_max: usize,
    chunking: bool,
    protocol: Protocol,
    dsn_offered: bool,
}

impl Transfer {
    /// Prepares a transaction.
    ///
    /// # Errors
    /// The outcome, when the server's offer alone decides it.
    pub(super) fn new(transaction: &Transaction, terms: Terms<'_>) -> Result<Self, Outcome> {
        let extensions = terms.extensions;
        let recipients = &transaction.envelope.recipients;
        if let Some(cause) = obstacle(transaction, terms) {
            return Err(Outcome::same_for_all(recipients.len(), &Cause::Local(cause), extensions.dsn));
        }
        let binary = transaction.body == BodyType::BinaryMime;
        let chunking = binary || (terms.settings.chunking && extensions.chunking);
        let pipelining = terms.settings.pipelining && extensions.pipelining;
        let protocol = terms.settings.protocol;
        let framing = match (chunking, binary) {
            (false, _) => Framing::Dots,
            (true, false) => Framing::Lines,
            (true, true) => Framing::Octets,
        };
        let mut transfer = Self {
            outcomes: alloc::vec![None; recipients.len()],
            accepted: Vec::new(),
            unsent: VecDeque::new(),
            awaiting: VecDeque::new(),
            phase: Phase::Commands,
            writer: Some(DataWriter::new(framing)),
            wants_body: false,
            mail_refusal: None,
            needs_reset: false,
            commands_max: if pipelining { PIPELINED_COMMANDS_MAX } else { 1 },
            // How many replies LMTP gives after a refused chunk is not said (RFC 2033 §4.2): one at a time.
            chunks_max: if pipelining && protocol == Protocol::Smtp { PIPELINED_CHUNKS_MAX } else { 1 },
            chunking,
            protocol,
            dsn_offered: extensions.dsn,
        };
        transfer.prepare(transaction, terms);
        let nobody = !transfer.unsent.iter().any(|(awaited, _)| matches!(awaited, Awaited::Rcpt(_)));
        if nobody { Err(transfer.outcome()) } else { Ok(transfer) }
    }

    /// Writes the commands, and decides the recipients that the server can't take.
    fn prepare(&mut self, transaction: &Transaction, terms: Terms<'_>) {
        let (extensions, envelope) = (terms.extensions, &transaction.envelope);
        let mut queue = |awaited, line| self.unsent.push_back((awaited, line));
        if terms.reset {
            queue(Awaited::Reset, b"RSET\r\n".to_vec());
        }
        let chosen = choose(&envelope.recipients, terms);
        let internationalised = chosen.iter().any(|(_, recipient)| !recipient.forward_path.is_ascii());
        let parameters = MailParameters {
            size_octets: Some(transaction.size_octets),
            body: transaction.body,
            smtputf8: needs_smtputf8(transaction) || internationalised,
            // Who submitted the message is told only to a server that knows us (RFC 4954 §5).
            auth: envelope.parameters.auth.clone().filter(|_| terms.authenticated),
            ..envelope.parameters.clone()
        };
        let mut line = Vec::new();
        write_mail(&envelope.reverse_path, &parameters, extensions, &mut line);
        queue(Awaited::Mail, line);
        for (place, recipient) in chosen {
            if !extensions.smtputf8 && !recipient.forward_path.is_ascii() {
                if let Some(outcome) = self.outcomes.get_mut(place) {
                    let cause = Cause::Local(LocalCause::NotOffered(Needed::Smtputf8));
                    *outcome = Some(RecipientOutcome::new(cause));
                }
                continue;
            }
            let mut line = Vec::new();
            write_rcpt(&recipient.forward_path, &recipient.parameters, extensions, &mut line);
            queue(Awaited::Rcpt(place), line);
        }
        if !self.chunking {
            queue(Awaited::Data, b"DATA\r\n".to_vec());
        }
    }

    /// Where the transaction waits.
    pub(super) fn stage(&self) -> Stage {
        self.awaiting.front().map_or(Stage::MailData, |awaited| awaited.stage())
    }

    /// Takes the next step: sends what may be sent, asks for mail data, or finds that all is over.
    pub(super) fn advance(&mut self, actions: &mut Vec<Action>) -> Progress {
        if self.phase == Phase::Commands {
            self.send_commands(actions);
            if !self.awaiting.is_empty() {
                return Progress::Waits;
            }
            // Only BDAT comes here with a recipient accepted: DATA changes the phase when its reply comes.
            let goes_on = self.mail_refusal.is_none() && !self.accepted.is_empty() && self.chunking;
            self.phase = if goes_on { Phase::Body } else { Phase::Ending };
        }
        match self.phase {
            Phase::Body if !self.wants_body && self.awaiting.len() < self.chunks_max => {
                self.wants_body = true;
                actions.push(Action::WantBody);
                Progress::Waits
            }
            Phase::Ending if self.awaiting.is_empty() => Progress::Over { needs_reset: self.needs_reset },
            Phase::Commands | Phase::Body | Phase::Ending => Progress::Waits,
        }
    }

    fn send_commands(&mut self, actions: &mut Vec<Action>) {
        let mut octets = Vec::new();
        while self.awaiting.len() < self.commands_max {
            let Some((awaited, line)) = self.unsent.pop_front() else { break };
            if awaited == Awaited::Data && self.awaiting.is_empty() && self.accepted.is_empty() {
                break;
            }
            octets.extend_from_slice(&line);
            self.awaiting.push_back(awaited);
        }
        if !octets.is_empty() {
            actions.push(Action::Send { octets, content: Content::Commands });
        }
    }

    /// Takes a reply.
    pub(super) fn take_reply(&mut self, reply: RemoteReply, actions: &mut Vec<Action>) -> Progress {
        let awaited = self.awaiting.pop_front();
        let stage = awaited.map_or(Stage::MailData, Awaited::stage);
        let cause = Cause::Reply { stage, reply };
        let meaning = cause.meaning();
        let Some(awaited) = awaited.filter(|_| meaning.attempt != Attempt::SessionOver) else {
            return Progress::Broken(cause);
        };
        match awaited {
            Awaited::Reset | Awaited::LoneDot => {}
            Awaited::Mail => match meaning.attempt {
                Attempt::Continues => self.needs_reset = true,
                _ => {
                    self.mail_refusal = Some(cause);
                    self.unsent.clear();
                }
            },
            Awaited::Rcpt(place) if meaning.fate == Fate::Accepted => self.accepted.push(place),
            Awaited::Rcpt(place) => self.settle(place, cause),
            Awaited::Data => return self.take_data_reply(meaning.attempt, cause, actions),
            Awaited::Chunk if meaning.attempt == Attempt::Continues => {}
            Awaited::Chunk => self.settle_accepted(&cause),
            Awaited::Last => {
                // What BDAT LAST leaves behind when it is refused is not said (RFC 3030 §4.2).
                self.needs_reset = self.chunking && meaning.fate != Fate::Delivered;
                self.settle_accepted(&cause);
            }
            Awaited::LastFor(place) => {
                self.needs_reset = false;
                self.settle(place, cause);
            }
        }
        self.advance(actions)
    }

    fn take_data_reply(&mut self, attempt: Attempt, cause: Cause, actions: &mut Vec<Action>) -> Progress {
        if attempt != Attempt::Continues {
            self.settle_accepted(&cause);
        } else if self.mail_refusal.is_none() && !self.accepted.is_empty() {
            self.phase = Phase::Body;
        } else if self.accepted.is_empty() && self.protocol == Protocol::Smtp {
            // The server waits for data that nobody is to get (RFC 2920 §3.1).
            actions.push(Action::Send { octets: b".\r\n".to_vec(), content: Content::MailData });
            self.awaiting.push_back(Awaited::LoneDot);
            self.needs_reset = false;
            self.phase = Phase::Ending;
        } else {
            // A dot would deliver an empty message to recipients whose MAIL was refused; LMTP can't be here at all
            // (RFC 2033 §4.2).
            return Progress::Broken(Cause::Fault { stage: Stage::Data, fault: Fault::OutOfStep });
        }
        self.advance(actions)
    }

    /// Takes a portion of mail data; one that wasn't asked for is dropped.
    pub(super) fn supply(&mut self, octets: &[u8], last: bool, actions: &mut Vec<Action>) -> Progress {
        let Some(mut writer) = self.writer.take_if(|_| self.wants_body) else { return Progress::Waits };
        self.wants_body = false;
        let mut wire = Vec::new();
        let mut written = writer.write(octets, &mut wire);
        if last {
            written = written.and_then(|()| writer.finish(&mut wire));
        } else {
            self.writer = Some(writer);
        }
        if written.is_err() {
            return Progress::Broken(Cause::Local(LocalCause::BodyInvalid));
        }
        if self.chunking && (last || !wire.is_empty()) {
            let mark = if last { " LAST" } else { "" };
            let command = format!("BDAT {}{mark}\r\n", wire.len());
            wire.splice(..0, command.into_bytes());
            if !last {
                self.awaiting.push_back(Awaited::Chunk);
            }
        }
        if !wire.is_empty() {
            actions.push(Action::Send { octets: wire, content: Content::MailData });
        }
        if last {
            match self.protocol {
                Protocol::Smtp => self.awaiting.push_back(Awaited::Last),
                Protocol::Lmtp => self.awaiting.extend(self.accepted.iter().copied().map(Awaited::LastFor)),
            }
            self.phase = Phase::Ending;
        }
        self.advance(actions)
    }

    /// Whether mail data were asked for.
    pub(super) const fn wants_body(&self) -> bool {
        self.wants_body
    }

    /// Ends the transaction with the session: whoever is undecided gets `cause`.
    pub(super) fn fail(mut self, cause: &Cause) -> Outcome {
        let in_commands = self.phase == Phase::Commands;
        for place in 0..self.outcomes.len() {
            // What happens to the data says nothing of a recipient that they were not sent for.
            if in_commands || self.accepted.contains(&place) {
                self.settle(place, cause.clone());
            }
        }
        self.outcome()
    }

    /// The outcome for each recipient; whoever is undecided was not attempted.
    pub(super) fn outcome(self) -> Outcome {
        let Self { outcomes, accepted, mail_refusal, dsn_offered, .. } = self;
        let rest = mail_refusal.unwrap_or(Cause::Local(LocalCause::NotAttempted));
        let recipients = outcomes.into_iter().map(|outcome| {
            let mut outcome = outcome.unwrap_or_else(|| RecipientOutcome::new(rest.clone()));
            // "Too many" when not one was accepted: another transaction would end the same way.
            if accepted.is_empty() && outcome.retry == Retry::Again && outcome.cause.reply().is_some() {
                outcome.retry = Retry::Later;
            }
            outcome
        });
        Outcome { recipients: recipients.collect(), dsn_offered }
    }

    /// Decides one recipient, unless it was decided before or MAIL was refused, which then is why.
    fn settle(&mut self, place: usize, cause: Cause) {
        if let Some(outcome @ None) = self.outcomes.get_mut(place) {
            *outcome = Some(RecipientOutcome::new(self.mail_refusal.clone().unwrap_or(cause)));
        }
    }

    /// Decides all that were accepted; nothing more is sent.
    fn settle_accepted(&mut self, cause: &Cause) {
        for place in core::mem::take(&mut self.accepted) {
            self.settle(place, cause.clone());
            self.accepted.push(place);
        }
        self.wants_body = false;
        self.phase = Phase::Ending;
    }
}

/// What of the server's offer makes the whole transaction pointless.
fn obstacle(transaction: &Transaction, terms: Terms<'_>) -> Option<LocalCause> {
    let extensions = terms.extensions;
    // What is offered in clear text anybody may have written.
    if transaction.envelope.parameters.require_tls && !(terms.encrypted && extensions.require_tls) {
        return Some(LocalCause::NotOffered(Needed::RequireTls));
    }
    match transaction.body {
        BodyType::EightBitMime if !extensions.eight_bit_mime => {
            return Some(LocalCause::NotOffered(Needed::EightBitMime));
        }
        BodyType::BinaryMime if !(extensions.binary_mime && extensions.chunking) => {
            return Some(LocalCause::NotOffered(Needed::BinaryMime));
        }
        BodyType::SevenBit | BodyType::EightBitMime | BodyType::BinaryMime => {}
    }
    if needs_smtputf8(transaction) && !extensions.smtputf8 {
        return Some(LocalCause::NotOffered(Needed::Smtputf8));
    }
    // A limit of 0 says that there is none (RFC 1870 §4).
    let limit_octets = extensions.size_octets_max.filter(|&limit_octets| limit_octets > 0)?;
    (transaction.size_octets > limit_octets).then_some(LocalCause::TooBig { limit_octets })
}

/// Whether the message needs SMTPUTF8, whoever it is for.
fn needs_smtputf8(transaction: &Transaction) -> bool {
    transaction.smtputf8 || !transaction.envelope.reverse_path.is_ascii()
}

/// The recipients that fit into one transaction (RFC 9422 §4), with their places.
fn choose<'a>(recipients: &'a [Recipient], terms: Terms<'_>) -> Vec<(usize, &'a Recipient)> {
    let limits = &terms.extensions.limits;
    let most = |limit: Option<u32>| limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let recipients_max = most(limits.rcpt_max).min(terms.settings.recipients_max).max(1);
    let domains_max = most(limits.rcpt_domain_max);
    let mut domains = BTreeSet::new();
    let fits = |(_, recipient): &(usize, &'a Recipient)| {
        let domain = recipient.forward_path.mailbox().map(|mailbox| &mailbox.domain);
        if domains.len() < domains_max {
            domains.insert(domain);
        }
        domains.contains(&domain)
    };
    recipients.iter().enumerate().filter(fits).take(recipients_max).collect()
}
