//! The control service: what a postmaster asks of the queue and of the server, as requests and answers, and the socket
//! through which it is asked of a running server.
//!
//! Invariants: a request is carried out by the same code whether a server runs or not; an answer is streamed, so that a
//! queue of any length takes little memory; whoever asks can go away at any moment, and what was done by then stays
//! done and whole.

mod answer;
mod census;
mod client;
mod copy;
mod envelope;
mod form;
mod import;
mod listing;
mod ordering;
mod replace;
mod request;
mod running;
mod service;
mod socket;
mod wire;

use std::path::{Path, PathBuf};

pub use answer::{
    Answer, Census, DestinationRow, Done, Entry, Failure, FailureKind, Outcome, Progress, Recipient,
    Reloaded, Status,
};
pub use client::{Client, Unreachable};
pub use envelope::{Message, MessageRecipient, Origin, Parameters};
pub use form::{NotATime, Time};
pub use request::{Filter, Order, Phase, Redirection, Request};
pub use running::Running;
pub use service::{Asker, Gone, Program, Service};
pub(crate) use socket::bind_socket;
pub use socket::{Listener, serve};

/// The version of requests and answers, as the greeting has it.
pub const VERSION: u32 = 1;

/// Name of the socket in the state directory.
const SOCKET: &str = "control.sock";

/// Where the server of a state directory listens for requests.
#[must_use]
pub fn socket_path(state: &Path) -> PathBuf {
    state.join(SOCKET)
}
