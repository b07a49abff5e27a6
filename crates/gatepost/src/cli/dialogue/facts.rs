//! From options and given facts to what is to be played: the terms of the session, and what the client says.
//!
//! Invariant: what is said twice, once by an option and once by a fact, is refused and never guessed.

use std::net::SocketAddr;
use std::path::Path;

use policy::facts::Scope;
use policy::value::{State, Value};
use policy::{Given, Policy, Refused};

use super::script::{self, Script, Session};
use super::{Args, octets_of, parse_client};
use crate::policy_files;

/// The name that the client has where none is given.
const HELO: &str = "client.example";

/// The address that it has where none is given (RFC 5737).
const CLIENT: &str = "203.0.113.1";

/// What stands in for a message of which facts are given.
const STAND_IN: &[u8] = b"Subject: a stand-in\r\n\r\n.\r\n";

/// What is to be played.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) client: SocketAddr,
    pub(super) given: Vec<Given>,
    pub(super) tls: Option<String>,
    pub(super) user: Option<String>,
    pub(super) script: Script,
    pub(super) is_stand_in: bool,
}

/// Why nothing can be played.
#[derive(Debug)]
pub(super) enum Mistake {
    /// A file can't be read.
    Unreadable(anyhow::Error),
    /// Options don't go together.
    Usage(String),
    /// The facts are wrong.
    Facts(Refused),
}

impl From<anyhow::Error> for Mistake {
    fn from(error: anyhow::Error) -> Self {
        Self::Unreadable(error)
    }
}

impl Plan {
    /// What the options ask for, under `policy`.
    pub(super) fn of(args: &Args, policy: &Policy) -> Result<Self, Mistake> {
        let inputs = [&args.message, &args.facts, &args.raw];
        if inputs.into_iter().flatten().filter(|path| path.as_path() == Path::new("-")).count() > 1 {
            return Err(usage("standard input can be read once: `-` is given twice"));
        }
        let mut given = given(args, policy)?;
        let mut args = args.clone();
        take_over(&mut args, &mut given)?;
        let concerns_message = given.iter().any(|given| given.fact.scope == Scope::Message);
        let is_stand_in =
            concerns_message && args.message.is_none() && args.raw.is_none() && !args.rcpt.is_empty();
        let client = match args.client {
            Some(client) => client,
            None => parse_client(CLIENT).map_err(Mistake::Usage)?,
        };
        let (tls, user) = (args.tls.clone(), args.auth.clone());
        let script = match &args.raw {
            Some(path) => Script::Raw(script::lines(&octets_of(path)?)),
            None => Script::Session(Box::new(session(args, is_stand_in)?)),
        };
        Ok(Self { client, given, tls, user, script, is_stand_in })
    }
}

/// The facts of the file, then those of the options.
fn given(args: &Args, policy: &Policy) -> Result<Vec<Given>, Mistake> {
    let file = match &args.facts {
        Some(path) if path.as_path() == Path::new("-") => {
            let text = String::from_utf8(octets_of(path)?);
            Some((String::from("standard input"), text.map_err(|_| usage("the facts are not UTF-8"))?))
        }
        Some(path) => Some((path.display().to_string(), policy_files::read(path)?)),
        None => None,
    };
    if let Some(fact) = args.fact.iter().find(|fact| fact.contains(['\n', '\r'])) {
        return Err(usage(&format!("--fact {fact:?} has several lines: give each fact by itself")));
    }
    let options = args.fact.join("\n");
    let mut texts: Vec<(&str, &str)> = file.iter().map(|(name, text)| (&**name, &**text)).collect();
    texts.push(("--fact", &options));
    policy.given(&texts).map_err(Mistake::Facts)
}

