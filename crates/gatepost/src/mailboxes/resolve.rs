//! Where the mail for an address goes: aliases, lists, forwards and catch-alls followed to their ends.
//!
//! Invariants: it ends, whatever the entries say: an entry is followed once, [`ALIAS_DEPTH_MAX`] deep, to at most
//! [`RESOLVED_MAX`] addresses and one that says that there are more; every address is named once; what can't be
//! delivered is named too.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use smtp::address::{ForwardPath, Mailbox, ReversePath};

use super::{
    ALIAS_DEPTH_MAX, Entry, Found, Known, LocalDomain, MailboxSettings, OverQuota, RESOLVED_MAX, Role,
};

/// One final recipient of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The final address, without sub-address and in the domain's main name when it is local.
    pub mailbox: Mailbox,
    /// Where its mail goes.
    pub destination: Destination,
    /// How much a Maildir may hold; looked at again when mail came through an alias or a list.
    pub quota: Option<Quota>,
    /// The reverse-path that replaces the message's own, unless that is null: mail for a list carries its owner's
    /// (RFC 5321 §3.9.2).
    pub list_owner: Option<Mailbox>,
}

impl Resolved {
    /// The reverse-path that the mail carries: its own, or the list owner's unless its own is null (RFC 5321 §3.9.2,
    /// §4.5.5).
    #[must_use]
    pub fn reverse_path(&self, own: &ReversePath) -> ReversePath {
        match (own, &self.list_owner) {
            (ReversePath::Mailbox(_), Some(owner)) => ReversePath::Mailbox(owner.clone()),
            _ => own.clone(),
        }
    }
}

/// Where mail for one final recipient goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Into this Maildir.
    Maildir(PathBuf),
    /// To another server.
    Relay,
    /// To the server that has the mailbox, by the route of this name.
    Route(Arc<str>),
    /// Nowhere: it counts as delivered.
    Discard,
    /// It can't go on now, or ever.
    Undeliverable(Undeliverable),
}

/// Why mail can't be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undeliverable {
    /// No such mailbox (5.1.1).
    Unknown,
    /// The mailbox has moved here and doesn't forward (5.1.6).
    Moved(Mailbox),
    /// The mailbox is busy (4.2.1); worth another attempt.
    Busy,
    /// The mailbox is declared full (4.2.2 when temporary, else 5.2.2).
    OverQuota {
        /// Whether another attempt is worth it.
        temporary: bool,
    },
    /// A table that may have the address failed (4.4.3, RFC 3463 §3.5). Holds why, for the log.
    Unsure(String),
    /// The aliases go on for too long (4.4.6, RFC 3463 §3.5); the configuration can be mended, so it is not for good.
    TooManyAliases,
}

/// How much a Maildir may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Octets of all messages together.
    pub limit_octets: u64,
    /// What happens to a message that would not fit.
    pub over_quota: OverQuota,
}

impl<'a> Known<'a> {
    /// The final recipients that `forward_path` stands for; empty only for the postmaster of a site without domains,
    /// which no configuration makes.
    #[must_use]
    pub fn resolve(&self, forward_path: &ForwardPath) -> Vec<Resolved> {
        let Some(mailbox) = self.directory.mailbox_of(forward_path) else { return Vec::new() };
        let mut walk = Walk { known: *self, seen: HashSet::new(), resolved: Vec::new() };
        walk.visit(&mailbox, 0, None);
        if walk.resolved.is_empty() {
            // Aliases that lead only to each other: no configuration with them loads, but mail must not get lost.
            walk.end(
                mailbox.into_owned(),
                Destination::Undeliverable(Undeliverable::TooManyAliases),
                None,
                None,
            );
        }
        walk.resolved
    }
}

struct Walk<'a> {
    known: Known<'a>,
    /// Entries, and addresses elsewhere, that were met already.
    seen: HashSet<Mailbox>,
    resolved: Vec<Resolved>,
}

