//! The program: every socket, file, clock and task of Gatepost.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod codes;
pub mod config;
pub mod control;
pub mod deliver;
pub mod descriptors;
pub mod facts;
pub mod filters;
pub mod journal;
pub mod mailboxes;
pub mod net;
pub mod observe;
pub mod policies;
pub mod policy_files;
pub mod receive;
pub mod reload;
pub mod reports;
pub mod sendmail;
pub mod server;
pub mod sign;
pub mod site;
pub mod srs;
pub mod tables;

/// Name and version, as the server gives them.
pub const PRODUCT: &str = concat!("Gatepost ", env!("CARGO_PKG_VERSION"));
