//! ARC seals (RFC 8617) on mail that passes through: what was found out of it when it came, vouched for when it leaves.
//!
//! Invariants: what is vouched for is this server's own Authentication-Results field, and a chain's state is what that
//! field says; a chain that nobody has verified here, or that has been sealed as failed, gets no further set.

use smtp::address::DomainName;
use smtp::time::WallTime;

use super::NotSigned;
use super::content::Hashed;
use super::dkim::{DEFAULT_HEADERS, DEFAULT_OVERSIGNED, signed, signed_names};
use super::field::TagField;
use super::header::{Field, HeaderSection, relaxed};
use super::key::SigningKey;
use crate::facts::forged_results::vouches;

/// Most sets in a chain (RFC 8617 §4.2.1).
const SETS_MAX: u32 = 50;

const RESULTS: &str = "ARC-Authentication-Results";
const SIGNATURE: &str = "ARC-Message-Signature";
const SEAL: &str = "ARC-Seal";

/// Who seals.
#[derive(Debug)]
pub struct Sealer {
    /// In A-labels.
    pub domain: DomainName,
    /// The key's name in the DNS.
    pub selector: DomainName,
    /// The key.
    pub key: SigningKey,
}

/// How the chain stands that a set is added to (RFC 8617 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Chain {
    None,
    Pass,
    Fail,
}

impl Chain {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }
}

impl Sealer {
    /// The fields of a set, each ended by CRLF; empty when none is to be added. `own_names` are those under which this
    /// server vouches, as [`own_names`](crate::facts::forged_results::own_names) has them, and `hostname` is the first.
    pub(super) fn seal(
        &self,
        hashed: &Hashed,
        (hostname, own_names): (&str, &[String]),
        now: WallTime,
    ) -> Result<String, NotSigned> {
        let section = HeaderSection::new(&hashed.header_section);
        let found = section.named("Authentication-Results").find(|field| vouches(field.value, own_names));
        let Some((instance, chain)) = next(&section, found) else { return Ok(String::new()) };
        let number = instance.to_string();
        let results = match found {
            Some(found) => {
                let text = String::from_utf8_lossy(found.value);
                let text = text.strip_suffix("\r\n").unwrap_or(&text);
                format!(" i={number};{text}")
            }
            None => format!(" i={number}; {hostname}; none"),
        };
        let signature = self.sign_message(hashed, &section, &number, now)?;
        let seconds = (now.as_unix_millis() / 1_000).to_string();
        let seal = TagField::new(SEAL)
            .tag("i", &number)
            .tag("a", self.key.algorithm().as_str())
            .tag("t", &seconds)
            .tag("cv", chain.word())
            .tag("d", self.domain.as_str())
            .tag("s", self.selector.as_str())
            .unsigned();
        let mut input = Vec::new();
        // A chain that is broken has no order to sign it in (RFC 8617 §5.1.2).
        if chain == Chain::Pass {
            for earlier in 1..instance {
                for name in [RESULTS, SIGNATURE, SEAL] {
                    for field in section.named(name).filter(|field| instance_of(field) == Some(earlier)) {
                        add(name, field.value, &mut input);
                    }
                }
            }
        }
        add(RESULTS, results.as_bytes(), &mut input);
        add(SIGNATURE, signature.split_once(':').map_or("", |(_, value)| value).as_bytes(), &mut input);
        let seal = signed(seal, &input, &self.key)?;
        Ok(format!("{seal}{signature}{RESULTS}:{results}\r\n"))
    }

    /// The ARC-Message-Signature field: a DKIM signature, also over those that are there (RFC 8617 §4.1.2).
    fn sign_message(
        &self,
        hashed: &Hashed,
        section: &HeaderSection<'_>,
        instance: &str,
        now: WallTime,
    ) -> Result<String, NotSigned> {
        let headers = DEFAULT_HEADERS.map(String::from);
        let mut names = signed_names(section, &headers, &DEFAULT_OVERSIGNED.map(String::from));
        names.extend(std::iter::repeat_n("dkim-signature".to_owned(), section.count("DKIM-Signature")));
        let field = TagField::new(SIGNATURE)
            .tag("i", instance)
            .tag("a", self.key.algorithm().as_str())
            .tag("c", "relaxed/relaxed")
            .tag("d", self.domain.as_str())
            .tag("s", self.selector.as_str())
            .tag("t", &(now.as_unix_millis() / 1_000).to_string())
            .tag("h", &names.join(":"))
            .tag("bh", &hashed.body_hash)
            .unsigned();
        signed(field, &section.hashed(names.iter().map(String::as_str)), &self.key)
    }
}

/// The number of the next set, and how the chain before it stands; `None` when no set is to be added.
fn next(section: &HeaderSection<'_>, found: Option<Field<'_>>) -> Option<(u32, Chain)> {
    let of_chain = || [RESULTS, SIGNATURE, SEAL].into_iter().flat_map(|name| section.named(name));
    if of_chain().next().is_none() {
        return Some((1, Chain::None));
    }
    let last = of_chain().filter_map(|field| instance_of(&field)).max().unwrap_or(0);
    let failed_before = section
        .named(SEAL)
        .any(|seal| instance_of(&seal) == Some(last) && tag(seal.value, "cv").as_deref() == Some("fail"));
    let instance = last.checked_add(1).filter(|instance| *instance <= SETS_MAX)?;
    let chain = match chain_result(&String::from_utf8_lossy(found?.value))?.as_str() {
        "pass" => Chain::Pass,
        "fail" => Chain::Fail,
        // What could not be told then can't be vouched for now; that there is no chain can't be either.
        _ => return None,
    };
    (!failed_before).then_some((instance, chain))
}

