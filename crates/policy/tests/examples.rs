//! The example policies load without a word, pass their tests, and are well laid out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use policy::{NoFiles, Policy, syntax};

fn examples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/policies");
    let mut files: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "policy"))
        .collect();
    files.sort();
    files
}

#[test]
fn every_example_loads_and_passes_its_tests() {
    let examples = examples();
    for file in &examples {
        let name = file.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(file).unwrap();
        let loaded = Policy::load(&name, &text, &mut NoFiles).unwrap_or_else(|refused| {
            let said: String = refused
                .findings
                .iter()
                .map(|finding| finding.render(&refused.files, false) + "\n\n")
                .collect();
            panic!("{said}")
        });
        let files = loaded.policy.all_files();
        let said: String =
            loaded.warnings.iter().map(|finding| finding.render(files, false) + "\n\n").collect();
        assert!(said.is_empty(), "{said}");
        let results = loaded.policy.tests();
        let failed: String =
            results.iter().filter(|result| !result.passed).map(|result| result.report.clone()).collect();
        assert!(failed.is_empty(), "{failed}");
        assert!(results.len() >= 10, "{name}: only {} tests", results.len());
        let laid_out = syntax::format(&text).unwrap();
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(file, &laid_out).unwrap();
        } else {
            assert!(text == laid_out, "{name} is not laid out as `gatepost policy fmt` would");
        }
    }
    assert_eq!(examples.len(), 2);
}
