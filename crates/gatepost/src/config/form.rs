//! Forms of values: how a key's value is written, read, checked and described.
//!
//! Invariants: a form reports what it refuses, with the place and what it expects; it never guesses a value.

use std::ops::Range;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) span: Range<usize>,
    pub(crate) title: String,
    pub(crate) label: String,
    pub(crate) help: Option<String>,
}

impl Fault {
    pub(crate) fn new(span: Range<usize>, title: impl Into<String>, label: impl Into<String>) -> Self {
        Self { span, title: title.into(), label: label.into(), help: None }
    }

    pub(crate) fn help(mut self, advice: Option<String>) -> Self {
        self.help = advice;
        self
    }

    /// A value of another type than `form` has.
    pub(crate) fn wrong_type(value: &Spanned<DeValue<'_>>, form: &str) -> Self {
        let title = format!("{} where {form} is expected", type_name(value.get_ref()));
        Self::new(value.span(), title, format!("expected {form}"))
    }
}

/// How the values of a key are written.
pub(crate) trait Form: Sync {
    /// What they mean.
    type Value: Clone;

    /// How they are written, as the reference and messages say it: "a size from 1 kB to 2 GB".
    fn describe(&self) -> String;

    /// What `value` means; `None` when `faults` says why not.
    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value>;
}

/// A form that a key may have as a whole.
pub(crate) trait Whole: Form {
    /// What stands for a value that was refused, or for a default that isn't written.
    fn fallback(&self) -> Self::Value;
}

/// A value that may be absent.
pub(crate) struct Maybe<F>(pub(crate) F);

impl<F: Form> Form for Maybe<F> {
    type Value = Option<F::Value>;

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        self.0.read(value, faults).map(Some)
    }
}

impl<F: Form> Whole for Maybe<F> {
    fn fallback(&self) -> Self::Value {
        None
    }
}

/// A value with its place.
pub(crate) struct Placed<F>(pub(crate) F);

impl<F: Form> Form for Placed<F> {
    type Value = Option<Spanned<F::Value>>;

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        self.0.read(value, faults).map(|meant| Some(Spanned::new(value.span(), meant)))
    }
}

impl<F: Form> Whole for Placed<F> {
    fn fallback(&self) -> Self::Value {
        None
    }
}

/// A list of values, each with its place.
pub(crate) struct ListOf<F> {
    pub(crate) element: F,
    /// What a list is called: "a list of networks".
    pub(crate) named: &'static str,
    /// Whether one value may stand without brackets.
    pub(crate) or_one: bool,
}

impl<F: Form> Form for ListOf<F> {
    type Value = Vec<Spanned<F::Value>>;

    fn describe(&self) -> String {
        if self.or_one {
            format!("{} or {}", self.element.describe(), self.named)
        } else {
            self.named.to_owned()
        }
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let mut list = Vec::new();
        let mut read_element = |element: &Spanned<DeValue<'_>>| {
            if let Some(meant) = self.element.read(element, faults) {
                list.push(Spanned::new(element.span(), meant));
            }
        };
        match value.get_ref() {
            DeValue::Array(elements) => elements.iter().for_each(read_element),
            _ if self.or_one => read_element(value),
            _ => {
                faults.push(Fault::wrong_type(value, self.named));
                return None;
            }
        }
        Some(list)
    }
}

impl<F: Form> Whole for ListOf<F> {
    fn fallback(&self) -> Self::Value {
        Vec::new()
    }
}

