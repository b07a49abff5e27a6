//! Days in UTC, as the journal's files are named, and times as its pages show them.

use std::fmt;

use smtp::time::WallTime;

/// Milliseconds of a day.
pub(super) const DAY_MILLIS: u64 = 86_400_000;

/// A day in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(u64);

impl Day {
    /// The day of `time`.
    #[must_use]
    pub const fn of(time: WallTime) -> Self {
        Self(time.as_unix_millis() / DAY_MILLIS)
    }

    /// The day that begins `days` before this one; the first there is when that would be before 1970.
    #[must_use]
    pub const fn before(self, days: u64) -> Self {
        Self(self.0.saturating_sub(days))
    }

    /// Its first instant.
    #[must_use]
    pub const fn start(self) -> WallTime {
        WallTime::from_unix_millis(self.0.saturating_mul(DAY_MILLIS))
    }

    /// The day that is written `2026-11-25`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, '-');
        let mut number = |digits: usize| -> Option<u64> {
            let part = parts.next()?;
            let plain = part.len() == digits && part.bytes().all(|octet| octet.is_ascii_digit());
            plain.then(|| part.parse().ok())?
        };
        let (year, month, day) = (number(4)?, number(2)?, number(2)?);
        if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
            return None;
        }
        // Years count from March, so that a leap day is the last of its year.
        let march_year = if month <= 2 { year - 1 } else { year };
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = march_year * 365 + march_year / 4 - march_year / 100 + march_year / 400 + day_of_year;
        let found = Self(days.checked_sub(719_468)?);
        (found.to_string() == text).then_some(found)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.start().date();
        write!(formatter, "{year:04}-{month:02}-{day:02}")
    }
}

/// A time to the millisecond: `2026-11-25 09:30:00.125 UTC`.
#[must_use]
pub fn show_time(time: WallTime) -> String {
    let millis = time.as_unix_millis();
    let second = millis / 1_000 % 86_400;
    format!(
        "{} {:02}:{:02}:{:02}.{:03} UTC",
        Day::of(time),
        second / 3_600,
        second / 60 % 60,
        second % 60,
        millis % 1_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_reads_back_and_nothing_else_is_one() {
        for days in (0..80_000).step_by(13).chain([0, 59, 60, 11_016, 11_017, 47_540, 47_541]) {
            let day = Day(days);
            assert_eq!(Day::parse(&day.to_string()), Some(day));
        }
        for text in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-1-01",
            "1969-12-31",
            "2026-01",
            "x",
            "+026-01-01",
        ] {
            assert_eq!(Day::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_shown_to_the_millisecond() {
        let time = WallTime::from_unix_millis(1_795_434_399_007);
        assert_eq!(show_time(time), "2026-11-23 11:46:39.007 UTC");
        assert_eq!(Day::of(time).before(1).to_string(), "2026-11-22");
    }
}
