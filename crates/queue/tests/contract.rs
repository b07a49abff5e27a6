//! What every spool does: one suite, run on each of them.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod support;

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use queue::body::Body;
use queue::delivery::{Delivery, Phase, RecipientOutcome};
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{LogSpool, Options};
use queue::memory_spool::MemorySpool;
use queue::message::{Destination, Draft, Hold, QueuedMessage};
use queue::postmaster::{Order, Query};
use queue::simulated_disk::SimulatedDisk;
use queue::spool::{Arrival, LARGE_BODY_OCTETS, Overdue, SpoolError, Window};
use support::{Driven, at, body, enqueue, message, put, run};

/// Runs each test on each spool.
macro_rules! suite {
    ($($test:ident)*) => {
        mod memory {
            $(#[test] fn $test() { super::$test(&super::MemorySpool::new()); })*
        }
        mod log {
            $(#[test] fn $test() {
                super::$test(&super::support::open(&super::SimulatedDisk::new(512)));
            })*
        }
        mod log_on_disk {
            $(#[test] fn $test() { super::on_disk(stringify!($test), super::$test); })*
        }
    };
}

suite! {
    a_message_comes_back_as_it_was
    a_large_body_comes_back_in_chunks
    a_large_body_is_read_before_it_is_sealed
    a_message_that_is_held_from_the_start_waits_for_its_release
    what_is_taken_is_checked
    several_messages_are_taken_all_or_none
    recipients_with_one_destination_are_delivered_together
    a_delivery_is_with_one_claimant_at_a_time
    nothing_is_due_before_its_time
    destinations_take_turns
    senders_take_turns_within_a_destination
    windows_let_so_much_through
    what_cannot_wait_is_given_out_though_its_destination_is_shut_off
    a_message_goes_with_its_last_recipient
    deferred_recipients_keep_their_reply
    outcomes_must_fit
    notices_come_with_the_outcome
    changes_wake
    orders_hold_release_retry_redirect_and_drop
    an_order_on_one_recipient_leaves_the_others
    an_order_waits_for_a_delivery_under_way
    listing_pages_and_filters
    the_census_counts
}

/// A spool with its own thread in a directory of its own.
fn on_disk(name: &str, test: impl Fn(&LogSpool<KernelDisk>)) {
    let path = std::env::temp_dir().join(format!("gatepost-contract-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    let options =
        Options { segment_octets: 256 * 1024, free_octets_min: 0, free_inodes_min: 0, ..Options::new(3) };
    let (spool, _) = LogSpool::at(&path, options).unwrap();
    test(&spool);
    drop(spool);
    std::fs::remove_dir_all(&path).unwrap();
}

fn due(spool: &impl Driven, milliseconds: u64) -> Vec<Delivery> {
    run(spool, spool.due(at(milliseconds), 1_000)).unwrap()
}

fn deferred(until: u64) -> RecipientOutcome {
    RecipientOutcome::Deferred { until: at(until), reply: format!("451 4.3.0 until {until}") }
}

fn settle(spool: &impl Driven, delivery: Delivery, outcome: &RecipientOutcome) {
    let outcomes = vec![outcome.clone(); delivery.recipients.len()];
    run(spool, spool.settle(delivery, outcomes, Vec::new())).unwrap();
}

fn order(spool: &impl Driven, query: &Query, order: Order) -> u64 {
    run(spool, spool.order(query, order)).unwrap()
}

fn a_message_comes_back_as_it_was(spool: &impl Driven) {
    let id = spool.allot(at(0));
    enqueue(spool, id, message(0, &["a", "b"]), body(id, 700)).unwrap();
    let stored = run(spool, spool.open(id)).unwrap();
    assert_eq!(stored.message, message(0, &["a", "b"]));
    assert_eq!((stored.id, stored.body.size_octets()), (id, 700));
    assert_eq!(stored.read_body().unwrap(), body(id, 700));
    assert!(stored.recipients.iter().all(|state| state.phase == Phase::Waiting && state.attempts == 0));
    let empty = spool.allot(at(0));
    enqueue(spool, empty, message(0, &["a"]), Vec::new()).unwrap();
    assert_eq!(run(spool, spool.open(empty)).unwrap().read_body().unwrap(), b"");
}

fn a_large_body_comes_back_in_chunks(spool: &impl Driven) {
    let id = spool.allot(at(0));
    let octets = body(id, LARGE_BODY_OCTETS as usize + 12_345);
    let mut large = spool.large_body(id).unwrap();
    for piece in octets.chunks(100_000) {
        large.append(piece).unwrap();
    }
    let sealed = large.seal().unwrap();
    run(spool, spool.enqueue(id, message(0, &["a"]), Body::Large(sealed))).unwrap();
    let stored = run(spool, spool.open(id)).unwrap();
    assert_eq!(stored.body.size_octets(), octets.len() as u64);
    assert!(stored.read_body().unwrap() == octets);
    let headed = spool.allot(at(0));
    let mut large = spool.large_body(headed).unwrap();
    large.append(&octets).unwrap();
    let body = Body::Large(large.seal().unwrap().with_head(b"Received: x\r\n".to_vec()));
    assert_eq!(body.size_octets(), octets.len() as u64 + 13);
    run(spool, spool.enqueue(headed, message(0, &["a"]), body)).unwrap();
    let stored = run(spool, spool.open(headed)).unwrap();
    assert_eq!(stored.body.size_octets(), octets.len() as u64 + 13);
    assert!(stored.read_body().unwrap() == [b"Received: x\r\n", octets.as_slice()].concat());
    let dropped = spool.allot(at(0));
    drop(spool.large_body(dropped).unwrap().seal().unwrap());
    assert_eq!(run(spool, spool.open(dropped)).unwrap_err(), SpoolError::Gone(dropped));
    let other = spool.allot(at(0));
    let sealed = spool.large_body(dropped).unwrap().seal().unwrap();
    assert!(run(spool, spool.enqueue(other, message(0, &["a"]), Body::Large(sealed))).is_err());
}

fn a_large_body_is_read_before_it_is_sealed(spool: &impl Driven) {
    let id = spool.allot(at(0));
    let octets = body(id, LARGE_BODY_OCTETS as usize + 12_345);
    let mut large = spool.large_body(id).unwrap();
    large.append(&octets).unwrap();
    let complete = large.complete().unwrap();
    assert_eq!(complete.size_octets(), octets.len() as u64);
    let (mut reader, mut read) = (complete.reader(), Vec::new());
    while let Some(chunk) = reader.next_chunk().unwrap() {
        read.extend_from_slice(chunk);
    }
    assert!(read == octets);
    let sealed = large.seal().unwrap();
    run(spool, spool.enqueue(id, message(0, &["a"]), Body::Large(sealed))).unwrap();
    assert!(run(spool, spool.open(id)).unwrap().read_body().unwrap() == octets);
}

fn a_message_that_is_held_from_the_start_waits_for_its_release(spool: &impl Driven) {
    let id = spool.allot(at(0));
    let held = QueuedMessage { hold: Some(Hold::Quarantined), ..message(0, &["a", "b"]) };
    enqueue(spool, id, held, Vec::new()).unwrap();
    assert!(run(spool, spool.due(at(1_000_000), 10)).unwrap().is_empty());
    let stored = run(spool, spool.open(id)).unwrap();
    assert_eq!(stored.message.hold, Some(Hold::Quarantined));
    assert!(stored.recipients.iter().all(|recipient| recipient.phase == Phase::Held));
    assert_eq!(run(spool, spool.order(&Query::default(), Order::Release)).unwrap(), 2);
    assert_eq!(run(spool, spool.due(at(1_000_000), 10)).unwrap().len(), 2);
}

fn several_messages_are_taken_all_or_none(spool: &impl Driven) {
    let arrival = |id| Arrival { id, message: message(0, &["a"]), body: Body::Memory(body(id, 100)) };
    let sealed = |id| {
        let mut large = spool.large_body(id).unwrap();
        large.append(&body(id, 100)).unwrap();
        Arrival { id, message: message(0, &["a"]), body: Body::Large(large.seal().unwrap()) }
    };
    let [first, second, third, taken] = [(); 4].map(|()| spool.allot(at(0)));
    run(spool, spool.enqueue_all(vec![arrival(first), sealed(second)])).unwrap();
    enqueue(spool, taken, message(0, &["b"]), body(taken, 10)).unwrap();
    for id in [first, second] {
        assert_eq!(run(spool, spool.open(id)).unwrap().read_body().unwrap(), body(id, 100));
    }
    let refused = run(spool, spool.enqueue_all(vec![sealed(third), arrival(taken)]));
    assert_eq!(refused, Err(SpoolError::Taken(taken)));
    assert_eq!(run(spool, spool.open(third)).unwrap_err(), SpoolError::Gone(third));
    let none = Arrival { message: message(0, &[]), ..arrival(third) };
    let refused = run(spool, spool.enqueue_all(vec![arrival(spool.allot(at(0))), none]));
    assert_eq!(refused, Err(SpoolError::Recipients(third)));
    run(spool, spool.enqueue_all(Vec::new())).unwrap();
    assert_eq!(run(spool, spool.census()).unwrap().messages, 3);
    // The name is free again, that of the large body too.
    run(spool, spool.enqueue_all(vec![sealed(third)])).unwrap();
}

fn what_is_taken_is_checked(spool: &impl Driven) {
    let id = put(spool, 0, &["a"], 10);
    assert_eq!(enqueue(spool, id, message(0, &["b"]), Vec::new()), Err(SpoolError::Taken(id)));
    assert_eq!(run(spool, spool.open(id)).unwrap().read_body().unwrap(), body(id, 10));
    let none = spool.allot(at(0));
    assert_eq!(enqueue(spool, none, message(0, &[]), Vec::new()), Err(SpoolError::Recipients(none)));
    assert!(spool.room(Some(10)).is_ok() && spool.fault().is_none());
}

fn recipients_with_one_destination_are_delivered_together(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "b", "a"], 10);
    let found = due(spool, 0);
    let shape: Vec<_> = found.iter().map(|d| (d.id, d.destination.as_str(), d.recipients.clone())).collect();
    assert_eq!(shape, [(id, "a", vec![0, 2]), (id, "b", vec![1])]);
    assert!(found.iter().all(|d| d.attempts == 0 && d.received == at(0) && d.due == at(0)));
}

fn a_delivery_is_with_one_claimant_at_a_time(spool: &impl Driven) {
    put(spool, 0, &["a"], 10);
    let first = due(spool, 0).pop().unwrap();
    assert_eq!(due(spool, 0), []);
    assert_eq!(spool.next_due(), None);
    spool.release(first, at(50));
    assert_eq!(spool.next_due(), Some(at(50)));
    assert_eq!(due(spool, 49), []);
    let again = due(spool, 50).pop().unwrap();
    assert_eq!(again.attempts, 0);
}

fn nothing_is_due_before_its_time(spool: &impl Driven) {
    let id = put(spool, 10, &["a"], 10);
    assert_eq!(due(spool, 9), []);
    let delivery = due(spool, 10).pop().unwrap();
    settle(spool, delivery, &deferred(500));
    assert_eq!((due(spool, 499), spool.next_due()), (vec![], Some(at(500))));
    let again = due(spool, 500).pop().unwrap();
    assert_eq!((again.id, again.attempts, again.due), (id, 1, at(500)));
}

fn windows_let_so_much_through(spool: &impl Driven) {
    let [busy, idle] = ["busy", "idle"].map(Destination::new);
    let ids = [put(spool, 0, &["busy"], 10), put(spool, 5, &["idle"], 10), put(spool, 6, &["busy"], 10)];
    let found = |time| due(spool, time).iter().map(|delivery| delivery.id).collect::<Vec<_>>();
    spool.set_window(&busy, Window { claims_max: 0, ..Window::default() });
    spool.set_window(&idle, Window { opens: at(8), ..Window::default() });
    assert_eq!((spool.next_due(), found(7)), (Some(at(8)), vec![]));
    assert_eq!(found(9), [ids[1]]);
    assert_eq!((spool.next_due(), found(9)), (None, vec![]));
    spool.set_window(&busy, Window { claims_max: 1, ..Window::default() });
    assert_eq!(spool.next_due(), Some(at(0)));
    let first = due(spool, 9).pop().unwrap();
    assert_eq!((first.id, spool.next_due(), found(9)), (ids[0], None, vec![]));
    settle(spool, first, &deferred(500));
    let second = due(spool, 9).pop().unwrap();
    assert_eq!((second.id, found(9)), (ids[2], vec![]));
    spool.release(second, at(9));
    let again = due(spool, 9).pop().unwrap();
    assert_eq!(again.id, ids[2]);
    settle(spool, again, &RecipientOutcome::Delivered);
    assert_eq!((spool.next_due(), found(499), found(500)), (Some(at(500)), vec![], vec![ids[0]]));
}

fn what_cannot_wait_is_given_out_though_its_destination_is_shut_off(spool: &impl Driven) {
    let away = Destination::new("away");
    let ids: Vec<_> = (0..4).map(|time| put(spool, time, &["away"], 10)).collect();
    let other = put(spool, 0, &["other"], 10);
    spool.set_window(&away, Window { opens: at(1_000), ..Window::default() });
    let overdue = Overdue { lifetime: Duration::from_millis(100), warning: Duration::from_millis(10) };
    let found = |time| run(spool, spool.overdue(&away, at(time), overdue, 10)).unwrap();
    assert_eq!(found(9), []);
    let warned = found(11);
    assert_eq!(warned.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids[..2]);
    for delivery in warned {
        settle(spool, delivery, &deferred(50));
    }
    assert_eq!(found(11), []);
    let rest = found(60);
    assert_eq!(rest.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids[2..], "warned once");
    let expired = found(100);
    assert_eq!(expired.iter().map(|delivery| delivery.id).collect::<Vec<_>>(), ids[..1]);
    let of =
        |destination: &str| run(spool, spool.due_of(&Destination::new(destination), at(200), 9)).unwrap();
    assert_eq!(of("away"), []);
    assert_eq!(of("other").iter().map(|delivery| delivery.id).collect::<Vec<_>>(), [other]);
}

fn destinations_take_turns(spool: &impl Driven) {
    let many: Vec<_> = (0..5).map(|time| put(spool, time, &["big"], 10)).collect();
    let one = put(spool, 9, &["small"], 10);
    let found = run(spool, spool.due(at(20), 3)).unwrap();
    let ids: Vec<_> = found.iter().map(|delivery| delivery.id).collect();
    assert_eq!(ids, [many[0], one, many[1]]);
}

fn senders_take_turns_within_a_destination(spool: &impl Driven) {
    let put_by = |reverse_path: &str, time| {
        let id = spool.allot(at(time));
        let queued = QueuedMessage { reverse_path: reverse_path.parse().unwrap(), ..message(time, &["a"]) };
        enqueue(spool, id, queued, Vec::new()).unwrap();
        id
    };
    let many: Vec<_> = (0..6).map(|n| put_by(&format!("<list+{n}@example.org>"), n)).collect();
    let one = put_by("<ann@example.org>", 9);
    spool.set_window(&Destination::new("a"), Window { claims_max: 1, ..Window::default() });
    let mut order = Vec::new();
    while let Some(delivery) = due(spool, 20).pop() {
        order.push(delivery.id);
        settle(spool, delivery, &RecipientOutcome::Delivered);
    }
    let turn = order.iter().position(|id| *id == one).unwrap();
    assert!(turn <= 1, "{turn}");
    order.remove(turn);
    assert_eq!(order, many);
}

fn a_message_goes_with_its_last_recipient(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "b"], 10);
    let mut found = due(spool, 0);
    settle(spool, found.pop().unwrap(), &RecipientOutcome::Delivered);
    let stored = run(spool, spool.open(id)).unwrap();
    let phases: Vec<_> = stored.recipients.iter().map(|state| state.phase).collect();
    assert_eq!(phases, [Phase::UnderWay, Phase::Finished]);
    let failed = RecipientOutcome::Failed { reply: "550 5.1.1 no".into() };
    settle(spool, found.pop().unwrap(), &failed);
    assert_eq!(run(spool, spool.open(id)).unwrap_err(), SpoolError::Gone(id));
    assert_eq!((due(spool, 9_999), spool.next_due()), (vec![], None));
}

