//! The server's end of a session: events go in, actions come out, in order.
//!
//! An action that awaits an answer (`Ask`, `Authenticate`, `Commit`, `StartTls`) is the last one returned; until the
//! answer comes nothing is parsed, so that pipelined replies keep their order.

mod auth;
mod command;
pub mod data;
mod deadlines;
mod heard;
mod help;
mod lines;
mod session;
mod settings;
mod transaction;
mod verify;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use crate::envelope::Envelope;
use crate::reply::{Refusal, Reply};

pub use heard::{HEARD_OCTETS_KEPT, HEARD_OCTETS_MAX};
pub use session::Session;
pub use settings::{AuthOffer, EarlyTalkers, Replacement, Rights, Settings, StartTlsOffer, Verification};

/// What happened outside.
#[derive(Debug)]
pub enum Event<'a> {
    /// The connection is open, and the client's address known.
    Connected,
    /// Octets came from the client.
    Received(&'a [u8]),
    /// The TLS handshake that `StartTls` asked for succeeded.
    TlsStarted,
    /// The answer to `Ask`.
    Decided(Decision),
    /// The answer to `Authenticate`.
    Authenticated(AuthOutcome),
    /// The answer to `Commit`.
    Committed(CommitOutcome),
    /// The deadline may have passed.
    TimedOut,
    /// The server drains: no new work.
    ShuttingDown,
}

/// What to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send the reply; replies of one call go out in one flush.
    Send(Reply),
    /// Start the TLS handshake, then report `TlsStarted`; close when it fails.
    StartTls,
    /// Decide, then report `Decided`.
    Ask(Question),
    /// Take an authentication a step further, then report `Authenticated`.
    Authenticate(AuthStep),
    /// A message begins; [`Session::envelope`] has its envelope.
    Open,
    /// Decoded content of the message.
    Write(Vec<u8>),
    /// Make the message durable, then report `Committed`.
    Commit(Box<Envelope>),
    /// Forget the message that was opened.
    Discard,
    /// Something worth a line in the log.
    Notice(Notice),
    /// Close the connection, once what was sent is out.
    Close,
}

/// What the session asks before it goes on. What the question is about stands in the session: [`Session::hello_name`],
/// [`Session::envelope`], [`Session::candidate`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// May this client be served?
    Client {
        /// It sent something before the greeting.
        early_talker: bool,
    },
    /// May it go by this name?
    Hello,
    /// May the user that AUTH established come in?
    User,
    /// May this reverse-path begin a transaction?
    Mail,
    /// May this recipient be added?
    Recipient,
    /// May the mail data come?
    Data,
    /// May the message be taken? Its data were written.
    Message {
        /// Octets of decoded content.
        size_octets: u64,
    },
    /// What is known of this user or mailbox (VRFY)? Answered by `AcceptWith` 250, 251 or 252, or by a refusal.
    Verify(String),
    /// May this client ask by VRFY, although it is told nothing? A refusal must not depend on the user.
    VerifyConcealed(String),
    /// Who is on this list (EXPN)? Answered by `AcceptWith` 250, or by a refusal.
    Expand(String),
    /// How is the server? Answered by `AcceptWith` 211.
    Status,
}

/// The answer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Go on; the session gives its own reply.
    Accept,
    /// Go on with this positive reply, 251 for instance. A reply that is not 2yz counts as a fault of ours: 451.
    AcceptWith(Reply),
    /// Refuse.
    Refuse(Refusal),
    /// Refuse, then close.
    Disconnect(Refusal),
}

/// One step of an AUTH exchange (RFC 4954).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthStep {
    /// The mechanism, in upper case.
    pub mechanism: String,
    /// What the client sent, base64; `None` when it sent nothing yet, empty for an empty response.
    pub response: Option<String>,
    /// Whether this is the first step.
    pub first: bool,
}

/// What came of a step of an AUTH exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthOutcome {
    /// The client must answer this challenge, given in base64.
    Challenge(String),
    /// The client is this user; whether he may come in is still asked.
    Accepted(String),
    /// Wrong credentials.
    Rejected,
    /// A mechanism that is too weak for the user.
    TooWeak,
    /// The response can't be read.
    Malformed,
    /// The credentials cannot be checked just now.
    Unavailable,
    /// The user has no keys for the mechanism yet.
    NeedsTransition,
    /// Too many wrong passwords came from there, or for this user: nothing is checked for so many minutes.
    Throttled {
        /// How many, rounded up.
        minutes: u64,
    },
}

/// What came of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The message is durable, under this queue id.
    Stored(String),
    /// Nothing was taken.
    Refused(Refusal),
}

/// Something worth a line in the log that no reply tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// The client sent something before the greeting.
    EarlyTalker,
    /// Clear text stood behind STARTTLS.
    CommandInjection,
    /// Another protocol was spoken.
    ForeignProtocol,
    /// The mail data hold a bare CR, a bare LF or a NUL.
    RefusedData(data::DataFault),
}
