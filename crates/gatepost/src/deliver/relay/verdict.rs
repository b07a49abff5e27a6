//! What an outcome means to the queue: the attempt of a recipient, its status code, and whether another host may try.
//!
//! Invariants: relayed needs a server's positive reply, failed needs the fate to be that; the class of a status code
//! follows from the attempt, never from what a server wrote.

use std::io;

use queue::pace::Met;
use smtp::client::meaning::{Fate, Host, Retry, Stage};
use smtp::client::{Cause, Fault, LocalCause, Needed, Outcome, RecipientOutcome, RemoteReply};
use smtp::reply::Severity;

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
        Self::deferred(Failure::local("4.4.1", shorten(format!("{peer}: {error}"))).met(Met::Absence))
    }

    /// TLS didn't come about.
    pub(super) fn unsecured(peer: &Peer, text: &str) -> Self {
        let diagnostic = shorten(one_line(&format!("{peer}: TLS handshake failed: {text}")));
        Self::deferred(Failure::local("4.7.5", diagnostic))
    }

    /// The session did what it never should.
    pub(super) fn unexpected(peer: &Peer) -> Self {
        tracing::error!(%peer, "a client session ended without an outcome");
        Self::deferred(Failure::local("4.3.0", format!("{peer}: the session ended without an outcome")))
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
    let met = met(cause);
    match cause {
        Cause::Reply { reply, .. } => {
            Failure { status, diagnostic: shorten(reply.to_string()), remote: Some(peer.mta_name()), met }
        }
        Cause::Local(LocalCause::BodyUnavailable | LocalCause::BodyInvalid) => {
            Failure::local(&status, cause.to_string())
        }
        Cause::Fault { .. } | Cause::Local(_) => {
            Failure::local(&status, shorten(format!("{peer}: {cause}"))).met(met)
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
        // RFC 5321 §4.2.3: the code itself says that the user is elsewhere.
        _ if reply.code.value() == 551 => String::from("1.6"),
        _ => String::from("0.0"),
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
        assert_eq!(status(reply(250, Some((2, 0, 0)), ""), Fate::Deferred), "4.5.0");
        let not_offered = |needed| Cause::Local(LocalCause::NotOffered(needed));
        assert_eq!(status(not_offered(Needed::EightBitMime), Fate::Failed), "5.6.3");
        assert_eq!(status(not_offered(Needed::BinaryMime), Fate::Failed), "5.6.3");
        assert_eq!(status(not_offered(Needed::Smtputf8), Fate::Failed), "5.6.7");
        let too_big = LocalCause::TooBig { limit_octets: 1 };
        assert_eq!(status(Cause::Local(too_big), Fate::Failed), "5.3.4");
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