fn deferred_recipients_keep_their_reply(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "a"], 10);
    let delivery = due(spool, 0).pop().unwrap();
    let outcomes = vec![RecipientOutcome::Relayed { reply: "250 2.0.0 ok".into() }, deferred(70)];
    run(spool, spool.settle(delivery, outcomes, Vec::new())).unwrap();
    let stored = run(spool, spool.open(id)).unwrap();
    assert_eq!(stored.recipients[0].phase, Phase::Finished);
    let state = &stored.recipients[1];
    assert_eq!((state.phase, state.attempts, state.due), (Phase::Waiting, 1, at(70)));
    assert_eq!(state.last_reply.as_deref(), Some("451 4.3.0 until 70"));
    assert_eq!(due(spool, 70).pop().unwrap().recipients, [1]);
}

fn outcomes_must_fit(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "a"], 10);
    let delivery = due(spool, 0).pop().unwrap();
    let too_few = vec![RecipientOutcome::Delivered];
    assert_eq!(run(spool, spool.settle(delivery, too_few, Vec::new())), Err(SpoolError::Outcomes(id)));
    assert!(run(spool, spool.open(id)).is_ok());
    assert_eq!(due(spool, 0), []);
}

fn notices_come_with_the_outcome(spool: &impl Driven) {
    let id = put(spool, 0, &["a"], 10);
    let delivery = due(spool, 0).pop().unwrap();
    let notice = Draft { message: message(5, &["back"]), body: b"a DSN".to_vec() };
    let failed = vec![RecipientOutcome::Expired { reply: "451 4.4.1".into() }];
    let ids = run(spool, spool.settle(delivery, failed, vec![notice.clone(), notice])).unwrap();
    assert_eq!(ids.len(), 2);
    assert!(id < ids[0] && ids[0] < ids[1]);
    assert_eq!(run(spool, spool.open(id)).unwrap_err(), SpoolError::Gone(id));
    assert_eq!(run(spool, spool.open(ids[1])).unwrap().read_body().unwrap(), b"a DSN");
    let found: Vec<_> = due(spool, 5).into_iter().map(|delivery| delivery.id).collect();
    assert_eq!(found, ids);
}

