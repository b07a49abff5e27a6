//! The control socket: a Unix socket in the state directory, through which a running server is asked.
//!
//! Invariants: only root and the server's own user are heard; a connection has a thread of its own, so one that hangs
//! holds nothing up but its own place, and that not for long; a socket that a dead server left behind is replaced, a
//! live one never.

use std::collections::HashMap;
use std::fs;
use std::io::{self, BufRead as _, BufReader, BufWriter, Read, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use queue::spool::Spool;
use smtp::time::Timestamp;
use tokio::net::UnixListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::answer::{Answer, Failure, FailureKind};
use super::request::Request;
use super::service::{Asker, Gone, Service};
use super::wire::{Greeting, REQUEST_OCTETS_MAX, read_line, write_answer, write_line};
use crate::clock;

/// Connections at a time (ours: postmasters and their dashboards, each with a thread).
const CONNECTIONS_MAX: u32 = 32;

/// Longest wait for the rest of a request that has begun (ours: programs ask, not people).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// Longest wait for the next request, for the next octets of an import, and for an answer to be taken (ours: a pager may be
/// read meanwhile, and a dashboard asks every few minutes).
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(300);

/// How long requests under way have to end when the server stops (ours: a page of an order is carried out by then).
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// Wait before accepting again when descriptors or memory have run out (ours).
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// Octets of answers that are gathered before they are written (ours).
const GATHERED_OCTETS: usize = 64 * 1024;

/// Longest path of a Unix socket, in octets: `sun_path` of unix(7) has 108, one of them ends it.
const PATH_OCTETS_MAX: usize = 107;

/// The socket, listening; dropping it takes it away.
#[derive(Debug)]
pub struct Listener {
    socket: UnixListener,
    path: PathBuf,
}

impl Listener {
    /// Listens at `path`. The caller has the spool's lock: a socket that nobody answers on is a dead server's.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let socket = bind_socket(path)?;
        // Until then it has the permissions that the umask leaves, and who asks is looked at anyway.
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .with_context(|| format!("cannot keep {} from other users", path.display()))?;
        Ok(Self { socket, path: path.to_owned() })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// A socket at `path`, in place of what a dead server has left there.
///
/// # Errors
/// A sentence that says what to do.
pub(crate) fn bind_socket(path: &Path) -> anyhow::Result<UnixListener> {
    check_length(path)?;
    clear(path)?;
    UnixListener::bind(path).with_context(|| {
        format!("cannot make the socket {}; --state names a directory where that can be done", path.display())
    })
}

/// Refuses a path that no Unix socket can have.
pub(super) fn check_length(path: &Path) -> anyhow::Result<()> {
    let octets = path.as_os_str().len();
    if octets > PATH_OCTETS_MAX {
        bail!(
            "the path of the socket {} has {octets} octets, and {PATH_OCTETS_MAX} are possible: let --state name \
             a directory with a shorter path",
            path.display()
        );
    }
    Ok(())
}

/// Takes away what a dead server has left.
fn clear(path: &Path) -> anyhow::Result<()> {
    let kind = match fs::symlink_metadata(path) {
        Ok(found) => found.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).with_context(|| format!("cannot look at {}", path.display())),
    };
    if !kind.is_socket() {
        bail!("{} is in the way of a socket and is none: move it away", path.display());
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another server listens on {}: stop that one first", path.display()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .with_context(|| format!("cannot remove {}, which a dead server has left", path.display())),
        Err(error) => Err(error).with_context(|| format!("cannot tell who listens on {}", path.display())),
    }
}

/// What the connections share.
struct Shared<S> {
    service: Arc<Service<S>>,
    stopping: AtomicBool,
    /// The connections that are open, by number: to be shut down when the server stops.
    open: Mutex<HashMap<u64, UnixStream>>,
    numbers: AtomicU64,
}

impl<S> Shared<S> {
    fn open(&self) -> MutexGuard<'_, HashMap<u64, UnixStream>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Answers requests until `stopping` becomes true and those under way have ended or had their time.
pub async fn serve<S: Spool>(
    listener: Listener,
    service: Arc<Service<S>>,
    mut stopping: watch::Receiver<bool>,
) {
    let shared = Arc::new(Shared {
        service,
        stopping: AtomicBool::new(false),
        open: Mutex::default(),
        numbers: AtomicU64::new(0),
    });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX as usize));
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = start(&shared, &places, stream) {
                        tracing::warn!(%error, "a connection to the control socket cannot be served");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the control socket");
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
            },
            changed = stopping.changed() => if changed.is_err() || *stopping.borrow() { break },
        }
    }
    drop(listener);
    shared.stopping.store(true, Ordering::Relaxed);
    for stream in shared.open().values() {
        // Who waits for a request reads its end; answers still go out.
        let _ = stream.shutdown(Shutdown::Read);
    }
    let ended = tokio::time::timeout(STOP_TIMEOUT, places.acquire_many(CONNECTIONS_MAX)).await;
    if ended.is_err() {
        tracing::warn!("requests at the control socket are cut off");
        for stream in shared.open().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Looks at who asks, and starts a thread for the connection.
fn start<S: Spool>(
    shared: &Arc<Shared<S>>,
    places: &Arc<Semaphore>,
    stream: tokio::net::UnixStream,
) -> io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let stream = stream.into_std()?;
    if !may_ask(peer, rustix::process::geteuid().as_raw()) {
        tracing::warn!(
            uid = peer,
            "who is neither root nor the server's user has asked at the control socket"
        );
        let why = "only root and the server's own user may ask: `sudo -u` gives you its name";
        return refuse(&stream, FailureKind::Refused, why);
    }
    let Ok(place) = Arc::clone(places).try_acquire_owned() else {
        return refuse(&stream, FailureKind::Busy, "too many ask at a time: try again");
    };
    stream.set_nonblocking(false)?;
    stream.set_write_timeout(Some(TRANSFER_TIMEOUT))?;
    let number = shared.numbers.fetch_add(1, Ordering::Relaxed);
    shared.open().insert(number, stream.try_clone()?);
    let connection = Connection { shared: Arc::clone(shared), number, _place: place };
    std::thread::Builder::new().name("control".into()).spawn(move || {
        if let Err(error) = connection.serve(&stream) {
            tracing::debug!(%error, "a connection to the control socket ended early");
        }
    })?;
    Ok(())
}

