//! Values as written against the type that a fact has.

use std::time::Duration;

use super::Checker;
use crate::diagnostic::Diagnostic;
use crate::nearest::did_you_mean;
use crate::slot::{Slot, SlotInfo};
use crate::span::Span;
use crate::syntax::ast::{Literal, LiteralValue, Network};
use crate::value::{Type, Value};

/// A type in words.
pub(super) fn described(value_type: Type) -> String {
    match value_type {
        Type::Boolean => "a yes or no".to_owned(),
        Type::Number => "a number".to_owned(),
        Type::Octets => "an amount of octets".to_owned(),
        Type::Duration => "a length of time".to_owned(),
        Type::Text => "a text".to_owned(),
        Type::Address => "an address".to_owned(),
        Type::Choice(words) => format!("one of {}", words.join(", ")),
        Type::Texts => "several texts".to_owned(),
        Type::Addresses => "several addresses".to_owned(),
    }
}

fn described_literal(value: &LiteralValue) -> &'static str {
    match value {
        LiteralValue::Text(_) => "a text",
        LiteralValue::Number(_) => "a number",
        LiteralValue::Octets(_) => "an amount of octets",
        LiteralValue::Duration(_) => "a length of time",
        LiteralValue::Network(_) => "an address",
        LiteralValue::Word(_) => "a word",
    }
}

/// The type of one value of a fact that has several.
pub(super) const fn one_of(value_type: Type) -> Type {
    match value_type {
        Type::Texts => Type::Text,
        Type::Addresses => Type::Address,
        other => other,
    }
}

/// A text as facts have it: a domain in A-labels, ASCII in lower case. `None` when what looks like a domain is none.
pub(super) fn folded(text: &str) -> Option<String> {
    if text.is_ascii() {
        return Some(text.to_ascii_lowercase());
    }
    let (before, domain) = match text.rfind('@') {
        Some(at) => text.split_at_checked(at + 1)?,
        None => ("", text),
    };
    let looks_like_one = domain.contains('.') && !domain.contains(char::is_whitespace);
    if !looks_like_one || domain.contains(['*', '?']) {
        return Some(text.to_ascii_lowercase());
    }
    let (dot, name) = domain.strip_prefix('.').map_or(("", domain), |name| (".", name));
    let ascii = idna::domain_to_ascii(name).ok()?;
    Some(format!("{}{dot}{ascii}", before.to_ascii_lowercase()))
}

/// How a value of the wrong kind would be written for the fact.
fn advice(info: &SlotInfo, literal: &LiteralValue, is_given: bool) -> Option<String> {
    match (one_of(info.value_type), literal) {
        (Type::Number, LiteralValue::Text(text)) => {
            text.trim().parse::<i64>().ok().map(|number| format!("without the quotes: {number}"))
        }
        (Type::Number, LiteralValue::Octets(octets)) => Some(format!("without a unit: {octets}")),
        (Type::Number, LiteralValue::Duration(duration)) => {
            Some(format!("without a unit: {}", duration.as_secs()))
        }
        (Type::Octets, LiteralValue::Number(number)) => {
            Some(format!("with its unit: {number} MB, {number} KiB"))
        }
        (Type::Octets, LiteralValue::Text(text)) => Some(format!("without the quotes: {text}")),
        (Type::Duration, LiteralValue::Number(number)) => {
            Some(format!("with its unit: {number}s, {number}min, {number}h, {number}d"))
        }
        (Type::Duration, LiteralValue::Text(text)) => Some(format!("without the quotes: {text}")),
        (Type::Address, LiteralValue::Text(text)) => {
            super::lists::read_network(text).map(|_| format!("without the quotes: {text}"))
        }
        (Type::Text, LiteralValue::Word(word)) => Some(format!("in quotes: \"{word}\"")),
        (Type::Text, LiteralValue::Number(number)) => Some(format!("in quotes: \"{number}\"")),
        (Type::Text, LiteralValue::Network(Network { address, .. })) => {
            Some(format!("in quotes: \"{address}\""))
        }
        (Type::Boolean, _) if is_given => Some(format!("write `{} = yes` or `{0} = no`", info.name)),
        (Type::Boolean, _) => Some(format!("write `{} is yes` or `{0} is no`", info.name)),
        (Type::Choice(words), LiteralValue::Text(text)) => words
            .iter()
            .find(|word| word.eq_ignore_ascii_case(text))
            .map(|word| format!("without the quotes: {word}")),
        _ => None,
    }
}