fn changes_wake(spool: &impl Driven) {
    let mut context = Context::from_waker(Waker::noop());
    let mut changed = pin!(spool.changed());
    assert!(changed.as_mut().poll(&mut context).is_pending());
    put(spool, 0, &["a"], 10);
    run(spool, changed);
    let delivery = due(spool, 0).pop().unwrap();
    let changed = spool.changed();
    spool.release(delivery, at(0));
    run(spool, changed);
}

fn orders_hold_release_retry_redirect_and_drop(spool: &impl Driven) {
    let ids = [put(spool, 0, &["a"], 10), put(spool, 0, &["b"], 10)];
    let of_a = Query { destination: Some(Destination::new("a")), ..Query::default() };
    assert_eq!(order(spool, &of_a, Order::Hold), 1);
    let delivery = due(spool, 0).pop().unwrap();
    assert_eq!(delivery.id, ids[1]);
    assert_eq!((due(spool, 99), spool.next_due()), (vec![], None));
    assert_eq!(run(spool, spool.open(ids[0])).unwrap().recipients[0].phase, Phase::Held);
    settle(spool, delivery, &deferred(900));
    let held = Query { phase: Some(Phase::Held), ..Query::default() };
    assert_eq!(order(spool, &held, Order::Redirect(Destination::new("c"))), 1);
    assert_eq!(order(spool, &of_a, Order::Release), 0);
    assert_eq!(order(spool, &held, Order::Release), 1);
    let released = due(spool, 0).pop().unwrap();
    assert_eq!((released.id, released.destination.as_str()), (ids[0], "c"));
    settle(spool, released, &RecipientOutcome::Delivered);
    let by_id = Query { ids: vec![ids[1], ids[0]], ..Query::default() };
    assert_eq!(order(spool, &by_id, Order::Retry { due: at(7) }), 1);
    let again = due(spool, 7).pop().unwrap();
    assert_eq!(run(spool, spool.open(ids[1])).unwrap().recipients[0].attempts, 1);
    spool.release(again, at(7));
    assert_eq!(order(spool, &Query::default(), Order::Drop), 1);
    assert_eq!(run(spool, spool.open(ids[1])).unwrap_err(), SpoolError::Gone(ids[1]));
}

