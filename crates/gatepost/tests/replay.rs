//! A replay counts what a plain second evaluation of everything counts, however sessions lie in the journal and however
//! the work is shared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that can't go on has failed"
)]

mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;

use gatepost::journal::again::Gap;
use gatepost::journal::replay::{Outcome, Share, Summary, in_parallel, replay};
use gatepost::journal::store::{self, Reader};
use gatepost::journal::{Journal, Mask, PolicyText, Settings};
use policy::decision::Step;
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Value};
use policy::{NoFiles, Policy};
use smtp::time::WallTime;
use traffic::{Chance, Made, Traffic};

const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

const SETTINGS: Settings = Settings {
    enabled: true,
    days: 1,
    size_octets: 1_000_000_000,
    mask: Mask::None,
    dialogue: false,
    ids: true,
};

fn load(name: &str) -> Policy {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traffic").join(name);
    let text = std::fs::read_to_string(path).unwrap();
    match Policy::load(name, &text, &mut NoFiles) {
        Ok(loaded) => loaded.policy,
        Err(refused) => {
            let findings = refused.findings.iter().map(|finding| finding.render(&refused.files, false));
            panic!("{}", findings.collect::<Vec<_>>().join("\n"))
        }
    }
}

/// Sessions, and what was decided in them; the journal lies in `state`.
fn record(state: &Path, recorded: &Policy, settings: Settings, sessions: u32) -> Vec<Vec<Made>> {
    let journal = Journal::open_with(state, settings, NOW, || NOW);
    let text = Arc::new(PolicyText::of(recorded));
    let mut traffic = Traffic {
        journal: &journal,
        policy: recorded,
        text,
        chance: Chance::new(0x5eed),
        now: NOW,
        queue_id: 0,
        recipients: 0,
    };
    let made = (0..sessions).map(|_| traffic.session(true)).collect();
    journal.close();
    assert_eq!(journal.lost().chunks(), 0);
    made
}

fn replayed(state: &Path, policy: &Policy, threads: u64) -> Summary {
    let reader = Reader::open(&store::folder(state)).unwrap();
    let mut sum = Summary::default();
    for number in 0..threads {
        let share = Share { number, of: threads };
        sum.add(replay(&reader, policy, (WallTime::default(), None), share, &|| ()).unwrap());
    }
    sum
}

/// Decisions, recipients, and sender domains.
type Changes = (u64, u64, BTreeMap<String, u64>);

/// What is compared of a summary: counts, gaps, and the groups with their sender domains.
#[derive(Debug, PartialEq, Eq, Default)]
struct Counted {
    decisions: u64,
    recipients: u64,
    same: u64,
    not_reached: u64,
    untold: u64,
    untold_recipients: u64,
    gaps: BTreeMap<(String, Gap), u64>,
    groups: BTreeMap<(Stage, Outcome, Outcome), Changes>,
}

impl Counted {
    fn of(summary: &Summary) -> Self {
        let mut counted = Self {
            decisions: summary.decisions,
            recipients: summary.recipients,
            same: summary.same,
            not_reached: summary.not_reached,
            untold: summary.untold,
            untold_recipients: summary.untold_recipients,
            gaps: summary.gaps.clone(),
            groups: BTreeMap::new(),
        };
        for (key, group) in &summary.groups {
            let place = counted.groups.entry((key.stage, key.before.clone(), key.after.clone())).or_default();
            place.0 += group.decisions;
            place.1 += group.recipients;
            for (domain, count) in &group.domains {
                *place.2.entry(domain.clone()).or_default() += count;
            }
        }
        counted
    }
}

/// The second evaluation: every decision from everything that was known when it was made, session by session, with
/// nothing of the journal between.
fn again(sessions: &[Vec<Made>], new: &Policy) -> Counted {
    let mut counted = Counted::default();
    for session in sessions {
        let mut run = Run { new, stages: HashMap::new(), accepted: 0, refused: 0, untold: 0 };
        session.iter().for_each(|made| run.made(made, &mut counted));
    }
    counted
}

/// What a session comes to by the new policy.
struct Run<'n> {
    new: &'n Policy,
    /// The outcome of each stage so far, or what it lacks.
    stages: HashMap<Stage, Result<Outcome, Vec<String>>>,
    accepted: u32,
    refused: u32,
    untold: u32,
}

