//! VRFY and EXPN (RFC 5321 §3.5, §4.1.1.6, §4.1.1.7).

use alloc::string::String;
use alloc::vec::Vec;

use super::session::{Awaited, Session};
use super::settings::Verification;
use super::{Action, Decision, Question};
use crate::catalogue;
use crate::command::{Fault, Verb};
use crate::reply::Reply;

impl Session {
    pub(super) fn vrfy(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if self.rights.verification == Verification::Off {
            return self.not_offered(Verb::Vrfy, actions);
        }
        let subject = match subject(arguments) {
            Ok((subject, smtputf8)) => {
                self.utf8_inquiry = smtputf8;
                subject
            }
            Err(fault) => return self.fault(Verb::Vrfy, &fault, actions),
        };
        match self.rights.verification {
            Verification::Tell => self.ask(Awaited::Inquiry, Question::Verify(subject), actions),
            Verification::Conceal | Verification::Off => {
                self.ask(Awaited::ConcealedInquiry, Question::VerifyConcealed(subject), actions);
            }
        }
    }

    pub(super) fn expn(&mut self, arguments: &str, actions: &mut Vec<Action>) {
        if !self.rights.expand {
            return self.not_offered(Verb::Expn, actions);
        }
        match subject(arguments) {
            Ok((subject, smtputf8)) => {
                self.utf8_inquiry = smtputf8;
                self.ask(Awaited::Inquiry, Question::Expand(subject), actions);
            }
            Err(fault) => self.fault(Verb::Expn, &fault, actions),
        }
    }
}

impl Session {
    /// Whatever is known of the user, a client that may not be told hears 252, or a refusal of the inquiry itself.
    pub(super) fn concealed_inquiry_decided(&mut self, decision: Decision, actions: &mut Vec<Action>) {
        match decision {
            Decision::Accept | Decision::AcceptWith(_) => {
                self.send(catalogue::CANNOT_VERIFY.reply(), actions);
            }
            refused => self.inquiry_decided(refused, actions),
        }
    }

    /// The answer to RCPT, or to an inquiry, as the client can read it: where the answer's address is beyond ASCII and
    /// the client did not say SMTPUTF8, it hears that instead (RFC 6531 §3.7.4.2).
    pub(super) fn readable(&self, reply: Reply, inquiry: bool) -> Reply {
        if reply.text().is_ascii() || self.reads_utf8() {
            return reply;
        }
        match (reply.code().value(), inquiry) {
            (251, false) => catalogue::RECIPIENT_OK.reply(),
            (250 | 251 | 553, true) => catalogue::UTF8_ANSWER.reply(),
            (551, _) => self.refusal(&catalogue::MOVED_UTF8, &[]),
            _ => reply,
        }
    }
}

/// What VRFY or EXPN asks about, and whether `SMTPUTF8` behind it allows other than ASCII (RFC 6531 §3.7.4.2).
fn subject(arguments: &str) -> Result<(String, bool), Fault> {
    let (text, smtputf8) = match arguments.rsplit_once(' ') {
        Some((before, last)) if last.eq_ignore_ascii_case("SMTPUTF8") => (before.trim_end(), true),
        _ => (arguments, false),
    };
    if text.is_empty() {
        return Err(Fault::Usage);
    }
    if !smtputf8 && !text.is_ascii() {
        return Err(Fault::NonAscii);
    }
    Ok((String::from(text), smtputf8))
}
