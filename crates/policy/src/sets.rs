//! The lists of a policy, made for looking up: networks as merged ranges, names in a hash table, patterns in turn.
//!
//! No look-up allocates.

use std::hash::Hasher as _;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::HashTable;

use crate::pattern::Pattern;
use crate::syntax::ast::Network;

/// Networks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NetworkSet {
    /// Ranges of IPv4 addresses, both ends included; ascending, apart from each other.
    v4: Vec<(u32, u32)>,
    /// The same for IPv6.
    v6: Vec<(u128, u128)>,
    /// The networks as written.
    members: Vec<Network>,
}

/// First and last address of a network.
fn range(network: Network) -> (u128, u128) {
    let (bits, width) = match network.address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    let host_bits = width - u32::from(network.prefix).min(width);
    let hosts = 1_u128.checked_shl(host_bits).map_or(u128::MAX, |size| size - 1);
    (bits & !hosts, bits & !hosts | hosts)
}

/// Whether the network's address has bits set behind its prefix.
#[must_use]
pub(crate) fn has_host_bits(network: Network) -> bool {
    first_address(network) != network.address
}

/// The network's first address.
#[must_use]
pub(crate) fn first_address(network: Network) -> IpAddr {
    let (first, _) = range(network);
    match network.address {
        IpAddr::V4(_) => IpAddr::from(u32::try_from(first).unwrap_or(u32::MAX).to_be_bytes()),
        IpAddr::V6(_) => IpAddr::from(first.to_be_bytes()),
    }
}

/// A network of IPv4-mapped addresses as IPv4, any other as it is.
#[must_use]
pub(crate) fn canonical(network: Network) -> Network {
    match network.address.to_canonical() {
        address @ IpAddr::V4(_) if network.address.is_ipv6() && network.prefix >= 96 => {
            Network { address, prefix: network.prefix - 96 }
        }
        _ => network,
    }
}

fn merge<T: Copy + Ord>(mut ranges: Vec<(T, T)>, next: impl Fn(T) -> Option<T>) -> Vec<(T, T)> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if next(*end).is_none_or(|next| first <= next) => *end = last.max(*end),
            _ => merged.push((first, last)),
        }
    }
    merged
}

fn within<T: Copy + Ord>(ranges: &[(T, T)], value: T) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= value);
    behind.checked_sub(1).and_then(|index| ranges.get(index)).is_some_and(|(_, last)| value <= *last)
}

impl NetworkSet {
    /// The set of `members`.
    #[must_use]
    pub(crate) fn new(members: Vec<Network>) -> Self {
        let members: Vec<_> = members.into_iter().map(canonical).collect();
        let narrow = |bits: u128| u32::try_from(bits).unwrap_or(u32::MAX);
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in &members {
            let (first, last) = range(*network);
            match network.address {
                IpAddr::V4(_) => v4.push((narrow(first), narrow(last))),
                IpAddr::V6(_) => v6.push((first, last)),
            }
        }
        Self { v4: merge(v4, |end| end.checked_add(1)), v6: merge(v6, |end| end.checked_add(1)), members }
    }

    /// Whether the address is in one of the networks.
    #[must_use]
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(address) => within(&self.v4, u32::from(address)),
            IpAddr::V6(address) => within(&self.v6, u128::from(address)),
        }
    }

    /// Whether every address of `other` is in this set too.
    #[must_use]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let inside = |range: &(u32, u32)| self.v4.iter().any(|own| own.0 <= range.0 && range.1 <= own.1);
        let inside_v6 = |range: &(u128, u128)| self.v6.iter().any(|own| own.0 <= range.0 && range.1 <= own.1);
        other.v4.iter().all(inside) && other.v6.iter().all(inside_v6)
    }

    /// Whether no address is in both sets.
    #[must_use]
    pub(crate) fn apart(&self, other: &Self) -> bool {
        let meets = |range: &(u32, u32)| self.v4.iter().any(|own| own.0 <= range.1 && range.0 <= own.1);
        let meets_v6 = |range: &(u128, u128)| self.v6.iter().any(|own| own.0 <= range.1 && range.0 <= own.1);
        !other.v4.iter().any(meets) && !other.v6.iter().any(meets_v6)
    }

    /// The networks as written.
    #[must_use]
    pub(crate) fn members(&self) -> &[Network] {
        &self.members
    }
}

/// Names, compared without regard to ASCII case. An element that begins with a dot takes in all subdomains, one that
/// begins with `@` all mailboxes of the domain.
#[derive(Clone, Default)]
pub(crate) struct NameSet {
    table: HashTable<Arc<str>>,
    has_suffixes: bool,
    has_mailbox_domains: bool,
}

impl std::fmt::Debug for NameSet {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.table.iter()).finish()
    }
}

impl PartialEq for NameSet {
    fn eq(&self, other: &Self) -> bool {
        self.table.len() == other.table.len() && self.table.iter().all(|name| other.has(name))
    }
}

