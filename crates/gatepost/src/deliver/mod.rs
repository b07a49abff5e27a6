//! The way out: takes what is due from the spool, delivers or relays it, and settles what became of it.

pub(crate) mod anew;
mod attempt;
mod command;
mod dispatcher;
mod errand;
mod local;
mod maildir;
mod mx;
mod next_hop;
mod notices;
mod paces;
mod protection;
mod rate;
mod reading;
mod relay;
mod reroute;
mod returned;
mod route;
mod routing;
#[cfg(test)]
mod tests;
mod timing;
mod tls_plan;

pub use dispatcher::spawn;
pub(crate) use errand::random;
pub(crate) use notices::given_up;
pub(crate) use reading::header_section;
pub(crate) use relay::TlsResults;
pub use relay::remote_replies;
pub(crate) use returned::{Returned, send_back};
pub(crate) use route::{Way, destination};
