//! Declared filters: milters, policy services, ClamAV and Rspamd; and the rules that `apply` stands for.

use std::sync::Arc;
use std::time::Duration;

use smtp::reply::{Enhanced, ReplyCode};

use super::Checker;
use super::names::Declared;
use super::rules::Placed;
use crate::decision::RuleId;
use crate::diagnostic::Diagnostic;
use crate::facts::{self, Scope};
use crate::nearest::did_you_mean;
use crate::plan::{Act, Answer, Condition, Form, Own, Piece, Rule, RuleInfo, Template, Test, Values, Words};
use crate::replies;
use crate::slot::Slot;
use crate::source::{Field, Filter, FilterAddress, FilterKind, SourceKind};
use crate::span::{Span, Spanned};
use crate::stage::Stage;
use crate::syntax::ast::{Item, SourceItem, SourceKind as Written, Word};

/// Wait for each answer of a milter when the policy gives none (Postfix's `milter_command_timeout`).
const MILTER_TIMEOUT: Duration = Duration::from_secs(30);

/// The same for the others: a policy service answers at once, and a scan of a message takes no longer.
const OTHER_TIMEOUT: Duration = Duration::from_secs(20);

/// Longest wait that a policy may ask for: a client waits ten minutes behind the data (RFC 5321 §4.5.3.2.6).
const TIMEOUT_MAX: Duration = Duration::from_secs(300);

/// Longest path of a socket, in octets (unix(7)).
const PATH_OCTETS_MAX: usize = 107;

/// The stages of which a milter hears.
const OF_MILTERS: [Stage; 6] =
    [Stage::Connect, Stage::Helo, Stage::Mail, Stage::Recipient, Stage::Data, Stage::Message];

/// The stages at which a policy service may be asked.
const OF_SERVICES: [Stage; 6] = OF_MILTERS;

