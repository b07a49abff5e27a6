//! Messages and small logs for the tests of the spool.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use queue::body::Body;
use queue::disk::Disk;
use queue::log_spool::{Commits, LogSpool, Options};
use queue::message::{Destination, Origin, QueuedMessage, QueuedRecipient};
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Spool, SpoolError, Window};
use smtp::envelope::{MailParameters, RcptParameters};
use smtp::time::WallTime;

/// A morning in 2026.
pub(crate) const MORNING: u64 = 1_794_000_000_000;

pub(crate) fn at(milliseconds: u64) -> WallTime {
    WallTime::from_unix_millis(MORNING + milliseconds)
}

/// A message received at `at(received)` to one recipient for each destination.
pub(crate) fn message(received: u64, destinations: &[&str]) -> QueuedMessage {
    let recipient = |(index, destination): (usize, &&str)| QueuedRecipient {
        mailbox: format!("r{index}@{}.example", destination.replace(|c: char| !c.is_alphanumeric(), "-"))
            .parse()
            .unwrap(),
        accepted_as: format!("<alias{index}@example.org>").parse().unwrap(),
        parameters: RcptParameters::default(),
        destination: Destination::new(destination),
    };
    QueuedMessage {
        reverse_path: "<sender@example.org>".parse().unwrap(),
        parameters: MailParameters::default(),
        received: at(received),
        hold: None,
        origin: Origin { client: "192.0.2.1".into(), helo: "client.example".into(), submitted: false },
        recipients: destinations.iter().enumerate().map(recipient).collect(),
    }
}

/// A body that tells whose it is.
pub(crate) fn body(id: QueueId, octets: usize) -> Vec<u8> {
    format!("Subject: {id}\r\n\r\n").into_bytes().into_iter().cycle().take(octets).collect()
}

/// Small segments, commits on call, little slack: everything a log does happens within a few messages.
pub(crate) fn small() -> Options {
    Options {
        segment_octets: 2_048,
        spares_max: 1,
        reclaim_slack_octets: 3 * 2_048,
        free_octets_min: 0,
        free_inodes_min: 0,
        commits: Commits::OnCall,
        ..Options::new(7)
    }
}

pub(crate) fn open(disk: &SimulatedDisk) -> LogSpool<SimulatedDisk> {
    LogSpool::open_on(disk.clone(), small()).unwrap().0
}

/// A spool that a test can wait for in its own thread.
pub(crate) trait Driven: Spool {
    /// Does what a thread of the spool's own would do.
    fn drive(&self) {}
}

impl Driven for queue::memory_spool::MemorySpool {}

impl<D: Disk> Driven for LogSpool<D> {
    fn drive(&self) {
        self.commit();
    }
}

/// Runs a future to its end, the spool driven whenever it waits.
pub(crate) fn run<T>(spool: &impl Driven, future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
        spool.drive();
        std::thread::yield_now();
    }
    panic!("the spool never answered");
}

pub(crate) fn enqueue(
    spool: &impl Driven,
    id: QueueId,
    message: QueuedMessage,
    octets: Vec<u8>,
) -> Result<(), SpoolError> {
    run(spool, spool.enqueue(id, message, Body::Memory(octets)))
}

/// Queues a message with a body of its own.
pub(crate) fn put(spool: &impl Driven, received: u64, destinations: &[&str], octets: usize) -> QueueId {
    let id = spool.allot(at(received));
    enqueue(spool, id, message(received, destinations), body(id, octets)).unwrap();
    id
}

/// Lets all deliveries of a destination be claimed at once.
pub(crate) fn open_wide(spool: &impl Spool, destination: &str) {
    spool.set_window(&Destination::new(destination), Window { claims_max: u32::MAX, ..Window::default() });
}
