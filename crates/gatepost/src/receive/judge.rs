//! A session's policy at work: facts are found out as its rules need them, side by side and within a deadline.
//!
//! Invariants: a decision is one policy's from its first fact to its answer; what can't be found out in time is unsure; a
//! fact of one recipient or message never reaches the next.

use std::panic::{self, AssertUnwindSafe};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use policy::decision::{Decision, Need, Step};
use policy::facts::{Group, Scope};
use policy::policy::Policy;
use policy::slot::{Facts, Slot, SlotInfo};
use policy::source::{Counted, SourceKind};
use policy::stage::Stage;
use policy::value::State;
use tokio::task::{AbortHandle, Id, JoinError, JoinSet};
use tokio::time::Sleep;

use super::case::Case;
use super::mailbox_facts;
use super::session_facts;
use crate::clock;
use crate::facts::{self, Found};
use crate::filters::Dialogues;
use crate::policies::{InForce, looks_at_message, starts_early};

/// Longest wait of a stage for what no rule asks, so that it is recorded (ours: a look-up over the DNS, and nothing that
/// anybody notices).
const SHADOW_WAIT: Duration = Duration::from_millis(500);

/// How many sources may need each other's facts as keys (ours).
pub(super) const KEY_DEPTH_MAX: usize = 8;

/// What a session knows and is finding out.
#[derive(Debug)]
pub(super) struct Judge {
    pub(super) policy: Arc<InForce>,
    pub(super) facts: Facts,
    tasks: JoinSet<Found>,
    running: Vec<Running>,
    /// What is taken for true without being found out, in a rehearsal.
    given: Vec<(Arc<str>, State)>,
    /// Whether it finds out, too, what the rules behind an answer would have seen.
    is_thorough: bool,
    /// What milters were told of the session.
    pub(super) dialogues: Option<Arc<Dialogues>>,
    /// Counts the transactions.
    pub(super) transaction: u64,
}

/// A group of facts that is being found out.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) group: Group,
    scope: Scope,
    task: AbortHandle,
}

impl Judge {
    pub(super) fn new(policy: Arc<InForce>) -> Self {
        let facts = Facts::new(policy.policy.slots().len());
        Self {
            policy,
            facts,
            tasks: JoinSet::new(),
            running: Vec::new(),
            given: Vec::new(),
            is_thorough: false,
            dialogues: None,
            transaction: 0,
        }
    }

    /// The same, for a rehearsal: of each stage it finds everything out that its rules can ask for.
    pub(super) fn thorough(policy: Arc<InForce>) -> Self {
        Self { is_thorough: true, ..Self::new(policy) }
    }

    /// Takes the fact for what is said, whatever would be found out.
    pub(super) fn give(&mut self, name: &str, state: State) {
        self.given.retain(|(known, _)| **known != *name);
        self.given.push((Arc::from(name), state));
    }

    /// What the fact is given as, if it is.
    pub(super) fn given(&self, name: &str) -> Option<&State> {
        self.given.iter().find(|(known, _)| **known == *name).map(|(_, state)| state)
    }

    pub(super) fn policy(&self) -> &Arc<InForce> {
        &self.policy
    }

    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// Goes on under another policy, with what is known of the session.
    pub(super) fn change_policy(&mut self, policy: Arc<InForce>) {
        let slots = policy.policy.slots();
        let mut facts = Facts::new(slots.len());
        for (slot, info) in (0..).map(Slot).zip(slots) {
            let Some(old) = self.policy.policy.slot(&info.name) else { continue };
            // What is declared under the same name may be declared otherwise now, and what the session knows by itself
            // may be another thing under the new configuration: whether the client may relay, say.
            let stays = !matches!(info.group, Group::Source(_) | Group::ListScore | Group::Session);
            if info.scope == Scope::Session && stays {
                facts.set(slot, self.facts.get(old).clone());
            }
        }
        self.tasks.abort_all();
        let given = std::mem::take(&mut self.given);
        let (is_thorough, transaction) = (self.is_thorough, self.transaction);
        // The milters of another policy are others, and are told of the session from its beginning.
        *self = Self { facts, given, is_thorough, transaction, ..Self::new(policy) };
    }

    /// Forgets what is known, and being found out, of `scope` and of shorter ones.
    pub(super) fn clear(&mut self, scope: Scope) {
        self.transaction += u64::from(scope == Scope::Transaction);
        self.keep_running(|running| running.scope < scope);
        self.policy.policy.clear(&mut self.facts, scope);
    }

