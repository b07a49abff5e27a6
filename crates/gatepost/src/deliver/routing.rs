//! From the way of a delivery to the hosts, or the command, that it is handed to.
//!
//! Invariants: a way that can't be found out now defers; only what the DNS proves, or the site says, fails.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use std::{io, sync::Arc};

use queue::pace::Met;
use smtp::client::{Credentials, Protocol};

use super::attempt::Failure;
use super::mx::{self, MxHosts, NoWay, Own};
use super::next_hop::{Endpoint, NextHop, NextHost, Sources, TlsLevel, TlsPlan};
use super::protection::{self, Dane};
use super::route::Way;
use crate::config::{Access, Agent, Hop, Route, SmartHost, TlsChoice, hop};
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
                of_host(host, *spoken, *implicit_tls, access).await
            }
            Hop::Socket { protocol: spoken, path } => {
                protocol = *spoken;
                let name = path.display().to_string();
                Ok(vec![NextHost {
                    name,
                    endpoint: Endpoint::Unix(path.clone()),
                    tls: plan(TlsLevel::Off, false),
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
        addresses: &own_addresses(site),
        loopback: relaying.mx_loopback,
    };
    let MxHosts { hosts, is_secure } = mx::hosts(dns, domain, &own, random).await?;
    let asked = if access.tls.is_some() { InForce::Nothing } else { site.services.mta_sts(domain).await };
    let (mut next, mut left_out) = (Vec::with_capacity(hosts.len()), None);
    let mut known: Option<(String, Result<Dane, Failure>)> = None;
    for host in hosts {
        let dane = match &known {
            _ if !is_secure || !host.is_secure || access.tls.is_some() => Ok(Dane::Nothing),
            Some((name, dane)) if *name == host.name => dane.clone(),
            _ => {
                let dane = protection::find_records(dns, &host.name, relaying.mx_port).await;
                known = Some((host.name.clone(), dane.clone()));
                dane
            }
        };
        let tls = match dane {
            Ok(Dane::Nothing) => match protection::sts_plan(&asked, &host.name, domain) {
                None => {
                    let plan = plan(level(access, TlsLevel::Opportunistic, &host.name), false);
                    // What the site itself has chosen is nothing that the domain could mend.
                    let is_domains = access.tls.is_none();
                    let reported =
                        is_domains.then(|| protection::without_policy(&asked, false, &host.name, domain));
                    TlsPlan { reported, ..plan }
                }
                Some(Ok(plan)) => plan,
                Some(Err(failure)) => {
                    left_out.get_or_insert(NoWay::Now(failure));
                    continue;
                }
            },
            Ok(Dane::Encrypted) => {
                let reported = Some(protection::without_policy(&asked, true, &host.name, domain));
                TlsPlan { reported, ..plan(TlsLevel::Encrypted, false) }
            }
            Ok(Dane::Records(records)) => protection::dane_plan(records, &host.name, domain),
            Err(failure) => {
                left_out.get_or_insert(NoWay::Now(failure));
                continue;
            }
        };
        let endpoint = Endpoint::Tcp(SocketAddr::new(host.address, relaying.mx_port));
        next.push(NextHost { name: host.name, endpoint, tls });
    }
    match left_out {
        Some(left_out) if next.is_empty() => Err(left_out),
        _ => Ok(next),
    }
}

/// The addresses on which this server takes mail from others at the port of MX hosts.
fn own_addresses(site: &Site) -> Vec<IpAddr> {
    let listens = site.config.listen.mx.iter();
    let at_port = listens.filter(|address| address.port() == site.config.relaying.mx_port);
    at_port.map(SocketAddr::ip).filter(|address| !address.is_unspecified()).collect()
}

async fn of_host(
    host: &SmartHost,
    protocol: Protocol,
    implicit_tls: bool,
    access: &Access,
) -> Result<Vec<NextHost>, NoWay> {
    let name = host.name();
    let addresses = resolve(host, &name).await.map_err(|error| {
        let text = format!("cannot find the address of {name}: {error}");
        NoWay::Now(Failure::local("4.4.3", text).met(Met::Absence))
    })?;
    let usual = match protocol {
        _ if access.login.is_some() => TlsLevel::Verified(Arc::new([name.clone()])),
        Protocol::Smtp => TlsLevel::Opportunistic,
        Protocol::Lmtp => TlsLevel::Off,
    };
    let next = |address: SocketAddr| {
        // Nobody listens in on the loopback network.
        let is_inside = address.ip().is_loopback() && access.tls.is_none() && !implicit_tls;
        let level = if is_inside && access.login.is_some() {
            TlsLevel::Opportunistic
        } else {
            level(access, usual.clone(), &name)
        };
        let level = if implicit_tls && level == TlsLevel::Off { TlsLevel::Encrypted } else { level };
        NextHost { name: name.clone(), endpoint: Endpoint::Tcp(address), tls: plan(level, implicit_tls) }
    };
    Ok(addresses.into_iter().map(next).collect())
}

/// What is chosen, else what is usual.
fn level(access: &Access, usual: TlsLevel, host_name: &str) -> TlsLevel {
    match access.tls {
        None => usual,
        Some(TlsChoice::Off) => TlsLevel::Off,
        Some(TlsChoice::Opportunistic) => TlsLevel::Opportunistic,
        Some(TlsChoice::Encrypted) => TlsLevel::Encrypted,
        Some(TlsChoice::Verified) => TlsLevel::Verified(Arc::new([host_name.to_owned()])),
    }
}

fn plan(level: TlsLevel, implicit: bool) -> TlsPlan {
    TlsPlan { level, implicit, reported: None }
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
