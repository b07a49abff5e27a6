//! The files of a policy on the disk: its own text, and what it names beside it.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use policy::Files;

/// Longest file that a policy may name, in octets: a list of ten million networks.
pub const FILE_OCTETS_MAX: u64 = 256 << 20;

/// Reads what a policy names; relative paths start at the directory of the policy's file.
#[derive(Debug, Clone)]
pub struct FilesBeside {
    directory: PathBuf,
}

impl FilesBeside {
    /// The files that a policy in `file` names.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        Self { directory: file.parent().map_or_else(PathBuf::new, Path::to_owned) }
    }
}

impl Files for FilesBeside {
    fn read(&mut self, path: &str) -> Result<String, String> {
        text_of(&self.directory.join(path))
    }
}

/// The text of a policy's main file.
///
/// # Errors
/// Why it can't be read.
pub fn read(file: &Path) -> anyhow::Result<String> {
    text_of(file).map_err(anyhow::Error::msg).with_context(|| format!("cannot read {}", file.display()))
}

fn text_of(path: &Path) -> Result<String, String> {
    let file = fs::File::open(path).map_err(|error| in_few_words(&error))?;
    let metadata = file.metadata().map_err(|error| in_few_words(&error))?;
    if !metadata.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut octets = Vec::new();
    file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(|error| in_few_words(&error))?;
    if octets.len() as u64 > FILE_OCTETS_MAX {
        return Err(format!("it is longer than {} MiB", FILE_OCTETS_MAX >> 20));
    }
    String::from_utf8(octets).map_err(|error| {
        let before = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default();
        format!("line {} is not UTF-8", before.iter().filter(|octet| **octet == b'\n').count() + 1)
    })
}

fn in_few_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "no such file".to_owned(),
        std::io::ErrorKind::PermissionDenied => "no permission to read it".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_named_stands_beside_the_policy() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("site.policy");
        fs::write(folder.path().join("list.txt"), "192.0.2.0/24\n").unwrap();
        let mut files = FilesBeside::of(&file);
        assert_eq!(files.read("list.txt").as_deref(), Ok("192.0.2.0/24\n"));
        let absolute = folder.path().join("list.txt");
        assert!(files.read(absolute.to_str().unwrap()).is_ok());
        assert_eq!(files.read("none.txt"), Err("no such file".to_owned()));
        assert_eq!(files.read("."), Err("it is not a file".to_owned()));
        fs::write(folder.path().join("latin.txt"), b"a\nb\xe9\n").unwrap();
        assert_eq!(files.read("latin.txt"), Err("line 2 is not UTF-8".to_owned()));
    }

    #[test]
    fn a_policy_that_is_not_there_says_so() {
        let fault = read(Path::new("/none/site.policy")).unwrap_err();
        assert_eq!(format!("{fault:#}"), "cannot read /none/site.policy: no such file");
    }
}
