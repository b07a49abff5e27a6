//! How much mail users have submitted in the last 24 hours.
//!
//! Invariants: memory is bounded by [`USERS_MAX`]; what was refused doesn't count; a restart forgets all.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use smtp::time::Timestamp;

/// Users that are counted (ours: some 100 octets each).
const USERS_MAX: usize = 100_000;

/// The time over which mail is counted, from a user's first message on.
const WINDOW: Duration = Duration::from_secs(86_400);

/// What users may submit in that time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DailyLimits {
    pub(crate) messages: Option<u32>,
    pub(crate) recipients: Option<u32>,
}

/// What users have submitted.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    users: Mutex<HashMap<String, Count>>,
}

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    messages: u32,
    recipients: u32,
    /// Whether the postmaster has been told.
    told: bool,
}

impl Usage {
    /// Counts a message that was taken.
    pub(crate) fn add(&self, user: &str, recipients: u32, now: Timestamp) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(count) = current(&mut users, user, now) else { return };
        count.messages = count.messages.saturating_add(1);
        count.recipients = count.recipients.saturating_add(recipients);
    }

    /// Whether the user has had his messages.
    pub(crate) fn is_over_messages(&self, user: &str, limits: DailyLimits, now: Timestamp) -> bool {
        limits.messages.is_some_and(|limit| self.of(user, now).0 >= limit)
    }

    /// Whether the user has had his recipients, with `more` that are not counted yet.
    pub(crate) fn is_over_recipients(
        &self,
        user: &str,
        more: u32,
        limits: DailyLimits,
        now: Timestamp,
    ) -> bool {
        limits.recipients.is_some_and(|limit| self.of(user, now).1.saturating_add(more) >= limit)
    }

    /// Whether the postmaster is still to be told of the user: once a window.
    pub(crate) fn is_to_be_told(&self, user: &str, now: Timestamp) -> bool {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        // Who goes over a limit with his first message is counted from here on.
        current(&mut users, user, now).is_some_and(|count| !std::mem::replace(&mut count.told, true))
    }

    /// Messages and recipients of the user.
    pub(crate) fn of(&self, user: &str, now: Timestamp) -> (u32, u32) {
        let users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let count = users.get(user).filter(|count| now.since(count.since) < WINDOW);
        count.map_or((0, 0), |count| (count.messages, count.recipients))
    }
}

/// What is counted of the user in the window that goes on, a new one if need be; `None` when there is no room for him.
fn current<'u>(users: &'u mut HashMap<String, Count>, user: &str, now: Timestamp) -> Option<&'u mut Count> {
    let is_over = |count: &Count| now.since(count.since) >= WINDOW;
    if users.len() >= USERS_MAX && !users.contains_key(user) {
        users.retain(|_, count| !is_over(count));
        if users.len() >= USERS_MAX {
            return None;
        }
    }
    let fresh = Count { since: now, messages: 0, recipients: 0, told: false };
    let count = users.entry(user.to_owned()).or_insert(fresh);
    if is_over(count) {
        *count = fresh;
    }
    Some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_his_messages_and_recipients_for_a_day() {
        let usage = Usage::default();
        let at = |hours: u64| Timestamp::from_millis(hours * 3_600_000);
        let limits = DailyLimits { messages: Some(2), recipients: Some(10) };
        usage.add("alice", 4, at(0));
        assert!(!usage.is_over_messages("alice", limits, at(1)));
        assert!(!usage.is_over_recipients("alice", 5, limits, at(1)));
        assert!(usage.is_over_recipients("alice", 6, limits, at(1)));
        usage.add("alice", 4, at(2));
        assert!(
            usage.is_over_messages("alice", limits, at(3)) && !usage.is_over_messages("bob", limits, at(3))
        );
        assert!(usage.is_to_be_told("alice", at(3)) && !usage.is_to_be_told("alice", at(4)));
        assert!(!usage.is_over_messages("alice", limits, at(24)));
        usage.add("alice", 1, at(25));
        assert_eq!(usage.of("alice", at(25)), (1, 1));
        assert!(usage.is_to_be_told("alice", at(25)));
        let none = DailyLimits { messages: None, recipients: None };
        assert!(
            !usage.is_over_messages("alice", none, at(25))
                && !usage.is_over_recipients("alice", 1, none, at(25))
        );
    }
}
