//! Reading the files of a policy: the built-in one, the site's, and what it includes.

use std::collections::BTreeSet;

use super::FILES_MAX;
use crate::diagnostic::Diagnostic;
use crate::policy::{BUILTIN_NAME, BUILTIN_TEXT, Files};
use crate::span::{SourceFile, Span};
use crate::syntax;
use crate::syntax::ast::Item;

/// The texts of a policy and what they hold, an included file's items in the place of its `include`.
pub(super) struct Read {
    pub(super) files: Vec<SourceFile>,
    pub(super) findings: Vec<Diagnostic>,
    pub(super) builtin: Vec<Item>,
    pub(super) site: Vec<Item>,
    /// Names behind the words that declare one, in files that could not be read as a whole.
    pub(super) spoilt: BTreeSet<String>,
}

/// The words behind which a name stands.
const DECLARING: [&str; 14] = [
    "networks", "names", "patterns", "dnsbl", "dnswl", "rhsbl", "table", "rate", "milter", "service",
    "clamav", "rspamd", "define", "given",
];

/// Reads the built-in policy and the site's.
pub(super) fn read(site: Option<(&str, &str)>, reader: &mut dyn Files) -> Read {
    let mut read = Read {
        files: Vec::new(),
        findings: Vec::new(),
        builtin: Vec::new(),
        site: Vec::new(),
        spoilt: BTreeSet::new(),
    };
    read.builtin = read.parse(BUILTIN_NAME, BUILTIN_TEXT);
    if let Some((name, text)) = site {
        let items = read.parse(name, text);
        read.site = read.with_included(items, reader);
    }
    read
}

impl Read {
    fn parse(&mut self, name: &str, text: &str) -> Vec<Item> {
        let number = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        self.files.push(SourceFile { name: name.into(), text: text.into() });
        let (file, findings) = syntax::parse(number, text);
        if !findings.is_empty() {
            let words: Vec<&str> = text.split_whitespace().collect();
            let declared = words.windows(2).filter_map(|pair| match pair {
                [word, name] if DECLARING.contains(word) || *word == "rule" => Some((*name).to_owned()),
                _ => None,
            });
            self.spoilt.extend(declared);
        }
        self.findings.extend(findings);
        file.items
    }

    /// The items, each `include` replaced by what it names. A file is read once at most, so that this ends.
    fn with_included(&mut self, items: Vec<Item>, reader: &mut dyn Files) -> Vec<Item> {
        let mut all = Vec::with_capacity(items.len());
        let mut waiting = vec![items.into_iter()];
        while let Some(current) = waiting.last_mut() {
            match current.next() {
                None => drop(waiting.pop()),
                Some(Item::Include(path)) => {
                    if let Some(items) = self.included(&path.node, path.span, reader) {
                        waiting.push(items.into_iter());
                    }
                }
                Some(item) => all.push(item),
            }
        }
        all
    }

    fn included(&mut self, path: &str, span: Span, reader: &mut dyn Files) -> Option<Vec<Item>> {
        let finding = if self.files.iter().any(|file| *file.name == *path) {
            let title = format!("\"{path}\" is part of the policy already");
            Diagnostic::error(title, span, "included a second time")
        } else if self.files.len() >= FILES_MAX {
            let title = format!("a policy has at most {FILES_MAX} files");
            Diagnostic::error(title, span, "one too many")
        } else {
            match reader.read(path) {
                Ok(text) => return Some(self.parse(path, &text)),
                Err(why) => unreadable(path, &why, span),
            }
        };
        self.findings.push(finding);
        None
    }
}

/// A file that could not be read.
pub(super) fn unreadable(path: &str, why: &str, span: Span) -> Diagnostic {
    Diagnostic::error(format!("cannot read \"{path}\""), span, why)
        .help("relative paths start at the directory of the policy file".to_owned())
}
