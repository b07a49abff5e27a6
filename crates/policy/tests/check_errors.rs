//! Each `errors/*.policy` is a policy with a defect, with its lists and tables after `--- name`, and beside it stands what is
//! said about it. The first line says what is wrong, and which peer's own check lets the same pass. No such policy loads,
//! but those that begin with `warning-`. With `UPDATE_EXPECTED` set, the test writes the findings anew, for review.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use policy::diagnostic::{Diagnostic, Severity};
use policy::span::SourceFile;
use policy::{Files, Policy};

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

fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "policy"))
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("syntax-"))
        .collect();
    cases.sort();
    cases
}

fn rendered(findings: &[Diagnostic], files: &[SourceFile]) -> String {
    findings.iter().map(|finding| format!("{}\n\n", finding.render(files, false))).collect()
}

#[test]
fn every_defect_has_its_findings() {
    let mut failures = String::new();
    let cases = cases();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
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
        let said = rendered(&findings, &files);
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            failures.push_str(&format!("== {name}\n{said}"));
        }
    }
    assert!(failures.is_empty(), "findings that are not the expected ones:\n{failures}");
    assert!(cases.len() >= 60, "only {} cases", cases.len());
}

/// Every meaning has cases: policies whose own tests say what each construct does.
#[test]
fn every_case_of_meaning_passes() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut tests = 0;
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let (text, mut behind) = parted(&fs::read_to_string(&path).unwrap());
        let loaded = Policy::load(&name, &text, &mut behind)
            .unwrap_or_else(|refused| panic!("{}", rendered(&refused.findings, &refused.files)));
        let results = loaded.policy.tests();
        assert!(!results.is_empty(), "{name} tests nothing");
        assert!(results.iter().all(|result| result.passed && result.report.is_empty()), "{name}");
        tests += results.len();
    }
    assert!(tests >= 30, "only {tests} tests");
}
