//! What is done with deliveries that were taken from the spool: each function here is one task of the dispatcher.
//!
//! Invariants: every delivery that comes in is settled or put back; what can't be recorded is not relayed.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use queue::body::StoredMessage;
use queue::delivery::{Delivery, RecipientOutcome};
use queue::dsn::Guard;
use queue::message::{Destination, Draft};
use queue::pace::Met;
use queue::schedule::{Class, Next, Schedule};
use queue::sender::SenderKey;
use queue::spool::Spool;
use smtp::time::WallTime;

use super::attempt::{Attempt, Failure};
use super::command;
use super::local::{self, Task};
use super::mx::NoWay;
use super::notices::{self, Results};
use super::rate::Rates;
use super::relay::{Departure, Relay};
use super::reroute;
use super::route::Way;
use super::routing::{self, End};
use super::timing::{Timing, Tried};
use crate::clock;
use crate::mailboxes::QuotaUsage;
use crate::site::{Site, Sites};

/// Wait before what could not be tried is tried again (ours).
const PUT_BACK: Duration = Duration::from_secs(30);

/// What every attempt needs.
pub(super) struct Outside<S> {
    pub(super) spool: Arc<S>,
    pub(super) sites: Arc<Sites>,
    pub(super) quota: Arc<QuotaUsage>,
    pub(super) relay: Relay,
    /// What the site's own senders have sent lately.
    pub(super) senders: Mutex<Rates<SenderKey>>,
    /// Against DSNs that flood who wrote nothing.
    pub(super) guard: Mutex<Guard>,
    /// A message from before this time may have been delivered by an earlier run.
    pub(super) started: WallTime,
}

/// What an attempt found out about its destination.
pub(super) struct Finding {
    pub(super) destination: Destination,
    pub(super) met: Met,
    /// What stood in the way, when nobody was there.
    pub(super) failure: Option<Failure>,
}

pub(super) async fn discard<S: Spool>(
    outside: Arc<Outside<S>>,
    deliveries: Vec<Delivery>,
) -> Option<Finding> {
    let settled = deliveries.into_iter().map(|delivery| {
        tracing::info!(target: "gatepost::delivery", queue_id = %delivery.id, "discarded, as the configuration wants");
        let outcomes = delivery.recipients.iter().map(|_| RecipientOutcome::Delivered).collect();
        Box::pin(outside.settle(delivery, outcomes, Vec::new()))
    });
    all(settled.collect()).await;
    None
}

/// Waits for all of the futures in one task: what is handed to the spool together shares a sync.
async fn all<F: Future<Output = ()>>(mut futures: Vec<Pin<Box<F>>>) {
    poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

pub(super) async fn maildirs<S: Spool>(
    outside: Arc<Outside<S>>,
    deliveries: Vec<Delivery>,
) -> Option<Finding> {
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
    let tried: Vec<_> = tasks.iter().map(|task| (&task.stored, task.indexes.as_slice())).collect();
    let looked_up = reroute::look_up(&site, &tried).await;
    let blocking = tokio::task::spawn_blocking(move || {
        let attempts = local::deliver(&site, &looked_up, &quota, &tasks);
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
                outside.spool.release(delivery, clock::wall() + PUT_BACK);
            }
        }
    }
    None
}

pub(super) async fn relay<S: Spool>(outside: Arc<Outside<S>>, delivery: Delivery) -> Option<Finding> {
    if outside.spool.fault().is_some() {
        // What can't be recorded would be relayed again after the next start; a Maildir tells what it has.
        outside.spool.release(delivery, clock::wall() + PUT_BACK);
        return None;
    }
    let (delivery, stored) = outside.open(delivery).await?;
    let site = outside.sites.current();
    if let Some(turn) = outside.turn_of(&site, &stored) {
        outside.spool.release(delivery, turn);
        return None;
    }
    let looked_up = reroute::look_up(&site, &[(&stored, &delivery.recipients)]).await;
    let known = site.directory.with(&looked_up);
    let changed = |index: &u32| reroute::changed(&site.config, known, &stored, *index);
    let moved: Vec<_> = delivery.recipients.iter().map(changed).collect();
    let staying = delivery.recipients.iter().zip(&moved).filter(|(_, ends)| ends.is_none());
    let staying: Vec<u32> = staying.map(|(index, _)| *index).collect();
    let (sent, no_way) = if staying.is_empty() {
        (Vec::new(), None)
    } else {
        hand_over(&outside, &site, &delivery, (&stored, &staying)).await
    };
    let finding = Finding::of(&delivery, sent.iter().chain(&no_way));
    let no_way = no_way.unwrap_or_else(|| Attempt::Deferred(Failure::local("4.4.4", "no route")));
    let mut sent = sent.into_iter();
    let attempt = |ends: Option<_>| match ends {
        Some(ends) => Attempt::Rerouted(ends),
        None => sent.next().unwrap_or_else(|| no_way.clone()),
    };
    let attempts = moved.into_iter().map(attempt).collect();
    outside.record(delivery, &stored, attempts).await;
    finding
}

/// Hands a message over for these recipients: an attempt for each, in order, or what all of them met.
async fn hand_over<S: Spool>(
    outside: &Outside<S>,
    site: &Site,
    delivery: &Delivery,
    (stored, indexes): (&StoredMessage, &[u32]),
) -> (Vec<Attempt>, Option<Attempt>) {
    match routing::end(site, Way::of(&delivery.destination), random()).await {
        Ok(End::Servers(next_hop)) => {
            let site_as_sender = (site.settings.hostname.as_str(), site as &dyn Departure);
            (outside.relay.send_from(&next_hop, site_as_sender, stored, indexes).await, None)
        }
        Ok(End::Command(agent)) => (command::deliver(site, agent, stored, indexes).await, None),
        Err(NoWay::Now(failure)) => (Vec::new(), Some(Attempt::Deferred(failure))),
        Err(NoWay::Ever(failure)) => (Vec::new(), Some(Attempt::Failed(failure))),
    }
}

