//! DKIM, ARC and DMARC, by messages that others have signed (`data/README.md` says who).

use std::collections::BTreeMap;

use gatepost::facts::Findings;
use gatepost::facts::arc::Arc;
use gatepost::facts::dkim::Dkim;
use gatepost::facts::dmarc::Dmarc;
use gatepost::facts::spf::{Envelope, Spf};
use gatepost::net::dns::Dns;
use gatepost::net::mail_auth::message::SignedMessage;
use serde::Deserialize;

use crate::harness::{DnsServer, Fault};

#[derive(Debug, Deserialize)]
struct Material {
    records: BTreeMap<String, String>,
    signed: Vec<Vector>,
    sealed: Vec<Vector>,
}

#[derive(Debug, Deserialize)]
struct Vector {
    name: String,
    message: String,
    #[serde(default)]
    words: Vec<String>,
}

const KEY: &str = "rsa._domainkey.example.org";

fn material() -> Material {
    serde_json::from_str(include_str!("data/signed.json")).unwrap()
}

fn server() -> (DnsServer, Dns) {
    let server = DnsServer::start();
    for (name, text) in material().records {
        server.add_one(&name, "TXT", &text);
    }
    let dns = Dns::new(&server.settings()).unwrap();
    (server, dns)
}

fn signed(name: &str) -> String {
    material().signed.into_iter().find(|vector| vector.name == name).unwrap().message
}

fn shown(findings: &Findings) -> String {
    findings.iter().map(|(_, state)| state.to_string()).collect::<Vec<_>>().join(" | ")
}

async fn dkim(dns: &Dns, message: &str) -> String {
    shown(&Dkim::verify(dns, &SignedMessage::of(message.as_bytes())).await.findings())
}

async fn arc(dns: &Dns, message: &str) -> String {
    shown(&Arc::verify(dns, &SignedMessage::of(message.as_bytes())).await.findings())
}

#[tokio::test]
async fn signatures_of_others_verify() {
    let (_server, dns) = server();
    let vectors = material().signed;
    for vector in &vectors {
        let found = Dkim::verify(&dns, &SignedMessage::of(vector.message.as_bytes())).await;
        let words: Vec<&str> = found.signatures.iter().map(|one| one.verification.word()).collect();
        assert_eq!(words, vector.words, "{}: {found:?}", vector.name);
    }
    assert_eq!(vectors.len(), 38);
}

#[tokio::test]
async fn what_was_changed_does_not_verify() {
    let (_server, dns) = server();
    for name in ["plain relaxed/relaxed", "plain simple/simple"] {
        let message = signed(name);
        assert_eq!(dkim(&dns, &message).await, "pass | example.org");
        for (what, with) in [
            ("Hello  Bob", "Hello  Eve"),
            ("To: Bob", "To: Eve"),
            ("end\r\n", "end\r\nmore\r\n"),
            ("From: Alice", "From: Mallory"),
        ] {
            assert!(message.contains(what));
            let changed = message.replacen(what, with, 1);
            assert_eq!(dkim(&dns, &changed).await, "fail | ", "{name}: {with:?}");
        }
    }
    let relaxed = signed("plain relaxed/relaxed").replacen("Subject: A  test", "SUBJECT:A test", 1);
    assert_eq!(dkim(&dns, &relaxed).await, "pass | example.org");
    let oversigned =
        signed("oversigned").replacen("From: Alice", "From: Mallory <m@example.org>\r\nFrom: Alice", 1);
    assert_eq!(dkim(&dns, &oversigned).await, "fail | ");
}

#[tokio::test]
async fn white_space_lines_at_the_end_are_no_change_to_a_relaxed_body() {
    let (_server, dns) = server();
    let message = signed("plain relaxed/relaxed");
    for end in ["", " \r\n", "\r\n \t\r\n\r\n"] {
        assert_eq!(dkim(&dns, &format!("{message}{end}")).await, "pass | example.org", "{end:?}");
    }
    let simple = signed("plain simple/simple");
    assert_eq!(dkim(&dns, &format!("{simple}\r\n")).await, "pass | example.org");
    assert_eq!(dkim(&dns, &format!("{simple} \r\n")).await, "fail | ");
}

