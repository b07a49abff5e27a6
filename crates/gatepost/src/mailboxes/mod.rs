//! The mailboxes of a site: what a recipient's address means, who is behind it, and where its mail goes.
//!
//! Invariants: a [`Directory`] never changes; a reload makes another one. Look-ups cost the same however many mailboxes
//! there are and touch no file; how full a Maildir is comes in through a function.

mod entry;
mod index;
mod quota;
mod resolve;
mod template;
mod verify;

use std::io;
use std::path::{Path, PathBuf};

use smtp::address::{Domain, ForwardPath, LocalPart, Mailbox};

pub use entry::{Declared, Entry, LocalDomain, MailboxSettings, OverQuota, Role};
pub(crate) use index::{Found, Index, domain_key, local_part_key};
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
}

/// What RCPT is told about an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecipientAnswer {
    /// A mailbox of this server: 250.
    Mailbox,
    /// An alias: 250.
    Alias,
    /// A list: 250.
    List,
    /// Mail is forwarded: 251 with the address when it is disclosed, 250 when not.
    Forward {
        /// Where it goes.
        address: Mailbox,
        /// Whether the client may hear it.
        disclosed: bool,
    },
    /// The mailbox has moved: 551 with the new address.
    Moved {
        /// Where to.
        address: Mailbox,
    },
    /// The mailbox is busy: 450.
    Busy,
    /// The mailbox is full, or would be with a message of the declared size.
    OverQuota {
        /// 452 when set, else 552.
        temporary: bool,
    },
    /// How full the mailbox is can't be found out: 451.
    Unavailable {
        /// For the log.
        why: String,
    },
    /// No such mailbox: 550 5.1.1.
    Unknown,
    /// The domain is not ours: 550 5.7.1, unless the client may relay.
    NotLocal,
}

impl Directory {
    /// Makes the mailboxes ready to be asked; relative Maildirs are in the directory `state`.
    #[must_use]
    pub fn new(declared: Declared, state: &Path) -> Self {
        let index = Index::new(&declared);
        Self { declared, index, state: state.to_owned() }
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

    /// What RCPT is told about an address. `size_octets` is what MAIL declared (RFC 1870 §6.1), `used_octets` says how
    /// much a Maildir holds; it is asked only about mailboxes with a quota. A postmaster is never refused
    /// (RFC 5321 §4.5.1).
    #[must_use]
    pub fn recipient(
        &self,
        forward_path: &ForwardPath,
        size_octets: Option<u64>,
        used_octets: impl Fn(&Path) -> io::Result<u64>,
    ) -> RecipientAnswer {
        let Some(mailbox) = self.mailbox_of(forward_path) else { return RecipientAnswer::Unknown };
        let found = self.index.find(&self.declared, &mailbox);
        let answer = match found {
            Found::NotLocal => return RecipientAnswer::NotLocal,
            Found::Unknown => return RecipientAnswer::Unknown,
            Found::CatchAll(_) => RecipientAnswer::Alias,
            Found::Entry(_, entry) => match &entry.role {
                Role::Mailbox(_) | Role::Discard => RecipientAnswer::Mailbox,
                Role::Alias(_) => RecipientAnswer::Alias,
                Role::List { .. } => return RecipientAnswer::List,
                Role::Forward { address, disclosed } => {
                    return RecipientAnswer::Forward { address: address.clone(), disclosed: *disclosed };
                }
                Role::Moved(address) => return RecipientAnswer::Moved { address: address.clone() },
            },
        };
        if matches!(found, Found::Entry(_, entry) if entry.local_part.is_postmaster()) {
            return answer;
        }
        match self.only_mailbox(found) {
            Some((domain, entry, settings)) => {
                let maildir = || self.maildir(domain, entry, settings);
                refusal(settings, size_octets, || used_octets(&maildir())).unwrap_or(answer)
            }
            None => answer,
        }
    }

    /// The mailbox that is meant; `<postmaster>` is the first domain's.
    fn mailbox_of(&self, forward_path: &ForwardPath) -> Option<Mailbox> {
        match forward_path {
            ForwardPath::Postmaster => self.postmaster(),
            ForwardPath::Mailbox(mailbox) => Some(mailbox.clone()),
        }
    }

    /// The one Maildir mailbox that everything for `found` goes to, past aliases of one address.
    fn only_mailbox<'a>(
        &'a self,
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
                Found::Unknown | Found::NotLocal => return None,
            };
            found = self.index.find(&self.declared, next);
        }
        None
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

/// Why a mailbox takes no mail now, if so.
fn refusal(
    settings: &MailboxSettings,
    size_octets: Option<u64>,
    used_octets: impl FnOnce() -> io::Result<u64>,
) -> Option<RecipientAnswer> {
    if settings.busy {
        return Some(RecipientAnswer::Busy);
    }
    let over_quota = RecipientAnswer::OverQuota { temporary: settings.over_quota == OverQuota::Defer };
    if settings.full {
        return Some(over_quota);
    }
    let quota_octets = settings.quota_octets?;
    match used_octets() {
        // Without a declared size the message is an octet at least.
        Ok(used) if used.saturating_add(size_octets.unwrap_or(0).max(1)) > quota_octets => Some(over_quota),
        Ok(_) => None,
        Err(error) => Some(RecipientAnswer::Unavailable { why: error.to_string() }),
    }
}

#[cfg(test)]
mod tests;
