//! Where something stands in the text of a policy.

use std::sync::Arc;

/// A file of a policy: its name as the operator knows it, and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    /// The name, as given on the command line or in an `include`.
    pub name: Arc<str>,
    /// The whole text.
    pub text: Arc<str>,
}

/// A stretch of a policy's file, in octets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// The file: its place among the policy's files. The built-in policy is file 0.
    pub file: u16,
    /// The first octet.
    pub start: u32,
    /// The octet behind the last.
    pub end: u32,
}

impl Span {
    /// From the start of `self` to the end of `last`, both in one file.
    #[must_use]
    pub const fn to(self, last: Self) -> Self {
        Self { file: self.file, start: self.start, end: last.end }
    }
}

/// Something with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// The thing.
    pub node: T,
    /// Its place.
    pub span: Span,
}

impl<T> Spanned<T> {
    /// `node`, standing at `span`.
    pub const fn new(node: T, span: Span) -> Self {
        Self { node, span }
    }
}

impl SourceFile {
    /// Line and column in characters, both from 1, of the octet `at`.
    #[must_use]
    pub fn line_and_column(&self, at: u32) -> (usize, usize) {
        let before = self.text.get(..at as usize).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        (line, column)
    }
}
