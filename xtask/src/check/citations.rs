//! Every RFC that the tree cites is a known one, and is written `RFC 5321`, so that a search finds all of them.

use super::{Finding, Source};

/// The RFCs that the tree cites: a number and a title a line.
const KNOWN: &str = include_str!("../../data/rfcs.txt");

/// All citations in `source` that are unknown or written another way.
pub(super) fn check(source: &Source) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, text) in source.lines() {
        for cited in citations(text) {
            match cited {
                Citation::Number(number) if is_known(number) => {}
                Citation::Number(number) => {
                    let message = format!(
                        "RFC {number} isn't in xtask/data/rfcs.txt: mend the number or add it with its title"
                    );
                    findings.push(Finding::new(&source.path, line, message));
                }
                Citation::Unspaced(digits) => {
                    findings.push(Finding::new(
                        &source.path,
                        line,
                        format!("write `RFC {digits}`, with one space"),
                    ));
                }
            }
        }
    }
    findings
}

#[derive(Debug, PartialEq, Eq)]
enum Citation<'a> {
    Number(&'a str),
    Unspaced(&'a str),
}

fn citations(text: &str) -> impl Iterator<Item = Citation<'_>> {
    text.split("RFC").skip(1).filter_map(|after| {
        let trimmed = after.trim_start_matches([' ', '-']);
        let spaces = after.len() - trimmed.len();
        let digits = trimmed.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        // A word of a program that goes on behind the digits is none of ours to spell.
        let goes_on = trimmed.get(digits.len()..).is_some_and(|rest| rest.starts_with(char::is_alphabetic));
        match (digits.is_empty() || (spaces == 0 && goes_on), spaces) {
            (true, _) => None,
            (false, 1) if after.starts_with(' ') => Some(Citation::Number(digits)),
            (false, _) => Some(Citation::Unspaced(digits)),
        }
    })
}

fn is_known(number: &str) -> bool {
    KNOWN.lines().any(|line| line.split(' ').next() == Some(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let source = Source { path: "a.md".into(), text: text.into() };
        check(&source).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn known_numbers_pass() {
        assert_eq!(messages("RFC 5321 §4.2.3, RFC 3461 §4; the RFCs' words; RFC-editor"), [""; 0]);
        assert_eq!(messages(concat!("GeneralName::RFC", "822Name")), [""; 0]);
    }

    #[test]
    fn unknown_numbers_and_other_spellings_are_found() {
        let unknown = concat!("RFC", " 5312 §4");
        assert!(messages(unknown)[0].contains("isn't in"));
        for spelling in [concat!("RFC", "5321"), concat!("RFC", "-5321"), concat!("RFC", "  5321")] {
            assert_eq!(messages(spelling), ["write `RFC 5321`, with one space"]);
        }
    }

    #[test]
    fn the_list_is_in_order_and_whole() {
        let numbers: Vec<u32> =
            KNOWN.lines().map(|line| line.split_once(' ').unwrap().0.parse().unwrap()).collect();
        assert!(numbers.is_sorted_by(|one, two| one < two), "{numbers:?}");
    }
}
