//! Trees as text, in the plainest way.

use std::time::Duration;

use policy::syntax::ast::*;

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
}

fn joined<T>(parts: &[T], sign: &str, print: impl Fn(&T) -> String) -> String {
    parts.iter().map(print).collect::<Vec<_>>().join(sign)
}

fn network(network: &Network) -> String {
    format!("{}/{}", network.address, network.prefix)
}

fn duration(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}

fn literal(literal: &Literal) -> String {
    match &literal.node {
        LiteralValue::Text(text) => quoted(text),
        LiteralValue::Number(number) => number.to_string(),
        LiteralValue::Octets(octets) => format!("{} kB", octets / 1_000),
        LiteralValue::Duration(length) => duration(*length),
        LiteralValue::Network(written) => network(written),
        LiteralValue::Word(word) => word.clone(),
    }
}

fn fact(fact: &FactPath) -> String {
    let argument = fact.argument.as_ref().map(|argument| format!("({})", quoted(&argument.node)));
    format!("{}{}", fact.name, argument.unwrap_or_default())
}

fn answer(answer: &Answer) -> String {
    let verb = match answer.verb.node {
        Verb::Reject => "reject",
        Verb::Defer => "defer",
        Verb::Disconnect => "disconnect",
    };
    let mut text = format!("{verb} {}", answer.code.node);
    if let Some(enhanced) = &answer.enhanced {
        let [class, subject, detail] = enhanced.node;
        text.push_str(&format!(" {class}.{subject}.{detail}"));
    }
    if let Some(words) = &answer.text {
        text.push_str(&format!(" {}", quoted(&words.node)));
    }
    text
}

fn action(action: &Action) -> String {
    match action {
        Action::Accept { relay } => String::from(if *relay { "accept relay" } else { "accept" }),
        Action::Answer(refusal) => answer(refusal),
        Action::Tag(word) => format!("tag {}", quoted(&word.node)),
        Action::AddHeader(name, value) => {
            format!("add header {} {}", quoted(&name.node), quoted(&value.node))
        }
        Action::Quarantine => String::from("quarantine"),
        Action::Hold => String::from("hold"),
        Action::Redirect(address) => format!("redirect to {}", quoted(&address.node)),
        Action::Discard => String::from("discard"),
        Action::Tarpit(length) => format!("tarpit {}", duration(length.node)),
    }
}

fn condition(condition: &Condition) -> String {
    let inner = |part: &Condition| match part {
        Condition::And(_) | Condition::Or(_) => format!("({})", self::condition(part)),
        _ => self::condition(part),
    };
    match condition {
        Condition::And(parts) => joined(parts, " and ", inner),
        Condition::Or(parts) => joined(parts, " or ", inner),
        Condition::Not(part, _) => format!("not {}", inner(part)),
        Condition::Test(test) => comparison(test),
    }
}

fn comparison(test: &Comparison) -> String {
    let quantifier = match test.quantifier.as_ref().map(|quantifier| quantifier.node) {
        Some(Quantifier::Any) => "any ",
        Some(Quantifier::Every) => "every ",
        None => "",
    };
    let subject = fact(&test.subject);
    let not = |negated: &bool| if *negated { "not " } else { "" };
    let rest = match &test.test {
        None => String::new(),
        Some(TestOf::Is { negated, word }) => format!(" is {}{}", not(negated), word.node),
        Some(TestOf::Compare(operator, operand)) => {
            let sign = match operator.node {
                Operator::Equal => "==",
                Operator::NotEqual => "!=",
                Operator::Less => "<",
                Operator::AtMost => "<=",
                Operator::Greater => ">",
                Operator::AtLeast => ">=",
            };
            let operand = match operand {
                Operand::Literal(value) => literal(value),
                Operand::Fact(other) => fact(other),
            };
            format!(" {sign} {operand}")
        }
        Some(TestOf::In { negated, set: Set::Named(name) }) => format!(" {}in {}", not(negated), name.node),
        Some(TestOf::In { negated, set: Set::Literals(values, _) }) => {
            format!(" {}in ({})", not(negated), joined(values, ", ", literal))
        }
        Some(TestOf::Matches(test, text)) => {
            let word = match test.node {
                TextTest::Contains => "contains",
                TextTest::StartsWith => "starts with",
                TextTest::EndsWith => "ends with",
                TextTest::Like => "like",
                TextTest::Matches => "matches",
            };
            format!(" {word} {}", quoted(&text.node))
        }
    };
    format!("{quantifier}{subject}{rest}")
}

fn rule(rule: &Rule) -> String {
    let mut text = String::from(if rule.observe.is_some() { "observe rule " } else { "rule " });
    text.push_str(&rule.name.node);
    if let Some(when) = &rule.condition {
        text.push_str(&format!(" when {}", condition(when)));
    }
    for done in &rule.actions {
        text.push_str(&format!(" {}", action(&done.node)));
    }
    if let Some(arm) = &rule.unsure {
        text.push_str(&format!(" unsure {}", action(&arm.node)));
    }
    text
}

fn list_element(element: &ListElement) -> String {
    match element {
        ListElement::Network(written) => network(&written.node),
        ListElement::Text(text) => quoted(&text.node),
        ListElement::File(path) => format!("file {}", quoted(&path.node)),
    }
}

