//! MAIL, RCPT, DATA and BDAT: a transaction from its reverse-path to the end of its data (RFC 5321 §3.3).

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::vec::Vec;
use core::mem;

use super::data::{ChunkChecker, DataDecoder, DataFault};
use super::session::{Awaited, Chunk, Phase, Session, Transaction};
use super::{Action, CommitOutcome, Decision, Notice, Question};
use crate::catalogue::{self, Entry};
use crate::command;
use crate::command::Verb;
use crate::envelope::{BodyType, Envelope, Recipient};
use crate::limits;
use crate::reply::Reply;

impl Session {
    /// Ends the transaction, if one is open, and forgets its message.
    pub(super) fn abandon(&mut self, actions: &mut Vec<Action>) {
        if self.transaction.take().is_some_and(|transaction| transaction.chunks.is_some()) {
            actions.push(Action::Discard);
        }
    }

    /// Why MAIL can't be taken now, before its argument is looked at.
    fn mail_out_of_order(&self) -> Option<&'static Entry> {
        if self.hello.is_none() {
            Some(&catalogue::HELLO_FIRST)
        } else if self.is_chunking() {
            Some(&catalogue::BDAT_OPEN)
        } else if self.transaction.is_some() {
            Some(&catalogue::NESTED_MAIL)
        } else if self.settings.tls_required && !self.tls {
            Some(&catalogue::TLS_REQUIRED)
        } else if self.settings.auth_required && self.user.is_none() {
            Some(&catalogue::AUTH_REQUIRED)
        } else if self.messages >= self.settings.messages_max {
            Some(&catalogue::TOO_MANY_MESSAGES)
        } else {
            None
        }
    }

    pub(super) fn is_chunking(&self) -> bool {
        self.transaction.as_ref().is_some_and(|transaction| transaction.chunks.is_some())
    }

    pub(super) fn mail(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if let Some(entry) = self.mail_out_of_order() {
            return self.send(self.filled(entry), actions);
        }
        let extensions = self.settings.extensions(self.rights, self.tls);
        let mail = match command::mail(arguments, &extensions) {
            Ok(mail) => mail,
            Err(fault) => return self.fault(Verb::Mail, &fault, actions),
        };
        if let Some(declared) = mail.parameters.size_octets {
            let limit = self.settings.message_octets_max;
            if declared > limit {
                let values = [("declared", &*declared.to_string()), ("limit", &*limit.to_string())];
                return self.send(self.refusal(&catalogue::SIZE_DECLARED, &values), actions);
            }
        }
        let envelope =
            Envelope { reverse_path: mail.reverse_path, parameters: mail.parameters, recipients: Vec::new() };
        self.transaction = Some(Transaction {
            envelope: Box::new(envelope),
            attempts: 0,
            candidate: None,
            accepted: false,
            chunks: None,
            size_octets: 0,
        });
        self.ask(Awaited::Mail, Question::Mail, actions);
    }

    pub(super) fn mail_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        let given = match decision {
            Decision::Accept => None,
            Decision::AcceptWith(reply) => Some(reply),
            Decision::Refuse(refusal) => {
                self.transaction = None;
                return self.refuse(refusal, false, actions);
            }
            Decision::Disconnect(refusal) => return self.refuse(refusal, true, actions),
        };
        let reply = self.positive(given, &catalogue::SENDER_OK);
        if reply.code().value() / 100 == 2 {
            if let Some(transaction) = &mut self.transaction {
                transaction.accepted = true;
            }
        } else {
            self.transaction = None;
        }
        self.send(reply, actions);
    }

    pub(super) fn rcpt(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if self.hello.is_none() {
            return self.send(self.refusal(&catalogue::HELLO_FIRST, &[]), actions);
        }
        if self.is_chunking() {
            return self.send(self.refusal(&catalogue::BDAT_OPEN, &[]), actions);
        }
        let Some(transaction) = &mut self.transaction else {
            return self.send(self.refusal(&catalogue::MAIL_FIRST, &[]), actions);
        };
        transaction.attempts = transaction.attempts.saturating_add(1);
        let smtputf8 = transaction.envelope.parameters.smtputf8;
        let accepted = transaction.envelope.recipients.len();
        let extensions = self.settings.extensions(self.rights, self.tls);
        let rcpt = match command::rcpt(arguments, &extensions, smtputf8) {
            Ok(rcpt) => rcpt,
            Err(fault) => return self.fault(Verb::Rcpt, &fault, actions),
        };
        let limit = usize::try_from(self.settings.recipients_max).unwrap_or(usize::MAX);
        if accepted >= limit {
            return self.too_many_recipients(limit, actions);
        }
        if let Some(transaction) = &mut self.transaction {
            transaction.candidate =
                Some(Recipient { forward_path: rcpt.forward_path, parameters: rcpt.parameters });
        }
        self.ask(Awaited::Recipient, Question::Recipient, actions);
    }

    fn too_many_recipients(&mut self, limit: usize, actions: &mut Vec<Action>) {
        let attempts = self.transaction.as_ref().map_or(0, |transaction| transaction.attempts);
        let attempts = usize::try_from(attempts).unwrap_or(usize::MAX);
        if attempts > limit.saturating_add(limits::RECIPIENTS_OVERSHOOT) {
            self.errors = self.errors.saturating_add(1);
        }
        self.send(self.refusal(&catalogue::TOO_MANY_RECIPIENTS, &[]), actions);
    }

    pub(super) fn recipient_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        let candidate = self.transaction.as_mut().and_then(|transaction| transaction.candidate.take());
        let given = match decision {
            Decision::Accept => None,
            Decision::AcceptWith(reply) => Some(reply),
            Decision::Refuse(refusal) => {
                return self.send(self.readable(refusal.into_reply(), false), actions);
            }
            Decision::Disconnect(refusal) => return self.refuse(refusal, true, actions),
        };
        let reply = self.readable(self.positive(given, &catalogue::RECIPIENT_OK), false);
        if let (Some(transaction), Some(recipient), 2) =
            (&mut self.transaction, candidate, reply.code().value() / 100)
        {
            transaction.envelope.recipients.push(recipient);
        }
        self.send(reply, actions);
    }

    /// Why mail data can't come now.
    fn data_out_of_order(&self) -> Option<&'static Entry> {
        let Some(transaction) = &self.transaction else {
            return Some(if self.hello.is_none() { &catalogue::HELLO_FIRST } else { &catalogue::MAIL_FIRST });
        };
        if !transaction.envelope.recipients.is_empty() {
            None
        } else if transaction.attempts == 0 {
            Some(&catalogue::RECIPIENT_FIRST)
        } else {
            Some(&catalogue::NO_VALID_RECIPIENTS)
        }
    }

    pub(super) fn data(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if let Err(fault) = command::no_arguments(arguments) {
            return self.fault(Verb::Data, &fault, actions);
        }
        if self.is_chunking() {
            return self.send(self.refusal(&catalogue::BDAT_OPEN, &[]), actions);
        }
        if let Some(entry) = self.data_out_of_order() {
            return self.send(self.refusal(entry, &[]), actions);
        }
        if self.body() == BodyType::BinaryMime {
            return self.send(self.refusal(&catalogue::DATA_AFTER_BINARY, &[]), actions);
        }
        self.ask(Awaited::Data(None), Question::Data, actions);
    }

    fn body(&self) -> BodyType {
        self.envelope().map_or(BodyType::SevenBit, |envelope| envelope.parameters.body)
    }

    pub(super) fn data_decided(
        &mut self,
        chunk: Option<Chunk>,
        decision: Decision,
        actions: &mut Vec<Action>,
    ) {
        let (refusal, disconnect) = match decision {
            Decision::Accept | Decision::AcceptWith(_) => (None, false),
            Decision::Refuse(refusal) => (Some(refusal), false),
            Decision::Disconnect(refusal) => (Some(refusal), true),
        };
        match (chunk, refusal) {
            (None, None) => {
                actions.push(Action::Send(catalogue::START_DATA.reply()));
                actions.push(Action::Open);
                self.phase = Phase::Data(DataDecoder::new());
            }
            (Some(chunk), None) => {
                actions.push(Action::Open);
                if let Some(transaction) = &mut self.transaction {
                    transaction.chunks = Some(ChunkChecker::default());
                }
                self.phase = Phase::Chunk(chunk);
            }
            (Some(mut chunk), Some(refusal)) if !disconnect => {
                self.transaction = None;
                chunk.refused = Some(refusal.into_reply());
                self.phase = Phase::Chunk(chunk);
            }
            (_, Some(refusal)) => {
                self.transaction = None;
                self.refuse(refusal, disconnect, actions);
            }
        }
    }

    /// Reads mail data, and gives the octets read.
    pub(super) fn read_data(&mut self, rest: &[u8], actions: &mut Vec<Action>) -> Option<usize> {
        if rest.is_empty() {
            return None;
        }
        let Phase::Data(decoder) = &mut self.phase else { return None };
        let mut content = Vec::with_capacity(rest.len());
        let end = decoder.decode(rest, &mut content);
        let fault = decoder.fault();
        self.write(content, actions);
        let Some(read) = end else { return Some(rest.len()) };
        self.phase = Phase::Command;
        self.end_of_data(fault, actions);
        Some(read)
    }

    /// Hands content on while the message is within its limit.
    fn write(&mut self, content: Vec<u8>, actions: &mut Vec<Action>) {
        let limit = self.settings.message_octets_max;
        let Some(transaction) = &mut self.transaction else { return };
        let octets = u64::try_from(content.len()).unwrap_or(u64::MAX);
        transaction.size_octets = transaction.size_octets.saturating_add(octets);
        if transaction.size_octets <= limit && !content.is_empty() {
            actions.push(Action::Write(content));
        }
    }

    /// The data ended: they are refused as they are, or decided upon.
    fn end_of_data(&mut self, fault: Option<DataFault>, actions: &mut Vec<Action>) {
        let limit = self.settings.message_octets_max;
        let size_octets = self.transaction.as_ref().map_or(0, |transaction| transaction.size_octets);
        let refused = match fault {
            Some(fault) => {
                actions.push(Action::Notice(Notice::RefusedData(fault)));
                Some(self.refusal(&catalogue::BAD_DATA, &[("reason", fault.reason())]))
            }
            None if size_octets > limit => {
                Some(self.refusal(&catalogue::MESSAGE_TOO_BIG, &[("limit", &limit.to_string())]))
            }
            None => None,
        };
        match refused {
            Some(reply) => self.end_transaction(reply, actions),
            None => self.ask(Awaited::Message, Question::Message { size_octets }, actions),
        }
    }

    /// Forgets the message that was opened, ends the transaction and answers.
    fn end_transaction(&mut self, reply: Reply, actions: &mut Vec<Action>) {
        actions.push(Action::Discard);
        self.transaction = None;
        self.phase = Phase::Command;
        self.send(reply, actions);
    }

    pub(super) fn message_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::Accept | Decision::AcceptWith(_) => {
                if let Some(transaction) = self.transaction.take() {
                    self.phase = Phase::Awaiting(Awaited::Commit);
                    actions.push(Action::Commit(transaction.envelope));
                }
            }
            Decision::Refuse(refusal) => self.end_transaction(refusal.into_reply(), actions),
            Decision::Disconnect(refusal) => {
                actions.push(Action::Discard);
                self.transaction = None;
                self.refuse(refusal, true, actions);
            }
        }
    }

    pub(super) fn committed(&mut self, outcome: CommitOutcome, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Awaiting(Awaited::Commit)) {
            return;
        }
        self.phase = Phase::Command;
        match outcome {
            CommitOutcome::Stored(queue_id) => {
                self.messages = self.messages.saturating_add(1);
                self.idle_commands = 0;
                self.send(catalogue::QUEUED.fill(&[("queue_id", &queue_id)]), actions);
            }
            CommitOutcome::Refused(refusal) => self.refuse(refusal, false, actions),
        }
    }

    pub(super) fn bdat(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        let bdat = match command::bdat(arguments) {
            Ok(bdat) => bdat,
            Err(fault) => {
                // Where the chunk ends is unknown: its octets must not be read as commands.
                self.abandon(actions);
                self.fault(Verb::Bdat, &fault, actions);
                return self.close_with(self.filled(&catalogue::CHUNK_UNKNOWN), actions);
            }
        };
        let mut chunk = Chunk {
            size_octets: bdat.size_octets,
            left_octets: bdat.size_octets,
            last: bdat.last,
            refused: None,
        };
        if let Some(entry) = self.data_out_of_order() {
            // RFC 3030 §2: the chunk follows all the same, and is read and thrown away.
            chunk.refused = Some(self.refusal(entry, &[]));
            self.phase = Phase::Chunk(chunk);
        } else if self.is_chunking() {
            self.phase = Phase::Chunk(chunk);
        } else {
            self.ask(Awaited::Data(Some(chunk)), Question::Data, actions);
        }
    }

    /// Reads octets of a chunk, and gives how many.
    pub(super) fn read_chunk(&mut self, rest: &[u8], actions: &mut Vec<Action>) -> Option<usize> {
        let binary = self.body() == BodyType::BinaryMime;
        let Phase::Chunk(chunk) = &mut self.phase else { return None };
        let wanted = usize::try_from(chunk.left_octets).unwrap_or(usize::MAX);
        let octets = rest.get(..wanted.min(rest.len())).unwrap_or_default();
        if octets.is_empty() && wanted > 0 {
            return None;
        }
        let read = octets.len();
        chunk.left_octets = chunk.left_octets.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
        let done = chunk.left_octets == 0;
        if chunk.refused.is_none() {
            let mut faulty = false;
            if let Some(checker) =
                self.transaction.as_mut().and_then(|transaction| transaction.chunks.as_mut())
            {
                if !binary {
                    checker.check(octets);
                }
                faulty = checker.fault().is_some();
            }
            if !faulty {
                self.write(octets.to_vec(), actions);
            }
        }
        if done {
            self.end_of_chunk(actions);
        }
        Some(read)
    }

    fn end_of_chunk(&mut self, actions: &mut Vec<Action>) {
        let Phase::Chunk(chunk) = mem::replace(&mut self.phase, Phase::Command) else { return };
        if let Some(reply) = chunk.refused {
            return self.send(reply, actions);
        }
        let limit = self.settings.message_octets_max;
        let Some(transaction) = &mut self.transaction else { return };
        let over = transaction.size_octets > limit;
        let checker = transaction.chunks.get_or_insert_default();
        if chunk.last {
            checker.finish();
        }
        let fault = checker.fault();
        if chunk.last || over || fault.is_some() {
            self.end_of_data(fault, actions);
        } else {
            self.send(catalogue::CHUNK_OK.fill(&[("octets", &chunk.size_octets.to_string())]), actions);
        }
    }
}
