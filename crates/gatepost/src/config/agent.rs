//! Commands that deliver: what a route's `command` runs, with which arguments, and as whom.
//!
//! Invariants: a command is a program and its arguments, never a line for a shell; it never runs as root; what a stranger
//! wrote never becomes an option of it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use policy::nearest::did_you_mean;
use toml::Spanned;
use toml::de::DeValue;

use super::domain::TableFiles;
use super::form::{Fault, Form, text_of};
use super::key::Table;
use super::keys;
use super::problem::{Place, Problem};

/// Where the system's accounts stand (passwd(5)).
const ACCOUNTS: &str = "/etc/passwd";

/// Keys of a route that say how a server is used.
const FOR_SERVERS: [&str; 5] = ["user", "password_file", "tls", "source_ipv4", "source_ipv6"];

/// Keys of a route that say how a command is run.
const FOR_COMMANDS: [&str; 2] = ["run_as", "timeout"];

/// A command that delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agent {
    /// The program, by an absolute path.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// As whom it runs when this server runs as root.
    pub account: Account,
    /// How long it may run.
    pub timeout: Duration,
}

/// Whom a process belongs to; neither is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Account {
    /// The user's number.
    pub user: u32,
    /// The group's number.
    pub group: u32,
}

/// An argument with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument(Vec<Piece>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Filled(Placeholder),
}

/// What stands for a part of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placeholder {
    /// The recipient's whole address.
    Recipient,
    /// What stands before its `@`.
    LocalPart,
    /// The sub-address that the mail was sent to; empty without one.
    SubAddress,
    /// What stands behind its `@`.
    Domain,
    /// The reverse-path without `<` and `>`; empty when it is null.
    ReversePath,
    /// The message's queue id.
    QueueId,
}

impl Placeholder {
    const NAMES: [(&'static str, Self); 6] = [
        ("recipient", Self::Recipient),
        ("local_part", Self::LocalPart),
        ("sub_address", Self::SubAddress),
        ("domain", Self::Domain),
        ("reverse_path", Self::ReversePath),
        ("queue_id", Self::QueueId),
    ];
}

impl Argument {
    /// Reads an argument.
    ///
    /// # Errors
    /// What is wrong with it, and what was probably meant.
    fn parse(text: &str) -> Result<Self, (String, Option<String>)> {
        let unpaired = || ("a brace has no partner; one that is meant is written twice".to_owned(), None);
        if text.contains('\0') {
            return Err(("no argument can hold a NUL".to_owned(), None));
        }
        let (mut pieces, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(brace) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at_checked(brace).ok_or_else(unpaired)?;
            plain.push_str(before);
            if let Some((doubled, after)) = ["{{", "}}"]
                .into_iter()
                .find_map(|doubled| Some((doubled, from_brace.strip_prefix(doubled)?)))
            {
                plain.extend(doubled.chars().next());
                rest = after;
                continue;
            }
            let inner = from_brace.strip_prefix('{').and_then(|inner| inner.split_once('}'));
            let (name, after) = inner.ok_or_else(unpaired)?;
            let Some((_, placeholder)) = Placeholder::NAMES.iter().find(|(known, _)| *known == name) else {
                let names = Placeholder::NAMES.map(|(known, _)| known);
                let known = names.map(|known| format!("`{{{known}}}`")).join(", ");
                return Err((format!("expected one of {known}"), did_you_mean(name, names)));
            };
            if !plain.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut plain)));
            }
            pieces.push(Piece::Filled(*placeholder));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            pieces.push(Piece::Text(plain));
        }
        Ok(Self(pieces))
    }

    /// The argument with what `value` gives; `None` when a value at its start would make it an option.
    pub fn fill<'v>(&self, value: impl Fn(Placeholder) -> &'v str) -> Option<String> {
        let mut filled = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Filled(placeholder) => filled.push_str(value(*placeholder)),
            }
        }
        let is_written_so = matches!(self.0.first(), Some(Piece::Text(_)) | None);
        (is_written_so || !filled.starts_with('-')).then_some(filled)
    }

    /// Its text, when it has no placeholder.
    fn plain(&self) -> Option<&str> {
        match self.0.as_slice() {
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }
}

/// A program or an argument.
pub(crate) struct ArgumentForm;

impl Form for ArgumentForm {
    type Value = Argument;

