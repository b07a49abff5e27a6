//! The dispatcher: one task that takes due deliveries and starts an attempt for each, within bounds.
//!
//! Invariants: every delivery that was taken is settled or put back; nothing is attempted before its time; a spool that
//! can't be asked is asked again after a pause, never in a tight loop.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use queue::body::StoredMessage;
use queue::delivery::{Delivery, Phase, RecipientOutcome};
use queue::message::{Destination, Draft};
use queue::postmaster::{Order, Query};
use queue::schedule::{Next, Schedule};
use queue::spool::Spool;
use smtp::time::WallTime;
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use super::attempt::{Attempt, Failure};
use super::local::{self, Task};
use super::notices::{self, Results};
use super::relay::{Relay, Security, Unchanged};
use super::reroute;
use super::route::Way;
use super::smart_host;
use super::timing::{ClockWatch, Timing, Tried, horizon};
use crate::clock;
use crate::mailboxes::QuotaUsage;
use crate::site::{Site, Sites};

/// Attempts under way in all (ours: bounds memory and descriptors).
const ATTEMPTS_MAX: usize = 256;

/// Attempts to the smart host at a time; the rest of its mail waits without holding up other mail (ours).
const RELAYS_MAX: usize = 64;

/// Deliveries that a Maildir batch takes at most: their syncs are shared (ours).
const BATCH_MAX: usize = 16;

/// Batches of Maildir deliveries at a time (ours: each one blocks a thread on the disk).
const BATCHES_MAX: usize = 4;

/// How long new mail gathers before it is looked at, so that a busy server is not woken for each message (ours).
const GATHER: Duration = Duration::from_millis(2);

/// Wait before what found no free place, or a spool that failed, is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest sleep, so that a clock that steps is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Starts delivery; it runs until `stopping` becomes true and attempts under way are settled.
pub fn spawn<S: Spool>(
    spool: Arc<S>,
    sites: Arc<Sites>,
    quota: Arc<QuotaUsage>,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let outside =
        Arc::new(Outside { spool, sites, quota, relay: Relay::new(Security::off()), started: clock::wall() });
    let dispatcher = Dispatcher {
        watch: ClockWatch::new(outside.started, clock::monotonic()),
        outside,
        running: JoinSet::new(),
        places: HashMap::new(),
        attempts: 0,
        relays: 0,
        batches: 0,
    };
    tokio::spawn(dispatcher.run(stopping))
}

/// What every attempt needs.
struct Outside<S> {
    spool: Arc<S>,
    sites: Arc<Sites>,
    quota: Arc<QuotaUsage>,
    relay: Relay,
    /// A message from before this time may have been delivered by an earlier run.
    started: WallTime,
}

struct Dispatcher<S> {
    outside: Arc<Outside<S>>,
    running: JoinSet<()>,
    /// The places that each running task holds.
    places: HashMap<Id, Places>,
    attempts: usize,
    relays: usize,
    batches: usize,
    watch: ClockWatch,
}

/// The places that a running task holds.
#[derive(Debug, Clone, Copy, Default)]
struct Places {
    attempts: usize,
    relays: usize,
    batches: usize,
}

