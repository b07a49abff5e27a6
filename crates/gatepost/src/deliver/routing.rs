//! From the way of a delivery to the hosts, or the command, that it is handed to.
//!
//! Invariants: a way that can't be found out now defers; only what the DNS proves, or the site says, fails.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;
use std::{io, sync::Arc};

use queue::pace::Met;
use smtp::client::{Credentials, Protocol};

use super::attempt::Failure;
use super::mx::{self, MxHosts, NoWay, Own};
use super::next_hop::{Endpoint, NextHop, NextHost, Sources, TlsLevel, TlsPlan};
use super::route::Way;
use super::tls_plan::{self, MxPlans};
use crate::config::{Access, Agent, Hop, Route, SmartHost, TlsChoice, hop};
use crate::net::dns::Answer;
use crate::net::mta_sts::InForce;
use crate::site::Site;
use crate::tables;

/// Longest wait for the addresses of a host (ours; a resolver gives up earlier by itself).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses of a host that are tried (ours; RFC 5321 §5.1 wants at least two).
const ADDRESSES_MAX: usize = 5;

/// Where a way leads.
pub(super) enum End<'s> {
    /// To servers.
    Servers(NextHop),
    /// To a command.
    Command(&'s Agent),
}

/// The end of a way that leads out; `random` decides between equals.
///
/// # Errors
/// There is none, for now or for good.
pub(super) async fn end<'s>(site: &'s Site, way: Way<'_>, random: u64) -> Result<End<'s>, NoWay> {
    let relaying = &site.config.relaying;
    match way {
        Way::Relay => by_smart_host(site, random).await,
        Way::Mx(domain) => by_hops(site, &[Hop::Mx], &relaying.access, Some(domain), random).await,
        Way::Route { name, domain } => match site.config.route(name) {
            Some(route) => return by_route(site, route, domain, random).await,
            None => {
                let text = format!("no route: the configuration has no route `{name}` any more");
                Err(NoWay::Now(Failure::local("4.3.5", text)))
            }
        },
        Way::Table(domain) => return by_table(site, domain, random).await,
        Way::Local | Way::Discard => {
            Err(NoWay::Now(Failure::local("4.3.0", "mail for this server was to be relayed")))
        }
    }
    .map(End::Servers)
}

/// The end of a route.
async fn by_route<'s>(
    site: &'s Site,
    route: &'s Route,
    domain: Option<&str>,
    random: u64,
) -> Result<End<'s>, NoWay> {
    match &route.agent {
        Some(agent) => Ok(End::Command(agent)),
        None => by_hops(site, &route.hops, &route.access, domain, random).await.map(End::Servers),
    }
}

/// The end that a table has for `domain`; the way of all other mail when none has one.
async fn by_table<'s>(site: &'s Site, domain: &str, random: u64) -> Result<End<'s>, NoWay> {
    let relaying = &site.config.relaying;
    let misconfigured = |why: String| {
        tracing::error!(target: "gatepost::tables", domain, why, "a table has a route that can't be used");
        NoWay::Now(Failure::local("4.3.5", "a table has a route that can't be used"))
    };
    let route = match tables::route_for(&site.services.tables, &relaying.routes_from, domain).await {
        Ok(route) => route,
        // What a table's server said is for the log alone: a DSN may go anywhere.
        Err(_) => return Err(NoWay::Now(Failure::local("4.4.3", "the route can't be looked up now"))),
    };
    match route.as_deref().map(|route| route.strip_prefix("route:").ok_or(route)) {
        Some(Ok(name)) => match site.config.route(name) {
            Some(route) => return by_route(site, route, Some(domain), random).await,
            None => Err(misconfigured(format!("there is no route `{name}`"))),
        },
        Some(Err(text)) => match hop(text) {
            Ok(hop) => by_hops(site, &[hop], &relaying.access, Some(domain), random).await,
            Err(why) => Err(misconfigured(format!("`{}` leads nowhere: {why}", text.escape_debug()))),
        },
        None if relaying.mx && relaying.smart_hosts.is_empty() => {
            by_hops(site, &[Hop::Mx], &relaying.access, Some(domain), random).await
        }
        None => by_smart_host(site, random).await,
    }
    .map(End::Servers)
}

