//! What the DNS should know of the server itself: its addresses, their names, and that it sends by its own name.

use std::collections::BTreeSet;
use std::net::IpAddr;

use rustls::pki_types::CertificateDer;

use super::finding::{Check, Finding, HostCheck, Verdict, Wanted, texts};
use super::{Asked, Served};
use crate::net::dns::Dns;
use crate::net::dns_name::reverse_name;
use crate::net::mail_auth::key_record::zone_line;
use crate::net::mail_auth::spf::{SpfQuestion, SpfResult, check, is_spf};
use crate::net::tls::dane;

/// What is said when nobody knows where the server is.
const NO_ADDRESS: &str = "this server's public address isn't known: `--address` gives it";

/// What should stand there.
pub(super) fn wanted(served: &Served<'_>) -> Vec<Wanted> {
    let host = &served.hostname;
    let line =
        |address: &IpAddr| format!("{host}. IN {} {address}\n", if address.is_ipv4() { "A" } else { "AAAA" });
    let lines = served.addresses.iter().map(line).collect();
    let mut all = vec![Wanted::new(Check::Host(HostCheck::Addresses), host, "A", host, lines)];
    for address in &served.addresses {
        let name = reverse_name(*address);
        let line = format!("{name}. IN PTR {host}.\n");
        all.push(Wanted::new(Check::Host(HostCheck::Name(*address)), host, "PTR", &name, vec![line]));
    }
    let line = zone_line(host, "v=spf1 a -all");
    if !served.local.contains(host) {
        // Bounces have no other name than this one (RFC 7208 §2.3).
        all.push(Wanted::new(Check::Host(HostCheck::Sends), host, "SPF", host, vec![line]).advised());
    }
    all.extend(certificate_wanted(served));
    all
}

/// A TLSA record for each certificate that the server shows for its name (RFC 7672).
fn certificate_wanted(served: &Served<'_>) -> Option<Wanted> {
    let host = &served.hostname;
    let name = format!("_25._tcp.{host}");
    let check = Check::Host(HostCheck::Certificate);
    let shown = match &served.certificates {
        Ok(None) => return None,
        Ok(Some(shown)) => shown,
        Err(()) => return Some(Wanted::new(check, host, "TLSA", &name, Vec::new()).advised()),
    };
    let records = shown.chains.iter().filter_map(|chain| dane::record_of(chain.first()?));
    let lines = records.map(|record| format!("{name}. IN TLSA {}\n", dane::show(&record))).collect();
    let hint = shown.is_own.then(|| {
        "the certificate is of this server's own making: servers believe it by a TLSA record alone".to_owned()
    });
    Some(Wanted { hint, ..Wanted::new(check, host, "TLSA", &name, lines).advised() })
}

/// Whether the certificates are those that the DNS names. A record that names another keeps mail away, so that this one is
/// only advised as long as there is none.
async fn certificate(dns: &Dns, served: &Served<'_>, wanted: Wanted) -> Finding {
    let Ok(Some(shown)) = &served.certificates else {
        let why = "the certificate can't be read: `gatepost check` says why".to_owned();
        return wanted.found(Verdict::Unknown(why), Vec::new());
    };
    let answer = match dns.tlsa(&wanted.name).await {
        Ok(answer) => answer,
        Err(failure) => return wanted.found(Verdict::failed(failure), Vec::new()),
    };
    let is_signed = answer.is_secure() || !served.config.dns.dnssec;
    let records = answer.into_records();
    let is_named =
        |chain: &Vec<CertificateDer<'static>>| records.iter().any(|record| dane::names(record, chain));
    let verdict = if records.is_empty() {
        Verdict::Missing
    } else if !records.iter().any(dane::is_usable) {
        Verdict::Wrong("SMTP can use none of the records (RFC 7672 §3.1.3)".to_owned())
    } else if !shown.chains.iter().all(is_named) {
        Verdict::Wrong("it names another certificate: servers that look at it keep their mail".to_owned())
    } else if !is_signed {
        Verdict::Wrong("the zone is not signed: without DNSSEC nobody looks at it".to_owned())
    } else {
        Verdict::Ok
    };
    let is_advised = !matches!(verdict, Verdict::Wrong(_)) || !is_signed;
    Wanted { is_advised, ..wanted }.found(verdict, records.iter().map(dane::show).collect())
}

/// Looks at one.
pub(super) async fn look(asked: &Asked, served: &Served<'_>, check: HostCheck, wanted: Wanted) -> Finding {
    let dns = &*asked.dns;
    match check {
        HostCheck::Addresses => addresses(dns, served, wanted).await,
        HostCheck::Name(address) => name(dns, served, address, wanted).await,
        HostCheck::Sends => sends(dns, served, wanted).await,
        HostCheck::Certificate => certificate(dns, served, wanted).await,
    }
}

