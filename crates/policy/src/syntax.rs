//! From a policy's text to its tree.

pub mod ast;
