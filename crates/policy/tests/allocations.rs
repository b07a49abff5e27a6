//! The way to an accept allocates nothing.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test code")]

mod twenty_rules;

use policy::Policy;
use policy::decision::{Step, Verdict};
use policy::slot::Slot;
use policy::stage::Stage;
use policy::value::State;

fn allocations(policy: &Policy, stage: Stage, facts: &policy::slot::Facts) -> (u64, Step) {
    let mut decided = None;
    let counted = allocation_counter::measure(|| decided = Some(policy.step(stage, facts)));
    (counted.count_total, decided.unwrap())
}

#[test]
fn accepting_allocates_nothing() {
    let policy = twenty_rules::policy();
    let facts = twenty_rules::clean(&policy);
    assert_eq!(policy.rules_at(Stage::Recipient).len(), 20 + 9);
    let (count, step) = allocations(&policy, Stage::Recipient, &facts);
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert_eq!((decision.verdict, decision.rule), (Verdict::Accept { relay: false }, None));
    assert_eq!(count, 0);
}

#[test]
fn accepting_by_a_rule_allocates_nothing() {
    let policy = twenty_rules::policy();
    let mut facts = twenty_rules::clean(&policy);
    facts.set(policy.slot("auth.user").unwrap(), State::text("ann"));
    let (count, step) = allocations(&policy, Stage::Recipient, &facts);
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert_eq!(decision.verdict, Verdict::Accept { relay: true });
    assert_eq!(count, 0);
}

#[test]
fn the_built_in_policy_allocates_nothing_for_what_it_accepts() {
    let policy = Policy::builtin();
    let mut facts = policy::slot::Facts::new(policy.slots().len());
    for (slot, info) in (0..).map(Slot).zip(policy.slots()) {
        facts.set(slot, policy::ordinary::state(&info.name).unwrap_or_default());
    }
    for stage in Stage::ALL {
        let (count, step) = allocations(&policy, stage, &facts);
        assert!(matches!(step, Step::Decided(_)), "{step:?}");
        assert_eq!(count, 0, "{}", stage.name());
    }
}

/// The counter counts: a refusal builds its text.
#[test]
fn a_refusal_allocates_its_text() {
    let policy = twenty_rules::policy();
    let mut facts = twenty_rules::clean(&policy);
    facts.set(policy.slot("greylist.passed").unwrap(), State::yes_or_no(false));
    let (count, step) = allocations(&policy, Stage::Recipient, &facts);
    let Step::Decided(decision) = step else { panic!("{step:?}") };
    assert!(matches!(decision.verdict, Verdict::Refuse(_)));
    assert!(count > 0);
}
