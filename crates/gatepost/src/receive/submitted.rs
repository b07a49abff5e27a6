//! The header section of a message that a user submits (RFC 6409 §8): Bcc fields go, Date and Message-ID are added, and the
//! authors are found.
//!
//! Invariants: nothing behind the header section changes; the same octets come out however they come in; what is held is
//! bounded.

use mail_parser::HeaderValue;
use mail_parser::parsers::MessageStream;
use smtp::address::Mailbox;

use crate::auth::senders::AUTHORS_MAX;
use crate::facts::content::line::{Lines, Piece};

/// Octets of From fields that are looked at, in all (ours); authors behind them can't be told.
const FROM_OCTETS_MAX: usize = 64 * 1024;

/// A message that is submitted, while it passes.
#[derive(Debug)]
pub(super) struct Submitted {
    lines: Option<Lines>,
    current: Current,
    seen: Seen,
    /// The values of From fields, unfolded nowhere.
    authors: Vec<Vec<u8>>,
    authors_octets: usize,
    /// Date and Message-ID for a message without them, each ended by CRLF.
    date: String,
    message_id: String,
}

/// The field that is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Current {
    Other,
    From,
    Bcc,
}

#[derive(Debug, Default)]
struct Seen {
    date: bool,
    message_id: bool,
}

impl Submitted {
    /// For a message that has come at `date`, as header fields show it; `id` is one of a kind.
    pub(super) fn new(date: &str, id: &str, hostname: &str) -> Self {
        Self {
            lines: Some(Lines::default()),
            current: Current::Other,
            seen: Seen::default(),
            authors: Vec::new(),
            authors_octets: 0,
            date: format!("Date: {date}\r\n"),
            message_id: format!("Message-ID: <{id}@{hostname}>\r\n"),
        }
    }

    /// Reads the next octets, and adds to `passed` what goes on.
    pub(super) fn pass(&mut self, octets: &[u8], passed: &mut Vec<u8>) {
        let Some(mut lines) = self.lines.take() else {
            passed.extend_from_slice(octets);
            return;
        };
        let mut is_header = true;
        lines.read(octets, |piece| {
            is_header = is_header && self.line(piece, passed);
            if !is_header {
                passed.extend_from_slice(piece.octets);
            }
        });
        if is_header {
            self.lines = Some(lines);
        } else {
            // What is held back is the body's.
            lines.finish(|piece| passed.extend_from_slice(piece.octets));
        }
    }

    /// The message has ended: adds to `passed` what was held back.
    pub(super) fn finish(&mut self, passed: &mut Vec<u8>) {
        let Some(mut lines) = self.lines.take() else { return };
        let mut is_header = true;
        lines.finish(|piece| {
            is_header = self.line(piece, passed);
            if !is_header {
                passed.extend_from_slice(piece.octets);
            }
        });
        if is_header {
            self.complete(passed);
        }
    }

    /// Reads a line of the header section; `false` when the section has ended before it.
    fn line(&mut self, piece: Piece<'_>, passed: &mut Vec<u8>) -> bool {
        let line = piece.without_line_end();
        let is_continued = !piece.starts_line || matches!(line.first(), Some(b' ' | b'\t'));
        if !is_continued {
            if line.is_empty() {
                self.complete(passed);
                return false;
            }
            let Some(colon) = memchr::memchr(b':', line) else { return false };
            self.current = self.field(line.get(..colon).unwrap_or_default().trim_ascii_end());
        }
        let value = if is_continued { piece.octets } else { behind_colon(piece.octets) };
        if self.current == Current::From {
            self.authors_octets = self.authors_octets.saturating_add(value.len());
            if self.authors_octets <= FROM_OCTETS_MAX
                && let Some(author) = self.authors.last_mut()
            {
                author.extend_from_slice(value);
            }
        }
        if self.current != Current::Bcc {
            passed.extend_from_slice(piece.octets);
        }
        true
    }

    /// What the field of that name is to us.
    fn field(&mut self, name: &[u8]) -> Current {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        self.seen.date |= is("date");
        self.seen.message_id |= is("message-id");
        if is("from") {
            self.authors.push(Vec::new());
            Current::From
        } else if is("bcc") {
            Current::Bcc
        } else {
            Current::Other
        }
    }

    /// The header section ends here.
    fn complete(&mut self, passed: &mut Vec<u8>) {
        if !self.seen.date {
            passed.extend_from_slice(self.date.as_bytes());
        }
        if !self.seen.message_id {
            passed.extend_from_slice(self.message_id.as_bytes());
        }
    }

