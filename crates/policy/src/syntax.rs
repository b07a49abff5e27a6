//! The text of a policy: from octets to a tree, and from a text to the same text well laid out.
//!
//! Reading goes on behind a mistake: one run finds every mistake of a file, up to [`limits::FINDINGS`]. It takes time and
//! memory in proportion to the text, and no text makes it recurse deeper than [`limits::NESTING`].

pub mod ast;
mod format;
mod lexer;
pub mod limits;
mod parser;
mod reference;
pub mod words;

use crate::diagnostic::Diagnostic;

pub use format::format;
pub use reference::reference;

/// Reads the text of the policy's file number `file`: its tree, and what is wrong with it, in the order of the text.
///
/// What could not be read is left out of the tree. When there are findings, more can follow from that: a name that seems
/// to be unknown, for one.
#[must_use]
pub fn parse(file: u16, text: &str) -> (ast::File, Vec<Diagnostic>) {
    let parsed = parser::parse(file, text);
    (parsed.tree, parsed.findings)
}

/// Reads facts and their values, one a line, as they stand between the braces of `given`: what they are, and what is wrong
/// with them, in the order of the text.
#[must_use]
pub fn parse_facts(file: u16, text: &str) -> (Vec<ast::GivenFact>, Vec<Diagnostic>) {
    parser::parse_facts(file, text)
}
