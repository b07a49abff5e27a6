//! The log and the model answer alike, whatever is done to them, also when the log is opened again in between.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use proptest::prelude::*;

use queue::body::Body;
use queue::delivery::{Delivery, Phase, RecipientOutcome};
use queue::log_spool::LogSpool;
use queue::memory_spool::MemorySpool;
use queue::message::Destination;
use queue::postmaster::{Order, Query};
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Spool, Window};
use smtp::time::WallTime;
use support::{at, body, message, open, run};

#[derive(Debug, Clone)]
enum Step {
    /// A message of so many octets to these destinations.
    Enqueue(usize, Vec<u8>),
    /// Claims what is due after so much time.
    Due(u64),
    /// Settles a claimed delivery; a recipient whose bit is set is deferred for so long.
    Settle(prop::sample::Index, u8, u64),
    Release(prop::sample::Index),
    Order(Which, What),
    Window(u8, u32, u64),
    /// What is claimed is settled first: claims and orders that wait for them do not outlive a restart.
    Reopen {
        cleanly: bool,
    },
}

#[derive(Debug, Clone)]
enum Which {
    All,
    Destination(u8),
    Recipient(u8, u8),
    Held,
    Message(prop::sample::Index),
    Before(u64),
}

#[derive(Debug, Clone)]
enum What {
    Hold,
    Release,
    Retry(u64),
    Drop,
    Redirect(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use prop::sample::Index;
    let which = prop_oneof![
        Just(Which::All),
        (0..3u8).prop_map(Which::Destination),
        (0..3u8, 0..3u8).prop_map(|(number, destination)| Which::Recipient(number, destination)),
        Just(Which::Held),
        any::<Index>().prop_map(Which::Message),
        (0..200u64).prop_map(Which::Before),
    ];
    let what = prop_oneof![
        3 => Just(What::Hold),
        3 => Just(What::Release),
        1 => (0..200u64).prop_map(What::Retry),
        1 => Just(What::Drop),
        2 => (0..3u8).prop_map(What::Redirect),
    ];
    let step = prop_oneof![
        6 => (0..900usize, prop::collection::vec(0..3u8, 1..5)).prop_map(|(o, d)| Step::Enqueue(o, d)),
        4 => (0..40u64).prop_map(Step::Due),
        8 => (any::<Index>(), any::<u8>(), 0..100u64).prop_map(|(i, b, t)| Step::Settle(i, b, t)),
        1 => any::<Index>().prop_map(Step::Release),
        3 => (which, what).prop_map(|(which, what)| Step::Order(which, what)),
        2 => (0..3u8, 0..3u32, 0..60u64).prop_map(|(d, claims, opens)| Step::Window(d, claims, opens)),
        1 => any::<bool>().prop_map(|cleanly| Step::Reopen { cleanly }),
    ];
    prop::collection::vec(step, 1..60)
}

struct Pair {
    disk: SimulatedDisk,
    log: Option<LogSpool<SimulatedDisk>>,
    model: MemorySpool,
    claimed: Vec<(Delivery, Delivery)>,
    ids: Vec<QueueId>,
    now: u64,
}

fn destination(number: u8) -> String {
    format!("d{number}")
}

/// What a claimant sees of a delivery.
fn seen(delivery: &Delivery) -> (QueueId, Vec<u32>, String, u32, u64) {
    let destination = delivery.destination.as_str().to_owned();
    (delivery.id, delivery.recipients.clone(), destination, delivery.attempts, delivery.due.as_unix_millis())
}

impl Pair {
    fn new() -> Self {
        let disk = SimulatedDisk::new(512);
        let log = Some(open(&disk));
        Self { disk, log, model: MemorySpool::new(), claimed: Vec::new(), ids: Vec::new(), now: 0 }
    }

    fn log(&self) -> &LogSpool<SimulatedDisk> {
        self.log.as_ref().unwrap()
    }

    fn enqueue(&mut self, octets: usize, destinations: &[u8]) {
        let id = self.log().allot(at(self.now));
        let keys: Vec<String> = destinations.iter().map(|&number| destination(number)).collect();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let queued = message(self.now, &keys);
        let octets = || Body::Memory(body(id, octets));
        run(self.log(), self.log().enqueue(id, queued.clone(), octets())).unwrap();
        run(&self.model, self.model.enqueue(id, queued, octets())).unwrap();
        self.ids.push(id);
    }

    fn due(&mut self) {
        let mut log = run(self.log(), self.log().due(at(self.now), 1_000)).unwrap();
        let mut model = run(&self.model, self.model.due(at(self.now), 1_000)).unwrap();
        log.sort_by_key(seen);
        model.sort_by_key(seen);
        assert_eq!(log.iter().map(seen).collect::<Vec<_>>(), model.iter().map(seen).collect::<Vec<_>>());
        self.claimed.extend(log.into_iter().zip(model));
    }

