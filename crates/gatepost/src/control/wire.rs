//! The wire: a request is a line of JSON, and so is each answer; octets that a line tells the number of follow it.
//!
//! Invariants: a line is bounded before it is read; whatever is not JSON of a known form ends the connection.

use std::io::{self, BufRead, Read as _, Write};

use serde::{Deserialize, Serialize};

use super::VERSION;
use super::answer::Answer;

/// Longest request, in octets (ours: the envelope of an import with 50,000 recipients).
pub(super) const REQUEST_OCTETS_MAX: u64 = 32 * 1024 * 1024;

/// Longest line of an answer, in octets (ours: a message with 50,000 recipients, each with its last reply).
const ANSWER_OCTETS_MAX: u64 = 128 * 1024 * 1024;

/// The first line of the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Greeting {
    /// Name and version.
    pub(super) product: String,
    /// The version of requests and answers.
    pub(super) control: u32,
}

impl Greeting {
    pub(super) fn ours() -> Self {
        Self { product: crate::PRODUCT.to_owned(), control: VERSION }
    }
}

/// Writes a value as a line.
pub(super) fn write_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Writes an answer, with the octets that belong to it.
pub(super) fn write_answer(out: &mut impl Write, answer: &Answer) -> io::Result<()> {
    write_line(out, answer)?;
    match answer {
        Answer::Octets(octets) => out.write_all(octets),
        _ => Ok(()),
    }
}

/// Reads a line of at most `octets_max`, its end left out; `None` at the end of what comes.
pub(super) fn read_line(input: &mut impl BufRead, octets_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let read = input.take(octets_max.saturating_add(1)).read_until(b'\n', &mut line)?;
    if read == 0 {
        return Ok(None);
    }
    if line.pop() != Some(b'\n') {
        let why = if read as u64 > octets_max { "the line is too long" } else { "the line is cut off" };
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(Some(line))
}

/// Reads the greeting.
pub(super) fn read_greeting(input: &mut impl BufRead) -> io::Result<Greeting> {
    /// Longest greeting, in octets (ours).
    const GREETING_OCTETS_MAX: u64 = 1_024;
    let line = read_line(input, GREETING_OCTETS_MAX)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(serde_json::from_slice(&line)?)
}

/// Reads an answer, with the octets that belong to it.
pub(super) fn read_answer(input: &mut impl BufRead) -> io::Result<Answer> {
    let line = read_line(input, ANSWER_OCTETS_MAX)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    let mut answer = serde_json::from_slice(&line)?;
    if let Answer::Octets(octets) = &mut answer {
        input.read_exact(octets)?;
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::answer::Done;

    #[test]
    fn answers_and_their_octets_read_back() {
        let answers = [
            Answer::Octets(b"Subject: a\r\n\r\n\n{}\n".to_vec()),
            Answer::Octets(Vec::new()),
            Answer::Done(Done { messages: 3, ..Done::default() }),
        ];
        let mut wire = Vec::new();
        for answer in &answers {
            write_answer(&mut wire, answer).unwrap();
        }
        let mut input = wire.as_slice();
        for answer in &answers {
            assert_eq!(read_answer(&mut input).unwrap(), *answer);
        }
        assert_eq!(read_answer(&mut input).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn long_and_cut_lines_and_too_many_octets_are_refused() {
        assert_eq!(read_line(&mut b"1234\n".as_slice(), 5).unwrap(), Some(b"1234".to_vec()));
        assert!(read_line(&mut b"12345\n".as_slice(), 4).is_err());
        assert!(read_line(&mut b"123".as_slice(), 4).is_err());
        assert_eq!(read_line(&mut b"".as_slice(), 4).unwrap(), None);
        assert!(read_answer(&mut b"{\"octets\":4294967296}\n".as_slice()).is_err());
        assert!(read_answer(&mut b"{\"octets\":5}\nabc".as_slice()).is_err());
        assert!(read_answer(&mut b"nothing\n".as_slice()).is_err());
    }
}
