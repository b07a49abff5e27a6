//! Who wants reports, as the DNS says it: `rua` in DMARC records (RFC 9989 §4.7), in their confirmations by others
//! (RFC 9990 §4) and in TLSRPT records (RFC 8460 §3).
//!
//! Invariants: an address that can't be understood is passed over, never guessed; of many the first count.

use smtp::address::Mailbox;
use url::Url;

use super::tag_list::{tags, value};

/// Most addresses of a record (ours; RFC 9990 §3.5 leaves the number to who reports).
const ADDRESSES_MAX: usize = 10;

/// Longest URL that reports are posted to, in octets (ours).
const URL_OCTETS_MAX: usize = 1_000;

/// A mailbox that takes reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportMailbox {
    /// Which.
    pub(crate) mailbox: Mailbox,
    /// The largest report that it takes, as it is sent, in octets (`!10m`); `None` is any.
    pub(crate) octets_max: Option<u64>,
}

/// Whom TLS reports go to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsDestination {
    /// By mail.
    Mailbox(Mailbox),
    /// By HTTPS.
    Url(Url),
}

/// What a TXT record at `_dmarc.` names; `None` when there is no record, or more than one (RFC 9989 §4.10).
pub(crate) fn of_dmarc(texts: &[Vec<u8>]) -> Option<Vec<ReportMailbox>> {
    one(texts, "DMARC1").map(|tags| mailboxes(value(&tags, "rua").unwrap_or_default()))
}

/// What the texts at `_report._dmarc.` say to a domain's wish: `None`: nothing, so it isn't granted; else the mailboxes that
/// are put in the place of the wished one, if there are any (RFC 9990 §4).
pub(crate) fn of_confirmation(texts: &[Vec<u8>]) -> Option<Vec<ReportMailbox>> {
    let mut records = texts.iter().filter_map(|text| versioned(text, "DMARC1"));
    let tags = records.next()?;
    Some(mailboxes(value(&tags, "rua").unwrap_or_default()))
}

/// What a TXT record at `_smtp._tls.` names; `None` when there is no record, or more than one (RFC 8460 §3).
pub(crate) fn of_tls(texts: &[Vec<u8>]) -> Option<Vec<TlsDestination>> {
    let tags = one(texts, "TLSRPTv1")?;
    let wishes = value(&tags, "rua").unwrap_or_default().split(',').map(str::trim);
    let destination = |wish: &str| match mailbox(wish) {
        Some(mailbox) => Some(TlsDestination::Mailbox(mailbox)),
        None => https(wish).map(TlsDestination::Url),
    };
    Some(wishes.filter_map(destination).take(ADDRESSES_MAX).collect())
}

/// Whether a text says that it is a record of this version.
pub(crate) fn is_version(text: &[u8], version: &str) -> bool {
    let first = text.split(|octet| *octet == b';').next().and_then(|tag| str::from_utf8(tag).ok());
    let tag = first.and_then(|tag| tag.split_once('='));
    tag.is_some_and(|(name, said)| name.trim() == "v" && said.trim() == version)
}

/// The tags of a record of this version.
fn versioned<'t>(text: &'t [u8], version: &str) -> Option<Vec<(&'t str, &'t str)>> {
    is_version(text, version).then(|| tags(text)).flatten()
}

/// The tags of the only record of this version.
fn one<'t>(texts: &'t [Vec<u8>], version: &str) -> Option<Vec<(&'t str, &'t str)>> {
    let mut records = texts.iter().filter(|text| is_version(text, version));
    match (records.next(), records.next()) {
        (Some(record), None) => tags(record),
        _ => None,
    }
}

fn mailboxes(list: &str) -> Vec<ReportMailbox> {
    let wish = |wish: &str| {
        let (uri, octets_max) = match wish.rsplit_once('!') {
            Some((uri, size)) => (uri, Some(octets(size)?)),
            None => (wish, None),
        };
        Some(ReportMailbox { mailbox: mailbox(uri)?, octets_max })
    };
    list.split(',').map(str::trim).filter_map(wish).take(ADDRESSES_MAX).collect()
}

/// A size as `10m` (RFC 7489 §6.4): octets, or a unit of 2^10, 2^20, 2^30 or 2^40.
fn octets(size: &str) -> Option<u64> {
    let (digits, factor) = match size.char_indices().next_back()? {
        (at, 'k' | 'K') => (size.get(..at)?, 1 << 10),
        (at, 'm' | 'M') => (size.get(..at)?, 1 << 20),
        (at, 'g' | 'G') => (size.get(..at)?, 1 << 30),
        (at, 't' | 'T') => (size.get(..at)?, 1 << 40),
        _ => (size, 1_u64),
    };
    let plain = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    plain.then(|| digits.parse::<u64>().ok())?.map(|number| number.saturating_mul(factor))
}

