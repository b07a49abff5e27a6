//! What facts are asked of: the DNS, the lists in it, the greylist, and the files that say where addresses are.
//!
//! Invariants: what a site does not ask for is not opened; what outlives a configuration (the greylist, what is known of
//! lists) is kept over reloads.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use policy::facts::Group;
use policy::policy::Policy;

use super::greylist::Greylist;
use super::list_health::ListHealth;
use super::place::Places;
use crate::clock;
use crate::config::{Config, DnsSettings, Geo, Problem, Stamp, TlsSettings};
use crate::net::dns::Dns;
use crate::net::mta_sts::{Fetcher, InForce, MtaSts, Source};
use crate::net::tls::Authorities;
use crate::tables::Tables;

/// The directory of policies that domains ask for, in the state directory.
const MTA_STS_DIRECTORY: &str = "mta-sts";

/// What facts are asked of.
#[derive(Debug)]
pub struct Services {
    dns: Result<Arc<Dns>, String>,
    dns_settings: DnsSettings,
    places: Arc<Places>,
    geo: Geo,
    greylist: Option<Arc<Greylist>>,
    /// Tables that stand elsewhere.
    pub tables: Arc<Tables>,
    /// What is wrong with their files.
    pub table_problems: Vec<Problem>,
    /// What is known of the lists in the DNS.
    pub lists: Arc<ListHealth>,
    tls: TlsSettings,
    /// Whether servers may have addresses of the loopback network.
    loopback: bool,
    /// None until somebody asks for it.
    trust: Mutex<Option<Trust>>,
    mta_sts: Arc<MtaSts>,
}

/// Whom certificates of other servers are believed.
#[derive(Debug, Clone)]
struct Trust {
    /// The file of the site's own authorities as it was when it was looked at last.
    stamp: Option<Stamp>,
    authorities: Result<Authorities, String>,
    fetcher: Result<Arc<Fetcher>, String>,
}

impl Services {
    /// What `policy` may ask under `config`, with what there was `before`. The greylist is kept in the directory `state`.
    /// What can't be opened is said in the log, and unsure. Blocks on the disk.
    #[must_use]
    pub fn of(config: &Config, policy: &Policy, state: &Path, before: Option<&Self>) -> Self {
        let same_dns = before.filter(|before| before.dns_settings == config.dns && before.dns.is_ok());
        let dns = same_dns.map_or_else(|| Dns::new(&config.dns).map(Arc::new), |before| before.dns.clone());
        let same_geo = before.filter(|before| before.geo == config.geo);
        let places = same_geo.map_or_else(|| open_places(&config.geo), |before| Arc::clone(&before.places));
        let asks = |group: Group| {
            policy
                .can_ask()
                .iter()
                .any(|slot| policy.slots().get(slot.index()).is_some_and(|info| info.group == group))
        };
        let known = before.and_then(|before| before.greylist.clone());
        let greylist = if known.is_none() && asks(Group::Greylist) { open_greylist(state) } else { known };
        let (tables, table_problems) = Tables::of(&config.tables, before.map(|before| &*before.tables), true);
        Self {
            dns,
            dns_settings: config.dns.clone(),
            places,
            geo: config.geo.clone(),
            greylist,
            tables: Arc::new(tables),
            table_problems,
            lists: before.map(|before| Arc::clone(&before.lists)).unwrap_or_default(),
            tls: config.tls.clone(),
            loopback: config.relaying.mx_loopback,
            trust: Mutex::default(),
            mta_sts: before.map_or_else(
                || Arc::new(MtaSts::new(state.join(MTA_STS_DIRECTORY))),
                |before| Arc::clone(&before.mta_sts),
            ),
        }
    }

    /// What a rehearsal asks under `config`: a greylist that begins empty and ends with it, and the DNS only if `asks_dns`.
    /// Blocks on the disk.
    #[must_use]
    pub fn rehearsing(config: &Config, asks_dns: bool) -> Self {
        let dns = if asks_dns { Dns::new(&config.dns) } else { Ok(Dns::silent(&config.dns)) };
        let (tables, table_problems) = Tables::of(&config.tables, None, asks_dns);
        Self {
            dns: dns.map(Arc::new),
            dns_settings: config.dns.clone(),
            places: open_places(&config.geo),
            geo: config.geo.clone(),
            greylist: Some(Arc::new(Greylist::in_memory())),
            tables: Arc::new(tables),
            table_problems,
            lists: Arc::default(),
            tls: config.tls.clone(),
            loopback: config.relaying.mx_loopback,
            trust: Mutex::default(),
            // No mail leaves in a rehearsal.
            mta_sts: Arc::new(MtaSts::new(PathBuf::new())),
        }
    }

