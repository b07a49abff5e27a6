//! MAIL and RCPT as a client sends them.
//!
//! Invariant: only parameters of extensions that the server offers are written (RFC 5321 §4.1.1.3). What the message
//! needs of the server (8BITMIME, SMTPUTF8) is for the client session to check first.

use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::address::{ForwardPath, ReversePath};
use crate::envelope::{MailParameters, RcptParameters};
use crate::extension::Extensions;
use crate::parameter::{OfferedMail, OfferedRcpt};
use crate::reply::Octets;

/// Appends the MAIL command, CRLF included, with those of the parameters that a server with `extensions` takes.
pub fn write_mail(
    reverse_path: &ReversePath,
    parameters: &MailParameters,
    extensions: &Extensions,
    wire: &mut Vec<u8>,
) {
    // Writing to a vector cannot fail.
    let _ = write!(Octets(wire), "MAIL FROM:{reverse_path}{}\r\n", OfferedMail { parameters, extensions });
}

/// Appends the RCPT command, CRLF included, with those of the parameters that a server with `extensions` takes.
pub fn write_rcpt(
    forward_path: &ForwardPath,
    parameters: &RcptParameters,
    extensions: &Extensions,
    wire: &mut Vec<u8>,
) {
    // Writing to a vector cannot fail.
    let _ = write!(Octets(wire), "RCPT TO:{forward_path}{}\r\n", OfferedRcpt { parameters, extensions });
}
