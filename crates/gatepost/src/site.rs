//! What a site is at this moment: its configuration, its mailboxes and the settings of its sessions.
//!
//! Invariant: a `Site` never changes. A reload makes another one and swaps it in whole; whoever holds the old one
//! finishes with it.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use policy::policy::Policy;
use smtp::address::{DomainName, ForwardPath, ReversePath};
use smtp::server::{AuthOffer, Settings, StartTlsOffer};

use crate::clock;
use crate::config::{
    self, Config, EarlyTalkers, ListenerKind, Loaded, Offer, Parsed, Problem, STILL, Tables,
};
use crate::facts::{Services, forged_results};
use crate::mailboxes::{Directory, Known, LocalDomain, LookedUp, Resolved};
use crate::net::tls::{Files, ServerTls, own};
use crate::policies::{self, Checked, InForce};
use crate::sign::{self, Signing};
use crate::srs::{Bounce, Srs};
use crate::tables;

/// How often a reload reads tables that are being written (ours).
const READ_AGAIN_MAX: u32 = 5;

/// A configuration that is in force.
#[derive(Debug)]
pub struct Site {
    /// What the configuration says.
    pub config: Config,
    /// Its mailboxes.
    pub directory: Directory,
    /// The names under which it vouches for results, as they are compared.
    pub own_names: Arc<[String]>,
    /// What its sessions with other servers are given.
    pub settings: Arc<Settings>,
    /// What the sessions of each listener are given.
    sessions: [ListenerSettings; 2],
    /// What those of local users are given; their greeting names the domain of addresses without one.
    local: Arc<Settings>,
    /// What decides.
    pub policy: Arc<InForce>,
    /// What the policy's facts are asked of.
    pub services: Arc<Services>,
    /// What is done with mail that leaves.
    pub leaving: Leaving,
    /// What it speaks with clients that want TLS; `None` when it has no certificate.
    pub(crate) tls: Option<Arc<ServerTls>>,
}

/// What the sessions of a listener are given.
#[derive(Debug)]
struct ListenerSettings {
    /// With clients from elsewhere.
    remote: Arc<Settings>,
    /// With clients of the loopback network, which nobody can read along with.
    loopback: Arc<Settings>,
}

/// What is done with mail that leaves.
#[derive(Debug, Clone)]
pub struct Leaving {
    /// Who signs it.
    pub signing: Arc<Signing>,
    /// How the reverse-paths of forwarded mail are rewritten.
    pub srs: Option<Arc<Srs>>,
}

impl Leaving {
    /// What `config` says, with its warnings. Blocks on the disk.
    ///
    /// # Errors
    /// All problems.
    fn of(config: &Config) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let mut problems = Vec::new();
        let own_names = forged_results::own_names(&[config.hostname.as_str()]);
        let signing = sign::load(config, &own_names, &mut problems);
        let srs = sign::srs_secrets(config, &mut problems);
        match (signing, srs) {
            (Ok(signing), Ok(srs)) => {
                Ok((Self { signing: Arc::new(signing), srs: srs.map(Arc::new) }, problems))
            }
            (signing, srs) => {
                problems.extend(signing.err().into_iter().flatten());
                problems.extend(srs.err().into_iter().flatten());
                Err(problems)
            }
        }
    }

    /// What `config` says, without what can't be read; that comes beside as warnings of the log.
    fn rehearsing(config: &Config) -> (Self, Vec<Problem>) {
        match Self::of(config) {
            Ok(leaving) => leaving,
            Err(problems) => {
                let own_names = forged_results::own_names(&[config.hostname.as_str()]);
                let nobody = Signing::new((config.hostname.as_str(), own_names), Vec::new(), None);
                (Self { signing: Arc::new(nobody), srs: None }, problems)
            }
        }
    }
}

impl Site {
    /// A site under `policy`, which may be the one of the site `before`; what is wrong with the policy's tables comes
    /// beside.
    fn new(
        (config, leaving, tls): (Config, Leaving, Option<Arc<ServerTls>>),
        policy: Policy,
        state: &Path,
        before: Option<&Self>,
    ) -> (Self, Vec<Problem>) {
        let services = Services::of(&config, &policy, state, before.map(|before| &*before.services));
        let file = config.policy.file.as_ref().map(|(path, _)| path.as_path());
        let (policy, mut problems) = InForce::new(policy, file, before.map(|before| &*before.policy));
        problems.extend(services.table_problems.iter().cloned());
        let site = Self::under(config, (Arc::new(policy), Arc::new(services), leaving, tls), state);
        (site, problems)
    }

