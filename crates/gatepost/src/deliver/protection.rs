//! The handshakes of connections to other servers, and the TLSA records that say whom to meet there (RFC 7672).
//!
//! Invariants: nothing weaker than the plan is ever done; a look-up that fails leaves a host out, and never makes it
//! one without TLSA records.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use hickory_resolver::proto::rr::rdata::TLSA;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio_rustls::TlsConnector;

use super::attempt::Failure;
use super::next_hop::{TlsLevel, TlsPlan};
use super::relay::{Handshake, HandshakeFault, Shaking, Socket};
use crate::net::dns::Dns;
use crate::net::mta_sts::{InForce, Mode};
use crate::net::tls::{self, Asked};
use crate::net::tls_result::{PolicyKind, ReportedPolicy, TlsFailure};
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
    of: Option<Arc<crate::facts::Services>>,
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
        let make = |asked| tls::client(asked, authorities).map_err(|error| error.to_string());
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if !clients.of.as_ref().is_some_and(|services| Arc::ptr_eq(services, &site.services)) {
            *clients = Clients { of: Some(Arc::clone(&site.services)), ..Clients::default() };
        }
        match &plan.level {
            // Who asks for the handshake has a reason, whatever certificate comes.
            TlsLevel::Off | TlsLevel::Opportunistic | TlsLevel::Encrypted => {
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
        }
    }
}

impl Handshake for Protection {
    fn shake<'a>(&'a self, socket: Socket, plan: &'a TlsPlan, host_name: &'a str) -> Shaking<'a> {
        Box::pin(async move {
            let fault = |failure, text: String| HandshakeFault { failure, text };
            let client = self.client(plan).map_err(|text| fault(TlsFailure::ValidationFailure, text))?;
            let name = ServerName::try_from(host_name.to_owned())
                .map_err(|error| fault(TlsFailure::ValidationFailure, error.to_string()))?;
            let connecting = TlsConnector::from(client).connect(name, socket).await;
            connecting.map_err(|error| fault(tls::failure(&error), error.to_string()))
        })
    }
}

/// What DNSSEC says of a host's certificate.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Dane {
    /// Nothing: another policy decides.
    Nothing,
    /// It must have TLS, and nothing is known of its certificate: no record is usable (RFC 7672 §2.2).
    Encrypted,
    /// It must match one of these.
    Records(Arc<[TLSA]>),
}

/// Looks the TLSA records of a host up, whose MX record and addresses are proven.
///
/// # Errors
/// They can't be found out: no mail may go to this host now (RFC 7672 §2.1).
pub(super) async fn find_records(dns: &Dns, host: &str, port: u16) -> Result<Dane, Failure> {
    let name = format!("_{port}._tcp.{host}");
    let answer = dns.tlsa(&name).await.map_err(|why| {
        Failure::local("4.7.5", format!("{host} is left out: cannot look up its TLSA records: {why}"))
    })?;
    if !answer.is_secure() || answer.absent().is_some() {
        return Ok(Dane::Nothing);
    }
    let usable: Vec<TLSA> = answer.into_records().into_iter().filter(tls::is_usable).collect();
    Ok(if usable.is_empty() { Dane::Encrypted } else { Dane::Records(usable.into()) })
}

/// The plan for a host with such records.
pub(super) fn dane_plan(records: Arc<[TLSA]>, host: &str, domain: &str) -> TlsPlan {
    let lines = records.iter().map(tls::show).collect();
    let policy = ReportedPolicy {
        domain: host.to_owned(),
        kind: PolicyKind::Tlsa,
        lines,
        mx: Vec::new(),
        told: domain.to_owned(),
        fault: None,
    };
    TlsPlan {
        // RFC 7672 §3.2.2: the TLSA base domain and the next-hop domain.
        level: TlsLevel::Dane { records, names: Arc::new([host.to_owned(), domain.to_owned()]) },
        implicit: false,
        reported: Some(Arc::new(policy)),
    }
}

/// The plan for a host under what its domain asks by MTA-STS; `None` when that asks nothing.
///
/// # Errors
/// The domain does not have this host: no mail may go to it (RFC 8461 §5.1).
pub(super) fn sts_plan(asked: &InForce, host: &str, domain: &str) -> Option<Result<TlsPlan, Failure>> {
    let InForce::Policy(policy) = asked else { return None };
    let is_named = policy.has(host);
    if policy.mode == Mode::Enforce && !is_named {
        let text = format!("{host} is left out: the MTA-STS policy of {domain} does not name it");
        return Some(Err(Failure::local("4.7.5", text)));
    }
    let level = match policy.mode {
        Mode::Enforce => TlsLevel::Verified(Arc::new([host.to_owned()])),
        Mode::Testing | Mode::None => TlsLevel::Opportunistic,
    };
    let reported = ReportedPolicy {
        domain: domain.to_owned(),
        kind: PolicyKind::Sts,
        lines: policy.lines(),
        mx: policy.mx.clone(),
        told: domain.to_owned(),
        fault: None,
    };
    Some(Ok(TlsPlan { level, implicit: false, reported: Some(Arc::new(reported)) }))
}

/// What is reported of sessions with a host under no policy that can be applied: `asked` says whether the domain announces
/// one, and `is_encrypted` whether the host has TLSA records none of which can be used.
pub(super) fn without_policy(
    asked: &InForce,
    is_encrypted: bool,
    host: &str,
    domain: &str,
) -> Arc<ReportedPolicy> {
    let (name, kind, fault) = match asked {
        _ if is_encrypted => (host, PolicyKind::Tlsa, Some(TlsFailure::TlsaInvalid)),
        InForce::Unknown(fault) => (domain, PolicyKind::Sts, Some(*fault)),
        InForce::Nothing | InForce::Policy(_) => (domain, PolicyKind::NoPolicyFound, None),
    };
    Arc::new(ReportedPolicy {
        domain: name.to_owned(),
        kind,
        lines: Vec::new(),
        mx: Vec::new(),
        told: domain.to_owned(),
        fault,
    })
}
