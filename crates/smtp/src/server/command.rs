//! Dispatch of a command line, and the commands that carry no mail.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::session::{Awaited, Hello, Phase, Session};
use super::settings::StartTlsOffer;
use super::{Action, Decision, Notice, Question};
use crate::catalogue;
use crate::command::{self, Command, Fault, Verb};
use crate::limits;
use crate::reply::Reply;

/// Longest line of the command that `line` begins with, in octets, CRLF included: 512, but for the commands whose
/// parameters extensions add to (RFC 5321 §4.5.3.1.4).
pub(super) fn line_octets_max(line: &[u8]) -> usize {
    let verb = line.get(..4).unwrap_or_default();
    if verb.eq_ignore_ascii_case(b"AUTH") {
        limits::AUTH_LINE_OCTETS_MAX
    } else if verb.eq_ignore_ascii_case(b"MAIL") || verb.eq_ignore_ascii_case(b"RCPT") {
        limits::COMMAND_LINE_OCTETS_MAX
    } else {
        limits::COMMAND_LINE_OCTETS
    }
}

impl Session {
    /// Handles a command line, given without its CRLF.
    pub(super) fn command(&mut self, line: &[u8], followed: bool, actions: &mut Vec<Action>) {
        self.utf8_inquiry = false;
        let command = command::split(line);
        if matches!(command, Ok(Command { verb: Some(Verb::Foreign), .. })) {
            return self.foreign(actions);
        }
        if self.refused && !matches!(command, Ok(Command { verb: Some(Verb::Quit), .. })) {
            return self.send(self.refusal(&catalogue::NO_SERVICE, &[]), actions);
        }
        let (verb, arguments) = match command {
            Ok(Command { verb: Some(verb), arguments, .. }) => (verb, arguments),
            Ok(_) => return self.send(self.refusal(&catalogue::UNKNOWN_COMMAND, &[]), actions),
            Err(fault) => {
                return self.send(
                    self.refusal(&catalogue::INVALID_OCTETS, &[("octet", &fault.to_string())]),
                    actions,
                );
            }
        };
        if self.is_idle(verb) {
            self.idle_commands = self.idle_commands.saturating_add(1);
            if self.idle_commands > limits::IDLE_COMMANDS_MAX {
                self.errors = self.errors.saturating_add(1);
            }
        }
        match verb {
            Verb::Ehlo => self.hello(arguments, true, actions),
            Verb::Helo => self.hello(arguments, false, actions),
            Verb::Mail => self.mail(arguments, actions),
            Verb::Rcpt => self.rcpt(arguments, actions),
            Verb::Data => self.data(arguments, actions),
            Verb::Bdat => self.bdat(arguments, actions),
            Verb::Rset => self.rset(arguments, actions),
            Verb::Noop => self.send(catalogue::NOOP.reply(), actions),
            Verb::Quit => self.quit(arguments, actions),
            Verb::Help => self.help(arguments, actions),
            Verb::Vrfy => self.vrfy(arguments, actions),
            Verb::Expn => self.expn(arguments, actions),
            Verb::StartTls => self.start_tls(arguments, followed, actions),
            Verb::Auth => self.auth(arguments, actions),
            Verb::Etrn | Verb::Atrn | Verb::Turn | Verb::Send | Verb::Soml | Verb::Saml | Verb::Lhlo => {
                self.not_offered(verb, actions);
            }
            Verb::Foreign => {}
        }
    }

    /// Whether the command advances no mail.
    fn is_idle(&self, verb: Verb) -> bool {
        match verb {
            Verb::Noop | Verb::Rset | Verb::Help | Verb::Vrfy | Verb::Expn => true,
            Verb::Ehlo | Verb::Helo => self.hello.is_some(),
            _ => false,
        }
    }

    pub(super) fn foreign(&mut self, actions: &mut Vec<Action>) {
        actions.push(Action::Notice(Notice::ForeignProtocol));
        self.close_with(self.filled(&catalogue::FOREIGN_PROTOCOL), actions);
    }

    pub(super) fn not_offered(&mut self, verb: Verb, actions: &mut Vec<Action>) {
        self.send(self.refusal(&catalogue::COMMAND_NOT_OFFERED, &[("command", verb.name())]), actions);
    }

    /// The reply to a fault in the arguments of `verb`.
    pub(super) fn fault(&mut self, verb: Verb, fault: &Fault, actions: &mut Vec<Action>) {
        let is_mail = verb == Verb::Mail;
        let reply = match fault {
            Fault::Usage => {
                let usage = verb.usage().map_or("", |usage| usage.syntax);
                self.refusal(&catalogue::BAD_ARGUMENT, &[("usage", usage)])
            }
            Fault::UnexpectedArgument => {
                self.refusal(&catalogue::UNEXPECTED_ARGUMENT, &[("command", verb.name())])
            }
            Fault::Path if is_mail => self.refusal(&catalogue::BAD_REVERSE_PATH, &[]),
            Fault::Path => self.refusal(&catalogue::BAD_FORWARD_PATH, &[]),
            Fault::Mailbox(error) => {
                let entry =
                    if is_mail { &catalogue::BAD_SENDER_MAILBOX } else { &catalogue::BAD_RECIPIENT_MAILBOX };
                self.refusal(entry, &[("reason", &error.to_string())])
            }
            Fault::NonAscii => self.refusal(&catalogue::NON_ASCII_ADDRESS, &[]),
            Fault::UnknownParameter(name) => {
                self.refusal(&catalogue::UNKNOWN_PARAMETER, &[("parameter", name)])
            }
            Fault::ParameterValue { name, why } => {
                self.refusal(&catalogue::BAD_PARAMETER, &[("parameter", name), ("reason", why)])
            }
            Fault::ParameterNotImplemented { name, value } => {
                let mut parameter = String::new();
                // Writing to a string cannot fail.
                let _ = write!(parameter, "{name}={value}");
                self.refusal(&catalogue::NOT_IMPLEMENTED_PARAMETER, &[("parameter", &parameter)])
            }
        };
        self.send(reply, actions);
    }