impl<S: Spool> Dispatcher<S> {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            self.mend_times().await;
            let changed = self.outside.spool.changed();
            let pause = self.start_due().await;
            let asleep = tokio::time::sleep(pause.unwrap_or_else(|| self.until_next()));
            tokio::select! {
                () = changed, if pause.is_none() && self.attempts < ATTEMPTS_MAX => {
                    tokio::time::sleep(GATHER).await;
                }
                () = asleep => {}
                Some(finished) = self.running.join_next_with_id() => self.finished(finished),
                stop = stopping.changed() => {
                    if stop.is_err() || *stopping.borrow() {
                        break;
                    }
                }
            }
            while let Some(finished) = self.running.try_join_next_with_id() {
                self.finished(finished);
            }
        }
        let rest = async { while self.running.join_next().await.is_some() {} };
        let stop_timeout = self.outside.sites.current().config.queue.stop_timeout;
        if tokio::time::timeout(stop_timeout, rest).await.is_err() {
            tracing::warn!("attempts under way are cut off; they are repeated after the next start");
        }
    }

    /// Makes due now what a clock that was wrong has put off for too long.
    async fn mend_times(&mut self) {
        let now = clock::wall();
        let set_back = self.watch.was_set_back(now, clock::monotonic());
        let spool = &self.outside.spool;
        let far = now + horizon(&schedule(&self.outside.sites.current()));
        if !set_back && spool.next_due().is_none_or(|due| due <= far) {
            return;
        }
        let waiting = Query { phase: Some(Phase::Waiting), ..Query::default() };
        match spool.order(&waiting, Order::Retry { due: now }).await {
            Ok(recipients) => {
                tracing::warn!(recipients, "the clock was set back: all that waits is tried now")
            }
            Err(error) => tracing::error!(%error, "the clock was set back, and the queue keeps its times"),
        }
    }

    /// Starts what is due and has a place. `Some`: come back after that time at the latest, and not for new mail.
    async fn start_due(&mut self) -> Option<Duration> {
        loop {
            let free = ATTEMPTS_MAX.saturating_sub(self.attempts);
            let (left_out, places) = self.places_left();
            let limit = free.min(places);
            if limit == 0 {
                return Some(SLEEP_MAX);
            }
            let due = match self.outside.spool.due_beside(clock::wall(), limit, &left_out).await {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be asked what is due");
                    return Some(PAUSE);
                }
            };
            let found = due.len();
            if !self.start_all(due) {
                // A finished batch wakes the dispatcher long before that.
                return Some(SLEEP_MAX);
            }
            if found < limit {
                return None;
            }
        }
    }

    /// The ways that have no place, and how many deliveries the fullest of the others takes.
    fn places_left(&self) -> (Vec<Destination>, usize) {
        let ways = [
            (Way::Relay, RELAYS_MAX.saturating_sub(self.relays)),
            (Way::Local, BATCHES_MAX.saturating_sub(self.batches) * BATCH_MAX),
        ];
        let full = ways.iter().filter(|(_, places)| *places == 0);
        let left_out = full.map(|(way, _)| Destination::new(way.key())).collect();
        let places = ways.iter().map(|(_, places)| *places).filter(|places| *places > 0).min();
        (left_out, places.unwrap_or(ATTEMPTS_MAX))
    }

    /// Starts attempts for deliveries; false when some were put back for want of a place.
    fn start_all(&mut self, due: Vec<Delivery>) -> bool {
        let (mut local, mut discards) = (Vec::new(), Vec::new());
        for delivery in due {
            match Way::of(&delivery.destination) {
                Way::Local => local.push(delivery),
                Way::Discard => discards.push(delivery),
                Way::Relay => {
                    let places = Places { relays: 1, ..Places::default() };
                    self.start(relay(Arc::clone(&self.outside), delivery), places);
                }
            }
        }
        if !discards.is_empty() {
            self.start(discard(Arc::clone(&self.outside), discards), Places::default());
        }
        let mut all_started = true;
        while !local.is_empty() {
            let batch: Vec<Delivery> = local.drain(..local.len().min(BATCH_MAX)).collect();
            if self.batches < BATCHES_MAX {
                let places = Places { batches: 1, ..Places::default() };
                self.start(maildirs(Arc::clone(&self.outside), batch), places);
            } else {
                // Under a key that no version of ours wrote: it is not left out with the local ones.
                let now = clock::wall();
                batch.into_iter().for_each(|delivery| self.outside.spool.release(delivery, now));
                all_started = false;
            }
        }
        all_started
    }

    fn start(&mut self, attempt: impl Future<Output = ()> + Send + 'static, places: Places) {
        let places = Places { attempts: 1, ..places };
        self.attempts += places.attempts;
        self.relays += places.relays;
        self.batches += places.batches;
        let task = self.running.spawn(attempt).id();
        self.places.insert(task, places);
    }

    /// Gives back the places of a task, however it ended.
    fn finished(&mut self, finished: Result<(Id, ()), JoinError>) {
        let task = match finished {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "a delivery ended abnormally; it is repeated after the next start");
                error.id()
            }
        };
        let places = self.places.remove(&task).unwrap_or_default();
        self.attempts = self.attempts.saturating_sub(places.attempts);
        self.relays = self.relays.saturating_sub(places.relays);
        self.batches = self.batches.saturating_sub(places.batches);
    }

    fn until_next(&self) -> Duration {
        // What waits for a place is looked at when one is given back.
        let next = self.outside.spool.next_due_beside(&self.places_left().0);
        next.map_or(SLEEP_MAX, |due| due.since(clock::wall()).min(SLEEP_MAX))
    }
}

