//! The stores of passwords, asked for one login at a time.
//!
//! Invariants: passwords are hashed on threads that may block, a bounded number at a time; each wait has an end.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::dovecot::{self, Asker};
use super::exchange::Credentials;
use super::guard::Guard;
use super::saslauthd;
use super::scram::Keys;
use super::secret::{Secrets, look_at_nothing};
use super::settings::Backend;
use super::usage::Usage;
use super::user_file::{User, UserFile};
use crate::tables::Tables;

/// Longest wait for another program, or for a turn to hash (ours: Dovecot lets a wrong password wait for some seconds).
const STORE_TIMEOUT: Duration = Duration::from_secs(20);

/// Passwords that are hashed at a time for one processor (ours: each takes 19 MiB).
const HASHES_PER_PROCESSOR: usize = 2;

/// What logins need beyond a connection; one for the program.
pub struct Authenticator {
    state: PathBuf,
    /// What the keys of users that aren't there are made of.
    secret: [u8; 32],
    pub(crate) guard: Guard,
    pub(crate) usage: Usage,
    hashing: Arc<Semaphore>,
    files: Mutex<HashMap<PathBuf, Arc<UserFile>>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authenticator").field("state", &self.state).finish_non_exhaustive()
    }
}

/// Where a login is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) tables: &'a Tables,
    pub(crate) asker: (std::net::IpAddr, std::net::IpAddr, bool),
}

/// What came of a look at credentials.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Checked {
    /// They are this user's.
    Accepted(String),
    /// They are nobody's.
    Rejected,
}

/// What `asking` comes to, within [`STORE_TIMEOUT`].
async fn in_time<T>(asking: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(String::from("the store of passwords did not answer in time"));
    tokio::time::timeout(STORE_TIMEOUT, asking).await.unwrap_or_else(late)
}

impl Authenticator {
    /// For a server whose state is in the directory `state`.
    #[must_use]
    pub fn new(state: &Path) -> Self {
        let mut secret = [0; 32];
        if getrandom::fill(&mut secret).is_err() {
            // Without it, names that aren't there only look alike from one start to the next.
            tracing::warn!("the system has no random numbers");
        }
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
        Self {
            state: state.to_owned(),
            secret,
            guard: Guard::default(),
            usage: Usage::default(),
            hashing: Arc::new(Semaphore::new(processors * HASHES_PER_PROCESSOR)),
            files: Mutex::default(),
        }
    }

    /// Looks at credentials.
    ///
    /// # Errors
    /// When it can't be known whose they are.
    pub(crate) async fn check(&self, asked: Asked<'_>, credentials: Credentials) -> Result<Checked, String> {
        let checking = async {
            match asked.backend {
                Backend::File(path) => {
                    // Another program's file is only read.
                    let is_own = path.is_none();
                    let Some(file) = self.file(asked.backend) else { return Err(no_file()) };
                    self.on_thread(move || check_in_file((&file, is_own), &credentials)).await?
                }
                Backend::Table(table) => {
                    let secrets = in_table(asked.tables, table, &credentials.user).await?;
                    self.on_thread(move || check_secrets(secrets.as_ref(), None, &credentials)).await?
                }
                Backend::Dovecot(socket) => {
                    let (client, listener, is_secured) = asked.asker;
                    let asker = Asker { client, listener, is_secured };
                    let named = dovecot::check(socket, &credentials, asker).await?;
                    // Dovecot's own name for the user; what it can't be prepared to is nobody's here.
                    let named = named.map(|name| {
                        super::prepared_name(&name).ok_or_else(|| String::from("Dovecot names no user"))
                    });
                    Ok(named.transpose()?.map_or(Checked::Rejected, Checked::Accepted))
                }
                Backend::Saslauthd(socket) => {
                    let is_taken = saslauthd::check(socket, &credentials).await?;
                    Ok(if is_taken { Checked::Accepted(credentials.user) } else { Checked::Rejected })
                }
            }
        };
        in_time(checking).await
    }

    /// What SCRAM goes by for a user: keys that nothing fits when he isn't there; none when he has only hashes.
    ///
    /// # Errors
    /// When it can't be known.
    pub(crate) async fn keys(&self, asked: Asked<'_>, user: &str) -> Result<Option<Keys>, String> {
        let secrets = match asked.backend {
            Backend::Table(table) => in_table(asked.tables, table, user).await?,
            backend => {
                let file = self.file(backend).ok_or_else(no_file)?;
                let name = user.to_owned();
                let finding = self.on_thread(move || {
                    Ok::<_, String>(file.users()?.get(&name)?.map(|user| user.secrets.clone()))
                });
                in_time(finding).await??
            }
        };
        Ok(match secrets {
            None => Some(Keys::of_nobody(&self.secret, user)),
            Some(secrets) => secrets.keys().cloned(),
        })
    }

    fn file(&self, backend: &Backend) -> Option<Arc<UserFile>> {
        let path = backend.file(&self.state)?;
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        // The configuration names one at a time.
        files.retain(|known, _| *known == path);
        Some(Arc::clone(files.entry(path.clone()).or_insert_with(|| Arc::new(UserFile::new(path)))))
    }

