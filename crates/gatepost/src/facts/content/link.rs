//! The domains of the URLs in texts and in HTML, as programs that show mail would follow them.
//!
//! Invariants: a host is in the form in which a browser asks for it (the URL Standard: A-labels, lower case, no user, no
//! port); a text is passed once; at most [`URL_DOMAINS_MAX`](super::URL_DOMAINS_MAX) are noted.

use std::collections::HashSet;
use std::sync::Arc;

use url::{Host, Url};

use super::URL_DOMAINS_MAX;

/// Octets behind a scheme in which its host must end (ours; a domain has at most 255, and a user may stand before it).
const AUTHORITY_OCTETS_MAX: usize = 1_024;

/// Octets of an attribute's value in HTML that are looked at (ours).
const ATTRIBUTE_OCTETS_MAX: usize = 4_096;

/// Longest character reference that is decoded, in octets between `&` and `;` (ours; `&#x10FFFF;` with leading zeros).
const REFERENCE_OCTETS_MAX: usize = 16;

/// Domains in the order in which they were seen.
#[derive(Debug, Default)]
pub(super) struct Domains {
    list: Vec<Arc<str>>,
    known: HashSet<Arc<str>>,
    /// Authorities that were read already, as they stood there: most of a message's URLs are to few hosts.
    read: HashSet<Box<str>>,
}

impl Domains {
    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<str>> {
        self.list.iter()
    }

    /// Notes the domains of the URLs in `text`.
    pub(super) fn note(&mut self, text: &str, is_html: bool) {
        if is_html {
            let text = without_references(text);
            self.note_attributes(&text);
            self.note_urls(&text);
        } else {
            self.note_urls(text);
        }
    }

    /// Notes what stands behind `http:`, `https:`, `ftp:` and `www.`.
    fn note_urls(&mut self, text: &str) {
        let mut rest = text;
        while let Some(place) = memchr::memchr2(b':', b'.', rest.as_bytes()) {
            let is_url = rest.as_bytes().get(place) == Some(&b':');
            let (before, behind) = rest.split_at_checked(place).unwrap_or_default();
            let behind = behind.get(1..).unwrap_or_default();
            rest = behind;
            let word_start = before
                .rfind(|character: char| !character.is_ascii_alphanumeric())
                .map_or(0, |place| place + before.get(place..).map_or(1, first_octets));
            let word = before.get(word_start..).unwrap_or_default();
            if is_url && is_scheme(word) {
                let slashes = behind.len() - behind.trim_start_matches(['/', '\\']).len();
                if slashes > 0 {
                    rest = self.note_authority(behind.get(slashes..).unwrap_or_default());
                }
            } else if !is_url && word.eq_ignore_ascii_case("www") {
                rest = self.note_authority(rest_from(text, behind, "www.".len()));
            }
        }
    }

    /// Notes the values of attributes that are URLs: in those a browser passes over white space.
    fn note_attributes(&mut self, html: &str) {
        let mut rest = html;
        while let Some(place) = memchr::memchr(b'=', rest.as_bytes()) {
            rest = rest.get(place + 1..).unwrap_or_default();
            let value = rest.trim_start();
            let Some(quote) = value.chars().next().filter(|character| matches!(character, '"' | '\'')) else {
                continue;
            };
            let value = value.get(1..).unwrap_or_default();
            let window = cut(value, ATTRIBUTE_OCTETS_MAX);
            let Some(end) = window.find(quote) else { continue };
            let url: String = window
                .get(..end)
                .unwrap_or_default()
                .chars()
                .filter(|character| !matches!(character, '\t' | '\r' | '\n'))
                .collect();
            rest = value.get(end + 1..).unwrap_or_default();
            let url = url.trim_start_matches(|character: char| character <= ' ');
            let behind = match url.split_once(':') {
                Some((scheme, behind)) if is_scheme(scheme) => Some(behind),
                _ => url.starts_with("//").then_some(url),
            };
            if let Some(behind) = behind {
                self.note_authority(behind.trim_start_matches(['/', '\\']));
            }
        }
    }

    /// Notes the host that `text` starts with; what stands behind it is left.
    fn note_authority<'t>(&mut self, text: &'t str) -> &'t str {
        let window = cut(text, AUTHORITY_OCTETS_MAX);
        let ends = |character: char| {
            character.is_whitespace()
                || character.is_control()
                || matches!(
                    character,
                    '/' | '\\' | '?' | '#' | '<' | '>' | '"' | '\'' | '`' | ',' | ')' | '}' | '|'
                )
        };
        let end = window.find(ends).unwrap_or(window.len());
        let authority =
            window.get(..end).unwrap_or_default().trim_end_matches(['.', ':', ';', '!', '*', '_']);
        if self.list.len() < URL_DOMAINS_MAX && !self.read.contains(authority) {
            if self.read.len() < URL_DOMAINS_MAX {
                self.read.insert(authority.into());
            }
            if let Some(host) = host(authority)
                && self.known.insert(Arc::clone(&host))
            {
                self.list.push(host);
            }
        }
        text.get(end..).unwrap_or_default()
    }
}

/// How many octets the first character has.
fn first_octets(text: &str) -> usize {
    text.chars().next().map_or(1, char::len_utf8)
}

/// The part of `text` that begins `octets` before `behind`, its end.
fn rest_from<'t>(text: &'t str, behind: &str, octets: usize) -> &'t str {
    text.get((text.len() - behind.len()).saturating_sub(octets)..).unwrap_or_default()
}

