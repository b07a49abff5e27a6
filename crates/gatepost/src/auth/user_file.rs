//! The file of users: one a line, `name:hash`, with more forms of the same password behind blanks.
//!
//! Invariants: whoever reads it while it is written sees the old one or the new one; it is for its owner alone; a line that
//! can't be read makes nobody unknown.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::preparation::prepared_name;
use super::secret::Secrets;
use crate::config::{Stamp, read_text};

/// What the file that is written says of itself.
const HEAD: &str =
    "# The users of this server: `gatepost user` writes this file, and reads it as htpasswd does.\n";

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, prepared.
    pub name: String,
    /// What is stored of his password.
    pub secrets: Secrets,
}

/// The users that a text names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Users {
    users: Vec<User>,
    places: HashMap<String, usize>,
    /// Lines that are no user.
    broken: Vec<usize>,
    /// The first line that holds what would be lost if this program wrote the file.
    others: Option<usize>,
}

impl Users {
    /// Reads a text. Of a name that stands twice the first line counts.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut users = Self::default();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() {
                continue;
            }
            if line.starts_with('#') {
                if line != HEAD.trim_end() {
                    users.others.get_or_insert(index + 1);
                }
                continue;
            }
            if has_more(line) {
                users.others.get_or_insert(index + 1);
            }
            match user(line) {
                Some(user) if !users.places.contains_key(&user.name) => {
                    users.places.insert(user.name.clone(), users.users.len());
                    users.users.push(user);
                }
                _ => users.broken.push(index + 1),
            }
        }
        users
    }

    /// The user of that name, which is prepared.
    ///
    /// # Errors
    /// When he is not there and lines can't be read: he may stand in one.
    pub fn get(&self, name: &str) -> Result<Option<&User>, String> {
        let found = self.places.get(name).and_then(|place| self.users.get(*place));
        match (found, self.broken.first()) {
            (None, Some(line)) => Err(format!("line {line} of the file of users can't be read")),
            (found, _) => Ok(found),
        }
    }

    /// All of them, in the order of the file.
    #[must_use]
    pub fn all(&self) -> &[User] {
        &self.users
    }

    /// The numbers of lines that can't be read, or name a user again.
    #[must_use]
    pub fn broken(&self) -> &[usize] {
        &self.broken
    }

    /// Puts the user there, in his old place if he has one.
    pub fn put(&mut self, user: User) {
        match self.places.get(&user.name).and_then(|place| self.users.get_mut(*place)) {
            Some(known) => *known = user,
            None => {
                self.places.insert(user.name.clone(), self.users.len());
                self.users.push(user);
            }
        }
    }

    /// Takes the user away; says whether there was one.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.users.len();
        self.users.retain(|user| user.name != name);
        self.places = self.users.iter().enumerate().map(|(place, user)| (user.name.clone(), place)).collect();
        self.users.len() < before
    }

    fn to_text(&self) -> String {
        let mut text = String::from(HEAD);
        for User { name, secrets } in &self.users {
            text.push_str(&format!("{name}:{}\n", secrets.to_text()));
        }
        text
    }
}

/// Whether there is more than name and secrets: the fields of passwd(5).
fn has_more(line: &str) -> bool {
    let secrets = line.split_once(':').map_or("", |(_, secrets)| secrets);
    secrets.split_whitespace().any(|form| !form.contains("SCRAM-SHA-256") && form.contains(':'))
}

/// `name:hash`, and what htpasswd and passwd(5) have behind it.
fn user(line: &str) -> Option<User> {
    let (name, rest) = line.split_once(':')?;
    let secrets = rest.split_whitespace().map(|form| {
        // SCRAM's keys are the only form with a colon of its own.
        if form.contains("SCRAM-SHA-256") { form } else { form.split(':').next().unwrap_or(form) }
    });
    let secrets: Vec<&str> = secrets.filter(|form| !form.is_empty()).collect();
    let name = prepared_name(name)?;
    (!secrets.is_empty()).then(|| User { name, secrets: Secrets::read(secrets.into_iter()) })
}

/// The file, as it was when it was last read.
#[derive(Debug)]
pub struct UserFile {
    path: PathBuf,
    read: Mutex<Option<(Option<Stamp>, Arc<Users>)>>,
}