impl Run<'_> {
    fn made(&mut self, made: &Made, counted: &mut Counted) {
        if matches!(made.stage, Stage::Helo | Stage::Mail) {
            self.stages.remove(&Stage::Mail);
            (self.accepted, self.refused, self.untold) = (0, 0, 0);
        }
        let is_recipient = made.stage == Stage::Recipient;
        counted.decisions += 1;
        counted.recipients += u64::from(is_recipient);
        let facts = facts(made, self.new);
        let before = Outcome::decided(&made.decision);
        let result = match self.blocked(made.stage, &facts) {
            Some(Ok((stage, after))) => {
                counted.not_reached += 1;
                if is_recipient {
                    change(counted, made, (stage, before, after)).1 += 1;
                }
                return;
            }
            Some(Err(lacks)) => Err(lacks),
            None => decide(self.new, made.stage, &facts),
        };
        match &result {
            Err(lacks) => {
                counted.untold += 1;
                counted.untold_recipients += u64::from(is_recipient);
                self.untold += u32::from(is_recipient);
                for lack in lacks {
                    let differs = lack.starts_with("black.");
                    let gap = if differs { Gap::DeclaredDifferently } else { Gap::NotRecorded };
                    *counted.gaps.entry((lack.clone(), gap)).or_default() += 1;
                }
            }
            Ok(after) => {
                self.refused += u32::from(is_recipient && after.refuses());
                self.accepted += u32::from(is_recipient && !after.refuses());
                if before == *after {
                    counted.same += 1;
                } else {
                    change(counted, made, (made.stage, before, after.clone())).0 += 1;
                }
            }
        }
        self.stages.insert(made.stage, result);
    }

    /// The stage that keeps the session from coming to `stage`, and how, or what can't be told about that.
    fn blocked(&mut self, stage: Stage, facts: &Facts) -> Option<Result<(Stage, Outcome), Vec<String>>> {
        for before in [Stage::Connect, Stage::Helo, Stage::Mail] {
            if before >= stage {
                break;
            }
            // What is known by now may tell what could not be told then.
            if !matches!(self.stages.get(&before), Some(Ok(_))) {
                self.stages.insert(before, decide(self.new, before, facts));
            }
            match &self.stages[&before] {
                Ok(outcome) if outcome.refuses() => return Some(Ok((before, outcome.clone()))),
                Ok(_) => {}
                Err(lacks) => return Some(Err(lacks.clone())),
            }
        }
        match (stage > Stage::Recipient && self.accepted == 0, self.untold > 0, self.refused > 0) {
            (true, true, _) => Some(Err(Vec::new())),
            (true, false, true) => Some(Ok((Stage::Recipient, Outcome::PASSED))),
            _ => None,
        }
    }
}

fn change<'c>(counted: &'c mut Counted, made: &Made, key: (Stage, Outcome, Outcome)) -> &'c mut Changes {
    let domain = match made.reverse_path.as_deref() {
        None => "-",
        Some("") => "<>",
        Some(path) => path.split('@').nth(1).unwrap(),
    };
    let group = counted.groups.entry(key).or_default();
    *group.2.entry(domain.to_owned()).or_default() += 1;
    group
}

fn decide(policy: &Policy, stage: Stage, facts: &Facts) -> Result<Outcome, Vec<String>> {
    match policy.step(stage, facts) {
        Step::Decided(decision) => Ok(Outcome::decided(&decision)),
        Step::Need(need) => {
            Err(need.now.iter().map(|slot| policy.slots()[slot.index()].name.to_string()).collect())
        }
    }
}

/// What was known, under the numbers of the new policy: all but `black`, which is another list now.
fn facts(made: &Made, new: &Policy) -> Facts {
    let mut facts = Facts::new(new.slots().len());
    let (local, domain) = made.reverse_path.as_deref().unwrap_or("").split_once('@').unwrap_or(("", ""));
    let mut basics = vec![("client.ip", State::Known(Value::address(made.client)))];
    if made.reverse_path.is_some() {
        basics.extend([("sender.local", State::text(local)), ("sender.domain", State::text(domain))]);
    }
    if let Some(recipient) = &made.recipient {
        basics.push(("recipient.local", State::text(recipient.split('@').next().unwrap())));
    }
    let known = made.facts.iter().filter(|(name, _)| !name.starts_with("black."));
    let known = known.map(|(name, state)| (&**name, state.clone()));
    for (name, state) in basics.into_iter().chain(known) {
        if let Some(slot) = new.slot(name) {
            facts.set(slot, state);
        }
    }
    facts
}

