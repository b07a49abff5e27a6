//! The committer: the only writer of the log. It gathers what waits, writes it once, syncs it once, and answers.
//!
//! Invariants: the index takes in what was written after the sync, in the order of the records; nobody is answered
//! `Ok` before that; after the first failed write or sync nothing is written any more.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use foldhash::HashSet;

use super::digest::{Digest, IndexFile, Summary};
use super::entry::{Destinations, StateSummary};
use super::index::Key;
use super::names::Name;
use super::options::Drill;
use super::payload::put_mark;
use super::reclaim::Reclaim;
use super::record::{Frame, HEADER_OCTETS, Kind, Place, RECORD_OCTETS_MAX};
use super::shared::{GROUP_OCTETS_MAX, Job, Shared};
use crate::body::Unkept;
use crate::disk::{Disk, DiskFile};

use crate::queue_id::QueueId;
use crate::spool::SpoolError;
use crate::wait::{Sender, lock};

/// How far ahead of the last id the mark stands, in ids: a minute of the clock. Ids up to the mark may be skipped after
/// a restart; a record a minute is written for it.
const MARK_AHEAD: u64 = 60_000 << 12;

/// Room for the mark that every segment begins with.
const MARK_OCTETS_MAX: u64 = HEADER_OCTETS as u64 + 20;

/// The segment that is being written.
pub(super) struct Active<F> {
    pub(super) file: Arc<F>,
    pub(super) number: NonZeroU32,
    pub(super) salt: u32,
    pub(super) size_octets: u64,
    /// Up to here everything is synced.
    pub(super) end: u32,
    pub(super) index: IndexFile,
}

/// A record that is to be written.
pub(super) struct Part {
    pub(super) id: Option<QueueId>,
    pub(super) head: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) says: Says,
}

/// What a record will say to the index.
pub(super) enum Says {
    Message(Summary),
    State(u32, StateSummary),
    Gone,
    Mark {
        ids_until: u64,
        sealed_octets: u32,
    },
    /// A live record that is written again: its kind, the delivery's number for a state, and where it stood.
    Moved(Kind, Option<u32>, Place),
}

impl Part {
    fn kind(&self) -> Kind {
        match &self.says {
            Says::Message(_) => Kind::Message,
            Says::State(..) => Kind::State,
            Says::Gone => Kind::Gone,
            Says::Mark { .. } => Kind::Mark,
            Says::Moved(kind, ..) => *kind,
        }
    }

    fn octets(&self) -> usize {
        HEADER_OCTETS + self.head.len() + self.body.len()
    }

    fn fill(&self, buffer: &mut Vec<u8>) {
        buffer.extend_from_slice(&self.head);
        buffer.extend_from_slice(&self.body);
    }

    fn number(&self) -> u64 {
        self.id.map_or(0, QueueId::number)
    }
}

/// What the index takes in after the sync.
pub(super) enum Change {
    Record(Digest),
    Moved { id: QueueId, number: Option<u32>, old: Place, new: Place },
}

/// Who is told after the sync.
pub(super) enum Answer {
    Accepted(Sender<Result<(), SpoolError>>, Vec<Unkept>),
    Settled(Sender<Result<Vec<QueueId>, SpoolError>>, Vec<QueueId>),
    Ordered(Sender<Result<u64, SpoolError>>, u64),
}

/// Records that are written and synced together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) buffer: Vec<u8>,
    pub(super) changes: Vec<Change>,
    pub(super) answers: Vec<Answer>,
    /// The messages in it.
    pub(super) accepting: HashSet<QueueId>,
}

pub(super) struct Committer<D: Disk> {
    pub(super) shared: Arc<Shared<D>>,
    pub(super) active: Option<Active<D::File>>,
    pub(super) next_number: NonZeroU32,
    pub(super) spares: Vec<NonZeroU32>,
    pub(super) group: Group,
    pub(super) reclaim: Reclaim,
    /// Deliveries that are in our hands because orders wait for them.
    pub(super) wished: Vec<Key>,
}

impl<D: Disk> Committer<D> {
    /// Works until the spool stops.
    pub(super) fn work(mut self) {
        let mut more = true;
        while let Some((jobs, octets)) = self.shared.clone().intake.take(!more) {
            more = self.commit(jobs, octets);
        }
        self.close();
    }

    /// Carries out jobs, and whatever keeps the log in order; whether more of that is to be done.
    pub(super) fn commit(&mut self, jobs: Vec<Job>, octets: u64) -> bool {
        if self.shared.fault.get().is_none() {
            self.mark_ids();
            self.reclaim_slice();
        }
        for job in jobs {
            self.take(job);
        }
        self.flush();
        while let Some(key) = self.wished.pop() {
            self.take(Job::Wishes(key));
            self.flush();
        }
        self.shared.room.written(octets);
        self.shared.fault.get().is_none() && self.tend()
    }

    /// Writes the index file of the segment, so that the next start need not read it.
    pub(super) fn close(&mut self) {
        if self.shared.fault.get().is_none()
            && let Some(active) = self.active.take()
        {
            self.seal(active);
        }
    }

