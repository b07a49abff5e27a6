//! The client's end of a session: events go in, actions come out, in order.
//!
//! The program opens the connection, gives [`Event::Connected`], and does what the actions say. At [`Action::Ready`]
//! it gives one transaction; its data are asked for one portion at a time, so that nothing piles up between the spool
//! and a slow server; [`Action::Outcome`] tells what became of each recipient, and withdraws a
//! [`Action::WantBody`] that wasn't answered yet. [`Action::Close`] is the last action of a session.

mod auth;
pub mod data;
mod fault;
pub mod meaning;
mod offer;
mod opening;
mod outcome;
mod remote_reply;
pub mod reply_parser;
mod session;
mod settings;
pub mod table;
pub mod timeouts;
mod transfer;

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::envelope::{BodyType, Envelope};

pub use auth::Credentials;
pub use fault::Fault;
pub use offer::parse_offer;
pub use outcome::{Cause, End, LocalCause, Needed, Outcome, RecipientOutcome};
pub use remote_reply::{
    REPLY_LINE_TEXT_OCTETS_MAX, REPLY_TEXT_OCTETS_MAX, RemoteCode, RemoteEnhanced, RemoteReply,
};
pub use session::Session;
pub use settings::{Protocol, Settings, Tls};

/// Commands that may await their replies at the same time: MAIL, the 100 recipients of RFC 5321 §4.5.3.1.8 and DATA
/// fit into one group. Their replies fit into any socket's buffer, so that neither end waits for the other
/// (RFC 2920 §3.1).
pub const PIPELINED_COMMANDS_MAX: usize = 128;

/// BDAT commands that may await their replies at the same time (ours; RFC 3030 §2 lets them be pipelined).
pub const PIPELINED_CHUNKS_MAX: usize = 4;

/// What happened outside.
#[derive(Debug)]
pub enum Event<'a> {
    /// The connection is open; with [`Tls::Implicit`], its TLS handshake is done.
    Connected,
    /// Octets came from the server.
    Received(&'a [u8]),
    /// The TLS handshake that `StartTls` asked for succeeded, certificate included where that matters.
    TlsStarted,
    /// The TLS handshake failed.
    TlsFailed,
    /// Send this message; the answer to `Ready`.
    Transact(Box<Transaction>),
    /// The next portion of the mail data; the answer to `WantBody`, given once what was sent before is out.
    Supply {
        /// Content as it is stored: lines ended by CRLF, no dots stuffed.
        octets: &'a [u8],
        /// Whether nothing follows.
        last: bool,
    },
    /// The mail data can't be read; the answer to `WantBody`. The message isn't finished, and the connection closed.
    SupplyFailed,
    /// The deadline may have passed.
    TimedOut,
    /// Say QUIT as soon as no transaction is under way.
    Finish,
    /// The connection was closed, reset, or can't be written to.
    Closed,
}

/// A message to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Who it is from and for. What its parameters say of size, body and SMTPUTF8 is replaced by the following.
    pub envelope: Envelope,
    /// Size of the mail data, in octets, without dot-stuffing (RFC 1870 §3).
    pub size_octets: u64,
    /// What the mail data are, whatever MAIL said.
    pub body: BodyType,
    /// Whether the header section holds non-ASCII characters (RFC 6531 §3.2); addresses are looked at here.
    pub smtputf8: bool,
}

/// What octets to send are, for whoever records the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Command lines.
    Commands,
    /// Mail data, or the BDAT command with its chunk.
    MailData,
    /// A command line with a password.
    Secret,
}

/// What to do, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Action {
    /// Send these octets.
    Send {
        /// The octets.
        octets: Vec<u8>,
        /// What they are.
        content: Content,
    },
    /// Start the TLS handshake, then report `TlsStarted` or `TlsFailed`.
    StartTls,
    /// The session can take a transaction.
    Ready,
    /// The transaction is given back, as the session can't take one now; nothing was done.
    Returned(Box<Transaction>),
    /// Report `Supply` with the next portion of the mail data.
    WantBody,
    /// The transaction is over.
    Outcome(Outcome),
    /// Close the connection, once what was sent is out.
    Close(End),
}