/// Whether that user may ask a server that runs as `own`.
const fn may_ask(uid: u32, own: u32) -> bool {
    uid == own || uid == 0
}

/// Says why a connection is not served. What doesn't fit into the socket at once is not waited for.
fn refuse(stream: &UnixStream, kind: FailureKind, why: &str) -> io::Result<()> {
    let mut lines = Vec::new();
    write_line(&mut lines, &Greeting::ours())?;
    write_answer(&mut lines, &Answer::Failed(Failure::new(kind, why)))?;
    (&mut &*stream).write_all(&lines)
}

/// A connection; dropping it gives its place back.
struct Connection<S> {
    shared: Arc<Shared<S>>,
    number: u64,
    _place: OwnedSemaphorePermit,
}

impl<S> Drop for Connection<S> {
    fn drop(&mut self) {
        self.shared.open().remove(&self.number);
    }
}

impl<S: Spool> Connection<S> {
    /// Answers one request after the other.
    fn serve(&self, stream: &UnixStream) -> io::Result<()> {
        let mut caller = Caller {
            input: BufReader::new(Timed { stream, deadline: None }),
            request_timeout: REQUEST_TIMEOUT,
            output: BufWriter::with_capacity(GATHERED_OCTETS, stream),
            stopping: &self.shared.stopping,
            failed: false,
        };
        write_line(&mut caller.output, &Greeting::ours())?;
        caller.output.flush()?;
        while let Some(line) = caller.request()? {
            let served = match serde_json::from_slice::<Request>(&line) {
                Ok(request) => {
                    let is_import = matches!(request, Request::Import { .. });
                    let heard = self.shared.service.answer(request, &mut caller);
                    // What is left of its mail data can't be told from a request.
                    if is_import && caller.failed { Err(Gone) } else { heard }
                }
                Err(error) => {
                    let why = format!("the request can't be read: {error}");
                    // What follows it can't be told from the next one.
                    let _ = caller.tell(Answer::Failed(Failure::usage(why)));
                    Err(Gone)
                }
            };
            if served.is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// Who asks over the socket.
struct Caller<'a> {
    input: BufReader<Timed<'a>>,
    /// Longest wait for the rest of a request that has begun.
    request_timeout: Duration,
    output: BufWriter<&'a UnixStream>,
    stopping: &'a AtomicBool,
    /// Whether a request has failed.
    failed: bool,
}

impl Caller<'_> {
    /// The next request's line; `None` when no more come.
    fn request(&mut self) -> io::Result<Option<Vec<u8>>> {
        // Nothing is owed yet: who has asked may think about what to ask next.
        if self.input.fill_buf()?.is_empty() {
            return Ok(None);
        }
        self.input.get_mut().deadline = Some(clock::monotonic() + self.request_timeout);
        let line = read_line(&mut self.input, REQUEST_OCTETS_MAX);
        self.input.get_mut().deadline = None;
        line
    }
}

impl Asker for Caller<'_> {
    fn tell(&mut self, answer: Answer) -> Result<(), Gone> {
        let stopping = self.stopping.load(Ordering::Relaxed) && !answer.is_last();
        let answer = if stopping {
            let why = "the server is stopping: what was done so far stays done";
            Answer::Failed(Failure::new(FailureKind::Busy, why))
        } else {
            answer
        };
        self.failed |= matches!(answer, Answer::Failed(_));
        let flushed = answer.is_last() || matches!(answer, Answer::Progress(_));
        write_answer(&mut self.output, &answer).map_err(|_| Gone)?;
        if flushed {
            self.output.flush().map_err(|_| Gone)?;
        }
        if stopping { Err(Gone) } else { Ok(()) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.input.read(buffer)
    }
}

/// Reads within a deadline, or within [`TRANSFER_TIMEOUT`] where there is none.
struct Timed<'a> {
    stream: &'a UnixStream,
    deadline: Option<Timestamp>,
}

