//! The policy: a pure function from facts to a decision.
//!
//! It opens nothing, reads no clock and waits for nobody: files come in as text, facts as values.

mod check;
pub mod decision;
pub mod diagnostic;
pub mod evaluate;
pub mod facts;
mod fingerprint;
mod implication;
pub mod nearest;
pub mod ordinary;
mod pattern;
mod plan;
pub mod policy;
#[cfg(test)]
mod properties;
pub mod reference;
pub mod replies;
mod sets;
pub mod slot;
pub mod source;
pub mod span;
pub mod stage;
pub mod syntax;
pub mod trace;
mod trial;
pub mod value;

pub use plan::RuleInfo;
pub use policy::{Files, Given, Loaded, NoFiles, Policy, Refused, ReplyTemplate};
pub use trial::TestResult;
