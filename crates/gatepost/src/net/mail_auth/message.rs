//! Mail data that signatures are looked for in: the header section, and the hashes of the body that went by.
//!
//! Invariants: of the body nothing is kept but its hashes; limits on what a message may make the verifier do hold before it
//! starts.

use mail_auth::AuthenticatedMessage;
use mail_auth::common::crypto::HashAlgorithm;
use mail_auth::dkim::Canonicalization;

use super::body_hash::BodyHash;

/// Longest header section that signatures are verified in, in octets (ours).
const HEADER_OCTETS_MAX: usize = 1_024 * 1_024;

/// Most header fields in it (ours: each name in `h=` is looked for among them).
const FIELDS_MAX: usize = 5_000;

/// Most DKIM signatures that are verified, the first ones (RFC 6376 §6.1 allows a limit).
const SIGNATURES_MAX: usize = 10;

/// What verifying needs of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedMessage {
    header_section: Vec<u8>,
    simple: Option<Vec<u8>>,
    relaxed: Option<Vec<u8>>,
}

/// Why signatures in a message are not verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TooMuch {
    HeaderOctets,
    Fields,
}

impl TooMuch {
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::HeaderOctets => "the header section is over 1 MiB",
            Self::Fields => "more than 5000 header fields",
        }
    }
}

/// Mail data that pass: lines end with CRLF, and the first empty one parts header section and body.
#[derive(Debug, Default)]
pub struct Passing {
    gathered: Vec<u8>,
    body: Option<Body>,
}

impl Passing {
    /// The next octets.
    pub fn read(&mut self, octets: &[u8]) {
        if let Some(body) = &mut self.body {
            return body.update(octets);
        }
        let searched = self.gathered.len().saturating_sub(3);
        self.gathered.extend_from_slice(octets);
        let end = end_of_header_section(&self.gathered, searched);
        if let Some(end) = end.filter(|end| *end <= HEADER_OCTETS_MAX) {
            let rest = self.gathered.split_off(end);
            let mut hashes = Body::wanted_by(&self.gathered);
            hashes.update(&rest);
            self.body = Some(hashes);
        } else if self.gathered.len() > HEADER_OCTETS_MAX {
            // It is over the limit already, and nothing more of it is needed.
            self.gathered.truncate(HEADER_OCTETS_MAX + 1);
            self.body = Some(Body { simple: None, relaxed: None });
        }
    }

    /// The message, once they have all passed.
    #[must_use]
    pub fn finish(self) -> SignedMessage {
        let Self { gathered, body } = self;
        let Body { simple, relaxed } = body.unwrap_or_else(|| Body::wanted_by(&gathered));
        SignedMessage {
            header_section: gathered,
            simple: simple.map(BodyHash::finish),
            relaxed: relaxed.map(BodyHash::finish),
        }
    }
}

impl SignedMessage {
    /// The message of these mail data.
    #[must_use]
    pub fn of(mail_data: &[u8]) -> Self {
        let mut passing = Passing::default();
        passing.read(mail_data);
        passing.finish()
    }

    /// The header section with the empty line at its end.
    #[must_use]
    pub fn header_section(&self) -> &[u8] {
        &self.header_section
    }

    /// The message as the verifier has it; `None` when it has no header field.
    pub(super) fn parsed(&self) -> Result<Option<AuthenticatedMessage<'_>>, TooMuch> {
        if self.header_section.len() > HEADER_OCTETS_MAX {
            return Err(TooMuch::HeaderOctets);
        }
        let Some(mut message) = AuthenticatedMessage::parse(&self.header_section) else { return Ok(None) };
        if message.headers.len() > FIELDS_MAX {
            return Err(TooMuch::Fields);
        }
        message.dkim_headers.truncate(SIGNATURES_MAX);
        for (canonicalization, algorithm, _, hash) in &mut message.body_hashes {
            let own = match canonicalization {
                Canonicalization::Simple => &self.simple,
                Canonicalization::Relaxed => &self.relaxed,
            };
            // SHA-1 doesn't count (RFC 8301 §3.1), so its hash is none.
            *hash = match (algorithm, own) {
                (HashAlgorithm::Sha256, Some(own)) => own.clone(),
                _ => Vec::new(),
            };
        }
        Ok(Some(message))
    }

    /// The message as if it had no signatures, for one that has too much to verify them; what stands in the header section
    /// beyond its limit isn't in it.
    pub(super) fn unsigned(&self) -> Option<AuthenticatedMessage<'_>> {
        let mut message = AuthenticatedMessage::parse(&self.header_section)?;
        message.dkim_headers.clear();
        message.errors.clear();
        Some(message)
    }
}

