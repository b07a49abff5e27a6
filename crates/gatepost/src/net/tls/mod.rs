//! TLS: outwards, whom a server's certificate must belong to; inwards (`server`), what clients are shown.
//!
//! Invariants: whatever is asked of the certificate, the server must hold its key (the handshake is always signed with
//! it); versions before TLS 1.2 are not spoken.

mod certificates;
mod cipher;
mod client_certificate;
pub(crate) mod dane;
pub(crate) mod own;
mod server;
mod verifier;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::{CertificateError, ClientConfig, Error, RootCertStore};
use smtp::time::WallTime;

pub(crate) use cipher::{CIPHER_WORDS, Cipher};
pub(crate) use client_certificate::ClientCertificate;
pub(crate) use dane::{is_usable, show};
pub(crate) use server::{Files, Secured, ServerTls, Unsecured};
pub(crate) use verifier::Asked;

use super::tls_result::TlsFailure;
use verifier::Verifier;

/// The authorities that are trusted.
#[derive(Debug, Clone)]
pub(crate) struct Authorities(Arc<RootCertStore>);

impl Authorities {
    /// The system's, and those of the file `more`. What the system has that can't be read is passed over, as all
    /// programs do. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read or holds no certificate.
    pub(crate) fn load(more: Option<&Path>) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if let Some(path) = more {
            add(&mut store, path)?;
        }
        Ok(Self(Arc::new(store)))
    }

    /// Whether these are the ones that were loaded together with `others`.
    pub(crate) fn are(&self, others: &Self) -> bool {
        Arc::ptr_eq(&self.0, &others.0)
    }

    /// Those of the file `path` alone. Blocks on the disk.
    ///
    /// # Errors
    /// The file can't be read or holds no certificate.
    pub(crate) fn only(path: &Path) -> io::Result<Self> {
        let mut store = RootCertStore::empty();
        add(&mut store, path)?;
        Ok(Self(Arc::new(store)))
    }
}

fn add(store: &mut RootCertStore, path: &Path) -> io::Result<()> {
    let mut added = 0;
    for certificate in CertificateDer::pem_file_iter(path).map_err(io::Error::other)? {
        let certificate = certificate.map_err(io::Error::other)?;
        store.add(certificate).map_err(io::Error::other)?;
        added += 1;
    }
    if added == 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "no certificate in it"));
    }
    Ok(())
}

/// Octets in lower-case hexadecimal.
fn hexadecimal(octets: &[u8]) -> String {
    octets.iter().fold(String::with_capacity(octets.len() * 2), |mut text, octet| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// The provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// A client that asks so much of a server's certificate.
///
/// # Errors
/// Never, with this provider; the library's word for it.
pub(crate) fn client(asked: Asked, authorities: &Authorities) -> Result<Arc<ClientConfig>, Error> {
    let provider = provider();
    let verifier = Verifier::new(asked, Arc::clone(&authorities.0), &provider);
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// What a policy that is only tested would have failed for: the certificates of a server, its own first, are not those of
/// a trusted authority for one of the names.
pub(crate) fn remark(
    names: &Arc<[String]>,
    authorities: &Authorities,
    certificates: &[CertificateDer<'_>],
    now: WallTime,
) -> Option<TlsFailure> {
    if names.is_empty() {
        return Some(TlsFailure::ValidationFailure);
    }
    let (own, rest) = certificates.split_first()?;
    let verifier = Verifier::new(Asked::Nothing, Arc::clone(&authorities.0), &provider());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_seconds()));
    verifier.by_authority(names, (own, rest), now).err().map(|error| failure_of(&error))
}

/// A handshake's failure as it is reported (RFC 8460 §4.3).
pub(crate) fn failure(error: &io::Error) -> TlsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    inner.map_or(TlsFailure::ValidationFailure, failure_of)
}

/// Whether an error, or one that led to it, is that a certificate is not what it must be.
pub(crate) fn is_certificates(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if matches!(error.downcast_ref(), Some(Error::InvalidCertificate(_) | Error::NoCertificatesPresented))
        {
            return true;
        }
        // An error of input or output names as its source only what led to the one in it.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = inner.map_or_else(|| error.source(), |inner| Some(inner));
    }
    false
}

fn failure_of(error: &Error) -> TlsFailure {
    match error {
        Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => TlsFailure::CertificateExpired,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::CertificateHostMismatch
            }
            CertificateError::UnknownIssuer => TlsFailure::CertificateNotTrusted,
            _ => TlsFailure::ValidationFailure,
        },
        _ => TlsFailure::ValidationFailure,
    }
}

#[cfg(test)]
mod tests;