impl Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let wait = match self.deadline {
                None => TRANSFER_TIMEOUT,
                Some(deadline) => match deadline.since(clock::monotonic()) {
                    Duration::ZERO => return Err(io::ErrorKind::TimedOut.into()),
                    wait => wait,
                },
            };
            self.stream.set_read_timeout(Some(wait))?;
            match (&mut &*self.stream).read(buffer) {
                // Such a read ends when the process was stopped and goes on, though no signal was handled: signal(7).
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => return read,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_own_user_may_ask_and_nobody_else() {
        assert!(may_ask(0, 1_000) && may_ask(1_000, 1_000) && may_ask(0, 0));
        assert!(!may_ask(1_001, 1_000) && !may_ask(1_000, 0));
    }

    /// A caller at the other end of `stream` whose requests may take no time.
    fn hurried<'a>(stream: &'a UnixStream, stopping: &'a AtomicBool) -> Caller<'a> {
        Caller {
            input: BufReader::new(Timed { stream, deadline: None }),
            request_timeout: Duration::ZERO,
            output: BufWriter::new(stream),
            stopping,
            failed: false,
        }
    }

    #[test]
    fn the_time_for_a_request_begins_with_its_first_octet() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let stopping = AtomicBool::new(false);
        let mut caller = hurried(&ours, &stopping);
        theirs.write_all(b"\"status\"\n").unwrap();
        assert_eq!(caller.request().unwrap().unwrap(), b"\"status\"");
        theirs.write_all(b"\"sta").unwrap();
        assert_eq!(caller.request().unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn who_asks_nothing_more_ends_the_connection() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        let stopping = AtomicBool::new(false);
        assert!(hurried(&ours, &stopping).request().unwrap().is_none());
    }

    #[tokio::test]
    async fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("control.sock");
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists(), "a listener of the standard library leaves its socket behind");
        let listener = Listener::bind(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let refused = Listener::bind(&path).unwrap_err().to_string();
        assert!(refused.contains("another server listens"), "{refused}");
        drop(listener);
        assert!(!path.exists());
        fs::write(&path, "a file").unwrap();
        let refused = Listener::bind(&path).unwrap_err().to_string();
        assert!(refused.contains("move it away"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), b"a file");
    }

    #[tokio::test]
    async fn a_path_that_is_too_long_is_refused_with_its_length() {
        let long = PathBuf::from(format!("/{}/control.sock", "d".repeat(120)));
        let refused = Listener::bind(&long).unwrap_err().to_string();
        assert!(refused.contains("134 octets, and 107 are possible"), "{refused}");
    }
}
