//! The reference pages of facts and of reply codes, printed from their tables.

use std::fmt::Write as _;

use crate::facts::{FACTS, FactInfo, Scope};
use crate::ordinary;
use crate::replies::{self, Place};
use crate::source::Field;
use crate::stage::Stage;
use crate::value::Type;

/// What stands above the facts.
const FACTS_PREFACE: &str = "<!-- Generated from the table of facts; `cargo xtask docs` writes it. -->\n
# Facts of a policy\n
What a condition can ask for, and what a text can print in braces. A fact is a value, *missing* (there is none) or *unsure*
(it could not be found out just now). Comparing what is missing is no; a condition that hangs on what is unsure is unsure,
and its rule is passed over unless it has an `unsure` arm.\n
- *from*: the stage from which it is known; *holds*: for how long.
- *missing*: there may be none. *unsure*: finding it out may fail.
- *remembers*: it depends on what this server did before, so a replay can't tell it anew.
- *in tests*: what a test takes it to be when it doesn't say; without one, a test that needs the fact has to say it. A test
  that says an address says its local part and its domain.\n";

/// What stands above the facts of sources.
const SOURCES_PREFACE: &str = "\n## Facts of what a policy declares\n
They are known from the stage on at which their keys are, and hold as long as the shortest-lived key. All of them can be
unsure: a list, a table or a count may not answer.\n
| declared | fact | type | missing | remembers | what it is |
|---|---|---|---|---|---|
";

/// What stands above the codes.
const REPLIES_PREFACE: &str = "<!-- Generated from the tables of reply codes; `cargo xtask docs` writes it. -->\n
# Reply codes by stage\n
Where a policy may use which reply code. `gatepost codes CODE` explains each; `gatepost codes --reject --at STAGE` lists
those of a stage with the enhanced codes that go with them.\n
- **listed**: RFC 5321 §4.3.2, or the extension that defines the code, lists it at that stage.
- common: many servers send it there and clients take it as any code of its class; the checker warns, and names a listed one.
- misused: servers send it there although it means something else; refused.
- an empty cell: it does not belong there; refused.\n
";

/// The type in the words of the reference.
fn described(value_type: Type) -> String {
    match value_type {
        Type::Boolean => "yes or no".to_owned(),
        Type::Number => "number".to_owned(),
        Type::Octets => "size".to_owned(),
        Type::Duration => "time".to_owned(),
        Type::Text => "text".to_owned(),
        Type::Address => "address".to_owned(),
        Type::Choice(words) => words.join(", "),
        Type::Texts => "several texts".to_owned(),
        Type::Addresses => "several addresses".to_owned(),
    }
}

const fn holds(scope: Scope) -> &'static str {
    match scope {
        Scope::Session => "session",
        Scope::Transaction => "transaction",
        Scope::Recipient => "recipient",
        Scope::Message => "message",
        Scope::Inquiry => "inquiry",
    }
}

const fn mark(yes: bool) -> &'static str {
    if yes { "yes" } else { "" }
}

/// `docs/reference/policy-facts.md`.
#[must_use]
pub fn facts() -> String {
    let mut page = FACTS_PREFACE.to_owned();
    for facts in FACTS.chunk_by(|one, other| group(one) == group(other)) {
        let Some(first) = facts.first() else { continue };
        // Writing to a string cannot fail.
        let _ = writeln!(page, "\n## {}\n", group(first));
        page.push_str(
            "| fact | type | from | holds | missing | unsure | remembers | in tests | what it is |\n",
        );
        page.push_str("|---|---|---|---|---|---|---|---|---|\n");
        for fact in facts {
            let name = if fact.argument { format!("{}(\"Name\")", fact.name) } else { fact.name.to_owned() };
            let in_tests = ordinary::state(fact.name).map_or_else(String::new, |state| state.to_string());
            let _ = writeln!(
                page,
                "| `{name}` | {} | {} | {} | {} | {} | {} | {} | {} |",
                described(fact.value_type),
                fact.since.name(),
                holds(fact.scope),
                mark(fact.optional),
                mark(fact.fallible),
                mark(fact.remembers),
                in_tests.replace("(none)", "missing"),
                fact.sentence,
            );
        }
    }
    page.push_str(SOURCES_PREFACE);
    for (declared, field, sentence) in SOURCE_FACTS {
        let name = match field.name() {
            "" => "NAME".to_owned(),
            dotted => format!("NAME.{dotted}"),
        };
        let _ = writeln!(
            page,
            "| {declared} | `{name}` | {} | {} | {} | {sentence} |",
            described(field.value_type()),
            mark(field.optional()),
            mark(field.remembers()),
        );
    }
    page
}

