//! ARC: the chain of those who handled the message (RFC 8617).

use policy::value::{State, Value};

use super::Findings;
use crate::net::dns::Dns;
use crate::net::mail_auth::arc::{ArcChain, verify};
use crate::net::mail_auth::dkim::Verification;
use crate::net::mail_auth::message::SignedMessage;

/// What came of the message's chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arc {
    /// The chain.
    pub chain: ArcChain,
}

impl Arc {
    /// Verifies the message's chain.
    pub async fn verify(dns: &Dns, message: &SignedMessage) -> Self {
        Self { chain: verify(dns, message).await }
    }

    /// The word for the result: `none`, `pass`, `fail`, `temperror` or `permerror`.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self.chain.verification {
            Verification::Policy(_) | Verification::Neutral(_) => "fail",
            ref other => other.word(),
        }
    }

    /// `arc.result` and `arc.domain`; a `temperror` is unsure.
    #[must_use]
    pub fn findings(&self) -> Findings {
        let result = match &self.chain.verification {
            Verification::TempError(why) => State::unsure(&format!("temperror: {why}")),
            _ => State::Known(Value::Choice(self.word())),
        };
        vec![("arc.result", result), ("arc.domain", State::text_or_missing(self.chain.domain.as_deref()))]
    }
}
