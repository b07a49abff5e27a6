//! What is said about policies, and how they are laid out, against what is written down. With `UPDATE_EXPECTED` set, it
//! is written anew, for review.
#![cfg(test)]
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test fails by panicking")]

mod check_errors;
mod examples;
mod guide;
mod syntax_errors;

use std::fs;
use std::path::{Path, PathBuf};

use policy::diagnostic::Diagnostic;
use policy::span::SourceFile;

/// The policies in a folder beside the crate's manifest, in the order of their names.
fn policies(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "policy"))
        .collect();
    files.sort();
    files
}

fn name(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// The findings as they are printed, with an empty line behind each.
fn rendered(findings: &[Diagnostic], files: &[SourceFile]) -> String {
    findings.iter().map(|finding| finding.render(files, false) + "\n\n").collect()
}

/// Whether the file says just this.
fn stands(file: impl AsRef<Path>, text: &str) -> bool {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&file, text).unwrap();
    }
    fs::read_to_string(file).unwrap_or_default() == text
}

/// Whether what is said about a policy stands beside it; what is said, if not.
fn compared(policy: &Path, said: &str) -> Option<String> {
    (!stands(policy.with_extension("txt"), said)).then(|| format!("== {}\n{said}", name(policy)))
}
