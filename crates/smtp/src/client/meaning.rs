//! What a reply, or its absence, means to a client: for the attempt, the host, the recipient and the retry.
//!
//! The first row of [`TABLE`] that fits decides; the last row fits everything. The reply code rules: an enhanced code
//! only refines it, and its class is not looked at.

use core::fmt;

use super::fault::Fault;
use super::remote_reply::RemoteReply;
use super::table::{OUT_OF_STEP, TABLE};
use crate::reply::Severity;

/// Where in a session a reply is awaited, or something else happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// The greeting is awaited.
    Greeting,
    /// EHLO, or LHLO.
    Ehlo,
    /// HELO, after EHLO was refused.
    Helo,
    /// STARTTLS.
    StartTls,
    /// The TLS handshake.
    Handshake,
    /// AUTH.
    Auth,
    /// Between transactions: no reply is awaited.
    Idle,
    /// RSET, before another transaction.
    Reset,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, up to its 354.
    Data,
    /// Mail data are being sent: no reply is awaited.
    MailData,
    /// BDAT without LAST.
    Chunk,
    /// The final dot, or BDAT LAST.
    EndOfData,
    /// QUIT.
    Quit,
}

impl fmt::Display for Stage {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Greeting => "greeting",
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::StartTls => "STARTTLS",
            Self::Handshake => "TLS handshake",
            Self::Auth => "AUTH",
            Self::Idle => "between transactions",
            Self::Reset => "RSET",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::MailData => "mail data",
            Self::Chunk => "BDAT",
            Self::EndOfData => "end of data",
            Self::Quit => "QUIT",
        })
    }
}

/// How the dialogue goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// With the next command.
    Continues,
    /// Without what was asked for: HELO instead of EHLO, clear text instead of TLS. Where the settings don't allow that
    /// the session is over, and the rest of the meaning says what follows.
    FallsBack,
    /// Without this transaction; the session can take another.
    TransactionOver,
    /// Not at all: the connection is closed.
    SessionOver,
}

/// What it says of the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// It can take more mail now.
    Usable,
    /// Its turn is over: what is left goes to the next host.
    TurnOver,
}

/// What becomes of the recipients concerned: of one at RCPT, of all that are not decided elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet.
    Undecided,
    /// The server takes it, should the data be taken.
    Accepted,
    /// The server has taken the message.
    Delivered,
    /// Refused for good, unless [`Retry::NextHost`] stands with it and another host is left.
    Failed,
    /// Refused for now.
    Deferred,
    /// The server may or may not have taken the message: it is tried again and may arrive twice (RFC 1047).
    Unknown,
}

/// When and where the recipients concerned are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not at all.
    Never,
    /// At once, with this host, in another transaction or connection.
    Again,
    /// At once with the next host; when none is left, by the schedule.
    NextHost,
    /// By the schedule.
    Later,
}

/// What follows from a reply or a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meaning {
    /// How the dialogue goes on.
    pub attempt: Attempt,
    /// What it says of the host.
    pub host: Host,
    /// What becomes of the recipients concerned.
    pub fate: Fate,
    /// When and where they are tried again.
    pub retry: Retry,
}

/// What a row is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Any of these codes.
    Codes(&'static [u16]),
    /// This code without an enhanced code.
    Bare(u16),
    /// This code with this subject and detail of the enhanced code.
    About(u16, (u16, u16)),
    /// Any code of this severity.
    Any(Severity),
    /// This fault.
    Fault(Fault),
    /// Any fault: no reply that could be read came.
    AnyFault,
    /// Anything.
    Always,
}

impl fmt::Display for When {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Codes(codes) => {
                for (index, code) in codes.iter().enumerate() {
                    write!(formatter, "{}{code}", if index == 0 { "" } else { " " })?;
                }
                Ok(())
            }
            Self::Bare(code) => write!(formatter, "{code} without enhanced code"),
            Self::About(code, (subject, detail)) => write!(formatter, "{code} X.{subject}.{detail}"),
            Self::Any(Severity::Completed) => formatter.write_str("2yz"),
            Self::Any(Severity::Intermediate) => formatter.write_str("3yz"),
            Self::Any(Severity::Transient) => formatter.write_str("4yz"),
            Self::Any(Severity::Permanent) => formatter.write_str("5yz"),
            Self::Fault(fault) => write!(formatter, "{fault}"),
            Self::AnyFault => formatter.write_str("no readable reply"),
            Self::Always => formatter.write_str("anything else"),
        }
    }
}

