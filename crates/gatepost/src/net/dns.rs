//! Look-ups in the DNS: what there is, that there is nothing, or that it could not be found out.
//!
//! Invariants: a failure is never absence, and absence never a failure; whoever asks has an answer within
//! [`Dns::patience`]; concurrent look-ups of the same question are one; no `hosts` file and no search list has a say.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError, NoRecords};
use hickory_resolver::proto::dnssec::rdata::DNSSECRData;
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::TLSA;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::system_conf::read_system_conf;

use super::dns_cache::Answers;
use super::dns_name::{absolute, normal, reverse_name, to_text};
use crate::clock;
use crate::config::DnsSettings;

/// Most questions that are open at once on one connection to a server (ours).
const OPEN_QUESTIONS_MAX: usize = 1_024;

/// Why something could not be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DnsFailure {
    /// No answer in time.
    Timeout,
    /// A server has failed, or has answered what is no answer: a referral, another malformed thing.
    ServerFailure,
    /// A server doesn't want to answer.
    Refused,
    /// DNSSEC proves the answer false, or it could not be validated (RFC 4035 §4.3).
    Bogus,
    /// No server could be reached.
    Network,
    /// Nobody is asked, in a rehearsal.
    NotGiven,
}

/// How there is nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Absent {
    /// There is no such name, and none below it (NXDOMAIN, RFC 8020).
    NoSuchName,
    /// The name exists and has no such record (RFC 2308 §2.2).
    NoSuchRecord,
}

/// What there is: records, or [`Absent`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    records: Vec<T>,
    absent: Option<Absent>,
    secure: bool,
    incomplete: Option<DnsFailure>,
    alias: Option<Alias>,
}

/// That the name is an alias (CNAME), and what for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name that the records stand under, when all aliases are followed; in lower case without a dot at its end.
    pub target: String,
    /// Whether DNSSEC proves that the name which was asked for is an alias, whatever follows.
    pub is_secure: bool,
}

/// An MX record (RFC 1035 §3.3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mx {
    /// Lower ones come first.
    pub preference: u16,
    /// The host, in lower case without a dot at its end; empty for the root, as a null MX has it (RFC 7505 §3).
    pub exchange: String,
}

impl<T> Answer<T> {
    /// These records; none of them is that there is no such record.
    #[must_use]
    pub fn of(records: Vec<T>, secure: bool) -> Self {
        let absent = records.is_empty().then_some(Absent::NoSuchRecord);
        Self { records, absent, secure, incomplete: None, alias: None }
    }

    /// Nothing.
    #[must_use]
    pub const fn none(absent: Absent, secure: bool) -> Self {
        Self { records: Vec::new(), absent: Some(absent), secure, incomplete: None, alias: None }
    }

    /// The records, in the order of the answer.
    #[must_use]
    pub fn records(&self) -> &[T] {
        &self.records
    }

    /// The records themselves.
    #[must_use]
    pub fn into_records(self) -> Vec<T> {
        self.records
    }

    /// How there is nothing, when there is nothing.
    #[must_use]
    pub const fn absent(&self) -> Option<Absent> {
        self.absent
    }

    /// Whether DNSSEC proves all that it says; never without `dns.dnssec`.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// Why there may be more records than these; only [`Dns::addresses`] has such answers.
    #[must_use]
    pub const fn incomplete(&self) -> Option<DnsFailure> {
        self.incomplete
    }

    /// What the name is an alias for; only of answers with records that is known.
    #[must_use]
    pub const fn alias(&self) -> Option<&Alias> {
        self.alias.as_ref()
    }

    /// The same, found through an alias.
    #[must_use]
    pub fn led_by(self, alias: Alias) -> Self {
        Self { alias: Some(alias), ..self }
    }

    fn map<U>(&self, change: impl FnMut(&T) -> Option<U>) -> Answer<U> {
        Answer {
            records: self.records.iter().filter_map(change).collect(),
            absent: self.absent,
            secure: self.secure,
            incomplete: self.incomplete,
            alias: self.alias.clone(),
        }
    }
}

impl fmt::Display for DnsFailure {
    /// In a few words, as the reason why a fact is unsure.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Timeout => "time-out",
            Self::ServerFailure => "SERVFAIL",
            Self::Refused => "REFUSED",
            Self::Bogus => "DNSSEC validation failed",
            Self::Network => "no DNS server can be reached",
            Self::NotGiven => "not given",
        })
    }
}

impl std::error::Error for DnsFailure {}

/// The DNS, as the configuration wants it asked.
#[derive(Debug)]
pub struct Dns {
    /// Nobody is asked without one.
    resolver: Option<TokioResolver>,
    answers: Answers,
    patience: Duration,
}

