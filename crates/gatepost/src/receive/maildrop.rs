//! Takes messages from the maildrop: each is handed to a session as one from its owner that came over the socket.
//!
//! Invariants: what can't be read as a message is moved aside, once, and holds nothing else up; nothing is followed or
//! waited for that isn't a plain file with one name; a message is taken away when it is durable in the spool, or its
//! sender will hear that it was refused, and not before.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use queue::spool::Spool;
use rustix::fs::{Mode, OFlags};
use smtp::address::Mailbox;
use smtp::client::RemoteReply;
use smtp::time::Timestamp;
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use super::{Reception, connection};
use crate::clock;
use crate::deliver;
use crate::sendmail::content::{Content, OCTETS_MAX};
use crate::sendmail::dialogue::{self, Broken, Outcome};
use crate::sendmail::letter::{ORDER_OCTETS_MAX, Order};
use crate::sendmail::maildrop::{self, FINISHED, UNFINISHED};
use crate::sendmail::message::Message;

/// How often the folder is looked at (ours: a message waits no longer than that, and looking costs little).
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Messages that are taken at a time (ours: a policy may wait for others with each).
const AT_A_TIME: usize = 8;

/// Names that are read of the folder at once (ours); what is behind them is seen when these are done.
const NAMES_MAX: usize = 1_000;

/// How long a message waits that was not taken for now (ours).
const RETRY: Duration = Duration::from_secs(300);

/// Messages whose wait is remembered (ours: about 100 octets each); beyond them they are tried each time.
const WAITING_MAX: usize = 10_000;

/// How long what never got its name stays (ours: whoever wrote it has gone).
const UNFINISHED_LIFETIME: Duration = Duration::from_secs(86_400);

/// Name of the folder in the state directory to which what is no message is moved.
const ASIDE: &str = "maildrop-bad";

/// The maildrop of a server.
#[derive(Debug)]
pub struct Maildrop {
    folder: PathBuf,
    aside: PathBuf,
    /// What is not to be looked at before a time.
    waiting: HashMap<OsString, Timestamp>,
}

/// What became of a message.
#[derive(Debug)]
enum Fate {
    /// It is done with.
    Done,
    /// It stays for now.
    Waits,
    /// It is no message, for this reason.
    Bad(String),
}

impl Maildrop {
    /// Makes the folders in the state directory.
    ///
    /// # Errors
    /// When that can't be done.
    pub fn prepare(state: &Path) -> io::Result<Self> {
        let folder = maildrop::folder(state);
        maildrop::prepare(&folder)?;
        let aside = state.join(ASIDE);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside)?;
        Ok(Self { folder, aside, waiting: HashMap::new() })
    }

    /// The names of messages that are due.
    fn due(&mut self) -> io::Result<Vec<OsString>> {
        let now = clock::monotonic();
        if self.waiting.len() > WAITING_MAX {
            self.waiting.clear();
        }
        self.waiting.retain(|_, until| *until > now);
        let mut due = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let name = entry?.file_name();
            if name.as_encoded_bytes().starts_with(UNFINISHED.as_bytes()) {
                self.clear_unfinished(&name);
            } else if !self.waiting.contains_key(&name) {
                due.push(name);
                if due.len() == NAMES_MAX {
                    break;
                }
            }
        }
        Ok(due)
    }

    /// Takes away what has waited for its name for too long.
    fn clear_unfinished(&self, name: &OsString) {
        let path = self.folder.join(name);
        let age = |found: fs::Metadata| found.modified().ok()?.elapsed().ok();
        let is_old =
            fs::symlink_metadata(&path).ok().and_then(age).is_some_and(|age| age > UNFINISHED_LIFETIME);
        if is_old && let Err(error) = fs::remove_file(&path) {
            tracing::debug!(%error, "what is left in the maildrop can't be taken away");
        }
    }

    /// Ends what was done with `name`.
    fn settle(&mut self, name: OsString, fate: Fate) {
        let path = self.folder.join(&name);
        let settled = match fate {
            Fate::Done => fs::remove_file(&path),
            Fate::Waits => Err(io::ErrorKind::WouldBlock.into()),
            Fate::Bad(why) => {
                tracing::error!(file = %path.display(), "the maildrop has something that is no message: {why}; it is moved aside");
                fs::rename(&path, self.aside.join(&name))
            }
        };
        match settled {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => {
                tracing::error!(file = %path.display(), %error, "the maildrop can't be cleared; it is looked at again later");
            }
        }
        self.waiting.insert(name, clock::monotonic() + RETRY);
    }
}

