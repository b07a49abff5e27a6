//! The journal as a whole: what sessions say is found again, whatever else goes wrong.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use policy::decision::{Decision, RuleId, Verdict};
use policy::facts::{FACTS, named};
use policy::slot::{Facts, Origin, Slot, SlotInfo};
use policy::span::SourceFile;
use policy::stage::Stage;
use policy::value::State;
use queue::queue_id::QueueId;
use smtp::catalogue;

use super::record::{Answer, Chunk, Entry, Point};
use super::states::Recorded;
use super::store::{HitKind, Reader, Search};
use super::texts::RuleText;
use super::*;

const HOUR: Duration = Duration::from_secs(3_600);

/// 2026-11-25, ten o'clock.
const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

const SETTINGS: Settings = Settings {
    enabled: true,
    days: 3,
    size_octets: 100_000_000,
    mask: Mask::None,
    dialogue: true,
    ids: true,
};

/// A journal whose writer takes its turn when the test wants it to.
struct Bench {
    journal: Journal,
    writer: Writer,
    policy: Arc<PolicyText>,
}

impl Bench {
    fn new(state: &Path, settings: Settings) -> Self {
        let folder = store::folder(state);
        fs::create_dir_all(&folder).unwrap();
        let journal = Journal::new(settings, Ids::open(&folder).unwrap(), NOW);
        let writer = Writer::new(folder, settings, Arc::clone(&journal.shared), NOW);
        let policy = Arc::new(policy());
        Self { journal, writer, policy }
    }

    fn session(&self) -> SessionLog {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let peer = Peer { client: address("[::ffff:192.0.2.9]:4711"), listener: address("198.51.100.1:25") };
        self.journal.session(&self.policy, peer, NOW)
    }
}

/// A policy of all facts without arguments, and three rules.
fn policy() -> PolicyText {
    let slots: Vec<SlotInfo> = FACTS.iter().filter(|fact| !fact.argument).map(slot).collect();
    let file = |name: &str, text: &str| SourceFile { name: Arc::from(name), text: Arc::from(text) };
    let files = [file("builtin.policy", "built in"), file("site.policy", "at mail { }")];
    let rule = |name: &str| RuleText { name: Arc::from(name), observed: name == "watched", fixed: false };
    let rules = ["listed", "watched", "timed-out"].map(rule).to_vec();
    PolicyText::new(0xfeed_0000_0000_0001, [&files, &[file("list.txt", "a\nb\n")]], &slots, rules)
}

fn slot(fact: &'static policy::facts::FactInfo) -> SlotInfo {
    SlotInfo {
        name: Arc::from(fact.name),
        origin: Origin::Builtin(fact),
        value_type: fact.value_type,
        since: fact.since,
        scope: fact.scope,
        group: fact.group,
        optional: fact.optional,
        fallible: fact.fallible,
        remembers: fact.remembers,
    }
}

fn slot_of(name: &str) -> Slot {
    assert!(named(name).is_some(), "{name}");
    let place = FACTS.iter().filter(|fact| !fact.argument).position(|fact| fact.name == name).unwrap();
    Slot(u16::try_from(place).unwrap())
}

fn facts(known: &[(&str, State)]) -> Facts {
    let mut facts = Facts::new(FACTS.len());
    for (name, state) in known {
        facts.set(slot_of(name), state.clone());
    }
    facts
}

fn accepted() -> Decision {
    Decision {
        verdict: Verdict::Accept { relay: false },
        rule: None,
        by_unsure_arm: false,
        effects: Vec::new(),
        observed: Vec::new(),
        passed_over: Vec::new(),
    }
}

fn refused(rule: u16) -> Decision {
    let refusal = catalogue::NO_SUCH_MAILBOX.refuse(&[("address", "x@example.org")]);
    Decision { verdict: Verdict::Refuse(refusal), rule: Some(RuleId(rule)), ..accepted() }
}

const ABOUT: About<'static> =
    About { helo: Some("mail.example.net"), reverse_path: Some("alice@example.net"), recipient: None };

