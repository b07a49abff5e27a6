//! Addresses as they stand in SMTP commands: mailboxes, domains, address literals, paths (RFC 5321 §4.1.2, §4.1.3).
//!
//! Invariants: a value that was parsed prints as text that parses to an equal value; nothing here holds a control
//! character; every limit of RFC 5321 §4.5.3.1 holds for what is printed. `FromStr` reads the grammar with the
//! internationalised forms of RFC 6531 §3.3; the `parse` functions are told whether these are allowed.

mod domain;
mod error;
mod literal;
mod local_part;
mod mailbox;
mod path;

pub use domain::{Domain, DomainName};
pub use error::AddressError;
pub use literal::{AddressLiteral, GeneralLiteral};
pub use local_part::LocalPart;
pub use mailbox::Mailbox;
pub(crate) use path::split_path;
pub use path::{ForwardPath, ReversePath};

#[cfg(test)]
pub(crate) mod tests;
