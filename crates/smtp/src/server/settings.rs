//! What a site chooses for its sessions, and what a client may do in one.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::extension::{Extensions, Limits};
use crate::limits;

/// What a site chooses. One value serves every session of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The server's name in greeting, EHLO reply and closing.
    pub hostname: String,
    /// Name and version, for `HELP`.
    pub product: String,
    /// Largest message, in octets (RFC 1870).
    pub message_octets_max: u64,
    /// Most recipients in a transaction (RFC 5321 §4.5.3.1.8).
    pub recipients_max: u32,
    /// Errors (5yz replies) after which the session is closed; the last one's reply still goes out.
    pub errors_max: u32,
    /// Most messages in a session.
    pub messages_max: u32,
    /// Wait for a command.
    pub command_timeout: Duration,
    /// Wait for more mail data, or for the answer to a challenge.
    pub data_timeout: Duration,
    /// Longest session.
    pub session_timeout: Duration,
    /// What becomes of a client that sends before the greeting.
    pub early_talkers: EarlyTalkers,
    /// STARTTLS.
    pub start_tls: StartTlsOffer,
    /// AUTH; `None` when it is not offered.
    pub auth: Option<AuthOffer>,
    /// Whether MAIL needs a successful AUTH (RFC 6409 §4.3).
    pub auth_required: bool,
    /// Whether MAIL needs TLS (RFC 3207 §4).
    pub tls_required: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hostname: String::from("localhost"),
            product: String::from("Gatepost"),
            message_octets_max: 50_000_000,
            recipients_max: 1_000,
            errors_max: 20,
            messages_max: 1_000,
            command_timeout: limits::COMMAND_TIMEOUT,
            data_timeout: limits::DATA_BLOCK_TIMEOUT,
            session_timeout: Duration::from_secs(3_600),
            early_talkers: EarlyTalkers::Note,
            start_tls: StartTlsOffer::Off,
            auth: None,
            auth_required: false,
            tls_required: false,
        }
    }
}

/// What becomes of a client that sends before the greeting (RFC 5321 §4.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EarlyTalkers {
    /// It is served, and noted.
    Note,
    /// It is greeted with 554.
    Refuse,
}

/// Whether STARTTLS is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartTlsOffer {
    /// Not offered: 502.
    Off,
    /// Offered.
    On,
    /// Offered, but out of order just now: 454.
    Unavailable,
}

/// The AUTH that a site offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthOffer {
    /// The mechanisms, in upper case, in order of preference.
    pub mechanisms: Vec<String>,
    /// Whether AUTH needs TLS.
    pub needs_tls: bool,
}

/// What VRFY tells a client (RFC 5321 §3.5.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Verification {
    /// The truth.
    Tell,
    /// 252 to everything.
    #[default]
    Conceal,
    /// 502.
    Off,
}

/// What one client may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rights {
    /// What VRFY tells it.
    pub verification: Verification,
    /// Whether it may EXPN.
    pub expand: bool,
}

impl Settings {
    /// What is offered to a client with these `rights`, over TLS or not.
    #[must_use]
    pub fn extensions(&self, rights: Rights, tls: bool) -> Extensions {
        Extensions {
            pipelining: true,
            size_octets_max: Some(self.message_octets_max),
            eight_bit_mime: true,
            binary_mime: true,
            chunking: true,
            smtputf8: true,
            enhanced_status_codes: true,
            dsn: true,
            starttls: !tls && self.start_tls != StartTlsOffer::Off,
            auth: match &self.auth {
                Some(offer) if tls || !offer.needs_tls => offer.mechanisms.clone(),
                _ => Vec::new(),
            },
            limits: Limits {
                mail_max: Some(self.messages_max),
                rcpt_max: Some(self.recipients_max),
                rcpt_domain_max: None,
            },
            vrfy: rights.verification != Verification::Off,
            expn: rights.expand,
            help: true,
        }
    }
}
