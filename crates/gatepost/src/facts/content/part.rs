//! The body of one part: how much it is decoded, and its octets where they are looked into.
//!
//! Invariants: at most [`TEXT_OCTETS_MAX`](super::TEXT_OCTETS_MAX) are held. Decoding forgives: what isn't of the encoding
//! is passed over, as most programs do.

use mail_parser::decoders::base64::base64_decode;
use mail_parser::decoders::charsets::map::charset_decoder;

use super::TEXT_OCTETS_MAX;
use super::attachment::Attachment;
use super::line::Piece;
use super::link::Domains;

/// How a body is encoded for its way (RFC 2045 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    /// As it is: `7bit`, `8bit`, `binary`, or nothing said.
    Identity,
    /// `quoted-printable`.
    QuotedPrintable,
    /// `base64`.
    Base64,
}

impl TransferEncoding {
    /// The encoding of that name; none for unknown ones.
    pub(super) fn named(name: &str) -> Option<Self> {
        // A comment or a parameter behind the word changes nothing.
        let word = name.split([' ', ';', '(']).next().unwrap_or_default().to_ascii_lowercase();
        match word.as_str() {
            "7bit" | "8bit" | "binary" => Some(Self::Identity),
            "quoted-printable" => Some(Self::QuotedPrintable),
            "base64" => Some(Self::Base64),
            _ => None,
        }
    }
}

/// What is done with a body's octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Use {
    /// They are counted.
    Count,
    /// The domains of its URLs are noted.
    Links {
        /// Whether anybody wants them; the limit counts all the same.
        is_wanted: bool,
        /// Whether it is HTML.
        is_html: bool,
        /// The name of the charset, when it is said.
        charset: Option<String>,
    },
    /// It is a message in an encoding.
    Message,
}

/// A body while it passes.
#[derive(Debug)]
pub(super) struct Leaf {
    encoding: TransferEncoding,
    purpose: Use,
    attachment: Option<Attachment>,
    /// Characters of base64's alphabet, or decoded octets.
    counted: u64,
    /// Octets of the line end that was counted last: the one before a delimiter is the delimiter's (RFC 2046 §5.1.1).
    line_end: u64,
    held: Vec<u8>,
    /// Octets that were to be held.
    offered: usize,
}

/// What a body was.
#[derive(Debug)]
pub(super) struct Finished {
    pub(super) attachment: Option<Attachment>,
    /// The octets of an encoded message, decoded.
    pub(super) message: Option<Vec<u8>>,
    /// Whether it was too long to be looked into whole.
    pub(super) is_beyond: bool,
}

impl Leaf {
    pub(super) const fn new(
        encoding: TransferEncoding,
        purpose: Use,
        attachment: Option<Attachment>,
    ) -> Self {
        Self { encoding, purpose, attachment, counted: 0, line_end: 0, held: Vec::new(), offered: 0 }
    }

    /// Takes a piece of a line.
    pub(super) fn read(&mut self, piece: Piece<'_>) {
        let holds = self.purpose != Use::Count;
        match self.encoding {
            TransferEncoding::Identity => {
                self.counted = self.counted.saturating_add(octets(piece.octets.len()));
                self.line_end = piece.line_end_octets();
                if holds {
                    self.hold(piece.octets);
                }
            }
            TransferEncoding::QuotedPrintable => {
                let mut decoded = Vec::new();
                self.line_end = decode_quoted_printable(piece, &mut decoded);
                self.counted = self.counted.saturating_add(octets(decoded.len()));
                if holds {
                    self.hold(&decoded);
                }
            }
            TransferEncoding::Base64 => {
                let is_letter = |octet: &&u8| octet.is_ascii_alphanumeric() || matches!(octet, b'+' | b'/');
                let count = piece.octets.iter().filter(is_letter).count();
                self.counted = self.counted.saturating_add(octets(count));
                if holds {
                    let letters: Vec<u8> = piece
                        .octets
                        .iter()
                        .filter(|octet| is_letter(octet) || **octet == b'=')
                        .copied()
                        .collect();
                    self.hold(&letters);
                }
            }
        }
    }

    fn hold(&mut self, octets: &[u8]) {
        self.offered = self.offered.saturating_add(octets.len());
        if !matches!(self.purpose, Use::Links { is_wanted: false, .. }) {
            let room = TEXT_OCTETS_MAX - self.held.len();
            self.held.extend_from_slice(octets.get(..room).unwrap_or(octets));
        }
    }

