//! Power cuts: before every disk call of a scenario, with every subset of what was not synced lost.
//!
//! After each, the spool is opened again and must keep what it promised: an acknowledged message is there with its
//! body, an acknowledged outcome holds, an outcome and its notice stand or fall together, nothing torn shows up.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use queue::body::Body;
use queue::delivery::{Delivery, Phase, RecipientOutcome};
use queue::log_spool::LogSpool;
use queue::message::Draft;
use queue::postmaster::Query;
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Arrival, Spool, SpoolError};
use support::{at, body, message, open, open_wide, run};

/// Small enough that a commit of a few messages is torn.
const SECTOR_OCTETS: usize = 160;

/// Subsets grow as two to the power of this.
const UNSYNCED_MAX: usize = 12;

/// How far something went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Did {
    Not,
    Perhaps,
    Surely,
}

#[derive(Debug, Clone)]
struct Known {
    octets: usize,
    accepted: Did,
    deferred: Did,
    ended: Did,
    notice: bool,
}

impl Known {
    fn new(octets: usize) -> Self {
        Self { octets, accepted: Did::Perhaps, deferred: Did::Not, ended: Did::Not, notice: false }
    }
}

/// What the clients and servers of the scenario were told.
#[derive(Debug, Default, Clone)]
struct Ledger {
    messages: BTreeMap<QueueId, Known>,
    /// Messages that were handed in as one.
    pairs: Vec<[QueueId; 2]>,
}

type Log = LogSpool<SimulatedDisk>;

impl Ledger {
    fn accept(&mut self, spool: &Log, octets: usize, destinations: &[&str]) -> Result<QueueId, SpoolError> {
        let id = spool.allot(at(0));
        self.messages.insert(id, Known::new(octets));
        support::enqueue(spool, id, message(0, destinations), body(id, octets))?;
        self.known(id).accepted = Did::Surely;
        Ok(id)
    }

    fn known(&mut self, id: QueueId) -> &mut Known {
        self.messages.get_mut(&id).unwrap()
    }

    fn large(&mut self, spool: &Log) -> Result<QueueId, SpoolError> {
        let id = spool.allot(at(0));
        let octets = 700;
        let mut large = spool.large_body(id)?;
        large.append(&body(id, octets))?;
        let sealed = large.seal()?;
        self.messages.insert(id, Known::new(octets));
        run(spool, spool.enqueue(id, message(0, &["a"]), Body::Large(sealed)))?;
        self.known(id).accepted = Did::Surely;
        Ok(id)
    }

    /// Hands in two messages as one.
    fn pair(&mut self, spool: &Log) -> Result<[QueueId; 2], SpoolError> {
        let ids = [(); 2].map(|()| spool.allot(at(0)));
        self.pairs.push(ids);
        let arrivals = ids.map(|id| {
            self.messages.insert(id, Known::new(30));
            Arrival { id, message: message(0, &["a"]), body: Body::Memory(body(id, 30)) }
        });
        run(spool, spool.enqueue_all(arrivals.into()))?;
        for id in ids {
            self.known(id).accepted = Did::Surely;
        }
        Ok(ids)
    }

    fn due(spool: &Log) -> BTreeMap<(QueueId, String), Delivery> {
        for destination in ["a", "b", "back"] {
            open_wide(spool, destination);
        }
        let found = run(spool, spool.due(at(0), 100)).unwrap();
        found.into_iter().map(|d| ((d.id, d.destination.as_str().to_owned()), d)).collect()
    }

    fn put_back(spool: &Log, due: BTreeMap<(QueueId, String), Delivery>) {
        for (_, delivery) in due {
            let until = delivery.due;
            spool.release(delivery, until);
        }
    }

