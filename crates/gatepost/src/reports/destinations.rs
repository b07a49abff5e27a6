//! Who is told: looked up in the DNS when a report is made, as domains change their minds.
//!
//! Invariants: a look-up that fails is never a domain that wants nothing; nobody gets reports about another organisation's
//! domain without having confirmed it in the DNS (RFC 9990 §4).

use smtp::address::Mailbox;
use url::Url;

use crate::net::dns::{Dns, DnsFailure};
use crate::net::mail_auth::report_addresses::{self, ReportMailbox, TlsDestination};

/// The least that a mailbox must take to be sent anything, in octets (ours: no report is smaller).
const OCTETS_MIN: u64 = 1_500;

/// Who is told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Destinations {
    /// By mail.
    pub(super) mailboxes: Vec<ReportMailbox>,
    /// By HTTPS.
    pub(super) urls: Vec<Url>,
    /// Why there may be more of them.
    pub(super) unsure: Option<DnsFailure>,
}

impl Destinations {
    pub(super) fn is_nobody(&self) -> bool {
        self.mailboxes.is_empty() && self.urls.is_empty()
    }

    /// The mailboxes alone.
    pub(super) fn recipients(&self) -> Vec<Mailbox> {
        self.mailboxes.iter().map(|one| one.mailbox.clone()).collect()
    }

    /// The largest report that all of the mailboxes take, as it is sent, in octets.
    pub(super) fn octets_max(&self) -> Option<u64> {
        self.mailboxes.iter().filter_map(|one| one.octets_max).min()
    }

    /// Adds the mailbox that was wished for, or those that its host puts in its place, if the host has confirmed the wish.
    fn take(
        &mut self,
        wish: ReportMailbox,
        (host, confirmation): (&str, Option<Vec<ReportMailbox>>),
        domain: &str,
    ) {
        match confirmation {
            None => {
                tracing::info!(domain, mailbox = %wish.mailbox, "has not confirmed that it takes the domain's reports")
            }
            Some(others) if others.is_empty() => self.add(wish),
            // Nobody can send reports on to a third one.
            Some(others) => {
                others
                    .into_iter()
                    .filter(|other| host_of(&other.mailbox) == host)
                    .for_each(|other| self.add(other));
            }
        }
    }

    fn add(&mut self, mailbox: ReportMailbox) {
        if !self.mailboxes.iter().any(|known| known.mailbox == mailbox.mailbox) {
            self.mailboxes.push(mailbox);
        }
    }
}

/// Who wants DMARC reports of the domain at which a record stands.
///
/// # Errors
/// It can't be found out now.
pub(super) async fn of_dmarc(dns: &Dns, domain: &str) -> Result<Destinations, DnsFailure> {
    let texts = dns.txt(&format!("_dmarc.{domain}")).await?;
    let wishes = report_addresses::of_dmarc(texts.records()).unwrap_or_default();
    let mut destinations = Destinations::default();
    for wish in wishes {
        let host = host_of(&wish.mailbox);
        if wish.octets_max.is_some_and(|octets| octets < OCTETS_MIN) {
            tracing::info!(domain, mailbox = %wish.mailbox, "takes no report of any size");
        } else {
            match confirmation(dns, domain, &host).await {
                Err(failure) => destinations.unsure = Some(failure),
                Ok(confirmation) => destinations.take(wish, (&host, confirmation), domain),
            }
        }
    }
    Ok(destinations)
}

/// Whether mailboxes of `host` take reports of `domain`, and those that get them in place of the one that is wished for;
/// `None`: the host has not confirmed that it takes any (RFC 9990 §4).
///
/// # Errors
/// It can't be found out now.
pub(crate) async fn confirmation(
    dns: &Dns,
    domain: &str,
    host: &str,
) -> Result<Option<Vec<ReportMailbox>>, DnsFailure> {
    if is_same_organisation(domain, host) {
        return Ok(Some(Vec::new()));
    }
    let texts = dns.txt(&confirmation_name(domain, host)).await?;
    Ok(report_addresses::of_confirmation(texts.records()))
}

/// Where a host confirms that it takes reports of a domain.
pub(crate) fn confirmation_name(domain: &str, host: &str) -> String {
    format!("{domain}._report._dmarc.{host}")
}

/// Who wants TLS reports of the domain.
///
/// # Errors
/// It can't be found out now.
pub(super) async fn of_tls(dns: &Dns, domain: &str) -> Result<Destinations, DnsFailure> {
    let texts = dns.txt(&format!("_smtp._tls.{domain}")).await?;
    let mut destinations = Destinations::default();
    for destination in report_addresses::of_tls(texts.records()).unwrap_or_default() {
        match destination {
            TlsDestination::Mailbox(mailbox) => destinations.add(ReportMailbox { mailbox, octets_max: None }),
            TlsDestination::Url(url) if destinations.urls.contains(&url) => {}
            TlsDestination::Url(url) => destinations.urls.push(url),
        }
    }
    Ok(destinations)
}

/// The domain of a mailbox, as it is compared.
pub(crate) fn host_of(mailbox: &Mailbox) -> String {
    mailbox.domain.to_string().to_ascii_lowercase()
}

/// Whether both domains are of one organisation, as the list of public suffixes has it.
fn is_same_organisation(one: &str, other: &str) -> bool {
    one == other
        || psl::domain_str(one).is_some_and(|organisation| psl::domain_str(other) == Some(organisation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_organisation_is_what_stands_below_a_public_suffix() {
        assert!(is_same_organisation("example.org", "example.org"));
        assert!(is_same_organisation("mail.example.org", "reports.example.org"));
        assert!(is_same_organisation("example.co.uk", "x.example.co.uk"));
        assert!(!is_same_organisation("example.co.uk", "other.co.uk"));
        assert!(!is_same_organisation("example.org", "example.net"));
        assert!(!is_same_organisation("org", "example.org"));
    }

    #[test]
    fn only_who_has_confirmed_gets_reports_and_names_nobody_else() {
        let wish = ReportMailbox { mailbox: "a@red.example".parse().unwrap(), octets_max: Some(50_000) };
        for (texts, expected) in [
            (vec![], vec![]),
            (vec!["v=DMARC1"], vec!["a@red.example"]),
            (vec!["v=DMARC1; rua=mailto:b@red.example"], vec!["b@red.example"]),
            (vec!["v=DMARC1; rua=mailto:b@blue.example"], vec![]),
            (vec!["hello", "v=DMARC1;"], vec!["a@red.example"]),
        ] {
            let texts: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
            let mut destinations = Destinations::default();
            let confirmation = report_addresses::of_confirmation(&texts);
            destinations.take(wish.clone(), ("red.example", confirmation), "example.org");
            let found: Vec<String> = destinations.recipients().iter().map(ToString::to_string).collect();
            assert_eq!(found, expected);
        }
    }
}