    /// Ends the body; the domains of its URLs go to `domains`.
    pub(super) fn finish(mut self, domains: &mut Domains) -> Finished {
        let size_octets = match self.encoding {
            TransferEncoding::Base64 => self.counted / 4 * 3 + (self.counted % 4).saturating_sub(1),
            _ => self.counted.saturating_sub(self.line_end),
        };
        if let Some(attachment) = &mut self.attachment {
            attachment.size_octets = size_octets;
        }
        let decoded = match self.encoding {
            TransferEncoding::Base64 => base64_decode(&self.held).unwrap_or_default(),
            _ => self.held,
        };
        let message = match self.purpose {
            Use::Count => None,
            Use::Message => Some(decoded),
            Use::Links { is_wanted: false, .. } => None,
            Use::Links { is_html, charset, .. } => {
                domains.note(&text(&decoded, charset.as_deref()), is_html);
                None
            }
        };
        Finished { attachment: self.attachment, message, is_beyond: self.offered > TEXT_OCTETS_MAX }
    }
}

fn octets(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn text(octets: &[u8], charset: Option<&str>) -> String {
    match charset.and_then(|charset| charset_decoder(charset.as_bytes())) {
        Some(decode) => decode(octets),
        None => String::from_utf8_lossy(octets).into_owned(),
    }
}

/// Decodes a line (RFC 2045 §6.7). How many octets of it at its end are the line's end.
fn decode_quoted_printable(piece: Piece<'_>, decoded: &mut Vec<u8>) -> u64 {
    let line_end = usize::try_from(piece.line_end_octets()).unwrap_or(0);
    let mut line = piece.without_line_end();
    if line_end > 0 {
        line = line.trim_ascii_end();
        if let Some(soft) = line.strip_suffix(b"=") {
            decode_quoted_printable_octets(soft, decoded);
            return 0;
        }
    }
    decode_quoted_printable_octets(line, decoded);
    decoded.extend(b"\r\n".iter().skip(2 - line_end));
    piece.line_end_octets()
}

fn decode_quoted_printable_octets(mut line: &[u8], decoded: &mut Vec<u8>) {
    let digit = |octet: u8| char::from(octet).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    while let [first, rest @ ..] = line {
        let escaped = match rest {
            [high, low, behind @ ..] if *first == b'=' => {
                digit(*high).zip(digit(*low)).map(|(high, low)| (high << 4 | low, behind))
            }
            _ => None,
        };
        let (octet, behind) = escaped.unwrap_or((*first, rest));
        decoded.push(octet);
        line = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of(encoding: TransferEncoding, lines: &[&str]) -> u64 {
        let attachment = Attachment::new("application/x", &[]);
        let mut leaf = Leaf::new(encoding, Use::Count, Some(attachment));
        for line in lines {
            leaf.read(Piece { octets: line.as_bytes(), starts_line: true });
        }
        leaf.finish(&mut Domains::default()).attachment.unwrap().size_octets
    }

    #[test]
    fn sizes_are_those_of_what_was_encoded() {
        assert_eq!(size_of(TransferEncoding::Identity, &["one\r\n", "two\r\n"]), 8);
        assert_eq!(size_of(TransferEncoding::Base64, &["YWJj\r\n", "ZGVm\r\n"]), 6);
        assert_eq!(size_of(TransferEncoding::Base64, &["YWI=\r\n"]), 2);
        assert_eq!(size_of(TransferEncoding::Base64, &["YQ==\r\n", "!?\r\n"]), 1);
        assert_eq!(size_of(TransferEncoding::QuotedPrintable, &["a=3D=C3=BC \r\n", "b=\r\n", "c\r\n"]), 8);
        assert_eq!(size_of(TransferEncoding::QuotedPrintable, &["a=zz=\n"]), 4);
        assert_eq!(size_of(TransferEncoding::QuotedPrintable, &[]), 0);
    }

    #[test]
    fn names_of_encodings_forgive_what_stands_behind() {
        assert_eq!(TransferEncoding::named("BASE64"), Some(TransferEncoding::Base64));
        assert_eq!(TransferEncoding::named("7bit; x"), Some(TransferEncoding::Identity));
        assert_eq!(TransferEncoding::named("x-uuencode"), None);
    }

    #[test]
    fn what_is_held_is_bounded() {
        let links = Use::Links { is_wanted: true, is_html: false, charset: None };
        let mut leaf = Leaf::new(TransferEncoding::Identity, links, None);
        let line = vec![b'x'; 60_000];
        for _ in 0..TEXT_OCTETS_MAX / 60_000 + 2 {
            leaf.read(Piece { octets: &line, starts_line: true });
        }
        assert_eq!(leaf.held.len(), TEXT_OCTETS_MAX);
        assert!(leaf.finish(&mut Domains::default()).is_beyond);
    }
}
