//! A server of another project that a test starts for itself, in a directory of its own and never as root.

use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::harness::finish;

/// The user that servers run as when the test is root's: nobody.
const NOBODY: u32 = 65_534;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory that the server's user owns.
pub(crate) fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    own(folder.path());
    folder
}

/// Gives a file or directory to the server's user.
pub(crate) fn own(path: &Path) {
    if is_root() {
        std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}

/// A command that runs as the server's user.
pub(crate) fn command(program: &Path) -> Command {
    assert!(
        program.is_file(),
        "{} is missing: `cargo xtask test` installs the servers that the end-to-end tests use",
        program.display()
    );
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]).arg(program);
    command
}

/// Runs a command to its end; panics with what it said when it fails or hangs.
pub(crate) fn run(command: &mut Command, input: &str) {
    finish(command, input.as_bytes());
}

/// Whether a command ends well.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
