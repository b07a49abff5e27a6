//! What the development commands need beside cargo: Debian's packages, a package from npm, cargo-deny.
//!
//! What is there already is used; what is missing is installed, or the person is told what to run.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::workspace::Workspace;

/// Programs that the end-to-end tests run, with the Debian package that has each.
const PROGRAMS: [(&str, &str); 15] = [
    ("swaks", "swaks"),
    ("openssl", "openssl"),
    ("s-nail", "s-nail"),
    ("/usr/lib/git-core/git-send-email", "git-email"),
    ("/usr/share/perl5/IO/Socket/SSL.pm", "libio-socket-ssl-perl"),
    ("sslscan", "sslscan"),
    ("curl", "curl"),
    ("msmtp", "msmtp"),
    ("python3", "python3"),
    ("pip3", "python3-pip"),
    ("node", "nodejs"),
    ("npm", "npm"),
    // Servers whose tables are asked; they are started by the tests alone. Their programs stand outside of PATH.
    ("pg_createcluster", "postgresql"),
    ("/usr/sbin/mariadbd", "mariadb-server"),
    ("/usr/sbin/slapd", "slapd"),
];

/// The package from npm that the end-to-end tests use, and its version.
const NODEMAILER: (&str, &str) = ("nodemailer", "8.0.9");

/// The packages from PyPI that the end-to-end tests use: dkimpy and what it needs for Ed25519, and its version.
const DKIMPY: (&[&str], &str) =
    (&["dkimpy==1.1.8", "PyNaCl==1.6.2", "dnspython==2.8.0"], "dkimpy-1.1.8.dist-info");

/// The version of cargo-deny that reads `deny.toml`.
const CARGO_DENY_VERSION: &str = "0.20.2";

/// Sees to it that every program of [`PROGRAMS`] is installed.
///
/// # Errors
/// When one is missing and can't be installed; the message says what to run.
pub(crate) fn provide_programs() -> Result<()> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !process::exists(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let by_hand = format!("sudo apt-get update && sudo apt-get install --yes {}", packages.join(" "));
    if !process::exists("apt-get") {
        bail!("missing programs; install what Debian calls: {}", packages.join(" "));
    }
    let Some(prefix) = privilege() else {
        bail!("missing programs; run: {by_hand}");
    };
    println!("installing from Debian: {}", packages.join(" "));
    // The package lists of a new machine are empty or old, and an update costs seconds.
    apt_get(prefix, &["update", "-qq"]).with_context(|| format!("try by hand: {by_hand}"))?;
    let mut install = vec!["install", "--yes", "-qq", "--no-install-recommends"];
    install.extend(&packages);
    apt_get(prefix, &install).with_context(|| format!("try by hand: {by_hand}"))
}

/// How to run a command as root: as it is, through sudo that asks nothing, or not at all.
fn privilege() -> Option<&'static [&'static str]> {
    if rustix::process::geteuid().is_root() {
        return Some(&[]);
    }
    let silent = Command::new("sudo").args(["--non-interactive", "true"]).output();
    silent.is_ok_and(|output| output.status.success()).then_some(&["sudo", "--non-interactive"])
}

fn apt_get(prefix: &[&str], arguments: &[&str]) -> Result<()> {
    let words: Vec<&str> =
        prefix.iter().chain(&["env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]).copied().collect();
    let (program, rest) = words.split_first().context("no program to run")?;
    let output = Command::new(program)
        .args(rest)
        .args(arguments)
        .output()
        .with_context(|| format!("can't start {program}"))?;
    if !output.status.success() {
        bail!("apt-get {} failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Sees to it that nodemailer stands under the target directory, and returns the folder to put into NODE_PATH.
///
/// # Errors
/// When npm fails.
pub(crate) fn provide_nodemailer(workspace: &Workspace) -> Result<PathBuf> {
    let (name, version) = NODEMAILER;
    let folder = workspace.target.join("node");
    let modules = folder.join("node_modules");
    let manifest = fs::read_to_string(modules.join(name).join("package.json")).unwrap_or_default();
    if manifest.contains(&format!("\"version\": \"{version}\"")) {
        return Ok(modules);
    }
    fs::create_dir_all(&folder).with_context(|| format!("can't make {}", folder.display()))?;
    println!("installing from npm: {name} {version}");
    let package = format!("{name}@{version}");
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"]);
    // npm looks for a package above its folder unless it is told where to stay.
    npm.arg("--prefix").arg(&folder).arg(package);
    let printed = process::capture(&mut npm)?;
    if !modules.join(name).is_dir() {
        bail!("npm ended well but left no {name}: {}", printed.trim());
    }
    Ok(modules)
}

/// Sees to it that dkimpy stands under the target directory, and returns the folder to put into PYTHONPATH.
///
/// # Errors
/// When pip fails.
pub(crate) fn provide_dkimpy(workspace: &Workspace) -> Result<PathBuf> {
    let (packages, mark) = DKIMPY;
    let folder = workspace.target.join("python");
    if folder.join(mark).is_dir() {
        return Ok(folder);
    }
    println!("installing from PyPI: {}", packages.join(" "));
    let mut pip = Command::new("pip3");
    pip.args(["install", "--quiet", "--disable-pip-version-check", "--upgrade", "--target"]);
    let printed = process::capture(pip.arg(&folder).args(packages))?;
    if !folder.join(mark).is_dir() {
        bail!("pip ended well but left no dkimpy: {}", printed.trim());
    }
    Ok(folder)
}

/// The command `cargo-deny`, installed when it is missing: under the target directory, or for all clones on a build
/// machine (environment variable CI).
///
/// # Errors
/// When it can't be built.
pub(crate) fn cargo_deny(workspace: &Workspace) -> Result<Command> {
    let root = workspace.target.join("tools");
    let own = root.join("bin").join("cargo-deny");
    for program in [PathBuf::from("cargo-deny"), own.clone()] {
        if process::exists(&program) && is_wanted_version(&program) {
            return Ok(Command::new(program));
        }
    }
    println!("building cargo-deny {CARGO_DENY_VERSION}, once; about a minute");
    let mut install = process::cargo();
    install.args([
        "install",
        "--quiet",
        "--locked",
        "--force",
        "--no-default-features",
        "cargo-deny",
        "--version",
    ]);
    // Unoptimised, it builds in a quarter of the time and checks as fast as anyone can tell.
    install.args([CARGO_DENY_VERSION, "--profile", "dev", "--config", "profile.dev.debug=false"]);
    let on_build_machine = std::env::var_os("CI").is_some();
    if !on_build_machine {
        install.arg("--root").arg(&root);
    }
    // A profile or wrapper that is meant for the workspace has no say here.
    install.env_remove("RUSTFLAGS").env("CARGO_TARGET_DIR", workspace.target.join("tools-build"));
    process::run(&mut install)?;
    Ok(Command::new(if on_build_machine { cargo_home_program("cargo-deny") } else { own }))
}

fn is_wanted_version(program: &PathBuf) -> bool {
    let printed =
        Command::new(program).arg("--version").output().map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&printed).trim() == format!("cargo-deny {CARGO_DENY_VERSION}")
}

/// Where `cargo install` puts a program when it isn't told otherwise.
fn cargo_home_program(name: &str) -> PathBuf {
    let home =
        std::env::var_os("CARGO_INSTALL_ROOT").or_else(|| std::env::var_os("CARGO_HOME")).map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    home.unwrap_or_default().join("bin").join(name)
}
