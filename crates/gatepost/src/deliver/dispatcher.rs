//! The dispatcher: one task that takes due deliveries and starts an attempt for each, within bounds.
//!
//! Invariants: every delivery that was taken is settled or put back; nothing is attempted before its time; a spool that
//! can't be asked is asked again after a pause, never in a tight loop.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::delivery::{Delivery, Phase};
use queue::message::Destination;
use queue::pace::{Limits, Pace};
use queue::postmaster::{Order, Query};
use queue::spool::{Overdue, Spool, Window};
use smtp::time::{Timestamp, WallTime};
use tokio::sync::watch;
use tokio::task::{Id, JoinError, JoinHandle, JoinSet};

use super::attempt::Failure;
use super::errand::{Finding, Outside, defer, discard, jitter, maildirs, relay, schedule};
use super::paces::{PACES_MAX, Paces};
use super::protection::Protection;
use super::rate::{Limited, Rate};
use super::relay::{Relay, Security};
use super::route::Way;
use super::timing::{ClockWatch, horizon};
use crate::clock;
use crate::config::Access;
use crate::descriptors;
use crate::mailboxes::QuotaUsage;
use crate::reports::Reports;
use crate::site::{Site, Sites};

/// Attempts at other servers under way in all (ours: bounds memory and descriptors).
const RELAYS_MAX: usize = 500;

/// How long an attempt takes before it is set aside for others when all places are taken (ours: a server that is there has
/// taken a message by then).
const SLOW: Duration = Duration::from_secs(5);

/// Attempts that are set aside, which hold up nobody (ours: servers that don't answer are waited for up to five minutes); and
/// at most one for so many descriptors.
const SLOW_MAX: usize = 2_000;
const DESCRIPTORS_PER_SLOW: usize = 8;

/// Attempts at the smart host at a time, at first and at most; it is the site's own and knows us (ours).
const SMART_HOST_CLAIMS: (u32, u32) = (20, 64);

/// Deliveries that are taken from the spool at once (ours).
const DUE_MAX: usize = 256;

/// Deliveries that a Maildir batch takes at most: their syncs are shared (ours).
const BATCH_MAX: usize = 16;

/// Batches of Maildir deliveries at a time (ours: each one blocks a thread on the disk).
const BATCHES_MAX: usize = 4;

/// Deliveries whose time has run out that are looked at at once while their destination is shut off (ours).
const OVERDUE_MAX: usize = 1_000;

/// How long new mail gathers before it is looked at, so that a busy server is not woken for each message (ours).
const GATHER: Duration = Duration::from_millis(2);

/// Wait before what found no free place, or a spool that failed, is looked at again.
const PAUSE: Duration = Duration::from_secs(1);

/// Longest sleep, so that a clock that steps is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// Starts delivery; it runs until `stopping` becomes true and attempts under way are settled. `reports` hears what comes of
/// protecting connections.
pub fn spawn<S: Spool>(
    spool: Arc<S>,
    sites: Arc<Sites>,
    quota: Arc<QuotaUsage>,
    reports: &Arc<Reports>,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let site = sites.current();
    let handshake = Arc::new(Protection::new(Arc::clone(&sites)));
    let security = Security { handshake, results: reports.tls_results(&sites) };
    let outside = Arc::new(Outside {
        spool,
        sites,
        quota,
        relay: Relay::new(security),
        guard: Mutex::default(),
        senders: Mutex::default(),
        started: clock::wall(),
    });
    let mut dispatcher = Dispatcher {
        watch: ClockWatch::new(outside.started, clock::monotonic()),
        outside,
        site,
        running: JoinSet::new(),
        places: HashMap::new(),
        paces: Paces::default(),
        limited: HashMap::new(),
        relays: 0,
        slow: 0,
        batches: 0,
        local_claims: 0,
    };
    dispatcher.open_windows();
    tokio::spawn(dispatcher.run(stopping))
}

struct Dispatcher<S> {
    outside: Arc<Outside<S>>,
    /// The site that the windows are set for.
    site: Arc<Site>,
    running: JoinSet<Option<Finding>>,
    /// What each running task holds.
    places: HashMap<Id, Places>,
    /// What is known of destinations at other servers.
    paces: Paces,
    /// Destinations for which the site has chosen how much they get.
    limited: HashMap<Destination, Limited>,
    relays: usize,
    /// Attempts that were set aside.
    slow: usize,
    batches: usize,
    /// Deliveries in the running batches.
    local_claims: usize,
    watch: ClockWatch,
}

/// What a running task holds.
#[derive(Debug, Clone, Default)]
struct Places {
    relays: usize,
    slow: usize,
    batches: usize,
    local_claims: usize,
    started: Timestamp,
    /// A destination whose deliveries are counted.
    limited: Option<Destination>,
}

