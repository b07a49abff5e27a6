//! Mail data on its way into the spool, in memory while it is small and in a file of the spool when it is not.

use std::io;

use queue::body::Body;
use queue::queue_id::QueueId;
use queue::spool::{LARGE_BODY_OCTETS, Spool, SpoolError};

use super::service::Asker;

/// Octets that are read before they are written (ours: few system calls, little memory).
const CHUNK_OCTETS: usize = 256 * 1024;

/// Why mail data did not come in.
#[derive(Debug)]
pub(super) enum Cut {
    /// It ended early.
    Short(io::Error),
    /// The spool did not take it.
    Spool(SpoolError),
}

impl From<SpoolError> for Cut {
    fn from(error: SpoolError) -> Self {
        Self::Spool(error)
    }
}

/// The `size_octets` of mail data that follow a request, for the message `id`. Nothing stays of what is cut short.
pub(super) fn received<S: Spool>(
    spool: &S,
    id: QueueId,
    size_octets: u64,
    asker: &mut dyn Asker,
) -> Result<Body, Cut> {
    let mut large = if size_octets > LARGE_BODY_OCTETS { Some(spool.large_body(id)?) } else { None };
    let mut octets = Vec::new();
    let mut chunk = vec![0; CHUNK_OCTETS];
    let mut left = size_octets;
    while left > 0 {
        let most = usize::try_from(left).map_or(CHUNK_OCTETS, |left| left.min(CHUNK_OCTETS));
        let room = chunk.get_mut(..most).unwrap_or_default();
        let read = asker.read(room).map_err(Cut::Short)?;
        if read == 0 {
            return Err(Cut::Short(io::ErrorKind::UnexpectedEof.into()));
        }
        let got = chunk.get(..read).unwrap_or_default();
        match &mut large {
            Some(large) => large.append(got)?,
            None => octets.extend_from_slice(got),
        }
        left = left.saturating_sub(read as u64);
    }
    Ok(match large {
        Some(large) => Body::Large(large.seal()?),
        None => Body::Memory(octets),
    })
}