/// The hashes of a body that are wanted.
#[derive(Debug)]
struct Body {
    simple: Option<BodyHash>,
    relaxed: Option<BodyHash>,
}

impl Body {
    /// Those that the signatures of the header section speak of.
    fn wanted_by(header_section: &[u8]) -> Self {
        let message = AuthenticatedMessage::parse(header_section);
        let hashes = message.map(|message| message.body_hashes).unwrap_or_default();
        let wanted = |canonicalization| hashes.iter().any(|(used, ..)| *used == canonicalization);
        Self {
            simple: wanted(Canonicalization::Simple).then(|| BodyHash::new(false)),
            relaxed: wanted(Canonicalization::Relaxed).then(|| BodyHash::new(true)),
        }
    }

    fn update(&mut self, piece: &[u8]) {
        for hash in [&mut self.simple, &mut self.relaxed].into_iter().flatten() {
            hash.update(piece);
        }
    }
}

/// Where the body starts: behind the first empty line, which is not looked for before `searched`.
pub(crate) fn end_of_header_section(octets: &[u8], searched: usize) -> Option<usize> {
    if octets.starts_with(b"\r\n") {
        return Some(2);
    }
    let rest = octets.get(searched..)?;
    memchr::memmem::find(rest, b"\r\n\r\n").map(|at| searched + at + 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIGNED: &[u8] =
        b"DKIM-Signature: v=1; a=rsa-sha256; c=simple/relaxed; d=example.org; s=k; h=from;\r\n\
        \tbh=aGVsbG8=; b=aGVsbG8=\r\nFrom: a@example.org\r\n\r\nhello  there\r\n\r\n";

    #[test]
    fn a_message_cut_anywhere_is_the_same_message() {
        let whole = SignedMessage::of(SIGNED);
        assert!(whole.header_section().ends_with(b"\r\n\r\n") && whole.relaxed.is_some());
        assert_eq!(whole.simple, None, "a hash that nobody speaks of");
        for cut in 1..20 {
            let mut passing = Passing::default();
            SIGNED.chunks(cut).for_each(|piece| passing.read(piece));
            assert_eq!(passing.finish(), whole, "cut {cut}");
        }
    }

    #[test]
    fn messages_without_a_body_or_a_header_section_are_read() {
        for octets in
            [&b""[..], b"\r\n", b"From: a@example.org\r\n", b"From: a@example.org\r\n\r\n", b"\r\nhello"]
        {
            let message = SignedMessage::of(octets);
            assert!(octets.starts_with(message.header_section()));
            assert!(message.parsed().is_ok());
        }
    }

    #[test]
    fn what_would_be_too_much_is_not_verified() {
        let many = [b"a:b\r\n".repeat(FIELDS_MAX + 1), b"\r\n".to_vec()].concat();
        assert!(matches!(SignedMessage::of(&many).parsed(), Err(TooMuch::Fields)));
        let large = [b"a: ".to_vec(), vec![b'x'; 3 * HEADER_OCTETS_MAX], b"\r\n\r\n".to_vec()].concat();
        let message = SignedMessage::of(&large);
        assert!(message.header_section().len() < 2 * HEADER_OCTETS_MAX);
        assert!(matches!(message.parsed(), Err(TooMuch::HeaderOctets)));
        let field =
            SIGNED.split_at(SIGNED.len() - b"From: a@example.org\r\n\r\nhello  there\r\n\r\n".len()).0;
        let signatures = [field.repeat(SIGNATURES_MAX + 5), SIGNED.to_vec()].concat();
        let parsed =
            SignedMessage::of(&signatures).parsed().map(|message| message.unwrap().dkim_headers.len());
        assert_eq!(parsed, Ok(SIGNATURES_MAX));
    }
}
