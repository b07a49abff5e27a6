//! `gatepost run`: the spool, the listeners, delivery, and the signals that reload and end them.

use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use queue::kernel_disk::KernelDisk;
use queue::log_spool::{Drill, LogSpool, Options};
use queue::spool::Spool;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::auth::Authenticator;
use crate::config::ListenerKind;
use crate::control::{self, Running, Service};
use crate::deliver;
use crate::facts::list_watch::ListWatch;
use crate::journal::Journal;
use crate::mailboxes::QuotaUsage;
use crate::receive::{self, Listener, LocalListener, Maildrop, Reception};
use crate::reload::{Reloads, free_octets_min, report};
use crate::reports::{self, Reports};
use crate::site::{Site, Sites};
use crate::{PRODUCT, clock, descriptors, sendmail};

/// How long a session has to take its 421 once the time to drain is over, before it is cut off (ours).
const CUT_OFF: Duration = Duration::from_secs(3);

/// How long after the first signal another one means that transactions are not to be waited for (ours).
const SECOND_SIGNAL: Duration = Duration::from_secs(1);

/// How often the disk's room and the tables of addresses are looked at.
const TICK: Duration = Duration::from_secs(1);

/// How often the policies of other domains are looked after (ours: RFC 8461 §10.2 suggests once a day for each).
const TEND: Duration = Duration::from_secs(3_600);

/// What `gatepost run` was told.
#[derive(Debug)]
pub struct Start {
    /// The configuration; `None` is the zero configuration.
    pub config: Option<PathBuf>,
    /// The state directory.
    pub state: PathBuf,
    /// The user whose mailbox the zero configuration has.
    pub user: String,
    /// Listeners instead of the configuration's, if any.
    pub listen: Vec<(ListenerKind, SocketAddr)>,
    /// A fault to act out.
    pub drill: Option<Drill>,
}

/// Runs until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// What keeps the server from starting, in a sentence that says what to do.
pub async fn run(start: Start, sites: Arc<Sites>) -> anyhow::Result<()> {
    let started = clock::monotonic();
    let start = Arc::new(start);
    // Before anyone is told that the server is there: a signal may come at once.
    let mut signals = Signals::new()?;
    let spool = Arc::new(open_spool(&start, &sites.current())?);
    make_own_certificate(&sites);
    let site = sites.current();
    let control = bind_control(&start);
    let places = places_for(&site);
    let listeners = bind_all(&start, &site)?;
    let local_mail = prepare_local_mail(&start, &site);
    let (drain, draining) = watch::channel(false);
    let (stop_delivery, delivery_stopping) = watch::channel(false);
    let quota = Arc::new(QuotaUsage::default());
    let journal = Arc::new(Journal::open(&start.state, site.config.journal, clock::wall()));
    let reports = Arc::new(Reports::new(&start.state));
    let listening = listeners.iter().map(Listener::address).collect();
    let reception = Arc::new(Reception::new(
        Arc::clone(&sites),
        Arc::clone(&spool),
        (Arc::clone(&quota), Arc::clone(&journal), Arc::clone(&reports)),
        (Arc::new(Authenticator::new(&start.state)), listening),
        started,
        draining,
        places,
    ));
    let reloads = Arc::new(Reloads::new(Arc::clone(&start), Arc::clone(&sites), Arc::clone(&spool)));
    let end = Arc::new(Notify::new());
    let running = Running {
        reception: Arc::clone(&reception),
        configuration: start.config.clone(),
        started: clock::wall(),
        reloads: Arc::clone(&reloads),
        end: Arc::clone(&end),
        runtime: tokio::runtime::Handle::current(),
    };
    let service = Service::new(Arc::clone(&spool), Box::new(running));
    let (stop_control, control_stopping) = watch::channel(false);
    let control =
        control.map(|control| tokio::spawn(control::serve(control, Arc::new(service), control_stopping)));
    let delivery =
        deliver::spawn(Arc::clone(&spool), Arc::clone(&sites), quota, &reports, delivery_stopping.clone());
    let reporting =
        reports::spawn(Arc::clone(&reports), Arc::clone(&sites), Arc::clone(&spool), delivery_stopping);
    let tending = tokio::spawn(tend_policies(Arc::clone(&sites)));
    greet(&start, &site, &listeners);
    let mut tasks = take_mail(listeners, local_mail, &reception);
    let drain_timeout = signals.until_end(&end, &reloads, &sites, &spool).await;
    drain.send_replace(true);
    signals.drained(drain_timeout, &reception, &mut tasks).await;
    tasks.shutdown().await;
    stop_delivery.send_replace(true);
    tending.abort();
    let _ended = delivery.await.inspect_err(|error| tracing::error!(%error, "delivery ended abnormally"));
    await_reports(sites.current().config.queue.stop_timeout, reporting).await;
    tokio::task::block_in_place(|| {
        reports.close();
        journal.close();
    });
    // Last of all: as long as the server runs it can be asked how it is.
    stop_control.send_replace(true);
    if let Some(control) = control {
        let _ended =
            control.await.inspect_err(|error| tracing::error!(%error, "the control socket ended abnormally"));
    }
    tracing::info!("stopped");
    Ok(())
}

