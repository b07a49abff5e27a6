//! DMARC aggregate reports: what they tell of messages, and their XML (RFC 9990 §3.1).
//!
//! Invariants: what a client or the DNS said is printable ASCII here and bounded in length, so that it stays in its
//! element; a row holds no address of a person.

use std::net::IpAddr;

use mail_auth::report::{
    ActionDisposition, Alignment, DKIMAuthResult, Discovery, Disposition, DkimResult, DmarcResult,
    PolicyOverride, PolicyOverrideReason, Record, Report, SPFAuthResult, SPFDomainScope, SpfResult,
};
use serde::{Deserialize, Serialize};

use super::dkim::DkimSignature;
use super::dmarc::DmarcVerdict;

/// Longest text in a row, in octets (ours: a domain name has 253).
const TEXT_OCTETS_MAX: usize = 255;

/// Most signatures in a row; those that say most come first (ours; RFC 9990 §3.1.3 allows 100).
const SIGNATURES_MAX: usize = 10;

/// What a domain had published when a message was evaluated. What differs in it is reported on apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct PublishedPolicy {
    policy: String,
    subdomains: Option<String>,
    nonexistent: Option<String>,
    strict_dkim: bool,
    strict_spf: bool,
    testing: bool,
    failure_options: String,
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Fate {
    /// It is delivered.
    Taken,
    /// It is kept apart.
    Quarantined,
    /// It was refused for good, or thrown away.
    Rejected,
}

/// What is told of messages that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Row {
    source: IpAddr,
    header_from: String,
    envelope_from: String,
    disposition: String,
    dkim_passes: bool,
    spf_passes: bool,
    /// Why the disposition isn't what the domain wants: a type of RFC 9990 §3.1.6 and words.
    reason: Option<(String, String)>,
    /// Domain, selector and result of each signature.
    dkim: Vec<(String, String, String)>,
    /// Domain and result.
    spf: (String, String),
}

/// What was found of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evaluated<'e> {
    /// The client.
    pub(crate) source: IpAddr,
    /// The domain in From.
    pub(crate) author: &'e str,
    /// The domain of the reverse-path; empty for the null one.
    pub(crate) envelope_from: &'e str,
    /// What DMARC says.
    pub(crate) verdict: &'e DmarcVerdict,
    /// The signatures.
    pub(crate) signatures: &'e [DkimSignature],
    /// The domain that SPF was asked of, and the word for its result.
    pub(crate) spf: (&'e str, &'static str),
    /// What became of it.
    pub(crate) fate: Fate,
}

/// What all rows of a report have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'f> {
    /// Who reports.
    pub(crate) organisation: &'f str,
    /// Where reports come from.
    pub(crate) address: &'f str,
    /// Whom to ask.
    pub(crate) contact: &'f str,
    /// The report's name.
    pub(crate) report_id: &'f str,
    /// The first second that is reported on, and the last, since 1970.
    pub(crate) seconds: (u64, u64),
    /// Where the policy stands.
    pub(crate) domain: &'f str,
    /// What it says.
    pub(crate) published: &'f PublishedPolicy,
}

impl PublishedPolicy {
    pub(crate) fn of(verdict: &DmarcVerdict) -> Self {
        let published = &verdict.published;
        Self {
            policy: published.policy.to_owned(),
            subdomains: published.subdomains.map(str::to_owned),
            nonexistent: published.nonexistent.map(str::to_owned),
            strict_dkim: published.strict_dkim,
            strict_spf: published.strict_spf,
            testing: published.testing,
            failure_options: published.failure_options.to_owned(),
        }
    }
}

impl Row {
    pub(crate) fn of(evaluated: &Evaluated<'_>) -> Self {
        let Evaluated { source, author, envelope_from, verdict, signatures, spf, fate } = *evaluated;
        let (disposition, reason) = disposition(verdict, fate);
        let mut signatures: Vec<&DkimSignature> =
            signatures.iter().filter(|signature| !signature.domain.is_empty()).collect();
        // Those that pass for the author's domain, for one beside it, for any, and the rest (RFC 9990 §3.1.3).
        signatures.sort_by_key(|signature| {
            let passes = signature.verification.word() == "pass";
            let related = psl::domain_str(&signature.domain) == psl::domain_str(author);
            (!passes, signature.domain != author, !related)
        });
        signatures.truncate(SIGNATURES_MAX);
        let dkim = signatures.into_iter().map(|signature| {
            let result = signature.verification.word().to_owned();
            (plain(&signature.domain), plain(&signature.selector), result)
        });
        Self {
            source: source.to_canonical(),
            header_from: plain(author),
            envelope_from: plain(envelope_from),
            disposition: disposition.to_owned(),
            dkim_passes: verdict.dkim_passes,
            spf_passes: verdict.spf_passes,
            reason: reason.map(|(kind, words)| (kind.to_owned(), words.to_owned())),
            dkim: dkim.collect(),
            spf: (plain(spf.0), spf.1.to_owned()),
        }
    }
}