impl Checker<'_> {
    /// The filter, and from when on and how long its facts hold.
    pub(super) fn filter(&mut self, item: &SourceItem) -> Option<(SourceKind, Stage, Scope)> {
        let Written::Filter { kind, address, stage, timeout, apply, failing } = &item.kind.node else {
            return None;
        };
        let found = self.filter_address(*kind, address);
        let at = self.filter_stage(*kind, stage.as_ref());
        let usual = if *kind == FilterKind::Milter { MILTER_TIMEOUT } else { OTHER_TIMEOUT };
        let timeout = match timeout {
            None => Some(usual),
            Some(time) if !time.node.is_zero() && time.node <= TIMEOUT_MAX => Some(time.node),
            Some(time) => {
                let label = format!("over 0, {}s at most", TIMEOUT_MAX.as_secs());
                self.report(Diagnostic::error("no client waits that long", time.span, label));
                None
            }
        };
        let sound = self.apply_fits(*kind, item.shadow, *apply, failing.as_ref());
        let (address, (since, scope), timeout) = (found?, at?, timeout?);
        let client_name = match kind {
            FilterKind::Clamav => None,
            _ => facts::named("client.name").and_then(|fact| self.facts.builtin(fact)),
        };
        let filter = Filter { kind: *kind, address, timeout, apply: apply.is_some(), client_name };
        sound.then_some((SourceKind::Filter(filter), since, scope))
    }

    fn apply_fits(
        &mut self,
        kind: FilterKind,
        shadow: Option<Span>,
        apply: Option<Span>,
        failing: Option<&Word>,
    ) -> bool {
        let mut sound = true;
        if let (Some(apply), Some(shadow)) = (apply, shadow) {
            let finding =
                Diagnostic::error("nothing of a shadow is applied", apply, "leave one of the two out");
            self.report(finding.also(shadow, "gathered and journalled, never decided on"));
            sound = false;
        }
        if let (Some(apply), FilterKind::Clamav | FilterKind::Rspamd) = (apply, kind) {
            let title = format!("`{}` wants nothing done: it tells what it found", kind.word());
            let advice = match kind {
                FilterKind::Clamav => "write a rule: rule virus when NAME.infected reject 550 5.7.1 \"...\"",
                _ => "write a rule: rule spam when NAME.action == \"reject\" reject 550 5.7.1 \"...\"",
            };
            self.report(Diagnostic::error(title, apply, "nothing to apply").help(advice.to_owned()));
            sound = false;
        }
        let Some(failing) = failing else { return sound };
        if !matches!(failing.node.as_str(), "accept" | "defer") {
            let title = format!("`{}` can't be done when a filter fails", failing.node);
            let advice = did_you_mean(&failing.node, ["accept", "defer"]);
            self.report(Diagnostic::error(title, failing.span, "`accept` or `defer`").help(advice));
            sound = false;
        }
        if apply.is_none() {
            let title = "`failing` goes with `apply`";
            let label = "no rule is made that could answer";
            let advice = "a rule that asks for it says so itself: unsure defer 451 4.7.1 \"...\"";
            self.report(Diagnostic::error(title, failing.span, label).help(advice.to_owned()));
            sound = false;
        }
        sound
    }

    fn filter_stage(&mut self, kind: FilterKind, written: Option<&Word>) -> Option<(Stage, Scope)> {
        let Some(word) = written else {
            return Some(match kind {
                FilterKind::Milter => (Stage::Connect, Scope::Session),
                FilterKind::Service => (Stage::Recipient, Scope::Recipient),
                FilterKind::Clamav | FilterKind::Rspamd => (Stage::Message, Scope::Message),
            });
        };
        if kind != FilterKind::Service {
            let title = format!("`{}` is asked at a stage of its own", kind.word());
            let label = match kind {
                FilterKind::Milter => "a milter hears of every stage",
                _ => "it reads the message, at message",
            };
            self.report(Diagnostic::error(title, word.span, label).help("leave it out".to_owned()));
            return None;
        }
        match Stage::named(&word.node).filter(|stage| OF_SERVICES.contains(stage)) {
            Some(stage @ (Stage::Connect | Stage::Helo)) => Some((stage, Scope::Session)),
            Some(Stage::Mail) => Some((Stage::Mail, Scope::Transaction)),
            Some(Stage::Recipient) => Some((Stage::Recipient, Scope::Recipient)),
            Some(stage) => Some((stage, Scope::Message)),
            None => {
                let names = OF_SERVICES.map(Stage::name);
                let title = format!("no policy service is asked at `{}`", word.node);
                let label = format!("one of {}", names.join(", "));
                self.report(Diagnostic::error(title, word.span, label).help(did_you_mean(&word.node, names)));
                None
            }
        }
    }

    fn filter_address(&mut self, kind: FilterKind, written: &Spanned<String>) -> Option<FilterAddress> {
        let text = written.node.as_str();
        let found = match (kind, text.split_once(':')) {
            (FilterKind::Rspamd, Some(("http", rest))) => {
                rest.strip_prefix("//").and_then(|rest| host_and_port(rest.trim_end_matches('/')))
            }
            (_, Some(("unix" | "local", path))) => {
                let fits = path.starts_with('/') && path.len() <= PATH_OCTETS_MAX && !path.contains('\0');
                fits.then(|| FilterAddress::Unix(Arc::from(path)))
            }
            (FilterKind::Rspamd, _) => None,
            (_, Some(("inet" | "inet6", rest))) => match rest.split_once('@') {
                // As Sendmail writes it.
                Some((port, host)) => host_and_port(&format!("{host}:{port}")),
                None => host_and_port(rest),
            },
            _ => None,
        };
        if found.is_none() {
            let title = format!("\"{text}\" is no address of a `{}`", kind.word());
            let label = match kind {
                FilterKind::Rspamd => "as \"http://127.0.0.1:11334\" or \"unix:/path\"",
                _ => "as \"inet:127.0.0.1:8891\" or \"unix:/path\"",
            };
            self.report(Diagnostic::error(title, written.span, label));
        }
        found
    }

    /// The rules that `apply` stands for, in the order of the declarations; services first, so that a milter doesn't hear of
    /// recipients that they refuse.
    pub(super) fn applied_rules(&mut self, items: &[Item]) -> Placed {
        let mut placed = Placed::new();
        for kind in [FilterKind::Service, FilterKind::Milter] {
            self.applied_of(kind, items, &mut placed);
        }
        placed
    }

    fn applied_of(&mut self, wanted: FilterKind, items: &[Item], placed: &mut Placed) {
        for item in items {
            let Item::Source(item) = item else { continue };
            let Some(declared) = self.names.sources.get_mut(&item.name.node) else { continue };
            // One that can't be used would have been.
            declared.used |= matches!(&item.kind.node, Written::Filter { apply: Some(_), .. });
            let Declared { what: Some(index), span, .. } = declared else { continue };
            let Some(source) = self.sources.get(usize::from(*index)) else { continue };
            let SourceKind::Filter(Filter { kind, apply: true, .. }) = source.kind else { continue };
            if *span != item.name.span || kind != wanted {
                continue;
            }
            let fails_open = matches!(&item.kind.node,
                Written::Filter { failing: Some(word), .. } if word.node == "accept");
            let stages = match kind {
                FilterKind::Milter => OF_MILTERS.to_vec(),
                _ => vec![source.since],
            };
            let made = Applied { item, index: *index, kind, fails_open };
            for stage in stages {
                self.applied_at(&made, stage, placed);
            }
        }
    }

    fn applied_at(&mut self, made: &Applied<'_>, stage: Stage, placed: &mut Placed) {
        let Some(verdict) = self.field(made, Field::Verdict) else { return };
        let is = |word: &'static str| {
            let form = Form::Choices(vec![word].into());
            Condition::Test(Test { slot: verdict, values: Values::One, form })
        };
        let unsure = (!made.fails_open).then(|| unavailable(stage, &made.item.name.node)).flatten();
        let (Some(reject), Some(defer)) =
            (self.own_answer(made, stage, true), self.own_answer(made, stage, false))
        else {
            return;
        };
        let name = |what: &str| format!("{}-{what}", made.item.name.node);
        let answered = |answer: Answer| (Vec::new(), Some(answer));
        let mut rules = vec![
            (name("reject"), is("reject"), answered(reject), unsure),
            (name("defer"), is("tempfail"), answered(defer), None),
        ];
        // What is said of a message before its end holds at its end; a service is asked once.
        if made.kind == FilterKind::Milter && stage == Stage::Message
            || made.kind == FilterKind::Service && Stage::Mail.reaches(stage)
        {
            let kept = if made.kind == FilterKind::Milter { Act::Quarantine } else { Act::Hold };
            rules.push((name("quarantine"), is("quarantine"), (vec![kept], None), None));
            rules.push((name("discard"), is("discard"), (vec![Act::Discard], None), None));
        }
        if made.kind == FilterKind::Service
            && Stage::Mail.reaches(stage)
            && let Some(slot) = self.field(made, Field::Prepend)
        {
            let is_there = Condition::Test(Test { slot, values: Values::One, form: Form::Present });
            rules.push((name("prepend"), is_there, (vec![Act::Prepend(slot)], None), None));
        }
        for (name, condition, (acts, answer), unsure) in rules {
            self.place_applied(made, stage, (name, condition, acts, answer, unsure), placed);
        }
    }

    fn place_applied(
        &mut self,
        made: &Applied<'_>,
        stage: Stage,
        (name, condition, acts, answer, unsure): (
            String,
            Condition,
            Vec<Act>,
            Option<Answer>,
            Option<Answer>,
        ),
        placed: &mut Placed,
    ) {
        let Ok(id) = u16::try_from(self.plan.rules.len()).map(RuleId) else { return };
        // The same name stands at several stages, with the reply that fits there.
        if let Some(first) = self.names.rules.get(&name).filter(|first| **first != made.item.name.span) {
            let title = format!("`apply` makes a rule `{name}`, and there is one already");
            let first = *first;
            let finding = Diagnostic::error(title, made.item.name.span, "made here");
            self.report(finding.also(first, "first here"));
            return;
        }
        self.names.rules.insert(name.clone(), made.item.name.span);
        let mut tested = Vec::new();
        condition.slots(&mut |slot| tested.push(slot));
        let printed: Vec<Slot> = acts
            .iter()
            .filter_map(|act| if let Act::Prepend(slot) = act { Some(*slot) } else { None })
            .collect();
        let does = match (&answer, acts.first()) {
            (Some(_), _) => "apply".to_owned(),
            (None, Some(Act::Quarantine)) => "quarantine".to_owned(),
            (None, Some(Act::Hold)) => "hold".to_owned(),
            (None, Some(Act::Discard)) => "discard".to_owned(),
            (None, _) => "apply".to_owned(),
        };
        let shown = name.strip_prefix(&made.item.name.node).unwrap_or_default().trim_start_matches('-');
        let wanted = match shown {
            "defer" => "verdict is tempfail",
            "prepend" => "prepend is present",
            "quarantine" => "verdict is quarantine",
            "discard" => "verdict is discard",
            _ => "verdict is reject",
        };
        self.infos.push(RuleInfo {
            name: Arc::from(name.as_str()),
            stages: vec![stage],
            span: made.item.kind.span,
            observe: false,
            fixed: false,
            condition: format!("{}.{wanted}", made.item.name.node),
            answer: does,
        });
        self.plan.rules.push(Rule {
            name: Arc::from(name),
            condition,
            acts: acts.into(),
            answer,
            unsure,
            observe: false,
            fixed: false,
            denies_relaying: false,
            tested: tested.into(),
            printed: printed.into(),
        });
        placed.push((id, stage));
    }

    fn field(&mut self, made: &Applied<'_>, field: Field) -> Option<Slot> {
        let source = self.sources.get(usize::from(made.index))?;
        self.facts.of_source(made.index, source, field)
    }

    /// The reply that the filter itself wants, with what stands for it where it says nothing or what can't stand there.
    fn own_answer(&mut self, made: &Applied<'_>, stage: Stage, for_good: bool) -> Option<Answer> {
        let code = self.field(made, Field::Code)?;
        let enhanced = self.field(made, Field::Enhanced)?;
        let text = self.field(made, Field::Reply)?;
        let otherwise = if for_good { "refused by" } else { "not now, says" };
        let otherwise = Arc::from(format!("{otherwise} {}", made.item.name.node));
        let usual = if for_good { refusing(stage) } else { deferring(stage) }?;
        let pieces = vec![Piece::Fact { slot: text, otherwise }];
        let reply = Words {
            code: usual,
            enhanced: Enhanced::new(7, 1),
            text: Template { pieces: pieces.into() },
            own: Some(Own { code, enhanced }),
        };
        Some(Answer::Refuse { reply, close: usual.value() == 421 })
    }
}

