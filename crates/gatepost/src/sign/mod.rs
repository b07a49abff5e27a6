//! Signatures on mail that leaves: DKIM on the site's own (RFC 6376), an ARC seal on what passes through (RFC 8617).
//!
//! Invariants: only mail that was handed in by the site's own clients, or made here, is signed as the site's; what is to
//! be signed never leaves without its signature; a large body is never whole in memory.

mod arc;
mod content;
mod dkim;
mod field;
mod header;
mod key;
mod key_file;
mod outgoing;

pub use arc::Sealer;
pub use dkim::{DEFAULT_HEADERS, DEFAULT_OVERSIGNED, DkimDomain, DkimKey, UNSIGNABLE};
pub use key::{Algorithm, KeyError, NewKey, RSA_BITS, SigningKey};
pub use key_file::{load, srs_secrets};
pub(crate) use key_file::{read_private, write_new};
pub use outgoing::{SignFault, Signing, Wanted, is_forwarded};

/// Why a signature could not be made; a fault of ours, so that the mail waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotSigned;

impl std::fmt::Display for NotSigned {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the key makes no signature")
    }
}
