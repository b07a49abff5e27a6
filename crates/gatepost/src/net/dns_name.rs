//! Names of the DNS: made of text, and of addresses turned round.
//!
//! Invariants: a [`Name`] made here is absolute, so no search list ever adds to it.

use std::net::IpAddr;

use hickory_resolver::proto::rr::Name;

/// Longest label, in octets (RFC 1035 §2.3.4).
const LABEL_OCTETS_MAX: usize = 63;

/// Longest name as text without the dot at its end, in octets (255 on the wire, RFC 1035 §2.3.4).
const NAME_OCTETS_MAX: usize = 253;

/// The name that `text` is, in lower case and A-labels, without the dot at its end; `None` when no such name can exist: an
/// empty or overlong label, an overlong name, U-labels that IDNA refuses.
#[must_use]
pub fn normal(text: &str) -> Option<String> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let ascii = if text.is_ascii() { text.to_ascii_lowercase() } else { idna::domain_to_ascii(text).ok()? };
    let fits = |label: &str| (1..=LABEL_OCTETS_MAX).contains(&label.len());
    (ascii.len() <= NAME_OCTETS_MAX && ascii.split('.').all(fits)).then_some(ascii)
}

/// The absolute name that `text` is, see [`normal`].
#[must_use]
pub fn absolute(text: &str) -> Option<Name> {
    let ascii = normal(text)?;
    let mut name = Name::from_labels(ascii.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// The name as text, in lower case and without the dot at its end; the root is the empty text. A dot within a label and
/// what is no printable ASCII are written `\DDD` (RFC 1035 §5.1), so that they never pass for something else.
#[must_use]
pub fn to_text(name: &Name) -> String {
    let mut text = String::new();
    for label in name.iter() {
        if !text.is_empty() {
            text.push('.');
        }
        for octet in label {
            match octet {
                b'.' | b'\\' | ..=b' ' | 0x7f.. => text.push_str(&format!("\\{octet:03}")),
                plain => text.push(char::from(plain.to_ascii_lowercase())),
            }
        }
    }
    text
}

/// The address's octets (IPv4) or half octets (IPv6), last one first, as lists in the DNS and PTR records have it (RFC 5782
/// §2.1, §2.4); an IPv4-mapped address is IPv4.
#[must_use]
pub fn reversed(address: IpAddr) -> String {
    let parts: Vec<String> = match address.to_canonical() {
        IpAddr::V4(v4) => v4.octets().iter().rev().map(u8::to_string).collect(),
        IpAddr::V6(v6) => {
            let halves = v6.octets().into_iter().rev().flat_map(|octet| [octet & 0xf, octet >> 4]);
            halves.map(|half| format!("{half:x}")).collect()
        }
    };
    parts.join(".")
}

/// Where the PTR records of an address stand (RFC 1035 §3.5, RFC 3596 §2.5).
#[must_use]
pub fn reverse_name(address: IpAddr) -> String {
    let zone = if address.to_canonical().is_ipv4() { "in-addr.arpa" } else { "ip6.arpa" };
    format!("{}.{zone}", reversed(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_absolute_and_in_lower_case() {
        for text in ["Example.ORG", "example.org."] {
            let name = absolute(text).unwrap();
            assert!(name.is_fqdn());
            assert_eq!(to_text(&name), "example.org");
        }
        assert_eq!(to_text(&absolute("bücher.example").unwrap()), "xn--bcher-kva.example");
        assert!(absolute("_dmarc.example.org").is_some());
    }

    #[test]
    fn odd_labels_stay_what_they_are() {
        assert_eq!(to_text(&absolute("foo:bar/b_z.Example").unwrap()), "foo:bar/b_z.example");
        let odd = Name::from_labels([&b"a.b"[..], &b"\\\r\xff"[..]]).unwrap();
        assert_eq!(to_text(&odd), "a\\046b.\\092\\013\\255");
        assert_eq!(to_text(&Name::root()), "");
    }

    #[test]
    fn what_no_name_can_be_is_none() {
        let long_label = "a".repeat(64);
        let long_name = vec!["a".repeat(60); 5].join(".");
        for text in ["", ".", "a..b", ".a", long_label.as_str(), long_name.as_str()] {
            assert!(absolute(text).is_none(), "{text:?}");
        }
        assert!(absolute(&"a".repeat(63)).is_some());
    }

    #[test]
    fn addresses_are_turned_round() {
        assert_eq!(reversed("192.0.2.99".parse().unwrap()), "99.2.0.192");
        assert_eq!(reversed("::ffff:192.0.2.99".parse().unwrap()), "99.2.0.192");
        let v6 = "2001:db8:1:2:3:4:567:89ab".parse().unwrap();
        assert_eq!(reversed(v6), "b.a.9.8.7.6.5.0.4.0.0.0.3.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2");
    }
}
