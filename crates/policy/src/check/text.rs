//! Texts of replies and header fields: their placeholders, their characters, their length.

use std::sync::Arc;

use super::condition::Use;
use super::{Checker, ID_SUFFIX_OCTETS};
use crate::diagnostic::Diagnostic;
use crate::plan::{Piece, Template};
use crate::slot::Origin;
use crate::source::{Field, SourceKind};
use crate::span::{Span, Spanned};
use crate::stage::Stage;
use crate::syntax::ast::FactPath;
use smtp::limits::REPLY_LINE_OCTETS_MAX;

/// A piece of a text before its facts are looked up.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Words(String),
    /// What stands between braces, and where it begins.
    Placeholder(&'a str, usize),
    /// A brace that opens or closes nothing, and where.
    Stray(usize),
}

/// The parts of a text: `{{` and `}}` are braces, `{name}` is a placeholder.
pub(super) fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut words = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        words.push_str(before);
        let offset = text.len() - brace.len();
        if let Some(behind) = brace.strip_prefix("{{").or_else(|| brace.strip_prefix("}}")) {
            words.extend(brace.chars().next());
            rest = behind;
            continue;
        }
        let inner = brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
        if !words.is_empty() {
            parts.push(Part::Words(std::mem::take(&mut words)));
        }
        match inner.filter(|(name, _)| !name.contains('{')) {
            Some((name, behind)) => {
                parts.push(Part::Placeholder(name, offset + 1));
                rest = behind;
            }
            None => {
                parts.push(Part::Stray(offset));
                rest = brace.get(1..).unwrap_or_default();
            }
        }
    }
    words.push_str(rest);
    if !words.is_empty() {
        parts.push(Part::Words(words));
    }
    parts
}

/// What a text is checked for besides its placeholders.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A reply, with the octets of its codes.
    Reply { stages_before_mail: bool },
    /// A header field's value.
    Header,
}