    fn mark_ids(&mut self) {
        let given = self.shared.allotter.high_water();
        if given <= self.shared.mark.load(Ordering::Relaxed) {
            return;
        }
        // When it cannot be written the fault is latched or the disk is full: then no message is taken either.
        if self.active.is_none() {
            // A new segment begins with a mark.
            let _ = self.ensure_room(0, false);
        } else {
            let part = self.mark_part(0);
            let _ = self.write(vec![part], false);
        }
    }

    fn mark_part(&self, sealed_octets: u32) -> Part {
        let given = self.shared.allotter.high_water();
        let mark = self.shared.mark.load(Ordering::Relaxed);
        let ids_until = if given > mark { given.saturating_add(MARK_AHEAD) } else { mark };
        let mut head = Vec::new();
        put_mark(&mut head, ids_until, sealed_octets);
        Part { id: None, head, body: Vec::new(), says: Says::Mark { ids_until, sealed_octets } }
    }

    /// Puts records into the group, so that they count together or not at all. Gives them back when they cannot be.
    pub(super) fn write(&mut self, parts: Vec<Part>, reserve: bool) -> Result<(), (SpoolError, Vec<Part>)> {
        let mut octets: usize = parts.iter().map(Part::octets).sum();
        if parts.len() > 1 {
            octets += HEADER_OCTETS;
        }
        if octets > RECORD_OCTETS_MAX {
            let why = format!("a record of {octets} octets is over {RECORD_OCTETS_MAX}");
            return Err((SpoolError::Unavailable(why), parts));
        }
        let ready = self.shared.check_fault().and_then(|()| self.ensure_room(octets, reserve));
        let frame = match ready.map(|()| self.frame()) {
            Ok(Some(frame)) => frame,
            Ok(None) => return Err((SpoolError::Unavailable("no segment is open".into()), parts)),
            Err(error) => return Err((error, parts)),
        };
        if let [part] = parts.as_slice() {
            let buffer = &mut self.group.buffer;
            let place = frame.append(buffer, part.kind(), false, part.number(), |out| part.fill(out));
            self.note(parts, &[place]);
            return Ok(());
        }
        let mut places = Vec::with_capacity(parts.len());
        frame.append(&mut self.group.buffer, Kind::Group, false, 0, |out| {
            for part in &parts {
                places.push(frame.append(out, part.kind(), true, part.number(), |out| part.fill(out)));
            }
        });
        self.note(parts, &places);
        Ok(())
    }

    /// Notes what the index will be told.
    fn note(&mut self, parts: Vec<Part>, places: &[Place]) {
        for (part, &place) in parts.into_iter().zip(places) {
            let number = part.number();
            let digest = match (part.says, part.id) {
                (Says::Message(summary), Some(id)) => Digest::Message { id, place, summary },
                (Says::State(number, state), Some(id)) => Digest::State { id, place, number, state },
                (Says::Gone, Some(id)) => Digest::Gone { id },
                (Says::Mark { ids_until, sealed_octets }, _) => Digest::Mark { ids_until, sealed_octets },
                (Says::Moved(kind, delivery, old), Some(id)) => {
                    self.group.changes.push(Change::Moved { id, number: delivery, old, new: place });
                    if let (Some(digest), Some(active)) = (
                        Digest::of(kind, number, place, &part.head, &mut Destinations::default()),
                        self.active.as_mut(),
                    ) {
                        active.index.push(&digest);
                    }
                    continue;
                }
                (_, None) => continue,
            };
            if let Some(active) = self.active.as_mut() {
                active.index.push(&digest);
            }
            self.group.changes.push(Change::Record(digest));
        }
    }

    fn frame(&self) -> Option<Frame> {
        let active = self.active.as_ref()?;
        Some(Frame { salt: active.salt, segment: active.number, group: active.end })
    }

    /// Makes sure that the active segment takes `octets` more, in this group.
    fn ensure_room(&mut self, octets: usize, reserve: bool) -> Result<(), SpoolError> {
        if !self.group.buffer.is_empty() && self.group.buffer.len() + octets > GROUP_OCTETS_MAX {
            self.flush();
        }
        let gathered = (self.group.buffer.len() + octets) as u64;
        let fits = |active: &Active<D::File>| u64::from(active.end) + gathered <= active.size_octets;
        if self.active.as_ref().is_some_and(fits) {
            return Ok(());
        }
        self.flush();
        self.shared.check_fault()?;
        self.roll(octets as u64, reserve)
    }

    /// Begins the next segment.
    fn roll(&mut self, octets: u64, reserve: bool) -> Result<(), SpoolError> {
        let next = self.begin_segment(octets + MARK_OCTETS_MAX, reserve)?;
        let before = self.active.replace(next);
        let sealed_octets = before.as_ref().map_or(0, |before| before.end);
        if let Some(before) = before {
            self.seal(before);
        }
        let mark = self.mark_part(sealed_octets);
        if let Some(frame) = self.frame() {
            let place =
                frame.append(&mut self.group.buffer, Kind::Mark, false, 0, |buffer| mark.fill(buffer));
            self.note(vec![mark], &[place]);
        }
        Ok(())
    }

