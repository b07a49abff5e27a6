//! SPF as facts: the reverse-path and the EHLO name, failures, explanations, limits.

use std::time::Duration;

use gatepost::facts::spf::{Envelope, Spf};
use gatepost::net::dns::{Dns, DnsFailure};
use gatepost::net::mail_auth::spf::{SpfQuestion, SpfResult, check_within};
use hickory_resolver::proto::rr::RecordType;

use crate::harness::{DnsServer, Fault};

const RECORDS: &str = "
    example.org TXT v=spf1 ip4:192.0.2.1 exp=why.example.org -all
    why.example.org TXT %{i} may not send for %{o}, says %{r}
    mx.example.net TXT v=spf1 a -all
    mx.example.net A 192.0.2.1
    twice.example TXT v=spf1 -all
    twice.example TXT v=spf1 +all
    soft.example TXT v=spf1 ~all
    open.example TXT v=spf1 +all
    outer.example TXT v=spf1 include:inner.example -all
    rude.example TXT v=spf1 exp=rude-why.example -all
    rude-why.example TXT go away";

async fn shown(dns: &Dns, client: &str, helo: &str, sender: &str) -> String {
    let client = client.parse().unwrap();
    let spf = Spf::check(dns, &Envelope { client, helo, sender, receiver: "mx.here.example" }).await;
    let one = |(_, state): &(&str, policy::value::State)| state.to_string();
    spf.findings().iter().map(one).collect::<Vec<_>>().join(" | ")
}

#[tokio::test]
async fn the_reverse_path_and_the_ehlo_name_are_checked() {
    let server = DnsServer::with(RECORDS);
    let dns = Dns::new(&server.settings()).unwrap();
    let no = "203.0.113.9 may not send for example.org, says mx.here.example";
    for (client, helo, sender, expected) in [
        ("192.0.2.1", "mx.example.net", "a@example.org", "pass | example.org | (none) | pass".to_owned()),
        ("203.0.113.9", "mx.example.net", "a@Example.org", format!("fail | example.org | {no} | fail")),
        ("192.0.2.1", "mx.example.net", "", "pass | mx.example.net | (none) | pass".into()),
        ("203.0.113.9", "MX.example.net", "", "fail | mx.example.net | (none) | fail".into()),
        ("192.0.2.1", "[192.0.2.1]", "", "none | [192.0.2.1] | (none) | none".into()),
        ("192.0.2.1", "nowhere.example", "a@soft.example", "softfail | soft.example | (none) | none".into()),
        ("192.0.2.1", "localhost", "a@[192.0.2.1]", "none | [192.0.2.1] | (none) | none".into()),
        ("192.0.2.1", "x.example", "a@twice.example", "permerror | twice.example | (none) | none".into()),
        ("2001:db8::1", "x.example", "\"a@b\"@open.example", "pass | open.example | (none) | none".into()),
    ] {
        assert_eq!(shown(&dns, client, helo, sender).await, expected, "{client} {helo} {sender}");
    }
}

#[tokio::test]
async fn what_can_not_be_looked_up_is_unsure() {
    let server = DnsServer::with(RECORDS);
    server.spoil("broken.example", Fault::ServerFailure);
    server.spoil("inner.example", Fault::Refused);
    let dns = Dns::new(&server.settings()).unwrap();
    for (sender, failure) in [("a@broken.example", "SERVFAIL"), ("a@outer.example", "REFUSED")] {
        let shown = shown(&dns, "192.0.2.1", "x.example", sender).await;
        assert!(shown.starts_with(&format!("unsure: temperror: {failure} | ")), "{sender}: {shown}");
    }
    let helo = shown(&dns, "192.0.2.1", "broken.example", "a@open.example").await;
    assert_eq!(helo, "pass | open.example | (none) | unsure: temperror: SERVFAIL");
}

#[tokio::test]
async fn a_check_that_takes_too_long_is_temporary() {
    let server = DnsServer::with("slow.example TXT v=spf1 include:a.example include:b.example +all");
    for name in ["a.example", "b.example"] {
        server.add(&format!("{name} TXT v=spf1 ?all"));
        server.spoil(name, Fault::Delay(Duration::from_millis(400)));
    }
    let dns = Dns::new(&server.settings()).unwrap();
    let question = SpfQuestion {
        client: "192.0.2.1".parse().unwrap(),
        domain: "slow.example",
        sender: "a@slow.example",
        helo: "x.example",
        receiver: "mx.here.example",
    };
    let late = check_within(&dns, &question, Duration::from_millis(600)).await;
    assert_eq!(late.result, SpfResult::TempError(DnsFailure::Timeout));
    let patient = check_within(&dns, &question, Duration::from_secs(60)).await;
    assert_eq!(patient.result, SpfResult::Pass);
}

#[tokio::test]
async fn an_explanation_that_fails_changes_nothing() {
    let server = DnsServer::with(RECORDS);
    let dns = Dns::new(&server.settings()).unwrap();
    server.spoil_type("rude-why.example", RecordType::TXT, Fault::ServerFailure);
    let first = shown(&dns, "192.0.2.1", "x.example", "a@rude.example").await;
    assert_eq!(first, "fail | rude.example | (none) | none");
    server.mend();
    let again = shown(&dns, "192.0.2.1", "x.example", "a@rude.example").await;
    assert_eq!(again, "fail | rude.example | go away | none");
}

#[tokio::test]
async fn an_evaluation_asks_no_more_than_its_limits() {
    let server = DnsServer::start();
    // Each record includes all the others.
    let includes: String = (0..30).map(|number| format!(" include:i{number}.example")).collect();
    server.add(&format!("wide.example TXT v=spf1{includes} -all"));
    for number in 0..30 {
        server.add(&format!("i{number}.example TXT v=spf1{includes} ?all"));
    }
    let dns = Dns::new(&server.settings()).unwrap();
    let shown = shown(&dns, "192.0.2.1", "x.example", "a@wide.example").await;
    assert!(shown.starts_with("permerror"), "{shown}");
    assert!(server.questions().len() <= 12, "{:?}", server.questions());
}