impl Checker<'_> {
    /// The value that `literal` is for the fact; what is wrong with it is reported.
    pub(super) fn value(&mut self, slot: Slot, subject: Span, literal: &Literal) -> Option<Value> {
        let info = self.facts.info(slot)?.clone();
        let value = match (one_of(info.value_type), &literal.node) {
            (Type::Number, LiteralValue::Number(number)) => Some(Value::Number(*number)),
            (Type::Octets, LiteralValue::Octets(octets)) => Some(Value::Number(*octets)),
            (Type::Octets, LiteralValue::Number(0)) => Some(Value::Number(0)),
            (Type::Duration, LiteralValue::Duration(duration)) => Some(Value::Duration(*duration)),
            (Type::Duration, LiteralValue::Number(0)) => Some(Value::Duration(Duration::ZERO)),
            (Type::Text, LiteralValue::Text(text)) => return self.text_value(text, literal.span),
            (Type::Address, LiteralValue::Network(network)) => {
                return self.address_value(&info, *network, literal);
            }
            (Type::Boolean, LiteralValue::Word(word)) if word == "yes" => Some(Value::Boolean(true)),
            (Type::Boolean, LiteralValue::Word(word)) if word == "no" => Some(Value::Boolean(false)),
            (Type::Choice(words), LiteralValue::Word(word)) => {
                return self.choice(&info, words, word, literal.span).map(Value::Choice);
            }
            _ => None,
        };
        if value.is_none() {
            let wanted = described(one_of(info.value_type));
            let found = described_literal(&literal.node);
            let title = match info.value_type {
                Type::Texts | Type::Addresses => {
                    format!("a value of `{}` is {wanted}, this is {found}", info.name)
                }
                _ => format!("`{}` is {wanted}, this is {found}", info.name),
            };
            self.report(Diagnostic::error(title, literal.span, found).also(subject, wanted).help(advice(
                &info,
                &literal.node,
                self.setting_facts,
            )));
        }
        value
    }

    pub(super) fn choice(
        &mut self,
        info: &SlotInfo,
        words: &'static [&'static str],
        word: &str,
        span: Span,
    ) -> Option<&'static str> {
        let found = words.iter().find(|known| **known == word).copied();
        if found.is_none() {
            let title = format!("`{}` is never `{word}`", info.name);
            let label = format!("one of {}", words.join(", "));
            self.report(
                Diagnostic::error(title, span, label).help(did_you_mean(word, words.iter().copied())),
            );
        }
        found
    }

    fn text_value(&mut self, text: &str, span: Span) -> Option<Value> {
        let folded = folded(text);
        if folded.is_none() {
            let title = format!("\"{text}\" is no domain name");
            self.report(Diagnostic::error(title, span, "its labels can't be converted (RFC 5891)"));
        }
        folded.map(|text| Value::text(&text))
    }

    fn address_value(&mut self, info: &SlotInfo, network: Network, literal: &Literal) -> Option<Value> {
        if !self.sound_network(network, literal.span) {
            return None;
        }
        let whole = if network.address.is_ipv4() { 32 } else { 128 };
        if network.prefix != whole {
            let title = format!("`{}` is one address, this is a network", info.name);
            let advice = format!("write {} in ({}/{})", info.name, network.address, network.prefix);
            self.report(Diagnostic::error(title, literal.span, "a network").help(advice));
            return None;
        }
        Some(Value::address(network.address))
    }
}
