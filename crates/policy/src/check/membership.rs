//! `in`: the list or the values behind it, against the type of the fact.

use std::sync::Arc;

use super::Checker;
use super::lists::ListValue;
use super::literals::{described, one_of};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::plan::Form;
use crate::sets::{NameSet, NetworkSet};
use crate::slot::{Slot, SlotInfo};
use crate::span::Span;
use crate::syntax::ast::{FactPath, Literal, LiteralValue, Set, Word};
use crate::value::{Type, Value};

impl Checker<'_> {
    /// What stands behind `in`.
    pub(super) fn in_set(
        &mut self,
        (slot, info): (Slot, &SlotInfo),
        subject: &FactPath,
        set: &Set,
    ) -> Option<Form> {
        match set {
            Set::Named(name) => self.in_list(info, subject, name),
            Set::Literals(literals, span) => self.in_literals((slot, info), subject, literals, *span),
        }
    }

    fn in_list(&mut self, info: &SlotInfo, subject: &FactPath, name: &Word) -> Option<Form> {
        let Some(declared) = self.names.lists.get_mut(&name.node) else {
            self.report_no_list(info, name);
            return None;
        };
        declared.used = true;
        let place = declared.span;
        let value = declared.what.clone()?;
        let (form, kind, wanted) = match value {
            ListValue::Networks(networks) => (Form::InNetworks(networks), "networks", Type::Address),
            ListValue::Names(names) => (Form::InNames(names), "names", Type::Text),
            ListValue::Patterns(patterns) => (Form::InPatterns(patterns), "patterns", Type::Text),
        };
        if one_of(info.value_type) == wanted {
            return Some(form);
        }
        let title =
            format!("`{}` is {}, `{}` is a list of {kind}", info.name, described(info.value_type), name.node);
        let advice = match one_of(info.value_type) {
            Type::Address => Some(format!("declare it as `networks {} = ...`", name.node)),
            Type::Text => Some(format!("declare it as `names {} = ...`", name.node)),
            Type::Choice(_) => Some("write the words: in (fail, softfail)".to_owned()),
            _ => None,
        };
        self.report(
            Diagnostic::error(title, subject.span, "never in it").also(place, "declared here").help(advice),
        );
        None
    }

    fn report_no_list(&mut self, info: &SlotInfo, name: &Word) {
        if let Some((place, what)) = self.names.place(&name.node) {
            if let Some(source) = self.names.sources.get_mut(&name.node) {
                source.used = true;
            }
            let title = format!("`{}` is a {what}, not a list", name.node);
            let advice = (what == "source").then(|| format!("ask for its own facts: {}.listed", name.node));
            self.report(
                Diagnostic::error(title, name.span, "a list was expected")
                    .also(place, "declared here")
                    .help(advice),
            );
            return;
        }
        if self.spoilt.contains(&name.node) {
            return;
        }
        let near = nearest(&name.node, self.names.lists.keys().map(String::as_str)).map(str::to_owned);
        let mut finding =
            Diagnostic::error(format!("there is no list `{}`", name.node), name.span, "unknown list");
        if let Some(near) = near {
            // The list is taken for used: that it is not would follow from the mistake.
            if let Some(list) = self.names.lists.get_mut(&near) {
                list.used = true;
            }
            finding = finding.help(format!("did you mean `{near}`?"));
        } else {
            let kind = if one_of(info.value_type) == Type::Address { "networks" } else { "names" };
            finding = finding.help(format!("declare it: {kind} {} = ...", name.node));
        }
        self.report(finding);
    }

    fn in_literals(
        &mut self,
        (slot, info): (Slot, &SlotInfo),
        subject: &FactPath,
        literals: &[Literal],
        span: Span,
    ) -> Option<Form> {
        if one_of(info.value_type) == Type::Address {
            let mut networks = Vec::new();
            for literal in literals {
                match literal.node {
                    LiteralValue::Network(network) if self.sound_network(network, literal.span) => {
                        networks.push(network)
                    }
                    LiteralValue::Network(_) => return None,
                    _ => return self.value(slot, subject.span, literal).and(None),
                }
            }
            return Some(Form::InNetworks(Arc::new(NetworkSet::new(networks))));
        }
        if matches!(info.value_type, Type::Boolean | Type::Duration) {
            let title =
                format!("`{}` is {}: a set of them makes no sense", info.name, described(info.value_type));
            self.report(Diagnostic::error(title, span, "compare it instead"));
            return None;
        }
        let values: Vec<_> = literals.iter().map(|literal| self.value(slot, subject.span, literal)).collect();
        let values: Vec<Value> = values.into_iter().collect::<Option<_>>()?;
        Some(match info.value_type {
            Type::Choice(_) => Form::Choices(
                values
                    .iter()
                    .filter_map(|value| if let Value::Choice(word) = value { Some(*word) } else { None })
                    .collect(),
            ),
            Type::Number | Type::Octets => Form::Numbers(
                values
                    .iter()
                    .filter_map(|value| if let Value::Number(number) = value { Some(*number) } else { None })
                    .collect(),
            ),
            _ => {
                let texts = values
                    .iter()
                    .filter_map(|value| if let Value::Text(text) = value { Some(&**text) } else { None });
                Form::InNames(Arc::new(NameSet::new(texts)))
            }
        })
    }
}
