//! Facts about names: the client's, the one of EHLO, the sender's domain, the recipient's.

use gatepost::facts::Findings;
use gatepost::facts::client_name::client_name;
use gatepost::facts::helo_name::helo_name;
use gatepost::facts::recipient_domain::recipient_domain;
use gatepost::facts::sender_domain::sender_domain;
use gatepost::net::dns::Dns;
use hickory_resolver::proto::rr::RecordType;

use crate::harness::{DnsServer, Fault};

const RECORDS: &str = "
    1.2.0.192.in-addr.arpa PTR mx.example.org
    mx.example.org A 192.0.2.1
    mx.example.org AAAA 2001:db8::1
    1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa PTR mx.example.org
    2.2.0.192.in-addr.arpa PTR liar.example.org
    liar.example.org A 192.0.2.77
    3.2.0.192.in-addr.arpa PTR a.example.org
    3.2.0.192.in-addr.arpa PTR b.example.org
    a.example.org A 192.0.2.77
    b.example.org A 192.0.2.3
    5.2.0.192.in-addr.arpa PTR broken.example.org
    example.org MX 10 mx.example.org
    bare.example A 192.0.2.9
    null.example MX 0 .
    nothing.example TXT hello";

fn server() -> (DnsServer, Dns) {
    let server = DnsServer::with(RECORDS);
    server.spoil("broken.example.org", Fault::ServerFailure);
    server.spoil("broken.example", Fault::ServerFailure);
    server.spoil("4.2.0.192.in-addr.arpa", Fault::ServerFailure);
    server.spoil_type("half.example", RecordType::MX, Fault::ServerFailure);
    server.add("half.example A 192.0.2.9\nlame.example A 192.0.2.9");
    server.spoil_type("lame.example", RecordType::AAAA, Fault::Referral);
    let dns = Dns::new(&server.settings()).unwrap();
    (server, dns)
}

/// The findings as `name = state` separated by `; `, so that a case is one line.
fn shown(findings: &Findings) -> String {
    let one = |(name, state): &(&str, _)| format!("{} = {state}", name.split_once('.').unwrap().1);
    findings.iter().map(one).collect::<Vec<_>>().join("; ")
}

#[tokio::test]
async fn the_clients_name_is_the_one_that_leads_back() {
    let (_server, dns) = server();
    for (client, expected) in [
        ("192.0.2.1", "ptr = mx.example.org; name = mx.example.org; result = pass"),
        ("::ffff:192.0.2.1", "ptr = mx.example.org; name = mx.example.org; result = pass"),
        ("2001:db8::1", "ptr = mx.example.org; name = mx.example.org; result = pass"),
        ("192.0.2.2", "ptr = liar.example.org; name = (none); result = fail"),
        ("192.0.2.3", "ptr = b.example.org; name = b.example.org; result = pass"),
        ("192.0.2.4", "ptr = unsure: SERVFAIL; name = unsure: SERVFAIL; result = unsure: SERVFAIL"),
        ("192.0.2.5", "ptr = broken.example.org; name = unsure: SERVFAIL; result = unsure: SERVFAIL"),
        ("192.0.2.6", "ptr = (none); name = (none); result = permerror"),
    ] {
        assert_eq!(shown(&client_name(&dns, client.parse().unwrap()).await), expected, "{client}");
    }
}

#[tokio::test]
async fn no_more_than_ten_names_of_a_client_are_followed() {
    let server = DnsServer::start();
    for number in 10..40 {
        server.add(&format!("9.2.0.192.in-addr.arpa PTR n{number}.example.org"));
    }
    let dns = Dns::new(&server.settings()).unwrap();
    let findings = client_name(&dns, "192.0.2.9".parse().unwrap()).await;
    assert_eq!(shown(&findings), "ptr = n10.example.org; name = (none); result = fail");
    assert_eq!(server.questions().len(), 11);
}

#[tokio::test]
async fn the_name_of_ehlo_resolves_and_matches() {
    let (_server, dns) = server();
    for (name, client, expected) in [
        ("mx.example.org", "192.0.2.1", "resolves = yes; matches = yes"),
        ("MX.Example.org", "2001:db8::1", "resolves = yes; matches = yes"),
        ("mx.example.org", "192.0.2.2", "resolves = yes; matches = no"),
        ("nowhere.example", "192.0.2.2", "resolves = no; matches = no"),
        ("nothing.example", "192.0.2.2", "resolves = no; matches = no"),
        ("broken.example", "192.0.2.2", "resolves = unsure: SERVFAIL; matches = unsure: SERVFAIL"),
        ("lame.example", "192.0.2.9", "resolves = yes; matches = yes"),
        ("lame.example", "2001:db8::9", "resolves = yes; matches = unsure: SERVFAIL"),
        ("[192.0.2.1]", "192.0.2.1", "resolves = yes; matches = yes"),
        ("[192.0.2.1]", "192.0.2.2", "resolves = yes; matches = no"),
        ("[IPv6:2001:db8::1]", "2001:db8::1", "resolves = yes; matches = yes"),
        ("[x:y]", "192.0.2.1", "resolves = no; matches = no"),
        ("not a name", "192.0.2.1", "resolves = no; matches = no"),
    ] {
        assert_eq!(shown(&helo_name(&dns, name, client.parse().unwrap()).await), expected, "{name} {client}");
    }
}

#[tokio::test]
async fn a_senders_domain_exists_by_mx_or_address() {
    let (server, dns) = server();
    for (domain, expected) in [
        ("example.org", "domain_exists = yes; mx = mx.example.org; null_mx = no"),
        ("bare.example", "domain_exists = yes; mx = ; null_mx = no"),
        ("null.example", "domain_exists = yes; mx = ; null_mx = yes"),
        ("nothing.example", "domain_exists = no; mx = ; null_mx = no"),
        ("nowhere.example", "domain_exists = no; mx = ; null_mx = no"),
        ("half.example", "domain_exists = yes; mx = unsure: SERVFAIL; null_mx = unsure: SERVFAIL"),
        (
            "broken.example",
            "domain_exists = unsure: SERVFAIL; mx = unsure: SERVFAIL; null_mx = unsure: SERVFAIL",
        ),
        ("", "domain_exists = yes; mx = ; null_mx = no"),
        ("[192.0.2.1]", "domain_exists = yes; mx = ; null_mx = no"),
    ] {
        assert_eq!(shown(&sender_domain(&dns, domain).await), expected, "{domain}");
    }
    assert_eq!(server.asked("A nowhere.example"), 0, "NXDOMAIN says all");
}

#[tokio::test]
async fn a_recipients_domain_may_refuse_all_mail() {
    let (server, dns) = server();
    for (domain, is_local, expected) in [
        ("null.example", false, "null_mx = yes"),
        ("example.org", false, "null_mx = no"),
        ("nowhere.example", false, "null_mx = no"),
        ("broken.example", false, "null_mx = unsure: SERVFAIL"),
        ("[192.0.2.1]", false, "null_mx = no"),
        ("local.example", true, "null_mx = no"),
    ] {
        assert_eq!(shown(&recipient_domain(&dns, domain, is_local).await), expected, "{domain}");
    }
    assert_eq!(server.asked("MX local.example"), 0);
}