/// Defers a delivery for what stands in the way of all of its destination.
pub(super) async fn defer<S: Spool>(
    outside: Arc<Outside<S>>,
    delivery: Delivery,
    failure: Failure,
) -> Option<Finding> {
    let (delivery, stored) = outside.open(delivery).await?;
    let attempts = delivery.recipients.iter().map(|_| Attempt::Deferred(failure.clone())).collect();
    outside.record(delivery, &stored, attempts).await;
    None
}

impl Finding {
    /// What the attempts say of the delivery's destination; `None` when they say nothing.
    fn of<'a>(delivery: &Delivery, attempts: impl Iterator<Item = &'a Attempt>) -> Option<Self> {
        let (mut met, mut failure) = (Met::Indifference, None);
        for attempt in attempts {
            match attempt {
                Attempt::Relayed { .. } | Attempt::Delivered => {
                    (met, failure) = (Met::Welcome, None);
                    break;
                }
                Attempt::Deferred(other) | Attempt::Failed(other) if other.met > met => {
                    (met, failure) = (other.met, Some(other.clone()));
                }
                _ => {}
            }
        }
        (met != Met::Indifference).then(|| Self { destination: delivery.destination.clone(), met, failure })
    }
}

impl<S: Spool> Outside<S> {
    /// Opens the message of a delivery; one that can't be opened is put back for later.
    async fn open(&self, delivery: Delivery) -> Option<(Delivery, StoredMessage)> {
        match self.spool.open(delivery.id).await {
            Ok(stored) => Some((delivery, stored)),
            Err(error) => {
                tracing::error!(target: "gatepost::delivery", queue_id = %delivery.id, %error, "cannot open the message");
                self.spool.release(delivery, clock::wall() + PUT_BACK);
                None
            }
        }
    }

    /// Until when a message waits because its sender has sent enough for now.
    fn turn_of(&self, site: &Site, stored: &StoredMessage) -> Option<WallTime> {
        let message = &stored.message;
        let per_minute = site.config.queue.sender_rate.filter(|_| message.origin.submitted)?;
        message.reverse_path.mailbox()?;
        let sender = SenderKey::of(&message.reverse_path);
        let mut senders = self.senders.lock().unwrap_or_else(PoisonError::into_inner);
        senders.take_a_turn(sender, per_minute, clock::wall()).err()
    }

    /// Settles the attempts of a delivery: what is done, what is due again and when, and the DSNs that follow.
    async fn record(&self, delivery: Delivery, stored: &StoredMessage, mut attempts: Vec<Attempt>) {
        let site = self.sites.current();
        reroute::queue_anew(&*self.spool, &site, stored, &delivery.recipients, &mut attempts).await;
        let now = clock::wall();
        let Delivery { received, due, .. } = delivery;
        let tried =
            Tried { received, due, attempts: delivery.attempts.saturating_add(1), class: class(&attempts) };
        let timing = Timing::after(&schedule(&site), site.config.queue.delay_warning, tried, now, jitter());
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
            is_first: delivery.attempts == 0,
            warned_until: timing.warned_until,
        };
        let mut notices = notices::drafts(&site, &results, now, random()).await;
        notices.retain(|_| self.may_report(stored, now));
        self.settle(delivery, outcomes, notices).await;
    }

    /// Whether one more DSN about the message may be sent.
    fn may_report(&self, stored: &StoredMessage, now: WallTime) -> bool {
        let mut guard = self.guard.lock().unwrap_or_else(PoisonError::into_inner);
        let may_report = guard.lets_through(&stored.message, now);
        if !may_report {
            let reverse_path = &stored.message.reverse_path;
            tracing::warn!(
                target: "gatepost::delivery",
                queue_id = %stored.id,
                %reverse_path,
                "a DSN is not sent: its recipient has got too many within an hour"
            );
        }
        may_report
    }

    async fn settle(&self, delivery: Delivery, outcomes: Vec<RecipientOutcome>, notices: Vec<Draft>) {
        let queue_id = delivery.id;
        if let Err(error) = self.spool.settle(delivery, outcomes, notices).await {
            tracing::error!(target: "gatepost::delivery", %queue_id, %error, "the outcome could not be recorded");
        }
    }
}

pub(super) fn schedule(site: &Site) -> Schedule {
    let retry = &site.config.queue;
    Schedule { first: retry.first, factor: retry.factor, max: retry.max, lifetime: retry.lifetime }
}

pub(super) fn jitter() -> u32 {
    u32::try_from(random() >> 32).unwrap_or(0)
}

/// Chance for jitter, boundaries and the order of equals; without any, the times are merely not spread.
pub(crate) fn random() -> u64 {
    getrandom::u64().unwrap_or(0)
}

/// What the next attempt goes by, for all recipients that were deferred: a greylist is come back to for the sake of one.
fn class(attempts: &[Attempt]) -> Class {
    let mut all = attempts.iter().filter_map(|attempt| match attempt {
        Attempt::Deferred(failure) => Some(failure.class),
        _ => None,
    });
    let first = all.next().unwrap_or_default();
    all.fold(first, |class, other| match (class, other) {
        (Class::Greylisted, _) | (_, Class::Greylisted) => Class::Greylisted,
        // What has to be mended by people is waited for longer only when nothing else waits.
        (Class::MailboxFull | Class::Tls, other) => other,
        (class, _) => class,
    })
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
