//! The mail data decoder: finds the end, drops the stuffed dots, and notices what may not stand in mail data.
//!
//! Only CRLF ends a line and only CRLF.CRLF ends the data (RFC 5321 §2.3.8, §4.1.1.4). A bare CR, a bare LF or a NUL
//! condemns the data: nothing more is handed on, and the decoder goes on to look for the one true end.

use alloc::vec::Vec;

use memchr::{memchr3, memmem, memrchr};

/// What makes mail data unacceptable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataFault {
    /// A CR that no LF follows.
    BareCr,
    /// An LF that no CR precedes.
    BareLf,
    /// A NUL octet.
    Nul,
}

impl DataFault {
    /// The fault in words, as the reply has it.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::BareCr => "bare CR; only CRLF ends a line",
            Self::BareLf => "bare LF; only CRLF ends a line",
            Self::Nul => "NUL octet",
        }
    }
}

/// Where the decoder stands in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    LineStart,
    InLine,
    /// A CR was read and held back.
    AfterCr,
    /// The line began with a dot, held back.
    AfterDot,
    /// The line is a dot and a CR so far, both held back.
    AfterDotCr,
}

/// A decoder for the lines of DATA.
#[derive(Debug, Clone)]
pub struct DataDecoder {
    position: Position,
    fault: Option<DataFault>,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl DataDecoder {
    /// A decoder at the start of the data.
    #[must_use]
    pub const fn new() -> Self {
        Self { position: Position::LineStart, fault: None }
    }

    /// The first fault found, if any.
    #[must_use]
    pub const fn fault(&self) -> Option<DataFault> {
        self.fault
    }

    /// Decodes `input`, appending what is content to `content`. Gives the number of octets read when the end of the
    /// data was found (what follows them is not mail data), or `None` when all of `input` was read without it.
    pub fn decode(&mut self, input: &[u8], content: &mut Vec<u8>) -> Option<usize> {
        let mut at = 0;
        // Octets from `run` to `at` are content that was not appended yet, while in a line or at its start.
        let mut run = 0;
        // Up to here it is known whether the lines are whole and clean.
        let mut looked = 0;
        while let Some(&octet) = input.get(at) {
            if at >= looked && self.fault.is_none() && self.is_in_lines() {
                let lines = whole_lines(input.get(at..).unwrap_or_default());
                looked = at + lines.len().max(1);
                if !lines.is_empty() && is_clean(lines) {
                    at += lines.len();
                    self.position = Position::LineStart;
                    continue;
                }
            }
            match self.position {
                Position::InLine => {
                    let tail = input.get(at..).unwrap_or_default();
                    let Some(offset) = memchr3(b'\r', b'\n', 0, tail) else { break };
                    at += offset + 1;
                    match tail.get(offset) {
                        Some(b'\n') => self.condemn(DataFault::BareLf),
                        Some(b'\r') => match tail.get(offset + 1) {
                            Some(b'\n') => {
                                at += 1;
                                self.position = Position::LineStart;
                            }
                            Some(_) => self.condemn(DataFault::BareCr),
                            None => {
                                self.append(content, input, run, at - 1);
                                self.position = Position::AfterCr;
                            }
                        },
                        _ => self.condemn(DataFault::Nul),
                    }
                }
                Position::LineStart if octet == b'.' => {
                    self.append(content, input, run, at);
                    at += 1;
                    run = at;
                    self.position = Position::AfterDot;
                }
                Position::LineStart => self.position = Position::InLine,
                Position::AfterCr if octet == b'\n' => {
                    at += 1;
                    run = at;
                    self.emit(content, b"\r\n");
                    self.position = Position::LineStart;
                }
                Position::AfterDot if octet == b'\r' => {
                    at += 1;
                    self.position = Position::AfterDotCr;
                }
                Position::AfterDot => {
                    run = at;
                    self.position = Position::InLine;
                }
                Position::AfterDotCr if octet == b'\n' => return Some(at + 1),
                Position::AfterCr | Position::AfterDotCr => {
                    self.condemn(DataFault::BareCr);
                    self.position = Position::InLine;
                }
            }
        }
        if self.is_in_lines() {
            self.append(content, input, run, input.len());
        }
        None
    }

    /// Whether all that was read is content, with nothing held back.
    const fn is_in_lines(&self) -> bool {
        matches!(self.position, Position::InLine | Position::LineStart)
    }

    fn condemn(&mut self, fault: DataFault) {
        self.fault.get_or_insert(fault);
    }

    fn append(&self, content: &mut Vec<u8>, input: &[u8], start: usize, end: usize) {
        self.emit(content, input.get(start..end).unwrap_or_default());
    }

    fn emit(&self, content: &mut Vec<u8>, octets: &[u8]) {
        if self.fault.is_none() {
            content.extend_from_slice(octets);
        }
    }
}

/// The octets up to the end of the last line that ends before one with a dot at its start; empty when there is none.
fn whole_lines(octets: &[u8]) -> &[u8] {
    let end = if octets.first() == Some(&b'.') {
        0
    } else {
        let before_dot = memmem::find(octets, b"\n.");
        before_dot.or_else(|| memrchr(b'\n', octets)).map_or(0, |line_feed| line_feed + 1)
    };
    octets.get(..end).unwrap_or_default()
}

/// Whether every CR stands before an LF, every LF behind a CR, and no octet is NUL; `lines` ends with an LF. Without a
/// branch, so that many octets are looked at at a time.
fn is_clean(lines: &[u8]) -> bool {
    let pairs = lines.iter().zip(lines.get(1..).unwrap_or_default());
    let faults = pairs.fold(0, |faults, (first, second)| {
        faults | (u8::from(*first == b'\r') ^ u8::from(*second == b'\n')) | u8::from(*first == 0)
    });
    faults == 0 && lines.first() != Some(&b'\n')
}

/// A checker for the octets of BDAT chunks, which have no dots and no end of their own.
#[derive(Debug, Clone, Default)]
pub struct ChunkChecker {
    after_cr: bool,
    fault: Option<DataFault>,
}

impl ChunkChecker {
    /// The first fault found, if any.
    #[must_use]
    pub const fn fault(&self) -> Option<DataFault> {
        self.fault
    }

