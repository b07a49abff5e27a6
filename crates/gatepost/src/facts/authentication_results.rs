//! Header fields that say what was found out of who sent a message: Authentication-Results (RFC 8601) and Received-SPF
//! (RFC 7208 §9.1).
//!
//! Invariants: nothing that a client said gets out of its value: it is a token, or quoted, without line ends and control
//! characters; every line is folded where a client could not have made it longer than allowed.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::IpAddr;

use super::arc::Arc;
use super::dkim::Dkim;
use super::dmarc::Dmarc;
use super::spf::{Envelope, Spf};
use crate::net::mail_auth::spf::SpfResult;

/// Longest value that is passed on, in octets (ours; a mailbox has 320 at most by RFC 5321 §4.5.3.1, a line 998).
const VALUE_OCTETS_MAX: usize = 320;

/// What was found out; what wasn't asked is left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct Results<'r> {
    /// The name under which this server vouches: its authserv-id.
    pub authserv_id: &'r str,
    /// The mailbox or user that AUTH established.
    pub auth_user: Option<&'r str>,
    /// The client's address, what came of its name, and that name.
    pub iprev: Option<Iprev<'r>>,
    /// SPF, and what was asked.
    pub spf: Option<(&'r Spf, Envelope<'r>)>,
    /// The signatures.
    pub dkim: Option<&'r Dkim>,
    /// DMARC.
    pub dmarc: Option<&'r Dmarc>,
    /// The chain.
    pub arc: Option<&'r Arc>,
}

/// The client's name (RFC 8601 §2.7.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Iprev<'r> {
    /// The client.
    pub client: IpAddr,
    /// `pass`, `fail`, `temperror` or `permerror`.
    pub word: &'r str,
    /// The name of its PTR record.
    pub name: Option<&'r str>,
}

impl Results<'_> {
    /// The Authentication-Results field, folded, with CRLF at its end.
    #[must_use]
    pub fn authentication_results(&self) -> String {
        let mut methods = Vec::new();
        if let Some(user) = self.auth_user {
            methods.push(format!("auth=pass smtp.auth={}", value(user)));
        }
        if let Some(iprev) = &self.iprev {
            let name = iprev.name.map(|name| format!(" ({})", comment(name))).unwrap_or_default();
            let address = iprev.client.to_string();
            let address = value(&address);
            methods.push(format!("iprev={}{name} policy.iprev={address}", iprev.word));
        }
        if let Some((spf, envelope)) = &self.spf {
            methods.push(spf_method(spf, envelope));
        }
        if let Some(dkim) = self.dkim {
            methods.extend(dkim_methods(dkim));
        }
        if let Some(dmarc) = self.dmarc {
            methods.push(dmarc_method(dmarc));
        }
        if let Some(arc) = self.arc {
            let sealed = arc.chain.domain.as_deref().map(|domain| format!(" header.d={}", value(domain)));
            methods.push(format!("arc={}{}", arc.word(), sealed.unwrap_or_default()));
        }
        if methods.is_empty() {
            methods.push("none".to_owned());
        }
        format!("Authentication-Results: {};\r\n\t{}\r\n", value(self.authserv_id), methods.join(";\r\n\t"))
    }

    /// The Received-SPF field, folded, with CRLF at its end; `None` when SPF was not asked.
    #[must_use]
    pub fn received_spf(&self) -> Option<String> {
        let (spf, envelope) = self.spf.as_ref()?;
        let identity = if envelope.sender.is_empty() { "helo" } else { "mailfrom" };
        let client = envelope.client.to_canonical();
        let mut field = format!(
            "Received-SPF: {} ({}: {})\r\n\tclient-ip={client};",
            spf.outcome.result.word(),
            comment(envelope.receiver),
            comment(&meaning(spf, client))
        );
        if identity == "mailfrom" {
            let _ = write!(field, "\r\n\tenvelope-from={};", quoted(envelope.sender));
        }
        let _ = write!(
            field,
            "\r\n\thelo={}; identity={identity}; receiver={}\r\n",
            value(envelope.helo),
            value(envelope.receiver)
        );
        Some(field)
    }
}

