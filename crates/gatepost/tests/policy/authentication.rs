//! Who may send for a domain: null MX, SPF, DMARC, and the fields in which the results stand.

use std::fs;

use crate::harness::Fault;
use crate::site::{Site, id};

const RECORDS: &str = "\
deaf.example MX 0 .
good.example MX 10 mx.good.example
good.example TXT v=spf1 ip4:127.0.0.2 -all
_dmarc.good.example TXT v=DMARC1; p=reject
strict.example TXT v=spf1 ip4:192.0.2.1 -all
_dmarc.strict.example TXT v=DMARC1; p=reject
";

const POLICY: &str = r#"at mail {
    rule takes-no-mail when sender.null_mx
        reject 550 5.7.27 "{sender.domain} takes no mail, so it sends none"
        unsure defer 451 4.4.3 "cannot look up {sender.domain}"

    rule spf-fail when spf.result is fail
        reject 550 5.7.23 "{client.ip} is not permitted to send for {spf.domain}"
}

at recipient {
    rule target-takes-no-mail when recipient.null_mx
        reject 556 5.1.10 "<{recipient.address}>: the domain takes no mail"
}

at message {
    rule dmarc when dmarc.result is fail and dmarc.policy is reject and message.from_domain is present
        reject 550 5.7.26 "the domain {message.from_domain} has this refused"
}
"#;

fn message(from: &str, more: &str) -> Vec<u8> {
    format!("{more}From: {from}\r\nSubject: hello\r\n\r\nhello\r\n").into_bytes()
}

#[test]
fn domains_that_take_no_mail_send_none_and_get_none() {
    let site = Site::with(
        POLICY,
        RECORDS,
        "[relay]\nsmart_host = \"127.0.0.1:9\"\n[clients]\nrelay = [\"127.0.0.4\"]\ntrusted = []",
        vec![],
    );
    let mut client = site.session(2);
    client.ask_for("MAIL FROM:<ann@deaf.example>", "550 5.7.27");
    let mut client = site.session(4);
    client.transaction(&[]);
    let reply = client.ask_for("RCPT TO:<ann@deaf.example>", "556 5.1.10");
    assert!(site.prints(&["explain", &id(&reply)]).contains("recipient.null_mx = yes"));
    client.ask_for("RCPT TO:<ann@good.example>", "250");
    client.ask_for("RCPT TO:<bob@example.org>", "250");
    // Who may not relay hears that, and not what the domain's DNS says.
    let mut client = site.session(3);
    client.transaction(&[]);
    client.ask_for("RCPT TO:<ann@good.example>", "550 5.7.1");
}

#[test]
fn what_spf_fails_is_refused_and_what_cannot_be_checked_is_not() {
    let site = Site::new(POLICY, RECORDS);
    let mut client = site.session(2);
    let reply = client.ask_for("MAIL FROM:<ann@strict.example>", "550 5.7.23");
    assert!(reply.says("127.0.0.2 is not permitted to send for strict.example ["), "{reply}");
    client.ask_for("MAIL FROM:<ann@good.example>", "250");
    client.ask("RSET");
    site.dns.spoil("later.example", Fault::ServerFailure);
    let reply = client.ask_for("MAIL FROM:<ann@later.example>", "451 4.4.3");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("sender.null_mx") && explained.contains("SERVFAIL"), "{explained}");
}

#[test]
fn what_dmarc_fails_is_refused_as_its_domain_asks() {
    let site = Site::new(POLICY, RECORDS);
    let mut client = site.session(2);
    let mut send = |from: &str, code: &str| {
        client.ask_for("MAIL FROM:<ann@good.example>", "250");
        client.ask_for("RCPT TO:<bob@example.org>", "250");
        client.data(&message(from, ""), code)
    };
    let reply = send("Ann <ann@strict.example>", "550 5.7.26");
    assert!(reply.says("the domain strict.example has this refused ["), "{reply}");
    let explained = site.prints(&["explain", &id(&reply)]);
    assert!(explained.contains("dmarc.result = fail"), "{explained}");
    send("Ann <ann@good.example>", "250 2.6.0");
}

#[test]
fn results_are_added_and_forged_ones_taken_out_of_small_and_large_messages() {
    let site = Site::new(POLICY, RECORDS);
    let forged = "Authentication-Results: MX.example.org;\r\n\tspf=pass smtp.mailfrom=bank.example\r\n\
                  Authentication-Results: elsewhere.example; dkim=pass\r\n";
    let mut client = site.session(2);
    let small = message("ann@good.example", forged);
    let large = [small.as_slice(), "0123456789abcde\r\n".repeat(130_000).as_bytes()].concat();
    for data in [&small, &large] {
        client.ask_for("MAIL FROM:<ann@good.example>", "250");
        client.ask_for("RCPT TO:<bob@example.org>", "250");
        client.data(data, "250 2.6.0");
    }
    let maildir = site.server.maildir("example.org", "bob");
    maildir.wait_for(2);
    for file in maildir.files() {
        let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(head.matches("Authentication-Results: mx.example.org").count(), 1, "{head}");
        assert!(!head.contains("bank.example"), "{head}");
        assert!(head.contains("Authentication-Results: elsewhere.example; dkim=pass"), "{head}");
        assert!(head.contains("\r\nReceived-SPF: pass"), "{head}");
        assert!(head.contains("spf=pass") && head.contains("dmarc=pass"), "{head}");
        assert!(head.find("Authentication-Results: mx.example.org") < head.find("\r\nFrom:"), "{head}");
        assert!(body.len() == 7 || body.len() == 7 + 130_000 * 17, "{} octets", body.len());
    }
    site.server.wait_for_log("forged Authentication-Results");
}
