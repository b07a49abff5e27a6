//! Ages, sizes and counts in words, and lines that fit a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use smtp::time::WallTime;

/// A duration in its largest unit that counts: `12 min`, `3 h`, `5 d`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// When something is due: `now`, `in 12 min`.
pub(super) fn due(due: WallTime, now: WallTime) -> String {
    if due <= now { String::from("now") } else { format!("in {}", span(due.since(now))) }
}

/// Octets in the largest unit that counts.
pub(super) fn size(octets: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(unit, _)| octets >= *unit) {
        Some((unit, name)) => {
            let tenths = octets / (unit / 10).max(1);
            if tenths < 100 {
                format!("{}.{} {name}", tenths / 10, tenths % 10)
            } else {
                format!("{} {name}", octets / unit)
            }
        }
        None => format!("{octets} B"),
    }
}

/// A number and its noun, in the plural where that is due.
pub(super) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// Cuts lines to a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Width(Option<usize>);

impl Width {
    /// As wide as the terminal of standard output; without one nothing is cut.
    pub(super) fn of_stdout() -> Self {
        if !std::io::stdout().is_terminal() {
            return Self(None);
        }
        Self(terminal_size::terminal_size().map(|(terminal_size::Width(columns), _)| usize::from(columns)))
    }

    /// The line, cut; a control character, which a terminal would act on, becomes a mark.
    pub(super) fn fit(self, line: &str) -> String {
        let clean = line.chars().map(|letter| if letter.is_control() { '\u{FFFD}' } else { letter });
        match self.0 {
            Some(columns) if line.chars().count() > columns => {
                clean.take(columns.saturating_sub(1)).chain(['…']).collect()
            }
            _ => clean.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_show_what_counts() {
        for (seconds, text) in [(0, "0 s"), (59, "59 s"), (60, "1 min"), (7_199, "1 h"), (172_800, "2 d")] {
            assert_eq!(span(Duration::from_secs(seconds)), text);
        }
        for (octets, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (4_200, "4.1 KiB"),
            (20_480, "20 KiB"),
            (5 << 20, "5.0 MiB"),
            (3 << 40, "3072 GiB"),
        ] {
            assert_eq!(size(octets), text);
        }
        let at = WallTime::from_unix_millis;
        assert_eq!(due(at(1_000), at(1_000)), "now");
        assert_eq!(due(at(721_000), at(1_000)), "in 12 min");
        assert_eq!((count(1, "message"), count(0, "message")), ("1 message".into(), "0 messages".into()));
    }

    #[test]
    fn a_line_is_cut_to_the_terminal_and_nothing_acts_on_it() {
        assert_eq!(Width(Some(5)).fit("abcdef"), "abcd…");
        assert_eq!(Width(Some(5)).fit("abcde"), "abcde");
        assert_eq!(Width(None).fit("a\u{1b}[2J"), "a\u{FFFD}[2J");
    }
}
