//! How users log in, and what they may do: `[auth]` and `[auth.senders]`.
//!
//! Invariants: nothing is opened or asked; users are named in their prepared form.

use std::path::PathBuf;
use std::sync::Arc;

use policy::nearest::did_you_mean;
use toml::Spanned;
use toml::de::DeValue;

use super::domain::TableFiles;
use super::form::{Fault, Form, text_of};
use super::key::{Table, in_order};
use super::keys;
use super::problem::{Place, Problem};
use super::read::{plain, resolved};
use crate::auth::{AuthSettings, Backend, GuessLimits, Mechanism, SenderPattern, prepared_name};

/// Where passwords are, as it is written.
pub(crate) struct BackendForm;

/// The words in front of a path or a name.
const KINDS: [&str; 4] = ["file", "table", "dovecot", "saslauthd"];

impl Form for BackendForm {
    type Value = Backend;

    fn describe(&self) -> String {
        "\"file\", \"file:PATH\", \"table:NAME\", \"dovecot:PATH\" or \"saslauthd:PATH\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Backend> {
        let text = text_of(value, &self.describe(), faults)?;
        let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
        let path = || PathBuf::from(rest);
        let backend = match (kind, rest) {
            ("file", "") if text == "file" => Some(Backend::File(None)),
            (_, "") => None,
            ("file", _) => Some(Backend::File(Some(path()))),
            ("table", name) => Some(Backend::Table(Arc::from(name))),
            ("dovecot", _) => Some(Backend::Dovecot(path())),
            ("saslauthd", _) => Some(Backend::Saslauthd(path())),
            _ => None,
        };
        if backend.is_none() {
            let title = format!("`{text}` says not where passwords are");
            let near = did_you_mean(kind, KINDS).filter(|_| !KINDS.contains(&kind));
            faults.push(Fault::new(value.span(), title, format!("expected {}", self.describe())).help(near));
        }
        backend
    }
}

/// An address that a user may send from, or many.
pub(crate) struct SenderForm;

impl Form for SenderForm {
    type Value = SenderPattern;

    fn describe(&self) -> String {
        "an address, \"@\" and a domain, or \"*\"".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<SenderPattern> {
        let text = text_of(value, &self.describe(), faults)?;
        let pattern = SenderPattern::parse(text);
        if pattern.is_none() {
            let title = format!("`{text}` is not an address to send from");
            faults.push(Fault::new(value.span(), title, format!("expected {}", self.describe())));
        }
        pattern
    }
}

/// Reads `[auth]`.
pub(super) fn read_auth(
    top: &Table<'_>,
    files: &TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> AuthSettings {
    let table = top.section("auth", &keys::AUTH, problems);
    let backend = match table.read(&keys::AUTH_USERS, problems).map(Spanned::into_inner) {
        Some(Backend::File(Some(path))) => Backend::File(Some(resolved(files.base, &path.to_string_lossy()))),
        Some(backend) => backend,
        None => Backend::File(None),
    };
    let before = problems.len();
    let mut mechanisms = plain(table.read(&keys::AUTH_MECHANISMS, problems));
    if table.get("mechanisms").is_none() && backend != Backend::File(None) {
        // What others have stored is mostly hashes, and a client that prefers SCRAM would never get in.
        mechanisms
            .retain(|mechanism| !matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus));
    }
    // One that was refused might have worked.
    let all_read = problems.len() == before;
    let works = |mechanism: &Mechanism| {
        mechanism.has_password() || backend.has_keys() || *mechanism == Mechanism::External
    };
    if mechanisms.contains(&Mechanism::External) {
        check_external(top, &table, problems);
    }
    if all_read && !mechanisms.iter().any(works) {
        let place = table.place("mechanisms").unwrap_or_else(|| table.frame.place(0..0));
        let label = "nobody could log in";
        problems.push(
            Problem::error("no mechanism that works", place, label)
                .help("add \"PLAIN\", which works with every store of passwords".to_owned()),
        );
    }
    AuthSettings {
        backend,
        mechanisms,
        on_mx: table.read(&keys::AUTH_ON_MX, problems),
        loopback_without_tls: table.read(&keys::AUTH_WITHOUT_TLS, problems),
        guesses: GuessLimits {
            per_address: table.read(&keys::AUTH_PER_ADDRESS, problems),
            per_network: table.read(&keys::AUTH_PER_NETWORK, problems),
            per_account: table.read(&keys::AUTH_PER_ACCOUNT, problems),
            window: table.read(&keys::AUTH_WINDOW, problems),
            delay: table.read(&keys::AUTH_DELAY, problems),
        },
        messages_per_day: table.read(&keys::AUTH_MESSAGES, problems),
        recipients_per_day: table.read(&keys::AUTH_RECIPIENTS, problems),
        senders: read_senders(&table, problems),
        senders_from: plain(table.read(&keys::AUTH_SENDERS_FROM, problems))
            .iter()
            .map(|name| Arc::from(name.as_str()))
            .collect(),
    }
}

fn read_senders(table: &Table<'_>, problems: &mut Vec<Problem>) -> Vec<(String, Vec<SenderPattern>)> {
    let Some(senders) = table.table("senders", problems) else { return Vec::new() };
    let mut read = Vec::new();
    for (key, value) in in_order(senders) {
        let mut faults = Vec::new();
        let patterns = keys::AUTH_SENDER.form().read(value, &mut faults).unwrap_or_default();
        problems.extend(faults.into_iter().map(|fault| table.frame.problem(fault)));
        match prepared_name(key.get_ref()) {
            Some(user) => read.push((user, plain(patterns))),
            None => {
                let place = table.frame.place(key.span());
                problems.push(Problem::error(
                    "not a user's name",
                    place,
                    "expected a name as users log in with it",
                ));
            }
        }
    }
    read
}

/// The tables that `[auth]` names, with their places.
pub(super) fn named_tables(top: &Table<'_>) -> Vec<(Arc<str>, Place)> {
    let unheard = &mut Vec::new();
    let table = top.section("auth", &keys::AUTH, unheard);
    let senders = table.read(&keys::AUTH_SENDERS_FROM, unheard);
    let mut named: Vec<_> = senders
        .iter()
        .map(|name| (Arc::from(name.get_ref().as_str()), table.frame.place(name.span())))
        .collect();
    if let Some(users) = table.read(&keys::AUTH_USERS, unheard)
        && let Backend::Table(name) = users.get_ref()
        && table.get("users").is_some()
    {
        named.push((Arc::clone(name), table.frame.place(users.span())));
    }
    named
}

/// EXTERNAL goes by certificates that the site's own authority vouches for.
fn check_external(top: &Table<'_>, table: &Table<'_>, problems: &mut Vec<Problem>) {
    // What is wrong with the section itself is said where it is read.
    let tls = top.section("tls", &keys::TLS, &mut Vec::new());
    if let (Some(place), None) = (table.place("mechanisms"), tls.get("client_ca_file")) {
        let label = "nobody is vouched for, so that it is never offered";
        problems.push(Problem::warning("EXTERNAL without an authority for clients", place, label).help(
            "name its file in `tls.client_ca_file`, and networks in `tls.client_certificates`".to_owned(),
        ));
    }
}
