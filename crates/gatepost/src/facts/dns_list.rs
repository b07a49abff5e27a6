//! Lists in the DNS: whether an address or a domain is on one, and why (RFC 5782).
//!
//! Invariants: only an answer of 127.0.0.0/8 that is no error is a listing; a list that fails, or answers an error, is never
//! a listing and never the absence of one.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use policy::source::{DnsListKind, Field, SourceKind};
use policy::value::{State, Value};

use crate::clock;
use crate::net::dns::{Dns, DnsFailure};
use crate::net::dns_name::reversed;

/// Most domains that one message is looked up by (ours); with more, what isn't found is unsure.
const DOMAINS_MAX: usize = 100;

/// Longest reason that is taken from a list, in characters (ours; a reply line has 512 octets, RFC 5321 §4.5.3.1.5).
const REASON_CHARACTERS_MAX: usize = 250;

/// A list, as the policy declares it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsList {
    /// Whether it lists domains and not addresses.
    pub of_domains: bool,
    /// Its zone, without a dot at its end.
    pub zone: Arc<str>,
    /// The answers that count, first and last of each range; empty: all.
    pub codes: Vec<(IpAddr, IpAddr)>,
    /// Longest wait for all that is asked.
    pub timeout: Duration,
}

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed<'k> {
    /// An address.
    Address(IpAddr),
    /// Domains; address literals among them, and empty ones, are on no list.
    Domains(&'k [Arc<str>]),
}

/// What is known of `list.listed`, `list.reason` and `list.codes`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// Whether it lists the key.
    pub listed: State,
    /// Why.
    pub reason: State,
    /// Its answers.
    pub codes: State,
}

/// Why a list's answer is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It could not be asked.
    Failure(DnsFailure),
    /// It answered an error; which.
    Error(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failure(failure) => failure.fmt(formatter),
            Self::Error(error) => formatter.write_str(error),
        }
    }
}

impl DnsList {
    /// The list, when the source is one.
    #[must_use]
    pub fn of(source: &SourceKind) -> Option<Self> {
        match source {
            SourceKind::DnsList { kind, zone, codes, timeout, .. } => Some(Self {
                of_domains: *kind == DnsListKind::Rhsbl,
                zone: Arc::clone(zone),
                codes: codes.clone(),
                timeout: *timeout,
            }),
            SourceKind::Table { .. } | SourceKind::Rate { .. } | SourceKind::Filter(_) => None,
        }
    }

    /// Looks the key up, and why it is listed if it is; each within what is left of the list's time.
    pub async fn look_up(&self, dns: &Dns, key: &Listed<'_>) -> Listing {
        self.ask(dns, key).await.0
    }

    /// What is known of the key, and what went wrong with the list, if anything did.
    pub(super) async fn ask(&self, dns: &Dns, key: &Listed<'_>) -> (Listing, Option<Trouble>) {
        let deadline = clock::instant(clock::monotonic() + self.timeout);
        let (names, all) = self.names(key);
        let answers = join_all(names.iter().map(|name| async move {
            let answer = tokio::time::timeout_at(deadline, self.codes_of(dns, name)).await;
            answer.unwrap_or(Err(Trouble::Failure(DnsFailure::Timeout)))
        }));
        let (mut codes, mut counting, mut trouble) = (BTreeSet::new(), None, None);
        for (name, answer) in names.iter().zip(answers.await) {
            match answer {
                Ok(found) => {
                    if counting.is_none() && found.iter().any(|code| self.counts(*code)) {
                        counting = Some(name);
                    }
                    codes.extend(found);
                }
                Err(what) => trouble = Some(what),
            }
        }
        let codes = State::Known(Value::Addresses(codes.into_iter().collect()));
        let listing = match (counting, &trouble) {
            (Some(name), _) => {
                let reason = tokio::time::timeout_at(deadline, reason(dns, name)).await;
                let reason = reason.unwrap_or_else(|_| State::unsure(&DnsFailure::Timeout.to_string()));
                Listing { listed: State::yes_or_no(true), reason, codes }
            }
            (None, Some(trouble)) => Listing::unsure(&trouble.to_string()),
            (None, None) if !all => Listing::unsure(&format!("more than {DOMAINS_MAX} domains")),
            (None, None) => Listing { listed: State::yes_or_no(false), reason: State::Missing, codes },
        };
        (listing, trouble)
    }

