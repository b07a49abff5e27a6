//! The SPF test suite of RFC 7208 (`data/README.md` says where it is from), against the DNS server of the tests.

use std::collections::BTreeMap;

use gatepost::net::dns::Dns;
use gatepost::net::mail_auth::spf::{SpfQuestion, check};
use hickory_resolver::proto::rr::RecordType;
use serde::Deserialize;

use crate::harness::{DnsServer, Fault};

#[derive(Debug, Deserialize)]
struct Scenario {
    scenario: String,
    records: BTreeMap<String, Vec<Vec<String>>>,
    tests: BTreeMap<String, Case>,
}

#[derive(Debug, Deserialize)]
struct Case {
    helo: String,
    host: String,
    mailfrom: String,
    /// Any of these.
    result: Vec<String>,
    explanation: Option<String>,
    receiver: Option<String>,
    spec: String,
}

const TYPES: [RecordType; 5] =
    [RecordType::A, RecordType::AAAA, RecordType::MX, RecordType::PTR, RecordType::TXT];

fn server(scenario: &Scenario) -> DnsServer {
    let server = DnsServer::start();
    for (name, records) in &scenario.records {
        for record in records {
            let (kind, rest) = record.split_first().unwrap();
            match kind.as_str() {
                // What has no record gets no answer.
                "TIMEOUT" => {
                    let has = |kind: &str| records.iter().any(|record| record[0] == kind);
                    for missing in TYPES.into_iter().filter(|kind| !has(&kind.to_string())) {
                        server.spoil_type(name, missing, Fault::ServerFailure);
                    }
                }
                _ if rest == ["TIMEOUT"] => {
                    let meant = TYPES.into_iter().find(|known| known.to_string() == *kind).unwrap();
                    server.spoil_type(name, meant, Fault::ServerFailure);
                }
                // A record has at least one string, if an empty one (RFC 1035 §3.3.14).
                "TXT" if rest.is_empty() => server.add_txt(name, &[b""]),
                "TXT" => server.add_txt(name, &rest.iter().map(String::as_bytes).collect::<Vec<_>>()),
                _ => server.add_one(name, kind, &rest.join(" ")),
            }
        }
    }
    server
}

#[tokio::test]
async fn every_case_of_the_suite_has_its_result() {
    let scenarios: Vec<Scenario> = serde_json::from_str(include_str!("data/rfc7208.json")).unwrap();
    let (mut failures, mut cases) = (Vec::new(), 0);
    for scenario in &scenarios {
        let server = server(scenario);
        let dns = Dns::new(&server.settings()).unwrap();
        for (id, case) in &scenario.tests {
            let (domain, sender) = match case.mailfrom.rsplit_once('@') {
                Some((_, domain)) => (domain.to_owned(), case.mailfrom.clone()),
                None if case.mailfrom.is_empty() => (case.helo.clone(), format!("postmaster@{}", case.helo)),
                None => (case.mailfrom.clone(), case.mailfrom.clone()),
            };
            let question = SpfQuestion {
                client: case.host.parse().unwrap(),
                domain: &domain,
                sender: &sender,
                helo: &case.helo,
                receiver: case.receiver.as_deref().unwrap_or("receiver.example"),
            };
            let outcome = check(&dns, &question).await;
            cases += 1;
            let explanation = case.explanation.as_deref().filter(|text| *text != "DEFAULT");
            let explained = match (case.explanation.as_deref(), outcome.explanation.as_deref()) {
                (None, _) | (Some("DEFAULT"), None) => true,
                (Some(wanted), Some(said)) => wanted.eq_ignore_ascii_case(said),
                (Some(_), None) => false,
            };
            let right = case.result.iter().any(|word| word == outcome.result.word()) && explained;
            if !right {
                failures.push(format!(
                    "{} / {id} ({}): {:?} {explanation:?} wanted, {outcome:?}",
                    scenario.scenario, case.spec, case.result
                ));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {cases}:\n{}", failures.len(), failures.join("\n"));
    assert_eq!(cases, 203);
}
