//! Texts that are read: every form of the language.

use policy::syntax;

const EVERYTHING: &str = include_str!("syntax/everything.policy");

#[test]
fn every_form_is_read() {
    let (file, findings) = syntax::parse(0, EVERYTHING);
    assert_eq!(findings, [], "{findings:#?}");
    assert_eq!(file.items.len(), 28);
}
