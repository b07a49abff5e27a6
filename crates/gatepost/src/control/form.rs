//! How values stand in JSON: addresses and ids as their text, times as timestamps of RFC 3339.

use std::fmt;
use std::str::FromStr;

use queue::message::Destination;
use smtp::address::{ForwardPath, ReversePath};
use smtp::time::WallTime;

use crate::journal::day::Day;

/// Values that print as text which reads back.
pub(super) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        value: &T,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")))
    }
}

/// A list of such values.
pub(super) mod texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(in super::super) fn serialize<T: Display, S: Serializer>(
        values: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(in super::super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(deserializer)?;
        let read =
            |text: &String| text.parse().map_err(|error| D::Error::custom(format!("`{text}`: {error}")));
        texts.iter().map(read).collect()
    }
}

/// A time, such as `2026-11-25T09:30:00.125Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time(pub WallTime);

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.to_timestamp())
    }
}

/// The text is no time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotATime;

impl fmt::Display for NotATime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a time as in 2026-11-25T09:30:00.125Z")
    }
}

impl FromStr for Time {
    type Err = NotATime;

    fn from_str(text: &str) -> Result<Self, NotATime> {
        parse_time(text).map(Self).ok_or(NotATime)
    }
}

fn parse_time(text: &str) -> Option<WallTime> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (time, fraction) = time.split_once('.')?;
    let number = |digits: &str, width: usize| -> Option<u64> {
        let plain = digits.len() == width && digits.bytes().all(|octet| octet.is_ascii_digit());
        plain.then(|| digits.parse().ok())?
    };
    let mut parts = time.split(':');
    let mut below = |limit: u64| number(parts.next()?, 2).filter(|number| *number < limit);
    let seconds = below(24)? * 3_600 + below(60)? * 60 + below(60)?;
    if parts.next().is_some() {
        return None;
    }
    let millis = Day::parse(date)?.start().as_unix_millis() + seconds * 1_000 + number(fraction, 3)?;
    Some(WallTime::from_unix_millis(millis))
}

impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        text::serialize(self, serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::deserialize(deserializer)
    }
}

/// A path without its brackets, but for the null one: `alice@example.net`, `<>`.
pub(super) fn bare(path: &ReversePath) -> String {
    path.mailbox().map_or_else(|| String::from("<>"), ToString::to_string)
}

/// The path that [`bare`] printed.
pub(super) fn reverse_path(text: &str) -> Result<ReversePath, String> {
    let path = if text.starts_with('<') { text.to_owned() } else { format!("<{text}>") };
    path.parse().map_err(|error| format!("`{text}` is no reverse-path: {error}"))
}

/// A forward-path without its brackets: `bob@example.org`, `Postmaster`.
pub(super) fn bare_forward(path: &ForwardPath) -> String {
    path.mailbox().map_or_else(|| String::from("Postmaster"), ToString::to_string)
}

/// The path that [`bare_forward`] printed.
pub(super) fn forward_path(text: &str) -> Result<ForwardPath, String> {
    format!("<{text}>").parse().map_err(|error| format!("`{text}` is no forward-path: {error}"))
}

/// Longest key of a destination that is taken from outside, in octets (ours: a domain and a word in front of it).
const DESTINATION_OCTETS_MAX: usize = 300;

/// The destination with this key.
pub(super) fn destination(key: &str) -> Result<Destination, String> {
    if key.is_empty() || key.len() > DESTINATION_OCTETS_MAX || key.chars().any(char::is_control) {
        return Err(format!("`{}` is no destination", key.escape_debug()));
    }
    Ok(Destination::new(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_reads_back_to_the_millisecond_and_nothing_else_is_one() {
        for millis in [0, 1, 1_795_434_399_007, 1_795_434_399_999, 4_102_444_800_000] {
            let time = Time(WallTime::from_unix_millis(millis));
            assert_eq!(time.to_string().parse(), Ok(time));
        }
        for text in [
            "",
            "2026-11-25",
            "2026-11-25T09:30:00Z",
            "2026-11-25T24:30:00.000Z",
            "2026-11-25T09:30:00.00Z",
            "2026-11-25T09:30:00:00.000Z",
            "2026-02-30T09:30:00.000Z",
            "2026-11-25T09:30:00.000",
        ] {
            assert_eq!(text.parse::<Time>(), Err(NotATime), "{text}");
        }
    }

    #[test]
    fn paths_read_back_without_their_brackets() {
        for text in ["<>", "alice@example.net", "\"a b\"@example.net", "alice@[192.0.2.1]"] {
            assert_eq!(bare(&reverse_path(text).unwrap()), text);
        }
        assert_eq!(bare_forward(&forward_path("postmaster").unwrap()), "Postmaster");
        assert!(reverse_path("alice").is_err());
        assert!(destination("mx:example.org").is_ok());
        assert!(destination("").is_err() && destination("a\nb").is_err());
    }
}
