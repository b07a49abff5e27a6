//! Look-ups: answers, absence, failures, what is kept, and what is joined.

use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use gatepost::config::DnsSettings;
use gatepost::net::dns::{Absent, Dns, DnsFailure, Mx};
use hickory_resolver::proto::rr::RecordType;

use crate::harness::{DnsServer, Fault, PATIENCE, wait_for};

fn dns(server: &DnsServer) -> Dns {
    Dns::new(&server.settings()).unwrap()
}

/// One that gives up soon.
fn impatient(server: &DnsServer) -> Dns {
    Dns::new(&DnsSettings { timeout: Duration::from_millis(150), ..server.settings() }).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn every_kind_of_record_is_found() {
    let server = DnsServer::with(
        "example.org MX 20 b.example.org\nexample.org MX 10 A.example.org\nexample.org TXT v=spf1 -all\n\
         a.example.org A 192.0.2.1\na.example.org AAAA 2001:db8::1\n\
         1.2.0.192.in-addr.arpa PTR A.Example.org\nalias.example.org CNAME a.example.org",
    );
    server.add_txt("two.example.org", &[b"v=spf1 ", b"-all"]);
    let dns = dns(&server);
    let mx = dns.mx("Example.ORG").await.unwrap();
    let first = Mx { preference: 10, exchange: "a.example.org".into() };
    assert_eq!((mx.records().len(), mx.records().first()), (2, Some(&first)));
    assert_eq!(mx.absent(), None);
    let both = [ip("192.0.2.1"), ip("2001:db8::1")];
    assert_eq!(dns.addresses("a.example.org").await.unwrap().records(), both);
    assert_eq!(dns.addresses("alias.example.org").await.unwrap().records(), both);
    assert_eq!(dns.ptr(ip("192.0.2.1")).await.unwrap().records(), ["a.example.org"]);
    assert_eq!(dns.ptr(ip("::ffff:192.0.2.1")).await.unwrap().records(), ["a.example.org"]);
    assert_eq!(dns.txt("example.org").await.unwrap().records(), [b"v=spf1 -all"]);
    assert_eq!(dns.txt("two.example.org").await.unwrap().records(), [b"v=spf1 -all"]);
    assert!(!mx.is_secure());
}

#[tokio::test]
async fn a_configuration_names_the_servers() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    let text = format!("{}[domain.\"example.org\".mailbox]\nalice = {{}}\n", server.config());
    let parsed = gatepost::config::parse(&text, "gatepost.toml", &mut |_| Ok(String::new())).unwrap();
    let dns = Dns::new(&parsed.config.dns).unwrap();
    assert_eq!(dns.ipv4("example.org").await.unwrap().records(), [ip("192.0.2.1")]);
}

#[tokio::test]
async fn there_are_two_kinds_of_absence() {
    let server = DnsServer::with("example.org A 192.0.2.1\nx.below.example.org A 192.0.2.2");
    let dns = dns(&server);
    assert_eq!(dns.mx("example.org").await.unwrap().absent(), Some(Absent::NoSuchRecord));
    assert_eq!(dns.mx("nowhere.example").await.unwrap().absent(), Some(Absent::NoSuchName));
    assert_eq!(dns.addresses("nowhere.example").await.unwrap().absent(), Some(Absent::NoSuchName));
    assert_eq!(dns.exists("example.org").await, Ok(true));
    assert_eq!(dns.exists("below.example.org").await, Ok(true), "an empty name with names below it");
    assert_eq!(dns.exists("nowhere.example").await, Ok(false));
}

#[tokio::test]
async fn a_name_that_can_not_be_is_absent_and_nobody_is_asked() {
    let server = DnsServer::start();
    let dns = dns(&server);
    for name in ["", "a..example", &"a".repeat(64), &format!("{}example", "a.".repeat(130))] {
        assert_eq!(dns.addresses(name).await.unwrap().absent(), Some(Absent::NoSuchName), "{name:?}");
    }
    assert_eq!(server.questions(), Vec::<String>::new());
}

