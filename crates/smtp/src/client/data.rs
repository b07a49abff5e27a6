//! Writes mail data for the wire: dot-stuffed after DATA, verbatim after BDAT (RFC 5321 §4.5.2, RFC 3030 §2).
//!
//! Invariants: no bare CR and no bare LF is ever written, so that no receiver can see an end of data where there is
//! none; `CRLF.CRLF` is written once, by [`DataWriter::finish`]. The content comes in portions of any size.

use alloc::vec::Vec;
use core::fmt;

use memchr::memchr2;

/// A CR without an LF behind it, or an LF without a CR before it (RFC 5321 §2.3.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareLineEnd;

impl fmt::Display for BareLineEnd {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a bare CR or LF in the mail data")
    }
}

/// How content stands on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// After DATA: a dot before each line that starts with one, and a lone dot at the end.
    Dots,
    /// After BDAT: lines as they are, but checked.
    Lines,
    /// After BDAT with BODY=BINARYMIME: octets as they are.
    Octets,
}

/// What stood last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    LineStart,
    InLine,
    /// A CR was taken, and is held back until its LF comes.
    AfterCr,
    /// Something was refused.
    Failed,
}

/// Turns content into octets for the wire. After an error it writes nothing more.
#[derive(Debug)]
pub struct DataWriter {
    framing: Framing,
    position: Position,
}

