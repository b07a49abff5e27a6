//! Words, numbers and addresses: what begins with a letter or a digit and goes on without a blank.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::{Kind, Lexer};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::syntax::ast::Network;
use crate::syntax::limits;
use crate::syntax::words::{SIZE_UNITS, TIME_UNITS};

/// Spellings of the units of time in other places.
const FAMILIAR_TIMES: [(&str, &str); 16] = [
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("m", "min"),
    ("mins", "min"),
    ("minute", "min"),
    ("minutes", "min"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
    ("msec", "ms"),
    ("milliseconds", "ms"),
];

/// Spellings of the units of size in other places.
const FAMILIAR_SIZES: [(&str, &str); 10] = [
    ("k", "kB"),
    ("kb", "kB"),
    ("m", "MB"),
    ("mb", "MB"),
    ("g", "GB"),
    ("gb", "GB"),
    ("kib", "KiB"),
    ("mib", "MiB"),
    ("gib", "GiB"),
    ("megabytes", "MB"),
];

impl Lexer<'_> {
    /// Reads a word, a number or an address.
    pub(super) fn atom(&mut self) {
        let start = self.at;
        let length = extent(self.rest());
        self.at += length;
        let atom = self.text.get(start..self.at).unwrap_or_default();
        if atom.bytes().filter(|octet| *octet == b':').count() > 1 {
            return match atom.parse::<Ipv6Addr>() {
                Ok(address) => self.address(start, IpAddr::V6(address)),
                Err(_) => {
                    let title = format!("`{}` is not an IPv6 address", shortened(atom));
                    self.broken(start, title, "expected an address such as 2001:db8::1", None);
                }
            };
        }
        let begins = atom.trim_start_matches('-').as_bytes().first().copied().unwrap_or_default();
        if begins.is_ascii_digit() { self.number(start, atom) } else { self.word(start, atom) }
    }

    fn word(&mut self, start: usize, word: &str) {
        if word.len() > limits::NAME_OCTETS {
            let title = format!("the name `{}` is too long", shortened(word));
            let label = format!("expected at most {} characters", limits::NAME_OCTETS);
            return self.broken(start, title, &label, None);
        }
        if word.ends_with('.') || word.contains(".-") {
            let label = "expected a name, such as `client.ip`";
            let advice = Some(String::from("a fact is written `group.name`"));
            return self.broken(start, format!("`{word}` is no name"), label, advice);
        }
        self.push(Kind::Word, start);
    }

    fn number(&mut self, start: usize, atom: &str) {
        let digits =
            atom.bytes().skip(usize::from(atom.starts_with('-'))).take_while(u8::is_ascii_digit).count();
        let (number, unit) =
            atom.split_at_checked(digits + usize::from(atom.starts_with('-'))).unwrap_or((atom, ""));
        if self.byte(0) == Some(b'/') && atom.parse::<Ipv4Addr>().is_err() {
            return self.short_network(start, atom);
        }
        if unit.is_empty() {
            return match number.parse() {
                Ok(number) => self.push(Kind::Number(number), start),
                Err(_) => self.too_large(start, number),
            };
        }
        if unit.starts_with(|char: char| char.is_ascii_alphabetic()) && !number.starts_with('-') {
            return self.quantity(start, number, unit);
        }
        if let Ok(address) = atom.parse::<Ipv4Addr>() {
            return self.address(start, IpAddr::V4(address));
        }
        let mut parts = atom.split('.').map(str::parse::<u32>);
        if let (Some(Ok(class)), Some(Ok(subject)), Some(Ok(detail)), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        {
            return self.push(Kind::Enhanced([class, subject, detail]), start);
        }
        let title = format!("`{}` is neither a number nor an address", shortened(atom));
        let label = "expected a number, an enhanced code (5.7.1) or an address (192.0.2.1)";
        let advice = match atom.split_once('-') {
            Some((code, rest)) if code.len() == 3 => {
                Some(format!("a code and an enhanced code: {code} {rest}"))
            }
            _ if atom.matches('.').count() == 1 => Some(String::from(
                "an enhanced code has three numbers, such as 5.7.1; other numbers have no fraction",
            )),
            _ => None,
        };
        self.broken(start, title, label, advice);
    }

    /// A network that leaves out what is zero.
    fn short_network(&mut self, start: usize, written: &str) {
        let rest = self.rest();
        self.at += 1 + rest.bytes().skip(1).take_while(u8::is_ascii_digit).count();
        let prefix = rest.get(..self.at - start - written.len()).unwrap_or_default();
        let zeros = 3_usize.saturating_sub(written.matches('.').count());
        let advice = written
            .bytes()
            .all(|octet| octet.is_ascii_digit() || octet == b'.')
            .then(|| format!("write `{written}{}{prefix}`", ".0".repeat(zeros)));
        let title = format!("`{}{prefix}` is not a network", shortened(written));
        self.broken(start, title, "expected a network such as 192.0.2.0/24", advice);
    }

    fn too_large(&mut self, start: usize, number: &str) {
        let title = format!("the number {} is too large", shortened(number));
        self.broken(start, title, &format!("expected at most {}", i64::MAX), None);
    }

    /// A number with its unit: a time, or a size that lacks its space.
    fn quantity(&mut self, start: usize, number: &str, unit: &str) {
        let Ok(count) = number.parse::<i64>() else { return self.too_large(start, number) };
        if let Some(&(_, milliseconds)) = TIME_UNITS.iter().find(|(name, _)| *name == unit) {
            return match count.checked_mul(milliseconds).and_then(|product| u64::try_from(product).ok()) {
                Some(milliseconds) => self.push(Kind::Duration(Duration::from_millis(milliseconds)), start),
                None => self.too_large(start, number),
            };
        }
        let lower = unit.to_ascii_lowercase();
        let known = |name: &str| SIZE_UNITS.iter().find(|(unit, _)| *unit == name).copied();
        let size = known(unit).or_else(|| {
            let familiar = FAMILIAR_SIZES.iter().filter(|(other, _)| *other == lower && lower != "m");
            familiar.map(|(_, ours)| *ours).find_map(known)
        });
        if let Some((name, octets)) = size {
            let finding = Diagnostic::error(
                "a blank stands between a size and its unit",
                self.span(start),
                format!("expected `{count} {name}`"),
            );
            self.find(finding.help(format!("write `{count} {name}`")));
            return match count.checked_mul(octets) {
                Some(octets) => self.push(Kind::Octets(octets), start),
                None => self.too_large(start, number),
            };
        }
        let title = format!("`{}` is no unit", shortened(unit));
        let label = "expected a time (500ms, 30s, 5min, 1h, 7d) or a size (50 MB)";
        if let Some((ours, milliseconds)) = familiar_time(unit)
            && let Some(Ok(milliseconds)) = count.checked_mul(milliseconds).map(u64::try_from)
        {
            let finding = Diagnostic::error(title, self.span(start), label);
            self.find(finding.help(format!("write `{count}{ours}`")));
            return self.push(Kind::Duration(Duration::from_millis(milliseconds)), start);
        }
        let several = unit.contains(|char: char| char.is_ascii_digit());
        let advice = if several {
            "a time has one unit: `90min`"
        } else {
            "a name begins with a letter, and a text stands in quotes"
        };
        self.broken(start, title, label, Some(String::from(advice)));
    }

    /// An address, and the length of its prefix when one follows.
    fn address(&mut self, start: usize, address: IpAddr) {
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if self.byte(0) != Some(b'/') {
            return self.push(Kind::Network(Network { address, prefix: longest }), start);
        }
        self.at += 1;
        let rest = self.rest();
        let length = rest.bytes().take_while(|octet| octet.is_ascii_alphanumeric() || *octet == b'.').count();
        self.at += length;
        let written = rest.get(..length).unwrap_or_default();
        match written.parse::<u8>() {
            Ok(prefix) if prefix <= longest => self.push(Kind::Network(Network { address, prefix }), start),
            _ => {
                let title = format!("`/{}` is not the length of a prefix", shortened(written));
                let label = format!("expected a network such as {address}/{longest}, from /0 to /{longest}");
                let mask = written.parse::<Ipv4Addr>().ok().map(u32::from);
                let ones = mask.filter(|mask| mask.leading_ones() + mask.trailing_zeros() == 32);
                let advice =
                    ones.map(|mask| format!("this mask is written `{address}/{}`", mask.leading_ones()));
                self.broken(start, title, &label, advice);
            }
        }
    }
}

/// The unit of time that is called `unit` elsewhere, or nearly so.
pub(in crate::syntax) fn familiar_time(unit: &str) -> Option<(&'static str, i64)> {
    let ours = our_time(unit)?;
    TIME_UNITS.iter().find(|(name, _)| *name == ours).copied()
}

fn our_time(unit: &str) -> Option<&'static str> {
    let lower = unit.to_ascii_lowercase();
    let familiar = FAMILIAR_TIMES.iter().find(|(other, _)| *other == lower).map(|(_, ours)| *ours);
    let ours = || TIME_UNITS.iter().map(|(unit, _)| *unit).find(|unit| unit.eq_ignore_ascii_case(&lower));
    familiar.or_else(ours).or_else(|| nearest_unit(&lower))
}

