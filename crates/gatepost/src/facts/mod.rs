//! What is true of a session: facts are found out here, and the policy decides on them.

pub mod arc;
pub mod authentication_results;
pub mod client_name;
pub mod content;
pub mod dkim;
pub mod dmarc;
pub mod dns_list;
pub mod forged_results;
pub mod greylist;
pub mod helo_name;
pub mod list_health;
pub mod list_watch;
pub mod place;
pub mod rate;
pub mod recipient_domain;
mod search;
pub mod sender_domain;
mod services;
pub mod spf;
pub mod table;

use policy::slot::Slot;
use policy::value::State;

pub use search::{Subject, Verified, find_out, keys, of_fields, verify_all};
pub use services::Services;

/// Facts by their names.
pub type Findings = Vec<(&'static str, State)>;

/// Facts by their numbers in the policy that asked.
pub type Found = Vec<(Slot, State)>;
