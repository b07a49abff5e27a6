//! Descriptors: how many files and connections this process may have open at a time, and how many clients that serves.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that clients leave to the spool, Maildirs, connections to other servers and replies that refuse (ours).
const RESERVED: u64 = 256;

/// Raises the limit of descriptors as far as the system lets us, as the usual 1,024 are too few for a thousand clients,
/// and gives how many clients can be served at a time.
#[must_use]
pub fn places() -> u32 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => raised.current,
        Err(error) => {
            tracing::warn!(%error, "the limit of open files cannot be raised");
            limit.current
        }
    };
    // A limit that is hardly above what is reserved serves a few all the same.
    current.map_or(u32::MAX, |limit| {
        u32::try_from(limit.saturating_sub(RESERVED).max(limit / 4)).unwrap_or(u32::MAX)
    })
}

/// How many may be open now.
#[must_use]
pub fn limit() -> usize {
    getrlimit(Resource::Nofile)
        .current
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}
