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
pub mod place;
pub mod rate;
pub mod recipient_domain;
pub mod sender_domain;
pub mod spf;
pub mod table;

use policy::value::State;

/// Facts by their names.
pub type Findings = Vec<(&'static str, State)>;
