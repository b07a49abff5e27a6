//! Running other programs: by name, with an error that says which one failed.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs `command` to its end, its output going where ours goes.
///
/// # Errors
/// When it can't be started or doesn't end with status 0.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = describe(command);
    let outcome = command.status().with_context(|| format!("can't start `{line}`"))?;
    if !outcome.success() {
        bail!("`{line}` failed ({outcome})");
    }
    Ok(())
}

/// Runs `command` to its end and returns what it wrote to standard output; standard error goes where ours goes.
///
/// # Errors
/// When it can't be started, doesn't end with status 0, or wrote something that isn't UTF-8.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let line = describe(command);
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("can't start `{line}`"))?;
    if !output.status.success() {
        bail!("`{line}` failed ({})", output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{line}` wrote something that isn't UTF-8"))
}

/// Whether `program` is found along PATH, or is a path to a file.
pub(crate) fn exists(program: impl AsRef<OsStr>) -> bool {
    let program = Path::new(program.as_ref());
    if program.components().count() > 1 {
        return program.is_file();
    }
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    let mut line = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command() {
        let error = run(Command::new("false").arg("--loudly")).unwrap_err();
        assert!(error.to_string().contains("`false --loudly` failed"), "{error}");
        assert!(run(&mut Command::new("no-such-program-here")).is_err());
    }

    #[test]
    fn output_is_captured_and_programs_are_found() {
        assert_eq!(capture(Command::new("echo").arg("one two")).unwrap(), "one two\n");
        assert!(exists("sh") && exists("/bin/sh") && !exists("no-such-program-here"));
    }
}
