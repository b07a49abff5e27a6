//! Fetching a policy over HTTPS (RFC 8461 §3.3).
//!
//! Invariants: the server's certificate is for `mta-sts.` and the domain; no redirect is followed; no more is read and
//! waited for than the limits say.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::policy::Policy;
use crate::net::dns::Dns;
use crate::net::https::{self, reasons};
use crate::net::tls::{self, Authorities};
use crate::net::tls_result::TlsFailure;

/// Longest wait for a policy, the wait for a place included (RFC 8461 §3.3 suggests a minute).
const TIMEOUT: Duration = Duration::from_secs(60);

/// Largest policy, in octets (RFC 8461 §3.3 suggests 64 kilobytes).
const POLICY_OCTETS_MAX: usize = 64 * 1024;

/// Policies that are fetched at a time (ours: servers that don't answer must not hold up those that do).
const FETCHES_MAX: usize = 100;

/// Fetches policies.
#[derive(Debug)]
pub(crate) struct Fetcher {
    /// The port of HTTPS.
    port: u16,
    /// Whether a host of the loopback network is one.
    loopback: bool,
    authorities: Authorities,
    places: Semaphore,
}

impl Fetcher {
    pub(crate) fn new(authorities: Authorities, port: u16, loopback: bool) -> Self {
        Self { port, loopback, authorities, places: Semaphore::new(FETCHES_MAX) }
    }

    /// Fetches the policy of a domain.
    ///
    /// # Errors
    /// As it is reported, and in words.
    pub(crate) async fn fetch(&self, dns: &Arc<Dns>, domain: &str) -> Result<Policy, (TlsFailure, String)> {
        let reading = async {
            let _place = self.places.acquire().await;
            self.read(dns, domain).await
        };
        let text = tokio::time::timeout(TIMEOUT, reading)
            .await
            .unwrap_or_else(|_| Err((TlsFailure::StsPolicyFetchError, String::from("it took too long"))))?;
        Policy::parse(&text).map_err(|why| (TlsFailure::StsPolicyInvalid, why.to_string()))
    }

    async fn read(&self, dns: &Arc<Dns>, domain: &str) -> Result<String, (TlsFailure, String)> {
        let failed = |text: String| (TlsFailure::StsPolicyFetchError, text);
        let host = format!("mta-sts.{domain}");
        let client = https::client(dns, &self.authorities, &host, self.loopback).map_err(failed)?;
        let url = format!("https://{host}:{}/.well-known/mta-sts.txt", self.port);
        let mut response = client.get(url).send().await.map_err(|error| {
            let is_certificates = tls::is_certificates(&error);
            let failure =
                if is_certificates { TlsFailure::StsWebpkiInvalid } else { TlsFailure::StsPolicyFetchError };
            (failure, reasons(&error))
        })?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(failed(format!("the server answered {}", response.status())));
        }
        let kind = response.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_owned();
        if !kind.eq_ignore_ascii_case("text/plain") {
            return Err(failed(format!("the server sent {kind:?} instead of text/plain")));
        }
        let mut octets = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(reasons(&error)))? {
            if octets.len() + chunk.len() > POLICY_OCTETS_MAX {
                return Err(failed(format!("it is larger than {POLICY_OCTETS_MAX} octets")));
            }
            octets.extend_from_slice(&chunk);
        }
        String::from_utf8(octets).map_err(|_| (TlsFailure::StsPolicyInvalid, String::from("it is no text")))
    }
}
