//! Reads the replies of a remote server, octets in any portion (RFC 5321 §4.2).
//!
//! Strict on form: a line is three digits, then a space, a hyphen or nothing, ended by CRLF; every line of a reply has
//! the same code. Only CRLF ends a line, because text that a third party chose may stand in a reply, and a bare LF in
//! it must not become a reply of its own; so a bare LF breaks the reply, and a bare CR is a control character like any
//! other. Lenient on content: any text, any code from 200 to 599.
//! Memory is bounded by [`REPLY_LINE_OCTETS_ACCEPTED`] and [`REPLY_TEXT_OCTETS_MAX`]. After an error the parser gives
//! the same error for ever: what follows can't be trusted.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use memchr::memchr;

use super::remote_reply::{
    REPLY_LINE_TEXT_OCTETS_MAX, REPLY_TEXT_OCTETS_MAX, RemoteCode, RemoteEnhanced, RemoteReply, append_clean,
};
use crate::limits::REPLY_LINES_MAX;

/// Longest reply line accepted, in octets, CRLF included; RFC 5321 §4.5.3.1.5 allows 512, servers send more (ours).
pub const REPLY_LINE_OCTETS_ACCEPTED: usize = 4_096;

/// Why octets are not a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenReply {
    /// A line doesn't start with a code from 200 to 599 and a separator.
    NotAReply,
    /// The lines of one reply have different codes (RFC 5321 §4.2.1).
    CodeChanged,
    /// A line is longer than [`REPLY_LINE_OCTETS_ACCEPTED`].
    LineTooLong,
    /// The reply has more than [`REPLY_LINES_MAX`] lines.
    TooManyLines,
    /// An LF without a CR.
    BareLineFeed,
}

impl fmt::Display for BrokenReply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NotAReply => "a line without a reply code",
            Self::CodeChanged => "a reply whose code changes between its lines",
            Self::LineTooLong => "an overlong reply line",
            Self::TooManyLines => "a reply of too many lines",
            Self::BareLineFeed => "a reply line that ends without CRLF",
        })
    }
}

/// Reads one reply after the other.
#[derive(Debug, Default)]
pub struct ReplyParser {
    /// The line so far, when its end hasn't come yet.
    line: Vec<u8>,
    /// The reply so far, when its last line hasn't come yet.
    reply: Option<Partial>,
    broken: Option<BrokenReply>,
}

/// The lines of a reply so far.
#[derive(Debug)]
struct Partial {
    code: RemoteCode,
    enhanced: Option<RemoteEnhanced>,
    text: String,
    lines: usize,
}

impl ReplyParser {
    /// A parser at the start of a reply.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether a reply has begun that isn't complete.
    #[must_use]
    pub fn is_amid_reply(&self) -> bool {
        !self.line.is_empty() || self.reply.is_some()
    }

