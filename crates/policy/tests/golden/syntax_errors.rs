//! Each `errors/syntax-*.policy` is a mistake in the text of a policy, and beside it stands what is said about it.

use std::fs;
use std::sync::Arc;

use policy::span::SourceFile;
use policy::syntax;

use super::{compared, name, policies, rendered};

#[test]
fn every_broken_text_has_its_findings() {
    let mut failures = String::new();
    let mut cases = policies("tests/errors");
    cases.retain(|case| name(case).starts_with("syntax-"));
    for case in &cases {
        let name = name(case);
        let text = fs::read_to_string(case).unwrap();
        let (_, findings) = syntax::parse(0, &text);
        assert!(!findings.is_empty(), "{name}: nothing is wrong with it");
        assert!(findings.iter().all(|finding| !finding.label.is_empty()), "{name}: a place without a word");
        let files = [SourceFile { name: Arc::from(name.as_str()), text: Arc::from(text) }];
        failures.extend(compared(case, &rendered(&findings, &files)));
    }
    assert!(failures.is_empty(), "findings that are not the expected ones:\n{failures}");
    assert!(cases.len() >= 35, "only {} cases", cases.len());
}