    /// The DNS.
    ///
    /// # Errors
    /// Why there is none.
    pub fn dns(&self) -> Result<&Arc<Dns>, &str> {
        self.dns.as_ref().map_err(String::as_str)
    }

    /// The authorities that certificates of other servers are checked by. Needs a runtime with several threads, or none.
    ///
    /// # Errors
    /// Why there are none.
    pub(crate) fn authorities(&self) -> Result<Authorities, String> {
        self.trust().authorities
    }

    /// Read when it is first asked for: that takes long.
    fn trust(&self) -> Trust {
        let mut trust = lock(&self.trust);
        trust.get_or_insert_with(|| tokio::task::block_in_place(|| self.load_trust())).clone()
    }

    /// Blocks on the disk.
    fn load_trust(&self) -> Trust {
        let file = self.tls.ca_file.as_deref();
        let stamp = file.and_then(Stamp::of);
        let authorities = Authorities::load(file).map_err(|error| format!("no authority is known: {error}"));
        let fetcher = authorities
            .clone()
            .map(|known| Arc::new(Fetcher::new(known, self.tls.mta_sts_port, self.loopback)));
        Trust { stamp, authorities, fetcher }
    }

    /// Reads the file of authorities again when it has changed and lies still; those that are known stay while it can't be
    /// used.
    fn reload_trust(&self) {
        let Some(file) = &self.tls.ca_file else { return };
        let Some(known) = lock(&self.trust).as_ref().map(|trust| trust.stamp.clone()) else { return };
        let stamp = Stamp::of(file);
        if stamp == known || stamp.is_some_and(|stamp| stamp.is_fresh(clock::wall())) {
            return;
        }
        let read = self.load_trust();
        let mut trust = lock(&self.trust);
        match (&read.authorities, trust.as_mut()) {
            (Err(why), Some(known)) => {
                tracing::error!("the authorities of `{}` are not reloaded: {why}", file.display());
                known.stamp = read.stamp;
            }
            _ => {
                tracing::info!("the authorities of `{}` reloaded", file.display());
                *trust = Some(read);
            }
        }
    }

    /// What a domain, in its normal form, asks of those who send to it (RFC 8461).
    pub(crate) async fn mta_sts(&self, domain: &str) -> InForce {
        match self.policy_source() {
            Some(source) => self.mta_sts.find(&source, domain, clock::wall()).await,
            None => InForce::Nothing,
        }
    }

    /// Looks after the policies of domains that are kept.
    pub(crate) async fn tend_mta_sts(&self) {
        if let Some(source) = self.policy_source() {
            self.mta_sts.tend(&source).await;
        }
    }

    /// Where policies of domains come from, if they are to have a say.
    fn policy_source(&self) -> Option<Source> {
        if !self.tls.mta_sts {
            return None;
        }
        let dns = Arc::clone(self.dns.as_ref().ok()?);
        Some(Source { dns, fetcher: self.trust().fetcher })
    }

    /// Where addresses are.
    #[must_use]
    pub fn places(&self) -> &Arc<Places> {
        &self.places
    }

    /// The greylist, unless it can't be opened or nobody asks.
    #[must_use]
    pub fn greylist(&self) -> Option<&Arc<Greylist>> {
        self.greylist.as_ref()
    }

    /// Reads the files again that have changed, and says in the log what can't be read. Blocks on the disk.
    pub fn reload(&self) {
        complain(&self.places.reload());
        self.reload_trust();
        for problem in self.tables.reload() {
            tracing::error!("a table keeps its last good entries: {problem}");
        }
    }
}

fn lock(trust: &Mutex<Option<Trust>>) -> MutexGuard<'_, Option<Trust>> {
    trust.lock().unwrap_or_else(PoisonError::into_inner)
}

fn open_places(geo: &Geo) -> Arc<Places> {
    let (places, problems) = Places::open(geo);
    complain(&problems);
    Arc::new(places)
}

fn complain(problems: &[String]) {
    for problem in problems {
        tracing::warn!("{problem}; the last good one stays in force");
    }
}

fn open_greylist(state: &Path) -> Option<Arc<Greylist>> {
    match Greylist::open(state) {
        Ok(greylist) => Some(Arc::new(greylist)),
        Err(why) => {
            tracing::error!(%why, "the greylist can't be opened; nobody has to wait");
            None
        }
    }
}