impl UserFile {
    /// The file at `path`, which need not be there: then there are no users.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, read: Mutex::new(None) }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The users that stand in it now. Blocks on the disk.
    ///
    /// # Errors
    /// When it is there and can't be read.
    pub fn users(&self) -> Result<Arc<Users>, String> {
        let stamp = Stamp::of(&self.path);
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, users)) = &*read
            && *known == stamp
        {
            return Ok(Arc::clone(users));
        }
        let text = match read_text(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(format!("cannot read {}: {error}", self.path.display())),
        };
        let users = Arc::new(Users::parse(&text));
        if fs::metadata(&self.path).is_ok_and(|metadata| metadata.mode() & 0o007 != 0) {
            tracing::warn!(file = %self.path.display(), "anybody on this machine can read the file of users");
        }
        for line in users.broken() {
            tracing::error!(file = %self.path.display(), line, "this line names no user, or one that stands above");
        }
        *read = Some((stamp, Arc::clone(&users)));
        Ok(users)
    }

    /// Changes the file as `change` says, unless that fails; nobody else changes it meanwhile. Lines that can't be read
    /// stay nobody's: the file is left as it is. Blocks on the disk and on others.
    ///
    /// # Errors
    /// What `change` says, or what kept the file from being read or written.
    pub fn change<T>(&self, change: impl FnOnce(&mut Users) -> Result<T, String>) -> Result<T, String> {
        let failed = |what: &str, error: io::Error| format!("cannot {what} {}: {error}", self.path.display());
        let folder = folder_of(&self.path);
        fs::create_dir_all(folder).map_err(|error| failed("make the directory of", error))?;
        let lock_path = self.path.with_added_extension("lock");
        let owner = Owner::of(&self.path, folder).map_err(|error| failed("see whose is", error))?;
        let lock = owner.open(&lock_path).map_err(|error| failed("lock", error))?;
        lock.lock().map_err(|error| failed("lock", error))?;
        let mut users = (*self.users()?).clone();
        if let Some(line) = users.broken().first() {
            return Err(format!(
                "{}:{line}: this line names no user, or one that stands above",
                self.path.display()
            ));
        }
        if let Some(line) = users.others {
            return Err(format!(
                "{}:{line}: a comment or a field stands here that would be lost; change the file by hand",
                self.path.display()
            ));
        }
        let changed = change(&mut users)?;
        let new_path = self.path.with_added_extension("new");
        let written = || {
            let mut file = owner.open(&new_path)?;
            file.set_len(0)?;
            file.write_all(users.to_text().as_bytes())?;
            file.sync_all()?;
            fs::rename(&new_path, &self.path)?;
            File::open(folder)?.sync_all()
        };
        written().map_err(|error| failed("write", error))?;
        Ok(changed)
    }
}

/// The directory of a file; that of a bare name is where the program is.
fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whose the file is, so that it stays his when root changes it: the server must be able to read it.
#[derive(Debug, Clone, Copy)]
struct Owner {
    user: u32,
    group: u32,
}

impl Owner {
    /// The file's, or its directory's where there is no such file.
    fn of(file: &Path, folder: &Path) -> io::Result<Self> {
        let metadata = match fs::metadata(file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => fs::metadata(folder)?,
            metadata => metadata?,
        };
        Ok(Self { user: metadata.uid(), group: metadata.gid() })
    }

    /// Opens a file for its owner alone, made if it isn't there.
    fn open(self, path: &Path) -> io::Result<File> {
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(path)?;
        if rustix::process::geteuid().is_root() {
            fchown(&file, Some(self.user), Some(self.group))?;
        }
        Ok(file)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::super::preparation::Password;
    use super::*;

    #[test]
    fn files_of_htpasswd_and_dovecot_are_read() {
        let users = Users::parse(
            "# htpasswd\nAlice@Example.org:$2y$05$abc\n\nbob:{SSHA}YWJj:1000:1000::/home/bob\ncarol:$6$s$h SCRAM-SHA-256$4096:YQ==$b:c\n",
        );
        let names: Vec<&str> = users.all().iter().map(|user| user.name.as_str()).collect();
        assert_eq!((names, users.broken()), (vec!["alice@example.org", "bob", "carol"], &[][..]));
        assert_eq!(users.get("bob").unwrap().unwrap().secrets.to_text(), "{SSHA}YWJj");
        assert_eq!(users.get("dave"), Ok(None));
    }

    #[test]
    fn a_line_that_cannot_be_read_makes_nobody_unknown() {
        let users = Users::parse("alice:x\nalice:y\nnonsense\nbob:\n:x\n");
        assert_eq!(users.broken(), [2, 3, 4, 5]);
        assert!(users.get("alice").unwrap().is_some() && users.get("bob").is_err());
    }

    #[test]
    fn a_bare_name_is_a_file_of_the_directory_that_the_program_is_in() {
        assert_eq!(folder_of(Path::new("users")), Path::new("."));
        assert_eq!(folder_of(Path::new("state/users")), Path::new("state"));
        assert_eq!(folder_of(Path::new("/users")), Path::new("/"));
    }

    #[test]
    fn a_change_is_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let file = UserFile::new(folder.path().join("users"));
        assert_eq!(file.users().unwrap().all(), []);
        let secrets = Secrets::new(&Password::read(b"secret").unwrap()).unwrap();
        let alice = User { name: "alice".into(), secrets };
        file.change(|users| {
            users.put(alice.clone());
            Ok(())
        })
        .unwrap();
        assert_eq!(file.users().unwrap().get("alice"), Ok(Some(&alice)));
        assert_eq!(fs::metadata(file.path()).unwrap().permissions().mode() & 0o777, 0o600);
        if rustix::process::geteuid().is_root() {
            // As when root adds a user for a server that runs as somebody else.
            fchown(File::open(file.path()).unwrap(), Some(65_534), Some(65_534)).unwrap();
            file.change(|_| Ok(())).unwrap();
            assert_eq!(fs::metadata(file.path()).unwrap().uid(), 65_534);
        }
        assert_eq!(file.change(|_| Err::<(), _>("no".to_owned())), Err("no".to_owned()));
        assert!(file.change(|users| Ok(users.remove("alice"))).unwrap());
        assert_eq!(file.users().unwrap().all(), []);
        for others in ["# ours\nalice:$2y$05$abc\n", "alice:{SSHA}YWJj:1000:1000::/home/alice\n"] {
            fs::write(file.path(), others).unwrap();
            let refused = file.change(|_| Ok(())).unwrap_err();
            assert!(refused.contains("users:1: a comment or a field"), "{refused}");
            assert_eq!(fs::read_to_string(file.path()).unwrap(), others);
        }
        fs::write(file.path(), "nonsense\n").unwrap();
        let refused = file.change(|_| Ok(())).unwrap_err();
        assert!(refused.ends_with("users:1: this line names no user, or one that stands above"), "{refused}");
    }
}