impl DataWriter {
    /// A writer at the start of the content.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        Self { framing, position: Position::LineStart }
    }

    /// Appends a portion of the content to `wire`.
    ///
    /// # Errors
    /// The content holds a bare CR or LF; some of what stands before it may have been appended, and the message must
    /// not be finished.
    pub fn write(&mut self, content: &[u8], wire: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        if self.framing == Framing::Octets {
            wire.extend_from_slice(content);
            return Ok(());
        }
        wire.reserve(content.len());
        self.write_lines(content, wire).inspect_err(|_| self.position = Position::Failed)
    }

    fn write_lines(&mut self, mut content: &[u8], wire: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        while let Some((&first, after_first)) = content.split_first() {
            match self.position {
                Position::Failed => return Err(BareLineEnd),
                Position::AfterCr if first == b'\n' => {
                    wire.extend_from_slice(b"\r\n");
                    self.position = Position::LineStart;
                    content = after_first;
                    continue;
                }
                Position::AfterCr => return Err(BareLineEnd),
                Position::LineStart if first == b'.' && self.framing == Framing::Dots => wire.push(b'.'),
                Position::LineStart | Position::InLine => {}
            }
            let end = memchr2(b'\r', b'\n', content).unwrap_or(content.len());
            let (text, rest) = content.split_at_checked(end).unwrap_or((content, &[]));
            wire.extend_from_slice(text);
            if !text.is_empty() {
                self.position = Position::InLine;
            }
            content = match rest.split_first() {
                None => rest,
                Some((b'\r', after)) => {
                    self.position = Position::AfterCr;
                    after
                }
                Some(_) => return Err(BareLineEnd),
            };
        }
        Ok(())
    }

    /// Appends what ends the content: a CRLF when the last line has none (RFC 5321 §4.1.1.4), and after DATA the lone
    /// dot. Octets framed as such get nothing.
    ///
    /// # Errors
    /// The content ended with a bare CR, or something was refused before; nothing was appended.
    pub fn finish(self, wire: &mut Vec<u8>) -> Result<(), BareLineEnd> {
        match self.position {
            Position::AfterCr | Position::Failed => return Err(BareLineEnd),
            Position::InLine if self.framing != Framing::Octets => wire.extend_from_slice(b"\r\n"),
            Position::InLine | Position::LineStart => {}
        }
        if self.framing == Framing::Dots {
            wire.extend_from_slice(b".\r\n");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    fn written(framing: Framing, content: &[u8], portion: usize) -> Result<Vec<u8>, BareLineEnd> {
        let mut writer = DataWriter::new(framing);
        let mut wire = Vec::new();
        for octets in content.chunks(portion) {
            writer.write(octets, &mut wire)?;
        }
        writer.finish(&mut wire)?;
        Ok(wire)
    }

    /// What a receiver makes of `wire`, read octet by octet as RFC 5321 §4.5.2 has it: the content, and what is left
    /// behind the first end of data.
    fn received(wire: &[u8]) -> Option<(Vec<u8>, &[u8])> {
        let mut content = Vec::new();
        let mut rest = wire;
        loop {
            let end = rest.windows(2).position(|pair| pair == b"\r\n")? + 2;
            let (line, after) = rest.split_at(end);
            rest = after;
            match line {
                b".\r\n" => return Some((content, rest)),
                [b'.', stuffed @ ..] => content.extend_from_slice(stuffed),
                _ => content.extend_from_slice(line),
            }
        }
    }

    #[test]
    fn dots_are_stuffed_and_the_last_line_is_ended() {
        let cases: [(&[u8], &[u8]); 7] = [
            (b"", b".\r\n"),
            (b"a\r\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".", b"..\r\n.\r\n"),
            (b".\r\n..a\r\nb.\r\n", b"..\r\n...a\r\nb.\r\n.\r\n"),
            (b"\r\n.\r\n", b"\r\n..\r\n.\r\n"),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n..\r\nQUIT\r\n.\r\n"),
        ];
        for (content, wire) in cases {
            for portion in 1..8 {
                assert_eq!(
                    written(Framing::Dots, content, portion).unwrap(),
                    wire,
                    "{}",
                    content.escape_ascii()
                );
            }
        }
    }

    #[test]
    fn bare_line_ends_are_never_written() {
        for content in [b"a\nb".as_slice(), b"a\rb", b"\n", b"\r", b"a\r\r\n", b"a\r\n\n", b"a\r\n.\n"] {
            for portion in 1..4 {
                assert_eq!(
                    written(Framing::Dots, content, portion),
                    Err(BareLineEnd),
                    "{}",
                    content.escape_ascii()
                );
                assert_eq!(
                    written(Framing::Lines, content, portion),
                    Err(BareLineEnd),
                    "{}",
                    content.escape_ascii()
                );
            }
        }
        let mut writer = DataWriter::new(Framing::Dots);
        let mut wire = vec![];
        assert!(writer.write(b"a\n", &mut wire).is_err());
        assert!(writer.write(b"b\r\n", &mut wire).is_err());
        assert!(writer.finish(&mut wire).is_err());
        assert!(!wire.contains(&b'\n'));
    }

    #[test]
    fn chunks_are_not_stuffed() {
        assert_eq!(written(Framing::Lines, b".\r\nx", 2).unwrap(), b".\r\nx\r\n");
        assert_eq!(written(Framing::Octets, b".\n\r\0", 2).unwrap(), b".\n\r\0");
    }

    /// What matters to framing.
    static PIECES: [&[u8]; 7] = [b"\r\n", b".", b"\r", b"\n", b"a", b".\r\n", b"\0"];

    proptest! {
        #[test]
        fn the_receiver_gets_what_was_written(
            lines in proptest::collection::vec("[.]{0,3}[ -~\u{e9}]{0,12}", 0..12),
            portion in 1_usize..9,
        ) {
            let content: Vec<u8> = lines.iter().flat_map(|line| [line.as_bytes(), b"\r\n"].concat()).collect();
            let wire = written(Framing::Dots, &content, portion).unwrap();
            prop_assert_eq!(received(&wire), Some((content, [].as_slice())));
        }

        #[test]
        fn whatever_is_accepted_is_received_whole(
            content in proptest::collection::vec(
                proptest::sample::select(&PIECES[..]),
                0..24,
            ).prop_map(|parts| parts.concat()),
            portion in 1_usize..9,
        ) {
            let wire = written(Framing::Dots, &content, portion);
            prop_assert_eq!(&wire, &written(Framing::Dots, &content, content.len().max(1)));
            if let Ok(wire) = wire {
                let mut expected = content;
                if !expected.is_empty() && !expected.ends_with(b"\r\n") {
                    expected.extend_from_slice(b"\r\n");
                }
                prop_assert_eq!(received(&wire), Some((expected, [].as_slice())));
            }
        }
    }
}
