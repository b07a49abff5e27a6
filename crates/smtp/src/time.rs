//! The two times that do not mix: `Timestamp` for sessions, `WallTime` for headers and the retry schedule.
//!
//! Neither reads a clock; the program's `clock.rs` makes them and passes them in.

use alloc::string::String;
use core::ops::Add;
use core::time::Duration;

/// A monotonic instant, in milliseconds since an origin that the program chose at its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Timestamp(u64);

impl Timestamp {
    /// The latest instant there is: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The instant `milliseconds` after the origin.
    #[must_use]
    pub const fn from_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the origin.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this instant; zero when `earlier` is not earlier.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for Timestamp {
    type Output = Self;

    /// Saturates at [`Timestamp::NEVER`].
    fn add(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

/// A wall-clock time, in milliseconds since 1970-01-01T00:00:00Z. It survives a restart and may step either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct WallTime(u64);

impl WallTime {
    /// The time `milliseconds` after the Unix epoch.
    #[must_use]
    pub const fn from_unix_millis(milliseconds: u64) -> Self {
        Self(milliseconds)
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the Unix epoch.
    #[must_use]
    pub const fn as_unix_seconds(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to this time; zero when the clock has stepped back past it.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    /// Saturates at the end of representable time.
    fn add(self, duration: Duration) -> Self {
        let milliseconds = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(milliseconds))
    }
}

impl WallTime {
    /// Year, month and day, in UTC.
    #[must_use]
    pub const fn date(self) -> (u64, u64, u64) {
        civil(self.as_unix_seconds() / 86_400)
    }

    /// The time as a date-time of RFC 5322 §3.3, in UTC: `Mon, 23 Nov 2026 11:59:59 +0000`.
    #[must_use]
    pub fn to_date_time(self) -> String {
        const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
        const MONTHS: [&str; 12] =
            ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
        let (days, second_of_day) = (self.as_unix_seconds() / 86_400, self.as_unix_seconds() % 86_400);
        let (year, month, day) = civil(days);
        let name = |names: &'static [&'static str], index: u64| -> &'static str {
            usize::try_from(index).ok().and_then(|index| names.get(index)).copied().unwrap_or("")
        };
        let mut text = String::with_capacity(32);
        text.push_str(name(&DAYS, days % 7));
        text.push_str(", ");
        push_number(&mut text, day, 1);
        text.push(' ');
        text.push_str(name(&MONTHS, month - 1));
        text.push(' ');
        push_number(&mut text, year, 1);
        text.push(' ');
        push_time(&mut text, second_of_day);
        text.push_str(" +0000");
        text
    }

    /// The time as a timestamp of RFC 3339 §5.6, in UTC with milliseconds: `2026-11-23T11:59:59.000Z`.
    #[must_use]
    pub fn to_timestamp(self) -> String {
        let (days, second_of_day) = (self.as_unix_seconds() / 86_400, self.as_unix_seconds() % 86_400);
        let (year, month, day) = civil(days);
        let mut text = String::with_capacity(24);
        if year > 9_999 {
            push_number(&mut text, year, 4);
        } else {
            push_two(&mut text, year / 100);
            push_two(&mut text, year % 100);
        }
        text.push('-');
        push_two(&mut text, month);
        text.push('-');
        push_two(&mut text, day);
        text.push('T');
        push_time(&mut text, second_of_day);
        text.push('.');
        let milliseconds = self.0 % 1_000;
        text.push(digit(milliseconds / 100));
        push_two(&mut text, milliseconds % 100);
        text.push('Z');
        text
    }
}

/// Appends `hh:mm:ss`.
fn push_time(text: &mut String, second_of_day: u64) {
    push_two(text, second_of_day / 3_600);
    text.push(':');
    push_two(text, second_of_day / 60 % 60);
    text.push(':');
    push_two(text, second_of_day % 60);
}

/// Appends a number below 100 in two digits.
fn push_two(text: &mut String, number: u64) {
    text.push(digit(number / 10));
    text.push(digit(number));
}

/// The last digit of a number.
const fn digit(number: u64) -> char {
    (b'0' + (number % 10) as u8) as char
}

/// Appends a number in at least `width` digits, at most 20.
fn push_number(text: &mut String, number: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    let mut rest = number;
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        if rest == 0 {
            break;
        }
        *digit = b'0' + u8::try_from(rest % 10).unwrap_or(0);
        first = place;
        rest /= 10;
    }
    let written = digits.get(first.min(digits.len() - width)..).unwrap_or_default();
    text.push_str(core::str::from_utf8(written).unwrap_or_default());
}

/// Year, month and day of the Gregorian calendar, `days` after 1970-01-01.
const fn civil(days: u64) -> (u64, u64, u64) {
    // Counted from 0000-03-01, so that a leap day is the last of its year; 146 097 days are 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + if month <= 2 { 1 } else { 0 };
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, text) in [
            (0, "Thu, 1 Jan 1970 00:00:00 +0000"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 +0000"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 +0000"),
            (951_868_800, "Wed, 1 Mar 2000 00:00:00 +0000"),
            (1_795_434_399, "Mon, 23 Nov 2026 11:46:39 +0000"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 +0000"),
            (4_107_542_400, "Mon, 1 Mar 2100 00:00:00 +0000"),
        ] {
            assert_eq!(WallTime::from_unix_millis(seconds * 1000).to_date_time(), text);
        }
    }

    #[test]
    fn a_timestamp_sorts_as_its_time() {
        for (milliseconds, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_007, "2000-02-29T00:00:00.007Z"),
            (1_795_434_399_999, "2026-11-23T11:46:39.999Z"),
        ] {
            assert_eq!(WallTime::from_unix_millis(milliseconds).to_timestamp(), text);
        }
    }

    #[test]
    fn times_saturate_instead_of_wrapping() {
        assert_eq!(Timestamp::from_millis(5) + Duration::MAX, Timestamp::NEVER);
        assert_eq!(Timestamp::from_millis(5).since(Timestamp::from_millis(9)), Duration::ZERO);
    }
}
