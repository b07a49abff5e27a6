//! Names: what a policy declares, what they are taken for, and the nearest when there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Checker;
use super::condition::Compiled;
use super::lists::ListValue;
use crate::diagnostic::Diagnostic;
use crate::facts::{self, FACTS, FactInfo, Group, Scope};
use crate::nearest::{did_you_mean, nearest};
use crate::slot::{Origin, Slot, SlotInfo};
use crate::source::{Field, Source};
use crate::span::Span;
use crate::syntax::ast::{Define, FactPath, Given, Word};
use crate::syntax::words::familiar_fact;

/// A declared name.
#[derive(Debug)]
pub(super) struct Declared<T> {
    pub(super) span: Span,
    pub(super) used: bool,
    pub(super) what: T,
}

impl<T> Declared<T> {
    pub(super) const fn new(span: Span, what: T) -> Self {
        Self { span, used: false, what }
    }
}

/// A definition: as written, being compiled, or compiled.
#[derive(Debug)]
pub(super) enum Definition<'a> {
    Written(&'a Define),
    InWork,
    Done(Option<Arc<Compiled>>),
}

/// Everything that a policy declares by name. Lists, sources and definitions share one space of names.
#[derive(Debug, Default)]
pub(super) struct Names<'a> {
    pub(super) lists: BTreeMap<String, Declared<Option<ListValue>>>,
    /// The place among the sources; `None` when the source could not be used.
    pub(super) sources: BTreeMap<String, Declared<Option<u16>>>,
    pub(super) definitions: BTreeMap<String, Declared<Definition<'a>>>,
    pub(super) givens: BTreeMap<String, Declared<&'a Given>>,
    pub(super) rules: BTreeMap<String, Span>,
}

impl Names<'_> {
    /// Where a list, source or definition of that name is declared, and what it is.
    pub(super) fn place(&self, name: &str) -> Option<(Span, &'static str)> {
        let list = self.lists.get(name).map(|list| (list.span, "list"));
        let source = self.sources.get(name).map(|source| (source.span, "source"));
        let definition = self.definitions.get(name).map(|definition| (definition.span, "definition"));
        list.or(source).or(definition)
    }
}

/// The facts that the policy can ask for, numbered.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    pub(super) slots: Vec<SlotInfo>,
    by_name: BTreeMap<Arc<str>, Slot>,
}

impl Numbering {
    fn number(&mut self, info: SlotInfo) -> Option<Slot> {
        if let Some(slot) = self.by_name.get(&info.name) {
            return Some(*slot);
        }
        let slot = Slot(u16::try_from(self.slots.len()).ok()?);
        self.by_name.insert(Arc::clone(&info.name), slot);
        self.slots.push(info);
        Some(slot)
    }

    pub(super) fn info(&self, slot: Slot) -> Option<&SlotInfo> {
        self.slots.get(slot.index())
    }

    pub(super) fn named(&self, name: &str) -> Option<Slot> {
        self.by_name.get(name).copied()
    }

    /// The slot of a fact of the table.
    pub(super) fn builtin(&mut self, fact: &'static FactInfo) -> Option<Slot> {
        self.number(of_table(fact, fact.name.into(), Origin::Builtin(fact)))
    }

    /// The slot of a source's fact.
    pub(super) fn of_source(&mut self, index: u16, source: &Source, field: Field) -> Option<Slot> {
        self.number(source_slot(index, source, field))
    }
}

fn of_table(fact: &'static FactInfo, name: Arc<str>, origin: Origin) -> SlotInfo {
    SlotInfo {
        name,
        origin,
        value_type: fact.value_type,
        since: fact.since,
        scope: fact.scope,
        group: fact.group,
        optional: fact.optional,
        fallible: fact.fallible,
        remembers: fact.remembers,
    }
}

/// What is known of a source's fact.
pub(super) fn source_slot(index: u16, source: &Source, field: Field) -> SlotInfo {
    let name = match field.name() {
        "" => Arc::clone(&source.name),
        dotted => Arc::from(format!("{}.{dotted}", source.name)),
    };
    SlotInfo {
        name,
        origin: Origin::Source(index, field),
        value_type: field.value_type(),
        since: source.since,
        scope: source.scope,
        group: Group::Source(index),
        optional: field.optional(),
        fallible: true,
        remembers: field.remembers(),
    }
}

/// The groups of the table: `client`, `sender` and so on.
pub(super) fn is_group(name: &str) -> bool {
    FACTS.iter().any(|fact| fact.name.split('.').next() == Some(name))
}

