//! The tables of basic and enhanced codes, read from the files that are compiled in.
//!
//! Invariants, kept by the tests: codes are unique and ascending, every text stands in both languages, and whatever
//! the catalogue sends is in both tables.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, de};
use smtp::catalogue::{self, Entry, Stage};
use smtp::reply::Enhanced;

use super::language::Language;

/// Where a basic code comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// One of the 22 of RFC 2821 §4.2.3, kept by RFC 5321 §4.2.3.
    Core,
    /// Defined by another RFC.
    Extension,
    /// Only named beside an enhanced code in the IANA registry.
    Registered,
    /// In no RFC and no registry.
    Private,
}

/// The same thing in each language.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Both<T> {
    en: T,
    de: T,
}

impl<T> Both<T> {
    pub(super) const fn get(&self, language: Language) -> &T {
        match language {
            Language::En => &self.en,
            Language::De => &self.de,
        }
    }
}

/// What is said about a class, and about its codes that say nothing else.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClassTexts {
    pub(super) title: String,
    pub(super) server: String,
    pub(super) sender: String,
    pub(super) refuser: String,
}

/// What is said about a basic code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BasicTexts {
    pub(super) meaning: String,
    pub(super) condition: String,
    pub(super) seen: String,
    pub(super) server: Option<String>,
    pub(super) sender: Option<String>,
    pub(super) refuser: Option<String>,
}

/// One basic code.
#[derive(Debug, Deserialize)]
pub(super) struct Basic {
    pub(super) code: u16,
    pub(super) standing: Standing,
    pub(super) section: String,
    #[serde(default, deserialize_with = "stages")]
    pub(super) listed: Vec<Stage>,
    #[serde(default, deserialize_with = "stages")]
    pub(super) common: Vec<Stage>,
    #[serde(default, deserialize_with = "stages")]
    pub(super) misused: Vec<Stage>,
    #[serde(flatten)]
    pub(super) texts: Both<BasicTexts>,
}

impl Basic {
    /// The first digit.
    pub(super) const fn class(&self) -> u16 {
        self.code / 100
    }

    /// Whether it may be chosen for a refusal: 4yz or 5yz, and defined by an RFC.
    pub(super) const fn refuses(&self) -> bool {
        matches!(self.class(), 4 | 5) && matches!(self.standing, Standing::Core | Standing::Extension)
    }

    /// Whether it may be chosen at that stage.
    pub(super) fn stands_at(&self, stage: Stage) -> bool {
        self.listed.contains(&stage) || self.common.contains(&stage)
    }

    /// Where it is seen although no RFC lists it there.
    pub(super) fn seen_at(&self) -> Vec<Stage> {
        let mut stages = [self.common.as_slice(), self.misused.as_slice()].concat();
        stages.sort_unstable();
        stages
    }

    /// The catalogue's entries with this code that may stand at `stage`, or anywhere without one.
    pub(super) fn entries_at(&self, stage: Option<Stage>) -> impl Iterator<Item = &'static Entry> {
        // The catalogue files what may answer any command under the stage of the other commands.
        let any_command = ANY_COMMAND.contains(&self.code);
        self.entries().filter(move |entry| {
            stage.is_none_or(|stage| {
                entry.stages.contains(&stage) || any_command && entry.stages.contains(&Stage::Command)
            })
        })
    }

    /// The catalogue's entries with this code.
    pub(super) fn entries(&self) -> impl Iterator<Item = &'static Entry> {
        let code = self.code;
        catalogue::ALL.iter().filter(move |entry| entry.code.value() == code)
    }
}

/// The codes that any command may get (RFC 5321 §4.3.2).
const ANY_COMMAND: [u16; 3] = [421, 500, 501];

/// What is said about a subject of the enhanced codes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubjectTexts {
    pub(super) title: String,
    pub(super) advice: String,
}

/// What is said about an enhanced code.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DetailTexts {
    pub(super) title: String,
    pub(super) meaning: String,
    pub(super) advice: Option<String>,
    pub(super) seen: Option<String>,
}

/// Why a basic code goes with an enhanced one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Pairing {
    /// The IANA registry names the pair.
    Registry,
    /// The registry doesn't, but servers send it.
    Usual,
}

/// One enhanced code, or a range of a private owner's.
#[derive(Debug, Deserialize)]
pub(super) struct Detail {
    #[serde(deserialize_with = "enhanced")]
    pub(super) code: Enhanced,
    pub(super) until: Option<u16>,
    pub(super) reference: Option<String>,
    pub(super) owner: Option<String>,
    #[serde(default)]
    pub(super) associated: Vec<u16>,
    #[serde(default)]
    pub(super) usual: Vec<u16>,
    #[serde(default)]
    pub(super) any: bool,
    #[serde(deserialize_with = "stages")]
    pub(super) stages: Vec<Stage>,
    pub(super) only: Option<u16>,
    #[serde(flatten)]
    pub(super) texts: Both<DetailTexts>,
}

impl Detail {
    /// Whether the IANA registry holds it.
    pub(super) const fn registered(&self) -> bool {
        self.owner.is_none()
    }

    fn covers(&self, code: Enhanced) -> bool {
        let last = self.until.unwrap_or(self.code.detail);
        self.code.subject == code.subject && (self.code.detail..=last).contains(&code.detail)
    }

