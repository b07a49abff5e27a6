//! AUTH: the exchange around a mechanism, whose own work is done outside (RFC 4954).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::session::{Awaited, Phase, Session};
use super::{Action, AuthOutcome, AuthStep, Decision, Question};
use crate::catalogue;
use crate::command::{self, Verb};

impl Session {
    pub(super) fn auth(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        let Some(offer) = &self.settings.auth else {
            return self.not_offered(Verb::Auth, actions);
        };
        let needs_tls = offer.needs_tls && !self.tls;
        let out_of_order = if self.hello.is_none() {
            Some(&catalogue::HELLO_FIRST)
        } else if self.user.is_some() {
            Some(&catalogue::AUTH_TWICE)
        } else if self.transaction.is_some() {
            Some(&catalogue::AUTH_IN_TRANSACTION)
        } else {
            None
        };
        if let Some(entry) = out_of_order {
            return self.send(self.refusal(entry, &[]), actions);
        }
        let auth = match command::auth(arguments) {
            Ok(auth) => auth,
            Err(fault) => return self.fault(Verb::Auth, &fault, actions),
        };
        let mechanism = auth.mechanism.to_ascii_uppercase();
        if !self.offers(&mechanism) {
            return self
                .send(self.refusal(&catalogue::UNKNOWN_MECHANISM, &[("mechanism", &mechanism)]), actions);
        }
        if needs_tls {
            return self.send(self.refusal(&catalogue::AUTH_NEEDS_TLS, &[]), actions);
        }
        self.mechanism = mechanism;
        let response = auth.initial_response.map(String::from);
        self.authenticate(response, true, actions);
    }

    fn offers(&self, mechanism: &str) -> bool {
        let offered =
            self.settings.auth.as_ref().map(|offer| offer.mechanisms.as_slice()).unwrap_or_default();
        self.further.iter().chain(offered).any(|offered| offered.eq_ignore_ascii_case(mechanism))
    }

    fn authenticate(&mut self, response: Option<String>, first: bool, actions: &mut Vec<Action>) {
        self.phase = Phase::Awaiting(Awaited::Authentication);
        actions.push(Action::Authenticate(AuthStep { mechanism: self.mechanism.clone(), response, first }));
    }

    /// The client's answer to a challenge.
    pub(super) fn auth_line(&mut self, line: &[u8], actions: &mut Vec<Action>) {
        if line == b"*" {
            self.phase = Phase::Command;
            return self.send(self.refusal(&catalogue::AUTH_CANCELLED, &[]), actions);
        }
        let is_base64 = |octet: &u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/' | b'=');
        match core::str::from_utf8(line) {
            Ok(response) if line.iter().all(is_base64) && line.len().is_multiple_of(4) => {
                self.authenticate(Some(String::from(response)), false, actions);
            }
            _ => {
                self.phase = Phase::Command;
                self.send(self.refusal(&catalogue::AUTH_SYNTAX, &[]), actions);
            }
        }
    }

    pub(super) fn authenticated(&mut self, outcome: AuthOutcome, actions: &mut Vec<Action>) {
        if !matches!(self.phase, Phase::Awaiting(Awaited::Authentication)) {
            return;
        }
        self.phase = Phase::Command;
        let reply = match outcome {
            AuthOutcome::Challenge(challenge) => {
                self.phase = Phase::AuthLine;
                catalogue::CHALLENGE.with_text(challenge)
            }
            AuthOutcome::Accepted(user) => {
                self.user = Some(user);
                return self.ask(Awaited::User, Question::User, actions);
            }
            AuthOutcome::Rejected => self.refusal(&catalogue::BAD_CREDENTIALS, &[]),
            AuthOutcome::TooWeak => self.refusal(&catalogue::MECHANISM_TOO_WEAK, &[]),
            AuthOutcome::Malformed => self.refusal(&catalogue::AUTH_SYNTAX, &[]),
            AuthOutcome::Unavailable => self.refusal(&catalogue::AUTH_UNAVAILABLE, &[]),
            AuthOutcome::NeedsTransition => self.refusal(&catalogue::PASSWORD_TRANSITION, &[]),
            AuthOutcome::Throttled { minutes } => {
                self.refusal(&catalogue::AUTH_THROTTLED, &[("minutes", &minutes.to_string())])
            }
        };
        self.send(reply, actions);
    }

    pub(super) fn user_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        let (refusal, disconnect) = match decision {
            Decision::Accept | Decision::AcceptWith(_) => {
                return self.send(catalogue::AUTHENTICATED.reply(), actions);
            }
            Decision::Refuse(refusal) => (refusal, false),
            Decision::Disconnect(refusal) => (refusal, true),
        };
        // The user must not be there for what follows a refusal.
        self.user = None;
        self.refuse(refusal, disconnect, actions);
    }
}
