//! The maildrop: a folder in which everybody may put a message, and which only the server can list.
//!
//! Invariants: a message is whole and durable before it has its name; a name can't be guessed, so that nobody but the
//! server and the one who put it there can open it.

use std::fs::{self, File};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use smtp::time::WallTime;

use super::content::Content;
use super::letter::Order;

/// Name of the folder in the state directory.
const FOLDER: &str = "maildrop";

/// What the name of a message begins with that is not whole yet.
pub(crate) const UNFINISHED: &str = "tmp.";

/// What the name of a message begins with.
pub(crate) const FINISHED: &str = "new.";

/// Everybody may write, nobody but the owner may list or take away what others wrote.
const FOLDER_MODE: u32 = 0o1733;

/// Where the maildrop of a state directory is.
#[must_use]
pub fn folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// Makes the maildrop, if it isn't there.
///
/// # Errors
/// When that can't be done.
pub fn prepare(folder: &Path) -> io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let found = fs::symlink_metadata(folder)?;
    if !found.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    if found.permissions().mode() & 0o7777 == FOLDER_MODE {
        return Ok(());
    }
    // Not with the call that makes it: the umask would take something away.
    fs::set_permissions(folder, fs::Permissions::from_mode(FOLDER_MODE))
}

/// Puts a message there; it is durable when this returns.
///
/// # Errors
/// Nothing was put there.
pub fn put(folder: &Path, order: &Order, content: &Content) -> io::Result<()> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| io::Error::other("the system has no random numbers"))?;
    let name: String = random.iter().map(|octet| format!("{octet:02x}")).collect();
    let unfinished = folder.join(format!("{UNFINISHED}{name}"));
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut file: File = rustix::fs::open(&unfinished, flags, Mode::RUSR | Mode::WUSR)?.into();
    let finished = folder.join(format!("{FINISHED}{name}"));
    let written = write(&mut file, order, content).and_then(|()| fs::rename(&unfinished, &finished));
    // The folder can't be opened by everybody, so that its new name is made durable with the file system.
    let durable = written.and_then(|()| Ok(rustix::fs::syncfs(&file)?));
    if durable.is_err() {
        let _ = fs::remove_file(&unfinished);
        let _ = fs::remove_file(&finished);
    }
    durable
}

/// A message that lies there.
#[derive(Debug)]
pub struct Dropped {
    /// The name of its file.
    pub name: String,
    /// How long the file is.
    pub size_octets: u64,
    /// When it was put there.
    pub received: WallTime,
    /// Who did it.
    pub uid: u32,
}

/// What lies there, for those who may list it.
///
/// # Errors
/// For all others.
pub fn list(folder: &Path) -> io::Result<Vec<Dropped>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // It may have been taken meanwhile.
        let Ok(found) = entry.metadata() else { continue };
        if name.starts_with(FINISHED) && found.is_file() {
            let seconds = u64::try_from(found.mtime()).unwrap_or_default();
            let received = WallTime::from_unix_millis(seconds.saturating_mul(1_000));
            all.push(Dropped { name, size_octets: found.len(), received, uid: found.uid() });
        }
    }
    all.sort_by_key(|dropped| dropped.received);
    Ok(all)
}

fn write(file: &mut File, order: &Order, content: &Content) -> io::Result<()> {
    let mut octets = 0;
    let mut reader = content.reader();
    let mut chunk = vec![0; 64 * 1024];
    // How long it is stands in front of it.
    loop {
        match reader.read(&mut chunk)? {
            0 => break,
            read => octets += read as u64,
        }
    }
    file.write_all(&Order { octets: Some(octets), ..order.clone() }.line()?)?;
    io::copy(&mut content.reader(), file)?;
    // The server's user reads it; whoever can't list the folder doesn't find it.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_put_there_is_whole_and_the_folder_can_not_be_listed_by_others() {
        let state = tempfile::tempdir().unwrap();
        let folder = folder(state.path());
        prepare(&folder).unwrap();
        prepare(&folder).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o7777, 0o1733);
        let order = Order { recipients: vec!["bob".into()], ..Order::new("alice".into()) };
        put(&folder, &order, &Content::Memory(b"Subject: x\n\n\0".to_vec())).unwrap();
        let names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(names.len(), 1);
        assert!(names[0].file_name().unwrap().to_str().unwrap().starts_with(FINISHED));
        let octets = fs::read(&names[0]).unwrap();
        let (line, message) = octets.split_at(memchr::memchr(b'\n', &octets).unwrap());
        assert_eq!(Order::parse(line).unwrap(), Order { octets: Some(13), ..order });
        assert_eq!(message, b"\nSubject: x\n\n\0");
    }

    #[test]
    fn a_link_in_the_place_of_the_folder_is_not_followed() {
        let state = tempfile::tempdir().unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), folder(state.path())).unwrap();
        assert!(prepare(&folder(state.path())).is_err());
    }
}
