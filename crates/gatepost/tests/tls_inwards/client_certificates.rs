//! Certificates of clients are facts for the policy, and break no session.

use std::sync::Arc;

use super::client::{Client, NAME, setup, showing, trusting};
use super::harness::{Authority, Certificate, Server};

const POLICY: &str = "at mail {
    rule vouched-for when tls.client_certificate is present and tls.client_fingerprint is present
        reject 550 5.7.1 \"{tls.client_certificate} verified {tls.client_fingerprint}\"
    rule shown when tls.client_verdict is present and tls.client_fingerprint is present
        reject 550 5.7.1 \"somebody {tls.client_verdict} {tls.client_fingerprint}\"
    rule not-shown when tls.client_verdict is missing
        reject 550 5.7.1 \"nothing was shown\"
}
";

fn server(authority: &Authority, networks: &str, file: &str) -> Server {
    let tls = format!("client_certificates = [{networks}]\n{file}");
    let certificate = authority.certify(NAME, 2100);
    let mut setup = setup(&[("mx", &certificate)], &tls, "[policy]\nfile = \"site.policy\"");
    setup.files.push(("site.policy", POLICY.to_owned()));
    setup.files.push(("clients.pem", authority.pem().to_owned()));
    Server::start(setup)
}

fn said(server: &Server, config: rustls::ClientConfig) -> String {
    let mut client = Client::start(server, &Arc::new(config));
    client.ask_for("EHLO client.example", "250");
    client.ask_for("MAIL FROM:<bob@client.example>", "550")
}

fn fingerprint(certificate: &Certificate) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate.der());
    digest.as_ref().iter().map(|octet| format!("{octet:02x}")).collect()
}

#[test]
fn what_a_client_shows_is_judged_and_breaks_nothing() {
    let authority = Authority::new();
    let server = server(&authority, "\"127.0.0.1\"", "client_ca_file = \"clients.pem\"");
    let good = authority.certify_client("alice", 2100);
    let shown = said(&server, showing(&authority, &good));
    assert!(shown.contains("CN=alice verified"), "{shown}");
    assert!(shown.contains(&fingerprint(&good)), "{shown}");
    for (certificate, verdict) in [
        (authority.certify_client("alice", 2021), "expired"),
        (Authority::new().certify_client("alice", 2100), "untrusted"),
        (authority.certify_for(&["mx.client.example"], (2020, 2100)), "verified"),
    ] {
        let shown = said(&server, showing(&authority, &certificate));
        assert!(shown.contains(&format!(" {verdict} ")), "{verdict}: {shown}");
        assert!(shown.contains(&fingerprint(&certificate)), "{verdict}: {shown}");
        assert!(!shown.contains("alice"), "no authority vouches for that: {shown}");
    }
    assert!(said(&server, trusting(&authority)).contains("nothing was shown"));
}

#[test]
fn only_clients_of_the_networks_are_asked() {
    let authority = Authority::new();
    let server = server(&authority, "\"192.0.2.0/24\"", "");
    let certificate = authority.certify_client("alice", 2100);
    assert!(said(&server, showing(&authority, &certificate)).contains("nothing was shown"));
}
