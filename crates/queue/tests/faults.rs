//! Disks that fail, fill up or are not ours.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::io::ErrorKind;

use queue::delivery::RecipientOutcome;
use queue::disk::{Disk, FreeSpace};
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{Drill, LogSpool, OpenError, Options, fsck};
use queue::message::Draft;
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{NoRoom, Spool, SpoolError};
use support::{at, body, enqueue, message, open, put, run, small};

fn end_all(spool: &impl support::Driven) -> Vec<Result<Vec<QueueId>, SpoolError>> {
    support::open_wide(spool, "a");
    let due = run(spool, spool.due(at(0), 1_000)).unwrap();
    let end = |delivery: queue::delivery::Delivery| {
        let outcomes = vec![RecipientOutcome::Delivered; delivery.recipients.len()];
        run(spool, spool.settle(delivery, outcomes, Vec::new()))
    };
    due.into_iter().map(end).collect()
}

#[test]
fn a_failed_call_stops_accepting_for_good_and_loses_nothing() {
    let whole = SimulatedDisk::new(512);
    let play = |disk: &SimulatedDisk| {
        let spool = open(disk);
        let mut accepted: Vec<QueueId> = Vec::new();
        for _ in 0..8 {
            let id = spool.allot(at(0));
            if enqueue(&spool, id, message(0, &["a"]), body(id, 600)).is_ok() {
                accepted.push(id);
            }
        }
        (spool, accepted)
    };
    drop(play(&whole));
    let mut latched = 0;
    for call in 0..whole.calls() {
        let disk = SimulatedDisk::new(512);
        disk.fail_call(call, ErrorKind::Other);
        let (spool, accepted) = play(&disk);
        if spool.fault().is_some() {
            latched += 1;
            let calls = disk.calls();
            let id = spool.allot(at(0));
            let again = enqueue(&spool, id, message(0, &["a"]), Vec::new());
            assert!(matches!(again, Err(SpoolError::Unavailable(_))), "call {call}");
            assert_eq!(disk.calls(), calls, "a failed disk is not written to again");
        }
        for &id in &accepted {
            assert_eq!(run(&spool, spool.open(id)).unwrap().read_body().unwrap(), body(id, 600));
        }
        for kept in [0, u64::MAX] {
            let reopened = open(&disk.after_power_cut(kept));
            for &id in &accepted {
                assert!(run(&reopened, reopened.open(id)).is_ok(), "call {call}, kept {kept:x}");
            }
        }
    }
    assert!(latched > 10, "only {latched} failures were noticed");
}

#[test]
fn after_a_failure_delivery_goes_on_and_nothing_is_delivered_twice() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let ids = [put(&spool, 0, &["a"], 10), put(&spool, 0, &["a"], 10)];
    let mut due = run(&spool, spool.due(at(0), 1)).unwrap();
    disk.fail_call(disk.calls(), ErrorKind::Other);
    let notice = Draft { message: message(0, &["back"]), body: Vec::new() };
    let failed = vec![RecipientOutcome::Failed { reply: "550".into() }];
    let settled = run(&spool, spool.settle(due.remove(0), failed, vec![notice]));
    assert!(matches!(settled, Err(SpoolError::Unavailable(_))));
    assert!(spool.fault().is_some());
    let mut due = run(&spool, spool.due(at(0), 10)).unwrap();
    assert_eq!(due.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [ids[1]]);
    assert_eq!(run(&spool, spool.open(ids[1])).unwrap().read_body().unwrap(), body(ids[1], 10));
    let later = vec![RecipientOutcome::Deferred { until: at(50), reply: "451".into() }];
    assert!(run(&spool, spool.settle(due.remove(0), later, Vec::new())).is_err());
    assert_eq!(run(&spool, spool.due(at(49), 10)).unwrap(), []);
    assert_eq!(run(&spool, spool.due(at(50), 10)).unwrap().len(), 1);
}

#[test]
fn a_full_disk_takes_no_mail_and_still_delivers() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let mut accepted: Vec<_> = (0..10).map(|_| put(&spool, 0, &["a"], 400)).collect();
    disk.set_full(true);
    let refused = loop {
        let id = spool.allot(at(0));
        match enqueue(&spool, id, message(0, &["a"]), body(id, 400)) {
            Ok(()) => accepted.push(id),
            Err(error) => break error,
        }
        assert!(accepted.len() < 1_000);
    };
    assert_eq!(refused, SpoolError::NoRoom(NoRoom::Reserve));
    assert!(spool.fault().is_none(), "a full disk is no fault");
    let deferred = run(&spool, spool.due(at(0), 1)).unwrap().remove(0);
    let later = vec![RecipientOutcome::Deferred { until: at(0), reply: "x".repeat(900) }];
    let notice = Draft { message: message(0, &["a"]), body: body(deferred.id, 400) };
    run(&spool, spool.settle(deferred, later, vec![notice])).unwrap();
    assert_eq!(spool.room(None), Err(NoRoom::Reserve));
    assert!(end_all(&spool).iter().all(Result::is_ok));
    while spool.commit() {}
    assert_eq!(spool.room(None), Ok(()), "what was delivered made room");
    put(&spool, 0, &["a"], 400);
}