fn source(source: &SourceItem) -> String {
    let shadow = if source.shadow.is_some() { "shadow " } else { "" };
    let name = &source.name.node;
    let rest = match &source.kind.node {
        SourceKind::DnsList { kind, zone, key, codes, weight, timeout } => {
            let kind = match kind {
                DnsListKind::Dnsbl => "dnsbl",
                DnsListKind::Dnswl => "dnswl",
                DnsListKind::Rhsbl => "rhsbl",
            };
            let mut text = format!("{kind} {name} = {} of {}", quoted(&zone.node), fact(key));
            if !codes.is_empty() {
                let range = |range: &policy::span::Spanned<CodeRange>| {
                    format!("{}..{}", range.node.first, range.node.last)
                };
                text.push_str(&format!(" codes {}", joined(codes, ", ", range)));
            }
            text.push_str(
                &weight.as_ref().map(|weight| format!(" weight {}", weight.node)).unwrap_or_default(),
            );
            let wait = timeout.as_ref().map(|timeout| format!(" timeout {}", duration(timeout.node)));
            text.push_str(&wait.unwrap_or_default());
            text
        }
        SourceKind::Table { contents, key } => {
            let contents = match contents {
                TableContents::Inline(entries) => {
                    let entry = |(key, value): &(_, _)| {
                        let (key, value): (&policy::span::Spanned<String>, &policy::span::Spanned<String>) =
                            (key, value);
                        format!("{} = {}", quoted(&key.node), quoted(&value.node))
                    };
                    format!("{{ {} }}", joined(entries, ", ", entry))
                }
                TableContents::File(path) => format!("file {}", quoted(&path.node)),
                TableContents::Cidr(path) => format!("cidr {}", quoted(&path.node)),
                TableContents::Regex(path) => format!("regex {}", quoted(&path.node)),
                TableContents::External(name) => format!("external {}", quoted(&name.node)),
            };
            format!("table {name} = {contents} keyed by {}", fact(key))
        }
        SourceKind::Rate { counted, keys, over, form } => {
            let keys = joined(keys, ", ", fact);
            let form = form.as_ref().map(|form| format!(" as {}", form.node)).unwrap_or_default();
            format!("rate {name} = {} by {keys} over {}{form}", counted.node, duration(over.node))
        }
        SourceKind::Filter { kind, address, stage, timeout, apply, failing } => {
            let mut text = format!("{} {name} = {}", kind.word(), quoted(&address.node));
            text.push_str(&stage.as_ref().map(|stage| format!(" at {}", stage.node)).unwrap_or_default());
            let wait = timeout.as_ref().map(|timeout| format!(" timeout {}", duration(timeout.node)));
            text.push_str(&wait.unwrap_or_default());
            text.push_str(if apply.is_some() { " apply" } else { "" });
            text.push_str(
                &failing.as_ref().map(|word| format!(" failing {}", word.node)).unwrap_or_default(),
            );
            text
        }
    };
    format!("{shadow}{rest}")
}

fn given_fact(given: &GivenFact) -> String {
    format!("{} = {}", fact(&given.fact), joined(&given.values, ", ", literal))
}

fn expectation(expected: &Expectation) -> String {
    let mut text = format!("at {} expect {}", expected.stage.node, expected.verdict.node);
    if let Some(code) = &expected.code {
        text.push_str(&format!(" {}", code.node));
    }
    if let Some(enhanced) = &expected.enhanced {
        let [class, subject, detail] = enhanced.node;
        text.push_str(&format!(" {class}.{subject}.{detail}"));
    }
    text.push_str(&expected.rule.as_ref().map(|rule| format!(" by {}", rule.node)).unwrap_or_default());
    text
}

fn from(base: &Option<Word>) -> String {
    base.as_ref().map(|base| format!(" from {}", base.node)).unwrap_or_default()
}

fn item(item: &Item) -> String {
    match item {
        Item::Include(path) => format!("include {}", quoted(&path.node)),
        Item::List(list) => {
            let kind = match list.kind.node {
                ListKind::Networks => "networks",
                ListKind::Names => "names",
                ListKind::Patterns => "patterns",
            };
            format!("{kind} {} = {}", list.name.node, joined(&list.elements, ", ", list_element))
        }
        Item::Source(declared) => source(declared),
        Item::Greylist(greylist) => {
            let setting = |(name, value): &(Word, Literal)| format!("{} {}", name.node, literal(value));
            format!("greylist {{ {} }}", joined(&greylist.settings, "\n", setting))
        }
        Item::Define(define) => format!("define {} = {}", define.name.node, condition(&define.condition)),
        Item::Reply(reply) => format!("reply {} {}", reply.name.node, answer(&reply.answer)),
        Item::Stage(block) => {
            let stages = joined(&block.stages, ", ", |stage| stage.node.clone());
            let entry = |entry: &StageEntry| match entry {
                StageEntry::Rule(written) => rule(written),
                StageEntry::Use(name) => format!("use {}", name.node),
            };
            format!("at {stages} {{\n{}\n}}", joined(&block.entries, "\n", entry))
        }
        Item::Given(given) => {
            format!(
                "given {}{} {{\n{}\n}}",
                given.name.node,
                from(&given.base),
                joined(&given.facts, "\n", given_fact)
            )
        }
        Item::Test(test) => {
            let step = |step: &TestStep| match step {
                TestStep::Fact(given) => given_fact(given),
                TestStep::Expect(expected) => expectation(expected),
            };
            format!(
                "test {}{} {{\n{}\n}}",
                quoted(&test.name.node),
                from(&test.base),
                joined(&test.steps, "\n", step)
            )
        }
    }
}

/// The file as text.
pub(crate) fn file(file: &File) -> String {
    joined(&file.items, "\n", item)
}
