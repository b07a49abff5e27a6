//! MTA-STS (RFC 8461): what domains ask of those who send to them, kept for as long as they say.
//!
//! Invariants: a policy that was found stays in force until its time is over, whatever fails in between (RFC 8461 §10.2:
//! nobody can talk it away); it is asked for anew when its id changes; a policy that can't be had is no policy, and not
//! asked for again at once; what was kept outlives the program.

mod fetch;
mod policy;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fs, io};

use smtp::time::WallTime;

pub(crate) use fetch::Fetcher;
pub(crate) use policy::{Mode, Policy};

use super::dns::Dns;
use super::tls_result::TlsFailure;

/// How long a policy that could not be had is not asked for again (RFC 8461 §3.3 suggests five minutes).
const FAILURE_KEPT: Duration = Duration::from_secs(300);

/// Domains that are remembered (ours: some hundred octets each); what is over goes first.
const DOMAINS_MAX: usize = 50_000;

/// Octets of a kept policy's file (ours: above what is fetched).
const FILE_OCTETS_MAX: u64 = 128 * 1024;

/// What is known of domains.
#[derive(Debug)]
pub(crate) struct MtaSts {
    directory: PathBuf,
    known: Mutex<HashMap<String, Known>>,
}

/// What is known of a domain.
#[derive(Debug, Clone)]
struct Known {
    /// The policy, under which id it came, and when.
    kept: Option<(Arc<Policy>, String, WallTime)>,
    /// When it could not be had last, under which id, and why.
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

impl MtaSts {
    /// Policies that are kept in `directory`, which is made when there is something to keep.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self { directory, known: Mutex::default() }
    }

    /// The policy of a domain, which is in its normal form.
    pub(crate) async fn find(
        &self,
        dns: &Arc<Dns>,
        fetcher: &Fetcher,
        domain: &str,
        now: WallTime,
    ) -> InForce {
        if domain.starts_with('[') {
            return InForce::Nothing;
        }
        let mut known = self.recall(domain, now);
        // A look-up that fails is none that changes anything (RFC 8461 §3.1).
        let records = dns.txt(&format!("_mta-sts.{domain}")).await;
        let announced = records.ok().and_then(|answer| policy::id_of(answer.records()));
        let is_current = |known: &Known| match (&announced, &known.kept) {
            (None, _) => true,
            (Some(announced), Some((_, id, _))) => id == announced,
            (Some(_), None) => false,
        };
        if let Some(announced) = announced.as_ref().filter(|_| !is_current(&known)) {
            let failed_lately = known
                .failed
                .as_ref()
                .is_some_and(|(when, id, _)| id == announced && now.since(*when) < FAILURE_KEPT);
            if !failed_lately {
                known = self.fetch(dns, fetcher, (domain, announced), known, now).await;
            }
        }
        match (known.kept, known.failed) {
            (Some((policy, ..)), _) if policy.mode != Mode::None => InForce::Policy(policy),
            (None, Some((_, id, why))) if announced.as_ref() == Some(&id) => InForce::Unknown(why),
            _ => InForce::Nothing,
        }
    }

    async fn fetch(
        &self,
        dns: &Arc<Dns>,
        fetcher: &Fetcher,
        (domain, id): (&str, &String),
        mut known: Known,
        now: WallTime,
    ) -> Known {
        match fetcher.fetch(dns, domain).await {
            Ok(policy) => {
                if let Err(error) = self.keep(domain, id, &policy, now) {
                    tracing::warn!(domain, %error, "an MTA-STS policy cannot be kept on the disk; memory has it");
                }
                known = Known { kept: Some((Arc::new(policy), id.clone(), now)), failed: None };
            }
            Err((failure, why)) => {
                tracing::info!(domain, why, "no MTA-STS policy can be had although one is announced");
                known.failed = Some((now, id.clone(), failure));
            }
        }
        let mut all = self.lock();
        if all.len() >= DOMAINS_MAX {
            all.retain(|_, known| known.kept.as_ref().is_some_and(|kept| is_in_time(kept, now)));
            if all.len() >= DOMAINS_MAX {
                // They are on the disk, and read again when they are wanted.
                all.clear();
            }
        }
        all.insert(domain.to_owned(), known.clone());
        known
    }

    /// What is known of a domain, from memory or the disk; a policy whose time is over isn't.
    fn recall(&self, domain: &str, now: WallTime) -> Known {
        let held = self.lock().get(domain).cloned();
        let mut known = held.unwrap_or_else(|| {
            let kept = tokio::task::block_in_place(|| self.read(domain).ok().flatten());
            let known = Known { kept, failed: None };
            let mut all = self.lock();
            if all.len() < DOMAINS_MAX {
                all.insert(domain.to_owned(), known.clone());
            }
            known
        });
        known.kept = known.kept.filter(|kept| is_in_time(kept, now));
        known
    }

    /// Writes the policy down: its id and its time, then its lines.
    fn keep(&self, domain: &str, id: &str, policy: &Policy, now: WallTime) -> io::Result<()> {
        let Some(path) = self.file_of(domain) else { return Ok(()) };
        let text = format!("{id} {}\n{}\n", now.as_unix_seconds(), policy.lines().join("\n"));
        tokio::task::block_in_place(|| {
            fs::create_dir_all(&self.directory)?;
            let fresh = path.with_extension("new");
            fs::write(&fresh, text)?;
            fs::rename(&fresh, &path)
        })
    }

    fn read(&self, domain: &str) -> io::Result<Option<(Arc<Policy>, String, WallTime)>> {
        let Some(path) = self.file_of(domain) else { return Ok(None) };
        if fs::metadata(&path)?.len() > FILE_OCTETS_MAX {
            return Ok(None);
        }
        let text = fs::read_to_string(&path)?;
        let parsed = text.split_once('\n').and_then(|(head, policy)| {
            let (id, seconds) = head.split_once(' ')?;
            let fetched = WallTime::from_unix_millis(seconds.parse::<u64>().ok()?.checked_mul(1_000)?);
            Some((Arc::new(Policy::parse(policy).ok()?), id.to_owned(), fetched))
        });
        Ok(parsed)
    }

    /// The file of a domain; `None` for a name that can be no file's.
    fn file_of(&self, domain: &str) -> Option<PathBuf> {
        let is_plain = domain.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        (is_plain && !domain.starts_with('.') && domain.len() <= 253)
            .then(|| self.directory.join(Path::new(&format!("{domain}.policy"))))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a policy may still be kept. One from the future was kept by a clock that was wrong, and counts from now.
fn is_in_time((policy, _, fetched): &(Arc<Policy>, String, WallTime), now: WallTime) -> bool {
    now.since(*fetched) < policy.max_age
}
