//! Takes Authentication-Results fields out of incoming mail that claim to be this server's own (RFC 8601 §5).
//!
//! Invariants: nothing else of the message changes, and nothing behind the header section; the same octets come out however
//! they come in; no more is held than one field of bounded length.

use std::borrow::Cow;
use std::sync::Arc;

/// The field's name in lower case.
const NAME: &[u8] = b"authentication-results";

/// Longest Authentication-Results field, in octets (ours); a longer one is taken out, whoever it claims to be of.
const FIELD_OCTETS_MAX: usize = 64 * 1_024;

/// A message going by.
#[derive(Debug, Clone)]
pub struct ForgedResults {
    /// Our names, in lower case and A-labels.
    own: Arc<[String]>,
    place: Place,
    /// Whether the next octet is the first of a line.
    line_start: bool,
    /// Octets that are not decided on yet.
    held: Vec<u8>,
    removed: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// At the start of a field, which may be an Authentication-Results field.
    Name,
    /// In another field.
    Other,
    /// In an Authentication-Results field.
    Results,
    /// In an Authentication-Results field that is taken out.
    Forged,
    /// Behind the header section.
    Body,
}

impl ForgedResults {
    /// For a server that vouches under these names, as [`own_names`] has them.
    #[must_use]
    pub fn new(own: &Arc<[String]>) -> Self {
        Self { own: Arc::clone(own), place: Place::Name, line_start: true, held: Vec::new(), removed: 0 }
    }

    /// How many fields were taken out so far.
    #[must_use]
    pub const fn removed(&self) -> usize {
        self.removed
    }

    /// Takes in the next octets of the message, and adds to `passed` what goes on.
    pub fn pass(&mut self, mut octets: &[u8], passed: &mut Vec<u8>) {
        while !octets.is_empty() {
            if self.place == Place::Body {
                passed.extend_from_slice(octets);
                return;
            }
            // What need not be looked at octet by octet: lines of other fields, and the rest of one.
            if self.line_start && self.held.is_empty() && matches!(self.place, Place::Name | Place::Other) {
                let (lines, rest) = octets.split_at_checked(other_lines(octets)).unwrap_or((&[], octets));
                if !lines.is_empty() {
                    passed.extend_from_slice(lines);
                    self.place = Place::Other;
                    octets = rest;
                    continue;
                }
            }
            if self.place == Place::Other && !self.line_start {
                let line = memchr::memchr(b'\n', octets).map_or(octets.len(), |at| at + 1);
                let (line, rest) = octets.split_at_checked(line).unwrap_or((octets, &[]));
                passed.extend_from_slice(line);
                self.line_start = line.ends_with(b"\n");
                octets = rest;
                continue;
            }
            let Some((octet, rest)) = octets.split_first() else { return };
            self.octet(*octet, passed);
            octets = rest;
        }
    }

    /// The message has ended: adds to `passed` what was held.
    pub fn finish(&mut self, passed: &mut Vec<u8>) {
        if self.place == Place::Results {
            self.decide(passed);
        } else {
            passed.append(&mut self.held);
        }
        self.place = Place::Body;
    }

    fn octet(&mut self, octet: u8, passed: &mut Vec<u8>) {
        let continued = matches!(octet, b' ' | b'\t');
        if std::mem::take(&mut self.line_start) && !continued {
            if self.place == Place::Results {
                self.decide(passed);
            }
            self.place = Place::Name;
        }
        self.line_start = octet == b'\n';
        match self.place {
            Place::Body | Place::Other => passed.push(octet),
            Place::Forged => {}
            Place::Results => {
                self.held.push(octet);
                if self.held.len() > FIELD_OCTETS_MAX {
                    self.take_out();
                    self.place = Place::Forged;
                }
            }
            Place::Name => self.name(octet, passed),
        }
    }

