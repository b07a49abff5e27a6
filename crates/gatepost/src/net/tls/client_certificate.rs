//! Certificates of clients: asked for, never demanded, and judged once the handshake is done.
//!
//! Invariant: of a certificate that is told of, the client has proven to hold the key.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme};
use smtp::time::WallTime;
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::hexadecimal;

/// A client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The subject, `CN=alice, O=Example`; its first name where it has no subject.
    pub(crate) subject: String,
    /// SHA-256 of the certificate, in hexadecimal; none when it can't be read, for then nothing is proven.
    pub(crate) fingerprint: Option<String>,
    /// What came of looking at it.
    pub(crate) verdict: &'static str,
    /// The user that it names: its first mail address, else its common name.
    pub(crate) user: Option<String>,
}

/// The verdict on a certificate that an authority vouches for.
const VERIFIED: &str = "verified";

impl ClientCertificate {
    /// Whether an authority vouches for it.
    pub(crate) fn is_verified(&self) -> bool {
        self.verdict == VERIFIED
    }

    /// Looks at the certificates that a client has shown, its own first.
    pub(super) fn judge(
        shown: &[CertificateDer<'_>],
        roots: &RootCertStore,
        algorithms: WebPkiSupportedAlgorithms,
        now: WallTime,
    ) -> Option<Self> {
        let (own, rest) = shown.split_first()?;
        let Ok(certificate) = EndEntityCert::try_from(own) else {
            return Some(Self { subject: String::new(), fingerprint: None, verdict: "invalid", user: None });
        };
        let now = UnixTime::since_unix_epoch(Duration::from_secs(now.as_unix_seconds()));
        let verified = certificate.verify_for_usage(
            algorithms.all,
            &roots.roots,
            rest,
            now,
            KeyUsage::client_auth(),
            None,
            None,
        );
        let verdict = match verified {
            Ok(_) => VERIFIED,
            Err(webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }) => "expired",
            Err(
                webpki::Error::UnknownIssuer
                | webpki::Error::InvalidSignatureForPublicKey
                | webpki::Error::CaUsedAsEndEntity,
            ) => "untrusted",
            Err(_) => "invalid",
        };
        let name = || certificate.valid_dns_names().next().map(str::to_ascii_lowercase).unwrap_or_default();
        let subject = subject_of(own).filter(|subject| !subject.is_empty()).unwrap_or_else(name);
        let fingerprint = hexadecimal(digest::digest(&digest::SHA256, own).as_ref());
        Some(Self { subject, fingerprint: Some(fingerprint), verdict, user: user_of(own) })
    }
}

fn subject_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.subject().to_string())
}

fn user_of(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let names = certificate.subject_alternative_name().ok().flatten();
    let addresses =
        names.into_iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
            GeneralName::RFC822Name(address) => Some((*address).to_owned()),
            _ => None,
        });
    let common_names = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    addresses.chain(common_names.map(str::to_owned)).next()
}

/// Asks for a certificate and takes any, or none; that the key is the client's is verified all the same.
#[derive(Debug)]
pub(super) struct AskForAny {
    algorithms: WebPkiSupportedAlgorithms,
    hints: Vec<DistinguishedName>,
}

impl AskForAny {
    /// Lets clients know whose certificates count, if there are `authorities` of the site's own.
    pub(super) fn new(
        authorities: Option<&RootCertStore>,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Arc<Self> {
        let hints = authorities.map(RootCertStore::subjects).unwrap_or_default();
        Arc::new(Self { algorithms, hints })
    }
}

impl ClientCertVerifier for AskForAny {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if EndEntityCert::try_from(certificate).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // Of a certificate that can't be read nothing is told, so that nothing need be proven.
        if EndEntityCert::try_from(certificate).is_err() {
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
