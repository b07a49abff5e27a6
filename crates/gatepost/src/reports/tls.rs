//! TLS reports (RFC 8460): what is told of sessions, and the report as JSON and as mail.
//!
//! Invariant: a session is told once, under the policy that was applied to it.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use smtp::address::Mailbox;
use smtp::time::WallTime;

use super::dmarc::compressed;
use super::mail::Mail;
use super::store::{Due, Entry, Kind, StoredRow};
use super::who::Who;
use crate::journal::day::Day;
use crate::net::tls_result::{PolicyKind, TlsResult};

/// Longest list of a policy's lines or hosts that is told (ours).
const LINES_MAX: usize = 100;

/// A policy as it is told (RFC 8460 §4.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Policy {
    policy_type: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    policy_string: Vec<String>,
    policy_domain: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    mx_host: Vec<String>,
}

/// Sessions that are alike; those that went well are all alike.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sessions {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    result_type: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sending_mta_ip: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiving_mx_hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiving_ip: Option<IpAddr>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report<'r> {
    organization_name: &'r str,
    date_range: DateRange,
    contact_info: &'r str,
    report_id: &'r str,
    policies: Vec<PolicyReport>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct DateRange {
    start_datetime: String,
    end_datetime: String,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PolicyReport {
    policy: Policy,
    summary: Summary,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failure_details: Vec<Failure>,
}

#[derive(Serialize, Default)]
#[serde(rename_all = "kebab-case")]
struct Summary {
    total_successful_session_count: u64,
    total_failure_session_count: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Failure {
    #[serde(flatten)]
    sessions: Sessions,
    failed_session_count: u64,
}

/// What is to be told of a session.
pub(super) fn entry(result: &TlsResult, now: WallTime) -> Option<Entry> {
    let reported = &result.policy;
    let some_lines = |lines: &[String]| lines.iter().take(LINES_MAX).cloned().collect();
    let policy = Policy {
        policy_type: reported.kind.word().to_owned(),
        policy_string: if reported.kind == PolicyKind::NoPolicyFound {
            Vec::new()
        } else {
            some_lines(&reported.lines)
        },
        policy_domain: reported.domain.clone(),
        mx_host: some_lines(&reported.mx),
    };
    let sessions = match result.failure.or(reported.fault) {
        None => Sessions::default(),
        Some(failure) => Sessions {
            result_type: Some(failure.word().to_owned()),
            sending_mta_ip: result.source,
            receiving_mx_hostname: (!result.mx_name.is_empty()).then(|| result.mx_name.clone()),
            receiving_ip: result.mx_address,
        },
    };
    Some(Entry {
        kind: Kind::Tls,
        day: Day::of(now),
        domain: reported.told.clone(),
        head: serde_json::to_string(&policy).ok()?,
        body: serde_json::to_string(&sessions).ok()?,
    })
}

/// The report of these rows, those of one policy behind each other; what can't be read is left out.
pub(super) fn report(who: &Who<'_>, day: Day, report_id: &str, rows: &[StoredRow]) -> String {
    let mut policies = Vec::new();
    for rows in rows.chunk_by(|one, other| one.head == other.head) {
        let Some(policy) = rows.first().and_then(|row| serde_json::from_str(&row.head).ok()) else {
            continue;
        };
        let (mut summary, mut failure_details) = (Summary::default(), Vec::new());
        for row in rows {
            let Ok(sessions) = serde_json::from_str::<Sessions>(&row.body) else { continue };
            if sessions.result_type.is_none() {
                summary.total_successful_session_count += row.count;
            } else {
                summary.total_failure_session_count += row.count;
                failure_details.push(Failure { sessions, failed_session_count: row.count });
            }
        }
        policies.push(PolicyReport { policy, summary, failure_details });
    }
    let (begin, end) = super::who::seconds(day);
    let report = Report {
        organization_name: who.organisation,
        date_range: DateRange { start_datetime: timestamp(begin), end_datetime: timestamp(end) },
        contact_info: who.contact,
        report_id,
        policies,
    };
    serde_json::to_string(&report).unwrap_or_default()
}

/// `2026-11-24T23:59:59Z` (RFC 3339 §5.6).
fn timestamp(seconds: u64) -> String {
    let whole = WallTime::from_unix_millis(seconds.saturating_mul(1_000)).to_timestamp();
    whole.split_once('.').map_or_else(|| whole.clone(), |(start, _)| format!("{start}Z"))
}

/// The mail that brings a report (RFC 8460 §5.3), and the compressed file in it.
pub(super) fn mail(
    who: &Who<'_>,
    due: &Due,
    (report_id, file): (&str, &[u8]),
    recipients: &[Mailbox],
    now: WallTime,
) -> Vec<u8> {
    let (begin, end) = super::who::seconds(due.day);
    let file_name =
        format!("{}!{}!{begin}!{end}!{}.json.gz", who.submitter, due.domain, super::who::unique(report_id));
    let sentence = format!("This is a TLS report (RFC 8460) of {}.", who.submitter);
    // Where TLS fails, reports of it must arrive all the same (RFC 8460 §3, RFC 8689 §3).
    let fields = format!(
        "TLS-Required: No\r\nTLS-Report-Domain: {}\r\nTLS-Report-Submitter: {}\r\n",
        due.domain, who.submitter
    );
    Mail {
        organisation: who.organisation,
        address: who.address,
        recipients,
        domain: &due.domain,
        submitter: who.submitter,
        report_id,
        content_type: "multipart/report; report-type=\"tlsrpt\"",
        fields: &fields,
        sentence: &sentence,
        media_type: "application/tlsrpt+gzip",
        file_name: &file_name,
        report: file,
        now,
    }
    .compose()
}

/// The report as a file.
pub(super) fn file(report: &str) -> Vec<u8> {
    compressed(report.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mail_auth::report::tlsrpt::{PolicyType, ResultType, TlsReport};

    use super::*;
    use crate::net::tls_result::{ReportedPolicy, TlsFailure};

    fn result(kind: PolicyKind, failure: Option<TlsFailure>, fault: Option<TlsFailure>) -> TlsResult {
        let policy = ReportedPolicy {
            domain: if kind == PolicyKind::Tlsa { "mx.example.org" } else { "example.org" }.into(),
            kind,
            lines: vec!["3 1 1 00ff".into()],
            mx: if kind == PolicyKind::Sts { vec!["*.example.org".into()] } else { Vec::new() },
            told: "example.org".into(),
            fault,
        };
        TlsResult {
            policy: Arc::new(policy),
            mx_name: "mx.example.org".into(),
            mx_address: Some("192.0.2.1".parse().unwrap()),
            source: Some("2001:db8::1".parse().unwrap()),
            failure,
        }
    }

    #[test]
    fn a_report_reads_back_as_what_went_in() {
        let now = WallTime::from_unix_millis(1_795_500_000_000);
        let results = [
            (result(PolicyKind::Tlsa, None, None), 5),
            (result(PolicyKind::Tlsa, Some(TlsFailure::CertificateExpired), None), 2),
            (result(PolicyKind::Sts, None, Some(TlsFailure::StsPolicyFetchError)), 1),
            (result(PolicyKind::NoPolicyFound, Some(TlsFailure::StarttlsNotSupported), None), 3),
        ];
        let entries: Vec<Entry> = results.iter().map(|(result, _)| entry(result, now).unwrap()).collect();
        assert!(
            entries.iter().all(|entry| entry.domain == "example.org" && entry.day == Day::numbered(20_781))
        );
        let stored = entries.iter().zip(&results).zip(0..).map(|((entry, (_, count)), id)| StoredRow {
            id,
            head: entry.head.clone(),
            body: entry.body.clone(),
            count: *count,
        });
        let stored: Vec<StoredRow> = stored.collect();
        let address = "reports@here.example".parse().unwrap();
        let who = Who::example(&address);
        let text = report(&who, Day::numbered(20_781), "1@mx.here.example", &stored);
        assert!(!text.contains("null"), "{text}");
        assert!(
            text.contains(r#""start-datetime":"2026-11-24T00:00:00Z","end-datetime":"2026-11-24T23:59:59Z""#),
            "{text}"
        );
        let due = Due { kind: Kind::Tls, day: Day::numbered(20_781), domain: "example.org".into() };
        let recipients = ["tls@example.org".parse().unwrap()];
        let mail = mail(&who, &due, ("1@mx.here.example", &file(&text)), &recipients, now);
        let head = String::from_utf8_lossy(&mail).into_owned();
        assert!(head.contains("\r\nTLS-Required: No\r\nTLS-Report-Domain: example.org\r\n"), "{head}");
        assert!(
            head.contains("Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n boundary="),
            "{head}"
        );
        let read = TlsReport::parse_rfc5322(&mail, 1_000_000).unwrap();
        assert_eq!(
            (read.report_id.as_str(), read.organization_name.as_deref()),
            ("1@mx.here.example", Some("Here"))
        );
        let [tlsa, sts, none] = read.policies.as_slice() else { panic!("three policies: {text}") };
        assert_eq!(
            (tlsa.policy.policy_type, tlsa.policy.policy_domain.as_str()),
            (PolicyType::Tlsa, "mx.example.org")
        );
        assert_eq!((tlsa.summary.total_success, tlsa.summary.total_failure), (5, 2));
        let failure = &tlsa.failure_details[0];
        assert_eq!((failure.result_type, failure.failed_session_count), (ResultType::CertificateExpired, 2));
        assert_eq!(failure.receiving_mx_hostname.as_deref(), Some("mx.example.org"));
        assert_eq!(sts.failure_details[0].result_type, ResultType::StsPolicyFetchError);
        assert_eq!(sts.policy.mx_host, ["*.example.org"]);
        assert_eq!(
            (none.policy.policy_type, none.policy.policy_string.len()),
            (PolicyType::NoPolicyFound, 0)
        );
    }
}
