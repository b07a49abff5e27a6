//! Certificates against what is asked of them: handshakes in memory, with authorities made for it.

use std::io::{Read as _, Write as _};

use hickory_resolver::proto::rr::rdata::TLSA;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConnection, ServerConfig, ServerConnection};

use super::*;

const NAME: &str = "mx.example.org";

/// A server's certificate below an authority of its own.
struct Chain {
    own: CertificateDer<'static>,
    key: Vec<u8>,
    authority: CertificateDer<'static>,
}

fn chain(name: &str, until_year: i32) -> Chain {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "an authority");
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap().der().clone();
    let issuer = Issuer::new(params, authority_key);
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until_year, 1, 1));
    let key = KeyPair::generate().unwrap();
    let own = params.signed_by(&key, &issuer).unwrap().der().clone();
    Chain { own, key: key.serialize_der(), authority }
}

fn record(usage: u8, selector: u8, matching: u8, content: &[u8]) -> TLSA {
    TLSA::new(usage.into(), selector.into(), matching.into(), content.to_vec())
}

/// A record for the certificate.
fn record_for(usage: u8, selector: u8, matching: u8, certificate: &CertificateDer<'_>) -> TLSA {
    let key;
    let selected: &[u8] = if selector == 0 {
        certificate
    } else {
        key = webpki::EndEntityCert::try_from(certificate).unwrap().subject_public_key_info();
        &key
    };
    let digest = |algorithm| ::aws_lc_rs::digest::digest(algorithm, selected).as_ref().to_vec();
    let content = match matching {
        0 => selected.to_vec(),
        1 => digest(&::aws_lc_rs::digest::SHA256),
        _ => digest(&::aws_lc_rs::digest::SHA512),
    };
    record(usage, selector, matching, &content)
}

fn names(name: &str) -> Arc<[String]> {
    Arc::from([name.to_owned()])
}

/// A handshake with a server that has this chain.
fn shake(chain: &Chain, asked: Asked, trusts: bool) -> Result<(), TlsFailure> {
    let key = PrivateKeyDer::try_from(chain.key.clone()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![chain.own.clone(), chain.authority.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    if trusts {
        roots.add(chain.authority.clone()).unwrap();
    }
    let client = client(asked, &Authorities(Arc::new(roots))).unwrap();
    let mut client = ClientConnection::new(client, ServerName::try_from(NAME).unwrap()).unwrap();
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let mut pipe = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        client.write_tls(&mut pipe).unwrap();
        server.read_tls(&mut pipe.as_slice()).unwrap();
        pipe.clear();
        server.process_new_packets().unwrap();
        server.write_tls(&mut pipe).unwrap();
        client.read_tls(&mut pipe.as_slice()).unwrap();
        pipe.clear();
        if let Err(error) = client.process_new_packets() {
            return Err(failure(&io::Error::other(error)));
        }
    }
    client.writer().write_all(b"x").unwrap();
    client.write_tls(&mut pipe).unwrap();
    server.read_tls(&mut pipe.as_slice()).unwrap();
    server.process_new_packets().unwrap();
    let mut heard = [0; 1];
    server.reader().read_exact(&mut heard).unwrap();
    Ok(())
}

fn by_records(chain: &Chain, records: Vec<TLSA>) -> Result<(), TlsFailure> {
    shake(chain, Asked::Records(records.into(), names(NAME)), false)
}

#[test]
fn a_certificate_of_anybody_will_do_when_nothing_is_asked() {
    assert_eq!(shake(&chain("elsewhere.example", 2021), Asked::Nothing, false), Ok(()));
}

#[test]
fn an_authority_vouches_for_a_name_and_a_time() {
    let asked = || Asked::Names(names(NAME));
    assert_eq!(shake(&chain(NAME, 2100), asked(), true), Ok(()));
    assert_eq!(shake(&chain("*.example.org", 2100), asked(), true), Ok(()));
    assert_eq!(shake(&chain(NAME, 2100), asked(), false), Err(TlsFailure::CertificateNotTrusted));
    assert_eq!(shake(&chain(NAME, 2021), asked(), true), Err(TlsFailure::CertificateExpired));
    let other = chain("other.example.org", 2100);
    assert_eq!(shake(&other, asked(), true), Err(TlsFailure::CertificateHostMismatch));
    let either = Asked::Names(Arc::from([NAME.to_owned(), "other.example.org".to_owned()]));
    assert_eq!(shake(&other, either, true), Ok(()));
}

#[test]
fn an_error_is_of_a_certificate_when_one_led_to_it_not_when_a_name_has_the_word() {
    let own = || Error::InvalidCertificate(CertificateError::UnknownIssuer);
    assert!(is_certificates(&own()) && is_certificates(&io::Error::other(own())));
    assert!(is_certificates(&io::Error::other(io::Error::other(own()))), "however deep it lies");
    let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "mta-sts.certificate.example");
    assert!(!is_certificates(&refused) && !is_certificates(&io::Error::from_raw_os_error(111)));
    assert!(!is_certificates(&Error::HandshakeNotComplete));
}