/// A word of the site's own; what it is called stands in it.
pub(crate) struct WordForm(pub(crate) &'static str);

impl Form for WordForm {
    type Value = String;

    fn describe(&self) -> String {
        self.0.to_owned()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<String> {
        let text = text_of(value, self.0, faults)?;
        if text.is_empty() || text.contains(char::is_control) {
            faults.push(Fault::new(value.span(), format!("not {}", self.0), format!("expected {}", self.0)));
            return None;
        }
        Some(text.to_owned())
    }
}

/// Octets: an integer, or a number with a unit.
pub(crate) struct Size {
    pub(crate) min_octets: u64,
    pub(crate) max_octets: u64,
}

/// Units of sizes, in the order in which a size is shown with them.
const SIZE_UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("B", 1),
];

/// The octets of a size as it is written: digits, or a number with a unit.
pub(crate) fn size_octets(text: &str) -> Option<u64> {
    text.parse().ok().or_else(|| with_unit(text, &SIZE_UNITS))
}

impl Form for Size {
    type Value = u64;

    fn describe(&self) -> String {
        format!("a size from {} to {}", show_size(self.min_octets), show_size(self.max_octets))
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<u64> {
        let octets = match value.get_ref() {
            DeValue::Integer(integer) => u64::from_str_radix(integer.as_str(), integer.radix()).ok(),
            DeValue::String(text) => with_unit(text, &SIZE_UNITS),
            _ => None,
        };
        let Some(octets) = octets else {
            let fault = Fault::new(value.span(), "not a size", format!("expected {}", self.describe()));
            faults.push(fault.help(Some("write a size as \"50 MB\", \"1 MiB\" or 65536 (octets)".into())));
            return None;
        };
        in_bounds(octets, self.min_octets, self.max_octets, || self.describe(), value, faults)
    }
}

impl Whole for Size {
    fn fallback(&self) -> u64 {
        self.min_octets
    }
}

/// A length of time.
pub(crate) struct Time {
    pub(crate) min_seconds: u64,
    pub(crate) max_seconds: u64,
}

const TIME_UNITS: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

impl Form for Time {
    type Value = Duration;

    fn describe(&self) -> String {
        format!("a time from {} to {}", show_seconds(self.min_seconds), show_seconds(self.max_seconds))
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Duration> {
        let seconds = match value.get_ref() {
            DeValue::String(text) => with_unit(text, &TIME_UNITS),
            _ => None,
        };
        let Some(seconds) = seconds else {
            let fault = Fault::new(value.span(), "not a time", format!("expected {}", self.describe()));
            faults.push(fault.help(Some("write a time as \"30s\", \"5m\", \"1h\" or \"5d\"".into())));
            return None;
        };
        in_bounds(seconds, self.min_seconds, self.max_seconds, || self.describe(), value, faults)
            .map(Duration::from_secs)
    }
}

impl Whole for Time {
    fn fallback(&self) -> Duration {
        Duration::from_secs(self.min_seconds)
    }
}

/// A whole number.
pub(crate) struct Count {
    pub(crate) min: u32,
    pub(crate) max: u32,
}

impl Form for Count {
    type Value = u32;

    fn describe(&self) -> String {
        format!("a whole number from {} to {}", self.min, self.max)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<u32> {
        let DeValue::Integer(integer) = value.get_ref() else {
            faults.push(Fault::wrong_type(value, &self.describe()));
            return None;
        };
        let number = i128::from_str_radix(integer.as_str(), integer.radix()).unwrap_or(i128::MAX);
        let (min, max) = (i128::from(self.min), i128::from(self.max));
        let number = in_bounds(number, min, max, || self.describe(), value, faults)?;
        u32::try_from(number).ok()
    }
}

impl Whole for Count {
    fn fallback(&self) -> u32 {
        self.min
    }
}

/// `true` or `false`.
pub(crate) struct Flag;

impl Form for Flag {
    type Value = bool;

    fn describe(&self) -> String {
        "`true` or `false`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<bool> {
        if let DeValue::Boolean(flag) = value.get_ref() {
            return Some(*flag);
        }
        faults.push(Fault::wrong_type(value, "`true` or `false`"));
        None
    }
}

impl Whole for Flag {
    fn fallback(&self) -> bool {
        false
    }
}

/// One of some words.
pub(crate) struct Choice<T: 'static> {
    pub(crate) words: &'static [(&'static str, T)],
    pub(crate) fallback: T,
}

impl<T: Clone + Sync> Form for Choice<T> {
    type Value = T;

    fn describe(&self) -> String {
        let words: Vec<String> = self.words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        match words.split_last() {
            Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
            _ => words.concat(),
        }
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<T> {
        let text = text_of(value, &self.describe(), faults)?;
        if let Some((_, meant)) = self.words.iter().find(|(word, _)| *word == text) {
            return Some(meant.clone());
        }
        let near = policy::nearest::did_you_mean(text, self.words.iter().map(|(word, _)| *word));
        let title = format!("unknown value `{text}`");
        faults.push(Fault::new(value.span(), title, format!("expected {}", self.describe())).help(near));
        None
    }
}

impl<T: Clone + Sync> Whole for Choice<T> {
    fn fallback(&self) -> T {
        self.fallback.clone()
    }
}

/// The text of a string value.
pub(crate) fn text_of<'v>(
    value: &'v Spanned<DeValue<'_>>,
    form: &str,
    faults: &mut Vec<Fault>,
) -> Option<&'v str> {
    if let DeValue::String(text) = value.get_ref() {
        return Some(text);
    }
    faults.push(Fault::wrong_type(value, form));
    None
}

