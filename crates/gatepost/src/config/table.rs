//! Tables: plain-text files with the addresses of a domain, close to aliases(5).
//!
//! ```text
//! # a comment
//! alice                                   a mailbox
//! info:   alice, bob@example.net          an alias
//! carol:  { forward = "carol@example.net", disclose = true }
//! "two words": alice
//! ```
//! A line that starts with white space continues the one before. What stands in braces has the keys of the
//! configuration's `[domain."…".mailbox]`. A `#` where an address or name may start begins a comment.
//!
//! Invariants: as in the configuration, every problem is reported, with its place.

use std::ops::Range;
use std::sync::Arc;

use smtp::address::LocalPart;
use toml::de::DeTable;

use super::address_form::Target;
use super::domain::{Draft, PlacedRole, read_role};
use super::key::{Frame, Table, as_table, in_order};
use super::keys;
use super::problem::{Place, Problem, SourceFile};
use super::read::syntax;
use crate::mailboxes::{MailboxSettings, Role};

/// Reads a table's addresses into the domain of `draft`.
pub(super) fn read_table(source: &Arc<SourceFile>, draft: &mut Draft, problems: &mut Vec<Problem>) {
    let reader = Reader { source };
    for entry in reader.entries(problems) {
        reader.read_entry(entry, draft, problems);
    }
}

struct Reader<'s> {
    source: &'s Arc<SourceFile>,
}

impl Reader<'_> {
    fn place(&self, span: Range<usize>) -> Place {
        Place::new(self.source, span)
    }

    fn text(&self, span: Range<usize>) -> &str {
        self.source.text.get(span).unwrap_or_default()
    }

    /// The spans of the entries: a line that starts with neither white space nor `#`, and those that continue it.
    fn entries(&self, problems: &mut Vec<Problem>) -> Vec<Range<usize>> {
        let mut entries: Vec<Range<usize>> = Vec::new();
        let mut start = 0;
        for line in self.source.text.split_inclusive('\n') {
            let span = start..start + line.len();
            start = span.end;
            let content = line.trim();
            if content.is_empty() || content.starts_with('#') {
                continue;
            }
            if !line.starts_with([' ', '\t']) {
                entries.push(span);
            } else if let Some(entry) = entries.last_mut() {
                entry.end = span.end;
            } else {
                let place = self.place(trimmed(&self.source.text, span));
                let label = "a line that starts with white space continues another";
                problems.push(Problem::error("nothing to continue", place, label));
            }
        }
        entries
    }

    fn read_entry(&self, entry: Range<usize>, draft: &mut Draft, problems: &mut Vec<Problem>) {
        let text = self.text(entry.clone());
        let name_end = name_end(text);
        let name = entry.start..entry.start + name_end;
        let place = self.place(name.clone());
        let local_part = match self.text(name).parse::<LocalPart>() {
            Ok(local_part) => local_part,
            Err(why) => {
                let title = format!("`{}` is not a mailbox's name", place_text(text, name_end));
                let label = if text.get(..name_end).is_some_and(|name| name.contains('@')) {
                    "expected what stands before the `@`".to_owned()
                } else {
                    why.to_string()
                };
                problems.push(Problem::error(title, place, label));
                return;
            }
        };
        let rest = trimmed(&self.source.text, entry.start + name_end..entry.end);
        let role = match self.text(rest.clone()).strip_prefix(':') {
            None if rest.is_empty() || self.text(rest.clone()).starts_with('#') => {
                Role::Mailbox(MailboxSettings::default()).into()
            }
            None => {
                let title = format!("no `:` after `{local_part}`");
                let advice =
                    format!("write `{local_part}: address` for an alias, or the name alone for a mailbox");
                problems.push(Problem::error(title, self.place(rest), "expected `:`").help(advice));
                return;
            }
            Some(_) => {
                let value = trimmed(&self.source.text, rest.start + 1..rest.end);
                if self.text(value.clone()).starts_with('{') {
                    self.read_braces(value, draft, problems)
                } else {
                    self.read_targets(rest.start, value, draft, problems)
                }
            }
        };
        draft.push(local_part, place, role);
    }

    /// An entry with keys, as in the configuration.
    fn read_braces(&self, value: Range<usize>, draft: &Draft, problems: &mut Vec<Problem>) -> PlacedRole {
        const BEFORE: &str = "entry = ";
        let document = format!("{BEFORE}{}", self.text(value.clone()));
        let frame = Frame { source: Arc::clone(self.source), parsed: BEFORE.len(), file: value.start };
        let (parsed, errors) = DeTable::parse_recoverable(&document);
        problems.extend(errors.iter().map(|error| syntax(&frame, error)));
        let settings = in_order(parsed.get_ref());
        let table = settings.first().and_then(|(key, value)| as_table(&frame, key, value, problems));
        match table {
            Some(table) if errors.is_empty() => {
                let table = Table::new(&frame, table, &keys::MAILBOX, problems);
                read_role(&table, &draft.domain.name, problems)
            }
            _ => Role::Mailbox(MailboxSettings::default()).into(),
        }
    }

    /// An alias: addresses with commas between them.
    fn read_targets(
        &self,
        colon: usize,
        value: Range<usize>,
        draft: &Draft,
        problems: &mut Vec<Problem>,
    ) -> PlacedRole {
        let (mut mailboxes, mut places) = (Vec::new(), Vec::new());
        let spans = targets(self.text(value.clone()));
        if spans.is_empty() {
            let advice =
                "for a mailbox, write its name alone; else the addresses that get its mail".to_owned();
            let place = self.place(colon..colon + 1);
            problems
                .push(Problem::error("mail would go to nobody", place, "expected addresses").help(advice));
        }
        for span in spans {
            let place = self.place(value.start + span.start..value.start + span.end);
            let text = self.text(value.start + span.start..value.start + span.end);
            match target(text) {
                Ok(target) => {
                    mailboxes.push(target.at(&draft.domain.name));
                    places.push(place);
                }
                Err(why) => problems.push(Problem::error(format!("`{text}` is not an address"), place, why)),
            }
        }
        PlacedRole { targets: places, ..Role::Alias(mailboxes).into() }
    }
}

