//! SPF records: their grammar (RFC 7208 §12), checked strictly and whole before anything is evaluated (RFC 7208 §4.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use mail_auth::common::parse::TxtRecordParser as _;
use mail_auth::spf::Macro;
use regex::{Captures, Regex};

/// `macro-expand`, with the letters that may stand in a `domain-spec`.
const EXPAND: &str = r"%(?:\{[slodiphv](?:0*[1-9][0-9]*)?r?[-.+,/_=]*\}|[%_-])";
/// `macro-expand`, with the letters of explanations too.
const EXPAND_ALL: &str = r"%(?:\{[slodiphcrtv](?:0*[1-9][0-9]*)?r?[-.+,/_=]*\}|[%_-])";
const LITERAL: &str = r"[!-$&-~]";
const TOPLABEL: &str = r"(?:[0-9a-z]*[a-z][0-9a-z]*|[0-9a-z]+-[0-9a-z-]*[0-9a-z])";
const PREFIX_V4: &str = r"/(?<v4>3[0-2]|[12][0-9]|[0-9])";
const PREFIX_V6: &str = r"/(?<v6>12[0-8]|1[01][0-9]|[1-9][0-9]|[0-9])";

/// A record that is one.
#[derive(Debug)]
pub(super) struct SpfRecord {
    /// In their order.
    pub(super) directives: Vec<Directive>,
    /// `redirect=`.
    pub(super) redirect: Option<Macro>,
    /// `exp=`.
    pub(super) explanation: Option<Macro>,
}

/// A mechanism, and what it means when it matches.
#[derive(Debug)]
pub(super) struct Directive {
    pub(super) qualifier: Qualifier,
    pub(super) mechanism: Mechanism,
}

/// What a match means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Qualifier {
    Pass,
    Fail,
    SoftFail,
    Neutral,
}

/// A mechanism (RFC 7208 §5). `None` for a `domain-spec` is the current domain.
#[derive(Debug)]
pub(super) enum Mechanism {
    All,
    Include(Macro),
    A(Option<Macro>, Prefixes),
    Mx(Option<Macro>, Prefixes),
    Ptr(Option<Macro>),
    /// An address, and how many bits of it count.
    Network(IpAddr, u8),
    Exists(Macro),
}

/// Lengths of the prefixes by which addresses are compared, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefixes {
    pub(super) v4: u8,
    pub(super) v6: u8,
}

/// Why a text is no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordError {
    /// The grammar doesn't allow it.
    Malformed,
    /// The grammar itself is not there, a fault of ours.
    Internal,
}

#[derive(Debug)]
struct Grammar {
    directive: Regex,
    modifier: Regex,
    explanation: Regex,
}

static GRAMMAR: LazyLock<Option<Grammar>> = LazyLock::new(|| grammar().ok());

fn grammar() -> Result<Grammar, regex::Error> {
    let domain = format!(r"(?:{EXPAND}|{LITERAL})*(?:\.{TOPLABEL}\.?|{EXPAND})");
    let directive = format!(
        "(?i)^(?<qualifier>[-+?~]?)(?:(?<all>all)\
         |(?<name>include|exists):(?<domain>{domain})\
         |(?<ptr>ptr)(?::(?<ptr_domain>{domain}))?\
         |(?<host>a|mx)(?::(?<host_domain>{domain}))?(?:{PREFIX_V4})?(?:/{PREFIX_V6})?\
         |ip4:(?<ip4>[0-9.]+(?:/(?:3[0-2]|[12][0-9]|[0-9]))?)\
         |ip6:(?<ip6>[0-9a-f:.]+(?:/(?:12[0-8]|1[01][0-9]|[1-9][0-9]|[0-9]))?))$"
    );
    let modifier = format!(
        "(?i)^(?:(?<name>redirect|exp)=(?<domain>{domain})|(?<other>[a-z][0-9a-z_.-]*)=(?:{EXPAND_ALL}|{LITERAL})*)$"
    );
    let explanation = format!("(?i)^(?:{EXPAND_ALL}|{LITERAL}| )*$");
    Ok(Grammar {
        directive: Regex::new(&directive)?,
        modifier: Regex::new(&modifier)?,
        explanation: Regex::new(&explanation)?,
    })
}

