//! What a site chooses for AUTH.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::exchange::{Channel, Mechanism};
use super::guard::GuessLimits;
use super::senders::SenderPattern;
use super::usage::DailyLimits;

/// The file of users in the state directory, where the configuration names no other.
pub(super) const USER_FILE: &str = "users";

/// What a site chooses for AUTH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthSettings {
    /// Where passwords are.
    pub backend: Backend,
    /// The mechanisms that are offered, the preferred one first.
    pub mechanisms: Vec<Mechanism>,
    /// Whether they are offered to other servers, too.
    pub on_mx: bool,
    /// Whether they are offered without TLS to clients of the loopback network.
    pub loopback_without_tls: bool,
    /// How much guessing is borne.
    pub guesses: GuessLimits,
    /// Messages that a user may submit in 24 hours.
    pub messages_per_day: Option<u32>,
    /// Recipients to whom a user may submit mail in 24 hours.
    pub recipients_per_day: Option<u32>,
    /// What users may send from beside their own address, by their prepared names.
    pub senders: Vec<(String, Vec<SenderPattern>)>,
    /// Tables with more of that.
    pub senders_from: Vec<Arc<str>>,
}

/// Where passwords are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// In a file; `None`: the one of the state directory.
    File(Option<PathBuf>),
    /// Behind Dovecot's socket.
    Dovecot(PathBuf),
    /// Behind saslauthd's socket.
    Saslauthd(PathBuf),
    /// In a table: a hash under each user's name.
    Table(Arc<str>),
}

impl Backend {
    /// The file of users, where there is one.
    #[must_use]
    pub fn file(&self, state: &Path) -> Option<PathBuf> {
        match self {
            Self::File(path) => Some(path.clone().unwrap_or_else(|| state.join(USER_FILE))),
            _ => None,
        }
    }

    /// Whether what SCRAM goes by can be had from it.
    #[must_use]
    pub const fn has_keys(&self) -> bool {
        matches!(self, Self::File(_) | Self::Table(_))
    }
}

impl AuthSettings {
    /// What users may submit in 24 hours.
    pub(crate) const fn daily_limits(&self) -> DailyLimits {
        DailyLimits { messages: self.messages_per_day, recipients: self.recipients_per_day }
    }

    /// The names of the mechanisms that can work on every connection: SCRAM needs keys.
    #[must_use]
    pub fn offered(&self) -> Vec<String> {
        let works = |mechanism: &&Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login => true,
            Mechanism::ScramSha256 => self.backend.has_keys(),
            Mechanism::ScramSha256Plus | Mechanism::External => false,
        };
        self.mechanisms.iter().filter(works).map(|mechanism| mechanism.name().to_owned()).collect()
    }

    /// The names of those that can work on this connection alone: bound to its TLS, or by the client's certificate.
    pub(crate) fn offered_on(&self, channel: &Channel) -> Vec<String> {
        let works = |mechanism: &&Mechanism| match mechanism {
            Mechanism::Plain | Mechanism::Login | Mechanism::ScramSha256 => false,
            Mechanism::ScramSha256Plus => channel.exporter.is_some() && self.backend.has_keys(),
            Mechanism::External => channel.certificate_user.is_some(),
        };
        self.mechanisms.iter().filter(works).map(|mechanism| mechanism.name().to_owned()).collect()
    }
}
