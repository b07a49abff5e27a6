//! Address literals: a domain's place taken by an address in brackets (RFC 5321 §4.1.3).

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use super::AddressError;
use crate::limits::DOMAIN_OCTETS_MAX;

/// An address in brackets, such as `[192.0.2.1]` or `[IPv6:2001:db8::1]`; it prints with its brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressLiteral {
    /// `[192.0.2.1]`.
    V4(Ipv4Addr),
    /// `[IPv6:2001:db8::1]`.
    V6(Ipv6Addr),
    /// `[tag:content]` with a tag other than `IPv6`; no such tag is registered yet.
    General(GeneralLiteral),
}

/// A literal with a tag and content that are well formed but mean nothing to us.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GeneralLiteral {
    tag: String,
    content: String,
}

impl GeneralLiteral {
    /// The Standardized-tag, without its colon.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// What stands between the colon and the closing bracket; at least one octet, printable ASCII.
    #[must_use]
    pub fn content(&self) -> &str {
        &self.content
    }
}

impl AddressLiteral {
    /// The address, an IPv4-mapped one as IPv4; a general literal has none.
    #[must_use]
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::V4(address) => Some(IpAddr::V4(*address)),
            Self::V6(address) => Some(address.to_canonical()),
            Self::General(_) => None,
        }
    }

    /// Reads a literal with its brackets, which start at `position` of the text that errors speak of.
    pub(super) fn parse_at(text: &str, position: usize) -> Result<Self, AddressError> {
        if text.len() > DOMAIN_OCTETS_MAX {
            return Err(AddressError::DomainTooLong);
        }
        let inner = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        inner.and_then(Self::parse_inner).ok_or(AddressError::Literal { position })
    }

    fn parse_inner(inner: &str) -> Option<Self> {
        let Some((tag, content)) = inner.split_once(':') else {
            return v4(inner).map(Self::V4);
        };
        if tag.eq_ignore_ascii_case("IPv6") {
            return v6(content).map(Self::V6);
        }
        let tag_fits = tag.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
            && tag.bytes().next_back().is_some_and(|octet| octet != b'-');
        let content_fits = !content.is_empty() && content.bytes().all(is_dcontent);
        (tag_fits && content_fits)
            .then(|| Self::General(GeneralLiteral { tag: tag.to_owned(), content: content.to_owned() }))
    }
}

/// Whether `octet` is dcontent: printable ASCII but for `[`, `\` and `]` (RFC 5321 §4.1.3).
const fn is_dcontent(octet: u8) -> bool {
    matches!(octet, 33..=90 | 94..=126)
}

/// Reads IPv4-address-literal. Unlike `Ipv4Addr::from_str` it takes leading zeros, which RFC 5321 reads as decimal.
fn v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0_u8; 4];
    let mut numbers = text.split('.');
    for octet in &mut octets {
        let number = numbers.next()?;
        let digits = (1..=3).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
        *octet = if digits { number.parse().ok()? } else { return None };
    }
    numbers.next().is_none().then(|| Ipv4Addr::from(octets))
}

/// Reads IPv6-addr: `::` stands for two groups or more, and only the end may be an IPv4 address.
fn v6(text: &str) -> Option<Ipv6Addr> {
    let Some((head, tail)) = text.split_once("::") else {
        let (groups, count) = groups(text, true)?;
        return (count == 8).then(|| Ipv6Addr::from(groups));
    };
    let (head, head_count) = groups(head, false)?;
    let (tail, tail_count) = groups(tail, true)?;
    if head_count + tail_count > 6 {
        return None;
    }
    let mut all = head;
    for (slot, group) in all.iter_mut().rev().zip(tail.into_iter().take(tail_count).rev()) {
        *slot = group;
    }
    Some(Ipv6Addr::from(all))
}

/// The groups of `text` (none when it is empty) and how many there are; an IPv4 address at the end counts two.
fn groups(text: &str, v4_tail: bool) -> Option<([u16; 8], usize)> {
    let mut groups = [0_u16; 8];
    let mut count = 0;
    if text.is_empty() {
        return Some((groups, 0));
    }
    let mut parts = text.split(':').peekable();
    while let Some(part) = parts.next() {
        if v4_tail && parts.peek().is_none() && part.contains('.') {
            let [a, b, c, d] = v4(part)?.octets();
            *groups.get_mut(count)? = u16::from_be_bytes([a, b]);
            *groups.get_mut(count + 1)? = u16::from_be_bytes([c, d]);
            count += 2;
        } else {
            let hex = (1..=4).contains(&part.len()) && part.bytes().all(|digit| digit.is_ascii_hexdigit());
            *groups.get_mut(count)? = if hex { u16::from_str_radix(part, 16).ok()? } else { return None };
            count += 1;
        }
    }
    Some((groups, count))
}

impl FromStr for AddressLiteral {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse_at(text, 0)
    }
}

impl fmt::Display for AddressLiteral {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(formatter, "[{address}]"),
            Self::V6(address) => write!(formatter, "[IPv6:{address}]"),
            Self::General(GeneralLiteral { tag, content }) => write!(formatter, "[{tag}:{content}]"),
        }
    }
}