/// One row of [`TABLE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// The stages; none named means any.
    pub stages: &'static [Stage],
    /// What happened.
    pub when: When,
    /// What it means.
    pub meaning: Meaning,
    /// Why, with its source.
    pub why: &'static str,
}

/// What came: a reply, or none.
#[derive(Clone, Copy)]
enum Event<'a> {
    Reply(&'a RemoteReply),
    Fault(Fault),
}

impl Row {
    fn fits(&self, stage: Stage, event: Event<'_>) -> bool {
        let here = self.stages.is_empty() || self.stages.contains(&stage);
        here && match (self.when, event) {
            (When::Always, _) | (When::AnyFault, Event::Fault(_)) => true,
            (When::Fault(expected), Event::Fault(fault)) => expected == fault,
            (When::Codes(codes), Event::Reply(reply)) => codes.contains(&reply.code.value()),
            (When::Bare(code), Event::Reply(reply)) => reply.code.value() == code && reply.enhanced.is_none(),
            (When::About(code, (subject, detail)), Event::Reply(reply)) => {
                reply.code.value() == code && reply.is_about(subject, detail)
            }
            (When::Any(severity), Event::Reply(reply)) => reply.code.severity() == severity,
            _ => false,
        }
    }
}

/// What `reply` means at `stage`.
#[must_use]
pub fn classify(stage: Stage, reply: &RemoteReply) -> Meaning {
    find(stage, Event::Reply(reply)).meaning
}

/// What `fault` means at `stage`.
#[must_use]
pub fn classify_fault(stage: Stage, fault: Fault) -> Meaning {
    find(stage, Event::Fault(fault)).meaning
}

