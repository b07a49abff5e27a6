//! The sources of facts that a policy declares, as the program needs them to find their facts out.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::facts::Scope;
use crate::slot::Slot;
use crate::span::Span;
use crate::stage::Stage;
pub use crate::syntax::ast::DnsListKind;
use crate::value::Type;

/// A declared source.
#[derive(Debug, Clone, PartialEq)]
pub struct Source {
    /// Its name in the policy.
    pub name: Arc<str>,
    /// Whether it is gathered and journalled only: no rule may ask for it.
    pub shadow: bool,
    /// The stage from which its keys are known.
    pub since: Stage,
    /// How long its facts hold: as long as the shortest-lived of its keys.
    pub scope: Scope,
    /// What it is.
    pub kind: SourceKind,
    /// Where it is declared.
    pub span: Span,
}

/// What a declared source is. A key is a slot of the policy's facts: it is known before the source is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum SourceKind {
    /// A list in the DNS (RFC 5782).
    DnsList {
        /// Which kind.
        kind: DnsListKind,
        /// The zone, in lower case, without a dot at its end.
        zone: Arc<str>,
        /// What is looked up: an address, or for [`DnsListKind::Rhsbl`] a domain or several.
        key: Slot,
        /// The answers that count, first and last of each range; empty: all of 127.0.0.0/8. Answers in
        /// 127.255.255.0/24 are errors always.
        codes: Vec<(IpAddr, IpAddr)>,
        /// What it adds to `dnsbl.score`; what a [`DnsListKind::Dnswl`] adds is taken off.
        weight: i64,
        /// Longest wait for its answer.
        timeout: Duration,
    },
    /// A table.
    Table {
        /// Where its entries are.
        contents: Contents,
        /// What is looked up: a text, or an address for [`Contents::Cidr`]; either for [`Contents::External`].
        key: Slot,
    },
    /// A count over time.
    Rate {
        /// What is counted.
        counted: Counted,
        /// By which facts.
        keys: Vec<Slot>,
        /// Over which time.
        over: Duration,
        /// Whether it is a token bucket instead of a sliding window.
        bucket: bool,
    },
}

/// Where a table's entries are. Paths stand as in the policy: relative ones start at the policy file's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Contents {
    /// In the policy: key and value.
    Inline(Arc<[(Arc<str>, Arc<str>)]>),
    /// A file of `key value` lines.
    File(Arc<str>),
    /// A file of `network value` lines; the longest prefix counts.
    Cidr(Arc<str>),
    /// A file of `/expression/ value` lines; the first that matches counts.
    Regex(Arc<str>),
    /// A table of the configuration, by its name. It is asked for the key as it is, and nothing else.
    External(Arc<str>),
}

/// What a rate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Counted {
    /// Connections.
    Connections,
    /// Messages, at MAIL.
    Messages,
    /// Recipients, at RCPT.
    Recipients,
    /// Recipients that were refused for good.
    Refusals,
    /// AUTH attempts that failed.
    Failures,
}

/// A fact that a source has, written `source.field`; the one without a field is the source's name itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// `zen.listed`: whether it lists the key.
    Listed,
    /// `zen.reason`: the TXT record that says why.
    Reason,
    /// `zen.codes`: the addresses it answered.
    Codes,
    /// `moved`: the value that a table has for the key.
    Value,
    /// `moved.key`: the key in the table that matched.
    Key,
    /// `per_client`: how many were counted in the time, the present one included.
    Count,
}

impl Field {
    /// Its name behind the dot; empty for the source's name itself.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Reason => "reason",
            Self::Codes => "codes",
            Self::Key => "key",
            Self::Value | Self::Count => "",
        }
    }

    /// Its type.
    #[must_use]
    pub const fn value_type(self) -> Type {
        match self {
            Self::Listed => Type::Boolean,
            Self::Reason | Self::Value | Self::Key => Type::Text,
            Self::Codes => Type::Addresses,
            Self::Count => Type::Number,
        }
    }

    /// Whether there may be none.
    #[must_use]
    pub const fn optional(self) -> bool {
        matches!(self, Self::Reason | Self::Value | Self::Key)
    }
}

impl SourceKind {
    /// The facts that such a source has.
    #[must_use]
    pub const fn fields(&self) -> &'static [Field] {
        match self {
            Self::DnsList { .. } => &[Field::Listed, Field::Reason, Field::Codes],
            Self::Table { .. } => &[Field::Value, Field::Key],
            Self::Rate { .. } => &[Field::Count],
        }
    }
}

/// How the greylist works.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GreylistSettings {
    /// How long a first attempt has to wait.
    pub wait: Duration,
    /// How long what has passed is remembered.
    pub keep: Duration,
    /// How long a first attempt is remembered.
    pub retry_within: Duration,
    /// Length of the prefix that IPv4 clients are taken together by, in bits.
    pub ipv4_prefix: u8,
    /// The same for IPv6.
    pub ipv6_prefix: u8,
    /// After so many passes a client need not wait any more; 0 switches that off.
    pub auto_allow: u32,
}

impl Default for GreylistSettings {
    fn default() -> Self {
        const HOUR: Duration = Duration::from_secs(3_600);
        Self {
            wait: Duration::from_secs(300),
            keep: HOUR * 24 * 36,
            retry_within: HOUR * 48,
            ipv4_prefix: 24,
            ipv6_prefix: 64,
            auto_allow: 5,
        }
    }
}