#[tokio::test]
async fn a_failure_is_never_absence() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    let faults = [
        (Fault::ServerFailure, DnsFailure::ServerFailure),
        (Fault::Refused, DnsFailure::Refused),
        (Fault::Silence, DnsFailure::Timeout),
        (Fault::Garbage, DnsFailure::Timeout),
        (Fault::Delay(Duration::from_secs(5)), DnsFailure::Timeout),
        (Fault::AlwaysTruncated, DnsFailure::ServerFailure),
        (Fault::Referral, DnsFailure::ServerFailure),
    ];
    for (fault, failure) in faults {
        let dns = if failure == DnsFailure::Timeout { impatient(&server) } else { dns(&server) };
        server.mend();
        server.spoil("example.org", fault);
        assert_eq!(dns.ipv4("example.org").await, Err(failure), "{fault:?}");
        assert_eq!(dns.addresses("example.org").await, Err(failure), "{fault:?}");
        assert_eq!(dns.exists("example.org").await, Err(failure), "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_failure() {
    // Nobody else has a port of that address.
    let closed = UdpSocket::bind("127.0.0.250:0").unwrap().local_addr().unwrap();
    let server = DnsServer::start();
    let settings =
        DnsSettings { servers: vec![closed], timeout: Duration::from_millis(300), ..server.settings() };
    let failure = Dns::new(&settings).unwrap().ipv4("example.org").await.unwrap_err();
    assert!(matches!(failure, DnsFailure::Network | DnsFailure::Timeout), "{failure:?}");
}

#[tokio::test]
async fn half_an_answer_says_that_it_is_half() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    server.spoil_type("example.org", RecordType::AAAA, Fault::ServerFailure);
    server.spoil_type("bare.example", RecordType::AAAA, Fault::ServerFailure);
    let dns = dns(&server);
    let answer = dns.addresses("example.org").await.unwrap();
    assert_eq!(
        (answer.records(), answer.incomplete()),
        (&[ip("192.0.2.1")][..], Some(DnsFailure::ServerFailure))
    );
    assert_eq!(dns.addresses("bare.example").await, Err(DnsFailure::ServerFailure));
}

#[tokio::test]
async fn what_does_not_fit_comes_by_tcp() {
    let server = DnsServer::with("cut.example A 192.0.2.1");
    let long = "a".repeat(4_000);
    server.add(&format!("long.example TXT {long}"));
    server.spoil("cut.example", Fault::Truncated);
    let dns = dns(&server);
    assert_eq!(dns.txt("long.example").await.unwrap().records(), [long.into_bytes()]);
    assert_eq!(dns.ipv4("cut.example").await.unwrap().records(), [ip("192.0.2.1")]);
}

#[tokio::test]
async fn answers_and_absence_are_kept_and_failures_are_not() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    server.spoil("broken.example", Fault::ServerFailure);
    let dns = dns(&server);
    for _ in 0..3 {
        assert_eq!(dns.ipv4("example.org").await.unwrap().records().len(), 1);
        assert_eq!(dns.ipv4("EXAMPLE.org.").await.unwrap().records().len(), 1);
        assert!(dns.ipv4("nowhere.example").await.unwrap().absent().is_some());
        assert!(dns.ipv4("broken.example").await.is_err());
    }
    assert_eq!(server.asked("A example.org"), 1);
    assert_eq!(server.asked("A nowhere.example"), 1);
    assert_eq!(server.asked("A broken.example"), 3);
    server.mend();
    server.add("broken.example A 192.0.2.9");
    assert_eq!(dns.ipv4("broken.example").await.unwrap().records(), [ip("192.0.2.9")]);
}

