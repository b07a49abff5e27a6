//! DMARC aggregate reports: what came in is told to the domains in whose name it came, and to nobody else.

use std::collections::BTreeMap;

use mail_auth::report::{ActionDisposition, Disposition, DmarcResult, PolicyOverride, Report};

use crate::harness::{DnsServer, Fault, Peer, Server, Setup, finish, program, script};
use crate::{REPORT_OCTETS_MAX, prints, reports, wait_for_collected};

const RECORDS: &str = "\
strict.example TXT v=spf1 ip4:192.0.2.1 -all
_dmarc.strict.example TXT v=DMARC1; p=reject; adkim=s; rua=mailto:dmarc@strict.example!1m
soft.example TXT v=spf1 ip4:192.0.2.1 -all
_dmarc.soft.example TXT v=DMARC1; p=quarantine; rua=mailto:dmarc@soft.example
good.example TXT v=spf1 ip4:127.0.0.2 -all
mail.good.example TXT v=spf1 ip4:127.0.0.2 -all
_dmarc.good.example TXT v=DMARC1; p=reject; rua=mailto:good@collector.example,mailto:second@collector.example
good.example._report._dmarc.collector.example TXT v=DMARC1
held.example TXT v=spf1 ip4:192.0.2.1 -all
_dmarc.held.example TXT v=DMARC1; p=quarantine; t=n; rua=mailto:dmarc@held.example
_dmarc.attack.example TXT v=DMARC1; p=none; rua=mailto:victim@victim.example
_dmarc.silent.example TXT v=DMARC1; p=none
";

const POLICY: &str = r#"at message {
    rule dmarc-rejects when dmarc.result is fail and dmarc.policy is reject
        reject 550 5.7.26 "refused as the domain wants"

    rule dmarc-takes-note when dmarc.result is fail and dmarc.domain == "soft.example"
        tag "suspicious"

    rule dmarc-quarantines when dmarc.result is fail and dmarc.domain == "held.example"
        quarantine
}
"#;

struct Site {
    server: Server,
    dns: DnsServer,
    peer: Peer,
}

impl Site {
    fn new() -> Self {
        let (dns, peer) = (DnsServer::with(RECORDS), Peer::start(&["250 2.0.0 taken"]));
        dns.keep_for(0);
        let config = format!(
            "hostname = \"mx.here.example\"\nclients.relay = []\nclients.trusted = []\n{}\
             [relay]\nsmart_host = \"{}\"\n[policy]\nfile = \"site.policy\"\n\
             [reports]\ndmarc = true\naddress = \"reports\"\norganisation = \"Bücher&Co\"\n\
             [domain.\"here.example\".mailbox]\npostmaster = {{}}\nbob = {{}}\nreports = {{}}\n",
            dns.config(),
            peer.address()
        );
        let files = vec![("site.policy", POLICY.to_owned())];
        let server = Server::start(Setup { config: Some(config), files, ..Setup::default() });
        Self { server, dns, peer }
    }

    fn send(&self, last: u8, author: &str, recipient: &str, code: &str) {
        let mut client = self.server.session_from(last);
        client.ask_for(&format!("MAIL FROM:<ann@{author}>"), "250");
        client.ask_for(&format!("RCPT TO:<{recipient}@here.example>"), "250");
        client.data(format!("From: ann@{author}\r\nSubject: x\r\n\r\nhello\r\n").as_bytes(), code);
    }

    /// The mails that the peer was sent, by their To field.
    fn arrived(&self, count: usize) -> BTreeMap<String, Vec<u8>> {
        let messages = self.peer.wait_for(count).messages;
        let to = |message: &Vec<u8>| {
            let text = String::from_utf8_lossy(message).into_owned();
            text.split("\r\nTo: ").nth(1).unwrap().split("\r\nSubject:").next().unwrap().replace("\r\n", "")
        };
        messages.into_iter().map(|message| (to(&message), message)).collect()
    }
}