/// A filter whose answers are applied.
struct Applied<'a> {
    item: &'a SourceItem,
    index: u16,
    kind: FilterKind,
    fails_open: bool,
}

/// What is said when the filter can't be asked (Postfix's `milter_default_action = tempfail`).
fn unavailable(stage: Stage, name: &str) -> Option<Answer> {
    let code = deferring(stage)?;
    let words = Piece::Text(Arc::from(format!("{name} cannot be asked just now, try again later")));
    let text = Template { pieces: vec![words].into() };
    let reply = Words { code, enhanced: Enhanced::new(7, 1), text, own: None };
    Some(Answer::Refuse { reply, close: code.value() == 421 })
}

/// The usual code of a refusal for good at the stage.
fn refusing(stage: Stage) -> Option<ReplyCode> {
    first_that_stands(stage, if stage == Stage::Connect { [554, 550] } else { [550, 554] })
}

/// The usual code of a refusal for now at the stage: in the place of a greeting there is none but 421 (RFC 5321 §4.3.2).
fn deferring(stage: Stage) -> Option<ReplyCode> {
    first_that_stands(stage, if stage == Stage::Connect { [421, 451] } else { [451, 421] })
}

fn first_that_stands<const N: usize>(stage: Stage, codes: [u16; N]) -> Option<ReplyCode> {
    let stands = |code: &u16| replies::basic(*code).is_some_and(|basic| basic.stands_at(stage.of_session()));
    codes.into_iter().find(stands).and_then(ReplyCode::new)
}

/// `127.0.0.1:25`, `[::1]:25` or `name:25`.
fn host_and_port(text: &str) -> Option<FilterAddress> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse::<u16>().ok().filter(|port| *port != 0)?;
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b':' | b'_' | b'%');
    (!host.is_empty() && host.bytes().all(fits)).then(|| FilterAddress::Inet(Arc::from(host), port))
}
