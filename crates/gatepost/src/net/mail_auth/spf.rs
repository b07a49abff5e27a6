//! SPF: whether a domain lets a client send in its name (RFC 7208).
//!
//! Invariants: a look-up that fails is `temperror`, never another result; an evaluation ends within the limits of RFC 7208
//! §4.6.4, whatever records say.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use mail_auth::spf::{Macro, Variables};

pub(crate) use super::spf_record::is_spf;
use super::spf_record::{
    Directive, Mechanism, Prefixes, Qualifier, RecordError, SpfRecord, parse, parse_explanation,
};
use crate::net::dns::{Answer, Dns, DnsFailure};
use crate::net::dns_name::absolute;

/// Most terms that look something up (RFC 7208 §4.6.4).
const LOOK_UPS_MAX: u32 = 10;

/// Most look-ups that find nothing (RFC 7208 §4.6.4).
const VOID_LOOK_UPS_MAX: u32 = 2;

/// Most MX or PTR records whose names are looked up (RFC 7208 §4.6.4).
const NAMES_MAX: usize = 10;

/// Longest time for one check (RFC 7208 §4.6.4).
const CHECK_TIME: Duration = Duration::from_secs(20);

/// Longest name that a macro may make; a longer one loses its first labels (RFC 7208 §7.3).
const NAME_OCTETS_MAX: usize = 253;

/// Longest explanation that is passed on, in octets (ours; a reply line has 512 octets, RFC 5321 §4.5.3.1.5).
const EXPLANATION_OCTETS_MAX: usize = 400;

/// What SPF says (RFC 7208 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpfResult {
    /// There is no record to check by.
    None,
    /// The domain says nothing of the client.
    Neutral,
    /// The client may.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// It can't be told now; why.
    TempError(DnsFailure),
    /// The domain's records are wrong.
    PermError,
}

impl SpfResult {
    /// The word for it in header fields and policies (RFC 8601 §2.7.2).
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError(_) => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// The result, and what the domain says to a `fail`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfOutcome {
    /// The result.
    pub result: SpfResult,
    /// Printable ASCII; only with a `fail` and when the domain publishes one.
    pub explanation: Option<String>,
}

/// Who wants to send what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpfQuestion<'q> {
    /// The client.
    pub client: IpAddr,
    /// The domain that is checked.
    pub domain: &'q str,
    /// The reverse-path's mailbox; for EHLO names and the null reverse-path `postmaster` at that name.
    pub sender: &'q str,
    /// What the client called itself.
    pub helo: &'q str,
    /// This server.
    pub receiver: &'q str,
}

/// Checks the client against the domain's record, for as long as RFC 7208 §4.6.4 wants it at least.
pub async fn check(dns: &Dns, question: &SpfQuestion<'_>) -> SpfOutcome {
    check_within(dns, question, CHECK_TIME).await
}

/// Checks the client against the domain's record; what takes longer than `limit` is `temperror`.
pub async fn check_within(dns: &Dns, question: &SpfQuestion<'_>, limit: Duration) -> SpfOutcome {
    tokio::time::timeout(limit, evaluate(dns, question))
        .await
        .unwrap_or(SpfOutcome { result: SpfResult::TempError(DnsFailure::Timeout), explanation: None })
}

async fn evaluate(dns: &Dns, question: &SpfQuestion<'_>) -> SpfOutcome {
    let client = question.client.to_canonical();
    let mut variables = Variables::new();
    variables.set_ip(&client);
    let sender = match question.sender.rsplit_once('@') {
        Some(("", domain)) => format!("postmaster@{domain}"),
        Some(_) => question.sender.to_owned(),
        None => format!("postmaster@{}", question.domain),
    };
    variables.set_sender(sender.into_bytes());
    variables.set_helo_domain(question.helo.as_bytes());
    variables.set_host_domain(question.receiver.as_bytes());
    let mut check = Check { dns, client, variables, look_ups: 0, voids: 0 };
    match check.host(question.domain.to_owned(), false).await {
        Ok((result, explanation)) => SpfOutcome { result, explanation },
        Err(result) => SpfOutcome { result, explanation: None },
    }
}

/// One evaluation.
struct Check<'c> {
    dns: &'c Dns,
    client: IpAddr,
    variables: Variables<'c>,
    look_ups: u32,
    voids: u32,
}

/// A result that comes of evaluating, or one that ends the evaluation: `temperror`, `permerror`.
type Evaluated<T> = Result<T, SpfResult>;