    /// Runs what hashes or blocks on the disk, once it is its turn.
    async fn on_thread<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        let turn = Arc::clone(&self.hashing).acquire_owned().await.map_err(|error| error.to_string())?;
        let worked = tokio::task::spawn_blocking(move || {
            // A login that was given up still counts until its work has ended.
            let _turn = turn;
            work()
        });
        worked.await.map_err(|error| format!("looking at a password ended abnormally: {error}"))
    }
}

fn no_file() -> String {
    String::from("no file of users")
}

async fn in_table(tables: &Tables, table: &Arc<str>, user: &str) -> Result<Option<Secrets>, String> {
    let values = tables.look_up(table, user).await.map_err(|failure| failure.to_string())?;
    Ok(values.map(|values| Secrets::read(values.texts())))
}

/// Looks at credentials; `other` is what somebody else has stored, who is looked at instead where there is no such user.
fn check_secrets(
    secrets: Option<&Secrets>,
    other: Option<&Secrets>,
    credentials: &Credentials,
) -> Result<Checked, String> {
    let Some(secrets) = secrets else {
        match other {
            Some(other) => drop(std::hint::black_box(other.fits(&credentials.password))),
            None => look_at_nothing(&credentials.password),
        }
        return Ok(Checked::Rejected);
    };
    Ok(if secrets.fits(&credentials.password)? {
        Checked::Accepted(credentials.user.clone())
    } else {
        Checked::Rejected
    })
}

/// Looks at credentials in the file, and in an own one makes what SCRAM goes by for a user who has only hashes (RFC 4954
/// §6, 432).
fn check_in_file((file, is_own): (&UserFile, bool), credentials: &Credentials) -> Result<Checked, String> {
    let users = file.users()?;
    let user = users.get(&credentials.user)?;
    let checked = check_secrets(
        user.map(|user| &user.secrets),
        users.all().first().map(|user| &user.secrets),
        credentials,
    )?;
    if let (Checked::Accepted(_), Some(user)) = (&checked, user)
        && user.secrets.keys().is_none()
        && is_own
    {
        let name = &user.name;
        match user.secrets.with_keys(&credentials.password).and_then(|secrets| add_keys(file, user, secrets))
        {
            Ok(()) => tracing::info!(user = name, "has keys for SCRAM from now on"),
            Err(why) => tracing::warn!(user = name, why, "has no keys for SCRAM yet"),
        }
    }
    Ok(checked)
}

fn add_keys(file: &UserFile, known: &User, secrets: Secrets) -> Result<(), String> {
    file.change(|users| match users.get(&known.name)? {
        // Somebody may have given him another password meanwhile.
        Some(now) if now == known => {
            users.put(User { name: known.name.clone(), secrets });
            Ok(())
        }
        _ => Err(String::from("the user was changed meanwhile")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::preparation::Password;
    use super::*;

    fn credentials(user: &str, password: &str) -> Credentials {
        Credentials { user: user.into(), password: Password::read(password.as_bytes()).unwrap() }
    }

    fn asked<'a>(backend: &'a Backend, tables: &'a Tables) -> Asked<'a> {
        let loopback = "127.0.0.1".parse().unwrap();
        Asked { backend, tables, asker: (loopback, loopback, true) }
    }

    #[tokio::test]
    async fn a_hash_alone_gets_keys_with_the_first_login() {
        let folder = tempfile::tempdir().unwrap();
        let authenticator = Authenticator::new(folder.path());
        let (backend, tables) = (Backend::File(None), Tables::default());
        let hash = bcrypt::hash("secret", 4).unwrap();
        std::fs::write(folder.path().join("users"), format!("alice:{hash}\n")).unwrap();
        let asked = asked(&backend, &tables);
        assert_eq!(authenticator.keys(asked, "alice").await, Ok(None));
        assert_eq!(authenticator.check(asked, credentials("alice", "wrong")).await, Ok(Checked::Rejected));
        assert_eq!(authenticator.check(asked, credentials("bob", "secret")).await, Ok(Checked::Rejected));
        assert_eq!(authenticator.keys(asked, "alice").await, Ok(None));
        let accepted = Ok(Checked::Accepted("alice".into()));
        assert_eq!(authenticator.check(asked, credentials("alice", "secret")).await, accepted);
        let keys = authenticator.keys(asked, "alice").await.unwrap().unwrap();
        assert!(keys.fit(&Password::read(b"secret").unwrap()));
        let nobody = authenticator.keys(asked, "bob").await.unwrap().unwrap();
        assert!(!nobody.fit(&Password::read(b"secret").unwrap()));
    }

    #[tokio::test]
    async fn a_store_that_fails_rejects_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let authenticator = Authenticator::new(folder.path());
        let tables = Tables::default();
        std::fs::create_dir(folder.path().join("users")).unwrap();
        for backend in [
            Backend::File(None),
            Backend::Table("users".into()),
            Backend::Dovecot(folder.path().join("auth")),
            Backend::Saslauthd(folder.path().join("mux")),
        ] {
            let checked = authenticator.check(asked(&backend, &tables), credentials("a", "b")).await;
            assert!(checked.is_err(), "{backend:?}");
        }
    }
}
