//! Records of DKIM keys (RFC 6376 §3.6): where they stand, how they are written, and whether the DNS has the right one.

use super::tag_list::{tags, value};
use crate::net::dns::{Dns, DnsFailure};

/// Octets of one string of a TXT record (RFC 1035 §3.3.14).
const STRING_OCTETS_MAX: usize = 255;

/// What the DNS has where a key's record should stand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Publication {
    /// The key.
    Right,
    /// Nothing.
    Missing,
    /// The key was withdrawn: `p=` is empty.
    Revoked,
    /// A record with another key.
    Other,
    /// Something that verifiers can't read.
    Malformed,
    /// Several records, of which verifiers take any (RFC 6376 §3.6.2.2).
    Several,
    /// It can't be told now.
    Unknown(DnsFailure),
}

/// The name at which the record of a key stands.
#[must_use]
pub fn key_name(selector: &str, domain: &str) -> String {
    format!("{selector}._domainkey.{domain}")
}

/// A TXT record as zone files have it, in strings of 255 octets at most.
#[must_use]
pub fn zone_line(name: &str, text: &str) -> String {
    let mut strings = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (string, behind) = rest.split_at_checked(STRING_OCTETS_MAX).unwrap_or((rest, ""));
        strings.push(format!("\"{string}\""));
        rest = behind;
    }
    match strings.as_slice() {
        [one] => format!("{name}. IN TXT {one}\n"),
        _ => format!("{name}. IN TXT (\n    {}\n)\n", strings.join("\n    ")),
    }
}

/// Whether the DNS has at `name` the record of a key, given as it should be.
pub async fn look_up(dns: &Dns, name: &str, record: &str) -> Publication {
    let answer = match dns.txt(name).await {
        Ok(answer) => answer,
        Err(failure) => return Publication::Unknown(failure),
    };
    match answer.records() {
        [] => Publication::Missing,
        [text] => compare(text, record),
        _ => Publication::Several,
    }
}

fn compare(text: &[u8], record: &str) -> Publication {
    let (Some(found), Some(wanted)) = (tags(text), tags(record.as_bytes())) else {
        return Publication::Malformed;
    };
    if value(&found, "v").is_some_and(|version| version != "DKIM1") {
        return Publication::Malformed;
    }
    // White space in it doesn't count (RFC 6376 §3.6.1).
    let key = |tags: &[_]| value(tags, "p").map(|key| key.split_whitespace().collect::<String>());
    let kind = |tags: &[_]| value(tags, "k").unwrap_or("rsa").to_owned();
    match (key(&found), key(&wanted)) {
        (None, _) => Publication::Malformed,
        (Some(key), _) if key.is_empty() => Publication::Revoked,
        (found_key, wanted_key) if found_key == wanted_key && kind(&found) == kind(&wanted) => {
            Publication::Right
        }
        _ => Publication::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_record_stands_in_several_strings() {
        assert_eq!(
            zone_line("k._domainkey.a.example", "v=DKIM1"),
            "k._domainkey.a.example. IN TXT \"v=DKIM1\"\n"
        );
        let long = zone_line("k", &"x".repeat(600));
        let lengths: Vec<usize> =
            long.lines().filter(|line| line.contains('"')).map(|line| line.trim().len() - 2).collect();
        assert_eq!(lengths, [255, 255, 90]);
    }

    #[test]
    fn records_are_compared_by_what_they_mean() {
        let record = "v=DKIM1; k=rsa; p=AAAA";
        for (text, publication) in [
            ("v=DKIM1; k=rsa; p=AAAA", Publication::Right),
            ("p=AA AA;", Publication::Right),
            ("v=DKIM1; t=y; p=AAAA", Publication::Right),
            ("v=DKIM1; k=ed25519; p=AAAA", Publication::Other),
            ("v=DKIM1; p=AAAB", Publication::Other),
            ("v=DKIM1; p=", Publication::Revoked),
            ("v=DKIM1", Publication::Malformed),
            ("v=DKIM2; p=AAAA", Publication::Malformed),
            ("something else", Publication::Malformed),
        ] {
            assert_eq!(compare(text.as_bytes(), record), publication, "{text}");
        }
    }
}
