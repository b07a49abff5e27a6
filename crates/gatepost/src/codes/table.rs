//! What is said about basic and enhanced codes, read from the files that are compiled in; what is known of them stands
//! in `policy::replies`.
//!
//! Invariants, kept by the tests: codes are unique and ascending, every text stands in both languages, and whatever
//! the catalogue sends is in both tables.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::Deref;

use policy::replies;
pub use policy::replies::{Pairing, Standing};
use serde::{Deserialize, Deserializer, Serializer, de};
use smtp::catalogue::{self, Entry, Stage};
use smtp::reply::Enhanced;

use super::language::Language;

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

/// One basic code: what the tables know of it, and what is said about it.
#[derive(Debug)]
pub(super) struct Basic {
    known: &'static replies::Basic,
    pub(super) texts: Both<BasicTexts>,
}

impl Deref for Basic {
    type Target = replies::Basic;

    fn deref(&self) -> &replies::Basic {
        self.known
    }
}

impl Basic {
    /// Where it is seen although no RFC lists it there.
    pub(super) fn seen_at(&self) -> Vec<Stage> {
        let mut stages = [self.common, self.misused].concat();
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

/// One enhanced code, or a range of a private owner's: what the tables know of it, and what is said about it.
#[derive(Debug)]
pub(super) struct Detail {
    known: &'static replies::Detail,
    pub(super) texts: Both<DetailTexts>,
}

impl Deref for Detail {
    type Target = replies::Detail;

    fn deref(&self) -> &replies::Detail {
        self.known
    }
}

#[derive(Deserialize)]
struct BasicItem {
    code: u16,
    #[serde(flatten)]
    texts: Both<BasicTexts>,
}

#[derive(Deserialize)]
struct DetailItem {
    #[serde(deserialize_with = "enhanced")]
    code: Enhanced,
    #[serde(flatten)]
    texts: Both<DetailTexts>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BasicFile {
    class: BTreeMap<String, Both<ClassTexts>>,
    code: Vec<BasicItem>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EnhancedFile {
    subject: BTreeMap<String, Both<SubjectTexts>>,
    code: Vec<DetailItem>,
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
        let basic = |BasicItem { code, texts }| {
            let known = replies::basic(code).ok_or_else(|| unknown(&code))?;
            Ok(Basic { known, texts })
        };
        let detail = |DetailItem { code, texts }: DetailItem| {
            let known = replies::detail(code).ok_or_else(|| unknown(&format_args!("{code:?}")))?;
            Ok(Detail { known, texts })
        };
        Ok(Self {
            classes: class,
            codes: code.into_iter().map(basic).collect::<Result<_, _>>()?,
            subjects: subject,
            details: details.into_iter().map(detail).collect::<Result<_, _>>()?,
            conditions,
        })
    }

    /// The entry of a basic code.
    pub(super) fn basic(&self, code: u16) -> Option<&Basic> {
        self.codes.iter().find(|basic| basic.code == code)
    }

    /// The entry of an enhanced code.
    pub(super) fn detail(&self, code: Enhanced) -> Option<&Detail> {
        replies::detail(code).and_then(|known| self.said_of(known))
    }

    /// The code of the RFCs nearest to `code`, in its class.
    pub(super) fn nearest_basic(&self, code: u16) -> Option<&Basic> {
        replies::nearest_basic(code).and_then(|near| self.basic(near.code))
    }

    /// The registered code nearest to `code`: of its subject when there is one.
    pub(super) fn nearest_detail(&self, code: Enhanced) -> Option<&Detail> {
        replies::nearest_detail(code).and_then(|near| self.said_of(near))
    }

    /// The registered code that a basic code spells without its dots: 571 is 5.7.1.
    pub(super) fn dotless(&self, code: u16) -> Option<&Detail> {
        replies::dotless(code).and_then(|spelt| self.said_of(spelt))
    }

    fn said_of(&self, known: &replies::Detail) -> Option<&Detail> {
        self.details.iter().find(|detail| detail.code == known.code)
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

fn unknown(code: &dyn Display) -> toml::de::Error {
    de::Error::custom(format!("{code} is in no table of `policy::replies`"))
}

fn enhanced<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Enhanced, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.split_once('.')
        .and_then(|(subject, detail)| Some(Enhanced::new(subject.parse().ok()?, detail.parse().ok()?)))
        .ok_or_else(|| de::Error::custom(format!("{text} is no subject.detail")))
}

/// The name of where a code comes from, for serde.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
pub(super) fn standing_name<S: Serializer>(standing: &Standing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match standing {
        Standing::Core => "core",
        Standing::Extension => "extension",
        Standing::Registered => "registered",
        Standing::Private => "private",
    })
}

/// The name of why two codes go together, for serde.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes the field by reference")]
pub(super) fn pairing_name<S: Serializer>(pairing: &Pairing, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(match pairing {
        Pairing::Registry => "registry",
        Pairing::Usual => "usual",
    })
}