/// A hash of the text in lower case (FNV-1a, 64 bits). What is hashed is the operator's own list; a client that knows
/// collisions only meets one bucket.
fn folded_hash(text: &str) -> u64 {
    let mut hasher = crate::fingerprint::Fnv::default();
    for octet in text.bytes() {
        hasher.write_u8(octet.to_ascii_lowercase());
    }
    hasher.finish()
}

impl NameSet {
    /// The set of `names`.
    #[must_use]
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut set = Self::default();
        for name in names {
            set.has_suffixes |= name.starts_with('.');
            set.has_mailbox_domains |= name.starts_with('@');
            if !set.has(name) {
                let name: Arc<str> = Arc::from(name.to_ascii_lowercase());
                set.table.insert_unique(folded_hash(&name), name, |name| folded_hash(name));
            }
        }
        set
    }

    fn has(&self, name: &str) -> bool {
        self.table.find(folded_hash(name), |other| other.eq_ignore_ascii_case(name)).is_some()
    }

    /// Whether one of the elements takes `text` in.
    #[must_use]
    pub(crate) fn contains(&self, text: &str) -> bool {
        if self.has(text) {
            return true;
        }
        if self.has_mailbox_domains
            && let Some(at) = text.rfind('@')
            && text.get(at..).is_some_and(|domain| self.has(domain))
        {
            return true;
        }
        // An address has no subdomains of its own: a dot in a local part is none of a domain.
        self.has_suffixes
            && !text.contains('@')
            && text
                .match_indices('.')
                .skip_while(|(at, _)| *at == 0)
                .any(|(at, _)| text.get(at..).is_some_and(|suffix| self.has(suffix)))
    }

    /// Whether every element of `other` is an element here, so that whatever is in `other` is in this set too.
    #[must_use]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.table.iter().all(|name| self.has(name))
    }

    /// Whether it holds plain names only, so that its elements are all that is in it.
    #[must_use]
    pub(crate) const fn is_plain(&self) -> bool {
        !self.has_suffixes && !self.has_mailbox_domains
    }

    /// The elements, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.table.iter().map(|name| &**name)
    }
}

/// Patterns.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct PatternSet {
    patterns: Box<[Pattern]>,
}

impl PatternSet {
    /// The set of `patterns`.
    #[must_use]
    pub(crate) fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns: patterns.into() }
    }

    /// Whether one of them matches.
    #[must_use]
    pub(crate) fn matches(&self, text: &str) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(text))
    }

    /// Whether every pattern of `other` is one of these.
    #[must_use]
    pub(crate) fn covers(&self, other: &Self) -> bool {
        other.patterns.iter().all(|pattern| self.patterns.contains(pattern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    #[test]
    fn networks_take_in_what_they_should() {
        let set = NetworkSet::new(
            ["192.0.2.0/25", "192.0.2.128/25", "2001:db8::/32", "::ffff:198.51.100.0/120"]
                .map(network)
                .to_vec(),
        );
        for inside in ["192.0.2.0", "192.0.2.255", "2001:db8:ffff::1", "198.51.100.9"] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["192.0.3.0", "192.0.1.255", "2001:db9::", "::"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
        assert!(NetworkSet::new(vec![network("0.0.0.0/0")]).contains("255.255.255.255".parse().unwrap()));
        assert!(
            NetworkSet::new(vec![network("::/0")]).covers(&NetworkSet::new(vec![network("2001:db8::/32")]))
        );
        assert!(has_host_bits(network("192.0.2.1/24")) && !has_host_bits(network("192.0.2.1/32")));
    }

    #[test]
    fn names_take_in_what_they_should() {
        let set = NameSet::new(["Example.org", ".example.net", "@example.com", "ann@example.edu"]);
        for inside in ["example.ORG", "a.example.net", "a.b.Example.net", "x@example.com", "Ann@Example.edu"]
        {
            assert!(set.contains(inside), "{inside}");
        }
        for outside in
            ["a.example.org", "example.net", "example.com", "bob@example.edu", "x.y@b.example.net", ""]
        {
            assert!(!set.contains(outside), "{outside}");
        }
    }

    proptest! {
        #[test]
        fn a_set_of_networks_is_each_of_them(
            networks in proptest::collection::vec((any::<u32>(), 0_u8..=32), 0..12),
            addresses in proptest::collection::vec(any::<u32>(), 0..32),
        ) {
            let members: Vec<Network> = networks
                .iter()
                .map(|(bits, prefix)| Network { address: IpAddr::V4((*bits).into()), prefix: *prefix })
                .collect();
            let set = NetworkSet::new(members);
            for address in addresses.iter().chain(networks.iter().map(|(bits, _)| bits)) {
                let expected = networks.iter().any(|(bits, prefix)| {
                    let shift = 32 - u32::from(*prefix);
                    shift == 32 || address >> shift == bits >> shift
                });
                prop_assert_eq!(set.contains(IpAddr::V4((*address).into())), expected);
            }
        }
    }
}