/// The facts of a group, in words.
fn members(group: &str) -> String {
    let all: Vec<_> = FACTS
        .iter()
        .filter(|fact| fact.name.split('.').next() == Some(group))
        .map(|fact| fact.name)
        .collect();
    format!("{group} has: {}", all.join(", "))
}

impl<'a> Checker<'a> {
    /// Takes a name for a list, source or definition; says so when it is taken already.
    pub(super) fn is_free(&mut self, name: &Word, what: &str) -> bool {
        if is_group(&name.node) {
            let title = format!("`{}` is a group of facts already", name.node);
            self.report(
                Diagnostic::error(title, name.span, format!("{what} needs a name of its own"))
                    .help(members(&name.node)),
            );
            return false;
        }
        let Some((span, other)) = self.names.place(&name.node) else { return true };
        let title = format!("there is a {other} `{}` already", name.node);
        self.report(Diagnostic::error(title, name.span, "declared a second time").also(span, "first here"));
        false
    }

    /// The slot of a fact that is asked for in a condition, a text or a key.
    pub(super) fn fact(&mut self, path: &FactPath) -> Option<Slot> {
        match self.find_fact(path) {
            Ok(slot) => slot,
            Err(finding) => {
                self.report(*finding);
                None
            }
        }
    }

    /// The slot of what stands where a value is expected, which may be a text without its quotes.
    pub(super) fn fact_as_value(&mut self, path: &FactPath) -> Option<Slot> {
        match self.find_fact(path) {
            Ok(slot) => slot,
            Err(mut finding) => {
                let (group, _) = path.name.split_once('.').unwrap_or((&path.name, ""));
                let is_text =
                    !is_group(group) && !finding.help.iter().any(|help| help.starts_with("did you"));
                if is_text && path.argument.is_none() {
                    finding.help.insert(0, format!("a text stands in quotes: \"{}\"", path.name));
                }
                self.report(*finding);
                None
            }
        }
    }

    /// The slot, `None` for one that was complained of before, or what is wrong with the name.
    fn find_fact(&mut self, path: &FactPath) -> Result<Option<Slot>, Box<Diagnostic>> {
        if let Some(fact) = facts::named(&path.name) {
            return self.table_fact(fact, path);
        }
        let (name, field) = path.name.split_once('.').unwrap_or((&path.name, ""));
        if self.names.sources.contains_key(name) {
            return self.source_fact(name, field, path);
        }
        if let Some(list) = self.names.lists.get_mut(name) {
            list.used = true;
            let title = format!("`{name}` is a list, not a fact");
            return Err(Diagnostic::error(title, path.span, "a fact was expected")
                .help(format!("write what is to be in it: client.ip in {name}"))
                .into());
        }
        if let Some(definition) = self.names.definitions.get_mut(&path.name) {
            definition.used = true;
            let title = format!("`{}` is a definition, not a fact", path.name);
            let label = "it holds or does not: it has no value";
            return Err(Diagnostic::error(title, path.span, label)
                .also(definition.span, "defined here")
                .into());
        }
        if self.spoilt.contains(name) {
            return Ok(None);
        }
        Err(self.unknown_fact(path).into())
    }

    fn table_fact(
        &mut self,
        fact: &'static FactInfo,
        path: &FactPath,
    ) -> Result<Option<Slot>, Box<Diagnostic>> {
        match (&path.argument, fact.argument) {
            (None, false) => Ok(self.facts.builtin(fact)),
            (Some(argument), true) => {
                let name = argument.node.to_ascii_lowercase();
                if name.is_empty() || !name.bytes().all(|octet| (33..=126).contains(&octet) && octet != b':')
                {
                    let title = format!("\"{}\" is no name of a header field", argument.node);
                    let label = "printable ASCII without colon or space (RFC 5322 §2.2)";
                    return Err(Diagnostic::error(title, argument.span, label).into());
                }
                let slot_name = Arc::from(format!("{}(\"{name}\")", fact.name));
                let origin = Origin::Argument(fact, Arc::from(name));
                Ok(self.facts.number(of_table(fact, slot_name, origin)))
            }
            (None, true) => {
                let title = format!("`{}` needs the name of a header field", fact.name);
                let advice = format!("write {}(\"List-Id\")", fact.name);
                Err(Diagnostic::error(title, path.span, "of which field?").help(advice).into())
            }
            (Some(argument), false) => {
                let title = format!("`{}` takes no argument", fact.name);
                Err(Diagnostic::error(title, argument.span, "leave it out").into())
            }
        }
    }

