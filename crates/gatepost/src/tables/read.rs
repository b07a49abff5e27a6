//! Files of tables: one line is one entry, a key and behind white space its value.
//!
//! ```text
//! # a comment: only lines of their own
//! anna@example.org     a value, to the end of the line
//! .example.org         every domain below example.org
//! @example.net         every address at example.net
//! "two words"          a key with white space; \" and \\ inside
//! 192.0.2.0/24         in a table of networks
//! /^dyn-[0-9]+\./      in a table of patterns; /…/c where letters' case counts, x for white space that doesn't
//! ```
//!
//! Invariants: every problem has its place, up to [`PROBLEMS_MAX`]; a file with a problem gives no entries at all. No line
//! continues another.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use regex::{RegexBuilder, RegexSetBuilder};

use super::entries::{Entries, Networks, Patterns, Texts};
use crate::config::{self, Network, NetworkError, Place, Problem, SourceFile};

/// Problems of one file that are said (ours: who mistook the form of a file needn't read a million).
const PROBLEMS_MAX: usize = 20;

/// Longest key, in octets (ours; twice what an address may have, RFC 5321 §4.5.3.1).
const KEY_OCTETS_MAX: usize = 1_024;

/// Longest value, in octets (ours).
const VALUE_OCTETS_MAX: usize = 8_192;

/// Most patterns in a table, for all are tried at every look-up (ours).
const PATTERNS_MAX: usize = 10_000;

/// Largest a pattern may become when it is compiled, in octets (ours).
const PATTERN_OCTETS_MAX: usize = 1024 * 1024;

/// Largest a table's patterns may become together, and what they may use while they run, in octets (ours).
const PATTERNS_OCTETS_MAX: usize = 64 * 1024 * 1024;

/// The entries that stand in a policy. The first of equal keys counts.
pub(crate) fn inline(pairs: &[(Arc<str>, Arc<str>)]) -> Entries {
    let mut texts = Texts::default();
    for (key, value) in pairs {
        // The checker of the policy has blamed the second one.
        let _ = texts.insert(key, value);
    }
    Entries::Texts(texts)
}

/// What the keys of a file are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Keys {
    Texts,
    Networks,
    Patterns,
}

/// The entries of the file at `path`. Blocks on the disk.
///
/// # Errors
/// All problems, the file's own absence among them.
pub(crate) fn file(path: &Path, keys: Keys) -> Result<Entries, Vec<Problem>> {
    let source = |text: &str| Arc::new(SourceFile { name: path.to_string_lossy().into(), text: text.into() });
    match config::read_text(path) {
        Ok(text) => entries(keys, &source(&text)),
        Err(error) => {
            let title = format!("can't read the table `{}`: {error}", path.display());
            Err(vec![Problem::error(title, Place::new(&source(""), 0..0), "")])
        }
    }
}

/// The entries in the text of a file.
pub(crate) fn entries(keys: Keys, source: &Arc<SourceFile>) -> Result<Entries, Vec<Problem>> {
    let mut reader = Reader { source, problems: Vec::new() };
    let entries = match keys {
        Keys::Texts => reader.texts(),
        Keys::Networks => reader.networks(),
        Keys::Patterns => reader.patterns(),
    };
    match entries {
        Some(entries) if reader.problems.is_empty() => Ok(entries),
        _ => Err(reader.problems),
    }
}

struct Reader<'s> {
    source: &'s Arc<SourceFile>,
    problems: Vec<Problem>,
}

/// A key and its value.
struct Line<'s> {
    key: &'s str,
    /// Where the key stands.
    key_span: Range<usize>,
    value: &'s str,
}

impl<'s> Reader<'s> {
    fn problem(
        &mut self,
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: &str,
    ) {
        let help = Some(help.to_owned()).filter(|help| !help.is_empty());
        self.problems.push(Problem::error(title, Place::new(self.source, span), label).help(help));
    }

