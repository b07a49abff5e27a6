//! Values: texts, numbers, sizes, times, networks and words; and the names of facts.

use super::{Kind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::span::{Span, Spanned};
use crate::syntax::ast::{FactPath, Literal, LiteralValue, Network};
use crate::syntax::lexer::{familiar_size, familiar_time};
use crate::syntax::words::{self, SIZE_UNITS};
use std::time::Duration;

impl Parser<'_> {
    /// Takes a value.
    pub(super) fn literal(&mut self, what: &str) -> Outcome<Literal> {
        let token = self.token();
        let value = match token.kind {
            Kind::Text(_) => {
                let text = self.text(what)?;
                return Ok(Spanned::new(LiteralValue::Text(text.node), text.span));
            }
            Kind::Number(number) => return self.number_with_unit(number),
            Kind::Octets(octets) => LiteralValue::Octets(octets),
            Kind::Duration(duration) => LiteralValue::Duration(duration),
            Kind::Network(network) => LiteralValue::Network(network),
            Kind::Word => LiteralValue::Word(self.letters(token.span).to_owned()),
            _ => return Err(self.expected(what)),
        };
        self.bump();
        Ok(Spanned::new(value, token.span))
    }

    /// Takes a number, and the unit of a size behind it. A time that is written apart is reported and read.
    fn number_with_unit(&mut self, number: i64) -> Outcome<Literal> {
        let start = self.bump().span;
        let plain = Spanned::new(LiteralValue::Number(number), start);
        let Some(unit) = self.word().filter(|_| !self.token().first) else { return Ok(plain) };
        let size = |unit: &str| SIZE_UNITS.iter().find(|(name, _)| *name == unit).copied();
        if let Some((_, octets)) = size(unit) {
            let span = start.to(self.bump().span);
            return self.octets(number, octets, span);
        }
        if words::RESERVED.contains(&unit) {
            return Ok(plain);
        }
        let span = start.to(self.token().span);
        let written = format!("{number} {unit}");
        if let Some((name, octets)) = familiar_size(unit).filter(|_| unit != "m").and_then(size) {
            self.bump();
            let finding =
                Diagnostic::error(format!("`{unit}` is no unit"), span, "expected a size such as 50 MB");
            self.find(finding.help(format!("write `{number} {name}`")));
            return self.octets(number, octets, span);
        }
        if let Some((name, milliseconds)) = familiar_time(unit) {
            self.bump();
            let title = format!("`{written}` is not how a time is written");
            let finding = Diagnostic::error(title, span, "expected a time such as 30s, 5min, 1h or 7d");
            self.find(finding.help(format!("write `{number}{name}`")));
            let milliseconds =
                number.checked_mul(milliseconds).and_then(|product| u64::try_from(product).ok());
            let duration = Duration::from_millis(milliseconds.unwrap_or_default());
            return Ok(Spanned::new(LiteralValue::Duration(duration), span));
        }
        Ok(plain)
    }

    fn octets(&mut self, number: i64, unit: i64, span: Span) -> Outcome<Literal> {
        if let Some(octets) = number.checked_mul(unit) {
            return Ok(Spanned::new(LiteralValue::Octets(octets), span));
        }
        let label = format!("expected at most {} octets", i64::MAX);
        self.find(Diagnostic::error("the size is too large", span, label));
        Err(Reported)
    }

    /// Takes a time.
    pub(super) fn duration(&mut self, what: &str) -> Outcome<Spanned<Duration>> {
        let advice = match self.kind() {
            Kind::Duration(_) => None,
            Kind::Number(number) => {
                Some(format!("a time has a unit: `{number}s`, `{number}min`, `{number}h`"))
            }
            _ => return Err(self.expected(what)),
        };
        let literal = self.literal(what)?;
        if let LiteralValue::Duration(duration) = literal.node {
            return Ok(Spanned::new(duration, literal.span));
        }
        let label = format!("expected {what}");
        self.find(Diagnostic::error("this is not a time", literal.span, label).help(advice));
        Err(Reported)
    }

    /// Takes a number.
    pub(super) fn number(&mut self, what: &str) -> Outcome<Spanned<i64>> {
        match self.kind() {
            Kind::Number(number) => Ok(Spanned::new(number, self.bump().span)),
            _ => Err(self.expected(what)),
        }
    }

    /// Takes an address or a network.
    pub(super) fn network(&mut self, what: &str) -> Outcome<Spanned<Network>> {
        match self.kind() {
            Kind::Network(network) => Ok(Spanned::new(network, self.bump().span)),
            Kind::Text(_) => {
                let advice = String::from("addresses and networks stand without quotes");
                Err(self.expected_with(what, Some(advice)))
            }
            Kind::Enhanced(_) | Kind::Number(_) => {
                let advice = String::from("an IPv4 address has four numbers: 192.0.2.0/24");
                Err(self.expected_with(what, Some(advice)))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Takes the name of a fact, with its argument.
    pub(super) fn fact_path(&mut self, what: &str) -> Outcome<FactPath> {
        let Some(name) = self.word().filter(|word| !words::RESERVED.contains(word)) else {
            return Err(self.expected(what));
        };
        let span = self.bump().span;
        let mut path = FactPath { name: name.to_owned(), argument: None, span };
        if name.contains('.') && self.kind() == Kind::LeftParenthesis {
            self.bump();
            path.argument = Some(self.text("the name of a header field, in quotes")?);
            if self.take(Kind::RightParenthesis).is_none() {
                return Err(self.expected("`)`"));
            }
            path.span = span.to(self.last_span());
        }
        Ok(path)
    }
}
