//! What sessions hand to the writer: chunks one behind the other in one buffer.
//!
//! Invariants: handing over copies a few hundred octets under a lock and never waits for the disk; the buffer has a
//! bound, and what doesn't fit is counted, by chunks and octets, never waited for.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::block::Filling;
use super::codec::{Cursor, put_octets};

/// Octets that wait for the writer at most (ours): half a minute of 300 octets a chunk at a thousand chunks a second.
pub(super) const WAITING_OCTETS_MAX: usize = 8 * 1024 * 1024;

/// Octets after which the writer is woken (ours).
pub(super) const BLOCK_OCTETS: usize = 64 * 1024;

/// What was lost, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lost {
    /// Chunks that found no room in memory.
    pub no_room: u64,
    /// Chunks that could not be written.
    pub not_written: u64,
}

impl Lost {
    /// All of it.
    #[must_use]
    pub const fn chunks(self) -> u64 {
        self.no_room + self.not_written
    }
}

/// What waits, and what was lost since it was last taken.
#[derive(Debug, Default)]
pub(super) struct Taken {
    octets: Vec<u8>,
    pub(super) no_room: u64,
    pub(super) closed: bool,
    /// The last wish to have everything written.
    wish: u64,
    /// The last wish that was granted.
    granted: u64,
    /// Whether nobody grants any.
    ended: bool,
}

impl Taken {
    /// The chunks, in the order in which they came.
    pub(super) fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let mut cursor = Cursor::new(&self.octets);
        std::iter::from_fn(move || cursor.octets())
    }

    /// The number of the last wish to have everything written.
    pub(super) const fn wish(&self) -> u64 {
        self.wish
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }
}

/// The buffer between sessions and the writer.
#[derive(Debug)]
pub(super) struct Inbox {
    waiting: Mutex<Taken>,
    wake: Condvar,
    written: Condvar,
    octets_max: usize,
}

impl Inbox {
    pub(super) fn new(octets_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Taken::default()),
            wake: Condvar::new(),
            written: Condvar::new(),
            octets_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a chunk over, or counts it as lost.
    pub(super) fn put(&self, chunk: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.octets.len() + chunk.len() > self.octets_max {
            waiting.no_room += 1;
            return;
        }
        let before = waiting.octets.len();
        put_octets(&mut waiting.octets, chunk);
        if before < BLOCK_OCTETS && waiting.octets.len() >= BLOCK_OCTETS {
            self.wake.notify_one();
        }
    }

    /// Takes all that waits into `emptied`, whose buffer is used again.
    pub(super) fn take(&self, emptied: &mut Taken) {
        emptied.octets.clear();
        let mut waiting = self.lock();
        std::mem::swap(&mut waiting.octets, &mut emptied.octets);
        emptied.no_room = std::mem::take(&mut waiting.no_room);
        emptied.closed = waiting.closed;
        emptied.wish = waiting.wish;
    }

    /// Says that what `taken` held is written, or lost for good.
    pub(super) fn done(&self, taken: &Taken) {
        let mut waiting = self.lock();
        waiting.granted = taken.wish;
        waiting.ended = taken.closed;
        self.written.notify_all();
    }

    /// Waits until what was put before is written, or lost for good; not at all once the inbox is closed.
    pub(super) fn flush(&self) {
        let mut waiting = self.lock();
        waiting.wish += 1;
        let wish = waiting.wish;
        self.wake.notify_one();
        let go_on = |waiting: &mut Taken| waiting.granted < wish && !waiting.ended && !waiting.closed;
        drop(self.written.wait_while(waiting, go_on));
    }

    /// Waits until a block is full, `longest` has passed, or the inbox is closed.
    pub(super) fn wait(&self, longest: Duration) {
        let waiting = self.lock();
        let go_on = |waiting: &mut Taken| {
            waiting.octets.len() < BLOCK_OCTETS && !waiting.closed && waiting.wish == waiting.granted
        };
        drop(self.wake.wait_timeout_while(waiting, longest, go_on));
    }

    /// Takes nothing more; the writer ends when it has taken what is there.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_all();
        self.written.notify_all();
    }
}

/// Sorts chunks into blocks of at most [`BLOCK_OCTETS`], but for a chunk that is longer itself.
pub(super) fn needs_new_block(filling: &Filling, chunk: &[u8]) -> bool {
    filling.chunks() > 0 && filling.octets() + chunk.len() > BLOCK_OCTETS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_finds_no_room_is_counted_and_the_rest_kept() {
        let inbox = Inbox::new(10);
        for chunk in [&b"12345"[..], b"6789", b"0", b""] {
            inbox.put(chunk);
        }
        let mut taken = Taken::default();
        inbox.take(&mut taken);
        assert_eq!(taken.chunks().collect::<Vec<_>>(), [&b"12345"[..], b"6789"]);
        assert_eq!(taken.no_room, 2);
        inbox.put(b"next");
        inbox.take(&mut taken);
        assert_eq!(taken.chunks().collect::<Vec<_>>(), [b"next"]);
        assert_eq!((taken.no_room, taken.closed), (0, false));
        inbox.close();
        inbox.put(b"late");
        inbox.take(&mut taken);
        assert_eq!((taken.is_empty(), taken.no_room, taken.closed), (true, 1, true));
    }

    #[test]
    fn a_full_block_and_the_end_wake_the_writer() {
        const LONG: Duration = Duration::from_secs(3_600);
        let inbox = Inbox::new(WAITING_OCTETS_MAX);
        inbox.put(&[0; BLOCK_OCTETS]);
        inbox.wait(LONG);
        inbox.take(&mut Taken::default());
        std::thread::scope(|scope| {
            let flush = scope.spawn(|| inbox.flush());
            inbox.wait(LONG);
            let mut taken = Taken::default();
            inbox.take(&mut taken);
            inbox.done(&taken);
            flush.join().unwrap();
        });
        inbox.close();
        inbox.wait(LONG);
        inbox.flush();
    }
}
