//! Trees as proptest makes them up: whatever the grammar allows, whether or not it makes sense.

use std::net::IpAddr;
use std::time::Duration;

use policy::span::{Span, Spanned};
use policy::stage::Stage;
use policy::syntax::ast::*;
use policy::syntax::words;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

fn at<T>(node: T) -> Spanned<T> {
    Spanned::new(node, Span::default())
}

fn placed<T: std::fmt::Debug>(node: impl Strategy<Value = T>) -> impl Strategy<Value = Spanned<T>> {
    node.prop_map(at)
}

/// Names that conditions can speak of: none that the parser would take for something else.
fn name() -> impl Strategy<Value = Word> + Clone {
    placed_name("[a-z][a-z0-9_-]{4,12}q")
}

fn placed_name(pattern: &'static str) -> impl Strategy<Value = Word> + Clone {
    pattern.prop_map(at)
}

fn text() -> impl Strategy<Value = Spanned<String>> {
    placed("[ -~äß–]{0,20}")
}

fn fact() -> impl Strategy<Value = FactPath> {
    let dotted =
        "[a-z]{3,8}[.][a-z_]{3,8}q".prop_map(|name| FactPath { name, argument: None, span: Span::default() });
    let bare = name().prop_map(|name| FactPath { name: name.node, argument: None, span: Span::default() });
    let field = text().prop_map(|argument| FactPath {
        name: String::from("message.header"),
        argument: Some(argument),
        span: Span::default(),
    });
    prop_oneof![4 => dotted, 2 => bare, 1 => field]
}

fn network() -> impl Strategy<Value = Network> {
    prop_oneof![
        (any::<[u8; 4]>(), 0_u8..=32)
            .prop_map(|(octets, prefix)| Network { address: IpAddr::from(octets), prefix }),
        (any::<[u8; 16]>(), 0_u8..=128)
            .prop_map(|(octets, prefix)| Network { address: IpAddr::from(octets), prefix }),
    ]
}

fn duration() -> impl Strategy<Value = Spanned<Duration>> {
    placed((0_u64..10_000_000).prop_map(Duration::from_millis))
}

fn literal() -> impl Strategy<Value = Literal> {
    placed(prop_oneof![
        text().prop_map(|text| LiteralValue::Text(text.node)),
        any::<i64>().prop_map(LiteralValue::Number),
        (0_i64..1_000_000).prop_map(|thousands| LiteralValue::Octets(thousands * 1_000)),
        duration().prop_map(|duration| LiteralValue::Duration(duration.node)),
        network().prop_map(LiteralValue::Network),
        name().prop_map(|name| LiteralValue::Word(name.node)),
    ])
}

fn test_of() -> impl Strategy<Value = TestOf> {
    let word = prop_oneof![
        select(vec!["yes", "no", "present", "missing"]).prop_map(|word| at(word.to_owned())),
        name()
    ];
    let operator = select(vec![
        Operator::Equal,
        Operator::NotEqual,
        Operator::Less,
        Operator::AtMost,
        Operator::Greater,
        Operator::AtLeast,
    ]);
    let operand = prop_oneof![
        literal().prop_map(Operand::Literal),
        fact()
            .prop_filter("a bare word is a literal", |fact| fact.name.contains('.'))
            .prop_map(Operand::Fact),
    ];
    let set = prop_oneof![
        name().prop_map(Set::Named),
        vec(literal(), 1..4).prop_map(|values| Set::Literals(values, Span::default())),
    ];
    let text_test = select(vec![
        TextTest::Contains,
        TextTest::StartsWith,
        TextTest::EndsWith,
        TextTest::Like,
        TextTest::Matches,
    ]);
    prop_oneof![
        (any::<bool>(), word).prop_map(|(negated, word)| TestOf::Is { negated, word }),
        (placed(operator), operand).prop_map(|(operator, operand)| TestOf::Compare(operator, operand)),
        (any::<bool>(), set).prop_map(|(negated, set)| TestOf::In { negated, set }),
        (placed(text_test), text()).prop_map(|(test, text)| TestOf::Matches(test, text)),
    ]
}