    /// Why `basic` goes with it, when it does; a code that goes with any basic code isn't counted here.
    pub(super) fn pairing(&self, basic: u16) -> Option<Pairing> {
        if self.associated.contains(&basic) {
            Some(Pairing::Registry)
        } else if self.usual.contains(&basic) {
            Some(Pairing::Usual)
        } else {
            None
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicFile {
    class: BTreeMap<String, Both<ClassTexts>>,
    code: Vec<Basic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnhancedFile {
    subject: BTreeMap<String, Both<SubjectTexts>>,
    code: Vec<Detail>,
}

/// Both tables, and the catalogue's conditions in German.
#[derive(Debug)]
pub struct Table {
    classes: BTreeMap<String, Both<ClassTexts>>,
    pub(super) codes: Vec<Basic>,
    subjects: BTreeMap<String, Both<SubjectTexts>>,
    pub(super) details: Vec<Detail>,
    conditions: BTreeMap<String, String>,
}

impl Table {
    /// Reads the tables that are compiled in.
    ///
    /// # Errors
    /// One of the files is malformed; the tests exclude it.
    pub fn load() -> Result<Self, toml::de::Error> {
        let BasicFile { class, code } = toml::from_str(include_str!("basic.toml"))?;
        let EnhancedFile { subject, code: details } = toml::from_str(include_str!("enhanced.toml"))?;
        let conditions = toml::from_str(include_str!("conditions.de.toml"))?;
        Ok(Self { classes: class, codes: code, subjects: subject, details, conditions })
    }

    /// The entry of a basic code.
    pub(super) fn basic(&self, code: u16) -> Option<&Basic> {
        self.codes.iter().find(|basic| basic.code == code)
    }

    /// The entry of an enhanced code.
    pub(super) fn detail(&self, code: Enhanced) -> Option<&Detail> {
        self.details.iter().find(|detail| detail.covers(code))
    }

    /// The code of the RFCs nearest to `code`, in its class.
    pub(super) fn nearest_basic(&self, code: u16) -> Option<&Basic> {
        self.codes
            .iter()
            .filter(|basic| basic.class() == code / 100)
            .filter(|basic| matches!(basic.standing, Standing::Core | Standing::Extension))
            .min_by_key(|basic| basic.code.abs_diff(code))
    }

    /// The registered code nearest to `code`: of its subject when there is one.
    pub(super) fn nearest_detail(&self, code: Enhanced) -> Option<&Detail> {
        self.details.iter().filter(|detail| detail.registered()).min_by_key(|detail| {
            (detail.code.subject.abs_diff(code.subject), detail.code.detail.abs_diff(code.detail))
        })
    }

    /// The registered code that a basic code spells without its dots: 571 is 5.7.1.
    pub(super) fn dotless(&self, code: u16) -> Option<&Detail> {
        let spelt = Enhanced::new(code / 10 % 10, code % 10);
        self.details.iter().find(|detail| detail.registered() && detail.code == spelt)
    }

    /// What is said about a class, 2 to 5.
    pub(super) fn class(&self, class: u16, language: Language) -> Option<&ClassTexts> {
        self.classes.get(&class.to_string()).map(|texts| texts.get(language))
    }

    /// What is said about a subject.
    pub(super) fn subject(&self, subject: u16, language: Language) -> Option<&SubjectTexts> {
        self.subjects.get(&subject.to_string()).map(|texts| texts.get(language))
    }

    /// The condition of a catalogue entry.
    pub(super) fn condition<'a>(&'a self, entry: &'a Entry, language: Language) -> &'a str {
        match language {
            Language::En => entry.condition,
            Language::De => self.conditions.get(entry.name).map_or(entry.condition, String::as_str),
        }
    }
}

/// Other names under which a stage is asked for.
pub const STAGE_SYNONYMS: [(&str, Stage); 13] = [
    ("greeting", Stage::Connect),
    ("connection", Stage::Connect),
    ("ehlo", Stage::Hello),
    ("hello", Stage::Hello),
    ("from", Stage::Mail),
    ("sender", Stage::Mail),
    ("rcpt", Stage::Recipient),
    ("to", Stage::Recipient),
    ("eod", Stage::Message),
    ("end-of-data", Stage::Message),
    ("body", Stage::Message),
    ("vrfy", Stage::Verify),
    ("expn", Stage::Verify),
];

/// The stage of that name; the words of the protocol are understood too.
#[must_use]
pub fn stage(name: &str) -> Option<Stage> {
    let name = name.to_ascii_lowercase();
    let synonym = STAGE_SYNONYMS.iter().find(|(synonym, _)| *synonym == name);
    synonym.map(|(_, stage)| *stage).or_else(|| Stage::ALL.into_iter().find(|stage| stage.name() == name))
}

fn stages<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Stage>, D::Error> {
    Vec::<String>::deserialize(deserializer)?
        .into_iter()
        .map(|name| stage(&name).ok_or_else(|| de::Error::custom(format!("{name} is no stage"))))
        .collect()
}

fn enhanced<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Enhanced, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split_once('.')
        .and_then(|(subject, detail)| Some(Enhanced::new(subject.parse().ok()?, detail.parse().ok()?)))
        .ok_or_else(|| de::Error::custom(format!("{text} is no subject.detail")))
}
