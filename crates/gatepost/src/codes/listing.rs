//! The lists: every code, the codes of a stage, and the codes that are usable in a refusal.

use serde::Serialize;
use smtp::catalogue::Stage;

use super::explain::{self, Companion, SCHEMA, Stages};
use super::language::Language;
use super::table::{Basic, Standing, Table};

/// What a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only codes that may be chosen for a refusal.
    pub reject: bool,
    /// Only codes that are seen at this stage.
    pub stage: Option<Stage>,
    /// Only codes with this first digit.
    pub class: Option<u16>,
}

impl Filter {
    fn shows(&self, basic: &Basic) -> bool {
        (!self.reject || basic.refuses())
            && self
                .stage
                .is_none_or(|stage| basic.stands_at(stage) || !self.reject && basic.misused.contains(&stage))
            && self.class.is_none_or(|class| basic.class() == class)
    }
}

/// A list of codes, ascending.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// [`SCHEMA`].
    pub schema: u8,
    /// `list`, or `reject` for the codes of a refusal.
    pub kind: &'static str,
    /// The language of every text.
    pub language: Language,
    /// The stage asked for.
    #[serde(serialize_with = "super::explain::stage_name")]
    pub stage: Option<Stage>,
    /// The codes.
    pub codes: Vec<Row>,
}

/// A code in a list.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The code.
    pub code: u16,
    /// The name of its class.
    pub class: String,
    /// Where it comes from.
    #[serde(serialize_with = "super::table::standing_name")]
    pub standing: Standing,
    /// Whether Gatepost sends it, at the stage asked for.
    pub gatepost: bool,
    /// The section that defines it, or its class.
    pub source: String,
    /// What it means.
    pub meaning: String,
    /// Where it is seen.
    pub stages: Stages,
    /// Whether its RFC lists it for the stage asked for; absent without a stage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listed: Option<bool>,
    /// The enhanced codes that go with it there; only in a list for refusals.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub enhanced: Vec<Companion>,
}

impl Listing {
    /// The codes that `filter` shows.
    #[must_use]
    pub fn new(table: &Table, filter: Filter, language: Language) -> Self {
        let row = |basic: &Basic| Row {
            code: basic.code,
            class: table.class(basic.class(), language).map(|texts| texts.title.clone()).unwrap_or_default(),
            standing: basic.standing,
            gatepost: basic.entries_at(filter.stage).next().is_some(),
            source: basic.section.to_owned(),
            meaning: basic.texts.get(language).meaning.clone(),
            stages: Stages { listed: basic.listed.to_vec(), common: basic.seen_at() },
            listed: filter.stage.map(|stage| basic.listed.contains(&stage)),
            enhanced: if filter.reject {
                explain::companions(table, basic, filter.stage, language)
            } else {
                Vec::new()
            },
        };
        Self {
            schema: SCHEMA,
            kind: if filter.reject { "reject" } else { "list" },
            language,
            stage: filter.stage,
            codes: table.codes.iter().filter(|basic| filter.shows(basic)).map(row).collect(),
        }
    }
}
