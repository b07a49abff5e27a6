//! Command lines: verbs, arguments, and both directions of MAIL and RCPT (RFC 5321 §4.1.1, §4.1.2).
//!
//! A line comes and goes here without meaning for the session: whether a command may stand at this moment, and which
//! reply a fault gets, is decided in `server`. What `write_mail` and `write_rcpt` print, `mail` and `rcpt` read back.

mod argument;
mod fault;
mod verb;
mod write;

pub use argument::{
    AuthArguments, BdatArguments, ClientName, MailArguments, RcptArguments, auth, bdat, hello, mail,
    no_arguments, rcpt,
};
pub use fault::{Fault, LineFault};
pub use verb::{Usage, Verb};
pub use write::{write_mail, write_rcpt};

/// A command line, parted at its first space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Command<'line> {
    /// The verb; `None` when it is unknown.
    pub verb: Option<Verb>,
    /// The word that the verb was read from, for the log.
    pub word: &'line str,
    /// What follows the verb and its spaces, without white space at the end (RFC 5321 §4.1.1); not always ASCII.
    pub arguments: &'line str,
}

/// Parts a command line, which comes without its CRLF, into verb and arguments. The verb ends at the first space or
/// at the end of the line.
///
/// # Errors
/// When a control octet stands in the line, other than white space at its end, or the line isn't UTF-8.
pub fn split(line: &[u8]) -> Result<Command<'_>, LineFault> {
    let text_octets =
        line.iter().rposition(|octet| !matches!(octet, b' ' | b'\t')).map_or(0, |last| last + 1);
    let line = line.get(..text_octets).unwrap_or(line);
    if let Some((position, &octet)) = line.iter().enumerate().find(|(_, octet)| octet.is_ascii_control()) {
        return Err(LineFault::Control { position, octet });
    }
    let text =
        core::str::from_utf8(line).map_err(|error| LineFault::Utf8 { position: error.valid_up_to() })?;
    let word_octets = memchr::memchr(b' ', line).unwrap_or(text.len());
    let (word, arguments) = text.split_at_checked(word_octets).unwrap_or((text, ""));
    Ok(Command { verb: Verb::from_word(word), word, arguments: arguments.trim_start_matches(' ') })
}

/// Whether these first octets of a connection are TLS's, which starts with a handshake record of version 3
/// (RFC 8446 §5.1), so that the client took a plaintext port for one with TLS. One octet is enough to tell, as no
/// command starts with a control octet.
#[must_use]
pub const fn looks_like_tls(first_octets: &[u8]) -> bool {
    matches!(first_octets, [0x16] | [0x16, 0x03, ..])
}

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;
