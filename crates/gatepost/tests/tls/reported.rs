//! What is told to a domain of its TLS (RFC 8460), beside what becomes of its mail.

use std::process::Command;

use mail_auth::report::tlsrpt::{PolicyType, ResultType, TlsReport};

use super::far::{Far, HOST, send};
use super::harness::{Authority, Fault, Server, wait_for};
use super::policies::{WithPolicy, policy};

const REPORTS: &str = "[reports]\ntls = true\naddress = \"reports@client.example\"\n";

/// The type of the policy, and how the sessions failed, of the one report that far.example would get.
fn told(server: &Server) -> (PolicyType, Vec<ResultType>) {
    let report = wait_for("a report", || {
        let (state, config) = (server.folder().join("state"), server.folder().join("gatepost.toml"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_gatepost"));
        command.args(["reports", "send", "--now", "--dry-run", "--state"]).arg(state);
        let output = command.arg("--config").arg(config).current_dir(server.folder()).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let json = text.lines().find(|line| line.starts_with('{'))?;
        Some(TlsReport::parse_json(json.as_bytes()).unwrap())
    });
    let [policy] = report.policies.as_slice() else { panic!("one policy: {report:?}") };
    let failures = policy.failure_details.iter().map(|failure| failure.result_type).collect();
    (policy.policy.policy_type, failures)
}

fn wants_reports(far: &Far) {
    far.dns.add("_smtp._tls.far.example TXT v=TLSRPTv1; rua=mailto:tls@far.example");
}

#[test]
fn what_a_tested_policy_would_have_stopped_is_told() {
    for (far, mx, failure) in [
        (Far::with("elsewhere.example", 2100), HOST, Some(ResultType::CertificateHostMismatch)),
        (Far::with(HOST, 2021), HOST, Some(ResultType::CertificateExpired)),
        (Far::new(), "mx.other.example", Some(ResultType::ValidationFailure)),
        (Far::new(), HOST, None),
    ] {
        wants_reports(&far);
        let with = WithPolicy::new(far, &policy("testing", mx, 86_400));
        let server = with.site_with(REPORTS);
        assert!(with.far.wait_for_mail().is_encrypted);
        assert_eq!(told(&server), (PolicyType::Sts, failure.into_iter().collect()));
    }
}

#[test]
fn a_host_that_gets_no_mail_is_told_of() {
    let far = Far::new();
    wants_reports(&far);
    let with = WithPolicy::new(far, &policy("enforce", "mx.other.example", 86_400));
    let server = with.site_with(REPORTS);
    with.far.assert_deferred(&server, "does not name it");
    let (kind, failures) = told(&server);
    assert_eq!((kind, failures.first()), (PolicyType::Sts, Some(&ResultType::ValidationFailure)));

    let far = Far::new().signed();
    wants_reports(&far);
    far.dns.spoil(&far.tlsa_name(HOST), Fault::Forged);
    let server = far.site(REPORTS);
    send(&server);
    far.assert_deferred(&server, "cannot look up its TLSA records");
    let (kind, failures) = told(&server);
    assert_eq!((kind, failures.first()), (PolicyType::Tlsa, Some(&ResultType::DnssecInvalid)));
}

#[test]
fn a_certificate_that_no_record_names_is_told_of() {
    let far = Far::new().signed();
    wants_reports(&far);
    far.add_tlsa(HOST, Authority::new().certify(HOST, 2100).record());
    let server = far.site(REPORTS);
    send(&server);
    far.assert_deferred(&server, "TLS handshake failed");
    let (kind, failures) = told(&server);
    assert_eq!((kind, failures.first()), (PolicyType::Tlsa, Some(&ResultType::ValidationFailure)));
}