impl Checker<'_> {
    /// The place of `length` octets from the octet `at` of a text's value; the whole text where escapes shift it.
    pub(super) fn inside(&self, text: &Spanned<String>, at: usize, length: usize) -> Span {
        let file = self.files.get(usize::from(text.span.file));
        let written = file.and_then(|file| file.text.get(text.span.start as usize..text.span.end as usize));
        let quoted = written
            .and_then(|written| written.strip_prefix('"'))
            .is_some_and(|inner| inner.strip_suffix('"') == Some(&*text.node));
        if !quoted {
            return text.span;
        }
        let start = text.span.start + 1 + u32::try_from(at).unwrap_or(0);
        Span { start, end: start + u32::try_from(length).unwrap_or(0), ..text.span }
    }

    /// The text with its facts, and where each is asked for; `None` when something was complained of.
    pub(super) fn template(
        &mut self,
        text: &Spanned<String>,
        purpose: Purpose,
    ) -> Option<(Template, Vec<Use>)> {
        let mut sound = self.characters(text, purpose);
        let mut pieces = Vec::new();
        let mut uses = Vec::new();
        let mut octets = 0;
        for part in parts(&text.node) {
            match part {
                Part::Words(words) => {
                    octets += words.len();
                    pieces.push(Piece::Text(Arc::from(words)));
                }
                Part::Placeholder(name, at) => match self.placeholder(text, name, at) {
                    Some((piece, used)) => {
                        pieces.push(piece);
                        uses.push(used);
                    }
                    None => sound = false,
                },
                Part::Stray(at) => {
                    let span = self.inside(text, at, 1);
                    let title = "a brace that belongs to no placeholder";
                    let advice = "a brace of the text itself is written twice: {{ or }}";
                    self.report(Diagnostic::error(title, span, "here").help(advice.to_owned()));
                    sound = false;
                }
            }
        }
        sound &= self.fits(text, purpose, octets);
        sound.then(|| (Template { pieces: pieces.into() }, uses))
    }

    fn placeholder(&mut self, text: &Spanned<String>, name: &str, at: usize) -> Option<(Piece, Use)> {
        let span = self.inside(text, at, name.len());
        if name.trim().is_empty() || name.split('(').next().is_some_and(|fact| fact.contains(' ')) {
            let title = format!("`{name}` is no placeholder");
            let advice = "a brace of the text itself is written twice: {{ or }}";
            self.report(Diagnostic::error(title, span, "the name of a fact").help(advice.to_owned()));
            return None;
        }
        let (fact, argument) = match name.split_once('(') {
            Some((fact, rest)) => {
                let argument = rest.trim_end_matches(')').trim_matches(['"', '\'']);
                (fact, Some(Spanned::new(argument.to_owned(), span)))
            }
            None => (name, None),
        };
        let slot = self.fact(&FactPath { name: fact.trim().to_owned(), argument, span })?;
        let otherwise = match self.facts.info(slot)?.origin {
            // A list that says no reason is named instead.
            Origin::Source(index, Field::Reason) => match self.sources.get(usize::from(index)) {
                Some(source) => match &source.kind {
                    SourceKind::DnsList { zone, .. } => Arc::clone(zone),
                    _ => Arc::clone(&source.name),
                },
                None => Arc::from("none"),
            },
            _ => Arc::from("none"),
        };
        Some((Piece::Fact { slot, otherwise }, Use { slot, span, through: None }))
    }

    pub(super) fn characters(&mut self, text: &Spanned<String>, purpose: Purpose) -> bool {
        if text.node.chars().any(char::is_control) {
            // The parser reports it in a reply, and every character but a line break anywhere.
            if matches!(purpose, Purpose::Reply { .. }) || !text.node.contains('\n') {
                return false;
            }
            let title = "a header field's value is one line";
            let advice = "a line break here would end the field, or the header section";
            self.report(Diagnostic::error(title, text.span, "without `\\n`").help(advice.to_owned()));
            return false;
        }
        if text.node.is_ascii() {
            return true;
        }
        match purpose {
            Purpose::Reply { stages_before_mail: true } => {
                let title = "the text is not ASCII, and no client can have asked for UTF-8 yet";
                let advice = "SMTPUTF8 is a parameter of MAIL (RFC 6531 §3.7.4.2)";
                self.report(Diagnostic::error(title, text.span, "ASCII only").help(advice.to_owned()));
                false
            }
            Purpose::Reply { .. } => {
                let title = "the text is not ASCII";
                let label = "clients that did not ask for SMTPUTF8 see `?` in its place";
                let advice = "RFC 6531 §3.7.4.2 allows UTF-8 only to those that did";
                self.report(Diagnostic::warning(title, text.span, label).help(advice.to_owned()));
                true
            }
            Purpose::Header => {
                let title = "a header field's value is ASCII";
                self.report(Diagnostic::error(title, text.span, "ASCII only (RFC 5322 §2.2)"));
                false
            }
        }
    }

    pub(super) fn fits(&mut self, text: &Spanned<String>, purpose: Purpose, octets: usize) -> bool {
        let (room, what) = match purpose {
            // Code, space, enhanced code of at most nine octets, space, text, id, CRLF.
            Purpose::Reply { .. } => (REPLY_LINE_OCTETS_MAX - 4 - 10 - ID_SUFFIX_OCTETS - 2, "reply line"),
            Purpose::Header => (smtp::limits::TEXT_LINE_OCTETS_MAX - 80, "header field"),
        };
        if octets <= room {
            return true;
        }
        let title = format!("the text is too long for a {what}: {octets} octets");
        let label = match purpose {
            Purpose::Reply { .. } => {
                format!("{room} at most, beside code, enhanced code and id (512 in all, RFC 5321 §4.5.3.1.5)")
            }
            Purpose::Header => format!("{room} at most (998 in a line, RFC 5322 §2.1.1)"),
        };
        self.report(Diagnostic::error(title, text.span, label));
        false
    }

    /// Reports facts of a text that are asked for before they are known, and those that may have nothing to print.
    pub(super) fn check_uses(&mut self, uses: &[Use], stages: &[(Stage, Span)]) -> bool {
        let mut sound = true;
        for used in uses {
            sound &= self.is_known_at(*used, stages);
        }
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_open_placeholders_or_are_written_twice() {
        let words = |text: &str| Part::Words(text.to_owned());
        assert_eq!(parts("a {b.c} d"), [words("a "), Part::Placeholder("b.c", 3), words(" d")]);
        assert_eq!(parts("{{a}} b"), [words("{a} b")]);
        assert_eq!(parts("a { b"), [words("a "), Part::Stray(2), words(" b")]);
        assert_eq!(parts("a} b"), [words("a"), Part::Stray(1), words(" b")]);
        assert_eq!(parts(""), []);
    }
}
