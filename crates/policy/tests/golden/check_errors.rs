//! Each `errors/*.policy` is a policy with a defect, with its lists and tables after `--- name`, and beside it stands what is
//! said about it. The first line says what is wrong, and which peer's own check lets the same pass. No such policy loads,
//! but those that begin with `warning-`.

use std::fs;

use policy::diagnostic::Severity;
use policy::{Files, Policy};

use super::{compared, name, policies, rendered};

/// The files behind a policy's text.
struct Behind(Vec<(String, String)>);

impl Files for Behind {
    fn read(&mut self, path: &str) -> Result<String, String> {
        let file = self.0.iter().find(|(name, _)| name == path);
        file.map(|(_, text)| text.clone()).ok_or_else(|| "no such file".to_owned())
    }
}

/// A case's own text, and the files behind it.
fn parted(text: &str) -> (String, Behind) {
    let mut parts = text.split("\n--- ");
    let main = format!("{}\n", parts.next().unwrap_or_default());
    let files = parts.filter_map(|part| part.split_once('\n'));
    (main, Behind(files.map(|(name, text)| (name.to_owned(), text.to_owned())).collect()))
}

#[test]
fn every_defect_has_its_findings() {
    let mut failures = String::new();
    let mut cases = policies("tests/errors");
    cases.retain(|case| !name(case).starts_with("syntax-"));
    for case in &cases {
        let name = name(case);
        let (text, mut behind) = parted(&fs::read_to_string(case).unwrap());
        assert!(text.starts_with("# "), "{name}: the first line says what is wrong");
        let warns = name.starts_with("warning-");
        let (findings, files) = match Policy::load(&name, &text, &mut behind) {
            Ok(loaded) => {
                assert!(warns, "{name} loads: {:#?}", loaded.warnings);
                (loaded.warnings, loaded.policy.all_files().to_vec())
            }
            Err(refused) => {
                assert!(refused.findings.iter().any(|finding| finding.severity == Severity::Error), "{name}");
                assert!(!warns, "{name}: {}", rendered(&refused.findings, &refused.files));
                (refused.findings, refused.files)
            }
        };
        assert!(!findings.is_empty(), "{name}: nothing is wrong with it");
        for finding in &findings {
            assert!(finding.span.file > 0, "{name}: {finding:?} is about the built-in policy");
            assert!(!finding.label.is_empty(), "{name}: a place without a word");
        }
        failures.extend(compared(case, &rendered(&findings, &files)));
    }
    assert!(failures.is_empty(), "findings that are not the expected ones:\n{failures}");
    assert!(cases.len() >= 60, "only {} cases", cases.len());
}

/// Every meaning has cases: policies whose own tests say what each construct does.
#[test]
fn every_case_of_meaning_passes() {
    let mut tests = 0;
    for case in policies("tests/cases") {
        let name = name(&case);
        let (text, mut behind) = parted(&fs::read_to_string(&case).unwrap());
        let loaded = Policy::load(&name, &text, &mut behind)
            .unwrap_or_else(|refused| panic!("{}", rendered(&refused.findings, &refused.files)));
        let results = loaded.policy.tests();
        assert!(!results.is_empty(), "{name} tests nothing");
        assert!(results.iter().all(|result| result.passed && result.report.is_empty()), "{name}");
        tests += results.len();
    }
    assert!(tests >= 30, "only {tests} tests");
}
