//! The MX hosts of a domain, in the order in which they are tried (RFC 5321 §5.1).
//!
//! Invariants: what the DNS can't tell defers and never fails; hosts of the same preference are shuffled; neither this
//! server nor what is less preferred is ever tried; no more hosts and addresses are tried than the limits say.

use std::net::IpAddr;
use std::sync::Arc;

use queue::pace::Met;
use smtp::address::AddressLiteral;

use super::attempt::Failure;
use crate::net::address::is_usable;
use crate::net::dns::{Absent, Answer, Dns, DnsFailure, Mx};

/// MX hosts that are looked up (ours; a domain with more of them has more than anybody needs).
const HOSTS_MAX: usize = 10;

/// Addresses that are tried in all (ours: the time of an attempt is bounded; RFC 5321 §5.1 wants at least two).
const ADDRESSES_MAX: usize = 8;

/// Why there is no way to a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NoWay {
    /// For now.
    Now(Failure),
    /// For good.
    Ever(Failure),
}

/// What this server is called and where it listens.
pub(super) struct Own<'a> {
    pub(super) hostname: &'a str,
    pub(super) listens_at: &'a (dyn Fn(IpAddr) -> bool + Sync),
    /// Whether hosts may have addresses of the loopback network.
    pub(super) loopback: bool,
}

/// An MX host at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MxHost {
    /// Its name; the domain's own when it has no MX record.
    pub(super) name: String,
    pub(super) address: IpAddr,
    /// The names under which TLSA records may stand, in the order in which they are looked for; none unless DNSSEC proves
    /// enough of the addresses (RFC 7672 §2.2.2).
    pub(super) bases: Arc<[String]>,
}

/// The MX hosts of a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MxHosts {
    /// In the order in which they are tried; at least one.
    pub(super) hosts: Vec<MxHost>,
    /// Whether DNSSEC proves the MX records, or that there are none.
    pub(super) is_secure: bool,
    /// What the domain is an alias for.
    pub(super) alias: Option<String>,
}

/// The hosts for `domain`, which is in its normal form; `random` decides between equals.
///
/// # Errors
/// When there is no way to it.
pub(super) async fn hosts(dns: &Dns, domain: &str, own: &Own<'_>, random: u64) -> Result<MxHosts, NoWay> {
    if domain.starts_with('[') {
        return of_literal(domain, own);
    }
    let answer = dns.mx(domain).await.map_err(|why| cannot_look_up(domain, why))?;
    let is_secure = answer.is_secure();
    let alias = answer.alias().map(|alias| alias.target.clone());
    let names = match answer.absent() {
        None => preferred(answer.into_records(), domain, own.hostname, random)?,
        Some(Absent::NoSuchRecord) => vec![Mx { preference: 0, exchange: domain.to_owned() }],
        Some(Absent::NoSuchName) => {
            return Err(NoWay::Ever(Failure::local("5.1.2", format!("the domain {domain} does not exist"))));
        }
    };
    let hosts = addresses_of(dns, domain, names, own).await?;
    Ok(MxHosts { hosts, is_secure, alias })
}

fn cannot_look_up(name: &str, why: DnsFailure) -> NoWay {
    NoWay::Now(Failure::local("4.4.3", format!("cannot look up {name}: {why}")).met(Met::Absence))
}

/// An address literal is its own host (RFC 5321 §5.1).
fn of_literal(domain: &str, own: &Own<'_>) -> Result<MxHosts, NoWay> {
    let address = domain.parse().ok().and_then(|literal: AddressLiteral| literal.ip());
    let Some(address) = address.filter(|address| is_usable(*address, own.loopback)) else {
        return Err(NoWay::Ever(Failure::local("5.1.2", format!("no host can be reached at {domain}"))));
    };
    if (own.listens_at)(address) {
        return Err(loops(domain));
    }
    Ok(MxHosts {
        hosts: vec![MxHost { name: address.to_string(), address, bases: Arc::from([]) }],
        is_secure: false,
        alias: None,
    })
}