async fn discard<S: Spool>(outside: Arc<Outside<S>>, deliveries: Vec<Delivery>) {
    let settled = deliveries.into_iter().map(|delivery| {
        tracing::info!(target: "gatepost::delivery", queue_id = %delivery.id, "discarded, as the configuration wants");
        let outcomes = delivery.recipients.iter().map(|_| RecipientOutcome::Delivered).collect();
        Box::pin(outside.settle(delivery, outcomes, Vec::new()))
    });
    all(settled.collect()).await;
}

/// Waits for all of the futures in one task: what is handed to the spool together shares a sync.
async fn all<F: Future<Output = ()>>(mut futures: Vec<Pin<Box<F>>>) {
    poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

async fn maildirs<S: Spool>(outside: Arc<Outside<S>>, deliveries: Vec<Delivery>) {
    let mut opened = Vec::with_capacity(deliveries.len());
    let mut tasks = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let Some((delivery, stored)) = outside.open(delivery).await else { continue };
        tasks.push(Task {
            stored,
            indexes: delivery.recipients.clone(),
            repeated: delivery.attempts > 0 || delivery.received < outside.started,
        });
        opened.push(delivery);
    }
    let site = outside.sites.current();
    let quota = Arc::clone(&outside.quota);
    let blocking = tokio::task::spawn_blocking(move || {
        let attempts = local::deliver(&site, &quota, &tasks);
        (tasks, attempts)
    });
    match blocking.await {
        Ok((tasks, attempts)) => {
            let records = opened.into_iter().zip(&tasks).zip(attempts);
            let records = records.map(|((delivery, task), attempts)| {
                Box::pin(outside.record(delivery, &task.stored, attempts))
            });
            all(records.collect()).await;
        }
        Err(error) => {
            tracing::error!(%error, "a Maildir delivery ended abnormally");
            for delivery in opened {
                outside.spool.release(delivery, clock::wall() + SLEEP_MAX);
            }
        }
    }
}

async fn relay<S: Spool>(outside: Arc<Outside<S>>, delivery: Delivery) {
    if outside.spool.fault().is_some() {
        // What can't be recorded would be relayed again after the next start; a Maildir tells what it has.
        return outside.spool.release(delivery, clock::wall() + SLEEP_MAX);
    }
    let Some((delivery, stored)) = outside.open(delivery).await else { return };
    let site = outside.sites.current();
    let moved: Vec<_> =
        delivery.recipients.iter().map(|index| reroute::changed(&site, &stored, *index)).collect();
    let staying = delivery.recipients.iter().zip(&moved).filter(|(_, ends)| ends.is_none());
    let staying: Vec<u32> = staying.map(|(index, _)| *index).collect();
    let no_route = Failure::local("4.4.4", "no route: the configuration names no relay.smart_host");
    let next_hop = match &site.config.smart_host {
        Some(host) if !staying.is_empty() => smart_host::next_hop(host).await,
        Some(_) | None => Err(no_route),
    };
    let (mut sent, undone) = match next_hop {
        Ok(next_hop) => {
            let sent = outside
                .relay
                .send_from(&next_hop, (&site.settings.hostname, &Unchanged), &stored, &staying)
                .await;
            (sent.into_iter(), Failure::local("4.3.0", "the recipient was not attempted"))
        }
        Err(failure) => (Vec::new().into_iter(), failure),
    };
    let attempt = |ends: Option<_>| match ends {
        Some(ends) => Attempt::Rerouted(ends),
        None => sent.next().unwrap_or_else(|| Attempt::Deferred(undone.clone())),
    };
    let attempts = moved.into_iter().map(attempt).collect();
    outside.record(delivery, &stored, attempts).await;
}

impl<S: Spool> Outside<S> {
    /// Opens the message of a delivery; one that can't be opened is put back for later.
    async fn open(&self, delivery: Delivery) -> Option<(Delivery, StoredMessage)> {
        match self.spool.open(delivery.id).await {
            Ok(stored) => Some((delivery, stored)),
            Err(error) => {
                tracing::error!(target: "gatepost::delivery", queue_id = %delivery.id, %error, "cannot open the message");
                self.spool.release(delivery, clock::wall() + SLEEP_MAX);
                None
            }
        }
    }

