//! LMTP with Dovecot: each recipient has a reply of its own after the data (RFC 2033).

use super::harness::{Server, finish, nowhere, program, script};
use super::jail::Jail;

fn delivers_by(route: impl Fn(&Jail) -> String) {
    let peer = Jail::start("dovecot", nowhere());
    let server = Server::with_config(&format!(
        "hostname = \"mx.peer.example\"\n[route.dovecot]\nto = \"{}\"\n[queue]\nretry_first = \"1s\"\n\
         [domain.\"peer.example\"]\nroute = \"dovecot\"\n[domain.\"peer.example\".mailbox]\n\
         postmaster = {{ alias = [\"alice\"] }}\nalice = {{}}\nbob = {{}}\nfull = {{}}\nghost = {{}}\n\
         [domain.\"client.example\".mailbox]\nsender = {{}}\n",
        route(&peer)
    ));
    let mut session = server.session();
    session.transaction(&[
        "alice@peer.example",
        "bob+tag@peer.example",
        "full@peer.example",
        "ghost@peer.example",
    ]);
    session.ask_for("RCPT TO:<nobody@peer.example>", "550 5.1.1");
    session.data(b"Subject: to four\r\nFrom: sender@client.example\r\n\r\nhello\r\n", "250");
    for mailbox in ["alice", "bob"] {
        let mail = peer.wait_for_mail(mailbox);
        assert!(mail.ends_with("\n\nhello\n"), "{mail}");
        assert!(mail.contains("Return-Path: <sender@client.example>"), "{mail}");
    }
    let letter = server.maildir("client.example", "sender").wait_for_one();
    let report = finish(program("python3").arg(script("report_reader.py")), &letter.content);
    for told in ["full@peer.example", "5.2.2", "ghost@peer.example", "5.1.1"] {
        assert!(report.contains(told), "{told}: {report}");
    }
    assert!(!report.contains("alice@peer.example"), "{report}");
    server.wait_for_empty_queue();
}

#[test]
fn dovecot_gets_mail_over_a_socket() {
    delivers_by(|peer| format!("lmtp:{}", peer.exchange().join("lmtp").display()));
}

#[test]
fn dovecot_gets_mail_over_tcp() {
    delivers_by(|peer| format!("lmtp://{}", peer.address()));
}