#[tokio::test]
async fn keys_that_do_not_count_verify_nothing() {
    let message = signed("plain relaxed/relaxed");
    let good = material().records[KEY].replace("v=DKIM1;g=*;", "");
    let short = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBANmBe10IgY+u7h3enWTukkqtUD5PR52Tb/mPfjC0QJTocVBq6Za/PlzfV+Py92VaCak19F4WrbVT\
                 K5Gg5tW220MCAwEAAQ==";
    for (record, expected) in [
        (good.clone(), "pass | example.org"),
        (format!("v=DKIM1; s=email; h=sha1:sha256; t=y; {good}"), "pass | example.org"),
        (format!("v=DKIM1; s=tlsrpt; {good}"), "permerror | "),
        (format!("v=DKIM1; h=sha1; {good}"), "permerror | "),
        (format!("{good}; v=DKIM1"), "permerror | "),
        (format!("v=DKIM2; {good}"), "permerror | "),
        (format!("{good}; {good}"), "neutral | "),
        ("v=DKIM1; k=rsa; p=".to_owned(), "permerror | "),
        (format!("k=rsa; p={short}"), "permerror | "),
        ("nothing of the kind".to_owned(), "neutral | "),
    ] {
        let server = DnsServer::start();
        server.add_one(KEY, "TXT", &record);
        let dns = Dns::new(&server.settings()).unwrap();
        assert_eq!(dkim(&dns, &message).await, expected, "{record}");
    }
}

#[tokio::test]
async fn a_key_that_can_not_be_looked_up_is_unsure() {
    let (server, dns) = server();
    let message = signed("plain relaxed/relaxed");
    server.spoil(KEY, Fault::ServerFailure);
    assert_eq!(dkim(&dns, &message).await, "unsure: temperror: SERVFAIL | unsure: temperror: SERVFAIL");
    server.mend();
    assert_eq!(dkim(&dns, &message).await, "pass | example.org");
    let elsewhere = DnsServer::start();
    let without = Dns::new(&elsewhere.settings()).unwrap();
    assert_eq!(dkim(&without, &message).await, "permerror | ");
}

#[tokio::test]
async fn a_message_makes_the_verifier_ask_only_so_much() {
    let (server, dns) = server();
    let one = |number: usize| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d=d{number}.example; s=k; h=from; bh=aGVsbG8=;\r\n b=aGVsbG8=\r\n"
        )
    };
    let many: String = (0..100).map(one).collect();
    let message = format!("{many}From: a@example.org\r\n\r\nhello\r\n");
    let found = Dkim::verify(&dns, &SignedMessage::of(message.as_bytes())).await;
    assert!(found.signatures.len() <= 20 && server.questions().len() <= 10, "{:?}", server.questions());
    let unsigned = "From: a@example.org\r\n\r\nhello\r\n";
    assert_eq!(dkim(&dns, unsigned).await, "none | ");
    assert_eq!(arc(&dns, unsigned).await, "none | (none)");
}

#[tokio::test]
async fn chains_verify_until_someone_breaks_them() {
    let (server, dns) = server();
    let chains = material().sealed;
    for chain in &chains {
        assert_eq!(arc(&dns, &chain.message).await, "pass | example.org", "{}", chain.name);
    }
    assert_eq!(chains.len(), 3);
    let [one, .., three] = chains.as_slice() else { panic!("three chains") };
    let message = &three.message;
    for (what, with) in [
        ("hello", "HELLO"),
        ("i=2;", "i=4;"),
        ("cv=pass", "cv=none"),
        ("cv=pass", "cv=fail"),
        ("ARC-Seal: i=1", "X-ARC-Seal: i=1"),
        ("ARC-Message-Signature: i=3", "X-Other: i=3"),
        ("ARC-Authentication-Results: i=2; mx2", "ARC-Authentication-Results: i=2; mx9"),
        ("Subject: A", "Subject: B"),
        ("a=rsa-sha256", "a=rsa-sha1"),
    ] {
        assert!(message.contains(what), "{what}");
        assert_eq!(arc(&dns, &message.replacen(what, with, 1)).await, "fail | example.org", "{what} {with}");
    }
    server.keep_for(0);
    let again = Dns::new(&server.settings()).unwrap();
    server.spoil(KEY, Fault::Refused);
    assert_eq!(arc(&again, &one.message).await, "unsure: temperror: REFUSED | example.org");
}

