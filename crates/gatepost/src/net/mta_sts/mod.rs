//! MTA-STS (RFC 8461): what domains ask of those who send to them, kept for as long as they say.
//!
//! Invariants: a policy that was found stays in force until its time is over, whatever fails in between (RFC 8461 §10.2:
//! nobody can talk it away); it is asked for anew when its id changes, and in time before it ends; a policy that can't be
//! had is no policy, and not asked for again at once; what was kept outlives the program; of one domain one policy is
//! fetched at a time.

mod fetch;
mod kept;
mod policy;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::time::WallTime;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

pub(crate) use fetch::Fetcher;
pub(crate) use policy::{Mode, Policy, id_of};

use super::dns::Dns;
use super::tls_result::TlsFailure;
use crate::clock;
use kept::{Directory, Kept};

/// How long a policy that could not be had is not asked for again (RFC 8461 §3.3 suggests five minutes).
const FAILURE_KEPT: Duration = Duration::from_secs(300);

/// Longest time after which a policy is asked for again although nothing says that it has changed (RFC 8461 §10.2 suggests
/// once a day); one that lives shorter than two days, in the middle of its life.
const REFRESHED_AFTER: Duration = Duration::from_secs(86_400);

/// Domains that are remembered (ours: some hundred octets each); what is over goes first.
const DOMAINS_MAX: usize = 50_000;

/// Policies that are looked after (ours: as many as are remembered).
const FILES_MAX: usize = 50_000;

/// What is known of domains.
#[derive(Debug)]
pub(crate) struct MtaSts {
    directory: Directory,
    known: Mutex<HashMap<String, Known>>,
    /// Held by who fetches a domain's policy.
    turns: Mutex<HashMap<String, Arc<Turn<()>>>>,
}

/// What is known of a domain.
#[derive(Debug, Clone)]
struct Known {
    kept: Option<Kept>,
    /// When the policy could not be had last, under which id, and why.
    failed: Option<(WallTime, String, TlsFailure)>,
}

/// What holds for a domain now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InForce {
    /// No policy.
    Nothing,
    /// One is announced and can't be had: to be reported, and nothing else.
    Unknown(TlsFailure),
    /// This one.
    Policy(Arc<Policy>),
}

/// Where policies come from.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) dns: Arc<Dns>,
    /// Without one, for this reason, what is kept still holds.
    pub(crate) fetcher: Result<Arc<Fetcher>, String>,
}

impl Known {
    /// Whether a policy under this id is there, or was looked for in vain a short time ago.
    fn is_settled(&self, id: &str, now: WallTime) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.id == id) || self.failed_lately(Some(id), now)
    }

    /// Whether it failed a short time ago, under this id or any.
    fn failed_lately(&self, wanted: Option<&str>, now: WallTime) -> bool {
        let lately = |(when, id, _): &&(WallTime, String, TlsFailure)| {
            now.since(*when) < FAILURE_KEPT && wanted.is_none_or(|wanted| wanted == id)
        };
        self.failed.as_ref().filter(lately).is_some()
    }

    /// The policy that is to be asked for again before its time is over.
    fn aging(&self, now: WallTime) -> Option<&Kept> {
        let kept = self.kept.as_ref().filter(|kept| kept.policy.mode != Mode::None)?;
        let is_aging = now.since(kept.fetched) >= (kept.policy.max_age / 2).min(REFRESHED_AFTER);
        (is_aging && !self.failed_lately(None, now)).then_some(kept)
    }
}

