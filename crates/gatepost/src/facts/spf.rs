//! SPF: whether the sender's domain, and the name of EHLO, let the client send (RFC 7208).

use std::net::IpAddr;

use policy::value::{State, Value};
use smtp::address::Domain;

use super::Findings;
use crate::net::dns::Dns;
use crate::net::dns_name::{absolute, to_text};
use crate::net::mail_auth::spf::{SpfOutcome, SpfQuestion, SpfResult, check};

/// What SPF found out: for the policy, for DMARC, and for header fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spf {
    /// The domain that was checked; for the null reverse-path the EHLO name.
    pub domain: String,
    /// What came of it.
    pub outcome: SpfOutcome,
    /// What came of checking the EHLO name.
    pub helo: SpfResult,
}

/// Who is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope<'e> {
    /// The client.
    pub client: IpAddr,
    /// What it called itself.
    pub helo: &'e str,
    /// The reverse-path's mailbox, `local@domain`; empty for the null reverse-path.
    pub sender: &'e str,
    /// This server's name.
    pub receiver: &'e str,
}

impl Spf {
    /// Checks the EHLO name and the reverse-path; for the null reverse-path they are one (RFC 7208 §2.4).
    pub async fn check(dns: &Dns, envelope: &Envelope<'_>) -> Self {
        let at_helo = format!("postmaster@{}", envelope.helo);
        let helo = async {
            // What is no name has no record (RFC 7208 §2.3).
            match envelope.helo.parse::<Domain>() {
                Ok(Domain::Name(_)) => check(dns, &question(envelope, envelope.helo, &at_helo)).await,
                _ => SpfOutcome { result: SpfResult::None, explanation: None },
            }
        };
        match envelope.sender.rsplit_once('@') {
            Some((local_part, domain)) => {
                // Records and macros have A-labels (RFC 8616 §4).
                let domain =
                    absolute(domain).map_or_else(|| domain.to_ascii_lowercase(), |name| to_text(&name));
                let sender = format!("{local_part}@{domain}");
                let question = question(envelope, &domain, &sender);
                let (outcome, helo) = tokio::join!(check(dns, &question), helo);
                Self { domain, outcome, helo: helo.result }
            }
            None => {
                let outcome = helo.await;
                let helo = outcome.result;
                Self { domain: envelope.helo.to_ascii_lowercase(), outcome, helo }
            }
        }
    }

    /// `spf.result`, `spf.domain`, `spf.explanation` and `spf.helo_result`; a `temperror` is unsure.
    #[must_use]
    pub fn findings(&self) -> Findings {
        vec![
            ("spf.result", state(self.outcome.result)),
            ("spf.domain", State::text(&self.domain)),
            ("spf.explanation", State::text_or_missing(self.outcome.explanation.as_deref())),
            ("spf.helo_result", state(self.helo)),
        ]
    }
}

fn question<'q>(envelope: &Envelope<'q>, domain: &'q str, sender: &'q str) -> SpfQuestion<'q> {
    SpfQuestion { client: envelope.client, domain, sender, helo: envelope.helo, receiver: envelope.receiver }
}

fn state(result: SpfResult) -> State {
    match result {
        SpfResult::TempError(failure) => State::unsure(&format!("temperror: {failure}")),
        other => State::Known(Value::Choice(other.word())),
    }
}
