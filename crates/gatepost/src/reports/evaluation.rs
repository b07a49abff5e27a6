//! From a message that came to a row of a DMARC report.
//!
//! Invariant: what wasn't found out for the policy is found out after the client was answered; nobody waits for it.

use smtp::time::WallTime;

use super::store::{Entry, Kind};
use crate::facts::Subject;
use crate::journal::day::Day;
use crate::net::dns::Dns;
use crate::net::mail_auth::aggregate::{Evaluated, Fate, PublishedPolicy, Row};
use crate::net::mail_auth::dmarc::DmarcAnswer;

/// What is to be told of the message; `None` when nobody wants reports of it, or it can't be told now.
pub(super) async fn entry(dns: &Dns, subject: &Subject, fate: Fate, now: WallTime) -> Option<Entry> {
    let dmarc = subject.dmarc(dns).await?;
    let (Some(author), DmarcAnswer::Record(verdict)) = (&dmarc.check.author, &dmarc.check.answer) else {
        return None;
    };
    if !verdict.published.wants_reports {
        return None;
    }
    let (spf, dkim) = (subject.spf(dns).await, subject.dkim(dns).await?);
    let row = Row::of(&Evaluated {
        source: subject.client,
        author,
        envelope_from: if subject.sender.is_empty() { "" } else { &spf.domain },
        verdict,
        signatures: &dkim.signatures,
        spf: (&spf.domain, spf.outcome.result.word()),
        fate,
    });
    Some(Entry {
        kind: Kind::Dmarc,
        day: Day::of(now),
        domain: verdict.domain.clone(),
        head: serde_json::to_string(&PublishedPolicy::of(verdict)).ok()?,
        body: serde_json::to_string(&row).ok()?,
    })
}
