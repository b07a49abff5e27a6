//! Mail data on their way out, read once before they are sent: the header section, and the hash of the body.
//!
//! Invariant: of the body nothing is kept but its hash.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::net::mail_auth::body_hash::BodyHash;
use crate::net::mail_auth::message::end_of_header_section;

/// Longest header section that is signed, in octets (ours; nobody verifies a longer one, we neither).
const HEADER_OCTETS_MAX: usize = 1_024 * 1_024;

/// Mail data that pass: lines end with CRLF, and the first empty one parts header section and body.
#[derive(Debug, Default)]
pub(crate) struct Content {
    header_section: Vec<u8>,
    body: Option<BodyHash>,
}

/// What signing needs of mail data.
#[derive(Debug)]
pub(super) struct Hashed {
    /// With the empty line at its end, if it has one.
    pub(super) header_section: Vec<u8>,
    /// The body's hash in its relaxed form (RFC 6376 §3.7), in base64.
    pub(super) body_hash: String,
}

impl Content {
    /// The next octets.
    pub(crate) fn read(&mut self, octets: &[u8]) {
        if let Some(body) = &mut self.body {
            return body.update(octets);
        }
        let searched = self.header_section.len().saturating_sub(3);
        self.header_section.extend_from_slice(octets);
        if let Some(end) = end_of_header_section(&self.header_section, searched) {
            let rest = self.header_section.split_off(end);
            self.body.insert(BodyHash::new(true)).update(&rest);
        } else if self.header_section.len() > HEADER_OCTETS_MAX {
            self.body = Some(BodyHash::new(true));
        }
    }

    /// What signing needs, once they have all passed; `None` when the header section is too long to be signed.
    pub(super) fn finish(self) -> Option<Hashed> {
        let Self { header_section, body } = self;
        if header_section.len() > HEADER_OCTETS_MAX {
            return None;
        }
        let hash = body.unwrap_or_else(|| BodyHash::new(true)).finish();
        Some(Hashed { header_section, body_hash: STANDARD.encode(hash) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash of no body in its relaxed form.
    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn content_is_the_same_however_it_is_cut() {
        let octets = b"From: a@example.org\r\nSubject: x\r\n\r\nhello  there \r\n\r\n\r\n";
        for cut in [1, 2, 3, 7, 100] {
            let mut content = Content::default();
            octets.chunks(cut).for_each(|piece| content.read(piece));
            let hashed = content.finish().unwrap();
            assert_eq!(hashed.header_section, b"From: a@example.org\r\nSubject: x\r\n\r\n");
            let mut body = BodyHash::new(true);
            body.update(b"hello there\r\n");
            assert_eq!(hashed.body_hash, STANDARD.encode(body.finish()));
        }
    }

    #[test]
    fn mail_without_a_body_or_a_header_section_is_content() {
        for (octets, header) in [
            (&b""[..], &b""[..]),
            (b"\r\n", b"\r\n"),
            (b"A: b\r\n", b"A: b\r\n"),
            (b"A: b\r\n\r\n", b"A: b\r\n\r\n"),
            (b"A: b\r\n\r\n\r\n \r\n", b"A: b\r\n\r\n"),
        ] {
            let mut content = Content::default();
            content.read(octets);
            let hashed = content.finish().unwrap();
            assert_eq!((hashed.header_section.as_slice(), hashed.body_hash.as_str()), (header, EMPTY));
        }
        let mut content = Content::default();
        content.read(&vec![b'x'; HEADER_OCTETS_MAX + 1]);
        assert!(content.finish().is_none());
    }
}
