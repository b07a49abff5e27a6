//! Which entry an address means, at the cost of two hash look-ups.
//!
//! Invariants: keys are normalised: domains are lower-case A-labels (UTS #46), local parts lower-case and in Unicode's
//! form NFC; the first entry of a key wins.

use std::borrow::Cow;

use foldhash::{HashMap, HashMapExt as _};
use icu_normalizer::ComposingNormalizerBorrowed;
use smtp::address::{Domain, Mailbox};

use super::entry::{Declared, Entry, LocalDomain};

/// Places of domains and entries by their keys.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index {
    domains: HashMap<String, usize>,
    entries: Vec<HashMap<String, usize>>,
}

/// What an address means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<'a> {
    /// An entry, by its name or by its name before the sub-address.
    Entry(&'a LocalDomain, &'a Entry),
    /// No entry is declared, but the tables of the domain at that place may have one.
    InTables(usize, &'a LocalDomain),
    /// It can't be known what it means, and why.
    Unsure(&'a str),
    /// No entry, but the domain's catch-all gets it.
    CatchAll(&'a Mailbox),
    /// No entry of this local domain.
    Unknown,
    /// The domain is not local.
    NotLocal,
}

impl Index {
    pub(crate) fn new(declared: &Declared) -> Self {
        let mut index = Self::default();
        for (place, domain) in declared.domains.iter().enumerate() {
            for name in domain.names() {
                if let Some(key) = domain_key(name.as_str()) {
                    index.domains.entry(key.into_owned()).or_insert(place);
                }
            }
            let mut entries = HashMap::with_capacity(domain.entries.len());
            for (place, entry) in domain.entries.iter().enumerate() {
                entries.entry(local_part_key(entry.local_part.as_str()).into_owned()).or_insert(place);
            }
            index.entries.push(entries);
        }
        index
    }

    /// What the address means as far as that is declared.
    pub(crate) fn find<'a>(&self, declared: &'a Declared, mailbox: &Mailbox) -> Found<'a> {
        let Some(place) = self.domain(declared, &mailbox.domain) else { return Found::NotLocal };
        let (Some(domain), Some(entries)) = (declared.domains.get(place), self.entries.get(place)) else {
            return Found::NotLocal;
        };
        let key = local_part_key(mailbox.local_part.as_str());
        let without_subaddress = || {
            let (name, _) = key.split_once(domain.subaddress?)?;
            entries.get(name)
        };
        let entry = entries.get(key.as_ref()).or_else(without_subaddress);
        match (entry.and_then(|place| domain.entries.get(*place)), &domain.catch_all) {
            (Some(entry), _) => Found::Entry(domain, entry),
            (None, _) if domain.has_tables() => Found::InTables(place, domain),
            (None, Some(catch_all)) => Found::CatchAll(catch_all),
            (None, None) => Found::Unknown,
        }
    }

    /// The place of the domain among `declared.domains`, when it is local.
    pub(crate) fn domain(&self, declared: &Declared, domain: &Domain) -> Option<usize> {
        match domain {
            Domain::Name(name) => self.domains.get(&*domain_key(name.as_str())?).copied(),
            Domain::Literal(literal) => {
                let address = literal.ip()?;
                (declared.literals.contains(&address) && !declared.domains.is_empty()).then_some(0)
            }
        }
    }
}

/// What is equal for equal domain names: lower-case A-labels. `None` for a name that IDNA refuses.
pub(crate) fn domain_key(name: &str) -> Option<Cow<'_, str>> {
    let is_lower_case = name.bytes().all(|octet| !octet.is_ascii_uppercase());
    let lower_case = if is_lower_case { Cow::Borrowed(name) } else { Cow::Owned(name.to_ascii_lowercase()) };
    // A name is short: looking at each place costs less than preparing a search.
    if lower_case.is_ascii() && !lower_case.as_bytes().windows(4).any(|octets| octets == b"xn--") {
        return Some(lower_case);
    }
    idna::domain_to_ascii(&lower_case).ok().map(Cow::Owned)
}

/// A domain name in lower case and A-labels; one that IDNA refuses stays as it is, in lower case.
pub(crate) fn folded_domain(name: &str) -> Cow<'_, str> {
    domain_key(name).unwrap_or_else(|| Cow::Owned(name.to_lowercase()))
}

/// What is equal for local parts that mean the same mailbox: only case and Unicode composition are disregarded.
pub(crate) fn local_part_key(local_part: &str) -> Cow<'_, str> {
    if !local_part.is_ascii() {
        let lower_case = local_part.to_lowercase();
        return Cow::Owned(ComposingNormalizerBorrowed::new_nfc().normalize(&lower_case).into_owned());
    }
    if local_part.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Cow::Owned(local_part.to_ascii_lowercase());
    }
    Cow::Borrowed(local_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_names_have_equal_keys() {
        assert_eq!(domain_key("MX.Example.ORG").as_deref(), Some("mx.example.org"));
        assert_eq!(domain_key("bücher.example").as_deref(), Some("xn--bcher-kva.example"));
        assert_eq!(domain_key("BÜCHER.example"), domain_key("XN--bcher-KVA.example"));
        assert_eq!(domain_key("xn--\u{fc}.example"), None);
        assert_eq!(local_part_key("Alice"), "alice");
        assert_eq!(local_part_key("ZOE\u{308}"), local_part_key("zo\u{eb}"));
    }
}
