//! TLS reports: what came of protecting connections is told by mail and by HTTPS, however bad it was.

use std::io::Read as _;

use flate2::read::GzDecoder;
use mail_auth::report::tlsrpt::{PolicyType, ResultType, TlsReport};

use crate::harness::{DnsServer, HttpsServer, PATIENCE, Peer, Server, Setup};
use crate::{REPORT_OCTETS_MAX, prints, reports, wait_for_some};

const ENFORCED: &str = "version: STSv1\nmode: enforce\nmx: mx.far.example\nmax_age: 86400\n";

/// far.example asks for TLS by MTA-STS, and its MX host has none; it wants to hear of that.
struct Far {
    dns: DnsServer,
    policies: HttpsServer,
    collector: HttpsServer,
    peer: Peer,
}

impl Far {
    fn new() -> Self {
        let collector = HttpsServer::start("collector.example", "");
        collector.answer_raw("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        let dns = DnsServer::with(
            "far.example MX 10 mx.far.example\nmx.far.example A 127.0.0.1\n\
             _mta-sts.far.example TXT v=STSv1; id=1;\nmta-sts.far.example A 127.0.0.1\n\
             collector.example A 127.0.0.1\n",
        );
        dns.keep_for(0);
        Self {
            dns,
            policies: HttpsServer::start("mta-sts.far.example", ENFORCED),
            collector,
            peer: Peer::start(&["250 2.0.0 taken"]),
        }
    }

    fn site(&self) -> Server {
        let config = format!(
            "hostname = \"out.here.example\"\n{}[relay]\nmx = true\nmx_port = {}\nmx_loopback = true\n\
             [tls]\nca_file = \"ca.pem\"\nmta_sts_port = {}\n[queue]\nretry_first = \"1s\"\nretry_factor = 10\n\
             [reports]\ntls = true\naddress = \"reports@here.example\"\n\
             [domain.\"here.example\".mailbox]\npostmaster = {{}}\n",
            self.dns.config(),
            self.peer.address().port(),
            self.policies.port()
        );
        let authorities = format!("{}{}", self.policies.certificate(), self.collector.certificate());
        let files = vec![("ca.pem", authorities)];
        Server::start(Setup { config: Some(config), files, ..Setup::default() })
    }

    fn wants(&self, rua: &str) {
        self.dns.add(&format!("_smtp._tls.far.example TXT v=TLSRPTv1; rua={rua}"));
    }
}

fn check(report: &TlsReport) {
    assert_eq!(report.organization_name.as_deref(), Some("out.here.example"));
    assert_eq!(report.contact_info.as_deref(), Some("reports@here.example"));
    let [policy] = report.policies.as_slice() else { panic!("one policy: {report:?}") };
    assert_eq!(
        (policy.policy.policy_type, policy.policy.policy_domain.as_str()),
        (PolicyType::Sts, "far.example")
    );
    assert_eq!(policy.policy.mx_host, ["mx.far.example"]);
    assert!(policy.policy.policy_string.contains(&"mode: enforce".to_owned()), "{policy:?}");
    let [failure] = policy.failure_details.as_slice() else { panic!("one failure: {policy:?}") };
    assert_eq!(failure.result_type, ResultType::StartTlsNotSupported);
    // It may have been tried again meanwhile.
    let failed = failure.failed_session_count;
    assert!(failed > 0, "{policy:?}");
    assert_eq!((policy.summary.total_success, policy.summary.total_failure), (0, failed));
    assert_eq!(failure.receiving_mx_hostname.as_deref(), Some("mx.far.example"));
    assert_eq!(failure.receiving_ip, Some("127.0.0.1".parse().unwrap()));
}

