//! The tree as cargo and git see it: its root, its target directory, its packages and its files.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process;

/// The workspace that the command was started in.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Where the top `Cargo.toml` stands.
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
    /// The workspace's own packages.
    pub(crate) packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    /// The package's name.
    pub(crate) name: String,
    /// The folder of its manifest, relative to the root.
    pub(crate) folder: PathBuf,
    /// What it depends on.
    pub(crate) dependencies: Vec<Dependency>,
}

/// One dependency of a package.
#[derive(Debug)]
pub(crate) struct Dependency {
    /// The name of the package that is depended on.
    pub(crate) name: String,
    /// Whether it is a package of this workspace.
    pub(crate) internal: bool,
    /// Whether only tests and benches use it.
    pub(crate) development: bool,
}

impl Workspace {
    /// The workspace around the current directory.
    ///
    /// # Errors
    /// When there is none, or cargo can't read it.
    pub(crate) fn find() -> Result<Self> {
        let text = process::capture(process::cargo().args([
            "metadata",
            "--no-deps",
            "--format-version=1",
            "--quiet",
        ]))?;
        let metadata: Value = serde_json::from_str(&text).context("cargo metadata isn't JSON")?;
        Self::read(&metadata).context("cargo metadata lacks a field")
    }

    fn read(metadata: &Value) -> Option<Self> {
        let root = PathBuf::from(metadata.get("workspace_root")?.as_str()?);
        let target = PathBuf::from(metadata.get("target_directory")?.as_str()?);
        let packages = metadata
            .get("packages")?
            .as_array()?
            .iter()
            .map(|package| Package::read(package, &root))
            .collect::<Option<Vec<_>>>()?;
        Some(Self { root, target, packages })
    }

    /// Every file that is in the tree or would be added to it, relative to the root, in order.
    ///
    /// # Errors
    /// When git can't list them.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>> {
        let listing = process::capture(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(&self.root),
        )?;
        let mut files: Vec<PathBuf> =
            listing.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from).collect();
        files.retain(|file| self.root.join(file).is_file());
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// A built program of `profile` (`debug` or `release`).
    pub(crate) fn program(&self, profile: &str, name: &str) -> PathBuf {
        self.target.join(profile).join(name)
    }
}

impl Package {
    fn read(package: &Value, root: &Path) -> Option<Self> {
        let manifest = Path::new(package.get("manifest_path")?.as_str()?);
        let folder = manifest.parent()?.strip_prefix(root).ok()?.to_path_buf();
        let dependencies = package
            .get("dependencies")?
            .as_array()?
            .iter()
            .map(|dependency| {
                Some(Dependency {
                    name: dependency.get("name")?.as_str()?.to_owned(),
                    internal: dependency.get("path").is_some_and(Value::is_string),
                    development: dependency.get("kind").and_then(Value::as_str) == Some("dev"),
                })
            })
            .collect::<Option<Vec<_>>>()?;
        Some(Self { name: package.get("name")?.as_str()?.to_owned(), folder, dependencies })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_read() {
        let metadata = serde_json::json!({
            "workspace_root": "/tree", "target_directory": "/tree/target",
            "packages": [{ "name": "b", "manifest_path": "/tree/crates/b/Cargo.toml", "dependencies": [
                { "name": "a", "path": "/tree/crates/a", "kind": null }, { "name": "memchr", "kind": "dev" },
            ]}],
        });
        let workspace = Workspace::read(&metadata).unwrap();
        let package = &workspace.packages[0];
        assert_eq!(package.folder, Path::new("crates/b"));
        assert!(package.dependencies[0].internal && !package.dependencies[0].development);
        assert!(!package.dependencies[1].internal && package.dependencies[1].development);
        assert!(Workspace::read(&serde_json::json!({})).is_none());
    }
}
