//! Tables: that every entry can be looked up, and that none takes a value for an answer.

use std::collections::HashMap;
use std::sync::Arc;

use super::Checker;
use super::lists::{FILE_FINDINGS_MAX, lines, read_network, stretch};
use super::text_tests::said_of_expression;
use crate::diagnostic::Diagnostic;
use crate::source::{Contents, Field};
use crate::span::{Span, Spanned};
use crate::syntax::ast::TableContents;

/// Words that other servers' access tables have as actions.
const ACTIONS: [&str; 12] = [
    "OK",
    "PERMIT",
    "REJECT",
    "DEFER",
    "DUNNO",
    "DISCARD",
    "HOLD",
    "DENY",
    "ACCEPT",
    "RELAY",
    "DEFER_IF_PERMIT",
    "DEFER_IF_REJECT",
];

/// Whether a table's value looks like an answer: a reply code, or another server's action.
fn is_answer_like(value: &str) -> bool {
    let first = value.split([' ', '\t', '-']).next().unwrap_or_default();
    let code = first.len() == 3 && first.parse::<u16>().is_ok_and(|code| (200..=599).contains(&code));
    code || ACTIONS.contains(&first)
}

/// How a file of a table is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Keys,
    Networks,
    Expressions,
}

impl Checker<'_> {
    /// The contents of a table, when all its entries are well formed.
    pub(super) fn contents(&mut self, contents: &TableContents, source: u16) -> Option<Contents> {
        match contents {
            TableContents::Inline(entries) => self.inline(entries, source),
            TableContents::File(path) => self
                .table_file(path, Form::Keys, source)
                .then(|| Contents::File(Arc::from(path.node.as_str()))),
            TableContents::Cidr(path) => self
                .table_file(path, Form::Networks, source)
                .then(|| Contents::Cidr(Arc::from(path.node.as_str()))),
            TableContents::Regex(path) => {
                let sound = self.table_file(path, Form::Expressions, source);
                sound.then(|| Contents::Regex(Arc::from(path.node.as_str())))
            }
            TableContents::External(name) if name.node.is_empty() => {
                let label = "expected the name of a table of the configuration";
                self.report(Diagnostic::error("a table has a name", name.span, label));
                None
            }
            TableContents::External(name) => Some(Contents::External(Arc::from(name.node.as_str()))),
        }
    }

    fn inline(&mut self, entries: &[(Spanned<String>, Spanned<String>)], source: u16) -> Option<Contents> {
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut sound = true;
        let mut kept = Vec::new();
        for (key, value) in entries {
            if key.node.trim().is_empty() {
                self.report(Diagnostic::error("a key of a table is empty", key.span, "never looked up"));
                sound = false;
            }
            if let Some(first) = seen.insert(key.node.to_lowercase(), key.span) {
                self.report(twice(&key.node, key.span, first));
                sound = false;
            }
            self.note_value(source, &value.node, value.span);
            let entry: (Arc<str>, Arc<str>) = (key.node.as_str().into(), value.node.as_str().into());
            kept.push(entry);
        }
        sound.then(|| Contents::Inline(kept.into()))
    }

    fn table_file(&mut self, path: &Spanned<String>, form: Form, source: u16) -> bool {
        let Some((number, text)) = self.material(&path.node, path.span) else { return false };
        let mut seen: HashMap<String, Span> = HashMap::new();
        let mut sound = true;
        let mut entries = 0_usize;
        let findings = self.findings.len();
        for (start, line) in lines(&text) {
            if self.findings.len() >= findings + FILE_FINDINGS_MAX {
                break;
            }
            let entry = line.trim();
            if entry.is_empty() || entry.starts_with('#') {
                continue;
            }
            entries += 1;
            let begin = start + line.find(entry).unwrap_or(0);
            match split(entry, form) {
                Ok((key, value)) => {
                    let span = stretch(number, begin, key.len());
                    sound &= self.table_key_fits(key, form, span, path.span);
                    if let Some(first) = seen.insert(key.to_lowercase(), span).filter(|_| form == Form::Keys)
                    {
                        self.report(twice(key, span, first));
                        sound = false;
                    }
                    let at = begin + entry.len() - value.len();
                    self.note_value(source, value, stretch(number, at, value.len()));
                }
                Err(wanted) => {
                    let span = stretch(number, begin, entry.len());
                    let finding = Diagnostic::error("this is no entry of the table", span, wanted);
                    self.report(finding.also(path.span, "the table is read here"));
                    sound = false;
                }
            }
        }
        if entries == 0 {
            let title = format!("the table \"{}\" is empty", path.node);
            self.report(Diagnostic::warning(title, path.span, "nothing is ever found in it"));
        }
        sound
    }

    fn table_key_fits(&mut self, key: &str, form: Form, span: Span, table: Span) -> bool {
        let finding = match form {
            Form::Keys => return true,
            Form::Networks => match read_network(key) {
                Some(network) => return self.sound_network(network, span),
                None => Diagnostic::error(
                    format!("\"{key}\" is no address and no network"),
                    span,
                    "such as 192.0.2.0/24",
                ),
            },
            Form::Expressions => {
                let inner = key.get(1..key.rfind('/').unwrap_or(1)).unwrap_or_default();
                match regex::Regex::new(inner) {
                    Ok(_) => return true,
                    Err(error) => {
                        let (label, advice) = said_of_expression(&error);
                        Diagnostic::error("the regular expression is not one", span, label).help(advice)
                    }
                }
            }
        };
        self.report(finding.also(table, "the table is read here"));
        false
    }

    fn note_value(&mut self, source: u16, value: &str, span: Span) {
        let noted = self.answer_like.iter().filter(|(known, ..)| *known == source).take(FILE_FINDINGS_MAX);
        if is_answer_like(value) && noted.count() < FILE_FINDINGS_MAX {
            self.answer_like.push((source, span, value.to_owned()));
        }
    }

    /// Reports values that were meant for answers: nothing compares them, so they decide nothing.
    pub(super) fn check_tables(&mut self) {
        for (index, span, value) in std::mem::take(&mut self.answer_like) {
            let Some(source) = self.sources.get(usize::from(index)) else { continue };
            let slot = self.facts.named(&source.name);
            if slot.is_some_and(|slot| self.compared.contains(&slot)) {
                continue;
            }
            debug_assert!(source.kind.fields().contains(&Field::Value));
            let title = "a table holds facts, not answers";
            let label = format!("`{value}` would decide nothing");
            let advice =
                format!("answer in a rule: when {} is present reject 550 5.7.1 \"...\"", source.name);
            self.report(Diagnostic::error(title, span, label).help(advice));
        }
    }
}