/// What the result means, as RFC 7208 §9.1 says it in comments.
fn meaning(spf: &Spf, client: IpAddr) -> String {
    let domain = &spf.domain;
    match spf.outcome.result {
        SpfResult::Pass => format!("domain of {domain} designates {client} as permitted sender"),
        SpfResult::Fail => format!("domain of {domain} does not designate {client} as permitted sender"),
        SpfResult::SoftFail => format!("domain of {domain} hardly permits {client} to send"),
        SpfResult::Neutral => format!("domain of {domain} says nothing of {client}"),
        SpfResult::None => format!("domain of {domain} has no SPF record"),
        SpfResult::TempError(failure) => format!("looking up {domain}: {failure}"),
        SpfResult::PermError => format!("the SPF record of {domain} is wrong"),
    }
}

fn spf_method(spf: &Spf, envelope: &Envelope<'_>) -> String {
    let identity = if envelope.sender.is_empty() {
        format!("smtp.helo={}", value(envelope.helo))
    } else {
        format!("smtp.mailfrom={}", value(envelope.sender))
    };
    format!("spf={} {identity}", spf.outcome.result.word())
}

fn dkim_methods(dkim: &Dkim) -> Vec<String> {
    if dkim.signatures.is_empty() {
        return vec!["dkim=none".to_owned()];
    }
    let method = |signature: &crate::net::mail_auth::dkim::DkimSignature| {
        let mut method = format!("dkim={}", signature.verification.word());
        if let Some(why) = signature.verification.why() {
            let _ = write!(method, " ({})", comment(why));
        }
        let properties = [("d", &signature.domain), ("s", &signature.selector), ("b", &signature.start)];
        for (property, text) in properties.into_iter().filter(|(_, text)| !text.is_empty()) {
            let _ = write!(method, " header.{property}={}", value(text));
        }
        method
    };
    dkim.signatures.iter().map(method).collect()
}

fn dmarc_method(dmarc: &Dmarc) -> String {
    use crate::net::mail_auth::dmarc::DmarcAnswer;
    let mut method = format!("dmarc={}", dmarc.word());
    if let DmarcAnswer::Record(verdict) = &dmarc.check.answer {
        let _ = write!(method, " (p={})", verdict.policy);
    }
    if let Some(author) = &dmarc.check.author {
        let _ = write!(method, " header.from={}", value(author));
    }
    method
}

/// The text without what may not stand in a header field: control characters and line ends are left out.
fn plain(text: &str) -> Cow<'_, str> {
    if text.len() <= VALUE_OCTETS_MAX && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return Cow::Borrowed(text);
    }
    let mut plain: String = text.chars().filter(|character| !character.is_control()).collect();
    let end = (0..=VALUE_OCTETS_MAX.min(plain.len())).rev().find(|at| plain.is_char_boundary(*at));
    plain.truncate(end.unwrap_or(0));
    Cow::Owned(plain)
}

/// A value: as it is when it is a token, or a mailbox of dot-atoms (RFC 8601 §2.2, RFC 2045 §5.1), else quoted.
fn value(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    let is_token = |octet: u8| {
        octet.is_ascii_alphanumeric()
            || matches!(octet, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'{'..=b'~')
    };
    let mailbox = text.strip_prefix('@').unwrap_or(&text);
    let (local_part, domain) = mailbox.split_once('@').unwrap_or(("x", mailbox));
    let bare = [local_part, domain].iter().all(|part| !part.is_empty() && part.bytes().all(is_token));
    if bare { text } else { Cow::Owned(quoted(&text)) }
}

