//! Addresses looked up in a domain's tables: first aliases, then mailboxes, the whole address before its shorter forms.
//!
//! Invariants: a table that fails leaves everything that follows open; a value that is no address is a failure of its
//! table, so that mail waits until it is mended.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use smtp::address::{Domain, LocalPart, Mailbox};

use super::looked_up::{Address, Answer};
use super::{
    ALIAS_DEPTH_MAX, Directory, Entry, Known, LocalDomain, LookedUp, MailboxSettings, PathTemplate, Role,
    domain_key, local_part_key,
};
use crate::config::{Target, size_octets};
use crate::tables::{TableFailure, Tables, Value, Values};

/// Addresses that are looked up at a time (ours: a list of thousands must not take all connections of a table).
const LOOK_UPS_MAX: usize = 16;

/// Longest time for all that one question looks up (ours: a client waits two minutes for the reply to DATA, RFC 5321
/// §4.5.3.2.4; what isn't known then is unsure).
const LOOK_UP_TIME_MAX: Duration = Duration::from_secs(60);

impl Directory {
    /// Looks up in `tables` what `ask` wants to know: it is called until nothing more is wanted.
    pub async fn look_up(&self, tables: &Tables, ask: impl Fn(Known<'_>) + Send) -> LookedUp {
        let mut looked_up = LookedUp::nothing();
        if !self.has_tables() {
            return looked_up;
        }
        looked_up = LookedUp::noting();
        let all = async {
            // Each round goes one alias further.
            for _ in 0..ALIAS_DEPTH_MAX + 2 {
                ask(self.with(&looked_up));
                let wanted = looked_up.take_wanted();
                if wanted.is_empty() {
                    return;
                }
                for some in wanted.chunks(LOOK_UPS_MAX) {
                    let answers = join_all(some.iter().map(|address| self.ask_tables(tables, address))).await;
                    for (address, answer) in some.iter().zip(answers) {
                        looked_up.learn(address.clone(), answer);
                    }
                }
            }
        };
        if tokio::time::timeout(LOOK_UP_TIME_MAX, all).await.is_err() {
            tracing::warn!(target: "gatepost::tables", "addresses take too long to look up; what isn't known is unsure");
        }
        looked_up
    }

    async fn ask_tables(&self, tables: &Tables, address: &Address) -> Answer {
        let Some(domain) = self.declared.domains.get(address.domain) else { return Answer::Absent };
        match Search::new(tables, domain).find(&address.local_part).await {
            Ok(Some(entry)) => Answer::Entry(entry),
            Ok(None) => Answer::Absent,
            Err(failure) => Answer::Unsure(failure.to_string()),
        }
    }
}

/// A search in the tables of one domain.
struct Search<'a> {
    tables: &'a Tables,
    domain: &'a LocalDomain,
    /// The domain as keys have it.
    domain_name: String,
}

/// What an alias table has for an address.
enum Alias {
    /// Addresses, and whether the address itself is one of them.
    Targets(Vec<Mailbox>, bool),
    /// The address itself alone, or nothing.
    None,
}

impl<'a> Search<'a> {
    fn new(tables: &'a Tables, domain: &'a LocalDomain) -> Self {
        let name = domain.name.as_str();
        let domain_name =
            domain_key(name).map_or_else(|| name.to_ascii_lowercase(), std::borrow::Cow::into_owned);
        Self { tables, domain, domain_name }
    }

    /// The entry for a local part in its normal form: under the whole address, without the sub-address, and as `@domain` in
    /// the tables of aliases.
    async fn find(&self, local_part: &str) -> Result<Option<Entry>, TableFailure> {
        let name = self.domain.subaddress.and_then(|separator| local_part.split_once(separator));
        let name = name.map(|(name, _)| name).filter(|name| !name.is_empty());
        for local_part in std::iter::once(local_part).chain(name) {
            if let Some(role) = self.of_address(local_part).await? {
                return Ok(self.entry(local_part, role));
            }
        }
        match self.alias(&format!("@{}", self.domain_name), local_part).await? {
            // Who is sent on to himself has no mailbox: it would have been found.
            Alias::Targets(targets, _) => Ok(self.entry(local_part, Role::Alias(targets))),
            Alias::None => Ok(None),
        }
    }

    fn entry(&self, local_part: &str, role: Role) -> Option<Entry> {
        LocalPart::new(local_part).ok().map(|local_part| Entry { local_part, role })
    }

