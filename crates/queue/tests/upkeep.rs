//! What a log does over time: it takes space back, starts again, and serves many at once.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;

use queue::body::Body;
use queue::delivery::RecipientOutcome;
use queue::disk::Disk;
use queue::log_spool::{LogSpool, Options, fsck, fsck_disk};
use queue::postmaster::Query;
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Spool, SpoolError};
use queue::wait::block_on;
use support::{at, body, message, open, put, run};

fn held_octets(disk: &SimulatedDisk) -> u64 {
    disk.list().unwrap().iter().map(|(_, octets)| octets).sum()
}

fn end(spool: &impl support::Driven, id: QueueId, milliseconds: u64) {
    for delivery in run(spool, spool.due(at(milliseconds), 1_000)).unwrap() {
        if delivery.id == id {
            run(spool, spool.settle(delivery, vec![RecipientOutcome::Delivered], Vec::new())).unwrap();
        } else {
            let until = delivery.due;
            spool.release(delivery, until);
        }
    }
}

#[test]
fn the_disk_that_is_used_stays_bounded() {
    let disk = SimulatedDisk::new(512);
    let mut spool = open(&disk);
    let lasting: Vec<_> = (0..3).map(|time| put(&spool, time, &["z"], 200)).collect();
    let deferred = put(&spool, 3, &["z"], 200);
    for delivery in run(&spool, spool.due(at(3), 10)).unwrap() {
        if delivery.id == deferred {
            let later = RecipientOutcome::Deferred { until: at(9_000_000), reply: "451 later".into() };
            run(&spool, spool.settle(delivery, vec![later], Vec::new())).unwrap();
        } else {
            let until = delivery.due;
            spool.release(delivery, until);
        }
    }
    let mut window = VecDeque::new();
    let mut most = 0;
    for round in 0..1_500 {
        window.push_back(put(&spool, 10 + round, &["a"], 300));
        if window.len() > 4 {
            end(&spool, window.pop_front().unwrap(), 10 + round);
        }
        spool.commit();
        most = most.max(held_octets(&disk));
        if round % 400 == 399 {
            drop(spool);
            spool = open(&disk);
        }
    }
    while spool.commit() {}
    // Live: at most 9 messages of about 450 octets; the log may hold twice that, its slack, the segment in use and two
    // spares.
    assert!(most < 2 * 9 * 500 + (3 + 4) * 2_048, "{most} octets were held");
    for id in lasting.iter().chain(&window).chain([&deferred]) {
        let octets = if window.contains(id) { 300 } else { 200 };
        let stored = run(&spool, spool.open(*id)).unwrap();
        assert_eq!(stored.read_body().unwrap(), body(*id, octets));
    }
    let state = run(&spool, spool.open(deferred)).unwrap().recipients.remove(0);
    assert_eq!((state.attempts, state.last_reply.as_deref()), (1, Some("451 later")));
    drop(spool);
    let report = fsck_disk(&disk).unwrap();
    assert_eq!((report.messages, report.damaged.len(), report.leftovers), (8, 0, 0));
}

#[test]
fn a_state_that_stands_before_its_moved_message_holds() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let traffic = |round: u64| {
        let id = put(&spool, round, &["a"], 300);
        end(&spool, id, round);
        spool.commit();
    };
    let id = put(&spool, 0, &["z", "y"], 300);
    (1..8).for_each(traffic);
    for delivery in run(&spool, spool.due(at(8), 10)).unwrap() {
        let later = RecipientOutcome::Deferred { until: at(9_000), reply: "451 later".into() };
        run(&spool, spool.settle(delivery, vec![later], Vec::new())).unwrap();
    }
    for round in 9..80 {
        traffic(round);
        let reopened = open(&disk.after_power_cut(u64::MAX));
        for state in run(&reopened, reopened.open(id)).unwrap().recipients {
            assert_eq!((state.attempts, state.due), (1, at(9_000)), "round {round}");
            assert_eq!(state.last_reply.as_deref(), Some("451 later"), "round {round}");
        }
    }
}

