//! The names of a spool's files: what each holds, and the version of its format.

use std::num::NonZeroU32;

use crate::kernel_disk::LOCK_NAME;
use crate::queue_id::QueueId;

/// The version of the format of everything but the lock.
const VERSION: &str = "v1";

/// What a name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    /// A segment of the log, with the salt of its checksums.
    Segment(NonZeroU32, u32),
    /// What the index needs to know of a segment that is written no more.
    Index(NonZeroU32),
    /// A segment that waits to be used again.
    Spare(NonZeroU32),
    /// A segment with damage, which is kept and no longer read.
    Damaged(NonZeroU32, u32),
    /// A large body.
    Large(QueueId),
    /// The lock.
    Lock,
}

/// A name that is none of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotOurs {
    /// Ours by its form, but of another version: this program must not touch the spool.
    OtherVersion,
    /// Anything else: left alone.
    Foreign,
}

impl Name {
    pub(super) fn read(name: &str) -> Result<Self, NotOurs> {
        if name == LOCK_NAME {
            return Ok(Self::Lock);
        }
        let (stem, version) = name.rsplit_once('.').ok_or(NotOurs::Foreign)?;
        let (kind, rest) = stem.split_once('-').ok_or(NotOurs::Foreign)?;
        let ours = match kind {
            "segment" => salted(rest).map(|(number, salt)| Self::Segment(number, salt)),
            "damaged" => salted(rest).map(|(number, salt)| Self::Damaged(number, salt)),
            "index" => rest.parse().ok().map(Self::Index),
            "spare" => rest.parse().ok().map(Self::Spare),
            "large" => rest.parse().ok().map(Self::Large),
            _ => None,
        };
        match ours {
            Some(name) if version == VERSION => Ok(name),
            Some(_) if version.starts_with('v') => Err(NotOurs::OtherVersion),
            _ => Err(NotOurs::Foreign),
        }
    }
}

fn salted(rest: &str) -> Option<(NonZeroU32, u32)> {
    let (number, salt) = rest.split_once('-')?;
    Some((number.parse().ok()?, u32::from_str_radix(salt, 16).ok()?))
}

impl std::fmt::Display for Name {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Segment(number, salt) => write!(formatter, "segment-{number:010}-{salt:08x}.{VERSION}"),
            Self::Index(number) => write!(formatter, "index-{number:010}.{VERSION}"),
            Self::Spare(number) => write!(formatter, "spare-{number:010}.{VERSION}"),
            Self::Damaged(number, salt) => write!(formatter, "damaged-{number:010}-{salt:08x}.{VERSION}"),
            Self::Large(id) => write!(formatter, "large-{id}.{VERSION}"),
            Self::Lock => formatter.write_str(LOCK_NAME),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_and_other_versions_are_told_apart() {
        let number = NonZeroU32::new(42).unwrap();
        let id = QueueId::from_number(99).unwrap();
        for name in [
            Name::Segment(number, 0xabc),
            Name::Index(number),
            Name::Spare(number),
            Name::Damaged(number, 1),
            Name::Large(id),
            Name::Lock,
        ] {
            assert_eq!(Name::read(&name.to_string()), Ok(name));
        }
        assert_eq!(Name::read("segment-0000000042-00000abc.v2"), Err(NotOurs::OtherVersion));
        assert_eq!(Name::read("segment-0000000000-00000abc.v1"), Err(NotOurs::Foreign));
        assert_eq!(Name::read("notes.txt"), Err(NotOurs::Foreign));
    }
}
