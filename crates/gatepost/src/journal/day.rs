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

    /// The day that begins so many days after 1970 did.
    #[must_use]
    pub const fn numbered(number: u64) -> Self {
        Self(number)
    }

    /// How many days after 1970 began it does.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
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

/// The time that an operator means: `7d`, `12h`, `30min` or `90s` before `now`, or `2026-11-25`, with `T10:30` or
/// `T10:30:05` behind it if wanted, in UTC.
#[must_use]
pub fn parse_time(text: &str, now: WallTime) -> Option<WallTime> {
    let (date, clock) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    if let Some(day) = Day::parse(date) {
        let mut seconds = 0;
        let parts: Vec<&str> = clock.trim_end_matches('Z').split(':').collect();
        for (part, (limit, factor)) in parts.iter().zip([(24, 3_600), (60, 60), (60, 1)]) {
            let plain = part.len() == 2 && part.bytes().all(|octet| octet.is_ascii_digit());
            let number = plain.then(|| part.parse::<u64>().ok())?.filter(|number| *number < limit)?;
            seconds += number * factor;
        }
        let start = day.start().as_unix_millis();
        return (2..=3).contains(&parts.len()).then(|| WallTime::from_unix_millis(start + seconds * 1_000));
    }
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    let millis = match unit.trim_start() {
        "d" => DAY_MILLIS,
        "h" => 3_600_000,
        "min" | "m" => 60_000,
        "s" => 1_000,
        _ => return None,
    };
    let before = digits.parse::<u64>().ok()?.checked_mul(millis)?;
    Some(WallTime::from_unix_millis(now.as_unix_millis().saturating_sub(before)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_given_back_from_now_or_as_dates() {
        let now = WallTime::from_unix_millis(1_795_434_399_007);
        let back = |millis: u64| Some(WallTime::from_unix_millis(1_795_434_399_007 - millis));
        assert_eq!(parse_time("7d", now), back(7 * DAY_MILLIS));
        assert_eq!(parse_time("30min", now), back(1_800_000));
        assert_eq!(parse_time("90s", now), back(90_000));
        assert_eq!(parse_time("99999d", now), Some(WallTime::default()));
        let date = |text| parse_time(text, now).map(show_time);
        assert_eq!(date("2026-11-25").as_deref(), Some("2026-11-25 00:00:00.000 UTC"));
        assert_eq!(date("2026-11-25T10:30").as_deref(), Some("2026-11-25 10:30:00.000 UTC"));
        assert_eq!(date("2026-11-25T10:30:05Z").as_deref(), Some("2026-11-25 10:30:05.000 UTC"));
        for text in
            ["", "7", "d", "7 weeks", "2026-11-31", "2026-11-25T24:00", "2026-11-25T1:00", "2026-11-25T10"]
        {
            assert_eq!(parse_time(text, now), None, "{text}");
        }
    }

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