fn to(recipient: &'static str) -> About<'static> {
    About { recipient: Some(recipient), ..ABOUT }
}

/// A message for two, of whom one is refused, as the server would tell it.
fn talk(bench: &Bench, log: &mut SessionLog, queue_id: u64) -> DecisionId {
    let mut known = facts(&[
        ("client.ip", State::Known(policy::value::Value::address("192.0.2.9".parse().unwrap()))),
        ("client.ptr", State::text("host-9.customers.example.net")),
        ("dnsbl.score", State::unsure("time-out")),
    ]);
    log.decision(NOW, Stage::Connect, About::default(), (&accepted(), &known), None);
    known.set(slot_of("sender.address"), State::text("alice@example.net"));
    log.heard(b"MAIL FROM:<alice@example.net>\r\n");
    log.decision(NOW, Stage::Mail, ABOUT, (&accepted(), &known), None);
    known.set(slot_of("recipient.local"), State::text("bob"));
    let watched = Decision { observed: vec![RuleId(1)], passed_over: vec![RuleId(2)], ..accepted() };
    log.decision(NOW + HOUR, Stage::Recipient, to("bob@example.org"), (&watched, &known), None);
    known.set(slot_of("recipient.local"), State::text("x"));
    log.heard(b"RCPT TO:<x@example.org>\n");
    let id = bench.journal.id();
    log.decision(NOW + HOUR, Stage::Recipient, to("x@example.org"), (&refused(0), &known), Some(id));
    log.decision(NOW + HOUR, Stage::Message, ABOUT, (&accepted(), &known), None);
    log.stored(NOW + HOUR, ABOUT, QueueId::from_number(queue_id).unwrap());
    id
}

fn entries(chunk: &Chunk<'_>) -> Vec<(Point, Vec<(Slot, Recorded)>)> {
    let facts = |entry: &Entry<'_>| entry.facts.iter().map(Option::unwrap).collect();
    chunk.entries().map(Option::unwrap).map(|entry| (entry.point, facts(&entry))).collect()
}

#[test]
fn a_refusal_is_found_by_its_id_with_what_led_to_it() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let mut log = bench.session();
    let id = talk(&bench, &mut log, 77);
    drop(log);
    assert!(!bench.writer.turn(NOW + HOUR));

    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let hits = reader.by_id(id).unwrap();
    let [hit] = hits.as_slice() else { panic!("{hits:?}") };
    assert_eq!((hit.kind, hit.stage.as_str(), hit.rule.as_str()), (HitKind::Refused, "recipient", "listed"));
    assert_eq!(
        (hit.code, hit.enhanced.as_deref(), hit.client.as_str()),
        (Some(550), Some("5.1.1"), "192.0.2.9")
    );
    assert_eq!(hit.recipient.as_deref(), Some("x@example.org"));
    let found = reader.chunk(hit).unwrap().unwrap();
    let chunk = Chunk::read(&found.chunk).unwrap();
    assert!(chunk.head.continues && chunk.head.part == 0);
    let entry = chunk.entries().nth(hit.entry).unwrap().unwrap();
    assert_eq!((entry.id, entry.time, entry.helo), (Some(id), NOW + HOUR, Some("mail.example.net")));
    assert!(matches!(&entry.answer, Answer::Refuse(words) if words.text.starts_with("<x@example.org>")));
    let dialogue = String::from_utf8_lossy(entry.dialogue.unwrap());
    assert_eq!(dialogue, "C: MAIL FROM:<alice@example.net>\nC: RCPT TO:<x@example.org>\n");

    // Only what has changed stands with each decision.
    let told = entries(&chunk);
    let slots = |place: usize| told[place].1.iter().map(|(slot, _)| *slot).collect::<Vec<_>>();
    assert_eq!(slots(0), ["client.ip", "client.ptr", "dnsbl.score"].map(slot_of));
    assert_eq!(slots(1), [slot_of("sender.address")]);
    assert_eq!(slots(2), [slot_of("recipient.local")]);
    assert_eq!(told[3].1, [(slot_of("recipient.local"), Recorded::State(State::text("x")))]);

    let policy = reader.policy(chunk.head.policy).unwrap().unwrap();
    assert_eq!((policy.facts.len(), policy.rule(1).unwrap().as_ref()), (bench.policy.facts.len(), "watched"));
    assert_eq!((&policy.files, &policy.material), (&bench.policy.files, &bench.policy.material));
    assert_eq!(reader.policy(5).unwrap(), None);
}

