//! Replies: that the code can be formed and may stand where it is given, that verb, code and enhanced code agree, and
//! that there are words.

use smtp::catalogue;
use smtp::reply::{Enhanced, ReplyCode, Severity};

use super::Checker;
use super::condition::Use;
use super::text::Purpose;
use crate::diagnostic::Diagnostic;
use crate::plan::{Answer, Words};
use crate::replies::{self, Basic, Detail, Place};
use crate::span::{Span, Spanned};
use crate::stage::Stage;
use crate::syntax::ast::{self, Verb};

/// Codes whose meaning is so narrow that an enhanced code of another matter contradicts them.
const NARROW: [u16; 5] = [452, 551, 552, 553, 556];

/// Codes that say that the connection is closed (RFC 5321 §3.8, RFC 7504 §3).
const CLOSING: [u16; 2] = [421, 521];

/// The verb as written.
const fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Reject => "reject",
        Verb::Defer => "defer",
        Verb::Disconnect => "disconnect",
    }
}

impl Stage {
    /// The stage as the catalogue of replies has it.
    #[must_use]
    pub const fn of_session(self) -> catalogue::Stage {
        match self {
            Self::Connect => catalogue::Stage::Connect,
            Self::Helo => catalogue::Stage::Hello,
            Self::Auth => catalogue::Stage::Auth,
            Self::Mail => catalogue::Stage::Mail,
            Self::Recipient => catalogue::Stage::Recipient,
            Self::Data => catalogue::Stage::Data,
            Self::Message => catalogue::Stage::Message,
            Self::Verify => catalogue::Stage::Verify,
        }
    }
}

