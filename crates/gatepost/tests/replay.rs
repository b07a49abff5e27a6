//! A replay counts what a plain second evaluation of everything counts, however sessions lie in the journal and however
//! the work is shared.

mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use gatepost::journal::again::Gap;
use gatepost::journal::replay::{Outcome, Share, Summary, replay};
use gatepost::journal::store::{self, Reader};
use gatepost::journal::{Journal, Mask, PolicyText, Settings};
use policy::decision::{Decision, Step};
use policy::policy::{Files, Policy};
use policy::slot::Facts;
use policy::stage::Stage;
use policy::value::{State, Value};
use smtp::time::WallTime;
use traffic::{Chance, Made, Traffic};

const NOW: WallTime = WallTime::from_unix_millis(1_795_600_800_000);

const SETTINGS: Settings = Settings {
    enabled: true,
    days: 10_000,
    size_octets: 1_000_000_000,
    mask: Mask::None,
    dialogue: false,
    ids: true,
};

struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, path: &str) -> Result<String, String> {
        Err(format!("{path}: no files here"))
    }
}

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
    let journal = Journal::open(state, settings, NOW);
    let text = journal.policy(PolicyText::of(recorded));
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
    groups: BTreeMap<(Stage, Outcome, Outcome), (u64, u64, BTreeMap<String, u64>)>,
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
        // What each stage before would have come to: refused, passed, or what it lacks.
        let mut stages: HashMap<Stage, Result<Decision, Vec<String>>> = HashMap::new();
        let mut taken = (0, 0, 0);
        for made in session {
            if matches!(made.stage, Stage::Helo | Stage::Mail) {
                stages.remove(&Stage::Mail);
                taken = (0, 0, 0);
            }
            counted.decisions += 1;
            let is_recipient = made.stage == Stage::Recipient;
            counted.recipients += u64::from(is_recipient);
            let facts = facts(made, new);
            let mut blocked: Option<Result<(Stage, Outcome), Vec<String>>> = None;
            for before in [Stage::Connect, Stage::Helo, Stage::Mail] {
                if before < made.stage && blocked.is_none() {
                    if matches!(stages.get(&before), Some(Err(_))) {
                        stages.insert(before, decide(new, before, &facts));
                    }
                    match stages.get(&before).expect("a session comes to its stages in order") {
                        Ok(decision) if Outcome::decided(decision).refuses() => {
                            blocked = Some(Ok((before, Outcome::decided(decision))));
                        }
                        Err(lacks) => blocked = Some(Err(lacks.clone())),
                        Ok(_) => {}
                    }
                }
            }
            if blocked.is_none() && made.stage > Stage::Recipient && taken.0 == 0 {
                blocked = match taken {
                    (_, _, 1..) => Some(Err(Vec::new())),
                    (_, 1.., _) => Some(Ok((Stage::Recipient, Outcome::PASSED))),
                    _ => None,
                };
            }
            let before = Outcome::decided(&made.decision);
            let result = match blocked {
                Some(Ok((stage, after))) => {
                    counted.not_reached += 1;
                    if is_recipient {
                        change(&mut counted, made, (stage, before, after)).1 += 1;
                    }
                    continue;
                }
                Some(Err(lacks)) => Err(lacks),
                None => decide(new, made.stage, &facts),
            };
            match &result {
                Err(lacks) => {
                    counted.untold += 1;
                    counted.untold_recipients += u64::from(is_recipient);
                    taken.2 += u32::from(is_recipient);
                    for lack in lacks {
                        let gap = if lack.starts_with("black.") {
                            Gap::DeclaredDifferently
                        } else {
                            Gap::NotRecorded
                        };
                        *counted.gaps.entry((lack.clone(), gap)).or_default() += 1;
                    }
                }
                Ok(decision) => {
                    let after = Outcome::decided(decision);
                    if is_recipient {
                        *if after.refuses() { &mut taken.1 } else { &mut taken.0 } += 1;
                    }
                    if before == after {
                        counted.same += 1;
                    } else {
                        change(&mut counted, made, (made.stage, before, after)).0 += 1;
                    }
                }
            }
            stages.entry(made.stage).or_insert(result.clone());
            if result.is_ok() {
                stages.insert(made.stage, result);
            }
        }
    }
    counted
}

fn change<'c>(
    counted: &'c mut Counted,
    made: &Made,
    key: (Stage, Outcome, Outcome),
) -> &'c mut (u64, u64, BTreeMap<String, u64>) {
    let domain = match made.reverse_path.as_deref() {
        None => "-",
        Some("") => "<>",
        Some(path) => path.split('@').nth(1).unwrap(),
    };
    let group = counted.groups.entry(key).or_default();
    *group.2.entry(domain.to_owned()).or_default() += 1;
    group
}

fn decide(policy: &Policy, stage: Stage, facts: &Facts) -> Result<Decision, Vec<String>> {
    match policy.step(stage, facts) {
        Step::Decided(decision) => Ok(decision),
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
    assert_eq!((summary.unreadable, summary.without_policy), (0, 0));

    // Every kind of change and of gap is among them.
    let groups =
        expected.groups.keys().map(|(stage, before, after)| format!("{}: {before} -> {after}", stage.name()));
    let groups: Vec<String> = groups.collect();
    for wanted in [
        "connect: accept -> reject 554 5.7.1",
        "connect: defer 450 4.7.1 -> accept",
        "mail: accept -> reject 550 5.7.1",
        "recipient: reject 550 5.7.1 -> accept",
        "recipient: accept -> defer 450 4.7.1",
        "message: reject 552 5.3.4 -> accept",
    ] {
        assert!(groups.iter().any(|group| group == wanted), "{wanted} is missing in {groups:#?}");
    }
    assert!(
        groups.iter().any(|group| group.starts_with("message: ") && group.ends_with("accept, quarantine"))
    );
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
