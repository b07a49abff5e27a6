//! Lines of a content that arrives in any cuts.
//!
//! Invariants: at most [`PIECE_OCTETS_MAX`] are held back; how a content is cut doesn't change the pieces.

/// Longest piece of a line that is handed out, in octets; a longer line comes in several (ours, far beyond the 998 of
/// RFC 5321 §4.5.3.1.6).
pub(crate) const PIECE_OCTETS_MAX: usize = 64 * 1024;

/// A line with its end, or a piece of a line that is longer than a piece may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Piece<'o> {
    pub(crate) octets: &'o [u8],
    /// Whether a line starts with it.
    pub(crate) starts_line: bool,
}

impl Piece<'_> {
    /// Octets of the line's end that it closes with: none, LF or CRLF.
    pub(crate) fn line_end_octets(&self) -> u64 {
        match self.octets {
            [.., b'\r', b'\n'] => 2,
            [.., b'\n'] => 1,
            _ => 0,
        }
    }

    /// The octets without the line's end.
    pub(crate) fn without_line_end(&self) -> &[u8] {
        let line = self.octets.strip_suffix(b"\n").unwrap_or(self.octets);
        line.strip_suffix(b"\r").unwrap_or(line)
    }
}

/// Cuts octets into lines.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    held: Vec<u8>,
    in_line: bool,
}

impl Lines {
    /// Hands out all that is whole; the rest is held back.
    pub(crate) fn read(&mut self, mut octets: &[u8], mut take: impl FnMut(Piece<'_>)) {
        while !octets.is_empty() {
            let room = PIECE_OCTETS_MAX - self.held.len();
            let reach = octets.get(..room).unwrap_or(octets);
            let end = memchr::memchr(b'\n', reach).map(|place| place + 1);
            let (piece, rest) = octets.split_at(end.unwrap_or(reach.len()));
            octets = rest;
            if end.is_none() && piece.len() < room {
                self.held.extend_from_slice(piece);
                return;
            }
            if self.held.is_empty() {
                take(Piece { octets: piece, starts_line: !self.in_line });
            } else {
                self.held.extend_from_slice(piece);
                take(Piece { octets: &self.held, starts_line: !self.in_line });
                self.held.clear();
            }
            self.in_line = end.is_none();
        }
    }

    /// Hands out what is held back.
    pub(crate) fn finish(&mut self, mut take: impl FnMut(Piece<'_>)) {
        if !self.held.is_empty() {
            take(Piece { octets: &self.held, starts_line: !self.in_line });
            self.held = Vec::new();
        }
        self.in_line = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(content: &[u8], cut: usize) -> Vec<(Vec<u8>, bool)> {
        let mut lines = Lines::default();
        let mut pieces = Vec::new();
        for chunk in content.chunks(cut) {
            lines.read(chunk, |piece| pieces.push((piece.octets.to_vec(), piece.starts_line)));
        }
        lines.finish(|piece| pieces.push((piece.octets.to_vec(), piece.starts_line)));
        pieces
    }

    #[test]
    fn cuts_do_not_change_the_lines() {
        let content = b"one\r\n\r\ntwo\nthree";
        let whole = pieces(content, 1_000);
        assert_eq!(whole.len(), 4);
        assert_eq!(whole[1], (b"\r\n".to_vec(), true));
        for cut in [1, 2, 3, 7] {
            assert_eq!(pieces(content, cut), whole, "cut every {cut}");
        }
    }

    #[test]
    fn a_long_line_comes_in_pieces_that_are_the_same_at_any_cut() {
        let mut content = vec![b'x'; PIECE_OCTETS_MAX * 2 + 10];
        content.extend_from_slice(b"\nnext\n");
        let whole = pieces(&content, content.len());
        let lengths: Vec<_> = whole.iter().map(|(octets, starts)| (octets.len(), *starts)).collect();
        assert_eq!(lengths, [(PIECE_OCTETS_MAX, true), (PIECE_OCTETS_MAX, false), (11, false), (5, true)]);
        for cut in [1, 1_000, PIECE_OCTETS_MAX, PIECE_OCTETS_MAX + 1] {
            assert_eq!(pieces(&content, cut), whole, "cut every {cut}");
        }
    }
}