async fn addresses(dns: &Dns, served: &Served<'_>, wanted: Wanted) -> Finding {
    let answer = match dns.addresses(&served.hostname).await {
        Ok(answer) => answer,
        Err(failure) => return wanted.found(Verdict::failed(failure), Vec::new()),
    };
    let found: BTreeSet<IpAddr> = answer.records().iter().map(IpAddr::to_canonical).collect();
    let own: BTreeSet<IpAddr> = served.addresses.iter().copied().collect();
    let listed =
        |addresses: Vec<&IpAddr>| addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let lacks: Vec<&IpAddr> = own.difference(&found).collect();
    let others: Vec<&IpAddr> = found.difference(&own).collect();
    let verdict = if found.is_empty() {
        Verdict::Missing
    } else if own.is_empty() {
        Verdict::Unknown(NO_ADDRESS.to_owned())
    } else if let (Some(failure), false) = (answer.incomplete(), lacks.is_empty()) {
        Verdict::failed(failure)
    } else if !lacks.is_empty() {
        Verdict::Wrong(format!("{} is not among them", listed(lacks)))
    } else if !others.is_empty() {
        Verdict::Wrong(format!(
            "mail would go to {}, too, which is no address of this server",
            listed(others)
        ))
    } else {
        Verdict::Ok
    };
    wanted.found(verdict, found.iter().map(ToString::to_string).collect())
}

async fn name(dns: &Dns, served: &Served<'_>, address: IpAddr, wanted: Wanted) -> Finding {
    let names = match dns.ptr(address).await {
        Ok(answer) => answer.into_records(),
        Err(failure) => return wanted.found(Verdict::failed(failure), Vec::new()),
    };
    let verdict = if names.is_empty() {
        Verdict::Missing
    } else if !names.contains(&served.hostname) {
        Verdict::Wrong(format!("it should be {}, the name that this server calls itself", served.hostname))
    } else {
        // Others believe a name only that leads back (RFC 8601 §2.7.3).
        match dns.addresses(&served.hostname).await {
            Ok(back) if back.records().iter().any(|back| back.to_canonical() == address) => Verdict::Ok,
            Ok(back) if back.incomplete().is_none() => {
                Verdict::Wrong(format!("{} does not lead back to {address}", served.hostname))
            }
            Ok(back) => back.incomplete().map_or(Verdict::Missing, Verdict::failed),
            Err(failure) => Verdict::failed(failure),
        }
    };
    wanted.found(verdict, names)
}

async fn sends(dns: &Dns, served: &Served<'_>, wanted: Wanted) -> Finding {
    let found = match spf_records(dns, &served.hostname).await {
        Ok(found) => found,
        Err(verdict) => return wanted.found(verdict, Vec::new()),
    };
    let verdict = permits(dns, served, &served.hostname, &found).await;
    wanted.found(verdict, found)
}

/// The SPF records of a name.
///
/// # Errors
/// They can't be found out.
pub(super) async fn spf_records(dns: &Dns, name: &str) -> Result<Vec<String>, Verdict> {
    let answer = dns.txt(name).await.map_err(Verdict::failed)?;
    let records: Vec<Vec<u8>> = answer.into_records().into_iter().filter(|text| is_spf(text)).collect();
    Ok(texts(&records))
}

/// Whether the domain lets this server send, by all its addresses.
pub(super) async fn permits(dns: &Dns, served: &Served<'_>, domain: &str, found: &[String]) -> Verdict {
    if found.is_empty() {
        return Verdict::Missing;
    }
    if found.len() > 1 {
        return Verdict::Wrong("there are several, so that none counts (RFC 7208 §4.5)".to_owned());
    }
    let is_direct = served.config.relaying.mx || served.config.relaying.smart_hosts.is_empty();
    // Without an address a record can still be malformed.
    let unspecified = [IpAddr::from([192, 0, 2, 1])];
    let tried: &[IpAddr] =
        if is_direct && !served.addresses.is_empty() { &served.addresses } else { &unspecified };
    let sender = format!("postmaster@{domain}");
    let mut verdict = Verdict::Ok;
    for client in tried {
        let question = SpfQuestion {
            client: *client,
            domain,
            sender: &sender,
            helo: &served.hostname,
            receiver: &served.hostname,
        };
        let one = match check(dns, &question).await.result {
            SpfResult::PermError => {
                Verdict::Wrong("it is malformed, or asks for too many look-ups".to_owned())
            }
            SpfResult::TempError(failure) => Verdict::failed(failure),
            _ if !is_direct => Verdict::Ok,
            _ if served.addresses.is_empty() => Verdict::Unknown(NO_ADDRESS.to_owned()),
            SpfResult::Pass => Verdict::Ok,
            result => Verdict::Wrong(format!("it does not permit {client}: {}", result.word())),
        };
        let is_worse = matches!(one, Verdict::Wrong(_)) || verdict == Verdict::Ok;
        if is_worse {
            verdict = one;
        }
        if matches!(verdict, Verdict::Wrong(_)) {
            break;
        }
    }
    verdict
}
