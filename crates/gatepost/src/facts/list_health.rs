//! Whether the lists in the DNS still do what they should: one that stops answering, or lists everything, is switched off
//! until it does (RFC 5782 §5). One that never had the test entry of that RFC, as many that sites keep for themselves,
//! stays on.
//!
//! Invariants: a list that is off is never asked for a client, and its facts are unsure; each switch is one line of the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::time::{Timestamp, WallTime};

use super::dns_list::{DnsList, Listed, Listing, Trouble};
use crate::clock;
use crate::net::dns::{Dns, DnsFailure};

/// Look-ups in a row that fail before a list is switched off (ours).
const FAILURES_MAX: u32 = 10;

/// How often the test entries of a list that works are looked up (ours).
const CHECK_EVERY: Duration = Duration::from_secs(3_600);

/// How often those of a list that is off are (ours).
const CHECK_OFF_EVERY: Duration = Duration::from_secs(300);

/// Shortest wait between two looks at what is due (ours).
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// What is known of the lists; a list that nothing is known of is on.
#[derive(Debug, Default)]
pub struct ListHealth {
    lists: Mutex<HashMap<Arc<str>, Health>>,
}

/// What is known of one list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Health {
    failures_in_a_row: u32,
    off: Option<Off>,
    /// Whether its test entry was ever there; `None` as long as it was not looked up.
    has_test_entry: Option<bool>,
    /// When its test entries are to be looked up; at once as long as they never were.
    next_check: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Off {
    since: WallTime,
    why: String,
}

/// What the test entries of a list say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Verdict {
    /// It works.
    Works,
    /// Its test entry is not there.
    Untested,
    /// It doesn't do what a list does; why.
    Wrong(String),
    /// It doesn't answer; why.
    Silent(String),
}

/// A switch that is to be logged.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Switch {
    /// It was switched off; why.
    Off(String),
    /// It was switched on again.
    On,
    /// It stays on, but nobody can tell whether it works.
    Untested,
}

impl Health {
    fn failed(&mut self, why: &str, now: WallTime) -> Option<Switch> {
        self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
        let why =
            format!("{} look-ups in a row have failed, the last one with {why}", self.failures_in_a_row);
        if self.failures_in_a_row >= FAILURES_MAX { self.switch_off(why, now) } else { None }
    }

    const fn answered(&mut self) {
        self.failures_in_a_row = 0;
    }

    fn checked(&mut self, verdict: &Verdict, now: WallTime) -> Option<Switch> {
        match verdict {
            Verdict::Works => {
                self.has_test_entry = Some(true);
                self.answered();
                self.off.take().map(|_| Switch::On)
            }
            Verdict::Untested if self.has_test_entry == Some(true) => {
                self.switch_off("its test entry has gone (RFC 5782 §5)".into(), now)
            }
            Verdict::Untested => {
                self.answered();
                let is_news = self.has_test_entry.replace(false).is_none();
                self.off.take().map(|_| Switch::On).or(is_news.then_some(Switch::Untested))
            }
            Verdict::Wrong(why) => self.switch_off(why.clone(), now),
            Verdict::Silent(why) => self.failed(why, now),
        }
    }

    fn switch_off(&mut self, why: String, now: WallTime) -> Option<Switch> {
        if self.off.is_some() {
            return None;
        }
        self.off = Some(Off { since: now, why: why.clone() });
        // So that it is on again soon when it was a short trouble.
        self.next_check = None;
        Some(Switch::Off(why))
    }
}

impl ListHealth {
    /// Looks a key up in a list, unless the list is off.
    pub async fn look_up(&self, dns: &Dns, list: &DnsList, key: &Listed<'_>) -> Listing {
        if let Some(why) = self.off(&list.zone) {
            return Listing::unsure(&why);
        }
        let (listing, trouble) = list.ask(dns, key).await;
        let switch = {
            let mut lists = self.lists();
            let health = lists.entry(Arc::clone(&list.zone)).or_default();
            match trouble {
                // Who asks nobody learns nothing of the list.
                Some(Trouble::Failure(DnsFailure::NotGiven)) => None,
                Some(trouble) => health.failed(&trouble.to_string(), clock::wall()),
                None => {
                    health.answered();
                    None
                }
            }
        };
        log(&list.zone, switch);
        listing
    }

    /// Why the list is off, if it is: `switched off since DATE: why`.
    #[must_use]
    pub fn off(&self, zone: &str) -> Option<String> {
        let lists = self.lists();
        let off = lists.get(zone)?.off.as_ref()?;
        Some(format!("switched off since {}: {}", off.since.to_date_time(), off.why))
    }

