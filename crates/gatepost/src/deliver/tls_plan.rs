//! What is asked of the connections to a host: by the site, by TLSA records that DNSSEC proves (RFC 7672), by the policy of
//! the recipients' domain (RFC 8461), in this order.
//!
//! Invariants: what can't be found out bars a host, and never makes it one of which less is asked; what the site has chosen
//! is neither weakened nor reported on.

use std::net::IpAddr;
use std::sync::Arc;

use hickory_resolver::proto::rr::rdata::TLSA;

use super::mx::{MxHost, bases_of};
use super::next_hop::{Bar, TlsLevel, TlsPlan};
use crate::config::TlsChoice;
use crate::net::dns::{Answer, Dns, DnsFailure};
use crate::net::mta_sts::{InForce, Mode};
use crate::net::tls;
use crate::net::tls_result::{PolicyKind, ReportedPolicy, TlsFailure};

/// What is known of a domain whose MX hosts are to be protected.
pub(super) struct MxPlans<'a> {
    /// Where TLSA records are looked up.
    pub(super) dns: &'a Dns,
    /// The port that is connected to.
    pub(super) port: u16,
    /// The recipients' domain, and what it is an alias for.
    pub(super) domain: &'a str,
    pub(super) alias: Option<String>,
    /// Whether DNSSEC proves which hosts are its MX hosts.
    pub(super) is_secure: bool,
    /// What the site has chosen for the domain, whatever that says itself.
    pub(super) chosen: Option<TlsChoice>,
    /// What is asked where nothing else is known.
    pub(super) default: TlsChoice,
    /// What the domain asks by MTA-STS.
    pub(super) asked: InForce,
    /// The plan that was made last and its host, for the host's other addresses.
    pub(super) last: Option<(String, TlsPlan)>,
}

/// What DNSSEC says of a host's certificate.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Dane {
    /// Nothing: another policy decides.
    Nothing,
    /// It must have TLS, and nothing is known of its certificate: no record under this name is usable (RFC 7672 §2.2).
    Unusable(String),
    /// It must match one of these, which stand under this name.
    Records(String, Arc<[TLSA]>),
    /// It can't be found out.
    Unknown(String, DnsFailure),
}

