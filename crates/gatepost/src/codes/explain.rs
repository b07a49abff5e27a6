//! The explanation of a code or a reply: everything the page and the JSON say, as one value in one language.

use serde::{Serialize, Serializer};
use smtp::catalogue::{self, Entry, Stage};

use super::language::Language;
use super::notice::{self, Notice};
use super::query::{AskedEnhanced, Query};
use super::table::{Basic, Detail, Pairing, Standing, Table};

/// The version of the JSON; it grows when a field changes its meaning or goes.
pub const SCHEMA: u8 = 1;

/// Everything that is known about what was asked.
#[derive(Debug, Serialize)]
pub struct Explanation {
    /// [`SCHEMA`].
    pub schema: u8,
    /// `explanation`, or `unknown` when no table holds what was asked.
    pub kind: &'static str,
    /// The language of every text.
    pub language: Language,
    /// What was understood of the question.
    pub query: Query,
    /// What is wrong with the reply, or peculiar.
    pub notices: Vec<Notice>,
    /// The basic code.
    pub basic: Option<BasicPage>,
    /// The enhanced code.
    pub enhanced: Option<EnhancedPage>,
    /// What Gatepost sends with these codes.
    pub gatepost: Vec<GatepostReply>,
}

impl Explanation {
    /// Explains `query`.
    #[must_use]
    pub fn new(table: &Table, query: Query, language: Language) -> Self {
        let basic = query.code.and_then(|code| table.basic(code));
        let detail = query.enhanced.and_then(|asked| table.detail(asked.code));
        let known = basic.is_some() || detail.is_some();
        Self {
            schema: SCHEMA,
            kind: if known { "explanation" } else { "unknown" },
            language,
            notices: notice::about(table, &query, language),
            basic: basic.map(|basic| BasicPage::new(table, basic, language)),
            enhanced: query
                .enhanced
                .zip(detail)
                .map(|(asked, detail)| EnhancedPage::new(table, asked, detail, language)),
            gatepost: entries(&query).map(|entry| GatepostReply::new(table, entry, language)).collect(),
            query,
        }
    }

    /// Whether any table holds what was asked.
    #[must_use]
    pub const fn known(&self) -> bool {
        self.basic.is_some() || self.enhanced.is_some()
    }
}

/// The catalogue's entries that carry the codes of `query`.
fn entries(query: &Query) -> impl Iterator<Item = &'static Entry> {
    let (code, enhanced) = (query.code, query.enhanced);
    catalogue::ALL.iter().filter(move |entry| {
        let basic_fits = code.is_none_or(|code| entry.code.value() == code);
        let enhanced_fits = enhanced.is_none_or(|asked| {
            let class_fits = asked.class.is_none_or(|class| entry.code.class().map(u16::from) == Some(class));
            class_fits && entry.enhanced == Some(asked.code)
        });
        basic_fits && enhanced_fits
    })
}

/// Where a code is seen.
#[derive(Debug, Clone, Serialize)]
pub struct Stages {
    /// Where its RFC lists it.
    #[serde(serialize_with = "stage_names")]
    pub listed: Vec<Stage>,
    /// Where servers send it besides.
    #[serde(serialize_with = "stage_names")]
    pub common: Vec<Stage>,
}

/// A code that goes with another one.
#[derive(Debug, Clone, Serialize)]
pub struct Companion {
    /// `5.7.1`, or `550`.
    pub code: String,
    /// Its title; a basic code's is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub title: String,
    /// Why the two go together.
    #[serde(serialize_with = "super::table::pairing_name")]
    pub pairing: Pairing,
    /// Whether Gatepost sends the pair.
    pub gatepost: bool,
}

/// What is said about a basic code.
#[derive(Debug, Clone, Serialize)]
pub struct BasicPage {
    /// The code.
    pub code: u16,
    /// The name of its class.
    pub class: String,
    /// Where it comes from.
    #[serde(serialize_with = "super::table::standing_name")]
    pub standing: Standing,
    /// Whether Gatepost sends it.
    pub gatepost: bool,
    /// The section that defines it, or its class.
    pub source: String,
    /// Where it is seen.
    pub stages: Stages,
    /// What it means.
    pub meaning: String,
    /// When it is due.
    pub condition: String,
    /// Who else sends it, and when.
    pub peers: String,
    /// What the sender's server does on it.
    pub server: String,
    /// What the postmaster who sent can do.
    pub sender: String,
    /// What the postmaster who refuses should know.
    pub refuser: String,
    /// The enhanced codes that go with it.
    pub enhanced: Vec<Companion>,
}

impl BasicPage {
    pub(super) fn new(table: &Table, basic: &Basic, language: Language) -> Self {
        let texts = basic.texts.get(language);
        let class = table.class(basic.class(), language);
        let or_class = |own: &Option<String>, default: fn(&super::table::ClassTexts) -> &String| {
            own.clone().or_else(|| class.map(|texts| default(texts).clone())).unwrap_or_default()
        };
        Self {
            code: basic.code,
            class: class.map(|texts| texts.title.clone()).unwrap_or_default(),
            standing: basic.standing,
            gatepost: basic.entries().next().is_some(),
            source: basic.section.to_owned(),
            stages: Stages { listed: basic.listed.to_vec(), common: basic.seen_at() },
            meaning: texts.meaning.clone(),
            condition: texts.condition.clone(),
            peers: texts.seen.clone(),
            server: or_class(&texts.server, |class| &class.server),
            sender: or_class(&texts.sender, |class| &class.sender),
            refuser: or_class(&texts.refuser, |class| &class.refuser),
            enhanced: companions(table, basic, None, language),
        }
    }
}

