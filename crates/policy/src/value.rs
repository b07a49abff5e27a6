//! Values: what a fact can be, and what is known of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// What kind of value a fact has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Type {
    /// `yes` or `no`.
    Boolean,
    /// A whole number.
    Number,
    /// An amount of octets: `50 MB`, `1 MiB`.
    Octets,
    /// A length of time: `30s`, `5min`, `1h`, `7d`.
    Duration,
    /// Text, compared without regard to ASCII case.
    Text,
    /// An IP address; an IPv4-mapped IPv6 address is held as IPv4.
    Address,
    /// One of a few words.
    Choice(&'static [&'static str]),
    /// Several texts, for `any` and `every`.
    Texts,
    /// Several addresses, for `any` and `every`.
    Addresses,
}

/// A value that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Of [`Type::Boolean`].
    Boolean(bool),
    /// Of [`Type::Number`] or [`Type::Octets`].
    Number(i64),
    /// Of [`Type::Duration`].
    Duration(Duration),
    /// Of [`Type::Text`].
    Text(Arc<str>),
    /// Of [`Type::Address`].
    Address(IpAddr),
    /// Of [`Type::Choice`]: one of its words.
    Choice(&'static str),
    /// Of [`Type::Texts`]; empty when there is none.
    Texts(Arc<[Arc<str>]>),
    /// Of [`Type::Addresses`]; empty when there is none.
    Addresses(Arc<[IpAddr]>),
}

/// What is known of a fact.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum State {
    /// Nobody has asked yet.
    #[default]
    NotAsked,
    /// It was asked, and this is the answer.
    Known(Value),
    /// It was asked, and there is none: no PTR record, no authenticated user.
    Missing,
    /// It could not be found out; why, in a few words (`time-out`, `SERVFAIL`).
    Unsure(Arc<str>),
}

impl Value {
    /// A text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Text(Arc::from(text))
    }

    /// An address, an IPv4-mapped one as IPv4.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self::Address(address.to_canonical())
    }
}

impl State {
    /// A known boolean.
    #[must_use]
    pub const fn yes_or_no(yes: bool) -> Self {
        Self::Known(Value::Boolean(yes))
    }

    /// A known text.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::Known(Value::text(text))
    }

    /// The text, or [`State::Missing`].
    #[must_use]
    pub fn text_or_missing(text: Option<&str>) -> Self {
        text.map_or(Self::Missing, Self::text)
    }

    /// A known number; one beyond `i64` is held as the largest.
    #[must_use]
    pub fn number(number: u64) -> Self {
        Self::Known(Value::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    /// The reason why it could not be found out.
    #[must_use]
    pub fn unsure(why: &str) -> Self {
        Self::Unsure(Arc::from(why))
    }

    /// Whether it was asked for, whatever came of it.
    #[must_use]
    pub const fn is_asked(&self) -> bool {
        !matches!(self, Self::NotAsked)
    }

    /// The value, when it is known.
    #[must_use]
    pub const fn value(&self) -> Option<&Value> {
        match self {
            Self::Known(value) => Some(value),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    /// As a reply's text and `explain` show it; several values are separated by `, `.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn list<T: fmt::Display>(items: &[T], formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            for (index, item) in items.iter().enumerate() {
                write!(formatter, "{}{item}", if index == 0 { "" } else { ", " })?;
            }
            Ok(())
        }
        match self {
            Self::Boolean(yes) => formatter.write_str(if *yes { "yes" } else { "no" }),
            Self::Number(number) => write!(formatter, "{number}"),
            Self::Duration(duration) => show_duration(*duration, formatter),
            Self::Text(text) => formatter.write_str(text),
            Self::Address(address) => write!(formatter, "{address}"),
            Self::Choice(word) => formatter.write_str(word),
            Self::Texts(texts) => list(texts, formatter),
            Self::Addresses(addresses) => list(addresses, formatter),
        }
    }
}

/// A duration in its largest whole unit, as policies write it.
fn show_duration(duration: Duration, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
    let seconds = duration.as_secs();
    if duration.subsec_millis() != 0 {
        return write!(formatter, "{}ms", duration.as_millis());
    }
    let (count, unit) = [(86_400, "d"), (3_600, "h"), (60, "min")]
        .into_iter()
        .find(|(length, _)| seconds > 0 && seconds.is_multiple_of(*length))
        .map_or((seconds, "s"), |(length, unit)| (seconds / length, unit));
    write!(formatter, "{count}{unit}")
}

impl fmt::Display for State {
    /// As `explain` shows it: the value, `(none)`, `unsure: why` or `not asked`.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => formatter.write_str("not asked"),
            Self::Known(value) => write!(formatter, "{value}"),
            Self::Missing => formatter.write_str("(none)"),
            Self::Unsure(why) => write!(formatter, "unsure: {why}"),
        }
    }
}
