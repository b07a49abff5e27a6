//! A server of another project that a test starts for itself, in a directory of its own and never as root.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use super::harness::wait_for;

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

/// Runs a command to its end; panics with what it said when it fails.
pub(crate) fn run(command: &mut Command, input: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
}

/// Whether a command ends well.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A running server; dropping it ends it.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts the command and waits until `is_ready`.
    pub(crate) fn start(mut command: Command, log: PathBuf, is_ready: impl Fn() -> bool) -> Self {
        let output = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        wait_for(&format!("{command:?} to be ready"), || {
            if let Some(outcome) = child.try_wait().unwrap() {
                panic!("{command:?}: {outcome}: {}", std::fs::read_to_string(&log).unwrap());
            }
            is_ready().then_some(())
        });
        Self { child, log }
    }

    /// Ends it and waits for that.
    pub(crate) fn stop(&mut self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let child = &mut self.child;
        wait_for("a server's end", || child.try_wait().unwrap());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(20).collect();
            eprintln!("--- the last lines of {}, backwards:\n{}", self.log.display(), tail.join("\n"));
        }
    }
}