fn an_order_on_one_recipient_leaves_the_others(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "a", "a"], 10);
    let recipient = |index: usize| Query {
        recipient: Some(format!("r{index}@a.example").parse().unwrap()),
        ..Query::default()
    };
    settle(spool, due(spool, 0).pop().unwrap(), &deferred(5));
    assert_eq!(order(spool, &recipient(0), Order::Hold), 1);
    assert_eq!(order(spool, &recipient(1), Order::Drop), 1);
    let delivery = due(spool, 5).pop().unwrap();
    assert_eq!(delivery.recipients, [2]);
    let stored = run(spool, spool.open(id)).unwrap();
    let phases: Vec<_> = stored.recipients.iter().map(|state| state.phase).collect();
    assert_eq!(phases, [Phase::Held, Phase::Finished, Phase::UnderWay]);
    assert_eq!(stored.recipients[0].last_reply.as_deref(), Some("451 4.3.0 until 5"));
    settle(spool, delivery, &RecipientOutcome::Delivered);
    assert_eq!(order(spool, &recipient(0), Order::Release), 1);
    assert_eq!(due(spool, 5).pop().unwrap().recipients, [0]);
}

fn an_order_waits_for_a_delivery_under_way(spool: &impl Driven) {
    let id = put(spool, 0, &["a", "a"], 10);
    let delivery = due(spool, 0).pop().unwrap();
    assert_eq!(order(spool, &Query::default(), Order::Hold), 2);
    settle(spool, delivery, &deferred(5));
    assert_eq!(due(spool, 99), []);
    assert_eq!(order(spool, &Query::default(), Order::Release), 2);
    let delivery = due(spool, 99).pop().unwrap();
    let one = Query { recipient: Some("r1@a.example".parse().unwrap()), ..Query::default() };
    assert_eq!(order(spool, &one, Order::Drop), 1);
    spool.release(delivery, at(50));
    // A release does not wait; what it sets off does.
    put(spool, 60, &["b"], 10);
    let found: Vec<_> = due(spool, 50).into_iter().map(|d| (d.id, d.recipients.clone())).collect();
    assert_eq!(found, [(id, vec![0])]);
}