impl MxPlans<'_> {
    /// The plan for a host.
    pub(super) async fn plan(&mut self, host: &MxHost) -> TlsPlan {
        match &self.last {
            Some((name, plan)) if *name == host.name => plan.clone(),
            _ => {
                let plan = self.make(host).await;
                self.last = Some((host.name.clone(), plan.clone()));
                plan
            }
        }
    }

    async fn make(&self, host: &MxHost) -> TlsPlan {
        let level = match self.chosen {
            None => return self.by_domain(&host.name, self.dane(host).await),
            Some(TlsChoice::Dane) => {
                let dane = self.dane(host).await;
                by_records_alone(&host.name, dane, |base, records| self.by_records(base, records))
            }
            Some(chosen) => level_of(chosen, &host.name),
        };
        TlsPlan::chosen(level, false)
    }

    async fn dane(&self, host: &MxHost) -> Dane {
        if self.is_secure { find_records(self.dns, &host.bases, self.port).await } else { Dane::Nothing }
    }

    /// What the domain asks by its records or its policy, else what is usual.
    fn by_domain(&self, host: &str, dane: Dane) -> TlsPlan {
        let reported = |base: &str, lines, fault| {
            let policy = self.reported(base, PolicyKind::Tlsa, lines);
            Some(Arc::new(ReportedPolicy { fault, ..policy }))
        };
        let (level, reported) = match dane {
            Dane::Records(base, records) => {
                let reported = reported(&base, records.iter().map(tls::show).collect(), None);
                (self.by_records(base, records), reported)
            }
            Dane::Unknown(base, why) => {
                (barred(unknown(host, &base, why)), reported(&base, Vec::new(), None))
            }
            Dane::Nothing => return self.by_policy(host),
            // Encryption is asked for by the records; who is met may be asked for by a policy.
            Dane::Unusable(base) => match self.by_policy(host) {
                plan @ TlsPlan { level: TlsLevel::Verified(_) | TlsLevel::Barred(_), .. } => return plan,
                _ => (TlsLevel::Encrypted, reported(&base, Vec::new(), Some(TlsFailure::TlsaInvalid))),
            },
        };
        TlsPlan { level, implicit: false, reported }
    }

    /// RFC 7672 §3.2.2: the certificate below an authority is for the TLSA base domain or the next-hop domain.
    fn by_records(&self, base: String, records: Arc<[TLSA]>) -> TlsLevel {
        let names = [base, self.domain.to_owned()].into_iter().chain(self.alias.clone());
        TlsLevel::Dane { records, names: names.collect() }
    }

    /// What MTA-STS asks, else what is usual.
    fn by_policy(&self, host: &str) -> TlsPlan {
        let (level, reported) = match &self.asked {
            InForce::Policy(policy) => {
                let names: Arc<[String]> =
                    if policy.has(host) { Arc::from([host.to_owned()]) } else { Arc::from([]) };
                let level = match policy.mode {
                    Mode::Enforce if names.is_empty() => {
                        let domain = self.domain;
                        let text =
                            format!("{host} is left out: the MTA-STS policy of {domain} does not name it");
                        barred(Bar { failure: TlsFailure::ValidationFailure, text })
                    }
                    Mode::Enforce => TlsLevel::Verified(names),
                    Mode::Testing | Mode::None => match level_of(self.default, host) {
                        TlsLevel::Opportunistic => TlsLevel::Tested(names),
                        more => more,
                    },
                };
                let reported = self.reported(self.domain, PolicyKind::Sts, policy.lines());
                (level, ReportedPolicy { mx: policy.mx.clone(), ..reported })
            }
            InForce::Unknown(fault) => {
                let reported = self.reported(self.domain, PolicyKind::Sts, Vec::new());
                (level_of(self.default, host), ReportedPolicy { fault: Some(*fault), ..reported })
            }
            InForce::Nothing => {
                let reported = self.reported(self.domain, PolicyKind::NoPolicyFound, Vec::new());
                (level_of(self.default, host), reported)
            }
        };
        TlsPlan { level, implicit: false, reported: Some(Arc::new(reported)) }
    }

    fn reported(&self, domain: &str, kind: PolicyKind, lines: Vec<String>) -> ReportedPolicy {
        let (domain, told) = (domain.to_owned(), self.domain.to_owned());
        ReportedPolicy { domain, kind, lines, mx: Vec::new(), told, fault: None }
    }
}

/// What is asked of a host, no MX host, when the site wants its certificate to be named by TLSA records.
pub(super) async fn of_named_host(dns: &Dns, host: &str, port: u16, addresses: &Answer<IpAddr>) -> TlsLevel {
    let dane = find_records(dns, &bases_of(host, addresses), port).await;
    by_records_alone(host, dane, |base, records| TlsLevel::Dane { records, names: Arc::from([base]) })
}

/// What is asked of a host that is met by its TLSA records or not at all.
fn by_records_alone(host: &str, dane: Dane, level: impl FnOnce(String, Arc<[TLSA]>) -> TlsLevel) -> TlsLevel {
    match dane {
        Dane::Records(base, records) => level(base, records),
        Dane::Unknown(base, why) => barred(unknown(host, &base, why)),
        Dane::Nothing | Dane::Unusable(_) => barred(lacking(host)),
    }
}

/// Looks for TLSA records under the names in turn; the first name that has some decides (RFC 7672 §2.2.2).
async fn find_records(dns: &Dns, bases: &[String], port: u16) -> Dane {
    for base in bases {
        let answer = match dns.tlsa(&format!("_{port}._tcp.{base}")).await {
            Ok(answer) => answer,
            Err(why) => return Dane::Unknown(base.clone(), why),
        };
        if !answer.is_secure() || answer.absent().is_some() {
            continue;
        }
        let usable: Arc<[TLSA]> = answer.into_records().into_iter().filter(tls::is_usable).collect();
        let base = base.clone();
        return if usable.is_empty() { Dane::Unusable(base) } else { Dane::Records(base, usable) };
    }
    Dane::Nothing
}

