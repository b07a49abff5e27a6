//! Keys of tables: their normal form, and the keys that stand for a text.
//!
//! Invariants: what is looked up and what stands in a table go through the same form: lower case, domains in A-labels.

use std::borrow::Cow;

use smtp::limits::DOMAIN_OCTETS_MAX;

use crate::mailboxes::domain_key;

/// A key in its normal form.
pub(crate) fn normal(text: &str) -> Cow<'_, str> {
    if !text.is_ascii() {
        return Cow::Owned(internationalised(text));
    }
    if text.bytes().any(|octet| octet.is_ascii_uppercase()) {
        return Cow::Owned(text.to_ascii_lowercase());
    }
    Cow::Borrowed(text)
}

fn internationalised(text: &str) -> String {
    let (before, domain) = match text.rfind('@') {
        Some(place) => text.split_at(place + 1),
        None if text.starts_with('.') => text.split_at(1),
        None => ("", text),
    };
    let is_domain = domain.contains('.') && !domain.contains(char::is_whitespace);
    let key = Some(domain).filter(|_| is_domain).and_then(domain_key);
    format!("{}{}", before.to_lowercase(), key.unwrap_or_else(|| domain.to_lowercase().into()))
}

/// The keys under which a text in normal form may stand, the closest first: for an address itself, `@domain`, `domain`
/// and `.parent` of each domain above; for a domain itself and `.parent`; for anything else itself.
pub(crate) fn candidates(text: &str) -> impl Iterator<Item = &str> {
    let at = text.rfind('@');
    let domain = at.map_or(Some(text), |at| text.get(at + 1..)).filter(|domain| is_domain(domain));
    let of_domain = domain.filter(|_| at.is_some());
    let with_at = of_domain.and(at).and_then(|at| text.get(at..));
    let parents = domain.into_iter().flat_map(|domain| {
        let dots = domain.match_indices('.').filter(|(place, _)| *place > 0);
        dots.filter_map(|(place, _)| domain.get(place..)).filter(|parent| parent.len() > 1)
    });
    std::iter::once(text).chain(with_at).chain(of_domain).chain(parents)
}

fn is_domain(text: &str) -> bool {
    let is_part = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_' | b'.');
    !text.is_empty() && text.len() <= DOMAIN_OCTETS_MAX && text.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<&str> {
        candidates(text).collect()
    }

    #[test]
    fn keys_have_one_form() {
        assert_eq!(normal("Anna@Example.ORG"), "anna@example.org");
        assert_eq!(normal("ÄNNA@BÜCHER.example"), "änna@xn--bcher-kva.example");
        assert_eq!(normal(".BÜCHER.example"), ".xn--bcher-kva.example");
        assert_eq!(normal("@bücher.example"), "@xn--bcher-kva.example");
        assert_eq!(normal("Grüße an. alle"), "grüße an. alle");
        assert_eq!(normal("BÜCHER"), "bücher");
    }

    #[test]
    fn a_text_stands_under_its_domains_too() {
        assert_eq!(
            all("a@x.example.org"),
            ["a@x.example.org", "@x.example.org", "x.example.org", ".example.org", ".org"]
        );
        assert_eq!(all("x.example.org"), ["x.example.org", ".example.org", ".org"]);
        assert_eq!(all("a b. c"), ["a b. c"]);
        assert_eq!(all("a@[192.0.2.1]"), ["a@[192.0.2.1]"]);
        assert_eq!(all("a@"), ["a@"]);
        assert_eq!(all(""), [""]);
        assert_eq!(all(".org."), [".org."]);
    }
}