    /// The addresses of all From fields, or `None` when one can't be read as addresses, or there are too many.
    pub(super) fn authors(&self) -> Option<Vec<Mailbox>> {
        if self.authors_octets > FROM_OCTETS_MAX {
            return None;
        }
        let mut mailboxes = Vec::new();
        for value in &self.authors {
            let of_field = addresses(value)?;
            if of_field.is_empty() {
                return None;
            }
            mailboxes.extend(of_field);
        }
        (mailboxes.len() <= AUTHORS_MAX).then_some(mailboxes)
    }
}

fn behind_colon(line: &[u8]) -> &[u8] {
    memchr::memchr(b':', line).and_then(|colon| line.get(colon + 1..)).unwrap_or_default()
}

/// The addresses of a field's value; `None` when something in it is none.
fn addresses(value: &[u8]) -> Option<Vec<Mailbox>> {
    let mut closed = value.trim_ascii_end().to_vec();
    closed.push(b'\n');
    let HeaderValue::Address(parsed) = MessageStream::new(&closed).parse_address() else { return None };
    parsed.iter().map(|address| address.address()?.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(message: &str, cut: usize) -> (String, Option<Vec<String>>) {
        let mut submitted = Submitted::new("Wed, 25 Nov 2026 12:00:00 +0000", "k7q2m3xf", "mx.example.org");
        let mut octets = Vec::new();
        message.as_bytes().chunks(cut).for_each(|chunk| submitted.pass(chunk, &mut octets));
        submitted.finish(&mut octets);
        let authors = submitted.authors().map(|all| all.iter().map(ToString::to_string).collect());
        (String::from_utf8(octets).unwrap(), authors)
    }

    #[track_caller]
    fn becomes(message: &str, expected: &str) {
        for cut in [1, 2, 3, 7, 1_000] {
            assert_eq!(passed(message, cut).0, expected, "cut every {cut}");
        }
    }

    #[test]
    fn what_is_missing_is_added_at_the_end_of_the_header_section() {
        const ADDED: &str =
            "Date: Wed, 25 Nov 2026 12:00:00 +0000\r\nMessage-ID: <k7q2m3xf@mx.example.org>\r\n";
        becomes("Subject: x\r\n\r\nDate: body\r\n", &format!("Subject: x\r\n{ADDED}\r\nDate: body\r\n"));
        becomes("Subject: x\r\n", &format!("Subject: x\r\n{ADDED}"));
        becomes("\r\nbody\r\n", &format!("{ADDED}\r\nbody\r\n"));
        let whole = "date: x\r\nMESSAGE-ID : <y>\r\n\r\nbody without an end";
        becomes(whole, whole);
        becomes("no header\r\n\r\nbody\r\n", "no header\r\n\r\nbody\r\n");
    }

    #[test]
    fn blind_copies_are_taken_out_with_their_folds() {
        becomes(
            "Date: x\r\nBcc: a@b.example,\r\n c@d.example\r\nMessage-ID: <y>\r\nbcc:\r\nX-Bcc: stays\r\n\r\nBcc: stays\r\n",
            "Date: x\r\nMessage-ID: <y>\r\nX-Bcc: stays\r\n\r\nBcc: stays\r\n",
        );
    }

    #[test]
    fn authors_are_found_in_every_form() {
        let authors = |from: &str| passed(&format!("{from}\r\nTo: x@y.example\r\n\r\nFrom: b@o.dy\r\n"), 5).1;
        let all = |all: &[&str]| Some(all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(authors("From: a@b.example"), all(&["a@b.example"]));
        assert_eq!(authors("From: \"c@d.example\" <a@b.example>"), all(&["a@b.example"]));
        assert_eq!(
            authors("from: A <a@b.example>,\r\n c@d.example\r\nFROM : e@f.example"),
            all(&["a@b.example", "c@d.example", "e@f.example"])
        );
        assert_eq!(authors("From: us: a@b.example, c@d.example;"), all(&["a@b.example", "c@d.example"]));
        assert_eq!(authors("Subject: x"), all(&[]));
        for unreadable in ["From:", "From: nobody", "From: a@b.example, nobody", "From: <>"] {
            assert_eq!(authors(unreadable), None, "{unreadable}");
        }
        assert_eq!(authors(&format!("From: {}", "a@b.example, ".repeat(200))), None);
        assert_eq!(authors(&format!("From: a@b.example{}", "\r\n \t".repeat(30_000))), None);
    }
}