fn unknown(host: &str, base: &str, why: DnsFailure) -> Bar {
    let at = if host == base { String::new() } else { format!(" under {base}") };
    let text = format!("{host} is left out: cannot look up its TLSA records{at}: {why}");
    Bar { failure: TlsFailure::DnssecInvalid, text }
}

fn lacking(host: &str) -> Bar {
    let text =
        format!("{host} is left out: it has no TLSA record that is proven and usable, as this site asks for");
    Bar { failure: TlsFailure::DaneRequired, text }
}

fn barred(bar: Bar) -> TlsLevel {
    TlsLevel::Barred(Arc::new(bar))
}

/// What a choice asks of a host; [`TlsChoice::Dane`] is more than can be said without its records.
pub(super) fn level_of(choice: TlsChoice, host: &str) -> TlsLevel {
    match choice {
        TlsChoice::Off => TlsLevel::Off,
        TlsChoice::Opportunistic => TlsLevel::Opportunistic,
        TlsChoice::Encrypted => TlsLevel::Encrypted,
        TlsChoice::Verified => TlsLevel::Verified(Arc::from([host.to_owned()])),
        TlsChoice::Dane => barred(lacking(host)),
    }
}

#[cfg(test)]
mod tests {
    use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};

    use super::*;
    use crate::config::DnsSettings;
    use crate::net::mta_sts::Policy;

    const HOST: &str = "mx.far.example";

    fn policy(mode: &str, mx: &str) -> InForce {
        let text = format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: 100\n");
        InForce::Policy(Arc::new(Policy::parse(&text).unwrap()))
    }

    fn records() -> Arc<[TLSA]> {
        Arc::from([TLSA::new(CertUsage::DaneEe, Selector::Spki, Matching::Sha256, vec![7; 32])])
    }

    fn plans(dns: &Dns, asked: InForce, default: TlsChoice) -> MxPlans<'_> {
        let (alias, is_secure) = (Some("real.example".to_owned()), true);
        MxPlans {
            dns,
            port: 25,
            domain: "far.example",
            alias,
            is_secure,
            chosen: None,
            default,
            asked,
            last: None,
        }
    }

    fn dns() -> Dns {
        Dns::silent(&DnsSettings {
            servers: Vec::new(),
            timeout: std::time::Duration::from_secs(1),
            attempts: 1,
            cache_entries: 0,
            dnssec: true,
            trust_anchors: None,
        })
    }

    fn by_domain(dane: Dane, asked: InForce, default: TlsChoice) -> (TlsLevel, ReportedPolicy) {
        let dns = dns();
        let plan = plans(&dns, asked, default).by_domain(HOST, dane);
        assert!(!plan.implicit);
        (plan.level, (*plan.reported.unwrap()).clone())
    }

    fn names(names: &[&str]) -> Arc<[String]> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn failure(level: &TlsLevel) -> Option<TlsFailure> {
        match level {
            TlsLevel::Barred(bar) => Some(bar.failure),
            _ => None,
        }
    }

    #[test]
    fn proven_records_go_before_a_policy() {
        let dane = Dane::Records("mx.base.example".into(), records());
        let (level, reported) = by_domain(dane, policy("enforce", "other.example"), TlsChoice::Opportunistic);
        let names = names(&["mx.base.example", "far.example", "real.example"]);
        assert_eq!(level, TlsLevel::Dane { records: records(), names });
        assert_eq!((reported.kind, reported.domain.as_str()), (PolicyKind::Tlsa, "mx.base.example"));
        assert_eq!((reported.told.as_str(), reported.lines.len()), ("far.example", 1));
    }

    #[test]
    fn records_that_cannot_be_found_out_bar_the_host() {
        let dane = || Dane::Unknown(HOST.into(), DnsFailure::Bogus);
        for asked in [InForce::Nothing, policy("enforce", HOST), policy("testing", HOST)] {
            let (level, reported) = by_domain(dane(), asked, TlsChoice::Off);
            assert_eq!(failure(&level), Some(TlsFailure::DnssecInvalid));
            assert_eq!(reported.kind, PolicyKind::Tlsa);
        }
    }

    #[test]
    fn records_that_cannot_be_used_ask_for_encryption_at_least() {
        let dane = || Dane::Unusable(HOST.into());
        for asked in
            [InForce::Nothing, policy("testing", HOST), InForce::Unknown(TlsFailure::StsPolicyInvalid)]
        {
            let (level, reported) = by_domain(dane(), asked, TlsChoice::Opportunistic);
            assert_eq!((level, reported.fault), (TlsLevel::Encrypted, Some(TlsFailure::TlsaInvalid)));
        }
        let (level, reported) = by_domain(dane(), policy("enforce", HOST), TlsChoice::Opportunistic);
        assert_eq!((level, reported.kind), (TlsLevel::Verified(names(&[HOST])), PolicyKind::Sts));
    }

    #[test]
    fn a_policy_asks_for_its_hosts_by_name_or_watches_them() {
        let usual = TlsChoice::Opportunistic;
        let by_policy = |asked| by_domain(Dane::Nothing, asked, usual);
        let (level, reported) = by_policy(policy("enforce", "*.far.example"));
        assert_eq!(
            (level, reported.mx),
            (TlsLevel::Verified(names(&[HOST])), vec!["*.far.example".to_owned()])
        );
        let (level, _) = by_policy(policy("enforce", "mx.other.example"));
        assert_eq!(failure(&level), Some(TlsFailure::ValidationFailure));
        assert_eq!(by_policy(policy("testing", HOST)).0, TlsLevel::Tested(names(&[HOST])));
        assert_eq!(by_policy(policy("testing", "mx.other.example")).0, TlsLevel::Tested(names(&[])));
        let (level, reported) = by_policy(InForce::Unknown(TlsFailure::StsPolicyFetchError));
        assert_eq!((level, reported.fault), (TlsLevel::Opportunistic, Some(TlsFailure::StsPolicyFetchError)));
        let (level, reported) = by_policy(InForce::Nothing);
        assert_eq!((level, reported.kind), (TlsLevel::Opportunistic, PolicyKind::NoPolicyFound));
    }

    #[test]
    fn the_default_holds_where_nothing_else_is_known() {
        for (default, level) in [
            (TlsChoice::Off, TlsLevel::Off),
            (TlsChoice::Encrypted, TlsLevel::Encrypted),
            (TlsChoice::Verified, TlsLevel::Verified(names(&[HOST]))),
        ] {
            assert_eq!(by_domain(Dane::Nothing, InForce::Nothing, default).0, level);
            assert_eq!(by_domain(Dane::Nothing, policy("testing", HOST), default).0, level, "not weakened");
        }
    }

    #[tokio::test]
    async fn what_the_site_has_chosen_is_not_looked_up_nor_reported_on() {
        let dns = dns();
        let host = MxHost { name: HOST.into(), address: [192, 0, 2, 1].into(), bases: names(&[HOST]) };
        let mut plans = plans(&dns, policy("enforce", "mx.other.example"), TlsChoice::Verified);
        for (chosen, level) in [
            (TlsChoice::Off, TlsLevel::Off),
            (TlsChoice::Opportunistic, TlsLevel::Opportunistic),
            (TlsChoice::Verified, TlsLevel::Verified(names(&[HOST]))),
        ] {
            plans.chosen = Some(chosen);
            assert_eq!(plans.make(&host).await, TlsPlan::chosen(level, false));
        }
        // Nobody can be asked here.
        plans.chosen = Some(TlsChoice::Dane);
        assert_eq!(failure(&plans.make(&host).await.level), Some(TlsFailure::DnssecInvalid));
        let unproven = MxHost { bases: names(&[]), ..host.clone() };
        assert_eq!(failure(&plans.make(&unproven).await.level), Some(TlsFailure::DaneRequired));
        plans.is_secure = false;
        let plan = plans.make(&host).await;
        assert_eq!((failure(&plan.level), plan.reported), (Some(TlsFailure::DaneRequired), None));
    }
}