#[test]
fn a_replay_is_exact() {
    let state = tempfile::tempdir().unwrap();
    let (recorded, new) = (load("recorded.policy"), load("new.policy"));
    let made = record(state.path(), &recorded, SETTINGS, 1_500);
    let expected = again(&made, &new);
    let summary = replayed(state.path(), &new, 1);
    assert_eq!(Counted::of(&summary), expected);
    assert_eq!(replayed(state.path(), &new, 3), summary);
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let blocks = std::sync::atomic::AtomicUsize::new(0);
    let count = || {
        blocks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    };
    let together = in_parallel(&reader, &new, (WallTime::default(), None), 2, &count).unwrap();
    assert_eq!(together, summary);
    let listed = reader.blocks(WallTime::default(), None).unwrap().len();
    assert_eq!(blocks.into_inner(), 2 * listed);
    assert_eq!((summary.unreadable, summary.without_policy), (0, 0));

    // Every kind of change and of gap is among them.
    let groups =
        expected.groups.keys().map(|(stage, before, after)| format!("{}: {before} -> {after}", stage.name()));
    let groups: Vec<String> = groups.collect();
    for wanted in [
        "connect: accept -> reject 554 5.7.1",
        "connect: defer 450 4.7.1 -> accept",
        "mail: accept -> reject 550 5.7.1",
        "recipient: reject 550 5.7.1 -> defer 451 4.7.1",
        "mail: reject 550 5.1.8 -> accept",
        "recipient: accept -> defer 450 4.7.1",
        "message: reject 552 5.3.4 -> accept, quarantine",
    ] {
        assert!(groups.iter().any(|group| group == wanted), "{wanted} is missing in {groups:#?}");
    }
    assert!(expected.not_reached > 0 && expected.groups.values().any(|group| group.1 > 0));
    let gaps: Vec<&str> = expected.gaps.keys().map(|(name, _)| name.as_str()).collect();
    assert!(gaps.contains(&"spf.result") && gaps.contains(&"black.listed"), "{gaps:?}");
    let remembered: u64 = summary.groups.values().map(|group| group.counterfactual).sum();
    assert!(remembered > 0);
    assert_eq!(
        summary.decisions,
        summary.same
            + summary.not_reached
            + summary.untold
            + summary.groups.values().map(|group| group.decisions).sum::<u64>()
    );
}

#[test]
fn the_policy_that_decided_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let recorded = load("recorded.policy");
    record(state.path(), &recorded, SETTINGS, 500);
    let summary = replayed(state.path(), &recorded, 2);
    assert!(summary.decisions > 1_000);
    assert_eq!((summary.same, summary.changed(), summary.untold), (summary.decisions, 0, 0));
}

#[test]
fn what_was_masked_cannot_be_told() {
    let state = tempfile::tempdir().unwrap();
    let (recorded, new) = (load("recorded.policy"), load("new.policy"));
    record(state.path(), &recorded, Settings { mask: Mask::Addresses, ..SETTINGS }, 300);
    let summary = replayed(state.path(), &new, 2);
    assert!(
        summary.gaps.keys().any(|(name, gap)| name == "client.ip" && *gap == Gap::Masked),
        "{:?}",
        summary.gaps
    );
    assert!(summary.untold > 0);
}

#[test]
fn only_the_time_that_is_asked_for_counts() {
    let state = tempfile::tempdir().unwrap();
    let recorded = load("recorded.policy");
    let made = record(state.path(), &recorded, SETTINGS, 300);
    let total: usize = made.iter().map(Vec::len).sum();
    let reader = Reader::open(&store::folder(state.path())).unwrap();
    let count = |times| {
        replay(&reader, &recorded, times, Share { number: 0, of: 1 }, &|| ()).unwrap().decisions as usize
    };
    let middle = WallTime::from_unix_millis(NOW.as_unix_millis() + 5_000);
    let (first, last) = (count((WallTime::default(), Some(middle))), count((middle, None)));
    assert!(first > 0 && last > 0);
    assert_eq!(first + last, total);
}
