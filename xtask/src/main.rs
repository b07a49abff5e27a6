//! Development commands: `cargo xtask check`, `test`, `docs`, `bench` and `torture`.
//!
//! A command ends with status 0 when everything it checked holds, 1 when something does not, 2 on wrong usage.
#![allow(clippy::print_stdout, reason = "printing is what these commands are for")]

mod bench;
mod check;
mod dialogue;
mod docs;
mod peers;
mod process;
mod random;
mod scratch;
mod server;
mod stopwatch;
mod test;
mod tools;
mod torture;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Gatepost's development commands.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", disable_help_subcommand = true)]
struct CommandLine {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Formatting, lints, the tree's own rules, generated documents, licences.
    Check(check::Args),
    /// Every test, with what the end-to-end tests need from Debian and npm.
    Test(test::Args),
    /// Writes the documents that are printed from the program.
    Docs(docs::Args),
    /// Speed, processor time and memory, beside a bare-minimum receiver and Postfix.
    Bench(bench::Args),
    /// Kills the program again and again under load, then looks for every message that it acknowledged.
    Torture(torture::Args),
    /// The receiver that `bench` compares with.
    #[command(hide = true)]
    BenchReceiver(bench::receiver::Args),
}

fn main() -> ExitCode {
    match perform(&CommandLine::parse().task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether what the task looked at holds.
fn perform(task: &Task) -> Result<bool> {
    // The receiver is started by a running bench: it needs no cargo around it.
    if let Task::BenchReceiver(args) = task {
        bench::receiver::run(args)?;
        return Ok(true);
    }
    let workspace = Workspace::find()?;
    match task {
        Task::Check(args) => check::run(&workspace, args),
        Task::Test(args) => test::run(&workspace, args),
        Task::Docs(args) => docs::run(&workspace, args),
        Task::Bench(args) => bench::run(&workspace, args),
        Task::Torture(args) => torture::run(&workspace, args),
        Task::BenchReceiver(_) => Ok(true),
    }
}
