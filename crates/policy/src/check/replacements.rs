//! `reply NAME ...`: a site's own words for a fixed reply, within what may stand where that reply is given.

use std::sync::Arc;

use smtp::catalogue::{self, Entry};
use smtp::reply::Severity;

use super::Checker;
use super::rules::Placed;
use super::text::{Part, Purpose, parts};
use crate::decision::RuleId;
use crate::diagnostic::Diagnostic;
use crate::nearest::did_you_mean;
use crate::plan::Answer;
use crate::policy::ReplyTemplate;
use crate::span::{Span, Spanned};
use crate::syntax::ast::{Item, ReplyItem, Verb};

/// What every reply of the session can show.
const SESSION_PLACEHOLDERS: [&str; 2] = ["hostname", "client"];

/// The facts that the built-in rules print, and what the catalogue's texts call them.
const SAME: [(&str, &str); 4] = [
    ("server.hostname", "hostname"),
    ("client.ip", "client"),
    ("recipient.address", "address"),
    ("message.received_count", "count"),
];

impl Checker<'_> {
    pub(super) fn replace_replies(&mut self, site: &[Item], fixed: &Placed) {
        let mut seen: Vec<(Arc<str>, Span)> = Vec::new();
        for item in site {
            let Item::Reply(reply) = item else { continue };
            let name = &reply.name;
            if let Some((_, first)) = seen.iter().find(|(known, _)| **known == *name.node) {
                let title = format!("`{}` has other words already", name.node);
                let finding =
                    Diagnostic::error(title, name.span, "given a second time").also(*first, "first here");
                self.report(finding);
                continue;
            }
            seen.push((Arc::from(name.node.as_str()), name.span));
            self.replace_reply(reply, fixed);
        }
    }

    fn replace_reply(&mut self, reply: &ReplyItem, fixed: &Placed) {
        let name = &reply.name;
        let Some(entry) = catalogue::named(&name.node) else {
            self.report_no_reply(reply);
            return;
        };
        if !matches!(entry.code.severity(), Severity::Transient | Severity::Permanent) {
            let title = format!("`{}` is no refusal: it is {}", name.node, entry.reply());
            self.report(Diagnostic::error(title, name.span, "only refusals have other words"));
            return;
        }
        let rule =
            fixed.iter().find(|(id, _)| self.plan.rule(*id).is_some_and(|rule| *rule.name == *name.node));
        match rule.copied() {
            Some((id, stage)) => self.replace_in_rule(reply, entry, (id, stage)),
            None => self.replace_in_session(reply, entry),
        }
    }

    fn report_no_reply(&mut self, reply: &ReplyItem) {
        let name = &reply.name;
        let refusals =
            catalogue::ALL.iter().filter(|entry| entry.code.value() >= 400).map(|entry| entry.name);
        let title = format!("there is no fixed refusal `{}`", name.node);
        let advice = "docs/reference/replies.md and `gatepost policy show` list them";
        let near = did_you_mean(&name.node, refusals);
        let advice = near.is_none().then(|| advice.to_owned());
        let own = self.names.rules.contains_key(&name.node);
        let label = if own { "a rule of the site says its words itself" } else { "unknown name" };
        self.report(Diagnostic::error(title, name.span, label).help(near).help(advice));
    }

    /// A refusal of a built-in rule: its words ask for facts, as every rule's do.
    fn replace_in_rule(
        &mut self,
        reply: &ReplyItem,
        entry: &'static Entry,
        (id, stage): (RuleId, crate::stage::Stage),
    ) {
        let answer = reply.answer.clone();
        if self.stays_temporary(reply, entry) && answer.verb.node != Verb::Disconnect {
            let refusal = self.refusal(&answer, &[stage.of_session()]);
            let Some((answer, uses)) = refusal else { return };
            let span = reply.name.span;
            let known = self.check_uses(&uses, &[(stage, span)]);
            let condition = self.plan.rule(id).map(|rule| rule.condition.clone());
            let printable = condition.is_some_and(|condition| self.has_something_to_print(&condition, &uses));
            if !known || !printable {
                return;
            }
            if let Answer::Refuse { reply: words, .. } = &answer {
                let text = self.in_words_of_entry(reply);
                self.replies.push(ReplyTemplate {
                    entry: entry.name,
                    code: words.code,
                    enhanced: words.enhanced,
                    text,
                    by_rule: true,
                });
            }
            if let Some(rule) = self.plan.rules.get_mut(usize::from(id.0)) {
                rule.printed = uses.iter().map(|used| used.slot).collect();
                rule.answer = Some(answer);
            }
        } else if answer.verb.node == Verb::Disconnect {
            let title = format!("`{}` leaves the connection open", reply.name.node);
            self.report(Diagnostic::error(title, answer.verb.span, "`reject` or `defer`"));
        }
    }

    /// The text with the catalogue's names for the facts where it has one.
    fn in_words_of_entry(&self, reply: &ReplyItem) -> String {
        let text = reply.answer.text.as_ref().map_or("", |text| text.node.as_str());
        let moved = [("mailbox.moved", "address")];
        let mut words = String::new();
        for part in parts(text) {
            match part {
                Part::Words(part) => words.push_str(&part),
                Part::Placeholder(name, _) => {
                    let same = SAME.iter().chain(&moved).find(|(fact, _)| *fact == name);
                    words.push('{');
                    words.push_str(same.map_or(name, |(_, entry)| entry));
                    words.push('}');
                }
                Part::Stray(_) => {}
            }
        }
        words
    }

    /// A refusal of the session itself: it can show what the catalogue's own text shows.
    fn replace_in_session(&mut self, reply: &ReplyItem, entry: &'static Entry) {
        let answer = &reply.answer;
        let closes = matches!(entry.code.value(), 421 | 521);
        if closes != (answer.verb.node == Verb::Disconnect) {
            let title = if closes {
                format!("`{}` closes the connection", reply.name.node)
            } else {
                format!("`{}` leaves the connection open", reply.name.node)
            };
            let label = if closes { "write `disconnect 421`" } else { "`reject` or `defer`" };
            self.report(Diagnostic::error(title, answer.verb.span, label));
            return;
        }
        if entry.code.value() / 100 != u16::try_from(answer.code.node / 100).unwrap_or(0) {
            let title =
                format!("`{}` is {}, {} says something else", entry.name, entry.code, answer.code.node);
            let label = if entry.code.value() < 500 {
                "temporary: what fails for now must not be refused for good"
            } else {
                "permanent: it would be tried again for days"
            };
            self.report(Diagnostic::error(title, answer.code.span, label));
            return;
        }
        let codes = self.codes(answer, entry.stages);
        let text = self.session_text(answer.text.as_ref(), entry, answer.verb.span);
        if let (Some((code, enhanced)), Some(text)) = (codes, text) {
            self.replies.push(ReplyTemplate { entry: entry.name, code, enhanced, text, by_rule: false });
        }
    }

    fn session_text(&mut self, text: Option<&Spanned<String>>, entry: &Entry, verb: Span) -> Option<String> {
        let Some(text) = text.filter(|text| !text.node.trim().is_empty()) else {
            self.report(Diagnostic::error("the reply has no text", verb, "a text in quotes is missing"));
            return None;
        };
        let own: Vec<&str> = parts(entry.text)
            .into_iter()
            .filter_map(|part| if let Part::Placeholder(name, _) = part { Some(name) } else { None })
            .chain(SESSION_PLACEHOLDERS)
            .collect();
        let mut words = String::new();
        let mut sound = true;
        let all = parts(&text.node);
        for part in &all {
            match part {
                Part::Words(part) => words.push_str(part),
                Part::Placeholder(name, _) if own.contains(name) => {
                    words.push('{');
                    words.push_str(name);
                    words.push('}');
                }
                Part::Placeholder(name, at) => {
                    let span = self.inside(text, *at, name.len());
                    let title = format!("`{}` can't show `{name}`", entry.name);
                    let label = format!("one of {}", own.join(", "));
                    let near = did_you_mean(name, own.iter().copied());
                    self.report(Diagnostic::error(title, span, label).help(near));
                    sound = false;
                }
                Part::Stray(at) => {
                    let span = self.inside(text, *at, 1);
                    self.report(Diagnostic::error("a brace that belongs to no placeholder", span, "here"));
                    sound = false;
                }
            }
        }
        use catalogue::Stage::{Auth, Connect, Hello, StartTls};
        let early = entry.stages.iter().any(|stage| matches!(stage, Connect | Hello | Auth | StartTls));
        let purpose = Purpose::Reply { stages_before_mail: early };
        let plain = Spanned::new(words.clone(), text.span);
        sound &= self.characters(&plain, purpose) & self.fits(&plain, purpose, words.len());
        sound.then_some(words)
    }

    /// A condition of ours or of the moment must stay temporary.
    fn stays_temporary(&mut self, reply: &ReplyItem, entry: &Entry) -> bool {
        let permanent = reply.answer.code.node >= 500;
        if entry.code.severity() != Severity::Transient || !permanent {
            return true;
        }
        let title = format!("`{}` is temporary, {} is not", entry.name, reply.answer.code.node);
        let label = "what passes by itself must not be refused for good";
        self.report(
            Diagnostic::error(title, reply.answer.code.span, label)
                .help("write `defer` and a 4yz code".to_owned()),
        );
        false
    }
}
