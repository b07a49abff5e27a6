//! Dovecot as the store of passwords: its authentication server behind its socket.

use std::net::Ipv4Addr;

use super::harness::{Dialogue, Server, Setup, wait_for};
use super::jail::Jail;

#[test]
fn dovecot_knows_its_users() {
    let peer = Jail::start("dovecot", "127.0.0.1:9".parse().unwrap());
    let socket = peer.exchange().join("auth");
    wait_for("Dovecot's socket", || socket.exists().then_some(()));
    let config = format!(
        "hostname = \"mx.peer.example\"\n[auth]\nusers = \"dovecot:{}\"\n[domain.\"peer.example\".mailbox]\n\
         postmaster = {{ alias = [\"alice\"] }}\nalice = {{}}\n",
        socket.display()
    );
    let server = Server::start(Setup { config: Some(config), submission: true, ..Setup::default() });
    let mut session = Dialogue::connect(server.submission(), Ipv4Addr::LOCALHOST).greeted();
    assert!(session.ask("EHLO client.example").says("AUTH PLAIN LOGIN"));
    // alice@peer.example with the password `y`, then with `x`; then a user that isn't there.
    session.ask_for("AUTH PLAIN AGFsaWNlQHBlZXIuZXhhbXBsZQB5", "535 5.7.8");
    session.ask_for("AUTH PLAIN AG5vYm9keUBwZWVyLmV4YW1wbGUAeA==", "535 5.7.8");
    session.ask_for("AUTH PLAIN AGFsaWNlQHBlZXIuZXhhbXBsZQB4", "235 2.7.0");
    session.ask_for("MAIL FROM:<alice@peer.example>", "250");
    session.ask_for("RSET", "250");
    session.ask_for("MAIL FROM:<bob@peer.example>", "553 5.7.1");
}
