//! The handshakes of connections to other servers.
//!
//! Invariants: nothing weaker than the plan is ever done; a session is resumed only by who asked for as much before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::next_hop::{TlsLevel, TlsPlan};
use super::relay::{Handshake, HandshakeFault, Shaken, Shaking, Socket};
use crate::clock;
use crate::net::tls::{self, Asked, Authorities};
use crate::net::tls_result::TlsFailure;
use crate::site::Sites;

/// Names whose clients are kept, with the tickets of their servers (ours: some kilobytes each).
const CLIENTS_MAX: usize = 500;

/// Does handshakes by the authorities of the site in force.
pub(super) struct Protection {
    sites: Arc<Sites>,
    clients: Mutex<Clients>,
}

#[derive(Default)]
struct Clients {
    /// The authorities that they were made with; others make others necessary.
    of: Option<Authorities>,
    /// For whom nothing is asked.
    any: Option<Arc<ClientConfig>>,
    /// For one name each.
    named: HashMap<String, Arc<ClientConfig>>,
}

impl Protection {
    pub(super) fn new(sites: Arc<Sites>) -> Self {
        Self { sites, clients: Mutex::default() }
    }

    fn client(&self, plan: &TlsPlan) -> Result<Arc<ClientConfig>, String> {
        let site = self.sites.current();
        let authorities = site.services.authorities()?;
        let make = |asked| tls::client(asked, &authorities).map_err(|error| error.to_string());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.of.as_ref().is_some_and(|of| of.are(&authorities)) {
            *clients = Clients { of: Some(authorities.clone()), ..Clients::default() };
        }
        match &plan.level {
            // Who asks for the handshake has a reason, whatever certificate comes.
            TlsLevel::Off | TlsLevel::Opportunistic | TlsLevel::Tested(_) | TlsLevel::Encrypted => {
                let client = clients.any.take().map_or_else(|| make(Asked::Nothing), Ok)?;
                clients.any = Some(Arc::clone(&client));
                Ok(client)
            }
            TlsLevel::Verified(names) => {
                if let [name] = &**names
                    && let Some(client) = clients.named.get(name)
                {
                    return Ok(Arc::clone(client));
                }
                let client = make(Asked::Names(Arc::clone(names)))?;
                if let [name] = &**names {
                    if clients.named.len() >= CLIENTS_MAX {
                        clients.named.clear();
                    }
                    clients.named.insert(name.clone(), Arc::clone(&client));
                }
                Ok(client)
            }
            TlsLevel::Dane { records, names } => make(Asked::Records(Arc::clone(records), Arc::clone(names))),
            TlsLevel::Barred(bar) => Err(bar.text.clone()),
        }
    }
}

impl Protection {
    /// What would have failed if it had been asked for.
    fn remark(&self, names: &Arc<[String]>, stream: &TlsStream<Socket>) -> Option<TlsFailure> {
        let site = self.sites.current();
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        tls::remark(names, &site.services.authorities().ok()?, certificates, clock::wall())
    }
}

impl Handshake for Protection {
    fn shake<'a>(&'a self, socket: Socket, plan: &'a TlsPlan, host_name: &'a str) -> Shaking<'a> {
        Box::pin(async move {
            let fault = |failure, text: String| HandshakeFault { failure, text };
            let client = self.client(plan).map_err(|text| fault(TlsFailure::ValidationFailure, text))?;
            let name = match &plan.level {
                TlsLevel::Dane { names, .. } => names.first().map_or(host_name, String::as_str),
                _ => host_name,
            };
            let name = ServerName::try_from(name.to_owned())
                .map_err(|error| fault(TlsFailure::ValidationFailure, error.to_string()))?;
            let connecting = TlsConnector::from(client).connect(name, socket).await;
            let stream = connecting.map_err(|error| fault(tls::failure(&error), error.to_string()))?;
            let remark = match &plan.level {
                TlsLevel::Tested(names) => self.remark(names, &stream),
                _ => None,
            };
            Ok(Shaken { stream, remark })
        })
    }
}
