//! The sources of facts that a policy declares, as the program needs them to find their facts out.

use std::fmt;
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
    /// Another program that is asked about the session.
    Filter(Filter),
}

/// Another program that is asked about the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Which protocol it speaks.
    pub kind: FilterKind,
    /// Where it listens.
    pub address: FilterAddress,
    /// Longest wait for each of its answers.
    pub timeout: Duration,
    /// Whether what it answers is done without a rule that says so.
    pub apply: bool,
    /// The client's name, which it is told.
    pub client_name: Option<Slot>,
}

/// Which protocol another program speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterKind {
    /// Sendmail's milter protocol.
    Milter,
    /// Postfix's policy delegation.
    Service,
    /// The commands of clamd.
    Clamav,
    /// The HTTP protocol of Rspamd.
    Rspamd,
}

impl FilterKind {
    /// The word that declares one.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Milter => "milter",
            Self::Service => "service",
            Self::Clamav => "clamav",
            Self::Rspamd => "rspamd",
        }
    }

    /// The kind that the word declares.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        [Self::Milter, Self::Service, Self::Clamav, Self::Rspamd].into_iter().find(|kind| kind.word() == word)
    }
}

/// Where another program listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FilterAddress {
    /// A host and a port.
    Inet(Arc<str>, u16),
    /// A socket of this machine.
    Unix(Arc<str>),
}

impl fmt::Display for FilterAddress {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Inet(host, port) if host.contains(':') => write!(formatter, "[{host}]:{port}"),
            Self::Inet(host, port) => write!(formatter, "{host}:{port}"),
            Self::Unix(path) => formatter.write_str(path),
        }
    }
}

/// What a filter wants done ([`Field::Verdict`]).
pub const VERDICTS: &[&str] = &["continue", "accept", "reject", "tempfail", "discard", "quarantine"];

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
    /// `spam.verdict`: what a milter or a policy service wants done.
    Verdict,
    /// `spam.code`: the reply code that it wants.
    Code,
    /// `spam.enhanced`: the enhanced code that it wants.
    Enhanced,
    /// `spam.reply`: the words that it wants.
    Reply,
    /// `spam.quarantine`: why a milter puts the message into the quarantine.
    Quarantine,
    /// `postgrey.action`: the first word of a policy service's answer, in lower case; what Rspamd would do.
    Action,
    /// `spf.prepend`: the header field that a policy service wants in front.
    Prepend,
    /// `av.infected`: whether ClamAV found something.
    Infected,
    /// `av.signature`: what it found.
    Signature,
    /// `scan.score`: Rspamd's score in whole points, rounded down.
    Score,
    /// `scan.symbols`: the names of Rspamd's symbols.
    Symbols,
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
            Self::Verdict => "verdict",
            Self::Code => "code",
            Self::Enhanced => "enhanced",
            Self::Reply => "reply",
            Self::Quarantine => "quarantine",
            Self::Action => "action",
            Self::Prepend => "prepend",
            Self::Infected => "infected",
            Self::Signature => "signature",
            Self::Score => "score",
            Self::Symbols => "symbols",
            Self::Value | Self::Count => "",
        }
    }

    /// Its type.
    #[must_use]
    pub const fn value_type(self) -> Type {
        match self {
            Self::Listed | Self::Infected => Type::Boolean,
            Self::Reason
            | Self::Value
            | Self::Key
            | Self::Enhanced
            | Self::Reply
            | Self::Quarantine
            | Self::Action
            | Self::Prepend
            | Self::Signature => Type::Text,
            Self::Codes => Type::Addresses,
            Self::Count | Self::Code | Self::Score => Type::Number,
            Self::Verdict => Type::Choice(VERDICTS),
            Self::Symbols => Type::Texts,
        }
    }

    /// Whether there may be none.
    #[must_use]
    pub const fn optional(self) -> bool {
        matches!(
            self,
            Self::Reason
                | Self::Value
                | Self::Key
                | Self::Code
                | Self::Enhanced
                | Self::Quarantine
                | Self::Prepend
                | Self::Signature
        )
    }

    /// Whether it depends on what was asked before: a replay can't tell it anew. What a filter says, nobody can.
    #[must_use]
    pub const fn remembers(self) -> bool {
        matches!(
            self,
            Self::Count
                | Self::Verdict
                | Self::Code
                | Self::Enhanced
                | Self::Reply
                | Self::Quarantine
                | Self::Action
                | Self::Prepend
                | Self::Infected
                | Self::Signature
                | Self::Score
                | Self::Symbols
        )
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
            Self::Filter(Filter { kind, .. }) => match kind {
                FilterKind::Milter => {
                    &[Field::Verdict, Field::Code, Field::Enhanced, Field::Reply, Field::Quarantine]
                }
                FilterKind::Service => &[
                    Field::Action,
                    Field::Verdict,
                    Field::Code,
                    Field::Enhanced,
                    Field::Reply,
                    Field::Prepend,
                ],
                FilterKind::Clamav => &[Field::Infected, Field::Signature],
                FilterKind::Rspamd => &[Field::Action, Field::Score, Field::Symbols],
            },
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
