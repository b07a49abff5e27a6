//! What every SMTP reply code means, who sends it, and what to do about it: the content of `gatepost codes`.
//!
//! The replies of Gatepost come from the catalogue of the `smtp` crate; what is said about codes stands in the data
//! files beside this one. Pages and JSON print the same values.

pub mod explain;
pub mod language;
pub mod listing;
pub mod notice;
pub mod page;
pub mod query;
pub mod reference;
pub mod table;

pub use explain::Explanation;
pub use language::Language;
pub use listing::{Filter, Listing};
pub use query::Query;
pub use reference::reference_replies;
pub use table::Table;

#[cfg(test)]
mod tests;