#[test]
fn an_accepted_message_is_found_by_its_queue_id_and_its_chunk_stands_alone() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let mut log = bench.session();
    talk(&bench, &mut log, 77);
    bench.writer.turn(NOW + HOUR);
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let hit = reader.by_queue_id(QueueId::from_number(77).unwrap()).unwrap().unwrap();
    let found = reader.chunk(&hit).unwrap().unwrap();
    let chunk = Chunk::read(&found.chunk).unwrap();
    assert_eq!((chunk.head.part, chunk.head.continues), (1, false));
    let told = entries(&chunk);
    assert_eq!(
        told.iter().map(|(point, _)| *point).collect::<Vec<_>>(),
        [Point::Stage(Stage::Message), Point::Stored]
    );
    let known = ["client.ip", "client.ptr", "sender.address", "recipient.local", "dnsbl.score"];
    assert_eq!(told[0].1.iter().map(|(slot, _)| *slot).collect::<Vec<_>>(), known.map(slot_of));
    assert_eq!(reader.by_queue_id(QueueId::from_number(78).unwrap()).unwrap(), None);
}

#[test]
fn searches_and_counts_tell_what_watched_and_unsure_rules_did() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let mut log = bench.session();
    talk(&bench, &mut log, 77);
    log.refusal(NOW + HOUR, ABOUT, &catalogue::RECIPIENT_FIRST.reply(), bench.journal.id());
    bench.writer.turn(NOW + HOUR);
    bench.writer.turn(NOW + HOUR + HOUR);

    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let found = |search: Search| -> Vec<String> {
        reader
            .search(&search, 100)
            .unwrap()
            .into_iter()
            .map(|hit| format!("{} {}", hit.rule, hit.kind.name()))
            .collect()
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        found(Search::default()),
        ["recipient-first refused", "listed refused", "timed-out unsure", "watched observed"]
    );
    assert_eq!(found(Search { recipient: text("BOB@"), ..Search::default() }).len(), 2);
    assert_eq!(found(Search { rule: text("listed"), ..Search::default() }), ["listed refused"]);
    assert_eq!(found(Search { code: text("550 5.1.1"), ..Search::default() }), ["listed refused"]);
    assert_eq!(found(Search { code: text("550 5.7.1"), ..Search::default() }), [""; 0]);
    assert_eq!(found(Search { reverse_path: text("<>"), ..Search::default() }), [""; 0]);
    assert_eq!(found(Search { client: "192.0.2.0/24".parse().ok(), ..Search::default() }).len(), 4);
    assert_eq!(found(Search { client: "192.0.3.0/24".parse().ok(), ..Search::default() }).len(), 0);
    assert_eq!(found(Search { since: NOW + HOUR + HOUR, ..Search::default() }), [""; 0]);
    assert_eq!(found(Search { until: Some(NOW + HOUR), ..Search::default() }), [""; 0]);

    let hours = reader.hours(NOW).unwrap();
    let seen: Vec<_> = hours
        .iter()
        .map(|hour| (hour.rule.as_str(), hour.counts.answered, hour.counts.observed, hour.counts.passed_over))
        .collect();
    assert_eq!(
        seen,
        [("listed", 1, 0, 0), ("recipient-first", 1, 0, 0), ("timed-out", 0, 0, 1), ("watched", 0, 1, 0)]
    );
    assert_eq!(hours[0].counts.senders.sorted()[0].name, "alice@example.net");
    assert_eq!(reader.policies().unwrap(), [(NOW, bench.policy.fingerprint)]);
}

