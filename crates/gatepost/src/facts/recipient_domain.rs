//! The domain of a recipient that isn't local, in the DNS: whether it takes mail at all (RFC 7505).

use policy::value::State;

use super::Findings;
use super::sender_domain::has_null_mx;
use crate::net::dns::Dns;

/// `recipient.null_mx` for the domain of the forward-path: a name, or an address literal with its brackets. Of a local
/// domain nobody is asked.
pub async fn recipient_domain(dns: &Dns, domain: &str, is_local: bool) -> Findings {
    let null_mx = if is_local || domain.starts_with('[') {
        State::yes_or_no(false)
    } else {
        match has_null_mx(dns, domain).await {
            Ok(null_mx) => State::yes_or_no(null_mx),
            Err(failure) => State::unsure(&failure.to_string()),
        }
    };
    vec![("recipient.null_mx", null_mx)]
}
