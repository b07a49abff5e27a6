//! Kinds of addresses that the every-code site has none of: quotas that fill up, catch-alls, discards, several domains.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use harness::{Server, wait_for};

/// A site with these lines about its domains.
fn site(domains: &str) -> Server {
    Server::with_config(&format!("hostname = \"mx.example.org\"\n{domains}\n"))
}

#[test]
fn a_quota_counts_the_declared_size_and_what_the_mailbox_holds() {
    let server = site(
        "[domain.\"example.org\".mailbox]\npostmaster = {}\n\
         small = { quota = \"10 KB\" }\nlater = { quota = \"10 KB\", over_quota = \"defer\" }",
    );
    let mut client = server.session();
    client.ask_for("MAIL FROM:<sender@client.example> SIZE=20000", "250 2.1.0");
    client.ask_for("RCPT TO:<small@example.org>", "552 5.2.2");
    client.ask_for("RCPT TO:<later@example.org>", "452 4.2.2");
    client.ask_for("RSET", "250");
    client.ask_for("MAIL FROM:<sender@client.example> SIZE=9000", "250 2.1.0");
    client.ask_for("RCPT TO:<small@example.org>", "250 2.1.5");
    client.data(
        &[b"Subject: nine thousand octets\r\n\r\n", &b"0123456789abcd\r\n".repeat(560)[..]].concat(),
        "250 2.6.0",
    );
    server.maildir("example.org", "small").wait_for_one();
    let refused = || {
        let mut client = server.session();
        client.ask_for("MAIL FROM:<sender@client.example> SIZE=9000", "250 2.1.0");
        client.ask("RCPT TO:<small@example.org>").is("552 5.2.2").then_some(())
    };
    wait_for("the delivered message to count", refused);
}

#[test]
fn a_catch_all_takes_every_name_that_has_no_address() {
    let server = site(
        "[domain.\"example.org\"]\ncatch_all = \"rest\"\n\
         [domain.\"example.org\".mailbox]\npostmaster = {}\nrest = {}\nalice = {}",
    );
    let mut client = server.session();
    client.deliver("anybody@example.org", b"Subject: caught\r\n\r\n");
    client.deliver("alice@example.org", b"Subject: her own\r\n\r\n");
    let caught = server.maildir("example.org", "rest").wait_for_one();
    assert_eq!(caught.content, b"Subject: caught\r\n\r\n");
    server.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn discarded_mail_is_accepted_and_goes_nowhere() {
    let mut server = site("[domain.\"example.org\".mailbox]\npostmaster = {}\nnoreply = { discard = true }");
    server.session().deliver("noreply@example.org", b"Subject: gone\r\n\r\n");
    server.wait_for_empty_queue();
    server.stop();
    assert_eq!(server.queue(&["list"]), "");
    assert!(server.maildir("example.org", "noreply").files().is_empty());
}

#[test]
fn an_alias_reaches_each_of_its_addresses_once() {
    let server = site(
        "[domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\nbob = {}\n\
         info = { alias = [\"alice\", \"bob\"] }\nall = { alias = [\"info\", \"alice\"] }",
    );
    let mut client = server.session();
    client.transaction(&["all@example.org", "info@example.org", "bob@example.org"]);
    client.data(b"Subject: once\r\n\r\n", "250 2.6.0");
    client.deliver("bob@example.org", b"Subject: after it\r\n\r\n");
    let letters = server.maildir("example.org", "bob").wait_for(2);
    assert_eq!(letters.iter().filter(|letter| letter.content == b"Subject: once\r\n\r\n").count(), 1);
    server.maildir("example.org", "alice").wait_for(1);
}

#[test]
fn a_domain_has_other_names_and_vrfy_says_which_domains_a_name_stands_in() {
    let server = site(
        "[verify]\nvrfy_clients = [\"127.0.0.1\"]\nvrfy = \"off\"\n\
         [domain.\"example.org\"]\naliases = [\"example.net\"]\n\
         [domain.\"example.org\".mailbox]\npostmaster = {}\nalice = {}\n\
         [domain.\"example.com\".mailbox]\nalice = {}",
    );
    let mut client = server.session();
    let reply = client.ask_for("VRFY alice", "553 5.1.4");
    assert!(reply.says("<alice@example.org>") && reply.says("<alice@example.com>"), "{reply}");
    server.session_from(3).ask_for("VRFY alice", "502 5.5.1");
    client.deliver("alice@example.net", b"Subject: the other name\r\n\r\n");
    server.maildir("example.org", "alice").wait_for(1);
}
