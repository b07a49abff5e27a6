//! `cargo xtask docs`: the documents that the program prints from its own tables.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::process;
use crate::workspace::Workspace;

/// What `docs` is asked to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail when a document isn't what the program prints.
    #[arg(long)]
    pub(crate) check: bool,
}

/// The documents: what `gatepost reference` calls them, and where they stand.
const DOCUMENTS: [(&str, &str); 6] = [
    ("replies", "docs/reference/replies.md"),
    ("remote-replies", "docs/reference/remote-replies.md"),
    ("configuration", "docs/reference/configuration.md"),
    ("policy-grammar", "docs/reference/policy-grammar.md"),
    ("policy-facts", "docs/reference/policy-facts.md"),
    ("policy-replies", "docs/reference/policy-replies.md"),
];

/// Writes or compares each document.
///
/// # Errors
/// When the program can't be built or a document can't be written.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    process::run(
        process::cargo()
            .args(["build", "--quiet", "--locked", "--package", "gatepost"])
            .current_dir(&workspace.root),
    )?;
    let program = workspace.program("debug", "gatepost");
    let mut in_step = true;
    for (name, file) in DOCUMENTS {
        let printed = process::capture(std::process::Command::new(&program).args(["reference", name]))?;
        let path = workspace.root.join(file);
        let stands = fs::read_to_string(&path).unwrap_or_default();
        match (stands == printed, args.check) {
            (true, _) => println!("{file}: in step"),
            (false, true) => {
                in_step = false;
                println!(
                    "{file}: out of step{}; run `cargo xtask docs`",
                    first_difference(&stands, &printed)
                );
            }
            (false, false) => {
                write(&path, &printed)?;
                println!("{file}: written");
            }
        }
    }
    Ok(in_step)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("can't make {}", folder.display()))?;
    }
    fs::write(path, text).with_context(|| format!("can't write {}", path.display()))
}

/// Where two texts part, in words.
fn first_difference(stands: &str, printed: &str) -> String {
    let same = stands.lines().zip(printed.lines()).take_while(|(one, two)| one == two).count();
    format!(" from line {}", same + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_difference_is_named() {
        assert_eq!(first_difference("a\nb\n", "a\nc\n"), " from line 2");
        assert_eq!(first_difference("", "a\n"), " from line 1");
    }
}
