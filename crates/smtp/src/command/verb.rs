//! The verbs: names, syntax and source of every command that SMTP has, and the marks of protocols that aren't SMTP.

use core::fmt;

/// The first word of a command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// EHLO.
    Ehlo,
    /// HELO.
    Helo,
    /// LHLO: the greeting of LMTP, which isn't SMTP.
    Lhlo,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA.
    Data,
    /// BDAT.
    Bdat,
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// HELP.
    Help,
    /// VRFY.
    Vrfy,
    /// EXPN.
    Expn,
    /// STARTTLS.
    StartTls,
    /// AUTH.
    Auth,
    /// ETRN.
    Etrn,
    /// ATRN.
    Atrn,
    /// TURN.
    Turn,
    /// SEND.
    Send,
    /// SOML.
    Soml,
    /// SAML.
    Saml,
    /// A line of another protocol, such as an HTTP request or header field. Who sends one is no mail client, and may
    /// be a browser that was tricked into carrying SMTP.
    Foreign,
}

/// How a command is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// The syntax, as HELP shows it.
    pub syntax: &'static str,
    /// The section that defines it.
    pub source: &'static str,
}

/// Request methods of HTTP (RFC 9110 §9, RFC 5789), which its relatives RTSP and SIP share in part, and the start of
/// the preface of HTTP/2 (RFC 9113 §3.4).
const HTTP_METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "HEAD", "OPTIONS", "CONNECT", "DELETE", "PATCH", "TRACE", "PRI"];

impl Verb {
    /// Every verb but [`Verb::Foreign`], in the order of a session.
    pub const ALL: [Self; 21] = [
        Self::Ehlo,
        Self::Helo,
        Self::Lhlo,
        Self::StartTls,
        Self::Auth,
        Self::Mail,
        Self::Rcpt,
        Self::Data,
        Self::Bdat,
        Self::Rset,
        Self::Noop,
        Self::Help,
        Self::Vrfy,
        Self::Expn,
        Self::Quit,
        Self::Etrn,
        Self::Atrn,
        Self::Turn,
        Self::Send,
        Self::Soml,
        Self::Saml,
    ];

    /// The verb that `word` is, in any case; `None` when no protocol that we know of has it.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let known = Self::ALL.into_iter().find(|verb| verb.name().eq_ignore_ascii_case(word));
        known.or_else(|| is_foreign(word).then_some(Self::Foreign))
    }

    /// The verb in capitals; `-` for [`Verb::Foreign`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ehlo => "EHLO",
            Self::Helo => "HELO",
            Self::Lhlo => "LHLO",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
            Self::Bdat => "BDAT",
            Self::Rset => "RSET",
            Self::Noop => "NOOP",
            Self::Quit => "QUIT",
            Self::Help => "HELP",
            Self::Vrfy => "VRFY",
            Self::Expn => "EXPN",
            Self::StartTls => "STARTTLS",
            Self::Auth => "AUTH",
            Self::Etrn => "ETRN",
            Self::Atrn => "ATRN",
            Self::Turn => "TURN",
            Self::Send => "SEND",
            Self::Soml => "SOML",
            Self::Saml => "SAML",
            Self::Foreign => "-",
        }
    }

    /// How the command is written; `None` for [`Verb::Foreign`].
    #[must_use]
    pub const fn usage(self) -> Option<Usage> {
        let (syntax, source) = match self {
            Self::Ehlo => ("EHLO domain / EHLO [address]", "RFC 5321 §4.1.1.1"),
            Self::Helo => ("HELO domain", "RFC 5321 §4.1.1.1"),
            Self::Lhlo => ("LHLO domain", "RFC 2033 §4.1"),
            Self::Mail => ("MAIL FROM:<reverse-path> [parameters]", "RFC 5321 §4.1.1.2"),
            Self::Rcpt => ("RCPT TO:<forward-path> [parameters]", "RFC 5321 §4.1.1.3"),
            Self::Data => ("DATA", "RFC 5321 §4.1.1.4"),
            Self::Bdat => ("BDAT octets [LAST]", "RFC 3030 §2"),
            Self::Rset => ("RSET", "RFC 5321 §4.1.1.5"),
            Self::Noop => ("NOOP [text]", "RFC 5321 §4.1.1.9"),
            Self::Quit => ("QUIT", "RFC 5321 §4.1.1.10"),
            Self::Help => ("HELP [command]", "RFC 5321 §4.1.1.8"),
            Self::Vrfy => ("VRFY mailbox", "RFC 5321 §4.1.1.6"),
            Self::Expn => ("EXPN list", "RFC 5321 §4.1.1.7"),
            Self::StartTls => ("STARTTLS", "RFC 3207 §4"),
            Self::Auth => ("AUTH mechanism [initial-response]", "RFC 4954 §4"),
            Self::Etrn => ("ETRN domain", "RFC 1985 §5.1"),
            Self::Atrn => ("ATRN [domain,...]", "RFC 2645 §5.2.1"),
            Self::Turn => ("TURN", "RFC 5321 Appendix F.1"),
            Self::Send => ("SEND FROM:<reverse-path>", "RFC 5321 Appendix F.6"),
            Self::Soml => ("SOML FROM:<reverse-path>", "RFC 5321 Appendix F.6"),
            Self::Saml => ("SAML FROM:<reverse-path>", "RFC 5321 Appendix F.6"),
            Self::Foreign => return None,
        };
        Some(Usage { syntax, source })
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// Whether a line of another protocol starts with `word`: an HTTP method, a header field's name with its colon, or the
/// identification of an SSH client (RFC 4253 §4.2).
fn is_foreign(word: &str) -> bool {
    let header_field = word.strip_suffix(':').is_some_and(|name| {
        !name.is_empty() && name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    });
    let ssh = word.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SSH-"));
    header_field || ssh || HTTP_METHODS.iter().any(|method| method.eq_ignore_ascii_case(word))
}
