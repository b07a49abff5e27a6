//! HELP: the commands that the session may use now, one command's syntax, or the server's status (RFC 5321 §4.1.1.8).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use super::session::{Awaited, Session};
use super::settings::{StartTlsOffer, Verification};
use super::{Action, Question};
use crate::catalogue;
use crate::command::Verb;
use crate::limits;

impl Session {
    pub(super) fn help(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        let topic = arguments;
        if topic.is_empty() {
            return self.send(catalogue::HELP.with_text(self.overview()), actions);
        }
        if topic.eq_ignore_ascii_case("STATUS") {
            return self.ask(Awaited::Status, Question::Status, actions);
        }
        match Verb::from_word(topic).filter(|verb| *verb != Verb::Foreign) {
            Some(verb) => self.send(catalogue::HELP.with_text(self.topic(verb)), actions),
            None => self.send(self.refusal(&catalogue::UNKNOWN_TOPIC, &[("topic", topic)]), actions),
        }
    }

    fn overview(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{} on {}; commands for this session:\n ",
            self.settings.product, self.settings.hostname
        );
        for verb in Verb::ALL.iter().filter(|verb| self.may(**verb)) {
            let _ = write!(text, " {}", verb.name());
        }
        text.push_str("\nHELP <command> says more; HELP STATUS shows the server's state");
        text
    }

    fn topic(&self, verb: Verb) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if let Some(usage) = verb.usage() {
            // A reply is ASCII.
            let source = usage.source.replace('§', "section ");
            let _ = write!(text, "{}\n{source}", usage.syntax);
        }
        let line_octets = super::command::line_octets_max(verb.name().as_bytes());
        let _ = write!(text, "\nline: at most {line_octets} octets");
        match verb {
            Verb::Mail => {
                let _ = write!(
                    text,
                    "\nmessage: at most {} octets; session: at most {} messages",
                    self.settings.message_octets_max, self.settings.messages_max
                );
            }
            Verb::Rcpt => {
                let _ = write!(
                    text,
                    "\nat most {} recipients in a transaction; local part at most {} octets, domain at most {}",
                    self.settings.recipients_max,
                    limits::LOCAL_PART_OCTETS_MAX,
                    limits::DOMAIN_OCTETS_MAX
                );
            }
            Verb::Data | Verb::Bdat => {
                let _ = write!(text, "\nmessage: at most {} octets", self.settings.message_octets_max);
            }
            _ => {}
        }
        if !self.may(verb) {
            text.push_str("\nnot offered to this session now");
        }
        text
    }

    /// Whether the session may use the command now, its order aside.
    fn may(&self, verb: Verb) -> bool {
        match verb {
            Verb::Vrfy => self.rights.verification != Verification::Off,
            Verb::Expn => self.rights.expand,
            Verb::StartTls => !self.tls && self.settings.start_tls != StartTlsOffer::Off,
            Verb::Auth => {
                self.user.is_none()
                    && self.settings.auth.as_ref().is_some_and(|offer| self.tls || !offer.needs_tls)
            }
            Verb::Etrn | Verb::Atrn | Verb::Turn | Verb::Send | Verb::Soml | Verb::Saml | Verb::Lhlo => false,
            Verb::Foreign => false,
            _ => true,
        }
    }
}