/// The smart hosts.
async fn by_smart_host(site: &Site, random: u64) -> Result<NextHop, NoWay> {
    let relaying = &site.config.relaying;
    if relaying.smart_hosts.is_empty() {
        let text = "no route: the configuration names neither relay.smart_host nor relay.mx";
        return Err(NoWay::Now(Failure::local("4.4.4", text)));
    }
    let hop =
        |host: &SmartHost| Hop::Host { protocol: Protocol::Smtp, implicit_tls: false, host: host.clone() };
    let hops: Vec<Hop> = relaying.smart_hosts.iter().map(hop).collect();
    by_hops(site, &hops, &relaying.access, None, random).await
}

/// The hosts of all hops, in order. One that can't be found out is passed over while another can be tried.
async fn by_hops(
    site: &Site,
    hops: &[Hop],
    access: &Access,
    domain: Option<&str>,
    random: u64,
) -> Result<NextHop, NoWay> {
    let (mut hosts, mut no_way, mut protocol) = (Vec::new(), None, Protocol::Smtp);
    for hop in hops {
        let found = match hop {
            Hop::Mx => of_mx(site, access, domain, random).await,
            Hop::Host { protocol: spoken, implicit_tls, host } => {
                protocol = *spoken;
                of_host(site, host, (*spoken, *implicit_tls), access).await
            }
            Hop::Socket { protocol: spoken, path } => {
                protocol = *spoken;
                let name = path.display().to_string();
                Ok(vec![NextHost {
                    name,
                    endpoint: Endpoint::Unix(path.clone()),
                    tls: TlsPlan::chosen(TlsLevel::Off, false),
                }])
            }
        };
        match found {
            Ok(found) => hosts.extend(found),
            Err(why) => drop(no_way.get_or_insert(why)),
        }
    }
    if hosts.is_empty() {
        let nothing = || NoWay::Now(Failure::local("4.3.5", "the route leads nowhere"));
        return Err(no_way.unwrap_or_else(nothing));
    }
    let credentials = match &access.login {
        None => None,
        Some(login) => Some(Credentials::new(&login.user, &login.password).ok_or_else(|| {
            NoWay::Now(Failure::local("4.3.5", "the user or the password holds a NUL, which can't be sent"))
        })?),
    };
    let sources = Sources { v4: access.source_ipv4, v6: access.source_ipv6 };
    Ok(NextHop { protocol, hosts, credentials, sources })
}

async fn of_mx(
    site: &Site,
    access: &Access,
    domain: Option<&str>,
    random: u64,
) -> Result<Vec<NextHost>, NoWay> {
    let domain =
        domain.ok_or_else(|| NoWay::Now(Failure::local("4.3.5", "the route has no domain to look up")))?;
    let dns = site
        .services
        .dns()
        .map_err(|why| NoWay::Now(Failure::local("4.4.3", format!("cannot look up {domain}: {why}"))))?;
    let relaying = &site.config.relaying;
    let own = Own {
        hostname: &site.settings.hostname,
        listens_at: &|address| is_own(&site.config.listen.mx, relaying.mx_port, address),
        loopback: relaying.mx_loopback,
    };
    let MxHosts { hosts, is_secure, alias } = mx::hosts(dns, domain, &own, random).await?;
    let settings = &site.config.tls;
    let chosen = settings.of_domain(domain).or(access.tls);
    let asked = if chosen.is_some() { InForce::Nothing } else { site.services.mta_sts(domain).await };
    let (default, port) = (settings.default, relaying.mx_port);
    let mut plans = MxPlans { dns, port, domain, alias, is_secure, chosen, default, asked, last: None };
    let mut next = Vec::with_capacity(hosts.len());
    for host in hosts {
        let tls = plans.plan(&host).await;
        let endpoint = Endpoint::Tcp(SocketAddr::new(host.address, port));
        next.push(NextHost { name: host.name, endpoint, tls });
    }
    Ok(next)
}

/// Whether this server listens at `address`, and at the port of MX hosts.
fn is_own(listen: &[SocketAddr], mx_port: u16, address: IpAddr) -> bool {
    listen.iter().filter(|listens| listens.port() == mx_port).any(|listens| match listens.ip() {
        all if all.is_unspecified() => is_here(address),
        own => own.to_canonical() == address.to_canonical(),
    })
}

/// Whether this machine has `address`: it can be bound to, another's can't. Where the system lets programs bind to all
/// (Linux: `net.ipv4.ip_nonlocal_bind`), the address counts that is also where what is sent to it comes from.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
        && (address.is_loopback() || comes_from(address) == Some(address) || !binds_to_all(address))
}

