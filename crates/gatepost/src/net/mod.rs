//! The network below SMTP: the DNS, and what is verified by it.

pub mod dns;
pub mod dns_name;

mod dns_cache;
