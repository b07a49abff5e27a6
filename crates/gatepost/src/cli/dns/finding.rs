//! What should stand in the DNS, and what was found there.

use std::net::IpAddr;

use crate::net::dns::DnsFailure;

/// What is to be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    Host(HostCheck),
    Domain(DomainCheck),
}

/// About this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostCheck {
    /// Its name has its addresses.
    Addresses,
    /// The address has its name.
    Name(IpAddr),
    /// Its name may send from its addresses.
    Sends,
    /// Its certificate is the one that DANE names.
    Certificate,
}

/// About a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DomainCheck {
    /// Its mail comes here.
    Mx,
    /// Mail in its name may leave from here.
    Sends,
    /// Verifiers find this key.
    Key(String),
    /// There is a key at all.
    AnyKey,
    /// It says what becomes of mail that fails.
    Dmarc,
    /// It asks for TLS.
    MtaSts,
    /// It hears of TLS that fails.
    TlsReports,
}

/// What should stand in the DNS.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) check: Check,
    /// The server or the domain that it is about.
    pub(super) subject: String,
    /// The kind of record, or what it is for.
    pub(super) record: &'static str,
    /// Where it stands.
    pub(super) name: String,
    /// Lines for the zone file.
    pub(super) write: Vec<String>,
    /// What to do before there is anything to write.
    pub(super) hint: Option<String>,
    /// The text of a policy that goes with it.
    pub(super) policy: Option<String>,
    /// Whether mail does without.
    pub(super) is_advised: bool,
}

/// What came of looking.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Ok,
    Missing,
    Wrong(String),
    Unknown(String),
}

/// A record that was looked at.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) wanted: Wanted,
    pub(super) verdict: Verdict,
    /// The records that stand there.
    pub(super) found: Vec<String>,
}

impl Wanted {
    /// A record that mail needs.
    pub(super) fn new(
        check: Check,
        subject: &str,
        record: &'static str,
        name: &str,
        write: Vec<String>,
    ) -> Self {
        Self {
            check,
            subject: subject.to_owned(),
            record,
            name: name.to_owned(),
            write,
            hint: None,
            policy: None,
            is_advised: false,
        }
    }

    /// The same, but mail does without.
    pub(super) fn advised(self) -> Self {
        Self { is_advised: true, ..self }
    }

    pub(super) fn found(self, verdict: Verdict, found: Vec<String>) -> Finding {
        Finding { wanted: self, verdict, found }
    }
}

impl Verdict {
    /// The word for it.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Missing => "missing",
            Self::Wrong(_) => "wrong",
            Self::Unknown(_) => "unknown",
        }
    }

    /// What is wrong, or why it isn't known.
    pub(super) fn why(&self) -> Option<&str> {
        match self {
            Self::Ok | Self::Missing => None,
            Self::Wrong(why) | Self::Unknown(why) => Some(why),
        }
    }

    /// A look-up has failed.
    pub(super) fn failed(failure: DnsFailure) -> Self {
        Self::Unknown(failure.to_string())
    }
}

/// TXT records as texts.
pub(super) fn texts(records: &[Vec<u8>]) -> Vec<String> {
    records.iter().map(|record| String::from_utf8_lossy(record).into_owned()).collect()
}
