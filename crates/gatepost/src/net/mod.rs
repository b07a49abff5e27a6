//! The network below SMTP: the DNS, and what is verified by it.

pub mod dns;
pub mod dns_name;
pub mod mail_auth;

mod dns_cache;