    /// Looks at the next octets of the message.
    pub fn check(&mut self, mut octets: &[u8]) {
        while self.fault.is_none() {
            if self.after_cr {
                let Some((&first, rest)) = octets.split_first() else { return };
                self.after_cr = false;
                if first != b'\n' {
                    self.fault = Some(DataFault::BareCr);
                    return;
                }
                octets = rest;
            }
            let Some(offset) = memchr3(b'\r', b'\n', 0, octets) else { return };
            match octets.get(offset) {
                Some(b'\r') => self.after_cr = true,
                Some(b'\n') => self.fault = Some(DataFault::BareLf),
                _ => self.fault = Some(DataFault::Nul),
            }
            octets = octets.get(offset + 1..).unwrap_or_default();
        }
    }

    /// Says that no more octets come: a CR at the very end is bare.
    pub fn finish(&mut self) {
        if self.after_cr {
            self.fault.get_or_insert(DataFault::BareCr);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use proptest::prelude::*;

    /// Decodes `input` cut every `cut` octets: the content, the fault and the octets that follow the end.
    fn decode(input: &[u8], cut: usize) -> (Vec<u8>, Option<DataFault>, Option<usize>) {
        let mut decoder = DataDecoder::new();
        let mut content = Vec::new();
        let mut read = 0;
        for chunk in input.chunks(cut) {
            if let Some(used) = decoder.decode(chunk, &mut content) {
                return (content, decoder.fault(), Some(read + used));
            }
            read += chunk.len();
        }
        (content, decoder.fault(), None)
    }

    #[test]
    fn dots_are_unstuffed_and_the_end_is_found() {
        for cut in [1, 2, 3, 7, 1000] {
            assert_eq!(decode(b".\r\nQUIT\r\n", cut), (vec![], None, Some(3)));
            assert_eq!(decode(b"..a\r\n.\r\n", cut), (b".a\r\n".to_vec(), None, Some(8)));
            assert_eq!(decode(b".a\r\n...\r\n.\r\n", cut), (b"a\r\n..\r\n".to_vec(), None, Some(12)));
            assert_eq!(decode(b"a\r\n\r\n.\r\n", cut), (b"a\r\n\r\n".to_vec(), None, Some(8)));
        }
    }

    #[test]
    fn no_false_end_ends_the_data() {
        for (false_end, fault) in [
            (&b"a\n.\n"[..], DataFault::BareLf),
            (b"a\n.\r\n", DataFault::BareLf),
            (b"a\r\n.\n", DataFault::BareLf),
            (b"a\r.\r", DataFault::BareCr),
            (b"a\r.\r\n", DataFault::BareCr),
            (b"a\r\n.\r", DataFault::BareCr),
            (b"a\r\r\n.\r\r\n", DataFault::BareCr),
            (b"a\r\n.\r\r\n", DataFault::BareCr),
            (b"a\r\n\0.\r\n", DataFault::Nul),
            (b"a\r\n.\0\r\n", DataFault::Nul),
        ] {
            let mut input = false_end.to_vec();
            input.extend_from_slice(b"MAIL FROM:<x@y>\r\n.\r\nNOOP\r\n");
            for cut in [1, 2, 3, 7, 1000] {
                let (content, found, end) = decode(&input, cut);
                assert_eq!((found, end), (Some(fault), Some(input.len() - 6)), "{false_end:?} cut at {cut}");
                assert!(!content.windows(4).any(|window| window == b"MAIL"));
            }
        }
    }

    proptest! {
        #[test]
        fn cuts_change_nothing(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(0), Just(b'a')], 0..40),
            cut in 1_usize..9,
        ) {
            let (content, fault, end) = decode(&input, cut);
            let (whole_content, whole_fault, whole_end) = decode(&input, 1000);
            prop_assert_eq!((fault, end), (whole_fault, whole_end));
            if fault.is_none() {
                prop_assert_eq!(content, whole_content);
            }
        }

        #[test]
        fn whole_lines_are_read_as_octet_by_octet(
            tokens in proptest::collection::vec(prop_oneof![
                8 => Just("\r\n"), 8 => Just("a"), 3 => Just("."), 1 => Just("\r\n.\r\n"),
                1 => Just("\r"), 1 => Just("\n"), 1 => Just("\0"),
            ], 0..30),
            cut in 1_usize..40,
        ) {
            let input = tokens.concat().into_bytes();
            let (content, fault, end) = decode(&input, cut);
            let (expected, expected_fault, expected_end) = decode(&input, 1);
            prop_assert_eq!((fault, end), (expected_fault, expected_end));
            if fault.is_none() {
                prop_assert_eq!(content, expected);
            }
        }

        #[test]
        fn the_end_is_the_first_crlf_dot_crlf(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a')], 0..40),
        ) {
            let mut framed = b"\r\n".to_vec();
            framed.extend_from_slice(&input);
            let expected = framed.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 3);
            prop_assert_eq!(decode(&input, 1000).2, expected);
        }

        #[test]
        fn chunks_are_checked_alike_at_any_cut(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(0), Just(b'a')], 0..12),
            cut in 1_usize..5,
        ) {
            let mut whole = ChunkChecker::default();
            whole.check(&input);
            let mut pieces = ChunkChecker::default();
            for chunk in input.chunks(cut) {
                pieces.check(chunk);
            }
            whole.finish();
            pieces.finish();
            prop_assert_eq!(whole.fault(), pieces.fault());
        }
    }
}