    async fn of_address(&self, local_part: &str) -> Result<Option<Role>, TableFailure> {
        let key = format!("{local_part}@{}", self.domain_name);
        let (others, keeps) = match self.alias(&key, local_part).await? {
            Alias::Targets(targets, false) => return Ok(Some(Role::Alias(targets))),
            Alias::Targets(targets, true) => (targets, true),
            Alias::None => (Vec::new(), false),
        };
        Ok(match self.mailbox(&key).await? {
            Some(settings) if keeps => Some(Role::Kept { settings, others }),
            Some(settings) => Some(Role::Mailbox(settings)),
            None if keeps => Some(Role::Alias(others)),
            None => None,
        })
    }

    /// Where the first table of aliases with an entry for `key` sends the mail for `local_part`.
    async fn alias(&self, key: &str, local_part: &str) -> Result<Alias, TableFailure> {
        for name in &self.domain.aliases_from {
            let Some(values) = self.tables.look_up(name, key).await? else { continue };
            let (mut targets, mut itself) = (Vec::new(), false);
            for text in values.texts().flat_map(split) {
                let target = self.target(text, local_part).map_err(|why| failure(name, &why))?;
                if self.is_itself(&target, local_part) {
                    itself = true;
                } else if !targets.contains(&target) {
                    targets.push(target);
                }
            }
            if !targets.is_empty() {
                return Ok(Alias::Targets(targets, itself));
            }
            // An entry that names only the address itself says that there is a mailbox, if there is one.
        }
        Ok(Alias::None)
    }

    /// The address that a value names; `@domain` keeps the local part.
    fn target(&self, text: &str, local_part: &str) -> Result<Mailbox, String> {
        let mistaken =
            |why: &str| format!("`{}` stands there, which is no address: {why}", text.escape_debug());
        if text.starts_with(['|', '/']) || text.starts_with(":include:") {
            return Err(mistaken("mail goes to no program, file or list of addresses"));
        }
        if let Some(domain) = text.strip_prefix('@') {
            let domain = domain.parse().map_err(|_| mistaken("no domain stands behind the `@`"))?;
            let local_part = LocalPart::new(local_part).map_err(|error| mistaken(&error.to_string()))?;
            return Ok(Mailbox { local_part, domain: Domain::Name(domain) });
        }
        Target::parse(text).map(|target| target.at(&self.domain.name)).map_err(|why| mistaken(&why))
    }

    fn is_itself(&self, target: &Mailbox, local_part: &str) -> bool {
        let is_here = target.domain.name().is_some_and(|name| {
            let key = domain_key(name.as_str());
            self.domain.names().any(|own| domain_key(own.as_str()) == key)
        });
        is_here && local_part_key(target.local_part.as_str()) == local_part
    }

    /// What the first table of mailboxes with an entry for `key` says of the mailbox.
    async fn mailbox(&self, key: &str) -> Result<Option<MailboxSettings>, TableFailure> {
        for name in &self.domain.mailboxes_from {
            if let Some(values) = self.tables.look_up(name, key).await? {
                return settings(&values).map(Some).map_err(|why| failure(name, &why));
            }
        }
        Ok(None)
    }
}

/// A value that can't be meant.
fn failure(table: &Arc<str>, why: &str) -> TableFailure {
    let failure = TableFailure { table: Arc::clone(table), why: why.into() };
    tracing::error!(target: "gatepost::tables", "{failure}");
    failure
}

/// The addresses of a value, which commas part outside quotation marks.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |character| {
        let was_escaped = escaped;
        escaped = quoted && !was_escaped && character == '\\';
        if character == '"' && !was_escaped {
            quoted = !quoted;
        }
        character == ',' && !quoted
    });
    parts.map(str::trim).filter(|part| !part.is_empty())
}

/// What the values of a mailbox say: `quota` and `maildir` by the names of columns or attributes, or written as
/// `quota=…` and `maildir=…`. All others say only that the mailbox is there.
fn settings(values: &Values) -> Result<MailboxSettings, String> {
    let mut settings = MailboxSettings::default();
    for Value { name, text } in values.all() {
        let written = text.split_once('=').map(|(name, text)| (name.trim(), text.trim()));
        let named = [(name.as_ref(), text.trim())];
        for (name, text) in named.into_iter().chain(written).filter(|(_, text)| !text.is_empty()) {
            if name.eq_ignore_ascii_case("quota") && !text.contains('=') {
                let octets = size_octets(text).ok_or_else(|| format!("`{text}` is no quota"))?;
                // Zero is how other servers' tables say that there is none.
                settings.quota_octets = Some(octets).filter(|octets| *octets > 0);
            } else if name.eq_ignore_ascii_case("maildir") && !text.contains('=') {
                let template =
                    PathTemplate::parse(text).map_err(|_| format!("`{text}` is no path for Maildirs"))?;
                settings.maildir = Some(template);
            }
        }
    }
    Ok(settings)
}

#[cfg(test)]
mod tests;
