//! What an operator does: stops and reloads the server, changes tables, starts it where it can't start.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::fs;
use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use harness::{HttpsServer, Server, Setup, wait_for};

/// A small site; `top` stands above its tables, `mailboxes` in its domain.
fn site(top: &str, mailboxes: &str) -> String {
    format!(
        "hostname = \"mx.example.org\"\n{top}\n[domain.\"example.org\".mailbox]\n\
         postmaster = {{}}\nalice = {{}}\n{mailboxes}\n"
    )
}

#[test]
fn sigterm_closes_idle_sessions_at_once_and_lets_transactions_finish() {
    let mut server = Server::every_code();
    let mut idle = server.session();
    let mut ungreeted = server.connect(2);
    ungreeted.expect("220");
    let mut busy = server.session();
    busy.transaction(&["alice@example.org"]);
    let mut in_data = server.session();
    in_data.transaction(&["alice@example.org"]);
    in_data.ask_for("DATA", "354");
    in_data.send(b"Subject: in flight\r\n");

    server.signal(Signal::TERM);
    idle.expect_last("421 4.3.2", "mx.example.org");
    ungreeted.expect_last("421 4.3.2", "mx.example.org");
    wait_for("the listener's end", || TcpStream::connect(server.address()).is_err().then_some(()));
    busy.ask_for("RCPT TO:<bob@example.org>", "250 2.1.5");
    busy.data(b"Subject: busy\r\n\r\n", "250 2.6.0");
    busy.expect_last("421 4.3.2", "mx.example.org");
    in_data.send(b"\r\nhello\r\n.\r\n");
    in_data.expect("250 2.6.0");
    in_data.expect_last("421 4.3.2", "mx.example.org");
    assert!(server.wait_for_end().success());

    server.start_again();
    server.maildir("example.org", "alice").wait_for(2);
    server.maildir("example.org", "bob").wait_for(1);
}

#[test]
fn a_transaction_that_does_not_finish_holds_the_shutdown_up_only_so_long() {
    let mut server = Server::with_config(&site("[limits]\ndrain_timeout = \"1s\"", ""));
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    server.signal(Signal::TERM);
    client.expect_last("421 4.3.2", "mx.example.org");
    assert!(server.wait_for_end().success());
}

#[test]
fn who_sends_signals_on_does_not_wait_for_transactions() {
    let mut server = Server::with_config(&site("[limits]\ndrain_timeout = \"1h\"", ""));
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    server.signal(Signal::TERM);
    server.signal(Signal::TERM);
    server.wait_for_log("draining");
    client.ask_for("RCPT TO:<bob@example.org>", "550 5.1.1");
    wait_for("the end of the session", || {
        server.signal(Signal::TERM);
        server.log().contains("cut off sessions=1").then_some(())
    });
    assert!(server.wait_for_end().success());
}

#[test]
fn sigint_stops_the_server_too() {
    let mut server = Server::zero_configuration();
    server.signal(Signal::INT);
    assert!(server.wait_for_end().success());
}

#[test]
fn a_bad_file_never_replaces_a_good_one() {
    let server = Server::with_config(&site("", "bob = {}"));
    let (mut open, mut refused) = (server.session(), 0);
    for bad in ["hostname = ", "colour = \"red\"", "[limits]\nrecipients = 0"] {
        server.configure(bad);
        refused += 1;
        server.signal(Signal::HUP);
        server.wait_for_lines(refused, &["configuration not reloaded"]);
        open.ask_for("NOOP", "250 2.0.0");
        let mut new = server.session();
        new.transaction(&["bob@example.org"]);
    }
}