impl Checker<'_> {
    /// The refusal, and where its text asks for facts; `None` when something was complained of.
    pub(super) fn refusal(
        &mut self,
        answer: &ast::Answer,
        stages: &[catalogue::Stage],
    ) -> Option<(Answer, Vec<Use>)> {
        let code = self.codes(answer, stages);
        let text = self.reply_text(answer, stages);
        let ((code, enhanced), (text, uses)) = (code?, text?);
        let close = answer.verb.node == Verb::Disconnect;
        Some((Answer::Refuse { reply: Words { code, enhanced, text, own: None }, close }, uses))
    }

    /// The codes of a refusal that may stand at all of `stages`.
    pub(super) fn codes(
        &mut self,
        answer: &ast::Answer,
        stages: &[catalogue::Stage],
    ) -> Option<(ReplyCode, Enhanced)> {
        let code = self.reply_code(answer, stages);
        let enhanced = self.enhanced(answer, code, stages);
        code.zip(enhanced)
    }

    fn reply_code(&mut self, answer: &ast::Answer, stages: &[catalogue::Stage]) -> Option<ReplyCode> {
        let (value, span) = (answer.code.node, answer.code.span);
        let Some(code) = u16::try_from(value).ok().and_then(ReplyCode::new) else {
            let label = "the first digit is 2 to 5, the second 0 to 5 (RFC 5321 §4.2.1)";
            let finding = Diagnostic::error(format!("{value} is no reply code"), span, label);
            self.report(finding.help(u16::try_from(value).ok().and_then(|code| meant(code, stages.first()))));
            return None;
        };
        if matches!(code.severity(), Severity::Completed | Severity::Intermediate) {
            self.report_no_refusal(code, span, stages);
            return None;
        }
        let known = replies::basic(code.value()).filter(|basic| basic.defined());
        let Some(basic) = known else {
            let label = "clients would read its first digit and nothing else";
            let finding = Diagnostic::error(format!("{code} is in no RFC"), span, label);
            self.report(finding.help(meant(code.value(), stages.first())));
            return None;
        };
        let fits = self.verb_fits(answer, code);
        // All stages are looked at, so that one run finds every mistake.
        let stands: Vec<bool> = stages.iter().map(|stage| self.stands(basic, *stage, answer)).collect();
        (fits && !stands.contains(&false)).then_some(code)
    }

    fn report_no_refusal(&mut self, code: ReplyCode, span: Span, stages: &[catalogue::Stage]) {
        let label = match code.value() {
            354 => "not a refusal: a client would take it as \"start mail input\" and send the message"
                .to_owned(),
            300..=399 => "not a refusal: a client would go on with what was asked for".to_owned(),
            251 => "not a refusal: a client would take the mail for accepted and forwarded".to_owned(),
            221 => "not a refusal: it answers QUIT".to_owned(),
            220 => "not a refusal: it says that the service is ready".to_owned(),
            _ => "not a refusal: a client would take it for success".to_owned(),
        };
        let stage = stages.first().map_or("", |stage| stage.name());
        let title = format!("{code} is not a reply to use at {stage}");
        let advice = match code.severity() {
            Severity::Completed => "to accept, write `accept`; a refusal is 4yz or 5yz (RFC 5321 §4.2.1)",
            _ => "a refusal is 4yz or 5yz; RFC 5321 §4.3.2 lists the codes of each command",
        };
        self.report(Diagnostic::error(title, span, label).help(advice.to_owned()));
    }

    fn verb_fits(&mut self, answer: &ast::Answer, code: ReplyCode) -> bool {
        let verb = answer.verb.node;
        let closes = CLOSING.contains(&code.value());
        if closes && verb != Verb::Disconnect {
            let title = format!("{code} says that the connection is closed");
            let finding = Diagnostic::error(title, answer.verb.span, "leaves it open");
            self.report(finding.help(format!("write `disconnect {code}`, or another code")));
            return false;
        }
        let (wanted, label, advice) = match verb {
            Verb::Reject => {
                (Severity::Permanent, "temporary: the client tries again", "write `defer`, or a 5yz code")
            }
            Verb::Defer => {
                (Severity::Transient, "permanent: the client gives up", "write `reject`, or a 4yz code")
            }
            Verb::Disconnect => {
                if !closes && !self.in_builtin {
                    let title = format!("{code} does not say that the connection is closed");
                    let label = "421 does, 521 at the greeting";
                    let advice = "a client takes a close that was not announced for a fault, and tries again (RFC 5321 §3.8)";
                    self.report(Diagnostic::warning(title, answer.code.span, label).help(advice.to_owned()));
                }
                return true;
            }
        };
        if code.severity() == wanted {
            return true;
        }
        let class = if wanted == Severity::Permanent { "5yz" } else { "4yz" };
        let title = format!("`{}` wants a {class} code, {code} is not one", word(verb));
        let meaning = if verb == Verb::Reject { "reject is permanent" } else { "defer is temporary" };
        self.report(
            Diagnostic::error(title, answer.code.span, label)
                .also(answer.verb.span, meaning)
                .help(advice.to_owned()),
        );
        false
    }

    /// Whether the code may stand at the stage.
    fn stands(&mut self, basic: &'static Basic, stage: catalogue::Stage, answer: &ast::Answer) -> bool {
        let place = basic.place(stage);
        if place == Place::Listed || place == Place::Common && self.in_builtin {
            return true;
        }
        let span = answer.code.span;
        let enhanced = answer.enhanced.as_ref().map(|enhanced| enhanced.node);
        let instead = listed_instead(basic, stage, enhanced);
        let code = basic.code;
        let stage_name = stage.name();
        if place == Place::Common {
            let title = format!("{code} is not in RFC 5321's list for {stage_name}");
            let label = match instead {
                Some(listed) => format!(
                    "many servers send it and clients take it as any {}yz; {listed} is the listed code",
                    basic.class()
                ),
                None => format!("many servers send it and clients take it as any {}yz", basic.class()),
            };
            self.report(Diagnostic::warning(title, span, label));
            return true;
        }
        let title = format!("{code} is not a reply to use at {stage_name}");
        let listed: Vec<&str> = basic.listed.iter().map(|stage| stage.name()).collect();
        let label = match (place, listed.as_slice()) {
            (Place::Misused, _) => format!("it means something else ({})", basic.section),
            (_, []) => format!("it belongs elsewhere ({})", basic.section),
            (_, listed) => format!("it belongs to {} ({})", listed.join(", "), basic.section),
        };
        let advice = instead.map(|listed| format!("{listed} is listed there (RFC 5321 §4.3.2)"));
        self.report(Diagnostic::error(title, span, label).help(advice));
        false
    }

    fn enhanced(
        &mut self,
        answer: &ast::Answer,
        code: Option<ReplyCode>,
        stages: &[catalogue::Stage],
    ) -> Option<Enhanced> {
        let Some(written) = &answer.enhanced else {
            // Without a sound code there is nothing to advise.
            let code = code?;
            let title = "the enhanced code is missing";
            let label = format!("write {code} X.Y.Z \"...\"");
            self.report(Diagnostic::error(title, answer.code.span, label).help(goes_with(code.value())));
            return None;
        };
        let [class, subject, detail] = written.node;
        let narrow = |number: u32| u16::try_from(number).ok().filter(|number| *number <= 999);
        let Some((subject, detail)) = narrow(subject).zip(narrow(detail)) else {
            let title = format!("{class}.{subject}.{detail} is no enhanced code");
            self.report(Diagnostic::error(title, written.span, "1 to 3 digits each (RFC 3463 §2)"));
            return None;
        };
        let enhanced = Enhanced::new(subject, detail);
        let own_class = code.and_then(ReplyCode::class);
        if let (Some(code), Some(own)) = (code, own_class)
            && u32::from(own) != class
        {
            let title = format!("{code} goes with a {own}.y.z code, not {class}.{subject}.{detail}");
            self.report(
                Diagnostic::error(title, written.span, format!("should start with {own}"))
                    .also(answer.code.span, "the reply code")
                    .help(format!("write {own}.{subject}.{detail}"))
                    .help("RFC 2034 §4: the classes must agree".to_owned()),
            );
            return None;
        }
        // What goes with a code that refuses nothing is wrong with it.
        let of_no_refusal = class == answer.code.node / 100;
        if own_class.is_none() && !matches!(class, 4 | 5) && !of_no_refusal {
            let title = format!("{class}.{subject}.{detail} is no code of a refusal");
            self.report(Diagnostic::error(title, written.span, "it starts with 4 or 5 (RFC 3463 §2)"));
            return None;
        }
        if matches!(class, 4 | 5) {
            self.registered(enhanced, class, written.span);
            self.makes_sense(enhanced, stages, written);
        }
        match code {
            Some(code) => self.pair(code, enhanced, answer, written).then_some(enhanced),
            None => Some(enhanced),
        }
    }

    fn registered(&mut self, enhanced: Enhanced, class: u32, span: Span) {
        let known = replies::detail(enhanced);
        if known.is_some_and(Detail::registered) {
            return;
        }
        let title = format!("{class}.{}.{} is not in the IANA registry", enhanced.subject, enhanced.detail);
        let label = match known.and_then(|known| known.owner) {
            Some(owner) => format!("{owner} uses it"),
            None => "clients may show it, none knows it".to_owned(),
        };
        let near = replies::nearest_detail(enhanced).map(|near| {
            let Enhanced { subject, detail } = near.code;
            format!("the nearest registered one is {class}.{subject}.{detail}: {}", near.title)
        });
        self.report(Diagnostic::warning(title, span, label).help(near));
    }

    /// Warns of an enhanced code about an address, a mailbox or content where there is none yet.
    fn makes_sense(&mut self, enhanced: Enhanced, stages: &[catalogue::Stage], written: &Spanned<[u32; 3]>) {
        const OF_A_THING: [u16; 3] = [1, 2, 6];
        let Some(detail) =
            replies::detail(enhanced).filter(|detail| OF_A_THING.contains(&detail.code.subject))
        else {
            return;
        };
        let Some(stage) =
            stages.iter().find(|stage| !detail.stages.is_empty() && !detail.stages.contains(stage))
        else {
            return;
        };
        let [class, subject, detail_number] = written.node;
        let title = format!("{class}.{subject}.{detail_number} makes little sense at {}", stage.name());
        let names: Vec<&str> = detail.stages.iter().map(|stage| stage.name()).collect();
        let advice = format!("it belongs to {}", names.join(", "));
        self.report(Diagnostic::warning(title, written.span, detail.title).help(advice));
    }

    /// Whether code and enhanced code say the same thing, as far as the registry and the habit of servers tell.
    fn pair(
        &mut self,
        code: ReplyCode,
        enhanced: Enhanced,
        answer: &ast::Answer,
        written: &Spanned<[u32; 3]>,
    ) -> bool {
        let Some(detail) = replies::detail(enhanced).filter(|detail| detail.registered()) else {
            return true;
        };
        let value = code.value();
        if detail.any || detail.pairing(value).is_some() || self.in_builtin {
            return true;
        }
        // X.Y.0 says no more than its subject.
        let subject_fits = replies::companions(value).any(|known| known.code.subject == enhanced.subject);
        if enhanced.detail == 0 && subject_fits {
            return true;
        }
        let own = format!("{}.{}.{}", value / 100, enhanced.subject, enhanced.detail);
        if NARROW.contains(&value) {
            let meaning = narrow_meaning(value);
            let title = format!("{value} says {meaning}, {own} says something else");
            self.report(
                Diagnostic::error(title, written.span, format!("{own}: {}", detail.title))
                    .also(answer.code.span, meaning)
                    .help(goes_with(value)),
            );
            return false;
        }
        if detail.associated.is_empty() && detail.usual.is_empty() || value == 421 {
            return true;
        }
        let named: Vec<String> = detail
            .associated
            .iter()
            .chain(detail.usual)
            .filter(|other| *other / 100 == value / 100)
            .map(u16::to_string)
            .collect();
        let title = format!("{value} with {own} is unusual");
        let label = format!("{own}: {}", detail.title);
        let advice = (!named.is_empty()).then(|| format!("{own} goes with {}", named.join(", ")));
        self.report(Diagnostic::warning(title, written.span, label).help(advice));
        true
    }

    fn reply_text(
        &mut self,
        answer: &ast::Answer,
        stages: &[catalogue::Stage],
    ) -> Option<(crate::plan::Template, Vec<Use>)> {
        let Some(text) = &answer.text else {
            let title = "the reply has no text";
            let advice = "the text is what a sender's postmaster reads: say what was refused and what to do";
            let finding = Diagnostic::error(
                title,
                answer.verb.span.to(answer.code.span),
                "a text in quotes is missing",
            );
            self.report(finding.help(advice.to_owned()));
            return None;
        };
        let first = text.node.split([' ', '-']).next().unwrap_or_default();
        let code_again =
            first.len() == 3 && first.parse::<u16>().is_ok_and(|code| (200..=599).contains(&code));
        let enhanced_again = {
            let numbers: Vec<_> = first.split('.').collect();
            numbers.len() == 3 && numbers.iter().all(|number| number.parse::<u16>().is_ok())
        };
        if text.node.trim().is_empty() || code_again || enhanced_again {
            let (title, label) = if text.node.trim().is_empty() {
                ("the reply's text is empty", "say what was refused and what to do")
            } else {
                ("the codes stand before the text, not in it", "a client would see it twice")
            };
            self.report(Diagnostic::error(title, text.span, label));
            return None;
        }
        use catalogue::Stage::{Auth, Connect, Hello};
        let stages_before_mail = stages.iter().any(|stage| matches!(stage, Connect | Hello | Auth));
        self.template(text, Purpose::Reply { stages_before_mail })
    }
}

