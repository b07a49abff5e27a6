//! Moving over the tokens, and reporting what stands where something else was expected.

use super::{Kind, Line, LineKind, Outcome, Parser, Reported, Token};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::span::{Span, Spanned};
use crate::syntax::ast::{Operator, Word};
use crate::syntax::lexer::unescaped;
use crate::syntax::{limits, words};

impl<'t> Parser<'t> {
    /// The next token; behind the last one the end.
    pub(super) fn token(&self) -> Token {
        let end = || Token { kind: Kind::End, span: Span::default(), first: true };
        self.tokens.get(self.at).or_else(|| self.tokens.last()).copied().unwrap_or_else(end)
    }

    /// What the next token is.
    pub(super) fn kind(&self) -> Kind {
        self.token().kind
    }

    /// The next token, when it is a word.
    pub(super) fn word(&self) -> Option<&'t str> {
        let token = self.token();
        (token.kind == Kind::Word).then(|| self.letters(token.span))
    }

    /// Whether the next token is the word `word`.
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.word() == Some(word)
    }

    /// Whether the token `ahead` of the next one is the word `word`, on the same line.
    pub(super) fn is_word_ahead(&self, ahead: usize, word: &str) -> bool {
        let token = self.tokens.get(self.at + ahead);
        token
            .is_some_and(|token| !token.first && token.kind == Kind::Word && self.letters(token.span) == word)
    }

    /// What stands at a place of the text.
    pub(super) fn letters(&self, span: Span) -> &'t str {
        self.text.get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// Takes the next token.
    pub(super) fn bump(&mut self) -> Token {
        let token = self.token();
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    /// The place of the last token that was taken.
    pub(super) fn last_span(&self) -> Span {
        self.at
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last))
            .map_or_else(Span::default, |token| token.span)
    }

    /// Takes the next token when it is of that kind.
    pub(super) fn take(&mut self, kind: Kind) -> Option<Token> {
        (self.kind() == kind).then(|| self.bump())
    }

    /// Takes the next token when it is the word `word`.
    pub(super) fn take_word(&mut self, word: &str) -> Option<Token> {
        self.is_word(word).then(|| self.bump())
    }

    /// Takes the word `word`, or one that is nearly so, which is reported.
    pub(super) fn expect_word(&mut self, word: &'static str) -> Outcome<Token> {
        if let Some(token) = self.take_word(word) {
            return Ok(token);
        }
        let familiar: &[&str] = match word {
            "by" => &["per", "for", "of", "on"],
            "of" => &["for", "by", "on", "from"],
            "over" => &["per", "in", "within", "every", "during"],
            "keyed" => &["key", "keys"],
            _ => &[],
        };
        if let Some(written) = self.word()
            && (nearest(written, [word]).is_some() || familiar.contains(&written))
        {
            let token = self.bump();
            let finding = Diagnostic::error(
                format!("`{written}` is not part of the language"),
                token.span,
                format!("expected `{word}`"),
            );
            self.find(finding.help(format!("did you mean `{word}`?")));
            return Ok(token);
        }
        Err(self.expected(&format!("`{word}`")))
    }

    /// Takes `=`; a `:` or nothing in its place is reported where it stands.
    pub(super) fn equals(&mut self, before: &str) -> Outcome<()> {
        if self.take(Kind::Equals).is_some() {
            return Ok(());
        }
        let title = match self.kind() {
            Kind::Compare(Operator::Equal) => "`==` compares; here something is declared",
            Kind::Colon => "a value stands behind `=`, not behind `:`",
            _ => return Err(self.expected(&format!("`=` behind {before}"))),
        };
        let token = self.bump();
        self.find(Diagnostic::error(title, token.span, "expected `=`").help(String::from("write `=`")));
        Ok(())
    }

    /// Notes that a line begins at the next token.
    pub(super) fn begin(&mut self, kind: LineKind) {
        let at = self.token().span.start;
        self.lines.push(Line { at, kind });
    }

    /// Notes a finding; behind too many of them the text counts as read.
    pub(super) fn find(&mut self, finding: Diagnostic) {
        self.findings.push(finding);
        if self.findings.len() > limits::FINDINGS {
            self.at = self.tokens.len().saturating_sub(1);
        }
    }

    /// Reports that `what` was expected here.
    pub(super) fn expected(&mut self, what: &str) -> Reported {
        self.expected_with(what, None)
    }

    /// Reports that `what` was expected here, with advice.
    ///
    /// What is missing at the end of a line is shown there, not at the start of the next. A broken token has been
    /// reported and is not reported again.
    pub(super) fn expected_with(&mut self, what: &str, advice: Option<String>) -> Reported {
        let token = self.token();
        self.report_expected(what, advice, token.kind == Kind::End || (token.first && self.at > 0))
    }

    /// Reports that `what` was expected where a line may begin.
    pub(super) fn expected_to_begin(&mut self, what: &str, advice: Option<String>) -> Reported {
        let ends = self.kind() == Kind::End;
        self.report_expected(what, advice, ends)
    }

    fn report_expected(&mut self, what: &str, advice: Option<String>, ends: bool) -> Reported {
        let token = self.token();
        if token.kind == Kind::Broken {
            return Reported;
        }
        let (found, span) = if token.kind == Kind::End && self.at == 0 {
            (String::from("an empty file"), token.span)
        } else if ends {
            let end = self.last_span().end;
            let place = if token.kind == Kind::End { "the end of the file" } else { "the end of the line" };
            (String::from(place), Span { start: end, end, ..token.span })
        } else {
            (self.described(token), token.span)
        };
        let title = format!("expected {}, found {found}", what.split(": ").next().unwrap_or(what));
        self.find(Diagnostic::error(title, span, format!("expected {what}")).help(advice));
        Reported
    }

    /// A token as findings name it.
    fn described(&self, token: Token) -> String {
        let letters = self.letters(token.span);
        match token.kind {
            Kind::Text(_) => String::from("a text in quotes"),
            Kind::End => String::from("the end of the file"),
            _ if letters.len() > limits::NAME_OCTETS => String::from("something long"),
            _ => format!("`{letters}`"),
        }
    }

    /// Takes a text in quotes.
    pub(super) fn text(&mut self, what: &str) -> Outcome<Spanned<String>> {
        let token = self.token();
        if let Kind::Text(inner) = token.kind {
            self.bump();
            let inner = Span { start: inner.start, end: inner.end, ..token.span };
            return Ok(Spanned::new(unescaped(self.letters(inner)), token.span));
        }
        let advice =
            matches!(token.kind, Kind::Word | Kind::Number(_) | Kind::Network(_) | Kind::Enhanced(_))
                .then(|| format!("a text stands in quotes: \"{}\"", self.letters(token.span)));
        Err(self.expected_with(what, advice.filter(|_| !token.first)))
    }

    /// Takes a word as it stands.
    pub(super) fn any_word(&mut self, what: &str) -> Outcome<Word> {
        match self.word() {
            Some(word) => Ok(Spanned::new(word.to_owned(), self.bump().span)),
            None => Err(self.expected(what)),
        }
    }

    /// Takes a name that declares something, on the line of what declares it.
    pub(super) fn name(&mut self, what: &str) -> Outcome<Word> {
        let token = self.token();
        let advice = match token.kind {
            Kind::Text(_) => {
                Some(String::from("a name stands without quotes, of letters, digits, `-` and `_`"))
            }
            Kind::Number(_) | Kind::Network(_) | Kind::Duration(_) => {
                Some(String::from("a name begins with a letter"))
            }
            _ => None,
        };
        let Some(word) = self.word().filter(|_| !token.first) else {
            return Err(self.expected_with(what, advice));
        };
        self.bump();
        if word.contains('.') {
            let finding = Diagnostic::error(
                format!("`{word}` has a dot, which only facts have"),
                token.span,
                format!("expected {what}"),
            );
            self.find(finding.help(format!("write `{}`", word.replace('.', "-"))));
            return Err(Reported);
        }
        Ok(Spanned::new(word.to_owned(), token.span))
    }

    /// Takes a name that conditions will speak of.
    pub(super) fn name_for_conditions(&mut self, what: &str) -> Outcome<Word> {
        let name = self.name(what)?;
        if words::RESERVED.contains(&name.node.as_str()) {
            let title = format!("`{}` is a word of the language", name.node);
            let finding = Diagnostic::error(title, name.span, format!("expected {what}"));
            self.find(finding.help(format!("take another name, such as `my-{}`", name.node)));
        }
        Ok(name)
    }

    /// Takes what `one` reads, and more of it after commas. A broken element does not hide the mistakes of the next.
    pub(super) fn listed<T>(&mut self, mut one: impl FnMut(&mut Self) -> Outcome<T>) -> Outcome<Vec<T>> {
        let mut elements = Vec::new();
        let mut outcome = Ok(());
        loop {
            match one(self) {
                Ok(element) => elements.push(element),
                Err(Reported) => {
                    outcome = Err(Reported);
                    self.pass_over_element();
                }
            }
            if self.take(Kind::Comma).is_none() {
                return outcome.map(|()| elements);
            }
            if elements.len() == limits::ELEMENTS {
                let label = format!("expected at most {} elements", limits::ELEMENTS);
                let advice =
                    String::from("put them into a file of their own: names blocked = file \"blocked.txt\"");
                let finding = Diagnostic::error("the list is too long", self.token().span, label);
                self.find(finding.help(advice));
                return Err(Reported);
            }
        }
    }

    /// Passes over the rest of an element, up to a comma, a closing sign or the end of the line.
    fn pass_over_element(&mut self) {
        let ends = |kind| {
            matches!(
                kind,
                Kind::Comma | Kind::LeftBrace | Kind::RightBrace | Kind::RightParenthesis | Kind::End
            )
        };
        while !ends(self.kind()) && !self.token().first {
            self.bump();
        }
    }

    /// Opens a block. A brace that is missing is reported and taken as read when the next line goes on; the block's
    /// opening brace, unless it is missing.
    pub(super) fn open(&mut self, before: &str) -> Outcome<Option<Span>> {
        if let Some(token) = self.take(Kind::LeftBrace) {
            return Ok(Some(token.span));
        }
        if let Some(colon) = self.take(Kind::Colon) {
            let finding = Diagnostic::error("a block stands in braces", colon.span, "expected `{`");
            self.find(finding.help(String::from("write `{`, and `}` behind the block")));
            return Ok(self.take(Kind::LeftBrace).map(|brace| brace.span));
        }
        if self.take(Kind::Broken).is_some() {
            // A text without an end took the brace with it.
            return Ok(None);
        }
        let goes_on = self.token().first && self.kind() != Kind::End;
        let reported = self.expected(&format!("`{{` behind {before}"));
        if goes_on { Ok(None) } else { Err(reported) }
    }

    /// Closes the block that was opened at `open`, or reports that nothing closes it.
    pub(super) fn close(&mut self, open: Option<Span>, what: &str) {
        if self.kind() == Kind::RightBrace {
            self.begin(LineKind::Close);
            self.bump();
        } else if let Some(open) = open {
            let end = self.last_span().end;
            let place = Span { start: end, end, ..open };
            let finding = Diagnostic::error(format!("the block of {what} has no end"), place, "expected `}`");
            self.find(finding.also(open, "it begins here"));
        }
    }

    /// Passes over the rest of a line, up to a brace that closes what is open.
    pub(super) fn pass_over_line(&mut self) {
        self.pass_over_to(|parser, _| parser.token().first);
    }

    /// Passes over what stands before the next token that `ends` it, or before a brace that closes what is open.
    /// `ends` is told, too, how many blocks were opened on the way.
    pub(super) fn pass_over_to(&mut self, ends: impl Fn(&Self, usize) -> bool) {
        let mut depth = 0_usize;
        while self.kind() != Kind::End && !ends(self, depth) {
            match self.kind() {
                Kind::LeftBrace => depth += 1,
                Kind::RightBrace if depth == 0 => return,
                Kind::RightBrace => depth -= 1,
                _ => {}
            }
            self.bump();
        }
    }

    /// The same, and over lines that go on with a condition: one of its mistakes has been reported.
    pub(super) fn pass_over_condition(&mut self) {
        self.pass_over_line();
        while self.token().first && matches!(self.word(), Some("and" | "or")) {
            self.bump();
            self.pass_over_line();
        }
    }
}
