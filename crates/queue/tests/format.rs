//! Files that are cut or changed: no panic, and what was acknowledged is intact or reported.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeSet;

use queue::delivery::RecipientOutcome;
use queue::disk::Disk;
use queue::log_spool::{LogSpool, Report, fsck_disk};
use queue::message::Draft;
use queue::queue_id::QueueId;
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Spool, SpoolError};
use support::{at, body, message, open, put, run, small};

struct Written {
    disk: SimulatedDisk,
    queued: Vec<QueueId>,
    gone: Vec<QueueId>,
}

/// A log of a few segments with every kind of record. After a crash there is no index file for the last segment.
fn written(crash: bool) -> Written {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let mut queued = vec![put(&spool, 0, &["a"], 200), put(&spool, 0, &["a", "b"], 90)];
    let mut gone = vec![put(&spool, 1, &["c"], 50), put(&spool, 1, &["d"], 50)];
    for delivery in run(&spool, spool.due(at(1), 10)).unwrap() {
        let outcome = match delivery.destination.as_str() {
            "b" => RecipientOutcome::Deferred { until: at(900), reply: "451 4.3.0 later".into() },
            "c" => RecipientOutcome::Delivered,
            "d" => RecipientOutcome::Failed { reply: "550 5.1.1 no".into() },
            _ => continue,
        };
        let notice = Draft { message: message(2, &["back"]), body: b"a DSN".to_vec() };
        let notices = if delivery.destination.as_str() == "d" { vec![notice] } else { Vec::new() };
        queued.extend(run(&spool, spool.settle(delivery, vec![outcome], notices)).unwrap());
    }
    queued.push(put(&spool, 3, &["a"], 900));
    queued.push(put(&spool, 3, &["a"], 300));
    if crash {
        let kept = disk.after_power_cut(u64::MAX);
        return Written { disk: kept, queued, gone: std::mem::take(&mut gone) };
    }
    drop(spool);
    Written { disk, queued, gone }
}

fn files(disk: &SimulatedDisk, prefix: &str) -> Vec<String> {
    let names = disk.list().unwrap().into_iter().map(|(name, _)| name);
    names.filter(|name| name.starts_with(prefix)).collect()
}

/// Which messages a report speaks of; `None` among them: some that it cannot name.
fn reported(report: &Report) -> BTreeSet<Option<QueueId>> {
    report.damaged.iter().chain(&report.unfinished).map(|damage| damage.id).collect()
}

fn expected_body(id: QueueId, octets: &[u8]) -> bool {
    octets == b"a DSN" || octets == body(id, octets.len())
}

/// Opens a changed log: every message is as it was, or is known not to be.
fn check(written: &Written, disk: &SimulatedDisk, what: &str) {
    let (spool, report) = LogSpool::open_on(disk.clone(), small()).unwrap();
    let reported = reported(&report);
    let spoken_of = |id: QueueId| reported.contains(&Some(id)) || reported.contains(&None);
    for &id in &written.queued {
        match run(&spool, spool.open(id)) {
            Ok(stored) => assert!(expected_body(id, &stored.read_body().unwrap()), "{what}: {id}"),
            Err(SpoolError::Damaged(_)) => {}
            Err(error) => assert!(spoken_of(id), "{what}: {error}, and the report is {report:?}"),
        }
    }
    for &id in &written.gone {
        assert!(run(&spool, spool.open(id)).is_err() || spoken_of(id), "{what}: {id} is back: {report:?}");
    }
}

#[test]
fn a_whole_log_is_as_it_was_with_and_without_index_files() {
    for crash in [false, true] {
        let written = written(crash);
        let segments = files(&written.disk, "segment-").len() as u64;
        assert!(segments > 1);
        let bare = written.disk.copy();
        for index in files(&bare, "index-") {
            bare.remove(&index).unwrap();
        }
        for (disk, read) in [(written.disk.copy(), u64::from(crash)), (bare, segments)] {
            let checked = fsck_disk(&disk).unwrap();
            assert_eq!((checked.messages, &checked.damaged), (written.queued.len() as u64, &vec![]));
            let (spool, report) = LogSpool::open_on(disk.clone(), small()).unwrap();
            assert_eq!((report.messages, report.segments_read), (written.queued.len() as u64, read));
            assert_eq!((report.damaged, report.unfinished), (vec![], vec![]));
            for &id in &written.queued {
                assert!(expected_body(id, &run(&spool, spool.open(id)).unwrap().read_body().unwrap()));
            }
            let state = &run(&spool, spool.open(written.queued[1])).unwrap().recipients[1];
            assert_eq!((state.attempts, state.due), (1, at(900)));
            assert_eq!(state.last_reply.as_deref(), Some("451 4.3.0 later"));
            drop(spool);
            let (_, again) = LogSpool::open_on(disk, small()).unwrap();
            assert_eq!(again.segments_read, 0, "the index files were completed");
        }
    }
}

