//! The policy: a pure function from facts to a decision.
//!
//! It opens nothing, reads no clock and waits for nobody: files come in as text, facts as values.

pub mod decision;
pub mod diagnostic;
pub mod facts;
pub mod nearest;
pub mod replies;
pub mod slot;
pub mod source;
pub mod span;
pub mod stage;
pub mod syntax;
pub mod value;
