//! The hash of a body, canonicalised as DKIM has it (RFC 6376 §3.4.3, §3.4.4), while the body goes by.
//!
//! Invariants: however the body is cut into pieces, the hash is the same; nothing of it is kept.

use mail_auth::common::crypto::{HashContext as _, HashImpl as _, Sha256};
use mail_auth::common::headers::Writer as _;

/// Octets that are gathered before they are hashed.
const GATHERED_OCTETS: usize = 4_096;

/// A hash of a body that is still going by.
pub(crate) struct BodyHash {
    relaxed: bool,
    hash: <Sha256 as mail_auth::common::crypto::HashImpl>::Context,
    gathered: Vec<u8>,
    /// Ends of lines that are only hashed when more follows.
    line_ends: u64,
    has_content: bool,
    white_space: bool,
    carriage_return: bool,
}

impl std::fmt::Debug for BodyHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("BodyHash").field("relaxed", &self.relaxed).finish_non_exhaustive()
    }
}

impl BodyHash {
    /// Of an empty body, by the `relaxed` or the `simple` algorithm.
    pub(crate) fn new(relaxed: bool) -> Self {
        Self {
            relaxed,
            hash: Sha256::hasher(),
            gathered: Vec::with_capacity(GATHERED_OCTETS + 8),
            line_ends: 0,
            has_content: false,
            white_space: false,
            carriage_return: false,
        }
    }

    /// Takes in the next piece of the body.
    pub(crate) fn update(&mut self, piece: &[u8]) {
        for octet in piece {
            match octet {
                b'\n' if self.carriage_return => {
                    self.carriage_return = false;
                    // White space before the end of a line is left out, also in a line of nothing else.
                    self.white_space = false;
                    self.line_ends += 1;
                }
                b'\r' => {
                    if self.carriage_return {
                        self.content(b'\r');
                    }
                    self.carriage_return = true;
                }
                _ => {
                    if std::mem::take(&mut self.carriage_return) {
                        self.content(b'\r');
                    }
                    if self.relaxed && matches!(octet, b' ' | b'\t') {
                        self.white_space = true;
                    } else {
                        self.content(*octet);
                    }
                }
            }
        }
    }

    /// The hash.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        if std::mem::take(&mut self.carriage_return) {
            self.content(b'\r');
        }
        // The last line has one end, whatever it had; a body without content has one too, but not when it is relaxed.
        if self.has_content || !self.relaxed {
            self.gathered.extend(b"\r\n");
        }
        self.hash.write(&self.gathered);
        self.hash.complete().as_ref().to_vec()
    }

    fn content(&mut self, octet: u8) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.gathered.extend(b"\r\n");
            self.pass_on();
        }
        if std::mem::take(&mut self.white_space) {
            self.gathered.push(b' ');
        }
        self.gathered.push(octet);
        self.has_content = true;
        self.pass_on();
    }

    fn pass_on(&mut self) {
        if self.gathered.len() >= GATHERED_OCTETS {
            self.hash.write(&self.gathered);
            self.gathered.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of octets that need no canonicalisation any more.
    fn plain(octets: &[u8]) -> Vec<u8> {
        let mut hash = Sha256::hasher();
        hash.write(octets);
        hash.complete().as_ref().to_vec()
    }

    fn hashed(relaxed: bool, body: &[u8], cut: usize) -> Vec<u8> {
        let mut hash = BodyHash::new(relaxed);
        body.chunks(cut).for_each(|piece| hash.update(piece));
        hash.finish()
    }

    #[test]
    fn bodies_have_their_canonical_form() {
        for (body, simple, relaxed) in [
            ("", "\r\n", ""),
            ("\r\n", "\r\n", ""),
            ("\r\n\r\n", "\r\n", ""),
            (" \r\n", " \r\n", ""),
            ("hello\r\n", "hello\r\n", "hello\r\n"),
            ("hello", "hello\r\n", "hello\r\n"),
            ("hello\r\n\r\n\r\n", "hello\r\n", "hello\r\n"),
            // Last lines of nothing but white space are empty lines once they are reduced, and go too.
            ("hello\r\n \r\n", "hello\r\n \r\n", "hello\r\n"),
            ("hello\r\n\t \r\n\r\n  \r\n", "hello\r\n\t \r\n\r\n  \r\n", "hello\r\n"),
            (" C \r\nD \t E\r\n\r\n\r\n", " C \r\nD \t E\r\n", " C\r\nD E\r\n"),
            ("a\r\n \r\nb", "a\r\n \r\nb\r\n", "a\r\n\r\nb\r\n"),
            ("\r\n\r\na \r\n", "\r\n\r\na \r\n", "\r\n\r\na\r\n"),
            ("a \t", "a \t\r\n", "a\r\n"),
            ("a\rb\nc\r", "a\rb\nc\r\r\n", "a\rb\nc\r\r\n"),
        ] {
            for cut in [1, 2, 3, 7, 100] {
                let body = body.as_bytes();
                assert_eq!(hashed(false, body, cut), plain(simple.as_bytes()), "simple {body:?}");
                assert_eq!(hashed(true, body, cut), plain(relaxed.as_bytes()), "relaxed {body:?}");
            }
        }
    }

    #[test]
    fn long_bodies_are_hashed_whole() {
        let line = b"All work and no play makes Jack a dull boy.\r\n".repeat(1_000);
        let gaps = [line.as_slice(), &b"\r\n".repeat(5_000), b"end\r\n"].concat();
        for body in [line, gaps] {
            assert_eq!(hashed(true, &body, 4_096), plain(&body));
            assert_eq!(hashed(false, &body, 1_000), plain(&body));
        }
    }
}
