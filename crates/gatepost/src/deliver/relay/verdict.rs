//! What an outcome means to the queue: the attempt of a recipient, its status code, and whether another host may try.
//!
//! Invariants: relayed needs a server's positive reply, failed needs the fate to be that; the class of a status code
//! follows from the attempt, never from what a server wrote.

use std::io;

use queue::pace::Met;
use queue::schedule::Class;
use smtp::client::meaning::{Fate, Host, Retry, Stage};
use smtp::client::{Cause, Fault, LocalCause, Needed, Outcome, RecipientOutcome, RemoteReply};
use smtp::reply::Severity;

use super::convert::Obstacle;
use super::peer::Peer;
use crate::deliver::attempt::{Attempt, Failure};

/// Longest diagnostic that is kept, in octets (ours: a few lines; it is stored for each recipient).
const DIAGNOSTIC_OCTETS_MAX: usize = 1_024;

/// What came of a recipient at one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What it is when no other host changes it.
    pub(super) attempt: Attempt,
    /// When and where it is tried again.
    pub(super) retry: Retry,
    /// Whether the host can take what is left.
    pub(super) host: Host,
}

impl Verdict {
    /// What came of a transaction for one recipient.
    pub(super) fn of(peer: &Peer, outcome: &RecipientOutcome, dsn_offered: bool) -> Self {
        let RecipientOutcome { fate, retry, cause } = outcome;
        tracing::debug!(%peer, %cause, ?fate, ?retry, "outcome");
        let host = cause.meaning().host;
        let attempt = match (fate, cause.reply()) {
            (Fate::Delivered, Some(reply)) => {
                Attempt::Relayed { remote: peer.mta_name(), reply: shorten(reply.to_string()), dsn_offered }
            }
            (Fate::Failed, _) => Attempt::Failed(failure(peer, cause, '5')),
            (Fate::Delivered | Fate::Undecided | Fate::Accepted | Fate::Deferred | Fate::Unknown, _) => {
                Attempt::Deferred(failure(peer, cause, '4'))
            }
        };
        Self { attempt, retry: *retry, host }
    }

    /// The session ended before a transaction.
    pub(super) fn of_session(peer: &Peer, cause: &Cause) -> Self {
        let meaning = cause.meaning();
        let (attempt, retry) = match meaning.fate {
            Fate::Failed => (Attempt::Failed(failure(peer, cause, '5')), meaning.retry),
            _ => (Attempt::Deferred(failure(peer, cause, '4').met(Met::Absence)), Retry::NextHost),
        };
        Self { attempt, retry, host: Host::TurnOver }
    }

    /// No connection came about.
    pub(super) fn unreachable(peer: &Peer, error: &io::Error) -> Self {
        let diagnostic = shorten(format!("{peer}: {error}"));
        Self::deferred(Failure::local("4.4.1", diagnostic).met(Met::Absence).class(Class::Connection))
    }

    /// No connection may be made.
    pub(super) fn barred(text: &str) -> Self {
        let diagnostic = shorten(one_line(text));
        // A look-up may succeed soon, and a policy be mended.
        Self::deferred(Failure::local("4.7.5", diagnostic).met(Met::Absence).class(Class::Connection))
    }

    /// The message demands more protection than this host is known to give.
    pub(super) fn untrusted(peer: &Peer) -> Self {
        let diagnostic =
            format!("{peer}: the message demands REQUIRETLS, and nothing vouches for this server's identity");
        Self {
            attempt: Attempt::Failed(Failure::local("5.7.30", shorten(diagnostic))),
            ..Self::deferred(Failure::local("", ""))
        }
    }

    /// The same, with the reason why the message wasn't made what the server takes.
    pub(super) fn explained(mut self, cause: &Cause, obstacle: Option<Obstacle>) -> Self {
        let is_of_body =
            matches!(cause, Cause::Local(LocalCause::NotOffered(Needed::EightBitMime | Needed::BinaryMime)));
        if let (Attempt::Failed(failure), Some(obstacle), true) = (&mut self.attempt, obstacle, is_of_body) {
            failure.diagnostic =
                shorten(format!("{}, and the message cannot be converted: {obstacle}", failure.diagnostic));
        }
        self
    }

