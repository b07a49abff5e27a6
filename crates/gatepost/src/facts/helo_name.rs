//! The name of EHLO in the DNS: whether it has an address, and whether that is the client's.

use std::net::IpAddr;

use policy::value::State;
use smtp::address::Domain;

use super::Findings;
use crate::net::dns::Dns;

/// `helo.resolves` and `helo.matches` for the name as the client gave it; an address literal has its address, and what is
/// neither name nor literal has none.
pub async fn helo_name(dns: &Dns, name: &str, client: IpAddr) -> Findings {
    let client = client.to_canonical();
    match name.parse::<Domain>() {
        Err(_) => findings(State::yes_or_no(false), State::yes_or_no(false)),
        Ok(Domain::Literal(literal)) => {
            let address = literal.ip();
            findings(State::yes_or_no(address.is_some()), State::yes_or_no(address == Some(client)))
        }
        Ok(Domain::Name(name)) => by_name(dns, name.as_str(), client).await,
    }
}

async fn by_name(dns: &Dns, name: &str, client: IpAddr) -> Findings {
    match dns.addresses(name).await {
        Err(failure) => {
            let unsure = || State::unsure(&failure.to_string());
            findings(unsure(), unsure())
        }
        Ok(answer) => {
            let resolves = State::yes_or_no(answer.absent().is_none());
            let matches = answer.records().iter().any(|address| address.to_canonical() == client);
            match answer.incomplete() {
                Some(failure) if !matches => findings(resolves, State::unsure(&failure.to_string())),
                _ => findings(resolves, State::yes_or_no(matches)),
            }
        }
    }
}

fn findings(resolves: State, matches: State) -> Findings {
    vec![("helo.resolves", resolves), ("helo.matches", matches)]
}