fn comparison() -> impl Strategy<Value = Condition> {
    let quantifier = select(vec![Quantifier::Any, Quantifier::Every]);
    let quantified =
        (option::of(placed(quantifier)), fact(), test_of()).prop_map(|(quantifier, subject, test)| {
            Comparison { quantifier, subject, test: Some(test), span: Span::default() }
        });
    let bare = fact().prop_map(|subject| Comparison {
        quantifier: None,
        subject,
        test: None,
        span: Span::default(),
    });
    prop_oneof![3 => quantified, 1 => bare].prop_map(Condition::Test)
}

fn condition() -> impl Strategy<Value = Condition> {
    comparison().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(Condition::And),
            vec(inner.clone(), 2..4).prop_map(Condition::Or),
            inner.prop_map(|inner| Condition::Not(Box::new(inner), Span::default())),
        ]
    })
}

fn answer() -> impl Strategy<Value = Answer> {
    let verb = select(vec![Verb::Reject, Verb::Defer, Verb::Disconnect]);
    (placed(verb), placed(0_u32..1000), option::of(placed(any::<[u32; 3]>())), option::of(text()))
        .prop_map(|(verb, code, enhanced, text)| Answer { verb, code, enhanced, text })
}

fn effect() -> impl Strategy<Value = Action> {
    prop_oneof![
        text().prop_map(Action::Tag),
        (text(), text()).prop_map(|(name, value)| Action::AddHeader(name, value)),
        Just(Action::Quarantine),
        Just(Action::Hold),
        text().prop_map(Action::Redirect),
        Just(Action::Discard),
        duration().prop_map(Action::Tarpit),
    ]
}

fn final_action() -> impl Strategy<Value = Action> {
    prop_oneof![any::<bool>().prop_map(|relay| Action::Accept { relay }), answer().prop_map(Action::Answer)]
}

fn rule() -> impl Strategy<Value = StageEntry> {
    let actions = (vec(placed(effect()), 0..3), option::of(placed(final_action())))
        .prop_map(|(mut effects, answer)| {
            effects.extend(answer);
            effects
        })
        .prop_filter("a rule does something", |actions| !actions.is_empty());
    // A rule may be called what it likes but `when`.
    let name = prop_oneof![
        name(),
        select(vec!["reject", "greylist", "unsure"]).prop_map(|word| at(word.to_owned()))
    ];
    let observe = option::of(Just(Span::default()));
    (observe, name, option::of(condition()), actions, option::of(placed(final_action()))).prop_map(
        |(observe, name, condition, actions, unsure)| {
            StageEntry::Rule(Box::new(Rule {
                observe,
                name,
                condition,
                actions,
                unsure,
                span: Span::default(),
            }))
        },
    )
}

fn stage() -> impl Strategy<Value = Word> {
    select(Stage::ALL.to_vec()).prop_map(|stage| at(stage.name().to_owned()))
}

fn stage_block() -> impl Strategy<Value = Item> {
    let entry = prop_oneof![4 => rule(), 1 => name().prop_map(StageEntry::Use)];
    (vec(stage(), 1..3), vec(entry, 0..4))
        .prop_map(|(stages, entries)| Item::Stage(StageBlock { stages, entries }))
}

fn list() -> impl Strategy<Value = Item> {
    let file = || text().prop_map(ListElement::File);
    let networks = vec(prop_oneof![3 => placed(network()).prop_map(ListElement::Network), 1 => file()], 1..6);
    let texts = vec(prop_oneof![3 => text().prop_map(ListElement::Text), 1 => file()], 1..6);
    let elements = prop_oneof![
        networks.prop_map(|elements| (ListKind::Networks, elements)),
        (select(vec![ListKind::Names, ListKind::Patterns]), texts),
    ];
    (elements, name())
        .prop_map(|((kind, elements), name)| Item::List(List { kind: at(kind), name, elements }))
}