    /// TLS didn't come about.
    pub(super) fn unsecured(peer: &Peer, text: &str) -> Self {
        let diagnostic = shorten(one_line(&format!("{peer}: TLS handshake failed: {text}")));
        Self::deferred(Failure::local("4.7.5", diagnostic).met(Met::Absence).class(Class::Tls))
    }

    /// The session did what it never should.
    pub(super) fn unexpected(peer: &Peer) -> Self {
        tracing::error!(%peer, "a client session ended without an outcome");
        Self::deferred(Failure::local("4.3.0", format!("{peer}: the session ended without an outcome")))
    }

    /// The same, for no other host but by the schedule.
    pub(super) fn by_schedule(self) -> Self {
        Self { retry: Retry::Later, ..self }
    }

    /// Not at this host; the next one may.
    pub(super) fn deferred(failure: Failure) -> Self {
        Self { attempt: Attempt::Deferred(failure), retry: Retry::NextHost, host: Host::TurnOver }
    }
}

/// Whether a transaction came to nothing because the server had closed the connection before it: then the same host is
/// asked over a new one, as that says nothing of the message.
pub(super) fn is_stale(outcome: &Outcome) -> bool {
    let is_closed = |recipient: &RecipientOutcome| match &recipient.cause {
        Cause::Fault { stage: Stage::Reset | Stage::Mail, fault } => *fault == Fault::Lost,
        Cause::Reply { stage: Stage::Reset | Stage::Mail, reply } => reply.code.value() == 421,
        _ => false,
    };
    !outcome.recipients.is_empty() && outcome.recipients.iter().all(is_closed)
}

fn failure(peer: &Peer, cause: &Cause, class: char) -> Failure {
    let status = format!("{class}.{}", subject_and_detail(cause));
    let (met, class_of) = (met(cause), class_of(cause));
    match cause {
        Cause::Reply { reply, .. } => Failure {
            status,
            diagnostic: shorten(reply.to_string()),
            remote: Some(peer.mta_name()),
            met,
            class: class_of,
        },
        Cause::Local(LocalCause::BodyUnavailable | LocalCause::BodyInvalid) => {
            Failure::local(&status, cause.to_string())
        }
        Cause::Fault { .. } | Cause::Local(_) => {
            Failure::local(&status, shorten(format!("{peer}: {cause}"))).met(met).class(class_of)
        }
    }
}

/// What it says of the host that a transaction did not succeed: one that answers is there, whatever it says of a recipient
/// or of a message.
fn met(cause: &Cause) -> Met {
    match cause {
        Cause::Reply { stage, reply } => match (stage, reply.code.severity()) {
            _ if reply.code.value() == 421 => Met::Reluctance,
            (Stage::Reset | Stage::Mail, Severity::Transient) => Met::Reluctance,
            _ => Met::Welcome,
        },
        Cause::Fault { .. } => Met::Reluctance,
        Cause::Local(_) => Met::Indifference,
    }
}

/// What a deferral is counted as when the next attempt is set.
fn class_of(cause: &Cause) -> Class {
    match cause {
        Cause::Reply { reply, .. } if reply.is_about(2, 2) => Class::MailboxFull,
        Cause::Reply { reply, .. } if reply.code.value() == 421 => Class::Session,
        Cause::Reply { stage: Stage::Mail | Stage::Rcpt | Stage::Data | Stage::EndOfData, reply }
            if is_greylist(reply) =>
        {
            Class::Greylisted
        }
        Cause::Reply { stage, .. } => match stage {
            Stage::Mail => Class::Mail,
            Stage::Rcpt => Class::Recipient,
            Stage::Data | Stage::MailData | Stage::Chunk | Stage::EndOfData => Class::Data,
            Stage::StartTls => Class::Tls,
            _ => Class::Session,
        },
        Cause::Fault { fault: Fault::TlsFailed | Fault::Injection, .. } => Class::Tls,
        Cause::Fault { .. } => Class::Connection,
        Cause::Local(LocalCause::NotOffered(Needed::StartTls)) => Class::Tls,
        Cause::Local(_) => Class::Here,
    }
}

