//! Declared sources: lists in the DNS, tables, rates, and the greylist.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use super::Checker;
use super::literals::described;
use super::names::{Declared, shorter};
use crate::diagnostic::Diagnostic;
use crate::facts::Scope;
use crate::nearest::did_you_mean;
use crate::slot::Slot;
use crate::source::{Counted, DnsListKind, Field, GreylistSettings, Source, SourceKind};
use crate::span::Spanned;
use crate::stage::Stage;
use crate::syntax::ast::{
    CodeRange, FactPath, GreylistItem, Literal, LiteralValue, SourceItem, SourceKind as Written,
    TableContents, Word,
};
use crate::value::Type;

/// Wait for the answer of a list in the DNS when the policy gives none.
const LIST_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait for a list that a policy may ask for: a client waits five minutes for a reply (RFC 5321 §4.5.3.2).
const LIST_TIMEOUT_MAX: Duration = Duration::from_secs(60);

/// Largest weight of a list, either way.
const WEIGHT_MAX: i64 = 1_000;

/// Longest time that a rate counts over.
const RATE_TIME_MAX: Duration = Duration::from_secs(7 * 86_400);

/// Answers that lists give for errors: refused, over the quota, a public resolver.
const ERROR_ANSWERS: [u8; 3] = [127, 255, 255];

const COUNTED: [&str; 5] = ["connections", "messages", "recipients", "refusals", "failures"];