    /// Ends messages that have one recipient each, all at once; those of `notices` with a notice each.
    fn end(&mut self, spool: &Log, ids: &[QueueId], notices: bool) -> Result<(), SpoolError> {
        let mut due = Self::due(spool);
        for &id in ids {
            let delivery = due.remove(&(id, "a".into())).unwrap();
            let drafts = if notices {
                vec![Draft { message: message(0, &["back"]), body: notice(id) }]
            } else {
                Vec::new()
            };
            *self.known(id) = Known { ended: Did::Perhaps, notice: notices, ..self.known(id).clone() };
            let failed = vec![RecipientOutcome::Failed { reply: "550 5.1.1 no".into() }];
            run(spool, spool.settle(delivery, failed, drafts))?;
            self.known(id).ended = Did::Surely;
        }
        Self::put_back(spool, due);
        Ok(())
    }

    /// Hands in several messages and the end of `ended` (which has a notice) before anything is committed.
    fn together(&mut self, spool: &Log, ended: QueueId) -> Result<[QueueId; 3], SpoolError> {
        let ids = [(); 3].map(|()| spool.allot(at(0)));
        let mut due = Self::due(spool);
        let delivery = due.remove(&(ended, "a".into())).unwrap();
        Self::put_back(spool, due);
        *self.known(ended) = Known { ended: Did::Perhaps, notice: true, ..self.known(ended).clone() };
        for id in ids {
            self.messages.insert(id, Known::new(200));
        }
        let [first, second, third] =
            ids.map(|id| Box::pin(spool.enqueue(id, message(0, &["a"]), Body::Memory(body(id, 200)))));
        let notices = vec![Draft { message: message(0, &["back"]), body: notice(ended) }];
        let failed = vec![RecipientOutcome::Failed { reply: "550 5.1.1 no".into() }];
        let settle = Box::pin(spool.settle(delivery, failed, notices));
        let (first, settled, second, third) = run(spool, all(first, settle, second, third));
        for (id, accepted) in ids.into_iter().zip([first, second, third]) {
            if accepted.is_ok() {
                self.known(id).accepted = Did::Surely;
            }
        }
        if settled.is_ok() {
            self.known(ended).ended = Did::Surely;
        }
        settled.map(|_| ids)
    }

    /// Defers the recipient at `b` and relays to the one at `a`.
    fn part(&mut self, spool: &Log, id: QueueId) -> Result<(), SpoolError> {
        let mut due = Self::due(spool);
        self.known(id).deferred = Did::Perhaps;
        let later = vec![RecipientOutcome::Deferred { until: at(900), reply: "451 4.3.0 later".into() }];
        run(spool, spool.settle(due.remove(&(id, "b".into())).unwrap(), later, Vec::new()))?;
        let done = vec![RecipientOutcome::Delivered];
        run(spool, spool.settle(due.remove(&(id, "a".into())).unwrap(), done, Vec::new()))?;
        self.known(id).deferred = Did::Surely;
        Self::put_back(spool, due);
        Ok(())
    }
}

/// All four results, each future polled whenever one is.
async fn all<A: Future + Unpin, B: Future + Unpin, C: Future + Unpin, D: Future + Unpin>(
    mut first: A,
    mut second: B,
    mut third: C,
    mut fourth: D,
) -> (A::Output, B::Output, C::Output, D::Output) {
    let mut outputs = (None, None, None, None);
    std::future::poll_fn(move |context| {
        fn poll<F: Future + Unpin>(
            future: &mut F,
            output: &mut Option<F::Output>,
            context: &mut Context<'_>,
        ) {
            if output.is_none()
                && let Poll::Ready(ready) = Pin::new(future).poll(context)
            {
                *output = Some(ready);
            }
        }
        poll(&mut first, &mut outputs.0, context);
        poll(&mut second, &mut outputs.1, context);
        poll(&mut third, &mut outputs.2, context);
        poll(&mut fourth, &mut outputs.3, context);
        match (outputs.0.take(), outputs.1.take(), outputs.2.take(), outputs.3.take()) {
            (Some(first), Some(second), Some(third), Some(fourth)) => {
                Poll::Ready((first, second, third, fourth))
            }
            pending => {
                outputs = pending;
                Poll::Pending
            }
        }
    })
    .await
}

fn notice(id: QueueId) -> Vec<u8> {
    format!("notice for {id}").into_bytes()
}

