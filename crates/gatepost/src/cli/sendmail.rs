//! `sendmail`, `mailq` and `newaliases`, by these names or as subcommands.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::reach::Reach;
use super::{SiteOptions, WrongUsage};
use crate::control::{Answer, Filter, Order, Request, Unreachable};
use crate::sendmail::{self, Arguments, Exit, Hand, Listing, Stop, Task};

/// Where the state is when the program is called by one of the other names, which have no option for it.
const STATE: &str = "/var/lib/gatepost";

/// The variable of the environment that names another place.
const STATE_VARIABLE: &str = "GATEPOST_STATE";

/// What `gatepost sendmail` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The arguments of sendmail(8).
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// What the name stands for by which the program is called.
fn task_of(name: &Path) -> Option<Task> {
    match name.file_name()?.to_str()? {
        "sendmail" => Some(Task::Send),
        "mailq" => Some(Task::ListQueue),
        "newaliases" => Some(Task::ReadTables),
        _ => None,
    }
}

/// Runs as `sendmail`, `mailq` or `newaliases`, if the program is called by such a name.
pub(super) fn by_name() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let task = task_of(Path::new(&arguments.next()?))?;
    let state = std::env::var_os(STATE_VARIABLE).map_or_else(|| PathBuf::from(STATE), PathBuf::from);
    let options = SiteOptions { config: None, state };
    // Addresses of today are UTF-8.
    let text = |argument: OsString| argument.to_string_lossy().into_owned();
    Some(perform(task, arguments.map(text).collect(), &options))
}

/// Runs `gatepost sendmail`.
pub fn run(args: Args, options: &SiteOptions) -> ExitCode {
    perform(Task::Send, args.arguments, options)
}

fn perform(task: Task, arguments: Vec<String>, options: &SiteOptions) -> ExitCode {
    let uid = rustix::process::getuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let named = super::named(&passwd, uid).map(str::to_owned);
    let user = sendmail::user(uid, named.or_else(|| std::env::var("LOGNAME").ok()));
    let done = Arguments::parse(task, user, arguments).and_then(|mut arguments| {
        let order = &mut arguments.order;
        if order.full_name.is_none() && order.reverse_path.is_none() {
            order.full_name = full_name(&passwd, uid);
        }
        match arguments.task {
            Task::Send | Task::Speak => send(&arguments, options),
            Task::ListQueue => list(options),
            Task::RunQueue => run_queue(&arguments, options),
            Task::ReadTables => read_tables(options),
        }
    });
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(stop) => {
            // A reader that has gone is no failure of ours.
            let _ = writeln!(std::io::stderr(), "{}: {stop}", name_of(task));
            ExitCode::from(stop.exit as u8)
        }
    }
}

const fn name_of(task: Task) -> &'static str {
    match task {
        Task::ListQueue => "mailq",
        Task::ReadTables => "newaliases",
        Task::Send | Task::Speak | Task::RunQueue => "sendmail",
    }
}

/// The user's name in the text of passwd(5): `NAME` of the environment, else the first part of the comment there.
fn full_name(passwd: &str, uid: u32) -> Option<String> {
    let set = std::env::var("NAME").ok().filter(|name| !name.is_empty());
    set.or_else(|| {
        let line =
            passwd.lines().find(|line| line.split(':').nth(2).is_some_and(|id| id.parse() == Ok(uid)))?;
        let comment = line.split(':').nth(4)?.split(',').next()?;
        (!comment.is_empty()).then(|| comment.to_owned())
    })
}

fn send(arguments: &Arguments, options: &SiteOptions) -> Result<(), Stop> {
    let scratch = std::env::temp_dir();
    let hand = Hand { state: &options.state, scratch: &scratch };
    if arguments.task == Task::Speak {
        return sendmail::speak(&hand);
    }
    sendmail::send(&hand, arguments, std::io::stdin().lock(), &mut std::io::stderr())
}

/// The exit code of what a request came to.
fn stop(error: &anyhow::Error) -> Stop {
    let exit = if error.is::<WrongUsage>() {
        Exit::Usage
    } else if error.is::<Unreachable>() && rustix::process::geteuid().is_root() {
        Exit::Unavailable
    } else if error.is::<Unreachable>() {
        Exit::NoPermission
    } else {
        Exit::TemporaryFailure
    };
    Stop::new(exit, format!("{error:#}"))
}

fn list(options: &SiteOptions) -> Result<(), Stop> {
    let mut out = std::io::stdout().lock();
    let mut listing = Listing::default();
    let request = Request::List { filter: Filter::default(), text: None, limit: None };
    let listed = Reach::open(options).and_then(|mut reach| {
        reach.ask(request, &mut |answer| {
            if let Answer::Entry(entry) = answer {
                listing.message(&entry, &mut out)?;
            }
            Ok(())
        })
    });
    let finished = listed.and_then(|_| {
        let folder = sendmail::maildrop_folder(&options.state);
        for dropped in sendmail::list_maildrop(&folder).unwrap_or_default() {
            listing.dropped(&dropped, &mut out)?;
        }
        Ok(listing.finish(&mut out)?)
    });
    match finished {
        // Whoever read the list has seen enough.
        Err(error) if super::is_broken_pipe(&error) => Ok(()),
        other => other.map_err(|error| stop(&error)),
    }
}

fn run_queue(arguments: &Arguments, options: &SiteOptions) -> Result<(), Stop> {
    let id = arguments
        .queue_id
        .as_deref()
        .map(|id| id.parse().map_err(|_| Stop::new(Exit::Usage, format!("`{id}` is no queue id"))));
    let filter = Filter { ids: id.transpose()?.into_iter().collect(), ..Filter::default() };
    let request = Request::Order { filter, order: Order::Retry };
    let ordered = Reach::open(options).and_then(|mut reach| reach.ask(request, &mut |_| Ok(())));
    ordered.map(drop).map_err(|error| stop(&error))
}

fn read_tables(options: &SiteOptions) -> Result<(), Stop> {
    let mut said = String::from("no server runs; it reads its tables when it starts");
    let mut in_force = true;
    let running = Reach::running(options).map_err(|error| stop(&error.into()))?;
    if let Some(mut reach) = running {
        let asked = reach.ask(Request::Reload, &mut |answer| {
            if let Answer::Reloaded(reloaded) = answer {
                in_force = reloaded.in_force;
                said = if in_force {
                    String::from("the server has read its configuration and its tables again")
                } else {
                    format!("what was in force stays:\n{}", reloaded.problems.join("\n"))
                };
            }
            Ok(())
        });
        asked.map_err(|error| stop(&error))?;
    }
    if !in_force {
        return Err(Stop::new(Exit::Config, said));
    }
    // Many callers give it no standard output.
    let _ = writeln!(std::io::stdout(), "newaliases: {said}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_known_by_its_names() {
        assert_eq!(task_of(Path::new("/usr/sbin/sendmail")), Some(Task::Send));
        assert_eq!(task_of(Path::new("mailq")), Some(Task::ListQueue));
        assert_eq!(task_of(Path::new("./newaliases")), Some(Task::ReadTables));
        assert_eq!(task_of(Path::new("gatepost")), None);
    }

    #[test]
    fn the_name_of_a_user_is_in_passwd() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice A,,,:/home/alice:/bin/sh\nb:x:7:7::/:/\n";
        assert_eq!(full_name(passwd, 1_000).as_deref(), Some("Alice A"));
        assert_eq!(full_name(passwd, 7), None);
    }
}
