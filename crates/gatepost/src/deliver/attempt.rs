//! What came of one attempt for one recipient.

use queue::pace::Met;
use queue::schedule::Class;

use crate::mailboxes::Resolved;

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// In the Maildir, durable; or thrown away as the site wants.
    Delivered,
    /// Another server has it.
    Relayed {
        /// That server.
        remote: String,
        /// What it said.
        reply: String,
        /// Whether it offers DSN, so that a success is its to report (RFC 3461 §5.2.2).
        dsn_offered: bool,
    },
    /// The address has come to mean these since it was queued; the message is queued anew for them.
    Rerouted(Vec<Resolved>),
    /// Not now.
    Deferred(Failure),
    /// Not ever.
    Failed(Failure),
}

/// Why it did not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// The enhanced status code, class included: `4.3.0` (RFC 3463).
    pub(crate) status: String,
    /// What was said or found, in one line.
    pub(crate) diagnostic: String,
    /// The server that said so; `None` when it was found here.
    pub(crate) remote: Option<String>,
    /// What it says of the destination.
    pub(crate) met: Met,
    /// What it says of the next attempt.
    pub(crate) class: Class,
}

impl Failure {
    /// A failure found here.
    pub(crate) fn local(status: &str, diagnostic: impl Into<String>) -> Self {
        let (status, diagnostic) = (status.to_owned(), diagnostic.into());
        Self { status, diagnostic, remote: None, met: Met::Indifference, class: Class::Here }
    }

    /// The same, which says so much of the destination.
    pub(crate) fn met(self, met: Met) -> Self {
        Self { met, ..self }
    }

    /// The same, which says so much of the next attempt.
    pub(crate) fn class(self, class: Class) -> Self {
        Self { class, ..self }
    }
}
