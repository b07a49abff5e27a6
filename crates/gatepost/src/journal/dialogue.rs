//! The last of a session's dialogue, for `gatepost explain`.
//!
//! Invariants: what is shown is at most [`DIALOGUE_OCTETS_MAX`] and begins with a whole line; what is kept is at most
//! [`KEPT_OCTETS_MAX`], once the line that made it longer is in; nothing is allocated before the first line.

/// Octets of a dialogue that are kept (ours): about the last twenty lines.
pub const DIALOGUE_OCTETS_MAX: usize = 2048;

/// Octets that are kept before the oldest are dropped: twice as many, so that a line seldom moves all others.
const KEPT_OCTETS_MAX: usize = 2 * DIALOGUE_OCTETS_MAX;

/// Octets of one line of the client that are kept (ours).
const LINE_OCTETS_MAX: usize = 512;

/// How a line of the client begins; one of the server begins with its code.
const CLIENT: &[u8] = b"C: ";
const SERVER: &[u8] = b"S: ";

/// What was said: lines of the client with their mark, replies as they go over the wire.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialogue(Vec<u8>);

impl Dialogue {
    /// Lines of the client.
    pub(super) fn heard(&mut self, lines: &[u8]) {
        for line in self::lines(lines) {
            self.0.extend_from_slice(CLIENT);
            self.0.extend_from_slice(line.get(..LINE_OCTETS_MAX).unwrap_or(line));
            self.0.push(b'\n');
            self.shorten();
        }
    }

    /// Replies of the server, as they go over the wire.
    pub(super) fn said(&mut self, wire: &[u8]) {
        self.0.extend_from_slice(wire);
        self.shorten();
    }

    /// Drops the oldest lines that are too much.
    fn shorten(&mut self) {
        if self.0.len() > KEPT_OCTETS_MAX {
            self.0.drain(..self.too_much());
        }
    }

    /// Octets of the oldest lines that are too much.
    fn too_much(&self) -> usize {
        let over = self.0.len().saturating_sub(DIALOGUE_OCTETS_MAX);
        let Some(before) = over.checked_sub(1) else { return 0 };
        let rest = self.0.get(before..).unwrap_or_default();
        memchr::memchr(b'\n', rest).map_or(self.0.len(), |end| over + end)
    }

    /// The dialogue in lines that begin with `C: ` or `S: `.
    pub(super) fn text(&self) -> Vec<u8> {
        let kept = self.0.get(self.too_much()..).unwrap_or_default();
        let mut text = Vec::with_capacity(kept.len() + kept.len() / 8);
        for line in lines(kept) {
            if !line.starts_with(CLIENT) {
                text.extend_from_slice(SERVER);
            }
            text.extend_from_slice(line);
            text.push(b'\n');
        }
        text
    }
}

/// The lines, without their ends; empty ones left out.
fn lines(octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(octets);
    let lines = std::iter::from_fn(move || {
        let octets = rest.take()?;
        let end = memchr::memchr(b'\n', octets).unwrap_or(octets.len());
        rest = octets.get(end + 1..);
        octets.get(..end)
    });
    lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)).filter(|line| !line.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stand_line_by_line() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.0.capacity(), 0);
        dialogue.heard(b"EHLO a.example\nMAIL FROM:<>\r\n");
        dialogue.said(b"553-5.1.4 user ambiguous:\r\n553 5.1.4 a@b.example\r\n");
        let expected =
            "C: EHLO a.example\nC: MAIL FROM:<>\nS: 553-5.1.4 user ambiguous:\nS: 553 5.1.4 a@b.example\n";
        assert_eq!(String::from_utf8_lossy(&dialogue.text()), expected);
    }

    #[test]
    fn the_oldest_lines_go_first_and_whole() {
        let mut dialogue = Dialogue::default();
        for number in 0..1_000 {
            dialogue.heard(format!("NOOP {number}\n").as_bytes());
            dialogue.said(b"250 2.0.0 ok\r\n");
            assert!(dialogue.0.len() <= KEPT_OCTETS_MAX && dialogue.too_much() <= dialogue.0.len());
        }
        let text = String::from_utf8(dialogue.text()).unwrap();
        assert!(
            text.lines().all(|line| line.starts_with("C: NOOP ") || line.starts_with("S: 250 ")),
            "{text}"
        );
        let shown = dialogue.0.len() - dialogue.too_much();
        assert!(text.contains("C: NOOP 999\n"));
        assert!((DIALOGUE_OCTETS_MAX - 40..=DIALOGUE_OCTETS_MAX).contains(&shown), "{shown}");
        dialogue.heard(&[b'x'; 100_000]);
        assert!(dialogue.text().ends_with(b"x\n") && dialogue.0.len() <= KEPT_OCTETS_MAX);
    }
}