fn nearest_unit(unit: &str) -> Option<&'static str> {
    let long = || FAMILIAR_TIMES.iter().filter(|(other, _)| other.len() > 3);
    let near = (unit.len() > 3 && unit.len() < limits::NAME_OCTETS)
        .then(|| nearest(unit, long().map(|(other, _)| *other)));
    near.flatten().and_then(|near| long().find(|(other, _)| *other == near)).map(|(_, ours)| *ours)
}

/// The unit of size that is called `unit` elsewhere.
pub(in crate::syntax) fn familiar_size(unit: &str) -> Option<&'static str> {
    let lower = unit.to_ascii_lowercase();
    FAMILIAR_SIZES.iter().find(|(other, _)| *other == lower).map(|(_, ours)| *ours)
}

/// The octets of the word, number or address that begins `text`: letters, digits, `_`, `-`, single dots, and colons when
/// there are two at least.
fn extent(text: &str) -> usize {
    let bytes = text.as_bytes();
    let is_part = |place: usize| match bytes.get(place) {
        Some(b'.') => bytes.get(place + 1) != Some(&b'.'),
        Some(b'-') => place == 0 || bytes.get(place + 1) != Some(&b'>'),
        Some(octet) => octet.is_ascii_alphanumeric() || matches!(octet, b'_' | b':'),
        None => false,
    };
    let length = (0..).take_while(|place| is_part(*place)).count();
    let atom = bytes.get(..length).unwrap_or_default();
    let mut colons = (0..).zip(atom).filter(|(_, octet)| **octet == b':').map(|(place, _)| place);
    match (colons.next(), colons.next()) {
        (Some(first), None) => first,
        _ => length,
    }
}

/// The start of what may be very long.
pub(super) fn shortened(text: &str) -> String {
    const SHOWN: usize = 40;
    if text.len() <= SHOWN {
        text.to_owned()
    } else {
        format!("{}...", text.chars().take(SHOWN).collect::<String>())
    }
}
