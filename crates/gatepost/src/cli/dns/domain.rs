//! What the DNS should know of a domain: where its mail goes, who may send in its name, and what it asks of others.

use super::finding::{Check, DomainCheck, Finding, Verdict, Wanted, texts};
use super::host::{permits, spf_records};
use super::{Asked, Served};
use crate::clock;
use crate::net::dns::{Dns, Mx};
use crate::net::mail_auth::key_record::{self, Publication, zone_line};
use crate::net::mail_auth::report_addresses::{is_version, of_dmarc, of_tls};
use crate::net::mta_sts::id_of;
use crate::net::tls_result::TlsFailure;
use crate::reports::{confirmation, confirmation_name, host_of};

/// The preference of the MX record that is proposed.
const PREFERENCE: u16 = 10;

/// What should stand there.
pub(super) fn wanted(served: &Served<'_>, domain: &str) -> Vec<Wanted> {
    let host = &served.hostname;
    let make =
        |check, record, name: &str, write| Wanted::new(Check::Domain(check), domain, record, name, write);
    let is_local = served.local.iter().any(|local| local == domain);
    let mut all = Vec::new();
    if is_local {
        all.push(make(
            DomainCheck::Mx,
            "MX",
            domain,
            vec![format!("{domain}. IN MX {PREFERENCE} {host}.\n")],
        ));
    }
    all.push(make(DomainCheck::Sends, "SPF", domain, vec![zone_line(domain, "v=spf1 mx -all")]));
    let keys = served.keys.iter().filter(|key| key.domain.as_str().eq_ignore_ascii_case(domain));
    for key in keys.clone() {
        let line = zone_line(&key.name, &key.record);
        all.push(make(DomainCheck::Key(key.record.clone()), "DKIM", &key.name, vec![line]));
    }
    if keys.count() == 0 {
        let name = format!("_domainkey.{domain}");
        let hint = format!("no key is configured: `gatepost dkim new {domain}` makes one");
        all.push(Wanted { hint: Some(hint), ..make(DomainCheck::AnyKey, "DKIM", &name, Vec::new()) });
    }
    let reports = served.config.reports.address.as_ref().map(ToString::to_string);
    let reports = reports.unwrap_or_else(|| format!("postmaster@{domain}"));
    let name = format!("_dmarc.{domain}");
    let line = zone_line(&name, &format!("v=DMARC1; p=none; rua=mailto:{reports}"));
    all.push(make(DomainCheck::Dmarc, "DMARC", &name, vec![line]));
    if is_local {
        let name = format!("_mta-sts.{domain}");
        let (year, month, day) = clock::wall().date();
        let line = zone_line(&name, &format!("v=STSv1; id={year:04}{month:02}{day:02}"));
        let mut sts = make(DomainCheck::MtaSts, "MTA-STS", &name, vec![line]).advised();
        sts.policy = Some(format!("version: STSv1\nmode: testing\nmx: {host}\nmax_age: 86400\n"));
        all.push(sts);
        let name = format!("_smtp._tls.{domain}");
        let line = zone_line(&name, &format!("v=TLSRPTv1; rua=mailto:{reports}"));
        all.push(make(DomainCheck::TlsReports, "TLSRPT", &name, vec![line]).advised());
    }
    all
}

/// Looks at one.
pub(super) async fn look(asked: &Asked, served: &Served<'_>, check: DomainCheck, wanted: Wanted) -> Finding {
    let dns = &*asked.dns;
    match check {
        DomainCheck::Mx => mx(dns, served, wanted).await,
        DomainCheck::Sends => match spf_records(dns, &wanted.subject).await {
            Ok(found) => {
                let verdict = permits(dns, served, &wanted.subject, &found).await;
                wanted.found(verdict, found)
            }
            Err(verdict) => wanted.found(verdict, Vec::new()),
        },
        DomainCheck::Key(record) => key(dns, &record, wanted).await,
        DomainCheck::AnyKey => wanted.found(Verdict::Missing, Vec::new()),
        DomainCheck::Dmarc => dmarc(dns, wanted).await,
        DomainCheck::MtaSts => mta_sts(asked, served, wanted).await,
        DomainCheck::TlsReports => tls_reports(dns, wanted).await,
    }
}

async fn mx(dns: &Dns, served: &Served<'_>, wanted: Wanted) -> Finding {
    let records = match dns.mx(&wanted.subject).await {
        Ok(answer) => answer.into_records(),
        Err(failure) => return wanted.found(Verdict::failed(failure), Vec::new()),
    };
    let show = |mx: &Mx| format!("{} {}.", mx.preference, mx.exchange);
    let verdict = if records.is_empty() {
        Verdict::Missing
    } else if records.iter().any(|mx| mx.exchange == served.hostname) {
        Verdict::Ok
    } else if records.iter().all(|mx| mx.exchange.is_empty()) {
        Verdict::Wrong("it says that the domain takes no mail (RFC 7505)".to_owned())
    } else {
        Verdict::Wrong(format!("{} is not among them: mail goes elsewhere", served.hostname))
    };
    wanted.found(verdict, records.iter().map(show).collect())
}

async fn key(dns: &Dns, record: &str, wanted: Wanted) -> Finding {
    let wrong = |why: &str| Verdict::Wrong(why.to_owned());
    let verdict = match key_record::look_up(dns, &wanted.name, record).await {
        Publication::Right => Verdict::Ok,
        Publication::Missing => Verdict::Missing,
        Publication::Revoked => wrong("the key is revoked (p= is empty): every signature fails"),
        Publication::Other => wrong("it is another key: every signature fails"),
        Publication::Malformed => wrong("it can't be read as a DKIM key"),
        Publication::Several => wrong("there are several records, and verifiers take any"),
        Publication::Unknown(failure) => Verdict::failed(failure),
    };
    wanted.found(verdict, Vec::new())
}

