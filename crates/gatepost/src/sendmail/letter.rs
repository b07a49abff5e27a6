//! What a caller hands in: its options and the message, and the form in which both lie in the maildrop.

use std::io;

use serde::{Deserialize, Serialize};

/// Octets of the line in front of a message in the maildrop (ours: thousands of recipients of the longest kind).
pub const ORDER_OCTETS_MAX: usize = 1024 * 1024;

/// The version of the maildrop's files.
const VERSION: u32 = 1;

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The version of this form.
    pub maildrop: u32,
    /// Who calls, as the local part of an address.
    pub user: String,
    /// The reverse-path that was given; an empty one is the null reverse-path.
    pub reverse_path: Option<String>,
    /// The name for a From field that isn't there.
    pub full_name: Option<String>,
    /// The recipients that were given.
    pub recipients: Vec<String>,
    /// Whether those of the header section get it, too.
    pub from_header: bool,
    /// When there shall be a DSN, in the words of RFC 3461 §4.1.
    pub notify: Option<String>,
    /// What a DSN shall return: `FULL` or `HDRS`.
    pub ret: Option<String>,
    /// The envelope's id for DSNs, not encoded.
    pub envid: Option<String>,
    /// Octets of the message that follows; nothing where that isn't known.
    pub octets: Option<u64>,
}

impl Order {
    /// From this user, without any option.
    #[must_use]
    pub fn new(user: String) -> Self {
        Self {
            maildrop: VERSION,
            user,
            reverse_path: None,
            full_name: None,
            recipients: Vec::new(),
            from_header: false,
            notify: None,
            ret: None,
            envid: None,
            octets: None,
        }
    }

    /// The line that stands in front of the message.
    ///
    /// # Errors
    /// When it would be too long.
    pub fn line(&self) -> io::Result<Vec<u8>> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        if line.len() > ORDER_OCTETS_MAX {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(line)
    }

    /// Reads such a line, without its end.
    ///
    /// # Errors
    /// In words.
    pub fn parse(line: &[u8]) -> Result<Self, String> {
        let order: Self = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if order.maildrop != VERSION {
            return Err(format!("version {} is not known here", order.maildrop));
        }
        Ok(order)
    }
}