fn in_bounds<N: PartialOrd>(
    number: N,
    min: N,
    max: N,
    describe: impl Fn() -> String,
    value: &Spanned<DeValue<'_>>,
    faults: &mut Vec<Fault>,
) -> Option<N> {
    if (min..=max).contains(&number) {
        return Some(number);
    }
    faults.push(Fault::new(value.span(), "out of range", format!("expected {}", describe())));
    None
}

/// A number and its unit, with or without a space between, in the smallest unit; case of the unit is disregarded.
fn with_unit(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = text.find(|character: char| !character.is_ascii_digit())?;
    let (digits, unit) = text.split_at_checked(end)?;
    let unit = unit.trim_start_matches(' ');
    let (_, factor) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// A size in the largest unit that needs no fraction.
pub(crate) fn show_size(octets: u64) -> String {
    SIZE_UNITS
        .iter()
        .filter(|(_, factor)| octets >= *factor && octets.is_multiple_of(*factor))
        .min_by_key(|(_, factor)| octets / factor)
        .map_or_else(|| format!("{octets} B"), |(unit, factor)| format!("{} {unit}", octets / factor))
}

/// A time in the largest unit that needs no fraction.
pub(crate) fn show_seconds(seconds: u64) -> String {
    TIME_UNITS
        .iter()
        .find(|(_, factor)| seconds >= *factor && seconds.is_multiple_of(*factor))
        .map_or_else(|| format!("{seconds}s"), |(unit, factor)| format!("{}{unit}", seconds / factor))
}

const fn type_name(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "`true` or `false`",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<F: Form>(form: &F, text: &str) -> Result<F::Value, Vec<Fault>> {
        let mut faults = Vec::new();
        let meant = form.read(&DeValue::parse(text).unwrap(), &mut faults);
        meant.filter(|_| faults.is_empty()).ok_or(faults)
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        let form = Size { min_octets: 10, max_octets: 50_000_000 };
        assert_eq!(read(&form, "\"50 MB\""), Ok(50_000_000));
        assert_eq!(read(&form, "\"1MiB\""), Ok(1_048_576));
        assert_eq!(read(&form, "\"64 kib\""), Ok(65_536));
        assert_eq!(read(&form, "0x400"), Ok(1024));
        for text in
            ["\"51 MB\"", "9", "\"MB\"", "\"1 mile\"", "-1", "\"99999999999999999999 B\"", "1.5", "true"]
        {
            assert!(read(&form, text).is_err(), "{text}");
        }
        assert_eq!(show_size(65_536), "64 KiB");
        assert_eq!(show_size(50_000_000), "50 MB");
        assert_eq!(show_size(1_001), "1001 B");
        assert_eq!(show_size(0), "0 B");
    }

    #[test]
    fn times_have_units_and_bounds() {
        let form = Time { min_seconds: 1, max_seconds: 86_400 };
        assert_eq!(read(&form, "\"5m\""), Ok(Duration::from_secs(300)));
        assert_eq!(read(&form, "\"300 s\""), Ok(Duration::from_secs(300)));
        for text in ["\"0s\"", "\"2d\"", "300", "\"5\"", "\"m\"", "\"5 minutes\""] {
            assert!(read(&form, text).is_err(), "{text}");
        }
        assert_eq!(show_seconds(300), "5m");
        assert_eq!(show_seconds(90), "90s");
    }

    #[test]
    fn counts_have_bounds() {
        let form = Count { min: 0, max: 10 };
        assert_eq!(read(&form, "0"), Ok(0));
        assert_eq!(read(&form, "1_0"), Ok(10));
        for text in ["11", "-1", "99999999999", "\"3\"", "1.0"] {
            assert!(read(&form, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_list_reports_each_bad_element() {
        let form = ListOf { element: Count { min: 1, max: 3 }, named: "a list of numbers", or_one: false };
        assert_eq!(read(&form, "[1, 9, 2, true]").unwrap_err().len(), 2);
        assert_eq!(read(&form, "1").unwrap_err().len(), 1);
    }
}
