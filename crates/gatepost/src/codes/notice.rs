//! What is wrong with a reply, or peculiar: mismatched classes, unregistered codes, unusual pairs.

use serde::Serialize;

use super::language::Language;
use super::query::{AskedEnhanced, Query};
use super::table::{Detail, Standing, Table};

/// How much a notice weighs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// The reply breaks a rule.
    Warning,
    /// The reply is fit to be seen, but not what a registry or an RFC says.
    Note,
}

/// One thing to know about the reply as such.
#[derive(Debug, Clone, Serialize)]
pub struct Notice {
    /// How much it weighs.
    pub level: Level,
    /// A stable name for programs.
    pub name: &'static str,
    /// The sentence.
    pub text: String,
}

/// The notices about `query`, warnings first.
pub(super) fn about(table: &Table, query: &Query, language: Language) -> Vec<Notice> {
    let mut notices: Vec<_> = [
        query.code.and_then(|code| code_unknown(table, code, language)),
        query.code.zip(query.enhanced).and_then(|(code, asked)| class_mismatch(code, asked, language)),
        query.enhanced.and_then(|asked| unregistered(table, asked, language)),
        query.code.zip(query.enhanced).and_then(|(code, asked)| unusual_pair(table, code, asked, language)),
        query.enhanced.and_then(|asked| wrong_class(table, asked, language)),
    ]
    .into_iter()
    .flatten()
    .collect();
    notices.sort_by_key(|notice| notice.level != Level::Warning);
    notices
}

/// A basic code that no RFC defines, with the one that it most likely stands for.
fn code_unknown(table: &Table, code: u16, language: Language) -> Option<Notice> {
    let basic = table.basic(code);
    if basic.is_some_and(|basic| matches!(basic.standing, Standing::Core | Standing::Extension)) {
        return None;
    }
    let in_registry = basic.is_some_and(|basic| basic.standing == Standing::Registered);
    let class = table.class(code / 100, language).map_or("", |texts| texts.title.as_str());
    let mut text = match (language, in_registry) {
        (Language::En, true) => {
            format!(
                "{code} is named in the IANA registry, but no RFC defines it; its first digit says: \
                {class}."
            )
        }
        (Language::En, false) => format!("{code} is in no RFC; clients read its first digit: {class}."),
        (Language::De, true) => {
            format!(
                "{code} steht zwar in der IANA-Registry, aber kein RFC definiert ihn; die erste Ziffer \
                sagt: {class}."
            )
        }
        (Language::De, false) => {
            format!("{code} steht in keinem RFC; Clients lesen die erste Ziffer: {class}.")
        }
    };
    let dotless = table.dotless(code).filter(|_| !in_registry && code >= 400);
    let hint = match (dotless, language) {
        (Some(detail), Language::En) => Some(format!(
            " It reads like {} with its dots lost ({}).",
            dotted(code, detail),
            detail.texts.get(language).title
        )),
        (Some(detail), Language::De) => Some(format!(
            " Er liest sich wie {} ohne Punkte ({}).",
            dotted(code, detail),
            detail.texts.get(language).title
        )),
        (None, _) if basic.is_some() => None,
        (None, _) => table.nearest_basic(code).map(|near| match language {
            Language::En => format!(" The nearest code of the RFCs is {}.", near.code),
            Language::De => format!(" Der nächste Code der RFCs ist {}.", near.code),
        }),
    };
    text.push_str(&hint.unwrap_or_default());
    Some(Notice { level: Level::Warning, name: "code-in-no-rfc", text })
}

fn dotted(code: u16, detail: &Detail) -> String {
    format!("{}.{}.{}", code / 100, detail.code.subject, detail.code.detail)
}

/// A basic and an enhanced code whose first digits differ.
fn class_mismatch(code: u16, asked: AskedEnhanced, language: Language) -> Option<Notice> {
    let class = code / 100;
    let text = match language {
        Language::En if class == 3 => {
            format!("{code} carries no enhanced code: 3yz replies have none (RFC 2034 §4).")
        }
        Language::De if class == 3 => {
            format!("{code} trägt keinen erweiterten Code: 3yz-Antworten haben keinen (RFC 2034 §4).")
        }
        _ if asked.class.is_none_or(|asked| asked == class) => return None,
        Language::En => format!(
            "{code} and {asked} contradict each other: their first digits must agree (RFC 2034 §4). \
            Clients go by {code}; a DSN may report {asked}."
        ),
        Language::De => format!(
            "{code} und {asked} widersprechen sich: Die ersten Ziffern müssen gleich sein (RFC 2034 \
            §4). Clients richten sich nach {code}; eine DSN meldet womöglich {asked}."
        ),
    };
    Some(Notice { level: Level::Warning, name: "class-mismatch", text })
}

