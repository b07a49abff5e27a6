//! Reading messages, and answering postmasters from the index and the records.

use std::collections::HashMap;
use std::sync::Arc;

use smtp::time::WallTime;

use super::codec::Cursor;
use super::index::View;
use super::large_body::Source;
use super::names::Name;
use super::payload::{BodyForm, RawMessage, read_state};
use super::record::{HEADER_OCTETS, Kind, Place, read_record};
use super::shared::{Shared, Target};
use crate::body::{Content, StoredBody, StoredMessage};
use crate::delivery::{Delivery, Phase, RecipientState};
use crate::disk::Disk;
use crate::message::{Destination, QueuedMessage};
use crate::postmaster::{Census, DestinationCensus, Entry, Query, entry};
use crate::queue_id::QueueId;
use crate::spool::{Overdue, SpoolError};
use crate::wait::lock;

/// How often a record may move away while it is read.
const READ_TRIES: usize = 8;

/// Messages that are looked at with the index locked (ours: well below a millisecond).
pub(super) const PAGE_MESSAGES: usize = 1_000;

impl<D: Disk> Shared<D> {
    /// The record at `place`, header included; `None` when it is not (or no longer) there.
    pub(super) fn record(&self, place: Place) -> Result<Option<(Kind, Vec<u8>)>, SpoolError> {
        let segment = {
            let segments = lock(&self.segments);
            segments.get(&place.segment).map(|segment| (Arc::clone(&segment.file), segment.salt))
        };
        let Some((file, salt)) = segment else { return Ok(None) };
        let record = read_record(file.as_ref(), place, salt)?;
        Ok(record.map(|(header, octets)| (header.kind, octets)))
    }

    /// A message's record, and its deliveries at the time when that was found.
    fn find(&self, id: QueueId) -> Result<(Vec<u8>, Vec<View>), SpoolError> {
        let mut before = None;
        for _ in 0..READ_TRIES {
            let (place, views) = {
                let index = lock(&self.index);
                match index.message_place(id) {
                    None if index.is_damaged(id) => return Err(SpoolError::Damaged(id)),
                    None => return Err(SpoolError::Gone(id)),
                    Some(place) => (place, index.views(id)),
                }
            };
            if let Some((Kind::Message, octets)) = self.record(place)? {
                return Ok((octets, views));
            }
            if before.replace(place) == Some(place) {
                break;
            }
        }
        Err(SpoolError::Damaged(id))
    }

