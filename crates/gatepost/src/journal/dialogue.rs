//! The last of a session's dialogue, for `gatepost explain`.
//!
//! Invariants: it holds at most [`DIALOGUE_OCTETS_MAX`]; it begins with a whole line; nothing is allocated before the
//! first line.

/// Octets of a dialogue that are kept (ours): about the last twenty lines.
pub const DIALOGUE_OCTETS_MAX: usize = 2048;

/// Octets of one line that are kept (ours).
const LINE_OCTETS_MAX: usize = 512;

/// What was said, in lines that begin with `C: ` or `S: `.
#[derive(Debug, Clone, Default)]
pub(super) struct Dialogue(Vec<u8>);

impl Dialogue {
    /// Lines of the client.
    pub(super) fn heard(&mut self, lines: &[u8]) {
        for line in lines.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                self.push(b"C: ", line);
            }
        }
    }

    /// A reply of the server, as it goes over the wire.
    pub(super) fn said(&mut self, wire: &[u8]) {
        for line in wire.split(|octet| *octet == b'\n') {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if !line.is_empty() {
                self.push(b"S: ", line);
            }
        }
    }

    fn push(&mut self, who: &[u8], line: &[u8]) {
        let line = line.get(..LINE_OCTETS_MAX).unwrap_or(line);
        let over = (self.0.len() + who.len() + line.len() + 1).saturating_sub(DIALOGUE_OCTETS_MAX);
        if over > 0 {
            let rest = self.0.get(over - 1..).unwrap_or_default();
            let gone = rest.iter().position(|octet| *octet == b'\n').map_or(self.0.len(), |end| over + end);
            self.0.drain(..gone);
        }
        self.0.extend_from_slice(who);
        self.0.extend_from_slice(line);
        self.0.push(b'\n');
    }

    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_stand_line_by_line() {
        let mut dialogue = Dialogue::default();
        assert_eq!(dialogue.0.capacity(), 0);
        dialogue.heard(b"EHLO a.example\nMAIL FROM:<>\r\n");
        dialogue.said(b"503 5.5.1 send EHLO or HELO first\r\n");
        let expected = "C: EHLO a.example\nC: MAIL FROM:<>\nS: 503 5.5.1 send EHLO or HELO first\n";
        assert_eq!(String::from_utf8_lossy(dialogue.octets()), expected);
    }

    #[test]
    fn the_oldest_lines_go_first_and_whole() {
        let mut dialogue = Dialogue::default();
        for number in 0..1_000 {
            dialogue.heard(format!("NOOP {number}\n").as_bytes());
            assert!(dialogue.octets().len() <= DIALOGUE_OCTETS_MAX);
        }
        let text = String::from_utf8(dialogue.octets().to_vec()).unwrap();
        assert!(text.lines().all(|line| line.starts_with("C: NOOP ")), "{text}");
        assert!(text.ends_with("C: NOOP 999\n") && text.len() > DIALOGUE_OCTETS_MAX - 20);
        dialogue.heard(&[b'x'; 100_000]);
        assert!(dialogue.octets().ends_with(b"x\n") && dialogue.octets().len() <= DIALOGUE_OCTETS_MAX);
    }
}