impl Check<'_> {
    /// `check_host()` (RFC 7208 §4). An explanation is only wanted of what isn't `included`.
    fn host(&mut self, domain: String, included: bool) -> Boxed<'_, Evaluated<(SpfResult, Option<String>)>> {
        Box::pin(async move {
            let mut domain = domain;
            let mut first = true;
            loop {
                let record = match self.record(&domain).await? {
                    Some(record) => record,
                    None if first => return Ok((SpfResult::None, None)),
                    // What `redirect` leads to has a record (RFC 7208 §6.1).
                    None => return Err(SpfResult::PermError),
                };
                first = false;
                self.variables.set_domain(domain.clone().into_bytes());
                if let Some(qualifier) = self.first_match(&record, &domain).await? {
                    let result = qualifier.into();
                    let wanted = result == SpfResult::Fail && !included;
                    let explanation = if wanted { self.explanation(&record, &domain).await } else { None };
                    return Ok((result, explanation));
                }
                let Some(redirect) = &record.redirect else { return Ok((SpfResult::Neutral, None)) };
                self.count_look_up()?;
                domain = self.name(redirect, &domain).await;
            }
        })
    }

    /// The record of the domain; `None` when it has none, or can't be one (RFC 7208 §4.3 to §4.5).
    async fn record(&self, domain: &str) -> Evaluated<Option<SpfRecord>> {
        let labels = absolute(domain).map_or(0, |name| name.num_labels());
        if labels < 2 {
            return Ok(None);
        }
        let answer = self.dns.txt(domain).await.map_err(SpfResult::TempError)?;
        let mut records = answer.records().iter().filter(|text| is_spf(text));
        match (records.next(), records.next()) {
            (None, _) => Ok(None),
            (Some(text), None) => match parse(text) {
                Ok(record) => Ok(Some(record)),
                Err(RecordError::Malformed) => Err(SpfResult::PermError),
                Err(RecordError::Internal) => Err(SpfResult::TempError(DnsFailure::ServerFailure)),
            },
            (Some(_), Some(_)) => Err(SpfResult::PermError),
        }
    }

    async fn first_match(&mut self, record: &SpfRecord, domain: &str) -> Evaluated<Option<Qualifier>> {
        for Directive { qualifier, mechanism } in &record.directives {
            if self.matches(mechanism, domain).await? {
                return Ok(Some(*qualifier));
            }
        }
        Ok(None)
    }

    async fn matches(&mut self, mechanism: &Mechanism, domain: &str) -> Evaluated<bool> {
        match mechanism {
            Mechanism::All => return Ok(true),
            Mechanism::Network(address, bits) => return Ok(in_network(self.client, *address, *bits)),
            _ => self.count_look_up()?,
        }
        match mechanism {
            Mechanism::All | Mechanism::Network(..) => Ok(false),
            Mechanism::Include(target) => {
                let target = self.name(target, domain).await;
                let included = self.host(target, true).await?.0;
                self.variables.set_domain(domain.as_bytes().to_vec());
                match included {
                    SpfResult::Pass => Ok(true),
                    SpfResult::Fail | SpfResult::SoftFail | SpfResult::Neutral => Ok(false),
                    SpfResult::None | SpfResult::PermError => Err(SpfResult::PermError),
                    SpfResult::TempError(failure) => Err(SpfResult::TempError(failure)),
                }
            }
            Mechanism::A(target, prefixes) => {
                let target = self.name_or(target.as_ref(), domain).await;
                self.has_address(&target, *prefixes).await
            }
            Mechanism::Mx(target, prefixes) => {
                let target = self.name_or(target.as_ref(), domain).await;
                self.has_mx(&target, *prefixes).await
            }
            Mechanism::Ptr(target) => {
                let target = self.name_or(target.as_ref(), domain).await;
                Ok(self.validated(&target).await.is_some_and(|name| is_within(&name, &target)))
            }
            Mechanism::Exists(target) => {
                let target = self.name(target, domain).await;
                let answer = self.dns.ipv4(&target).await;
                Ok(!self.not_void(answer)?.records().is_empty())
            }
        }
    }

    async fn has_address(&mut self, name: &str, prefixes: Prefixes) -> Evaluated<bool> {
        let answer =
            if self.client.is_ipv4() { self.dns.ipv4(name).await } else { self.dns.ipv6(name).await };
        let bits = if self.client.is_ipv4() { prefixes.v4 } else { prefixes.v6 };
        let client = self.client;
        Ok(self.not_void(answer)?.records().iter().any(|address| in_network(client, *address, bits)))
    }

    async fn has_mx(&mut self, name: &str, prefixes: Prefixes) -> Evaluated<bool> {
        let answer = self.dns.mx(name).await;
        let hosts = self.not_void(answer)?.into_records();
        if hosts.len() > NAMES_MAX {
            return Err(SpfResult::PermError);
        }
        for host in hosts {
            if self.has_address(&host.exchange, prefixes).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The client's name that leads back to its address: `target` if it is one of them, else one below it, else any (RFC 7208
    /// §5.5, §7.3). A look-up that fails finds nothing.
    async fn validated(&self, target: &str) -> Option<String> {
        let names = self.dns.ptr(self.client).await.ok()?.into_records();
        let mut best: Option<String> = None;
        for name in names.into_iter().take(NAMES_MAX) {
            let addresses =
                if self.client.is_ipv4() { self.dns.ipv4(&name).await } else { self.dns.ipv6(&name).await };
            if !addresses.is_ok_and(|answer| answer.records().contains(&self.client)) {
                continue;
            }
            if same(&name, target) {
                return Some(name);
            }
            let better =
                best.as_ref().is_none_or(|best| !is_within(best, target) && is_within(&name, target));
            if better {
                best = Some(name);
            }
        }
        best
    }

    /// What the record's domain says to a `fail`; whatever goes wrong, nothing (RFC 7208 §6.2).
    async fn explanation(&mut self, record: &SpfRecord, domain: &str) -> Option<String> {
        let target = self.name(record.explanation.as_ref()?, domain).await;
        let answer = self.dns.txt(&target).await.ok()?;
        let [text] = answer.records() else { return None };
        let explanation = parse_explanation(text)?;
        self.set_validated(&explanation, domain).await;
        let text = explanation.eval(&self.variables, domain, false).into_owned();
        let fits =
            text.len() <= EXPLANATION_OCTETS_MAX && text.bytes().all(|octet| matches!(octet, b' '..=b'~'));
        fits.then_some(text)
    }

    async fn name_or(&mut self, spec: Option<&Macro>, domain: &str) -> String {
        match spec {
            Some(spec) => self.name(spec, domain).await,
            None => domain.to_owned(),
        }
    }

    /// The name that a `domain-spec` makes.
    async fn name(&mut self, spec: &Macro, domain: &str) -> String {
        self.set_validated(spec, domain).await;
        let mut name = spec.eval(&self.variables, domain, false).into_owned();
        while name.strip_suffix('.').unwrap_or(&name).len() > NAME_OCTETS_MAX {
            match name.split_once('.') {
                Some((_, rest)) => name = rest.to_owned(),
                None => break,
            }
        }
        name
    }

    /// Finds `%{p}` out when the macro has it.
    async fn set_validated(&mut self, spec: &Macro, domain: &str) {
        if spec.needs_ptr() {
            let name = self.validated(domain).await.unwrap_or_else(|| "unknown".to_owned());
            self.variables.set_validated_domain(name.into_bytes());
        }
    }

    fn count_look_up(&mut self) -> Evaluated<()> {
        self.look_ups += 1;
        if self.look_ups > LOOK_UPS_MAX { Err(SpfResult::PermError) } else { Ok(()) }
    }

    /// The answer, counted when there is nothing in it.
    fn not_void<T>(&mut self, answer: Result<Answer<T>, DnsFailure>) -> Evaluated<Answer<T>> {
        let answer = answer.map_err(SpfResult::TempError)?;
        if answer.absent().is_some() {
            self.voids += 1;
            if self.voids > VOID_LOOK_UPS_MAX {
                return Err(SpfResult::PermError);
            }
        }
        Ok(answer)
    }
}

/// A future that can hold itself: `include` checks a host within a host.
type Boxed<'f, T> = Pin<Box<dyn Future<Output = T> + Send + 'f>>;

impl From<Qualifier> for SpfResult {
    fn from(qualifier: Qualifier) -> Self {
        match qualifier {
            Qualifier::Pass => Self::Pass,
            Qualifier::Fail => Self::Fail,
            Qualifier::SoftFail => Self::SoftFail,
            Qualifier::Neutral => Self::Neutral,
        }
    }
}

/// Whether both addresses are of one family and agree in their first `bits` bits.
fn in_network(client: IpAddr, network: IpAddr, bits: u8) -> bool {
    let bits = u32::from(bits);
    match (client, network) {
        (IpAddr::V4(client), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits)).unwrap_or(0);
            (client.to_bits() ^ network.to_bits()) & mask == 0
        }
        (IpAddr::V6(client), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits)).unwrap_or(0);
            (client.to_bits() ^ network.to_bits()) & mask == 0
        }
        _ => false,
    }
}