impl<S: Spool> Dispatcher<S> {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        loop {
            self.follow_site();
            self.mend_times().await;
            let changed = self.outside.spool.changed();
            let pause = self.start_due().await;
            let asleep = tokio::time::sleep(pause.unwrap_or_else(|| self.until_next()));
            tokio::select! {
                () = changed, if pause.is_none() => tokio::time::sleep(GATHER).await,
                () = asleep => {}
                Some(finished) = self.running.join_next_with_id() => self.finished(finished).await,
                stop = stopping.changed() => {
                    if stop.is_err() || *stopping.borrow() {
                        break;
                    }
                }
            }
            while let Some(finished) = self.running.try_join_next_with_id() {
                self.finished(finished).await;
            }
        }
        let rest = async { while self.running.join_next().await.is_some() {} };
        let stop_timeout = self.outside.sites.current().config.queue.stop_timeout;
        if tokio::time::timeout(stop_timeout, rest).await.is_err() {
            tracing::warn!("attempts under way are cut off; they are repeated after the next start");
        }
    }

    /// Sets the windows anew when another configuration is in force.
    fn follow_site(&mut self) {
        let site = self.outside.sites.current();
        if !Arc::ptr_eq(&site, &self.site) {
            self.site = site;
            self.follow_limits();
            self.open_windows();
        }
    }

    /// Takes in the limits of the configuration that is in force.
    fn follow_limits(&mut self) {
        let destinations: Vec<Destination> =
            self.paces.destinations().chain(self.limited.keys()).cloned().collect();
        for destination in destinations {
            let limits = self.limits(&destination);
            self.paces.follow(&destination, limits);
            let per_minute = self.access(&destination).and_then(|access| access.rate);
            if let Some(Limited { rate, .. }) = self.limited.get_mut(&destination) {
                *rate = per_minute.map(|per_minute| rate.unwrap_or(Rate::new(per_minute)).at(per_minute));
            }
            self.open_window(&destination);
        }
    }

    /// Sets the window of a destination at another server by all that is known of it.
    fn open_window(&self, destination: &Destination) {
        let pace = self.paces.get(destination);
        let mut window = pace.unwrap_or_else(|| Pace::new(self.limits(destination))).window();
        if let Some(Limited { rate: Some(rate), under_way }) = self.limited.get(destination) {
            let (room, opens) = rate.room(clock::wall());
            window.claims_max = window.claims_max.min(under_way.saturating_add(room.max(1)));
            window.opens = if room == 0 { window.opens.max(opens) } else { window.opens };
        }
        self.outside.spool.set_window(destination, window);
    }

    /// Has the spool forget the window of a destination of which little is known any more: it need not be kept for all
    /// that there ever were.
    fn forget_window(&self, destination: &Destination) {
        let is_known_beforehand =
            matches!(Way::of(destination), Way::Relay | Way::Route { domain: None, .. });
        let is_known = self.paces.get(destination).is_some() || self.limited.contains_key(destination);
        if is_known_beforehand || is_known {
            self.open_window(destination);
        } else {
            self.outside.spool.set_window(destination, Window::default());
        }
    }

    /// Sets the windows of the destinations that are known beforehand.
    fn open_windows(&mut self) {
        let spool = &self.outside.spool;
        spool.set_window(&Way::Discard.key(), Window { claims_max: u32::MAX, ..Window::default() });
        let routes =
            self.site.config.routes.iter().map(|route| Way::Route { name: &route.name, domain: None });
        for way in routes.chain([Way::Relay]) {
            let destination = way.key();
            self.open_window(&destination);
        }
        self.open_local_window();
    }

    /// Lets through as many local deliveries as there are places for in batches.
    fn open_local_window(&self) {
        let places = self.local_claims + BATCHES_MAX.saturating_sub(self.batches) * BATCH_MAX;
        let claims_max = u32::try_from(places).unwrap_or(u32::MAX);
        self.outside.spool.set_window(&Way::Local.key(), Window { claims_max, ..Window::default() });
    }

    /// How many deliveries a destination at another server gets at a time, and how long it is let alone.
    fn limits(&self, destination: &Destination) -> Limits {
        let usual = Limits::default();
        let (first, max) = match Way::of(destination) {
            Way::Relay => SMART_HOST_CLAIMS,
            _ => (usual.claims_first, usual.claims_max),
        };
        let chosen = self.access(destination).and_then(|access| access.connections);
        let claims_max = chosen.unwrap_or(max);
        let claims_first = first.min(claims_max);
        // A site that wants its mail tried again soon wants that of servers that were away, too.
        let queue = &self.site.config.queue;
        let back_off_first = usual.back_off_first.min(queue.first);
        let back_off_max = usual.back_off_max.min(queue.max).max(back_off_first);
        Limits { claims_first, claims_max, back_off_first, back_off_max }
    }

    /// How the servers of a destination are used.
    fn access(&self, destination: &Destination) -> Option<&Access> {
        let config = &self.site.config;
        match Way::of(destination) {
            Way::Relay | Way::Mx(_) | Way::Table(_) => Some(&config.relaying.access),
            Way::Route { name, .. } => config.route(name).map(|route| &route.access),
            Way::Local | Way::Discard => None,
        }
    }

    /// Makes due now what a clock that was wrong has put off for too long.
    async fn mend_times(&mut self) {
        let now = clock::wall();
        let set_back = self.watch.was_set_back(now, clock::monotonic());
        let spool = &self.outside.spool;
        let far = now + horizon(&schedule(&self.site));
        if !set_back && spool.next_due().is_none_or(|due| due <= far) {
            return;
        }
        self.paces.mend(now);
        self.paces.destinations().for_each(|destination| self.open_window(destination));
        let waiting = Query { phase: Some(Phase::Waiting), ..Query::default() };
        match spool.order(&waiting, Order::Retry { due: now }).await {
            Ok(recipients) => {
                tracing::warn!(recipients, "the clock was set back: all that waits is tried now")
            }
            Err(error) => tracing::error!(%error, "the clock was set back, and the queue keeps its times"),
        }
    }

    /// Starts what is due and has a place. `Some`: come back after that time at the latest.
    async fn start_due(&mut self) -> Option<Duration> {
        loop {
            let now = clock::wall();
            if self.relays >= RELAYS_MAX {
                self.set_slow_aside();
            }
            let free = RELAYS_MAX.saturating_sub(self.relays);
            let due = if free > 0 {
                self.outside.spool.due(now, free.min(DUE_MAX)).await
            } else {
                // Mail that needs no other server goes on.
                let local = self.outside.spool.due_of(&Way::Local.key(), now, DUE_MAX).await;
                match local {
                    Ok(local) if local.is_empty() => {
                        self.outside.spool.due_of(&Way::Discard.key(), now, DUE_MAX).await
                    }
                    local => local,
                }
            };
            let due = match due {
                Ok(due) => due,
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be asked what is due");
                    return Some(PAUSE);
                }
            };
            if due.is_empty() {
                return None;
            }
            if !self.start_all(due) {
                // What was put back may be due at once: first comes what has ended, and gives its places back.
                return None;
            }
        }
    }

    /// Frees the places of attempts that take long, so that servers that don't answer hold up no others.
    fn set_slow_aside(&mut self) {
        let now = clock::monotonic();
        let room = SLOW_MAX.min(descriptors::limit() / DESCRIPTORS_PER_SLOW).saturating_sub(self.slow);
        let is_slow = |places: &&mut Places| places.relays > 0 && now.since(places.started) >= SLOW;
        for places in self.places.values_mut().filter(is_slow).take(room) {
            (places.relays, places.slow) = (0, 1);
            self.relays = self.relays.saturating_sub(1);
            self.slow += 1;
        }
    }

    /// Starts attempts for deliveries; false when some were put back.
    fn start_all(&mut self, due: Vec<Delivery>) -> bool {
        let mut all_started = true;
        let (mut local, mut discards) = (Vec::new(), Vec::new());
        for delivery in due {
            match Way::of(&delivery.destination) {
                Way::Local => local.push(delivery),
                Way::Discard => discards.push(delivery),
                Way::Relay | Way::Mx(_) | Way::Route { .. } | Way::Table(_) => {
                    all_started &= self.start_relay(delivery);
                }
            }
        }
        if !discards.is_empty() {
            self.start(discard(Arc::clone(&self.outside), discards), Places::default());
        }
        while !local.is_empty() {
            let batch: Vec<Delivery> = local.drain(..local.len().min(BATCH_MAX)).collect();
            let places = Places { batches: 1, local_claims: batch.len(), ..Places::default() };
            self.start(maildirs(Arc::clone(&self.outside), batch), places);
            self.open_local_window();
        }
        all_started
    }

    /// Starts an attempt at another server, unless that has got enough for now: then it is put back, and the answer false.
    fn start_relay(&mut self, delivery: Delivery) -> bool {
        let mut places = Places { relays: 1, ..Places::default() };
        let chosen = self.access(&delivery.destination).map(|access| (access.connections, access.rate));
        if let Some((connections, rate)) = chosen.filter(|chosen| *chosen != (None, None)) {
            if let Err(turn) = self.let_through(&delivery.destination, connections, rate) {
                self.outside.spool.release(delivery, turn);
                return false;
            }
            places.limited = Some(delivery.destination.clone());
        }
        self.start(relay(Arc::clone(&self.outside), delivery), places);
        true
    }

    /// Counts a delivery, unless its destination has as many as it gets; then it waits, and the window is as narrow as it
    /// should have been.
    fn let_through(
        &mut self,
        destination: &Destination,
        connections: Option<u32>,
        rate: Option<u32>,
    ) -> Result<(), WallTime> {
        let now = clock::wall();
        if self.limited.len() >= PACES_MAX {
            self.forget_limited(now);
        }
        let unused = || Limited { rate: rate.map(Rate::new), under_way: 0 };
        let limited = self.limited.entry(destination.clone()).or_insert_with(unused);
        let taken = match &mut limited.rate {
            _ if connections.is_some_and(|most| limited.under_way >= most) => Err(now),
            Some(rate) => rate.take(now),
            None => Ok(()),
        };
        limited.under_way += u32::from(taken.is_ok());
        self.open_window(destination);
        taken
    }

    /// Forgets the destinations of which nothing has to be counted for now.
    fn forget_limited(&mut self, now: WallTime) {
        let is_unused = |(_, limited): &(&Destination, &Limited)| !limited.is_in_use(now);
        let unused = self.limited.iter().filter(is_unused).map(|(destination, _)| destination.clone());
        for destination in unused.collect::<Vec<_>>() {
            self.limited.remove(&destination);
            self.forget_window(&destination);
        }
    }

    fn start(&mut self, attempt: impl Future<Output = Option<Finding>> + Send + 'static, places: Places) {
        self.relays += places.relays;
        self.batches += places.batches;
        self.local_claims += places.local_claims;
        let task = self.running.spawn(attempt).id();
        self.places.insert(task, Places { started: clock::monotonic(), ..places });
    }

    /// Gives back the places of a task, however it ended, and takes in what it found out.
    async fn finished(&mut self, finished: Result<(Id, Option<Finding>), JoinError>) {
        let (task, finding) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                tracing::error!(%error, "a delivery ended abnormally; it is repeated after the next start");
                (error.id(), None)
            }
        };
        let places = self.places.remove(&task).unwrap_or_default();
        self.relays = self.relays.saturating_sub(places.relays);
        self.slow = self.slow.saturating_sub(places.slow);
        self.batches = self.batches.saturating_sub(places.batches);
        self.local_claims = self.local_claims.saturating_sub(places.local_claims);
        if places.batches > 0 {
            self.open_local_window();
        }
        if let Some(destination) = places.limited {
            if let Some(limited) = self.limited.get_mut(&destination) {
                limited.under_way = limited.under_way.saturating_sub(1);
            }
            self.open_window(&destination);
        }
        if let Some(finding) = finding {
            self.learn(finding).await;
        }
    }

    /// Sets the window of a destination by what was met there.
    async fn learn(&mut self, Finding { destination, met, failure }: Finding) {
        let now = clock::wall();
        let limits = self.limits(&destination);
        let known = self.paces.get(&destination);
        let mut pace = known.unwrap_or_else(|| Pace::new(limits));
        let was_shut_off = pace.is_shut_off();
        pace.learn(met, now, jitter());
        if known == Some(pace) {
            // A postmaster may have opened it, to have a server tried that is let alone.
            self.open_window(&destination);
            return;
        }
        if pace.is_shut_off() != was_shut_off {
            let is_shut_off = pace.is_shut_off();
            tracing::info!(target: "gatepost::delivery", %destination, is_shut_off, "a destination's state has changed");
        }
        for forgotten in self.paces.remember(&destination, pace) {
            self.forget_window(&forgotten);
        }
        self.open_window(&destination);
        if let Some(failure) = failure.filter(|_| pace.is_shut_off()) {
            self.give_overdue(&destination, failure, now).await;
        }
    }

    /// Has those hear of it whose mail can't wait until the destination, which is shut off, is probed again.
    async fn give_overdue(&mut self, destination: &Destination, failure: Failure, now: WallTime) {
        let queue = &self.site.config.queue;
        let overdue = Overdue { lifetime: queue.lifetime, warning: queue.delay_warning };
        let found = self.outside.spool.overdue(destination, now, overdue, OVERDUE_MAX).await;
        for delivery in found.unwrap_or_default() {
            self.start(defer(Arc::clone(&self.outside), delivery, failure.clone()), Places::default());
        }
    }

    fn until_next(&self) -> Duration {
        if self.relays >= RELAYS_MAX {
            // A finished attempt wakes the dispatcher, too; one may have become slow before.
            return PAUSE;
        }
        self.outside.spool.next_due().map_or(SLEEP_MAX, |due| due.since(clock::wall()).min(SLEEP_MAX))
    }
}