impl Dns {
    /// The DNS behind the servers of `settings`, or behind the system's; behind one on this machine when the system names
    /// none, as resolv.conf(5) has it. Nothing is asked yet.
    ///
    /// # Errors
    /// When the trust anchors can't be read, or the resolver can't be set up, in a few words.
    pub fn new(settings: &DnsSettings) -> Result<Self, String> {
        let servers = if settings.servers.is_empty() { system_servers() } else { named(&settings.servers) };
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let mut options = ResolverOpts::default();
        options.timeout = settings.timeout;
        options.attempts = usize::try_from(settings.attempts.saturating_sub(1)).unwrap_or(0);
        options.validate = settings.dnssec;
        options.edns0 = true;
        options.use_hosts_file = ResolveHosts::Never;
        options.max_active_requests = OPEN_QUESTIONS_MAX;
        // Answers are kept here, where absence can be kept also when it was validated.
        options.cache_size = 0;
        let mut builder =
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).with_options(options);
        if let Some(file) = settings.trust_anchors.as_ref().filter(|_| settings.dnssec) {
            builder = builder.with_trust_anchor(Arc::new(trust_anchors(file)?));
        }
        let resolver =
            builder.build().map_err(|error| format!("the DNS resolver can't be set up: {error}"))?;
        let patience = settings.timeout.saturating_mul(settings.attempts.max(1));
        Ok(Self { resolver: Some(resolver), answers: Answers::new(settings.cache_entries), patience })
    }

    /// A DNS of which nobody asks anything: each look-up fails with [`DnsFailure::NotGiven`].
    #[must_use]
    pub fn silent(settings: &DnsSettings) -> Self {
        Self { resolver: None, answers: Answers::new(settings.cache_entries), patience: settings.timeout }
    }

    /// Longest wait for one answer.
    #[must_use]
    pub const fn patience(&self) -> Duration {
        self.patience
    }

    /// The addresses of a host: A and AAAA records. When one of the two look-ups fails and the other has records, the
    /// answer is [`Answer::incomplete`], and secure when these records are: who can keep one kind of them from arriving
    /// must not make the other kind look unsigned.
    ///
    /// # Errors
    /// When a look-up fails, and nothing was found.
    pub async fn addresses(&self, name: &str) -> Result<Answer<IpAddr>, DnsFailure> {
        let (v4, v6) = tokio::join!(self.ipv4(name), self.ipv6(name));
        match (v4, v6) {
            (Ok(v4), Ok(v6)) => Ok(both(v4, v6)),
            (Ok(found), Err(failure)) | (Err(failure), Ok(found)) if found.absent.is_none() => {
                Ok(Answer { incomplete: Some(failure), ..found })
            }
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        }
    }

    /// The A records.
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn ipv4(&self, name: &str) -> Result<Answer<IpAddr>, DnsFailure> {
        self.records(name, RecordType::A, |record| match record {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        })
        .await
    }

    /// The AAAA records; an IPv4-mapped address stays what it is.
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn ipv6(&self, name: &str) -> Result<Answer<IpAddr>, DnsFailure> {
        self.records(name, RecordType::AAAA, |record| match record {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .await
    }

    /// The MX records, lowest preference first; those of one preference in the order of the answer.
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn mx(&self, name: &str) -> Result<Answer<Mx>, DnsFailure> {
        let found = self.records(name, RecordType::MX, |record| match record {
            RData::MX(mx) => Some(Mx { preference: mx.preference, exchange: to_text(&mx.exchange) }),
            _ => None,
        });
        let mut answer = found.await?;
        answer.records.sort_by_key(|mx| mx.preference);
        Ok(answer)
    }

    /// The names of the address's PTR records, in lower case without a dot at their end.
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn ptr(&self, address: IpAddr) -> Result<Answer<String>, DnsFailure> {
        self.records(&reverse_name(address), RecordType::PTR, |record| match record {
            RData::PTR(name) if !name.0.is_root() => Some(to_text(&name.0)),
            _ => None,
        })
        .await
    }

    /// The TXT records, the strings of each joined (RFC 7208 §3.3).
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn txt(&self, name: &str) -> Result<Answer<Vec<u8>>, DnsFailure> {
        self.records(name, RecordType::TXT, |record| match record {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        })
        .await
    }

    /// The TLSA records (RFC 6698).
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn tlsa(&self, name: &str) -> Result<Answer<TLSA>, DnsFailure> {
        self.records(name, RecordType::TLSA, |record| match record {
            RData::TLSA(tlsa) => Some(tlsa.clone()),
            _ => None,
        })
        .await
    }

    /// Whether the name exists, whatever records it has: only NXDOMAIN says no.
    ///
    /// # Errors
    /// When the look-up fails.
    pub async fn exists(&self, name: &str) -> Result<bool, DnsFailure> {
        Ok(self.ipv4(name).await?.absent() != Some(Absent::NoSuchName))
    }

    /// The records that `wanted` takes; of a name that can't exist there are none, and nobody is asked.
    async fn records<T>(
        &self,
        name: &str,
        record_type: RecordType,
        wanted: impl FnMut(&RData) -> Option<T>,
    ) -> Result<Answer<T>, DnsFailure> {
        let Some(name) = normal(name) else { return Ok(Answer::none(Absent::NoSuchName, false)) };
        Ok(self.ask(name, record_type).await?.map(wanted))
    }

    /// `name` is in its normal form.
    async fn ask(&self, name: String, record_type: RecordType) -> Result<Arc<Answer<RData>>, DnsFailure> {
        let question = (name, record_type);
        if let Some(answer) = self.answers.get(&question, clock::monotonic()) {
            return Ok(answer);
        }
        let Some(resolver) = &self.resolver else { return Err(DnsFailure::NotGiven) };
        let Some(name) = absolute(&question.0) else {
            return Ok(Arc::new(Answer::none(Absent::NoSuchName, false)));
        };
        // On the heap, so that what is answered from memory moves none of what a look-up needs.
        let look_up = tokio::time::timeout(self.patience, resolver.lookup(name.clone(), record_type));
        let outcome = Box::pin(look_up).await.unwrap_or(Err(NetError::Timeout));
        let (answer, time_to_live) = understood(outcome, &name, record_type)?;
        let answer = Arc::new(answer);
        self.answers.keep(question, Arc::clone(&answer), time_to_live, clock::monotonic());
        Ok(answer)
    }
}

fn trust_anchors(file: &Path) -> Result<TrustAnchors, String> {
    let anchors = TrustAnchors::from_file(file).map_err(|error| error.to_string());
    anchors.map_err(|error| format!("the trust anchors of `{}` can't be read: {error}", file.display()))
}

/// The system's servers.
fn system_servers() -> Vec<NameServerConfig> {
    let servers = read_system_conf().map(|(config, _)| config.name_servers().to_vec()).unwrap_or_default();
    if servers.is_empty() {
        return vec![NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST))];
    }
    servers
}