/// Takes what is in the maildrop until the server drains.
pub async fn serve<S: Spool>(mut maildrop: Maildrop, reception: Arc<Reception<S>>) {
    let mut draining = reception.draining.clone();
    let mut tick = tokio::time::interval(LOOK_AGAIN);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tick.tick() => {}
            changed = draining.changed() => if changed.is_err() || *draining.borrow() { return },
        }
        let due = match tokio::task::block_in_place(|| maildrop.due()) {
            Ok(due) => due,
            Err(error) => {
                tracing::error!(%error, "the maildrop can't be read");
                continue;
            }
        };
        take_all(&mut maildrop, &reception, due).await;
    }
}

async fn take_all<S: Spool>(maildrop: &mut Maildrop, reception: &Arc<Reception<S>>, due: Vec<OsString>) {
    let mut tasks = JoinSet::new();
    let mut left = due.into_iter();
    loop {
        while tasks.len() < AT_A_TIME && !*reception.draining.borrow() {
            let Some(name) = left.next() else { break };
            let (reception, folder) = (Arc::clone(reception), maildrop.folder.clone());
            tasks.spawn(async move {
                let fate = take(&reception, &folder, &name).await;
                (name, fate)
            });
        }
        match tasks.join_next().await {
            None => return,
            Some(Ok((name, fate))) => tokio::task::block_in_place(|| maildrop.settle(name, fate)),
            Some(Err(error)) => {
                tracing::error!(%error, "taking a message from the maildrop ended abnormally")
            }
        }
    }
}

/// Takes a message, if it is one.
async fn take<S: Spool>(reception: &Arc<Reception<S>>, folder: &Path, name: &OsString) -> Fate {
    let path = folder.join(name);
    if !name.as_encoded_bytes().starts_with(FINISHED.as_bytes()) {
        return Fate::Bad(String::from("its name is none that sendmail gives"));
    }
    let opened = tokio::task::block_in_place(|| open(&path));
    let letter = match opened {
        Ok(Ok(letter)) => letter,
        Ok(Err(why)) => return Fate::Bad(why),
        // Whoever put it there has taken it away again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Fate::Waits,
        Err(error) if is_of_the_file(&error) => return Fate::Bad(error.to_string()),
        Err(error) => {
            tracing::error!(file = %path.display(), %error, "a message in the maildrop can't be read for now");
            return Fate::Waits;
        }
    };
    let is_old = letter.age > reception.sites.current().config.queue.lifetime;
    match hand_over(reception, &letter).await {
        Ok(outcome) => conclude(reception, (folder, &letter), outcome, is_old).await,
        Err(Broken::Stopped(stop)) => Fate::Bad(stop.why),
        Err(Broken::Lost(error)) => {
            tracing::error!(file = %path.display(), %error, "a message in the maildrop can't be handed over for now");
            Fate::Waits
        }
    }
}

/// Whether the file itself is in the way: a link, a socket, or one that nobody here may read.
fn is_of_the_file(error: &io::Error) -> bool {
    let raw = error.raw_os_error().map(rustix::io::Errno::from_raw_os_error);
    matches!(raw, Some(rustix::io::Errno::LOOP | rustix::io::Errno::NXIO | rustix::io::Errno::ACCESS))
}

/// A message of the maildrop.
#[derive(Debug)]
struct Letter {
    /// Who put it there.
    uid: u32,
    order: Order,
    content: Content,
    /// How long it has been there.
    age: Duration,
}