/// The facts of sources, with what each is.
const SOURCE_FACTS: [(&str, Field, &str); 18] = [
    ("`dnsbl`, `dnswl`, `rhsbl`", Field::Listed, "Whether the list has the key."),
    (
        "`dnsbl`, `dnswl`, `rhsbl`",
        Field::Reason,
        "Why, as the list's TXT record says; in a text the zone stands for a reason that is missing.",
    ),
    ("`dnsbl`, `dnswl`, `rhsbl`", Field::Codes, "The addresses that it answered."),
    ("`table`", Field::Value, "The value that the table has for the key."),
    ("`table`", Field::Key, "The key of the table that matched."),
    ("`rate`", Field::Count, "How many were counted in the time, the present one included."),
    ("`milter`, `service`", Field::Verdict, "What it wants done at the stage that is decided."),
    ("`milter`, `service`", Field::Code, "The reply code that it wants."),
    ("`milter`, `service`", Field::Enhanced, "The enhanced code that it wants, as `5.7.1`."),
    (
        "`milter`, `service`",
        Field::Reply,
        "The words that it wants the client to hear; empty when it has none.",
    ),
    ("`milter`", Field::Quarantine, "Why it puts the message into the quarantine."),
    ("`service`", Field::Action, "The first word of its answer, in lower case, as `reject` or `dunno`."),
    ("`service`", Field::Prepend, "The header field that it wants in front of the message."),
    ("`clamav`", Field::Infected, "Whether it found something in the message."),
    ("`clamav`", Field::Signature, "What it found."),
    ("`rspamd`", Field::Action, "What Rspamd would do, as `reject`, `add header` or `no action`."),
    ("`rspamd`", Field::Score, "The score in whole points, rounded down."),
    ("`rspamd`", Field::Symbols, "The names of the symbols that it found."),
];

fn group(fact: &FactInfo) -> &'static str {
    fact.name.split('.').next().unwrap_or_default()
}

/// `docs/reference/policy-replies.md`.
#[must_use]
pub fn replies() -> String {
    let mut page = REPLIES_PREFACE.to_owned();
    let names: Vec<&str> = Stage::ALL.map(Stage::name).to_vec();
    // Writing to a string cannot fail.
    let _ = writeln!(page, "| code | {} | defined in |", names.join(" | "));
    let _ = writeln!(page, "|---|{}---|", "---|".repeat(names.len()));
    for basic in replies::BASIC.iter().filter(|basic| basic.refuses()) {
        let cells = Stage::ALL.map(|stage| match basic.place(stage.of_session()) {
            Place::Listed => "**listed**",
            Place::Common => "common",
            Place::Misused => "misused",
            Place::Foreign => "",
        });
        let _ = writeln!(page, "| {} | {} | {} |", basic.code, cells.join(" | "), basic.section);
    }
    page.push_str("\n## Enhanced codes\n\nThose that the IANA registry holds, and the reply codes that go with each: those that the registry names, then those with which servers send it all the same.\n\n");
    page.push_str("| enhanced | what it says | in the registry with | usual with | defined in |\n|---|---|---|---|---|\n");
    for detail in replies::REGISTERED {
        let codes = |codes: &[u16]| {
            let refusals = codes.iter().filter(|code| **code >= 400).map(u16::to_string);
            refusals.collect::<Vec<_>>().join(", ")
        };
        let registry = if detail.any { "any".to_owned() } else { codes(detail.associated) };
        let _ = writeln!(
            page,
            "| X.{}.{} | {} | {registry} | {} | {} |",
            detail.code.subject,
            detail.code.detail,
            detail.title,
            codes(detail.usual),
            detail.reference.unwrap_or_default(),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_stands_in_its_page_once() {
        let page = facts();
        for fact in FACTS {
            let name = fact.name;
            let rows = page.lines().filter(|line| {
                line.starts_with(&format!("| `{name}` |"))
                    || line.starts_with(&format!("| `{name}(\"Name\")` |"))
            });
            assert_eq!(rows.count(), 1, "{name}");
        }
        assert!(page.lines().filter(|line| line.starts_with("| `")).count() >= FACTS.len());
    }

    #[test]
    fn the_stages_of_a_code_stand_in_its_row() {
        let page = replies();
        let row = |code: &str| {
            page.lines().find(|line| line.starts_with(&format!("| {code} |"))).unwrap().to_owned()
        };
        assert_eq!(
            row("554"),
            "| 554 | **listed** | common |  | common | common | **listed** | **listed** |  | RFC 5321 §4.2.3, §3.1 |"
        );
        assert!(row("454").contains("misused"));
        assert!(!page.contains("| 250 |") && !page.contains("| 422 |"));
    }
}