#[test]
fn watermarks_refuse_before_the_disk_is_full() {
    let disk = SimulatedDisk::new(512);
    let options = Options { free_octets_min: 1_000, free_inodes_min: 10, messages_max: 2, ..small() };
    let spool = LogSpool::open_on(disk.clone(), options).unwrap().0;
    let free = |octets, inodes| {
        disk.set_free(FreeSpace { octets, inodes });
        spool.refresh();
    };
    free(1_500, 10);
    assert_eq!((spool.room(None), spool.room(Some(500))), (Ok(()), Ok(())));
    assert_eq!(spool.room(Some(501)), Err(NoRoom::Octets));
    let id = spool.allot(at(0));
    let refused = enqueue(&spool, id, message(0, &["a"]), body(id, 501));
    assert_eq!(refused, Err(SpoolError::NoRoom(NoRoom::Octets)));
    free(1_500, 9);
    assert_eq!(spool.room(None), Err(NoRoom::Inodes));
    free(1_000_000, 100);
    put(&spool, 0, &["a"], 10);
    put(&spool, 0, &["a"], 10);
    assert_eq!(spool.room(None), Err(NoRoom::Messages));
    end_all(&spool);
    assert_eq!(spool.room(None), Ok(()));
    spool.set_watermarks(1_000_001, 10);
    assert_eq!(spool.room(None), Err(NoRoom::Octets));
    spool.set_watermarks(1_000_000, 101);
    assert_eq!(spool.room(None), Err(NoRoom::Inodes));
    spool.set_watermarks(1_000_000, 100);
    assert_eq!(spool.room(None), Ok(()));
}

#[test]
fn octets_that_wait_for_the_committer_are_limited() {
    use std::future::Future;
    use std::task::{Context, Waker};
    let options = Options { backlog_octets_max: 1_000, ..small() };
    let spool = LogSpool::open_on(SimulatedDisk::new(512), options).unwrap().0;
    let id = spool.allot(at(0));
    let large = queue::body::Body::Memory(body(id, 1_000));
    let mut waiting = Box::pin(spool.enqueue(id, message(0, &["a"]), large));
    assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(spool.room(None), Err(NoRoom::Backlog));
    run(&spool, waiting).unwrap();
    assert_eq!(spool.room(None), Ok(()));
}

#[test]
fn drills_act_out_a_full_and_a_broken_disk() {
    let drill = |drill| {
        let disk = SimulatedDisk::new(512);
        put(&open(&disk), 0, &["a"], 10);
        LogSpool::open_on(disk, Options { drill: Some(drill), ..small() }).unwrap().0
    };
    let full = drill(Drill::NoRoom);
    assert_eq!(full.room(None), Err(NoRoom::Octets));
    assert!(end_all(&full)[0].is_ok());
    let broken = drill(Drill::MessageWritesFail);
    assert_eq!(broken.room(None), Ok(()));
    let id = broken.allot(at(0));
    let refused = enqueue(&broken, id, message(0, &["a"]), Vec::new());
    assert!(matches!(refused, Err(SpoolError::Unavailable(_))));
    assert_eq!(run(&broken, broken.due(at(0), 10)).unwrap().len(), 1);
}

#[test]
fn one_process_has_the_spool() {
    let path = std::env::temp_dir().join(format!("gatepost-lock-{}", std::process::id()));
    let (spool, _) = LogSpool::at(&path, Options { segment_octets: 4_096, ..Options::new(1) }).unwrap();
    let busy = |error| matches!(error, OpenError::Disk(error) if error.kind() == ErrorKind::ResourceBusy);
    assert!(busy(LogSpool::at(&path, Options::new(1)).unwrap_err()));
    assert!(busy(fsck(&path).unwrap_err()));
    drop(spool);
    assert_eq!(fsck(&path).unwrap().messages, 0);
    assert!(KernelDisk::open(&path).unwrap().free().unwrap().octets > 0);
    std::fs::remove_dir_all(&path).unwrap();
    assert!(fsck(&path).is_err(), "checking makes no spool");
}

#[test]
fn a_spool_of_another_version_is_left_alone() {
    let disk = SimulatedDisk::new(512);
    disk.create("segment-0000000001-00000000.v2", 100).unwrap();
    let refused = LogSpool::open_on(disk, small()).unwrap_err();
    assert!(matches!(refused, OpenError::OtherVersion(name) if name.ends_with("v2")));
}
