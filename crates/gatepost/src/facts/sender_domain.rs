//! The sender's domain in the DNS: whether mail could go there (RFC 5321 §5.1, RFC 7505).

use std::sync::Arc;

use policy::value::{State, Value};

use super::Findings;
use crate::net::dns::{Absent, Dns, DnsFailure, Mx};

/// `sender.domain_exists`, `sender.mx` and `sender.null_mx` for the domain of the reverse-path: a name, an address literal
/// with its brackets, or nothing for the null reverse-path.
pub async fn sender_domain(dns: &Dns, domain: &str) -> Findings {
    if domain.is_empty() || domain.starts_with('[') {
        return findings(State::yes_or_no(true), State::Known(texts(&[])), State::yes_or_no(false));
    }
    match dns.mx(domain).await {
        Ok(answer) => match answer.absent() {
            None => {
                let exists = State::yes_or_no(true);
                findings(
                    exists,
                    State::Known(texts(answer.records())),
                    State::yes_or_no(is_null(answer.records())),
                )
            }
            Some(Absent::NoSuchName) => without_mx(State::yes_or_no(false)),
            Some(Absent::NoSuchRecord) => without_mx(has_address(dns, domain).await),
        },
        Err(failure) => {
            // An address is enough to exist; without one nothing is certain.
            let exists = match has_address(dns, domain).await {
                State::Known(Value::Boolean(true)) => State::yes_or_no(true),
                _ => State::unsure(&failure.to_string()),
            };
            let unsure = || State::unsure(&failure.to_string());
            findings(exists, unsure(), unsure())
        }
    }
}

/// Whether the domain says by a null MX that it takes no mail (RFC 7505 §3): one record, which names the root.
///
/// # Errors
/// When the look-up fails.
pub(super) async fn has_null_mx(dns: &Dns, domain: &str) -> Result<bool, DnsFailure> {
    Ok(is_null(dns.mx(domain).await?.records()))
}

fn is_null(records: &[Mx]) -> bool {
    matches!(records, [only] if only.exchange.is_empty())
}

async fn has_address(dns: &Dns, domain: &str) -> State {
    match dns.addresses(domain).await {
        Ok(answer) => State::yes_or_no(answer.absent().is_none()),
        Err(failure) => State::unsure(&failure.to_string()),
    }
}

fn without_mx(exists: State) -> Findings {
    findings(exists, State::Known(texts(&[])), State::yes_or_no(false))
}

fn texts(records: &[Mx]) -> Value {
    let named = records.iter().filter(|mx| !mx.exchange.is_empty());
    Value::Texts(named.map(|mx| Arc::from(mx.exchange.as_str())).collect())
}

fn findings(exists: State, mx: State, null_mx: State) -> Findings {
    vec![("sender.domain_exists", exists), ("sender.mx", mx), ("sender.null_mx", null_mx)]
}
