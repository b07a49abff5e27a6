//! Keys of the configuration, sections of keys, and tables read by them.
//!
//! Invariants: what a key is called, how it is written, what it is by default and what it says stand in one place; the
//! reader, the check for unknown keys and the reference all go by it.

use std::ops::Range;
use std::sync::Arc;

use policy::nearest::did_you_mean;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::form::{Fault, Whole};
use super::problem::{Place, Problem, SourceFile};

/// One key.
pub(crate) struct Key<F> {
    pub(crate) name: &'static str,
    form: F,
    /// As it would be written; empty when the key is off unless it is written.
    default: &'static str,
    example: &'static str,
    sentence: &'static str,
}

impl<F: Whole> Key<F> {
    pub(crate) const fn new(
        name: &'static str,
        form: F,
        default: &'static str,
        example: &'static str,
        sentence: &'static str,
    ) -> Self {
        Self { name, form, default, example, sentence }
    }

    /// How it is written.
    pub(crate) const fn form(&self) -> &F {
        &self.form
    }

    /// What the key means when it isn't written.
    pub(crate) fn default(&self) -> F::Value {
        self.read_text(self.default).unwrap_or_else(|| self.form.fallback())
    }

    fn read_text(&self, text: &str) -> Option<F::Value> {
        self.form.read(&DeValue::parse(text).ok()?, &mut Vec::new())
    }
}

/// What the reference says of a key.
pub(crate) trait Documented: Sync {
    fn name(&self) -> &'static str;
    fn form(&self) -> String;
    fn default_text(&self) -> &'static str;
    fn example(&self) -> &'static str;
    fn sentence(&self) -> &'static str;
    /// Whether `text` is a value of the key.
    #[cfg(test)]
    fn takes(&self, text: &str) -> bool;
}

impl<F: Whole> Documented for Key<F> {
    fn name(&self) -> &'static str {
        self.name
    }

    fn form(&self) -> String {
        self.form.describe()
    }

    fn default_text(&self) -> &'static str {
        self.default
    }

    fn example(&self) -> &'static str {
        self.example
    }

    fn sentence(&self) -> &'static str {
        self.sentence
    }

    #[cfg(test)]
    fn takes(&self, text: &str) -> bool {
        let mut faults = Vec::new();
        let meant = DeValue::parse(text).ok().and_then(|value| self.form.read(&value, &mut faults));
        meant.is_some() && faults.is_empty()
    }
}

/// A table of the configuration.
pub(crate) struct Section {
    /// Its header as the reference shows it; empty for the top of the file.
    pub(crate) header: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) keys: &'static [&'static dyn Documented],
    /// Names of the tables inside.
    pub(crate) tables: &'static [&'static str],
}

impl Section {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name()).chain(self.tables.iter().copied())
    }
}

/// Where the text that was parsed stands in its file: at `parsed` octets of the one, `file` of the other.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) source: Arc<SourceFile>,
    pub(crate) parsed: usize,
    pub(crate) file: usize,
}

impl Frame {
    pub(crate) const fn whole(source: Arc<SourceFile>) -> Self {
        Self { source, parsed: 0, file: 0 }
    }

    pub(crate) fn place(&self, span: Range<usize>) -> Place {
        let at = |offset: usize| (offset + self.file).saturating_sub(self.parsed);
        Place::new(&self.source, at(span.start)..at(span.end))
    }

    pub(crate) fn problem(&self, fault: Fault) -> Problem {
        Problem::error(fault.title, self.place(fault.span), fault.label).help(fault.help)
    }
}

/// A key and its value as they stand in the file.
pub(crate) type Pair<'t> = (&'t Spanned<DeString<'t>>, &'t Spanned<DeValue<'t>>);

/// A table of the file, in the order of the file, known keys only.
pub(crate) struct Table<'t> {
    pub(crate) frame: &'t Frame,
    pairs: Vec<Pair<'t>>,
}

impl<'t> Table<'t> {
    /// A table in which nothing stands.
    pub(crate) const fn empty(frame: &'t Frame) -> Self {
        Self { frame, pairs: Vec::new() }
    }