async fn dmarc(dns: &Dns, message: &str, client: &str, sender: &str) -> String {
    let envelope = Envelope {
        client: client.parse().unwrap(),
        helo: "mx.example.net",
        sender,
        receiver: "mx.here.example",
    };
    let spf = Spf::check(dns, &envelope).await;
    shown(&Dmarc::verify(dns, &SignedMessage::of(message.as_bytes()), &spf).await.findings())
}

#[tokio::test]
async fn who_is_named_in_from_stands_behind_the_message_or_not() {
    let (server, dns) = server();
    server.add(
        "_dmarc.example.org TXT v=DMARC1; p=reject; sp=quarantine; np=none
         sub.example.org TXT v=spf1 ip4:192.0.2.1 -all
         example.org TXT v=spf1 ip4:192.0.2.2 -all
         other.example TXT v=spf1 +all
         other.tld TXT v=spf1 +all
         _dmarc.tld TXT v=DMARC1; p=reject; sp=reject; np=reject
         _dmarc.strict.example TXT v=DMARC1; p=quarantine; aspf=s; adkim=s
         mail.strict.example TXT v=spf1 +all
         _dmarc.twice.example TXT v=DMARC1; p=reject
         _dmarc.twice.example TXT v=DMARC1; p=none
         _dmarc.testing.example TXT v=DMARC1; p=reject; t=y",
    );
    let from = |author: &str| format!("From: {author}\r\nSubject: x\r\n\r\nhello\r\n");
    let signed = signed("plain relaxed/relaxed");
    for (message, client, sender, expected) in [
        (signed.clone(), "203.0.113.9", "a@other.example", "pass | reject | example.org"),
        (signed.replacen("Hello", "Bye", 1), "203.0.113.9", "a@other.example", "fail | reject | example.org"),
        (from("a@example.org"), "192.0.2.2", "a@example.org", "pass | reject | example.org"),
        (from("a@example.org"), "192.0.2.1", "a@sub.example.org", "pass | reject | example.org"),
        (from("a@sub.example.org"), "192.0.2.2", "a@example.org", "pass | quarantine | example.org"),
        (from("a@sub.example.org"), "203.0.113.9", "", "fail | quarantine | example.org"),
        (from("a@nowhere.example.org"), "203.0.113.9", "", "fail | none | example.org"),
        (
            from("a@strict.example"),
            "192.0.2.1",
            "a@mail.strict.example",
            "fail | quarantine | strict.example",
        ),
        (from("a@other.example"), "192.0.2.1", "a@other.example", "none | (none) | (none)"),
        (from("a@twice.example"), "192.0.2.1", "a@other.example", "none | (none) | (none)"),
        (from("a@testing.example"), "192.0.2.1", "a@other.example", "fail | quarantine | testing.example"),
        (from("a@example.org, b@other.example"), "203.0.113.9", "", "none | (none) | (none)"),
        (from("nobody"), "203.0.113.9", "", "none | (none) | (none)"),
        (from("a@Example.ORG."), "203.0.113.9", "", "fail | reject | example.org"),
        (from("a@sub.tld"), "192.0.2.1", "a@other.tld", "pass | reject | tld"),
    ] {
        assert_eq!(dmarc(&dns, &message, client, sender).await, expected, "{client} <{sender}> {message}");
    }
}

#[tokio::test]
async fn a_message_with_too_much_is_not_let_off() {
    let (server, dns) = server();
    server.add("_dmarc.example.org TXT v=DMARC1; p=reject\nother.example TXT v=spf1 +all");
    let fields = "x: y\r\n".repeat(5_001);
    let signed = signed("plain relaxed/relaxed");
    let many = format!("{fields}{signed}");
    assert_eq!(dmarc(&dns, &many, "192.0.2.1", "a@other.example").await, "fail | reject | example.org");
    assert_eq!(dkim(&dns, &many).await, "permerror | ");
    assert_eq!(arc(&dns, &many).await, "permerror | (none)");
    let early = format!("From: a@example.org\r\n{}\r\n", "x: y\r\n".repeat(500_000));
    assert_eq!(dmarc(&dns, &early, "192.0.2.1", "a@other.example").await, "fail | reject | example.org");
    let late = format!("x: {}\r\nFrom: a@example.org\r\n\r\n", "y".repeat(3_000_000));
    assert_eq!(dmarc(&dns, &late, "192.0.2.1", "a@other.example").await, "permerror | (none) | (none)");
}