    /// Settles the attempts of a delivery: what is done, what is due again and when, and the DSNs that follow.
    async fn record(&self, delivery: Delivery, stored: &StoredMessage, mut attempts: Vec<Attempt>) {
        reroute::queue_anew(&*self.spool, stored, &delivery.recipients, &mut attempts).await;
        let site = self.sites.current();
        let now = clock::wall();
        let jitter = u32::try_from(random() >> 32).unwrap_or(0);
        let Delivery { received, due, .. } = delivery;
        let tried = Tried { received, due, attempts: delivery.attempts.saturating_add(1) };
        let timing = Timing::after(&schedule(&site), site.config.queue.delay_warning, tried, now, jitter);
        let outcomes: Vec<RecipientOutcome> =
            attempts.iter().map(|attempt| outcome(attempt, timing.next)).collect();
        for ((index, attempt), outcome) in delivery.recipients.iter().zip(&attempts).zip(&outcomes) {
            log(&delivery, stored, *index, attempt, outcome, now);
        }
        let results = Results {
            stored,
            indexes: &delivery.recipients,
            attempts: &attempts,
            outcomes: &outcomes,
            warned_until: timing.warned_until,
        };
        let notices = notices::drafts(&site, &results, now, random());
        self.settle(delivery, outcomes, notices).await;
    }

    async fn settle(&self, delivery: Delivery, outcomes: Vec<RecipientOutcome>, notices: Vec<Draft>) {
        let queue_id = delivery.id;
        if let Err(error) = self.spool.settle(delivery, outcomes, notices).await {
            tracing::error!(target: "gatepost::delivery", %queue_id, %error, "the outcome could not be recorded");
        }
    }
}

fn schedule(site: &Site) -> Schedule {
    let retry = &site.config.queue;
    Schedule { first: retry.first, factor: retry.factor, max: retry.max, lifetime: retry.lifetime }
}

/// Chance for jitter and boundaries; without any, the times are merely not spread.
fn random() -> u64 {
    let mut octets = [0; 8];
    if getrandom::fill(&mut octets).is_err() {
        return 0;
    }
    u64::from_le_bytes(octets)
}

fn outcome(attempt: &Attempt, next: Next) -> RecipientOutcome {
    match (attempt, next) {
        (Attempt::Delivered | Attempt::Rerouted(_), _) => RecipientOutcome::Delivered,
        (Attempt::Relayed { reply, .. }, _) => RecipientOutcome::Relayed { reply: reply.clone() },
        (Attempt::Failed(failure), _) => RecipientOutcome::Failed { reply: failure.diagnostic.clone() },
        (Attempt::Deferred(failure), Next::At(until)) => {
            RecipientOutcome::Deferred { until, reply: failure.diagnostic.clone() }
        }
        (Attempt::Deferred(failure), Next::Expired) => {
            RecipientOutcome::Expired { reply: failure.diagnostic.clone() }
        }
    }
}

fn log(
    delivery: &Delivery,
    stored: &StoredMessage,
    index: u32,
    attempt: &Attempt,
    outcome: &RecipientOutcome,
    now: WallTime,
) {
    let recipients = &stored.message.recipients;
    let Some(recipient) = usize::try_from(index).ok().and_then(|index| recipients.get(index)) else { return };
    let (word, reply) = match (attempt, outcome) {
        (Attempt::Delivered, _) => ("delivered", ""),
        (Attempt::Rerouted(_), _) => ("rerouted", ""),
        (Attempt::Relayed { reply, .. }, _) => ("relayed", reply.as_str()),
        (Attempt::Failed(failure), _) => ("failed", failure.diagnostic.as_str()),
        (Attempt::Deferred(failure), RecipientOutcome::Expired { .. }) => {
            ("expired", failure.diagnostic.as_str())
        }
        (Attempt::Deferred(failure), _) => ("deferred", failure.diagnostic.as_str()),
    };
    tracing::info!(
        target: "gatepost::delivery",
        queue_id = %delivery.id,
        recipient = %recipient.mailbox,
        destination = %delivery.destination,
        attempts = delivery.attempts + 1,
        delay_ms = u64::try_from(now.since(delivery.received).as_millis()).unwrap_or(u64::MAX),
        outcome = word,
        reply,
    );
}
