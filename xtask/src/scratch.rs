//! A folder of a run's own, on the disk that cargo builds on (never a memory file system), removed at the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use anyhow::{Context as _, Result};

/// The folder; dropping it removes it unless it is kept.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    kept: bool,
}

impl Scratch {
    /// A new, empty folder under `target`.
    ///
    /// # Errors
    /// When it can't be made.
    pub(crate) fn new(target: &Path, purpose: &str) -> Result<Self> {
        let path = target.join(purpose).join(process::id().to_string());
        if path.exists() {
            fs::remove_dir_all(&path).with_context(|| format!("can't empty {}", path.display()))?;
        }
        fs::create_dir_all(&path).with_context(|| format!("can't make {}", path.display()))?;
        Ok(Self { path, kept: false })
    }

    /// Where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the folder where it is, to be looked at.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            // What is left over does no harm under target/, and an error has nobody to go to.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
