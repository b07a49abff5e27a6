//! The way in: listeners, admission, connections, and the decisions of their sessions.
//!
//! What arrives is decided by the pure session of `smtp::server` and by [`decide`]; the rest moves octets.

mod admission;
mod amendment;
mod case;
mod connection;
mod decide;
mod deliberation;
mod effects;
mod header_field;
mod incoming;
mod inspection;
mod judge;
mod judge_filters;
mod listener;
mod local;
mod login;
mod mailbox_facts;
mod maildrop;
mod output;
mod over_limit;
mod proxy_header;
pub mod rehearsal;
mod results;
mod ruling;
mod session_facts;
mod status;
mod submitted;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use queue::spool::Spool;
use smtp::time::Timestamp;
use tokio::sync::watch;

pub use admission::Admission;
pub use listener::{Listener, serve};
pub use local::{LocalListener, serve as serve_local};
pub use maildrop::{Maildrop, serve as serve_maildrop};

use crate::auth::Authenticator;
use crate::journal::Journal;
use crate::mailboxes::QuotaUsage;
use crate::reports::Reports;
use crate::site::Sites;

/// What every connection needs.
#[derive(Debug)]
pub struct Reception<S> {
    /// The site in force.
    pub sites: Arc<Sites>,
    /// Where messages go.
    pub spool: Arc<S>,
    /// Who is connected.
    pub admission: Admission,
    /// How full mailboxes are.
    pub quota: Arc<QuotaUsage>,
    /// What was decided.
    pub journal: Arc<Journal>,
    /// What other domains are told.
    pub reports: Arc<Reports>,
    /// Who logs in.
    pub users: Arc<Authenticator>,
    /// Where the server listens.
    pub listening: Vec<SocketAddr>,
    /// When the program started.
    pub started: Timestamp,
    /// Becomes true when the server drains.
    pub draining: watch::Receiver<bool>,
    /// Messages accepted since the start.
    pub accepted: AtomicU64,
    /// Replies of 4yz and 5yz since the start.
    pub refused: AtomicU64,
}

impl<S: Spool> Reception<S> {
    /// A reception for a program that started at `started` and has descriptors for `places` clients.
    #[must_use]
    pub fn new(
        sites: Arc<Sites>,
        spool: Arc<S>,
        (quota, journal, reports): (Arc<QuotaUsage>, Arc<Journal>, Arc<Reports>),
        (users, listening): (Arc<Authenticator>, Vec<SocketAddr>),
        started: Timestamp,
        draining: watch::Receiver<bool>,
        places: u32,
    ) -> Self {
        Self {
            sites,
            spool,
            admission: Admission::with_places(places),
            quota,
            journal,
            reports,
            users,
            listening,
            started,
            draining,
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
        }
    }
}
