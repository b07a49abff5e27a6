//! A table that is a directory: a file for each key, a value on each of its lines.
//!
//! Invariants: a key never leads out of the directory; a directory that is gone is a failure, for it may only be unmounted.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::values::{VALUES_OCTETS_MAX, Values};

/// Longest name of a file, in octets (POSIX NAME_MAX).
const NAME_OCTETS_MAX: usize = 255;

/// The directory.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(super) const fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// The lines of the file that is named as the key.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<Values>, String> {
        let (folder, key) = (self.path.clone(), key.to_owned());
        let read = tokio::task::spawn_blocking(move || read(&folder, &key));
        read.await.unwrap_or_else(|_| Err("reading a file ended abnormally".into()))
    }
}

fn read(folder: &Path, key: &str) -> Result<Option<Values>, String> {
    let is_name = !key.is_empty() && !key.starts_with('.') && !key.contains(['/', '\0']);
    let said = |path: &Path, error: &io::Error| format!("can't read `{}`: {error}", path.display());
    let absent = || match std::fs::metadata(folder) {
        Ok(metadata) if metadata.is_dir() => Ok(None),
        Ok(_) => Err(format!("`{}` is no directory", folder.display())),
        Err(error) => Err(said(folder, &error)),
    };
    if !is_name || key.len() > NAME_OCTETS_MAX {
        return absent();
    }
    let path = folder.join(key);
    let mut text = String::new();
    match std::fs::File::open(&path) {
        Ok(file) => {
            // A pipe or a device would never end.
            let is_file = file.metadata().map_err(|error| said(&path, &error))?.is_file();
            if !is_file {
                return Err(format!("`{}` is no file", path.display()));
            }
            let limit = u64::try_from(VALUES_OCTETS_MAX).unwrap_or(u64::MAX);
            file.take(limit.saturating_add(1))
                .read_to_string(&mut text)
                .map_err(|error| said(&path, &error))?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return absent(),
        Err(error) => return Err(said(&path, &error)),
    }
    if text.len() > VALUES_OCTETS_MAX {
        return Err(format!("`{}` is larger than {VALUES_OCTETS_MAX} octets", path.display()));
    }
    let mut values = Values::default();
    let unnamed = Arc::from("");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        values.push(&unnamed, line.to_owned())?;
    }
    Ok(Some(values))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(found: Result<Option<Values>, String>) -> Option<Vec<String>> {
        found.unwrap().map(|values| values.texts().map(str::to_owned).collect())
    }

    #[test]
    fn a_file_is_an_entry_and_its_lines_are_values() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a@x.example"), "# who\nb@x.example\n\n  c@x.example \n").unwrap();
        std::fs::write(folder.path().join("empty"), "").unwrap();
        assert_eq!(
            texts(read(folder.path(), "a@x.example")),
            Some(vec!["b@x.example".into(), "c@x.example".into()])
        );
        assert_eq!(texts(read(folder.path(), "empty")), Some(Vec::new()));
        assert_eq!(texts(read(folder.path(), "no")), None);
    }

    #[test]
    fn no_key_leads_out_and_a_directory_that_is_gone_is_a_failure() {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("table");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(outer.path().join("secret"), "x").unwrap();
        std::fs::write(folder.join(".hidden"), "x").unwrap();
        let long = "k".repeat(400);
        for key in ["../secret", ".", "..", "/etc/passwd", ".hidden", "", "a\0b", long.as_str()] {
            assert_eq!(texts(read(&folder, key)), None, "{key}");
        }
        std::fs::create_dir(folder.join("inner")).unwrap();
        assert!(read(&folder, "inner").is_err());
        assert!(read(&outer.path().join("gone"), "a").unwrap_err().contains("gone"));
        std::fs::write(folder.join("large"), "x".repeat(VALUES_OCTETS_MAX + 1)).unwrap();
        assert!(read(&folder, "large").is_err());
    }
}