impl MtaSts {
    /// Policies that are kept in `directory`, which is made when there is something to keep.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory: Directory(directory), known: Mutex::default(), turns: Mutex::default() }
    }

    /// The policy of a domain, which is in its normal form. Needs a runtime with several threads.
    pub(crate) async fn find(self: &Arc<Self>, source: &Source, domain: &str, now: WallTime) -> InForce {
        if domain.starts_with('[') {
            return InForce::Nothing;
        }
        // A look-up that fails is none that changes anything (RFC 8461 §3.1).
        let records = source.dns.txt(&format!("_mta-sts.{domain}")).await;
        let announced = records.ok().and_then(|answer| id_of(answer.records()));
        let mut known = self.recall(domain, now);
        if let Some(id) = announced.as_ref().filter(|id| !known.is_settled(id, now)) {
            let turn = self.turn(domain).lock_owned().await;
            // Who had the turn before may have found it.
            known = self.recall(domain, now);
            if !known.is_settled(id, now) {
                known = self.fetch(source, (domain, id), known, now).await;
            }
            self.end_turn(domain, turn);
        } else if let Some(kept) = known.aging(now) {
            self.refresh(source, domain, announced.as_ref().unwrap_or(&kept.id), now);
        }
        match (known.kept, known.failed) {
            (Some(Kept { policy, .. }), _) if policy.mode != Mode::None => InForce::Policy(policy),
            (None, Some((_, id, why))) if announced.as_ref() == Some(&id) => InForce::Unknown(why),
            _ => InForce::Nothing,
        }
    }

    /// Asks for policies again that are kept and aging, though no mail goes to their domains, and takes away those whose
    /// time is over (RFC 8461 §10.2: who could wait until a policy has ended could then keep the next one away).
    pub(crate) async fn tend(self: &Arc<Self>, source: &Source) {
        let domains = tokio::task::block_in_place(|| self.directory.domains(FILES_MAX));
        for domain in domains {
            let now = clock::wall();
            let known = self.recall(&domain, now);
            if known.kept.is_none() {
                tokio::task::block_in_place(|| self.directory.remove(&domain));
            } else if let Some(kept) = known.aging(now)
                && let Ok(turn) = self.turn(&domain).try_lock_owned()
            {
                let id = kept.id.clone();
                self.fetch(source, (&domain, &id), known, now).await;
                self.end_turn(&domain, turn);
            }
        }
    }

    /// Asks for a policy again while the one that is there holds.
    fn refresh(self: &Arc<Self>, source: &Source, domain: &str, id: &str, now: WallTime) {
        let Ok(turn) = self.turn(domain).try_lock_owned() else { return };
        let (policies, source) = (Arc::clone(self), source.clone());
        let (domain, id) = (domain.to_owned(), id.to_owned());
        tokio::spawn(async move {
            let known = policies.recall(&domain, now);
            policies.fetch(&source, (&domain, &id), known, now).await;
            policies.end_turn(&domain, turn);
        });
    }

    async fn fetch(
        &self,
        source: &Source,
        (domain, id): (&str, &str),
        mut known: Known,
        now: WallTime,
    ) -> Known {
        let fetched = match &source.fetcher {
            Ok(fetcher) => fetcher.fetch(&source.dns, domain).await,
            Err(why) => Err((TlsFailure::StsPolicyFetchError, why.clone())),
        };
        match fetched {
            Ok(policy) => {
                let kept = Kept { policy: Arc::new(policy), id: id.to_owned(), fetched: now };
                let written = tokio::task::block_in_place(|| self.directory.write(domain, &kept));
                if let Err(error) = written {
                    tracing::warn!(domain, %error, "an MTA-STS policy cannot be kept on the disk; memory has it");
                }
                known = Known { kept: Some(kept), failed: None };
            }
            Err((failure, why)) => {
                tracing::info!(domain, why, "no MTA-STS policy can be had although one is announced");
                known.failed = Some((now, id.to_owned(), failure));
            }
        }
        self.remember(domain, known.clone(), now);
        known
    }

    fn remember(&self, domain: &str, known: Known, now: WallTime) {
        let mut all = lock(&self.known);
        if all.len() >= DOMAINS_MAX {
            all.retain(|_, known| known.kept.as_ref().is_some_and(|kept| kept.is_in_time(now)));
            if all.len() >= DOMAINS_MAX {
                // They are on the disk, and read again when they are wanted.
                all.clear();
            }
        }
        all.insert(domain.to_owned(), known);
    }

    /// What is known of a domain, from memory or the disk; a policy whose time is over isn't.
    fn recall(&self, domain: &str, now: WallTime) -> Known {
        let held = lock(&self.known).get(domain).cloned();
        let mut known = held.unwrap_or_else(|| {
            let kept = tokio::task::block_in_place(|| self.directory.read(domain));
            let known = Known { kept, failed: None };
            self.remember(domain, known.clone(), now);
            known
        });
        known.kept = known.kept.filter(|kept| kept.is_in_time(now));
        known
    }

    fn turn(&self, domain: &str) -> Arc<Turn<()>> {
        Arc::clone(lock(&self.turns).entry(domain.to_owned()).or_default())
    }

    /// Ends a turn, and forgets whose it was unless others wait for it.
    fn end_turn(&self, domain: &str, turn: OwnedMutexGuard<()>) {
        drop(turn);
        let mut turns = lock(&self.turns);
        if turns.get(domain).is_some_and(|turn| Arc::strong_count(turn) == 1) {
            turns.remove(domain);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that has nothing.
    fn nowhere() -> Source {
        let config = crate::config::zero_configuration("user").unwrap().config;
        Source { dns: Arc::new(Dns::silent(&config.dns)), fetcher: Err("nobody is asked".to_owned()) }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn policies_that_age_are_asked_for_and_those_whose_time_is_over_are_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let policies = Arc::new(MtaSts::new(folder.path().to_owned()));
        let now = clock::wall();
        for (domain, age_seconds) in
            [("fresh.example", 60), ("aging.example", 100_000), ("over.example", 700_000)]
        {
            let policy = Policy::parse("version: STSv1\nmode: enforce\nmx: mx.a.example\nmax_age: 604800\n");
            let fetched = WallTime::from_unix_millis(now.as_unix_millis() - age_seconds * 1_000);
            let kept = Kept { policy: Arc::new(policy.unwrap()), id: "1".to_owned(), fetched };
            policies.directory.write(domain, &kept).unwrap();
        }
        policies.tend(&nowhere()).await;
        let failed = |domain: &str| lock(&policies.known).get(domain).unwrap().failed.is_some();
        assert!(failed("aging.example") && !failed("fresh.example"));
        let mut left = policies.directory.domains(FILES_MAX);
        left.sort();
        assert_eq!(left, ["aging.example", "fresh.example"], "one that can't be had anew stays");
        assert!(lock(&policies.turns).is_empty(), "nobody's turn is remembered");
    }
}