/// An address of an alias. What aliases(5) has besides is named, for it would pass for a local part.
fn target(text: &str) -> Result<Target, String> {
    if text.starts_with(['|', '/', ':']) || text.starts_with("\"|") || text.starts_with("\"/") {
        return Err("programs, files and includes can't stand here, only addresses".into());
    }
    if text.is_empty() {
        return Err("an address is missing between two commas".into());
    }
    Target::parse(text)
}

/// Where the name at the start of an entry ends: past its closing quotation mark, or before a colon or white space.
fn name_end(text: &str) -> usize {
    let Some(quoted) = text.strip_prefix('"') else {
        return text
            .find(|character: char| character == ':' || character.is_whitespace())
            .unwrap_or(text.len());
    };
    let mut escaped = false;
    for (offset, character) in quoted.char_indices() {
        match character {
            '\n' => return offset + 1,
            '"' if !escaped => return offset + 2,
            _ => escaped = character == '\\' && !escaped,
        }
    }
    text.len()
}

fn place_text(text: &str, end: usize) -> &str {
    text.get(..end).unwrap_or(text).trim_end()
}

/// `span` without white space at its ends.
fn trimmed(text: &str, span: Range<usize>) -> Range<usize> {
    let content = text.get(span.clone()).unwrap_or_default();
    let start = span.start + (content.len() - content.trim_start().len());
    start..start + content.trim().len()
}

/// The spans between the commas of `text`, without comments and the white space around them. A comma at the end is no
/// address missing.
fn targets(text: &str) -> Vec<Range<usize>> {
    let (mut spans, mut start, mut end) = (Vec::new(), None, 0);
    let (mut quoted, mut escaped, mut comment) = (false, false, false);
    for (offset, character) in text.char_indices() {
        if comment {
            comment = character != '\n';
            continue;
        }
        match character {
            ',' if !quoted => {
                spans.push(start.map_or(offset..offset, |start| start..end));
                start = None;
                continue;
            }
            '#' if !quoted && may_start_comment(text, offset) => {
                comment = true;
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = character == '\\' && quoted && !escaped;
        if !character.is_whitespace() {
            start = start.or(Some(offset));
            end = offset + character.len_utf8();
        }
    }
    spans.extend(start.map(|start| start..end));
    spans
}

/// Whether nothing, white space or a comma stands before `offset`.
fn may_start_comment(text: &str, offset: usize) -> bool {
    let before = text.get(..offset).unwrap_or_default();
    before.is_empty() || before.ends_with([' ', '\t', '\n', ','])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        targets(text).into_iter().map(|span| &text[span]).collect()
    }

    #[test]
    fn commas_part_addresses_and_quotes_hide_commas() {
        assert_eq!(split("alice, bob@x ,carol"), ["alice", "bob@x", "carol"]);
        assert_eq!(split(r#""a,b"@x, "c\",d""#), [r#""a,b"@x"#, r#""c\",d""#]);
        assert_eq!(split("alice,"), ["alice"]);
        assert_eq!(split("alice,,bob"), ["alice", "", "bob"]);
        assert_eq!(split(""), [""; 0]);
    }

    #[test]
    fn comments_end_with_their_line() {
        assert_eq!(split("alice, # she, and\n  bob # he"), ["alice", "bob"]);
        assert_eq!(split("a#b"), ["a#b"]);
        assert_eq!(split("# nobody"), [""; 0]);
    }

    #[test]
    fn a_name_ends_at_a_colon_a_space_or_its_mark() {
        assert_eq!(name_end("alice: bob"), 5);
        assert_eq!(name_end("alice # x"), 5);
        assert_eq!(name_end(r#""a: b": c"#), 6);
        assert_eq!(name_end(r#""a\"b": c"#), 6);
        assert_eq!(name_end("\"open: c\nd"), 8);
    }
}