/// Waits for reports that are being handed over.
async fn await_reports(stop_timeout: Duration, reporting: JoinHandle<()>) {
    match tokio::time::timeout(stop_timeout, reporting).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "sending reports ended abnormally"),
        Err(_) => tracing::warn!("a report that was being handed over is cut off; it counts as sent"),
    }
}

/// The control socket. Mail goes without one, too.
fn bind_control(start: &Start) -> Option<control::Listener> {
    let bound = control::Listener::bind(&control::socket_path(&start.state));
    bound.map_err(|error| tracing::error!("{error:#}; commands cannot ask this server")).ok()
}

/// Starts whatever takes mail.
fn take_mail<S: Spool>(
    listeners: Vec<Listener>,
    (local, maildrop): LocalMail,
    reception: &Arc<Reception<S>>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for listener in listeners {
        tasks.spawn(receive::serve(listener, Arc::clone(reception)));
    }
    if let Some(listener) = local {
        tasks.spawn(receive::serve_local(listener, Arc::clone(reception)));
    }
    if let Some(maildrop) = maildrop {
        tasks.spawn(receive::serve_maildrop(maildrop, Arc::clone(reception)));
    }
    tasks
}

/// What takes mail of this machine's users.
type LocalMail = (Option<LocalListener>, Option<Maildrop>);

/// Other mail goes without it.
fn prepare_local_mail(start: &Start, site: &Site) -> LocalMail {
    if !site.config.sendmail.enabled {
        return (None, None);
    }
    let bound = LocalListener::bind(&sendmail::socket_path(&start.state));
    let local = bound.map_err(|error| tracing::error!("{error:#}; sendmail has to use the maildrop")).ok();
    let maildrop = Maildrop::prepare(&start.state);
    let state = start.state.display();
    let maildrop = maildrop.map_err(|error| {
        tracing::error!("cannot make the maildrop in {state}: {error}; it is not looked at")
    });
    (local, maildrop.ok())
}

/// Has mail encrypted, too, where nobody has named a certificate. It goes without, else.
pub(crate) fn make_own_certificate(sites: &Sites) {
    let made = tokio::task::block_in_place(|| sites.make_own_certificate());
    let advice = "`tls.certificate` names one that an authority vouches for";
    match made {
        Ok(true) => tracing::warn!("a certificate was made that nobody vouches for; {advice}"),
        Ok(false) if sites.current().tls.as_ref().is_some_and(|tls| tls.is_own()) => {
            tracing::info!("TLS with a certificate of this server's own making; {advice}");
        }
        Ok(false) => {}
        Err(error) => tracing::error!("no certificate can be made: {error}; there is no TLS; {advice}"),
    }
}

/// Listens wherever the start or else the configuration says.
fn bind_all(start: &Start, site: &Site) -> anyhow::Result<Vec<Listener>> {
    let listen =
        if start.listen.is_empty() { site.config.listen.all().collect() } else { start.listen.clone() };
    let addresses: Vec<SocketAddr> = listen.iter().map(|(_, address)| *address).collect();
    listen.iter().map(|(kind, address)| bind(*kind, *address, &addresses)).collect()
}

/// Looks after the policies of other domains from time to time.
async fn tend_policies(sites: Arc<Sites>) {
    loop {
        let services = Arc::clone(&sites.current().services);
        services.tend_mta_sts().await;
        drop(services);
        tokio::time::sleep(TEND).await;
    }
}