#[test]
fn a_changed_bit_in_a_segment_is_met_or_reported() {
    for (crash, indexes) in [(true, false), (false, true)] {
        let written = written(crash);
        for name in files(&written.disk, "segment-") {
            let octets = written.disk.contents(&name).unwrap();
            let used = octets.iter().rposition(|&octet| octet != 0).unwrap() + 1;
            for offset in 0..used {
                let disk = written.disk.copy();
                if !indexes {
                    for index in files(&disk, "index-") {
                        disk.remove(&index).unwrap();
                    }
                }
                let mut changed = octets.clone();
                changed[offset] ^= 1 << (offset % 8);
                disk.set_contents(&name, changed);
                check(&written, &disk, &format!("{name} octet {offset}, index files: {indexes}"));
            }
        }
    }
}

#[test]
fn a_changed_index_file_changes_nothing() {
    let written = written(false);
    for name in files(&written.disk, "index-") {
        let octets = written.disk.contents(&name).unwrap();
        for offset in 0..octets.len() {
            for cut in [false, true] {
                let disk = written.disk.copy();
                let mut changed = octets.clone();
                if cut {
                    changed.truncate(offset);
                } else {
                    changed[offset] ^= 1 << (offset % 8);
                }
                disk.set_contents(&name, changed);
                let (spool, report) = LogSpool::open_on(disk, small()).unwrap();
                assert_eq!((report.segments_read, report.damaged), (1, vec![]));
                assert!(written.queued.iter().all(|&id| run(&spool, spool.open(id)).is_ok()));
                assert!(written.gone.iter().all(|&id| run(&spool, spool.open(id)).is_err()));
            }
        }
    }
}

#[test]
fn a_cut_keeps_what_stands_before_it() {
    let disk = SimulatedDisk::new(512);
    let spool =
        LogSpool::open_on(disk.clone(), queue::log_spool::Options { segment_octets: 8_192, ..small() })
            .unwrap()
            .0;
    let mut ends = Vec::new();
    let name = || files(&disk, "segment-").pop().unwrap();
    let used = || disk.contents(&name()).unwrap().iter().rposition(|&octet| octet != 0).unwrap() + 1;
    for received in 0..4 {
        let id = put(&spool, received, &["a"], 100);
        ends.push((id, used()));
    }
    let octets = disk.contents(&name()).unwrap();
    let last = used();
    for cut in 0..=last {
        for zeros in [false, true] {
            let left = disk.copy();
            let mut kept = octets[..cut].to_vec();
            if zeros {
                kept.resize(octets.len(), 0);
            }
            left.set_contents(&name(), kept);
            let (reopened, report) = LogSpool::open_on(left, small()).unwrap();
            assert_eq!(report.damaged, []);
            for &(id, end) in &ends {
                let found = run(&reopened, reopened.open(id)).map(|stored| stored.read_body().unwrap());
                let expected = if end <= cut { Ok(body(id, 100)) } else { Err(SpoolError::Gone(id)) };
                assert_eq!(found, expected, "cut at {cut}");
            }
        }
    }
}

#[test]
fn mail_that_looks_like_a_record_is_mail() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let innocent = put(&spool, 0, &["a"], 100);
    let name = files(&disk, "segment-").pop().unwrap();
    let log = disk.contents(&name).unwrap();
    // The mail carries a copy of the log that it is written to, and its own record is then damaged, so that the scan
    // goes through the copy.
    let forger = spool.allot(at(0));
    support::enqueue(&spool, forger, message(0, &["a"]), log[..400].to_vec()).unwrap();
    put(&spool, 0, &["a"], 10);
    let mut octets = disk.contents(&name).unwrap();
    let carried = octets.windows(300).rposition(|window| *window == log[..300]).unwrap();
    assert!(carried > 300);
    octets[carried - 40] ^= 1;
    let left = disk.after_power_cut(u64::MAX);
    left.set_contents(&name, octets);
    let (reopened, report) = LogSpool::open_on(left, small()).unwrap();
    assert_eq!(report.messages, 2);
    assert!(run(&reopened, reopened.open(innocent)).is_ok());
}

#[test]
fn a_damaged_large_body_is_not_handed_out() {
    let disk = SimulatedDisk::new(512);
    let spool = open(&disk);
    let id = spool.allot(at(0));
    let mut large = spool.large_body(id).unwrap();
    large.append(&body(id, 600_000)).unwrap();
    let sealed = queue::body::Body::Large(large.seal().unwrap());
    run(&spool, spool.enqueue(id, message(0, &["a"]), sealed)).unwrap();
    let name = files(&disk, "large-").pop().unwrap();
    let mut octets = disk.contents(&name).unwrap();
    octets[400_000] ^= 4;
    disk.set_contents(&name, octets);
    let stored = run(&spool, spool.open(id)).unwrap();
    let mut reader = stored.body.reader();
    assert!(reader.next_chunk().unwrap().is_some());
    assert_eq!(reader.next_chunk().unwrap_err(), SpoolError::Damaged(id));
    drop(spool);
    assert_eq!(fsck_disk(&disk).unwrap().damaged[0].id, Some(id));
    disk.remove(&name).unwrap();
    let (spool, report) = LogSpool::open_on(disk, small()).unwrap();
    assert_eq!(report.damaged[0].id, Some(id));
    assert_eq!(run(&spool, spool.open(id)).unwrap_err(), SpoolError::Damaged(id));
}