fn source() -> impl Strategy<Value = Item> {
    let range = (any::<[u8; 4]>(), any::<[u8; 4]>())
        .prop_map(|(first, last)| at(CodeRange { first: IpAddr::from(first), last: IpAddr::from(last) }));
    let kind = select(vec![DnsListKind::Dnsbl, DnsListKind::Dnswl, DnsListKind::Rhsbl]);
    let weight = option::of(placed(any::<i64>()));
    let dns_list = (kind, text(), fact(), vec(range, 0..3), weight, option::of(duration())).prop_map(
        |(kind, zone, key, codes, weight, timeout)| SourceKind::DnsList {
            kind,
            zone,
            key,
            codes,
            weight,
            timeout,
        },
    );
    let contents = prop_oneof![
        vec((text(), text()), 1..4).prop_map(TableContents::Inline),
        text().prop_map(TableContents::File),
        text().prop_map(TableContents::Cidr),
        text().prop_map(TableContents::Regex),
    ];
    let table = (contents, fact()).prop_map(|(contents, key)| SourceKind::Table { contents, key });
    let rate = (name(), vec(fact(), 1..3), duration(), option::of(name()))
        .prop_map(|(counted, keys, over, form)| SourceKind::Rate { counted, keys, over, form });
    let kind = select(vec![FilterKind::Milter, FilterKind::Service, FilterKind::Clamav, FilterKind::Rspamd]);
    let apply = option::of(Just(Span::default()));
    let filter = (kind, text(), option::of(name()), option::of(duration()), apply, option::of(name()))
        .prop_map(|(kind, address, stage, timeout, apply, failing)| SourceKind::Filter {
            kind,
            address,
            stage,
            timeout,
            apply,
            failing,
        });
    let shadow = option::of(Just(Span::default()));
    (shadow, name(), placed(prop_oneof![dns_list, table, rate, filter]))
        .prop_map(|(shadow, name, kind)| Item::Source(SourceItem { shadow, name, kind }))
}

fn given_fact() -> impl Strategy<Value = GivenFact> {
    let several = vec(
        literal().prop_filter("words stand alone", |value| !matches!(value.node, LiteralValue::Word(_))),
        1..5,
    );
    (fact(), prop_oneof![several, vec(literal(), 1)]).prop_map(|(fact, values)| GivenFact { fact, values })
}

fn expectation() -> impl Strategy<Value = TestStep> {
    let verdict = select(words::VERDICTS.to_vec()).prop_map(|verdict| at(verdict.to_owned()));
    let codes = option::of((placed(0_u32..1000), option::of(placed(any::<[u32; 3]>()))));
    (stage(), verdict, codes, option::of(name())).prop_map(|(stage, verdict, codes, rule)| {
        let (code, enhanced) = codes.map_or((None, None), |(code, enhanced)| (Some(code), enhanced));
        TestStep::Expect(Expectation { stage, verdict, code, enhanced, rule, span: Span::default() })
    })
}

fn item() -> impl Strategy<Value = Item> {
    let setting = (name(), literal());
    let step = prop_oneof![given_fact().prop_map(TestStep::Fact), expectation()];
    prop_oneof![
        1 => text().prop_map(Item::Include),
        2 => list(),
        2 => source(),
        1 => vec(setting, 0..4).prop_map(|settings| Item::Greylist(GreylistItem { span: Span::default(), settings })),
        2 => (name(), condition()).prop_map(|(name, condition)| Item::Define(Define { name, condition })),
        1 => (name(), answer()).prop_map(|(name, answer)| Item::Reply(ReplyItem { name, answer })),
        4 => stage_block(),
        1 => (name(), option::of(name()), vec(given_fact(), 0..4))
            .prop_map(|(name, base, facts)| Item::Given(Given { name, base, facts })),
        1 => (text(), option::of(name()), vec(step, 0..4))
            .prop_map(|(name, base, steps)| Item::Test(Test { name, base, steps, span: Span::default() })),
    ]
}

/// Files of a few items.
pub(crate) fn file() -> impl Strategy<Value = File> {
    vec(item(), 0..8).prop_map(|items| File { items })
}