    /// Writes and syncs the group, tells the index, and answers.
    pub(super) fn flush(&mut self) {
        let mut group = std::mem::take(&mut self.group);
        if group.buffer.is_empty() {
            self.answer(&mut group, None);
        } else if let Err(error) = self.write_group(&group) {
            let error = self.shared.latch("writing the log", &error);
            self.apply_in_memory(&mut group);
            self.answer(&mut group, Some(&error));
        } else {
            self.apply(&mut group);
            self.answer(&mut group, None);
        }
        group.buffer.clear();
        if group.buffer.capacity() > GROUP_OCTETS_MAX {
            group.buffer.shrink_to(GROUP_OCTETS_MAX);
        }
        group.accepting.clear();
        self.group = group;
    }

    fn write_group(&mut self, group: &Group) -> std::io::Result<()> {
        let active = self.active.as_mut().ok_or(std::io::ErrorKind::NotFound)?;
        if self.shared.options.drill == Some(Drill::MessageWritesFail) && !group.accepting.is_empty() {
            return Err(std::io::Error::other("Input/output error (drill)"));
        }
        active.file.write_at(&group.buffer, u64::from(active.end))?;
        active.file.sync()?;
        active.end = active.end.saturating_add(group.buffer.len() as u32);
        Ok(())
    }

    fn apply(&mut self, group: &mut Group) {
        let mut large_bodies = Vec::new();
        let mut wakes = false;
        let mut index = lock(&self.shared.index);
        for change in group.changes.drain(..) {
            match change {
                Change::Moved { id, number, old, new } => index.moved(id, number, old, new),
                Change::Record(Digest::Mark { ids_until, .. }) => {
                    self.shared.mark.fetch_max(ids_until, Ordering::Relaxed);
                }
                Change::Record(Digest::Gone { id }) => {
                    if index.remove(id) == Some(true) {
                        large_bodies.push(id);
                    }
                }
                Change::Record(digest) => {
                    wakes = true;
                    let key = state_key(&digest);
                    index.apply(digest);
                    if let Some(key) = key.filter(|key| index.has_wishes(*key)) {
                        self.wished.push(key);
                    }
                }
            }
        }
        self.shared.room.set_messages(index.len());
        drop(index);
        self.remove_large_bodies(large_bodies);
        if wakes {
            self.shared.bell.ring();
        }
    }

    /// After a failure: what became of recipients holds in memory, so that nothing is delivered twice before the next
    /// start; nothing else does.
    fn apply_in_memory(&mut self, group: &mut Group) {
        let mut index = lock(&self.shared.index);
        for change in group.changes.drain(..) {
            match change {
                Change::Record(Digest::State { id, number, state, .. }) => {
                    index.put_state(id, None, number, &state);
                    if index.has_wishes((id, number)) {
                        self.wished.push((id, number));
                    }
                }
                Change::Record(Digest::Gone { id }) => {
                    index.remove(id);
                }
                Change::Record(_) | Change::Moved { .. } => {}
            }
        }
        drop(index);
        self.shared.bell.ring();
    }

    /// The same for records that never came into a group.
    pub(super) fn refuse(&mut self, parts: Vec<Part>) {
        let mut index = lock(&self.shared.index);
        for part in parts {
            match (part.says, part.id) {
                (Says::State(number, state), Some(id)) => {
                    index.put_state(id, None, number, &state);
                    if index.has_wishes((id, number)) {
                        self.wished.push((id, number));
                    }
                }
                (Says::Gone, Some(id)) => {
                    index.remove(id);
                }
                _ => {}
            }
        }
        drop(index);
        self.shared.bell.ring();
    }

    fn answer(&mut self, group: &mut Group, error: Option<&SpoolError>) {
        fn result<T>(value: T, error: Option<&SpoolError>) -> Result<T, SpoolError> {
            error.map_or(Ok(value), |error| Err(error.clone()))
        }
        let wakers: Vec<Waker> = group
            .answers
            .drain(..)
            .filter_map(|answer| match answer {
                Answer::Accepted(sender, large) => {
                    // Also after a failure: the record may be on the disk, and must then find its body. If it is not,
                    // the next start clears the body away.
                    large.into_iter().for_each(Unkept::keep);
                    sender.send_quietly(result((), error))
                }
                Answer::Settled(sender, ids) => sender.send_quietly(result(ids, error)),
                Answer::Ordered(sender, count) => sender.send_quietly(result(count, error)),
            })
            .collect();
        // Those who wait wake up to find the whole group answered, and not one by one.
        wakers.into_iter().for_each(Waker::wake);
    }

    fn remove_large_bodies(&self, ids: Vec<QueueId>) {
        for id in ids {
            // What cannot be removed now is cleared away when the spool is next opened.
            let _ = self.shared.disk.remove(&Name::Large(id).to_string());
        }
    }
}

fn state_key(digest: &Digest) -> Option<Key> {
    match digest {
        Digest::State { id, number, .. } => Some((*id, *number)),
        _ => None,
    }
}
