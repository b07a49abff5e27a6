//! The reference page of the grammar: its text stands in `grammar.md`, its tables are the parser's own.

use super::{limits, words};

/// `docs/reference/policy-grammar.md`.
#[must_use]
pub fn reference() -> String {
    let marked = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let sizes = words::SIZE_UNITS.map(|(unit, _)| unit);
    let times = words::TIME_UNITS.map(|(unit, _)| unit);
    let values = [
        ("RESERVED", marked(&words::RESERVED)),
        ("SIZE_UNITS", marked(&sizes)),
        ("TIME_UNITS", marked(&times)),
        ("WORDS", marked(&words::all())),
        ("FILE_OCTETS", limits::FILE_OCTETS.to_string()),
        ("TOKENS", limits::TOKENS.to_string()),
        ("ELEMENTS", limits::ELEMENTS.to_string()),
        ("NESTING", limits::NESTING.to_string()),
        ("TEXT_OCTETS", limits::TEXT_OCTETS.to_string()),
        ("NAME_OCTETS", limits::NAME_OCTETS.to_string()),
        ("FINDINGS", limits::FINDINGS.to_string()),
    ];
    values.iter().fold(include_str!("grammar.md").to_owned(), |page, (name, value)| {
        page.replace(&format!("{{{name}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::syntax::{format, parse};

    /// What stands between the fences of that kind.
    fn blocks<'t>(page: &'t str, kind: &str) -> Vec<&'t str> {
        page.split(&format!("```{kind}\n")).skip(1).filter_map(|rest| rest.split("```").next()).collect()
    }

    #[test]
    fn the_page_leaves_no_place_unfilled_and_its_examples_are_read() {
        let page = reference();
        let unfilled = |word: &str| page.contains(&format!("{{{word}}}"));
        assert!(!["RESERVED", "WORDS", "TOKENS", "NESTING"].into_iter().any(unfilled));
        let examples = blocks(&page, "policy");
        assert!(!examples.is_empty());
        for example in examples {
            assert_eq!(parse(0, example).1, []);
            assert_eq!(format(example).as_deref(), Ok(example));
        }
    }

    #[test]
    fn the_grammar_has_every_word_and_no_other() {
        let page = reference();
        let grammar = blocks(&page, "ebnf").concat();
        let terminals: BTreeSet<&str> = grammar
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|terminal| terminal.starts_with(|char: char| char.is_ascii_alphabetic()))
            .collect();
        let units = words::SIZE_UNITS
            .map(|(unit, _)| unit)
            .into_iter()
            .chain(words::TIME_UNITS.map(|(unit, _)| unit));
        let units: BTreeSet<&str> = units.collect();
        let expected: BTreeSet<&str> =
            words::all().into_iter().filter(|word| !units.contains(word)).collect();
        assert_eq!(terminals, expected);
        for rule in grammar.split(" ;\n").filter_map(|rule| rule.trim().split_once(' ')) {
            let uses =
                grammar.split(|char: char| char.is_whitespace()).filter(|word| *word == rule.0).count();
            assert!(uses > 1 || rule.0 == "file", "`{}` is used nowhere", rule.0);
        }
    }
}