    /// Looks the test entries of the list up, and switches it off or on by what they say.
    pub async fn check(&self, dns: &Dns, list: &DnsList) {
        let verdict = verdict(dns, list).await;
        let switch = {
            let mut lists = self.lists();
            let health = lists.entry(Arc::clone(&list.zone)).or_default();
            let switch = health.checked(&verdict, clock::wall());
            let wait = if health.off.is_some() { CHECK_OFF_EVERY } else { CHECK_EVERY };
            health.next_check = Some(clock::monotonic() + wait);
            switch
        };
        log(&list.zone, switch);
    }

    /// Checks the lists at once and then again and again; ends only by being dropped.
    pub async fn watch(&self, dns: &Dns, lists: &[DnsList]) {
        loop {
            for list in lists {
                if self.is_due(&list.zone, clock::monotonic()) {
                    self.check(dns, list).await;
                }
            }
            let now = clock::monotonic();
            let next = lists.iter().map(|list| self.wait(&list.zone, now)).min().unwrap_or(CHECK_EVERY);
            tokio::time::sleep(next.clamp(PAUSE_MIN, CHECK_OFF_EVERY)).await;
        }
    }

    fn is_due(&self, zone: &str, now: Timestamp) -> bool {
        self.wait(zone, now).is_zero()
    }

    fn wait(&self, zone: &str, now: Timestamp) -> Duration {
        let next = self.lists().get(zone).and_then(|health| health.next_check);
        next.map_or(Duration::ZERO, |next| next.since(now))
    }

    fn lists(&self) -> MutexGuard<'_, HashMap<Arc<str>, Health>> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log(zone: &str, switch: Option<Switch>) {
    match switch {
        Some(Switch::Off(why)) => {
            tracing::warn!(list = zone, "switched off, its facts are unsure: {why}");
        }
        Some(Switch::Untested) => {
            tracing::warn!(
                list = zone,
                "the list has no test entry (RFC 5782 §5): nobody will notice when it goes"
            );
        }
        Some(Switch::On) => tracing::info!(list = zone, "the list works again and is switched on"),
        None => {}
    }
}

/// Looks up what must be on the list and what must not be.
async fn verdict(dns: &Dns, list: &DnsList) -> Verdict {
    let mut silent = None;
    for (must, must_not) in list.test_points() {
        let (there, not_there) = tokio::join!(list.codes_of(dns, &must), list.codes_of(dns, &must_not));
        match (there, not_there) {
            // A list that a site keeps for itself may well have its own address.
            (Ok(must), Ok(codes)) if !must.is_empty() && !codes.is_empty() => {
                let nobody = list.nobody();
                if list.codes_of(dns, &nobody).await.is_ok_and(|codes| !codes.is_empty()) {
                    return Verdict::Wrong(format!("it lists everything, also {must_not} and {nobody}"));
                }
                return Verdict::Works;
            }
            (Err(Trouble::Error(error)), _) | (_, Err(Trouble::Error(error))) => {
                return Verdict::Wrong(error);
            }
            (Err(Trouble::Failure(failure)), _) | (_, Err(Trouble::Failure(failure))) => {
                silent = Some(failure.to_string());
            }
            (Ok(codes), Ok(_)) if !codes.is_empty() => return Verdict::Works,
            (Ok(_), Ok(_)) => {}
        }
    }
    silent.map_or(Verdict::Untested, Verdict::Silent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallTime = WallTime::from_unix_millis(0);

    #[test]
    fn a_list_goes_off_after_failures_in_a_row_and_on_when_it_works() {
        let mut health = Health::default();
        for _ in 1..FAILURES_MAX {
            assert_eq!(health.failed("time-out", NOW), None);
        }
        health.answered();
        for _ in 1..FAILURES_MAX {
            assert_eq!(health.failed("time-out", NOW), None);
        }
        let why = "10 look-ups in a row have failed, the last one with time-out".to_owned();
        assert_eq!(health.failed("time-out", NOW), Some(Switch::Off(why)));
        assert_eq!(health.failed("time-out", NOW), None, "it is off already");
        assert_eq!(health.checked(&Verdict::Silent("time-out".into()), NOW), None);
        assert_eq!(health.checked(&Verdict::Works, NOW), Some(Switch::On));
        assert_eq!(health.checked(&Verdict::Works, NOW), None);
        assert_eq!((health.off, health.failures_in_a_row), (None, 0));
    }

    #[test]
    fn a_list_that_does_wrong_goes_off_at_once() {
        let mut health = Health::default();
        let why = "it lists everything".to_owned();
        assert_eq!(health.checked(&Verdict::Wrong(why.clone()), NOW), Some(Switch::Off(why.clone())));
        assert_eq!(health.off, Some(Off { since: NOW, why }));
    }
}