    /// Ends the searches that don't stay.
    pub(super) fn keep_running(&mut self, stays: impl Fn(&Running) -> bool) {
        for ended in self.running.extract_if(.., |running| !stays(running)) {
            ended.task.abort();
        }
    }

    /// What is known of the fact; `None` when the policy can't ask for it.
    pub(super) fn state(&self, name: &str) -> Option<&State> {
        self.policy.policy.slot(name).map(|slot| self.facts.get(slot))
    }

    /// Says what is known of the fact, if the policy can ask for it.
    pub(super) fn tell(&mut self, name: &str, state: State) {
        if let Some(slot) = self.policy.policy.slot(name) {
            self.learn(slot, state);
        }
    }

    /// Takes what was found out, unless the fact is given.
    fn learn(&mut self, slot: Slot, state: State) {
        let given = match self.info(slot) {
            Some(info) if !self.given.is_empty() => self.given(&info.name).cloned(),
            _ => None,
        };
        self.facts.set(slot, given.unwrap_or(state));
    }

    /// Forgets the session's facts whose names begin so, and all that was found out from them.
    pub(super) fn forget(&mut self, beginnings: &[&str]) {
        let in_force = Arc::clone(&self.policy);
        let policy = &in_force.policy;
        let begins = |info: &SlotInfo| beginnings.iter().any(|beginning| info.name.starts_with(beginning));
        let mut slots = (0..).map(Slot).zip(policy.slots());
        if !slots.any(|(slot, info)| begins(info) && self.facts.get(slot).is_asked()) {
            return;
        }
        let gone = following(policy, &begins);
        self.keep_running(|running| !gone.contains(&running.group));
        for (slot, info) in (0..).map(Slot).zip(policy.slots()) {
            if begins(info) || gone.contains(&info.group) {
                self.facts.set(slot, State::NotAsked);
            }
        }
    }

    /// Counts an event at the rates that count such events.
    pub(super) fn count(&mut self, counted: Counted, case: &Case<'_>) {
        let in_force = Arc::clone(&self.policy);
        for place in in_force.rates.counting(counted) {
            let Some(source) = in_force.policy.sources().get(usize::from(place)) else { continue };
            let group = Group::Source(place);
            facts::keys(&in_force.policy, group).iter().for_each(|key| self.find_out(*key, case, 1));
            let count = in_force.rates.count(place, source, &self.facts, clock::monotonic());
            let slots = (0..).map(Slot).zip(in_force.policy.slots());
            if let Some((slot, _)) = slots.into_iter().find(|(_, info)| info.group == group) {
                self.learn(slot, count);
            }
        }
    }

    /// Forgets the counts of what happens behind the rules that ask for it: they are looked at anew.
    fn forget_counts(&mut self) {
        let in_force = Arc::clone(&self.policy);
        for (slot, info) in (0..).map(Slot).zip(in_force.policy.slots()) {
            let Group::Source(place) = info.group else { continue };
            let source = in_force.policy.sources().get(usize::from(place));
            if let Some(SourceKind::Rate { counted: Counted::Refusals | Counted::Failures, .. }) =
                source.map(|source| &source.kind)
            {
                self.facts.set(slot, State::NotAsked);
            }
        }
    }

    /// Decides the stage.
    pub(super) async fn decide(&mut self, stage: Stage, case: &Case<'_>) -> Decision {
        while let Some(found) = self.tasks.try_join_next_with_id() {
            self.take(found);
        }
        if !self.policy.policy.sources().is_empty() {
            self.forget_counts();
            self.forget_milters(stage);
            match stage {
                Stage::Connect => self.count(Counted::Connections, case),
                Stage::Mail => self.count(Counted::Messages, case),
                Stage::Recipient => self.count(Counted::Recipients, case),
                _ => {}
            }
        }
        self.know(stage, case);
        let mut timer = None;
        let decision = loop {
            let Need { now, soon } = match self.policy.policy.step(stage, &self.facts) {
                Step::Decided(decision) => break decision,
                Step::Need(need) => need,
            };
            let scans = now.iter().any(|slot| {
                self.info(*slot).is_some_and(|info| looks_at_message(&self.policy.policy, info.group))
            });
            for slot in now.iter().chain(&soon) {
                let policy = &self.policy.policy;
                let starts_early = |info: &SlotInfo| {
                    starts_early(policy, info.group) || scans && looks_at_message(policy, info.group)
                };
                if now.contains(slot) || self.info(*slot).is_some_and(starts_early) {
                    self.find_out(*slot, case, 0);
                }
            }
            self.ask_tables(&now, case, &mut timer).await;
            self.gather(&now, &soon, case, &mut timer).await;
        };
        if matches!(stage, Stage::Mail | Stage::Recipient | Stage::Message) && self.awaits_shadow() {
            let mut end = Box::pin(tokio::time::sleep(SHADOW_WAIT));
            while self.awaits_shadow() {
                tokio::select! {
                    Some(found) = self.tasks.join_next_with_id() => self.take(found),
                    () = &mut end => break,
                }
            }
        }
        if self.is_thorough {
            let all = self.policy.policy.needs(stage).to_vec();
            all.iter().for_each(|slot| self.find_out(*slot, case, 0));
            self.ask_tables(&all, case, &mut timer).await;
            self.gather(&all, &[], case, &mut timer).await;
        }
        decision
    }