/// Opens a message; in words, why it is none.
fn open(path: &Path) -> io::Result<Result<Letter, String>> {
    // Not to be led elsewhere by a link, nor to wait at a pipe.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file: File = rustix::fs::open(path, flags, Mode::empty())?.into();
    let found = file.metadata()?;
    if !found.is_file() {
        return Ok(Err(String::from("it is no file")));
    }
    if found.nlink() != 1 {
        // It may be somebody else's, under another name.
        return Ok(Err(String::from("it has other names")));
    }
    let mut line = Vec::new();
    let mut reader = BufReader::new(&file);
    reader.by_ref().take(ORDER_OCTETS_MAX as u64).read_until(b'\n', &mut line)?;
    let start = line.len() as u64;
    let Some(line) = line.strip_suffix(b"\n") else {
        return Ok(Err(String::from("it does not begin with a line of sendmail's")));
    };
    let order = match Order::parse(line) {
        Ok(order) => order,
        Err(why) => return Ok(Err(format!("its first line can't be read: {why}"))),
    };
    if order.octets != Some(found.len().saturating_sub(start)) {
        return Ok(Err(String::from("it is not as long as it says")));
    }
    if found.len() > OCTETS_MAX {
        return Ok(Err(format!("it is longer than {OCTETS_MAX} octets")));
    }
    let written = found.modified().unwrap_or(SystemTime::UNIX_EPOCH);
    let age = written.elapsed().unwrap_or_default();
    Ok(Ok(Letter { uid: found.uid(), order, content: Content::File { file, start, end: found.len() }, age }))
}

/// Hands the message to a session of its own.
async fn hand_over<S: Spool>(reception: &Arc<Reception<S>>, letter: &Letter) -> Result<Outcome, Broken> {
    let (ours, theirs) = UnixStream::pair()?;
    let stream = theirs.into_std()?;
    stream.set_nonblocking(false)?;
    let session = tokio::spawn(connection::serve_local(Arc::clone(reception), ours, letter.uid, None));
    let outcome = tokio::task::block_in_place(|| {
        let message = Message::new(&letter.order, &letter.content).map_err(Broken::Stopped)?;
        dialogue::hand_over(&stream, &message, &letter.order, &mut io::sink())
    });
    drop(stream);
    let _ended = session.await.inspect_err(|error| tracing::error!(%error, "a session ended abnormally"));
    outcome
}

/// Sees to those who don't get it: the sender hears of refusals, what was deferred stays.
async fn conclude<S: Spool>(
    reception: &Reception<S>,
    (folder, letter): (&Path, &Letter),
    outcome: Outcome,
    is_old: bool,
) -> Fate {
    let Outcome { taken, mut refused, deferred } = outcome;
    let mut left = Vec::new();
    if let Some((recipients, reply)) = deferred {
        if is_old {
            refused.extend(recipients.into_iter().map(|recipient| (recipient, reply.clone())));
        } else if taken.is_none() && refused.is_empty() {
            tracing::warn!(local_uid = letter.uid, "a message stays in the maildrop for now: {reply}");
            return Fate::Waits;
        } else {
            left = recipients;
        }
    }
    // What is left is put back last: if the sender can't be told, the whole message stays, and stays the only one.
    if !refused.is_empty() {
        let told = tell(reception, letter, &refused).await;
        if !matches!(told, Fate::Done) {
            return told;
        }
    }
    if !left.is_empty() {
        let recipients = left.iter().map(ToString::to_string).collect();
        let order = Order { recipients, from_header: false, ..letter.order.clone() };
        let put = tokio::task::block_in_place(|| maildrop::put(folder, &order, &letter.content));
        if let Err(error) = put {
            tracing::error!(%error, "what is left of a message can't be put back into the maildrop");
            return Fate::Waits;
        }
    }
    Fate::Done
}

/// Tells the sender who was refused; it is done when the report is durable.
async fn tell<S: Spool>(
    reception: &Reception<S>,
    letter: &Letter,
    refused: &[(Mailbox, RemoteReply)],
) -> Fate {
    let read = tokio::task::block_in_place(|| Message::new(&letter.order, &letter.content));
    let message = match read {
        Ok(message) => message,
        Err(stop) => return Fate::Bad(stop.why),
    };
    let site = reception.sites.current();
    let Ok(ready) = message.ready(site.local_domain()) else { return Fate::Waits };
    let about =
        deliver::Returned { reverse_path: ready.reverse_path, header: &ready.header, uid: letter.uid };
    match deliver::send_back(&site, &*reception.spool, about, refused).await {
        Ok(()) => Fate::Done,
        Err(error) => {
            tracing::error!(%error, "the sender of a refused message can't be told for now");
            Fate::Waits
        }
    }
}
