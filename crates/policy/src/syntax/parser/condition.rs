//! Conditions: `or` binds less than `and`, that less than `not`, that less than a test.

use super::{Kind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::span::Spanned;
use crate::syntax::ast::{
    Comparison, Condition, FactPath, LiteralValue, Operand, Operator, Quantifier, Set, TestOf, TextTest,
};
use crate::syntax::{limits, words};

/// What can follow a fact, for findings.
const A_TEST: &str = "a test such as `is yes`, `== 5`, `in LIST` or `contains \"x\"`";

impl Parser<'_> {
    /// Takes a condition.
    pub(super) fn condition(&mut self) -> Outcome<Condition> {
        let mut parts = vec![self.conjunction()?];
        while self.take_word("or").is_some() || self.take(Kind::Or).is_some() {
            parts.push(self.conjunction()?);
        }
        Ok(single(parts, Condition::Or))
    }

    fn conjunction(&mut self) -> Outcome<Condition> {
        let mut parts = vec![self.negation()?];
        while self.take_word("and").is_some() || self.take(Kind::And).is_some() {
            parts.push(self.negation()?);
        }
        Ok(single(parts, Condition::And))
    }

    fn negation(&mut self) -> Outcome<Condition> {
        let token = self.token();
        let negated = self.is_word("not") || token.kind == Kind::Not;
        if !negated && token.kind != Kind::LeftParenthesis {
            return self.comparison().map(Condition::Test);
        }
        if self.nesting == limits::NESTING {
            let label = format!("expected at most {} levels of `not` and parentheses", limits::NESTING);
            let advice = String::from("give parts of it a name: define friend = ...");
            self.find(
                Diagnostic::error("the condition is nested too deeply", token.span, label).help(advice),
            );
            return Err(Reported);
        }
        self.bump();
        self.nesting += 1;
        let inner = if negated { self.negation() } else { self.condition() };
        self.nesting -= 1;
        let inner = inner?;
        if negated {
            return Ok(Condition::Not(Box::new(inner), token.span.to(self.last_span())));
        }
        if self.take(Kind::RightParenthesis).is_none() {
            let broken = self.kind() == Kind::Broken;
            let reported = self.expected("`and`, `or` or `)`");
            if let Some(finding) = self.findings.last_mut().filter(|_| !broken) {
                finding.also = Some((token.span, String::from("it opens here")));
            }
            return Err(reported);
        }
        Ok(inner)
    }

    fn comparison(&mut self) -> Outcome<Comparison> {
        let start = self.token().span;
        let quantifier = self.quantifier();
        let subject = self.subject()?;
        let test = self.test_of(&subject)?;
        if let (Some(quantifier), None) = (&quantifier, &test) {
            let label = format!("expected {A_TEST} behind the fact");
            let title = "`any` and `every` go with a test";
            self.find(Diagnostic::error(title, quantifier.span.to(subject.span), label));
            return Err(Reported);
        }
        Ok(Comparison { quantifier, subject, test, span: start.to(self.last_span()) })
    }

    fn quantifier(&mut self) -> Option<Spanned<Quantifier>> {
        let token = self.token();
        let quantifier = match self.word()? {
            "any" => Quantifier::Any,
            "every" => Quantifier::Every,
            // A name of its own would be followed by a test or by the end.
            word @ ("all" | "each" | "some") if self.fact_follows() => {
                let (meant, quantifier) =
                    if word == "some" { ("any", Quantifier::Any) } else { ("every", Quantifier::Every) };
                let title = format!("`{word}` is not part of the language");
                let finding = Diagnostic::error(title, token.span, format!("expected `{meant}`"));
                self.find(finding.help(format!("write `{meant}`")));
                quantifier
            }
            _ => return None,
        };
        Some(Spanned::new(quantifier, self.bump().span))
    }

    fn fact_follows(&self) -> bool {
        self.tokens
            .get(self.at + 1)
            .is_some_and(|token| token.kind == Kind::Word && self.letters(token.span).contains('.'))
    }

    fn subject(&mut self) -> Outcome<FactPath> {
        let advice = match self.kind() {
            Kind::Text(_) | Kind::Number(_) | Kind::Octets(_) | Kind::Network(_) | Kind::Duration(_) => {
                Some(String::from("the fact stands first: client.ip in trusted, message.size > 50 MB"))
            }
            Kind::Word if self.is_word("if") => Some(String::from("`when` is enough")),
            _ => None,
        };
        if advice.is_some() || self.word().is_some_and(|word| words::RESERVED.contains(&word)) {
            return Err(self.expected_with("a condition: a fact and a test of it", advice));
        }
        self.fact_path("a condition: a fact and a test of it")
    }

    /// Takes what follows a fact; nothing when it stands alone.
    fn test_of(&mut self, subject: &FactPath) -> Outcome<Option<TestOf>> {
        let token = self.token();
        let operator = match token.kind {
            Kind::Compare(operator) => Some(operator),
            Kind::Equals => {
                let title = "`=` says what something is; a comparison is written `==`";
                let finding = Diagnostic::error(title, token.span, "expected `==`");
                let value = self.tokens.get(self.at + 1).map(|next| self.letters(next.span));
                let value = value.filter(|value| value.len() <= limits::NAME_OCTETS).unwrap_or("...");
                self.find(finding.help(format!("write `{} == {value}`", subject.name)));
                Some(Operator::Equal)
            }
            Kind::Broken => return Err(Reported),
            _ => None,
        };
        if let Some(operator) = operator {
            self.bump();
            return self.compare(Spanned::new(operator, token.span), subject).map(Some);
        }
        if self.tokens.get(self.at + 1).is_some_and(|next| self.letters(next.span) == "in")
            && (self.is_word("not") || token.kind == Kind::Not)
        {
            self.bump();
            self.bump();
            return self.set().map(|set| Some(TestOf::In { negated: true, set }));
        }
        let Some(word) = self.word() else { return Ok(None) };
        self.test_by_word(word, subject)
    }

    fn test_by_word(&mut self, word: &str, subject: &FactPath) -> Outcome<Option<TestOf>> {
        let token = self.token();
        let word = match words::familiar_test(word).filter(|_| !token.first) {
            Some(meant) => {
                let title = format!("`{word}` is not part of the language");
                let finding = Diagnostic::error(title, token.span, format!("expected `{meant}`"));
                self.find(finding.help(format!("write `{} {meant} ...`", subject.name)));
                meant
            }
            None => word,
        };
        let operator = match word {
            "==" => Operator::Equal,
            "!=" => Operator::NotEqual,
            "<" => Operator::Less,
            "<=" => Operator::AtMost,
            ">" => Operator::Greater,
            ">=" => Operator::AtLeast,
            _ => return self.test_by_own_word(word, subject),
        };
        self.bump();
        self.compare(Spanned::new(operator, token.span), subject).map(Some)
    }

    fn test_by_own_word(&mut self, word: &str, subject: &FactPath) -> Outcome<Option<TestOf>> {
        let token = self.token();
        let text_test = match word {
            "is" | "is not" => {
                self.bump();
                return self.is(word == "is not", subject).map(Some);
            }
            "in" => {
                self.bump();
                return self.set().map(|set| Some(TestOf::In { negated: false, set }));
            }
            "contains" => TextTest::Contains,
            "starts" | "starts with" => TextTest::StartsWith,
            "ends" | "ends with" => TextTest::EndsWith,
            "like" => TextTest::Like,
            "matches" => TextTest::Matches,
            "exists" if !token.first => {
                let finding = Diagnostic::error(
                    "`exists` is not part of the language",
                    token.span,
                    "expected `is present`",
                );
                self.find(finding.help(format!("write `{} is present`", subject.name)));
                let word = Spanned::new(String::from("present"), self.bump().span);
                return Ok(Some(TestOf::Is { negated: false, word }));
            }
            _ => return Ok(None),
        };
        self.bump();
        let joined = matches!(word, "starts with" | "ends with");
        if matches!(word, "starts" | "ends") || (joined && self.is_word("with")) {
            self.expect_word("with")?;
        }
        let span = token.span.to(self.last_span());
        let what = match text_test {
            TextTest::Like => "a pattern in quotes, such as \"*.example.org\"",
            TextTest::Matches => "a regular expression in quotes",
            _ => "a text in quotes",
        };
        let text = self.text(what)?;
        Ok(Some(TestOf::Matches(Spanned::new(text_test, span), text)))
    }

    /// Takes what stands behind `is`.
    fn is(&mut self, negated: bool, subject: &FactPath) -> Outcome<TestOf> {
        let negated = negated || self.take_word("not").is_some() || self.take(Kind::Not).is_some();
        let token = self.token();
        let not = if negated { "not " } else { "" };
        if matches!(
            token.kind,
            Kind::Text(_) | Kind::Number(_) | Kind::Octets(_) | Kind::Duration(_) | Kind::Network(_)
        ) {
            let operator = if negated { Operator::NotEqual } else { Operator::Equal };
            let sign = if negated { "!=" } else { "==" };
            let label = "expected yes, no, present, missing or one of the fact's own words";
            let finding = Diagnostic::error("`is` goes with a word; values are compared", token.span, label);
            self.find(finding.help(format!("write `{} {sign} {}`", subject.name, self.letters(token.span))));
            return self.compare(Spanned::new(operator, token.span), subject);
        }
        let what = "yes, no, present, missing or one of the fact's own words";
        if self.is_word("in") {
            let finding =
                Diagnostic::error("`is` is too much before `in`", token.span, format!("expected {what}"));
            self.find(finding.help(format!("write `{} {not}in LIST`", subject.name)));
            self.bump();
            return self.set().map(|set| TestOf::In { negated, set });
        }
        if token.first {
            return Err(self.expected(what));
        }
        let word = self.any_word(what)?;
        if word.node == "unsure" {
            let title = "a condition can't ask whether a fact is unsure";
            let finding = Diagnostic::error(title, word.span, format!("expected {what}"));
            let advice = "write what to answer then behind the rule's action: unsure defer 451 4.3.0 \"...\"";
            self.find(finding.help(String::from(advice)));
            return Err(Reported);
        }
        self.familiar_word(word, negated)
    }

    fn familiar_word(&mut self, mut word: Spanned<String>, negated: bool) -> Outcome<TestOf> {
        if let Some(meant) = words::familiar_value(&word.node) {
            let title = format!("`{}` is not part of the language", word.node);
            let finding = Diagnostic::error(title, word.span, format!("expected `{meant}`"));
            self.find(finding.help(format!("write `{meant}`")));
            word.node = String::from(meant);
        }
        Ok(TestOf::Is { negated, word })
    }

    /// Takes the right side of a comparison.
    fn compare(&mut self, operator: Spanned<Operator>, subject: &FactPath) -> Outcome<TestOf> {
        let what = "a value or a fact";
        let token = self.token();
        let by_word = match self.word() {
            Some(word @ ("yes" | "no" | "present" | "missing")) => Some(word),
            Some(word) => words::familiar_value(word),
            None => None,
        };
        if let Some(word) = by_word
            && matches!(operator.node, Operator::Equal | Operator::NotEqual)
        {
            let negated = operator.node == Operator::NotEqual;
            let is = if negated { "is not" } else { "is" };
            let title = format!("`{word}` goes with `is`");
            let finding = Diagnostic::error(title, operator.span, format!("expected `{is}`"));
            self.find(finding.help(format!("write `{} {is} {word}`", subject.name)));
            let word = Spanned::new(String::from(word), self.bump().span);
            return Ok(TestOf::Is { negated, word });
        }
        if let Some(word) = self.word().filter(|_| !token.first) {
            if words::RESERVED.contains(&word) {
                return Err(self.expected(what));
            }
            if word.contains('.') {
                return self.fact_path(what).map(|fact| TestOf::Compare(operator, Operand::Fact(fact)));
            }
        } else if token.kind == Kind::Word {
            return Err(self.expected(what));
        }
        let literal = self.literal(what)?;
        Ok(TestOf::Compare(operator, Operand::Literal(literal)))
    }

    /// Takes the right side of `in`.
    fn set(&mut self) -> Outcome<Set> {
        let what = "the name of a list, or values in parentheses";
        let token = self.token();
        if let Some(word) = self.word().filter(|word| !token.first && !words::RESERVED.contains(word)) {
            self.bump();
            return Ok(Set::Named(Spanned::new(word.to_owned(), token.span)));
        }
        match token.kind {
            Kind::LeftParenthesis => {
                self.bump();
                let values = self.listed(|parser| parser.set_value())?;
                if self.take(Kind::RightParenthesis).is_none() {
                    return Err(self.expected("`,` or `)`"));
                }
                Ok(Set::Literals(values, token.span.to(self.last_span())))
            }
            Kind::LeftBrace
            | Kind::LeftBracket
            | Kind::Text(_)
            | Kind::Network(_)
            | Kind::Number(_)
            | Kind::Octets(_) => {
                let closing = match token.kind {
                    Kind::LeftBrace => Some(Kind::RightBrace),
                    Kind::LeftBracket => Some(Kind::RightBracket),
                    _ => None,
                };
                if closing.is_some() {
                    self.bump();
                }
                let start = self.token().span;
                let values = self.listed(|parser| parser.set_value())?;
                let end = self.last_span();
                if closing.is_some_and(|closing| self.take(closing).is_none()) {
                    return Err(self.expected("`,` or `)`"));
                }
                // What opens may be missing alone.
                self.take(Kind::RightParenthesis);
                let inner = self.letters(start.to(end));
                let finding = Diagnostic::error(
                    "values stand in parentheses",
                    start.to(end),
                    format!("expected {what}"),
                );
                let advice = (inner.len() <= limits::NAME_OCTETS).then(|| format!("write `in ({inner})`"));
                self.find(finding.help(advice));
                Ok(Set::Literals(values, token.span.to(self.last_span())))
            }
            _ => Err(self.expected(what)),
        }
    }

    fn set_value(&mut self) -> Outcome<Spanned<LiteralValue>> {
        if self.word().is_some_and(|word| word.contains('.')) {
            let advice = format!("a text stands in quotes: \"{}\"", self.letters(self.token().span));
            return Err(self.expected_with("a value", Some(advice)));
        }
        self.literal("a value")
    }
}

/// One part is itself; several are joined.
fn single(mut parts: Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        last => {
            parts.extend(last);
            join(parts)
        }
    }
}
