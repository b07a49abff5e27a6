//! What a site or a test may choose about a log.

/// Octets of a segment (ours: large enough that rolling is rare, small enough to be taken back soon).
pub const SEGMENT_OCTETS: u32 = 64 * 1024 * 1024;

/// Recycled segments kept for use beside the reserve (ours).
pub const SPARES_MAX: usize = 4;

/// Octets that the log may hold beyond twice what lives in it before its tail is written again (ours).
pub const RECLAIM_SLACK_OCTETS: u64 = 256 * 1024 * 1024;

/// Free octets below which no mail is taken (ours: room for State records, DSNs and everything else on the disk).
pub const FREE_OCTETS_MIN: u64 = 512 * 1024 * 1024;

/// Free inodes below which no mail is taken (ours).
pub const FREE_INODES_MIN: u64 = 1_000;

/// Octets waiting to be written above which no mail is taken (ours: about a second of a fast disk).
pub const BACKLOG_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// Messages above which no mail is taken (ours: the index takes about 200 octets of memory each).
pub const MESSAGES_MAX: usize = 5_000_000;

/// How to run a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// A random number, from which the salts of new segments are made; nobody outside may learn it.
    pub salt: u64,
    /// [`SEGMENT_OCTETS`]. A record that is larger gets a segment of its own.
    pub segment_octets: u32,
    /// [`SPARES_MAX`].
    pub spares_max: usize,
    /// [`RECLAIM_SLACK_OCTETS`].
    pub reclaim_slack_octets: u64,
    /// [`FREE_OCTETS_MIN`].
    pub free_octets_min: u64,
    /// [`FREE_INODES_MIN`].
    pub free_inodes_min: u64,
    /// [`BACKLOG_OCTETS_MAX`].
    pub backlog_octets_max: u64,
    /// [`MESSAGES_MAX`].
    pub messages_max: usize,
    /// Who writes.
    pub commits: Commits,
    /// A fault to act out, for drills and tests.
    pub drill: Option<Drill>,
}

impl Options {
    /// The defaults, with a random number for the salts.
    #[must_use]
    pub fn new(salt: u64) -> Self {
        Self {
            salt,
            segment_octets: SEGMENT_OCTETS,
            spares_max: SPARES_MAX,
            reclaim_slack_octets: RECLAIM_SLACK_OCTETS,
            free_octets_min: FREE_OCTETS_MIN,
            free_inodes_min: FREE_INODES_MIN,
            backlog_octets_max: BACKLOG_OCTETS_MAX,
            messages_max: MESSAGES_MAX,
            commits: Commits::Thread,
            drill: None,
        }
    }
}

/// Who writes what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Commits {
    /// A thread of the spool's own.
    Thread,
    /// Whoever calls [`LogSpool::commit`](super::LogSpool::commit): for simulation in one thread.
    OnCall,
}

/// A fault to act out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drill {
    /// The disk has no room: 452.
    NoRoom,
    /// Every write of a message fails as a broken disk's would: 451.
    MessageWritesFail,
}
