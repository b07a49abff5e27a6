//! SMTP with Postfix, Exim and OpenSMTPD: mail to them, mail from them, and what they refuse.

use std::net::SocketAddr;

use super::harness::{Server, finish, nowhere, program, script};
use super::jail::Jail;

/// Mail data on the wire: dots stuffed, 8-bit text, the longest line that RFC 5321 §4.5.3.1.6 allows.
fn mail_data() -> Vec<u8> {
    let long = "x".repeat(998);
    format!("Subject: across\r\nFrom: sender@client.example\r\nDate: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <1@client.example>\r\n\r\n..dot\r\nGr\u{fc}\u{df}e\r\n{long}\r\n").into_bytes()
}

/// The body as it lies in a file.
fn body() -> String {
    format!("\n\n.dot\nGr\u{fc}\u{df}e\n{}\n", "x".repeat(998))
}

/// A site that sends mail for other domains to `peer` and has the mailbox sender@client.example.
fn site(peer: SocketAddr) -> Server {
    Server::with_config(&format!(
        "hostname = \"out.client.example\"\n[relay]\nsmart_host = \"{peer}\"\n[queue]\nretry_first = \"1s\"\n\
         [domain.\"client.example\".mailbox]\npostmaster = {{}}\nsender = {{}}\n"
    ))
}

fn mail_goes_to(peer: &str) {
    let peer = Jail::start(peer, nowhere());
    let server = site(peer.address());
    let mut session = server.session();
    session.ask_for("MAIL FROM:<sender@client.example> BODY=8BITMIME", "250");
    session.ask_for("RCPT TO:<alice@peer.example>", "250");
    session.data(&mail_data(), "250");
    let mail = peer.wait_for_mail("alice");
    assert!(mail.ends_with(&body()), "{mail}");
    assert!(mail.contains("out.client.example"), "{mail}");
    server.wait_for_empty_queue();
}

fn mail_comes_from(peer: &str) {
    let server = site(nowhere());
    let peer = Jail::start(peer, server.address());
    let mut session = peer.session();
    session.ask_for("MAIL FROM:<other@elsewhere.example> BODY=8BITMIME", "250");
    session.ask_for("RCPT TO:<sender@client.example>", "250");
    session.data(&mail_data(), "250");
    let letter = server.maildir("client.example", "sender").wait_for_one();
    assert_eq!(letter.return_path, "<other@elsewhere.example>");
    let mail = String::from_utf8(letter.content).unwrap().replace("\r\n", "\n");
    assert!(mail.ends_with(&body()), "{mail}");
}

fn a_refusal_comes_back_from(peer: &str) {
    let peer = Jail::start(peer, nowhere());
    let server = site(peer.address());
    let mut session = server.session();
    session.transaction(&["refused@peer.example", "alice@peer.example"]);
    session.data(b"Subject: x\r\nFrom: sender@client.example\r\n\r\nto two\r\n", "250");
    assert!(peer.wait_for_mail("alice").contains("to two"));
    let letter = server.maildir("client.example", "sender").wait_for_one();
    assert_eq!(letter.return_path, "<>");
    let report = finish(program("python3").arg(script("report_reader.py")), &letter.content);
    assert!(report.contains("refused@peer.example") && report.contains("failed"), "{report}");
    assert!(!report.contains("alice@peer.example"), "{report}");
    server.wait_for_empty_queue();
}

#[test]
fn mail_goes_to_postfix() {
    mail_goes_to("postfix");
}

#[test]
fn mail_comes_from_postfix() {
    mail_comes_from("postfix");
}

#[test]
fn a_refusal_comes_back_from_postfix() {
    a_refusal_comes_back_from("postfix");
}

#[test]
fn mail_goes_to_exim() {
    mail_goes_to("exim");
}

#[test]
fn mail_comes_from_exim() {
    mail_comes_from("exim");
}

#[test]
fn a_refusal_comes_back_from_exim() {
    a_refusal_comes_back_from("exim");
}

#[test]
fn mail_goes_to_opensmtpd() {
    mail_goes_to("opensmtpd");
}

#[test]
fn mail_comes_from_opensmtpd() {
    mail_comes_from("opensmtpd");
}

#[test]
fn a_refusal_comes_back_from_opensmtpd() {
    a_refusal_comes_back_from("opensmtpd");
}
