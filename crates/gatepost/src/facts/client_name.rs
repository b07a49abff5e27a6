//! The client's name in the DNS: its PTR record, and whether that name leads back to its address (RFC 8601 §2.7.3).

use std::net::IpAddr;

use futures_util::future::join_all;
use policy::value::{State, Value};

use super::Findings;
use crate::net::dns::{Dns, DnsFailure};

/// Most PTR names that are followed back (RFC 7208 §4.6.4 has ten too).
const NAMES_MAX: usize = 10;

/// `client.ptr`, `client.name` and `iprev.result`.
///
/// Of several names `client.ptr` is one that leads back, else the first in alphabetical order.
pub async fn client_name(dns: &Dns, client: IpAddr) -> Findings {
    let client = client.to_canonical();
    let mut names = match dns.ptr(client).await {
        Ok(answer) => answer.into_records(),
        Err(failure) => {
            let unsure = || State::unsure(&failure.to_string());
            return findings(unsure(), unsure(), unsure());
        }
    };
    names.sort();
    names.dedup();
    names.truncate(NAMES_MAX);
    let Some(first) = names.first() else {
        return findings(State::Missing, State::Missing, result("permerror"));
    };
    let ways_back = join_all(names.iter().map(|name| leads_to(dns, name, client))).await;
    let confirmed = names.iter().zip(&ways_back).find(|(_, way)| **way == Ok(true)).map(|(name, _)| name);
    if let Some(name) = confirmed {
        return findings(State::text(name), State::text(name), result("pass"));
    }
    match ways_back.iter().find_map(|way| way.err()) {
        Some(failure) => {
            let unsure = || State::unsure(&failure.to_string());
            findings(State::text(first), unsure(), unsure())
        }
        None => findings(State::text(first), State::Missing, result("fail")),
    }
}

fn findings(ptr: State, name: State, iprev: State) -> Findings {
    vec![("client.ptr", ptr), ("client.name", name), ("iprev.result", iprev)]
}

fn result(word: &'static str) -> State {
    State::Known(Value::Choice(word))
}

/// Whether the name has the client's address; only addresses of its family are asked for.
async fn leads_to(dns: &Dns, name: &str, client: IpAddr) -> Result<bool, DnsFailure> {
    let answer = if client.is_ipv4() { dns.ipv4(name).await? } else { dns.ipv6(name).await? };
    Ok(answer.records().contains(&client))
}
