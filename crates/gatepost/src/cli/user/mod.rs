//! `gatepost user`: who may log in, in the file of users; a running server goes by it at once.

mod terminal;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow, bail};
use serde::Serialize;

use super::{SiteOptions, WrongUsage};
use crate::auth::{Backend, Password, Secrets, User, UserFile, prepared_name};
use crate::config::Config;

/// What `gatepost user` takes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Add a user. The name is the address that he sends from; without a domain it is one of the first domain.
    Add(Named),
    /// Give a user another password.
    Passwd(Named),
    /// List the users, and how their passwords are stored.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Take users away.
    Remove {
        /// Their names.
        #[arg(required = true)]
        names: Vec<String>,
    },
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The user's name.
    name: String,
    /// Read the password from the first line of standard input; otherwise the terminal asks for it twice.
    #[arg(long)]
    password_stdin: bool,
}

/// A user in the list.
#[derive(Debug, Serialize)]
struct Listed<'u> {
    name: &'u str,
    stored: Vec<String>,
    /// Whether SCRAM-SHA-256 works for him.
    scram: bool,
}

/// Longest line that is read as a password, in octets; what is longer is no password.
const LINE_OCTETS_MAX: u64 = 4_096;

/// Carries out the command.
///
/// # Errors
/// When the users are elsewhere, the file can't be read or written, or what is asked for can't be done.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let Some(config) = super::configuration(options) else { return Ok(ExitCode::FAILURE) };
    let path = config.auth.backend.file(&options.state).ok_or_else(|| anyhow!(elsewhere(&config)))?;
    let file = UserFile::new(path);
    match &args.command {
        Command::Add(named) => put(&file, named, true),
        Command::Passwd(named) => put(&file, named, false),
        Command::List { json } => list(&file, *json),
        Command::Remove { names } => remove(&file, names),
    }
}

fn elsewhere(config: &Config) -> String {
    let place = match &config.auth.backend {
        Backend::File(_) => "in a file".to_owned(),
        Backend::Dovecot(socket) => format!("behind Dovecot's socket {}", socket.display()),
        Backend::Saslauthd(socket) => format!("behind saslauthd's socket {}", socket.display()),
        Backend::Table(name) => format!("in the table `{name}`"),
    };
    format!("`auth.users` says that users are {place}; they are added there")
}

fn put(file: &UserFile, named: &Named, is_new: bool) -> anyhow::Result<ExitCode> {
    let name = name_of(&named.name)?;
    // Nobody is asked for a password in vain.
    let users = file.users().map_err(anyhow::Error::msg)?;
    may_put(&users, &name, is_new).map_err(anyhow::Error::msg)?;
    let password = if named.password_stdin { from_input()? } else { from_terminal(&name)? };
    if !password.can_be_chosen() {
        bail!("the password holds characters that can't be typed everywhere alike (RFC 4013)");
    }
    let secrets = Secrets::new(&password).map_err(anyhow::Error::msg)?;
    file.change(|users| {
        may_put(users, &name, is_new)?;
        users.put(User { name: name.clone(), secrets });
        Ok(())
    })
    .map_err(anyhow::Error::msg)?;
    let done = if is_new { "is added to" } else { "has a new password in" };
    writeln!(io::stdout(), "{name} {done} {}", file.path().display())?;
    Ok(ExitCode::SUCCESS)
}

fn may_put(users: &crate::auth::Users, name: &str, is_new: bool) -> Result<(), String> {
    match (users.get(name)?, is_new) {
        (Some(_), true) => {
            Err(format!("{name} is there already; `gatepost user passwd {name}` changes the password"))
        }
        (None, false) => Err(format!("there is no user {name}; `gatepost user add {name}` adds him")),
        _ => Ok(()),
    }
}

fn list(file: &UserFile, json: bool) -> anyhow::Result<ExitCode> {
    let users = file.users().map_err(anyhow::Error::msg)?;
    let listed = users.all().iter().map(|user| Listed {
        name: &user.name,
        stored: user.secrets.forms(),
        scram: user.secrets.keys().is_some(),
    });
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer_pretty(&mut out, &listed.collect::<Vec<_>>())?;
        writeln!(out)?;
    } else {
        for user in listed {
            writeln!(out, "{}  {}", user.name, user.stored.join(", "))?;
        }
    }
    let broken = users.broken();
    for line in broken {
        writeln!(
            io::stderr(),
            "{}:{line}: this line names no user, or one that stands above",
            file.path().display()
        )?;
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn remove(file: &UserFile, names: &[String]) -> anyhow::Result<ExitCode> {
    let names = names.iter().map(|name| name_of(name)).collect::<anyhow::Result<Vec<String>>>()?;
    let removed = file.change(|users| {
        for name in &names {
            if !users.remove(name) {
                return Err(format!("there is no user {name}; nothing was changed"));
            }
        }
        Ok(names.join(", "))
    });
    writeln!(
        io::stdout(),
        "{} removed from {}",
        removed.map_err(anyhow::Error::msg)?,
        file.path().display()
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The name as users are named in the file.
fn name_of(text: &str) -> anyhow::Result<String> {
    let name = prepared_name(text)
        .filter(|name| !name.contains(|letter: char| letter == ':' || letter.is_whitespace()));
    name.filter(|name| !name.starts_with('#')).ok_or_else(|| {
        WrongUsage(format!(
            "`{}` can't be a user's name: no blanks, colons or control characters",
            text.escape_debug()
        ))
        .into()
    })
}

/// The password that stands in the first line of standard input.
fn from_input() -> anyhow::Result<Password> {
    let mut line = Vec::new();
    io::stdin()
        .lock()
        .take(LINE_OCTETS_MAX)
        .read_until(b'\n', &mut line)
        .context("cannot read the password")?;
    read(&line)
}

/// The password that is typed twice.
fn from_terminal(name: &str) -> anyhow::Result<Password> {
    if !io::stdin().is_terminal() {
        return Err(WrongUsage(
            "no terminal asks for the password: --password-stdin reads it from there".to_owned(),
        )
        .into());
    }
    let ask = |prompt: &str| {
        terminal::ask_unseen(prompt).context("cannot read the password").and_then(|line| read(&line))
    };
    let password = ask(&format!("Password of {name}: "))?;
    if ask("Once more: ")? != password {
        bail!("the passwords differ; nothing was changed");
    }
    Ok(password)
}

fn read(line: &[u8]) -> anyhow::Result<Password> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    Password::read(line)
        .ok_or_else(|| anyhow!("a password is a text in UTF-8 of 1 to 1024 octets without NUL"))
}
