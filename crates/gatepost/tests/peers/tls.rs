//! TLS with Postfix: by anybody's certificate, and by the one that DNSSEC names (RFC 7672).

use std::path::Path;

use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::TLSA;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::harness::{DnsServer, Fault, Server, Setup, nowhere};
use super::jail::Jail;

/// The records of peer.example, whose one host is on this machine.
const RECORDS: &str = "peer.example MX 10 mx.peer.example\nmx.peer.example A 127.0.0.1";

/// A site that finds `peer` by `dns`, which it validates if there are trust anchors.
fn site(dns: &DnsServer, peer: &Jail, trust_anchors: Option<String>) -> Server {
    let validating =
        if trust_anchors.is_some() { "dnssec = true\ntrust_anchors = \"root.key\"\n" } else { "" };
    let config = format!(
        "hostname = \"out.client.example\"\n{}{validating}[relay]\nmx = true\nmx_port = {}\nmx_loopback = true\n\
         [queue]\nretry_first = \"1s\"\n[domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n",
        dns.config(),
        peer.address().port()
    );
    let files = trust_anchors.map(|anchors| ("root.key", anchors)).into_iter().collect();
    Server::start(Setup { config: Some(config), files, ..Setup::default() })
}

fn nobody() -> Jail {
    Jail::start("postfix", nowhere())
}

/// The TLSA record of the peer's certificate.
fn record(peer: &Jail) -> TLSA {
    let file: &Path = &peer.exchange().join("certificate.pem");
    let certificate = CertificateDer::from_pem_file(file).unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &certificate);
    TLSA::new(3.into(), 0.into(), 1.into(), digest.as_ref().to_vec())
}

fn tlsa(dns: &DnsServer, peer: &Jail, record: TLSA) {
    dns.add_record(&format!("_{}._tcp.mx.peer.example", peer.address().port()), RData::TLSA(record));
}

fn send(server: &Server) {
    server.session().deliver("alice@peer.example", b"Subject: x\r\n\r\nsecret\r\n");
}

#[test]
fn anybodys_certificate_will_do_where_nothing_is_known() {
    let (dns, peer) = (DnsServer::with(RECORDS), nobody());
    let server = site(&dns, &peer, None);
    send(&server);
    assert!(peer.wait_for_mail("alice").contains("using TLSv1.3"));
}

#[test]
fn the_certificate_that_dnssec_names_is_met() {
    let (dns, peer) = (DnsServer::with(RECORDS), nobody());
    tlsa(&dns, &peer, record(&peer));
    let server = site(&dns, &peer, Some(dns.sign()));
    send(&server);
    assert!(peer.wait_for_mail("alice").contains("using TLSv1.3"));
    server.wait_for_empty_queue();
}

#[test]
fn another_certificate_gets_no_mail() {
    let (dns, peer) = (DnsServer::with(RECORDS), nobody());
    let wrong = TLSA::new(3.into(), 0.into(), 1.into(), vec![7; 32]);
    tlsa(&dns, &peer, wrong);
    let server = site(&dns, &peer, Some(dns.sign()));
    send(&server);
    server.wait_for_line(&["outcome=\"deferred\"", "mx.peer.example"]);
    assert!(!peer.exchange().join("mail/alice/new").exists(), "mail went to somebody else");
}

#[test]
fn a_record_that_cannot_be_found_out_defers() {
    let (dns, peer) = (DnsServer::with(RECORDS), nobody());
    tlsa(&dns, &peer, record(&peer));
    let name = format!("_{}._tcp.mx.peer.example", peer.address().port());
    let anchors = dns.sign();
    dns.spoil(&name, Fault::ServerFailure);
    let server = site(&dns, &peer, Some(anchors));
    send(&server);
    server.wait_for_log("cannot look up its TLSA records");
    assert!(!peer.exchange().join("mail/alice/new").exists(), "mail went without what DNSSEC asks for");
    dns.mend();
    assert!(peer.wait_for_mail("alice").contains("using TLSv1.3"));
}
