//! The way out: takes what is due from the spool, delivers or relays it, and settles what became of it.

mod attempt;
mod dispatcher;
mod local;
mod maildir;
#[allow(dead_code, reason = "routing and TLS outwards are being built on it")]
mod next_hop;
mod notices;
mod relay;
mod reroute;
mod route;
#[cfg(test)]
mod tests;
mod timing;

pub use dispatcher::spawn;
pub(crate) use local::header_section;
pub(crate) use route::destination;