    /// Whether a source is being asked that is declared for a replay's sake alone.
    fn awaits_shadow(&self) -> bool {
        let sources = self.policy.policy.sources();
        self.running.iter().any(|running| match running.group {
            Group::Source(place) => sources.get(usize::from(place)).is_some_and(|source| source.shadow),
            _ => false,
        })
    }

    /// Asks the tables for the recipient's mailbox when `now` holds a fact about it; what is found out by tasks goes on
    /// meanwhile. When the time is up first, it is unsure.
    async fn ask_tables(&mut self, now: &[Slot], case: &Case<'_>, timer: &mut Option<Pin<Box<Sleep>>>) {
        if !case.view.awaits_tables() || !now.iter().any(|slot| self.is_of_mailbox(*slot, 0)) {
            return;
        }
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(case.deadline)));
        tokio::select! {
            () = case.view.look_up_recipient() => now.iter().for_each(|slot| self.find_out(*slot, case, 0)),
            () = timer => self.give_up(now),
        }
    }

    /// Whether the fact is about the recipient's mailbox, or is found out from such a fact.
    fn is_of_mailbox(&self, slot: Slot, depth: usize) -> bool {
        let Some(info) = self.info(slot).filter(|_| depth <= KEY_DEPTH_MAX) else { return false };
        let keys = || facts::keys(&self.policy.policy, info.group);
        info.group == Group::Mailbox || keys().iter().any(|key| self.is_of_mailbox(*key, depth + 1))
    }

    /// Waits until it is known what is asked for `now`, or the time is up: then it is unsure. The time runs from the
    /// first wait of a decision.
    async fn gather(
        &mut self,
        now: &[Slot],
        soon: &[Slot],
        case: &Case<'_>,
        timer: &mut Option<Pin<Box<Sleep>>>,
    ) {
        let patience = now.iter().filter_map(|slot| self.patience(*slot, case.stage, 0)).max();
        let mut of_filter = patience.map(|patience| Box::pin(tokio::time::sleep(patience)));
        while now.iter().any(|slot| self.is_awaited(*slot)) {
            let timer = match &mut of_filter {
                Some(timer) => timer,
                None => timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(case.deadline))),
            };
            tokio::select! {
                Some(found) = self.tasks.join_next_with_id() => {
                    self.take(found);
                    // What waited for a key may have it now.
                    now.iter().chain(soon).for_each(|slot| self.find_out(*slot, case, 0));
                }
                () = timer => self.give_up(now),
            }
        }
        for slot in now {
            if !self.facts.get(*slot).is_asked() {
                self.facts.set(*slot, State::unsure("cannot be found out"));
            }
        }
    }

    /// Fills in what the session knows by itself, and starts what is worth having early.
    fn know(&mut self, stage: Stage, case: &Case<'_>) {
        let in_force = Arc::clone(&self.policy);
        in_force.early(stage).iter().for_each(|slot| self.find_out(*slot, case, 0));
    }

    /// Finds a fact out, at once or by a task. `depth` is how many sources ask for each other's keys.
    fn find_out(&mut self, slot: Slot, case: &Case<'_>, depth: usize) {
        let in_force = Arc::clone(&self.policy);
        let policy = &in_force.policy;
        let Some(info) = policy.slots().get(slot.index()) else { return };
        if self.facts.get(slot).is_asked() || depth > KEY_DEPTH_MAX {
            return;
        }
        if let Some(given) = self.given(&info.name) {
            self.facts.set(slot, given.clone());
            return;
        }
        let at_hand = match info.group {
            Group::Session => session_facts::state(&info.name, &case.view),
            // The tables are asked once a rule waits for it.
            Group::Mailbox if case.view.awaits_tables() => None,
            Group::Mailbox => mailbox_facts::state(&info.name, &case.view),
            group => {
                let keys = facts::keys(policy, group);
                keys.iter().for_each(|key| self.find_out(*key, case, depth + 1));
                let known = keys.iter().all(|key| self.facts.get(*key).is_asked());
                if known && !self.is_under_way(group) {
                    self.start(group, info.scope, case);
                }
                return;
            }
        };
        if let Some(state) = at_hand {
            self.facts.set(slot, state);
        }
    }

    /// Starts a search. One that has all at hand is done with at once, and costs no task.
    fn start(&mut self, group: Group, scope: Scope, case: &Case<'_>) {
        let (services, subject) = (Arc::clone(case.services), Arc::clone(case.subject()));
        let in_force = Arc::clone(&self.policy);
        let facts = match group {
            Group::Source(_) | Group::ListScore => self.facts.clone(),
            // These have no keys.
            _ => Facts::default(),
        };
        let mut search: Pin<Box<dyn Future<Output = Found> + Send>> = match group {
            Group::Source(place) if in_force.filters.has(place) => Box::pin(self.ask_filter(place, case)),
            _ => {
                Box::pin(async move { facts::find_out(&services, &in_force, group, &facts, &subject).await })
            }
        };
        // A search that goes on is polled again by its task, which nothing can have to wake before.
        let mut context = Context::from_waker(Waker::noop());
        let polled = panic::catch_unwind(AssertUnwindSafe(|| search.as_mut().poll(&mut context)));
        match polled {
            Ok(Poll::Ready(states)) => self.learn_all(states),
            Ok(Poll::Pending) => {
                let task = self.tasks.spawn(search);
                self.running.push(Running { group, scope, task });
            }
            Err(_) => tracing::error!("a search for facts ended abnormally"),
        }
    }

    fn learn_all(&mut self, states: Found) {
        for (slot, state) in states {
            self.learn(slot, state);
        }
    }

    /// Takes what a task has found.
    fn take(&mut self, found: Result<(Id, Found), JoinError>) {
        let (id, states) = match found {
            Ok((id, states)) => (id, states),
            Err(error) => {
                if error.is_panic() {
                    tracing::error!(%error, "a search for facts ended abnormally");
                }
                (error.id(), Vec::new())
            }
        };
        let Some(place) = self.running.iter().position(|running| running.task.id() == id) else {
            // What it was about has been forgotten meanwhile.
            return;
        };
        self.running.swap_remove(place);
        self.learn_all(states);
    }

    /// Whether the fact is not known and a task, its own or a key's, is under way for it.
    fn is_awaited(&self, slot: Slot) -> bool {
        let Some(info) = self.info(slot) else { return false };
        !self.facts.get(slot).is_asked()
            && (self.is_under_way(info.group)
                || facts::keys(&self.policy.policy, info.group).iter().any(|key| self.is_awaited(*key)))
    }

    fn is_under_way(&self, group: Group) -> bool {
        self.running.iter().any(|running| running.group == group)
    }

    /// The time is up: what is awaited is unsure.
    fn give_up(&mut self, awaited: &[Slot]) {
        for slot in awaited {
            if !self.facts.get(*slot).is_asked() {
                self.facts.set(*slot, State::unsure("time-out"));
            }
        }
    }

    pub(super) fn info(&self, slot: Slot) -> Option<&SlotInfo> {
        self.policy.policy.slots().get(slot.index())
    }
}

/// The groups of the facts that begin so, and those that are found out from them: a source may have another's fact as its
/// key, and the score has those of all lists.
pub(super) fn following(policy: &Policy, begins: &impl Fn(&SlotInfo) -> bool) -> Vec<Group> {
    let mut gone: Vec<Group> = Vec::new();
    loop {
        let before = gone.len();
        for info in policy.slots() {
            let follows = |key: &Slot| {
                let key = policy.slots().get(key.index());
                key.is_some_and(|key| begins(key) || gone.contains(&key.group))
            };
            let goes = info.group != Group::Session
                && (begins(info) || facts::keys(policy, info.group).iter().any(follows));
            if goes && !gone.contains(&info.group) {
                gone.push(info.group);
            }
        }
        if gone.len() == before {
            return gone;
        }
    }
}
