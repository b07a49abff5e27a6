//! Exit codes as sysexits.h has them, and what ends a command with one.

use std::fmt;

use smtp::client::RemoteReply;
use smtp::reply::Severity;

/// An exit code of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// EX_USAGE: the command was used wrongly.
    Usage = 64,
    /// EX_DATAERR: the message can't be sent as it is.
    Data = 65,
    /// EX_NOUSER: there is no such recipient.
    NoUser = 67,
    /// EX_NOHOST: there is no such domain.
    NoHost = 68,
    /// EX_UNAVAILABLE: refused, for another reason.
    Unavailable = 69,
    /// EX_IOERR: something can't be read or written.
    Io = 74,
    /// EX_TEMPFAIL: nothing was sent; it may go later.
    TemporaryFailure = 75,
    /// EX_PROTOCOL: the server does not answer as one does.
    Protocol = 76,
    /// EX_NOPERM: not allowed.
    NoPermission = 77,
    /// EX_CONFIG: the machine is not set up for it.
    Config = 78,
}

/// Why a command ends, and with which exit code.
#[derive(Debug)]
pub struct Stop {
    /// The exit code.
    pub exit: Exit,
    /// A sentence for standard error.
    pub why: String,
}

impl Stop {
    /// Ends with `exit` and this sentence.
    pub fn new(exit: Exit, why: impl Into<String>) -> Self {
        Self { exit, why: why.into() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.why)
    }
}

/// The exit code of a refusal, by its enhanced status code (RFC 3463 §3), else by its code.
#[must_use]
pub fn of_reply(reply: &RemoteReply) -> Exit {
    if reply.code.severity() == Severity::Transient {
        return Exit::TemporaryFailure;
    }
    match reply.enhanced.map(|enhanced| (enhanced.subject, enhanced.detail)) {
        Some((1, 2 | 8)) => Exit::NoHost,
        Some((1, _)) => Exit::NoUser,
        Some((3, 4) | (5 | 6, _)) => Exit::Data,
        Some((7, _)) => Exit::NoPermission,
        None if reply.code.value() == 550 => Exit::NoUser,
        None if matches!(reply.code.value(), 500..=504 | 552..=553) => Exit::Data,
        _ => Exit::Unavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use smtp::client::reply_parser::ReplyParser;

    #[test]
    fn refusals_have_the_exit_codes_that_callers_know() {
        for (wire, exit) in [
            ("550 5.1.1 no such mailbox\r\n", 67),
            ("551 5.1.6 moved\r\n", 67),
            ("550 5.1.2 no such domain\r\n", 68),
            ("552 5.2.2 full\r\n", 69),
            ("554 5.4.6 loop\r\n", 69),
            ("552 5.3.4 too large\r\n", 65),
            ("554 5.6.0 bare CR\r\n", 65),
            ("550 5.7.1 spam\r\n", 77),
            ("550 no\r\n", 67),
            ("554 no\r\n", 69),
            ("451 4.3.0 later\r\n", 75),
            ("452 5.1.1 odd\r\n", 75),
        ] {
            let reply = ReplyParser::new().parse(&mut wire.as_bytes()).unwrap().unwrap();
            assert_eq!(of_reply(&reply) as u8, exit, "{wire}");
        }
    }
}