/// Whether a reply asks the client to come back soon: by its enhanced code as most greylists say it, or by its words
/// (RFC 6647 §5).
fn is_greylist(reply: &RemoteReply) -> bool {
    let says = |word: &str| {
        reply.text.as_bytes().windows(word.len()).any(|octets| octets.eq_ignore_ascii_case(word.as_bytes()))
    };
    matches!(reply.code.value(), 450 | 451) && (reply.is_about(7, 1) || says("greylist") || says("graylist"))
}

/// What follows the class of the status code (RFC 3463 §3).
fn subject_and_detail(cause: &Cause) -> String {
    let known = match cause {
        Cause::Reply { reply, .. } => return of_reply(reply),
        Cause::Fault { fault: Fault::Lost | Fault::TimedOut, .. } => "4.2",
        Cause::Fault { fault: Fault::Broken(_) | Fault::OutOfStep, .. } => "5.0",
        Cause::Fault { fault: Fault::Injection, .. } => "7.0",
        // RFC 3463 §3.8: cryptographic failure.
        Cause::Fault { fault: Fault::TlsFailed, .. } => "7.5",
        Cause::Local(LocalCause::NotOffered(needed)) => match needed {
            Needed::EightBitMime | Needed::BinaryMime => "6.3",
            // RFC 6531 §4.2.
            Needed::Smtputf8 => "6.7",
            // RFC 5248 and the registry that it made: encryption needed.
            Needed::StartTls => "7.10",
            // RFC 8689 §8.
            Needed::RequireTls => "7.30",
            Needed::Auth => "7.0",
        },
        Cause::Local(LocalCause::TooBig { .. }) => "3.4",
        Cause::Local(LocalCause::NotAttempted) => "5.3",
        Cause::Local(LocalCause::AuthInClear) => "7.0",
        Cause::Local(LocalCause::BodyUnavailable) => "3.0",
        Cause::Local(LocalCause::BodyInvalid) => "6.0",
    };
    known.to_owned()
}

fn of_reply(reply: &RemoteReply) -> String {
    match (reply.code.severity(), reply.enhanced) {
        // A positive reply that led to a failure stood in the wrong place.
        (Severity::Completed | Severity::Intermediate, _) => String::from("5.0"),
        (_, Some(enhanced)) if enhanced.class != 2 => format!("{}.{}", enhanced.subject, enhanced.detail),
        _ => String::from(of_bare_code(reply.code.value())),
    }
}

/// What a reply code says by itself.
const fn of_bare_code(code: u16) -> &'static str {
    match code {
        // RFC 7504 §3.
        521 => "3.2",
        // RFC 4954 §6.
        530 => "7.0",
        535 => "7.8",
        // RFC 5321 §4.2.3: the user is elsewhere, and a mailbox name that is not allowed.
        551 => "1.6",
        553 => "1.3",
        // RFC 7505 §4.2.
        556 => "1.10",
        _ => "0.0",
    }
}