#[test]
fn counts_of_an_hour_go_on_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    for number in 0..2 {
        let mut bench = Bench::new(state.path(), SETTINGS);
        talk(&bench, &mut bench.session(), number);
        bench.journal.shared.inbox.close();
        assert!(bench.writer.turn(NOW + HOUR));
    }
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    assert_eq!(reader.hours(NOW).unwrap()[0].counts.answered, 2);
    assert_eq!(reader.blocks(NOW, None).unwrap().len(), 2);
}

#[test]
fn days_have_files_of_their_own_and_old_ones_go() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    for day in 0..5 {
        talk(&bench, &mut bench.session(), day);
        bench.writer.turn(NOW + HOUR * 24 * u32::try_from(day).unwrap());
    }
    let folder = store::folder(state.path());
    let days: Vec<String> = store::list(&folder).unwrap().iter().map(|file| file.day.to_string()).collect();
    assert_eq!(days, ["2026-11-27", "2026-11-28", "2026-11-29"]);
    // The policy stands in each.
    let reader = Reader::open(&folder).unwrap();
    assert!(reader.policy(bench.policy.fingerprint).unwrap().is_some());
    assert_eq!(
        reader.days().map(|day| day.to_string()).collect::<Vec<_>>(),
        ["2026-11-29", "2026-11-28", "2026-11-27"]
    );
}

#[test]
fn a_day_that_outgrows_the_size_loses_its_older_half() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), Settings { size_octets: 200_000, ..SETTINGS });
    for number in 0..400 {
        talk(&bench, &mut bench.session(), number);
        if number % 50 == 0 {
            bench.writer.turn(NOW + HOUR * 2);
        }
    }
    bench.writer.turn(NOW + HOUR * 2 + Duration::from_secs(120));
    bench.writer.turn(NOW + HOUR * 2 + Duration::from_secs(240));
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let lost = reader.lost(NOW).unwrap();
    assert!(lost.iter().any(|row| row.reason == "no room on disk" && row.chunks > 100), "{lost:?}");
    assert!(reader.by_queue_id(QueueId::from_number(0).unwrap()).unwrap().is_none());
    let hit = reader.by_queue_id(QueueId::from_number(399).unwrap()).unwrap().unwrap();
    assert!(reader.chunk(&hit).unwrap().is_some());
}

#[test]
fn a_journal_that_cannot_be_written_counts_and_comes_back() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let file = store::folder(state.path()).join("2026-11-25.sqlite");
    fs::write(&file, "this is no database, and long enough to be told from an empty one").unwrap();
    talk(&bench, &mut bench.session(), 1);
    bench.writer.turn(NOW + HOUR);
    assert_eq!(bench.journal.lost(), Lost { no_room: 0, not_written: 2 });
    // It isn't tried again at once, and then it is.
    fs::remove_file(&file).unwrap();
    talk(&bench, &mut bench.session(), 2);
    bench.writer.turn(NOW + HOUR + Duration::from_secs(1));
    assert_eq!(bench.journal.lost().not_written, 4);
    let id = talk(&bench, &mut bench.session(), 3);
    bench.writer.turn(NOW + HOUR + Duration::from_secs(60));
    bench.writer.turn(NOW + HOUR + Duration::from_secs(120));
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    assert_eq!(reader.by_id(id).unwrap().len(), 1);
    let lost = reader.lost(NOW).unwrap();
    assert_eq!((lost.len(), lost[0].reason.as_str(), lost[0].chunks), (1, "not written", 4));
}