#[test]
fn domains_hear_what_came_in_their_name_and_nobody_else_does() {
    let site = Site::new();
    site.send(2, "strict.example", "bob", "550 5.7.26");
    site.send(2, "strict.example", "bob", "550 5.7.26");
    site.send(3, "soft.example", "bob", "250");
    site.send(2, "good.example", "bob", "250");
    site.send(2, "mail.good.example", "bob", "250");
    site.send(2, "held.example", "bob", "250");
    site.send(2, "attack.example", "bob", "250");
    site.send(2, "silent.example", "bob", "250");
    // Reports to us are no mail to report on.
    site.send(2, "good.example", "reports", "250");
    wait_for_collected(&site.server, 7);
    let dry = prints(&site.server, &["send", "--now", "--dry-run"]);
    assert!(
        dry.contains("DMARC report on strict.example for ")
            && dry.contains("to mailto:dmarc@strict.example\n<?xml"),
        "{dry}"
    );
    assert!(dry.contains("DMARC report on attack.example") && dry.contains("nobody wants it"), "{dry}");
    assert_eq!(
        prints(&site.server, &["send"]).lines().next(),
        Some("0 reports sent; 0 domains want none; 0 wait")
    );
    let said = prints(&site.server, &["send", "--now"]);
    assert_eq!(said.trim(), "4 reports sent; 1 domains want none; 0 wait");

    let mails = site.arrived(4);
    let to: Vec<&str> = mails.keys().map(String::as_str).collect();
    let to_good = "good@collector.example, second@collector.example";
    assert_eq!(to, ["dmarc@held.example", "dmarc@soft.example", "dmarc@strict.example", to_good]);
    let read = |to: &str| Report::parse_rfc5322(&mails[to], REPORT_OCTETS_MAX).unwrap();
    let strict = read("dmarc@strict.example");
    assert_eq!(
        (strict.domain(), strict.p(), strict.org_name()),
        ("strict.example", Disposition::Reject, "Bücher&Co")
    );
    let [record] = strict.record.as_slice() else { panic!("one record: {strict:?}") };
    assert_eq!((record.row.count, record.row.source_ip), (2, Some("127.0.0.2".parse().unwrap())));
    let evaluated = &record.row.policy_evaluated;
    assert_eq!((evaluated.disposition, evaluated.spf), (ActionDisposition::Reject, DmarcResult::Fail));
    assert!(evaluated.reason.is_empty());
    assert_eq!(record.auth_results.spf[0].domain, "strict.example");

    let soft = read("dmarc@soft.example");
    let evaluated = &soft.record[0].row.policy_evaluated;
    assert_eq!(evaluated.disposition, ActionDisposition::None, "our policy only took note");
    assert_eq!(evaluated.reason[0].type_, PolicyOverride::LocalPolicy);

    let held = read("dmarc@held.example");
    let evaluated = &held.record[0].row.policy_evaluated;
    assert_eq!((evaluated.disposition, evaluated.reason.len()), (ActionDisposition::Quarantine, 0));

    let good = read(to_good);
    let mut told: Vec<(&str, ActionDisposition, DmarcResult)> = good
        .record
        .iter()
        .map(|one| {
            let evaluated = &one.row.policy_evaluated;
            (one.identifiers.header_from.as_str(), evaluated.disposition, evaluated.spf)
        })
        .collect();
    told.sort_by_key(|one| one.0);
    assert_eq!(told[0], ("good.example", ActionDisposition::Pass, DmarcResult::Pass));
    assert_eq!(told[1].0, "mail.good.example", "what a domain's record holds for is told to it");

    // Another program finds in them what RFC 9990 demands, and nothing else.
    for mail in mails.values() {
        let said = finish(program("python3").arg(script("dmarc_report_reader.py")), mail);
        assert!(said.starts_with("valid "), "{said}");
    }
    let commands = site.peer.seen().commands;
    assert!(
        commands.iter().any(|command| command.starts_with("MAIL FROM:<reports@here.example>")),
        "{commands:?}"
    );
    wait_for_collected(&site.server, 0);
    assert_eq!(prints(&site.server, &["list"]).trim(), "nothing is collected");
}

#[test]
fn what_was_sent_is_not_sent_again_and_what_could_not_be_waits() {
    let mut site = Site::new();
    site.send(2, "strict.example", "bob", "550 5.7.26");
    site.send(2, "good.example", "bob", "250");
    wait_for_collected(&site.server, 2);
    site.dns.spoil("good.example._report._dmarc.collector.example", Fault::ServerFailure);
    let output = reports(&site.server, &["send", "--now"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("1 reports sent; 0 domains want none; 1 wait\n  good.example: "), "{said}");
    assert_eq!(output.status.code(), Some(1));
    site.arrived(1);
    site.server.kill();
    site.dns.mend();
    // Without a server the command puts reports into the spool itself.
    let said = prints(&site.server, &["send", "--now"]);
    assert_eq!(said.trim(), "1 reports sent; 0 domains want none; 0 wait");
    assert_eq!(
        prints(&site.server, &["send", "--now"]).trim(),
        "0 reports sent; 0 domains want none; 0 wait"
    );
    site.server.start_again();
    let mails = site.arrived(2);
    assert!(mails.contains_key("good@collector.example, second@collector.example"), "{:?}", mails.keys());
}

#[test]
fn what_is_due_is_sent_without_anybody_s_order() {
    let mut site = Site::new();
    site.send(2, "strict.example", "bob", "550 5.7.26");
    wait_for_collected(&site.server, 1);
    site.server.stop();
    // As if it had come the day before yesterday: its time is over whenever the test runs.
    let file = rusqlite::Connection::open(site.server.folder().join("state/reports.sqlite")).unwrap();
    assert_eq!(file.execute("UPDATE rows SET day = day - 2", []).unwrap(), 1);
    drop(file);
    site.server.start_again();
    let mails = site.arrived(1);
    let report = Report::parse_rfc5322(&mails["dmarc@strict.example"], REPORT_OCTETS_MAX).unwrap();
    assert_eq!((report.domain(), report.record[0].row.count), ("strict.example", 1));
    wait_for_collected(&site.server, 0);
}

#[test]
fn nothing_is_collected_unless_it_is_wanted() {
    let dns = DnsServer::with(RECORDS);
    let config = format!(
        "hostname = \"mx.here.example\"\nclients.relay = []\n{}[domain.\"here.example\".mailbox]\npostmaster = {{}}\n",
        dns.config()
    );
    let server = Server::with_config(&config);
    let mut client = server.session_from(2);
    client.ask_for("MAIL FROM:<ann@strict.example>", "250");
    client.ask_for("RCPT TO:<postmaster@here.example>", "250");
    client.data(b"From: ann@strict.example\r\n\r\nhello\r\n", "250");
    server.maildir("here.example", "postmaster").wait_for(1);
    assert_eq!(dns.asked("TXT _dmarc.strict.example"), 0);
    let output = reports(&server, &["send", "--now"]);
    assert!(
        !output.status.success() && String::from_utf8_lossy(&output.stderr).contains("[reports]"),
        "{output:?}"
    );
    assert!(!server.folder().join("state/reports.sqlite").exists());
}