/// The first `octets_max` octets of a text, or a little less.
fn cut(text: &str, octets_max: usize) -> &str {
    text.get(..text.floor_char_boundary(octets_max)).unwrap_or(text)
}

fn is_scheme(word: &str) -> bool {
    ["http", "https", "ftp"].into_iter().any(|scheme| word.eq_ignore_ascii_case(scheme))
}

/// The host of an authority as a browser reads it.
fn host(authority: &str) -> Option<Arc<str>> {
    let url = Url::parse(&format!("http://{authority}")).ok()?;
    match url.host()? {
        Host::Domain(domain) => {
            Some(domain.trim_end_matches('.')).filter(|domain| domain.contains('.')).map(Arc::from)
        }
        Host::Ipv4(address) => Some(address.to_string().into()),
        Host::Ipv6(address) => Some(address.to_string().into()),
    }
}

/// HTML with its character references decoded that can stand in a URL.
fn without_references(html: &str) -> String {
    let mut decoded = String::with_capacity(html.len());
    let mut rest = html;
    while let Some(place) = memchr::memchr(b'&', rest.as_bytes()) {
        let (before, behind) = rest.split_at_checked(place).unwrap_or((rest, ""));
        decoded.push_str(before);
        let behind = behind.get(1..).unwrap_or_default();
        match reference(behind) {
            Some((character, octets)) => {
                decoded.push(character);
                rest = behind.get(octets..).unwrap_or_default();
            }
            None => {
                decoded.push('&');
                rest = behind;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The character that a reference behind its `&` means, and how many octets the reference has.
fn reference(text: &str) -> Option<(char, usize)> {
    const NAMED: [(&str, char); 14] = [
        ("amp", '&'),
        ("colon", ':'),
        ("sol", '/'),
        ("bsol", '\\'),
        ("period", '.'),
        ("num", '#'),
        ("quest", '?'),
        ("commat", '@'),
        ("percnt", '%'),
        ("equals", '='),
        ("Tab", '\t'),
        ("NewLine", '\n'),
        ("hyphen", '-'),
        ("lowbar", '_'),
    ];
    let window = cut(text, REFERENCE_OCTETS_MAX);
    let word_octets = |from: usize, is_part: fn(char) -> bool| {
        window.get(from..).map(|part| part.find(|character| !is_part(character)).unwrap_or(part.len()))
    };
    let (character, octets) = match window.strip_prefix('#') {
        Some(number) => {
            let is_hex = number.starts_with(['x', 'X']);
            let start = if is_hex { 2 } else { 1 };
            let length =
                word_octets(start, if is_hex { |c| c.is_ascii_hexdigit() } else { |c| c.is_ascii_digit() })?;
            let digits = window.get(start..start + length)?;
            let code = u32::from_str_radix(digits, if is_hex { 16 } else { 10 }).ok()?;
            (char::from_u32(code)?, start + length)
        }
        None => {
            let length = word_octets(0, |character| character.is_ascii_alphanumeric())?;
            let word = window.get(..length)?;
            let (_, character) = NAMED.iter().find(|(name, _)| *name == word)?;
            (*character, length)
        }
    };
    let has_semicolon = window.get(octets..).is_some_and(|rest| rest.starts_with(';'));
    Some((character, octets + usize::from(has_semicolon)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn domains(text: &str, is_html: bool) -> Vec<String> {
        let mut domains = Domains::default();
        domains.note(text, is_html);
        domains.iter().map(|domain| domain.to_string()).collect()
    }

    #[test]
    fn a_text_names_its_hosts() {
        let text = "See HTTP://User@Example.ORG:8080/x?u=https://b.example/, (http://bücher.example) or www.c.example.\n\
                    xhttp://not.example ftp://d.example. mail me: a@e.example; http:// http://localhost/ https://b.example";
        assert_eq!(
            domains(text, false),
            ["example.org", "b.example", "xn--bcher-kva.example", "www.c.example", "d.example"]
        );
    }

    #[test]
    fn hosts_are_read_as_a_browser_reads_them() {
        for (url, host) in [
            ("http://ex%61mple.com/", "example.com"),
            ("http:\\\\example.com\\x", "example.com"),
            ("http://good.example@evil.example/", "evil.example"),
            ("http://3221226219/", "192.0.2.235"),
            ("http://[2001:db8::1]:25/", "2001:db8::1"),
            ("http:///example.com", "example.com"),
            ("https://EXAMPLE.com.", "example.com"),
        ] {
            assert_eq!(domains(url, false), [host], "{url}");
        }
    }

    #[test]
    fn html_hides_nothing_in_references_and_white_space() {
        for html in [
            "<a href=\"http&#58;//evil.example/\">",
            "<a href='&#x68;ttp://evil&period;example'>",
            "<a href=\" ht\ntp://evil.\texample/\">",
            "<a href = \"http:evil.example\">",
            "<img src='//evil.example/x.png'>",
            "<p>http://evil.example</p>",
            "<a title=\"x\" href=\"https:&sol;&sol;evil.example\">",
        ] {
            assert_eq!(domains(html, true), ["evil.example"], "{html}");
        }
        assert_eq!(domains("a &amp; b &nothing; & &#xD800; &#99999999999; x", true), [""; 0]);
    }

    #[test]
    fn no_text_takes_more_than_one_pass() {
        for pattern in ["http://", "http:", "www.", "=\"", "='", "=\"'", "&#x68", "&", "a:", "http://a@"] {
            let text = pattern.repeat(2_000_000 / pattern.len());
            domains(&text, true);
        }
    }
}