    /// The names in the zone that stand for the key, and whether these are all.
    fn names(&self, key: &Listed<'_>) -> (Vec<String>, bool) {
        match key {
            Listed::Address(address) => (vec![format!("{}.{}", reversed(*address), self.zone)], true),
            Listed::Domains(domains) => {
                let names: BTreeSet<String> = domains
                    .iter()
                    .filter(|domain| is_name(domain))
                    .flat_map(|domain| [Some(&**domain), psl::domain_str(domain)])
                    .flatten()
                    .map(|domain| format!("{domain}.{}", self.zone))
                    .collect();
                // A list has either the host or the domain that was registered, so both are asked.
                let all = names.len() <= 2 * DOMAINS_MAX;
                (names.into_iter().take(2 * DOMAINS_MAX).collect(), all)
            }
        }
    }

    /// The answers for one name; none when it isn't listed.
    pub(super) async fn codes_of(&self, dns: &Dns, name: &str) -> Result<Vec<IpAddr>, Trouble> {
        let answer = dns.ipv4(name).await.map_err(Trouble::Failure)?;
        match answer.records().iter().find_map(|code| self.error(*code)) {
            Some(error) => Err(Trouble::Error(error)),
            None => Ok(answer.into_records()),
        }
    }

    /// What is wrong with an answer that means no listing: outside 127.0.0.0/8 a parked domain or a resolver that answers
    /// everything (RFC 5782 §2.3), in 127.255.255.0/24 an error that the list reports, and 127.0.0.1, with which some say that
    /// they don't serve the resolver, unless the policy counts it by name.
    fn error(&self, code: IpAddr) -> Option<String> {
        let IpAddr::V4(v4) = code else { return Some(format!("answer {code}")) };
        match v4.octets() {
            [127, 255, 255, _] => Some(format!("error answer {code}")),
            [127, 0, 0, 1] if self.codes.is_empty() || !self.counts(code) => {
                Some(format!("error answer {code}"))
            }
            [127, ..] => None,
            _ => Some(format!("answer {code} is outside 127.0.0.0/8")),
        }
    }

    fn counts(&self, code: IpAddr) -> bool {
        self.codes.is_empty() || self.codes.iter().any(|(first, last)| (*first..=*last).contains(&code))
    }

    /// The names that must be on the list and the ones that must not be (RFC 5782 §5), in pairs; one pair is enough, as a list
    /// of addresses may be of one family only.
    pub(super) fn test_points(&self) -> Vec<(String, String)> {
        let zone = &self.zone;
        if self.of_domains {
            return vec![(format!("test.{zone}"), format!("invalid.{zone}"))];
        }
        let v4 = |last| format!("{}.{zone}", reversed(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last))));
        // ::FFFF:7F00:2 and ::FFFF:7F00:1, half octets from the last.
        let v6 = |last| format!("{last}.0.0.0.0.0.f.7.f.f.f.f.{}{zone}", "0.".repeat(20));
        vec![(v4(2), v4(1)), (v6(2), v6(1))]
    }

    /// A name of what no list has a reason to list: an address for documentation (RFC 5737), or a name that can't be
    /// (RFC 6761 §6.4).
    pub(super) fn nobody(&self) -> String {
        let zone = &self.zone;
        if self.of_domains {
            return format!("nobody.invalid.{zone}");
        }
        format!("{}.{zone}", reversed(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 254))))
    }
}

impl Listing {
    /// Nothing could be found out.
    #[must_use]
    pub fn unsure(why: &str) -> Self {
        let unsure = || State::unsure(why);
        Self { listed: unsure(), reason: unsure(), codes: unsure() }
    }

    /// What is known of the source's fact of that name; `None` for fields that lists don't have.
    #[must_use]
    pub const fn get(&self, field: Field) -> Option<&State> {
        match field {
            Field::Listed => Some(&self.listed),
            Field::Reason => Some(&self.reason),
            Field::Codes => Some(&self.codes),
            _ => None,
        }
    }
}

