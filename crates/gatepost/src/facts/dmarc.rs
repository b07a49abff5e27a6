//! DMARC: whether the domain in From stands behind the message (RFC 9989).

use policy::value::{State, Value};

use super::Findings;
use super::spf::Spf;
use crate::net::dns::Dns;
use crate::net::mail_auth::dmarc::{DmarcAnswer, DmarcCheck, verify};
use crate::net::mail_auth::message::SignedMessage;

/// What DMARC found out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dmarc {
    /// The author domain, and what its record comes to.
    pub check: DmarcCheck,
}

impl Dmarc {
    /// Checks the message's author domain by SPF and DKIM.
    pub async fn verify(dns: &Dns, message: &SignedMessage, spf: &Spf) -> Self {
        Self { check: verify(dns, message, &spf.domain, spf.outcome.result).await }
    }

    /// The word for the result (RFC 8601 §2.7.7).
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match &self.check.answer {
            DmarcAnswer::None => "none",
            DmarcAnswer::TempError(_) => "temperror",
            DmarcAnswer::PermError => "permerror",
            DmarcAnswer::Record(verdict) if verdict.passes => "pass",
            DmarcAnswer::Record(_) => "fail",
        }
    }

    /// `dmarc.result`, `dmarc.policy` and `dmarc.domain`; a `temperror` is unsure.
    #[must_use]
    pub fn findings(&self) -> Findings {
        let result = State::Known(Value::Choice(self.word()));
        let (result, policy, domain) = match &self.check.answer {
            DmarcAnswer::None | DmarcAnswer::PermError => (result, State::Missing, State::Missing),
            DmarcAnswer::TempError(why) => {
                let unsure = || State::unsure(&format!("temperror: {why}"));
                (unsure(), unsure(), unsure())
            }
            DmarcAnswer::Record(verdict) => {
                (result, State::Known(Value::Choice(verdict.policy)), State::text(&verdict.domain))
            }
        };
        vec![("dmarc.result", result), ("dmarc.policy", policy), ("dmarc.domain", domain)]
    }
}
