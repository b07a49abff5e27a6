//! A reply: one value that the wire, the log, the metric and the journal print.
//!
//! Invariants: the enhanced code's class is printed from the reply code, so `550 4.7.1` can't be built; no text holds
//! CR, LF or another control octet; no line is over [`REPLY_LINE_OCTETS_MAX`]; a [`Refusal`] is 4yz or 5yz.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::REPLY_LINE_OCTETS_MAX;

/// A three-digit reply code, 200 to 599 (RFC 5321 §4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplyCode(u16);

/// The first digit of a reply code (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// 2yz: the command was completed.
    Completed,
    /// 3yz: more information is awaited.
    Intermediate,
    /// 4yz: not now; the same may succeed later.
    Transient,
    /// 5yz: not like this; the same will not succeed.
    Permanent,
}

impl ReplyCode {
    /// The code `value`, when it is one that RFC 5321 §4.2.1 can form: 2yz to 5yz with y from 0 to 5.
    #[must_use]
    pub const fn new(value: u16) -> Option<Self> {
        if value >= 200 && value <= 559 && (value / 10) % 10 <= 5 { Some(Self(value)) } else { None }
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

    /// The class digit of an enhanced status code that goes with this code: 2, 4 or 5; 3yz has none (RFC 2034 §4).
    #[must_use]
    pub const fn class(self) -> Option<u8> {
        match self.severity() {
            Severity::Completed => Some(2),
            Severity::Intermediate => None,
            Severity::Transient => Some(4),
            Severity::Permanent => Some(5),
        }
    }
}

impl fmt::Display for ReplyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

impl fmt::Debug for ReplyCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)
    }
}

/// Subject and detail of an enhanced status code; its class is the reply code's (RFC 3463 §2, RFC 2034 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Enhanced {
    /// The subject, 0 to 999.
    pub subject: u16,
    /// The detail, 0 to 999.
    pub detail: u16,
}

impl Enhanced {
    /// `X.subject.detail`.
    #[must_use]
    pub const fn new(subject: u16, detail: u16) -> Self {
        Self { subject, detail }
    }
}

/// What a server answers: code, enhanced code, text of one or more lines, and the catalogue entry it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: ReplyCode,
    enhanced: Option<Enhanced>,
    /// Lines separated by LF; no other control octet.
    text: Cow<'static, str>,
    name: Cow<'static, str>,
}

impl Reply {
    /// A reply with `text`, whose lines are separated by LF. Other control characters become spaces, and a line that
    /// would not fit into [`REPLY_LINE_OCTETS_MAX`] is cut. `name` is the catalogue entry or rule that answers.
    #[must_use]
    pub fn new(
        code: ReplyCode,
        enhanced: Option<Enhanced>,
        text: impl Into<Cow<'static, str>>,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let enhanced = enhanced.filter(|_| code.class().is_some());
        Self { code, enhanced, text: clean(text.into(), room(enhanced)), name: name.into() }
    }

    /// The reply with `mark` in brackets at the end of its last line: ` [k7q2-m3xf]`. What would not fit beside it is cut
    /// off the line before.
    #[must_use]
    pub fn marked(mut self, mark: &str) -> Self {
        let room = room(self.enhanced).saturating_sub(mark.len() + 3);
        let mut text = self.text.into_owned();
        let line = text.rfind('\n').map_or(0, |end| end + 1);
        let end = text.floor_char_boundary((line + room).min(text.len()));
        text.truncate(end);
        text.push_str(if text.len() > line { " [" } else { "[" });
        text.push_str(mark);
        text.push(']');
        self.text = clean(Cow::Owned(text), self::room(self.enhanced));
        self
    }

    /// The reply code.
    #[must_use]
    pub const fn code(&self) -> ReplyCode {
        self.code
    }

    /// Subject and detail of the enhanced status code.
    #[must_use]
    pub const fn enhanced(&self) -> Option<Enhanced> {
        self.enhanced
    }

