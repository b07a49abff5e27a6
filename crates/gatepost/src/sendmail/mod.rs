//! `sendmail`, `mailq` and `newaliases`: how programs of this machine hand in mail, as they have done for decades.
//!
//! Invariants: no right is needed that a user doesn't have, and none is got; exit code 0 means that the message is
//! durable, with the server or in the maildrop.

mod arguments;
pub mod content;
pub mod dialogue;
pub mod exit;
pub mod letter;
pub mod maildrop;
mod mailq;
pub mod message;
mod send;

pub use arguments::{Arguments, Task};
pub use exit::{Exit, Stop};
pub use maildrop::{folder as maildrop_folder, list as list_maildrop};
pub use mailq::Listing;
pub(crate) use send::user;
pub use send::{Hand, send, speak};

use std::path::{Path, PathBuf};

/// Name of the socket in the state directory.
const SOCKET: &str = "submit.sock";

/// Where the server of a state directory takes mail of this machine's users.
#[must_use]
pub fn socket_path(state: &Path) -> PathBuf {
    state.join(SOCKET)
}
