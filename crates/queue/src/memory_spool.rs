//! The spool in memory: the model that every other spool is compared with, and the spool of tests. Nothing is durable.

mod queue;

use std::collections::BTreeMap;
use std::future::{Future, ready};
use std::sync::{Arc, Mutex};

use smtp::time::WallTime;

use self::queue::{Message, Queue};
use crate::body::{Body, BodySink, Content, LargeBody, SealedBody, SealedContent, StoredBody, StoredMessage};
use crate::delivery::{Delivery, Phase, RecipientOutcome};
use crate::message::{Destination, Draft};
use crate::postmaster::{Census, DestinationCensus, Entry, Order, Query, entry};
use crate::queue_id::{Allotter, QueueId};
use crate::spool::{Arrival, NoRoom, Overdue, RECIPIENTS_MAX, Spool, SpoolError, Window};
use crate::wait::{Bell, Changed, lock};

/// A spool in memory.
pub struct MemorySpool {
    allotter: Allotter,
    queue: Mutex<Queue>,
    bell: Bell,
}

impl MemorySpool {
    /// An empty spool.
    #[must_use]
    pub fn new() -> Self {
        Self { allotter: Allotter::above(0), queue: Mutex::default(), bell: Bell::default() }
    }

    fn settle_now(
        &self,
        delivery: &Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Draft>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        let id = delivery.id;
        let mut queue = lock(&self.queue);
        let message = queue.claimed(delivery).ok_or(SpoolError::NotClaimed(id))?;
        let line = message.deliveries.get_mut(delivery.number as usize).ok_or(SpoolError::NotClaimed(id))?;
        if line.state.pending.len() != outcomes.len() {
            return Err(SpoolError::Outcomes(id));
        }
        line.claim = None;
        line.state.settle(outcomes);
        let mut splits = line.obey_wishes();
        message.deliveries.append(&mut splits);
        if message.is_finished() {
            queue.messages.remove(&id);
        }
        let mut ids = Vec::new();
        for Draft { message, body } in notices {
            let id = self.allotter.allot(message.received);
            queue.messages.insert(id, Message::new(message, body));
            ids.push(id);
        }
        drop(queue);
        self.bell.ring();
        Ok(ids)
    }

    fn take(&self, arrivals: Vec<Arrival>) -> Result<(), SpoolError> {
        let mut messages = Vec::with_capacity(arrivals.len());
        for Arrival { id, message, body } in arrivals {
            if message.recipients.is_empty() || message.recipients.len() > RECIPIENTS_MAX {
                return Err(SpoolError::Recipients(id));
            }
            let octets = match body {
                Body::Memory(octets) => octets,
                Body::Large(SealedBody {
                    id: other,
                    mut head,
                    content: SealedContent::Memory(octets),
                    ..
                }) if other == id => {
                    head.extend_from_slice(&octets);
                    head
                }
                Body::Large(SealedBody { id: other, .. }) => {
                    let why = format!("{other}'s body is not for {id} in this spool");
                    return Err(SpoolError::Unavailable(why));
                }
            };
            messages.push((id, Message::new(message, octets)));
        }
        let mut queue = lock(&self.queue);
        if let Some((id, _)) = messages.iter().find(|(id, _)| queue.messages.contains_key(id)) {
            return Err(SpoolError::Taken(*id));
        }
        queue.messages.extend(messages);
        drop(queue);
        self.bell.ring();
        Ok(())
    }
}

impl Default for MemorySpool {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for MemorySpool {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "MemorySpool({} messages)", lock(&self.queue).messages.len())
    }
}

/// A large body that is not so large.
struct MemorySink {
    id: QueueId,
    octets: Vec<u8>,
}

impl BodySink for MemorySink {
    fn append(&mut self, octets: &[u8]) -> Result<(), SpoolError> {
        self.octets.extend_from_slice(octets);
        Ok(())
    }

    fn complete(&mut self) -> Result<StoredBody, SpoolError> {
        let content = Content::Memory { octets: Arc::new(self.octets.clone()), start: 0 };
        Ok(StoredBody { size_octets: self.octets.len() as u64, content })
    }

    fn seal(self: Box<Self>) -> Result<SealedBody, SpoolError> {
        let size_octets = self.octets.len() as u64;
        Ok(SealedBody {
            id: self.id,
            head: Vec::new(),
            size_octets,
            content: SealedContent::Memory(self.octets),
        })
    }
}

impl Spool for MemorySpool {
    fn allot(&self, now: WallTime) -> QueueId {
        self.allotter.allot(now)
    }

