//! Handshakes that fail, wait, or are no handshakes; and clear text where TLS was asked for.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;

use super::client::{Client, NAME, config, connect, setup, site, trusting};
use super::harness::{Authority, Server, finish, program, wait_for};

/// What is left to read until the server closes.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset ends it, too.
    let _ = stream.read_to_end(&mut rest);
    rest
}

#[test]
fn a_command_behind_starttls_in_one_packet_is_never_heard() {
    let server = site(&Authority::new(), "", "");
    let mut dialogue = server.session();
    dialogue.send(b"STARTTLS\r\nMAIL FROM:<evil@client.example>\r\n");
    let last = dialogue.expect_last("421 4.7.0", NAME);
    assert!(last.says("clear text behind STARTTLS"), "{last}");
    server.wait_for_log("CommandInjection");
}

#[test]
fn a_command_instead_of_a_handshake_is_never_heard() {
    let server = site(&Authority::new(), "", "");
    let mut dialogue = server.session();
    dialogue.ask_for("STARTTLS", "220 2.0.0");
    dialogue.send(b"MAIL FROM:<evil@client.example>\r\nRCPT TO:<alice@example.org>\r\n");
    let last = dialogue.expect_last("421 4.7.0", NAME);
    assert!(last.says("clear text behind STARTTLS"), "{last}");
    server.wait_for_log("CommandInjection");
}

#[test]
fn garbage_instead_of_a_handshake_closes_and_is_logged() {
    let server = site(&Authority::new(), "", "");
    // The heads of records of a handshake, and nothing that could stand in one.
    for garbage in [&b"\x16\x03\x01\x00\x08garbage!"[..], &[0x16; 20_000]] {
        let mut stream = starting(&server);
        // It may have gone away amid the garbage.
        let _ = stream.write_all(garbage);
        let answer = rest(stream);
        assert!(answer.is_empty() || answer[0] == 21, "something else than an alert: {answer:?}");
    }
    wait_for("two failures", || (server.log().matches("TLS handshake failed").count() == 2).then_some(()));
    server.session().ask_for("NOOP", "250");
}

#[test]
fn a_client_that_begins_no_handshake_is_left() {
    let server = site(&Authority::new(), "", "[limits]\nhandshake_timeout = \"1s\"");
    assert!(rest(starting(&server)).is_empty());
    server.wait_for_log("TLS handshake failed: it took too long");
    let mut half = starting(&server);
    half.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    assert!(rest(half).is_empty());
}

#[test]
fn handshakes_wait_for_a_place_and_are_served_then() {
    let authority = Authority::new();
    let server = site(&authority, "", "[limits]\nhandshakes = 1");
    let mut half = starting(&server);
    half.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    std::thread::scope(|scope| {
        let served = scope.spawn(|| Client::start(&server, &Arc::new(trusting(&authority))).send());
        drop(half);
        served.join().unwrap();
    });
}

#[test]
fn old_versions_are_refused_and_the_oldest_can_be_set() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    // A ClientHello of TLS 1.1 with the suites of its time.
    let mut hello = vec![0x03, 0x02];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0x00, 0x2f, 0x00, 0x35, 1, 0, 0, 0]);
    let mut record = vec![0x16, 0x03, 0x01, 0, u8::try_from(hello.len() + 4).unwrap(), 1, 0, 0];
    record.push(u8::try_from(hello.len()).unwrap());
    record.extend(hello);
    let mut stream = starting(&server);
    stream.write_all(&record).unwrap();
    let answer = rest(stream);
    // A fatal alert, and nothing else (RFC 8446 §6).
    assert!(matches!(answer[..], [21, 3, _, 0, 2, 2, _]), "{answer:?}");
    server.wait_for_log("TLS handshake failed");

    let server = site(&authority, "minimum = \"1.3\"", "");
    let old = Arc::new(config(&authority, None, &[&rustls::version::TLS12]));
    assert!(Client::start_for(&server, &old, NAME).is_err());
    Client::start(&server, &Arc::new(trusting(&authority))).send();
}

fn starting(server: &Server) -> TcpStream {
    let mut stream = connect(server.address());
    for (command, end) in
        [("", "Gatepost\r\n"), ("EHLO client.example\r\n", "RCPTMAX=1000\r\n"), ("STARTTLS\r\n", "now\r\n")]
    {
        stream.write_all(command.as_bytes()).unwrap();
        let mut said = Vec::new();
        while !said.ends_with(end.as_bytes()) {
            let mut octet = [0];
            stream.read_exact(&mut octet).unwrap();
            said.extend(octet);
        }
    }
    stream
}

#[test]
fn only_the_cipher_suites_that_are_listed_are_spoken() {
    let authority = Authority::new();
    let listed = "ciphers = [\"TLS_CHACHA20_POLY1305_SHA256\", \"TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256\"]";
    let server = site(&authority, listed, "");
    for (versions, expected) in [
        (&[&rustls::version::TLS13], "TLS13_CHACHA20_POLY1305_SHA256"),
        (&[&rustls::version::TLS12], "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    ] {
        let client = Client::start(&server, &Arc::new(config(&authority, None, versions)));
        let suite = client.connection().negotiated_cipher_suite().unwrap().suite();
        assert_eq!(suite.as_str(), Some(expected));
    }
}

#[test]
fn tls_can_be_off_or_required() {
    let authority = Authority::new();
    let server = site(&authority, "mx = \"off\"", "");
    server.session().ask_for("STARTTLS", "502 5.5.1");
    let server = site(&authority, "mx = \"required\"", "");
    server.session().ask_for("MAIL FROM:<bob@client.example>", "530 5.7.0");
    Client::start(&server, &Arc::new(trusting(&authority))).send();
}

#[test]
fn submissions_are_secured_from_the_first_octet_on() {
    let authority = Authority::new();
    let mut setup = setup(&[("mx", &authority.certify(NAME, 2100))], "", "");
    setup.submissions = true;
    let server = Server::start(setup);
    let stream = connect(server.submissions());
    let mut client = Client::over(stream, &Arc::new(trusting(&authority)), NAME).unwrap();
    assert!(client.reply().starts_with("220 mx.example.org"));
    let offered = client.ask_for("EHLO client.example", "250");
    assert!(!offered.contains("STARTTLS"), "{offered}");
    client.ask_for("MAIL FROM:<alice@example.org>", "530 5.7.0");
    assert!(client.quit(), "no close_notify");
    let mut stream = connect(server.submissions());
    stream.write_all(b"EHLO client.example\r\n").unwrap();
    let answer = rest(stream);
    assert!(answer.is_empty(), "{answer:?}");
    server.wait_for_log("TLS handshake failed: no TLS, but clear text came");
}

#[test]
fn openssl_gets_its_close_notify_and_resumes() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    let session = server.folder().join("session");
    let ca = server.folder().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let run = |option: &str| {
        let mut command = program("openssl");
        command.args(["s_client", "-connect", &server.address().to_string(), "-starttls", "smtp", "-crlf"]);
        command.args([
            "-servername",
            NAME,
            "-verify_hostname",
            NAME,
            "-verify_return_error",
            "-ign_eof",
            "-tls1_2",
        ]);
        command.arg("-CAfile").arg(&ca).arg(option).arg(&session);
        finish(&mut command, b"EHLO client.example\nQUIT\n")
    };
    let first = run("-sess_out");
    assert!(first.contains("New, TLSv1.2") && first.contains("Verify return code: 0 (ok)"), "{first}");
    assert!(first.contains("221 2.0.0") && first.contains("closed"), "{first}");
    let second = run("-sess_in");
    assert!(second.contains("Reused, TLSv1.2"), "{second}");
}
