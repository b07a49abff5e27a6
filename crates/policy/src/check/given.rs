//! Facts that are given beside a policy: read and checked as those of its tests.

use super::names::{Declared, Names};
use super::{Checker, beside};
use crate::policy::{Given, NoFiles, Refused};
use crate::slot::{Origin, SlotInfo};
use crate::source::Source;
use crate::span::SourceFile;
use crate::syntax;
use crate::value::State;

/// Why a fact is unsure that was given so.
const GIVEN_UNSURE: &str = "given as unsure";

/// The facts of `texts`, each with its name, for a policy of these files and sources; the last value of each counts. A source
/// of which one fact is given has its other facts, too, as in a test.
pub(crate) fn read(
    files: &[SourceFile],
    sources: &[Source],
    texts: &[(&str, &str)],
) -> Result<Vec<Given>, Refused> {
    let mut reader = NoFiles;
    let mut checker = Checker {
        files: files.to_vec(),
        names: names(sources),
        sources: sources.to_vec(),
        setting_facts: true,
        ..Checker::of(&mut reader)
    };
    let mut given: Vec<Given> = Vec::new();
    for (name, text) in texts {
        let place = u16::try_from(checker.files.len()).unwrap_or(u16::MAX);
        checker.files.push(SourceFile { name: (*name).into(), text: (*text).into() });
        let (facts, findings) = syntax::parse_facts(place, text);
        checker.findings.extend(findings);
        for fact in &facts {
            let Some((slot, state)) = checker.given_fact(fact) else { continue };
            let Some(info) = checker.facts.info(slot).cloned() else { continue };
            let state = if matches!(state, State::Unsure(_)) { State::unsure(GIVEN_UNSURE) } else { state };
            given.retain(|known| known.fact.name != info.name);
            given.push(Given { fact: info, state });
        }
    }
    if checker.has_errors() {
        checker.findings.sort_by_key(|finding| (finding.span.file, finding.span.start));
        return Err(Refused { files: checker.files, findings: checker.findings });
    }
    let others = siblings(&mut checker, &given);
    given.extend(others);
    Ok(given)
}

/// The other facts of the sources of which one is given.
fn siblings(checker: &mut Checker<'_>, given: &[Given]) -> Vec<Given> {
    let mut others: Vec<Given> = Vec::new();
    for known in given {
        let Origin::Source(index, _) = known.fact.origin else { continue };
        let Some(source) = checker.sources.get(usize::from(index)).cloned() else { continue };
        for field in source.kind.fields() {
            let Some(state) = beside(*field) else { continue };
            let slot = checker.facts.of_source(index, &source, *field);
            let Some(info) = slot.and_then(|slot| checker.facts.info(slot)) else { continue };
            let is_known = |all: &[Given]| all.iter().any(|one| one.fact.name == info.name);
            if !is_known(given) && !is_known(&others) {
                others.push(Given { fact: SlotInfo::clone(info), state });
            }
        }
    }
    others
}

fn names<'a>(sources: &[Source]) -> Names<'a> {
    let numbered = (0..).zip(sources);
    let sources = numbered
        .map(|(index, source)| (source.name.to_string(), Declared::new(source.span, Some(index))))
        .collect();
    Names { sources, ..Names::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Loaded, Policy};
    use crate::value::Value;

    const POLICY: &str = r#"dnsbl zen = "zen.example" of client.ip
rate per_client = recipients by client.ip over 1h
at recipient {
    rule listed when zen.listed and per_client > 3
        reject 550 5.7.1 "listed: {zen.reason}"
}
"#;

    fn policy() -> Policy {
        let Loaded { policy, .. } = Policy::load("site.policy", POLICY, &mut NoFiles).unwrap();
        policy
    }

    fn shown(text: &str) -> Result<Vec<String>, Vec<String>> {
        let line = |given: Given| format!("{} = {}", given.fact.name, given.state);
        match policy().given(&[("facts", text)]) {
            Ok(given) => Ok(given.into_iter().map(line).collect()),
            Err(refused) => Err(refused
                .findings
                .iter()
                .map(|finding| {
                    let place = finding.place(&refused.files);
                    format!("{place}: {}; {}; {}", finding.title, finding.label, finding.help.join("; "))
                })
                .collect()),
        }
    }

    #[test]
    fn facts_are_read_as_in_a_test_and_the_last_value_counts() {
        let text = "# what was seen\nzen.listed = yes\nclient.ptr = missing\nsender.mx = \"A.example\", \"b.example\"\n\
                    zen.listed = unsure  # after all\nmessage.header(\"List-Id\") = \"x\"\n";
        assert_eq!(
            shown(text).unwrap(),
            [
                "client.ptr = (none)",
                "sender.mx = a.example, b.example",
                "zen.listed = unsure: given as unsure",
                "message.header(\"list-id\") = x",
                "zen.reason = (none)",
                "zen.codes = ",
            ]
        );
        let known =
            policy().given(&[("facts", "zen.reason = \"see there\""), ("more", "per_client = 4")]).unwrap();
        assert_eq!(known[1].state, State::Known(Value::Number(4)));
        assert!(
            known.iter().all(|given| &*given.fact.name != "zen.listed"),
            "whether it lists is not made up"
        );
    }

    #[test]
    fn mistakes_have_a_place_and_advice() {
        let found = shown("client.prt = \"x\"\nzen.lited = yes\nper_client = \"4\"\n}\nclient.ip = unsure\n")
            .unwrap_err();
        let begins = [
            "facts:1:1: there is no fact `client.prt`; unknown name; did you mean `client.ptr`?",
            "facts:2:1: there is no fact `zen.lited`; unknown name; did you mean `zen.listed`?",
            "facts:3:14: `per_client` is a number, this is a text; a text; without the quotes: 4",
            "facts:4:1: ",
            "facts:5:13: `client.ip` is never unsure",
        ];
        assert_eq!(found.len(), begins.len(), "{found:#?}");
        for begin in begins {
            assert!(found.iter().any(|line| line.starts_with(begin)), "{begin} in {found:#?}");
        }
    }
}