/// The result of the method `arc` in the value of a field that this server wrote.
fn chain_result(value: &str) -> Option<String> {
    methods(value).find_map(|method| {
        let word = method.trim_start().strip_prefix("arc=")?;
        Some(word.chars().take_while(char::is_ascii_alphabetic).collect())
    })
}

/// What stands between the semicolons that are neither quoted nor in a comment: a client may have said those.
fn methods(value: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped, mut depth) = (false, false, 0_usize);
    value.split(move |character| {
        match character {
            _ if std::mem::take(&mut is_escaped) => {}
            '\\' => is_escaped = true,
            '"' if depth == 0 => is_quoted = !is_quoted,
            '(' if !is_quoted => depth += 1,
            ')' if !is_quoted => depth = depth.saturating_sub(1),
            ';' => return !is_quoted && depth == 0,
            _ => {}
        }
        false
    })
}

fn instance_of(field: &Field<'_>) -> Option<u32> {
    tag(field.value, "i")?.parse().ok().filter(|instance| *instance > 0)
}

/// The value of a tag, without white space.
fn tag(value: &[u8], name: &str) -> Option<String> {
    value.split(|octet| *octet == b';').find_map(|tag| {
        let (known, value) = str::from_utf8(tag).ok()?.split_once('=')?;
        (known.trim() == name).then(|| value.chars().filter(|character| !character.is_whitespace()).collect())
    })
}

fn add(name: &str, value: &[u8], input: &mut Vec<u8>) {
    relaxed(name, value, input);
    input.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::super::content::Content;
    use super::*;

    const OWN: &str = "Authentication-Results: mx.here.example;\r\n\tdkim=pass header.d=a.example;\r\n\tarc=";

    fn sealed(message: &str) -> String {
        let sealer = Sealer {
            domain: "here.example".parse().unwrap(),
            selector: "arc".parse().unwrap(),
            key: SigningKey::from_pem(include_str!("testdata/rsa-pkcs8.pem")).unwrap(),
        };
        let mut content = Content::default();
        content.read(message.as_bytes());
        let own_names = [String::from("mx.here.example")];
        let now = WallTime::from_unix_millis(1_794_000_000_000);
        sealer.seal(&content.finish().unwrap(), ("mx.here.example", &own_names), now).unwrap()
    }

    fn set(instance: u32, cv: &str) -> String {
        format!(
            "ARC-Seal: i={instance}; cv={cv}; b=x\r\nARC-Message-Signature: i={instance}; b=x\r\n\
             ARC-Authentication-Results: i={instance}; other.example; none\r\n"
        )
    }

    #[test]
    fn a_message_without_a_chain_begins_one_with_our_results() {
        let message = format!("{OWN}none\r\nFrom: a@a.example\r\n\r\nhi\r\n");
        let set = sealed(&message);
        assert!(
            set.starts_with("ARC-Seal: i=1; a=rsa-sha256; t=1794000000; cv=none; d=here.example;"),
            "{set}"
        );
        assert!(set.ends_with(
            "ARC-Authentication-Results: i=1; mx.here.example;\r\n\tdkim=pass header.d=a.example;\r\n\tarc=none\r\n"
        ), "{set}");
        let plain = sealed("From: a@a.example\r\n\r\nhi\r\n");
        assert!(plain.ends_with("ARC-Authentication-Results: i=1; mx.here.example; none\r\n"), "{plain}");
    }

    #[test]
    fn a_chain_goes_on_only_where_its_state_is_known() {
        let message =
            |results: &str, sets: &str| sealed(&format!("{results}{sets}From: a@a.example\r\n\r\nhi\r\n"));
        let own = |word: &str| format!("{OWN}{word}\r\n");
        assert!(
            message(&own("pass header.d=x"), &set(1, "none"))
                .contains("ARC-Seal: i=2; a=rsa-sha256; t=1794000000; cv=pass;")
        );
        assert!(message(&own("fail"), &set(3, "pass")).contains("i=4; a=rsa-sha256; t=1794000000; cv=fail;"));
        assert!(message(&own("pass"), &set(49, "pass")).contains("ARC-Seal: i=50;"));
        for (results, sets) in [
            (own("pass"), set(50, "pass")),
            (own("fail"), set(2, "fail")),
            (own("temperror"), set(1, "none")),
            (own("none"), set(1, "none")),
            (String::new(), set(1, "none")),
            ("Authentication-Results: mx.other.example; arc=pass\r\n".to_owned(), set(1, "none")),
            (
                "Authentication-Results: mx.here.example; spf=fail smtp.mailfrom=\"a; arc=pass\"\r\n"
                    .to_owned(),
                set(1, "none"),
            ),
            (
                "Authentication-Results: mx.here.example; dkim=fail (\\); arc=pass)\r\n".to_owned(),
                set(1, "none"),
            ),
        ] {
            assert_eq!(message(&results, &sets), "", "{results} {sets}");
        }
    }
}