    /// Reads the table against its section; keys that the section hasn't are problems.
    pub(crate) fn new(
        frame: &'t Frame,
        table: &'t DeTable<'t>,
        section: &Section,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let mut pairs = in_order(table);
        pairs.retain(|(key, _)| {
            let known = section.names().any(|name| name == key.get_ref());
            if !known {
                problems.push(unknown_key(frame, key, section));
            }
            known
        });
        Self { frame, pairs }
    }

    /// What the key means here, or by default; what is wrong with its value is a problem.
    pub(crate) fn read<F: Whole>(&self, key: &Key<F>, problems: &mut Vec<Problem>) -> F::Value {
        let Some((_, value)) = self.get(key.name) else { return key.default() };
        let mut faults = Vec::new();
        let meant = key.form.read(value, &mut faults);
        problems.extend(faults.into_iter().map(|mut fault| {
            fault.title = format!("`{}`: {}", key.name, fault.title);
            self.frame.problem(fault)
        }));
        meant.unwrap_or_else(|| key.default())
    }

    /// The key of that name and its value, when it is written.
    pub(crate) fn get(&self, name: &str) -> Option<Pair<'t>> {
        self.pairs.iter().copied().find(|(key, _)| key.get_ref() == name)
    }

    /// Whether a list without elements is written there.
    pub(crate) fn is_empty_list(&self, name: &str) -> bool {
        let value = self.get(name).map(|(_, value)| value.get_ref());
        matches!(value, Some(DeValue::Array(elements)) if elements.is_empty())
    }

    /// Where the value of that name is, when it is written.
    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        self.get(name).map(|(_, value)| self.frame.place(value.span()))
    }

    /// The table of that name inside; something else in its place is a problem.
    pub(crate) fn table(&self, name: &str, problems: &mut Vec<Problem>) -> Option<&'t DeTable<'t>> {
        let (key, value) = self.get(name)?;
        as_table(self.frame, key, value, problems)
    }

    /// The section of that name inside, empty when it isn't written.
    pub(crate) fn section(&self, name: &str, section: &Section, problems: &mut Vec<Problem>) -> Self {
        match self.table(name, problems) {
            Some(table) => Table::new(self.frame, table, section, problems),
            None => Table::empty(self.frame),
        }
    }
}

/// The pairs of a table in the order of the file.
pub(crate) fn in_order<'t>(table: &'t DeTable<'t>) -> Vec<Pair<'t>> {
    let mut pairs: Vec<_> = table.iter().collect();
    pairs.sort_by_key(|(key, _)| key.span().start);
    pairs
}

/// The table that `value` is; something else is a problem.
pub(crate) fn as_table<'t>(
    frame: &Frame,
    key: &Spanned<DeString<'_>>,
    value: &'t Spanned<DeValue<'t>>,
    problems: &mut Vec<Problem>,
) -> Option<&'t DeTable<'t>> {
    if let DeValue::Table(table) = value.get_ref() {
        return Some(table);
    }
    let mut fault = Fault::wrong_type(value, "a table");
    fault.title = format!("`{}`: {}", key.get_ref(), fault.title);
    problems.push(frame.problem(fault));
    None
}

fn unknown_key(frame: &Frame, key: &Spanned<DeString<'_>>, section: &Section) -> Problem {
    let title = format!("unknown key `{}`", key.get_ref());
    let place = if section.header.is_empty() {
        "no key at the top of the file".to_owned()
    } else {
        format!("no key of `{}`", section.header)
    };
    let near = did_you_mean(key.get_ref(), section.names());
    let home = near.is_none().then(|| super::keys::home_of(key.get_ref())).flatten();
    let known = || format!("known here: {}", section.names().collect::<Vec<_>>().join(", "));
    let advice =
        near.or_else(|| home.map(|header| format!("it belongs under `{header}`"))).unwrap_or_else(known);
    Problem::error(title, frame.place(key.span()), place).help(advice)
}