/// The mailbox of a `mailto:` URI (RFC 6068); header fields that it wants are passed over.
fn mailbox(uri: &str) -> Option<Mailbox> {
    const SCHEME: &str = "mailto:";
    let (scheme, rest) = uri.split_at_checked(SCHEME.len())?;
    if !scheme.eq_ignore_ascii_case(SCHEME) {
        return None;
    }
    let address = rest.split('?').next().unwrap_or_default();
    let mailbox = Mailbox::parse(&decoded(address)?, false).ok()?;
    mailbox.domain.name().is_some().then_some(mailbox)
}

/// The text of an URI's part, in which octets may be written `%40`.
fn decoded(part: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(part.len());
    let mut pieces = part.split('%');
    octets.extend_from_slice(pieces.next()?.as_bytes());
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        octets.push(u8::from_str_radix(digits, 16).ok()?);
        octets.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(octets).ok()
}

fn https(uri: &str) -> Option<Url> {
    let url = Url::parse(uri).ok().filter(|_| uri.len() <= URL_OCTETS_MAX)?;
    let is_plain = url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
    (is_plain && url.domain().is_some()).then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<Vec<u8>> {
        texts.iter().map(|text| text.as_bytes().to_vec()).collect()
    }

    fn shown(found: Option<Vec<ReportMailbox>>) -> Option<Vec<String>> {
        let show = |one: &ReportMailbox| match one.octets_max {
            Some(octets) => format!("{} {octets}", one.mailbox),
            None => one.mailbox.to_string(),
        };
        found.map(|found| found.iter().map(show).collect())
    }

    #[test]
    fn addresses_of_dmarc_are_read_with_their_sizes() {
        for (record, expected) in [
            ("v=DMARC1; p=none; rua=mailto:a@example.org", vec!["a@example.org"]),
            (
                "v=DMARC1; rua=mailto:a@example.org!10m, MAILTO:b%2Bc@example.net!50 ,https://x.example/",
                vec!["a@example.org 10485760", "b+c@example.net 50"],
            ),
            ("v=DMARC1; rua=mailto:a@example.org?subject=x", vec!["a@example.org"]),
            (
                "v=DMARC1; rua=mailto:a@example.org!x,mailto:@,mailto:a@[192.0.2.1],mailto:%zz@a.example",
                vec![],
            ),
            ("v=DMARC1; p=reject", vec![]),
        ] {
            let expected: Vec<String> = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(shown(of_dmarc(&texts(&[record]))), Some(expected), "{record}");
        }
        assert_eq!(of_dmarc(&texts(&["v=spf1 -all", "v=DMARC2; rua=mailto:a@b.example"])), None);
        assert_eq!(of_dmarc(&texts(&["v=DMARC1; p=none", "v=DMARC1; p=reject"])), None, "two are none");
        let many = format!("v=DMARC1;rua={}", "mailto:a@b.example,".repeat(50));
        assert_eq!(of_dmarc(&texts(&[&many])).unwrap().len(), ADDRESSES_MAX);
    }

    #[test]
    fn a_confirmation_may_name_another_mailbox() {
        assert_eq!(shown(of_confirmation(&texts(&["v=DMARC1"]))), Some(vec![]));
        let other = "v=DMARC1; rua=mailto:other@red.example";
        assert_eq!(shown(of_confirmation(&texts(&["x", other]))), Some(vec!["other@red.example".to_owned()]));
        assert_eq!(of_confirmation(&texts(&["rua=mailto:a@b.example; v=DMARC1"])), None);
        assert_eq!(of_confirmation(&[]), None);
    }

    #[test]
    fn tls_reports_go_by_mail_and_by_https_only() {
        let record = "v=TLSRPTv1; rua=mailto:a@example.org,https://r.example/v1?x=1,http://r.example/,\
                      https://u:p@r.example/,https://192.0.2.1/";
        let found = of_tls(&texts(&["other", record])).unwrap();
        assert_eq!(
            found,
            [
                TlsDestination::Mailbox("a@example.org".parse().unwrap()),
                TlsDestination::Url("https://r.example/v1?x=1".parse().unwrap()),
            ]
        );
        assert_eq!(of_tls(&texts(&[record, record])), None);
        assert_eq!(of_tls(&texts(&["v=TLSRPTv2;rua=mailto:a@b.example"])), None);
    }
}
