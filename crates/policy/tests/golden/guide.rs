//! The guide's examples: blocks marked `policy` add up to a file that loads at every step, each marked `policy broken`
//! is followed by what is said about it.

use std::fs;

use policy::{NoFiles, Policy, syntax};

use super::stands;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/policy.md");

/// What is said about a policy: everything that would be printed.
fn said(text: &str) -> String {
    let (files, findings) = match Policy::load("site.policy", text, &mut NoFiles) {
        Ok(loaded) => (loaded.policy.all_files().to_vec(), loaded.warnings),
        Err(refused) => (refused.files, refused.findings),
    };
    findings.iter().map(|finding| finding.render(&files, false) + "\n").collect()
}

#[test]
fn the_guides_examples_load_and_its_findings_are_real() {
    let page = fs::read_to_string(PAGE).unwrap();
    let mut written = String::new();
    let (mut sum, mut broken) = (String::new(), None);
    let (mut good, mut bad) = (0, 0);
    for (number, part) in page.split("```").enumerate() {
        if number > 0 {
            written.push_str("```");
        }
        // Every other part stands between fences; its first line says what it is.
        let (kind, block) = if number % 2 == 1 { part.split_once('\n').unwrap() } else { ("", part) };
        match kind {
            "policy" => {
                assert_eq!(syntax::format(block).as_deref(), Ok(block), "not laid out well");
                if !sum.is_empty() {
                    sum.push('\n');
                }
                sum.push_str(block);
                assert_eq!(said(&sum), "", "{sum}");
                good += 1;
            }
            "policy broken" => {
                broken = Some(said(&format!("{sum}\n{block}")));
                bad += 1;
            }
            "text" => {
                let findings = broken.take().unwrap();
                assert!(!findings.is_empty(), "nothing is wrong with it:\n{block}");
                written.push_str(&format!("text\n{findings}"));
                continue;
            }
            _ => {}
        }
        written.push_str(part);
    }
    assert!(broken.is_none() && good >= 8 && bad >= 3, "{good} {bad}");
    assert!(stands(PAGE, &written), "the guide shows other findings than there are");
    let loaded = Policy::load("site.policy", &sum, &mut NoFiles).unwrap();
    assert!(loaded.policy.tests().iter().filter(|result| result.passed).count() >= 4);
}

#[test]
fn the_examples_of_filters_load_and_are_laid_out_well() {
    let page =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guide/filters.md")).unwrap();
    let mut sum = String::new();
    for block in page.split("```policy\n").skip(1).map(|part| part.split("```").next().unwrap()) {
        assert_eq!(syntax::format(block).as_deref(), Ok(block), "not laid out well");
        sum.push_str(block);
        assert_eq!(said(&sum), "", "{sum}");
    }
    assert!(sum.contains("scan.score"));
}
