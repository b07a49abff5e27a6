//! Other programs: the mail clients that deliver through Gatepost, and the servers that it asks and sends mail to.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::wait_for;

/// The last lines of a server's log that are shown when a test fails.
const LINES_SHOWN: usize = 20;

/// A command for `name`; panics with what to do when it isn't installed.
pub(crate) fn program(name: &str) -> Command {
    let found = env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(name).is_file()));
    assert!(
        found,
        "{name} is missing: `cargo xtask test` installs the mail clients that the end-to-end tests use"
    );
    Command::new(name)
}

/// The file `name` in `tests/clients`.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}

/// Runs `command` with `input`, and gives what it printed; panics when it fails or hangs.
pub(crate) fn finish(command: &mut Command, input: &[u8]) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A program that ends early closes its input, and its exit code says why.
    let writer = thread::spawn(move || drop(stdin.write_all(&input)));
    let output = thread::spawn(move || child.wait_with_output().unwrap());
    wait_for(&format!("the end of {command:?}"), || output.is_finished().then_some(()));
    let output = output.join().unwrap();
    writer.join().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed ({}): {printed}{complaint}", output.status);
    printed
}

/// A running server; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    /// Starts the command and waits until `is_ready`.
    pub(crate) fn start(mut command: Command, log: PathBuf, is_ready: impl Fn() -> bool) -> Self {
        let output = fs::File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let child = command.spawn().unwrap_or_else(|error| panic!("can't start {command:?}: {error}"));
        let mut this = Self { child, log };
        wait_for(&format!("{command:?} to be ready"), || {
            if let Some(outcome) = this.child.try_wait().unwrap() {
                panic!("{command:?}: {outcome}");
            }
            is_ready().then_some(())
        });
        this
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
        if thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            let tail: Vec<&str> = log.lines().rev().take(LINES_SHOWN).collect();
            eprintln!("--- the last lines of {}, backwards:\n{}", self.log.display(), tail.join("\n"));
        }
    }
}
