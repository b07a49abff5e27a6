//! What a site does with a message when it leaves: the reverse-path that it carries, and header fields in front of it.
//!
//! Invariant: the fields are made of the mail data that are sent behind them, converted or not, so that a signature
//! holds.

use std::sync::Arc;

use queue::body::StoredMessage;
use queue::message::{QueuedMessage, QueuedRecipient};
use queue::spool::SpoolError;
use smtp::address::ReversePath;

use crate::clock;
use crate::deliver::attempt::Failure;
use crate::sign::SignFault;
use crate::site::Site;
use crate::srs;

/// Takes octets, piece by piece.
pub(crate) type Read<'r> = &'r mut dyn FnMut(&[u8]);

/// Mail data as they will be sent, but for the fields in front of them.
pub(crate) struct Outgoing<'m> {
    /// The message that they are made of.
    pub(crate) stored: &'m StoredMessage,
    /// Tells different mail data that are made of one message apart: 0 as it is stored.
    pub(crate) form: u8,
    /// Gives the mail data, in pieces. Called at most once; may block.
    pub(crate) feed: &'m mut dyn FnMut(Read<'_>) -> Result<(), SpoolError>,
}

/// What a site does with mail that leaves.
pub(crate) trait Departure: Sync {
    /// The reverse-path with which the message leaves for a recipient.
    fn reverse_path(&self, message: &QueuedMessage, recipient: &QueuedRecipient) -> ReversePath;

    /// The header fields that go in front of the mail data for `recipients`, each ended by CRLF; may be none.
    ///
    /// # Errors
    /// Why the message can't leave now.
    fn fields(
        &self,
        outgoing: Outgoing<'_>,
        recipients: &mut dyn Iterator<Item = &QueuedRecipient>,
    ) -> Result<Arc<str>, Failure>;
}

impl Departure for Site {
    fn reverse_path(&self, message: &QueuedMessage, recipient: &QueuedRecipient) -> ReversePath {
        let is_local = |domain: &_| self.directory.is_local(domain);
        srs::reverse_path(
            self.leaving.srs.as_deref(),
            &message.reverse_path,
            recipient,
            is_local,
            clock::wall(),
        )
    }

    fn fields(
        &self,
        outgoing: Outgoing<'_>,
        recipients: &mut dyn Iterator<Item = &QueuedRecipient>,
    ) -> Result<Arc<str>, Failure> {
        let Outgoing { stored, form, feed } = outgoing;
        let signing = &self.leaving.signing;
        let Some(wanted) = signing.wants(&stored.message, recipients) else { return Ok(Arc::from("")) };
        signing.fields((stored.id, form), wanted, clock::wall(), feed).map_err(|fault| {
            let queue_id = stored.id;
            match &fault {
                SignFault::Read(error) => tracing::error!(%queue_id, %error, "a message cannot be read"),
                SignFault::NotSigned => tracing::error!(%queue_id, "a message cannot be signed"),
            }
            Failure::local("4.3.0", format!("the message cannot be signed: {fault}"))
        })
    }
}

/// A site that changes nothing.
#[cfg(test)]
pub(super) struct Unchanged;

#[cfg(test)]
impl Departure for Unchanged {
    fn reverse_path(&self, message: &QueuedMessage, _: &QueuedRecipient) -> ReversePath {
        message.reverse_path.clone()
    }

    fn fields(
        &self,
        _: Outgoing<'_>,
        _: &mut dyn Iterator<Item = &QueuedRecipient>,
    ) -> Result<Arc<str>, Failure> {
        Ok(Arc::from(""))
    }
}
