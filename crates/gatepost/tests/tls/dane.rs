//! TLSA records: when they hold, and what happens when they don't or can't be found out (RFC 7672).

use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{RData, RecordType};

use super::far::{Far, HOST, send};
use super::harness::{Authority, Fault, Peer};

/// A TLSA record of these numbers, for nobody's certificate.
fn nobodys(usage: u8, selector: u8, matching: u8) -> RData {
    RData::TLSA(TLSA::new(usage.into(), selector.into(), matching.into(), vec![7; 32]))
}

#[test]
fn a_certificate_that_a_record_names_may_have_expired_and_be_for_another_name() {
    let far = Far::with("elsewhere.example", 2021).signed();
    far.add_tlsa(HOST, nobodys(3, 1, 1));
    far.add_tlsa(HOST, far.certificate.record());
    let server = far.site("");
    send(&server);
    let taken = far.wait_for_mail();
    assert_eq!((taken.is_encrypted, taken.asked_for.as_deref()), (true, Some(HOST)));
    server.wait_for_empty_queue();
}

#[test]
fn below_an_authority_that_a_record_names_the_name_is_the_hosts_or_the_domains() {
    for (name, goes) in [(HOST, true), ("far.example", true), ("other.far.example", false)] {
        let far = Far::with(name, 2100).signed();
        far.add_tlsa(HOST, far.certificate.record_of_authority());
        let server = far.site("");
        send(&server);
        if goes {
            assert!(far.wait_for_mail().is_encrypted);
        } else {
            far.assert_deferred(&server, "TLS handshake failed");
        }
    }
}

#[test]
fn a_certificate_that_no_record_names_gets_no_mail() {
    let far = Far::new().signed();
    far.add_tlsa(HOST, Authority::new().certify(HOST, 2100).record());
    // An authority that vouches for it is not asked.
    let server = far.site("ca_file = \"ca.pem\"");
    send(&server);
    far.assert_deferred(&server, "TLS handshake failed");
}

#[test]
fn records_that_cannot_be_found_out_defer_until_they_can() {
    for fault in [Fault::Forged, Fault::Unsigned, Fault::ServerFailure, Fault::Refused, Fault::Silence] {
        let far = Far::new().signed();
        far.add_tlsa(HOST, far.certificate.record());
        far.dns.spoil(&far.tlsa_name(HOST), fault);
        let server = far.site("");
        send(&server);
        far.assert_deferred(&server, "mx.far.example is left out: cannot look up its TLSA records");
        far.dns.mend();
        assert!(far.wait_for_mail().is_encrypted, "{fault:?}");
    }
}

#[test]
fn records_whose_absence_is_not_proven_defer() {
    let far = Far::new().signed();
    far.dns.spoil(&far.tlsa_name(HOST), Fault::Unsigned);
    let server = far.site("");
    send(&server);
    far.assert_deferred(&server, "cannot look up its TLSA records: DNSSEC validation failed");
}

#[test]
fn hosts_that_are_not_proven_to_be_the_domains_defer() {
    for (name, record_type) in [("far.example", RecordType::MX), (HOST, RecordType::A)] {
        for fault in [Fault::Forged, Fault::Unsigned] {
            let far = Far::new().signed();
            far.add_tlsa(HOST, far.certificate.record());
            far.dns.spoil_type(name, record_type, fault);
            let server = far.site("");
            send(&server);
            far.assert_deferred(&server, &format!("cannot look up {name}: DNSSEC validation failed"));
        }
    }
}

#[test]
fn who_keeps_one_kind_of_addresses_away_keeps_no_records_away() {
    let far = Far::new().signed();
    far.add_tlsa(HOST, nobodys(3, 1, 1));
    far.dns.spoil_type(HOST, RecordType::AAAA, Fault::ServerFailure);
    let server = far.site("");
    send(&server);
    far.assert_deferred(&server, "TLS handshake failed");
}

#[test]
fn records_of_a_zone_without_keys_are_none() {
    let far = Far::new().signed();
    far.dns.leave_unsigned("far.example");
    far.add_tlsa(HOST, nobodys(3, 1, 1));
    let server = far.site("");
    send(&server);
    assert!(far.wait_for_mail().is_encrypted);
    assert_eq!(far.dns.asked(&format!("TLSA {}", far.tlsa_name(HOST))), 0);
}

#[test]
fn where_there_are_no_records_anybodys_certificate_will_do() {
    let far = Far::with("elsewhere.example", 2021).signed();
    let server = far.site("");
    send(&server);
    assert!(far.wait_for_mail().is_encrypted);
    assert_eq!(far.dns.asked(&format!("TLSA {}", far.tlsa_name(HOST))), 1);
}

#[test]
fn records_of_no_use_ask_for_encryption() {
    let far = Far::with("elsewhere.example", 2021).signed();
    far.add_tlsa(HOST, nobodys(1, 1, 1));
    far.add_tlsa(HOST, nobodys(3, 1, 9));
    let server = far.site("");
    send(&server);
    assert!(far.wait_for_mail().is_encrypted);

    let far = Far::new().signed();
    let plain = Peer::start(&["250 2.0.0 taken"]);
    far.dns.add_record(&format!("_{}._tcp.{HOST}", plain.address().port()), nobodys(1, 1, 1));
    let relay = format!("mx = true\nmx_port = {}\nmx_loopback = true", plain.address().port());
    let server = far.site_with(&relay, "");
    send(&server);
    far.assert_deferred(&server, "does not offer STARTTLS");
    assert!(plain.seen().messages.is_empty());
}

/// far.example whose MX host is an alias for a host of another domain.
fn aliased(certified: &str) -> Far {
    let far = Far::with(certified, 2100);
    far.dns.remove(HOST);
    far.dns.add(&format!("{HOST} CNAME real.host.example\nreal.host.example A 127.0.0.1"));
    far.signed()
}

#[test]
fn the_records_of_a_host_that_is_an_alias_are_where_the_alias_leads_or_else_its_own() {
    let far = aliased("real.host.example");
    far.add_tlsa("real.host.example", far.certificate.record_of_authority());
    far.add_tlsa(HOST, nobodys(3, 1, 1));
    let server = far.site("");
    send(&server);
    assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some("real.host.example"));

    let far = aliased(HOST);
    far.add_tlsa(HOST, far.certificate.record_of_authority());
    let server = far.site("");
    send(&server);
    assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some(HOST));
}

#[test]
fn an_alias_that_leads_out_of_what_is_signed_has_records_of_its_own() {
    let far = aliased(HOST);
    far.dns.leave_unsigned("host.example");
    far.add_tlsa("real.host.example", far.certificate.record());
    far.add_tlsa(HOST, nobodys(3, 1, 1));
    let server = far.site("");
    send(&server);
    far.assert_deferred(&server, "TLS handshake failed");
}

#[test]
fn a_host_that_is_barred_leaves_the_others() {
    let far = Far::new().signed();
    far.dns.add("far.example MX 5 first.far.example\nfirst.far.example A 127.0.0.1");
    far.dns.spoil(&far.tlsa_name("first.far.example"), Fault::Forged);
    far.add_tlsa(HOST, far.certificate.record());
    let server = far.site("");
    send(&server);
    assert_eq!(far.wait_for_mail().asked_for.as_deref(), Some(HOST));
}
