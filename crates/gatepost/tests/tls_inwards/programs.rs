//! Real clients deliver over STARTTLS, and verify the certificate where they can.

use std::env;
use std::fs;
use std::path::Path;
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
    // Without the word ESMTPS: s-nail says HELO when it does not log in, for which there is none (RFC 3848).
    assert!(
        letter.received.contains("SMTP") && letter.received.contains(" (TLSv1.3) id "),
        "{}",
        letter.received
    );
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

#[test]
fn s_nail() {
    let (server, ca) = server();
    let mut command = program("s-nail");
    command.args(["-n", "-r", "sender@client.example", "-s", "under TLS", "-S", "v15-compat"]);
    command.args(["-S", &format!("mta=smtp://localhost:{}", server.address().port())]);
    command.args(["-S", "smtp-use-starttls", "-S", "smtp-auth=none", "-S", "hostname=client.example"]);
    command.args(["-S", &format!("tls-ca-file={ca}"), "-S", "tls-verify=strict", "alice@example.org"]);
    finish(command.env("HOME", server.folder()), b"hello\n");
    expect_encrypted(&server);
}

#[test]
fn perls_net_smtp() {
    let (server, ca) = server();
    let program_text = "my ($port, $ca) = @ARGV; my $text = do { local $/; <STDIN> }; \
        my $smtp = Net::SMTP->new('localhost', Port => $port, Hello => 'client.example') or die $@; \
        $smtp->starttls(SSL_ca_file => $ca, SSL_verify_mode => 1) or die $smtp->message; \
        $smtp->mail('sender@client.example') && $smtp->to('alice@example.org') \
            && $smtp->data($text) or die $smtp->message; $smtp->quit";
    let mut command = program("perl");
    command.args(["-MNet::SMTP", "-e", program_text, &server.address().port().to_string(), &ca]);
    finish(&mut command, MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn nodemailer() {
    let (server, ca) = server();
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/node/node_modules");
    let modules = env::var_os("NODE_PATH").map_or(own, Into::into);
    let mut command = program("node");
    command.arg(script("nodemailer_client.mjs")).arg("localhost");
    command.args([&server.address().port().to_string(), "alice@example.org", &ca]);
    finish(command.env("NODE_PATH", modules), MESSAGE);
    expect_encrypted(&server);
}

#[test]
fn sslscan_finds_nothing_weak() {
    let (server, _) = server();
    let mut command = program("sslscan");
    command.args(["--starttls-smtp", "--no-colour", &format!("localhost:{}", server.address().port())]);
    let printed = finish(&mut command, b"");
    for line in ["SSLv2     disabled", "SSLv3     disabled", "TLSv1.0   disabled", "TLSv1.1   disabled"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    for line in ["TLSv1.2   enabled", "TLSv1.3   enabled", "not vulnerable to heartbleed"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    let suites: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("Preferred") || line.starts_with("Accepted"))
        .collect();
    assert!(suites.len() >= 4, "{printed}");
    for suite in suites {
        let has_forward_secrecy = suite.contains("TLSv1.3") || suite.contains("ECDHE-");
        assert!(has_forward_secrecy && (suite.contains("GCM") || suite.contains("POLY1305")), "{suite}");
    }
}
