//! The extensions a server offers and a client finds: the lines of an EHLO reply (RFC 5321 §4.1.1.1).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

/// What one end of a session offers at this moment. A field that is `None` or `false` is not offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// SIZE (RFC 1870): the largest message, in octets; 0 says that there is no fixed limit.
    pub size_octets_max: Option<u64>,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// BINARYMIME (RFC 3030); needs CHUNKING.
    pub binary_mime: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// REQUIRETLS (RFC 8689): only under TLS.
    pub require_tls: bool,
    /// AUTH (RFC 4954): the mechanisms, in order of preference; empty when not offered.
    pub auth: Vec<String>,
    /// LIMITS (RFC 9422).
    pub limits: Limits,
    /// VRFY (RFC 5321 §3.5).
    pub vrfy: bool,
    /// EXPN (RFC 5321 §3.5).
    pub expn: bool,
    /// HELP (RFC 5321 §4.1.1.8).
    pub help: bool,
}

/// The limits of RFC 9422 §4; `None` says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// MAILMAX: transactions in a session.
    pub mail_max: Option<u32>,
    /// RCPTMAX: recipients in a transaction.
    pub rcpt_max: Option<u32>,
    /// RCPTDOMAINMAX: recipient domains in a transaction.
    pub rcpt_domain_max: Option<u32>,
}

impl Extensions {
    /// Appends the lines of an EHLO reply after its first, each behind an LF (RFC 5321 §4.1.1.1).
    pub fn write_lines(&self, text: &mut String) {
        let flags = [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.chunking, "CHUNKING"),
            (self.binary_mime, "BINARYMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.starttls, "STARTTLS"),
            (self.require_tls, "REQUIRETLS"),
            (self.vrfy, "VRFY"),
            (self.expn, "EXPN"),
            (self.help, "HELP"),
        ];
        for (_, keyword) in flags.iter().filter(|(offered, _)| *offered) {
            text.push('\n');
            text.push_str(keyword);
        }
        // Writing to a string cannot fail.
        if let Some(octets) = self.size_octets_max {
            let _ = write!(text, "\nSIZE {octets}");
        }
        if !self.auth.is_empty() {
            text.push_str("\nAUTH");
            for mechanism in &self.auth {
                let _ = write!(text, " {mechanism}");
            }
        }
        let limits = [
            ("MAILMAX", self.limits.mail_max),
            ("RCPTMAX", self.limits.rcpt_max),
            ("RCPTDOMAINMAX", self.limits.rcpt_domain_max),
        ];
        if limits.iter().any(|(_, limit)| limit.is_some()) {
            text.push_str("\nLIMITS");
            for (name, limit) in limits {
                if let Some(limit) = limit {
                    let _ = write!(text, " {name}={limit}");
                }
            }
        }
    }
}
