//! What a site chooses for the sessions to a destination.

use super::auth::Credentials;
use super::timeouts::Timeouts;
use crate::command::ClientName;
use crate::limits::RECIPIENTS_MIN;

/// What a site chooses. One value serves every session to a destination.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The argument of EHLO.
    pub client_name: ClientName,
    /// The protocol.
    pub protocol: Protocol,
    /// TLS.
    pub tls: Tls,
    /// Who to log in as (AUTH PLAIN or LOGIN), for a smart host. Then no message goes without it.
    pub credentials: Option<Credentials>,
    /// Whether the credentials may go over a connection without TLS.
    pub auth_in_clear: bool,
    /// Whether PIPELINING is used when offered (RFC 2920).
    pub pipelining: bool,
    /// Whether BDAT is used when CHUNKING is offered (RFC 3030); BINARYMIME always does.
    pub chunking: bool,
    /// Most recipients in a transaction, unless the server's RCPTMAX is lower; 0 counts as 1.
    pub recipients_max: usize,
    /// The waits.
    pub timeouts: Timeouts,
}

impl Settings {
    /// SMTP with opportunistic TLS, no credentials, and all that speeds it up.
    #[must_use]
    pub fn new(client_name: ClientName) -> Self {
        Self {
            client_name,
            protocol: Protocol::Smtp,
            tls: Tls::Opportunistic,
            credentials: None,
            auth_in_clear: false,
            pipelining: true,
            chunking: true,
            recipients_max: RECIPIENTS_MIN,
            timeouts: Timeouts::default(),
        }
    }
}

/// The protocol of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// SMTP (RFC 5321).
    Smtp,
    /// LMTP (RFC 2033): LHLO, and a reply for each recipient after the data.
    Lmtp,
}

/// Whether a session is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// STARTTLS isn't used.
    Off,
    /// STARTTLS when offered, clear text when not (RFC 7435).
    Opportunistic,
    /// STARTTLS, or no mail.
    Required,
    /// The connection is encrypted from its start (RFC 8314 §3.3).
    Implicit,
}
