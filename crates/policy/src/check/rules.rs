//! Rules: their names, conditions and actions, the stages they stand at, and the order in which they are tried.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use smtp::catalogue;

use super::Checker;
use super::condition::{Compiled, Use, extent};
use super::text::Purpose;
use crate::decision::RuleId;
use crate::diagnostic::Diagnostic;
use crate::facts;
use crate::nearest::did_you_mean;
use crate::plan::{Act, Answer, Condition, Rule, RuleInfo};
use crate::slot::{Slot, SlotInfo};
use crate::span::{Span, Spanned};
use crate::stage::Stage;
use crate::syntax::ast::{self, Action, Item, StageBlock, StageEntry, Word};

/// Longest delay of a reply: clients wait five minutes (RFC 5321 §4.5.3.2).
const TARPIT_MAX: Duration = Duration::from_secs(240);

/// Rules with the stages at which they are tried, in the order of the text.
pub(super) type Placed = Vec<(RuleId, Stage)>;

/// The actions of a rule, checked.
#[derive(Default)]
struct Actions {
    acts: Vec<Act>,
    answer: Option<Answer>,
    uses: Vec<Use>,
}

impl Checker<'_> {
    /// The rules of the built-in policy.
    pub(super) fn fixed_rules(&mut self, items: &[Item]) -> Placed {
        self.plan.local_domain =
            facts::named("recipient.local_domain").and_then(|fact| self.facts.builtin(fact));
        self.rules(items, &Vec::new())
    }

    /// The rules of the site, and the fixed ones that it places itself.
    pub(super) fn site_rules(&mut self, items: &[Item], fixed: &Placed) -> Placed {
        self.rules(items, fixed)
    }

    fn rules(&mut self, items: &[Item], fixed: &Placed) -> Placed {
        let mut placed = Vec::new();
        for item in items {
            if let Item::Stage(block) = item {
                self.block(block, fixed, &mut placed);
            }
        }
        placed
    }

    fn block(&mut self, block: &StageBlock, fixed: &Placed, placed: &mut Placed) {
        let mut stages: Vec<(Stage, Span)> = Vec::new();
        for word in &block.stages {
            match Stage::named(&word.node) {
                Some(stage) if stages.iter().any(|(known, _)| *known == stage) => {
                    let title = format!("the stage `{}` stands here twice", word.node);
                    self.report(Diagnostic::error(title, word.span, "once is enough"));
                }
                Some(stage) => stages.push((stage, word.span)),
                None => {
                    let names = Stage::ALL.map(Stage::name);
                    let title = format!("there is no stage `{}`", word.node);
                    let label = format!("one of {}", names.join(", "));
                    self.report(
                        Diagnostic::error(title, word.span, label).help(did_you_mean(&word.node, names)),
                    );
                }
            }
        }
        for entry in &block.entries {
            match entry {
                StageEntry::Rule(rule) => match self.rule(rule, &stages) {
                    Some(id) => placed.extend(stages.iter().map(|(stage, _)| (id, *stage))),
                    None => self.incomplete = true,
                },
                StageEntry::Use(name) => self.place_fixed(name, &stages, fixed, placed),
            }
        }
    }

    fn place_fixed(&mut self, name: &Word, stages: &[(Stage, Span)], fixed: &Placed, placed: &mut Placed) {
        let named = |id: RuleId| self.plan.rule(id).is_some_and(|rule| *rule.name == *name.node);
        let at: Placed = fixed.iter().copied().filter(|(id, _)| named(*id)).collect();
        let finding = if let Some(&(id, stage)) = at.first() {
            let wrong = stages.iter().find(|(here, _)| !at.iter().any(|(_, stage)| stage == here));
            match wrong {
                Some((here, span)) => {
                    let title =
                        format!("`{}` is tried at {}, not at {}", name.node, stage.name(), here.name());
                    Diagnostic::error(title, name.span, "in the wrong block")
                        .also(*span, "this block's stage")
                }
                None if placed.iter().any(|(known, _)| *known == id) => {
                    let title = format!("`{}` has its place already", name.node);
                    Diagnostic::error(title, name.span, "placed a second time")
                }
                None => {
                    self.warn_of_no_relay(id, name.span, placed);
                    placed.extend(stages.iter().map(|(stage, _)| (id, *stage)));
                    return;
                }
            }
        } else if catalogue::named(&name.node).is_some() {
            let title =
                format!("`{}` is the session's own reply: it has no place among the rules", name.node);
            let advice = format!("its words can be changed: reply {} ...", name.node);
            Diagnostic::error(title, name.span, "can't be moved").help(advice)
        } else {
            let rules: Vec<Arc<str>> = fixed
                .iter()
                .filter_map(|(id, _)| self.plan.rule(*id))
                .map(|rule| Arc::clone(&rule.name))
                .collect();
            let names: Vec<&str> = rules.iter().map(|name| &**name).collect();
            let title = format!("there is no fixed rule `{}`", name.node);
            let label = "`use` places a rule of the built-in policy";
            Diagnostic::error(title, name.span, label)
                .help(did_you_mean(&name.node, names.iter().copied()))
                .help(format!("fixed rules: {}", names.join(", ")))
        };
        self.report(finding);
    }

    /// A rule, checked; `None` when something in it was complained of.
    fn rule(&mut self, rule: &ast::Rule, stages: &[(Stage, Span)]) -> Option<RuleId> {
        let free = self.takes_name(&rule.name);
        let condition = match &rule.condition {
            None => Some(Compiled { condition: Condition::Always, uses: Vec::new() }),
            Some(condition) => self.compile(condition),
        };
        let known = condition.as_ref().is_none_or(|condition| self.check_uses(&condition.uses, stages));
        let actions = self.actions(rule, stages);
        let unsure = self.unsure_arm(rule, condition.as_ref(), stages);
        let (condition, actions, (unsure, unsure_uses)) = (condition?, actions?, unsure?);
        let printed: Vec<Use> = actions.uses.iter().chain(&unsure_uses).copied().collect();
        let told =
            self.check_uses(&printed, stages) & self.has_something_to_print(&condition.condition, &printed);
        if !(free && known && told) || stages.is_empty() {
            return None;
        }
        self.lint(rule, &condition, &actions.acts, actions.answer.as_ref(), stages);
        let id = RuleId(u16::try_from(self.plan.rules.len()).ok()?);
        let slots = |uses: &mut dyn Iterator<Item = Slot>| -> Box<[Slot]> {
            uses.collect::<BTreeSet<_>>().into_iter().collect()
        };
        let mut tested = BTreeSet::new();
        condition.condition.slots(&mut |slot| {
            tested.insert(slot);
        });
        self.plan.rules.push(Rule {
            name: Arc::from(rule.name.node.as_str()),
            condition: condition.condition,
            acts: actions.acts.into(),
            answer: actions.answer,
            unsure,
            observe: rule.observe.is_some(),
            fixed: self.in_builtin,
            denies_relaying: self.in_builtin && rule.name.node == catalogue::RELAYING_DENIED.name,
            tested: tested.into_iter().collect(),
            printed: slots(&mut actions.uses.iter().map(|used| used.slot)),
        });
        let info = self.info(rule, stages);
        self.infos.push(info);
        Some(id)
    }

    fn info(&self, rule: &ast::Rule, stages: &[(Stage, Span)]) -> RuleInfo {
        let first = rule.actions.first().map(|action| action.span).unwrap_or_default();
        let last = rule.actions.last().map(|action| action.span).unwrap_or_default();
        let unsure = rule.unsure.as_ref().map(|arm| format!("; unsure {}", self.words(arm.span)));
        RuleInfo {
            name: Arc::from(rule.name.node.as_str()),
            stages: stages.iter().map(|(stage, _)| *stage).collect(),
            span: rule.span,
            observe: rule.observe.is_some(),
            fixed: self.in_builtin,
            condition: rule
                .condition
                .as_ref()
                .map_or_else(String::new, |condition| self.words(extent(condition))),
            answer: self.words(first.to(last)) + &unsure.unwrap_or_default(),
        }
    }

    fn takes_name(&mut self, name: &Word) -> bool {
        if let Some(first) = self.names.rules.get(&name.node) {
            let title = format!("there is a rule `{}` already", name.node);
            let finding =
                Diagnostic::error(title, name.span, "named a second time").also(*first, "first here");
            let advice = "names stand in replies, logs and metrics: each tells one rule";
            self.report(finding.help(advice.to_owned()));
            return false;
        }
        if !self.in_builtin && catalogue::named(&name.node).is_some() {
            let title = format!("`{}` is the name of a fixed reply", name.node);
            let advice = "logs would not tell the two apart; `reply` changes a fixed reply's words";
            self.report(
                Diagnostic::error(title, name.span, "give the rule another name").help(advice.to_owned()),
            );
            return false;
        }
        self.names.rules.insert(name.node.clone(), name.span);
        true
    }

    fn actions(&mut self, rule: &ast::Rule, stages: &[(Stage, Span)]) -> Option<Actions> {
        let mut actions = Actions::default();
        let mut sound = true;
        for action in &rule.actions {
            sound &= self.action(action, stages, &mut actions).is_some();
        }
        let refuses = rule.actions.iter().find(|action| matches!(action.node, Action::Answer(_)));
        if let Some(refusal) = refuses {
            for action in &rule.actions {
                if let Some(what) = of_the_message(&action.node) {
                    let title = format!("`{what}` does nothing to what is refused");
                    let finding = Diagnostic::error(title, action.span, "there will be no message");
                    self.report(finding.also(refusal.span, "refused here"));
                    sound = false;
                }
            }
        }
        sound.then_some(actions)
    }

    fn action(
        &mut self,
        action: &Spanned<Action>,
        stages: &[(Stage, Span)],
        actions: &mut Actions,
    ) -> Option<()> {
        if let Some(what) = of_the_message(&action.node) {
            let since =
                if matches!(action.node, Action::Redirect(_)) { Stage::Recipient } else { Stage::Mail };
            let wrong = stages.iter().find(|(stage, _)| !since.reaches(*stage));
            if let Some((stage, span)) = wrong {
                let title = format!("`{what}` can't work at {}", stage.name());
                let label = format!("from {} on there is something to do it to", since.name());
                self.report(Diagnostic::error(title, action.span, label).also(*span, "this block's stage"));
                return None;
            }
        }
        match &action.node {
            Action::Accept { relay } => {
                let wrong = stages.iter().find(|(stage, _)| *relay && *stage != Stage::Recipient);
                if let Some((stage, span)) = wrong {
                    let title = format!("`accept relay` has no meaning at {}", stage.name());
                    let label = "relaying is opened for a recipient";
                    self.report(
                        Diagnostic::error(title, action.span, label).also(*span, "this block's stage"),
                    );
                    return None;
                }
                actions.answer = Some(Answer::Accept { relay: *relay });
            }
            Action::Answer(answer) => {
                let (answer, uses) = self.refusal(answer, &of_session(stages))?;
                actions.answer = Some(answer);
                actions.uses.extend(uses);
            }
            Action::Tag(word) => actions.acts.push(self.tag(word)?),
            Action::AddHeader(name, value) => {
                let (act, uses) = self.header(name, value)?;
                actions.acts.push(act);
                actions.uses.extend(uses);
            }
            Action::Quarantine => actions.acts.push(Act::Quarantine),
            Action::Hold => actions.acts.push(Act::Hold),
            Action::Discard => actions.acts.push(Act::Discard),
            Action::Redirect(address) => actions.acts.push(self.redirect(address)?),
            Action::Tarpit(wait) => actions.acts.push(self.tarpit(wait)?),
        }
        Some(())
    }

    fn tag(&mut self, word: &Spanned<String>) -> Option<Act> {
        let fits = |character: char| character.is_ascii_alphanumeric() || "-_.:".contains(character);
        if !word.node.is_empty() && word.node.len() <= 64 && word.node.chars().all(fits) {
            return Some(Act::Tag(Arc::from(word.node.as_str())));
        }
        let label = "1 to 64 letters, digits, `-`, `_`, `.`, `:`";
        self.report(Diagnostic::error("a tag is one word", word.span, label));
        None
    }

    fn header(&mut self, name: &Spanned<String>, value: &Spanned<String>) -> Option<(Act, Vec<Use>)> {
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || octet == b'-';
        let named = (1..=64).contains(&name.node.len()) && name.node.bytes().all(fits);
        if !named {
            let title = format!("\"{}\" is no name of a header field", name.node);
            self.report(Diagnostic::error(title, name.span, "letters, digits and `-`, at most 64"));
        }
        let lower = name.node.to_ascii_lowercase();
        let ours =
            matches!(lower.as_str(), "received" | "return-path" | "authentication-results" | "received-spf");
        if ours {
            let title = format!("`{}` is a field that the server writes itself", name.node);
            self.report(Diagnostic::error(title, name.span, "give the field another name"));
        }
        let (value, uses) = self.template(value, Purpose::Header)?;
        (named && !ours).then(|| (Act::AddHeader { name: Arc::from(name.node.as_str()), value }, uses))
    }

    fn redirect(&mut self, address: &Spanned<String>) -> Option<Act> {
        match address.node.parse::<smtp::address::Mailbox>() {
            Ok(_) => Some(Act::Redirect(Arc::from(address.node.as_str()))),
            Err(_) => {
                let title = format!("\"{}\" is no address", address.node);
                self.report(Diagnostic::error(title, address.span, "local-part@domain (RFC 5321 §4.1.2)"));
                None
            }
        }
    }

    fn tarpit(&mut self, wait: &Spanned<Duration>) -> Option<Act> {
        if !wait.node.is_zero() && wait.node <= TARPIT_MAX {
            return Some(Act::Tarpit(wait.node));
        }
        let label = format!("over 0, {}s at most", TARPIT_MAX.as_secs());
        let advice = "clients give up after five minutes (RFC 5321 §4.5.3.2)";
        self.report(Diagnostic::error("the delay can't work", wait.span, label).help(advice.to_owned()));
        None
    }

    /// The unsure arm; `None` when something in it was complained of.
    fn unsure_arm(
        &mut self,
        rule: &ast::Rule,
        condition: Option<&Compiled>,
        stages: &[(Stage, Span)],
    ) -> Option<(Option<Answer>, Vec<Use>)> {
        let Some(arm) = &rule.unsure else { return Some((None, Vec::new())) };
        let may_fail = condition.is_none_or(|condition| {
            condition.uses.iter().any(|used| self.facts.info(used.slot).is_some_and(|info| info.fallible))
        });
        // The built-in rules stand on tables of any kind, and on a site that may be being replaced.
        if !may_fail && !self.in_builtin {
            let title = "this condition can always be told";
            let finding =
                Diagnostic::error(title, arm.span, "never reached: none of its facts is ever unsure");
            self.report(finding.help("leave the `unsure` arm out".to_owned()));
            return None;
        }
        match &arm.node {
            Action::Accept { relay: false } => Some((Some(Answer::Accept { relay: false }), Vec::new())),
            Action::Accept { relay: true } => {
                let title = "an `unsure` arm can't open relaying";
                let finding = Diagnostic::error(title, arm.span, "a failed look-up would make an open relay");
                self.report(finding.help("write `accept`, or `defer 451 4.3.0 \"...\"`".to_owned()));
                None
            }
            Action::Answer(answer) if answer.verb.node == ast::Verb::Defer => {
                let (answer, uses) = self.refusal(answer, &of_session(stages))?;
                Some((Some(answer), uses))
            }
            Action::Answer(answer) => {
                let title = "an `unsure` arm only defers or accepts";
                let label = "a failed look-up would be a refusal for good";
                let finding = Diagnostic::error(title, answer.verb.span, label);
                self.report(
                    finding.help("write `defer 451 4.4.3 \"...\"`: the client tries again".to_owned()),
                );
                None
            }
            _ => {
                let title = "an `unsure` arm only defers or accepts";
                self.report(Diagnostic::error(title, arm.span, "it answers, or it is left out"));
                None
            }
        }
    }

    /// Whether the fact is known at all the stages; says where it is not.
    pub(super) fn is_known_at(&mut self, used: Use, stages: &[(Stage, Span)]) -> bool {
        let Some(info) = self.facts.info(used.slot).cloned() else { return false };
        let of_one_recipient = self.is_of_one_recipient(used.slot);
        let wrong = stages.iter().find(|(stage, _)| {
            !info.since.reaches(*stage) || of_one_recipient && matches!(stage, Stage::Data | Stage::Message)
        });
        let Some((stage, _)) = wrong else { return true };
        let mut finding = if info.since.reaches(*stage) {
            let title =
                format!("`{}` is of one recipient: at {} there may be several", info.name, stage.name());
            Diagnostic::error(title, used.span, "known at recipient only")
                .help("write the rule `at recipient`; message.recipients counts them".to_owned())
        } else {
            not_known(&info, used.span, *stage)
        };
        if let Some(place) = used.through {
            finding = finding.also(place, "asked for here");
        }
        self.report(finding);
        false
    }

    /// Whether every fact of the texts has something to print whenever the condition holds.
    pub(super) fn has_something_to_print(&mut self, condition: &Condition, uses: &[Use]) -> bool {
        let mut sound = true;
        for used in uses {
            let Some(info) = self.facts.info(used.slot).cloned() else { continue };
            if !info.optional || self.proves(condition, used.slot) {
                continue;
            }
            sound = false;
            let title = format!("`{}` may be missing here", info.name);
            let advice = match info.name.strip_suffix(".reason") {
                Some(list) => format!("add to the condition: and {list}.listed"),
                None => format!("add to the condition: and {} is present", info.name),
            };
            self.report(Diagnostic::error(title, used.span, "nothing to print then").help(advice));
        }
        sound
    }

    /// The order of each stage: the site's rules and those it placed, the other fixed ones, then those that `apply` made: a
    /// filter hears of what nobody else refuses.
    pub(super) fn assemble(&mut self, fixed: &Placed, own: &Placed, applied: &Placed) {
        let stages = Stage::ALL.map(|stage| -> Box<[RuleId]> {
            let at = |placed: &Placed| -> Vec<RuleId> {
                placed.iter().filter(|(_, here)| *here == stage).map(|(id, _)| *id).collect()
            };
            let mut order = at(own);
            let rest: Vec<RuleId> = at(fixed).into_iter().filter(|id| !order.contains(id)).collect();
            order.extend(rest);
            order.extend(at(applied));
            order.into()
        });
        self.plan.stages = stages;
    }
}

