//! Each `errors/syntax-*.policy` is a mistake in the text of a policy, and beside it stands what is said about it.
//! With `UPDATE_EXPECTED` set, the test writes the findings anew, for review.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::span::SourceFile;
use policy::syntax;

/// The cases, in the order of their names.
fn cases() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let mut cases: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "policy"))
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("syntax-"))
        .collect();
    cases.sort();
    cases
}

#[test]
fn every_broken_text_has_its_findings() {
    let mut failures = String::new();
    let cases = cases();
    for case in &cases {
        let name = case.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(case).unwrap();
        let (_, findings) = syntax::parse(0, &text);
        assert!(!findings.is_empty(), "{name}: nothing is wrong with it");
        assert!(findings.iter().all(|finding| !finding.label.is_empty()), "{name}: a place without a word");
        let files = [SourceFile { name: Arc::from(name.as_str()), text: Arc::from(text) }];
        let said: String =
            findings.iter().map(|finding| format!("{}\n\n", finding.render(&files, false))).collect();
        let expected = case.with_extension("txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&expected, &said).unwrap();
        }
        if fs::read_to_string(&expected).unwrap_or_default() != said {
            failures.push_str(&format!("== {name}\n{said}"));
        }
    }
    assert!(failures.is_empty(), "findings that are not the expected ones:\n{failures}");
    assert!(cases.len() >= 35, "only {} cases", cases.len());
}