/// An enhanced code that the registry doesn't hold.
fn unregistered(table: &Table, asked: AskedEnhanced, language: Language) -> Option<Notice> {
    let detail = table.detail(asked.code);
    if detail.is_some_and(|detail| detail.registered()) {
        return None;
    }
    let mut text = match language {
        Language::En => format!("{asked} is not in the IANA registry."),
        Language::De => format!("{asked} steht nicht in der IANA-Registry."),
    };
    if let Some(owner) = detail.and_then(|detail| detail.owner) {
        text.push_str(&match language {
            Language::En => format!(" {owner} uses it."),
            Language::De => format!(" {owner} verwendet ihn."),
        });
    } else if let Some(near) = table.nearest_detail(asked.code) {
        let code = AskedEnhanced { class: asked.class, code: near.code };
        let title = &near.texts.get(language).title;
        text.push_str(&match language {
            Language::En => format!(" The nearest registered one is {code} ({title})."),
            Language::De => format!(" Der nächste registrierte ist {code} ({title})."),
        });
    }
    Some(Notice { level: Level::Warning, name: "enhanced-unregistered", text })
}

/// A pair that the registry doesn't name, though it names others.
fn unusual_pair(table: &Table, code: u16, asked: AskedEnhanced, language: Language) -> Option<Notice> {
    let detail = table.detail(asked.code).filter(|detail| detail.registered())?;
    if detail.any || detail.associated.is_empty() || detail.associated.contains(&code) || code / 100 == 3 {
        return None;
    }
    let named: Vec<_> = detail.associated.iter().map(u16::to_string).collect();
    let named = named.join(", ");
    let usual = detail.usual.contains(&code);
    let general = AskedEnhanced { class: None, code: asked.code };
    let text = match (language, usual) {
        (Language::En, true) => format!(
            "The IANA registry names {named} beside {general}, not {code}; the pair is usual all the same."
        ),
        (Language::En, false) => format!("The IANA registry names {named} beside {general}, not {code}."),
        (Language::De, true) => {
            format!(
                "Die IANA-Registry nennt zu {general} {named}, nicht {code}; üblich ist das Paar trotzdem."
            )
        }
        (Language::De, false) => format!("Die IANA-Registry nennt zu {general} {named}, nicht {code}."),
    };
    Some(Notice { level: Level::Note, name: "pair-not-in-registry", text })
}

/// A class in which RFC 3463 doesn't see the enhanced code.
fn wrong_class(table: &Table, asked: AskedEnhanced, language: Language) -> Option<Notice> {
    let only = table.detail(asked.code)?.only?;
    let class = asked.class.filter(|class| matches!(class, 4 | 5) && *class != only)?;
    let general = AskedEnhanced { class: None, code: asked.code };
    let text = match (language, only) {
        (Language::En, 5) => {
            format!(
                "RFC 3463 sees {general} as useful for permanent failures only; as {class}.yyy.zzz it \
                is seen, but says more than was meant."
            )
        }
        (Language::En, _) => {
            format!(
                "RFC 3463 sees {general} as useful for temporary failures only; as {class}.yyy.zzz it \
                is seen all the same."
            )
        }
        (Language::De, 5) => {
            format!(
                "RFC 3463 hält {general} nur bei endgültigen Fehlern für sinnvoll; als {class}.yyy.zzz \
                kommt er vor, sagt aber mehr, als gemeint war."
            )
        }
        (Language::De, _) => {
            format!(
                "RFC 3463 hält {general} nur bei vorübergehenden Fehlern für sinnvoll; als \
                {class}.yyy.zzz kommt er trotzdem vor."
            )
        }
    };
    Some(Notice { level: Level::Note, name: "class-not-foreseen", text })
}
