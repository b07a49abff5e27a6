//! What rules do: replies with their codes, and effects.

use super::stage::verb;
use super::{Kind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::span::{Span, Spanned};
use crate::syntax::ast::{Action, Answer};
use crate::syntax::{limits, words};

/// What a rule can do, for findings.
const AN_ACTION: &str = "an action: accept, reject, defer, disconnect, tag, add header, quarantine, hold, redirect to, discard or tarpit";

impl Parser<'_> {
    /// Takes an action; nothing for a word that other servers have for doing nothing.
    pub(super) fn action(&mut self) -> Outcome<Option<Spanned<Action>>> {
        let start = self.token().span;
        let Some(written) = self.word() else { return Err(self.expected_to_begin(AN_ACTION, None)) };
        let word = match words::ACTIONS.into_iter().find(|action| *action == written) {
            Some(word) => word,
            None => match self.action_meant(written)? {
                Some(word) => word,
                None => return Ok(None),
            },
        };
        let action = match word {
            "reject" | "defer" | "disconnect" => Action::Answer(self.answer_of(word)?),
            _ => {
                self.bump();
                self.effect(word)?
            }
        };
        Ok(Some(Spanned::new(action, start.to(self.last_span()))))
    }

    fn effect(&mut self, word: &str) -> Outcome<Action> {
        Ok(match word {
            "accept" => Action::Accept { relay: self.take_word("relay").is_some() },
            "tag" => Action::Tag(self.text("a word in quotes")?),
            "add" => {
                self.expect_word("header")?;
                let name = self.text("the field's name, in quotes")?;
                Action::AddHeader(name, self.text("the field's value, in quotes")?)
            }
            "quarantine" => Action::Quarantine,
            "hold" => Action::Hold,
            "redirect" => {
                self.expect_word("to")?;
                Action::Redirect(self.text("an address in quotes")?)
            }
            "discard" => Action::Discard,
            _ => Action::Tarpit(self.duration("a time such as 5s")?),
        })
    }

    /// The action that a word of another language means, which is reported.
    fn action_meant(&mut self, written: &str) -> Outcome<Option<&'static str>> {
        let token = self.token();
        let reply = "reject 550 5.7.1 \"...\"";
        if matches!(written.to_ascii_lowercase().as_str(), "dunno" | "continue" | "next" | "skip" | "none") {
            let advice = "a rule whose condition does not hold says nothing: leave the rule out, or turn its condition round";
            let finding = Diagnostic::error(
                format!("`{written}` is not part of the language"),
                token.span,
                "expected an action",
            );
            self.find(finding.help(String::from(advice)));
            self.bump();
            self.pass_over_line();
            return Err(Reported);
        }
        let meant = words::familiar_action(written)
            .or_else(|| if written.len() > 2 { nearest(written, words::ACTIONS) } else { None });
        let Some(meant) = meant else {
            let fact = written.contains('.') && !token.first;
            let advice = fact.then(|| String::from("tests are joined by `and` or `or`"));
            return Err(self.expected_to_begin(AN_ACTION, advice));
        };
        let with_reply = verb(meant).is_some();
        let title = format!("`{written}` is not part of the language");
        let finding = Diagnostic::error(title, token.span, format!("expected `{meant}`"));
        let coded = self
            .tokens
            .get(self.at + 1)
            .is_some_and(|next| !next.first && matches!(next.kind, Kind::Number(_)));
        let advice = match meant {
            "reject" if !coded => format!("write `{reply}`"),
            "defer" if !coded => String::from("write `defer 451 4.7.1 \"...\"`"),
            "disconnect" if !coded => String::from("write `disconnect 421 4.7.0 \"...\"`"),
            _ => format!("write `{meant}`"),
        };
        self.find(finding.help(advice));
        if (with_reply && !coded) || matches!(meant, "tag" | "add") && !meant.eq_ignore_ascii_case(written) {
            self.bump();
            self.pass_over_line();
            return Err(Reported);
        }
        Ok(Some(meant))
    }

    /// Takes a refusal, its verb first.
    pub(super) fn answer(&mut self) -> Outcome<Answer> {
        let word = self.word().unwrap_or_default();
        self.answer_of(word)
    }

    /// Takes a refusal whose first word means the verb `word`.
    fn answer_of(&mut self, word: &str) -> Outcome<Answer> {
        let Some(verb) = verb(word) else { return Err(self.expected("`reject`, `defer` or `disconnect`")) };
        let verb = Spanned::new(verb, self.bump().span);
        let code = self.reply_code(word)?;
        let enhanced = self.enhanced();
        let text = if matches!(self.kind(), Kind::Text(_)) {
            Some(self.reply_text()?)
        } else {
            self.no_text_without_quotes(enhanced.is_some())?;
            None
        };
        Ok(Answer { verb, code, enhanced, text })
    }

    fn reply_code(&mut self, word: &str) -> Outcome<Spanned<u32>> {
        let token = self.token();
        if let Kind::Number(number) = token.kind
            && let Ok(code) = u32::try_from(number)
        {
            self.bump();
            return Ok(Spanned::new(code, token.span));
        }
        let example = match word {
            "defer" => "defer 451 4.7.1 \"...\"",
            "disconnect" => "disconnect 421 4.7.0 \"...\"",
            _ => "reject 550 5.7.1 \"...\"",
        };
        let advice = match token.kind {
            Kind::Text(_) if !token.first => whole_reply(self.letters(token.span), word),
            Kind::Enhanced(_) if !token.first => {
                Some(format!("the reply code stands before the enhanced code: {example}"))
            }
            _ => None,
        };
        Err(self.expected_with("a reply code", advice.or_else(|| Some(format!("write `{example}`")))))
    }

    /// Takes an enhanced code, when one stands here.
    pub(super) fn enhanced(&mut self) -> Option<Spanned<[u32; 3]>> {
        let Kind::Enhanced(numbers) = self.kind() else { return None };
        Some(Spanned::new(numbers, self.bump().span))
    }

    fn reply_text(&mut self) -> Outcome<Spanned<String>> {
        let text = self.text("the reply's text, in quotes")?;
        if text.node.contains('\n') {
            let finding =
                Diagnostic::error("a reply's text has one line", text.span, "expected a text without `\\n`");
            self.find(finding);
        }
        Ok(text)
    }

    /// Reports a reply's text that stands without quotes, and anything else that stands in its place.
    fn no_text_without_quotes(&mut self, enhanced: bool) -> Outcome<()> {
        let token = self.token();
        if token.first
            || !matches!(token.kind, Kind::Word | Kind::Number(_) | Kind::Network(_) | Kind::Broken)
        {
            return Ok(());
        }
        // Only what can't go on with the rule is a text.
        if self.word().is_some_and(|word| word == "unsure" || words::ACTIONS.contains(&word)) {
            return Ok(());
        }
        let start = token.span;
        self.pass_over_line();
        let span = start.to(self.last_span());
        let written = self.letters(span).to_owned();
        if token.kind == Kind::Broken {
            return Err(Reported);
        }
        let what = if enhanced {
            "the reply's text in quotes"
        } else {
            "an enhanced code or the reply's text in quotes"
        };
        let place = Span { end: span.end, ..start };
        let finding = Diagnostic::error(
            format!("expected {what}, found words without"),
            place,
            format!("expected {what}"),
        );
        let short = written.len() <= limits::ADVICE_OCTETS;
        self.find(finding.help(short.then(|| format!("write \"{}\"", written.replace('"', "\\\"")))));
        Err(Reported)
    }
}

/// Advice for a reply that stands in one pair of quotes, code and all.
fn whole_reply(quoted: &str, word: &str) -> Option<String> {
    if quoted.len() > limits::ADVICE_OCTETS {
        return None;
    }
    let inner = quoted.trim_matches(['"', '\'']);
    let (code, rest) = inner.split_at_checked(3)?;
    if !code.bytes().all(|octet| octet.is_ascii_digit()) {
        return Some(format!("the codes stand before the text: {word} CODE X.Y.Z {quoted}"));
    }
    let rest = rest.trim_start_matches([' ', '-']);
    let (enhanced, text) =
        rest.split_once(' ').filter(|(first, _)| first.split('.').count() == 3).unwrap_or(("", rest));
    let blank = if enhanced.is_empty() { "" } else { " " };
    Some(format!("write `{word} {code} {enhanced}{blank}\"{text}\"`"))
}