#[tokio::test]
async fn no_signature_makes_a_failure_unsure() {
    let (server, dns) = server();
    server.add("_dmarc.example.org TXT v=DMARC1; p=reject\nother.example TXT v=spf1 +all");
    for (selector, domain) in [
        ("k", "example.org"),
        ("k.", "example.org"),
        ("K..K", "Example.org"),
        ("\u{c4}", "example.org"),
        ("\u{130}", "EXAMPLE.org"),
        ("k", "example.org."),
        ("k", "example.org.."),
        ("k", "..example.org"),
        ("k", "sub.example.org"),
        ("k\\@", "b\u{fc}cher.example.org"),
        (&"k".repeat(70), "example.org"),
        (&"k.".repeat(130), "example.org"),
    ] {
        let message = format!(
            "DKIM-Signature: v=1; a=rsa-sha256; d={domain}; s={selector}; h=from; c=relaxed/relaxed;\r\n \
             bh=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=; b=aGVsbG8=\r\nFrom: a@example.org\r\n\r\n"
        );
        let found = dmarc(&dns, &message, "192.0.2.1", "a@other.example").await;
        assert_eq!(found, "fail | reject | example.org", "{selector} {domain}");
        assert!(!dkim(&dns, &message).await.contains("unsure"), "{selector} {domain}");
    }
}

#[tokio::test]
async fn what_dmarc_can_not_look_up_is_unsure() {
    let (server, dns) = server();
    server.add("_dmarc.example.org TXT v=DMARC1; p=reject\nother.example TXT v=spf1 +all");
    server.spoil("_dmarc.broken.example", Fault::ServerFailure);
    server.spoil("example.org", Fault::ServerFailure);
    server.spoil(KEY, Fault::ServerFailure);
    let unsure =
        |why: &str| format!("unsure: temperror: {why} | unsure: temperror: {why} | unsure: temperror: {why}");
    let broken = "From: a@broken.example\r\n\r\nhello\r\n";
    assert_eq!(dmarc(&dns, broken, "192.0.2.1", "a@other.example").await, unsure("SERVFAIL"));
    let plain = "From: a@example.org\r\n\r\nhello\r\n";
    assert_eq!(
        dmarc(&dns, plain, "192.0.2.1", "a@example.org").await,
        unsure("SPF or DKIM can't be told now"),
        "SPF of the author domain itself can't be looked up"
    );
    let signed = signed("plain relaxed/relaxed");
    assert_eq!(dmarc(&dns, &signed, "192.0.2.1", "a@other.example").await, unsure("SERVFAIL"));
}

#[tokio::test]
async fn no_message_makes_the_verifiers_panic() {
    let server = DnsServer::start();
    let dns = Dns::new(&server.settings()).unwrap();
    let material = material();
    let chain = &material.sealed.last().unwrap().message;
    let mut seen = 0;
    for whole in [chain.as_str(), signed("RFC 8463 appendix A").as_str()] {
        for at in (0..whole.len()).step_by(23).filter(|at| whole.is_char_boundary(*at)) {
            let (start, end) = whole.split_at(at);
            for message in
                [start.to_owned(), end.to_owned(), format!("{start};{end}"), format!("{start}\r\n{end}")]
            {
                let message = SignedMessage::of(message.as_bytes());
                let dkim = Dkim::verify(&dns, &message).await;
                assert!(dkim.signatures.iter().all(|one| one.verification.word() != "pass"));
                assert_ne!(Arc::verify(&dns, &message).await.word(), "pass");
                seen += 1;
            }
        }
    }
    assert!(seen > 500, "only {seen}");
}
