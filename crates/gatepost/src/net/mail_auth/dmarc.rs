//! DMARC: whether who is named in From stands behind the message, and what is to be done if not (RFC 9989).

use std::collections::BTreeSet;

use mail_auth::common::to_a_label;
use mail_auth::dmarc::verify::DmarcParameters;
use mail_auth::dmarc::{Alignment, Dmarc, Policy, Report};
use mail_auth::{
    AuthenticatedMessage, DkimOutput, DkimResult, DmarcResult, DnsError, Error, Parameters, SpfOutput,
};

use super::dkim::{keys, refuse, verified};
use super::message::SignedMessage;
use super::records::{Records, verifier};
use super::spf::SpfResult;
use crate::net::dns::Dns;
use crate::net::dns_name::{absolute, to_text};

/// Labels from which the walk up the tree goes on after its first step (RFC 9989 §4.10).
const WALK_LABELS: usize = 7;

/// What DMARC says of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcCheck {
    /// The domain in From, in A-labels; `None` without one or with several.
    pub author: Option<String>,
    /// What its record comes to.
    pub answer: DmarcAnswer,
}

/// What the author domain's record comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DmarcAnswer {
    /// No domain to ask, or it has no record.
    None,
    /// It could not be told; why.
    TempError(String),
    /// The header section is too large to find the domain in it.
    PermError,
    /// A record counts.
    Record(DmarcVerdict),
}

/// What a record comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DmarcVerdict {
    /// Whether SPF or DKIM passes for a domain that is aligned.
    pub passes: bool,
    /// What is wanted done with what fails: `none`, `quarantine` or `reject`.
    pub policy: &'static str,
    /// Where the record stands.
    pub domain: String,
    /// Whether SPF passes for a domain that is aligned.
    pub spf_passes: bool,
    /// Whether DKIM passes for a domain that is aligned.
    pub dkim_passes: bool,
    /// What the record says.
    pub published: Published,
}

/// What a record says, as reports tell it back (RFC 9990 §3.1.1.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    /// `p`.
    pub policy: &'static str,
    /// `sp`, where it is written or follows from `p`.
    pub subdomains: Option<&'static str>,
    /// `np`, where it is written or follows from the others.
    pub nonexistent: Option<&'static str>,
    /// Whether only the very same domain of a signature is aligned.
    pub strict_dkim: bool,
    /// Whether only the very same domain of SPF is aligned.
    pub strict_spf: bool,
    /// Whether the policy is only tested (`t=y`).
    pub testing: bool,
    /// `fo`.
    pub failure_options: &'static str,
    /// Whether anybody wants aggregate reports.
    pub wants_reports: bool,
}

/// Verifies the message's author domain by what SPF found for `spf_domain` and by the message's signatures.
pub async fn verify(dns: &Dns, message: &SignedMessage, spf_domain: &str, spf: SpfResult) -> DmarcCheck {
    // Whatever a message has too much of, its author domain is asked.
    let (parsed, whole) = match message.parsed() {
        Ok(parsed) => (parsed, true),
        Err(_) => (message.unsigned(), false),
    };
    let nothing = if whole { DmarcAnswer::None } else { DmarcAnswer::PermError };
    let Some(mut parsed) = parsed else { return DmarcCheck { author: None, answer: nothing } };
    refuse(&mut parsed);
    let Some(author) = author_domain(&parsed.from) else {
        return DmarcCheck { author: None, answer: nothing };
    };
    // So that the verifier's author domain is ours: without a dot at its end, in A-labels.
    parsed.from = vec![format!("author@{author}")];
    let answer = answer(dns, &parsed, &author, spf_domain, spf).await;
    DmarcCheck { author: Some(author), answer }
}

async fn answer(
    dns: &Dns,
    parsed: &AuthenticatedMessage<'_>,
    author: &str,
    spf_domain: &str,
    spf: SpfResult,
) -> DmarcAnswer {
    let Some(verifier) = verifier() else {
        return DmarcAnswer::TempError("the verifier could not be set up".into());
    };
    let mut records = Records::default();
    records.add_policies(dns, walk(author)).await;
    let keys = keys(dns, parsed).await;
    let signatures = verified(parsed, &keys).await;
    let others = signers(&signatures).chain([to_a_label(spf_domain).into_owned()]);
    // A top-level domain with a record of its own may be the organisational domain of all below it.
    let top = author.rsplit('.').next().unwrap_or_default();
    let labels = if records.has_policy(top) { 1 } else { 2 };
    let related = others.filter(|other| other != author && may_be_aligned(other, author, labels));
    records.add_policies(dns, related.flat_map(|other| walk(&other)).collect()).await;

    let spf = SpfOutput::new(spf_domain.to_owned()).with_result(library_result(spf));
    let parameters = DmarcParameters::new(parsed, &signatures, spf_domain, &spf);
    let output = verifier.verify_dmarc(Parameters::new(parameters).with_txt_cache(&records)).await;
    let passes = match output.result() {
        DmarcResult::TempError(Error::Dns(DnsError::Resolver(why))) if !why.is_empty() => {
            return DmarcAnswer::TempError(why);
        }
        DmarcResult::TempError(_) => return DmarcAnswer::TempError("SPF or DKIM can't be told now".into()),
        DmarcResult::Pass => true,
        _ => false,
    };
    let Some(record) = output.dmarc_record_cloned() else { return DmarcAnswer::None };
    let domain = records.domain_of(&record).unwrap_or(author).to_owned();
    let mut policy = output.policy();
    // The verifier can't ask whether the domain exists, and takes `sp` for `np` (RFC 9989 §4.7).
    if domain != author && record.np != record.sp {
        match dns.exists(author).await {
            Ok(true) => {}
            Ok(false) => policy = if record.t { relaxed(record.np) } else { record.np },
            Err(failure) => return DmarcAnswer::TempError(failure.to_string()),
        }
    }
    DmarcAnswer::Record(DmarcVerdict {
        passes,
        policy: word(policy),
        domain,
        spf_passes: *output.spf_result() == DmarcResult::Pass,
        dkim_passes: *output.dkim_result() == DmarcResult::Pass,
        published: published(&record),
    })
}