    /// Takes octets off the front of `input`, up to the end of a reply, which it gives. `Ok(None)` means that all
    /// were taken and more are needed.
    ///
    /// # Errors
    /// The octets are not a reply; every later call fails the same way.
    pub fn parse(&mut self, input: &mut &[u8]) -> Result<Option<RemoteReply>, BrokenReply> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        self.parse_lines(input).inspect_err(|&broken| self.broken = Some(broken))
    }

    fn parse_lines(&mut self, input: &mut &[u8]) -> Result<Option<RemoteReply>, BrokenReply> {
        while let Some(line_feed) = memchr(b'\n', input) {
            let (octets, rest) = input.split_at_checked(line_feed + 1).unwrap_or((*input, &[]));
            *input = rest;
            self.extend_line(octets)?;
            let mut line = core::mem::take(&mut self.line);
            let content = line.strip_suffix(b"\r\n").ok_or(BrokenReply::BareLineFeed)?;
            let last = self.end_line(content)?;
            line.clear();
            self.line = line;
            if last {
                return Ok(self.reply.take().map(Partial::finish));
            }
        }
        self.extend_line(input)?;
        *input = &[];
        Ok(None)
    }

    fn extend_line(&mut self, octets: &[u8]) -> Result<(), BrokenReply> {
        if self.line.len() + octets.len() > REPLY_LINE_OCTETS_ACCEPTED {
            return Err(BrokenReply::LineTooLong);
        }
        self.line.extend_from_slice(octets);
        Ok(())
    }

    /// Adds a whole line without its CRLF to the reply; says whether it is the last one.
    fn end_line(&mut self, line: &[u8]) -> Result<bool, BrokenReply> {
        let (digits, rest) = line.split_first_chunk::<3>().ok_or(BrokenReply::NotAReply)?;
        let code = parse_code(*digits).ok_or(BrokenReply::NotAReply)?;
        let (last, text) = match rest.split_first() {
            None => (true, rest),
            Some((b' ', text)) => (true, text),
            Some((b'-', text)) => (false, text),
            Some(_) => return Err(BrokenReply::NotAReply),
        };
        let reply = self.reply.get_or_insert_with(|| Partial::new(code));
        if reply.code != code {
            return Err(BrokenReply::CodeChanged);
        }
        if reply.lines >= REPLY_LINES_MAX {
            return Err(BrokenReply::TooManyLines);
        }
        reply.add(text);
        Ok(last)
    }
}

impl Partial {
    const fn new(code: RemoteCode) -> Self {
        Self { code, enhanced: None, text: String::new(), lines: 0 }
    }

    fn add(&mut self, octets: &[u8]) {
        let mut line = String::new();
        append_clean(&mut line, octets, REPLY_LINE_TEXT_OCTETS_MAX);
        let enhanced = RemoteEnhanced::parse_prefix(&line);
        if self.lines == 0 {
            self.enhanced = enhanced.map(|(enhanced, _)| enhanced);
        }
        // Each line of a reply repeats the enhanced code; another one is text (RFC 2034 §4).
        let text = match enhanced {
            Some((enhanced, rest)) if self.enhanced == Some(enhanced) => rest,
            _ => &line,
        };
        if self.text.len() + 1 + text.len() <= REPLY_TEXT_OCTETS_MAX {
            if self.lines > 0 {
                self.text.push('\n');
            }
            self.text.push_str(text);
        }
        self.lines += 1;
    }

    fn finish(self) -> RemoteReply {
        RemoteReply { code: self.code, enhanced: self.enhanced, text: Arc::from(self.text) }
    }
}

