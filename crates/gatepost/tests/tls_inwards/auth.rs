//! AUTH over TLS: what is bound to the connection, and logging in by a client certificate.

use std::fs;
use std::sync::Arc;

use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;

use super::client::{Client, NAME, config, connect, setup, showing, trusting};
use super::harness::{Authority, Server, finish, program};

const PASSWORD: &str = "correct horse";

/// A site with the user alice, where users submit mail under TLS; what `[tls]` and `[auth]` say beside.
fn site(authority: &Authority, tls: &str, auth: &str) -> Server {
    let certificate = authority.certify_for(&[NAME, "localhost"], (2020, 2100));
    let mut setup = setup(&[("mx", &certificate)], tls, auth);
    setup.submissions = true;
    setup.files.push(("clients.pem", authority.pem().to_owned()));
    let server = Server::start(setup);
    let hash = finish(program("openssl").args(["passwd", "-6", PASSWORD]), b"");
    fs::write(server.folder().join("state/users"), format!("alice@example.org:{hash}")).unwrap();
    server
}

fn begin(server: &Server, config: ClientConfig) -> (Client, String) {
    let mut client = Client::over(connect(server.submissions()), &Arc::new(config), NAME).unwrap();
    client.reply();
    let offered = client.ask_for("EHLO client.example", "250");
    let offered = offered.lines().find_map(|line| line.get(4..)?.strip_prefix("AUTH ")).unwrap_or_default();
    let offered = offered.to_owned();
    (client, offered)
}

/// Logs in with PLAIN, whereupon the server has what SCRAM goes by.
fn log_in(server: &Server, authority: &Authority) {
    let (mut client, _) = begin(server, trusting(authority));
    let response = STANDARD.encode(format!("\0alice@example.org\0{PASSWORD}"));
    client.ask_for(&format!("AUTH PLAIN {response}"), "235 2.7.0");
}

fn sign(key: &[u8], text: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
}

/// A login with SCRAM-SHA-256-PLUS that is bound to these octets (RFC 5802, RFC 7677); what the server says in the end.
fn bound_login(client: &mut Client, binding: &[u8]) -> String {
    let decoded = |reply: &str| String::from_utf8(STANDARD.decode(reply[4..].trim_end()).unwrap()).unwrap();
    let (head, bare) = ("p=tls-exporter,,", "n=alice@example.org,r=nonce");
    let first = client
        .ask_for(&format!("AUTH SCRAM-SHA-256-PLUS {}", STANDARD.encode(format!("{head}{bare}"))), "334");
    let first = decoded(&first);
    let part = |name: &str| first.split(',').find_map(|part| part.strip_prefix(name)).unwrap();
    let (nonce, salt) = (part("r="), STANDARD.decode(part("s=")).unwrap());
    let iterations = part("i=").parse().unwrap();
    let mut salted = [0; 32];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, PASSWORD.as_bytes(), &mut salted);
    let client_key = sign(&salted, b"Client Key");
    let stored = digest::digest(&digest::SHA256, &client_key);
    let bare_end = format!("c={},r={nonce}", STANDARD.encode([head.as_bytes(), binding].concat()));
    let signature = sign(stored.as_ref(), format!("{bare},{first},{bare_end}").as_bytes());
    let proof: Vec<u8> = client_key.iter().zip(signature).map(|(key, octet)| key ^ octet).collect();
    let answer = format!("{bare_end},p={}", STANDARD.encode(proof));
    let said = client.ask(&STANDARD.encode(answer));
    // The server proves itself, too, and hears an empty line.
    if said.starts_with("334") { client.ask("") } else { said }
}

fn exporter(client: &Client) -> [u8; 32] {
    let connection = client.connection();
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).unwrap()
}

#[test]
fn scram_is_bound_to_the_connection() {
    let authority = Authority::new();
    let server = site(&authority, "", "[auth]\nfailure_delay = \"0s\"");
    log_in(&server, &authority);
    let (mut client, offered) = begin(&server, trusting(&authority));
    assert_eq!(offered, "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN");
    let binding = exporter(&client);
    let said = bound_login(&mut client, &binding);
    assert!(said.starts_with("235 2.7.0"), "{said}");
    // Somebody in between has another connection to each side.
    let (mut client, _) = begin(&server, trusting(&authority));
    let said = bound_login(&mut client, &binding);
    assert!(said.starts_with("535 5.7.8"), "{said}");
    // In TLS 1.2 there is nothing to bind to that is sure.
    let old = config(&authority, None, &[&rustls::version::TLS12]);
    assert_eq!(begin(&server, old).1, "SCRAM-SHA-256 PLAIN LOGIN");
}

