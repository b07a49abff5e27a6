//! The next hop that the configured smart host is.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use smtp::client::Protocol;

use super::attempt::Failure;
use super::next_hop::{Endpoint, NextHop, NextHost, Sources, TlsLevel, TlsPlan};
use crate::config::{Host, SmartHost};

/// Longest wait for the addresses of a host (ours; a resolver gives up earlier by itself).
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(30);

/// Addresses of a host that are tried (ours; RFC 5321 §5.1 wants at least two).
const ADDRESSES_MAX: usize = 5;

/// The next hop, in clear text.
///
/// # Errors
/// Its addresses can't be found now.
pub(super) async fn next_hop(smart_host: &SmartHost) -> Result<NextHop, Failure> {
    let (name, address) = match &smart_host.host {
        Host::Name(name) => (name.as_str().to_owned(), None),
        Host::Address(address) => (address.to_string(), Some(*address)),
    };
    let addresses = resolve(&name, address, smart_host.port)
        .await
        .map_err(|error| Failure::local("4.4.3", format!("cannot find the address of {name}: {error}")))?;
    let host = |address| NextHost {
        name: name.clone(),
        endpoint: Endpoint::Tcp(address),
        tls: TlsPlan { level: TlsLevel::Off, implicit: false, reported: None },
    };
    Ok(NextHop {
        protocol: Protocol::Smtp,
        hosts: addresses.into_iter().map(host).collect(),
        credentials: None,
        sources: Sources::default(),
    })
}

/// The addresses of a host, at least one, in the resolver's order.
async fn resolve(name: &str, address: Option<IpAddr>, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Some(address) = address {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let lookup = tokio::net::lookup_host((name, port));
    let found = tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await??;
    let mut addresses: Vec<SocketAddr> = Vec::new();
    for address in found {
        if addresses.len() < ADDRESSES_MAX && !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err(io::Error::other("it has none")) } else { Ok(addresses) }
}