    fn set_window(&self, number: u8, window: Window) {
        let destination = Destination::new(&destination(number));
        self.log().set_window(&destination, window);
        self.model.set_window(&destination, window);
    }

    fn take(&mut self, index: prop::sample::Index) -> Option<(Delivery, Delivery)> {
        (!self.claimed.is_empty()).then(|| self.claimed.swap_remove(index.index(self.claimed.len())))
    }

    fn settle(&self, (log, model): (Delivery, Delivery), bits: u8, later: u64) {
        let outcome = |recipient: &u32| {
            if bits >> (recipient % 8) & 1 == 0 {
                return RecipientOutcome::Delivered;
            }
            RecipientOutcome::Deferred { until: at(self.now + later), reply: format!("451 {later}") }
        };
        let outcomes: Vec<_> = log.recipients.iter().map(outcome).collect();
        let log = run(self.log(), self.log().settle(log, outcomes.clone(), Vec::new()));
        assert_eq!(log, run(&self.model, self.model.settle(model, outcomes, Vec::new())));
        assert!(log.is_ok());
    }

    fn order(&self, which: &Which, what: &What) {
        let mut query = Query::default();
        match which {
            Which::All => {}
            Which::Destination(number) => {
                query.destination = Some(Destination::new(&destination(*number)));
            }
            Which::Recipient(number, place) => {
                query.recipient = Some(format!("r{number}@d{place}.example").parse().unwrap());
            }
            Which::Held => query.phase = Some(Phase::Held),
            Which::Message(_) if self.ids.is_empty() => {}
            Which::Message(index) => query.ids = vec![*index.get(&self.ids)],
            Which::Before(time) => query.received_before = Some(at(*time)),
        }
        let order = match what {
            What::Hold => Order::Hold,
            What::Release => Order::Release,
            What::Retry(time) => Order::Retry { due: at(*time) },
            What::Drop => Order::Drop,
            What::Redirect(number) => Order::Redirect(Destination::new(&destination(*number))),
        };
        let log = run(self.log(), self.log().order(&query, order.clone())).unwrap();
        let model = run(&self.model, self.model.order(&query, order)).unwrap();
        assert_eq!(log, model);
    }

    fn reopen(&mut self, cleanly: bool) {
        for pair in std::mem::take(&mut self.claimed) {
            self.settle(pair, 0xff, 10);
        }
        if cleanly {
            self.log = None;
        } else {
            // All that was acknowledged was synced: whatever else is lost must not matter.
            self.disk = self.disk.after_power_cut(0);
        }
        self.log = Some(open(&self.disk));
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Enqueue(octets, destinations) => self.enqueue(*octets, destinations),
            Step::Due(time) => {
                self.now += time;
                self.due();
            }
            Step::Settle(index, bits, later) => {
                if let Some(pair) = self.take(*index) {
                    self.settle(pair, *bits, *later);
                }
            }
            Step::Release(index) => {
                if let Some((log, model)) = self.take(*index) {
                    let until = log.due;
                    self.log().release(log, until);
                    self.model.release(model, until);
                }
            }
            Step::Order(which, what) => self.order(which, what),
            Step::Window(number, claims_max, later) => {
                let window = Window { claims_max: *claims_max, opens: at(self.now + later) };
                self.set_window(*number, window);
            }
            Step::Reopen { cleanly } => {
                self.reopen(*cleanly);
                // Windows are this run's alone.
                (0..3).for_each(|number| self.set_window(number, Window::default()));
            }
        }
        // Orders that waited for a delivery are carried out by the committer.
        self.log().commit();
    }

    fn compare(&self) {
        let all = Query::default();
        let log = run(self.log(), self.log().list(&all, None, usize::MAX)).unwrap();
        let model = run(&self.model, self.model.list(&all, None, usize::MAX)).unwrap();
        assert_eq!(log, model);
        // Which of two times that are past it is matters to nobody.
        let ahead = |next: Option<WallTime>| next.map(|next| next.max(at(self.now)));
        assert_eq!(ahead(self.log().next_due()), ahead(self.model.next_due()));
        let census = run(self.log(), self.log().census()).unwrap();
        assert_eq!(census, run(&self.model, self.model.census()).unwrap());
        for entry in log {
            let stored = run(self.log(), self.log().open(entry.id)).unwrap();
            assert_eq!(stored.message, run(&self.model, self.model.open(entry.id)).unwrap().message);
            assert_eq!(stored.read_body().unwrap(), body(entry.id, entry.size_octets as usize));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 120, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_the_model(steps in steps()) {
        let mut pair = Pair::new();
        for step in &steps {
            pair.step(step);
            pair.compare();
        }
    }
}
