//! Texts well laid out: what changes, and what does not.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use policy::syntax;

const EVERYTHING: &str = include_str!("syntax/everything.policy");
const UNTIDY: &str = include_str!("syntax/untidy.policy");
const TIDY: &str = include_str!("syntax/tidy.policy");

fn formatted(text: &str) -> String {
    syntax::format(text).unwrap_or_else(|findings| panic!("{findings:#?}\n{text}"))
}

#[test]
fn what_is_well_laid_out_stays() {
    for text in [EVERYTHING, TIDY] {
        let laid_out = formatted(text);
        let differs = laid_out.lines().zip(text.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None);
        assert_eq!(laid_out.len(), text.len());
    }
    assert_eq!(formatted(""), "");
    assert_eq!(formatted("\n\n# alone\n\n\n"), "# alone\n");
}

#[test]
fn what_is_untidy_becomes_tidy() {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/syntax/tidy.policy");
        std::fs::write(file, formatted(UNTIDY)).unwrap();
    } else {
        assert_eq!(formatted(UNTIDY), TIDY);
    }
    assert_eq!(formatted(&UNTIDY.replace('\n', "\r\n")), TIDY, "line ends of other systems");
}

#[test]
fn what_is_broken_is_left_alone() {
    assert_eq!(syntax::format("at mail { rule").unwrap_err().len(), 2);
}

#[test]
fn the_reference_is_in_step() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/policy-grammar.md");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(file, syntax::reference()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(file).unwrap(), syntax::reference());
}
