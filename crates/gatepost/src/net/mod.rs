//! The network below SMTP: the DNS, and what is verified by it.

pub(crate) mod address;
pub mod dns;
pub mod dns_name;
pub(crate) mod https;
pub mod mail_auth;
pub(crate) mod mta_sts;
pub(crate) mod tls_result;

mod dns_cache;
pub(crate) mod tls;