impl Checker<'_> {
    pub(super) fn declare_source(&mut self, item: &SourceItem) {
        if !self.is_free(&item.name, "a source") {
            return;
        }
        let index = u16::try_from(self.sources.len()).unwrap_or(u16::MAX);
        let made = self.source(item, index);
        let declared = Declared::new(item.name.span, made.is_some().then_some(index));
        self.sources.extend(made);
        self.names.sources.insert(item.name.node.clone(), declared);
    }

    fn source(&mut self, item: &SourceItem, index: u16) -> Option<Source> {
        let (kind, keys, since, scope) = match &item.kind.node {
            Written::DnsList { .. } => {
                let (kind, key) = self.dns_list(&item.kind.node)?;
                (kind, vec![key], Stage::Connect, Scope::Session)
            }
            Written::Table { contents, key } => {
                let key = self.table_key(contents, key);
                let contents = self.contents(contents, index);
                let key = key?;
                (SourceKind::Table { contents: contents?, key }, vec![key], Stage::Connect, Scope::Session)
            }
            Written::Rate { counted, keys, over, form } => self.rate(counted, keys, over, form.as_ref())?,
            Written::Filter { .. } => {
                let (kind, since, scope) = self.filter(item)?;
                (kind, Vec::new(), since, scope)
            }
        };
        let (mut latest, mut shortest) = (since, scope);
        for key in keys {
            let info = self.facts.info(key)?;
            if latest.reaches(info.since) {
                latest = info.since;
            }
            shortest = shorter(shortest, info.scope);
        }
        let name = Arc::from(item.name.node.as_str());
        let span = item.name.span;
        Some(Source { name, shadow: item.shadow.is_some(), since: latest, scope: shortest, kind, span })
    }

    /// The fact of a key, when it has one of the types.
    fn key(
        &mut self,
        path: &FactPath,
        fits: impl Fn(Type) -> bool,
        wanted: &str,
        advice: Option<&str>,
    ) -> Option<Slot> {
        let slot = self.fact(path)?;
        let info = self.facts.info(slot)?;
        if fits(info.value_type) {
            return Some(slot);
        }
        let title = format!("`{}` is {}, {wanted} is looked up here", info.name, described(info.value_type));
        self.report(Diagnostic::error(title, path.span, wanted).help(advice.map(str::to_owned)));
        None
    }

    fn dns_list(&mut self, written: &Written) -> Option<(SourceKind, Slot)> {
        let Written::DnsList { kind, zone, key, codes, weight, timeout } = written else { return None };
        let by_address = *kind != DnsListKind::Rhsbl;
        let slot = if by_address {
            let advice = "`rhsbl` looks domains up";
            self.key(key, |found| found == Type::Address, "an address", Some(advice))
        } else {
            let advice = "`dnsbl` looks addresses up";
            self.key(key, |found| matches!(found, Type::Text | Type::Texts), "a domain", Some(advice))
        };
        let zone = self.zone(zone);
        let codes = self.listings(codes);
        let weight = self.weight(weight.as_ref());
        let timeout = self.timeout(timeout.as_ref());
        let (slot, zone, codes) = (slot?, zone?, codes?);
        let (weight, timeout) = (weight?, timeout?);
        Some((SourceKind::DnsList { kind: *kind, zone, key: slot, codes, weight, timeout }, slot))
    }

    fn zone(&mut self, zone: &Spanned<String>) -> Option<Arc<str>> {
        let name = zone.node.trim_end_matches('.').to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
        };
        if name.contains('.') && name.len() <= 200 && name.split('.').all(label) {
            return Some(Arc::from(name));
        }
        let title = format!("\"{}\" is no zone", zone.node);
        self.report(Diagnostic::error(title, zone.span, "a domain name, such as \"zen.spamhaus.org\""));
        None
    }

    fn listings(&mut self, written: &[Spanned<CodeRange>]) -> Option<Vec<(IpAddr, IpAddr)>> {
        let mut codes = Vec::new();
        let mut sound = true;
        for Spanned { node: CodeRange { first, last }, span } in written {
            let octets = |address: &IpAddr| match address {
                IpAddr::V4(address) => Some(address.octets()).filter(|octets| octets.first() == Some(&127)),
                IpAddr::V6(_) => None,
            };
            let finding = match (octets(first), octets(last)) {
                (Some(low), Some(high)) if low <= high => {
                    let error = Ipv4Addr::from([127, 255, 255, 0]).octets();
                    let spans_error = high >= error && low.get(..3) <= Some(&ERROR_ANSWERS);
                    spans_error.then(|| {
                        let title = "127.255.255.0/24 are errors of the list, not listings";
                        Diagnostic::error(title, *span, "never counted")
                            .help("lists answer so when the resolver is refused or over its quota".to_owned())
                    })
                }
                (Some(_), Some(_)) => {
                    Some(Diagnostic::error("the range ends before it begins", *span, "first..last"))
                }
                _ => {
                    let title = "answers of a list are in 127.0.0.0/8";
                    Some(Diagnostic::error(title, *span, "RFC 5782 §2.1"))
                }
            };
            match finding {
                Some(finding) => {
                    self.report(finding);
                    sound = false;
                }
                None => codes.push((*first, *last)),
            }
        }
        sound.then_some(codes)
    }

    fn weight(&mut self, weight: Option<&Spanned<i64>>) -> Option<i64> {
        let Some(weight) = weight else { return Some(1) };
        if (-WEIGHT_MAX..=WEIGHT_MAX).contains(&weight.node) {
            return Some(weight.node);
        }
        let label = format!("-{WEIGHT_MAX} to {WEIGHT_MAX}");
        self.report(Diagnostic::error("the weight is too large", weight.span, label));
        None
    }

    fn timeout(&mut self, timeout: Option<&Spanned<Duration>>) -> Option<Duration> {
        let Some(timeout) = timeout else { return Some(LIST_TIMEOUT) };
        if !timeout.node.is_zero() && timeout.node <= LIST_TIMEOUT_MAX {
            return Some(timeout.node);
        }
        let label = format!("over 0, {}s at most", LIST_TIMEOUT_MAX.as_secs());
        let title = "no client waits that long for a list";
        self.report(Diagnostic::error(title, timeout.span, label));
        None
    }

    fn table_key(&mut self, contents: &TableContents, key: &FactPath) -> Option<Slot> {
        if matches!(contents, TableContents::Cidr(_)) {
            let advice = "texts are looked up in `file` or `regex` tables";
            return self.key(key, |found| found == Type::Address, "an address", Some(advice));
        }
        if matches!(contents, TableContents::External(_)) {
            let takes = |found| matches!(found, Type::Text | Type::Address);
            return self.key(key, takes, "a text or an address", None);
        }
        let advice = "addresses are looked up in `cidr` tables";
        self.key(key, |found| found == Type::Text, "a text", Some(advice))
    }

    fn rate(
        &mut self,
        counted: &Word,
        keys: &[FactPath],
        over: &Spanned<Duration>,
        form: Option<&Word>,
    ) -> Option<(SourceKind, Vec<Slot>, Stage, Scope)> {
        let what = match counted.node.as_str() {
            "connections" => Some((Counted::Connections, Stage::Connect, Scope::Session)),
            "messages" => Some((Counted::Messages, Stage::Mail, Scope::Transaction)),
            "recipients" => Some((Counted::Recipients, Stage::Recipient, Scope::Recipient)),
            "refusals" => Some((Counted::Refusals, Stage::Connect, Scope::Recipient)),
            "failures" => Some((Counted::Failures, Stage::Connect, Scope::Recipient)),
            _ => None,
        };
        if what.is_none() {
            let title = format!("`{}` can't be counted", counted.node);
            let label = format!("one of {}", COUNTED.join(", "));
            self.report(
                Diagnostic::error(title, counted.span, label).help(did_you_mean(&counted.node, COUNTED)),
            );
        }
        let one_value = |found| !matches!(found, Type::Texts | Type::Addresses);
        let found: Vec<_> = keys.iter().map(|key| self.key(key, one_value, "one value", None)).collect();
        let sound = !over.node.is_zero() && over.node <= RATE_TIME_MAX;
        if !sound {
            let label = "over 0, 7d at most";
            self.report(Diagnostic::error("a rate can't be counted over that time", over.span, label));
        }
        let bucket = match form.map(|form| form.node.as_str()) {
            None | Some("window") => Some(false),
            Some("bucket") => Some(true),
            Some(other) => {
                let title = format!("a rate is not counted as `{other}`");
                let span = form.map(|form| form.span).unwrap_or_default();
                self.report(Diagnostic::error(title, span, "`window` or `bucket`"));
                None
            }
        };
        let keys: Vec<Slot> = found.into_iter().collect::<Option<_>>()?;
        let (counted, since, scope) = what.filter(|_| sound)?;
        let kind = SourceKind::Rate { counted, keys: keys.clone(), over: over.node, bucket: bucket? };
        Some((kind, keys, since, scope))
    }

    pub(super) fn declare_greylist(&mut self, item: &GreylistItem) {
        if let Some((first, _)) = self.greylist {
            let finding = Diagnostic::error("there is one greylist", item.span, "declared a second time");
            self.report(finding.also(first, "first here"));
            return;
        }
        let mut settings = GreylistSettings::default();
        let mut seen: Vec<&Word> = Vec::new();
        for (name, value) in &item.settings {
            if let Some(first) = seen.iter().find(|known| known.node == name.node) {
                let title = format!("`{}` is set twice", name.node);
                let first = first.span;
                self.report(
                    Diagnostic::error(title, name.span, "set a second time").also(first, "first here"),
                );
                continue;
            }
            seen.push(name);
            self.greylist_setting(&mut settings, name, value);
        }
        if settings.wait >= settings.retry_within {
            let title = "nobody would ever pass the greylist";
            let label = "`wait` is to be shorter than `retry-within`";
            self.report(Diagnostic::error(title, item.span, label));
        }
        self.greylist = Some((item.span, settings));
    }

    fn greylist_setting(&mut self, settings: &mut GreylistSettings, name: &Word, value: &Literal) {
        let time = if let LiteralValue::Duration(time) = value.node { Some(time) } else { None };
        let number = |max: i64| match value.node {
            LiteralValue::Number(number) if (0..=max).contains(&number) => u32::try_from(number).ok(),
            _ => None,
        };
        let prefix = |max: i64| number(max).and_then(|bits| u8::try_from(bits).ok());
        let (set, wanted) = match name.node.as_str() {
            "wait" => (time.map(|time| settings.wait = time).is_some(), "a time such as 5min"),
            "keep" => (time.map(|time| settings.keep = time).is_some(), "a time such as 36d"),
            "retry-within" => (time.map(|time| settings.retry_within = time).is_some(), "a time such as 2d"),
            "ipv4" => (prefix(32).map(|bits| settings.ipv4_prefix = bits).is_some(), "a prefix, 0 to 32"),
            "ipv6" => (prefix(128).map(|bits| settings.ipv6_prefix = bits).is_some(), "a prefix, 0 to 128"),
            "auto-allow" => (
                number(1_000_000).map(|passes| settings.auto_allow = passes).is_some(),
                "a number, 0 switches it off",
            ),
            other => {
                let known = ["wait", "keep", "retry-within", "ipv4", "ipv6", "auto-allow"];
                let title = format!("the greylist has no setting `{other}`");
                let label = format!("one of {}", known.join(", "));
                self.report(Diagnostic::error(title, name.span, label).help(did_you_mean(other, known)));
                return;
            }
        };
        if !set {
            let title = format!("`{}` can't be that", name.node);
            self.report(Diagnostic::error(title, value.span, wanted));
        }
    }

    /// Numbers the facts that no rule names and that are asked for all the same: those of shadows, all that a filter
    /// says, and the lists that the score is made of.
    pub(super) fn number_unnamed(&mut self) {
        let scored = self.facts.named("dnsbl.score").is_some();
        for (index, source) in self.sources.iter().enumerate() {
            let Ok(number) = u16::try_from(index) else { continue };
            // What a filter says is one answer: a replay is to know all of it.
            let is_asked = matches!(source.kind, SourceKind::Filter(_))
                && self.names.sources.get(&*source.name).is_some_and(|declared| declared.used);
            if source.shadow || is_asked {
                for field in source.kind.fields() {
                    self.facts.of_source(number, source, *field);
                }
            }
            let counts = matches!(
                source.kind,
                SourceKind::DnsList { kind: DnsListKind::Dnsbl | DnsListKind::Dnswl, .. }
            );
            if scored && counts && !source.shadow {
                self.facts.of_source(number, source, Field::Listed);
                if let Some(declared) = self.names.sources.get_mut(&*source.name) {
                    declared.used = true;
                }
            }
        }
    }

    /// Whether one of the keys of a source is of one recipient.
    pub(super) fn is_of_one_recipient(&self, slot: Slot) -> bool {
        let Some(info) = self.facts.info(slot) else { return false };
        match info.origin {
            crate::slot::Origin::Source(index, _) => {
                let source = self.sources.get(usize::from(index));
                let keys = source.map(|source| keys(&source.kind));
                let of_filter = source.is_some_and(|source| {
                    matches!(source.kind, SourceKind::Filter(_)) && source.scope == Scope::Recipient
                });
                of_filter || keys.unwrap_or_default().iter().any(|key| self.is_of_one_recipient(*key))
            }
            _ => info.scope == Scope::Recipient,
        }
    }
}

/// The facts by which a source is asked.
pub(crate) fn keys(kind: &SourceKind) -> Vec<Slot> {
    match kind {
        SourceKind::DnsList { key, .. } | SourceKind::Table { key, .. } => vec![*key],
        SourceKind::Rate { keys, .. } => keys.clone(),
        SourceKind::Filter(filter) => filter.client_name.into_iter().collect(),
    }
}
