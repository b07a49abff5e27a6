//! The reference of the replies, in Markdown: `docs/reference/replies.md` is this text.

use std::fmt::Write as _;

use smtp::catalogue::{self, Entry, Stage};

use super::language::Language;
use super::table::Table;

/// What stands above the tables.
const PREFACE: &str = "<!-- Generated from the reply catalogue; `cargo xtask docs` writes it. -->\n
# Replies\n
Every reply that Gatepost gives, by code: first the 22 of RFC 2821 §4.2.3 (kept by RFC 5321 §4.2.3), then those of later
RFCs. A text in braces is filled when the reply is given. `gatepost codes` explains these codes, and those that other
servers send, in English and German.\n";

/// The 22 codes of RFC 2821 §4.2.3.
pub(super) const CORE_CODES: [u16; 22] = [
    211, 214, 220, 221, 250, 251, 252, 354, 421, 450, 451, 452, 500, 501, 502, 503, 504, 550, 551, 552, 553,
    554,
];

/// The reference of the replies in Markdown, generated from the catalogue.
#[must_use]
pub fn reference_replies() -> String {
    let table = Table::load().ok();
    let mut text = PREFACE.to_owned();
    let (core, later): (Vec<_>, Vec<_>) =
        catalogue::ALL.iter().partition(|entry| CORE_CODES.contains(&entry.code.value()));
    section(&mut text, table.as_ref(), "The 22 codes", &core);
    section(&mut text, table.as_ref(), "Codes of later RFCs", &later);
    text
}

/// A section of `entries`, which the catalogue holds in the order of their codes.
fn section(text: &mut String, table: Option<&Table>, title: &str, entries: &[&Entry]) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n## {title}");
    for group in entries.chunk_by(|left, right| left.code == right.code) {
        let Some(code) = group.first().map(|entry| entry.code.value()) else { continue };
        let meaning = table.and_then(|table| table.basic(code)).map(|basic| basic.texts.get(Language::En));
        let meaning = meaning.map_or("", |texts| texts.meaning.as_str());
        let _ = writeln!(text, "\n### {code}\n\n{meaning}\n");
        let _ = writeln!(text, "| name | enhanced | text | condition | stages | source |");
        let _ = writeln!(text, "|---|---|---|---|---|---|");
        for entry in group {
            row(text, entry);
        }
    }
}

fn row(text: &mut String, entry: &Entry) {
    let enhanced = match (entry.code.class(), entry.enhanced) {
        (Some(class), Some(enhanced)) => format!("{class}.{}.{}", enhanced.subject, enhanced.detail),
        _ => "-".to_owned(),
    };
    let stages: Vec<_> = entry.stages.iter().map(|stage: &Stage| stage.name()).collect();
    let _ = writeln!(
        text,
        "| `{}` | {enhanced} | `{}` | {} | {} | {} |",
        entry.name,
        cell(entry.text),
        cell(entry.condition),
        stages.join(", "),
        entry.section,
    );
}

/// `text` as it may stand in a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ⏎ ")
}