/// Whether a TXT record calls itself an SPF record of this version (RFC 7208 §4.5).
pub(crate) fn is_spf(text: &[u8]) -> bool {
    let version = b"v=spf1";
    match text.split_at_checked(version.len()) {
        Some((start, rest)) => {
            start.eq_ignore_ascii_case(version) && rest.first().is_none_or(|octet| *octet == b' ')
        }
        None => false,
    }
}

/// Reads a record that [`is_spf`].
pub(super) fn parse(text: &[u8]) -> Result<SpfRecord, RecordError> {
    let grammar = GRAMMAR.as_ref().ok_or(RecordError::Internal)?;
    // Also so that no letter beyond ASCII passes for one without regard to case.
    let text = str::from_utf8(text).ok().filter(|text| text.is_ascii()).ok_or(RecordError::Malformed)?;
    let mut record = SpfRecord { directives: Vec::new(), redirect: None, explanation: None };
    for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
        if let Some(captures) = grammar.directive.captures(term) {
            record.directives.push(directive(&captures)?);
            continue;
        }
        let captures = grammar.modifier.captures(term).ok_or(RecordError::Malformed)?;
        let place = match captures.name("name").map(|name| name.as_str().to_ascii_lowercase()) {
            Some(name) if name == "redirect" => &mut record.redirect,
            Some(_) => &mut record.explanation,
            None => {
                // What is called so and isn't written so is no unknown modifier.
                let other = captures.name("other").map_or("", |other| other.as_str());
                if ["redirect", "exp"].iter().any(|known| other.eq_ignore_ascii_case(known)) {
                    return Err(RecordError::Malformed);
                }
                continue;
            }
        };
        // Twice is an error (RFC 7208 §6).
        if place.replace(domain_spec(&captures, "domain")?.ok_or(RecordError::Malformed)?).is_some() {
            return Err(RecordError::Malformed);
        }
    }
    Ok(record)
}

/// Reads an explanation (RFC 7208 §6.2).
pub(super) fn parse_explanation(text: &[u8]) -> Option<Macro> {
    let text = str::from_utf8(text).ok()?;
    if text.is_empty() || !GRAMMAR.as_ref()?.explanation.is_match(text) {
        return None;
    }
    Macro::parse(text.as_bytes()).ok()
}

fn directive(captures: &Captures<'_>) -> Result<Directive, RecordError> {
    let text = |name: &str| captures.name(name).map(|found| found.as_str());
    let qualifier = match text("qualifier") {
        Some("-") => Qualifier::Fail,
        Some("~") => Qualifier::SoftFail,
        Some("?") => Qualifier::Neutral,
        _ => Qualifier::Pass,
    };
    let bits = |name: &str, default: u8| text(name).and_then(|digits| digits.parse().ok()).unwrap_or(default);
    let mechanism = if text("all").is_some() {
        Mechanism::All
    } else if let Some(name) = text("name") {
        let domain = domain_spec(captures, "domain")?.ok_or(RecordError::Malformed)?;
        if name.eq_ignore_ascii_case("include") {
            Mechanism::Include(domain)
        } else {
            Mechanism::Exists(domain)
        }
    } else if text("ptr").is_some() {
        Mechanism::Ptr(domain_spec(captures, "ptr_domain")?)
    } else if let Some(host) = text("host") {
        let domain = domain_spec(captures, "host_domain")?;
        let prefixes = Prefixes { v4: bits("v4", 32), v6: bits("v6", 128) };
        if host.eq_ignore_ascii_case("a") {
            Mechanism::A(domain, prefixes)
        } else {
            Mechanism::Mx(domain, prefixes)
        }
    } else {
        let (address, bits) = network(text("ip4"), text("ip6")).ok_or(RecordError::Malformed)?;
        Mechanism::Network(address, bits)
    };
    Ok(Directive { qualifier, mechanism })
}