    fn name(&mut self, octet: u8, passed: &mut Vec<u8>) {
        self.held.push(octet);
        let field = self.held.as_slice();
        let (name, rest) = field.split_at_checked(NAME.len()).unwrap_or((field, &[]));
        let (start, _) = NAME.split_at_checked(name.len()).unwrap_or((NAME, &[]));
        // White space before the colon is obsolete syntax that some take (RFC 5322 §4.5).
        let is_name = name.eq_ignore_ascii_case(start)
            && rest.iter().all(|octet| matches!(octet, b' ' | b'\t' | b':'))
            && field.len() <= FIELD_OCTETS_MAX;
        if is_name && rest.ends_with(b":") {
            self.place = Place::Results;
        } else if field == b"\r\n" {
            self.place = Place::Body;
            passed.append(&mut self.held);
        } else if !is_name && field != b"\r" {
            self.place = Place::Other;
            passed.append(&mut self.held);
        }
    }

    /// Decides on the field that is held.
    fn decide(&mut self, passed: &mut Vec<u8>) {
        let value = self.held.split(|octet| *octet == b':').skip(1).collect::<Vec<_>>().join(&b':');
        let is_own = authserv_id(&value).is_none_or(|id| self.own.iter().any(|own| *own == normal(&id)));
        if is_own {
            self.take_out();
        } else {
            passed.append(&mut self.held);
        }
    }

    fn take_out(&mut self) {
        self.held.clear();
        self.removed += 1;
    }
}

/// Octets of the whole lines at the start that begin fields of other names, or go on with them.
fn other_lines(octets: &[u8]) -> usize {
    let mut end = 0;
    while let Some(line) = octets.get(end..) {
        let is_other = match line.first() {
            None | Some(b'a' | b'A' | b'\r' | b'\n') => false,
            Some(b' ' | b'\t') => end > 0,
            Some(_) => true,
        };
        let line_feed = if is_other { memchr::memchr(b'\n', line) } else { None };
        let Some(line_feed) = line_feed else { break };
        end += line_feed + 1;
    }
    end
}

/// The names under which a server vouches, as they are compared.
#[must_use]
pub fn own_names(authserv_ids: &[&str]) -> Arc<[String]> {
    authserv_ids.iter().map(|id| normal(id).into_owned()).collect()
}

/// Whether the field's value is that of a server that vouches under one of these names.
#[must_use]
pub fn vouches(value: &[u8], own_names: &[String]) -> bool {
    authserv_id(value).is_some_and(|id| own_names.iter().any(|own| *own == normal(&id)))
}

/// The name as it is compared: lower case, A-labels, no dot at its end.
fn normal(id: &str) -> Cow<'_, str> {
    let id = id.trim_end_matches('.');
    match idna::domain_to_ascii(id) {
        Ok(ascii) => Cow::Owned(ascii),
        Err(_) => Cow::Owned(id.to_lowercase()),
    }
}

/// The authserv-id: what stands first in the field, comments and white space left out (RFC 8601 §2.2). `None` when the field
/// is so malformed that nobody can say who it claims to be of.
fn authserv_id(value: &[u8]) -> Option<String> {
    let value = str::from_utf8(value).ok()?;
    let mut characters = value.chars().peekable();
    let mut id = String::new();
    loop {
        match characters.peek()? {
            '(' => skip_comment(&mut characters)?,
            space if space.is_ascii_whitespace() => {
                characters.next();
            }
            _ => break,
        }
    }
    if characters.next_if_eq(&'"').is_some() {
        loop {
            match characters.next()? {
                '"' => return Some(id),
                '\\' => id.push(characters.next()?),
                '\r' | '\n' => {}
                other => id.push(other),
            }
        }
    }
    for character in characters {
        if character.is_ascii_whitespace() || matches!(character, ';' | '(' | '/' | '=') {
            break;
        }
        id.push(character);
    }
    (!id.is_empty()).then_some(id)
}

