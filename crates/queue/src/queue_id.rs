//! The queue id: the name of an accepted message in replies, trace fields, logs and orders.
//!
//! Invariants: an [`Allotter`] never gives an id twice and each is greater than the one before, whatever the clock does;
//! the text of a greater id sorts after the text of a smaller one.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};

use smtp::time::WallTime;

/// Characters in the text of a queue id: 55 bits, which last until the year 2248.
pub const QUEUE_ID_CHARACTERS: usize = 11;

/// Crockford's base32: digits and letters without I, L, O and U, in the order of their values.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Bits of the text of a queue id.
const ID_BITS: u32 = 5 * QUEUE_ID_CHARACTERS as u32;

/// Ids that one millisecond has room for before they run ahead of the clock, as a power of two.
const IDS_PER_MILLISECOND_BITS: u32 = 12;

/// The name of a message in the spool: ordered by time of allotment, never used again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueueId(u64);

impl QueueId {
    /// The id with this number, when it fits into [`QUEUE_ID_CHARACTERS`].
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        if number >> ID_BITS == 0 { Some(Self(number)) } else { None }
    }

    /// The number behind the text.
    #[must_use]
    pub const fn number(self) -> u64 {
        self.0
    }

    /// The first id that a millisecond of the clock can give.
    pub(crate) const fn first_of(now: WallTime) -> u64 {
        (now.as_unix_millis() << IDS_PER_MILLISECOND_BITS) & ((1 << ID_BITS) - 1)
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0u8; QUEUE_ID_CHARACTERS];
        let mut rest = self.0;
        for octet in text.iter_mut().rev() {
            *octet = ALPHABET.get((rest & 31) as usize).copied().unwrap_or(b'0');
            rest >>= 5;
        }
        formatter.pad(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl fmt::Debug for QueueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// The text is no queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotAQueueId;

impl fmt::Display for NotAQueueId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "not a queue id: {QUEUE_ID_CHARACTERS} digits and letters without I, L, O and U")
    }
}

impl std::error::Error for NotAQueueId {}

impl FromStr for QueueId {
    type Err = NotAQueueId;

    /// Reads either case, and the look-alikes O, I and L as the digits they are taken for.
    fn from_str(text: &str) -> Result<Self, NotAQueueId> {
        if text.len() != QUEUE_ID_CHARACTERS {
            return Err(NotAQueueId);
        }
        let mut number = 0u64;
        for octet in text.bytes() {
            let octet = match octet.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let value = ALPHABET.iter().position(|&character| character == octet).ok_or(NotAQueueId)?;
            number = number << 5 | value as u64;
        }
        Ok(Self(number))
    }
}

/// Gives out queue ids; its high-water mark is what makes them unique when the clock steps back.
#[derive(Debug)]
pub struct Allotter {
    last: AtomicU64,
}

impl Allotter {
    /// An allotter whose ids are all greater than `high_water`, a number of an id.
    #[must_use]
    pub const fn above(high_water: u64) -> Self {
        Self { last: AtomicU64::new(high_water) }
    }

    /// The next id: `now`'s first, or the one after the last when the clock has not moved on.
    pub fn allot(&self, now: WallTime) -> QueueId {
        let first = QueueId::first_of(now);
        let next = |last: u64| first.max(last + 1);
        let last = self.last.update(Ordering::Relaxed, Ordering::Relaxed, next);
        QueueId(next(last))
    }

    /// The number of the greatest id given.
    pub fn high_water(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(milliseconds: u64) -> WallTime {
        WallTime::from_unix_millis(milliseconds)
    }

    #[test]
    fn the_text_reads_back_in_either_case_and_with_look_alikes() {
        let id = Allotter::above(0).allot(at(1_794_000_000_000));
        let text = id.to_string();
        assert_eq!(text.len(), QUEUE_ID_CHARACTERS);
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(text.to_lowercase().parse(), Ok(id));
        assert_eq!(text.replace('0', "O").replace('1', "l").parse(), Ok(id));
        assert_eq!("0000000000U".parse::<QueueId>(), Err(NotAQueueId));
        assert_eq!("".parse::<QueueId>(), Err(NotAQueueId));
    }

    #[test]
    fn ids_grow_when_the_clock_steps_back() {
        let allotter = Allotter::above(0);
        let times = [1_000_000_000_000, 1_000_000_000_000, 999_999_999_000, 1_000_000_000_001, 5];
        let ids: Vec<QueueId> = times.iter().map(|&time| allotter.allot(at(time))).collect();
        assert!(
            ids.is_sorted_by(|left, right| left < right && left.to_string() < right.to_string()),
            "{ids:?}"
        );
        let after_restart = Allotter::above(allotter.high_water()).allot(at(5));
        assert!(ids.iter().all(|&id| id < after_restart));
    }
}
