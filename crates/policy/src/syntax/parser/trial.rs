//! `given` and `test`: facts, and what a policy is to make of them.

use super::{Kind, LineKind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::span::Spanned;
use crate::syntax::ast::{Expectation, Given, GivenFact, Test, TestStep, Word};
use crate::syntax::words;

impl Parser<'_> {
    /// `given NAME [from NAME] { ... }`.
    pub(super) fn given(&mut self) -> Outcome<Given> {
        self.bump();
        let name = self.name("a name for the facts")?;
        let base = self.base()?;
        let open = self.open("`given`")?;
        let mut facts = Vec::new();
        while !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.item_interrupts() {
            let before = self.at;
            if self.is_word("at") {
                let advice = String::from("expectations stand in `test`; `given` holds facts");
                let _ = self.expected_to_begin("a fact", Some(advice));
                self.pass_over_step(before);
                continue;
            }
            match self.given_fact() {
                Ok(fact) => facts.push(fact),
                Err(Reported) => self.pass_over_step(before),
            }
        }
        self.close(open, "these facts");
        Ok(Given { name, base, facts })
    }

    /// `test "..." [from NAME] { ... }`.
    pub(super) fn test(&mut self) -> Outcome<Test> {
        let start = self.bump().span;
        let name = self.text("the test's name, in quotes")?;
        let base = self.base()?;
        let open = self.open("the test's name")?;
        let mut steps = Vec::new();
        while !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.item_interrupts() {
            let before = self.at;
            let step = if self.is_word("at") {
                self.expectation().map(TestStep::Expect)
            } else {
                self.given_fact().map(TestStep::Fact)
            };
            match step {
                Ok(step) => steps.push(step),
                Err(Reported) => self.pass_over_step(before),
            }
        }
        self.close(open, "this test");
        let span = start.to(self.last_span());
        Ok(Test { name, base, steps, span })
    }

    fn base(&mut self) -> Outcome<Option<Word>> {
        match self.take_word("from") {
            Some(_) => self.name("the name of what `given` describes").map(Some),
            None => Ok(None),
        }
    }

    /// A fact where nothing but facts stands; behind a mistake, nothing, and the next line is next.
    pub(super) fn lone_fact(&mut self) -> Option<GivenFact> {
        let before = self.at;
        let fact = self.given_fact();
        if fact.is_err() {
            self.pass_over_step(before);
        }
        fact.ok()
    }

    fn given_fact(&mut self) -> Outcome<GivenFact> {
        if self.is_word("expect") {
            let advice = String::from("say the stage first: at recipient expect accept");
            return Err(self.expected_to_begin("a fact or `at STAGE expect ...`", Some(advice)));
        }
        self.begin(LineKind::Setting);
        let what = "a fact and its value, or `}`";
        if self.word().is_none() {
            return Err(self.expected_to_begin(what, None));
        }
        let fact = self.fact_path(what)?;
        if self.is_word("is") {
            let advice = Some(format!("a fact is given as `{} = ...`", fact.name));
            return Err(self.expected_with("`=` behind the fact", advice));
        }
        self.equals("the fact")?;
        let values = self.listed(|parser| {
            // The next line's fact is not a value of this one, whatever comma stands before it.
            if parser.token().first && parser.kind() == Kind::Word {
                return Err(parser.expected("a value"));
            }
            if let Some(word) = parser.word().filter(|word| word.contains('.')) {
                let advice = format!("a text stands in quotes: \"{word}\"");
                return Err(parser.expected_with("a value", Some(advice)));
            }
            parser.literal("a value")
        })?;
        if !self.token().first && !matches!(self.kind(), Kind::RightBrace | Kind::End | Kind::Word) {
            return Err(self.expected("`,` and another value, or the end of the line"));
        }
        Ok(GivenFact { fact, values })
    }

    /// `at STAGE expect VERDICT [CODE [X.Y.Z]] [by RULE]`.
    fn expectation(&mut self) -> Outcome<Expectation> {
        self.begin(LineKind::Setting);
        let start = self.bump().span;
        let Some(stage) = self.stage()? else { return Err(Reported) };
        self.expect_word("expect")?;
        let verdict = self.verdict()?;
        let code = match self.kind() {
            Kind::Number(number) => {
                let span = self.bump().span;
                u32::try_from(number).ok().map(|code| Spanned::new(code, span))
            }
            _ => None,
        };
        let enhanced = if code.is_some() { self.enhanced() } else { None };
        if matches!(self.kind(), Kind::Text(_) | Kind::Enhanced(_)) {
            let advice =
                String::from("a test looks at verdict, codes and rule: expect reject 550 5.7.1 by RULE");
            return Err(self.expected_with("`by RULE` or the end of the line", Some(advice)));
        }
        let rule = match self.take_word("by") {
            Some(_) => Some(self.name("the name of a rule")?),
            None => None,
        };
        if !self.token().first && !matches!(self.kind(), Kind::RightBrace | Kind::End) {
            return Err(self.expected("`by RULE` or the end of the line"));
        }
        Ok(Expectation { stage, verdict, code, enhanced, rule, span: start.to(self.last_span()) })
    }

    fn verdict(&mut self) -> Outcome<Word> {
        let token = self.token();
        let what = format!("what is to come of it: {}", words::VERDICTS.join(", "));
        let Some(written) = self.word().filter(|_| !token.first) else {
            let advice = matches!(token.kind, Kind::Number(_))
                .then(|| String::from("the verdict stands before the code: expect reject 550"));
            return Err(self.expected_with(&what, advice));
        };
        self.bump();
        if words::VERDICTS.contains(&written) {
            return Ok(Spanned::new(written.to_owned(), token.span));
        }
        let familiar = words::familiar_action(written).filter(|word| words::VERDICTS.contains(word));
        let meant = familiar.or_else(|| nearest(written, words::VERDICTS));
        let title = format!("`{written}` is not what a test can expect");
        let finding = Diagnostic::error(title, token.span, format!("expected {what}"));
        self.find(finding.help(meant.map(|meant| format!("did you mean `{meant}`?"))));
        Err(Reported)
    }

    /// Passes over what could not be read since the token `before`, to the next line or the block's end.
    pub(super) fn pass_over_step(&mut self, before: usize) {
        if self.at == before {
            self.bump();
        }
        self.pass_over_line();
    }
}