    /// A site for rehearsals: that of `config`, with the policy of another file and its text instead if there is one. Nothing
    /// is written, and the DNS is asked only if `asks_dns`. The warnings come beside. Blocks on the disk.
    ///
    /// # Errors
    /// All problems of the policy.
    pub fn rehearsing(
        config: Config,
        other: Option<(&Path, &str)>,
        state: &Path,
        asks_dns: bool,
    ) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let named = config.policy.file.as_ref().map(|(path, _)| path.as_path());
        let Checked { policy, mut warnings } = match other {
            Some((file, text)) => policies::check(file, text)?,
            None => policies::load(&config)?,
        };
        let file = other.map(|(file, _)| file).or(named);
        let (policy, problems) = InForce::new(policy, file, None);
        warnings.extend(problems);
        let services = Services::rehearsing(&config, asks_dns);
        warnings.extend(services.table_problems.iter().cloned());
        let (leaving, problems) = Leaving::rehearsing(&config);
        warnings.extend(problems);
        Ok((Self::under(config, (Arc::new(policy), Arc::new(services), leaving, None), state), warnings))
    }

    /// Looks up in the tables what `ask` wants to know of addresses. Where all are declared this costs nothing.
    pub async fn look_up(&self, ask: impl Fn(Known<'_>) + Send) -> LookedUp {
        if !self.directory.has_tables() {
            return LookedUp::nothing();
        }
        // On the heap, for a connection that never needs it keeps room for it otherwise.
        Box::pin(self.directory.look_up(&self.services.tables, ask)).await
    }

    fn under(
        config: Config,
        (policy, services, leaving, tls): (Arc<InForce>, Arc<Services>, Leaving, Option<Arc<ServerTls>>),
        state: &Path,
    ) -> Self {
        let directory = Directory::new(config.mailboxes.clone(), state);
        let sessions = [ListenerKind::Mx, ListenerKind::Submission].map(|kind| ListenerSettings {
            remote: Arc::new(settings(&config, &policy, (kind, false), tls.is_some())),
            loopback: Arc::new(settings(&config, &policy, (kind, true), tls.is_some())),
        });
        let [ListenerSettings { remote, .. }, _] = &sessions;
        let settings = Arc::clone(remote);
        let own_names = forged_results::own_names(&[&settings.hostname]);
        let local = Settings {
            hostname: local_domain(&config, &directory),
            // Each recipient that is refused is one, and sendmail has its own limits.
            errors_max: u32::MAX,
            ..self::settings(&config, &policy, (ListenerKind::Local, true), false)
        };
        let local = Arc::new(local);
        Self { config, directory, own_names, settings, sessions, local, policy, services, leaving, tls }
    }
}

impl Site {
    /// The same site with this configuration and TLS.
    fn again(&self, config: Config, tls: Option<Arc<ServerTls>>, state: &Path) -> Self {
        let parts = (Arc::clone(&self.policy), Arc::clone(&self.services), self.leaving.clone(), tls);
        Self::under(config, parts, state)
    }

    /// The final recipients of a message from `reverse_path` to `path`. A bounce to an address that was rewritten when
    /// its message was forwarded goes on to the one who sent that.
    #[must_use]
    pub fn resolve(&self, known: Known<'_>, reverse_path: &ReversePath, path: &ForwardPath) -> Vec<Resolved> {
        // Its time may have ended since it was accepted, a moment ago.
        const GRACE_DAYS: u64 = 1;
        if *reverse_path == ReversePath::Null
            && let Some(Bounce::To(mailbox)) = self.bounce(path, GRACE_DAYS)
        {
            return known.resolve(&ForwardPath::Mailbox(mailbox));
        }
        known.resolve(path)
    }

    /// What a session with `client` at a listener is given.
    #[must_use]
    pub const fn settings_for(&self, kind: ListenerKind, client: IpAddr) -> &Arc<Settings> {
        let [mx, submission] = &self.sessions;
        let settings = match kind {
            ListenerKind::Mx => mx,
            ListenerKind::Submission | ListenerKind::Submissions => submission,
            ListenerKind::Local => return &self.local,
        };
        if client.is_loopback() { &settings.loopback } else { &settings.remote }
    }

    /// The domain of addresses without one in mail of this machine's own users.
    #[must_use]
    pub fn local_domain(&self) -> &str {
        &self.local.hostname
    }

    /// What a rewritten address stands for; `None` when `path` is none, see [`Srs::bounce`].
    #[must_use]
    pub fn bounce(&self, path: &ForwardPath, grace_days: u64) -> Option<Bounce> {
        self.leaving.srs.as_ref()?.bounce(path, clock::wall(), grace_days)
    }
}

