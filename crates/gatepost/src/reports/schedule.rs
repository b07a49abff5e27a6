//! When reports are sent: each domain's once a day, at a time of its own, and whenever somebody orders it.
//!
//! Invariants: nothing is sent of a day that isn't over, but by order; what could not be sent waits an hour, and longer only
//! by its domain's fault; one task sends, so that nothing is sent twice.

use std::collections::HashMap;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use queue::spool::Spool;
use siphasher::sip::SipHasher13;
use smtp::time::WallTime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Reports;
use super::run::{self, Tally, Told, blocking};
use super::store::{Due, Kind, Store};
use crate::clock;
use crate::config::Config;
use crate::journal::day::Day;
use crate::site::{Site, Sites};

/// How long after the time of the day the last domain is told (RFC 8460 §4.1 suggests a random delay of up to four hours).
const SPREAD: Duration = Duration::from_secs(4 * 3_600);

/// How often it is looked whether somebody orders something (ours).
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How often it is looked what is due (ours).
const DUE_EVERY: Duration = Duration::from_secs(60);

/// How long what could not be sent waits (ours).
const AGAIN_AFTER: Duration = Duration::from_secs(3_600);

/// How long after its time a report no longer waits for all who want it to be found out (ours).
const LATE_AFTER: Duration = Duration::from_secs(86_400);

/// Domains that are looked at a time (ours: bounds memory).
const DOMAINS_AT_ONCE: usize = 500;

/// Domains whose waiting is remembered (ours); the others are tried again sooner.
const WAITING_MAX: usize = 10_000;

/// Which reports are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Those whose time has come.
    Due,
    /// Those of all days that are over; with `today` of this one, too.
    All {
        /// Whether the day that isn't over counts.
        today: bool,
    },
}

/// Sends reports until `stopping` becomes true.
pub fn spawn<S: Spool>(
    reports: Arc<Reports>,
    sites: Arc<Sites>,
    spool: Arc<S>,
    stopping: watch::Receiver<bool>,
) -> JoinHandle<()> {
    let state = reports.state().to_owned();
    let sender = Sender { reports, sites, spool, state, store: None, waiting: HashMap::new() };
    tokio::spawn(sender.run(stopping))
}

struct Sender<S> {
    reports: Arc<Reports>,
    sites: Arc<Sites>,
    spool: Arc<S>,
    state: PathBuf,
    store: Option<Store>,
    waiting: HashMap<Due, WallTime>,
}

impl<S: Spool> Sender<S> {
    async fn run(mut self, mut stopping: watch::Receiver<bool>) {
        let mut looked: Option<WallTime> = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                changed = stopping.changed() => {
                    if changed.is_err() || *stopping.borrow() {
                        return;
                    }
                }
            }
            let now = clock::wall();
            let is_time = looked.is_none_or(|last| now < last || now.since(last) >= DUE_EVERY);
            if is_time {
                looked = Some(now);
            }
            // A report that is being handed over is not cut off here.
            if let Err(error) = self.turn(now, is_time, &stopping).await {
                tracing::error!(%error, "reports can't be sent now");
                self.store = None;
            }
        }
    }

    async fn turn(
        &mut self,
        now: WallTime,
        is_time: bool,
        stopping: &watch::Receiver<bool>,
    ) -> rusqlite::Result<()> {
        if self.store.is_none() {
            self.store = blocking(|| open(&self.state))?;
        }
        let Some(store) = &mut self.store else { return Ok(()) };
        let site = self.sites.current();
        let is_over = || *stopping.borrow();
        if let Some(order) = blocking(|| store.open_order())? {
            blocking(|| self.reports.flush());
            let wanted = Wanted::All { today: order.today };
            let tally = send(&site, &*self.spool, store, (wanted, now), &mut self.waiting, &is_over).await?;
            blocking(|| store.answer(order.id, &tally.to_string()))?;
        }
        if is_time {
            let lost = blocking(|| store.tidy(Day::of(now)))?;
            if lost > 0 {
                tracing::warn!(
                    count = lost,
                    "messages or sessions are forgotten: their reports could not be sent for days"
                );
            }
            if site.config.reports.is_on() {
                send(&site, &*self.spool, store, (Wanted::Due, now), &mut self.waiting, &is_over).await?;
            }
        }
        Ok(())
    }
}

/// Opens the file, if there is one, for the only one who sends.
pub(crate) fn open(state: &Path) -> rusqlite::Result<Option<Store>> {
    let Some(mut store) = Store::open_existing(state)? else { return Ok(None) };
    for report_id in store.end_unfinished()? {
        tracing::warn!(report_id, "a report was being handed over when the program ended; it counts as sent");
    }
    Ok(Some(store))
}

