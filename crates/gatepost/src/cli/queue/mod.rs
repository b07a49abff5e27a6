//! `gatepost queue`: what a postmaster does with the queue, beside a running server or without one.

mod export;
mod files;
mod fsck;
mod import;
mod list;
mod order;
mod selection;
mod show;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use queue::queue_id::QueueId;

use super::SiteOptions;
use super::reach::Reach;
use selection::Selection;
pub(super) use stats::totals;

const EXAMPLES: &str = "\
Examples:
  gatepost queue list                              everything, the oldest first
  gatepost queue list --domain example.org --older 2h --reply 'timed out'
  gatepost queue show 1KWX3N5V1R0                  the envelope, and how each recipient stands
  gatepost queue retry --destination mx:example.org
  gatepost queue hold --sender alice@example.net
  gatepost queue drop --sender '<>' --older 5d --yes
  gatepost queue redirect 1KWX3N5V1R0 --to relay
  gatepost queue export - --all | ssh other gatepost queue import -

While a server runs it is asked over its control socket; otherwise the spool is opened. Orders on a
delivery that is under way are carried out when it is over, unless it succeeds.

JSON (--json) is one object a line; fields are only ever added.

Exit codes:
  0  done
  1  nothing matched, or not all of it could be done; standard error says why
  2  wrong usage
  3  neither the server nor the spool can be reached";

/// What `gatepost queue` takes.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples and exit codes.")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the messages: age, size, reverse-path; and each recipient with its next attempt and its last reply.
    List(list::Args),
    /// List the messages that hold a text in their envelope, last replies or header section.
    Search(list::SearchArgs),
    /// Count what waits, by destination.
    #[command(visible_alias = "census")]
    Stats(stats::Args),
    /// Show a message's envelope, and how each recipient stands.
    Show(show::Args),
    /// Print a message as it stands in the spool.
    Cat {
        /// The queue id, as the reply and the log have it.
        id: QueueId,
    },
    /// Try now, whatever the schedule said.
    Retry(order::Args),
    /// Make no attempt until released.
    Hold(order::Args),
    /// End a hold, a quarantine's too.
    Release(order::Args),
    /// Throw mail away; nobody is told without --bounce.
    Drop(order::DropArgs),
    /// Send mail another way, or to another recipient.
    Redirect(order::RedirectArgs),
    /// Write messages out whole, to be imported elsewhere.
    Export(ExportArgs),
    /// Queue messages that were exported.
    Import(ImportArgs),
    /// Check the spool of a server that is not running; exit code 1 when something is damaged.
    Fsck,
}

/// What `gatepost queue export` takes.
#[derive(Debug, clap::Args)]
struct ExportArgs {
    /// The directory to write to: ID.eml and ID.json for each message; `-` is standard output.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    #[command(flatten)]
    selection: Selection,
}

/// What `gatepost queue import` takes.
#[derive(Debug, clap::Args)]
struct ImportArgs {
    /// The directory that was exported to; `-` is what was exported to standard output.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Carries out the command.
///
/// # Errors
/// When neither the server nor the spool can be asked, or what was asked can't be done.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let reach = || Reach::open(options);
    match &args.command {
        Command::List(args) => list::list(args, reach),
        Command::Search(args) => list::search(args, reach),
        Command::Stats(args) => stats::run(args, &mut reach()?),
        Command::Show(args) => show::show(args, &mut reach()?),
        Command::Cat { id } => show::cat(*id, &mut reach()?),
        Command::Retry(args) => order::retry(args, reach),
        Command::Hold(args) => order::hold(args, reach),
        Command::Release(args) => order::release(args, reach),
        Command::Drop(args) => order::drop_mail(args, reach),
        Command::Redirect(args) => order::redirect(args, reach),
        Command::Export(args) => export::run(&args.folder, &args.selection, reach),
        Command::Import(args) => import::run(&args.folder, args.json, &mut reach()?),
        Command::Fsck => fsck::run(options),
    }
}