/// The domain of addresses without one in mail of the machine's own users.
fn local_domain(config: &Config, directory: &Directory) -> String {
    let hostname = config.hostname.as_str();
    let written = config.sendmail.domain.as_ref().map(DomainName::as_str);
    let domains = directory.domains();
    // A domain of that name with nothing but a postmaster is there in any case.
    let takes_more = |domain: &LocalDomain| {
        domain.has_tables()
            || domain.catch_all.is_some()
            || domain.entries.iter().any(|entry| !entry.local_part.is_postmaster())
    };
    let is_served = domains
        .iter()
        .any(|domain| domain.names().any(|name| *name == config.hostname) && takes_more(domain));
    let usual = if is_served { None } else { domains.first().map(|domain| domain.name.as_str()) };
    written.or(usual).unwrap_or(hostname).to_owned()
}

/// What the sessions of a listener are told of the configuration.
fn settings(
    config: &Config,
    policy: &InForce,
    (kind, is_loopback): (ListenerKind, bool),
    has_tls: bool,
) -> Settings {
    let (limits, auth) = (&config.limits, &config.auth);
    let is_local = kind == ListenerKind::Local;
    let offers_auth = kind.is_submission() || (auth.on_mx && !is_local);
    let offer = if is_local {
        Offer::Off
    } else if kind.is_submission() {
        let usual = if is_loopback { Offer::Offered } else { Offer::Required };
        config.inward_tls.submission.unwrap_or(usual)
    } else {
        config.inward_tls.mx
    };
    Settings {
        hostname: config.hostname.as_str().to_owned(),
        product: crate::PRODUCT.to_owned(),
        message_octets_max: limits.message_octets,
        recipients_max: limits.recipients,
        errors_max: limits.errors,
        messages_max: limits.messages_per_session,
        command_timeout: limits.command_timeout,
        data_timeout: limits.data_timeout,
        session_timeout: limits.session_timeout,
        drain_timeout: limits.drain_timeout,
        early_talkers: match config.clients.early_talkers {
            EarlyTalkers::Note => smtp::server::EarlyTalkers::Note,
            EarlyTalkers::Refuse => smtp::server::EarlyTalkers::Refuse,
        },
        start_tls: match offer {
            Offer::Off => StartTlsOffer::Off,
            Offer::Offered | Offer::Required if has_tls => StartTlsOffer::On,
            // It comes back, and is not to be gone without.
            Offer::Required => StartTlsOffer::Unavailable,
            Offer::Offered => StartTlsOffer::Off,
        },
        tls_required: offer == Offer::Required,
        replacements: policy.replacements(),
        auth: offers_auth.then(|| AuthOffer {
            mechanisms: auth.offered(),
            needs_tls: !(is_loopback && auth.loopback_without_tls),
        }),
        auth_required: kind.is_submission(),
        record: config.journal.enabled && config.journal.dialogue,
    }
}

/// The site in force, and how to load it again.
#[derive(Debug)]
pub struct Sites {
    file: Option<PathBuf>,
    user: String,
    state: PathBuf,
    current: RwLock<Arc<Site>>,
    tables: Mutex<Tables>,
    /// The files of certificates that were read last and could not be used.
    refused: Mutex<Option<Files>>,
}

impl Sites {
    /// Loads the configuration `file`, or the zero configuration for `user`; the warnings come beside it.
    ///
    /// # Errors
    /// All problems of the configuration.
    pub fn load(file: Option<&Path>, user: &str, state: &Path) -> Result<(Self, Vec<Problem>), Vec<Problem>> {
        let Loaded { config, mut warnings, tables } = read(file, user)?;
        let checked = policies::load(&config)?;
        warnings.extend(checked.warnings);
        let (leaving, problems) = Leaving::of(&config)?;
        warnings.extend(problems);
        let tls = ServerTls::load(&config, Some(state), None, &mut warnings)?.map(Arc::new);
        let (site, problems) = Site::new((config, leaving, tls), checked.policy, state, None);
        warnings.extend(problems);
        let sites = Self {
            file: file.map(Path::to_owned),
            user: user.to_owned(),
            state: state.to_owned(),
            current: RwLock::new(Arc::new(site)),
            tables: Mutex::new(tables),
            refused: Mutex::new(None),
        };
        Ok((sites, warnings))
    }

