//! What came of protecting a connection, as TLS reports count it (RFC 8460 §4).

use std::net::IpAddr;
use std::sync::Arc;

/// The kinds of policies that a domain's TLS is asked by (RFC 8460 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum PolicyKind {
    /// MTA-STS (RFC 8461).
    Sts,
    /// DANE (RFC 7672).
    Tlsa,
    /// None was found.
    NoPolicyFound,
}

/// A domain's policy as it was applied.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ReportedPolicy {
    /// The recipients' domain for MTA-STS and without a policy, the TLSA base domain for DANE.
    pub(crate) domain: String,
    /// Which kind.
    pub(crate) kind: PolicyKind,
    /// The policy's lines or its TLSA records as text.
    pub(crate) lines: Vec<String>,
    /// The patterns of MX hosts that MTA-STS names.
    pub(crate) mx: Vec<String>,
    /// The domain that the mail was for: it is told (RFC 8460 §3).
    pub(crate) told: String,
    /// Why the policy can't be had although one is announced: every session fails for it (RFC 8460 §4.3.2.2).
    pub(crate) fault: Option<TlsFailure>,
}

/// What came of one session, or of finding out the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TlsResult {
    /// Under which policy.
    pub(crate) policy: Arc<ReportedPolicy>,
    /// The MX host's name; empty when none was asked.
    pub(crate) mx_name: String,
    /// Its address.
    pub(crate) mx_address: Option<IpAddr>,
    /// The address that the connection came from.
    pub(crate) source: Option<IpAddr>,
    /// Why it failed; `None`: it did not.
    pub(crate) failure: Option<TlsFailure>,
}

/// The result types of RFC 8460 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum TlsFailure {
    /// `starttls-not-supported`
    StarttlsNotSupported,
    /// `certificate-host-mismatch`
    CertificateHostMismatch,
    /// `certificate-expired`
    CertificateExpired,
    /// `certificate-not-trusted`
    CertificateNotTrusted,
    /// `validation-failure`
    ValidationFailure,
    /// `tlsa-invalid`
    TlsaInvalid,
    /// `dnssec-invalid`
    DnssecInvalid,
    /// `dane-required`
    DaneRequired,
    /// `sts-policy-fetch-error`
    StsPolicyFetchError,
    /// `sts-policy-invalid`
    StsPolicyInvalid,
    /// `sts-webpki-invalid`
    StsWebpkiInvalid,
}

impl PolicyKind {
    /// The word for it in reports (RFC 8460 §4.4).
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Sts => "sts",
            Self::Tlsa => "tlsa",
            Self::NoPolicyFound => "no-policy-found",
        }
    }
}

impl TlsFailure {
    /// The word for it in reports (RFC 8460 §4.3).
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::StarttlsNotSupported => "starttls-not-supported",
            Self::CertificateHostMismatch => "certificate-host-mismatch",
            Self::CertificateExpired => "certificate-expired",
            Self::CertificateNotTrusted => "certificate-not-trusted",
            Self::ValidationFailure => "validation-failure",
            Self::TlsaInvalid => "tlsa-invalid",
            Self::DnssecInvalid => "dnssec-invalid",
            Self::DaneRequired => "dane-required",
            Self::StsPolicyFetchError => "sts-policy-fetch-error",
            Self::StsPolicyInvalid => "sts-policy-invalid",
            Self::StsWebpkiInvalid => "sts-webpki-invalid",
        }
    }
}
