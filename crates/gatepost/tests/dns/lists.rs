//! Lists in the DNS: listings, errors that are none, reasons, time limits, and lists that are switched off.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost::facts::dns_list::{DnsList, Listed, Listing};
use gatepost::facts::list_health::ListHealth;
use gatepost::net::dns::Dns;

use crate::harness::{DnsServer, Fault, PATIENCE};

const RECORDS: &str = "
    2.0.0.127.list.example A 127.0.0.2
    1.2.0.192.list.example A 127.0.0.4
    1.2.0.192.list.example TXT listed, see https://list.example/?192.0.2.1
    2.2.0.192.list.example A 127.0.0.2
    2.2.0.192.list.example A 127.0.0.9
    3.2.0.192.list.example A 127.255.255.254
    3.2.0.192.list.example TXT error: open resolver
    4.2.0.192.list.example A 198.51.100.7
    5.2.0.192.list.example A 127.0.0.1
    6.2.0.192.list.example A 127.0.0.2
    6.2.0.192.list.example A 127.255.255.252
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.list.example A 127.0.0.2
    test.domains.example A 127.0.1.2
    bad.example.domains.example A 127.0.1.2
    bad.example.domains.example TXT phishing";

fn list() -> DnsList {
    DnsList {
        of_domains: false,
        zone: "list.example".into(),
        codes: Vec::new(),
        timeout: Duration::from_secs(5),
    }
}

fn domains() -> DnsList {
    DnsList { of_domains: true, zone: "domains.example".into(), ..list() }
}

fn server() -> (DnsServer, Dns) {
    let server = DnsServer::with(RECORDS);
    let dns = Dns::new(&server.settings()).unwrap();
    (server, dns)
}

fn address(text: &str) -> Listed<'static> {
    Listed::Address(text.parse().unwrap())
}

fn shown(listing: &Listing) -> String {
    format!("{} | {} | {}", listing.listed, listing.codes, listing.reason)
}

#[tokio::test]
async fn only_listings_are_listings() {
    let (_server, dns) = server();
    let reason = "listed, see https://list.example/?192.0.2.1";
    for (client, expected) in [
        ("192.0.2.1", format!("yes | 127.0.0.4 | {reason}")),
        ("::ffff:192.0.2.1", format!("yes | 127.0.0.4 | {reason}")),
        ("192.0.2.2", "yes | 127.0.0.2, 127.0.0.9 | (none)".into()),
        ("2001:db8::1", "yes | 127.0.0.2 | (none)".into()),
        ("192.0.2.9", "no |  | (none)".into()),
    ] {
        assert_eq!(shown(&list().look_up(&dns, &address(client)).await), expected, "{client}");
    }
    for (client, error) in [
        ("192.0.2.3", "error answer 127.255.255.254"),
        ("192.0.2.4", "answer 198.51.100.7 is outside 127.0.0.0/8"),
        ("192.0.2.5", "error answer 127.0.0.1"),
        ("192.0.2.6", "error answer 127.255.255.252"),
    ] {
        let expected = format!("unsure: {error} | unsure: {error} | unsure: {error}");
        assert_eq!(shown(&list().look_up(&dns, &address(client)).await), expected, "{client}");
    }
}

#[tokio::test]
async fn codes_that_do_not_count_are_no_listing() {
    let (server, dns) = server();
    let code = |text: &str| text.parse::<IpAddr>().unwrap();
    let list = DnsList { codes: vec![(code("127.0.0.4"), code("127.0.0.8"))], ..list() };
    assert!(shown(&list.look_up(&dns, &address("192.0.2.1")).await).starts_with("yes | 127.0.0.4"));
    let other = list.look_up(&dns, &address("192.0.2.2")).await;
    assert_eq!(shown(&other), "no | 127.0.0.2, 127.0.0.9 | (none)");
    assert_eq!(server.asked("TXT 2.2.0.192.list.example"), 0, "nobody asks why what is not listed is listed");
}

#[tokio::test]
async fn domains_are_looked_up_as_they_are_and_as_they_were_registered() {
    let (server, dns) = server();
    let keys = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    for (names, expected) in [
        (keys(&["www.bad.example", "good.example"]), "yes | 127.0.1.2 | phishing"),
        (keys(&["good.example"]), "no |  | (none)"),
        (keys(&["", "[192.0.2.1]"]), "no |  | (none)"),
        (keys(&[]), "no |  | (none)"),
    ] {
        assert_eq!(shown(&domains().look_up(&dns, &Listed::Domains(&names)).await), expected, "{names:?}");
    }
    server.spoil("broken.example.domains.example", Fault::ServerFailure);
    let broken = keys(&["broken.example"]);
    assert!(shown(&domains().look_up(&dns, &Listed::Domains(&broken)).await).starts_with("unsure: SERVFAIL"));
    let both = keys(&["broken.example", "bad.example"]);
    assert!(shown(&domains().look_up(&dns, &Listed::Domains(&both)).await).starts_with("yes"));
}

