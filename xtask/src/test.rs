//! `cargo xtask test`: the tools of the end-to-end tests, then every test, then one line that sums them up.

use std::io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result};

use crate::workspace::Workspace;
use crate::{peers, process, tools};

/// What `test` is asked to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Rewrite the transcripts and other golden files with what the code says now; read the diff.
    #[arg(long)]
    update: bool,
    /// Only tests whose name holds one of these; tools that are missing are not installed.
    #[arg(value_name = "FILTER")]
    filters: Vec<String>,
}

/// Environment variables with which tests rewrite what they expect.
const GOLDEN_SWITCHES: [&str; 2] = ["UPDATE_TRANSCRIPTS", "UPDATE_EXPECTED"];

/// What a runner counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Runs the tests.
///
/// # Errors
/// When a tool can't be had or the runner can't be started.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    let mut environment: Vec<(&str, std::ffi::OsString)> = Vec::new();
    if args.filters.is_empty() {
        tools::provide_programs()?;
        peers::provide_all(workspace)?;
    }
    environment.push(("GATEPOST_PEERS", peers::folder_of_all(workspace).into_os_string()));
    if process::exists("npm") {
        environment.push(("NODE_PATH", tools::provide_nodemailer(workspace)?.into_os_string()));
    }
    if process::exists("pip3") {
        environment.push(("PYTHONPATH", tools::provide_dkimpy(workspace)?.into_os_string()));
    }
    if args.update {
        environment.extend(GOLDEN_SWITCHES.map(|switch| (switch, "1".into())));
    }
    let mut tally = Tally::default();
    let mut good = true;
    for mut command in runners(args) {
        command.current_dir(&workspace.root).envs(environment.iter().cloned());
        good &= follow(&mut command, &mut tally)?;
    }
    good &= tally.failed == 0;
    if tally.passed + tally.failed == 0 {
        println!("no test has run");
        return Ok(false);
    }
    println!("{} passed, {} failed, {} skipped", tally.passed, tally.failed, tally.skipped);
    Ok(good)
}

/// The commands that run every test: nextest behind the documentation tests, which it can't run, or cargo's own runner.
fn runners(args: &Args) -> Vec<Command> {
    let mut commands = Vec::new();
    if process::exists("cargo-nextest") {
        let mut nextest = process::cargo();
        nextest.args(["nextest", "run", "--workspace", "--locked", "--no-fail-fast", "--no-tests=warn"]);
        nextest.args(&args.filters);
        let mut doc = process::cargo();
        doc.args(["test", "--quiet", "--workspace", "--locked", "--doc", "--no-fail-fast", "--"])
            .args(&args.filters);
        // The runner that counts the tests closes the output.
        commands.extend([doc, nextest]);
    } else {
        let mut test = process::cargo();
        test.args(["test", "--workspace", "--locked", "--no-fail-fast", "--"]).args(&args.filters);
        commands.push(test);
    }
    if io::stderr().is_terminal() {
        for command in &mut commands {
            command.env("CARGO_TERM_COLOR", "always");
        }
    }
    commands
}

/// Runs `command`, passes on what it prints as it comes, and adds what its summary lines count.
fn follow(command: &mut Command, tally: &mut Tally) -> Result<bool> {
    let line = process::describe(command);
    println!("== {line}");
    // One pipe for both streams keeps their order; nextest reports on standard error, cargo test on standard output.
    let (reader, writer) = io::pipe().context("can't make a pipe")?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone().context("can't share a pipe")?)
        .stderr(writer)
        .spawn()
        .with_context(|| format!("can't start `{line}`"))?;
    // The command keeps the writing ends open until it is told to let go, and the reader would wait for ever.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut reader = BufReader::new(reader);
    let mut octets = Vec::new();
    let mut output = io::stdout().lock();
    while reader.read_until(b'\n', &mut octets).context("can't read the runner's output")? > 0 {
        output.write_all(&octets).context("can't write")?;
        tally.add(&without_colours(&String::from_utf8_lossy(&octets)));
        octets.clear();
    }
    Ok(child.wait().with_context(|| format!("`{line}` is lost"))?.success())
}

impl Tally {
    /// Adds a summary line: cargo test's `test result: ok. 3 passed; 0 failed; 1 ignored; ...` or nextest's
    /// `Summary [ 1.2s] 4 tests run: 3 passed (1 slow), 1 failed, 1 skipped`. Any other line counts nothing, nor does
    /// a test's own output, which nextest indents.
    fn add(&mut self, line: &str) {
        let counts = if let Some(rest) = line.strip_prefix("test result: ") {
            rest
        } else if line.trim_start().starts_with("Summary [") && line.contains(" run: ") {
            line.split(" run: ").nth(1).unwrap_or_default()
        } else {
            return;
        };
        let words: Vec<&str> =
            counts.split([' ', ',', ';', '.', '(', ')']).filter(|word| !word.is_empty()).collect();
        for pair in words.windows(2) {
            let [number, what] = pair else { continue };
            let Ok(number) = number.parse::<u64>() else { continue };
            match *what {
                "passed" => self.passed += number,
                "failed" | "timed" | "exec" => self.failed += number,
                "ignored" | "skipped" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// `line` without the escape sequences that colour it.
fn without_colours(line: &str) -> String {
    let mut plain = String::with_capacity(line.len());
    let mut rest = line.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(lines: &[&str]) -> (u64, u64, u64) {
        let mut tally = Tally::default();
        for line in lines {
            tally.add(&without_colours(line));
        }
        (tally.passed, tally.failed, tally.skipped)
    }

    #[test]
    fn summaries_of_both_runners_are_counted() {
        let cargo = [
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 2 filtered out; finished in 0.00s",
            "test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        assert_eq!(tally(&cargo), (4, 2, 1));
        let nextest = [
            "\u{1b}[32;1m     Summary\u{1b}[0m [   1.250s] 5 tests run: 3 passed (1 slow), 1 failed, 1 timed out, 7 skipped",
        ];
        assert_eq!(tally(&nextest), (3, 2, 7));
        assert_eq!(tally(&["     Summary [   0.003s] 4/9 tests run: 4 passed, 0 skipped"]), (4, 0, 0));
        assert_eq!(
            tally(&["3 passed", "running 3 tests", "    test result: FAILED. 0 passed; 1 failed"]),
            (0, 0, 0)
        );
    }

    #[test]
    fn a_runner_is_followed_to_its_end() {
        let mut tally = Tally::default();
        let script = "echo 'test result: ok. 2 passed; 0 failed' >&2; exit 3";
        assert!(!follow(Command::new("sh").args(["-c", script]), &mut tally).unwrap());
        assert_eq!(tally, Tally { passed: 2, failed: 0, skipped: 0 });
    }
}