#[test]
fn a_record_names_the_servers_own_certificate_whatever_stands_in_it() {
    let chain = chain("elsewhere.example", 2021);
    for selector in 0..2 {
        for matching in 0..3 {
            let right = record_for(3, selector, matching, &chain.own);
            assert!(is_usable(&right));
            assert_eq!(by_records(&chain, vec![right]), Ok(()), "3 {selector} {matching}");
            let wrong = record_for(3, selector, matching, &chain.authority);
            let outcome = by_records(&chain, vec![wrong]);
            assert_eq!(outcome, Err(TlsFailure::ValidationFailure), "3 {selector} {matching}");
        }
    }
}

#[test]
fn a_record_names_an_authority_and_then_name_and_time_count() {
    for selector in 0..2 {
        for matching in 0..3 {
            let good = chain(NAME, 2100);
            let of = |chain: &Chain| vec![record_for(2, selector, matching, &chain.authority)];
            assert_eq!(by_records(&good, of(&good)), Ok(()), "2 {selector} {matching}");
            let expired = chain(NAME, 2021);
            assert_eq!(by_records(&expired, of(&expired)), Err(TlsFailure::CertificateExpired));
            let other = chain("other.example.org", 2100);
            assert_eq!(by_records(&other, of(&other)), Err(TlsFailure::CertificateHostMismatch));
            assert_eq!(by_records(&good, of(&other)), Err(TlsFailure::ValidationFailure));
            let own = vec![record_for(2, selector, matching, &good.own)];
            assert_ne!(by_records(&good, own), Ok(()), "the server's own certificate is no authority");
        }
    }
}

#[test]
fn an_authority_need_not_be_sent_when_the_record_holds_its_certificate_or_its_key() {
    let alone = |name, until| {
        let chain = chain(name, until);
        let records: Vec<Vec<TLSA>> =
            (0..2).map(|selector| vec![record_for(2, selector, 0, &chain.authority)]).collect();
        (Chain { authority: chain.own.clone(), ..chain }, records)
    };
    let (good, records) = alone(NAME, 2100);
    let (expired, of_expired) = alone(NAME, 2021);
    let (other, of_other) = alone("other.example.org", 2100);
    for selector in 0..2 {
        assert_eq!(by_records(&good, records[selector].clone()), Ok(()), "2 {selector} 0");
        let outcome = by_records(&expired, of_expired[selector].clone());
        assert_eq!(outcome, Err(TlsFailure::CertificateExpired));
        let outcome = by_records(&other, of_other[selector].clone());
        assert_eq!(outcome, Err(TlsFailure::CertificateHostMismatch));
        assert_ne!(by_records(&good, of_other[selector].clone()), Ok(()), "the key of somebody else");
    }
    let mut cut = records[1][0].cert_data.clone();
    cut.pop();
    assert_ne!(by_records(&good, vec![record(2, 1, 0, &cut)]), Ok(()));
    let digest = record_for(2, 1, 1, &chain(NAME, 2100).authority);
    assert_ne!(by_records(&good, vec![digest]), Ok(()), "a digest names what was not sent");
}

#[test]
fn what_is_only_tested_is_remarked_on() {
    let remark = |chain: &Chain, names: Arc<[String]>, trusts: bool| {
        let mut roots = RootCertStore::empty();
        if trusts {
            roots.add(chain.authority.clone()).unwrap();
        }
        let certificates = [chain.own.clone(), chain.authority.clone()];
        remark(&names, &Authorities(Arc::new(roots)), &certificates, crate::clock::wall())
    };
    let good = chain(NAME, 2100);
    assert_eq!(remark(&good, names(NAME), true), None);
    assert_eq!(remark(&good, names(NAME), false), Some(TlsFailure::CertificateNotTrusted));
    assert_eq!(remark(&good, names("b.example"), true), Some(TlsFailure::CertificateHostMismatch));
    assert_eq!(remark(&chain(NAME, 2021), names(NAME), true), Some(TlsFailure::CertificateExpired));
    assert_eq!(
        remark(&good, Arc::from([]), true),
        Some(TlsFailure::ValidationFailure),
        "no host of the policy"
    );
}

#[test]
fn one_record_of_several_is_enough_and_none_is_not() {
    let chain = chain(NAME, 2100);
    let wrong = record_for(3, 1, 1, &chain.authority);
    let right = record_for(3, 1, 1, &chain.own);
    assert_eq!(by_records(&chain, vec![wrong.clone(), right]), Ok(()));
    assert_eq!(by_records(&chain, vec![wrong]), Err(TlsFailure::ValidationFailure));
    assert_eq!(by_records(&chain, Vec::new()), Err(TlsFailure::ValidationFailure));
}

#[test]
fn records_that_smtp_cannot_use() {
    let sha256 = [7; 32];
    assert!(is_usable(&record(3, 1, 1, &sha256)));
    assert!(is_usable(&record(2, 0, 0, b"a certificate")));
    for unusable in [
        record(0, 0, 1, &sha256),
        record(1, 1, 1, &sha256),
        record(4, 1, 1, &sha256),
        record(255, 1, 1, &sha256),
        record(3, 2, 1, &sha256),
        record(3, 1, 3, &sha256),
        record(3, 1, 1, &sha256[1..]),
        record(3, 1, 2, &sha256),
        record(3, 1, 0, b""),
    ] {
        assert!(!is_usable(&unusable), "{}", show(&unusable));
    }
    assert_eq!(show(&record(3, 1, 1, &[0x8c, 0x0f])), "3 1 1 8c0f");
}