fn listing_pages_and_filters(spool: &impl Driven) {
    let ids: Vec<_> = (0..7).map(|time| put(spool, time, &["a", "b"], 10)).collect();
    let all = Query::default();
    let page = run(spool, spool.list(&all, Some(ids[1]), 3)).unwrap();
    let listed: Vec<_> = page.iter().map(|entry| entry.id).collect();
    assert_eq!(listed, ids[2..5]);
    assert_eq!((page[0].received, page[0].size_octets, page[0].recipients.len()), (at(2), 10, 2));
    let query = |change: &dyn Fn(&mut Query)| {
        let mut query = Query::default();
        change(&mut query);
        run(spool, spool.list(&query, None, 100)).unwrap()
    };
    let of_b = query(&|query| query.recipient = Some("@b.example".parse().unwrap()));
    assert_eq!((of_b.len(), of_b[0].recipients.len()), (7, 1));
    assert_eq!(of_b[0].recipients[0].0.to_string(), "r1@b.example");
    assert_eq!(query(&|query| query.reverse_path = Some("<>".parse().unwrap())), []);
    assert_eq!(query(&|query| query.reverse_path = Some("sender@example.org".parse().unwrap())).len(), 7);
    assert_eq!(query(&|query| query.received_before = Some(at(3))).len(), 3);
    assert_eq!(query(&|query| query.ids = vec![ids[6], ids[0]]).len(), 2);
    assert_eq!(query(&|query| query.phase = Some(Phase::UnderWay)), []);
}