fn bind(kind: ListenerKind, address: SocketAddr, beside: &[SocketAddr]) -> anyhow::Result<Listener> {
    let option = match kind {
        ListenerKind::Mx => "--listen",
        ListenerKind::Submission => "--listen-submission",
        ListenerKind::Submissions => "--listen-submissions",
        ListenerKind::Local => "--state",
    };
    Listener::bind(kind, address, beside).with_context(|| {
        format!(
            "cannot listen on {address}: is another server running there, or does the port need privileges? \
             `listen.{}` in the configuration or {option} says where to listen",
            kind.name()
        )
    })
}

/// Where the spool of a state directory is.
pub(crate) fn spool_folder(state: &Path) -> PathBuf {
    state.join("spool")
}

fn open_spool(start: &Start, site: &Site) -> anyhow::Result<LogSpool<KernelDisk>> {
    let folder = spool_folder(&start.state);
    // Others need not see when mail comes; the files in it are for their owner alone anyway.
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder);
    made.with_context(|| {
        format!("cannot make the spool directory {}; --state says where it may be", folder.display())
    })?;
    let salt = getrandom::u64().map_err(|_| anyhow!("the system has no random numbers"))?;
    let options = Options {
        free_octets_min: free_octets_min(&start.state, site)?,
        free_inodes_min: site.config.spool.min_free_inodes,
        drill: start.drill,
        ..Options::new(salt)
    };
    let (spool, report) = LogSpool::at(&folder, options).map_err(|error| unusable(&folder, error))?;
    for damage in &report.damaged {
        tracing::error!(?damage, "a record of the spool is damaged; its segment is kept");
    }
    tracing::info!(messages = report.messages, octets = report.octets, "spool opened");
    Ok(spool)
}

/// Why the spool in `folder` can't be used, and what to do about it.
pub(crate) fn unusable(folder: &Path, error: impl Into<std::io::Error>) -> anyhow::Error {
    let error = error.into();
    let advice = match error.kind() {
        ErrorKind::ResourceBusy => "; stop that one first, or let --state name another directory",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; the server's user must be able to write there, or --state names another directory"
        }
        _ => "",
    };
    anyhow!("cannot use the spool in {}: {error}{advice}", folder.display())
}

/// How many clients the descriptors suffice for; warns when the configuration promises more.
fn places_for(site: &Site) -> u32 {
    let places = descriptors::places();
    let connections = site.config.limits.connections;
    if connections > places {
        tracing::warn!(
            "`limits.connections` is {connections}, and the limit of open files suffices for {places}: raise it \
             (`ulimit -n`, LimitNOFILE= of systemd)"
        );
    }
    places
}

/// Says on standard output, in five lines, where the server is and how to send it a message.
fn greet(start: &Start, site: &Site, listeners: &[Listener]) {
    let of = |kind| listeners.iter().filter(move |listener| listener.kind() == kind).map(Listener::address);
    let told = |kind, word: &str| {
        let addresses: Vec<String> = of(kind).map(|address| address.to_string()).collect();
        (!addresses.is_empty()).then(|| format!("{} ({word})", addresses.join(", ")))
    };
    let told = [
        told(ListenerKind::Mx, "MX"),
        told(ListenerKind::Submission, "submission"),
        told(ListenerKind::Submissions, "submission under TLS"),
    ];
    let told: Vec<String> = told.into_iter().flatten().collect();
    let configuration = match &start.config {
        Some(file) => file.display().to_string(),
        None => String::from("none: the zero configuration"),
    };
    let (recipient, maildir) = first_mailbox(site).unwrap_or_default();
    let state = start.state.display();
    let site_options = match &start.config {
        Some(file) => format!("--config {} --state {state}", file.display()),
        None => format!("--state {state}"),
    };
    let submission = of(ListenerKind::Submission).next().map(|server| {
        let (host, port) = (server.ip(), server.port());
        format!(
            "as a user:       gatepost user add {recipient} {site_options}; swaks --server {host}:{port} --auth-user {recipient} --from {recipient} --to {recipient}\n"
        )
    });
    let text = format!(
        "{PRODUCT} on {}, listening on {}\n\
         configuration: {configuration}; state: {state}\n{}{}\
         then read it:    cat {}/new/*\n",
        site.settings.hostname,
        told.join(", "),
        of(ListenerKind::Mx).next().map(|server| to_mx(server, &recipient)).unwrap_or_default(),
        submission.unwrap_or_default(),
        maildir.display(),
    );
    let mut out = std::io::stdout();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        tracing::debug!(%error, "nobody reads where the server is");
    }
}

