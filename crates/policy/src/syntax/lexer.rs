//! From octets to tokens: words, numbers, texts, addresses and signs.
//!
//! Spellings of other languages (`&&`, single quotes, `//` comments) are reported here and read as what they mean, so that
//! one mistake is one finding. A token that could not be read is [`Kind::Broken`] and has been reported.

mod atom;
mod quoted;

pub(super) use atom::{familiar_size, familiar_time};
pub(super) use quoted::unescaped;

use super::ast::{Network, Operator};
use super::limits;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use std::time::Duration;

/// A token with its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) span: Span,
    /// Whether it is the first on its line.
    pub(super) first: bool,
}

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A word, dotted or not: its letters are those of the text at its place.
    Word,
    /// A text: the stretch between its quotes, escapes still in it.
    Text(Inner),
    Number(i64),
    /// A size that stands without its space.
    Octets(i64),
    Duration(Duration),
    Enhanced([u32; 3]),
    Network(Network),
    LeftBrace,
    RightBrace,
    LeftParenthesis,
    RightParenthesis,
    Comma,
    LeftBracket,
    RightBracket,
    Colon,
    /// `=`
    Equals,
    Compare(Operator),
    /// `..`
    Range,
    /// `&&`, `||` and `!`, reported.
    And,
    Or,
    Not,
    /// Reported.
    Broken,
    /// The end of the file.
    End,
}

/// The octets between a text's quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Inner {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A comment, from its `#` to the end of its line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comment {
    pub(super) span: Span,
    /// Whether nothing stands before it on its line.
    pub(super) first: bool,
}

/// What a text is made of; the last token is [`Kind::End`].
#[derive(Debug, Default)]
pub(super) struct Tokens {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    pub(super) findings: Vec<Diagnostic>,
}

/// Reads a text of at most [`limits::FILE_OCTETS`].
pub(super) fn tokens(file: u16, text: &str) -> Tokens {
    let mut lexer = Lexer { text, file, at: 0, first: true, out: Tokens::default() };
    while lexer.next() {
        let full = lexer.out.tokens.len() >= limits::TOKENS;
        if full {
            let span = lexer.span(lexer.at);
            let label = format!("expected at most {} words and signs", limits::TOKENS);
            let advice =
                String::from("put long lists into files of their own: names blocked = file \"blocked.txt\"");
            lexer.find(Diagnostic::error("the file holds too much", span, label).help(advice));
        }
        if full || lexer.out.findings.len() > limits::FINDINGS {
            break;
        }
    }
    lexer.push(Kind::End, lexer.at);
    lexer.out
}

/// What can stand where something else does, for findings.
const A_TOKEN: &str = "expected a word, a number, a text in quotes or a sign";

struct Lexer<'t> {
    text: &'t str,
    file: u16,
    /// The next octet.
    at: usize,
    /// Whether nothing has been read on this line.
    first: bool,
    out: Tokens,
}

/// Signs, longest first, with what they are. Brackets and colons mean nothing: the parser says what stands in their place.
const SIGNS: [(&str, Kind); 16] = [
    ("..", Kind::Range),
    ("==", Kind::Compare(Operator::Equal)),
    ("!=", Kind::Compare(Operator::NotEqual)),
    ("<=", Kind::Compare(Operator::AtMost)),
    (">=", Kind::Compare(Operator::AtLeast)),
    ("<", Kind::Compare(Operator::Less)),
    (">", Kind::Compare(Operator::Greater)),
    ("=", Kind::Equals),
    ("{", Kind::LeftBrace),
    ("}", Kind::RightBrace),
    ("(", Kind::LeftParenthesis),
    (")", Kind::RightParenthesis),
    ("[", Kind::LeftBracket),
    ("]", Kind::RightBracket),
    (":", Kind::Colon),
    (",", Kind::Comma),
];

/// Signs of other languages, longest first: what they are read as, and what to write.
const FOREIGN_SIGNS: [(&str, Kind, &str); 16] = [
    ("===", Kind::Compare(Operator::Equal), "=="),
    ("!==", Kind::Compare(Operator::NotEqual), "!="),
    ("!~*", Kind::Broken, "not FACT matches"),
    ("=~", Kind::Broken, "matches"),
    ("!~", Kind::Broken, "not FACT matches"),
    ("~=", Kind::Broken, "matches"),
    ("<>", Kind::Compare(Operator::NotEqual), "!="),
    ("=>", Kind::Broken, ">="),
    ("=<", Kind::Compare(Operator::AtMost), "<="),
    ("->", Kind::Broken, "when"),
    (":=", Kind::Equals, "="),
    ("&&", Kind::And, "and"),
    ("||", Kind::Or, "or"),
    ("&", Kind::And, "and"),
    ("|", Kind::Or, "or"),
    ("!", Kind::Not, "not"),
];