/// The disposition of a message, and why it isn't what its domain wants.
fn disposition(verdict: &DmarcVerdict, fate: Fate) -> (&'static str, Option<(&'static str, &'static str)>) {
    if verdict.passes {
        return (if verdict.policy == "none" { "none" } else { "pass" }, None);
    }
    let done = match fate {
        Fate::Taken => "none",
        Fate::Quarantined => "quarantine",
        Fate::Rejected => "reject",
    };
    let reason = if done != verdict.policy {
        Some(("local_policy", "the receiver's own rules decided"))
    } else if verdict.published.testing && verdict.published.policy != verdict.policy {
        Some(("policy_test_mode", "t=y"))
    } else {
        None
    };
    (done, reason)
}

/// A text of printable ASCII, of bounded length.
fn plain(text: &str) -> String {
    text.chars().filter(|character| matches!(character, '!'..='~')).take(TEXT_OCTETS_MAX).collect()
}

/// The report as XML; each row with how many messages it stands for.
pub(crate) fn to_xml<'r>(frame: &Frame<'_>, rows: impl Iterator<Item = (&'r Row, u64)>) -> String {
    let published = frame.published;
    let mut report = Report::new()
        .with_version(1.0)
        .with_org_name(frame.organisation)
        .with_email(frame.address)
        .with_extra_contact_info(frame.contact)
        .with_report_id(frame.report_id)
        .with_date_range_begin(frame.seconds.0)
        .with_date_range_end(frame.seconds.1)
        .with_generator(crate::PRODUCT)
        .with_domain(frame.domain)
        .with_discovery_method(Discovery::Treewalk)
        .with_p(policy(&published.policy))
        .with_adkim(alignment(published.strict_dkim))
        .with_aspf(alignment(published.strict_spf))
        .with_fo(&published.failure_options)
        .with_testing(published.testing);
    if let Some(subdomains) = &published.subdomains {
        report = report.with_sp(policy(subdomains));
    }
    if let Some(nonexistent) = &published.nonexistent {
        report = report.with_np(policy(nonexistent));
    }
    for (row, count) in rows {
        report = report.with_record(record(row, count));
    }
    report.to_xml()
}

fn record(row: &Row, count: u64) -> Record {
    let result = |passes| if passes { DmarcResult::Pass } else { DmarcResult::Fail };
    let mut record = Record::new()
        .with_source_ip(row.source)
        .with_count(u32::try_from(count).unwrap_or(u32::MAX))
        .with_action_disposition(match row.disposition.as_str() {
            "pass" => ActionDisposition::Pass,
            "quarantine" => ActionDisposition::Quarantine,
            "reject" => ActionDisposition::Reject,
            _ => ActionDisposition::None,
        })
        .with_dmarc_dkim_result(result(row.dkim_passes))
        .with_dmarc_spf_result(result(row.spf_passes))
        .with_header_from(&row.header_from)
        .with_envelope_from(&row.envelope_from);
    if let Some((kind, words)) = &row.reason {
        let kind = if kind == "policy_test_mode" {
            PolicyOverride::PolicyTestMode
        } else {
            PolicyOverride::LocalPolicy
        };
        record = record.with_policy_override_reason(PolicyOverrideReason::new(kind).with_comment(words));
    }
    for (domain, selector, word) in &row.dkim {
        let signature = DKIMAuthResult::new().with_domain(domain).with_selector(selector);
        record = record.with_dkim_auth_result(signature.with_result(dkim_result(word)));
    }
    // The null reverse-path's identity is the client's name, and its scope the same (RFC 7208 §2.4).
    let spf = SPFAuthResult::new().with_domain(&row.spf.0).with_scope(SPFDomainScope::MailFrom);
    record.with_spf_auth_result(spf.with_result(spf_result(&row.spf.1)))
}

fn policy(word: &str) -> Disposition {
    match word {
        "quarantine" => Disposition::Quarantine,
        "reject" => Disposition::Reject,
        _ => Disposition::None,
    }
}

const fn alignment(is_strict: bool) -> Alignment {
    if is_strict { Alignment::Strict } else { Alignment::Relaxed }
}

fn dkim_result(word: &str) -> DkimResult {
    match word {
        "pass" => DkimResult::Pass,
        "fail" => DkimResult::Fail,
        "policy" => DkimResult::Policy,
        "neutral" => DkimResult::Neutral,
        "temperror" => DkimResult::TempError,
        "permerror" => DkimResult::PermError,
        _ => DkimResult::None,
    }
}