/// The records in the order in which they are tried: those behind this server are left out.
fn preferred(mut records: Vec<Mx>, domain: &str, hostname: &str, random: u64) -> Result<Vec<Mx>, NoWay> {
    if records.iter().all(|record| record.exchange.is_empty()) {
        // RFC 7505 §3.
        let text = format!("the domain {domain} takes no mail (null MX)");
        return Err(NoWay::Ever(Failure::local("5.1.10", text)));
    }
    records.retain(|record| !record.exchange.is_empty());
    let is_own = |record: &&Mx| record.exchange.eq_ignore_ascii_case(hostname);
    let own_preference = records.iter().filter(is_own).map(|record| record.preference).min();
    if let Some(own_preference) = own_preference {
        records.retain(|record| record.preference < own_preference);
    }
    if records.is_empty() {
        return Err(loops(domain));
    }
    shuffle(&mut records, random);
    records.sort_by_key(|record| record.preference);
    records.truncate(HOSTS_MAX);
    Ok(records)
}

fn loops(domain: &str) -> NoWay {
    let text = format!(
        "mail for {domain} loops back: this server is its best MX host, and does not have the domain"
    );
    NoWay::Ever(Failure::local("5.4.6", text))
}

/// The same records in an order that `random` decides.
fn shuffle<T>(records: &mut [T], mut random: u64) {
    for end in (1..records.len()).rev() {
        // A linear congruential step (Knuth's MMIX): nobody's secret hangs on the order.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let chosen = usize::try_from(random >> 33).unwrap_or(0) % (end + 1);
        records.swap(end, chosen);
    }
}

/// The hosts' addresses, host by host, the kinds of addresses of a host in turn.
async fn addresses_of(dns: &Dns, domain: &str, names: Vec<Mx>, own: &Own<'_>) -> Result<Vec<MxHost>, NoWay> {
    let (mut hosts, mut failure): (Vec<(u16, MxHost)>, _) = (Vec::new(), None);
    let mut own_preference = None;
    for Mx { preference, exchange } in names {
        if hosts.len() >= ADDRESSES_MAX || own_preference.is_some_and(|own| preference >= own) {
            break;
        }
        let answer = match dns.addresses(&exchange).await {
            Ok(answer) => answer,
            Err(why) => {
                failure.get_or_insert(cannot_look_up(&exchange, why));
                continue;
            }
        };
        if let Some(why) = answer.incomplete().filter(|_| answer.records().is_empty()) {
            failure.get_or_insert(cannot_look_up(&exchange, why));
        }
        let is_own = |address: &IpAddr| is_usable(*address, own.loopback) && (own.listens_at)(*address);
        if answer.records().iter().any(is_own) {
            // This server under another name: it and what isn't preferred to it is left out.
            own_preference = Some(preference);
            hosts.retain(|(other, _)| *other < preference);
            continue;
        }
        let bases = bases_of(&exchange, &answer);
        let usable = answer.into_records().into_iter().filter(|address| is_usable(*address, own.loopback));
        let host =
            |address| (preference, MxHost { name: exchange.clone(), address, bases: Arc::clone(&bases) });
        hosts.extend(in_turn(usable.collect()).into_iter().map(host));
    }
    hosts.truncate(ADDRESSES_MAX);
    if !hosts.is_empty() {
        return Ok(hosts.into_iter().map(|(_, host)| host).collect());
    }
    Err(match (failure, own_preference) {
        (Some(failure), _) => failure,
        (None, Some(_)) => loops(domain),
        (None, None) => {
            let text = format!("no host that takes mail for {domain} has an address that can be used");
            NoWay::Ever(Failure::local("5.4.4", text))
        }
    })
}

/// The names under which the TLSA records of a host may stand: where a proven alias leads, then its own; its own alone when
/// no more than that it is an alias is proven (RFC 7672 §2.2.2).
pub(super) fn bases_of(host: &str, addresses: &Answer<IpAddr>) -> Arc<[String]> {
    let own = host.to_owned();
    match addresses.alias() {
        None if addresses.is_secure() => Arc::from([own]),
        Some(alias) if addresses.is_secure() => Arc::from([alias.target.clone(), own]),
        Some(alias) if alias.is_secure => Arc::from([own]),
        _ => Arc::from([]),
    }
}

