//! Texts in quotes.
//!
//! A text ends on its line. Only `\"`, `\\` and `\n` are escapes.

use super::{Inner, Kind, Lexer, span};
use crate::diagnostic::Diagnostic;
use crate::syntax::limits;

impl Lexer<'_> {
    /// Reads a text that begins with `opening`, whatever quote that is.
    pub(super) fn quoted(&mut self, opening: char) {
        let start = self.at;
        self.at += opening.len_utf8();
        let inner_start = self.at;
        let (length, closing) = extent(self.rest(), opening);
        self.at += length;
        let inner = span(self.file, inner_start, self.at);
        self.at += closing;
        let place = self.span(start);
        if closing == 0 {
            let finding =
                Diagnostic::error("the text has no end", place, "expected `\"` at the end of the text");
            self.find(
                finding.help(String::from("a text stands on one line; a quote in it is written `\\\"`")),
            );
        } else if opening != '"' {
            let text = self.text.get(inner_start..inner.end as usize).unwrap_or_default();
            let short = text.len() <= limits::ADVICE_OCTETS;
            let meant = short.then(|| format!("write \"{text}\""));
            let finding = Diagnostic::error("texts stand in straight double quotes", place, "expected `\"`");
            self.find(finding.help(meant));
        }
        if length > limits::TEXT_OCTETS {
            let label = format!("expected at most {} octets", limits::TEXT_OCTETS);
            self.find(Diagnostic::error("the text is too long", place, label));
        } else {
            self.check_characters(inner_start, inner.end as usize);
        }
        self.push(Kind::Text(Inner { start: inner.start, end: inner.end }), start);
        if closing == 0 {
            // What is missing behind it may be in it.
            self.push(Kind::Broken, self.at);
        }
    }

    /// Reports escapes that are none, and control characters: the first of each text.
    fn check_characters(&mut self, start: usize, end: usize) {
        let mut chars = self.text.get(start..end).unwrap_or_default().char_indices();
        while let Some((place, char)) = chars.next() {
            let at = start + place;
            if char.is_control() {
                let title = format!("the character U+{:04X} can't stand in a text", u32::from(char));
                let place = span(self.file, at, at + char.len_utf8());
                return self.find(Diagnostic::error(title, place, "expected a printable character"));
            }
            if char != '\\' {
                continue;
            }
            let escaped = chars.next().map(|(_, char)| char);
            if !matches!(escaped, Some('"' | '\\' | 'n')) {
                let length = 1 + escaped.map_or(0, char::len_utf8);
                let title = format!(
                    "`\\{}` is no escape",
                    escaped.map(|char| char.escape_debug().to_string()).unwrap_or_default()
                );
                let label = "expected `\\\"`, `\\\\` or `\\n`";
                let advice = String::from("a backslash is written `\\\\`, in regular expressions too");
                let place = span(self.file, at, at + length);
                return self.find(Diagnostic::error(title, place, label).help(advice));
            }
        }
    }
}

/// The octets of the text that begins `rest`, and those of its closing quote: 0 when the line ends first.
fn extent(rest: &str, opening: char) -> (usize, usize) {
    let closes = |char: char| match opening {
        '“' | '”' | '„' => matches!(char, '“' | '”' | '"'),
        '‘' | '’' => matches!(char, '‘' | '’'),
        '«' | '»' => matches!(char, '«' | '»'),
        _ => char == opening,
    };
    let mut escaped = false;
    for (place, char) in rest.char_indices() {
        if char == '\n' || rest.get(place..).is_some_and(|rest| rest.starts_with("\r\n")) {
            return (place, 0);
        }
        if closes(char) && !escaped {
            return (place, char.len_utf8());
        }
        escaped = char == '\\' && !escaped;
    }
    (rest.len(), 0)
}

/// The text that stands between quotes as `inner`, its escapes resolved.
pub(in crate::syntax) fn unescaped(inner: &str) -> String {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => match chars.next() {
                Some('n') => text.push('\n'),
                Some(other) => text.push(other),
                None => text.push(char),
            },
            _ => text.push(char),
        }
    }
    text
}