/// The enhanced codes that go with `basic`, at `stage` when one is given.
pub(super) fn companions(
    table: &Table,
    basic: &Basic,
    stage: Option<Stage>,
    language: Language,
) -> Vec<Companion> {
    if basic.class() == 3 {
        return Vec::new();
    }
    let fits = |detail: &&Detail| stage.is_none_or(|stage| detail.stages.contains(&stage));
    let companion = |detail: &Detail, pairing| Companion {
        code: format!("{}.{}.{}", basic.class(), detail.code.subject, detail.code.detail),
        title: detail.texts.get(language).title.clone(),
        pairing,
        gatepost: basic.entries_at(stage).any(|entry| entry.enhanced == Some(detail.code)),
    };
    let found: Vec<_> = table
        .details
        .iter()
        .filter(|detail| detail.registered())
        .filter(fits)
        .filter_map(|detail| detail.pairing(basic.code).map(|pairing| companion(detail, pairing)))
        .collect();
    if !found.is_empty() || basic.standing == Standing::Private {
        return found;
    }
    let fallback = table.details.iter().filter(|detail| detail.any);
    fallback.map(|detail| companion(detail, Pairing::Registry)).collect()
}

/// What is said about an enhanced code.
#[derive(Debug, Serialize)]
pub struct EnhancedPage {
    /// As asked for: `5.7.1` or `X.7.1`.
    pub code: AskedEnhanced,
    /// Its title.
    pub title: String,
    /// The title of its subject.
    pub subject: String,
    /// Whether the IANA registry holds it.
    pub registered: bool,
    /// Who uses it, when it isn't registered.
    pub owner: Option<String>,
    /// The section that defines it.
    pub source: Option<String>,
    /// Where a refusal with it makes sense.
    #[serde(serialize_with = "stage_names")]
    pub stages: Vec<Stage>,
    /// What it means.
    pub meaning: String,
    /// Who sends it, when it is known for sure.
    pub peers: Option<String>,
    /// What the postmaster who sent can do.
    pub sender: String,
    /// The basic codes that go with it.
    pub basic: Vec<Companion>,
}

impl EnhancedPage {
    fn new(table: &Table, asked: AskedEnhanced, detail: &Detail, language: Language) -> Self {
        let texts = detail.texts.get(language);
        let subject = table.subject(detail.code.subject, language);
        let in_class = |code: &u16| asked.class.is_none_or(|class| code / 100 == class);
        let mut basic: Vec<_> = [(detail.associated, Pairing::Registry), (detail.usual, Pairing::Usual)]
            .into_iter()
            .flat_map(|(codes, pairing)| codes.iter().map(move |code| (*code, pairing)))
            .filter(|(code, _)| in_class(code))
            .map(|(code, pairing)| Companion {
                code: code.to_string(),
                title: String::new(),
                pairing,
                gatepost: catalogue::ALL
                    .iter()
                    .any(|entry| entry.code.value() == code && entry.enhanced == Some(detail.code)),
            })
            .collect();
        basic.sort_by(|left, right| left.code.cmp(&right.code));
        Self {
            code: asked,
            title: texts.title.clone(),
            subject: subject.map(|texts| texts.title.clone()).unwrap_or_default(),
            registered: detail.registered(),
            owner: detail.owner.map(str::to_owned),
            source: detail.reference.map(str::to_owned),
            stages: detail.stages.to_vec(),
            meaning: texts.meaning.clone(),
            peers: texts.seen.clone(),
            sender: texts
                .advice
                .clone()
                .or_else(|| subject.map(|texts| texts.advice.clone()))
                .unwrap_or_default(),
            basic,
        }
    }
}

/// A reply of Gatepost's catalogue.
#[derive(Debug, Serialize)]
pub struct GatepostReply {
    /// The entry's name.
    pub name: &'static str,
    /// The reply as it goes over the wire, with its placeholders.
    pub reply: String,
    /// When it is given.
    pub condition: String,
    /// Where the RFCs describe the condition.
    pub source: &'static str,
    /// Where it may stand.
    #[serde(serialize_with = "stage_names")]
    pub stages: Vec<Stage>,
}

impl GatepostReply {
    fn new(table: &Table, entry: &'static Entry, language: Language) -> Self {
        Self {
            name: entry.name,
            reply: entry.reply().to_string(),
            condition: table.condition(entry, language).to_owned(),
            source: entry.section,
            stages: entry.stages.to_vec(),
        }
    }
}

/// The names of the stages, for serde.
pub(super) fn stage_names<S: Serializer>(stages: &[Stage], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(stages.iter().map(|stage| stage.name()))
}

/// The name of the stage, for serde.
#[allow(clippy::ref_option, reason = "serde passes the field by reference")]
pub(super) fn stage_name<S: Serializer>(stage: &Option<Stage>, serializer: S) -> Result<S::Ok, S::Error> {
    stage.map(Stage::name).serialize(serializer)
}