/// Goes behind a comment, which may hold others; `None` when it has no end.
fn skip_comment(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<()> {
    let mut depth = 0_usize;
    loop {
        match characters.next()? {
            '(' => depth += 1,
            ')' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(());
                }
            }
            '\\' => {
                characters.next()?;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed(message: &str, cut: usize) -> (String, usize) {
        let mut filter = ForgedResults::new(&own_names(&["mx.Here.example", "bücher.example"]));
        let mut out = Vec::new();
        for piece in message.as_bytes().chunks(cut) {
            filter.pass(piece, &mut out);
        }
        filter.finish(&mut out);
        (String::from_utf8(out).unwrap(), filter.removed())
    }

    fn check(message: &str, expected: &str, removed: usize) {
        for cut in [1, 2, 3, 7, 10_000] {
            assert_eq!(passed(message, cut), (expected.to_owned(), removed), "cut every {cut}: {message}");
        }
    }

    #[test]
    fn our_own_name_is_only_ours_to_use() {
        let rest = "From: a@example.org\r\n\r\nAuthentication-Results: mx.here.example; spf=pass\r\n";
        for forged in [
            "Authentication-Results: mx.here.example; spf=pass\r\n",
            "authentication-RESULTS: MX.HERE.EXAMPLE; none\r\n",
            "Authentication-Results:mx.here.example;none\r\n",
            "Authentication-Results \t: mx.here.example; none\r\n",
            "Authentication-Results:\r\n mx.here.example;\r\n\tspf=pass;\r\n dkim=pass\r\n",
            "Authentication-Results: (a (nested\\) one) here) mx.here.example (x) 1; none\r\n",
            "Authentication-Results: \"mx.here\\.example\"; none\r\n",
            "Authentication-Results: mx.here.example/1; none\r\n",
            "Authentication-Results: mx.here.example.; none\r\n",
            "Authentication-Results: mx.here.example\r\n",
            "Authentication-Results: xn--bcher-kva.example; none\r\n",
            "Authentication-Results: BÜCHER.example; none\r\n",
            "Authentication-Results:\r\n",
            "Authentication-Results: (never closed; mx.other.example\r\n",
            "Authentication-Results: \"never closed\r\n",
        ] {
            check(&format!("{forged}{rest}"), rest, 1);
            check(&format!("X: y\r\n{forged}{forged}{rest}"), &format!("X: y\r\n{rest}"), 2);
        }
    }

    #[test]
    fn everything_else_stays_as_it_is() {
        for message in [
            "Authentication-Results: mx.other.example; spf=pass\r\n\tsmtp.mailfrom=a@b\r\nFrom: a\r\n\r\nbody\r\n",
            "Authentication-Results: sub.mx.here.example; none\r\n\r\n",
            "Authentication-Results: (mx.here.example) mx.other.example; none\r\n\r\n",
            "Authentication-Results-Extra: mx.here.example\r\nAuth: x\r\n\r\n",
            "X-Authentication-Results: mx.here.example\r\n\r\n",
            "ARC-Authentication-Results: i=1; mx.here.example; none\r\n\r\n",
            "Subject: x\r\n Authentication-Results: mx.here.example\r\n\r\n",
            "\r\nAuthentication-Results: mx.here.example; none\r\n",
            "Authentication-Results",
            "Authenti",
            "",
            "\r\n",
            "a\r\nb: c\r\n\r\n",
        ] {
            check(message, message, 0);
        }
    }

    #[test]
    fn a_field_without_an_end_of_the_header_section_is_decided_on_too() {
        check("From: a\r\nAuthentication-Results: mx.here.example; none", "From: a\r\n", 1);
        let other = "Authentication-Results: mx.other.example; none";
        check(other, other, 0);
    }

    #[test]
    fn no_more_is_held_than_the_limit() {
        let long = format!("Authentication-Results: mx.other.example;{}\r\n", " x".repeat(FIELD_OCTETS_MAX));
        let mut filter = ForgedResults::new(&own_names(&["mx.here.example"]));
        let mut out = Vec::new();
        for piece in long.as_bytes().chunks(1_000) {
            filter.pass(piece, &mut out);
            assert!(filter.held.len() <= FIELD_OCTETS_MAX);
        }
        filter.pass(b" folded\r\nFrom: a\r\n\r\nbody", &mut out);
        filter.finish(&mut out);
        assert_eq!((out.as_slice(), filter.removed()), (&b"From: a\r\n\r\nbody"[..], 1));
    }
}
