//! TLSA records and the certificates that they name (RFC 6698, RFC 7671, as RFC 7672 uses them for SMTP).

use std::fmt::Write as _;

use aws_lc_rs::digest;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use webpki::EndEntityCert;

/// Whether SMTP can use the record: the usages DANE-TA and DANE-EE alone (RFC 7672 §3.1.3), known selectors and
/// matching types, and a digest as long as it must be.
#[must_use]
pub(crate) fn is_usable(record: &TLSA) -> bool {
    let octets = match record.matching {
        Matching::Raw => None,
        Matching::Sha256 => Some(32),
        Matching::Sha512 => Some(64),
        _ => return false,
    };
    matches!(record.cert_usage, CertUsage::DaneTa | CertUsage::DaneEe)
        && matches!(record.selector, Selector::Full | Selector::Spki)
        && octets.map_or(!record.cert_data.is_empty(), |octets| record.cert_data.len() == octets)
}

/// The record as its zone has it: `3 1 1 8cb0fc6c…` (RFC 8460 §4.4 reports it so).
#[must_use]
pub(crate) fn show(record: &TLSA) -> String {
    let mut text = format!(
        "{} {} {} ",
        u8::from(record.cert_usage),
        u8::from(record.selector),
        u8::from(record.matching)
    );
    for octet in &record.cert_data {
        // Writing to a string cannot fail.
        let _ = write!(text, "{octet:02x}");
    }
    text
}

/// The record `3 1 1` of a certificate: it names the key, and stays right as long as that does.
pub(crate) fn record_of(certificate: &CertificateDer<'_>) -> Option<TLSA> {
    let key = EndEntityCert::try_from(certificate).ok()?.subject_public_key_info();
    let digest = digest::digest(&digest::SHA256, &key).as_ref().to_vec();
    Some(TLSA::new(CertUsage::DaneEe, Selector::Spki, Matching::Sha256, digest))
}

/// Whether the record names the first certificate of the chain, or an authority among the others.
pub(crate) fn names(record: &TLSA, chain: &[CertificateDer<'_>]) -> bool {
    let Some((own, rest)) = chain.split_first() else { return false };
    matches_end_entity(record, own) || !authorities(record, own, rest).is_empty()
}

/// Whether the record names the server's own certificate.
pub(super) fn matches_end_entity(record: &TLSA, certificate: &CertificateDer<'_>) -> bool {
    record.cert_usage == CertUsage::DaneEe && is_usable(record) && matches(record, certificate)
}

/// The authorities that the record names: among the certificates of the chain, or in the record itself, which may hold a
/// certificate or, RFC 7671 §5.2, a bare key; that may have issued any certificate of the chain.
pub(super) fn authorities(
    record: &TLSA,
    own: &CertificateDer<'_>,
    rest: &[CertificateDer<'_>],
) -> Vec<TrustAnchor<'static>> {
    if record.cert_usage != CertUsage::DaneTa || !is_usable(record) {
        return Vec::new();
    }
    let anchor = |certificate: &CertificateDer<'_>| {
        Some(webpki::anchor_from_trusted_cert(certificate).ok()?.to_owned())
    };
    let in_chain = rest.iter().filter(|certificate| matches(record, certificate));
    let mut found: Vec<TrustAnchor<'static>> = in_chain.filter_map(anchor).collect();
    match (record.selector, record.matching) {
        (Selector::Full, Matching::Raw) => {
            found.extend(anchor(&CertificateDer::from(record.cert_data.as_slice())))
        }
        (Selector::Spki, Matching::Raw) => {
            let key = contents(&record.cert_data);
            let issued = std::iter::once(own).chain(rest);
            let by = |certificate| Some(EndEntityCert::try_from(certificate).ok()?.issuer().to_vec());
            found.extend(issued.filter_map(by).zip(std::iter::repeat(key)).filter_map(|(issuer, key)| {
                Some(TrustAnchor {
                    subject: issuer.into(),
                    subject_public_key_info: key?.to_vec().into(),
                    name_constraints: None,
                })
            }));
        }
        _ => {}
    }
    found
}

/// What stands in a SEQUENCE of DER that is the whole of `octets` (X.690 §8.1).
fn contents(octets: &[u8]) -> Option<&[u8]> {
    let (&[tag, first], rest) = octets.split_first_chunk::<2>()?;
    if tag != 0x30 {
        return None;
    }
    let (length, rest) = match first {
        ..=0x7f => (usize::from(first), rest),
        0x81 => rest.split_first().map(|(length, rest)| (usize::from(*length), rest))?,
        0x82 => {
            let (length, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_be_bytes(*length)), rest)
        }
        // No key is longer.
        _ => return None,
    };
    (rest.len() == length).then_some(rest)
}

fn matches(record: &TLSA, certificate: &CertificateDer<'_>) -> bool {
    let key;
    let selected: &[u8] = match record.selector {
        Selector::Full => certificate,
        Selector::Spki => {
            let Ok(parsed) = EndEntityCert::try_from(certificate) else { return false };
            key = parsed.subject_public_key_info();
            &key
        }
        _ => return false,
    };
    match record.matching {
        Matching::Raw => selected == record.cert_data,
        Matching::Sha256 => digest::digest(&digest::SHA256, selected).as_ref() == record.cert_data,
        Matching::Sha512 => digest::digest(&digest::SHA512, selected).as_ref() == record.cert_data,
        _ => false,
    }
}
