//! Records that verifying wants, looked up before it starts.
//!
//! Invariants: what isn't here is a failure to the verifier, never absence: it has no server to ask. Names are made exactly
//! as the verifier makes them, so that no message can have it look for a name that was not looked up.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use futures_util::future::join_all;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ResolverConfig, ResolverOpts};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::ResponseCode;
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::resolver::ToFqdn as _;
use mail_auth::common::verify::DomainKey;
use mail_auth::dkim::DkimError;
use mail_auth::dmarc::Dmarc;
use mail_auth::{DnsError, Error, MessageAuthenticator, ResolverCache, Txt};

use super::tag_list::{items, tags, value};
use crate::net::dns::{Absent, Dns};

/// Least length of an RSA key that counts, in bits (RFC 8301 §3.2).
const RSA_BITS_MIN: usize = 1_024;

/// A verifier without a server to ask.
static VERIFIER: LazyLock<Option<MessageAuthenticator>> = LazyLock::new(|| {
    let mut options = ResolverOpts::default();
    options.attempts = 0;
    options.cache_size = 0;
    TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
        .with_options(options)
        .build()
        .ok()
        .map(MessageAuthenticator)
});

/// The verifier; `None` when it could not be set up, a fault of ours.
pub(super) fn verifier() -> Option<&'static MessageAuthenticator> {
    VERIFIER.as_ref()
}

/// TXT records as the verifier wants them, by their names in lower case with a dot at their end.
#[derive(Default)]
pub(super) struct Records(HashMap<Box<str>, Txt>);

impl Records {
    /// Looks up keys: names as the verifier has them, `selector._domainkey.example.org.`.
    pub(super) async fn add_keys(&mut self, dns: &Dns, names: BTreeSet<String>) {
        self.add(dns, names, |texts| first(texts, key)).await;
    }

    /// Looks up DMARC records: names as `_dmarc.example.org`.
    pub(super) async fn add_policies(&mut self, dns: &Dns, names: BTreeSet<String>) {
        self.add(dns, names, policy).await;
    }

    async fn add<T>(
        &mut self,
        dns: &Dns,
        names: BTreeSet<String>,
        read: impl Fn(&[Vec<u8>]) -> Result<T, Error>,
    ) where
        T: Into<Txt>,
    {
        let missing: Vec<String> =
            names.into_iter().filter(|name| !self.0.contains_key(&*name.to_fqdn())).collect();
        let answers = join_all(missing.iter().map(|name| dns.txt(name))).await;
        for (name, answer) in missing.iter().zip(answers) {
            let record = match answer {
                Err(failure) => Err(Error::Dns(DnsError::Resolver(failure.to_string()))),
                Ok(answer) => match answer.absent() {
                    None => read(answer.records()),
                    Some(Absent::NoSuchName) => Err(not_found(ResponseCode::NXDomain)),
                    Some(Absent::NoSuchRecord) => Err(not_found(ResponseCode::NoError)),
                },
            };
            self.0.insert(name.to_fqdn().into(), record.into());
        }
    }

    /// Whether there is a DMARC record at the name, given without `_dmarc.`.
    pub(super) fn has_policy(&self, domain: &str) -> bool {
        matches!(self.0.get(&*format!("_dmarc.{domain}").to_fqdn()), Some(Txt::Dmarc(_)))
    }

    /// The name, without `_dmarc.`, at which this DMARC record stands.
    pub(super) fn domain_of(&self, record: &Arc<Dmarc>) -> Option<&str> {
        let at =
            self.0.iter().find(|(_, text)| matches!(text, Txt::Dmarc(found) if Arc::ptr_eq(found, record)));
        at.and_then(|(name, _)| name.strip_prefix("_dmarc.")).map(|name| name.trim_end_matches('.'))
    }
}

impl ResolverCache<Box<str>, Txt> for Records {
    fn get<Q>(&self, name: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.0.get(name).cloned()
    }

    fn remove<Q>(&self, _: &Q) -> Option<Txt>
    where
        Box<str>: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        None
    }

    fn insert(&self, _: Box<str>, _: Txt, _: Instant) {}
}

fn not_found(code: ResponseCode) -> Error {
    Error::Dns(DnsError::RecordNotFound(code))
}

/// The first that can be read, else what is wrong with the last.
fn first<T>(texts: &[Vec<u8>], read: impl Fn(&[u8]) -> Result<T, Error>) -> Result<T, Error> {
    let mut outcome = Err(Error::Dns(DnsError::InvalidRecordType));
    for text in texts {
        outcome = read(text);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

/// A key that may verify mail by SHA-256 (RFC 6376 §3.6.1, RFC 8301).
fn key(text: &[u8]) -> Result<DomainKey, Error> {
    let tags = tags(text).ok_or(Error::ParseError)?;
    let version_first = tags.iter().position(|(name, _)| *name == "v").is_none_or(|at| at == 0);
    let hashes = value(&tags, "h").is_none_or(|list| items(list).any(|hash| hash == "sha256"));
    let services = value(&tags, "s").is_none_or(|list| items(list).any(|kind| matches!(kind, "*" | "email")));
    if !(version_first && hashes && services) {
        return Err(Error::Dkim(DkimError::UnsupportedKeyType));
    }
    let key = DomainKey::parse(text)?;
    if key.p.public_key_bits() < RSA_BITS_MIN {
        return Err(Error::Dkim(DkimError::UnsupportedKeyType));
    }
    Ok(key)
}

/// The one DMARC record among the texts; where there are two, none counts (RFC 7489 §6.6.3).
fn policy(texts: &[Vec<u8>]) -> Result<Dmarc, Error> {
    let is_dmarc = |text: &&Vec<u8>| {
        let first = text.split(|octet| *octet == b';').next().and_then(|tag| str::from_utf8(tag).ok());
        let tag = first.and_then(|tag| tag.split_once('='));
        tag.is_some_and(|(name, version)| name.trim_end() == "v" && version.trim() == "DMARC1")
    };
    let mut records = texts.iter().filter(is_dmarc);
    match (records.next(), records.next()) {
        (Some(record), None) => Dmarc::parse(record),
        _ => Err(not_found(ResponseCode::NoError)),
    }
}