impl<'a> Walk<'a> {
    fn visit(&mut self, mailbox: &Mailbox, depth: usize, owner: Option<&'a Mailbox>) {
        if self.resolved.len() > RESOLVED_MAX {
            return;
        }
        if depth > ALIAS_DEPTH_MAX || self.resolved.len() == RESOLVED_MAX {
            let destination = Destination::Undeliverable(Undeliverable::TooManyAliases);
            return self.end(mailbox.clone(), destination, None, owner);
        }
        match self.known.find(mailbox) {
            Found::Entry(domain, entry) => self.enter(domain, entry, depth, owner),
            Found::CatchAll(catch_all) => self.visit(catch_all, depth + 1, owner),
            Found::Unsure(why) if self.seen.insert(mailbox.clone()) => {
                let destination = Destination::Undeliverable(Undeliverable::Unsure(why.to_owned()));
                self.end(mailbox.clone(), destination, None, owner);
            }
            Found::Unknown if self.seen.insert(mailbox.clone()) => {
                let destination = Destination::Undeliverable(Undeliverable::Unknown);
                self.end(mailbox.clone(), destination, None, owner);
            }
            Found::NotLocal if self.seen.insert(mailbox.clone()) => {
                self.end(mailbox.clone(), Destination::Relay, None, owner);
            }
            Found::Unknown | Found::NotLocal | Found::InTables(..) | Found::Unsure(_) => {}
        }
    }

    fn enter(&mut self, domain: &'a LocalDomain, entry: &'a Entry, depth: usize, owner: Option<&'a Mailbox>) {
        let mailbox = domain.mailbox(&entry.local_part);
        // Nothing comes back to an entry that the walk began with and ends at.
        let leads_on = matches!(
            entry.role,
            Role::Alias(_) | Role::List { .. } | Role::Forward { .. } | Role::Kept { .. }
        );
        if (depth > 0 || leads_on) && !self.seen.insert(mailbox.clone()) {
            return;
        }
        let undeliverable = match &entry.role {
            Role::Alias(targets) => return self.visit_all(targets, depth, owner),
            Role::List { members, owner } => return self.visit_all(members, depth, Some(owner)),
            Role::Forward { address, .. } => return self.visit(address, depth + 1, owner),
            Role::Discard => return self.end(mailbox, Destination::Discard, None, owner),
            Role::Kept { settings, others } => {
                self.end_in_maildir(mailbox, (domain, entry, settings), owner);
                return self.visit_all(others, depth, owner);
            }
            Role::Mailbox(settings) if !settings.busy && !settings.full => {
                return self.end_in_maildir(mailbox, (domain, entry, settings), owner);
            }
            Role::Mailbox(settings) if settings.busy => Undeliverable::Busy,
            Role::Mailbox(settings) => {
                Undeliverable::OverQuota { temporary: settings.over_quota == OverQuota::Defer }
            }
            Role::Moved(address) => Undeliverable::Moved(address.clone()),
        };
        self.end(mailbox, Destination::Undeliverable(undeliverable), None, owner);
    }

    fn end_in_maildir(
        &mut self,
        mailbox: Mailbox,
        (domain, entry, settings): (&LocalDomain, &Entry, &MailboxSettings),
        owner: Option<&Mailbox>,
    ) {
        if let Some(route) = &domain.route {
            return self.end(mailbox, Destination::Route(Arc::clone(route)), None, owner);
        }
        let over_quota = settings.over_quota;
        let quota = settings.quota_octets.map(|limit_octets| Quota { limit_octets, over_quota });
        let maildir = self.known.directory.maildir(domain, entry, settings);
        self.end(mailbox, Destination::Maildir(maildir), quota, owner);
    }

    fn visit_all(&mut self, targets: &[Mailbox], depth: usize, owner: Option<&'a Mailbox>) {
        for target in targets {
            self.visit(target, depth + 1, owner);
        }
    }

    fn end(
        &mut self,
        mailbox: Mailbox,
        destination: Destination,
        quota: Option<Quota>,
        owner: Option<&Mailbox>,
    ) {
        self.resolved.push(Resolved { mailbox, destination, quota, list_owner: owner.cloned() });
    }
}
