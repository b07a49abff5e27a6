//! The blocks of stages: rules with their actions, and fixed refusals at their place.

use super::{Kind, LineKind, Outcome, Parser, Reported};
use crate::diagnostic::Diagnostic;
use crate::nearest::nearest;
use crate::span::{Span, Spanned};
use crate::stage::Stage;
use crate::syntax::ast::{Action, Condition, Rule, StageBlock, StageEntry, Verb, Word};
use crate::syntax::words;

/// What a rule does, and its `unsure` arm.
type Actions = (Vec<Spanned<Action>>, Option<Spanned<Action>>);

/// The verb of that name.
pub(super) fn verb(word: &str) -> Option<Verb> {
    match word {
        "reject" => Some(Verb::Reject),
        "defer" => Some(Verb::Defer),
        "disconnect" => Some(Verb::Disconnect),
        _ => None,
    }
}

impl Parser<'_> {
    /// `at STAGE, STAGE { ... }`.
    pub(super) fn stage_block(&mut self) -> Outcome<StageBlock> {
        self.bump();
        let stages = self.listed(Self::stage);
        if stages.is_err() && self.kind() != Kind::LeftBrace {
            return Err(Reported);
        }
        let open = self.open("the stage")?;
        let mut entries = Vec::new();
        while !matches!(self.kind(), Kind::RightBrace | Kind::End) && !self.item_interrupts() {
            match self.entry() {
                Ok(entry) => entries.extend(entry),
                Err(Reported) => self.pass_over_entry(),
            }
        }
        self.close(open, "this stage");
        Ok(StageBlock { stages: stages?.into_iter().flatten().collect(), entries })
    }

    /// Whether an item begins where the block's entries go on.
    pub(super) fn item_interrupts(&self) -> bool {
        self.token().first && self.begins_item()
    }

    /// Takes the name of a stage; one that is none is reported and left out.
    pub(super) fn stage(&mut self) -> Outcome<Option<Word>> {
        let names = Stage::ALL.map(Stage::name);
        let what = format!("a stage: {}", names.join(", "));
        let advice =
            matches!(self.kind(), Kind::Text(_)).then(|| String::from("a stage stands without quotes"));
        let Some(written) = self.word().filter(|_| !self.token().first) else {
            return Err(self.expected_with(&what, advice));
        };
        let span = self.bump().span;
        if Stage::named(written).is_some() {
            return Ok(Some(Spanned::new(written.to_owned(), span)));
        }
        let familiar = words::familiar_stage(written).map(Stage::name);
        let meant = familiar.or_else(|| nearest(written, names));
        let advice = meant.map(|meant| format!("write `{meant}`"));
        let finding =
            Diagnostic::error(format!("there is no stage `{written}`"), span, format!("expected {what}"));
        self.find(finding.help(advice));
        Ok(meant.map(|meant| Spanned::new(meant.to_owned(), span)))
    }

    /// Takes a rule or `use`; nothing when a rule was read whose mistakes leave nothing of it.
    pub(super) fn entry(&mut self) -> Outcome<Option<StageEntry>> {
        let start = self.token().span;
        let Some(written) = self.word() else {
            return Err(self.expected_to_begin("`rule`, `observe rule` or `use`", None));
        };
        let word = if words::ENTRIES.contains(&written) { written } else { self.entry_word(written)? };
        self.begin(if word == "use" { LineKind::Use } else { LineKind::Rule });
        match word {
            "use" => {
                self.bump();
                self.name("the name of a fixed refusal").map(StageEntry::Use).map(Some)
            }
            "observe" => {
                self.bump();
                self.expect_word("rule")?;
                self.rule(Some(start), start)
            }
            _ => {
                self.bump();
                self.rule(None, start)
            }
        }
    }

    /// The word that was meant at the start of an entry.
    fn entry_word(&mut self, written: &str) -> Outcome<&'static str> {
        let span = self.token().span;
        let what = "`rule`, `observe rule` or `use`";
        let action = words::familiar_action(written);
        let near = nearest(written, words::ENTRIES).filter(|_| action.is_none());
        let near = if written.eq_ignore_ascii_case("shadow") { Some("observe") } else { near };
        if let Some(meant) = near {
            let title = format!("`{written}` is not part of the language");
            let finding = Diagnostic::error(title, span, format!("expected {what}"));
            self.find(finding.help(format!("did you mean `{meant}`?")));
            return Ok(meant);
        }
        let advice = match (written, action) {
            ("if" | "when" | "unless" | "match" | "filter", _) => {
                String::from("a decision is written: rule NAME when CONDITION reject 550 5.7.1 \"...\"")
            }
            ("else" | "default" | "otherwise", _) => String::from(
                "rules are tried in order; one without `when` holds always: rule NAME reject ...",
            ),
            (_, Some(action)) => {
                format!("an action belongs to a rule: rule NAME when CONDITION {action} ...")
            }
            _ => String::from("a rule is written: rule NAME when CONDITION reject 550 5.7.1 \"...\""),
        };
        Err(self.expected_to_begin(what, Some(advice)))
    }

    fn rule(&mut self, observe: Option<Span>, start: Span) -> Outcome<Option<StageEntry>> {
        let name = if self.is_word("when") {
            Err(self.expected_with("the rule's name", Some(String::from("rule NAME when ..."))))
        } else {
            self.name("the rule's name")
        };
        let (condition, braces) = match name {
            Ok(_) => self.head(),
            Err(Reported) => {
                if !self.token().first
                    && !matches!(self.kind(), Kind::Word | Kind::LeftBrace | Kind::RightBrace)
                {
                    self.bump();
                }
                // The condition's own mistakes are found all the same.
                let (_, braces) = self.head();
                (Err(Reported), braces)
            }
        };
        let actions = self.actions();
        if braces && self.kind() == Kind::RightBrace {
            self.bump();
        }
        let span = start.to(self.last_span());
        let (name, condition, (actions, unsure)) = (name?, condition?, actions?);
        if actions.is_empty() {
            let what = "an action, such as `accept` or `reject 550 5.7.1 \"...\"`";
            let place = Span { start: span.end, ..span };
            let finding = Diagnostic::error(
                format!("the rule `{}` does nothing", name.node),
                place,
                format!("expected {what}"),
            );
            self.find(finding);
            return Ok(None);
        }
        Ok(Some(StageEntry::Rule(Box::new(Rule { observe, name, condition, actions, unsure, span }))))
    }

    /// Takes `when CONDITION`, when it is there, and a brace behind it, which is reported.
    fn head(&mut self) -> (Outcome<Option<Condition>>, bool) {
        let condition = if self.take_word("when").is_some() {
            self.condition().map(Some)
        } else if self.is_word("if") {
            let span = self.bump().span;
            let finding = Diagnostic::error("`if` is not part of the language", span, "expected `when`");
            self.find(finding.help(String::from("write `when`")));
            self.condition().map(Some)
        } else {
            Ok(None)
        };
        if condition.is_err() {
            self.pass_over_condition();
            return (condition, false);
        }
        if let Some(brace) = self.take(Kind::LeftBrace) {
            let finding = Diagnostic::error("a rule has no braces", brace.span, "expected an action");
            self.find(
                finding.help(String::from("the actions follow the condition; the next `rule` ends them")),
            );
            return (condition, true);
        }
        (condition, false)
    }

    /// Takes the actions of a rule and its `unsure` arm.
    fn actions(&mut self) -> Outcome<Actions> {
        let mut actions: Vec<Spanned<Action>> = Vec::new();
        let mut unsure: Option<Spanned<Action>> = None;
        let mut outcome = Ok(());
        while !self.rule_ends() {
            let arm = self.is_word("unsure");
            let start = self.token().span;
            let read = if arm {
                self.begin(LineKind::Action);
                self.bump();
                self.action()
            } else {
                self.rule_goes_on()
            };
            match read {
                Ok(Some(action)) if arm && unsure.is_none() => unsure = Some(action),
                Ok(Some(action)) if arm => {
                    let finding =
                        Diagnostic::error("a rule has one `unsure` arm", start, "expected the next rule");
                    self.find(
                        finding.also(unsure.as_ref().map_or(action.span, |arm| arm.span), "the first one"),
                    );
                }
                Ok(Some(action)) => {
                    if self.in_order(&actions, unsure.as_ref(), &action) {
                        actions.push(action);
                    }
                }
                Ok(None) => {}
                Err(Reported) => {
                    outcome = Err(Reported);
                    if self.token().span == start {
                        self.bump();
                    }
                    self.pass_over_condition();
                }
            }
        }
        outcome.map(|()| (actions, unsure))
    }

    /// Takes an action; or reports what else stands there.
    fn rule_goes_on(&mut self) -> Outcome<Option<Spanned<Action>>> {
        let advice = match self.word() {
            Some("when") => "the condition stands before the actions: rule NAME when CONDITION reject ...",
            Some("else" | "otherwise") => {
                "a rule has no `else`: write the next rule, which is tried when this one does not hold"
            }
            Some("and" | "or" | "not") => "a condition goes on after `when`, before the first action",
            Some("then" | "do") => {
                let span = self.bump().span;
                let finding =
                    Diagnostic::error("an action follows the condition as it is", span, "expected an action");
                self.find(finding.help(String::from("take this word out")));
                return Ok(None);
            }
            _ => {
                self.begin(LineKind::Action);
                return self.action();
            }
        };
        Err(self.expected_to_begin("an action, `unsure` or the next rule", Some(String::from(advice))))
    }

    /// Whether the actions of a rule end here.
    fn rule_ends(&self) -> bool {
        let Some(word) = self.word() else {
            return matches!(self.kind(), Kind::RightBrace | Kind::End);
        };
        if words::ACTIONS.contains(&word) {
            return false;
        }
        let begins_rule =
            || self.is_word_ahead(1, "when") || word == "if" || nearest(word, ["rule", "observe"]).is_some();
        words::ENTRIES.contains(&word) || (self.token().first && begins_rule()) || self.item_interrupts()
    }

    /// Whether the action may stand behind those; reports it otherwise.
    fn in_order(
        &mut self,
        actions: &[Spanned<Action>],
        unsure: Option<&Spanned<Action>>,
        action: &Spanned<Action>,
    ) -> bool {
        let answered = actions.iter().find(|action| answers(&action.node));
        let (title, also) = match (unsure, answered) {
            (Some(arm), _) => ("the `unsure` arm stands last", Some((arm.span, "it stands here"))),
            (None, Some(answer)) if answers(&action.node) => {
                ("a rule answers once", Some((answer.span, "its answer stands here")))
            }
            (None, Some(answer)) => {
                ("what a rule does beside its answer stands before it", Some((answer.span, "the answer")))
            }
            (None, None) => return true,
        };
        let kept = unsure.is_some() && answered.is_none();
        let mut finding = Diagnostic::error(title, action.span, "expected the next rule");
        if let Some((span, label)) = also {
            finding = finding.also(span, label);
        }
        self.find(finding);
        kept
    }

    /// Passes over what could not be read in a block, to the next line that begins an entry or ends the block.
    fn pass_over_entry(&mut self) {
        self.pass_over_to(|parser, depth| {
            let begins_entry =
                parser.token().first && parser.word().is_some_and(|word| words::ENTRIES.contains(&word));
            (depth == 0 && begins_entry) || parser.item_interrupts()
        });
    }
}

/// Whether the action ends the stage.
const fn answers(action: &Action) -> bool {
    matches!(action, Action::Accept { .. } | Action::Answer(_))
}
