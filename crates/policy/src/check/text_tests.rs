//! Tests of texts: `contains`, `starts with`, `ends with`, `like` and `matches`.

use std::sync::Arc;

use regex::RegexBuilder;

use super::Checker;
use super::literals::{described, folded, one_of};
use crate::diagnostic::Diagnostic;
use crate::pattern::Pattern;
use crate::plan::{Expression, Form};
use crate::slot::SlotInfo;
use crate::span::{Span, Spanned};
use crate::syntax::ast::{FactPath, TextTest};
use crate::value::Type;

/// Largest program that a regular expression may become, in octets.
const EXPRESSION_OCTETS_MAX: usize = 1 << 20;

impl Checker<'_> {
    /// A test of a text.
    pub(super) fn text_test(
        &mut self,
        info: &SlotInfo,
        subject: &FactPath,
        test: &Spanned<TextTest>,
        text: &Spanned<String>,
    ) -> Option<Form> {
        if one_of(info.value_type) != Type::Text {
            let title = format!("`{}` is {}, not a text", info.name, described(info.value_type));
            let advice = match info.value_type {
                Type::Address => Some(format!("write `{} in (192.0.2.0/24)`", info.name)),
                Type::Choice(words) => {
                    Some(format!("write `{} is {}`", info.name, words.first().unwrap_or(&"none")))
                }
                _ => None,
            };
            self.report(
                Diagnostic::error(title, test.span, "goes with texts")
                    .also(subject.span, described(info.value_type))
                    .help(advice),
            );
            return None;
        }
        if text.node.is_empty() {
            self.report(Diagnostic::error("the text is empty", text.span, "always or never so"));
            return None;
        }
        let lower = || Arc::from(folded(&text.node).unwrap_or_else(|| text.node.to_ascii_lowercase()));
        Some(match test.node {
            TextTest::Contains => Form::Contains(lower()),
            TextTest::StartsWith => Form::StartsWith(lower()),
            TextTest::EndsWith => Form::EndsWith(lower()),
            TextTest::Like => Form::Like(Pattern::new(&text.node)),
            TextTest::Matches => Form::Matches(self.expression(&text.node, text.span)?),
        })
    }

    /// A regular expression, compiled.
    fn expression(&mut self, text: &str, span: Span) -> Option<Expression> {
        match RegexBuilder::new(text).case_insensitive(true).size_limit(EXPRESSION_OCTETS_MAX).build() {
            Ok(expression) => Some(Expression(expression)),
            Err(error) => {
                let (label, advice) = said_of_expression(&error);
                self.report(Diagnostic::error("the regular expression is not one", span, label).help(advice));
                None
            }
        }
    }
}

/// What is wrong with an expression, in one line, and advice.
pub(super) fn said_of_expression(error: &regex::Error) -> (String, Option<String>) {
    match error {
        regex::Error::Syntax(text) => {
            let why = text.lines().rev().find_map(|line| line.trim().strip_prefix("error: "));
            let why = why.unwrap_or("it can't be read").to_owned();
            let advice =
                why.contains("look-around").then(|| "write two tests joined by `and not` instead".to_owned());
            (why, advice)
        }
        regex::Error::CompiledTooBig(limit) => {
            (format!("it becomes larger than {limit} octets"), Some("repeat less, or use a list".to_owned()))
        }
        _ => ("it can't be read".to_owned(), None),
    }
}