    /// The site in force.
    #[must_use]
    pub fn current(&self) -> Arc<Site> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the configuration, its tables and its policy again and puts them in force; waits about a second for a table that is
    /// being written.
    ///
    /// # Errors
    /// All problems; what was in force stays.
    pub fn reload(&self) -> Result<Vec<Problem>, Vec<Problem>> {
        let mut loaded = read(self.file.as_deref(), &self.user)?;
        for _ in 0..READ_AGAIN_MAX {
            if !loaded.tables.in_flux(clock::wall()) {
                break;
            }
            std::thread::sleep(STILL);
            loaded = read(self.file.as_deref(), &self.user)?;
        }
        let Loaded { config, mut warnings, tables } = loaded;
        let checked = policies::load(&config)?;
        warnings.extend(checked.warnings);
        let (leaving, problems) = Leaving::of(&config)?;
        warnings.extend(problems);
        let before = self.current();
        let tls = ServerTls::load(&config, Some(&self.state), before.tls.as_deref(), &mut warnings)?;
        *self.tables.lock().unwrap_or_else(PoisonError::into_inner) = tables;
        let (site, problems) =
            Site::new((config, leaving, tls.map(Arc::new)), checked.policy, &self.state, Some(&before));
        warnings.extend(problems);
        self.put(site);
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = None;
        Ok(warnings)
    }

    /// Reads the tables again when one has changed; `None` when none has, or one is still being written.
    pub fn reload_tables(&self) -> Option<Result<Vec<Problem>, Vec<Problem>>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        if !tables.changed() || tables.is_fresh(clock::wall()) {
            return None;
        }
        let reloaded = tables.reload();
        if tables.changed() {
            return None;
        }
        Some(reloaded.map(|Parsed { config, warnings, .. }| {
            let site = self.current();
            self.put(site.again(config, site.tls.clone(), &self.state));
            warnings
        }))
    }

    /// Reads the certificates again when a file of them has changed; `None` when none has, or one is still being written.
    /// Blocks on the disk.
    pub fn reload_certificates(&self) -> Option<Result<Vec<Problem>, Vec<Problem>>> {
        let site = self.current();
        let before = site.tls.as_deref()?;
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = refused.as_ref().unwrap_or_else(|| before.files());
        if !seen.changed() || seen.is_fresh(clock::wall()) {
            return None;
        }
        let files = Files::of(&site.config);
        let mut warnings = Vec::new();
        let loaded = ServerTls::load(&site.config, Some(&self.state), Some(before), &mut warnings);
        *refused = loaded.is_err().then_some(files);
        Some(loaded.map(|tls| {
            self.put_instead(&site, site.again(site.config.clone(), tls.map(Arc::new), &self.state));
            warnings
        }))
    }

    /// Makes a certificate for a site that names none, unless it has one that is good. Whether one was made. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// When it can't be made or written.
    pub fn make_own_certificate(&self) -> io::Result<bool> {
        let site = self.current();
        if !site.config.inward_tls.certificates.is_empty() {
            return Ok(false);
        }
        let hostname = site.config.hostname.as_str().to_ascii_lowercase();
        let is_made = own::make(&self.state, &hostname, clock::wall())?;
        if is_made {
            let mut problems = Vec::new();
            let tls = ServerTls::load(&site.config, Some(&self.state), site.tls.as_deref(), &mut problems);
            let tls = tls.ok().flatten().map(Arc::new);
            self.put_instead(&site, site.again(site.config.clone(), tls, &self.state));
        }
        Ok(is_made)
    }

    fn put(&self, site: Site) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(site);
    }

    /// The same, unless another one than `before` is in force meanwhile.
    fn put_instead(&self, before: &Arc<Site>, site: Site) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, before) {
            *current = Arc::new(site);
        }
    }
}

/// Checks the configuration `file` with its tables and its policy, and gives the warnings.
///
/// # Errors
/// All problems, warnings among them.
pub fn check(file: Option<&Path>, user: &str) -> Result<Vec<Problem>, Vec<Problem>> {
    let Loaded { config, mut warnings, .. } = read(file, user)?;
    // Servers are not asked: a check touches nothing but files.
    warnings.extend(tables::Tables::of(&config.tables, None, false).1);
    let checked = policies::load(&config).map(|checked| checked.warnings);
    let leaving = Leaving::of(&config).map(|(_, problems)| problems);
    let mut problems = Vec::new();
    let tls = ServerTls::load(&config, None, None, &mut problems).map(|_| problems);
    let is_good = checked.is_ok() && leaving.is_ok() && tls.is_ok();
    for problems in [checked, leaving, tls] {
        warnings.extend(problems.unwrap_or_else(|problems| problems));
    }
    if is_good { Ok(warnings) } else { Err(warnings) }
}

/// Reads the configuration `file`, or the zero configuration for `user`.
///
/// # Errors
/// All problems.
pub fn read(file: Option<&Path>, user: &str) -> Result<Loaded, Vec<Problem>> {
    match file {
        Some(file) => config::load(file),
        None => config::zero_configuration(user),
    }
}
