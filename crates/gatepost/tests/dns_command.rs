//! `gatepost dns`: what it wants in the DNS, and what it says of what stands there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "test code"
)]

mod harness;

use std::fs;
use std::process::{Command, Output};

use harness::{Authority, Certificate, DnsServer, Fault, HttpsServer};
use hickory_resolver::proto::rr::{RData, RecordType};
use serde_json::Value;
use tempfile::TempDir;

const POLICY: &str = "version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 86400\n";

/// A site's configuration, and the DNS and the server of policies that it meets.
struct Site {
    folder: TempDir,
    dns: DnsServer,
    policies: HttpsServer,
}

impl Site {
    fn new() -> Self {
        let (dns, policies) = (DnsServer::start(), HttpsServer::start("mta-sts.example.org", POLICY));
        dns.keep_for(0);
        let site = Self { folder: tempfile::tempdir().unwrap(), dns, policies };
        site.configure("");
        site
    }

    fn configure(&self, more: &str) {
        let config = format!(
            "hostname = \"mx.example.org\"\n{}[relay]\nmx = true\nmx_loopback = true\n\
             [tls]\nca_file = \"ca.pem\"\nmta_sts_port = {}\n{more}\n\
             [domain.\"example.org\".mailbox]\npostmaster = {{}}\n",
            self.dns.config(),
            self.policies.port()
        );
        fs::write(self.folder.path().join("gatepost.toml"), config).unwrap();
        fs::write(self.folder.path().join("ca.pem"), self.policies.certificate()).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(arguments).args(["--config", "gatepost.toml", "--state", "state"]);
        command.current_dir(self.folder.path()).output().unwrap()
    }

    /// Makes a key and configures it.
    fn sign(&self) {
        let made = self.run(&["dkim", "new", "example.org", "--selector", "s1", "--out", "key.pem"]);
        assert!(made.status.success(), "{made:?}");
        self.configure("[dkim.\"example.org\"]\nkeys = [{ selector = \"s1\", file = \"key.pem\" }]");
    }

    /// Puts what `--zone` prints into the DNS.
    fn obey(&self) {
        let zone = String::from_utf8(
            self.run(&["dns", "--zone", "--address", "192.0.2.1", "--address", "2001:db8::1"]).stdout,
        )
        .unwrap();
        let zone =
            zone.replace("; advised: ", "").replace("(\n", "").replace("\"\n    \"", "").replace("\n)", "");
        for line in zone.lines().filter(|line| !line.is_empty() && !line.starts_with(';')) {
            let (name, rest) = line.split_once(" IN ").unwrap_or_else(|| panic!("{line}"));
            let (kind, value) = rest.split_once(' ').unwrap();
            self.dns.add_one(name, kind, value.trim().trim_matches('"').trim_end_matches('.'));
        }
        self.dns.add("mta-sts.example.org A 127.0.0.1");
    }

    fn put(&self, name: &str, kind: &str, value: &str) {
        self.dns.remove(name);
        self.dns.add_one(name, kind, value);
    }

    /// What is said, by records and names, and the exit code.
    fn said(&self, arguments: &[&str]) -> (Vec<(String, String, String)>, i32) {
        let all =
            [&["dns", "--json", "--address", "192.0.2.1", "--address", "2001:db8::1"], arguments].concat();
        let output = self.run(&all);
        let page: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        assert_eq!((page["schema"].as_u64(), page["hostname"].as_str()), (Some(1), Some("mx.example.org")));
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let findings = page["findings"].as_array().unwrap().iter();
        let said = findings.map(|one| {
            (
                format!("{} {}", text(&one["record"]), text(&one["name"])),
                text(&one["verdict"]),
                text(&one["why"]),
            )
        });
        (said.collect(), output.status.code().unwrap())
    }

    /// What is said of one record, and the exit code.
    fn verdict(&self, of: &str) -> (String, String, i32) {
        let (said, code) = self.said(&[]);
        let (_, verdict, why) =
            said.iter().find(|(name, ..)| name == of).unwrap_or_else(|| panic!("{of}: {said:#?}"));
        (verdict.clone(), why.clone(), code)
    }
}

