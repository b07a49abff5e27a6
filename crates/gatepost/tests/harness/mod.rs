//! What the end-to-end tests share: servers as child processes, SMTP dialogues, Maildirs, a DNS server, and waiting with
//! a deadline.
//!
//! Every server has a port and a state directory of its own, so tests run beside each other.
#![allow(dead_code, unused_imports, reason = "each test file uses its part of it")]

mod dialogue;
mod dns;
mod dnssec;
mod https;
mod maildir;
mod peer;
mod programs;
mod reserved;
mod server;
mod tls_peer;

use std::thread;
use std::time::{Duration, Instant};

pub(crate) use dialogue::{Dialogue, Reply};
pub(crate) use dns::{DnsServer, Fault};
pub(crate) use https::HttpsServer;
pub(crate) use maildir::{Letter, Maildir};
pub(crate) use peer::{Manner, Peer};
pub(crate) use programs::{Running, finish, program, script};
pub(crate) use reserved::{Reserved, nowhere};
pub(crate) use server::{Server, Setup, every_code_config};
pub(crate) use tls_peer::{Authority, Certificate, Taken, TlsPeer};

/// Longest wait for anything that ought to happen at once; generous, as a build machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often something that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Calls `look` until it gives a value.
///
/// Panics after [`PATIENCE`], with `what` was waited for.
pub(crate) fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = now() + PATIENCE;
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(now() < end, "waited {PATIENCE:?} for {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// The time, for deadlines of tests and for measuring time-outs.
#[allow(clippy::disallowed_methods, reason = "a test waits in real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