/// Where what is sent to `address` comes from. Nothing is sent to find that out.
fn comes_from(address: IpAddr) -> Option<IpAddr> {
    // Any port will do.
    const DISCARD: u16 = 9;
    let any = if address.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((address, DISCARD)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

/// Whether programs can bind to addresses of the kind of `address` that this machine doesn't have.
fn binds_to_all(address: IpAddr) -> bool {
    // RFC 5737 §3 and RFC 3849: nobody has these.
    let nobodys = if address.is_ipv4() {
        IpAddr::from([192, 0, 2, 1])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])
    };
    UdpSocket::bind((nobodys, 0)).is_ok()
}

async fn of_host(
    site: &Site,
    host: &SmartHost,
    (protocol, implicit_tls): (Protocol, bool),
    access: &Access,
) -> Result<Vec<NextHost>, NoWay> {
    if access.tls == Some(TlsChoice::Dane) {
        return of_proven_host(site, host, implicit_tls).await;
    }
    let name = host.name();
    let addresses = resolve(host, &name).await.map_err(|error| no_address(&name, &error.to_string()))?;
    let usual = match protocol {
        _ if access.login.is_some() => TlsLevel::Verified(Arc::new([name.clone()])),
        Protocol::Smtp => TlsLevel::Opportunistic,
        Protocol::Lmtp => TlsLevel::Off,
    };
    let chosen = access.tls.map(|chosen| tls_plan::level_of(chosen, &name));
    let next = |address: SocketAddr| {
        // Nobody listens in on the loopback network.
        let is_inside = address.ip().is_loopback() && access.tls.is_none() && !implicit_tls;
        let level = if is_inside && access.login.is_some() {
            TlsLevel::Opportunistic
        } else {
            chosen.clone().unwrap_or_else(|| usual.clone())
        };
        let level = if implicit_tls && level == TlsLevel::Off { TlsLevel::Encrypted } else { level };
        NextHost {
            name: name.clone(),
            endpoint: Endpoint::Tcp(address),
            tls: TlsPlan::chosen(level, implicit_tls),
        }
    };
    Ok(addresses.into_iter().map(next).collect())
}

/// The host at the addresses that the DNS has for it, which is met by its TLSA records alone.
async fn of_proven_host(site: &Site, host: &SmartHost, implicit: bool) -> Result<Vec<NextHost>, NoWay> {
    let name = host.name();
    let dns = site.services.dns().map_err(|why| no_address(&name, why))?;
    let found = match host.address() {
        Some(address) => Answer::of(vec![address.ip()], false),
        None => dns.addresses(&name).await.map_err(|why| no_address(&name, &why.to_string()))?,
    };
    if found.records().is_empty() {
        return Err(no_address(&name, "it has none"));
    }
    let level = tls_plan::of_named_host(dns, &name, host.port, &found).await;
    let next = |address: &IpAddr| NextHost {
        name: name.clone(),
        endpoint: Endpoint::Tcp(SocketAddr::new(*address, host.port)),
        tls: TlsPlan::chosen(level.clone(), implicit),
    };
    Ok(found.records().iter().take(ADDRESSES_MAX).map(next).collect())
}

fn no_address(name: &str, why: &str) -> NoWay {
    let text = format!("cannot find the address of {name}: {why}");
    NoWay::Now(Failure::local("4.4.3", text).met(Met::Absence))
}

/// The addresses of a host, at least one, in the order of the system's resolver, which knows the `hosts` file.
async fn resolve(host: &SmartHost, name: &str) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = host.address() {
        return Ok(vec![address]);
    }
    let lookup = tokio::net::lookup_host((name, host.port));
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await??;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(io::Error::other("it has none")) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_knows_where_it_listens_also_when_that_is_everywhere() {
        let listen = |text: &str| [text.parse::<SocketAddr>().unwrap()];
        let is = |listens: &str, address: &str| is_own(&listen(listens), 25, address.parse().unwrap());
        assert!(is("192.0.2.1:25", "192.0.2.1") && is("[::ffff:192.0.2.1]:25", "192.0.2.1"));
        assert!(!is("192.0.2.1:2525", "192.0.2.1"), "another port");
        assert!(!is("192.0.2.1:25", "192.0.2.2"));
        assert!(is("0.0.0.0:25", "127.0.0.1") && is("[::]:25", "127.0.0.7"));
        // RFC 5737 §3: nobody has an address of this network.
        assert!(!is("0.0.0.0:25", "192.0.2.1") && !is("[::]:25", "192.0.2.1"));
        assert_eq!(comes_from(IpAddr::from([127, 0, 0, 1])), Some(IpAddr::from([127, 0, 0, 1])));
        assert_ne!(comes_from(IpAddr::from([192, 0, 2, 1])), Some(IpAddr::from([192, 0, 2, 1])));
    }
}