/// Mail of all kinds, over several segments: rolling, taking back, writing again what lives in the tail.
fn scenario(disk: &SimulatedDisk, ledger: &mut Ledger) -> Result<(), SpoolError> {
    let Ok((spool, _)) = LogSpool::open_on(disk.clone(), support::small()) else { return Ok(()) };
    let lasting = ledger.accept(&spool, 100, &["a"])?;
    let parted = ledger.accept(&spool, 100, &["a", "b"])?;
    let large = ledger.large(&spool)?;
    ledger.part(&spool, parted)?;
    let pair = ledger.pair(&spool)?;
    let ended = ledger.accept(&spool, 50, &["a"])?;
    let three = ledger.together(&spool, ended)?;
    ledger.end(&spool, &three[..2], true)?;
    for _ in 0..5 {
        let ids = [ledger.accept(&spool, 700, &["a"])?, ledger.accept(&spool, 300, &["a"])?];
        ledger.end(&spool, &ids[..1], true)?;
        ledger.end(&spool, &ids[1..], false)?;
        while spool.commit() {}
    }
    ledger.end(&spool, &[large], true)?;
    ledger.end(&spool, &pair, false)?;
    ledger.pair(&spool)?;
    drop(spool);
    let Ok((spool, _)) = LogSpool::open_on(disk.clone(), support::small()) else { return Ok(()) };
    ledger.accept(&spool, 900, &["a"])?;
    ledger.end(&spool, &[lasting], false)?;
    while spool.commit() {}
    Ok(())
}

/// A little more mail, after a crash.
fn sequel(disk: &SimulatedDisk, ledger: &mut Ledger) -> Result<(), SpoolError> {
    let Ok((spool, _)) = LogSpool::open_on(disk.clone(), support::small()) else { return Ok(()) };
    let id = ledger.accept(&spool, 300, &["a"])?;
    ledger.accept(&spool, 1_500, &["a"])?;
    ledger.end(&spool, &[id], true)?;
    Ok(())
}

/// Opens what a power cut left; says what promise was broken.
fn check(disk: &SimulatedDisk, ledger: &Ledger) -> Result<(), String> {
    let (spool, report) =
        LogSpool::open_on(disk.clone(), support::small()).map_err(|error| error.to_string())?;
    if !report.damaged.is_empty() {
        return Err(format!("a power cut was taken for damage: {:?}", report.damaged));
    }
    let mut found = BTreeMap::new();
    for entry in run(&spool, spool.list(&Query::default(), None, 1_000)).unwrap() {
        let stored = run(&spool, spool.open(entry.id)).map_err(|error| error.to_string())?;
        found.insert(entry.id, stored.read_body().map_err(|error| error.to_string())?);
    }
    for pair in &ledger.pairs {
        let in_doubt = |id| ledger.messages.get(id).is_some_and(|known| known.ended == Did::Not);
        if pair.iter().all(in_doubt) && found.contains_key(&pair[0]) != found.contains_key(&pair[1]) {
            return Err(format!("of {pair:?} one was taken without the other"));
        }
    }
    for (&id, known) in &ledger.messages {
        let there = found.remove(&id);
        if there.as_ref().is_some_and(|octets| *octets != body(id, known.octets)) {
            return Err(format!("{id} has another body"));
        }
        let there = there.is_some();
        if known.accepted == Did::Surely && known.ended == Did::Not && !there {
            return Err(format!("{id} was accepted and is lost"));
        }
        if known.ended == Did::Surely && there {
            return Err(format!("{id} was ended and is back"));
        }
        let notices = found.values().filter(|octets| **octets == notice(id)).count();
        let expected = usize::from(known.notice && known.accepted == Did::Surely && !there);
        if notices != expected {
            return Err(format!("{id} has {notices} notices, not {expected}"));
        }
        found.retain(|_, octets| *octets != notice(id));
        if known.deferred == Did::Surely {
            let states = run(&spool, spool.open(id)).unwrap().recipients;
            let reply = states[1].last_reply.as_deref();
            if states[0].phase != Phase::Finished || states[1].due != at(900) || reply.is_none() {
                return Err(format!("{id} lost its outcomes: {states:?}"));
            }
        }
    }
    let next = spool.allot(at(0));
    let promised = |known: &Known| known.accepted == Did::Surely;
    if let Some((id, _)) = ledger.messages.iter().find(|(id, known)| promised(known) && **id >= next) {
        return Err(format!("id {next} is given though {id} was"));
    }
    if found.is_empty() { Ok(()) } else { Err(format!("nobody sent {:?}", found.keys())) }
}

