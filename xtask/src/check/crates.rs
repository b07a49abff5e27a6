//! Which crate may use which, and names that say nothing.

use std::path::{Path, PathBuf};

use super::Finding;
use crate::workspace::Package;

/// A crate, the workspace crates that it may use, and the outside crates that it may use when they are limited.
struct Rule {
    name: &'static str,
    internal: &'static [&'static str],
    external: Option<&'static [&'static str]>,
}

/// The direction of the tree: `smtp <- policy`, `smtp <- queue`, and the program and the simulation on top.
const RULES: [Rule; 6] = [
    Rule { name: "gatepost-smtp", internal: &[], external: Some(&["memchr"]) },
    Rule { name: "gatepost-policy", internal: &["gatepost-smtp"], external: None },
    Rule { name: "gatepost-queue", internal: &["gatepost-smtp"], external: None },
    Rule {
        name: "gatepost",
        internal: &["gatepost-smtp", "gatepost-policy", "gatepost-queue"],
        external: None,
    },
    Rule {
        name: "gatepost-sim",
        internal: &["gatepost-smtp", "gatepost-policy", "gatepost-queue", "gatepost"],
        external: None,
    },
    Rule { name: "xtask", internal: &[], external: None },
];

/// Names that a crate, a folder or a file can't have: they say nothing about what it holds.
const EMPTY_NAMES: [&str; 11] = [
    "common", "utils", "util", "core", "types", "helpers", "helper", "misc", "manager", "handler", "handlers",
];

/// All dependencies that go against the direction.
pub(super) fn check_edges(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let manifest = package.folder.join("Cargo.toml");
        let Some(rule) = RULES.iter().find(|rule| rule.name == package.name) else {
            let message =
                format!("crate {} has no place in the direction (xtask/src/check/crates.rs)", package.name);
            findings.push(Finding::new(&manifest, 1, message));
            continue;
        };
        for dependency in &package.dependencies {
            let allowed = if dependency.internal {
                rule.internal.contains(&dependency.name.as_str())
            } else {
                dependency.development
                    || rule.external.is_none_or(|external| external.contains(&dependency.name.as_str()))
            };
            if !allowed {
                let message = format!("{} may not depend on {}", package.name, dependency.name);
                findings.push(Finding::new(&manifest, 1, message));
            }
        }
    }
    findings
}

/// All crates and modules whose name says nothing.
pub(super) fn check_names(packages: &[Package], files: &[PathBuf]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let last = package.name.rsplit('-').next().unwrap_or_default();
        if EMPTY_NAMES.contains(&last) {
            let message = format!("the name {} says nothing about what the crate holds", package.name);
            findings.push(Finding::new(&package.folder.join("Cargo.toml"), 1, message));
        }
    }
    for file in files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "rs")) {
        let mut parts = file.iter().filter_map(|part| Path::new(part).file_stem()?.to_str());
        if let Some(name) = parts.find(|part| EMPTY_NAMES.contains(part)) {
            findings.push(Finding::new(
                file,
                1,
                format!("the name `{name}` says nothing about what it holds"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Dependency;

    fn package(name: &str, dependencies: &[(&str, bool, bool)]) -> Package {
        let dependencies = dependencies
            .iter()
            .map(|(name, internal, development)| Dependency {
                name: (*name).to_owned(),
                internal: *internal,
                development: *development,
            })
            .collect();
        Package { name: name.to_owned(), folder: PathBuf::from("crates").join(name), dependencies }
    }

    fn edge_messages(package: Package) -> Vec<String> {
        check_edges(&[package]).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn the_direction_holds() {
        let good = package("gatepost-queue", &[("gatepost-smtp", true, false), ("rustix", false, false)]);
        assert_eq!(edge_messages(good), [""; 0]);
        let pure = package("gatepost-smtp", &[("memchr", false, false), ("proptest", false, true)]);
        assert_eq!(edge_messages(pure), [""; 0]);
    }

    #[test]
    fn edges_against_the_direction_are_found() {
        let up = package("gatepost-smtp", &[("gatepost-queue", true, false)]);
        assert_eq!(edge_messages(up), ["gatepost-smtp may not depend on gatepost-queue"]);
        let beside = package("gatepost-policy", &[("gatepost-queue", true, true)]);
        assert_eq!(edge_messages(beside), ["gatepost-policy may not depend on gatepost-queue"]);
        let impure = package("gatepost-smtp", &[("tokio", false, false)]);
        assert_eq!(edge_messages(impure), ["gatepost-smtp may not depend on tokio"]);
        assert!(edge_messages(package("gatepost-extra", &[]))[0].contains("no place"));
    }

    #[test]
    fn names_that_say_nothing_are_found() {
        let files = ["crates/smtp/src/reply.rs", "crates/smtp/src/utils.rs", "crates/x/src/helpers/reply.rs"];
        let files = files.map(PathBuf::from);
        let found = check_names(&[package("gatepost-core", &[])], &files);
        let lines: Vec<&Path> = found.iter().map(|finding| finding.file.as_path()).collect();
        assert_eq!(
            lines,
            [Path::new("crates/gatepost-core/Cargo.toml"), files[1].as_path(), files[2].as_path()]
        );
    }
}
