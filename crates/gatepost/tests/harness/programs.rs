//! Other programs: the mail clients that deliver through Gatepost.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use super::wait_for;

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
