//! Opening a log: what stands in its segments becomes the index again.
//!
//! Segments are read in order, from their index files where these are whole. Nothing is ever appended to a segment that
//! was there before: behind a torn record an older one could come to life.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::num::NonZeroU32;
use std::sync::Arc;

use super::digest::{Digest, IndexFile, read_index};
use super::index::Index;
use super::names::{Name, NotOurs};
use super::payload::read_mark;
use super::reclaim::write_index;
use super::record::{HEADER_OCTETS, Header, Kind};
use super::scan::{Damage, Scan, scan};
use super::shared::Segment;
use crate::disk::{Disk, DiskFile};
use crate::queue_id::QueueId;

/// What opening a log found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// Messages in the queue.
    pub messages: u64,
    /// Segments of the log.
    pub segments: u64,
    /// Segments that had to be read because there was no whole index file.
    pub segments_read: u64,
    /// Octets of the log's segments and of large bodies.
    pub octets: u64,
    /// Large bodies.
    pub large_bodies: u64,
    /// Records that were acknowledged and are not whole: an alarm. The segments they stand in are kept.
    pub damaged: Vec<Damage>,
    /// Records that a crash cut short before anybody was told of them: nothing is lost.
    pub unfinished: Vec<Damage>,
    /// Large bodies without a message, spares and index files without a use, which were removed.
    pub leftovers: u64,
}

/// Why a log cannot be opened.
#[derive(Debug)]
pub enum OpenError {
    /// The disk says no; of kind `ResourceBusy` when another process has the spool.
    Disk(io::Error),
    /// A file of another version: written by another release of this program, which must be used to empty the spool.
    OtherVersion(String),
}

impl fmt::Display for OpenError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disk(error) => write!(formatter, "the spool cannot be opened: {error}"),
            Self::OtherVersion(name) => write!(formatter, "the spool has another version's file {name}"),
        }
    }
}

impl std::error::Error for OpenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Disk(error) => Some(error),
            Self::OtherVersion(_) => None,
        }
    }
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// A log as it was found.
pub(super) struct Recovered<F> {
    pub(super) index: Index,
    pub(super) segments: BTreeMap<NonZeroU32, Segment<F>>,
    pub(super) spares: Vec<NonZeroU32>,
    pub(super) next_number: NonZeroU32,
    /// No id up to this number may be given.
    pub(super) mark: u64,
    pub(super) report: Report,
}

/// Whether a log is opened for use or only looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Index files are trusted and completed, leftovers removed.
    Use { spares_max: usize, segment_octets: u32 },
    /// Every record is read, nothing is changed.
    Check,
}

/// The names in a spool's directory by what they are.
#[derive(Default)]
struct Listing {
    segments: BTreeMap<NonZeroU32, (u32, u64)>,
    indexes: BTreeMap<NonZeroU32, u64>,
    spares: Vec<(NonZeroU32, u64)>,
    large: BTreeMap<QueueId, u64>,
    highest: u32,
}

impl Listing {
    fn read(disk: &impl Disk) -> Result<Self, OpenError> {
        let mut listing = Self::default();
        for (text, size_octets) in disk.list()? {
            let name = match Name::read(&text) {
                Ok(name) => name,
                Err(NotOurs::Foreign) => continue,
                Err(NotOurs::OtherVersion) => return Err(OpenError::OtherVersion(text)),
            };
            let number = match name {
                Name::Segment(number, salt) => {
                    listing.segments.insert(number, (salt, size_octets));
                    number
                }
                Name::Index(number) => {
                    listing.indexes.insert(number, size_octets);
                    number
                }
                Name::Spare(number) => {
                    listing.spares.push((number, size_octets));
                    number
                }
                Name::Damaged(number, _) => number,
                Name::Large(id) => {
                    listing.large.insert(id, size_octets);
                    continue;
                }
                Name::Lock => continue,
            };
            listing.highest = listing.highest.max(number.get());
        }
        Ok(listing)
    }
}

/// Reads a log.
pub(super) fn recover<D: Disk>(disk: &D, purpose: Purpose) -> Result<Recovered<D::File>, OpenError> {
    let listing = Listing::read(disk)?;
    let mut recovered = Recovered {
        index: Index::default(),
        segments: BTreeMap::new(),
        spares: Vec::new(),
        next_number: NonZeroU32::MIN.saturating_add(listing.highest),
        mark: 0,
        report: Report::default(),
    };
    let numbers: Vec<NonZeroU32> = listing.segments.keys().copied().collect();
    for (position, &number) in numbers.iter().enumerate() {
        let Some(&(salt, size_octets)) = listing.segments.get(&number) else { continue };
        let file = Arc::new(disk.open(&Name::Segment(number, salt).to_string())?);
        let index_octets = listing.indexes.get(&number).filter(|_| purpose != Purpose::Check);
        let scanned = match index_octets.and_then(|&octets| from_index(disk, number, salt, octets)) {
            Some(scanned) => scanned,
            None => {
                let next = numbers.get(position + 1).copied();
                let sealed_octets = next
                    .and_then(|next| Some((next, listing.segments.get(&next)?.0)))
                    .map_or(Ok(0), |(next, salt)| sealed_octets(disk, next, salt))?;
                recovered.report.segments_read += 1;
                let octets = read_file(file.as_ref(), size_octets)?;
                let scanned = scan(&octets, number, salt, sealed_octets);
                if purpose != Purpose::Check {
                    complete(disk, number, salt, &scanned, index_octets.is_some());
                }
                scanned
            }
        };
        let damaged = !scanned.damage.is_empty();
        recovered.segments.insert(number, Segment { file, salt, size_octets, damaged });
        recovered.report.octets += size_octets;
        recovered.take(scanned);
    }
    recovered.index.drop_orphans();
    recovered.index.compact();
    recovered.settle_damage();
    recovered.report.segments = recovered.segments.len() as u64;
    recovered.report.messages = recovered.index.len() as u64;
    recovered.large_bodies(disk, &listing, purpose);
    if let Purpose::Use { spares_max, segment_octets } = purpose {
        recovered.sort_out(disk, &listing, spares_max, segment_octets);
    }
    Ok(recovered)
}

