//! A server that a command starts: its process, its address, and its end when the value goes.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use crate::dialogue::Dialogue;
use crate::process;
use crate::random::Random;
use crate::stopwatch::{Stopwatch, fresh_seed};

/// Longest wait for a server's greeting after its start, and for its end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Ports that servers are given: Linux gives clients those from 32768 on.
const PORTS: (u64, u64) = (20_000, 32_000);

/// Ports that are tried before the search is given up.
const PORT_ATTEMPTS: u32 = 100;

/// Lines of a server's log that an error shows.
const LOG_LINES_SHOWN: usize = 10;

/// A running server; dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
    log: PathBuf,
}

impl Server {
    /// Starts `command`, whose output goes to the end of the file `log`, and waits for nothing.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn spawn(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let line = process::describe(command);
        let output =
            File::options().create(true).append(true).open(log).context("can't open a server's log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("can't share a server's log")?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("can't start `{line}`"))?;
        Ok(Self { child, address, log: log.to_path_buf() })
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it greets.
    ///
    /// # Errors
    /// When it ends, or doesn't greet within 30 seconds; with the end of its log.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            let last = match Dialogue::open(self.address, Ipv4Addr::LOCALHOST) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(outcome) = self.child.try_wait().context("the server is lost")? {
                bail!("the server ended at its start ({outcome}){}", self.last_words());
            }
            if watch.elapsed() > PATIENCE {
                return Err(last.context(format!("the server doesn't greet{}", self.last_words())));
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// The end of its log, on lines of its own.
    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let shown = lines.get(lines.len().saturating_sub(LOG_LINES_SHOWN)..).unwrap_or_default();
        shown.iter().map(|line| format!("\n    {line}")).collect()
    }

    /// Ends it with SIGKILL and waits until it is gone.
    ///
    /// # Errors
    /// When the system can't say.
    pub(crate) fn kill(&mut self) -> Result<()> {
        self.child.kill().context("can't kill the server")?;
        self.child.wait().context("the server is lost")?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first: Postfix's master takes its children along only then.
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            if matches!(self.child.try_wait(), Ok(None)) {
                let _ = kill_process(pid, Signal::TERM);
            }
            let watch = Stopwatch::start();
            while matches!(self.child.try_wait(), Ok(None)) && watch.elapsed() < PATIENCE {
                thread::sleep(LOOK_AGAIN);
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback address with a port that was free a moment ago. The port lies below those that the system gives to
/// clients, so that no connection of anybody takes it before the server does.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let mut random = Random::new(fresh_seed());
    for _ in 0..PORT_ATTEMPTS {
        let port = u16::try_from(random.between(PORTS.0, PORTS.1)).unwrap_or_default();
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return listener.local_addr().context("no address of its own");
        }
    }
    bail!("no free port on loopback")
}

/// Raises this process's limit of open files as far as it goes, for what it opens and for what it starts.
///
/// # Errors
/// When the limit stays below `wanted`.
pub(crate) fn raise_open_files(wanted: u64) -> Result<()> {
    let mut limit = getrlimit(Resource::Nofile);
    // Root may raise the hard limit too; for others the attempt fails and the hard limit stands.
    let mut higher = limit;
    higher.maximum = limit.maximum.map(|maximum| maximum.max(wanted));
    higher.current = higher.maximum;
    if setrlimit(Resource::Nofile, higher).is_err() {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit).context("can't raise the limit of open files")?;
    }
    let reached = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if reached < wanted {
        bail!("{wanted} open files are needed and {reached} allowed; raise `ulimit -n`");
    }
    Ok(())
}