#[test]
fn failures_are_told_by_mail_over_the_very_host_that_fails_and_by_https() {
    let far = Far::new();
    far.wants(&format!(
        "mailto:tls@far.example,https://collector.example:{}/v1/tlsrpt",
        far.collector.port()
    ));
    let server = far.site();
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
    server.wait_for_log("outcome=\"deferred\"");
    wait_for_some(&server);
    assert!(far.peer.seen().messages.is_empty(), "the policy is enforced");
    assert_eq!(prints(&server, &["send", "--now"]).trim(), "1 reports sent; 0 domains want none; 0 wait");

    let mail = far.peer.wait_for(1).messages.remove(0);
    let text = String::from_utf8_lossy(&mail).into_owned();
    assert!(
        text.contains("\r\nTLS-Required: No\r\n") && text.contains("\r\nTLS-Report-Domain: far.example\r\n"),
        "{text}"
    );
    assert!(text.contains("report-type=\"tlsrpt\""), "{text}");
    check(&TlsReport::parse_rfc5322(&mail, REPORT_OCTETS_MAX).unwrap());

    assert_eq!(far.collector.asked(), ["POST /v1/tlsrpt HTTP/1.1"]);
    let mut json = Vec::new();
    GzDecoder::new(far.collector.bodies()[0].as_slice()).read_to_end(&mut json).unwrap();
    check(&TlsReport::parse_json(&json).unwrap());
}

#[test]
fn a_report_that_a_server_does_not_take_waits() {
    let far = Far::new();
    far.wants(&format!("https://collector.example:{}/", far.collector.port()));
    far.collector.answer_raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    let server = far.site();
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
    wait_for_some(&server);
    let output = reports(&server, &["send", "--now"]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.starts_with("0 reports sent; 0 domains want none; 1 wait\n") && said.contains("503"),
        "{said}"
    );
    far.collector.answer_raw("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(prints(&server, &["send", "--now"]).trim(), "1 reports sent; 0 domains want none; 0 wait");
    assert_eq!(far.collector.asked().len(), 2);
}

#[test]
fn a_report_that_is_sent_is_counted_though_the_next_one_waits() {
    /// More than one report tells of, and fewer than two.
    const ROWS: u32 = 6_000;
    let far = Far::new();
    far.wants(&format!("https://collector.example:{}/", far.collector.port()));
    let server = far.site();
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
    wait_for_some(&server);
    let file = rusqlite::Connection::open(server.folder().join("state/reports.sqlite")).unwrap();
    file.busy_timeout(PATIENCE).unwrap();
    let copy =
        "WITH RECURSIVE counted (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM counted LIMIT ?1)
        INSERT INTO rows (kind, day, domain, digest, head, body, count)
        SELECT kind, day, domain, randomblob(16), head, body, 1 FROM (SELECT * FROM rows LIMIT 1), counted";
    file.execute(copy, [ROWS]).unwrap();
    let dry = prints(&server, &["send", "--now", "--dry-run"]);
    assert_eq!(dry.lines().filter(|line| line.starts_with('{')).count(), 2, "all are shown");
    far.collector.answer_raw("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
    far.collector.answer_first("HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    let said = String::from_utf8(reports(&server, &["send", "--now"]).stdout).unwrap();
    assert!(said.starts_with("1 reports sent; 0 domains want none; 1 wait\n"), "{said}");
}

#[test]
fn a_policy_that_can_not_be_had_is_told() {
    let far = Far::new();
    far.wants("mailto:tls@far.example");
    far.policies.answer("nonsense");
    let server = far.site();
    server.session().deliver("bob@far.example", b"Subject: x\r\n\r\nhello\r\n");
    far.peer.wait_for(1);
    wait_for_some(&server);
    let dry = prints(&server, &["send", "--now", "--dry-run"]);
    let json = dry.lines().find(|line| line.starts_with('{')).unwrap();
    let report = TlsReport::parse_json(json.as_bytes()).unwrap();
    // The host has no TLS, which says more than that nobody knows what was wanted.
    assert_eq!(report.policies[0].policy.policy_type, PolicyType::Sts);
    assert_eq!(report.policies[0].failure_details[0].result_type, ResultType::StartTlsNotSupported);
}
