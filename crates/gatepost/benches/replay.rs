//! `cargo bench -p gatepost --bench replay -- 1000000`: what journalling a message costs a session, and how long a replay
//! of so many recorded recipients takes.

#[path = "../tests/traffic/mod.rs"]
#[allow(dead_code, reason = "what tests want to know of the traffic isn't looked at here")]
mod traffic;

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use gatepost::journal::replay::in_parallel;
use gatepost::journal::store::{self, Reader};
use gatepost::journal::{About, Journal, Mask, Peer, PolicyText, Settings};
use policy::decision::{Decision, Verdict};
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Type, Value};
use policy::{NoFiles, Policy};
use smtp::time::WallTime;
use traffic::{Chance, Traffic};

const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

const SETTINGS: Settings = Settings {
    enabled: true,
    days: 1,
    size_octets: 100_000_000_000,
    mask: Mask::None,
    dialogue: false,
    ids: true,
};

#[allow(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn load(name: &str, text: &str) -> Policy {
    match Policy::load(name, text, &mut NoFiles) {
        Ok(loaded) => loaded.policy,
        Err(_) => unreachable!("the policies of the benchmark load"),
    }
}

#[allow(clippy::print_stdout, reason = "the benchmark's result")]
fn main() {
    let recipients: u64 =
        std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(20_000);
    let recorded = load("recorded.policy", include_str!("../tests/traffic/recorded.policy"));
    let new = load("new.policy", include_str!("../tests/traffic/new.policy"));
    let Ok(state) = tempfile::tempdir() else { return println!("no folder for the journal") };
    encode(&recorded);

    let journal = Journal::open_with(state.path(), SETTINGS, NOW, || NOW);
    let text = Arc::new(PolicyText::of(&recorded));
    let mut traffic = Traffic {
        journal: &journal,
        policy: &recorded,
        text,
        chance: Chance::new(0x5eed),
        now: NOW,
        queue_id: 0,
        recipients: 0,
    };
    let ((), recording) = timed(|| {
        let mut next = 0;
        while traffic.recipients < recipients {
            traffic.session(false);
            // Traffic comes far faster than any server's: the writer is waited for, so that nothing is lost.
            if traffic.recipients >= next {
                journal.flush();
                next = traffic.recipients + 10_000;
            }
        }
        journal.close();
    });
    assert_eq!(journal.lost().chunks(), 0);
    let folder = store::folder(state.path());
    let octets: u64 = store::list(&folder).unwrap_or_default().iter().map(|file| file.octets).sum();
    println!(
        "recorded {} recipients, {} messages in {:.1} s: {} octets of disk a recipient",
        traffic.recipients,
        traffic.queue_id,
        recording.as_secs_f64(),
        octets / traffic.recipients
    );

    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (summary, replaying) = timed(|| {
        let reader = Reader::open(&folder).ok()?;
        in_parallel(&reader, &new, (WallTime::default(), None), threads, &|| ()).ok()
    });
    let Some(summary) = summary else { return println!("the journal can't be read") };
    assert_eq!((summary.without_policy, summary.unreadable), (0, 0));
    println!(
        "replayed {} recipients, {} decisions with {threads} threads in {:.2} s: {} change, {} not reached, {} untold",
        summary.recipients,
        summary.decisions,
        replaying.as_secs_f64(),
        summary.changed(),
        summary.not_reached,
        summary.untold
    );
}

/// What the decisions of an accepted message cost the session that journals them.
#[allow(clippy::print_stdout, reason = "the benchmark's result")]
fn encode(policy: &Policy) {
    const RUNS: u32 = 200;
    const MESSAGES: u32 = 100;
    let Ok(state) = tempfile::tempdir() else { return println!("no folder for the journal") };
    let journal = Journal::open_with(state.path(), SETTINGS, NOW, || NOW);
    let text = Arc::new(PolicyText::of(policy));
    let accepted = Decision {
        verdict: Verdict::Accept { relay: false },
        rule: None,
        by_unsure_arm: false,
        effects: Vec::new(),
        observed: Vec::new(),
        passed_over: Vec::new(),
    };
    let mut facts = Facts::new(policy.slots().len());
    let mut asked = 0;
    for slot in policy.can_ask() {
        let value_type = policy.slots().get(slot.index()).map(|info| info.value_type);
        facts.set(
            *slot,
            match value_type {
                Some(Type::Boolean) => State::yes_or_no(false),
                Some(Type::Number | Type::Octets) => State::number(4_711),
                Some(Type::Choice(words)) => {
                    words.first().map_or(State::Missing, |word| State::Known(Value::Choice(word)))
                }
                _ => State::text("mail.example.net"),
            },
        );
        asked += 1;
    }
    let about = About {
        helo: Some("mail.example.net"),
        reverse_path: Some("alice@example.net"),
        recipient: Some("bob@example.org"),
    };
    let address = std::net::SocketAddr::from(([192, 0, 2, 1], 4_711));
    let peer = Peer { client: address, listener: address };
    let mut log = journal.session(&text, peer, NOW);
    let mut message = || {
        for stage in [Stage::Mail, Stage::Recipient, Stage::Data, Stage::Message] {
            log.decision(NOW, stage, about, (&accepted, &facts), None);
        }
        log.transaction_ended();
    };
    // The best of many short runs: what else the machine does comes between some of them.
    let runs = (0..RUNS).map(|_| timed(|| (0..MESSAGES).for_each(|_| message())).1);
    let best = runs.min().unwrap_or_default();
    println!(
        "a message's four decisions with {asked} facts: {} ns in the session",
        best.as_nanos() / u128::from(MESSAGES)
    );
}
