//! What came of a transaction for each recipient, and why a session ended.

use alloc::vec::Vec;
use core::fmt;

use super::fault::Fault;
use super::meaning::{Attempt, Fate, Host, Meaning, Retry, Stage, classify, classify_fault};
use super::remote_reply::RemoteReply;

/// Why something came out as it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// The server's reply.
    Reply {
        /// What it answered.
        stage: Stage,
        /// The reply.
        reply: RemoteReply,
    },
    /// No readable reply.
    Fault {
        /// What would have been answered.
        stage: Stage,
        /// What happened instead.
        fault: Fault,
    },
    /// Found at this end, before the server was asked.
    Local(LocalCause),
}

/// What this end found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LocalCause {
    /// The server lacks what the message or the settings need.
    NotOffered(Needed),
    /// The message is larger than the server's SIZE (RFC 1870 §6.1), as 552 5.3.4.
    TooBig {
        /// What the server takes, in octets.
        limit_octets: u64,
    },
    /// The recipient didn't fit into this transaction (RFC 9422 §4, or the settings' limit).
    NotAttempted,
    /// The credentials may not go over a connection without TLS.
    AuthInClear,
    /// The mail data can't be read.
    BodyUnavailable,
    /// The mail data hold a bare CR or LF.
    BodyInvalid,
}

/// What a server may lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needed {
    /// STARTTLS, which the settings require.
    StartTls,
    /// AUTH with PLAIN or LOGIN, for which there are credentials.
    Auth,
    /// 8BITMIME; the message can be converted (RFC 6152 §3).
    EightBitMime,
    /// BINARYMIME and CHUNKING; the message can be converted (RFC 3030 §3).
    BinaryMime,
    /// SMTPUTF8 (RFC 6531 §3.2).
    Smtputf8,
    /// REQUIRETLS, offered under TLS (RFC 8689 §4.2.1).
    RequireTls,
}

impl Cause {
    /// What it means for attempt, host, recipient and retry.
    #[must_use]
    pub fn meaning(&self) -> Meaning {
        match self {
            Self::Reply { stage, reply } => classify(*stage, reply),
            Self::Fault { stage, fault } => classify_fault(*stage, *fault),
            Self::Local(cause) => cause.meaning(),
        }
    }

    /// The server's reply, when it gave one.
    #[must_use]
    pub const fn reply(&self) -> Option<&RemoteReply> {
        match self {
            Self::Reply { reply, .. } => Some(reply),
            Self::Fault { .. } | Self::Local(_) => None,
        }
    }
}

impl LocalCause {
    /// What it means. A fault of ours is never permanent; what only another host might take is failed unless one does.
    #[must_use]
    pub const fn meaning(self) -> Meaning {
        let (attempt, host, fate, retry) = match self {
            Self::NotOffered(Needed::StartTls) => {
                (Attempt::SessionOver, Host::TurnOver, Fate::Deferred, Retry::NextHost)
            }
            Self::NotOffered(Needed::Auth) | Self::AuthInClear => {
                (Attempt::SessionOver, Host::TurnOver, Fate::Deferred, Retry::Later)
            }
            Self::NotOffered(
                Needed::EightBitMime | Needed::BinaryMime | Needed::Smtputf8 | Needed::RequireTls,
            ) => (Attempt::TransactionOver, Host::Usable, Fate::Failed, Retry::NextHost),
            Self::TooBig { .. } => (Attempt::TransactionOver, Host::Usable, Fate::Failed, Retry::Never),
            Self::NotAttempted => (Attempt::TransactionOver, Host::Usable, Fate::Undecided, Retry::Again),
            Self::BodyUnavailable | Self::BodyInvalid => {
                (Attempt::SessionOver, Host::Usable, Fate::Deferred, Retry::Later)
            }
        };
        Meaning { attempt, host, fate, retry }
    }
}

impl fmt::Display for Cause {
    /// One line, as a log or a DSN shows it: `550 5.1.1 no such user (RCPT)`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reply { stage, reply } => write!(formatter, "{reply} ({stage})"),
            Self::Fault { stage, fault } => write!(formatter, "{fault} ({stage})"),
            Self::Local(cause) => write!(formatter, "{cause}"),
        }
    }
}

impl fmt::Display for LocalCause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOffered(needed) => write!(formatter, "the server does not offer {needed}"),
            Self::TooBig { limit_octets } => {
                write!(
                    formatter,
                    "the message is larger than the {limit_octets} octets that the server takes"
                )
            }
            Self::NotAttempted => formatter.write_str("not attempted in this transaction"),
            Self::AuthInClear => formatter.write_str("credentials are not sent without TLS"),
            Self::BodyUnavailable => formatter.write_str("the mail data cannot be read"),
            Self::BodyInvalid => formatter.write_str("the mail data hold a bare CR or LF"),
        }
    }
}

impl fmt::Display for Needed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH PLAIN or LOGIN",
            Self::EightBitMime => "8BITMIME",
            Self::BinaryMime => "BINARYMIME",
            Self::Smtputf8 => "SMTPUTF8",
            Self::RequireTls => "REQUIRETLS",
        })
    }
}

/// What came of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecipientOutcome {
    /// What became of it; never [`Fate::Accepted`], and [`Fate::Undecided`] when it was not attempted.
    pub fate: Fate,
    /// When and where it is tried again.
    pub retry: Retry,
    /// Why.
    pub cause: Cause,
}

impl RecipientOutcome {
    pub(super) fn new(cause: Cause) -> Self {
        let meaning = cause.meaning();
        let (fate, retry) = match (meaning.fate, &cause) {
            // A positive reply that decides nothing for the recipient came where the transaction couldn't go on.
            (Fate::Accepted | Fate::Undecided, Cause::Reply { .. } | Cause::Fault { .. }) => {
                (Fate::Deferred, Retry::NextHost)
            }
            (fate, _) => (fate, meaning.retry),
        };
        Self { fate, retry, cause }
    }
}

/// What came of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// One for each recipient of the envelope, in its order.
    pub recipients: Vec<RecipientOutcome>,
    /// Whether the server offers DSN. When not, a sender who asked for success is told `relayed` by us
    /// (RFC 3461 §5.2.2).
    pub dsn_offered: bool,
}

impl Outcome {
    pub(super) fn same_for_all(recipients: usize, cause: &Cause, dsn_offered: bool) -> Self {
        let recipient = RecipientOutcome::new(cause.clone());
        Self { recipients: alloc::vec![recipient; recipients], dsn_offered }
    }
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// As intended.
    Finished,
    /// Otherwise; [`Cause::meaning`] says what it means for the host and for mail not yet handed over.
    Failed(Cause),
}
