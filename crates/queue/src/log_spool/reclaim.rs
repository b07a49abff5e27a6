//! Segments come and go: beginning, sealing, taking back the tail, and the reserve.
//!
//! Space is taken back from the tail only, one segment at a time with the directory synced after each, so that no Gone
//! is dropped before the message that it buries.

use std::num::NonZeroU32;
use std::sync::Arc;

use super::committer::{Active, Committer, Part, Says};
use super::digest::IndexFile;
use super::jobs::state_part;
use super::names::Name;
use super::record::{HEADER_OCTETS, Kind, Place};
use super::shared::Segment;
use crate::disk::{Disk, DiskFile};
use crate::queue_id::QueueId;
use crate::spool::{NoRoom, SpoolError};
use crate::wait::lock;

/// Octets of the tail that are written again with one commit (ours: a few milliseconds of a disk).
const SLICE_OCTETS: u64 = 1024 * 1024;

/// Messages that are looked at for one slice (ours: below a millisecond with the index locked).
const SLICE_MESSAGES: usize = 4_096;

/// Passes over the index for one tail; a record that cannot be read stays, and with it the segment.
const PASSES_MAX: u32 = 2;

/// How far the tail is written again.
#[derive(Debug, Default)]
pub(super) struct Reclaim {
    tail: Option<NonZeroU32>,
    after: Option<QueueId>,
    passes: u32,
}

impl<D: Disk> Committer<D> {
    /// The file of the next segment, with room for `octets`. The last spare is only for `reserve`.
    pub(super) fn begin_segment(
        &mut self,
        octets: u64,
        reserve: bool,
    ) -> Result<Active<D::File>, SpoolError> {
        let number = self.next_number;
        let nominal = u64::from(self.shared.options.segment_octets);
        let size_octets = nominal.max(octets);
        let salt = salt(self.shared.options.salt, number);
        let name = Name::Segment(number, salt).to_string();
        let file = if size_octets == nominal && self.spares.len() > 1 {
            self.use_spare(&name)?
        } else {
            match self.shared.disk.create(&name, size_octets) {
                Ok(file) => file,
                Err(error) if is_full(&error) && reserve && size_octets == nominal => {
                    self.use_spare(&name)?
                }
                Err(error) if is_full(&error) => return Err(SpoolError::NoRoom(NoRoom::Reserve)),
                Err(error) => {
                    // Nothing was made (too many open files, say): the next mail tries again, under another name.
                    self.next_number = number.saturating_add(1);
                    return Err(error.into());
                }
            }
        };
        let synced = self.shared.disk.sync_directory();
        synced.map_err(|error| self.shared.latch("beginning a segment", &error))?;
        let file = Arc::new(file);
        self.next_number = number.saturating_add(1);
        let segment = Segment { file: Arc::clone(&file), salt, size_octets, damaged: false };
        lock(&self.shared.segments).insert(number, segment);
        Ok(Active { file, number, salt, size_octets, end: 0, index: IndexFile::default() })
    }

    fn use_spare(&mut self, name: &str) -> Result<D::File, SpoolError> {
        let spare = self.spares.pop().ok_or(SpoolError::NoRoom(NoRoom::Reserve))?;
        self.shared.room.set_reserve(!self.spares.is_empty());
        let disk = &self.shared.disk;
        let renamed = disk.rename(&Name::Spare(spare).to_string(), name).and_then(|()| disk.open(name));
        renamed.map_err(|error| self.shared.latch("using a spare segment", &error))
    }

    /// Writes the index file of a segment that is full.
    pub(super) fn seal(&self, active: Active<D::File>) {
        let Active { number, salt, end, index, .. } = active;
        write_index(&self.shared.disk, number, &index.finish(number, salt, end));
    }

    /// Frees the tail while nothing in it lives, and puts a reserve by; whether there is more of the tail to write
    /// again.
    pub(super) fn tend(&mut self) -> bool {
        while let Some(tail) = self.tail() {
            if lock(&self.shared.index).live_in(tail) > 0 {
                break;
            }
            if let Err(error) = self.retire(tail) {
                self.shared.latch("taking back a segment", &error);
                return false;
            }
        }
        if self.spares.is_empty() {
            self.put_reserve_by();
        }
        self.reclaims()
    }

    /// The oldest segment, unless that is the one being written.
    fn tail(&self) -> Option<NonZeroU32> {
        let tail = lock(&self.shared.segments).keys().next().copied()?;
        (self.active.as_ref().map(|active| active.number) != Some(tail)).then_some(tail)
    }