/// Whether a domain can be on a list of domains.
fn is_name(domain: &str) -> bool {
    !domain.is_empty() && !domain.starts_with('[') && domain.parse::<IpAddr>().is_err()
}

/// Why the name is listed, as a reply can say it: printable ASCII, not too long.
async fn reason(dns: &Dns, name: &str) -> State {
    match dns.txt(name).await {
        Err(failure) => State::unsure(&failure.to_string()),
        Ok(answer) => State::text_or_missing(answer.records().first().map(|text| printable(text)).as_deref()),
    }
}

fn printable(text: &[u8]) -> String {
    let shown = |octet: &u8| if matches!(octet, b' '..=b'~') { char::from(*octet) } else { '?' };
    text.iter().take(REASON_CHARACTERS_MAX).map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(codes: &[(&str, &str)]) -> DnsList {
        let ip = |text: &str| text.parse().unwrap();
        DnsList {
            of_domains: false,
            zone: "list.example".into(),
            codes: codes.iter().map(|(first, last)| (ip(first), ip(last))).collect(),
            timeout: Duration::from_secs(2),
        }
    }

    #[test]
    fn errors_are_told_from_listings() {
        let all = list(&[]);
        for code in ["127.0.0.2", "127.0.1.1", "127.254.0.1", "127.255.254.1"] {
            assert_eq!(all.error(code.parse().unwrap()), None, "{code}");
        }
        for code in ["127.255.255.1", "127.255.255.254", "127.0.0.1", "192.0.2.1", "0.0.0.0", "::1"] {
            assert!(all.error(code.parse().unwrap()).is_some(), "{code}");
        }
        assert!(list(&[("127.0.0.1", "127.0.0.9")]).error("127.0.0.1".parse().unwrap()).is_none());
    }

    #[test]
    fn codes_are_ranges_with_both_ends() {
        let some = list(&[("127.0.0.2", "127.0.0.4"), ("127.0.0.9", "127.0.0.9")]);
        for (code, counts) in
            [("127.0.0.1", false), ("127.0.0.2", true), ("127.0.0.4", true), ("127.0.0.5", false)]
        {
            assert_eq!(some.counts(code.parse().unwrap()), counts, "{code}");
        }
        assert!(some.counts("127.0.0.9".parse().unwrap()) && list(&[]).counts("127.9.9.9".parse().unwrap()));
    }

    #[test]
    fn the_names_in_the_zone() {
        let by = |key: Listed<'_>| list(&[]).names(&key);
        let (names, all) = by(Listed::Address("192.0.2.99".parse().unwrap()));
        assert_eq!((names, all), (vec!["99.2.0.192.list.example".to_owned()], true));
        let domains: Vec<Arc<str>> = ["a.b.example.co.uk", "example.co.uk", "", "[192.0.2.1]", "192.0.2.1"]
            .map(Arc::from)
            .into_iter()
            .collect();
        let (names, _) = by(Listed::Domains(&domains));
        assert_eq!(names, ["a.b.example.co.uk.list.example", "example.co.uk.list.example"]);
        let many: Vec<Arc<str>> = (0..500).map(|number| Arc::from(format!("d{number}.example"))).collect();
        let (names, all) = by(Listed::Domains(&many));
        assert_eq!((names.len(), all), (200, false));
    }

    #[test]
    fn test_points_are_those_of_the_rfc() {
        let points = list(&[]).test_points();
        let zeros = "0.".repeat(20);
        assert_eq!(points[0], ("2.0.0.127.list.example".into(), "1.0.0.127.list.example".into()));
        assert_eq!(points[1].0, format!("2.0.0.0.0.0.f.7.f.f.f.f.{zeros}list.example"));
        assert_eq!(points[1].0.split('.').count(), 34);
        let domains = DnsList { of_domains: true, ..list(&[]) };
        assert_eq!(domains.test_points(), [("test.list.example".into(), "invalid.list.example".into())]);
    }

    #[test]
    fn a_reason_can_stand_in_a_reply() {
        assert_eq!(printable(b"Listed\r\n554 see \xc3\xa9"), "Listed??554 see ??");
        assert_eq!(printable(&[b'a'; 1_000]).len(), 250);
    }
}
