//! Debian's mail servers as peers of tests and benchmarks: their packages are downloaded and unpacked under the target
//! directory, with the libraries that this machine lacks. Nothing is installed and no user is made.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::process;
use crate::workspace::Workspace;

/// A mail server that stands under the target directory.
pub(crate) struct Peer {
    /// The name of its folder.
    name: &'static str,
    /// The packages that it is made of.
    packages: &'static [&'static str],
}

/// Postfix.
pub(crate) const POSTFIX: Peer = Peer { name: "postfix", packages: &["postfix"] };

/// Every peer of the end-to-end tests.
const PEERS: [Peer; 9] = [
    POSTFIX,
    Peer { name: "exim", packages: &["exim4-base", "exim4-daemon-light"] },
    Peer { name: "opensmtpd", packages: &["opensmtpd"] },
    Peer { name: "dovecot", packages: &["dovecot-core", "dovecot-lmtpd"] },
    Peer { name: "rspamd", packages: &["rspamd"] },
    Peer { name: "opendkim", packages: &["opendkim"] },
    Peer { name: "clamav", packages: &["clamav-daemon", "clamav-milter"] },
    Peer { name: "postgrey", packages: &["postgrey"] },
    Peer { name: "policyd-spf", packages: &POLICYD_SPF },
];

/// policyd-spf, and the modules that it needs.
const POLICYD_SPF: [&str; 5] =
    ["postfix-policyd-spf-python", "python3-spf-engine", "python3-spf", "python3-authres", "python3-dns"];

/// Folders of the root that are links into `/usr` in Debian; packages still have files in some of them.
const MERGED: [&str; 3] = ["bin", "lib", "sbin"];

/// A file that says that a peer is unpacked whole.
const COMPLETE: &str = "complete";

/// Unpacks every peer that isn't there yet, and gives the folder in which each has its own.
///
/// # Errors
/// When a package can't be had; the message says what to do.
pub(crate) fn provide_all(workspace: &Workspace) -> Result<PathBuf> {
    for peer in PEERS {
        peer.provide(workspace)?;
    }
    Ok(folder_of_all(workspace))
}

/// Where the peers are, if they have been unpacked.
pub(crate) fn folder_of_all(workspace: &Workspace) -> PathBuf {
    workspace.target.join("peers")
}

impl Peer {
    /// Unpacks the peer unless it is there, and gives its root directory.
    ///
    /// # Errors
    /// When a package can't be had; the message says what to do.
    pub(crate) fn provide(&self, workspace: &Workspace) -> Result<PathBuf> {
        let folder = folder_of_all(workspace).join(self.name);
        let root = folder.join("root");
        if folder.join(COMPLETE).is_file() {
            return Ok(root);
        }
        ensure!(
            process::exists("apt-get") && process::exists("dpkg"),
            "{} comes from Debian's packages",
            self.name
        );
        println!("unpacking from Debian: {}", self.packages.join(" "));
        fs::create_dir_all(&root).with_context(|| format!("can't make {}", root.display()))?;
        let mut wanted: Vec<String> = self.packages.iter().map(|&package| package.to_owned()).collect();
        let mut known: BTreeSet<String> = wanted.iter().cloned().collect();
        while let Some(package) = wanted.pop() {
            unpack(&package, &folder, &root)?;
            for library in libraries_of(&package)? {
                if !is_installed(&library)? && known.insert(library.clone()) {
                    wanted.push(library);
                }
            }
        }
        merge(&root)?;
        fs::write(folder.join(COMPLETE), "").context("can't write under the target directory")?;
        Ok(root)
    }
}

/// Downloads a package into `folder` and unpacks it into `root`.
fn unpack(package: &str, folder: &Path, root: &Path) -> Result<()> {
    let mut download = Command::new("apt-get");
    download.args(["-o", "APT::Sandbox::User=root", "-qq", "download", package]);
    process::run(download.current_dir(folder)).context("try again after `apt-get update`")?;
    let archive = fs::read_dir(folder)
        .context("can't list what was downloaded")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get downloaded nothing for {package}"))?;
    process::run(Command::new("dpkg").arg("-x").arg(&archive).arg(root))?;
    fs::remove_file(&archive).with_context(|| format!("can't remove {}", archive.display()))
}

/// The libraries that a package needs, by the names of their packages.
fn libraries_of(package: &str) -> Result<Vec<String>> {
    let printed = process::capture(Command::new("apt-cache").args(["depends", "--important", package]))?;
    let depends = printed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    Ok(depends.filter(|name| name.starts_with("lib")).map(str::to_owned).collect())
}

fn is_installed(package: &str) -> Result<bool> {
    let mut query = Command::new("dpkg-query");
    query.args(["--show", "--showformat=${db:Status-Abbrev}", package]).stderr(Stdio::null());
    let output = query.output().context("can't start dpkg-query")?;
    Ok(String::from_utf8_lossy(&output.stdout).starts_with("ii"))
}

/// Moves what stands in `/lib` and its like to where Debian's links lead.
fn merge(root: &Path) -> Result<()> {
    for name in MERGED {
        let (old, new) = (root.join(name), root.join("usr").join(name));
        if old.is_dir() {
            fs::create_dir_all(&new).with_context(|| format!("can't make {}", new.display()))?;
            process::run(Command::new("cp").arg("-a").arg(old.join(".")).arg(&new))?;
            fs::remove_dir_all(&old).with_context(|| format!("can't remove {}", old.display()))?;
        }
    }
    Ok(())
}
