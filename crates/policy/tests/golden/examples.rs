//! The example policies load without a word, pass their tests, and are well laid out.

use std::fs;

use policy::{NoFiles, Policy, syntax};

use super::{name, policies, rendered, stands};

#[test]
fn every_example_loads_and_passes_its_tests() {
    let examples = policies("../../examples/policies");
    for file in &examples {
        let name = name(file);
        let text = fs::read_to_string(file).unwrap();
        let loaded = Policy::load(&name, &text, &mut NoFiles)
            .unwrap_or_else(|refused| panic!("{}", rendered(&refused.findings, &refused.files)));
        let said = rendered(&loaded.warnings, loaded.policy.all_files());
        assert!(said.is_empty(), "{said}");
        let results = loaded.policy.tests();
        let failed: String =
            results.iter().filter(|result| !result.passed).map(|result| result.report.clone()).collect();
        assert!(failed.is_empty(), "{failed}");
        assert!(results.len() >= 10, "{name}: only {} tests", results.len());
        let laid_out = syntax::format(&text).unwrap();
        assert!(stands(file, &laid_out), "{name} is not laid out as `gatepost policy fmt` would");
    }
    assert_eq!(examples.len(), 2);
}
