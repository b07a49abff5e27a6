//! The mailboxes of a site: what a recipient's address means, who is behind it, and where its mail goes.
//!
//! Invariants: a [`Directory`] never changes; a reload makes another one. Look-ups cost the same however many mailboxes
//! there are and touch no file; how full a Maildir is comes in through a function.

mod entry;
mod in_tables;
mod index;
mod looked_up;
mod quota;
mod resolve;
mod template;
mod verify;

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use smtp::address::{Domain, ForwardPath, LocalPart, Mailbox};

pub use entry::{Declared, Entry, LocalDomain, MailboxSettings, OverQuota, Role};
pub(crate) use index::{Found, Index, domain_key, folded_domain, local_part_key};
pub use looked_up::{Known, LookedUp};
pub use quota::{QuotaUsage, USAGE_VALID};
pub use resolve::{Destination, Quota, Resolved, Undeliverable};
pub use template::{PLACES, PathTemplate, TemplateError};
pub use verify::{ExpandAnswer, VerifyAnswer};

/// Most aliases, lists and forwards between an address and its mailbox (ours; loops are refused when the configuration
/// is read).
pub const ALIAS_DEPTH_MAX: usize = 16;

/// Most addresses that one address may stand for (ours: a message to such a list is one record of the spool).
pub const RESOLVED_MAX: usize = 10_000;

/// All mailboxes, ready to be asked.
#[derive(Debug, Clone)]
pub struct Directory {
    declared: Declared,
    index: Index,
    state: PathBuf,
    has_tables: bool,
}

/// What an address is here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Meaning {
    /// A mailbox of this server.
    Mailbox,
    /// An alias.
    Alias,
    /// A list.
    List,
    /// Its mail is forwarded.
    Forward {
        /// Where it goes.
        address: Mailbox,
        /// Whether the client may hear it.
        disclosed: bool,
    },
    /// The mailbox has moved.
    Moved {
        /// Where to.
        address: Mailbox,
    },
    /// It can't be known: a table that may have it failed, or was not asked. Holds why.
    Unsure(String),
    /// No such mailbox in a local domain.
    Unknown,
    /// The domain is not ours.
    NotLocal,
}

/// The one mailbox behind an address that may refuse mail for now or for good.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    directory: &'a Directory,
    domain: &'a LocalDomain,
    entry: &'a Entry,
    settings: &'a MailboxSettings,
}

impl Directory {
    /// Makes the mailboxes ready to be asked; relative Maildirs are in the directory `state`.
    #[must_use]
    pub fn new(declared: Declared, state: &Path) -> Self {
        let index = Index::new(&declared);
        let has_tables = declared.domains.iter().any(LocalDomain::has_tables);
        Self { declared, index, state: state.to_owned(), has_tables }
    }

    /// Whether mail for `domain` ends here; so it is for the server's own name and addresses.
    #[must_use]
    pub fn is_local(&self, domain: &Domain) -> bool {
        self.index.domain(&self.declared, domain).is_some()
    }

    /// Where `<postmaster>` leads: the mailbox of that name in the first domain.
    #[must_use]
    pub fn postmaster(&self) -> Option<Mailbox> {
        let domain = self.declared.domains.first()?;
        LocalPart::new("postmaster").ok().map(|local_part| domain.mailbox(&local_part))
    }

    /// The domains, for a list of them.
    #[must_use]
    pub fn domains(&self) -> &[LocalDomain] {
        &self.declared.domains
    }

    /// Whether some addresses stand in tables, and must be looked up before they are known.
    #[must_use]
    pub const fn has_tables(&self) -> bool {
        self.has_tables
    }

    /// What is declared together with what was looked up.
    #[must_use]
    pub const fn with<'a>(&'a self, looked_up: &'a LookedUp) -> Known<'a> {
        Known { directory: self, looked_up }
    }

    /// What is declared alone: an address that may stand in a table is unsure.
    #[must_use]
    pub fn declared(&self) -> Known<'_> {
        self.with(LookedUp::nothing_ever())
    }

    /// The final recipients that `forward_path` stands for, as far as that is declared; see [`Known::resolve`].
    #[must_use]
    pub fn resolve(&self, forward_path: &ForwardPath) -> Vec<Resolved> {
        self.declared().resolve(forward_path)
    }

    /// The mailbox that is meant; `<postmaster>` is the first domain's.
    fn mailbox_of<'a>(&self, forward_path: &'a ForwardPath) -> Option<Cow<'a, Mailbox>> {
        match forward_path {
            ForwardPath::Postmaster => self.postmaster().map(Cow::Owned),
            ForwardPath::Mailbox(mailbox) => Some(Cow::Borrowed(mailbox)),
        }
    }

    /// Where the Maildir of a mailbox is.
    pub(crate) fn maildir(&self, domain: &LocalDomain, entry: &Entry, settings: &MailboxSettings) -> PathBuf {
        let own = settings.maildir.as_ref().or(domain.maildir.as_ref());
        let domain_name = domain_key(domain.name.as_str());
        own.unwrap_or(&self.declared.maildir).path(
            &self.state,
            domain_name.as_deref().unwrap_or(domain.name.as_str()),
            &local_part_key(entry.local_part.as_str()),
        )
    }
}

