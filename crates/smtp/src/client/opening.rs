//! From the greeting to the first transaction: EHLO or HELO, STARTTLS, AUTH.
//!
//! Invariants: nothing that was learnt or authenticated in clear text outlives the start of TLS (RFC 3207 §4.2); with
//! [`Tls::Required`] no transaction begins in clear text; credentials go over clear text only when the settings say so.

use alloc::format;
use alloc::vec::Vec;

use super::fault::Fault;
use super::meaning::{Attempt, Stage};
use super::offer::parse_offer;
use super::outcome::{Cause, LocalCause, Needed};
use super::remote_reply::RemoteReply;
use super::reply_parser::ReplyParser;
use super::session::{Session, State};
use super::settings::{Protocol, Tls};
use super::{Action, Content};
use crate::extension::Extensions;
use crate::time::Timestamp;

impl Session {
    /// Takes the reply to what was awaited at `stage`; `all_read` says that no octet came behind it.
    pub(super) fn take_opening_reply(
        &mut self,
        now: Timestamp,
        stage: Stage,
        reply: RemoteReply,
        all_read: bool,
        actions: &mut Vec<Action>,
    ) {
        let code = reply.code.value();
        if stage == Stage::Auth
            && code == 334
            && let Some(response) = self.responses.pop_front()
        {
            return self.command(now, stage, response, Content::Secret, actions);
        }
        let offer = if stage == Stage::Ehlo { parse_offer(&reply) } else { Extensions::default() };
        let cause = Cause::Reply { stage, reply };
        match (stage, cause.meaning().attempt) {
            (Stage::Greeting, Attempt::Continues) => self.hello(now, actions),
            (Stage::Ehlo | Stage::Helo, Attempt::Continues) => {
                self.extensions = offer;
                self.secure(now, actions);
            }
            (Stage::Ehlo, Attempt::FallsBack) if self.settings.protocol == Protocol::Smtp => {
                let line = format!("HELO {}\r\n", self.settings.client_name);
                self.command(now, Stage::Helo, line.into_bytes(), Content::Commands, actions);
            }
            (Stage::StartTls, Attempt::Continues) if !all_read => {
                self.end(Cause::Fault { stage, fault: Fault::Injection }, actions);
            }
            (Stage::StartTls, Attempt::Continues) => {
                self.wait_for(now, Stage::Handshake);
                actions.push(Action::StartTls);
            }
            (Stage::StartTls, Attempt::FallsBack) if self.settings.tls != Tls::Required => {
                self.authenticate(now, actions);
            }
            (Stage::Auth, Attempt::Continues) => {
                self.authenticated = true;
                self.ready(now, actions);
            }
            _ => {
                // A server that closes by itself would not read it (RFC 5321 §3.8, RFC 7504 §3).
                if !matches!(code, 421 | 521) {
                    say_quit(actions);
                }
                self.end(cause, actions);
            }
        }
    }

    /// The handshake is done: what was said in clear text doesn't count any more.
    pub(super) fn tls_started(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        if !matches!(self.state, State::Opening(Stage::Handshake)) {
            return;
        }
        self.parser = ReplyParser::new();
        self.extensions = Extensions::default();
        self.encrypted = true;
        self.hello(now, actions);
    }

    fn hello(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let verb = match self.settings.protocol {
            Protocol::Smtp => "EHLO",
            Protocol::Lmtp => "LHLO",
        };
        let line = format!("{verb} {}\r\n", self.settings.client_name);
        self.command(now, Stage::Ehlo, line.into_bytes(), Content::Commands, actions);
    }

    /// Asks for TLS where there is none and the settings want it.
    fn secure(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let wanted = matches!(self.settings.tls, Tls::Opportunistic | Tls::Required) && !self.encrypted;
        if wanted && self.extensions.starttls {
            let line = b"STARTTLS\r\n".to_vec();
            self.command(now, Stage::StartTls, line, Content::Commands, actions);
        } else if wanted && self.settings.tls == Tls::Required {
            self.give_up(LocalCause::NotOffered(Needed::StartTls), actions);
        } else {
            self.authenticate(now, actions);
        }
    }

    /// Logs in where there are credentials.
    fn authenticate(&mut self, now: Timestamp, actions: &mut Vec<Action>) {
        let Some(credentials) = &self.settings.credentials else { return self.ready(now, actions) };
        if !self.encrypted && !self.settings.auth_in_clear {
            return self.give_up(LocalCause::AuthInClear, actions);
        }
        let lines = credentials.lines(&self.extensions.auth).unwrap_or_default();
        self.responses = lines.into();
        match self.responses.pop_front() {
            Some(line) => self.command(now, Stage::Auth, line, Content::Secret, actions),
            None => self.give_up(LocalCause::NotOffered(Needed::Auth), actions),
        }
    }

    fn command(
        &mut self,
        now: Timestamp,
        stage: Stage,
        octets: Vec<u8>,
        content: Content,
        actions: &mut Vec<Action>,
    ) {
        self.wait_for(now, stage);
        actions.push(Action::Send { octets, content });
    }

    fn give_up(&mut self, cause: LocalCause, actions: &mut Vec<Action>) {
        say_quit(actions);
        self.end(Cause::Local(cause), actions);
    }
}

/// Says QUIT without waiting for its reply.
fn say_quit(actions: &mut Vec<Action>) {
    actions.push(Action::Send { octets: b"QUIT\r\n".to_vec(), content: Content::Commands });
}