#[tokio::test]
async fn what_may_not_be_kept_is_asked_again() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    server.keep_for(0);
    let dns = dns(&server);
    for _ in 0..2 {
        dns.ipv4("example.org").await.unwrap();
        dns.ipv4("nowhere.example").await.unwrap();
    }
    assert_eq!((server.asked("A example.org"), server.asked("A nowhere.example")), (2, 2));
}

#[tokio::test]
async fn the_same_question_at_the_same_time_is_asked_once() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    server.spoil("example.org", Fault::Delay(Duration::from_millis(200)));
    let dns = dns(&server);
    let (one, two, three) =
        tokio::join!(dns.ipv4("example.org"), dns.ipv4("Example.org"), dns.ipv4("example.org"));
    for answer in [one, two, three] {
        assert_eq!(answer.unwrap().records(), [ip("192.0.2.1")]);
    }
    assert_eq!(server.asked("A example.org"), 1);
}

#[tokio::test]
async fn nobody_waits_longer_than_the_patience() {
    let server = DnsServer::start();
    server.spoil("example.org", Fault::Silence);
    let settings = DnsSettings { timeout: Duration::from_millis(500), attempts: 3, ..server.settings() };
    let dns = Dns::new(&settings).unwrap();
    assert_eq!(dns.patience(), Duration::from_millis(1_500));
    let look_up = tokio::time::timeout(PATIENCE, dns.ipv4("example.org")).await;
    assert_eq!(look_up, Ok(Err(DnsFailure::Timeout)));
    wait_for("a second question", || (server.asked("A example.org") >= 2).then_some(()));
}

#[tokio::test]
async fn an_unsigned_answer_is_bogus_where_everything_is_to_be_validated() {
    let server = DnsServer::with("example.org A 192.0.2.1");
    let dns = Dns::new(&DnsSettings { dnssec: true, ..server.settings() }).unwrap();
    assert_eq!(dns.ipv4("example.org").await, Err(DnsFailure::Bogus));
    assert_eq!(dns.mx("nowhere.example").await, Err(DnsFailure::Bogus));
}

#[tokio::test]
async fn what_is_signed_is_secure_and_what_is_tampered_with_is_bogus() {
    let server = DnsServer::with("example.org A 192.0.2.1\nexample.org MX 10 mx.example.org");
    server.add("alias.example.org CNAME example.org\n_25._tcp.mx.example.org TXT no TLSA");
    let folder = tempfile::tempdir().unwrap();
    let anchors = folder.path().join("root.key");
    std::fs::write(&anchors, server.sign()).unwrap();
    let settings = DnsSettings { dnssec: true, trust_anchors: Some(anchors.clone()), ..server.settings() };
    let dns = Dns::new(&settings).unwrap();

    let mx = dns.mx("example.org").await.unwrap();
    assert_eq!((mx.records().len(), mx.is_secure()), (1, true));
    let alias = dns.ipv4("alias.example.org").await.unwrap();
    assert_eq!((alias.records(), alias.is_secure()), (&[ip("192.0.2.1")][..], true));
    for _ in 0..2 {
        let nothing = dns.tlsa("_25._tcp.mx.example.org").await.unwrap();
        assert_eq!((nothing.absent(), nothing.is_secure()), (Some(Absent::NoSuchRecord), true));
    }
    assert_eq!(server.asked("TLSA _25._tcp.mx.example.org"), 1, "proved absence is kept too");

    // Another key signs from here on.
    server.sign();
    assert_eq!(dns.ipv4("mx.example.org").await, Err(DnsFailure::Bogus));
    let plain = Dns::new(&server.settings()).unwrap();
    let unproved = plain.mx("example.org").await.unwrap();
    assert_eq!((unproved.records().len(), unproved.is_secure()), (1, false));
    let missing = DnsSettings { trust_anchors: Some(folder.path().join("nowhere")), ..settings };
    let why = Dns::new(&missing).unwrap_err();
    assert!(why.starts_with("the trust anchors of") && why.contains("nowhere"), "{why}");
}
