//! A remote server's reply, cleaned so that a log line or a DSN may hold it.
//!
//! Invariants: the code is 200 to 599; the text holds no control character but the LF between its lines, and is no
//! longer than [`REPLY_TEXT_OCTETS_MAX`].

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use crate::reply::Severity;

/// Most text kept of a line of a reply, in octets (ours; RFC 5321 §4.5.3.1.5 lets a whole line have 512).
pub const REPLY_LINE_TEXT_OCTETS_MAX: usize = 512;

/// Most text kept of a reply, in octets, line ends included; later lines are dropped (ours).
pub const REPLY_TEXT_OCTETS_MAX: usize = 16_384;

/// A remote server's reply code: 200 to 599.
///
/// Wider than [`crate::reply::ReplyCode`], because servers send codes that RFC 5321 §4.2.1 can't form, such as 571,
/// and a client has to make do with the first digit (RFC 5321 §4.3.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteCode(u16);

impl RemoteCode {
    /// The code `value`, when its first digit is 2 to 5 and it has three digits.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value >= 200 && value <= 599 { Some(Self(value)) } else { None }
    }

    /// The code as a number.
    #[must_use]
    pub const fn value(self) -> u16 {
        self.0
    }

    /// What the first digit says.
    #[must_use]
    pub const fn severity(self) -> Severity {
        match self.0 / 100 {
            2 => Severity::Completed,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }
}

impl fmt::Display for RemoteCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Debug for RemoteCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// An enhanced status code as a remote server wrote it; its class may contradict the reply code (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteEnhanced {
    /// The class: 2, 4 or 5.
    pub class: u8,
    /// The subject, 0 to 999.
    pub subject: u16,
    /// The detail, 0 to 999.
    pub detail: u16,
}

impl RemoteEnhanced {
    /// Reads `class.subject.detail` at the start of `text`; gives it with the rest, the space between them dropped.
    #[must_use]
    pub fn parse_prefix(text: &str) -> Option<(Self, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let mut numbers = word.split('.');
        let class = match numbers.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = number(numbers.next()?)?;
        let detail = number(numbers.next()?)?;
        numbers.next().is_none().then_some((Self { class, subject, detail }, rest))
    }
}

impl fmt::Display for RemoteEnhanced {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// One to three digits.
fn number(digits: &str) -> Option<u16> {
    let digits_only =
        !digits.is_empty() && digits.len() <= 3 && digits.bytes().all(|octet| octet.is_ascii_digit());
    if digits_only { digits.parse().ok() } else { None }
}

/// What a remote server answered. A clone shares the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteReply {
    /// The reply code; what the client does follows from it, not from the enhanced code's class.
    pub code: RemoteCode,
    /// The enhanced status code of the first line.
    pub enhanced: Option<RemoteEnhanced>,
    /// The text without codes, lines separated by LF.
    pub text: Arc<str>,
}

impl RemoteReply {
    /// The lines of the text.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.split('\n')
    }

    /// Whether the enhanced code has this subject and detail, whatever its class.
    #[must_use]
    pub fn is_about(&self, subject: u16, detail: u16) -> bool {
        self.enhanced.is_some_and(|enhanced| enhanced.subject == subject && enhanced.detail == detail)
    }

    /// The first `<...@...>` of the text, brackets dropped: where 251 forwards to, or what 551 tells to try instead
    /// (RFC 5321 §3.4). It is the server's word and not checked.
    #[must_use]
    pub fn suggested_address(&self) -> Option<&str> {
        let mut rest: &str = &self.text;
        while let Some((_, opened)) = rest.split_once('<') {
            let (address, after) = opened.split_once('>')?;
            if address.contains('@') && !address.contains(['\n', '<']) {
                return Some(address);
            }
            rest = after;
        }
        None
    }
}

impl fmt::Display for RemoteReply {
    /// One line, as a log or a DSN shows it: `550 5.1.1 no such user`; line breaks become ` / `.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(formatter, " {enhanced}")?;
        }
        for (index, line) in self.lines().enumerate() {
            match index {
                0 if line.is_empty() => {}
                0 => write!(formatter, " {line}")?,
                _ => write!(formatter, " / {line}")?,
            }
        }
        Ok(())
    }
}

/// Appends `octets` as text: control characters become spaces, what is not UTF-8 becomes `?`, and what is beyond
/// `room` octets is dropped.
pub(super) fn append_clean(text: &mut String, octets: &[u8], room: usize) {
    let start = text.len();
    for chunk in octets.utf8_chunks() {
        let broken = if chunk.invalid().is_empty() { None } else { Some('?') };
        for character in chunk.valid().chars().chain(broken) {
            if text.len() - start + character.len_utf8() > room {
                return;
            }
            text.push(if character.is_control() { ' ' } else { character });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn reply(text: &str) -> RemoteReply {
        RemoteReply { code: RemoteCode(551), enhanced: None, text: Arc::from(text) }
    }

    #[test]
    fn enhanced_codes_are_read_whole_or_not_at_all() {
        let (enhanced, rest) = RemoteEnhanced::parse_prefix("5.1.1 no such user").unwrap();
        assert_eq!((format!("{enhanced}").as_str(), rest), ("5.1.1", "no such user"));
        assert_eq!(RemoteEnhanced::parse_prefix("4.7.650").unwrap().1, "");
        for text in
            ["3.1.1 x", "5.1 x", "5.1.1.1 x", "5.1000.1 x", "5..1 x", "5.+1.1 x", "5.1.1x", "", "192.0.2.1 x"]
        {
            assert!(RemoteEnhanced::parse_prefix(text).is_none(), "{text}");
        }
    }

    #[test]
    fn the_address_that_551_suggests_is_found() {
        assert_eq!(reply("<a> try\n<b@new.example> or <c@d>").suggested_address(), Some("b@new.example"));
        for text in ["no address", "<unclosed@x", "<a\n@b>", ">a@b<"] {
            assert_eq!(reply(text).suggested_address(), None, "{text}");
        }
    }

    #[test]
    fn text_is_clean_and_short() {
        let mut text = String::from("before");
        append_clean(&mut text, b"a\0b\x1b[2J\xff\xc3\xa9\x7f\xc2\x85!", 12);
        assert_eq!(text, "beforea b [2J?é ");
    }

    #[test]
    fn a_reply_prints_on_one_line() {
        assert_eq!(format!("{}", reply("moved\nsorry")), "551 moved / sorry");
        assert_eq!(format!("{}", reply("")), "551");
    }
}
