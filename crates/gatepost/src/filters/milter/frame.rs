//! Frames of the milter protocol: a length of four octets, an octet that says what it is, and what goes with it.
//!
//! Invariant: a frame that says more than [`FRAME_OCTETS_MAX`] is refused before anything is allocated for it.

use std::fmt;

/// Octets of a frame's length.
pub const LENGTH_OCTETS: usize = 4;

/// Largest frame that a filter may send, its first octet included (Sendmail's largest, `MDS_1M`, with room to spare).
pub const FRAME_OCTETS_MAX: usize = 1024 * 1024 + 64 * 1024;

/// Octets of mail data in a frame (libmilter's `MILTER_CHUNK_SIZE`).
pub const CHUNK_OCTETS: usize = 65_535;

/// A frame: what it is, and what goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: u8,
    /// What goes with it.
    pub content: Vec<u8>,
}

/// What is wrong with a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameError {
    /// It has no octet that says what it is.
    Empty,
    /// It is longer than [`FRAME_OCTETS_MAX`].
    TooLong,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "an empty frame",
            Self::TooLong => "a frame that is too long",
        })
    }
}

/// Appends a frame.
pub fn put(wire: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u32::try_from(content.len().saturating_add(1)).unwrap_or(u32::MAX);
    wire.extend_from_slice(&length.to_be_bytes());
    wire.push(kind);
    wire.extend_from_slice(content);
}

/// Octets that follow a frame's length.
///
/// # Errors
/// The frame can't be read.
pub fn length(octets: [u8; LENGTH_OCTETS]) -> Result<usize, FrameError> {
    match u32::from_be_bytes(octets) as usize {
        0 => Err(FrameError::Empty),
        length if length > FRAME_OCTETS_MAX => Err(FrameError::TooLong),
        length => Ok(length),
    }
}

/// The first frame of `wire` and how many octets it takes; `None` while it is not all there.
///
/// # Errors
/// The frame can't be read.
pub fn first(wire: &[u8]) -> Result<Option<(Frame, usize)>, FrameError> {
    let Some((octets, rest)) = wire.split_first_chunk::<LENGTH_OCTETS>() else { return Ok(None) };
    let length = length(*octets)?;
    let Some((kind, content)) = rest.get(..length).and_then(<[u8]>::split_first) else { return Ok(None) };
    Ok(Some((Frame { kind: *kind, content: content.to_vec() }, LENGTH_OCTETS + length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read_at_any_cut(kind: u8, content in proptest::collection::vec(any::<u8>(), 0..300), cut in 0_usize..310) {
            let mut wire = Vec::new();
            put(&mut wire, kind, &content);
            let whole = wire.len();
            let frame = Frame { kind, content };
            prop_assert_eq!(first(&wire), Ok(Some((frame, whole))));
            if cut < whole {
                prop_assert_eq!(first(&wire[..cut]), Ok(None));
            }
        }

        #[test]
        fn any_octets_are_read_or_refused(wire in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(Some((_, taken))) = first(&wire) {
                prop_assert!(taken <= wire.len());
            }
        }
    }

    #[test]
    fn a_frame_without_end_is_refused_at_its_length() {
        assert_eq!(first(&[0, 0, 0, 0]), Err(FrameError::Empty));
        assert_eq!(first(&[0xff; 5]), Err(FrameError::TooLong));
    }
}