/// Servers at these addresses, by UDP, and by TCP what doesn't fit.
fn named(servers: &[SocketAddr]) -> Vec<NameServerConfig> {
    let server = |address: &SocketAddr| {
        let mut server = NameServerConfig::udp_and_tcp(address.ip());
        for connection in &mut server.connections {
            connection.port = address.port();
        }
        server
    };
    servers.iter().map(server).collect()
}

/// IPv4 and IPv6 addresses as one answer. Where one kind has records, that the other has none need not be proven.
fn both(v4: Answer<IpAddr>, v6: Answer<IpAddr>) -> Answer<IpAddr> {
    let no_such_name = v4.absent == Some(Absent::NoSuchName) && v6.absent == Some(Absent::NoSuchName);
    let secure = match (v4.absent, v6.absent) {
        (None, Some(_)) => v4.secure,
        (Some(_), None) => v6.secure,
        _ => v4.secure && v6.secure,
    };
    let alias = v4.alias.or(v6.alias);
    let records: Vec<IpAddr> = v4.records.into_iter().chain(v6.records).collect();
    if records.is_empty() && no_such_name {
        return Answer::none(Absent::NoSuchName, secure);
    }
    Answer { alias, ..Answer::of(records, secure) }
}

/// What a look-up came to, and how long it may be kept.
fn understood(
    outcome: Result<Lookup, NetError>,
    name: &Name,
    record_type: RecordType,
) -> Result<(Answer<RData>, Duration), DnsFailure> {
    match outcome {
        Ok(lookup) => Ok(found(&lookup, name, record_type)),
        Err(NetError::Dns(DnsError::NoRecordsFound(nothing))) => absence(&nothing),
        Err(NetError::Dns(DnsError::Nsec { response, proof: Proof::Insecure, .. })) => {
            let absent = match response.response_code {
                ResponseCode::NXDomain => Absent::NoSuchName,
                _ => Absent::NoSuchRecord,
            };
            let seconds = response.negative_ttl().unwrap_or(0);
            Ok((Answer::none(absent, false), Duration::from_secs(u64::from(seconds))))
        }
        Err(error) => Err(failure(&error)),
    }
}