#[test]
fn a_certificate_that_the_sites_authority_vouches_for_logs_in() {
    let authority = Authority::new();
    let asked = "client_certificates = [\"127.0.0.1\"]\n";
    let auth = "[auth]\nfailure_delay = \"0s\"\nmechanisms = [\"EXTERNAL\", \"PLAIN\"]";
    let server = site(&authority, &format!("{asked}client_ca_file = \"clients.pem\""), auth);
    let alice = authority.certify_client("alice@example.org", 2100);
    let (mut client, offered) = begin(&server, showing(&authority, &alice));
    assert_eq!(offered, "EXTERNAL PLAIN");
    client.ask_for("AUTH EXTERNAL =", "235 2.7.0");
    client.ask_for("MAIL FROM:<alice@example.org>", "250");
    let (mut client, _) = begin(&server, showing(&authority, &alice));
    let other = STANDARD.encode("bob@example.org");
    client.ask_for(&format!("AUTH EXTERNAL {other}"), "535 5.7.8");
    for shown in [
        authority.certify_client("alice@example.org", 2021),
        Authority::new().certify_client("alice@example.org", 2100),
    ] {
        let (mut client, offered) = begin(&server, showing(&authority, &shown));
        assert_eq!(offered, "PLAIN");
        client.ask_for("AUTH EXTERNAL =", "504 5.5.4");
    }
    // Authorities of all the world vouch for no users.
    let server = site(&authority, &format!("{asked}ca_file = \"clients.pem\""), auth);
    assert_eq!(begin(&server, showing(&authority, &alice)).1, "PLAIN");
}

#[test]
fn programs_submit_over_tls() {
    let authority = Authority::new();
    let server = site(&authority, "", "");
    let ca = server.folder().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    let ca = ca.display().to_string();
    let message = b"From: alice@example.org\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\n\
        Message-ID: <1@client.example>\r\nSubject: submitted\r\n\r\nhello\r\n";
    let port = server.submissions().port();
    let mut swaks = program("swaks");
    swaks.args(["--server", &server.submissions().to_string(), "--tls-on-connect", "--data", "-"]);
    swaks.args(["--tls-verify", "--tls-ca-path", &ca, "--auth", "PLAIN", "--auth-user", "alice@example.org"]);
    swaks.args(["--auth-password", PASSWORD, "--from", "alice@example.org", "--to", "alice@example.org"]);
    let mut curl = program("curl");
    curl.args([
        "-sS",
        "--cacert",
        &ca,
        &format!("smtps://localhost:{port}/client.example"),
        "--upload-file",
        "-",
    ]);
    curl.args(["--user", &format!("alice@example.org:{PASSWORD}"), "--mail-from", "alice@example.org"]);
    curl.args(["--mail-rcpt", "alice@example.org"]);
    let mut msmtp = program("msmtp");
    msmtp.args([
        "--file=/dev/null",
        "--host=localhost",
        &format!("--port={port}"),
        "--domain=client.example",
    ]);
    msmtp.args(["--from=alice@example.org", "--tls=on", "--tls-starttls=off", "--auth=scram-sha-256"]);
    msmtp.args(["--user=alice@example.org", &format!("--passwordeval=echo '{PASSWORD}'")]);
    msmtp.args([&format!("--tls-trust-file={ca}"), "alice@example.org"]);
    for mut client in [swaks, curl, msmtp] {
        finish(&mut client, message);
    }
    let letters = server.maildir("example.org", "alice").wait_for(3);
    for letter in letters {
        // What came of AUTH stands in front of the trace.
        let text = String::from_utf8_lossy(&letter.content).into_owned();
        assert!(text.contains("with ESMTPSA (TLSv1.3)"), "{text}");
    }
}
