//! A server that a command starts: its process, its address, and its end when the value goes.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Resource, Signal, getrlimit, kill_process, setrlimit};

use crate::dialogue::Dialogue;
use crate::process;
use crate::stopwatch::Stopwatch;

/// Longest wait for a server's greeting after its start, and for its end after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often something that is waited for is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A running server; dropping it ends its process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts `command`, whose output goes to the end of the file `log`, and waits for nothing.
    ///
    /// # Errors
    /// When it can't be started.
    pub(crate) fn spawn(command: &mut Command, address: SocketAddr, log: &Path) -> Result<Self> {
        let line = process::describe(command);
        let log = File::options().create(true).append(true).open(log).context("can't open a server's log")?;
        let child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("can't share a server's log")?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("can't start `{line}`"))?;
        Ok(Self { child, address })
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
    /// When it ends, or doesn't greet within 30 seconds.
    pub(crate) fn wait_until_ready(&mut self) -> Result<()> {
        let watch = Stopwatch::start();
        loop {
            let last = match Dialogue::open(self.address, Ipv4Addr::LOCALHOST) {
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
            if let Some(outcome) = self.child.try_wait().context("the server is lost")? {
                bail!("the server ended at its start ({outcome})");
            }
            if watch.elapsed() > PATIENCE {
                return Err(last.context("the server doesn't greet"));
            }
            thread::sleep(LOOK_AGAIN);
        }
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

/// A loopback address with a port that was free a moment ago.
///
/// # Errors
/// When there is none.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    listener.local_addr().context("no address of its own")
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