    fn source_fact(
        &mut self,
        name: &str,
        field: &str,
        path: &FactPath,
    ) -> Result<Option<Slot>, Box<Diagnostic>> {
        let Some(declared) = self.names.sources.get_mut(name) else { return Ok(None) };
        declared.used = true;
        let (place, Some(index)) = (declared.span, declared.what) else { return Ok(None) };
        let Some(source) = self.sources.get(usize::from(index)) else { return Ok(None) };
        let fields = source.kind.fields();
        let Some(found) = fields.iter().find(|known| known.name() == field) else {
            let names: Vec<_> = fields.iter().map(|known| source_slot(index, source, *known).name).collect();
            let title = format!("there is no fact `{}`", path.name);
            return Err(Diagnostic::error(title, path.span, "unknown name")
                .also(place, "declared here")
                .help(did_you_mean(&path.name, names.iter().map(|name| &**name)))
                .help(format!("`{name}` has: {}", names.join(", ")))
                .into());
        };
        if let Some(argument) = &path.argument {
            let title = format!("`{}` takes no argument", path.name);
            return Err(Diagnostic::error(title, argument.span, "leave it out").into());
        }
        if source.shadow && !self.setting_facts {
            let title = format!("no rule may ask for `{}`: it is a shadow", path.name);
            return Err(Diagnostic::error(title, path.span, "gathered and journalled, never decided on")
                .also(place, "declared here")
                .help("leave out the word `shadow` to decide on it".to_owned())
                .into());
        }
        Ok(self.facts.of_source(index, source, *found))
    }

    fn unknown_fact(&mut self, path: &FactPath) -> Diagnostic {
        let group = path.name.split('.').next().unwrap_or_default();
        let mut known: Vec<&str> = FACTS.iter().map(|fact| fact.name).collect();
        let declared: Vec<String> = self
            .sources
            .iter()
            .enumerate()
            .flat_map(|(index, source)| {
                let index = u16::try_from(index).unwrap_or(u16::MAX);
                source
                    .kind
                    .fields()
                    .iter()
                    .map(move |field| source_slot(index, source, *field).name.to_string())
            })
            .chain(self.names.definitions.keys().cloned())
            .collect();
        known.extend(declared.iter().map(String::as_str));
        let familiar = familiar_fact(&path.name).filter(|fact| known.contains(&fact.as_str()));
        let near = familiar.or_else(|| nearest(&path.name, known.iter().copied()).map(str::to_owned));
        let undotted = !path.name.contains('.');
        let title = if undotted {
            format!("there is no definition, table or rate `{}`", path.name)
        } else {
            format!("there is no fact `{}`", path.name)
        };
        let mut finding = Diagnostic::error(title, path.span, "unknown name");
        if let Some(near) = near {
            let first = near.split('.').next().unwrap_or_default();
            if let Some(source) = self.names.sources.get_mut(first) {
                source.used = true;
            }
            if let Some(definition) = self.names.definitions.get_mut(&near) {
                definition.used = true;
            }
            finding = finding.help(format!("did you mean `{near}`?"));
        }
        if !undotted && is_group(group) {
            finding = finding.help(members(group));
        } else if finding.help.is_empty() {
            finding =
                finding.help("conditions ask facts: docs/reference/policy-facts.md lists them".to_owned());
        }
        finding
    }

    /// Warns of what is declared and never used. What is written after a mistake may be what the mistake meant.
    pub(super) fn warn_of_unused(&mut self) {
        let names = &self.names;
        let lists =
            names.lists.iter().filter(|(_, list)| !list.used).map(|(name, list)| ("list", name, list.span));
        let sources = names.sources.iter().filter(|(_, source)| {
            let shadow = |index| self.sources.get(usize::from(index)).is_some_and(|source| source.shadow);
            !source.used && !source.what.is_some_and(shadow)
        });
        let sources = sources.map(|(name, source)| ("source", name, source.span));
        let definitions = names.definitions.iter().filter(|(_, definition)| !definition.used);
        let definitions = definitions.map(|(name, definition)| ("definition", name, definition.span));
        let givens = names.givens.iter().filter(|(_, given)| !given.used);
        let givens = givens.map(|(name, given)| ("group of given facts", name, given.span));
        let unused: Vec<_> = lists
            .chain(sources)
            .chain(definitions)
            .chain(givens)
            .map(|(what, name, span)| {
                let finding = Diagnostic::warning(format!("the {what} `{name}` is never used"), span, "here");
                let shadow = what == "source";
                finding.help(shadow.then(|| {
                    "write `shadow` in front to have it gathered and journalled without deciding on it"
                        .to_owned()
                }))
            })
            .collect();
        self.findings.extend(unused);
    }
}

/// The scope in which facts of both scopes hold: the shorter one.
pub(super) fn shorter(one: Scope, other: Scope) -> Scope {
    one.max(other)
}
