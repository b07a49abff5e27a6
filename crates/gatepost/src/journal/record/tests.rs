//! Chunks read back as they were written; other octets give nothing and break nothing.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use policy::value::State;
use proptest::prelude::*;

use super::super::codec::put_number;
use super::super::states::put_recorded;
use super::super::states::tests::states;
use super::*;

/// Whether it closes, code, enhanced code, text and name.
type Reply = (bool, u16, Option<(u16, u16)>, String, String);

/// A decision whose parts are its own.
#[derive(Debug, Clone)]
struct Sample {
    time: u64,
    point: u8,
    texts: [Option<String>; 3],
    reply: Option<Reply>,
    rule: Option<u16>,
    flag: bool,
    rules: [Vec<u16>; 2],
    effects: Vec<(RuleId, Effect)>,
    ids: (Option<u64>, Option<u64>),
    dialogue: Option<Vec<u8>>,
    facts: Vec<(u16, State)>,
}

fn effects() -> impl Strategy<Value = Effect> {
    let text = || "[a-zé@. ]{0,8}".prop_map(|text| Arc::<str>::from(text.as_str()));
    prop_oneof![
        text().prop_map(Effect::Tag),
        (text(), text()).prop_map(|(name, value)| Effect::AddHeader { name, value }),
        Just(Effect::Quarantine),
        Just(Effect::Hold),
        text().prop_map(Effect::Redirect),
        Just(Effect::Discard),
        (0..100_000u64).prop_map(|wait| Effect::Tarpit(Duration::from_millis(wait))),
    ]
}

fn samples() -> impl Strategy<Value = Sample> {
    let text = || prop::option::of("[a-zé@.]{0,6}");
    let reply =
        (any::<bool>(), 400..560u16, prop::option::of((0..999u16, 0..999u16)), ".{0,20}", "[a-z-]{0,9}");
    let rules = || prop::collection::vec(any::<u16>(), 0..3);
    let facts = prop::collection::vec((any::<u16>(), states()), 0..5);
    (
        (any::<u64>(), 0..10u8, [text(), text(), text()], prop::option::of(reply)),
        (prop::option::of(any::<u16>()), any::<bool>(), [rules(), rules()]),
        prop::collection::vec((any::<u16>().prop_map(RuleId), effects()), 0..3),
        (prop::option::of(0..1u64 << 40), prop::option::of(0..1u64 << 55)),
        (prop::option::of(prop::collection::vec(any::<u8>(), 0..40)), facts),
    )
        .prop_map(
            |((time, point, texts, reply), (rule, flag, rules), effects, ids, (dialogue, facts))| Sample {
                time,
                point,
                texts,
                reply,
                rule,
                flag,
                rules,
                effects,
                ids,
                dialogue,
                facts,
            },
        )
}

impl Sample {
    fn entry(&self) -> Entry<'_> {
        let point = match self.point {
            8 => Point::Command,
            9 => Point::Stored,
            stage => Point::Stage(Stage::ALL[usize::from(stage)]),
        };
        let [helo, reverse_path, recipient] = &self.texts;
        let answer = match &self.reply {
            None => Answer::Accept { relay: self.flag },
            Some((closes, code, enhanced, text, name)) => {
                let enhanced = enhanced.map(|(subject, detail)| Enhanced::new(subject, detail));
                let words = Words { code: *code, enhanced, text, name };
                if *closes { Answer::Disconnect(words) } else { Answer::Refuse(words) }
            }
        };
        let rules = |place: usize| self.rules[place].iter().copied().map(RuleId).collect();
        Entry {
            time: WallTime::from_unix_millis(self.time),
            point,
            helo: helo.as_deref(),
            reverse_path: reverse_path.as_deref(),
            recipient: recipient.as_deref(),
            answer,
            rule: self.rule.map(RuleId),
            by_unsure_arm: self.flag,
            observed: Cow::Owned(rules(0)),
            passed_over: Cow::Owned(rules(1)),
            effects: Cow::Borrowed(&self.effects),
            id: self.ids.0.and_then(DecisionId::from_number),
            queue_id: self.ids.1.and_then(QueueId::from_number),
            dialogue: self.dialogue.as_deref(),
            facts: Changes::default(),
        }
    }

    fn recorded(&self) -> Vec<(Slot, Recorded)> {
        self.facts.iter().map(|(slot, state)| (Slot(*slot), Recorded::State(state.clone()))).collect()
    }
}

fn write(head: &Head, samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::new();
    put_head(&mut out, head);
    let mut written = Written { time: head.started, ..Written::default() };
    for sample in samples {
        put_entry(&mut out, &mut written, &sample.entry(), |out| {
            for (slot, recorded) in sample.recorded() {
                put_number(out, u64::from(slot.0));
                put_recorded(out, &recorded);
            }
        });
    }
    out
}

fn heads() -> impl Strategy<Value = Head> {
    let address = || (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port));
    (any::<u64>(), any::<u32>(), address(), address(), any::<u64>(), any::<u64>(), any::<bool>()).prop_map(
        |(session, part, client, listener, started, policy, masked)| Head {
            session,
            part,
            client,
            listener,
            started: WallTime::from_unix_millis(started),
            policy,
            continues: false,
            masked,
        },
    )
}

proptest! {
    #[test]
    fn a_chunk_reads_back_as_it_was(head in heads(), samples in prop::collection::vec(samples(), 0..5)) {
        let mut octets = write(&head, &samples);
        let chunk = Chunk::read(&octets).unwrap();
        prop_assert_eq!(&chunk.head, &head);
        let entries: Vec<Entry<'_>> = chunk.entries().map(Option::unwrap).collect();
        prop_assert_eq!(entries.len(), samples.len());
        for (entry, sample) in entries.into_iter().zip(&samples) {
            let facts: Vec<(Slot, Recorded)> = entry.facts.iter().map(Option::unwrap).collect();
            prop_assert_eq!(facts, sample.recorded());
            prop_assert_eq!(Entry { facts: Changes::default(), ..entry }, sample.entry());
        }
        set_continues(&mut octets);
        prop_assert!(Chunk::read(&octets).unwrap().head.continues);
    }

    #[test]
    fn damaged_octets_are_read_without_a_fault(
        head in heads(),
        samples in prop::collection::vec(samples(), 1..3),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        end in any::<prop::sample::Index>(),
    ) {
        let mut octets = write(&head, &samples);
        for (place, octet) in damage {
            let place = place.index(octets.len());
            octets[place] = octet;
        }
        octets.truncate(end.index(octets.len()) + 1);
        if let Some(chunk) = Chunk::read(&octets) {
            for entry in chunk.entries().flatten() {
                let _ = entry.facts.iter().count();
            }
        }
    }

    #[test]
    fn any_octets_are_read_without_a_fault(octets in prop::collection::vec(any::<u8>(), 0..200)) {
        let octets = [&[VERSION, 0][..], &octets].concat();
        if let Some(chunk) = Chunk::read(&octets) {
            for entry in chunk.entries().flatten() {
                let _ = entry.facts.iter().count();
            }
        }
    }
}