/// Sends what is wanted, until `is_over`. `waiting` says what is not to be tried again before its time, and is kept.
pub(crate) async fn send<S: Spool>(
    site: &Site,
    spool: &S,
    store: &mut Store,
    (wanted, now): (Wanted, WallTime),
    waiting: &mut HashMap<Due, WallTime>,
    is_over: &(dyn Fn() -> bool + Sync),
) -> rusqlite::Result<Tally> {
    let mut tally = Tally::default();
    let mut after: Option<Due> = None;
    waiting.retain(|_, until| *until > now);
    loop {
        let before = first_untold(wanted, now);
        let page = blocking(|| store.due(before, after.as_ref(), DOMAINS_AT_ONCE))?;
        let Some(last) = page.last() else { return Ok(tally) };
        after = Some(last.clone());
        for due in &page {
            if is_over() {
                return Ok(tally);
            }
            if !is_wanted(&site.config, wanted, due, now, waiting) {
                continue;
            }
            let is_late = now > time_of(&site.config, due) + LATE_AFTER;
            let told = run::tell(site, spool, store, due, (now, is_late)).await;
            if let Told::Later { why, .. } = &told {
                tracing::info!(kind = due.kind.name(), day = %due.day, why, "a report waits");
                if waiting.len() < WAITING_MAX {
                    waiting.insert(due.clone(), now + AGAIN_AFTER);
                }
            }
            tally.count(told);
        }
    }
}

/// The first day that nothing is told of yet.
pub(crate) fn first_untold(wanted: Wanted, now: WallTime) -> Day {
    let today = Day::of(now);
    match wanted {
        Wanted::All { today: true } => Day::numbered(today.number() + 1),
        Wanted::All { today: false } | Wanted::Due => today,
    }
}

/// Whether reports of the kind are sent at all.
pub(crate) const fn is_on(config: &Config, kind: Kind) -> bool {
    match kind {
        Kind::Dmarc => config.reports.dmarc,
        Kind::Tls => config.reports.tls,
    }
}

fn is_wanted(
    config: &Config,
    wanted: Wanted,
    due: &Due,
    now: WallTime,
    waiting: &HashMap<Due, WallTime>,
) -> bool {
    let has_come = match wanted {
        Wanted::All { .. } => true,
        Wanted::Due => time_of(config, due) <= now && !waiting.contains_key(due),
    };
    has_come && is_on(config, due.kind)
}

/// When the domain is told of the day.
fn time_of(config: &Config, due: &Due) -> WallTime {
    let mut hasher = SipHasher13::new();
    (due.domain.as_str(), config.hostname.as_str()).hash(&mut hasher);
    let delay = Duration::from_secs(hasher.finish() % SPREAD.as_secs());
    Day::numbered(due.day.number() + 1).start() + config.reports.at + delay
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let text = "hostname = \"mx.here.example\"\n[reports]\ndmarc = true\naddress = \"r@here.example\"\nat = \"02:00\"\n\
                    [domain.\"here.example\".mailbox]\npostmaster = {}\n";
        crate::config::parse(text, "gatepost.toml", &mut |_| Err(std::io::ErrorKind::NotFound.into()))
            .unwrap()
            .config
    }

    fn due(kind: Kind, domain: &str) -> Due {
        Due { kind, day: Day::numbered(100), domain: domain.into() }
    }

    #[test]
    fn each_domain_has_a_time_of_its_own_after_the_day() {
        let config = config();
        let start = Day::numbered(101).start() + Duration::from_secs(7_200);
        let times: Vec<WallTime> = (0..50)
            .map(|number| time_of(&config, &due(Kind::Dmarc, &format!("d{number}.example"))))
            .collect();
        assert!(times.iter().all(|time| *time >= start && *time < start + SPREAD), "{times:?}");
        let mut different = times.clone();
        different.sort();
        different.dedup();
        assert!(different.len() > 40, "they are spread: {times:?}");
        assert_eq!(times[0], time_of(&config, &due(Kind::Dmarc, "d0.example")), "and always the same");
    }

    #[test]
    fn what_is_sent_is_over_wanted_and_not_waiting() {
        let config = config();
        let (one, off) = (due(Kind::Dmarc, "a.example"), due(Kind::Tls, "a.example"));
        let time = time_of(&config, &one);
        let early = WallTime::from_unix_millis(time.as_unix_millis() - 1);
        let nothing = HashMap::new();
        let is = |wanted, due: &Due, now, waiting: &HashMap<Due, WallTime>| {
            is_wanted(&config, wanted, due, now, waiting)
        };
        assert!(is(Wanted::Due, &one, time, &nothing) && !is(Wanted::Due, &one, early, &nothing));
        assert!(is(Wanted::All { today: false }, &one, early, &nothing));
        let waiting = HashMap::from([(one.clone(), time + AGAIN_AFTER)]);
        assert!(
            !is(Wanted::Due, &one, time, &waiting) && is(Wanted::All { today: true }, &one, time, &waiting)
        );
        assert!(!is(Wanted::All { today: true }, &off, time, &nothing), "TLS reports are off");
        assert_eq!(first_untold(Wanted::Due, time), Day::numbered(101));
        assert_eq!(first_untold(Wanted::All { today: true }, time), Day::numbered(102));
    }
}