/// Runs `play` on copies of `disk` with the power cut before each call, and checks every outcome; how many they were.
fn cut_everywhere(
    disk: impl Fn() -> SimulatedDisk,
    before: &Ledger,
    play: impl Fn(&SimulatedDisk, &mut Ledger) -> Result<(), SpoolError>,
) -> Result<u64, String> {
    let whole = disk();
    play(&whole, &mut before.clone()).map_err(|error| error.to_string())?;
    let mut outcomes = 0;
    for call in 0..=whole.calls() {
        let disk = disk();
        disk.stop_before(call);
        let mut ledger = before.clone();
        let _ = play(&disk, &mut ledger);
        let unsynced = disk.unsynced();
        assert!(unsynced <= UNSYNCED_MAX, "{unsynced} changes are too many to try all subsets");
        for kept in 0..1u64 << unsynced {
            check(&disk.after_power_cut(kept), &ledger)
                .map_err(|broken| format!("before call {call}, kept {kept:b}: {broken}"))?;
            outcomes += 1;
        }
    }
    Ok(outcomes)
}

#[test]
fn every_power_cut_keeps_every_promise() {
    let outcomes =
        cut_everywhere(|| SimulatedDisk::new(SECTOR_OCTETS), &Ledger::default(), scenario).unwrap();
    assert!(outcomes > 1_000, "only {outcomes} outcomes: the scenario does not do what it is for");
}

#[test]
fn a_second_power_cut_keeps_the_promises_of_both_runs() {
    let whole = SimulatedDisk::new(SECTOR_OCTETS);
    scenario(&whole, &mut Ledger::default()).unwrap();
    for call in (0..whole.calls()).step_by(19) {
        for kept in [0, 0b101_0101_0101, u64::MAX] {
            let disk = SimulatedDisk::new(SECTOR_OCTETS);
            disk.stop_before(call);
            let mut ledger = Ledger::default();
            let _ = scenario(&disk, &mut ledger);
            // What the first cut left open is settled by looking: from here on only new promises are in doubt.
            let left = disk.after_power_cut(kept);
            ledger = settled(&left, ledger);
            cut_everywhere(|| left.copy(), &ledger, sequel)
                .unwrap_or_else(|broken| panic!("after a cut before call {call}, kept {kept:b}: {broken}"));
        }
    }
}

/// The ledger with every "perhaps" replaced by what is so.
fn settled(disk: &SimulatedDisk, mut ledger: Ledger) -> Ledger {
    let spool = open(&disk.copy());
    let is_there = |id: QueueId| run(&spool, spool.open(id)).is_ok();
    ledger.messages.retain(|id, known| known.accepted == Did::Surely || is_there(*id));
    for (&id, known) in &mut ledger.messages {
        known.accepted = Did::Surely;
        if known.ended == Did::Perhaps {
            known.ended = if is_there(id) { Did::Not } else { Did::Surely };
            known.notice &= known.ended == Did::Surely;
        }
        if known.deferred == Did::Perhaps {
            known.deferred = Did::Not;
        }
    }
    ledger
}

#[test]
fn a_disk_that_does_not_sync_is_found_out() {
    let disk = || {
        let disk = SimulatedDisk::new(SECTOR_OCTETS);
        disk.ignore_syncs();
        disk
    };
    let few = |disk: &SimulatedDisk, ledger: &mut Ledger| {
        let spool = open(disk);
        ledger.accept(&spool, 100, &["a"]).map(|_| ())
    };
    let broken = cut_everywhere(disk, &Ledger::default(), few).unwrap_err();
    assert!(broken.contains("was accepted and is lost"), "{broken}");
}
