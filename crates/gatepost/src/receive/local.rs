//! The socket at which users and programs of this machine hand in mail: SMTP, for anybody who can reach it.
//!
//! Invariants: the kernel says who it is; each user has places of his own, so that one who takes all of his keeps nobody
//! else waiting; who finds none waits, within limits, and is told 421 beyond them.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use queue::spool::Spool;
use smtp::catalogue;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Reception, connection};
use crate::control;

/// Connections that are served at a time (ours).
const CONNECTIONS_MAX: usize = 64;

/// Those of one user (ours: a mailing that is sent by many processes at once is served, others are, too).
const USER_CONNECTIONS_MAX: usize = 16;

/// Those of one user that wait for a place (ours: a connection that waits takes two descriptors and little memory).
const USER_WAITING_MAX: usize = 128;

/// All that wait for a place (ours).
const WAITING_MAX: usize = 512;

/// Wait before accepting again when descriptors or memory have run out (ours).
const EXHAUSTED_WAIT: Duration = Duration::from_millis(100);

/// The socket, listening; dropping it takes it away.
#[derive(Debug)]
pub struct LocalListener {
    socket: UnixListener,
    path: PathBuf,
}

impl LocalListener {
    /// Listens at `path`. The caller has the spool's lock: a socket that nobody answers on is a dead server's.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub fn bind(path: &Path) -> anyhow::Result<Self> {
        let socket = control::bind_socket(path)?;
        // Everybody may connect to it, who may look into the directory that it is in.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .with_context(|| format!("cannot open {} to all users", path.display()))?;
        Ok(Self { socket, path: path.to_owned() })
    }
}

impl Drop for LocalListener {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket of local users was gone already");
        }
    }
}

/// Who is served and who waits.
#[derive(Debug)]
struct Places {
    all: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    users: HashMap<u32, UserPlaces>,
}

#[derive(Debug, Clone)]
struct UserPlaces {
    served: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Places {
    fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            users: HashMap::new(),
        }
    }

    fn of(&mut self, uid: u32) -> UserPlaces {
        // Who has nobody here is forgotten, so that there are never more users than connections.
        self.users.retain(|_, places| Arc::strong_count(&places.waiting) > 1);
        let fresh = || UserPlaces {
            served: Arc::new(Semaphore::new(USER_CONNECTIONS_MAX)),
            waiting: Arc::new(Semaphore::new(USER_CONNECTIONS_MAX + USER_WAITING_MAX)),
        };
        self.users.entry(uid).or_insert_with(fresh).clone()
    }
}

/// Accepts connections until the server drains, then waits for those that are open.
pub async fn serve<S: Spool>(listener: LocalListener, reception: Arc<Reception<S>>) {
    let mut sessions = JoinSet::new();
    let mut draining = reception.draining.clone();
    let mut places = Places::new();
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => {
                    if let Err(error) = start(&mut sessions, &mut places, &reception, stream) {
                        tracing::warn!(%error, "cannot tell who has connected to the socket of local users");
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection to the socket of local users");
                    tokio::time::sleep(EXHAUSTED_WAIT).await;
                }
            },
            Some(_) = sessions.join_next() => {}
            changed = draining.changed() => if changed.is_err() || *draining.borrow() { break },
        }
    }
    drop(listener);
    while sessions.join_next().await.is_some() {}
}

fn start<S: Spool>(
    sessions: &mut JoinSet<()>,
    places: &mut Places,
    reception: &Arc<Reception<S>>,
    stream: UnixStream,
) -> io::Result<()> {
    let uid = stream.peer_cred()?.uid();
    let user = places.of(uid);
    let (Ok(of_all), Ok(of_user)) =
        (Arc::clone(&places.waiting).try_acquire_owned(), Arc::clone(&user.waiting).try_acquire_owned())
    else {
        tracing::warn!(local_uid = uid, "too many of a user's programs hand in mail at a time");
        if sessions.len() < CONNECTIONS_MAX + 2 * WAITING_MAX {
            let refused = Some(&catalogue::TOO_MANY_CONNECTIONS);
            sessions.spawn(connection::serve_local(Arc::clone(reception), stream, uid, refused));
        }
        return Ok(());
    };
    let (all, reception) = (Arc::clone(&places.all), Arc::clone(reception));
    sessions.spawn(async move {
        // Its own place first: who waits for one of his takes none from others. Neither is ever closed.
        let _place_of_user = user.served.acquire_owned().await;
        let _place = all.acquire_owned().await;
        drop(of_all);
        connection::serve_local(reception, stream, uid, None).await;
        drop(of_user);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_with_nobody_here_is_forgotten() {
        let mut places = Places::new();
        let held = Arc::clone(&places.of(1).waiting).try_acquire_owned().unwrap();
        for uid in 2..100 {
            places.of(uid);
        }
        assert!(places.users.contains_key(&1), "somebody is here");
        assert!(places.users.len() <= 2, "{}", places.users.len());
        drop(held);
        places.of(200);
        assert!(!places.users.contains_key(&1));
    }
}