fn narrow_meaning(code: u16) -> &'static str {
    match code {
        452 => "that storage or room for recipients is short",
        551 => "that the mailbox has moved",
        552 => "a storage or size matter",
        553 => "that the address itself is not allowed",
        _ => "that the domain takes no mail",
    }
}

/// What a code that can't be used most likely stands for.
fn meant(code: u16, stage: Option<&catalogue::Stage>) -> Option<String> {
    let (class, basic, how_long) = match code {
        400..=499 => (4, 451, "for now"),
        500..=599 => (5, 550, "for good"),
        _ => {
            return Some(
                "refusals are 4yz (for now) and 5yz (for good); `gatepost codes --reject` lists them"
                    .to_owned(),
            );
        }
    };
    if let Some(spelt) = replies::dotless(code).filter(|spelt| spelt.code.subject != 0) {
        let Enhanced { subject, detail } = spelt.code;
        let dotted = format!("{class}.{subject}.{detail}");
        return Some(format!("it reads like {dotted} without its dots: write {basic} {dotted}"));
    }
    let at = stage.map_or("", |stage| stage.name());
    Some(format!(
        "a refusal {how_long} is {basic} mostly; `gatepost codes --reject --at {at}` lists the others"
    ))
}

/// Enhanced codes that are named as advice (ours: what a line has room for).
const COMPANIONS_NAMED: usize = 8;

