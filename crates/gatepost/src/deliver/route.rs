//! Where mail goes: the keys under which the spool groups recipients.
//!
//! A key says only how mail leaves; which Maildir or which smart host it is, is looked up at each attempt, so that a
//! changed configuration holds for what is queued already.

use queue::message::Destination;
use smtp::envelope::RcptParameters;

use crate::mailboxes::{self, Resolved};

/// The way of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Into a Maildir of this server, or to be told why not.
    Local,
    /// To the smart host.
    Relay,
    /// Nowhere.
    Discard,
}

impl Way {
    /// The key of the way.
    pub(crate) const fn key(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Relay => "relay",
            Self::Discard => "discard",
        }
    }

    /// The way of a key; a key that no version of ours wrote is looked up as local mail.
    pub(crate) fn of(destination: &Destination) -> Self {
        match destination.as_str() {
            "relay" => Self::Relay,
            "discard" => Self::Discard,
            _ => Self::Local,
        }
    }
}

/// The key for a resolved recipient. What is thrown away is not even looked at, unless its sender wants to hear of it.
pub(crate) fn destination(resolved: &Resolved, parameters: &RcptParameters) -> Destination {
    let reports_success = parameters.notify.is_some_and(|notify| notify.success);
    let way = match resolved.destination {
        mailboxes::Destination::Maildir(_) | mailboxes::Destination::Undeliverable(_) => Way::Local,
        mailboxes::Destination::Relay => Way::Relay,
        mailboxes::Destination::Discard if reports_success => Way::Local,
        mailboxes::Destination::Discard => Way::Discard,
    };
    Destination::new(way.key())
}