    /// The name of the catalogue entry or of the policy rule that answers.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text, lines separated by LF, without codes.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The reply with `?` for what is not ASCII: UTF-8 may only stand where the client asked for SMTPUTF8
    /// (RFC 5321 §4.2, RFC 6531 §3.7.4.2).
    #[must_use]
    pub fn into_ascii(mut self) -> Self {
        if !self.text.is_ascii() {
            let replaced = |character: char| if character.is_ascii() { character } else { '?' };
            self.text = Cow::Owned(self.text.chars().map(replaced).collect());
        }
        self
    }

    /// Whether the connection is closed after this reply: 421 (RFC 5321 §3.8) and 521 (RFC 7504 §3) say so.
    #[must_use]
    pub const fn closes(&self) -> bool {
        matches!(self.code.0, 421 | 521)
    }

    /// Appends the reply as it goes over the wire, every line ended by CRLF (RFC 5321 §4.2.1).
    pub fn write(&self, wire: &mut Vec<u8>) {
        let mut rest = self.text.as_bytes();
        loop {
            let end = memchr::memchr(b'\n', rest);
            push_number(wire, self.code.0);
            wire.push(if end.is_some() { b'-' } else { b' ' });
            if let (Some(Enhanced { subject, detail }), Some(class)) = (self.enhanced, self.code.class()) {
                wire.extend_from_slice(&[b'0' + class, b'.']);
                push_number(wire, subject);
                wire.push(b'.');
                push_number(wire, detail);
                wire.push(b' ');
            }
            let (line, after) = rest.split_at(end.unwrap_or(rest.len()));
            wire.extend_from_slice(line);
            wire.extend_from_slice(b"\r\n");
            match after.split_first() {
                Some((_, after)) => rest = after,
                None => return,
            }
        }
    }
}

/// Appends a number in digits.
fn push_number(wire: &mut Vec<u8>, number: u16) {
    if number >= 10 {
        push_number(wire, number / 10);
    }
    let digit = u8::try_from(number % 10).unwrap_or(0);
    wire.push(b'0' + digit);
}

impl fmt::Display for Reply {
    /// One line, as a log or a DSN shows it: `550 5.1.1 no such mailbox`; line breaks become ` / `.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.code)?;
        if let (Some(Enhanced { subject, detail }), Some(class)) = (self.enhanced, self.code.class()) {
            write!(formatter, " {class}.{subject}.{detail}")?;
        }
        for (index, line) in self.text.split('\n').enumerate() {
            write!(formatter, "{}{line}", if index == 0 { " " } else { " / " })?;
        }
        Ok(())
    }
}

/// A reply that refuses: 4yz or 5yz, nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal(Reply);

impl Refusal {
    /// The reply as a refusal, or the reply back when it is not 4yz or 5yz.
    ///
    /// # Errors
    /// The reply itself, unchanged.
    pub fn new(reply: Reply) -> Result<Self, Reply> {
        match reply.code.severity() {
            Severity::Transient | Severity::Permanent => Ok(Self(reply)),
            Severity::Completed | Severity::Intermediate => Err(reply),
        }
    }

    /// The reply as a refusal; one that does not refuse is a fault of ours and becomes 451 4.3.0 (RFC 5321 §4.2.3).
    #[must_use]
    pub fn or_local_fault(reply: Reply) -> Self {
        Self::new(reply).unwrap_or_else(|_| Self(crate::catalogue::LOCAL_FAULT.reply()))
    }

    /// The reply.
    #[must_use]
    pub fn reply(&self) -> &Reply {
        &self.0
    }

    /// The reply, taken out.
    #[must_use]
    pub fn into_reply(self) -> Reply {
        self.0
    }
}

/// A vector that `write!` can write to.
pub(crate) struct Octets<'a>(pub(crate) &'a mut Vec<u8>);

impl fmt::Write for Octets<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Octets of text that a line has room for beside its codes and CRLF.
const fn room(enhanced: Option<Enhanced>) -> usize {
    let codes = match enhanced {
        Some(Enhanced { subject, detail }) => 4 + 5 + digits(subject) + digits(detail),
        None => 4,
    };
    REPLY_LINE_OCTETS_MAX - 2 - codes
}

const fn digits(number: u16) -> usize {
    match number {
        0..=9 => 1,
        10..=99 => 2,
        100..=999 => 3,
        _ => 5,
    }
}