/// How to send a message to the MX listener at `server`.
fn to_mx(server: SocketAddr, recipient: &str) -> String {
    format!(
        "send a message:  printf 'Subject: hello\\r\\n\\r\\nhello\\r\\n' | curl -sS smtp://{server} --mail-from you@example.net --mail-rcpt {recipient} -T -\n"
    )
}

/// The address and the Maildir of the mailbox to try first: not the postmaster's, when there is another.
fn first_mailbox(site: &Site) -> Option<(String, PathBuf)> {
    use crate::mailboxes::{Destination, Role};
    let domain = site.directory.domains().first()?;
    let is_mailbox = |role: &Role| matches!(role, Role::Mailbox(_));
    let plain = domain.entries.iter().filter(|entry| is_mailbox(&entry.role));
    let entry = plain.clone().find(|entry| !entry.local_part.is_postmaster()).or(plain.clone().next())?;
    let mailbox = domain.mailbox(&entry.local_part);
    let path = smtp::address::ForwardPath::Mailbox(mailbox.clone());
    site.directory.resolve(&path).into_iter().find_map(|resolved| match resolved.destination {
        Destination::Maildir(maildir) => Some((mailbox.to_string(), maildir)),
        _ => None,
    })
}

/// The signals that the server knows.
struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let catch = |kind| signal(kind).context("cannot wait for signals");
        Ok(Self {
            hangup: catch(SignalKind::hangup())?,
            terminate: catch(SignalKind::terminate())?,
            interrupt: catch(SignalKind::interrupt())?,
        })
    }

    /// Waits for SIGTERM, SIGINT or `end`; reloads at SIGHUP and looks after tables and room meanwhile. Gives the time
    /// that open transactions may take.
    async fn until_end(
        &mut self,
        end: &Notify,
        reloads: &Reloads,
        sites: &Sites,
        spool: &LogSpool<KernelDisk>,
    ) -> Duration {
        let mut lists = ListWatch::default();
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    tokio::task::block_in_place(|| reloads.now());
                }
                () = end.notified() => break,
                _ = self.terminate.recv() => break,
                _ = self.interrupt.recv() => break,
                _ = tick.tick() => tokio::task::block_in_place(|| {
                    spool.refresh();
                    if let Some(reloaded) = sites.reload_tables() {
                        report(&reloaded, "tables");
                    }
                    if let Some(reloaded) = sites.reload_certificates() {
                        report(&reloaded, "certificates");
                    }
                    reload_facts(&sites.current());
                    lists.follow(&sites.current());
                }),
            }
        }
        sites.current().config.limits.drain_timeout
    }

    /// Waits until the open sessions have ended, their time is up, or somebody does not want to wait.
    async fn drained<S: Spool>(
        &mut self,
        drain_timeout: Duration,
        reception: &Reception<S>,
        tasks: &mut JoinSet<()>,
    ) {
        let open = reception.admission.connections();
        tracing::info!(
            sessions = open,
            "draining: no new connections, open transactions may finish; another signal cuts them off"
        );
        let drained = async { while tasks.join_next().await.is_some() {} };
        let in_time = tokio::select! {
            in_time = tokio::time::timeout(drain_timeout + CUT_OFF, drained) => in_time.is_ok(),
            () = self.end_again() => false,
        };
        if !in_time {
            tracing::warn!(sessions = reception.admission.connections(), "sessions left open are cut off");
        }
    }

    /// Waits for SIGTERM or SIGINT from somebody who has seen the drain begin: some supervisors send each signal twice.
    async fn end_again(&mut self) {
        let begun = clock::monotonic();
        loop {
            tokio::select! {
                _ = self.terminate.recv() => {}
                _ = self.interrupt.recv() => {}
            }
            if clock::monotonic().since(begun) >= SECOND_SIGNAL {
                return;
            }
        }
    }
}

/// Reads the files again that facts come from and that have changed.
fn reload_facts(site: &Site) {
    site.services.reload();
    for problem in site.policy.tables.reload() {
        tracing::error!("a table of the policy keeps its last good entries: {problem}");
    }
}

/// The state directory as an absolute path, made if it isn't there.
///
/// # Errors
/// When it can't be made.
pub fn prepare_state(state: &Path) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(state).with_context(|| {
        format!("cannot make the state directory {}; --state names another", state.display())
    })?;
    std::fs::canonicalize(state)
        .with_context(|| format!("cannot use the state directory {}", state.display()))
}
