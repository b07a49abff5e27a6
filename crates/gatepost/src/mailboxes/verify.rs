//! What VRFY and EXPN are told (RFC 5321 §3.5).
//!
//! Invariants: an undisclosed forward looks like a mailbox.

use smtp::address::{LocalPart, Mailbox};

use super::{Entry, Found, Known, LocalDomain, Role};

/// What VRFY is told about a user name or address, when the client may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum VerifyAnswer {
    /// A mailbox, alias or list: 250 with this address.
    Mailbox(Mailbox),
    /// A disclosed forward: 251 with the address that mail goes to.
    Forward {
        /// The address here.
        mailbox: Mailbox,
        /// Where its mail goes.
        address: Mailbox,
    },
    /// The mailbox has moved: 551 with the new address.
    Moved {
        /// Where to.
        address: Mailbox,
    },
    /// Several domains have the name: 553 with these (RFC 5321 §3.5.1).
    Ambiguous {
        /// One address a domain.
        candidates: Vec<Mailbox>,
    },
    /// A table failed: 252.
    Unsure,
    /// No such mailbox: 550 5.1.1.
    Unknown,
    /// The domain is not ours: 252, or 550 when its mail isn't relayed.
    NotLocal,
    /// Neither a name nor an address: 501.
    Malformed,
}

/// What EXPN is told, when the client may be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpandAnswer {
    /// The members of the list, or what the alias stands for, one level deep: 250, a line each.
    Members(Vec<Mailbox>),
    /// Not a list but a mailbox: 250 with this address.
    Mailbox(Mailbox),
    /// Several domains have the name: 553 with these.
    Ambiguous {
        /// One address a domain.
        candidates: Vec<Mailbox>,
    },
    /// A table failed: 252.
    Unsure,
    /// No such list: 550 5.1.1.
    Unknown,
    /// The domain is not ours: 252 or 550.
    NotLocal,
    /// Neither a name nor an address: 501.
    Malformed,
}

/// What an argument of VRFY or EXPN means.
enum Named<'a> {
    Entry(&'a LocalDomain, &'a Entry),
    Ambiguous(Vec<Mailbox>),
    Unsure,
    Unknown,
    NotLocal,
    Malformed,
}

impl<'a> Known<'a> {
    /// What VRFY is told about `text`: a user name or an address, in angle brackets or not.
    #[must_use]
    pub fn verify(&self, text: &str) -> VerifyAnswer {
        match self.named(text) {
            Named::Entry(domain, entry) => {
                let mailbox = domain.mailbox(&entry.local_part);
                match &entry.role {
                    Role::Forward { address, disclosed: true } => {
                        VerifyAnswer::Forward { mailbox, address: address.clone() }
                    }
                    Role::Moved(address) => VerifyAnswer::Moved { address: address.clone() },
                    _ => VerifyAnswer::Mailbox(mailbox),
                }
            }
            Named::Ambiguous(candidates) => VerifyAnswer::Ambiguous { candidates },
            Named::Unsure => VerifyAnswer::Unsure,
            Named::Unknown => VerifyAnswer::Unknown,
            Named::NotLocal => VerifyAnswer::NotLocal,
            Named::Malformed => VerifyAnswer::Malformed,
        }
    }

    /// What EXPN is told about `text`: a list's name or address, in angle brackets or not.
    #[must_use]
    pub fn expand(&self, text: &str) -> ExpandAnswer {
        match self.named(text) {
            Named::Entry(domain, entry) => match &entry.role {
                Role::List { members, .. } | Role::Alias(members) => ExpandAnswer::Members(members.clone()),
                _ => ExpandAnswer::Mailbox(domain.mailbox(&entry.local_part)),
            },
            Named::Ambiguous(candidates) => ExpandAnswer::Ambiguous { candidates },
            Named::Unsure => ExpandAnswer::Unsure,
            Named::Unknown => ExpandAnswer::Unknown,
            Named::NotLocal => ExpandAnswer::NotLocal,
            Named::Malformed => ExpandAnswer::Malformed,
        }
    }

    fn named(&self, text: &str) -> Named<'a> {
        let text = text.trim();
        let text = text.strip_prefix('<').and_then(|inner| inner.strip_suffix('>')).unwrap_or(text);
        if let Ok(mailbox) = text.parse::<Mailbox>() {
            return self.entry_of(&mailbox);
        }
        match text.parse::<LocalPart>() {
            Ok(local_part) if local_part.is_postmaster() => {
                self.directory.postmaster().map_or(Named::Unknown, |postmaster| self.entry_of(&postmaster))
            }
            Ok(local_part) => self.user(&local_part),
            // RFC 5321 §3.5.1 lets a user name be any string; a person's full name is one that we don't know.
            Err(_) if !text.is_empty() && !text.contains(['@', '<', '>', '"']) => Named::Unknown,
            Err(_) => Named::Malformed,
        }
    }

    /// The entry of a bare user name, searched in all domains.
    fn user(&self, local_part: &LocalPart) -> Named<'a> {
        let domains = self.directory.declared.domains.iter();
        // All are asked, so that all are looked up at once.
        let found: Vec<Found<'a>> = domains.map(|domain| self.find(&domain.mailbox(local_part))).collect();
        if found.iter().any(|found| matches!(found, Found::Unsure(_))) {
            return Named::Unsure;
        }
        let mut found = found.into_iter().filter_map(|found| match found {
            Found::Entry(domain, entry) => Some((domain, entry)),
            _ => None,
        });
        let Some((domain, entry)) = found.next() else { return Named::Unknown };
        let mut candidates: Vec<Mailbox> =
            found.map(|(domain, entry)| domain.mailbox(&entry.local_part)).collect();
        if candidates.is_empty() {
            return Named::Entry(domain, entry);
        }
        candidates.insert(0, domain.mailbox(&entry.local_part));
        Named::Ambiguous(candidates)
    }

    fn entry_of(&self, mailbox: &Mailbox) -> Named<'a> {
        let mut found = self.find(mailbox);
        if let Found::CatchAll(catch_all) = found {
            found = self.find(catch_all);
        }
        match found {
            Found::Entry(domain, entry) => Named::Entry(domain, entry),
            // Also when a catch-all sends everything elsewhere: every name is accepted, none confirmed.
            Found::NotLocal => Named::NotLocal,
            Found::Unsure(_) | Found::InTables(..) => Named::Unsure,
            Found::CatchAll(_) | Found::Unknown => Named::Unknown,
        }
    }
}
