//! What a site asks of TLS: `tls.default`, `[tls.domain]`, and "dane" for a smart host.

use std::fs;

use super::far::{Far, HOST, send};
use super::harness::{Authority, Peer};

#[test]
fn a_domain_may_be_spared_what_it_asks_itself() {
    let far = Far::new().signed();
    far.add_tlsa(HOST, Authority::new().certify(HOST, 2100).record());
    let server = far.site("[tls.domain]\n\"far.example\" = \"opportunistic\"");
    send(&server);
    assert!(far.wait_for_mail().is_encrypted);
    assert_eq!(far.dns.asked(&format!("TLSA {}", far.tlsa_name(HOST))), 0);

    let far = Far::new();
    let server = far.site("[tls.domain]\n\"*.example\" = \"off\"");
    send(&server);
    assert!(!far.wait_for_mail().is_encrypted);
}

#[test]
fn verified_hosts_have_a_certificate_of_a_trusted_authority_for_their_name() {
    for (name, until, trusted, words) in [
        (HOST, 2100, true, None),
        (HOST, 2100, false, Some("TLS handshake failed")),
        (HOST, 2021, true, Some("TLS handshake failed")),
        ("far.example", 2100, true, Some("TLS handshake failed")),
    ] {
        let far = Far::with(name, until);
        let ca_file = if trusted { "ca_file = \"ca.pem\"\n" } else { "" };
        let server = far.site(&format!("{ca_file}[tls.domain]\n\"far.example\" = \"verified\""));
        send(&server);
        match words {
            None => assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some(HOST)),
            Some(words) => far.assert_deferred(&server, words),
        }
    }
}

#[test]
fn authorities_that_are_renewed_hold_without_a_reload() {
    let far = Far::new();
    let config = "ca_file = \"ca.pem\"\n[tls.domain]\n\"far.example\" = \"verified\"";
    let ca = far.authority.pem();
    let server = far.site_trusting(Authority::new().pem(), config);
    send(&server);
    far.assert_deferred(&server, "TLS handshake failed");
    let file = server.folder().join("ca.pem");
    fs::remove_file(&file).unwrap();
    server.wait_for_log("are not reloaded");
    fs::write(&file, ca).unwrap();
    server.wait_for_log("ca.pem` reloaded");
    assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some(HOST));
}

#[test]
fn dane_alone_is_met_by_proven_records_alone() {
    let only_dane = "[tls.domain]\n\"far.example\" = \"dane\"";
    let far = Far::new().signed();
    let server = far.site(only_dane);
    send(&server);
    far.assert_deferred(
        &server,
        "mx.far.example is left out: it has no TLSA record that is proven and usable",
    );
    far.add_tlsa(HOST, far.certificate.record());
    assert!(far.wait_for_mail().is_encrypted);

    let far = Far::new().signed();
    far.dns.leave_unsigned("far.example");
    far.add_tlsa(HOST, far.certificate.record());
    let server = far.site(only_dane);
    send(&server);
    far.assert_deferred(&server, "it has no TLSA record that is proven and usable");
}

#[test]
fn the_default_is_asked_of_those_who_ask_nothing() {
    let far = Far::new();
    let plain = Peer::start(&["250 2.0.0 taken"]);
    let relay = format!("mx = true\nmx_port = {}\nmx_loopback = true", plain.address().port());
    let server = far.site_with(&relay, "default = \"encrypted\"");
    send(&server);
    far.assert_deferred(&server, "does not offer STARTTLS");
    assert!(plain.seen().messages.is_empty());
}

#[test]
fn a_smart_host_may_be_met_by_its_records_too() {
    let far = Far::new().signed();
    let relay = format!("smart_host = \"{HOST}:{}\"\ntls = \"dane\"", far.peer.port());
    let server = far.site_with(&relay, "");
    send(&server);
    far.assert_deferred(
        &server,
        "mx.far.example is left out: it has no TLSA record that is proven and usable",
    );
    far.add_tlsa(HOST, far.certificate.record());
    assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some(HOST));
}