fn spf_result(word: &str) -> SpfResult {
    match word {
        "pass" => SpfResult::Pass,
        "fail" => SpfResult::Fail,
        "softfail" => SpfResult::SoftFail,
        "neutral" => SpfResult::Neutral,
        "temperror" => SpfResult::TempError,
        "permerror" => SpfResult::PermError,
        _ => SpfResult::None,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::dkim::Verification;
    use super::super::dmarc::Published;
    use super::*;

    /// A verdict on mail of `domain`, which publishes `policy`.
    pub(crate) fn verdict(domain: &str, policy: &'static str, passes: bool) -> DmarcVerdict {
        let published = Published {
            policy,
            subdomains: Some(policy),
            nonexistent: None,
            strict_dkim: false,
            strict_spf: true,
            testing: false,
            failure_options: "0",
            wants_reports: true,
        };
        DmarcVerdict {
            passes,
            policy,
            domain: domain.into(),
            spf_passes: passes,
            dkim_passes: false,
            published,
        }
    }

    /// A row of mail that says it is from `author`.
    pub(crate) fn row(author: &str, verdict: &DmarcVerdict, fate: Fate) -> Row {
        let signature = |domain: &str, verification| DkimSignature {
            domain: domain.into(),
            selector: "s\u{1}<1>".into(),
            start: String::new(),
            verification,
        };
        let signatures = [
            signature("", Verification::Neutral("malformed signature")),
            signature("other.example", Verification::Fail("the body was changed")),
            signature("mail.example.org", Verification::Pass),
        ];
        Row::of(&Evaluated {
            source: "::ffff:192.0.2.1".parse().unwrap(),
            author,
            envelope_from: "bounce.example.org",
            verdict,
            signatures: &signatures,
            spf: ("bounce.example.org", "softfail"),
            fate,
        })
    }

    #[test]
    fn a_report_reads_back_as_what_went_in() {
        let verdict = verdict("example.org", "reject", false);
        let published = PublishedPolicy::of(&verdict);
        let rows = [
            (row("example.org", &verdict, Fate::Taken), 3),
            (row("example.org", &verdict, Fate::Rejected), 1),
        ];
        let frame = Frame {
            organisation: "Über<&>GmbH",
            address: "reports@here.example",
            contact: "https://here.example/?a&b",
            report_id: "2026-11-24.1@here.example",
            seconds: (1_795_478_400, 1_795_564_799),
            domain: "example.org",
            published: &published,
        };
        let xml = to_xml(&frame, rows.iter().map(|(row, count)| (row, *count)));
        let report = Report::parse_xml(xml.as_bytes()).unwrap();
        assert_eq!(report.org_name(), frame.organisation);
        assert_eq!((report.domain(), report.report_id()), ("example.org", frame.report_id));
        assert_eq!(
            (report.p(), report.sp(), report.adkim(), report.aspf()),
            (Disposition::Reject, Disposition::Reject, Alignment::Relaxed, Alignment::Strict,)
        );
        assert_eq!((report.date_range_begin(), report.date_range_end()), frame.seconds);
        let [first, second] = report.record.as_slice() else { panic!("two records: {xml}") };
        assert_eq!(first.row.source_ip, Some("192.0.2.1".parse().unwrap()));
        assert_eq!((first.row.count, second.row.count), (3, 1));
        let evaluated = &first.row.policy_evaluated;
        assert_eq!(evaluated.disposition, ActionDisposition::None);
        assert_eq!(evaluated.reason[0].type_, PolicyOverride::LocalPolicy);
        assert_eq!(second.row.policy_evaluated.disposition, ActionDisposition::Reject);
        assert!(second.row.policy_evaluated.reason.is_empty());
        let domains: Vec<&str> = first.auth_results.dkim.iter().map(|one| one.domain.as_str()).collect();
        assert_eq!(domains, ["mail.example.org", "other.example"], "what passes comes first");
        assert_eq!(first.auth_results.dkim[0].selector, "s<1>");
        assert_eq!(first.auth_results.spf[0].result, SpfResult::SoftFail);
        assert!(xml.contains("<scope>mfrom</scope>"), "{xml}");
    }

    #[test]
    fn a_disposition_says_what_was_done_and_why_not_what_was_wanted() {
        let of = |policy, passes, fate| disposition(&verdict("example.org", policy, passes), fate);
        let local = Some(("local_policy", "the receiver's own rules decided"));
        assert_eq!(of("reject", false, Fate::Rejected), ("reject", None));
        assert_eq!(of("reject", false, Fate::Quarantined), ("quarantine", local));
        assert_eq!(of("quarantine", false, Fate::Quarantined), ("quarantine", None));
        assert_eq!(of("none", false, Fate::Taken), ("none", None));
        assert_eq!(of("none", false, Fate::Rejected), ("reject", local));
        assert_eq!(of("reject", true, Fate::Taken), ("pass", None));
        assert_eq!(of("none", true, Fate::Rejected), ("none", None), "it was refused for something else");
        let mut tested = verdict("example.org", "reject", false);
        tested.published.testing = true;
        tested.policy = "quarantine";
        assert_eq!(
            disposition(&tested, Fate::Quarantined),
            ("quarantine", Some(("policy_test_mode", "t=y")))
        );
    }
}