impl<'t> Lexer<'t> {
    /// Reads one token, comment or stretch of white space; `false` at the end of the text.
    fn next(&mut self) -> bool {
        let Some(char) = self.rest().chars().next() else { return false };
        let start = self.at;
        match char {
            '\n' => {
                self.at += 1;
                self.first = true;
            }
            ' ' | '\t' | '\r' => self.at += 1,
            '\u{feff}' if start == 0 => self.at += char.len_utf8(),
            '#' => self.comment(1),
            '"' | '\'' | '`' | '“' | '”' | '„' | '‘' | '’' | '«' | '»' => self.quoted(char),
            _ if char.is_ascii_alphanumeric() || char == '_' => self.atom(),
            '-' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.atom(),
            ':' if self.byte(1) == Some(b':') => self.atom(),
            _ => self.sign(char),
        }
        true
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The octet `ahead` of the next one.
    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    /// From `start` to the next octet.
    fn span(&self, start: usize) -> Span {
        span(self.file, start, self.at)
    }

    fn push(&mut self, kind: Kind, start: usize) {
        let span = self.span(start);
        self.out.tokens.push(Token { kind, span, first: self.first });
        self.first = false;
    }

    fn find(&mut self, finding: Diagnostic) {
        self.out.findings.push(finding);
    }

    /// Reports what stands from `start` on, and leaves a token that parsers pass over.
    fn broken(&mut self, start: usize, title: impl Into<String>, label: &str, advice: Option<String>) {
        let finding = Diagnostic::error(title, self.span(start), label).help(advice);
        self.find(finding);
        self.push(Kind::Broken, start);
    }

    /// A comment that begins with a sign of `sign` octets.
    fn comment(&mut self, sign: usize) {
        let start = self.at;
        let line = self.rest().split('\n').next().unwrap_or_default();
        let length = line.trim_end().len().max(sign);
        self.at += length;
        self.out.comments.push(Comment { span: self.span(start), first: self.first });
    }

    fn sign(&mut self, char: char) {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("//") || rest.starts_with("/*") || rest.starts_with("--") {
            return self.foreign_comment();
        }
        if char == ';' {
            self.at += 1;
            let finding = Diagnostic::error(
                "a line has no `;` at its end",
                self.span(start),
                "expected the end of the line",
            );
            return self.find(finding.help(String::from("take it out")));
        }
        if let Some((sign, kind, meant)) = FOREIGN_SIGNS.iter().find(|(sign, ..)| rest.starts_with(sign))
            && (*sign != "!" || !rest.starts_with("!="))
        {
            self.at += sign.len();
            let title = format!("`{sign}` is not part of the language");
            let finding = Diagnostic::error(title, self.span(start), format!("expected `{meant}`"));
            self.find(finding.help(format!("write `{meant}`")));
            return self.push(*kind, start);
        }
        if let Some((sign, kind)) = SIGNS.iter().find(|(sign, _)| rest.starts_with(sign)) {
            self.at += sign.len();
            return self.push(*kind, start);
        }
        self.unknown(char);
    }

    /// Characters that mean nothing: as many as follow each other are one finding.
    fn unknown(&mut self, char: char) {
        if matches!(char, '*' | '@' | '?' | '/' | '~' | '^' | '$' | '%') {
            return self.without_quotes();
        }
        let start = self.at;
        let strange = |char: &char| !char.is_ascii() || char.is_ascii_control();
        let run = self
            .rest()
            .chars()
            .take_while(|char| strange(char) && *char != '\n')
            .map(char::len_utf8)
            .sum::<usize>();
        self.at += run.max(char.len_utf8());
        let blank =
            char.is_whitespace() || char.is_control() || matches!(char, '\u{200b}'..='\u{200f}' | '\u{feff}');
        let (title, advice) = if blank {
            let advice = "it looks like a blank, but is none: replace it, by typing the line anew";
            (format!("the character U+{:04X} can't stand here", u32::from(char)), Some(advice.to_owned()))
        } else if char.is_ascii() {
            (format!("`{char}` can't stand here"), None)
        } else {
            let advice = "letters beyond ASCII stand in quotes only";
            (format!("`{}` can't stand outside of quotes", char.escape_debug()), Some(advice.to_owned()))
        };
        self.broken(start, title, A_TOKEN, advice);
    }

    /// What looks like an address or a pattern without its quotes, from the word right before it on.
    fn without_quotes(&mut self) {
        let mut start = self.at;
        let joined = |token: &Token| token.kind == Kind::Word && token.span.end as usize == start;
        if let Some(word) = self.out.tokens.pop_if(|token| joined(token)) {
            start = word.span.start as usize;
            self.first = word.first;
        }
        let ends =
            |char: char| char.is_whitespace() || matches!(char, ',' | '"' | '(' | ')' | '{' | '}' | '#');
        let rest = self.rest();
        self.at += rest.find(ends).unwrap_or(rest.len()).max(1);
        let written = self.text.get(start..self.at).unwrap_or_default();
        let advice =
            (written.len() <= limits::NAME_OCTETS).then(|| format!("a text stands in quotes: \"{written}\""));
        let title = format!("`{}` can't stand outside of quotes", atom::shortened(written).escape_debug());
        self.broken(start, title, A_TOKEN, advice);
    }

    fn foreign_comment(&mut self) {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("/*") {
            let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
            self.at += length;
            let lines = rest.get(..length).is_some_and(|comment| comment.contains('\n'));
            self.first |= lines;
        } else {
            self.at += rest.find('\n').unwrap_or(rest.len());
        }
        let end = rest.split('\n').next().map_or(2, |line| line.trim_end().len().min(self.at - start));
        let place = span(self.file, start, start + end);
        let finding = Diagnostic::error("a comment begins with `#`", place, "expected `#`");
        self.find(finding.help(String::from("a comment goes from `#` to the end of its line")));
    }
}

/// A stretch of the file; no file is longer than `u32` counts.
fn span(file: u16, start: usize, end: usize) -> Span {
    let octet = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
    Span { file, start: octet(start), end: octet(end) }
}