impl<'a> Known<'a> {
    /// What an address is.
    #[must_use]
    pub fn meaning(&self, forward_path: &ForwardPath) -> Meaning {
        let Some(mailbox) = self.directory.mailbox_of(forward_path) else { return Meaning::Unknown };
        match self.find(&mailbox) {
            Found::NotLocal => Meaning::NotLocal,
            Found::Unknown => Meaning::Unknown,
            Found::InTables(..) => Meaning::Unsure(String::new()),
            Found::Unsure(why) => Meaning::Unsure(why.to_owned()),
            Found::CatchAll(_) => Meaning::Alias,
            Found::Entry(_, entry) => match &entry.role {
                Role::Mailbox(_) | Role::Kept { .. } | Role::Discard => Meaning::Mailbox,
                Role::Alias(_) => Meaning::Alias,
                Role::List { .. } => Meaning::List,
                Role::Forward { address, disclosed } => {
                    Meaning::Forward { address: address.clone(), disclosed: *disclosed }
                }
                Role::Moved(address) => Meaning::Moved { address: address.clone() },
            },
        }
    }

    /// The mailbox that all mail for an address goes to, past aliases of one address. A postmaster has none that could
    /// refuse (RFC 5321 §4.5.1), nor has a list.
    #[must_use]
    pub fn standing(&self, forward_path: &ForwardPath) -> Option<Standing<'a>> {
        let mailbox = self.directory.mailbox_of(forward_path)?;
        let found = self.find(&mailbox);
        if matches!(found, Found::Entry(_, entry) if entry.local_part.is_postmaster()) {
            return None;
        }
        let (domain, entry, settings) = self.only_mailbox(found)?;
        Some(Standing { directory: self.directory, domain, entry, settings })
    }

    /// The one Maildir mailbox that everything for `found` goes to, past aliases of one address.
    fn only_mailbox(
        &self,
        mut found: Found<'a>,
    ) -> Option<(&'a LocalDomain, &'a Entry, &'a MailboxSettings)> {
        for _ in 0..ALIAS_DEPTH_MAX {
            let next = match found {
                Found::CatchAll(mailbox) => mailbox,
                Found::Entry(domain, entry) => match &entry.role {
                    Role::Mailbox(settings) => return Some((domain, entry, settings)),
                    Role::Alias(targets) => match targets.as_slice() {
                        [target] => target,
                        _ => return None,
                    },
                    _ => return None,
                },
                Found::Unknown | Found::NotLocal | Found::InTables(..) | Found::Unsure(_) => return None,
            };
            found = self.find(next);
        }
        None
    }
}

impl Standing<'_> {
    /// Whether the mailbox is marked busy.
    #[must_use]
    pub const fn is_busy(&self) -> bool {
        self.settings.busy
    }

    /// Whether the site wants an over-full mailbox to be a condition that passes.
    #[must_use]
    pub fn quota_is_temporary(&self) -> bool {
        self.settings.over_quota == OverQuota::Defer
    }

    /// Whether the mailbox is over its quota, or would be with `size_octets` more (RFC 1870 §6.1); without a declared
    /// size a message is an octet at least. `used_octets` says how much a Maildir holds; it is asked only when there is
    /// a quota.
    ///
    /// # Errors
    /// What kept it from being found out.
    pub fn over_quota(
        &self,
        size_octets: Option<u64>,
        used_octets: impl FnOnce(&Path) -> io::Result<u64>,
    ) -> io::Result<bool> {
        if self.settings.full {
            return Ok(true);
        }
        let Some(quota_octets) = self.settings.quota_octets else { return Ok(false) };
        let used = used_octets(&self.maildir())?;
        Ok(used.saturating_add(size_octets.unwrap_or(0).max(1)) > quota_octets)
    }

    /// How much of its quota the mailbox uses, in per cent; `None` when it has none.
    ///
    /// # Errors
    /// What kept it from being found out.
    pub fn quota_percent(
        &self,
        used_octets: impl FnOnce(&Path) -> io::Result<u64>,
    ) -> io::Result<Option<u64>> {
        match self.settings.quota_octets {
            _ if self.settings.full => Ok(Some(100)),
            None => Ok(None),
            Some(quota_octets) => {
                let used = used_octets(&self.maildir())?;
                Ok(Some(used.saturating_mul(100) / quota_octets.max(1)))
            }
        }
    }

    fn maildir(&self) -> PathBuf {
        self.directory.maildir(self.domain, self.entry, self.settings)
    }
}

#[cfg(test)]
mod tests;