    /// Lines that are entries, until one is too many for `take`; with the octets before each.
    fn each_line(&mut self, mut take: impl FnMut(&mut Self, usize, &'s str)) {
        let source = self.source;
        let mut start = 0;
        for line in source.text.split_inclusive('\n') {
            let content = line.trim_end();
            if self.problems.len() >= PROBLEMS_MAX {
                return;
            }
            if content.starts_with([' ', '\t']) {
                let indent = content.len() - content.trim_start().len();
                self.problem(
                    start + indent..start + content.len(),
                    "an entry begins with white space",
                    "one line is one entry, and no line continues another",
                    "",
                );
            } else if !content.is_empty() && !content.starts_with('#') {
                take(self, start, content);
            }
            start += line.len();
        }
    }

    fn texts(&mut self) -> Option<Entries> {
        let mut texts = Texts::default();
        // The places of the keys, for what is said of one that comes again.
        let mut starts: Vec<usize> = Vec::new();
        self.each_line(|reader, start, content| {
            let (key, key_octets) = match quoted(content) {
                Some(Ok((key, octets))) => (key.into(), octets),
                Some(Err(())) => {
                    let span = start..start + content.len();
                    return reader.problem(
                        span,
                        "a quotation mark has no partner",
                        "no `\"` ends the key",
                        "",
                    );
                }
                None => {
                    let octets = content.find(char::is_whitespace).unwrap_or(content.len());
                    (std::borrow::Cow::Borrowed(content.get(..octets).unwrap_or_default()), octets)
                }
            };
            let Some(value) = reader.value(start, content, key_octets) else { return };
            match texts.insert(&key, value) {
                Ok(()) => starts.push(start),
                Err(first) => {
                    let first = starts.get(first).copied().unwrap_or(0);
                    let first = Place::new(reader.source, first..first);
                    let place = Place::new(reader.source, start..start + key_octets);
                    let title = format!("`{key}` stands twice in the table");
                    reader
                        .problems
                        .push(Problem::error(title, place, "again here").also(first, "first here"));
                }
            }
        });
        texts.shrink();
        Some(Entries::Texts(texts))
    }

    fn networks(&mut self) -> Option<Entries> {
        let mut networks = Networks::default();
        self.each_line(|reader, start, content| {
            let Some(Line { key, key_span, value }) = reader.line(start, content) else { return };
            match key.parse::<Network>() {
                Ok(network) => {
                    if !networks.insert(network, value) {
                        reader.problem(
                            key_span,
                            format!("`{network}` stands twice in the table"),
                            "again here",
                            "",
                        );
                    }
                }
                Err(NetworkError::HostBits(meant)) => reader.problem(
                    key_span,
                    format!("`{key}` has bits set right of its prefix"),
                    "expected a network",
                    &format!("did you mean `{meant}`?"),
                ),
                Err(NetworkError::Malformed) => reader.problem(
                    key_span,
                    format!("`{key}` is not a network"),
                    "expected an IP address or a network",
                    "write a network as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.1",
                ),
            }
        });
        Some(Entries::Networks(networks))
    }

    fn patterns(&mut self) -> Option<Entries> {
        let (mut expressions, mut entries) = (Vec::new(), Vec::new());
        self.each_line(|reader, start, content| {
            let Some((pattern, flags, key_octets)) = pattern(content) else {
                let advice = "write a pattern as /^dyn-[0-9]+/ and its value behind it";
                return reader.problem(
                    start..start + content.len(),
                    "not a pattern",
                    "expected `/…/`",
                    advice,
                );
            };
            let Some(value) = reader.value(start, content, key_octets) else { return };
            let Some(expression) = with_flags(pattern, flags) else {
                let span = start + key_octets - flags.len()..start + key_octets;
                let title = format!("unknown flags `{flags}`");
                return reader.problem(span, title, "expected `c`, `i`, `s` or `x`", "");
            };
            if entries.len() == PATTERNS_MAX {
                let title = format!("more than {PATTERNS_MAX} patterns");
                return reader.problem(start..start + key_octets, title, "one too many", "");
            }
            let compiled = RegexBuilder::new(&expression).size_limit(PATTERN_OCTETS_MAX).build();
            if let Err(error) = compiled {
                // The last line says what is wrong; the ones before draw it.
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
                return reader.problem(start..start + key_octets, "not a regular expression", why, "");
            }
            let key = content.get(..key_octets).unwrap_or_default();
            expressions.push(expression);
            entries.push((Box::from(key), Box::from(value)));
        });
        if !self.problems.is_empty() {
            return None;
        }
        let set = RegexSetBuilder::new(&expressions)
            .size_limit(PATTERNS_OCTETS_MAX)
            .dfa_size_limit(PATTERNS_OCTETS_MAX)
            .build();
        match set {
            Ok(set) => Some(Entries::Patterns(Patterns { set, entries })),
            Err(_) => {
                let label = format!("together they need more than {PATTERNS_OCTETS_MAX} octets");
                self.problem(0..0, "the patterns are too large", label, "");
                None
            }
        }
    }

    /// A key without white space, and its value.
    fn line(&mut self, start: usize, content: &'s str) -> Option<Line<'s>> {
        let octets = content.find(char::is_whitespace).unwrap_or(content.len());
        let value = self.value(start, content, octets)?;
        Some(Line { key: content.get(..octets)?, key_span: start..start + octets, value })
    }

    /// What stands behind a key of `key_octets`.
    fn value(&mut self, start: usize, content: &'s str, key_octets: usize) -> Option<&'s str> {
        let key_span = start..start + key_octets;
        let rest = content.get(key_octets..).unwrap_or_default();
        let value = rest.trim();
        if key_octets > KEY_OCTETS_MAX {
            let title = format!("a key of more than {KEY_OCTETS_MAX} octets");
            self.problem(key_span, title, "too long", "");
        } else if value.is_empty() {
            self.problem(key_span, "a key without a value", "expected white space and a value behind it", "");
        } else if !rest.starts_with(char::is_whitespace) {
            let end = start + key_octets;
            let next = rest.chars().next().map_or(0, char::len_utf8);
            self.problem(end..end + next, "no white space behind the key", "expected white space", "");
        } else if value.len() > VALUE_OCTETS_MAX {
            let title = format!("a value of more than {VALUE_OCTETS_MAX} octets");
            self.problem(key_span, title, "of this key", "");
        } else {
            return Some(value);
        }
        None
    }
}

/// The key in quotation marks at the start of a line, and how long it is with them; an error when they have no end.
fn quoted(content: &str) -> Option<Result<(String, usize), ()>> {
    let inside = content.strip_prefix('"')?;
    let mut key = String::new();
    let mut characters = inside.char_indices();
    while let Some((place, character)) = characters.next() {
        match character {
            '"' => return Some(Ok((key, place + 2))),
            '\\' => match characters.next() {
                Some((_, escaped @ ('"' | '\\'))) => key.push(escaped),
                Some((_, other)) => key.extend(['\\', other]),
                None => break,
            },
            _ => key.push(character),
        }
    }
    Some(Err(()))
}

/// What stands between the slashes at the start of a line, the flags behind, and how long both are with the slashes.
fn pattern(content: &str) -> Option<(&str, &str, usize)> {
    let inside = content.strip_prefix('/')?;
    let mut is_escaped = false;
    let end = inside.char_indices().find_map(|(place, character)| {
        let ends = character == '/' && !is_escaped;
        is_escaped = character == '\\' && !is_escaped;
        ends.then_some(place)
    })?;
    let behind = inside.get(end + 1..)?;
    let flags = behind.get(..behind.find(char::is_whitespace).unwrap_or(behind.len()))?;
    Some((inside.get(..end)?, flags, end + 2 + flags.len()))
}

/// The expression with its flags inside. Letters' case doesn't count, as everywhere in a policy, unless `c` says so.
fn with_flags(pattern: &str, flags: &str) -> Option<String> {
    let mut inside = String::new();
    let mut counts_case = false;
    for flag in flags.chars() {
        match flag {
            'c' => counts_case = true,
            'i' => {}
            's' | 'x' => inside.push(flag),
            _ => return None,
        }
    }
    if !counts_case {
        inside.push('i');
    }
    Some(if inside.is_empty() { pattern.to_owned() } else { format!("(?{inside}){pattern}") })
}