#[tokio::test]
async fn a_list_has_its_own_time() {
    let (server, dns) = server();
    server.spoil("1.2.0.192.list.example", Fault::Silence);
    let quick = DnsList { timeout: Duration::from_millis(100), ..list() };
    let late = quick.look_up(&dns, &address("192.0.2.1")).await;
    assert_eq!(shown(&late), "unsure: time-out | unsure: time-out | unsure: time-out");
    server.mend();
    server.spoil_type("1.2.0.192.list.example", hickory_resolver::proto::rr::RecordType::TXT, Fault::Silence);
    let listing = list().look_up(&dns, &address("192.0.2.1")).await;
    assert_eq!(shown(&listing), "yes | 127.0.0.4 | unsure: time-out");
}

#[tokio::test]
async fn a_list_that_lists_everything_is_switched_off_and_on_again() {
    let (server, dns) = server();
    let health = ListHealth::default();
    server.keep_for(0);
    health.check(&dns, &list()).await;
    assert_eq!(health.off("list.example"), None);

    // A site's own list may have the site's own address.
    server.add("1.0.0.127.list.example A 127.0.0.2");
    health.check(&dns, &list()).await;
    assert_eq!(health.off("list.example"), None);

    server.add("254.2.0.192.list.example A 127.0.0.2");
    health.check(&dns, &list()).await;
    let why = health.off("list.example").unwrap();
    assert!(why.starts_with("switched off since ") && why.contains("it lists everything"), "{why}");
    let before = server.questions().len();
    let listing = health.look_up(&dns, &list(), &address("192.0.2.1")).await;
    assert_eq!(listing, Listing::unsure(&why));
    assert_eq!(server.questions().len(), before, "a list that is off is not asked");

    server.remove("1.0.0.127.list.example");
    health.check(&dns, &list()).await;
    assert_eq!(health.off("list.example"), None);
    assert!(shown(&health.look_up(&dns, &list(), &address("192.0.2.1")).await).starts_with("yes"));
}

#[tokio::test]
async fn a_list_without_its_test_entry_is_no_list_any_more() {
    let (server, dns) = server();
    let health = ListHealth::default();
    for list in [list(), domains()] {
        health.check(&dns, &list).await;
        assert_eq!(health.off(&list.zone), None);
    }
    server.keep_for(0);
    let gone = DnsList { zone: "gone.example".into(), ..list() };
    health.check(&dns, &gone).await;
    assert_eq!(health.off("gone.example"), None, "one that never had it is a site's own");
    server.add(&format!("2.0.0.0.0.0.f.7.f.f.f.f.{}gone.example A 127.0.0.2", "0.".repeat(20)));
    health.check(&dns, &gone).await;
    assert_eq!(health.off("gone.example"), None, "a list of IPv6 addresses has its test entry there");
    server.remove(&format!("2.0.0.0.0.0.f.7.f.f.f.f.{}gone.example", "0.".repeat(20)));
    health.check(&dns, &gone).await;
    assert!(health.off("gone.example").unwrap().contains("its test entry has gone"));

    let parked = DnsList { zone: "parked.example".into(), ..list() };
    server.add("2.0.0.127.parked.example A 198.51.100.7\n1.0.0.127.parked.example A 198.51.100.7");
    health.check(&dns, &parked).await;
    assert!(health.off("parked.example").is_some());
}

#[tokio::test]
async fn a_list_that_stops_answering_is_switched_off() {
    let (server, dns) = server();
    let health = ListHealth::default();
    for number in 0..10 {
        assert_eq!(health.off("list.example"), None, "after {number} failures");
        server.spoil(&format!("1.0.113.{number}.list.example"), Fault::ServerFailure);
        let client = format!("{number}.113.0.1");
        assert!(
            shown(&health.look_up(&dns, &list(), &address(&client)).await).starts_with("unsure: SERVFAIL")
        );
    }
    let why = health.off("list.example").unwrap();
    assert!(why.contains("10 look-ups in a row have failed, the last one with SERVFAIL"), "{why}");
    let on_again = async {
        while health.off("list.example").is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let lists = [list()];
    tokio::select! {
        () = health.watch(&dns, &lists) => panic!("watching never ends"),
        () = on_again => {}
        () = tokio::time::sleep(PATIENCE) => panic!("what works again is not switched on"),
    }
}
