//! Reads what a server offers from its reply to EHLO (RFC 5321 §4.1.1.1).
//!
//! Lenient: keywords in any case, unknown ones skipped, `AUTH=` as written before RFC 2554. A value that can't be read
//! counts as not given, never as the end of the session.

use alloc::string::String;

use super::remote_reply::RemoteReply;
use crate::extension::{Extensions, Limits};

/// Most AUTH mechanisms kept (ours).
const AUTH_MECHANISMS_MAX: usize = 32;

/// The extensions that the lines after the first name.
#[must_use]
pub fn parse_offer(reply: &RemoteReply) -> Extensions {
    let mut extensions = Extensions::default();
    for line in reply.lines().skip(1) {
        let mut words = line.split_ascii_whitespace();
        if let Some(keyword) = words.next() {
            read_line(keyword, words, &mut extensions);
        }
    }
    extensions
}

fn read_line<'a>(keyword: &'a str, mut words: impl Iterator<Item = &'a str>, extensions: &mut Extensions) {
    let is = |name: &str| keyword.eq_ignore_ascii_case(name);
    if is("PIPELINING") {
        extensions.pipelining = true;
    } else if is("SIZE") {
        let size_octets = words.next().and_then(|word| word.parse().ok());
        extensions.size_octets_max = Some(size_octets.unwrap_or(0));
    } else if is("8BITMIME") {
        extensions.eight_bit_mime = true;
    } else if is("BINARYMIME") {
        extensions.binary_mime = true;
    } else if is("CHUNKING") {
        extensions.chunking = true;
    } else if is("SMTPUTF8") {
        extensions.smtputf8 = true;
    } else if is("ENHANCEDSTATUSCODES") {
        extensions.enhanced_status_codes = true;
    } else if is("DSN") {
        extensions.dsn = true;
    } else if is("STARTTLS") {
        extensions.starttls = true;
    } else if is("REQUIRETLS") {
        extensions.require_tls = true;
    } else if is("VRFY") {
        extensions.vrfy = true;
    } else if is("EXPN") {
        extensions.expn = true;
    } else if is("HELP") {
        extensions.help = true;
    } else if is("LIMITS") {
        words.for_each(|word| read_limit(word, &mut extensions.limits));
    } else if is("AUTH") {
        words.for_each(|mechanism| add_mechanism(mechanism, extensions));
    } else if let Some(first) = keyword.get(..5).filter(|start| start.eq_ignore_ascii_case("AUTH=")) {
        let first = keyword.strip_prefix(first).into_iter();
        first.chain(words).for_each(|mechanism| add_mechanism(mechanism, extensions));
    }
}

/// A limit of 0 would forbid all mail, and counts as not given (RFC 9422 §4.1).
fn read_limit(word: &str, limits: &mut Limits) {
    let Some((name, value)) = word.trim_end_matches(';').split_once('=') else { return };
    let limit = value.parse().ok().filter(|&limit: &u32| limit > 0);
    if name.eq_ignore_ascii_case("MAILMAX") {
        limits.mail_max = limit;
    } else if name.eq_ignore_ascii_case("RCPTMAX") {
        limits.rcpt_max = limit;
    } else if name.eq_ignore_ascii_case("RCPTDOMAINMAX") {
        limits.rcpt_domain_max = limit;
    }
}

fn add_mechanism(mechanism: &str, extensions: &mut Extensions) {
    let mechanism: String = mechanism.to_ascii_uppercase();
    if !mechanism.is_empty()
        && extensions.auth.len() < AUTH_MECHANISMS_MAX
        && !extensions.auth.contains(&mechanism)
    {
        extensions.auth.push(mechanism);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::RemoteCode;
    use alloc::sync::Arc;

    fn offer(text: &str) -> Extensions {
        let code = RemoteCode::new(250).unwrap();
        parse_offer(&RemoteReply { code, enhanced: None, text: Arc::from(text) })
    }

    #[test]
    fn a_usual_offer_is_read() {
        let extensions = offer(
            "mx.example.org at your service\nPIPELINING\nSIZE 35882577\n8bitmime\nSTARTTLS\nXCLIENT NAME\n\
             AUTH PLAIN login\nAUTH=PLAIN NTLM\nCHUNKING\nBINARYMIME\nSMTPUTF8\nDSN\nENHANCEDSTATUSCODES\nrequiretls\n\
             LIMITS MAILMAX=10 RCPTMAX=50 RCPTDOMAINMAX=1 X=1",
        );
        assert_eq!(extensions.size_octets_max, Some(35_882_577));
        assert!(extensions.pipelining && extensions.eight_bit_mime && extensions.starttls && extensions.dsn);
        assert!(extensions.chunking && extensions.binary_mime && extensions.smtputf8);
        assert!(extensions.enhanced_status_codes && extensions.require_tls && !extensions.vrfy);
        assert_eq!(extensions.auth, ["PLAIN", "LOGIN", "NTLM"]);
        let limits = Limits { mail_max: Some(10), rcpt_max: Some(50), rcpt_domain_max: Some(1) };
        assert_eq!(extensions.limits, limits);
    }

    #[test]
    fn the_first_line_offers_nothing() {
        assert_eq!(offer("STARTTLS"), Extensions::default());
        assert_eq!(offer(""), Extensions::default());
    }

    #[test]
    fn values_that_cannot_be_read_count_as_not_given() {
        let extensions =
            offer("x\nSIZE lots\nLIMITS RCPTMAX=0 MAILMAX=many RCPTDOMAINMAX\n\nAUTH=\nAUTé=X\n=");
        assert_eq!(extensions.size_octets_max, Some(0));
        assert_eq!((extensions.limits, extensions.auth.len()), (Limits::default(), 0));
    }
}
