//! What holds for all conditions, rules and facts, tried on random ones.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use smtp::reply::{Enhanced, ReplyCode};

use crate::decision::{RuleId, Step};
use crate::evaluate::{self, Truth, truth};
use crate::facts::{Group, Scope};
use crate::implication::{Logic, proves_present};
use crate::pattern::Pattern;
use crate::plan::{
    Act, Answer, Condition, Expression, Form, Piece, Plan, Relation, Rule, Template, Test, Values, Words,
};
use crate::sets::{NameSet, NetworkSet, PatternSet};
use crate::slot::{Facts, Origin, Slot, SlotInfo};
use crate::source::Field;
use crate::stage::Stage;
use crate::syntax::ast::Network;
use crate::trace;
use crate::value::{State, Type, Value};

const WORDS: &[&str] = &["one", "two", "three"];

/// The types of the slots, and whether each can be missing. The last is `recipient.local_domain`.
const SLOTS: [(Type, bool); 11] = [
    (Type::Boolean, false),
    (Type::Boolean, true),
    (Type::Number, false),
    (Type::Number, true),
    (Type::Text, false),
    (Type::Text, true),
    (Type::Choice(WORDS), true),
    (Type::Address, false),
    (Type::Duration, true),
    (Type::Texts, false),
    (Type::Boolean, false),
];

const LOCAL_DOMAIN: Slot = Slot(10);

fn slots() -> Vec<SlotInfo> {
    SLOTS
        .iter()
        .enumerate()
        .map(|(index, (value_type, optional))| SlotInfo {
            name: format!("slot.{index}").into(),
            origin: Origin::Source(u16::try_from(index).unwrap(), Field::Value),
            value_type: *value_type,
            since: Stage::Connect,
            scope: Scope::Session,
            group: Group::Session,
            optional: *optional,
            fallible: true,
            remembers: false,
        })
        .collect()
}

fn text() -> impl Strategy<Value = String> {
    proptest::sample::select(vec!["a", "A", "ab", "abc", "b.a", "c.b.a", "x@b.a", ""]).prop_map(str::to_owned)
}

fn address() -> impl Strategy<Value = IpAddr> {
    (0_u8..4).prop_map(|last| IpAddr::from([192, 0, 2, last * 64]))
}

fn network() -> impl Strategy<Value = Network> {
    (address(), 24_u8..=32).prop_map(|(address, prefix)| Network { address, prefix })
}

fn value(value_type: Type) -> BoxedStrategy<Value> {
    match value_type {
        Type::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        Type::Number | Type::Octets => (-2_i64..6).prop_map(Value::Number).boxed(),
        Type::Duration => {
            (0_u64..5).prop_map(|seconds| Value::Duration(Duration::from_secs(seconds))).boxed()
        }
        Type::Text => text().prop_map(|text| Value::text(&text)).boxed(),
        Type::Address | Type::Addresses => address().prop_map(Value::Address).boxed(),
        Type::Choice(words) => proptest::sample::select(words).prop_map(Value::Choice).boxed(),
        Type::Texts => proptest::collection::vec(text(), 0..3)
            .prop_map(|texts| Value::Texts(texts.iter().map(|text| Arc::from(text.as_str())).collect()))
            .boxed(),
    }
}

/// A fact that was asked for.
fn told(value_type: Type, optional: bool) -> BoxedStrategy<State> {
    let missing = if optional { State::Missing } else { State::unsure("x") };
    prop_oneof![6 => value(value_type).prop_map(State::Known), 1 => Just(missing), 1 => Just(State::unsure("x"))].boxed()
}

/// All facts, told.
fn facts() -> impl Strategy<Value = Facts> {
    let states: Vec<_> = SLOTS.iter().map(|(value_type, optional)| told(*value_type, *optional)).collect();
    states.prop_map(|states| {
        let mut facts = Facts::new(SLOTS.len());
        for (slot, state) in (0..).map(Slot).zip(states) {
            facts.set(slot, state);
        }
        facts
    })
}

fn relation() -> impl Strategy<Value = Relation> {
    proptest::sample::select(vec![
        Relation::Equal,
        Relation::Less,
        Relation::AtMost,
        Relation::Greater,
        Relation::AtLeast,
    ])
}