#[test]
fn what_is_wanted_is_what_is_found_right() {
    let site = Site::new();
    site.sign();
    let (said, code) = site.said(&[]);
    assert_eq!(code, 1);
    assert!(said.iter().all(|(_, verdict, _)| verdict == "missing"), "nothing is there: {said:#?}");
    let records: Vec<&str> = said.iter().map(|(name, ..)| name.split(' ').next().unwrap()).collect();
    assert_eq!(records, ["A", "PTR", "PTR", "SPF", "MX", "SPF", "DKIM", "DMARC", "MTA-STS", "TLSRPT"]);
    site.obey();
    let (said, code) = site.said(&[]);
    assert!(said.iter().all(|(_, verdict, _)| verdict == "ok"), "{said:#?}");
    assert_eq!(code, 0);
    let page =
        String::from_utf8(site.run(&["dns", "--address", "192.0.2.1", "--address", "2001:db8::1"]).stdout)
            .unwrap();
    assert!(page.contains("\n  ok       DKIM     s1._domainkey.example.org\n"), "{page}");
    assert!(
        page.ends_with("10 ok, 0 missing, 0 wrong, 0 could not be found out\n") && !page.contains('\x1b'),
        "{page}"
    );
}

#[test]
fn what_is_wrong_is_named() {
    for (name, kind, value, of, why) in [
        ("mx.example.org", "A", "192.0.2.9", "A mx.example.org", "192.0.2.1, 2001:db8::1 is not among them"),
        (
            "1.2.0.192.in-addr.arpa",
            "PTR",
            "host.provider.example",
            "PTR 1.2.0.192.in-addr.arpa",
            "it should be mx.example.org",
        ),
        ("example.org", "MX", "10 mx.other.example", "MX example.org", "mail goes elsewhere"),
        ("example.org", "MX", "0 .", "MX example.org", "takes no mail"),
        (
            "example.org",
            "TXT",
            "v=spf1 ip4:198.51.100.1 -all",
            "SPF example.org",
            "does not permit 192.0.2.1: fail",
        ),
        ("example.org", "TXT", "v=spf1 nonsense -all", "SPF example.org", "malformed"),
        (
            "s1._domainkey.example.org",
            "TXT",
            "v=DKIM1; p=AAAA",
            "DKIM s1._domainkey.example.org",
            "another key",
        ),
        ("_dmarc.example.org", "TXT", "v=DMARC1; p=all", "DMARC _dmarc.example.org", "p=all"),
        (
            "_dmarc.example.org",
            "TXT",
            "v=DMARC1; p=none; rua=postmaster@example.org",
            "DMARC _dmarc.example.org",
            "rua=",
        ),
        (
            "_dmarc.example.org",
            "TXT",
            "v=DMARC1; p=none; rua=mailto:dmarc@collector.example",
            "DMARC _dmarc.example.org",
            "example.org._report._dmarc.collector.example has no TXT record",
        ),
    ] {
        let site = Site::new();
        site.sign();
        site.obey();
        site.put(name, kind, value);
        let (verdict, said, code) = site.verdict(of);
        assert_eq!((verdict.as_str(), code), ("wrong", 1), "{of} with {value}: {said}");
        assert!(said.contains(why), "{of} with {value}: {said}");
    }
    // What is advised is told, and breaks nothing.
    let site = Site::new();
    site.sign();
    site.obey();
    site.put("_smtp._tls.example.org", "TXT", "v=TLSRPTv1; rua=postmaster@example.org");
    site.policies.answer(&POLICY.replace("mx.example.org", "mx.other.example"));
    assert_eq!(site.verdict("TLSRPT _smtp._tls.example.org").0, "wrong");
    let (verdict, why, code) = site.verdict("MTA-STS _mta-sts.example.org");
    assert!(verdict == "wrong" && why.contains("does not name mx.example.org"), "{why}");
    assert_eq!(code, 0);
    site.put("_mta-sts.example.org", "TXT", "v=STSv1; id=2026-11-25;");
    let (verdict, why, _) = site.verdict("MTA-STS _mta-sts.example.org");
    assert!(verdict == "wrong" && why.contains("it has no id"), "{why}");
    site.put("_dmarc.example.org", "TXT", "v=DMARC1; p=none; rua=mailto:dmarc@collector.example");
    site.dns.add("example.org._report._dmarc.collector.example TXT v=DMARC1");
    assert_eq!(site.verdict("DMARC _dmarc.example.org").0, "ok", "the collector has agreed");
    site.dns.add("_dmarc.example.org TXT v=DMARC1; p=reject");
    assert!(site.verdict("DMARC _dmarc.example.org").1.contains("several"));
}

