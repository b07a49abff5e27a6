//! Counters by key: the seam, and the counters in memory.
//!
//! Invariants: memory is bounded by the number of keys alone: a key is 16 octets, however long what it stands for is.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher as _, Hash as _, Hasher as _, RandomState};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use policy::value::Value;
use smtp::time::Timestamp;

/// Slices of a window. A window forgets by slices, so it reaches back at least its time and at most a twentieth more
/// (ours).
const SLICES: usize = 20;

/// How a rate forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Over which time it counts.
    pub over: Duration,
    /// Whether it is a bucket, which leaks all the time, instead of a window, which counts what came in the time.
    pub is_bucket: bool,
}

/// What is counted for: the values of a rate's facts, in a form of fixed length that nobody outside can aim at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key([u64; 2]);

impl Key {
    /// The key of `values`, in their order. Texts that differ in ASCII case alone are the same.
    #[must_use]
    pub fn of(values: &[&Value]) -> Self {
        static STATES: LazyLock<[RandomState; 2]> =
            LazyLock::new(|| [RandomState::new(), RandomState::new()]);
        Self(STATES.each_ref().map(|state| {
            let mut hasher = state.build_hasher();
            for value in values {
                std::mem::discriminant(*value).hash(&mut hasher);
                match value {
                    Value::Address(address) => address.to_canonical().hash(&mut hasher),
                    other => other.to_string().to_ascii_lowercase().hash(&mut hasher),
                }
            }
            hasher.finish()
        }))
    }
}

/// Where a rate is counted. Each call is one step that no other comes between.
pub trait Counters: Send + Sync + fmt::Debug {
    /// Counts one, and says the count with it.
    ///
    /// # Errors
    /// Why it can't be told, in a few words; it may have been counted.
    fn add(&self, key: Key, now: Timestamp) -> Result<u64, String>;

    /// The count as it stands.
    ///
    /// # Errors
    /// Why it can't be told, in a few words.
    fn count(&self, key: Key, now: Timestamp) -> Result<u64, String>;

    /// How many keys that still counted had to make room for others.
    fn dropped(&self) -> u64;
}

/// Counters in memory.
#[derive(Debug)]
pub struct Memory {
    shape: Shape,
    generation_max: usize,
    generations: Mutex<Generations>,
}

/// The keys of late and the ones before. When the late ones have filled their half, they become the ones before, and what
/// was not counted since then is gone: a key is found or moved at the cost of two look-ups, and the oldest go first.
#[derive(Debug, Default)]
struct Generations {
    late: HashMap<Key, Level>,
    before: HashMap<Key, Level>,
    dropped: u64,
}