#[test]
fn masked_days_hold_no_address_of_anyone() {
    for mask in [Mask::Addresses, Mask::All] {
        let state = tempfile::tempdir().unwrap();
        let mut bench = Bench::new(state.path(), Settings { mask, ..SETTINGS });
        let id = talk(&bench, &mut bench.session(), 77);
        bench.journal.shared.inbox.close();
        assert!(bench.writer.turn(NOW + HOUR));
        let folder = store::folder(state.path());
        let octets = fs::read(folder.join("2026-11-25.sqlite")).unwrap();
        let holds = |text: &str| octets.windows(text.len()).any(|window| window == text.as_bytes());
        for text in ["alice", "bob@", "x@example.org", "192.0.2.9", "host-9.customers"] {
            assert!(!holds(text), "{mask:?} leaves {text}");
        }
        assert_eq!(holds("example.net"), mask == Mask::Addresses);
        let reader = Reader::open(&folder).unwrap();
        let hit = &reader.by_id(id).unwrap()[0];
        assert_eq!(hit.client, "192.0.2.0/24");
        let found = reader.chunk(hit).unwrap().unwrap();
        let chunk = Chunk::read(&found.chunk).unwrap();
        assert!(chunk.head.masked && chunk.head.client.port() == 0);
        let told = entries(&chunk);
        assert_eq!(told[0].1[0].1, Recorded::Masked(Arc::from("192.0.2.0/24")));
        assert_eq!(told[0].1[2].1, Recorded::State(State::unsure("time-out")));
        assert!(matches!(&told[1].1[0].1, Recorded::Masked(text) if text.starts_with('~')));
        let entry = chunk.entries().nth(hit.entry).unwrap().unwrap();
        assert_eq!(entry.dialogue.is_some(), mask == Mask::Addresses);
    }
}

#[test]
fn a_session_without_decisions_holds_nothing_and_an_idle_journal_writes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let mut log = bench.session();
    log.transaction_ended();
    log.finish();
    bench.writer.turn(NOW);
    assert!(store::list(&store::folder(state.path())).unwrap().is_empty());

    let off = tempfile::tempdir().unwrap();
    drop(Journal::open(off.path(), Settings { enabled: false, ids: false, ..SETTINGS }, NOW));
    assert_eq!(fs::read_dir(off.path()).unwrap().count(), 0);

    let disabled = Journal::disabled();
    let mut log = disabled.session(&bench.policy, Peer { client: addr(), listener: addr() }, NOW);
    assert!(!log.is_enabled() && !disabled.shows_ids());
    log.stored(NOW, ABOUT, QueueId::from_number(1).unwrap());
    assert_ne!(disabled.id(), disabled.id());
}

fn addr() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 25))
}

#[test]
fn the_thread_writes_all_before_it_ends() {
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(state.path(), SETTINGS, NOW);
    let policy = Arc::new(policy());
    let mut ids = Vec::new();
    for _ in 0..100 {
        let mut log = journal.session(&policy, Peer { client: addr(), listener: addr() }, NOW);
        let id = journal.id();
        log.refusal(NOW, ABOUT, &catalogue::MAIL_FIRST.reply(), id);
        ids.push(id);
    }
    journal.close();
    assert_eq!(journal.lost(), Lost::default());
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    for id in ids {
        assert_eq!(reader.by_id(id).unwrap().len(), 1, "{id}");
    }
}

#[test]
fn another_policy_begins_another_chunk() {
    let state = tempfile::tempdir().unwrap();
    let mut bench = Bench::new(state.path(), SETTINGS);
    let mut log = bench.session();
    let known = facts(&[("client.port", State::number(4711))]);
    log.decision(NOW, Stage::Connect, About::default(), (&accepted(), &known), None);
    let mut other = policy();
    other.fingerprint = 9;
    log.decided_by(&Arc::new(other));
    log.decision(NOW, Stage::Mail, ABOUT, (&accepted(), &known), None);
    drop(log);
    bench.writer.turn(NOW);
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    assert_eq!(reader.policies().unwrap().len(), 2);
    let body = reader.block(reader.blocks(NOW, None).unwrap()[0]).unwrap().unwrap();
    let policies: Vec<u64> =
        Block::read(&body).unwrap().chunks().map(|chunk| Chunk::read(chunk).unwrap().head.policy).collect();
    assert_eq!(policies, [bench.policy.fingerprint, 9]);
}
