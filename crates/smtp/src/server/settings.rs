//! What a site chooses for its sessions, and what a client may do in one.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use crate::catalogue::{self, Entry};
use crate::extension::{Extensions, Limits};
use crate::limits;
use crate::reply::{Enhanced, Reply, ReplyCode};

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
    /// How long an open transaction may go on once the server shuts down.
    pub drain_timeout: Duration,
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
    /// Other words for refusals of the session itself.
    pub replacements: Vec<Replacement>,
    /// Whether the commands are kept for [`super::Session::take_heard`].
    pub record: bool,
}

/// Other words for a refusal of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replacement {
    /// The name of the catalogue's entry.
    pub entry: String,
    /// The reply code; a refusal's.
    pub code: ReplyCode,
    /// Subject and detail of the enhanced status code.
    pub enhanced: Option<Enhanced>,
    /// The text, with the entry's own placeholders, `{hostname}` and `{client}`.
    pub text: String,
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
            drain_timeout: Duration::from_secs(30),
            early_talkers: EarlyTalkers::Note,
            start_tls: StartTlsOffer::Off,
            auth: None,
            auth_required: false,
            tls_required: false,
            replacements: Vec::new(),
            record: false,
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
    /// The reply of `entry` with its placeholders filled: in the site's words where it has its own.
    #[must_use]
    pub fn reply(&self, entry: &Entry, values: &[(&str, &str)]) -> Reply {
        match self.replacements.iter().find(|replacement| replacement.entry == entry.name) {
            Some(Replacement { code, enhanced, text, .. }) => {
                Reply::new(*code, *enhanced, catalogue::fill(text, values), entry.name)
            }
            None if values.is_empty() => entry.reply(),
            None => entry.fill(values),
        }
    }

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
            require_tls: tls,
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

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn a_site_has_its_own_words_for_a_refusal_and_no_other() {
        let replacement = Replacement {
            entry: "line-too-long".into(),
            code: catalogue::LINE_TOO_LONG.code,
            enhanced: Some(Enhanced::new(5, 2)),
            text: "{octets} octets are enough".into(),
        };
        let settings = Settings { replacements: vec![replacement], ..Settings::default() };
        let reply = settings.reply(&catalogue::LINE_TOO_LONG, &[("octets", "512")]);
        assert_eq!((reply.text(), reply.name()), ("512 octets are enough", "line-too-long"));
        assert_eq!(settings.reply(&catalogue::RECIPIENT_FIRST, &[]), catalogue::RECIPIENT_FIRST.reply());
    }
}
