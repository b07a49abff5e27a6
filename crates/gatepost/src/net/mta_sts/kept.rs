//! Policies on the disk: a file a domain, in one directory.
//!
//! Invariants: a file is whole or not there; one that can't be read is a policy that nobody knows.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use smtp::time::WallTime;

use super::policy::Policy;

/// Octets of a kept policy's file (ours: above what is fetched).
const FILE_OCTETS_MAX: u64 = 128 * 1024;

/// How the files' names end.
const SUFFIX: &str = ".policy";

/// A policy, under which id it came, and when.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) policy: Arc<Policy>,
    pub(super) id: String,
    pub(super) fetched: WallTime,
}

impl Kept {
    /// Whether it may still be kept. One from the future was kept by a clock that was wrong, and counts from now.
    pub(super) fn is_in_time(&self, now: WallTime) -> bool {
        now.since(self.fetched) < self.policy.max_age
    }
}

/// The directory. Whatever is done with it blocks on the disk.
#[derive(Debug)]
pub(super) struct Directory(pub(super) PathBuf);

impl Directory {
    /// Writes a policy down: its id and its time, then its lines. The directory is made when it isn't there.
    ///
    /// # Errors
    /// It can't be; what was there stays.
    pub(super) fn write(&self, domain: &str, kept: &Kept) -> io::Result<()> {
        let Some(path) = self.file_of(domain) else { return Ok(()) };
        let lines = kept.policy.lines().join("\n");
        let text = format!("{} {}\n{lines}\n", kept.id, kept.fetched.as_unix_seconds());
        fs::create_dir_all(&self.0)?;
        let fresh = path.with_extension("new");
        fs::write(&fresh, text)?;
        fs::rename(&fresh, &path)
    }

    /// The policy of a domain, if one is there.
    pub(super) fn read(&self, domain: &str) -> Option<Kept> {
        let path = self.file_of(domain)?;
        if fs::metadata(&path).ok()?.len() > FILE_OCTETS_MAX {
            return None;
        }
        let text = fs::read_to_string(&path).ok()?;
        let (head, policy) = text.split_once('\n')?;
        let (id, seconds) = head.split_once(' ')?;
        let fetched = WallTime::from_unix_millis(seconds.parse::<u64>().ok()?.checked_mul(1_000)?);
        Some(Kept { policy: Arc::new(Policy::parse(policy).ok()?), id: id.to_owned(), fetched })
    }

    /// The domains whose policies are there, in no order, at most `most` of them.
    pub(super) fn domains(&self, most: usize) -> Vec<String> {
        let entries = fs::read_dir(&self.0).into_iter().flatten().filter_map(Result::ok);
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.filter_map(|name| Some(name.strip_suffix(SUFFIX)?.to_owned())).take(most).collect()
    }

    /// Takes away what is kept of a domain.
    pub(super) fn remove(&self, domain: &str) {
        // What stays is looked at again the next time.
        drop(self.file_of(domain).map(fs::remove_file));
    }

    /// The file of a domain; `None` for a name that can be no file's.
    fn file_of(&self, domain: &str) -> Option<PathBuf> {
        let is_plain = domain.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_.".contains(&c));
        (is_plain && !domain.starts_with('.') && domain.len() <= 240)
            .then(|| self.0.join(Path::new(&format!("{domain}{SUFFIX}"))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(id: &str) -> Kept {
        let policy =
            Policy::parse("version: STSv1\nmode: enforce\nmx: mx.example.org\nmax_age: 100\n").unwrap();
        Kept { policy: Arc::new(policy), id: id.into(), fetched: WallTime::from_unix_millis(5_000_000) }
    }

    #[test]
    fn what_is_written_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory(folder.path().join("mta-sts"));
        assert!(directory.read("example.org").is_none());
        directory.write("example.org", &kept("1")).unwrap();
        directory.write("example.org", &kept("2")).unwrap();
        let read = directory.read("example.org").unwrap();
        assert_eq!(
            (read.id.as_str(), read.fetched, &read.policy),
            ("2", kept("2").fetched, &kept("2").policy)
        );
        assert_eq!(directory.domains(10), ["example.org"]);
        assert!(directory.domains(0).is_empty());
        directory.remove("example.org");
        assert!(directory.read("example.org").is_none() && directory.domains(10).is_empty());
    }

    #[test]
    fn what_is_no_file_is_no_policy() {
        let folder = tempfile::tempdir().unwrap();
        let directory = Directory(folder.path().to_owned());
        for domain in ["../escape", ".hidden", "a/b", &"a.".repeat(130)] {
            directory.write(domain, &kept("1")).unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for text in ["", "1\n", "1 x\nversion: STSv1\n", "1 5\nmode: enforce\n"] {
            fs::write(folder.path().join("example.org.policy"), text).unwrap();
            assert!(directory.read("example.org").is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_policy_lives_as_long_as_it_says() {
        let kept = kept("1");
        let at = |seconds: u64| kept.is_in_time(WallTime::from_unix_millis(seconds * 1_000));
        assert!(at(5_000) && at(5_099) && !at(5_100));
        assert!(at(4_000), "a clock that was set back");
    }
}