fn parse_code(digits: [u8; 3]) -> Option<RemoteCode> {
    let value = digits.iter().try_fold(0_u16, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + u16::from(digit - b'0'))
    })?;
    RemoteCode::new(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// Every reply in `wire`, cut into portions of `portion` octets, up to the first error.
    fn parse_all(wire: &[u8], portion: usize) -> (Vec<RemoteReply>, Option<BrokenReply>) {
        let mut parser = ReplyParser::new();
        let mut replies = Vec::new();
        for mut octets in wire.chunks(portion) {
            loop {
                match parser.parse(&mut octets) {
                    Ok(Some(reply)) => replies.push(reply),
                    Ok(None) => break,
                    Err(broken) => return (replies, Some(broken)),
                }
            }
        }
        (replies, None)
    }

    fn one(wire: &[u8]) -> RemoteReply {
        let (mut replies, broken) = parse_all(wire, wire.len());
        assert_eq!((replies.len(), broken), (1, None), "{}", wire.escape_ascii());
        replies.remove(0)
    }

    #[test]
    fn codes_and_text_are_told_apart() {
        let reply = one(b"250-2.1.5 first\r\n250-2.1.5 second\r\n250 2.9.9 third\r\n");
        assert_eq!(reply.code.value(), 250);
        assert_eq!(reply.enhanced, Some(RemoteEnhanced { class: 2, subject: 1, detail: 5 }));
        assert_eq!(&*reply.text, "first\nsecond\n2.9.9 third");
    }

    #[test]
    fn a_code_may_stand_alone() {
        assert_eq!(&*one(b"250\r\n").text, "");
        assert_eq!(&*one(b"250 \r\n").text, "");
        assert_eq!(&*one(b"250-\r\n250\r\n").text, "\n");
        assert_eq!(one(b"571 no\r\n").code.value(), 571);
    }

    #[test]
    fn what_is_not_a_reply_is_told_by_its_kind() {
        let long = [b"250 ".as_slice(), &[b'x'; REPLY_LINE_OCTETS_ACCEPTED], b"\r\n"].concat();
        let endless = b"250-x\r\n".repeat(REPLY_LINES_MAX + 1);
        let cases: [(&[u8], BrokenReply); 13] = [
            (b"\r\n", BrokenReply::NotAReply),
            (b"25\r\n", BrokenReply::NotAReply),
            (b"hello\r\n", BrokenReply::NotAReply),
            (b"2500 ok\r\n", BrokenReply::NotAReply),
            (b"250_ok\r\n", BrokenReply::NotAReply),
            (b"150 ok\r\n", BrokenReply::NotAReply),
            (b"650 ok\r\n", BrokenReply::NotAReply),
            (b" 250 ok\r\n", BrokenReply::NotAReply),
            (b"250-ok\r\n550 no\r\n", BrokenReply::CodeChanged),
            (b"250 ok\n", BrokenReply::BareLineFeed),
            (b"550 <x\n250 ok>\r\n", BrokenReply::BareLineFeed),
            (&long, BrokenReply::LineTooLong),
            (&endless, BrokenReply::TooManyLines),
        ];
        for (wire, expected) in cases {
            for portion in [1, 2, 3, 7, wire.len()] {
                assert_eq!(parse_all(wire, portion), (vec![], Some(expected)), "{}", wire.escape_ascii());
            }
        }
    }

    #[test]
    fn an_error_stays() {
        let mut parser = ReplyParser::new();
        assert!(parser.parse(&mut b"x\r\n".as_slice()).is_err());
        assert!(parser.parse(&mut b"250 ok\r\n".as_slice()).is_err());
    }

    #[test]
    fn the_longest_reply_keeps_only_its_share_of_memory() {
        let line = [b"250-".as_slice(), &[b'x'; REPLY_LINE_OCTETS_ACCEPTED - 6], b"\r\n"].concat();
        let mut wire = line.repeat(REPLY_LINES_MAX - 1);
        wire.extend_from_slice(b"250 end\r\n");
        let reply = one(&wire);
        assert!(reply.text.len() <= REPLY_TEXT_OCTETS_MAX);
        assert!(reply.lines().take(31).all(|line| line.len() == REPLY_LINE_TEXT_OCTETS_MAX));
    }

    #[test]
    fn octets_after_a_reply_are_left() {
        let mut octets = b"220 go\r\n250 injected\r\n".as_slice();
        assert!(ReplyParser::new().parse(&mut octets).unwrap().is_some());
        assert_eq!(octets, b"250 injected\r\n");
    }

    proptest! {
        #[test]
        fn any_cut_gives_the_same_replies(
            wire in proptest::collection::vec(
                prop_oneof![
                    4 => proptest::sample::select(b"2505-. \r\n".as_slice()).prop_map(|octet| vec![octet]),
                    2 => Just(b"250 2.0.0 ok\r\n".to_vec()),
                    2 => Just(b"250-more\r\n".to_vec()),
                    1 => any::<u8>().prop_map(|octet| vec![octet]),
                ],
                0..60,
            ).prop_map(|parts| parts.concat()),
            portion in 1_usize..20,
        ) {
            let whole = parse_all(&wire, wire.len().max(1));
            prop_assert_eq!(&whole, &parse_all(&wire, portion));
            for reply in whole.0 {
                prop_assert!(!reply.text.chars().any(|character| character.is_control() && character != '\n'));
            }
        }
    }
}
