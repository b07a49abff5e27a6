//! The one clock of the development commands; what is measured or seeded gets its times from here.

use std::time::{Duration, Instant, SystemTime};

/// Measures from the moment it was made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(clippy::disallowed_methods, reason = "the clock of these commands; nothing else here reads one")]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(self) -> Duration {
        self.0.elapsed()
    }
}

/// A number that differs from run to run, for a seed that is printed.
#[expect(clippy::disallowed_methods, reason = "the clock of these commands; nothing else here reads one")]
pub(crate) fn fresh_seed() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ (since.as_secs() << 20)
}