fn text_form() -> BoxedStrategy<Form> {
    let lower = || text().prop_map(|text| Arc::<str>::from(text.to_ascii_lowercase()));
    let names = proptest::sample::subsequence(vec!["a", "ab", "b.a", ".a", "@b.a", "x@b.a"], 1..4);
    let patterns = proptest::sample::subsequence(vec!["a*", "*a", "?", "*.a"], 1..3);
    prop_oneof![
        lower().prop_map(Form::Text),
        lower().prop_map(Form::Contains),
        lower().prop_map(Form::StartsWith),
        lower().prop_map(Form::EndsWith),
        names.prop_map(|names| Form::InNames(Arc::new(NameSet::new(names)))),
        patterns.prop_map(|patterns| {
            Form::InPatterns(Arc::new(PatternSet::new(patterns.into_iter().map(Pattern::new).collect())))
        }),
        proptest::sample::select(vec!["a*", "*b*"]).prop_map(|pattern| Form::Like(Pattern::new(pattern))),
        proptest::sample::select(vec!["(?i)^a", "b", "^(?-i:A)$"])
            .prop_map(|text| Form::Matches(Expression(regex::Regex::new(text).unwrap()))),
    ]
    .boxed()
}

fn form(slot: usize, value_type: Type) -> BoxedStrategy<Form> {
    let own = match value_type {
        Type::Boolean => any::<bool>().prop_map(Form::Boolean).boxed(),
        Type::Number | Type::Octets => prop_oneof![
            (relation(), -1_i64..5).prop_map(|(relation, number)| Form::Number(relation, number)),
            proptest::collection::vec(-1_i64..5, 1..3).prop_map(|numbers| Form::Numbers(numbers.into())),
            relation().prop_map(move |relation| Form::Fact(relation, Slot(if slot == 2 { 3 } else { 2 }))),
        ]
        .boxed(),
        Type::Duration => (relation(), 0_u64..5)
            .prop_map(|(relation, seconds)| Form::Duration(relation, Duration::from_secs(seconds)))
            .boxed(),
        Type::Text if slot == 4 => {
            prop_oneof![5 => text_form(), 1 => Just(Form::Fact(Relation::Equal, Slot(5)))].boxed()
        }
        Type::Text | Type::Texts => text_form(),
        Type::Choice(words) => {
            proptest::sample::subsequence(words, 1..3).prop_map(|words| Form::Choices(words.into())).boxed()
        }
        Type::Address | Type::Addresses => prop_oneof![
            address().prop_map(Form::Address),
            proptest::collection::vec(network(), 1..3)
                .prop_map(|networks| Form::InNetworks(Arc::new(NetworkSet::new(networks)))),
        ]
        .boxed(),
    };
    prop_oneof![5 => own, 1 => Just(Form::Present)].boxed()
}

fn test() -> impl Strategy<Value = Condition> {
    (0..SLOTS.len()).prop_flat_map(|slot| {
        let (value_type, _) = SLOTS[slot];
        let number = Slot(u16::try_from(slot).unwrap());
        (form(slot, value_type), any::<bool>(), any::<bool>()).prop_map(move |(form, any, negated)| {
            let several = value_type == Type::Texts && form != Form::Present;
            let values = match (several, any) {
                (false, _) => Values::One,
                (true, true) => Values::Any { negated },
                (true, false) => Values::Every { negated },
            };
            Condition::Test(Test { slot: number, values, form })
        })
    })
}