fn the_census_counts(spool: &impl Driven) {
    put(spool, 3, &["a", "b"], 100);
    put(spool, 4, &["a", "a"], 50);
    let of_b = Query { destination: Some(Destination::new("b")), ..Query::default() };
    order(spool, &of_b, Order::Hold);
    let mut found = due(spool, 10);
    settle(spool, found.remove(0), &deferred(20));
    let closed = Window { claims_max: 3, opens: at(500) };
    spool.set_window(&Destination::new("a"), closed);
    assert_eq!(spool.window(&Destination::new("a")), closed);
    assert_eq!(spool.window(&Destination::new("b")), Window::default());
    assert_eq!(spool.messages(), 2);
    let census = run(spool, spool.census()).unwrap();
    let next: Vec<_> = census.destinations.iter().map(|(_, of)| (of.next_due, of.window)).collect();
    assert_eq!(next, [(Some(at(500)), closed), (None, Window::default())]);
    assert_eq!((census.messages, census.recipients, census.octets), (2, 4, 150));
    assert_eq!((census.held, census.deferred, census.under_way, census.oldest), (1, 1, 2, Some(at(3))));
    let keys: Vec<_> = census.destinations.iter().map(|(key, of)| (key.as_str(), of.recipients)).collect();
    assert_eq!(keys, [("a", 3), ("b", 1)]);
}
