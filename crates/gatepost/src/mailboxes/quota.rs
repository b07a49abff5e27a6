//! How much a Maildir holds, measured and remembered for a minute.
//!
//! Invariants: nothing is locked while files are looked at; a number is at most [`USAGE_VALID`] old, and what was
//! delivered since is in it. There is one entry for each Maildir that has a quota.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use smtp::time::Timestamp;

/// How long a measured usage is believed: a folder that a user empties frees its quota after at most this time (ours).
pub const USAGE_VALID: Duration = Duration::from_secs(60);

/// The usage of Maildirs.
#[derive(Debug, Default)]
pub struct QuotaUsage {
    measured: Mutex<HashMap<PathBuf, Measured>>,
}

#[derive(Debug, Clone, Copy)]
struct Measured {
    when: Timestamp,
    used_octets: u64,
}

impl QuotaUsage {
    /// Octets that the Maildir holds; blocks on the file system unless they are known. A Maildir that isn't there holds
    /// none.
    ///
    /// # Errors
    /// When the Maildir can't be read; nothing is remembered then.
    pub fn used_octets(&self, maildir: &Path, now: Timestamp) -> io::Result<u64> {
        if let Some(known) = self.lock().get(maildir)
            && now.since(known.when) < USAGE_VALID
        {
            return Ok(known.used_octets);
        }
        let used_octets = measure(maildir)?;
        self.lock().insert(maildir.to_owned(), Measured { when: now, used_octets });
        Ok(used_octets)
    }

    /// Notes that a message was delivered, so that the next question finds it in the usage.
    pub fn delivered(&self, maildir: &Path, size_octets: u64) {
        if let Some(known) = self.lock().get_mut(maildir) {
            known.used_octets = known.used_octets.saturating_add(size_octets);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Measured>> {
        // A panic elsewhere leaves at worst a number that is re-measured within a minute.
        self.measured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Octets of all messages in a Maildir and in its Maildir++ folders.
fn measure(maildir: &Path) -> io::Result<u64> {
    let mut total = folder_octets(maildir)?;
    for entry in entries(maildir)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") && entry.file_type()?.is_dir() {
            total = total.saturating_add(folder_octets(&entry.path())?);
        }
    }
    Ok(total)
}

fn folder_octets(folder: &Path) -> io::Result<u64> {
    let mut total = 0_u64;
    for part in ["new", "cur"] {
        for entry in entries(&folder.join(part))? {
            let entry = entry?;
            let size_octets = match named_octets(&entry.file_name().to_string_lossy()) {
                Some(size_octets) => size_octets,
                None => match entry.metadata() {
                    Ok(metadata) => metadata.len(),
                    // A mail reader has moved or removed it since the directory was read.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
                    Err(error) => return Err(error),
                },
            };
            total = total.saturating_add(size_octets);
        }
    }
    Ok(total)
}

/// The entries of a directory; none when there is no such directory.
fn entries(directory: &Path) -> io::Result<impl Iterator<Item = io::Result<fs::DirEntry>>> {
    match fs::read_dir(directory) {
        Ok(entries) => Ok(Some(entries).into_iter().flatten()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None.into_iter().flatten()),
        Err(error) => Err(error),
    }
}

/// The size that a Maildir++ file name states as `,S=1234`, which spares a look at the file.
fn named_octets(name: &str) -> Option<u64> {
    let (_, after) = name.split_once(",S=")?;
    let digits = after.split([',', ':']).next()?;
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gatepost-quota-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Self(path)
        }

        fn message(&self, name: &str, size_octets: usize) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, vec![b'x'; size_octets]).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn messages_of_all_folders_count_and_unfinished_ones_do_not() {
        let maildir = Scratch::new("folders");
        maildir.message("new/1.host", 10);
        maildir.message("cur/2.host,S=500:2,S", 3);
        maildir.message(".Sent/cur/3.host:2,S", 7);
        maildir.message("tmp/4.host", 1_000);
        let usage = QuotaUsage::default();
        assert_eq!(usage.used_octets(&maildir.0, Timestamp::from_millis(0)).unwrap(), 517);
    }

    #[test]
    fn the_number_is_kept_for_its_time_and_deliveries_are_added() {
        let maildir = Scratch::new("kept");
        let usage = QuotaUsage::default();
        let start = Timestamp::from_millis(5);
        assert_eq!(usage.used_octets(&maildir.0, start).unwrap(), 0, "no Maildir yet");
        maildir.message("new/1.host", 10);
        usage.delivered(&maildir.0, 4);
        assert_eq!(usage.used_octets(&maildir.0, start).unwrap(), 4);
        assert_eq!(usage.used_octets(&maildir.0, start + USAGE_VALID).unwrap(), 10);
    }

    #[test]
    fn what_is_no_maildir_is_an_error() {
        let scratch = Scratch::new("file");
        scratch.message("new", 1);
        let usage = QuotaUsage::default();
        assert!(usage.used_octets(&scratch.0, Timestamp::from_millis(0)).is_err());
    }
}
