//! `cargo xtask check`: everything about the tree that a machine can check without running a test.
//!
//! Each step runs even when one before it failed, so that one run shows all there is to mend.

mod citations;
mod code_map;
mod crates;
mod text;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;
use crate::{docs, process, tools};

/// What `check` is asked to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only these steps: format, clippy, tidy, docs, licences.
    #[arg(value_name = "STEP")]
    steps: Vec<String>,
}

/// A step: its name and what it runs; whether it holds.
type Step = (&'static str, fn(&Workspace) -> Result<bool>);

const STEPS: [Step; 5] = [
    ("format", format),
    ("clippy", clippy),
    ("tidy", tidy),
    ("docs", generated_docs),
    ("licences", licences),
];

/// One thing that a rule of the tree objects to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The file, relative to the root.
    file: PathBuf,
    /// The line, counted from 1.
    line: usize,
    /// What is wrong, and what to do when that isn't plain.
    message: String,
}

impl Finding {
    fn new(file: &Path, line: usize, message: impl Into<String>) -> Self {
        Self { file: file.to_path_buf(), line, message: message.into() }
    }
}

/// A text file of the tree.
#[derive(Debug)]
struct Source {
    /// Where it is, relative to the root.
    path: PathBuf,
    /// What it holds.
    text: String,
}

impl Source {
    fn has_extension(&self, extension: &str) -> bool {
        self.path.extension().is_some_and(|found| found == extension)
    }

    /// Its lines, counted from 1.
    fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.text.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Runs the steps and prints one line for each.
///
/// # Errors
/// When a step that was asked for doesn't exist.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    if let Some(unknown) = args.steps.iter().find(|name| !STEPS.iter().any(|(step, _)| step == name)) {
        bail!("no step {unknown:?}; there are: {}", STEPS.map(|(step, _)| step).join(", "));
    }
    let mut summary = Vec::new();
    for (name, step) in STEPS {
        if !args.steps.is_empty() && !args.steps.iter().any(|asked| asked == name) {
            continue;
        }
        println!("== {name}");
        let watch = Stopwatch::start();
        let outcome = match step(workspace) {
            Ok(true) => "ok",
            Ok(false) => "FAILED",
            Err(error) => {
                println!("{error:#}");
                "FAILED"
            }
        };
        summary.push((name, outcome, watch.elapsed()));
    }
    println!("== summary");
    for (name, outcome, elapsed) in &summary {
        println!("{outcome:>6}  {name} ({:.1} s)", elapsed.as_secs_f64());
    }
    Ok(summary.iter().all(|(_, outcome, _)| *outcome == "ok"))
}

fn format(workspace: &Workspace) -> Result<bool> {
    // The names of the files say enough: `cargo fmt` mends them.
    process::run(
        process::cargo().args(["fmt", "--all", "--", "--check", "-l"]).current_dir(&workspace.root),
    )?;
    Ok(true)
}

fn clippy(workspace: &Workspace) -> Result<bool> {
    let mut command = process::cargo();
    command.args(["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]);
    process::run(command.current_dir(&workspace.root))?;
    Ok(true)
}

fn generated_docs(workspace: &Workspace) -> Result<bool> {
    docs::run(workspace, &docs::Args { check: true })
}

fn licences(workspace: &Workspace) -> Result<bool> {
    let mut command = tools::cargo_deny(workspace)?;
    command.args([
        "--workspace",
        "--locked",
        "check",
        "--hide-inclusion-graph",
        "licenses",
        "bans",
        "sources",
    ]);
    process::run(command.current_dir(&workspace.root))?;
    Ok(true)
}

/// The tree's own rules.
fn tidy(workspace: &Workspace) -> Result<bool> {
    let files = workspace.files()?;
    let sources = read_text_files(&workspace.root, &files)?;
    let mut findings = Vec::new();
    for source in &sources {
        findings.extend(text::check(source));
        findings.extend(citations::check(source));
    }
    findings.extend(crates::check_edges(&workspace.packages));
    findings.extend(crates::check_names(&workspace.packages, &files));
    let architecture = sources.iter().find(|source| source.path == Path::new("ARCHITECTURE.md"));
    findings.extend(code_map::check(architecture, &workspace.packages, &files));
    for Finding { file, line, message } in &findings {
        println!("{}:{line}: {message}", file.display());
    }
    println!("{} text files, {} findings", sources.len(), findings.len());
    Ok(findings.is_empty())
}

/// The files whose names say that they are text.
fn read_text_files(root: &Path, files: &[PathBuf]) -> Result<Vec<Source>> {
    let mut sources = Vec::new();
    for path in files.iter().filter(|path| text::is_text(path)) {
        let octets = fs::read(root.join(path)).with_context(|| format!("can't read {}", path.display()))?;
        // Test input may be any octets; those files are checked as far as they can be read.
        let text = String::from_utf8_lossy(&octets).into_owned();
        sources.push(Source { path: path.clone(), text });
    }
    Ok(sources)
}