    fn retire(&mut self, number: NonZeroU32) -> std::io::Result<()> {
        let Some(segment) = lock(&self.shared.segments).remove(&number) else { return Ok(()) };
        let disk = &self.shared.disk;
        let name = segment.name(number).to_string();
        let nominal = u64::from(self.shared.options.segment_octets);
        if segment.damaged {
            disk.rename(&name, &Name::Damaged(number, segment.salt).to_string())?;
        } else if segment.size_octets == nominal && self.spares.len() <= self.shared.options.spares_max {
            disk.rename(&name, &Name::Spare(number).to_string())?;
            self.spares.push(number);
            self.shared.room.set_reserve(true);
        } else {
            disk.remove(&name)?;
        }
        match disk.remove(&Name::Index(number).to_string()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        disk.sync_directory()
    }

    /// Makes the reserve segment.
    pub(super) fn put_reserve_by(&mut self) {
        let number = self.next_number;
        let name = Name::Spare(number).to_string();
        let size_octets = u64::from(self.shared.options.segment_octets);
        if self.shared.disk.create(&name, size_octets).is_err() {
            // A full disk, most likely: no mail is taken until a later try succeeds.
            self.shared.room.set_reserve(false);
            return;
        }
        if let Err(error) = self.shared.disk.sync_directory() {
            self.shared.latch("making the reserve segment", &error);
            return;
        }
        self.spares.push(number);
        // The number only names the file, but no segment may get the same one.
        self.next_number = number.saturating_add(1);
        self.shared.room.set_reserve(true);
    }

    /// Whether the log holds so much that is dead that its tail is to be written again.
    fn reclaims(&self) -> bool {
        let held: u64 = lock(&self.shared.segments).values().map(|segment| segment.size_octets).sum();
        let live = lock(&self.shared.index).live_octets();
        let stuck = self.reclaim.passes >= PASSES_MAX && self.reclaim.tail == self.tail();
        held > live.saturating_mul(2).saturating_add(self.shared.options.reclaim_slack_octets)
            && self.tail().is_some()
            && !stuck
    }

    /// Writes a slice of what lives in the tail again.
    pub(super) fn reclaim_slice(&mut self) {
        let Some(tail) = self.tail().filter(|_| self.reclaims()) else { return };
        if self.reclaim.tail != Some(tail) {
            self.reclaim = Reclaim { tail: Some(tail), after: None, passes: 0 };
        }
        let (records, after) =
            lock(&self.shared.index).records_in(tail, self.reclaim.after, SLICE_MESSAGES, SLICE_OCTETS);
        for (id, number, place) in records {
            if !self.write_again(id, number, place) {
                return;
            }
        }
        self.reclaim.after = after;
        if after.is_none() {
            self.reclaim.passes += 1;
        }
    }

    /// Writes one live record again; false when nothing can be written now.
    fn write_again(&mut self, id: QueueId, number: Option<u32>, place: Place) -> bool {
        let part = match (self.shared.record(place), number) {
            (Ok(Some((kind, mut octets))), _) => {
                octets.drain(..HEADER_OCTETS.min(octets.len()));
                Part { id: Some(id), head: octets, body: Vec::new(), says: Says::Moved(kind, number, place) }
            }
            (Ok(None), Some(number)) => {
                // The replies in it are lost; all else of a state is in the index too.
                self.set_damaged(place.segment);
                let state = lock(&self.shared.index).state((id, number));
                let Some((state, _)) = state else { return true };
                let mut part = state_part(id, number, &state);
                part.says = Says::Moved(Kind::State, Some(number), place);
                part
            }
            (Ok(None), None) => {
                self.set_damaged(place.segment);
                let mut index = lock(&self.shared.index);
                index.remove(id);
                index.set_damaged(id);
                return true;
            }
            // The disk may answer next time, or at the next start.
            (Err(_), _) => return true,
        };
        self.write(vec![part], true).is_ok()
    }

    fn set_damaged(&self, number: NonZeroU32) {
        if let Some(segment) = lock(&self.shared.segments).get_mut(&number) {
            segment.damaged = true;
        }
    }
}

/// Writes an index file. It is a shortcut: when that fails the segment is read instead.
pub(super) fn write_index(disk: &impl Disk, number: NonZeroU32, octets: &[u8]) {
    let name = Name::Index(number).to_string();
    let made = disk.create(&name, 0).and_then(|file| {
        file.write_at(octets, 0)?;
        file.sync()
    });
    if made.is_err() {
        // A torn index file does not read, and is replaced at the next start.
        let _ = disk.remove(&name);
    }
}

pub(super) fn is_full(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)
}

/// The salt of a segment: an output of SplitMix64, so that one segment's says nothing of another's.
fn salt(seed: u64, number: NonZeroU32) -> u32 {
    let mut state = seed.wrapping_add(u64::from(number.get()).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (state ^ state >> 31) as u32
}
