//! A judge that asks filters: of the stage that is decided, and as long as each may take.

use std::sync::Arc;
use std::time::Duration;

use policy::facts::Group;
use policy::slot::{Slot, SlotInfo};
use policy::stage::Stage;
use policy::value::State;

use super::case::Case;
use super::judge::{Judge, KEY_DEPTH_MAX, following};
use crate::facts::{self, Found};
use crate::filters::Dialogues;

/// How much longer than itself a filter is waited for (ours: its own time-out says why).
const FILTER_MARGIN: Duration = Duration::from_secs(5);

impl Judge {
    /// Forgets what milters said of the stage before, and what was found out from it: they are asked anew, and whoever waits
    /// for them still gives up.
    pub(super) fn forget_milters(&mut self, stage: Stage) {
        let in_force = Arc::clone(&self.policy);
        let milters: Vec<u16> = in_force.filters.milters().collect();
        if milters.is_empty() || matches!(stage, Stage::Auth | Stage::Verify) {
            return;
        }
        let is_milters =
            |info: &SlotInfo| matches!(info.group, Group::Source(place) if milters.contains(&place));
        let gone = following(&in_force.policy, &is_milters);
        self.keep_running(|running| !gone.contains(&running.group));
        for (slot, info) in (0..).map(Slot).zip(in_force.policy.slots()) {
            if gone.contains(&info.group) {
                self.facts.set(slot, State::NotAsked);
            }
        }
    }

    /// Ends what filters are asked still: nothing waits for it any more.
    pub(super) fn end_filters(&mut self) {
        let in_force = Arc::clone(&self.policy);
        self.keep_running(
            |running| !matches!(running.group, Group::Source(place) if in_force.filters.has(place)),
        );
    }

    /// Asks the filter at this place about the session.
    pub(super) fn ask_filter(
        &mut self,
        place: u16,
        case: &Case<'_>,
    ) -> impl Future<Output = Found> + Send + use<> {
        let in_force = Arc::clone(&self.policy);
        let dialogues = Arc::clone(self.dialogues.get_or_insert_with(|| Arc::new(Dialogues::new())));
        let occasion = Arc::clone(case.occasion(self.transaction));
        let name =
            in_force.policy.slot("client.name").map_or(State::Missing, |slot| self.facts.get(slot).clone());
        async move {
            let states = in_force.filters.ask(place, (&occasion, &dialogues), &name).await;
            facts::of_fields(&in_force.policy, place, &states)
        }
    }

    /// How long the fact's filter is waited for, its own or a key's; `None` when there is none.
    pub(super) fn patience(&self, slot: Slot, stage: Stage, depth: usize) -> Option<Duration> {
        let group = self.info(slot).filter(|_| depth <= KEY_DEPTH_MAX)?.group;
        let filters = &self.policy.filters;
        if let Group::Source(place) = group
            && filters.has(place)
        {
            // What it says itself when its time is up says more.
            return Some(filters.patience(place, stage) + FILTER_MARGIN);
        }
        let keys = facts::keys(&self.policy.policy, group);
        keys.iter().filter_map(|key| self.patience(*key, stage, depth + 1)).max()
    }
}
