//! Numbers and texts as octets: what payloads and index files are made of.
//!
//! A number is little-endian base 128, seven bits an octet; a text or a run of octets has its length in front.

/// Octets of the longest number.
const NUMBER_OCTETS_MAX: u32 = 10;

pub(super) fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// An optional text: one octet says whether it is there.
pub(super) fn put_optional_text(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

/// Reads what the functions above wrote; `None` wherever the octets do not say it.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn new(octets: &'a [u8]) -> Self {
        Self(octets)
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn octet(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    pub(super) fn octets(&mut self, length: usize) -> Option<&'a [u8]> {
        let (octets, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(octets)
    }

    pub(super) fn fixed<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let (octets, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*octets)
    }

    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for place in 0..NUMBER_OCTETS_MAX {
            let octet = self.octet()?;
            number |= u64::from(octet & 0x7f).checked_shl(7 * place)?;
            if octet & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    pub(super) fn small(&mut self) -> Option<u32> {
        u32::try_from(self.number()?).ok()
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = usize::try_from(self.number()?).ok()?;
        std::str::from_utf8(self.octets(length)?).ok()
    }

    pub(super) fn optional_text(&mut self) -> Option<Option<&'a str>> {
        match self.octet()? {
            0 => Some(None),
            1 => self.text().map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_reads_back_and_cut_octets_do_not() {
        let mut out = Vec::new();
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            put_number(&mut out, number);
        }
        put_optional_text(&mut out, Some("é"));
        put_optional_text(&mut out, None);
        let mut cursor = Cursor::new(&out);
        for number in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(cursor.number(), Some(number));
        }
        assert_eq!(cursor.optional_text(), Some(Some("é")));
        assert_eq!(cursor.optional_text(), Some(None));
        assert!(cursor.rest().is_empty());
        assert_eq!(Cursor::new(&[0x80; 11]).number(), None);
        assert_eq!(Cursor::new(&[5, b'a']).text(), None);
    }
}