#[test]
fn what_lives_in_a_damaged_tail_is_saved_and_the_segment_kept() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let (lost, saved) = (put(&spool, 0, &["z"], 200), put(&spool, 0, &["z"], 200));
    let name = disk.list().unwrap().into_iter().find(|(name, _)| name.starts_with("segment-")).unwrap().0;
    let mut octets = disk.contents(&name).unwrap();
    let text = format!("Subject: {lost}");
    let place = octets.windows(text.len()).position(|window| window == text.as_bytes()).unwrap();
    octets[place] ^= 1;
    disk.set_contents(&name, octets);
    for round in 0..40 {
        let id = put(&spool, 10 + round, &["a"], 300);
        end(&spool, id, 10 + round);
        while spool.commit() {}
    }
    assert_eq!(run(&spool, spool.open(lost)).unwrap_err(), SpoolError::Damaged(lost));
    assert_eq!(run(&spool, spool.open(saved)).unwrap().read_body().unwrap(), body(saved, 200));
    assert!(disk.list().unwrap().iter().any(|(name, _)| name.starts_with("damaged-")));
    assert!(disk.contents(&name).is_none());
}

#[test]
fn ids_stay_unique_when_the_clock_is_behind_after_a_restart() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let first = put(&spool, 5_000_000, &["a"], 10);
    end(&spool, first, 5_000_000);
    let unused = spool.allot(at(5_000_001));
    spool.commit();
    let kept = disk.after_power_cut(0);
    let spool = open(&kept);
    assert!(spool.allot(at(0)) > unused && unused > first);
}

#[test]
fn leftovers_are_cleared_away() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let id = spool.allot(at(0));
    let mut large = spool.large_body(id).unwrap();
    large.append(b"never queued").unwrap();
    std::mem::forget(large);
    let ended = spool.allot(at(0));
    let mut large = spool.large_body(ended).unwrap();
    large.append(b"queued and delivered").unwrap();
    let sealed = Body::Large(large.seal().unwrap());
    run(&spool, spool.enqueue(ended, message(0, &["a"]), sealed)).unwrap();
    let large_bodies = || disk.list().unwrap().iter().filter(|(name, _)| name.starts_with("large-")).count();
    assert_eq!(large_bodies(), 2);
    end(&spool, ended, 0);
    assert_eq!(large_bodies(), 1);
    drop(spool);
    let (_, report) = LogSpool::open_on(disk.clone(), support::small()).unwrap();
    assert_eq!((report.leftovers, large_bodies()), (1, 0));
}

#[test]
fn a_record_larger_than_a_segment_has_one_of_its_own() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let id = put(&spool, 0, &["a"], 10_000);
    let next = put(&spool, 0, &["a"], 10);
    drop(spool);
    let spool = open(&disk);
    assert_eq!(run(&spool, spool.open(id)).unwrap().read_body().unwrap(), body(id, 10_000));
    assert!(run(&spool, spool.open(next)).is_ok());
}

#[test]
fn many_at_once_lose_nothing() {
    const SESSIONS: u64 = 8;
    const MESSAGES: u64 = 60;
    let path = std::env::temp_dir().join(format!("gatepost-many-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let options = Options {
        segment_octets: 64 * 1024,
        reclaim_slack_octets: 256 * 1024,
        free_octets_min: 0,
        free_inodes_min: 0,
        ..Options::new(9)
    };
    let spool = Arc::new(LogSpool::at(&path, options.clone()).unwrap().0);
    let session = |session: u64| {
        let spool = Arc::clone(&spool);
        std::thread::spawn(move || {
            let mut kept = Vec::new();
            for number in 0..MESSAGES {
                let id = spool.allot(at(number));
                let octets = Body::Memory(body(id, 2_000));
                block_on(spool.enqueue(id, message(number, &["a", "b"]), octets)).unwrap();
                for delivery in block_on(spool.due(at(number), 3)).unwrap() {
                    let stored = block_on(spool.open(delivery.id)).unwrap();
                    assert_eq!(stored.read_body().unwrap(), body(delivery.id, 2_000));
                    if session == 0 && number % 4 == 0 {
                        let until = delivery.due;
                        spool.release(delivery, until);
                        continue;
                    }
                    block_on(spool.settle(delivery, vec![RecipientOutcome::Delivered], Vec::new())).unwrap();
                }
                kept.push(id);
            }
            kept
        })
    };
    let sessions: Vec<_> = (0..SESSIONS).map(session).collect();
    let ids: Vec<QueueId> = sessions.into_iter().flat_map(|session| session.join().unwrap()).collect();
    let left = block_on(spool.list(&Query::default(), None, usize::MAX)).unwrap();
    drop(spool);
    let (reopened, report) = LogSpool::at(&path, options).unwrap();
    assert_eq!(report.damaged, []);
    let again = block_on(reopened.list(&Query::default(), None, usize::MAX)).unwrap();
    assert_eq!(left, again);
    assert!(again.iter().all(|entry| ids.contains(&entry.id)));
    drop(reopened);
    assert_eq!(fsck(&path).unwrap().messages, left.len() as u64);
    std::fs::remove_dir_all(&path).unwrap();
}