/// Facts that are the session's own become its options.
fn take_over(args: &mut Args, given: &mut Vec<Given>) -> Result<(), Mistake> {
    let is_raw = args.raw.is_some();
    let mut take = |name: &str, option: &str, is_said: bool, of_script: bool| {
        let Some(place) = given.iter().position(|given| &*given.fact.name == name) else { return Ok(None) };
        if is_said {
            return Err(usage(&format!(
                "`{name}` is given, and {option} says it, too: leave one of them out"
            )));
        }
        if of_script && is_raw {
            return Err(usage(&format!("`{name}` is given, and the lines of --raw say it: leave it out")));
        }
        Ok(match given.remove(place).state {
            State::Known(value) => Some(value),
            _ => None,
        })
    };
    let address = take("client.ip", "--client", args.client.is_some(), false)?;
    let port = take("client.port", "--client", args.client.is_some(), false)?;
    let helo = take("helo.name", "--helo", args.helo.is_some(), true)?;
    let tls = take("tls.version", "--tls", args.tls.is_some(), false)?;
    let user = take("auth.user", "--auth", args.auth.is_some(), false)?;
    let mail = take("sender.address", "--mail", args.mail.is_some(), true)?;
    let size = take("sender.declared_size", "--size", args.size.is_some(), true)?;
    let recipient = take("recipient.address", "--rcpt", !args.rcpt.is_empty(), true)?;
    if address.is_some() || port.is_some() {
        let ip = address.map_or_else(|| CLIENT.to_owned(), |address| address.to_string());
        let mut client = parse_client(&ip).map_err(Mistake::Usage)?;
        if let Some(Value::Number(number)) = port {
            let port = u16::try_from(number).map_err(|_| usage(&format!("there is no port {number}")))?;
            client.set_port(port);
        }
        args.client = Some(client);
    }
    let text = |value: Option<Value>, option: &mut Option<String>| {
        if let Some(value) = value {
            *option = Some(value.to_string());
        }
    };
    text(helo, &mut args.helo);
    text(tls, &mut args.tls);
    text(user, &mut args.auth);
    text(mail, &mut args.mail);
    if let Some(Value::Number(octets)) = size {
        args.size = u64::try_from(octets).ok();
    }
    args.rcpt.extend(recipient.map(|address| address.to_string()));
    Ok(())
}

/// The session that the options ask for.
fn session(args: Args, is_stand_in: bool) -> Result<Session, Mistake> {
    if args.mail.is_none() {
        for (option, is_given) in [
            ("--rcpt", !args.rcpt.is_empty()),
            ("--size", args.size.is_some()),
            ("--message", args.message.is_some()),
        ] {
            if is_given {
                return Err(usage(&format!("{option} needs --mail; the null reverse-path is --mail '<>'")));
            }
        }
    } else if args.message.is_some() && args.rcpt.is_empty() {
        return Err(usage("--message needs --rcpt"));
    }
    let inquiries = args.vrfy.iter().map(|text| format!("VRFY {text}"));
    let inquiries: Vec<String> =
        inquiries.chain(args.expn.iter().map(|text| format!("EXPN {text}"))).collect();
    let session = Session {
        helo: args.helo.unwrap_or_else(|| HELO.to_owned()),
        start_tls: args.tls.is_some(),
        auth: args.auth.is_some(),
        inquiries,
        reverse_path: args.mail.as_deref().map(unbracketed),
        size_octets: args.size,
        recipients: args.rcpt.iter().map(|path| unbracketed(path)).collect(),
        message: match &args.message {
            Some(path) => Some(script::mail_data(&octets_of(path)?)),
            None => is_stand_in.then(|| STAND_IN.to_vec()),
        },
    };
    let said = [&session.helo].into_iter().chain(&session.reverse_path);
    let is_broken = |text: &String| text.contains(['\r', '\n']);
    if said.chain(&session.recipients).chain(&session.inquiries).any(is_broken) {
        return Err(usage(
            "a command is one line: take the line break out, or write the dialogue down for --raw",
        ));
    }
    Ok(session)
}

fn unbracketed(path: &str) -> String {
    path.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(path).to_owned()
}

fn usage(why: &str) -> Mistake {
    Mistake::Usage(why.to_owned())
}
