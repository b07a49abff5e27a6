//! What can go wrong in a session other than by a reply that refuses.

use core::fmt;

use super::reply_parser::BrokenReply;

/// Something other than a reply ended what was going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection was closed or reset.
    Lost,
    /// The deadline passed.
    TimedOut,
    /// What the server sent is not a reply.
    Broken(BrokenReply),
    /// The server awaits data for a transaction that it refused.
    OutOfStep,
    /// Octets came in clear text behind the go-ahead of STARTTLS (RFC 3207 §6).
    Injection,
    /// The TLS handshake failed.
    TlsFailed,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost => formatter.write_str("connection lost"),
            Self::TimedOut => formatter.write_str("timed out"),
            Self::Broken(broken) => write!(formatter, "protocol error: {broken}"),
            Self::OutOfStep => formatter.write_str("protocol error: data awaited for nobody"),
            Self::Injection => formatter.write_str("clear text behind STARTTLS"),
            Self::TlsFailed => formatter.write_str("TLS handshake failed"),
        }
    }
}