fn find(stage: Stage, event: Event<'_>) -> &'static Row {
    TABLE.iter().find(|row| row.fits(stage, event)).unwrap_or(&OUT_OF_STEP)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::reply_parser::BrokenReply;
    use crate::client::{RemoteCode, RemoteEnhanced};
    use alloc::sync::Arc;
    use alloc::vec;
    use alloc::vec::Vec;

    const STAGES: [Stage; 15] = [
        Stage::Greeting,
        Stage::Ehlo,
        Stage::Helo,
        Stage::StartTls,
        Stage::Handshake,
        Stage::Auth,
        Stage::Idle,
        Stage::Reset,
        Stage::Mail,
        Stage::Rcpt,
        Stage::Data,
        Stage::MailData,
        Stage::Chunk,
        Stage::EndOfData,
        Stage::Quit,
    ];

    const FAULTS: [Fault; 6] = [
        Fault::Lost,
        Fault::TimedOut,
        Fault::Broken(BrokenReply::NotAReply),
        Fault::OutOfStep,
        Fault::Injection,
        Fault::TlsFailed,
    ];

    fn reply(code: u16, enhanced: Option<(u16, u16)>) -> RemoteReply {
        let class = u8::try_from(code / 100).unwrap();
        let enhanced = enhanced.map(|(subject, detail)| RemoteEnhanced { class, subject, detail });
        RemoteReply { code: RemoteCode::new(code).unwrap(), enhanced, text: Arc::from("") }
    }

    fn means(stage: Stage, code: u16) -> Meaning {
        classify(stage, &reply(code, None))
    }

    fn replies() -> Vec<RemoteReply> {
        let enhanced = [None, Some((1, 1)), Some((5, 3)), Some((2, 2)), Some((7, 1))];
        (200..600).flat_map(|code| enhanced.map(|enhanced| reply(code, enhanced))).collect()
    }

    #[test]
    fn every_row_is_reached() {
        let mut reached = vec![false; TABLE.len()];
        let replies = replies();
        for stage in STAGES {
            let faults = FAULTS.map(Event::Fault).into_iter();
            for event in replies.iter().map(Event::Reply).chain(faults) {
                let index = TABLE.iter().position(|row| row.fits(stage, event)).unwrap();
                reached[index] = true;
            }
        }
        for (row, reached) in TABLE.iter().zip(reached) {
            assert!(reached, "never decides: {row:?}");
        }
    }

    #[test]
    fn only_a_permanent_reply_fails_a_recipient_and_only_a_positive_one_delivers() {
        for stage in STAGES {
            for reply in replies() {
                let meaning = classify(stage, &reply);
                if meaning.fate == Fate::Failed {
                    assert_eq!(reply.code.severity(), Severity::Permanent, "{stage} {reply}");
                }
                let delivered = stage == Stage::EndOfData && reply.code.severity() == Severity::Completed;
                assert_eq!(meaning.fate == Fate::Delivered, delivered, "{stage} {reply}");
                if reply.code.value() == 421 && !matches!(stage, Stage::Quit | Stage::Idle) {
                    assert_eq!(meaning.attempt, Attempt::SessionOver);
                    assert_eq!((meaning.fate, meaning.retry), (Fate::Deferred, Retry::NextHost));
                }
            }
            for fault in FAULTS {
                let fate = classify_fault(stage, fault).fate;
                assert!(!matches!(fate, Fate::Failed | Fate::Delivered | Fate::Accepted), "{stage} {fault}");
            }
        }
    }

    #[test]
    fn the_codes_with_a_meaning_of_their_own() {
        assert_eq!(means(Stage::Rcpt, 552).retry, Retry::Again);
        assert_eq!(means(Stage::Rcpt, 452).retry, Retry::Again);
        assert_eq!(classify(Stage::Rcpt, &reply(552, Some((2, 2)))).fate, Fate::Failed);
        assert_eq!(classify(Stage::Rcpt, &reply(452, Some((2, 2)))).retry, Retry::Later);
        assert_eq!(classify(Stage::Rcpt, &reply(552, Some((5, 3)))).fate, Fate::Deferred);
        assert_eq!(means(Stage::EndOfData, 552).fate, Fate::Failed);
        assert_eq!(means(Stage::Rcpt, 251).fate, Fate::Accepted);
        assert_eq!(means(Stage::Rcpt, 551).fate, Fate::Failed);
        assert_eq!(means(Stage::Greeting, 554).retry, Retry::NextHost);
        assert_eq!(means(Stage::Greeting, 554).fate, Fate::Deferred);
        assert_eq!(means(Stage::Greeting, 521).fate, Fate::Failed);
        assert_eq!(means(Stage::Mail, 550), means(Stage::Mail, 571));
        assert_eq!(means(Stage::Mail, 530).fate, Fate::Deferred);
        assert_eq!(means(Stage::Rcpt, 530).fate, Fate::Deferred);
        assert_eq!(means(Stage::Rcpt, 556).fate, Fate::Failed);
        assert_eq!(classify(Stage::Rcpt, &reply(451, Some((7, 1)))).retry, Retry::Later);
        assert_eq!(classify_fault(Stage::EndOfData, Fault::Lost).fate, Fate::Unknown);
        assert_eq!(classify_fault(Stage::MailData, Fault::Lost).fate, Fate::Deferred);
    }

    #[test]
    fn replies_in_the_wrong_place_end_the_session_without_a_verdict() {
        for (stage, code) in [
            (Stage::Greeting, 354),
            (Stage::Mail, 354),
            (Stage::Rcpt, 354),
            (Stage::Data, 250),
            (Stage::MailData, 250),
            (Stage::Idle, 250),
            (Stage::Auth, 334),
        ] {
            let meaning = means(stage, code);
            assert_eq!(
                (meaning.attempt, meaning.fate),
                (Attempt::SessionOver, Fate::Deferred),
                "{stage} {code}"
            );
        }
    }
}