#[test]
fn a_look_up_that_fails_is_no_record_that_is_missing() {
    let site = Site::new();
    site.sign();
    site.obey();
    site.dns.spoil("_dmarc.example.org", Fault::ServerFailure);
    let (verdict, why, code) = site.verdict("DMARC _dmarc.example.org");
    assert_eq!((verdict.as_str(), why.as_str(), code), ("unknown", "SERVFAIL", 3));
    site.dns.mend();
    for (name, record_type, of) in [
        ("mx.example.org", RecordType::A, "PTR 1.2.0.192.in-addr.arpa"),
        ("1.2.0.192.in-addr.arpa", RecordType::PTR, "PTR 1.2.0.192.in-addr.arpa"),
        ("example.org", RecordType::MX, "MX example.org"),
        ("example.org", RecordType::TXT, "SPF example.org"),
        ("mx.example.org", RecordType::A, "A mx.example.org"),
        ("s1._domainkey.example.org", RecordType::TXT, "DKIM s1._domainkey.example.org"),
    ] {
        site.dns.spoil_type(name, record_type, Fault::ServerFailure);
        let (verdict, why, code) = site.verdict(of);
        assert_eq!((verdict.as_str(), code), ("unknown", 3), "{of}: {why}");
        site.dns.mend();
    }
    site.policies.fall_silent();
    let (verdict, why, code) = site.verdict("MTA-STS _mta-sts.example.org");
    assert!(verdict == "unknown" && why.contains("can't be fetched"), "{why}");
    assert_eq!(code, 0, "it is only advised");
}

#[test]
fn without_an_address_or_a_key_it_says_what_to_do() {
    let site = Site::new();
    site.obey();
    let output = site.run(&["dns"]);
    let page = String::from_utf8(output.stdout).unwrap();
    assert!(page.contains("`--address` gives it"), "{page}");
    assert!(page.contains("`gatepost dkim new example.org` makes one"), "{page}");
    assert_eq!(output.status.code(), Some(1), "{page}");
    let output = site.run(&["dns", "exmple.org"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean `example.org`?"), "{output:?}");
}

#[test]
fn the_certificate_is_the_one_that_dane_names() {
    let site = Site::new();
    let authority = Authority::new();
    let shown = authority.certify("mx.example.org", 2100);
    fs::write(site.folder.path().join("mx.pem"), shown.chain_pem()).unwrap();
    fs::write(site.folder.path().join("mx.key"), shown.key_pem()).unwrap();
    site.configure("certificate = { chain = \"mx.pem\", key = \"mx.key\" }");
    let name = "_25._tcp.mx.example.org";
    let of = &format!("TLSA {name}");
    let zone = String::from_utf8(site.run(&["dns", "--zone", "--address", "192.0.2.1"]).stdout).unwrap();
    let line = zone.lines().find(|line| line.contains(" IN TLSA ")).unwrap_or_else(|| panic!("{zone}"));
    let (_, record) = line.split_once(" IN TLSA ").unwrap();
    assert!(line.contains(name) && record.starts_with("3 1 1 "), "{line}");
    assert_eq!(site.verdict(of).0, "missing");
    site.put(name, "TLSA", record);
    assert_eq!(site.verdict(of).0, "ok");
    let digest = |certificate: &Certificate| match certificate.record_of_authority() {
        RData::TLSA(record) => {
            record.cert_data.iter().map(|octet| format!("{octet:02x}")).collect::<String>()
        }
        other => panic!("{other:?}"),
    };
    site.put(name, "TLSA", &format!("2 0 1 {}", digest(&shown)));
    assert_eq!(site.verdict(of).0, "ok");
    site.put(name, "TLSA", &format!("2 0 1 {}", digest(&Authority::new().certify("mx.example.org", 2100))));
    let (verdict, why, code) = site.verdict(of);
    assert_eq!((verdict.as_str(), code), ("wrong", 1), "{why}");
    assert!(why.contains("servers that look at it keep their mail"), "{why}");
    site.put(name, "TLSA", "0 0 1 00");
    assert!(site.verdict(of).1.contains("SMTP can use none"));
}
