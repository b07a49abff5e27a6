//! The command line: what is common to all subcommands, which have a file each.

pub mod check;
pub mod codes;
pub mod dialogue;
pub mod dkim;
pub mod dns;
pub mod explain;
pub mod policy;
mod progress;
pub mod queue;
mod reach;
mod recorded;
#[cfg(test)]
mod recorded_tests;
pub mod reference;
pub mod replay;
pub mod reports;
pub mod run;
pub mod sendmail;
pub mod status;
pub mod table;
mod tried;
pub mod user;
mod words;

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use tokio::runtime::{Builder, Runtime};

use crate::config::{Config, Problem};
use crate::control::Unreachable;
use crate::site;

/// A mail transfer agent whose every reply is the right one.
#[derive(Debug, Parser)]
#[command(
    name = "gatepost",
    version,
    about,
    after_help = "Exit codes: 0 done; 1 refused or failed, standard error says why; 2 wrong usage; 3 no server \
                  can be reached."
)]
struct Cli {
    #[command(flatten)]
    site: SiteOptions,
    #[command(subcommand)]
    command: Command,
}

/// Which site a command is about.
#[derive(Debug, Clone, clap::Args)]
pub struct SiteOptions {
    /// The configuration; without it: 127.0.0.1:2525, domain localhost, a mailbox for you and one for postmaster.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The directory for spool and Maildirs.
    #[arg(long, global = true, value_name = "DIR", default_value = "gatepost-state")]
    pub state: PathBuf,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server.
    Run(run::Args),
    /// Check the configuration and its tables, without touching a running server.
    Check(check::Args),
    /// Explain reply codes, or list those usable in a refusal.
    Codes(codes::Args),
    /// Play a session against a policy: the dialogue, and what each rule saw; nothing is stored or sent.
    Dialogue(Box<dialogue::Args>),
    /// Explain a refusal by its id, a message by its queue id, or search for refusals.
    Explain(explain::Args),
    /// Decide recorded mail again by another policy, and show what would change.
    Replay(replay::Args),
    /// Work on a policy's text, and see what its rules did.
    Policy(policy::Args),
    /// Make keys that sign mail, and see to their records in the DNS.
    Dkim(dkim::Args),
    /// Print what must stand in the DNS for this site, and check what does.
    Dns(dns::Args),
    /// List, look into and order what is in the queue, whether a server runs or not.
    Queue(Box<queue::Args>),
    /// Say how the running server is; exit code 1 when it takes no mail.
    Status(status::Args),
    /// Put the configuration in force anew, as SIGHUP does, and say what came of it.
    Reload,
    /// End the running server, as SIGTERM does: open transactions may finish.
    Stop(status::StopArgs),
    /// See what is collected for reports to other domains, and send them.
    Reports(reports::Args),
    /// List the tables of the configuration, or look a key up in one.
    Table(table::Args),
    /// Add, change, list and remove the users that may log in and submit mail.
    User(user::Args),
    /// Send a message, as sendmail(8) does; also by the names `sendmail`, `mailq` and `newaliases`.
    #[command(disable_help_flag = true)]
    Sendmail(sendmail::Args),
    /// Print a generated reference page.
    #[command(hide = true)]
    Reference(reference::Args),
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    if let Some(code) = sendmail::by_name() {
        return code;
    }
    let Cli { site, command } = Cli::parse();
    let outcome = match command {
        Command::Run(args) => run::run(&args, &site),
        Command::Check(args) => check::run(&args, &site),
        Command::Codes(args) => codes::run(args),
        Command::Dialogue(args) => dialogue::run(&args, &site),
        Command::Explain(args) => explain::run(&args, &site),
        Command::Replay(args) => replay::run(&args, &site),
        Command::Policy(args) => policy::run(&args, &site),
        Command::Dkim(args) => dkim::run(&args, &site),
        Command::Dns(args) => dns::run(&args, &site),
        Command::Queue(args) => queue::run(&args, &site),
        Command::Status(args) => status::status(&args, &site),
        Command::Reload => status::reload(&site),
        Command::Stop(args) => status::stop(&args, &site),
        Command::Reports(args) => reports::run(&args, &site),
        Command::Table(args) => table::run(&args, &site),
        Command::User(args) => user::run(&args, &site),
        Command::Sendmail(args) => Ok(sendmail::run(args, &site)),
        Command::Reference(args) => reference::run(&args),
    };
    match outcome {
        Ok(code) => code,
        // Whoever read the answer has seen enough, and knows.
        Err(error) if is_broken_pipe(&error) => ExitCode::FAILURE,
        Err(error) => {
            // A reader that has gone is no failure of ours.
            let _ = writeln!(std::io::stderr(), "gatepost: {error:#}");
            if error.is::<WrongUsage>() {
                ExitCode::from(2)
            } else if error.is::<Unreachable>() {
                ExitCode::from(3)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// An argument that can't be meant; the exit code is 2.
#[derive(Debug)]
struct WrongUsage(String);

impl std::fmt::Display for WrongUsage {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for WrongUsage {}

/// Whether the reader of standard output has gone.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    kinds.map(std::io::Error::kind).any(|kind| kind == std::io::ErrorKind::BrokenPipe)
}

/// Writes problems to standard error, in colour on a terminal.
fn show(problems: &[Problem]) {
    let mut stderr = std::io::stderr();
    let coloured = stderr.is_terminal();
    for problem in problems {
        let _ = writeln!(stderr, "{}", problem.render(coloured));
    }
}

/// What was read; `None` when it is refused, and the problems are shown.
fn accepted<T>(read: Result<T, Vec<Problem>>) -> Option<T> {
    read.map_err(|problems| show(&problems)).ok()
}

/// The configuration that a command is about; `None` when it is refused, and the problems are shown.
fn configuration(options: &SiteOptions) -> Option<Config> {
    accepted(site::read(options.config.as_deref(), &user())).map(|loaded| loaded.config)
}

/// What a command waits in: the kind that the server has, because mailboxes are measured in the thread that asks, which
/// only this one allows.
fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().context("cannot start a thread")
}

/// The user's own name, for the zero configuration.
fn user() -> String {
    let set = |name| std::env::var(name).ok().filter(|user| !user.is_empty());
    ["USER", "LOGNAME"].into_iter().find_map(set).unwrap_or_else(|| {
        // In a container neither is set.
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        named(&passwd, rustix::process::getuid().as_raw()).unwrap_or("root").to_owned()
    })
}

/// The name of the user with that number in the text of passwd(5).
fn named(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_their_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\n\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!((named(passwd, 1_000), named(passwd, 0)), (Some("alice"), Some("root")));
        assert_eq!(named(passwd, 7), None);
    }
}
