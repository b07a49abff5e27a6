//! What is true of a session: facts are found out here, and the policy decides on them.

pub mod content;
pub mod greylist;
pub mod place;
pub mod rate;
pub mod table;

use policy::value::State;

/// Facts by their names.
pub type Findings = Vec<(&'static str, State)>;