#[test]
fn a_good_file_is_put_in_force_without_dropping_a_session() {
    let server = Server::with_config(&site("", ""));
    let mut open = server.session();
    open.transaction(&["alice@example.org"]);
    server.configure(&site("[limits]\nmessage_size = \"1 MiB\"", "bob = {}").replace("mx.", "mail."));
    server.reload();
    assert!(server.connect(2).reply().says("220 mail.example.org"));
    open.data(b"Subject: begun before\r\n\r\n", "250 2.6.0");
    open.ask_for("NOOP", "250 2.0.0");
    let mut new = server.connect(2);
    new.expect("220");
    assert!(new.ask_for("EHLO client.example", "250").says("SIZE 1048576"));
    new.transaction(&["bob@example.org"]);
    server.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn a_reload_changes_the_watermarks_and_says_what_waits_for_a_restart() {
    let server = Server::with_config(&site("[spool]\nmin_free = \"0 B\"\nmin_free_percent = 0", ""));
    server.session().transaction(&["alice@example.org"]);
    server.configure(&site("[spool]\nmin_free = \"1000 TB\"", ""));
    server.reload();
    wait_for("the new watermark", || {
        server.session().ask("MAIL FROM:<a@b.example>").is("452 4.3.1").then_some(())
    });
}

#[test]
fn a_table_is_read_again_when_it_changes_and_a_broken_one_changes_nothing() {
    let config = "hostname = \"mx.example.org\"\n[domain.\"example.org\"]\ntables = [\"aliases\"]\n\
                  [domain.\"example.org\".mailbox]\npostmaster = {}\n";
    let files = vec![("aliases", String::from("alice\n"))];
    let server = Server::start(Setup { config: Some(config.to_owned()), files, ..Setup::default() });
    let mut client = server.session();
    client.transaction(&["alice@example.org"]);
    client.ask_for("RCPT TO:<info@example.org>", "550 5.1.1");
    server.write("aliases", "alice\ninfo: alice\n");
    server.wait_for_log("tables reloaded");
    client.ask_for("RCPT TO:<info@example.org>", "250 2.1.5");
    server.write("aliases", "alice\ninfo: nobody-at-all\n");
    server.wait_for_log("tables not reloaded");
    client.ask_for("RCPT TO:<info@example.org>", "250 2.1.5");
    client.data(b"Subject: info\r\n\r\n", "250 2.6.0");
    server.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn a_password_and_authorities_that_have_gone_keep_no_table_from_being_read_again() {
    let config = "hostname = \"mx.example.org\"\n[tls]\nca_file = \"ca.pem\"\n\
                  [relay]\nsmart_host = \"127.0.0.1:1\"\nuser = \"out\"\npassword_file = \"password\"\n\
                  [domain.\"example.org\"]\ntables = [\"aliases\"]\n\
                  [domain.\"example.org\".mailbox]\npostmaster = {}\n";
    let authority = HttpsServer::start("authority.example", "").certificate().to_owned();
    let files = vec![
        ("aliases", String::from("alice\n")),
        ("password", String::from("secret\n")),
        ("ca.pem", authority),
    ];
    let server = Server::start(Setup { config: Some(config.to_owned()), files, ..Setup::default() });
    fs::remove_file(server.folder().join("ca.pem")).unwrap();
    fs::write(server.folder().join("password"), "\n").unwrap();
    fs::write(server.folder().join("aliases"), "alice\ninfo: alice\n").unwrap();
    wait_for("the new alias", || {
        let mut client = server.session();
        client.transaction(&["alice@example.org"]);
        client.ask("RCPT TO:<info@example.org>").is("250 2.1.5").then_some(())
    });
    for words in ["cannot use `ca.pem`", "an empty password", "what it said before holds on"] {
        server.wait_for_log(words);
    }
    // Whoever asks for a reload has the configuration as it is, with all that is wrong with it.
    server.signal(Signal::HUP);
    server.wait_for_log("configuration not reloaded");
}

#[test]
fn a_server_that_cannot_start_says_why() {
    let server = Server::zero_configuration();
    let start = |state: &str, listen: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.arg("run").arg("--state").arg(server.folder().join(state)).args(["--listen", listen]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let complaint = start("other", &server.address().to_string());
    assert!(complaint.contains(&format!("cannot listen on {}", server.address())), "{complaint}");
    let complaint = start("state", "127.0.0.1:0");
    assert!(complaint.contains("in use by another process; stop that one first"), "{complaint}");
    assert_eq!(complaint.matches("in use").count(), 1, "{complaint}");
}

#[test]
fn the_zero_configuration_serves_the_user_and_the_postmaster() {
    let server = Server::zero_configuration();
    let mut client = server.session();
    client.deliver("tester@localhost", b"Subject: mine\r\n\r\n");
    client.deliver("postmaster", b"Subject: the postmaster's\r\n\r\n");
    client.transaction(&[]);
    client.ask_for("RCPT TO:<nobody@localhost>", "550 5.1.1");
    client.ask_for("RCPT TO:<bob@elsewhere.example>", "550 5.7.1");
    let letter = server.maildir("localhost", "tester").wait_for_one();
    assert_eq!(letter.content, b"Subject: mine\r\n\r\n");
    assert!(letter.received.contains("from client.example ([127.0.0.1])"), "{}", letter.received);
    server.maildir("localhost", "postmaster").wait_for(1);
}