fn published(record: &Dmarc) -> Published {
    let written = |policy: Policy| (policy != Policy::Unspecified).then_some(word(policy));
    Published {
        policy: word(record.p),
        subdomains: written(record.sp),
        nonexistent: written(record.np),
        strict_dkim: record.adkim == Alignment::Strict,
        strict_spf: record.aspf == Alignment::Strict,
        testing: record.t,
        failure_options: match record.fo {
            Report::All => "0",
            Report::Any => "1",
            Report::Dkim => "d",
            Report::Spf => "s",
            Report::DkimSpf => "d:s",
        },
        wants_reports: !record.rua.is_empty(),
    }
}

/// The domain of the From field's address; `None` without one, or when there are several different ones, to which DMARC does
/// not apply (RFC 7489 §6.6.1).
fn author_domain(addresses: &[String]) -> Option<String> {
    let mut domains = addresses.iter().filter_map(|address| address.rsplit_once('@'));
    let mut next = || domains.next().map(|(_, domain)| absolute(domain).map(|name| to_text(&name)));
    let first = next()??;
    while let Some(other) = next() {
        if other.as_ref() != Some(&first) {
            return None;
        }
    }
    Some(first)
}

/// The names at which a record for the domain may stand (RFC 9989 §4.10).
fn walk(domain: &str) -> BTreeSet<String> {
    let labels: Vec<&str> = domain.split('.').filter(|label| !label.is_empty()).collect();
    let mut names = BTreeSet::new();
    let mut count = labels.len();
    while count > 0 {
        let name = labels.get(labels.len() - count..).unwrap_or_default().join(".");
        names.insert(format!("_dmarc.{name}"));
        count = if count > WALK_LABELS { WALK_LABELS } else { count - 1 };
    }
    names
}

/// The domains of signatures that pass, or might.
fn signers(signatures: &[DkimOutput<'_>]) -> impl Iterator<Item = String> {
    let counts =
        |output: &&DkimOutput<'_>| matches!(output.result(), DkimResult::Pass | DkimResult::TempError(_));
    signatures
        .iter()
        .filter(counts)
        .filter_map(|output| output.signature())
        .map(|one| to_a_label(&one.d).into_owned())
}

/// Whether two domains could be of one organisation at all: their last labels agree.
fn may_be_aligned(domain: &str, author: &str, labels: usize) -> bool {
    let end = |name: &str| name.rsplit('.').take(labels).map(str::to_ascii_lowercase).collect::<Vec<_>>();
    end(domain) == end(author)
}

const fn library_result(result: SpfResult) -> mail_auth::SpfResult {
    match result {
        SpfResult::None => mail_auth::SpfResult::None,
        SpfResult::Neutral => mail_auth::SpfResult::Neutral,
        SpfResult::Pass => mail_auth::SpfResult::Pass,
        SpfResult::Fail => mail_auth::SpfResult::Fail,
        SpfResult::SoftFail => mail_auth::SpfResult::SoftFail,
        SpfResult::TempError(_) => mail_auth::SpfResult::TempError,
        SpfResult::PermError => mail_auth::SpfResult::PermError,
    }
}

/// One level milder, as `t=y` asks for (RFC 9989 §4.7).
const fn relaxed(policy: Policy) -> Policy {
    match policy {
        Policy::Reject => Policy::Quarantine,
        Policy::Quarantine | Policy::None | Policy::Unspecified => Policy::None,
    }
}

const fn word(policy: Policy) -> &'static str {
    match policy {
        Policy::Reject => "reject",
        Policy::Quarantine => "quarantine",
        Policy::None | Policy::Unspecified => "none",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_walk_has_eight_steps_at_most() {
        let names = |domain: &str| walk(domain).len();
        assert_eq!(
            (names("example.org"), names("a.example.org"), names("a.b.c.d.e.f.g.h.example.org")),
            (2, 3, 8)
        );
        assert!(walk("a.b.c.d.e.f.g.h.example.org").contains("_dmarc.d.e.f.g.h.example.org"));
    }

    #[test]
    fn an_author_domain_is_one() {
        let of = |addresses: &[&str]| {
            author_domain(&addresses.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        assert_eq!(of(&["a@Example.org", "b@example.ORG"]).as_deref(), Some("example.org"));
        assert_eq!(of(&["a@bücher.example"]).as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(of(&["a@example.org", "b@example.net"]), None);
        assert_eq!(of(&["a@example.org."]).as_deref(), Some("example.org"));
        assert_eq!(of(&["a@example..org"]), None);
        assert_eq!(of(&["a@example.org", "b@example..org"]), None);
        assert_eq!(of(&[]), None);
    }
}
