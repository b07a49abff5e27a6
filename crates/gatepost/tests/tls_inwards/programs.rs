//! Real clients deliver over STARTTLS, and verify the certificate where they can.

use std::fs;
use std::process::Command;

use super::client::{NAME, setup};
use super::harness::{Authority, Server, finish, program, script};

const MESSAGE: &[u8] = b"Subject: under TLS\r\n\r\nhello\r\n";

/// A site, and the file of the authority that vouches for it.
fn server() -> (Server, String) {
    let authority = Authority::new();
    let certificate = authority.certify_for(&[NAME, "localhost"], (2020, 2100));
    let mut setup = setup(&[("mx", &certificate)], "", "");
    setup.submissions = true;
    let server = Server::start(setup);
    let ca = server.folder().join("ca.pem");
    fs::write(&ca, authority.pem()).unwrap();
    (server, ca.display().to_string())
}

fn expect_encrypted(server: &Server) {
    let letter = server.maildir("example.org", "alice").wait_for_one();
    assert!(letter.received.contains("with ESMTPS (TLSv1.3)"), "{}", letter.received);
    assert!(String::from_utf8_lossy(&letter.content).contains("hello\r\n"));
}

#[test]
fn swaks() {
    let (server, ca) = server();
    let mut command = program("swaks");
    command.args(["--server", &server.address().to_string(), "--ehlo", "client.example", "--data", "-"]);
    command.args(["--to", "alice@example.org", "--from", "sender@client.example"]);
    command.args([
        "--tls",
        "--tls-verify",
        "--tls-verify-host",
        NAME,
        "--tls-sni",
        NAME,
        "--tls-ca-path",
        &ca,
    ]);
    // An older swaks verifies the chain alone.
    let help = Command::new("swaks").arg("--help").output().unwrap();
    if !String::from_utf8_lossy(&help.stdout).contains("--tls-verify-host") {
        command = program("swaks");
        command.args(["--server", &server.address().to_string(), "--ehlo", "client.example", "--data", "-"]);
        command.args(["--to", "alice@example.org", "--from", "sender@client.example"]);
        command.args(["--tls", "--tls-verify", "--tls-ca-path", &ca]);
    }
    finish(&mut command, MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn curl() {
    let (server, ca) = server();
    let mut command = program("curl");
    let port = server.address().port();
    command.args(["-sS", "--ssl-reqd", "--cacert", &ca, &format!("smtp://{NAME}:{port}/client.example")]);
    command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1"), "--upload-file", "-"]);
    command.args(["--mail-from", "sender@client.example", "--mail-rcpt", "alice@example.org"]);
    finish(&mut command, MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn msmtp() {
    let (server, ca) = server();
    let mut command = program("msmtp");
    let port = server.address().port();
    command.args(["--file=/dev/null", "--host=localhost", &format!("--port={port}")]);
    command.args([
        "--domain=client.example",
        "--from=sender@client.example",
        "--tls=on",
        "--tls-starttls=on",
    ]);
    command.args([&format!("--tls-trust-file={ca}"), "alice@example.org"]);
    finish(&mut command, MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn smtplib() {
    let (server, ca) = server();
    let mut command = program("python3");
    command.arg(script("smtplib_tls_client.py")).args([&server.address().port().to_string(), &ca]);
    finish(&mut command, MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn openssl_and_curl_speak_tls_from_the_first_octet_on() {
    let (server, ca) = server();
    let port = server.submissions().port();
    let mut command = program("openssl");
    command.args(["s_client", "-connect", &format!("127.0.0.1:{port}"), "-crlf", "-ign_eof", "-quiet"]);
    command.args(["-CAfile", &ca, "-verify_return_error", "-verify_hostname", NAME, "-servername", NAME]);
    let printed = finish(&mut command, b"EHLO client.example\nMAIL FROM:<alice@example.org>\nQUIT\n");
    assert!(printed.contains("220 mx.example.org"), "{printed}");
    assert!(printed.contains("530 5.7.0") && printed.contains("221 2.0.0"), "{printed}");
    let mut command = program("curl");
    command.args(["-sS", "--cacert", &ca, &format!("smtps://{NAME}:{port}/client.example"), "-X", "NOOP"]);
    command.args(["--resolve", &format!("{NAME}:{port}:127.0.0.1")]);
    finish(&mut command, b"");
}