    fn hello(&mut self, arguments: &str, extended: bool, actions: &mut Vec<Action>) {
        let verb = if extended { Verb::Ehlo } else { Verb::Helo };
        let name = match command::hello(arguments) {
            Ok(name) => name,
            Err(_) if !arguments.is_empty() => {
                return self.send(self.refusal(&catalogue::BAD_HELLO_NAME, &[]), actions);
            }
            Err(fault) => return self.fault(verb, &fault, actions),
        };
        // RFC 5321 §4.1.4: a repeated EHLO resets like RSET.
        self.abandon(actions);
        self.hello = Some(Hello { name: String::from(name.as_str()), extended });
        self.ask(Awaited::Hello, Question::Hello, actions);
    }

    pub(super) fn hello_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::Accept | Decision::AcceptWith(_) => {
                let extended = self.hello.as_ref().is_some_and(|hello| hello.extended);
                let reply = if extended { self.ehlo_reply() } else { self.helo_reply() };
                self.send(reply, actions);
            }
            Decision::Refuse(refusal) => {
                self.hello = None;
                self.refuse(refusal, false, actions);
            }
            Decision::Disconnect(refusal) => self.refuse(refusal, true, actions),
        }
    }

    fn helo_reply(&self) -> Reply {
        catalogue::HELLO.fill(&[("hostname", &self.settings.hostname)])
    }

    fn ehlo_reply(&self) -> Reply {
        let mut text = self.settings.hostname.clone();
        let mut extensions = self.settings.extensions(self.rights, self.tls);
        if !extensions.auth.is_empty() {
            extensions.auth.splice(..0, self.further.iter().cloned());
        }
        extensions.write_lines(&mut text);
        catalogue::HELLO.with_text(text)
    }

    fn rset(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if let Err(fault) = command::no_arguments(arguments) {
            return self.fault(Verb::Rset, &fault, actions);
        }
        self.abandon(actions);
        self.send(catalogue::RESET.reply(), actions);
    }

    fn quit(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if let Err(fault) = command::no_arguments(arguments) {
            return self.fault(Verb::Quit, &fault, actions);
        }
        self.abandon(actions);
        self.close_with(self.filled(&catalogue::CLOSING), actions);
    }

    fn start_tls(&mut self, arguments: &str, followed: bool, actions: &mut Vec<Action>) {
        if self.settings.start_tls == StartTlsOffer::Off && !self.tls {
            return self.not_offered(Verb::StartTls, actions);
        }
        if self.hello.is_none() {
            return self.send(self.refusal(&catalogue::HELLO_FIRST, &[]), actions);
        }
        if self.tls {
            return self.send(self.refusal(&catalogue::TLS_TWICE, &[]), actions);
        }
        if self.transaction.is_some() {
            return self.send(self.refusal(&catalogue::TLS_IN_TRANSACTION, &[]), actions);
        }
        if let Err(fault) = command::no_arguments(arguments) {
            return self.fault(Verb::StartTls, &fault, actions);
        }
        if self.settings.start_tls == StartTlsOffer::Unavailable {
            return self.send(self.refusal(&catalogue::TLS_UNAVAILABLE, &[]), actions);
        }
        if followed {
            return self.injected(actions);
        }
        self.send(catalogue::START_TLS.reply(), actions);
        self.phase = Phase::Awaiting(Awaited::Tls);
        actions.push(Action::StartTls);
    }

    /// The answer to HELP STATUS, VRFY or EXPN.
    pub(super) fn inquiry_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::AcceptWith(reply) => self.send(self.readable(reply, true), actions),
            // A question about a user is never answered by the session itself.
            Decision::Accept => self.send(self.refusal(&catalogue::LOCAL_FAULT, &[]), actions),
            Decision::Refuse(refusal) => self.send(self.readable(refusal.into_reply(), true), actions),
            Decision::Disconnect(refusal) => self.refuse(refusal, true, actions),
        }
    }

    /// The reply that a decision brought, when it is a positive one; else ours.
    pub(super) fn positive(&self, given: Option<Reply>, own: &catalogue::Entry) -> Reply {
        match given {
            Some(reply) if reply.code().value() / 100 == 2 => reply,
            Some(_) => self.refusal(&catalogue::LOCAL_FAULT, &[]),
            None => own.reply(),
        }
    }
}
