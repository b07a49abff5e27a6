//! From the wire to the rule: the id of a refusal and the queue id of an accepted message lead to what decided, through
//! the real server's journal.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::process::Command;

use harness::{DnsServer, Fault, Server, Setup};

const POLICY: &str = r#"dnsbl zen = "zen.example" of client.ip

at recipient {
    rule listed when zen.listed
        reject 550 5.7.1 "{client.ip} is listed"
}
"#;

fn site(dns: &DnsServer, journal: &str) -> Setup {
    let config = format!(
        "hostname = \"mx.example.org\"\npolicy.file = \"site.policy\"\n[journal]\n{journal}\n{}\n\
         [domain.\"example.org\".mailbox]\npostmaster = {{}}\nalice = {{}}\n",
        dns.config()
    );
    Setup { config: Some(config), files: vec![("site.policy", POLICY.to_owned())], ..Setup::default() }
}

/// What `gatepost` with these arguments prints of the server's state, and whether it succeeds.
fn gatepost(server: &Server, arguments: &[&str]) -> (String, bool) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
    let output = command.args(arguments).arg("--state").arg(server.folder().join("state")).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (String::from_utf8(text).unwrap(), output.status.success())
}

#[test]
fn ids_from_the_wire_lead_to_rule_line_and_facts() {
    let dns = DnsServer::with("9.0.0.127.zen.example A 127.0.0.2");
    dns.spoil("8.0.0.127.zen.example", Fault::ServerFailure);
    let mut server = Server::start(site(&dns, ""));
    let mut listed = server.session_from(9);
    listed.ask_for("MAIL FROM:<bob@example.net>", "250");
    let refused = listed.ask_for("RCPT TO:<alice@example.org>", "550 5.7.1");
    let reply = refused.lines.join("\n");
    assert!(reply.ends_with(']') && reply.contains("127.0.0.9 is listed ["), "{reply}");
    let out_of_order = listed.ask_for("DATA", "554 5.5.1").lines.join("\n");
    assert!(out_of_order.ends_with(']') && out_of_order != reply, "{out_of_order}");

    listed.ask_for("QUIT", "221");
    let mut unsure = server.session_from(8);
    unsure.transaction(&["alice@example.org"]);
    let queued = unsure.data(b"Subject: hello\r\n\r\nhello\r\n", "250 2.6.0").lines.join("\n");
    let queue_id = queued.rsplit(' ').next().unwrap().to_owned();
    unsure.ask_for("QUIT", "221");
    server.stop();

    let (page, found) = gatepost(&server, &["explain", &reply]);
    assert!(found, "{page}");
    for wanted in [
        "recipient: 550 5.7.1 127.0.0.9 is listed [",
        "site.policy:4:5)",
        "zen.listed = yes",
        "from       <bob@example.net>",
        "to         <alice@example.org>",
        "C: RCPT TO:<alice@example.org>",
        "S: 250 2.1.0",
        "without it: no other rule would have answered",
    ] {
        assert!(page.contains(wanted), "{wanted:?} is missing:\n{page}");
    }
    let (page, found) = gatepost(&server, &["explain", &out_of_order]);
    assert!(found && page.contains("condition  ") && page.contains("RFC 5321"), "{page}");

    let (page, found) = gatepost(&server, &["explain", &queue_id]);
    assert!(found, "{page}");
    for wanted in
        ["unsure     listed could not be told", "zen.listed = unsure: ", &format!("queue id   {queue_id}")]
    {
        assert!(page.contains(wanted), "{wanted:?} is missing:\n{page}");
    }
    let (page, _) = gatepost(&server, &["policy", "report", "--since", "1h"]);
    let row = page.lines().find(|line| line.starts_with("listed ")).unwrap_or_else(|| panic!("{page}"));
    let counts: Vec<&str> = row.split_whitespace().skip(1).take(3).collect();
    assert_eq!(counts, ["1", "0", "1"], "{page}");
}

#[test]
fn ids_can_be_left_out_and_the_journal_off() {
    let dns = DnsServer::with("9.0.0.127.zen.example A 127.0.0.2");
    let mut server = Server::start(site(&dns, "enabled = false\nids = false"));
    let mut listed = server.session_from(9);
    listed.ask_for("MAIL FROM:<bob@example.net>", "250");
    let refused = listed.ask_for("RCPT TO:<alice@example.org>", "550 5.7.1");
    assert_eq!(refused.lines.join("\n").trim_end(), "550 5.7.1 127.0.0.9 is listed");
    listed.ask_for("QUIT", "221");
    server.stop();
    let (page, found) = gatepost(&server, &["explain", "k7q2-m3xf"]);
    assert!(!found && page.contains("there is no journal"), "{page}");
}