/// The domain's own record counts, else that of a domain above it (RFC 9989 §4.10).
async fn dmarc(dns: &Dns, wanted: Wanted) -> Finding {
    let domain = wanted.subject.clone();
    let organisation = psl::domain_str(&domain).unwrap_or(&domain).to_owned();
    let mut name = domain.as_str();
    loop {
        let records = match records_of(dns, &format!("_dmarc.{name}"), "DMARC1").await {
            Ok(records) => records,
            Err(verdict) => return wanted.found(verdict, Vec::new()),
        };
        if !records.is_empty() {
            let found: Vec<String> = texts(&records)
                .into_iter()
                .map(|text| if name == domain { text } else { format!("{text} (of {name})") })
                .collect();
            let verdict = match dmarc_verdict(&records) {
                Verdict::Ok => confirmed(dns, name, &records).await,
                wrong => wrong,
            };
            return wanted.found(verdict, found);
        }
        match name.split_once('.') {
            Some((_, above)) if name != organisation && !above.is_empty() => name = above,
            _ => return wanted.found(Verdict::Missing, Vec::new()),
        }
    }
}

/// The records of one version at a name.
///
/// # Errors
/// They can't be found out.
async fn records_of(dns: &Dns, name: &str, version: &str) -> Result<Vec<Vec<u8>>, Verdict> {
    let answer = dns.txt(name).await.map_err(Verdict::failed)?;
    Ok(answer.into_records().into_iter().filter(|text| is_version(text, version)).collect())
}

/// Whether all who are to get the reports of `domain` take them (RFC 9990 §4).
async fn confirmed(dns: &Dns, domain: &str, records: &[Vec<u8>]) -> Verdict {
    let mut verdict = Verdict::Ok;
    for wish in of_dmarc(records).unwrap_or_default() {
        let host = host_of(&wish.mailbox);
        match confirmation(dns, domain, &host).await {
            Ok(Some(_)) => {}
            Ok(None) => {
                let at = confirmation_name(domain, &host);
                let mailbox = wish.mailbox;
                return Verdict::Wrong(format!(
                    "{mailbox} gets no reports: {at} has no TXT record \"v=DMARC1\""
                ));
            }
            Err(failure) => verdict = Verdict::failed(failure),
        }
    }
    verdict
}

fn dmarc_verdict(records: &[Vec<u8>]) -> Verdict {
    let [record] = records else {
        return Verdict::Wrong("there are several, so that none counts (RFC 9989 §4.10)".to_owned());
    };
    let text = String::from_utf8_lossy(record).into_owned();
    let policy = text.split(';').filter_map(|tag| tag.split_once('=')).find(|(name, _)| name.trim() == "p");
    let is_policy = |value: &str| {
        ["none", "quarantine", "reject"].iter().any(|known| known.eq_ignore_ascii_case(value.trim()))
    };
    match (policy, of_dmarc(records)) {
        (_, None) => Verdict::Wrong("it can't be read as a list of tags".to_owned()),
        (Some((_, value)), _) if !is_policy(value) => {
            Verdict::Wrong(format!("p={} is none, quarantine or reject to nobody", value.trim()))
        }
        (None, Some(rua)) if rua.is_empty() => {
            Verdict::Wrong("it has no p=, so that it says nothing".to_owned())
        }
        (_, Some(rua)) if rua.is_empty() && text.contains("rua") => {
            Verdict::Wrong("rua= names no address that reports can be mailed to".to_owned())
        }
        _ => Verdict::Ok,
    }
}

async fn mta_sts(asked: &Asked, served: &Served<'_>, wanted: Wanted) -> Finding {
    let records = match records_of(&asked.dns, &wanted.name, "STSv1").await {
        Ok(records) => records,
        Err(verdict) => return wanted.found(verdict, Vec::new()),
    };
    let found = texts(&records);
    let verdict = match (records.len(), &asked.fetcher) {
        (0, _) => Verdict::Missing,
        (1, _) if id_of(&records).is_none() => Verdict::Wrong(
            "it has no id of 1 to 32 letters and digits: it counts for nobody (RFC 8461 §3.1)".to_owned(),
        ),
        (1, Ok(fetcher)) => match fetcher.fetch(&asked.dns, &wanted.subject).await {
            Ok(policy) if policy.has(&served.hostname) || policy.mx.is_empty() => Verdict::Ok,
            Ok(_) => {
                Verdict::Wrong(format!("the policy does not name {}: mail is kept from it", served.hostname))
            }
            Err((TlsFailure::StsPolicyInvalid, why)) => {
                Verdict::Wrong(format!("the policy can't be used: {why}"))
            }
            Err((_, why)) => Verdict::Unknown(format!("the policy can't be fetched: {why}")),
        },
        (1, Err(why)) => Verdict::Unknown(why.clone()),
        _ => Verdict::Wrong("there are several, so that none counts (RFC 8461 §3.1)".to_owned()),
    };
    wanted.found(verdict, found)
}

async fn tls_reports(dns: &Dns, wanted: Wanted) -> Finding {
    let records = match records_of(dns, &wanted.name, "TLSRPTv1").await {
        Ok(records) => records,
        Err(verdict) => return wanted.found(verdict, Vec::new()),
    };
    let verdict = match (records.len(), of_tls(&records)) {
        (0, _) => Verdict::Missing,
        (1, Some(destinations)) if !destinations.is_empty() => Verdict::Ok,
        (1, _) => Verdict::Wrong("rua= names nobody: expected mailto: or https:".to_owned()),
        _ => Verdict::Wrong("there are several, so that none counts (RFC 8460 §3)".to_owned()),
    };
    wanted.found(verdict, texts(&records))
}