impl<F> Recovered<F> {
    fn take(&mut self, scanned: Scan) {
        self.report.unfinished.extend(scanned.unfinished);
        for damage in scanned.damage {
            if let (Some(id), true) = (damage.id, damage.is_message) {
                self.mark = self.mark.max(id.number());
                if !self.index.contains(id) {
                    self.index.set_damaged(id);
                }
            }
            self.report.damaged.push(damage);
        }
        for digest in scanned.digests {
            match &digest {
                Digest::Mark { ids_until, .. } => self.mark = self.mark.max(*ids_until),
                Digest::Message { id, .. } | Digest::State { id, .. } | Digest::Gone { id } => {
                    self.mark = self.mark.max(id.number());
                }
            }
            self.index.apply(digest);
        }
    }

    /// Leaves out damage to what is gone, or stands elsewhere too.
    fn settle_damage(&mut self) {
        let index = &self.index;
        self.report.damaged.retain(|damage| match damage.id {
            Some(id) if damage.is_message => index.is_damaged(id) && !index.contains(id),
            Some(id) => index.contains(id),
            None => true,
        });
    }

    /// Counts the large bodies; those that no message has are removed.
    fn large_bodies<D: Disk>(&mut self, disk: &D, listing: &Listing, purpose: Purpose) {
        for (&id, &size_octets) in &listing.large {
            let wanted = self.index.is_large(id);
            if wanted || self.index.is_damaged(id) {
                self.report.large_bodies += 1;
                self.report.octets += size_octets;
            } else {
                self.report.leftovers += 1;
                if purpose != Purpose::Check {
                    // What cannot be removed now is tried again at the next start.
                    let _ = disk.remove(&Name::Large(id).to_string());
                }
            }
        }
        for id in self.index.large_ids().filter(|id| !listing.large.contains_key(id)) {
            let lost = Damage { segment: 0, offset: 0, octets: 0, id: Some(id), is_message: true };
            self.report.damaged.push(lost);
        }
    }

    /// Keeps the spares that can be used, and removes the files that nothing needs.
    fn sort_out<D: Disk>(&mut self, disk: &D, listing: &Listing, spares_max: usize, segment_octets: u32) {
        for &(number, size_octets) in &listing.spares {
            if size_octets == u64::from(segment_octets) && self.spares.len() <= spares_max {
                self.spares.push(number);
            } else {
                self.report.leftovers += 1;
                let _ = disk.remove(&Name::Spare(number).to_string());
            }
        }
        for &number in listing.indexes.keys().filter(|number| !listing.segments.contains_key(number)) {
            self.report.leftovers += 1;
            let _ = disk.remove(&Name::Index(number).to_string());
        }
    }
}

fn read_file(file: &impl DiskFile, size_octets: u64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(size_octets).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let mut octets = vec![0; length];
    let read = file.read_at(&mut octets, 0)?;
    octets.truncate(read);
    Ok(octets)
}

fn from_index(disk: &impl Disk, number: NonZeroU32, salt: u32, size_octets: u64) -> Option<Scan> {
    let name = Name::Index(number).to_string();
    let file = read_file(&disk.open(&name).ok()?, size_octets).ok()?;
    let (digests, damage, end) = read_index(&file, number, salt)?;
    Some(Scan { digests, damage, end, ..Scan::default() })
}

/// Writes the index file that a segment lacks.
fn complete(disk: &impl Disk, number: NonZeroU32, salt: u32, scanned: &Scan, replaces: bool) {
    let mut index = IndexFile::default();
    for digest in &scanned.digests {
        index.push(digest);
    }
    for damage in &scanned.damage {
        index.push_damage(damage);
    }
    if replaces {
        let _ = disk.remove(&Name::Index(number).to_string());
    }
    write_index(disk, number, &index.finish(number, salt, scanned.end));
}

/// Up to where the segment before `next` was synced when that was begun.
fn sealed_octets<D: Disk>(disk: &D, next: NonZeroU32, salt: u32) -> io::Result<usize> {
    let file = disk.open(&Name::Segment(next, salt).to_string())?;
    let mut octets = [0u8; HEADER_OCTETS + 20];
    let read = file.read_at(&mut octets, 0)?;
    let octets = octets.get(..read).unwrap_or_default();
    let mark = Header::read(octets, salt).filter(|header| header.kind == Kind::Mark).and_then(|header| {
        let payload = octets.get(HEADER_OCTETS..header.record_octets())?;
        (header.segment == next.get() && header.is_payload(payload, salt)).then(|| read_mark(payload))?
    });
    Ok(mark.map_or(0, |(_, sealed_octets)| sealed_octets as usize))
}
