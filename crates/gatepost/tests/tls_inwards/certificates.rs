//! Certificates as clients are shown them: by name, anew when the files change, and over sessions that are resumed.

use std::fs;
use std::sync::Arc;

use rustix::process::Signal;

use super::client::{Client, NAME, config, config_with, setup, site, trusting};
use super::harness::{Authority, Certificate, Server, wait_for};

#[test]
fn a_message_comes_over_starttls_and_its_trace_says_so() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    let mut client = Client::start(&server, &Arc::new(trusting(&authority)));
    assert!(client.ask("MAIL FROM:<bob@client.example>").starts_with("503 5.5.1 send EHLO"));
    let offered = client.ask_for("EHLO client.example", "250");
    assert!(!offered.contains("STARTTLS") && offered.contains("REQUIRETLS"), "{offered}");
    assert!(client.ask("STARTTLS").starts_with("503 5.5.1 TLS is active already"));
    client.send();
    assert!(client.quit(), "no close_notify");
    let letter = server.maildir("example.org", "alice").wait_for_one();
    for part in ["with ESMTPS (TLSv1.3) id ", "for <alice@example.org> tls TLS_AES_256_GCM_SHA384;"] {
        assert!(letter.received.contains(part), "{part:?} is missing: {}", letter.received);
    }
    server.wait_for_log("tls=\"TLSv1.3\"");
}

#[test]
fn the_certificate_goes_by_the_name_that_is_asked_for() {
    let authority = Authority::new();
    let first = authority.certify(NAME, 2100);
    let second = authority.certify_for(&["mail.example.org", "*.shop.example.org"], (2020, 2100));
    let server = Server::start(setup(&[("first", &first), ("second", &second)], "", ""));
    let client = Arc::new(trusting(&authority));
    for (name, expected) in [
        (NAME, &first),
        ("mail.example.org", &second),
        ("MAIL.example.org", &second),
        ("a.shop.example.org", &second),
    ] {
        let session = Client::start_for(&server, &client, name).unwrap();
        assert_eq!(session.shown(), *expected.der(), "{name}");
    }
    // Whoever asks for another name, or for none, is shown the first, and may not like it.
    for name in ["a.b.shop.example.org", "other.example", "127.0.0.1"] {
        let failure = Client::start_for(&server, &client, name).err().map(|error| error.to_string());
        assert!(
            failure.as_ref().is_some_and(|why| why.contains("not valid for name")),
            "{name}: {failure:?}"
        );
    }
}

#[test]
fn of_two_for_a_name_the_client_is_shown_one_that_it_can_use() {
    let authority = Authority::new();
    let (first, second) = (authority.certify(NAME, 2100), authority.certify_rsa(NAME));
    let server = Server::start(setup(&[("first", &first), ("second", &second)], "", ""));
    assert_eq!(Client::start(&server, &Arc::new(trusting(&authority))).shown(), *first.der());
    // One of the time before TLS 1.3, which knows RSA alone in its cipher suites.
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.cipher_suites.retain(|suite| suite.suite().as_str().is_some_and(|name| name.contains("_RSA_")));
    let old = config_with(provider, &authority, None, &[&rustls::version::TLS12]);
    assert_eq!(Client::start(&server, &Arc::new(old)).shown(), *second.der());
}

fn renew(server: &Server, certificate: &Certificate) {
    // As certbot does it: another file in the place of the old one.
    for (name, text) in [("mx.pem", certificate.chain_pem()), ("mx.key", certificate.key_pem())] {
        let new = server.folder().join("new");
        fs::write(&new, text).unwrap();
        fs::rename(new, server.folder().join(name)).unwrap();
    }
}

#[test]
fn a_renewed_certificate_is_shown_without_a_word_and_a_broken_one_never() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    let client = Arc::new(trusting(&authority));
    let mut open = Client::start(&server, &client);
    let renewed = authority.certify(NAME, 2101);
    renew(&server, &renewed);
    server.wait_for_log("certificates reloaded");
    wait_for("the renewed certificate", || {
        (Client::start(&server, &Arc::new(trusting(&authority))).shown() == *renewed.der()).then_some(())
    });
    open.ask_for("NOOP", "250");

    fs::write(server.folder().join("mx.key"), authority.certify(NAME, 2102).key_pem()).unwrap();
    server.wait_for_log("certificates not reloaded, the old one stays in force");
    server.wait_for_log("is not that of the certificate");
    assert_eq!(Client::start(&server, &Arc::new(trusting(&authority))).shown(), *renewed.der());
    server.signal(Signal::HUP);
    server.wait_for_log("configuration not reloaded, the old one stays in force");
    assert_eq!(Client::start(&server, &Arc::new(trusting(&authority))).shown(), *renewed.der());

    let last = authority.certify(NAME, 2103);
    renew(&server, &last);
    wait_for("the last certificate", || {
        (Client::start(&server, &Arc::new(trusting(&authority))).shown() == *last.der()).then_some(())
    });
    open.ask_for("NOOP", "250");
    open.send();
}

#[test]
fn sessions_are_resumed_also_over_a_reload() {
    for versions in [&[&rustls::version::TLS13], &[&rustls::version::TLS12]] {
        let authority = Authority::new();
        let server = site(&authority, "", "");
        let client = Arc::new(config(&authority, None, versions));
        let mut first = Client::start(&server, &client);
        assert!(!first.is_resumed());
        first.send();
        assert!(first.quit());
        let mut second = Client::start(&server, &client);
        assert!(second.is_resumed(), "{versions:?}");
        second.send();
        assert!(second.quit());
        server.signal(Signal::HUP);
        server.wait_for_log("configuration reloaded");
        let mut third = Client::start(&server, &client);
        assert!(third.is_resumed(), "{versions:?}, behind a reload");
        third.send();
    }
}