/// Address and prefix of `ip4` or `ip6`.
fn network(ip4: Option<&str>, ip6: Option<&str>) -> Option<(IpAddr, u8)> {
    let text = ip4.or(ip6)?;
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let (address, most): (IpAddr, u8) = match ip4 {
        Some(_) => (address.parse::<Ipv4Addr>().ok()?.into(), 32),
        None => (address.parse::<Ipv6Addr>().ok()?.into(), 128),
    };
    Some((address, bits.map_or(Some(most), |bits| bits.parse().ok())?))
}

fn domain_spec(captures: &Captures<'_>, name: &str) -> Result<Option<Macro>, RecordError> {
    let spec = captures.name(name).map(|spec| Macro::parse(spec.as_str().as_bytes()));
    spec.transpose().map_err(|_| RecordError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grammar_is_there() {
        assert!(grammar().is_ok(), "{:?}", grammar().err());
    }

    #[test]
    fn only_the_version_makes_an_spf_record() {
        for text in ["v=spf1", "V=SPF1 -all", "v=spf1  a"] {
            assert!(is_spf(text.as_bytes()), "{text}");
        }
        for text in ["v=spf10", "v=spf1\t-all", " v=spf1", "v=spf", "spf2.0/mfrom", "v=spf1-all"] {
            assert!(!is_spf(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn what_the_grammar_allows_is_a_record() {
        for terms in [
            "",
            "-all",
            "A:example.com/24//64 ?MX ~ptr:x.example include:%{d2}.example exists:%{ir}.%{l1r+-}._spf.%{d}",
            "ip4:192.0.2.1/0 ip6:2001:db8::/32 ip6:::ffff:192.0.2.1 a/0 a//0 mx//128",
            "redirect=_spf.example exp=why.%{o} x-y.z_1=%{c}/%{r} -all",
            "a:foo/bar.example.com/24",
            "a:%%%_%-.example.com a:1.2.3.a-4 a:example.com.",
        ] {
            assert!(parse(format!("v=spf1 {terms}").as_bytes()).is_ok(), "{terms}");
        }
    }

    #[test]
    fn what_it_does_not_allow_is_none() {
        for term in [
            "-all.",
            "all:x.example",
            "all/8",
            "+-a",
            "a:",
            "a:example",
            "a:example.1",
            "a:example.c-",
            "a:/24",
            "a/33",
            "a/024",
            "a//129",
            "a/24/64",
            "a/24//",
            "mx:",
            "ptr/24",
            "include",
            "include:",
            "include:x",
            "include:x.example/24",
            "exists:%{c}.example",
            "exists:%{d0}.example",
            "exists:%{d",
            "exists:%(ir).example",
            "ip4:1.2.3.4/33",
            "ip4:1.2.3.4/08",
            "ip4:1.2.3",
            "ip4:1.2.3.256",
            "ip4:1.2.3.04",
            "ip4:1.2.3.4.5",
            "ip4:1.2.3.4//32",
            "ip6:1:2:3",
            "ip6:::1/129",
            "ip6:",
            "ip4",
            "redirect=",
            "redirect:x.example",
            "redirect=x",
            "exp=",
            "redirect=a.example redirect=b.example",
            "exp=a.example exp=b.example",
            "=x",
            "1x=y",
            "foo",
            "foo:bar",
            "x=%a",
            "a\texample",
            "a:\u{e9}.example",
            "a\u{17f}ll",
            "exi\u{17f}ts:a.example",
        ] {
            let parsed = parse(format!("v=spf1 {term}").as_bytes());
            assert_eq!(parsed.err(), Some(RecordError::Malformed), "{term}");
        }
    }

    #[test]
    fn networks_and_prefixes_are_read() {
        let record = parse(b"v=spf1 ip4:192.0.2.77/24 ip6:2001:db8::1 -mx/16//48").unwrap();
        let [v4, v6, mx] = record.directives.as_slice() else { panic!("three directives") };
        assert!(matches!(v4.mechanism, Mechanism::Network(IpAddr::V4(_), 24)));
        assert!(matches!(v6.mechanism, Mechanism::Network(IpAddr::V6(_), 128)));
        assert!(matches!(mx.mechanism, Mechanism::Mx(None, Prefixes { v4: 16, v6: 48 })));
        assert_eq!(mx.qualifier, Qualifier::Fail);
    }
}