/// Advice that names the enhanced codes that go with a code.
fn goes_with(code: u16) -> Option<String> {
    let class = code / 100;
    // What the server itself says with it comes first: it is what is mostly meant.
    let own =
        catalogue::ALL.iter().filter(|entry| entry.code.value() == code).filter_map(|entry| entry.enhanced);
    let all = own.chain(replies::companions(code).map(|detail| detail.code));
    let mut named: Vec<String> = Vec::new();
    for detail in all {
        let detail = format!("{class}.{}.{}", detail.subject, detail.detail);
        if named.len() < COMPANIONS_NAMED && !named.contains(&detail) {
            named.push(detail);
        }
    }
    (!named.is_empty()).then(|| format!("{code} goes with {}", named.join(", ")))
}

/// A code that is listed at the stage and says about the same.
fn listed_instead(basic: &Basic, stage: catalogue::Stage, enhanced: Option<[u32; 3]>) -> Option<u16> {
    // Of a command's form or parameters, and of authentication: never what a policy means.
    const OF_FORM: [u16; 9] = [455, 500, 501, 502, 503, 504, 530, 555, 556];
    let pairs = |code: u16| {
        enhanced.is_some_and(|[_, subject, detail]| {
            let narrow = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
            replies::detail(Enhanced::new(narrow(subject), narrow(detail)))
                .is_some_and(|known| known.pairing(code).is_some())
        })
    };
    let general = |code: u16| matches!(code, 450 | 451 | 550 | 554);
    replies::BASIC
        .iter()
        .filter(|other| other.class() == basic.class() && other.refuses() && other.code != basic.code)
        .filter(|other| other.place(stage) == Place::Listed && !OF_FORM.contains(&other.code))
        .map(|other| other.code)
        .min_by_key(|code| (!pairs(*code), !general(*code), code.abs_diff(basic.code)))
}