    fn describe(&self) -> String {
        "a program or an argument".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Argument> {
        let text = text_of(value, "a program or an argument", faults)?;
        Argument::parse(text)
            .map_err(|(why, near)| {
                let title = format!("`{text}` is not an argument");
                faults.push(Fault::new(value.span(), title, why).help(near));
            })
            .ok()
    }
}

/// Reads the command of a route, when it has one.
pub(super) fn read_agent(
    table: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Agent> {
    let command = table.read(&keys::ROUTE_COMMAND, problems);
    let account = table.read(&keys::ROUTE_RUN_AS, problems);
    let timeout = table.read(&keys::ROUTE_TIMEOUT, problems);
    let is_written = table.get("command").is_some();
    let (out_of_place, of) =
        if is_written { (&FOR_SERVERS[..], "servers") } else { (&FOR_COMMANDS[..], "commands") };
    for name in out_of_place {
        if let Some((key, _)) = table.get(name) {
            let title = format!("`{name}` is for {of}, and this route has none");
            problems.push(Problem::error(title, table.frame.place(key.span()), "this says nothing here"));
        }
    }
    let place = table.place("command")?;
    if table.is_empty_list("command") {
        problems.push(Problem::error("an empty command", place, "expected a program"));
        return None;
    }
    let mut command = command.into_iter();
    let program = command.next()?;
    let program_place = table.frame.place(program.span());
    let Some(program) = program.get_ref().plain().filter(|program| program.starts_with('/')) else {
        let title = "a command begins with the absolute path of a program";
        let advice = "no shell looks for it, and no address decides which one it is".to_owned();
        problems
            .push(Problem::error(title, program_place, "expected a path that starts with `/`").help(advice));
        return None;
    };
    let program = PathBuf::from(program);
    let account = read_account(account?.get_ref(), table.place("run_as").unwrap_or(place), files, problems)?;
    Some(Agent { program, arguments: command.map(Spanned::into_inner).collect(), account, timeout })
}

/// The account of that name, or of that user's and group's number.
fn read_account(
    name: &str,
    place: Place,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Option<Account> {
    let by_number = name.split_once(':').map(|(user, group)| (user.parse().ok(), group.parse().ok()));
    let account = match by_number {
        Some((Some(user), Some(group))) => Account { user, group },
        _ => files.beside(Path::new(ACCOUNTS), problems, |text| {
            find_account(name, text).map_err(|(why, advice)| {
                let title = format!("no account `{name}`");
                Box::new(Problem::error(title, place.clone(), why).help(advice))
            })
        })?,
    };
    if account.user == 0 || account.group == 0 {
        let title = format!("`{name}` has the rights of root");
        let label = "a command deals with what strangers wrote: it never runs as root";
        problems.push(Problem::error(title, place, label));
        return None;
    }
    Some(account)
}

fn find_account(name: &str, text: io::Result<&str>) -> Result<Account, (String, String)> {
    let by_number = || "a user's and a group's number do, too: \"65534:65534\"".to_owned();
    let text = text.map_err(|error| (format!("can't read {ACCOUNTS}: {error}"), by_number()))?;
    let accounts = || text.lines().filter_map(|line| line.split_once(':'));
    let Some((_, rest)) = accounts().find(|(account, _)| *account == name) else {
        let near = did_you_mean(name, accounts().map(|(account, _)| account));
        return Err((format!("{ACCOUNTS} doesn't have it"), near.unwrap_or_else(by_number)));
    };
    let mut numbers = rest.split(':').skip(1).map(|number| number.parse::<u32>().ok());
    match (numbers.next().flatten(), numbers.next().flatten()) {
        (Some(user), Some(group)) => Ok(Account { user, group }),
        _ => Err((format!("its line in {ACCOUNTS} can't be read"), by_number())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(argument: &str, value: &str) -> Option<String> {
        Argument::parse(argument).unwrap().fill(|placeholder| match placeholder {
            Placeholder::Recipient => value,
            Placeholder::QueueId => "6H14",
            _ => "",
        })
    }

    #[test]
    fn placeholders_are_filled_wherever_they_stand() {
        assert_eq!(filled("--to={recipient};{queue_id}", "a@b.example").unwrap(), "--to=a@b.example;6H14");
        assert_eq!(filled("{recipient}", "\"; rm -rf /\"@b.example").unwrap(), "\"; rm -rf /\"@b.example");
        assert_eq!(filled("{reverse_path}", "").unwrap(), "");
        assert_eq!(filled("", "").unwrap(), "");
        assert_eq!(filled("{{ {{{queue_id}}} }}", "").unwrap(), "{ {6H14} }");
        assert_eq!(filled("{recipient}", "{queue_id}@b.example").unwrap(), "{queue_id}@b.example");
    }

    #[test]
    fn no_value_becomes_an_option() {
        assert_eq!(filled("{recipient}", "-rf@b.example"), None);
        assert_eq!(filled("{sub_address}{recipient}", "-rf@b.example"), None, "behind what is empty");
        assert_eq!(filled("-d{recipient}", "-rf@b.example").unwrap(), "-d-rf@b.example");
    }

    #[test]
    fn what_is_no_argument_is_said() {
        for (text, why) in [("{recipient", "partner"), ("a}b", "partner"), ("{}", "expected"), ("a\0", "NUL")]
        {
            assert!(Argument::parse(text).unwrap_err().0.contains(why), "{text:?}");
        }
        let (_, near) = Argument::parse("{recipent}").unwrap_err();
        assert_eq!(near.as_deref(), Some("did you mean `recipient`?"));
    }
}