/// Both kinds in turn, so that one kind's absence on the way costs one attempt only; IPv6 first.
fn in_turn(addresses: Vec<IpAddr>) -> Vec<IpAddr> {
    let (v6, v4): (Vec<IpAddr>, Vec<IpAddr>) = addresses.into_iter().partition(IpAddr::is_ipv6);
    let (mut v6, mut v4) = (v6.into_iter(), v4.into_iter());
    let mut mixed = Vec::new();
    loop {
        let before = mixed.len();
        mixed.extend(v6.next());
        mixed.extend(v4.next());
        if mixed.len() == before {
            return mixed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::Alias;

    fn record(preference: u16, exchange: &str) -> Mx {
        Mx { preference, exchange: exchange.to_owned() }
    }

    fn names(records: &[(u16, &str)], random: u64) -> Result<Vec<String>, NoWay> {
        let records = records.iter().map(|(preference, exchange)| record(*preference, exchange)).collect();
        let found = preferred(records, "example.org", "Me.example", random)?;
        Ok(found.into_iter().map(|record| record.exchange).collect())
    }

    fn status(outcome: Result<Vec<String>, NoWay>) -> String {
        match outcome.unwrap_err() {
            NoWay::Now(failure) | NoWay::Ever(failure) => failure.status,
        }
    }

    #[test]
    fn the_preferred_come_first_and_equals_in_any_order() {
        let records = [(20, "c"), (10, "a"), (10, "b"), (30, "d")];
        let orders: std::collections::BTreeSet<Vec<String>> =
            (0..64).map(|random| names(&records, random).unwrap()).collect();
        let orders: Vec<String> = orders.into_iter().map(|order| order.concat()).collect();
        assert_eq!(orders, ["abcd", "bacd"]);
    }

    #[test]
    fn this_server_and_what_stands_behind_it_is_left_out() {
        let records = [(10, "a"), (20, "me.example"), (20, "b"), (30, "c")];
        assert_eq!(names(&records, 1).unwrap(), ["a"]);
        assert_eq!(status(names(&records[1..], 1)), "5.4.6");
    }

    #[test]
    fn a_domain_that_takes_no_mail_says_so() {
        assert_eq!(status(names(&[(0, "")], 1)), "5.1.10");
        assert_eq!(names(&[(0, ""), (10, "a")], 1).unwrap(), ["a"], "others have the last word");
    }

    #[test]
    fn tlsa_records_stand_where_the_proof_reaches() {
        let found = |is_secure: bool| Answer::of(vec![IpAddr::from([192, 0, 2, 1])], is_secure);
        let at = |answer: Answer<IpAddr>| bases_of("mx.example", &answer).join(" ");
        assert_eq!(at(found(true)), "mx.example");
        assert_eq!(at(found(false)), "");
        let alias = |is_secure| Alias { target: "real.example".into(), is_secure };
        assert_eq!(at(found(true).led_by(alias(true))), "real.example mx.example");
        assert_eq!(at(found(false).led_by(alias(true))), "mx.example", "the alias alone is proven");
        assert_eq!(at(found(false).led_by(alias(false))), "");
    }

    #[test]
    fn both_kinds_of_addresses_take_turns() {
        let addresses = ["192.0.2.1", "192.0.2.2", "2001:db8::1", "192.0.2.3"];
        let mixed = in_turn(addresses.iter().map(|text| text.parse().unwrap()).collect());
        let shown: Vec<String> = mixed.iter().map(IpAddr::to_string).collect();
        assert_eq!(shown, ["2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    }

    #[test]
    fn a_literal_is_its_own_host() {
        let listens: IpAddr = "192.0.2.9".parse().unwrap();
        let own = Own { hostname: "me.example", listens_at: &|address| address == listens, loopback: false };
        let literal = |text: &str| of_literal(text, &own).map(|found| found.hosts[0].address.to_string());
        assert_eq!(literal("[192.0.2.1]").unwrap(), "192.0.2.1");
        assert_eq!(literal("[IPv6:2001:db8::7]").unwrap(), "2001:db8::7");
        assert!(literal("[192.0.2.9]").is_err());
        assert!(literal("[127.0.0.1]").is_err());
        assert!(literal("[x-unknown:1]").is_err());
    }
}