fn bare(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn same(name: &str, other: &str) -> bool {
    bare(name).eq_ignore_ascii_case(bare(other))
}

/// Whether `name` is `domain` or lies below it.
fn is_within(name: &str, domain: &str) -> bool {
    let (name, domain) = (bare(name), bare(domain));
    match name.len().checked_sub(domain.len()).and_then(|at| name.split_at_checked(at)) {
        Some((above, end)) => end.eq_ignore_ascii_case(domain) && (above.is_empty() || above.ends_with('.')),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_hold_addresses_of_their_family() {
        let ip = |text: &str| -> IpAddr { text.parse().unwrap() };
        assert!(in_network(ip("192.0.2.77"), ip("192.0.2.1"), 24));
        assert!(!in_network(ip("192.0.3.1"), ip("192.0.2.1"), 24));
        assert!(in_network(ip("203.0.113.1"), ip("192.0.2.1"), 0));
        assert!(!in_network(ip("192.0.2.1"), ip("::ffff:192.0.2.1"), 128));
        assert!(in_network(ip("2001:db8::7"), ip("2001:db8::1"), 64));
        assert!(!in_network(ip("2001:db8::7"), ip("2001:db8::1"), 128));
    }

    #[test]
    fn a_name_below_a_domain_ends_at_a_dot() {
        assert!(is_within("mx.Example.org", "example.org.") && is_within("example.org", "example.org"));
        assert!(!is_within("badexample.org", "example.org") && !is_within("org", "example.org"));
    }
}
