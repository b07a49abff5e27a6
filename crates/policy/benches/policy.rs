//! How long a stage of twenty rules takes, and how long it takes to load them: `cargo bench -p gatepost-policy`.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a benchmark fails by panicking")]

#[path = "../tests/twenty_rules/mod.rs"]
mod twenty_rules;

use divan::{Bencher, black_box};
use policy::Policy;
use policy::slot::Slot;
use policy::stage::Stage;
use policy::value::State;

fn main() {
    divan::main();
}

/// All twenty rules and the fixed ones are tried, none answers.
#[divan::bench]
fn accept_after_all_rules(bencher: Bencher<'_, '_>) {
    let policy = twenty_rules::policy();
    let facts = twenty_rules::clean(&policy);
    bencher.bench_local(|| black_box(&policy).step(Stage::Recipient, black_box(&facts)));
}

/// The last of the twenty refuses.
#[divan::bench]
fn refuse_by_the_last(bencher: Bencher<'_, '_>) {
    let policy = twenty_rules::policy();
    let mut facts = twenty_rules::clean(&policy);
    facts.set(policy.slot("greylist.passed").unwrap(), State::yes_or_no(false));
    bencher.bench_local(|| black_box(&policy).step(Stage::Recipient, black_box(&facts)));
}

/// The fixed rules alone.
#[divan::bench]
fn accept_by_the_builtin(bencher: Bencher<'_, '_>) {
    let policy = Policy::builtin();
    let mut facts = policy::slot::Facts::new(policy.slots().len());
    for (slot, info) in (0..).map(Slot).zip(policy.slots()) {
        facts.set(slot, policy::ordinary::state(&info.name).unwrap_or_default());
    }
    bencher.bench_local(|| black_box(&policy).step(Stage::Recipient, black_box(&facts)));
}

/// Nothing is told: which facts are needed.
#[divan::bench]
fn ask_for_facts(bencher: Bencher<'_, '_>) {
    let policy = twenty_rules::policy();
    let facts = policy::slot::Facts::new(policy.slots().len());
    bencher.bench_local(|| black_box(&policy).step(Stage::Recipient, black_box(&facts)));
}

/// Reading, checking and compiling.
#[divan::bench]
fn load() -> Policy {
    twenty_rules::policy()
}
