//! The check of a server's certificate.

use std::sync::Arc;

use hickory_resolver::proto::rr::rdata::TLSA;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use super::dane;

/// What is asked of a certificate.
#[derive(Debug, Clone)]
pub(crate) enum Asked {
    /// Nothing.
    Nothing,
    /// That a trusted authority vouches for one of these names.
    Names(Arc<[String]>),
    /// That it matches one of these records; the names count below an authority that a record names (RFC 7672 §3.1).
    Records(Arc<[TLSA]>, Arc<[String]>),
}

#[derive(Debug)]
pub(super) struct Verifier {
    asked: Asked,
    roots: Arc<RootCertStore>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(asked: Asked, roots: Arc<RootCertStore>, provider: &CryptoProvider) -> Self {
        Self { asked, roots, algorithms: provider.signature_verification_algorithms }
    }

    fn by_records(
        &self,
        records: &[TLSA],
        names: &[String],
        chain: (&CertificateDer<'_>, &[CertificateDer<'_>]),
        now: UnixTime,
    ) -> Result<(), Error> {
        let (own, rest) = chain;
        // RFC 7672 §3.1.1: neither the names nor the dates of a certificate count that is matched itself.
        if records.iter().any(|record| dane::matches_end_entity(record, own)) {
            return Ok(());
        }
        let mut failure = CertificateError::ApplicationVerificationFailure;
        for authority in records.iter().flat_map(|record| dane::authorities(record, own, rest)) {
            match self.by_chain(own, rest, std::slice::from_ref(&authority), names, now) {
                Ok(()) => return Ok(()),
                Err(Error::InvalidCertificate(why)) => failure = why,
                Err(_) => {}
            }
        }
        Err(Error::InvalidCertificate(failure))
    }

    /// Whether a trusted authority vouches for one of the names.
    pub(super) fn by_authority(
        &self,
        names: &[String],
        (own, rest): (&CertificateDer<'_>, &[CertificateDer<'_>]),
        now: UnixTime,
    ) -> Result<(), Error> {
        self.by_chain(own, rest, &self.roots.roots, names, now)
    }

    /// Whether a chain leads to one of the anchors, and the certificate is for one of the names.
    fn by_chain(
        &self,
        own: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        anchors: &[TrustAnchor<'_>],
        names: &[String],
        now: UnixTime,
    ) -> Result<(), Error> {
        let certificate = EndEntityCert::try_from(own).map_err(|error| told(&error))?;
        certificate
            .verify_for_usage(self.algorithms.all, anchors, rest, now, KeyUsage::server_auth(), None, None)
            .map_err(|error| told(&error))?;
        let fits = |name: &String| {
            ServerName::try_from(name.as_str())
                .is_ok_and(|name| certificate.verify_is_valid_for_subject_name(&name).is_ok())
        };
        if names.iter().any(fits) {
            return Ok(());
        }
        Err(Error::InvalidCertificate(CertificateError::NotValidForName))
    }
}

/// What a chain lacks.
fn told(error: &webpki::Error) -> Error {
    Error::InvalidCertificate(match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotValidYet,
        webpki::Error::UnknownIssuer => CertificateError::UnknownIssuer,
        webpki::Error::BadDer | webpki::Error::BadDerTime => CertificateError::BadEncoding,
        webpki::Error::CaUsedAsEndEntity => CertificateError::UnknownIssuer,
        _ => CertificateError::ApplicationVerificationFailure,
    })
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.asked {
            Asked::Nothing => {}
            Asked::Names(names) => {
                self.by_authority(names, (end_entity, intermediates), now)?;
            }
            Asked::Records(records, names) => {
                self.by_records(records, names, (end_entity, intermediates), now)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