fn quoted(text: &str) -> String {
    let text = plain(text);
    let mut quoted = String::with_capacity(text.len() + 8);
    quoted.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// A text as it may stand in a comment (RFC 5322 §3.2.2).
fn comment(text: &str) -> Cow<'_, str> {
    let text = plain(text);
    if !text.contains(['(', ')', '\\']) {
        return text;
    }
    let mut comment = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if matches!(character, '(' | ')' | '\\') {
            comment.push('\\');
        }
        comment.push(character);
    }
    Cow::Owned(comment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::dns::DnsFailure;
    use crate::net::mail_auth::arc::ArcChain;
    use crate::net::mail_auth::dkim::{DkimSignature, Verification};
    use crate::net::mail_auth::dmarc::{DmarcAnswer, DmarcCheck, DmarcVerdict, Published};
    use crate::net::mail_auth::spf::SpfOutcome;

    fn envelope(sender: &'static str) -> Envelope<'static> {
        Envelope {
            client: "192.0.2.1".parse().unwrap(),
            helo: "mx.example.net",
            sender,
            receiver: "mx.here.example",
        }
    }

    fn spf(result: SpfResult) -> Spf {
        Spf {
            domain: "example.org".into(),
            outcome: SpfOutcome { result, explanation: None },
            helo: SpfResult::None,
        }
    }

    #[test]
    fn every_method_has_its_line() {
        let signature = |verification, domain: &str| DkimSignature {
            domain: domain.into(),
            selector: if domain.is_empty() { String::new() } else { "k1".into() },
            start: if domain.is_empty() { String::new() } else { "abc+/=12".into() },
            verification,
        };
        let dkim = Dkim {
            signatures: vec![
                signature(Verification::Pass, "example.org"),
                signature(Verification::Neutral("malformed signature"), ""),
            ],
        };
        let published = Published {
            policy: "reject",
            subdomains: None,
            nonexistent: None,
            strict_dkim: false,
            strict_spf: false,
            testing: false,
            failure_options: "0",
            wants_reports: false,
        };
        let verdict = DmarcVerdict {
            passes: true,
            policy: "reject",
            domain: "example.org".into(),
            spf_passes: true,
            dkim_passes: true,
            published,
        };
        let check = DmarcCheck { author: Some("example.org".into()), answer: DmarcAnswer::Record(verdict) };
        let (dmarc, spf) = (Dmarc { check }, spf(SpfResult::Pass));
        let chain = ArcChain { verification: Verification::Pass, domain: Some("lists.example".into()) };
        let arc = Arc { chain };
        let client = "2001:db8::1".parse().unwrap();
        let results = Results {
            authserv_id: "mx.here.example",
            auth_user: Some("alice@here.example"),
            iprev: Some(Iprev { client, word: "pass", name: Some("mx.example.net") }),
            spf: Some((&spf, envelope("a@example.org"))),
            dkim: Some(&dkim),
            dmarc: Some(&dmarc),
            arc: Some(&arc),
        };
        assert_eq!(
            results.authentication_results(),
            "Authentication-Results: mx.here.example;\r\n\
             \tauth=pass smtp.auth=alice@here.example;\r\n\
             \tiprev=pass (mx.example.net) policy.iprev=\"2001:db8::1\";\r\n\
             \tspf=pass smtp.mailfrom=a@example.org;\r\n\
             \tdkim=pass header.d=example.org header.s=k1 header.b=\"abc+/=12\";\r\n\
             \tdkim=neutral (malformed signature);\r\n\
             \tdmarc=pass (p=reject) header.from=example.org;\r\n\
             \tarc=pass header.d=lists.example\r\n"
        );
        assert_eq!(
            results.received_spf().unwrap(),
            "Received-SPF: pass (mx.here.example: domain of example.org designates 192.0.2.1 as permitted sender)\r\n\
             \tclient-ip=192.0.2.1;\r\n\tenvelope-from=\"a@example.org\";\r\n\
             \thelo=mx.example.net; identity=mailfrom; receiver=mx.here.example\r\n"
        );
    }

    #[test]
    fn nothing_found_out_is_none() {
        let results = Results { authserv_id: "mx.here.example", ..Results::default() };
        assert_eq!(
            results.authentication_results(),
            "Authentication-Results: mx.here.example;\r\n\tnone\r\n"
        );
        assert_eq!(results.received_spf(), None);
    }

    #[test]
    fn the_null_reverse_path_is_told_by_the_ehlo_name() {
        let spf = spf(SpfResult::TempError(DnsFailure::Timeout));
        let results = Results { authserv_id: "x", spf: Some((&spf, envelope(""))), ..Results::default() };
        let field = results.authentication_results();
        assert!(field.contains("spf=temperror smtp.helo=mx.example.net\r\n"), "{field}");
        let received = results.received_spf().unwrap();
        assert!(received.contains("identity=helo") && !received.contains("envelope-from"), "{received}");
        assert!(received.contains("(mx.here.example: looking up example.org: time-out)"), "{received}");
    }

    #[test]
    fn what_a_client_says_stays_in_its_place() {
        for (said, shown) in [
            ("a@b", "a@b"),
            ("@example.org", "@example.org"),
            ("a b", "\"a b\""),
            ("x; dkim=pass", "\"x; dkim=pass\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a\r\nX-Evil: 1", "\"aX-Evil: 1\""),
            ("", "\"\""),
            ("a@b@c", "\"a@b@c\""),
            ("grüße@example.org", "\"grüße@example.org\""),
        ] {
            assert_eq!(value(said), shown, "{said:?}");
        }
        assert_eq!(comment("a) (b\\\r\n"), "a\\) \\(b\\\\");
        assert!(value(&"é".repeat(1_000)).len() <= VALUE_OCTETS_MAX + 2);
    }
}