fn condition() -> impl Strategy<Value = Condition> {
    let leaf = prop_oneof![20 => test(), 1 => Just(Condition::Always)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        let parts = || proptest::collection::vec(inner.clone(), 1..4);
        prop_oneof![
            parts().prop_map(|parts| Condition::All(parts.into())),
            parts().prop_map(|parts| Condition::Any(parts.into())),
            inner.clone().prop_map(|inner| Condition::Not(Arc::new(inner))),
        ]
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let pieces = proptest::collection::vec(0..SLOTS.len(), 0..2).prop_map(|slots| {
        let piece = |slot| Piece::Fact { slot: Slot(u16::try_from(slot).unwrap()), otherwise: "none".into() };
        Template { pieces: slots.into_iter().map(piece).collect() }
    });
    prop_oneof![
        any::<bool>().prop_map(|relay| Answer::Accept { relay }),
        (pieces, any::<bool>(), any::<bool>()).prop_map(|(text, permanent, close)| {
            let code = ReplyCode::new(if permanent { 550 } else { 451 }).unwrap();
            Answer::Refuse { reply: Words { code, enhanced: Enhanced::new(7, 1), text, own: None }, close }
        }),
    ]
}

fn rule() -> impl Strategy<Value = Rule> {
    (
        condition(),
        proptest::option::weighted(0.7, answer()),
        proptest::option::weighted(0.3, answer()),
        any::<[bool; 2]>(),
        proptest::bool::weighted(0.2),
    )
        .prop_map(|(condition, answer, unsure, [fixed, tags], observe)| {
            let mut tested = Vec::new();
            condition.slots(&mut |slot| tested.push(slot));
            let printed = match &answer {
                Some(Answer::Refuse { reply, .. }) => reply.text.slots().collect(),
                _ => Vec::new(),
            };
            Rule {
                name: "rule".into(),
                condition,
                acts: if tags { vec![Act::Tag("x".into())].into() } else { Vec::new().into() },
                answer,
                unsure,
                observe,
                fixed,
                denies_relaying: false,
                tested: tested.into(),
                printed: printed.into(),
            }
        })
}

fn plan() -> impl Strategy<Value = Plan> {
    (proptest::collection::vec(rule(), 0..6), 0_usize..6).prop_map(|(mut rules, denies)| {
        if let Some(rule) = rules.get_mut(denies) {
            (rule.denies_relaying, rule.fixed, rule.observe) = (true, true, false);
        }
        let mut plan = Plan { local_domain: Some(LOCAL_DOMAIN), ..Plan::default() };
        plan.stages[Stage::Recipient.index()] =
            (0..rules.len()).map(|index| RuleId(u16::try_from(index).unwrap())).collect();
        plan.rules = rules;
        plan
    })
}

fn decide(plan: &Plan, facts: &Facts) -> Step {
    evaluate::decide(plan, (Stage::Recipient, plan.rules_at(Stage::Recipient)), facts, &mut ())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// What is told of a condition before all facts are in never changes when the rest arrive.
    #[test]
    fn an_early_truth_stays(condition in condition(), facts in facts(), hidden in any::<[bool; 11]>()) {
        let mut fewer = facts.clone();
        for (slot, hidden) in (0..).map(Slot).zip(hidden) {
            if hidden {
                fewer.set(slot, State::NotAsked);
            }
        }
        let early = truth(&condition, &fewer);
        let late = truth(&condition, &facts);
        prop_assert_ne!(late, Truth::NotTold);
        prop_assert!(early == Truth::NotTold || early == late, "{:?} then {:?}", early, late);
    }

    /// The same of a decision; what is asked for is not told yet, and asking for it comes to an end.
    #[test]
    fn an_early_decision_stays(plan in plan(), facts in facts(), hidden in any::<[bool; 11]>()) {
        let mut fewer = facts.clone();
        for (slot, hidden) in (0..).map(Slot).zip(hidden) {
            if hidden {
                fewer.set(slot, State::NotAsked);
            }
        }
        let late = decide(&plan, &facts);
        prop_assert!(matches!(late, Step::Decided(_)));
        for _ in 0..=SLOTS.len() {
            match decide(&plan, &fewer) {
                Step::Decided(early) => {
                    prop_assert_eq!(Step::Decided(early), late);
                    return Ok(());
                }
                Step::Need(need) => {
                    prop_assert!(!need.now.is_empty());
                    for slot in need.now.iter().chain(&need.soon) {
                        prop_assert_eq!(fewer.get(*slot), &State::NotAsked);
                    }
                    prop_assert!(need.soon.iter().all(|slot| !need.now.contains(slot)));
                    for slot in need.now {
                        fewer.set(slot, facts.get(slot).clone());
                    }
                }
            }
        }
        prop_assert!(false, "it asks without end");
    }

    /// A trace decides what a step does, says which rule did, and asks for the same facts.
    #[test]
    fn a_trace_decides_as_a_step_does(plan in plan(), facts in facts(), hidden in any::<[bool; 11]>()) {
        let mut facts = facts;
        for (slot, hidden) in (0..).map(Slot).zip(hidden) {
            if hidden {
                facts.set(slot, State::NotAsked);
            }
        }
        let traced = trace::trace(&plan, (Stage::Recipient, plan.rules_at(Stage::Recipient)), &facts);
        match decide(&plan, &facts) {
            Step::Decided(decision) => {
                let by: Vec<RuleId> =
                    traced.steps.iter().filter(|step| step.decided).map(|step| step.rule).collect();
                prop_assert_eq!(by, decision.rule.into_iter().collect::<Vec<_>>());
                prop_assert_eq!(traced.decision, Some(decision));
            }
            Step::Need(need) => {
                prop_assert_eq!(traced.decision, None);
                prop_assert_eq!(traced.need, need);
            }
        }
    }

    /// No recipient of a foreign domain is accepted unless a rule opened relaying; none whose domain is in doubt.
    #[test]
    fn nothing_fails_open_to_a_relay(plan in plan(), facts in facts()) {
        use crate::decision::Verdict;
        let Step::Decided(decision) = decide(&plan, &facts) else { panic!("all facts are told") };
        if decision.verdict == (Verdict::Accept { relay: false }) {
            prop_assert_eq!(facts.get(LOCAL_DOMAIN), &State::yes_or_no(true));
        }
    }

    /// What is said to follow does, and what is said never to hold never does, whatever the facts.
    #[test]
    fn claims_hold(
        one in condition(),
        other in condition(),
        worlds in proptest::collection::vec(facts(), 24),
    ) {
        let slots = slots();
        let mut logic = Logic::new(&slots);
        let follows = logic.implies(&one, &other);
        let never = logic.never(&one);
        let present: Vec<bool> = (0..11).map(|slot| proves_present(&one, Slot(slot), &slots)).collect();
        for facts in &worlds {
            if truth(&one, facts) != Truth::Yes {
                continue;
            }
            prop_assert!(!never, "it holds");
            prop_assert!(!follows || truth(&other, facts) == Truth::Yes, "it does not follow");
            for (slot, present) in (0..).map(Slot).zip(&present) {
                prop_assert!(!present || *facts.get(slot) != State::Missing, "{:?} is missing", slot);
            }
        }
    }

    /// The same for pairs of tests, where most claims are made.
    #[test]
    fn claims_of_tests_hold(
        seed in any::<[bool; 2]>(),
        pair in (0_usize..11).prop_flat_map(|slot| (Just(slot), form(slot, SLOTS[slot].0), form(slot, SLOTS[slot].0))),
        worlds in proptest::collection::vec(facts(), 24),
    ) {
        let (slot, one, other) = pair;
        let condition = |form: Form, negated: bool| {
            let test = Condition::Test(Test { slot: Slot(u16::try_from(slot).unwrap()), values: Values::One, form });
            if negated { Condition::Not(Arc::new(test)) } else { test }
        };
        let (one, other) = (condition(one, seed[0]), condition(other, seed[1]));
        let slots = slots();
        let mut logic = Logic::new(&slots);
        let follows = logic.implies(&one, &other);
        let clash = logic.never(&Condition::All(vec![one.clone(), other.clone()].into()));
        for facts in &worlds {
            if truth(&one, facts) == Truth::Yes {
                prop_assert!(!follows || truth(&other, facts) == Truth::Yes, "it does not follow");
                prop_assert!(!clash || truth(&other, facts) != Truth::Yes, "both hold");
            }
        }
    }
}

/// The random conditions are no empty exercise: claims are made about a fair part of them.
#[test]
fn claims_are_made() {
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;
    let mut runner = TestRunner::deterministic();
    let slots = slots();
    let (mut follows, mut never) = (0, 0);
    for _ in 0..4_000 {
        let mut next = || condition().new_tree(&mut runner).unwrap().current();
        let (one, other) = (next(), next());
        let mut logic = Logic::new(&slots);
        follows += u32::from(logic.implies(&Condition::All(vec![one.clone(), other.clone()].into()), &other));
        never += u32::from(logic.never(&Condition::All(vec![one, Condition::Not(Arc::new(other))].into())));
    }
    assert!(follows > 3_000, "{follows}");
    assert!(never > 50, "{never}");
}