/// Key and value of a line, or what was expected.
fn split(entry: &str, form: Form) -> Result<(&str, &str), &'static str> {
    let parted = if form == Form::Expressions {
        expression_and_value(entry).ok_or("an expression between slashes, and a value: /.../ value")?
    } else if let Some(quoted) = entry.strip_prefix('"').filter(|_| form == Form::Keys) {
        quoted_key(entry, quoted).ok_or("a key in quotes that end, and a value")?
    } else {
        entry.split_once([' ', '\t']).ok_or(match form {
            Form::Networks => "a network and a value",
            _ => "a key and a value",
        })?
    };
    let value = parted.1.trim();
    if value.is_empty() { Err("a value behind the key") } else { Ok((parted.0, value)) }
}

/// A key in quotes, with white space in it, and what stands behind.
fn quoted_key<'e>(entry: &'e str, quoted: &str) -> Option<(&'e str, &'e str)> {
    let mut escaped = false;
    let end = quoted.char_indices().find_map(|(at, character)| {
        let closes = character == '"' && !escaped;
        escaped = character == '\\' && !escaped;
        closes.then_some(at + 2)
    })?;
    let (key, rest) = entry.split_at_checked(end)?;
    rest.starts_with([' ', '\t']).then_some((key, rest))
}

/// The expression with its slashes, and what stands behind it.
fn expression_and_value(entry: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    let end = entry.char_indices().skip(1).find_map(|(at, character)| {
        let closes = character == '/' && !escaped;
        escaped = character == '\\' && !escaped;
        closes.then_some(at + 1)
    })?;
    let (expression, rest) = entry.split_at_checked(end)?;
    let behind = rest.trim_start_matches(|character: char| character.is_ascii_alphabetic());
    (expression.starts_with('/') && behind.starts_with([' ', '\t'])).then_some((expression, behind))
}

fn twice(key: &str, span: Span, first: Span) -> Diagnostic {
    let title = format!("\"{key}\" stands in the table twice");
    Diagnostic::error(title, span, "a second time").also(first, "first here")
}
