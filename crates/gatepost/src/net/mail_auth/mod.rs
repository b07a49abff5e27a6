//! Who vouches for a message: SPF, DKIM, DMARC and ARC, over the crate mail-auth.
//!
//! Invariants: nothing outside this module knows the crate; it never opens a socket: every record it wants is looked up by
//! [`crate::net::dns`], under one cache, one time limit and one set of servers.

pub(crate) mod aggregate;
pub mod arc;
pub(crate) mod body_hash;
pub mod dkim;
pub mod dmarc;
pub mod key_record;
pub mod message;
pub(crate) mod report_addresses;
pub mod spf;

mod records;
mod spf_record;
mod tag_list;