    fn room(&self, _size_octets: Option<u64>) -> Result<(), NoRoom> {
        Ok(())
    }

    fn fault(&self) -> Option<String> {
        None
    }

    fn refresh(&self) {}

    fn large_body(&self, id: QueueId) -> Result<LargeBody, SpoolError> {
        Ok(LargeBody { sink: Box::new(MemorySink { id, octets: Vec::new() }) })
    }

    async fn enqueue_all(&self, arrivals: Vec<Arrival>) -> Result<(), SpoolError> {
        self.take(arrivals)
    }

    fn due(
        &self,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(lock(&self.queue).take_due(None, now, limit)))
    }

    fn due_of(
        &self,
        destination: &Destination,
        now: WallTime,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(lock(&self.queue).take_due(Some(destination), now, limit)))
    }

    fn overdue(
        &self,
        destination: &Destination,
        now: WallTime,
        overdue: Overdue,
        limit: usize,
    ) -> impl Future<Output = Result<Vec<Delivery>, SpoolError>> + Send {
        ready(Ok(lock(&self.queue).take_overdue(destination, now, overdue, limit)))
    }

    fn next_due(&self) -> Option<WallTime> {
        lock(&self.queue).next_due()
    }

    fn set_window(&self, destination: &Destination, window: Window) {
        let windows = &mut lock(&self.queue).windows;
        if window == Window::default() {
            windows.remove(destination);
        } else {
            windows.insert(destination.clone(), window);
        }
    }

    fn window(&self, destination: &Destination) -> Window {
        lock(&self.queue).window(destination)
    }

    fn messages(&self) -> u64 {
        lock(&self.queue).messages.len() as u64
    }

    fn changed(&self) -> Changed {
        self.bell.listen()
    }

    async fn open(&self, id: QueueId) -> Result<StoredMessage, SpoolError> {
        let queue = lock(&self.queue);
        let stored = queue.messages.get(&id).ok_or(SpoolError::Gone(id))?;
        let content = Content::Memory { octets: Arc::clone(&stored.body), start: 0 };
        let body = StoredBody { size_octets: stored.body.len() as u64, content };
        Ok(StoredMessage { id, message: stored.message.clone(), recipients: stored.recipient_states(), body })
    }

    async fn settle(
        &self,
        delivery: Delivery,
        outcomes: Vec<RecipientOutcome>,
        notices: Vec<Draft>,
    ) -> Result<Vec<QueueId>, SpoolError> {
        self.settle_now(&delivery, outcomes, notices)
    }

    fn release(&self, delivery: Delivery, until: WallTime) {
        let mut queue = lock(&self.queue);
        if let Some(message) = queue.claimed(&delivery)
            && let Some(line) = message.deliveries.get_mut(delivery.number as usize)
        {
            line.claim = None;
            line.state.due = until;
            let mut splits = line.obey_wishes();
            message.deliveries.append(&mut splits);
            if message.is_finished() {
                queue.messages.remove(&delivery.id);
            }
        }
        drop(queue);
        self.bell.ring();
    }

    async fn list(
        &self,
        query: &Query,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Entry>, SpoolError> {
        let queue = lock(&self.queue);
        let later = queue.messages.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        let entries = later.filter_map(|(&id, stored)| {
            entry(query, id, &stored.message, stored.body.len() as u64, stored.recipient_states())
        });
        Ok(entries.take(limit).collect())
    }

    async fn order(&self, query: &Query, order: Order) -> Result<u64, SpoolError> {
        let count = lock(&self.queue).order(query, &order);
        self.bell.ring();
        Ok(count)
    }

    async fn census(&self) -> Result<Census, SpoolError> {
        let queue = lock(&self.queue);
        let mut census = Census::default();
        let mut destinations: BTreeMap<_, DestinationCensus> = BTreeMap::new();
        for stored in queue.messages.values() {
            let received = stored.message.received;
            census.messages += 1;
            census.octets += stored.body.len() as u64;
            census.oldest = Some(census.oldest.map_or(received, |oldest| oldest.min(received)));
            for line in stored.deliveries.iter().filter(|line| line.phase() != Phase::Finished) {
                let window = queue.window(&line.state.destination);
                let destination = destinations
                    .entry(line.state.destination.clone())
                    .or_insert_with(|| DestinationCensus { window, ..DestinationCensus::default() });
                let recipients = line.state.pending.len() as u64;
                let times = [received, line.state.due];
                destination.count(recipients, line.phase(), line.state.attempts, times);
            }
        }
        census.destinations = destinations.into_iter().collect();
        Ok(census.of_destinations())
    }
}