/// The word of an action that does something to the message, which has to be accepted for it.
const fn of_the_message(action: &Action) -> Option<&'static str> {
    match action {
        Action::AddHeader(..) => Some("add header"),
        Action::Quarantine => Some("quarantine"),
        Action::Hold => Some("hold"),
        Action::Redirect(_) => Some("redirect"),
        Action::Discard => Some("discard"),
        Action::Accept { .. } | Action::Answer(_) | Action::Tag(_) | Action::Tarpit(_) => None,
    }
}

pub(super) fn of_session(stages: &[(Stage, Span)]) -> Vec<catalogue::Stage> {
    stages.iter().map(|(stage, _)| stage.of_session()).collect()
}

fn not_known(info: &SlotInfo, span: Span, stage: Stage) -> Diagnostic {
    if stage == Stage::Verify {
        let title = format!("`{}` is not known at verify", info.name);
        return Diagnostic::error(title, span, "VRFY and EXPN belong to no transaction");
    }
    if info.since == Stage::Verify {
        let title = format!("`{}` is not known at {}", info.name, stage.name());
        return Diagnostic::error(title, span, "known at verify only");
    }
    let title = format!("`{}` is not known yet at {}", info.name, stage.name());
    Diagnostic::error(title, span, format!("known from {} on", info.since.name()))
}
