//! ARCHITECTURE.md's code map: every crate and every folder of sources stands in it, and nothing that doesn't exist.
//!
//! A path counts when it stands in backquotes with its whole way from the root: `crates/smtp/src/server`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Finding, Source};
use crate::workspace::Package;

const MAP: &str = "ARCHITECTURE.md";

/// Paths that begin like this are looked up.
const ROOTS: [&str; 7] = ["crates", "xtask", "fuzz", "docs", "examples", ".ci", ".cargo"];

/// All that is missing in the map, and all in it that doesn't exist.
pub(super) fn check(map: Option<&Source>, packages: &[Package], files: &[PathBuf]) -> Vec<Finding> {
    let Some(map) = map else {
        return vec![Finding::new(Path::new(MAP), 1, "is missing")];
    };
    let named: Vec<(usize, &str)> =
        map.lines().flat_map(|(line, text)| paths(text).map(move |path| (line, path))).collect();
    let mut findings = Vec::new();
    for (line, path) in &named {
        if !files.iter().any(|file| file.starts_with(path)) {
            findings.push(Finding::new(&map.path, *line, format!("`{path}` doesn't exist")));
        }
    }
    for folder in expected(packages, files) {
        if !named.iter().any(|(_, path)| Path::new(path) == folder) {
            let message = format!("`{}` isn't in the code map", folder.display());
            findings.push(Finding::new(&map.path, 1, message));
        }
    }
    findings
}

/// The paths in backquotes in one line.
fn paths(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|quoted| {
        let path = !quoted.contains([' ', '*', '<', '{']) && quoted.contains('/');
        path && ROOTS.iter().any(|root| quoted.split('/').next() == Some(root))
    })
}

/// The folders that must stand in the map: each package's, and each with Rust files below its `src`.
fn expected(packages: &[Package], files: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut folders: BTreeSet<PathBuf> = packages
        .iter()
        .map(|package| package.folder.clone())
        .filter(|folder| folder.components().count() > 1)
        .collect();
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        for package in packages {
            let source = package.folder.join("src");
            let within = file.ancestors().skip(1).take_while(|folder| *folder != source);
            if file.starts_with(&source) {
                folders.extend(within.map(Path::to_path_buf));
            }
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: Option<&str>) -> Vec<String> {
        let map = text.map(|text| Source { path: MAP.into(), text: text.into() });
        let package = Package {
            name: "gatepost-smtp".to_owned(),
            folder: PathBuf::from("crates/smtp"),
            dependencies: Vec::new(),
        };
        let files =
            ["crates/smtp/src/lib.rs", "crates/smtp/src/server/data.rs", "crates/smtp/src/golden/a.txt"];
        check(map.as_ref(), &[package], &files.map(PathBuf::from))
            .into_iter()
            .map(|found| found.message)
            .collect()
    }

    #[test]
    fn a_whole_map_passes() {
        let text = "- `crates/smtp`: pure; `crates/smtp/src/server/` and `crates/smtp/src/server/data.rs`\n";
        assert_eq!(messages(Some(text)), [""; 0]);
    }

    #[test]
    fn what_is_missing_or_gone_is_found() {
        assert_eq!(messages(None), ["is missing"]);
        assert_eq!(
            messages(Some("`crates/smtp` and `crates/smtp/src/server.rs`\n")),
            ["`crates/smtp/src/server.rs` doesn't exist", "`crates/smtp/src/server` isn't in the code map"]
        );
    }
}
