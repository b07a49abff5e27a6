//! HTTPS to servers of other domains, whose names are looked up as all names are.
//!
//! Invariants: the server's certificate is for its name; no redirect is followed and no proxy asked.

use std::net::SocketAddr;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;

use super::address::is_usable;
use super::dns::Dns;
use super::tls::{self, Asked, Authorities};

/// Names are looked up as all names are.
struct Resolver {
    dns: Arc<Dns>,
    loopback: bool,
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (dns, loopback) = (Arc::clone(&self.dns), self.loopback);
        Box::pin(async move {
            let found = dns.addresses(name.as_str()).await?;
            let usable =
                found.into_records().into_iter().filter(move |address| is_usable(*address, loopback));
            let addresses: Vec<SocketAddr> = usable.map(|address| SocketAddr::new(address, 0)).collect();
            if addresses.is_empty() {
                return Err("it has no address".into());
            }
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

/// A client for the server of this name; `loopback`: whether it may be on this machine.
///
/// # Errors
/// The client can't be set up, in words.
pub(crate) fn client(
    dns: &Arc<Dns>,
    authorities: &Authorities,
    host: &str,
    loopback: bool,
) -> Result<reqwest::Client, String> {
    let asked = Asked::Names(Arc::new([host.to_owned()]));
    let config = tls::client(asked, authorities).map_err(|error| error.to_string())?;
    reqwest::Client::builder()
        .tls_backend_preconfigured((*config).clone())
        .dns_resolver(Resolver { dns: Arc::clone(dns), loopback })
        .redirect(redirect::Policy::none())
        .no_proxy()
        .http1_only()
        .https_only(true)
        .build()
        .map_err(|error| reasons(&error))
}

/// An error with all that led to it.
pub(crate) fn reasons(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