impl Memory {
    /// Counters of a shape, for at most `keys_max` keys.
    #[must_use]
    pub fn new(shape: Shape, keys_max: usize) -> Self {
        Self { shape, generation_max: (keys_max / 2).max(1), generations: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        // A panic elsewhere leaves at worst one count that is off.
        self.generations.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counters for Memory {
    fn add(&self, key: Key, now: Timestamp) -> Result<u64, String> {
        let mut generations = self.lock();
        if !generations.late.contains_key(&key) {
            if generations.late.len() >= self.generation_max {
                generations.turn(self.shape, now);
            }
            let level = generations.before.remove(&key).unwrap_or_else(|| Level::new(self.shape, now));
            generations.late.insert(key, level);
        }
        let level = generations.late.get_mut(&key);
        Ok(level.map_or(0, |level| {
            level.add(self.shape, now);
            level.count(self.shape, now)
        }))
    }

    fn count(&self, key: Key, now: Timestamp) -> Result<u64, String> {
        let generations = self.lock();
        let level = generations.late.get(&key).or_else(|| generations.before.get(&key));
        Ok(level.map_or(0, |level| level.count(self.shape, now)))
    }

    fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

impl Generations {
    fn turn(&mut self, shape: Shape, now: Timestamp) {
        let counting = self.before.values().filter(|level| level.count(shape, now) > 0).count();
        self.dropped = self.dropped.saturating_add(u64::try_from(counting).unwrap_or(u64::MAX));
        self.before = std::mem::take(&mut self.late);
    }
}

/// The count of one key.
#[derive(Debug, Clone)]
enum Level {
    Window(Box<Window>),
    Bucket { level: f64, when: Timestamp },
}

impl Level {
    fn new(shape: Shape, now: Timestamp) -> Self {
        if shape.is_bucket { Self::Bucket { level: 0.0, when: now } } else { Self::Window(Box::default()) }
    }

    fn add(&mut self, shape: Shape, now: Timestamp) {
        match self {
            Self::Window(window) => window.add(shape, now),
            Self::Bucket { level, when } => {
                *level = leaked(*level, shape, now.since(*when)) + 1.0;
                *when = now;
            }
        }
    }

    fn count(&self, shape: Shape, now: Timestamp) -> u64 {
        match self {
            Self::Window(window) => window.count(shape, now),
            // Half an event is one: the first one counts as 1 until half of it has leaked.
            Self::Bucket { level, when } => {
                let level = leaked(*level, shape, now.since(*when)).round();
                let levels = 0.0..=f64::from(u32::MAX);
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "rounded, not negative and at most u32::MAX"
                )]
                let count = level.clamp(*levels.start(), *levels.end()) as u64;
                count
            }
        }
    }
}

/// What is left of a level. It leaks in proportion to itself, so that events that come evenly, N in the time, stand at N,
/// and a bucket needs no size of its own: the rule that asks sets it.
fn leaked(level: f64, shape: Shape, since: Duration) -> f64 {
    level * (-since.as_secs_f64() / shape.over.as_secs_f64().max(f64::MIN_POSITIVE)).exp()
}

/// The events of the last slices of time.
#[derive(Debug, Clone, Default)]
struct Window {
    /// The number of the newest slice since the origin of time.
    newest: u64,
    /// By the slice's number, modulo their count.
    counts: [u32; SLICES + 1],
}

impl Window {
    fn slice(shape: Shape, now: Timestamp) -> u64 {
        let slices = u64::try_from(SLICES).unwrap_or(1);
        let millis = u64::try_from(shape.over.as_millis()).unwrap_or(u64::MAX).div_ceil(slices).max(1);
        now.as_millis() / millis
    }

    fn add(&mut self, shape: Shape, now: Timestamp) {
        let slice = Self::slice(shape, now).max(self.newest);
        for passed in self.newest.saturating_add(1)..=slice.min(self.newest.saturating_add(Self::length())) {
            self.set(passed, |_| 0);
        }
        if slice > self.newest.saturating_add(Self::length()) {
            self.counts = [0; SLICES + 1];
        }
        self.newest = slice;
        self.set(slice, |count| count.saturating_add(1));
    }

    fn count(&self, shape: Shape, now: Timestamp) -> u64 {
        let slice = Self::slice(shape, now).max(self.newest);
        // Slices up to this one have left the window.
        let left = slice.saturating_sub(Self::length());
        let still = |number: &u64| slice < Self::length() || *number > left;
        let first = self.newest.saturating_sub(Self::length() - 1);
        (first..=self.newest).filter(still).map(|number| u64::from(self.get(number))).sum()
    }

    fn length() -> u64 {
        u64::try_from(SLICES + 1).unwrap_or(1)
    }

    fn place(number: u64) -> usize {
        usize::try_from(number % Self::length()).unwrap_or(0)
    }

    fn get(&self, number: u64) -> u32 {
        self.counts.get(Self::place(number)).copied().unwrap_or(0)
    }

    fn set(&mut self, number: u64, change: impl FnOnce(u32) -> u32) {
        if let Some(count) = self.counts.get_mut(Self::place(number)) {
            *count = change(*count);
        }
    }
}