    pub(super) fn open(&self, id: QueueId) -> Result<StoredMessage, SpoolError> {
        let (octets, views) = self.find(id)?;
        let payload = octets.get(HEADER_OCTETS..).unwrap_or_default();
        let raw = RawMessage::read(payload).ok_or(SpoolError::Damaged(id))?;
        let message = raw.parse().ok_or(SpoolError::Damaged(id))?;
        let recipients = self.recipient_states(&message, &views);
        let (form, size_octets, start) = (raw.form, raw.size_octets(), octets.len() - raw.body.len());
        let content = match form {
            BodyForm::Inline => Content::Memory { octets: Arc::new(octets), start },
            BodyForm::Large(_) => match self.disk.open(&Name::Large(id).to_string()) {
                Ok(file) => {
                    let source = Arc::new(Source { file, id, size_octets: raw.large_octets() });
                    Content::File { head: Arc::new(octets), start, source }
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    return Err(SpoolError::Damaged(id));
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(StoredMessage { id, message, recipients, body: StoredBody { size_octets, content } })
    }

    fn recipient_states(&self, message: &QueuedMessage, views: &[View]) -> Vec<RecipientState> {
        let mut states: Vec<RecipientState> = message
            .recipients
            .iter()
            .map(|recipient| RecipientState {
                phase: Phase::Finished,
                destination: recipient.destination.clone(),
                attempts: 0,
                due: message.received,
                last_reply: None,
            })
            .collect();
        for view in views {
            let mut replies = view.state.map(|place| self.replies(place)).unwrap_or_default();
            for &recipient in &view.pending {
                if let Some(state) = states.get_mut(recipient as usize) {
                    *state = RecipientState {
                        phase: view.phase,
                        destination: view.destination.clone(),
                        attempts: view.attempts,
                        due: view.due,
                        last_reply: replies.remove(&recipient).flatten(),
                    };
                }
            }
        }
        states
    }

    /// What the recipients of a delivery met last; empty when the record cannot be read, for they only inform.
    pub(super) fn replies(&self, place: Place) -> HashMap<u32, Option<String>> {
        let Ok(Some((Kind::State, octets))) = self.record(place) else { return HashMap::new() };
        let payload = octets.get(HEADER_OCTETS..).unwrap_or_default();
        let state = read_state(&mut Cursor::new(payload));
        state.map(|(_, state)| state.pending.into_iter().collect()).unwrap_or_default()
    }

    /// The last of the next messages that were looked at, and those of them that may match; `None` when there are no more.
    pub(super) fn page(&self, query: &Query, after: Option<QueueId>) -> Option<(QueueId, Vec<QueueId>)> {
        let index = lock(&self.index);
        let mut ids: Vec<QueueId> = if query.ids.is_empty() {
            index.page(after, PAGE_MESSAGES).into_iter().map(|(id, ..)| id).collect()
        } else {
            let later = |id: &QueueId| after.is_none_or(|after| *id > after) && index.contains(*id);
            let mut ids: Vec<QueueId> = query.ids.iter().copied().filter(later).collect();
            ids.sort_unstable();
            ids.dedup();
            ids.truncate(PAGE_MESSAGES);
            ids
        };
        let last = *ids.last()?;
        ids.retain(|id| index.may_match(query, *id));
        Some((last, ids))
    }

    pub(super) fn list(&self, query: &Query, after: Option<QueueId>, limit: usize) -> Vec<Entry> {
        let mut entries = Vec::new();
        let mut after = after;
        while let Some((last, page)) = self.page(query, after) {
            after = Some(last);
            for id in page {
                if entries.len() >= limit {
                    return entries;
                }
                if let Ok(stored) = self.open(id) {
                    let size_octets = stored.body.size_octets;
                    entries.extend(entry(query, id, &stored.message, size_octets, stored.recipients));
                }
            }
        }
        entries
    }

    /// The deliveries of a message, and the recipients of each, that match.
    pub(super) fn targets(&self, query: &Query, id: QueueId) -> Vec<Target> {
        let message = if query.reads_envelope() {
            let Ok(stored) = self.open(id) else { return Vec::new() };
            if !query.matches_reverse_path(&stored.message.reverse_path) {
                return Vec::new();
            }
            Some(stored.message)
        } else {
            None
        };
        let meant = |recipient: &u32| {
            message.as_ref().is_none_or(|message| {
                let recipient = message.recipients.get(*recipient as usize);
                recipient.is_some_and(|recipient| query.matches_recipient(&recipient.mailbox))
            })
        };
        let views = lock(&self.index).views(id);
        (0u32..)
            .zip(views)
            .filter(|(_, view)| {
                query.matches_received(view.received) && query.matches_delivery(&view.destination, view.phase)
            })
            .map(|(number, view)| Target {
                key: (id, number),
                recipients: view.pending.into_iter().filter(meant).collect(),
            })
            .filter(|target| !target.recipients.is_empty())
            .collect()
    }

    /// Claims at most `limit` deliveries of the destination that are overdue, about the oldest.
    pub(super) fn take_overdue(
        &self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> Vec<Delivery> {
        let (mut found, mut after) = (Vec::new(), None);
        while found.len() < limit {
            let (more, next) = lock(&self.index).overdue(destination, now, overdue, after);
            found.extend(more);
            if next.is_none() {
                break;
            }
            after = next;
        }
        found.sort_unstable();
        found.truncate(limit);
        lock(&self.index).take_all(destination, found)
    }

    pub(super) fn census(&self) -> Census {
        let mut census = Census::default();
        let mut destinations: HashMap<Destination, DestinationCensus> = HashMap::new();
        let mut after = None;
        loop {
            let index = lock(&self.index);
            let page = index.page(after, PAGE_MESSAGES);
            let Some(&(last, ..)) = page.last() else { break };
            after = Some(last);
            for (id, octets, received) in page {
                census.messages += 1;
                census.octets += octets;
                census.oldest = Some(census.oldest.map_or(received, |oldest| oldest.min(received)));
                for view in index.views(id) {
                    if view.phase != Phase::Finished {
                        let window = index.window(&view.destination);
                        let destination = destinations
                            .entry(view.destination)
                            .or_insert_with(|| DestinationCensus { window, ..DestinationCensus::default() });
                        let recipients = view.pending.len() as u64;
                        destination.count(recipients, view.phase, view.attempts, [received, view.due]);
                    }
                }
            }
        }
        census.destinations = destinations.into_iter().collect();
        census.of_destinations()
    }
}