/// The text without control characters, which may stand in what a certificate says.
fn one_line(text: &str) -> String {
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

/// Cuts what is too long to be kept, between characters.
fn shorten(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(DIAGNOSTIC_OCTETS_MAX));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deliver::relay::peer::tests::on_tcp;
    use smtp::client::{RemoteCode, RemoteEnhanced};

    fn peer() -> Peer {
        on_tcp("mx.example.org", "192.0.2.1:25")
    }

    fn reply(code: u16, enhanced: Option<(u8, u16, u16)>, text: &str) -> Cause {
        let enhanced = enhanced.map(|(class, subject, detail)| RemoteEnhanced { class, subject, detail });
        let reply = RemoteReply { code: RemoteCode::new(code).unwrap(), enhanced, text: text.into() };
        Cause::Reply { stage: Stage::Rcpt, reply }
    }

    fn status(cause: Cause, fate: Fate) -> String {
        let outcome = RecipientOutcome { fate, retry: Retry::Later, cause };
        match Verdict::of(&peer(), &outcome, false).attempt {
            Attempt::Deferred(failure) | Attempt::Failed(failure) => failure.status,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_class_follows_the_attempt_and_the_rest_the_enhanced_code() {
        assert_eq!(status(reply(550, Some((5, 1, 1)), ""), Fate::Failed), "5.1.1");
        assert_eq!(status(reply(450, Some((5, 1, 1)), ""), Fate::Deferred), "4.1.1");
        assert_eq!(status(reply(552, Some((5, 5, 3)), ""), Fate::Deferred), "4.5.3");
        assert_eq!(status(reply(550, Some((2, 1, 5)), ""), Fate::Failed), "5.0.0");
        assert_eq!(status(reply(451, None, ""), Fate::Deferred), "4.0.0");
        assert_eq!(status(reply(551, None, ""), Fate::Failed), "5.1.6");
        assert_eq!(status(reply(556, None, ""), Fate::Failed), "5.1.10");
        assert_eq!(status(reply(250, Some((2, 0, 0)), ""), Fate::Deferred), "4.5.0");
        let not_offered = |needed| Cause::Local(LocalCause::NotOffered(needed));
        assert_eq!(status(not_offered(Needed::EightBitMime), Fate::Failed), "5.6.3");
        assert_eq!(status(not_offered(Needed::BinaryMime), Fate::Failed), "5.6.3");
        assert_eq!(status(not_offered(Needed::Smtputf8), Fate::Failed), "5.6.7");
        let too_big = LocalCause::TooBig { limit_octets: 1 };
        assert_eq!(status(Cause::Local(too_big), Fate::Failed), "5.3.4");
    }

    #[test]
    fn the_next_attempt_goes_by_what_stood_in_the_way() {
        let class = |cause| failure(&peer(), &cause, '4').class;
        assert_eq!(class(reply(451, Some((4, 7, 1)), "wait")), Class::Greylisted);
        assert_eq!(class(reply(450, None, "You are GreyListed")), Class::Greylisted);
        assert_eq!(class(reply(452, Some((4, 7, 1)), "greylisted")), Class::Recipient);
        assert_eq!(class(reply(452, Some((4, 2, 2)), "full")), Class::MailboxFull);
        assert_eq!(class(reply(421, None, "greylisted")), Class::Session);
        let lost = |stage, fault| class(Cause::Fault { stage, fault });
        assert_eq!(lost(Stage::Mail, Fault::Lost), Class::Connection);
        assert_eq!(lost(Stage::Handshake, Fault::TlsFailed), Class::Tls);
        assert_eq!(class(Cause::Local(LocalCause::NotOffered(Needed::StartTls))), Class::Tls);
    }

    #[test]
    fn nothing_without_a_positive_reply_is_relayed() {
        let cause = Cause::Fault { stage: Stage::EndOfData, fault: Fault::Lost };
        assert_eq!(status(cause, Fate::Delivered), "4.4.2");
    }

    #[test]
    fn diagnostics_name_the_server_and_are_short() {
        let cause = Cause::Fault { stage: Stage::Mail, fault: Fault::TimedOut };
        let timed_out = failure(&peer(), &cause, '4');
        assert_eq!(timed_out.diagnostic, "mx.example.org (192.0.2.1:25): timed out (MAIL)");
        assert_eq!(timed_out.remote, None);
        let long = failure(&peer(), &reply(550, None, &"é".repeat(2_000)), '5');
        assert_eq!(long.remote.as_deref(), Some("mx.example.org"));
        assert_eq!(long.diagnostic.len(), DIAGNOSTIC_OCTETS_MAX);
    }
}
