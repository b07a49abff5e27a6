//! What a site declares about its mailboxes: domains, their entries, and what becomes of mail for each.
//!
//! Invariants: everything is immutable; every domain of a [`Declared`] and its hostname have an entry `postmaster`
//! once a postmaster is known (RFC 5321 §4.5.1).

use std::net::IpAddr;
use std::sync::Arc;

use smtp::address::{Domain, DomainName, LocalPart, Mailbox};

use super::template::PathTemplate;

/// All mailboxes of a site. The first domain answers for `<postmaster>` and for the site's address literals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Declared {
    /// The local domains, as written; the last is the hostname's own, when no domain has that name.
    pub domains: Vec<LocalDomain>,
    /// Addresses of the server, which stand for the first domain when written as literals (RFC 5321 §4.1.3).
    pub literals: Vec<IpAddr>,
    /// Who gets the mail for `postmaster` of every domain that has no such entry of its own.
    pub postmaster: Option<Mailbox>,
    /// Where Maildirs are, unless a domain or mailbox says otherwise.
    pub maildir: PathTemplate,
}

/// A domain whose mail ends here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalDomain {
    /// Its name.
    pub name: DomainName,
    /// Other names of the same mailboxes.
    pub aliases: Vec<DomainName>,
    /// What separates a mailbox's name from a sub-address (RFC 5233 §1); `None` for no sub-addressing.
    pub subaddress: Option<char>,
    /// Who gets the mail for local parts without an entry.
    pub catch_all: Option<Mailbox>,
    /// Where Maildirs of this domain are.
    pub maildir: Option<PathTemplate>,
    /// The route by which its mailboxes' mail is delivered instead of into Maildirs.
    pub route: Option<Arc<str>>,
    /// Its addresses.
    pub entries: Vec<Entry>,
    /// Tables with more of its aliases, in the order in which they are asked.
    pub aliases_from: Vec<Arc<str>>,
    /// Tables with more of its mailboxes.
    pub mailboxes_from: Vec<Arc<str>>,
}

/// One address of a local domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The address before the `@`.
    pub local_part: LocalPart,
    /// What becomes of its mail.
    pub role: Role,
}

/// What becomes of mail for an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// It is delivered to a Maildir.
    Mailbox(MailboxSettings),
    /// It is delivered to a Maildir, and goes to these addresses, too. Only tables say so.
    Kept {
        /// How the Maildir is kept.
        settings: MailboxSettings,
        /// Who else gets it.
        others: Vec<Mailbox>,
    },
    /// It goes to these addresses, its reverse-path unchanged (RFC 5321 §3.9.1).
    Alias(Vec<Mailbox>),
    /// It goes to the members of a list, its reverse-path changed to the owner (RFC 5321 §3.9.2).
    List {
        /// Who gets it.
        members: Vec<Mailbox>,
        /// Who gets the DSNs for it.
        owner: Mailbox,
    },
    /// It goes to another address (RFC 5321 §3.4).
    Forward {
        /// Where it goes.
        address: Mailbox,
        /// Whether clients hear the address (251).
        disclosed: bool,
    },
    /// It is refused with the new address (551, RFC 5321 §3.4).
    Moved(Mailbox),
    /// It is accepted and thrown away.
    Discard,
}

/// How a Maildir mailbox is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailboxSettings {
    /// Mail is deferred for now (450).
    pub busy: bool,
    /// The mailbox counts as over its quota, whatever it holds.
    pub full: bool,
    /// How much it may hold, in octets.
    pub quota_octets: Option<u64>,
    /// What a mailbox over its quota answers.
    pub over_quota: OverQuota,
    /// Where its Maildir is.
    pub maildir: Option<PathTemplate>,
}

/// What a mailbox over its quota answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OverQuota {
    /// 552: the mail goes back.
    #[default]
    Reject,
    /// 452: the client tries again.
    Defer,
}

impl Role {
    /// The addresses that mail for the entry goes to next; empty when it goes no further.
    #[must_use]
    pub fn targets(&self) -> &[Mailbox] {
        match self {
            Self::Alias(targets)
            | Self::List { members: targets, .. }
            | Self::Kept { others: targets, .. } => targets,
            Self::Forward { address, .. } => std::slice::from_ref(address),
            Self::Mailbox(_) | Self::Moved(_) | Self::Discard => &[],
        }
    }
}

impl Declared {
    /// A site's mailboxes. Adds the entries that RFC 5321 §4.5.1 asks for: a `postmaster` for each domain without one,
    /// and, when `hostname` is none of the domains, a domain of that name with nothing else.
    #[must_use]
    pub fn new(
        hostname: &DomainName,
        literals: Vec<IpAddr>,
        mut domains: Vec<LocalDomain>,
        postmaster: Option<Mailbox>,
        maildir: PathTemplate,
    ) -> Self {
        let is_hostname = |domain: &LocalDomain| domain.names().any(|name| name == hostname);
        if !domains.is_empty() && !domains.iter().any(is_hostname) {
            domains.push(LocalDomain::empty(hostname.clone()));
        }
        if let (Some(postmaster), Ok(local_part)) = (&postmaster, LocalPart::new("postmaster")) {
            for domain in &mut domains {
                if !domain.entries.iter().any(|entry| entry.local_part.is_postmaster()) {
                    let role = Role::Alias(vec![postmaster.clone()]);
                    domain.entries.push(Entry { local_part: local_part.clone(), role });
                }
            }
        }
        Self { domains, literals, postmaster, maildir }
    }
}

impl LocalDomain {
    /// A domain without mailboxes.
    #[must_use]
    pub const fn empty(name: DomainName) -> Self {
        Self {
            name,
            aliases: Vec::new(),
            subaddress: None,
            catch_all: None,
            maildir: None,
            route: None,
            entries: Vec::new(),
            aliases_from: Vec::new(),
            mailboxes_from: Vec::new(),
        }
    }

    /// Whether some of its addresses stand in tables.
    #[must_use]
    pub fn has_tables(&self) -> bool {
        !(self.aliases_from.is_empty() && self.mailboxes_from.is_empty())
    }

    /// Its name and its other names.
    pub fn names(&self) -> impl Iterator<Item = &DomainName> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// The address `local_part` in this domain.
    #[must_use]
    pub fn mailbox(&self, local_part: &LocalPart) -> Mailbox {
        Mailbox { local_part: local_part.clone(), domain: Domain::Name(self.name.clone()) }
    }
}
