//! The only place that reads a clock.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use smtp::time::{Timestamp, WallTime};

/// The instant that timestamps count from.
#[allow(clippy::disallowed_methods, reason = "this is clock.rs")]
fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

/// Now, for sessions.
#[must_use]
pub fn monotonic() -> Timestamp {
    Timestamp::from_millis(u64::try_from(origin().elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Now, for headers and the retry schedule; the epoch when the clock is set before it.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "this is clock.rs")]
pub fn wall() -> WallTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    WallTime::from_unix_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
}

/// The instant of a timestamp, for timers; one that never comes lies about 30 years ahead.
#[must_use]
pub fn instant(timestamp: Timestamp) -> tokio::time::Instant {
    const FAR: Duration = Duration::from_secs(30 * 365 * 86_400);
    (origin() + Duration::from_millis(timestamp.as_millis()).min(FAR)).into()
}
