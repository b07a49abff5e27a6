//! `gatepost table`: which tables there are, and what one has for a key.

use std::io::Write as _;
use std::process::ExitCode;

use super::{SiteOptions, WrongUsage};
use crate::config::Config;
use crate::tables::{Tables, Value};

/// What `gatepost table` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the tables: name, type, and the domains that use it.
    List,
    /// Look a key up, as the server would, without its cache.
    ///
    /// Prints the values, one a line. Exit code 0: there is an entry; 1: there is none; 75: the table could not be asked.
    Get {
        /// The table's name.
        name: String,
        /// The key: an address, say.
        key: String,
    },
}

/// A table that can't be asked now may answer later (EX_TEMPFAIL of sysexits.h).
const EXIT_UNSURE: u8 = 75;

/// Carries out the command.
///
/// # Errors
/// When there is no such table.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let Some(config) = super::configuration(options) else { return Ok(ExitCode::FAILURE) };
    match &args.command {
        Command::List => list(&config),
        Command::Get { name, key } => get(&config, name, key),
    }
}

fn list(config: &Config) -> anyhow::Result<ExitCode> {
    let mut out = std::io::stdout().lock();
    for table in &config.tables {
        let uses = config.mailboxes.domains.iter().flat_map(|domain| {
            let aliases = domain.aliases_from.contains(&table.name).then_some("aliases");
            let mailboxes = domain.mailboxes_from.contains(&table.name).then_some("mailboxes");
            aliases.into_iter().chain(mailboxes).map(|what| format!("{what} of {}", domain.name))
        });
        let uses: Vec<String> = uses.collect();
        let uses = if uses.is_empty() { "no domain uses it".to_owned() } else { uses.join(", ") };
        writeln!(out, "{}  {}  {uses}", table.name, table.kind.as_str())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn get(config: &Config, name: &str, key: &str) -> anyhow::Result<ExitCode> {
    let wanted: Vec<_> = config.tables.iter().filter(|table| &*table.name == name).cloned().collect();
    let (tables, problems) = Tables::of(&wanted, None, true);
    let Some(table) = tables.get(name) else {
        let names = config.tables.iter().map(|table| &*table.name);
        let near = policy::nearest::did_you_mean(name, names).map(|near| format!("; {near}"));
        let why = format!("there is no table `{name}`{}", near.unwrap_or_default());
        return Err(WrongUsage(why).into());
    };
    super::show(&problems);
    let mut out = std::io::stdout().lock();
    match super::runtime()?.block_on(table.look_up(key)) {
        Ok(Some(values)) if values.all().is_empty() => writeln!(out, "an entry without values")?,
        Ok(Some(values)) => {
            for Value { name, text } in values.all() {
                // A value may hold anything; a terminal is not to act on it.
                let text = text.replace(char::is_control, "\u{FFFD}");
                if name.is_empty() { writeln!(out, "{text}")? } else { writeln!(out, "{name}: {text}")? }
            }
        }
        Ok(None) => {
            writeln!(out, "no entry")?;
            return Ok(ExitCode::FAILURE);
        }
        Err(failure) => {
            writeln!(std::io::stderr(), "gatepost: {failure}")?;
            return Ok(ExitCode::from(EXIT_UNSURE));
        }
    }
    Ok(ExitCode::SUCCESS)
}