fn found(lookup: &Lookup, name: &Name, record_type: RecordType) -> (Answer<RData>, Duration) {
    let is_signature = |record: &&Record| matches!(record.data, RData::DNSSEC(DNSSECRData::RRSIG(_)));
    let plain = || lookup.answers().iter().filter(|record| !is_signature(record));
    let secure = plain().all(|record| record.proof.is_secure());
    let time_to_live = plain().map(|record| record.ttl).min().unwrap_or(0);
    let wanted = plain().filter(|record| record.record_type() == record_type);
    let alias = wanted.clone().next().filter(|record| record.name != *name).map(|record| {
        let is_first = |record: &&Record| record.name == *name && matches!(record.data, RData::CNAME(_));
        let first = plain().find(is_first);
        Alias { target: to_text(&record.name), is_secure: first.is_some_and(|first| first.proof.is_secure()) }
    });
    let records = wanted.map(|record| record.data.clone()).collect();
    let answer = Answer { alias, ..Answer::of(records, secure) };
    (answer, Duration::from_secs(u64::from(time_to_live)))
}

/// What an answer without records says, and for how long (RFC 2308 §5): without an SOA record it isn't kept.
fn absence(nothing: &NoRecords) -> Result<(Answer<RData>, Duration), DnsFailure> {
    let absent = match nothing.response_code {
        ResponseCode::NXDomain => Absent::NoSuchName,
        // A recursive server that refers to others hasn't done its work: a lame delegation, most often.
        ResponseCode::NoError if nothing.soa.is_none() && nothing.ns.is_some() => {
            return Err(DnsFailure::ServerFailure);
        }
        ResponseCode::NoError => Absent::NoSuchRecord,
        _ => return Err(DnsFailure::ServerFailure),
    };
    let proved =
        |records: &[Record]| !records.is_empty() && records.iter().all(|record| record.proof.is_secure());
    let secure = nothing.authorities.as_ref().is_some_and(|records| proved(records));
    let seconds = nothing.soa.as_ref().map_or(0, |soa| soa.ttl.min(soa.data.minimum));
    Ok((Answer::none(absent, secure), Duration::from_secs(u64::from(seconds))))
}

fn failure(error: &NetError) -> DnsFailure {
    match error {
        NetError::Timeout => DnsFailure::Timeout,
        NetError::Dns(DnsError::DnssecBogus | DnsError::Nsec { .. }) => DnsFailure::Bogus,
        NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused)) => DnsFailure::Refused,
        NetError::Io(_) | NetError::NoConnections | NetError::Busy => DnsFailure::Network,
        _ => DnsFailure::ServerFailure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(code: ResponseCode) -> NoRecords {
        NoRecords::new(hickory_resolver::proto::op::Query::default(), code)
    }

    #[test]
    fn absence_is_told_from_failure() {
        let said = |code| absence(&nothing(code)).map(|(answer, _)| answer.absent());
        assert_eq!(said(ResponseCode::NXDomain), Ok(Some(Absent::NoSuchName)));
        assert_eq!(said(ResponseCode::NoError), Ok(Some(Absent::NoSuchRecord)));
        assert_eq!(said(ResponseCode::ServFail), Err(DnsFailure::ServerFailure));
    }

    #[test]
    fn every_failure_has_a_name() {
        let refused = NetError::Dns(DnsError::ResponseCode(ResponseCode::Refused));
        let broken = NetError::Dns(DnsError::ResponseCode(ResponseCode::ServFail));
        assert_eq!(failure(&refused), DnsFailure::Refused);
        assert_eq!(failure(&broken), DnsFailure::ServerFailure);
        assert_eq!(failure(&NetError::Timeout), DnsFailure::Timeout);
        assert_eq!(failure(&NetError::NoConnections), DnsFailure::Network);
        assert_eq!(failure(&NetError::Dns(DnsError::DnssecBogus)), DnsFailure::Bogus);
        assert_eq!(failure(&NetError::Truncated), DnsFailure::ServerFailure);
    }

    #[test]
    fn addresses_of_both_kinds_are_one_answer() {
        let v4 = || Answer::of(vec!["192.0.2.1".parse().unwrap()], true);
        let none = |absent| Answer::none(absent, true);
        assert_eq!(both(v4(), none(Absent::NoSuchRecord)), v4());
        let nowhere = both(none(Absent::NoSuchName), none(Absent::NoSuchName));
        assert_eq!(nowhere.absent(), Some(Absent::NoSuchName));
        let bare = both(none(Absent::NoSuchRecord), none(Absent::NoSuchName));
        assert_eq!(bare.absent(), Some(Absent::NoSuchRecord));
        let unproven = || Answer::none(Absent::NoSuchRecord, false);
        assert!(both(v4(), unproven()).is_secure(), "what is there is proven");
        assert!(!both(none(Absent::NoSuchRecord), unproven()).is_secure());
    }
}