/// `text` without control characters, each line cut to `room` octets at a character's edge.
fn clean(text: Cow<'static, str>, room: usize) -> Cow<'static, str> {
    // Nearly every text is one line of printable ASCII.
    if text.len() <= room && text.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        return text;
    }
    let fits = text.split('\n').all(|line| line.len() <= room);
    if fits && !text.chars().any(|character| character.is_control() && character != '\n') {
        return text;
    }
    let mut cleaned = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            cleaned.push('\n');
        }
        let start = cleaned.len();
        for character in line.chars() {
            if cleaned.len() - start + character.len_utf8() > room {
                break;
            }
            cleaned.push(if character.is_control() { ' ' } else { character });
        }
    }
    Cow::Owned(cleaned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn wire(reply: &Reply) -> String {
        let mut octets = Vec::new();
        reply.write(&mut octets);
        String::from_utf8(octets).unwrap()
    }

    fn code(value: u16) -> ReplyCode {
        ReplyCode::new(value).unwrap()
    }

    #[test]
    fn the_enhanced_class_is_the_codes() {
        let policy = Enhanced::new(7, 1);
        assert_eq!(wire(&Reply::new(code(550), Some(policy), "no", "x")), "550 5.7.1 no\r\n");
        assert_eq!(wire(&Reply::new(code(450), Some(policy), "no", "x")), "450 4.7.1 no\r\n");
        assert_eq!(wire(&Reply::new(code(250), Some(policy), "yes", "x")), "250 2.7.1 yes\r\n");
        assert_eq!(wire(&Reply::new(code(354), Some(policy), "go", "x")), "354 go\r\n");
    }

    #[test]
    fn every_line_of_a_long_reply_carries_code_and_enhanced_code() {
        let reply = Reply::new(code(214), Some(Enhanced::new(0, 0)), "one\ntwo", "x");
        assert_eq!(wire(&reply), "214-2.0.0 one\r\n214 2.0.0 two\r\n");
        assert_eq!(format!("{reply}"), "214 2.0.0 one / two");
    }

    #[test]
    fn text_can_neither_inject_a_line_nor_outgrow_one() {
        let reply =
            Reply::new(code(550), Some(Enhanced::new(1, 1)), format!("a\rb\0{}", "é".repeat(400)), "x");
        let wire = wire(&reply);
        assert!(wire.starts_with("550 5.1.1 a b é"));
        assert_eq!(wire.matches('\r').count(), 1);
        assert!(wire.len() <= REPLY_LINE_OCTETS_MAX);
    }

    #[test]
    fn a_mark_ends_the_last_line_whatever_its_length() {
        let marked = |text: &str| {
            wire(
                &Reply::new(code(550), Some(Enhanced::new(1, 1)), String::from(text), "x")
                    .marked("k7q2-m3xf"),
            )
        };
        assert_eq!(marked("no"), "550 5.1.1 no [k7q2-m3xf]\r\n");
        assert_eq!(marked("one\ntwo"), "550-5.1.1 one\r\n550 5.1.1 two [k7q2-m3xf]\r\n");
        assert_eq!(marked(""), "550 5.1.1 [k7q2-m3xf]\r\n");
        let long = marked(&"é".repeat(400));
        assert!(long.ends_with("é [k7q2-m3xf]\r\n") && long.len() <= REPLY_LINE_OCTETS_MAX, "{long}");
    }

    #[test]
    fn only_codes_that_the_rfc_can_form_exist() {
        assert!(ReplyCode::new(199).is_none() && ReplyCode::new(600).is_none());
        assert!(ReplyCode::new(571).is_none() && ReplyCode::new(599).is_none());
        assert!(ReplyCode::new(250).is_some() && ReplyCode::new(556).is_some());
    }

    #[test]
    fn a_refusal_is_never_positive() {
        assert!(Refusal::new(Reply::new(code(250), None, "ok", "x")).is_err());
        assert!(Refusal::new(Reply::new(code(354), None, "go", "x")).is_err());
        assert!(Refusal::new(Reply::new(code(450), None, "later", "x")).is_ok());
    }
}
