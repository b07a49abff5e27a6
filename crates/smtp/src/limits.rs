//! Every limit of the protocol, with its unit and its source; what a site may change is in `server::Settings`.

use core::time::Duration;

/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_OCTETS_MAX: usize = 64;

/// Longest domain, in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_OCTETS_MAX: usize = 255;

/// Longest label of a domain name, in octets (RFC 1035 §2.3.4).
pub const LABEL_OCTETS_MAX: usize = 63;

/// Longest path, in octets, punctuation and source route included (RFC 5321 §4.5.3.1.3).
pub const PATH_OCTETS_MAX: usize = 256;

/// Longest command line without extensions, in octets, CRLF included (RFC 5321 §4.5.3.1.4).
pub const COMMAND_LINE_OCTETS: usize = 512;

/// Longest command line accepted, in octets, CRLF included: the 512 of RFC 5321 §4.5.3.1.4, raised by what the
/// extensions add (SIZE 26, RFC 1870 §3; BODY 17, RFC 6152 §2; DSN 500 at RCPT, RFC 3461 §4; AUTH= 500, RFC 4954 §3;
/// SMTPUTF8 10 and 160 for the longer paths, RFC 6531 §3.1; REQUIRETLS 11, RFC 8689 §2), and rounded up.
pub const COMMAND_LINE_OCTETS_MAX: usize = 2_048;

/// Longest line of an AUTH exchange, in octets, CRLF included (RFC 4954 §4, 12 288).
pub const AUTH_LINE_OCTETS_MAX: usize = 12_288;

/// Longest line of a reply, in octets, code and CRLF included (RFC 5321 §4.5.3.1.5).
pub const REPLY_LINE_OCTETS_MAX: usize = 512;

/// Most lines accepted in a reply of a remote server; a longer one ends the session (ours; EHLO replies stay below 100).
pub const REPLY_LINES_MAX: usize = 256;

/// Longest line of mail data, in octets, CRLF excluded (RFC 5321 §4.5.3.1.6).
pub const TEXT_LINE_OCTETS_MAX: usize = 998;

/// Recipients that a server must accept in a transaction (RFC 5321 §4.5.3.1.8); the default limit is higher.
pub const RECIPIENTS_MIN: usize = 100;

/// RCPT commands past the limit of a transaction that are answered 452 without counting as errors, so that a client
/// that pipelines a long list can finish with what was accepted (RFC 5321 §4.5.3.1.10).
pub const RECIPIENTS_OVERSHOOT: usize = 1_000;

/// Least time to wait for the next command, as RFC 5321 §4.5.3.2.7 has it.
pub const COMMAND_TIMEOUT: Duration = Duration::from_secs(300);

/// Least time to wait for more mail data (RFC 5321 §4.5.3.2.5 has the client's side of it).
pub const DATA_BLOCK_TIMEOUT: Duration = Duration::from_secs(180);

/// Longest wait for the end of mail data that is refused already; a client that believes the data ended (with a bare
/// LF, say) hears its refusal after this time instead of at the data time-out (ours).
pub const REFUSED_DATA_TIMEOUT: Duration = Duration::from_secs(5);

/// Commands that advance no mail (NOOP, RSET, HELP, VRFY, EXPN, a repeated EHLO) between two messages before each one
/// counts as an error (ours).
pub const IDLE_COMMANDS_MAX: u32 = 100;
