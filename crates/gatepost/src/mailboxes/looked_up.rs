//! What tables have said of addresses, laid over what is declared.
//!
//! Invariants: an address that was not looked up, or whose table failed, is unsure: neither there nor missing. Where every
//! address is declared nothing is looked up, and nothing here costs anything.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use smtp::address::Mailbox;

use super::{Directory, Entry, Found, local_part_key};

/// An address of a domain that has tables: the domain's place among those that are declared, and the local part in its
/// normal form.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) domain: usize,
    pub(super) local_part: String,
}

/// What the tables of a domain say of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// What becomes of its mail.
    Entry(Entry),
    /// It is in none of them.
    Absent,
    /// It can't be known.
    Unsure(String),
}

/// What was looked up so far.
#[derive(Debug, Default)]
pub struct LookedUp {
    answers: BTreeMap<Address, Answer>,
    /// What was asked for and isn't known yet; none where nobody is going to look it up.
    wanted: Option<Mutex<Vec<Address>>>,
}

/// For those who ask only for what is declared.
static NOTHING: LookedUp = LookedUp::nothing();

impl LookedUp {
    /// Nothing was looked up.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { answers: BTreeMap::new(), wanted: None }
    }

    /// As [`LookedUp::nothing`], to live as long as is wanted.
    #[must_use]
    pub fn nothing_ever() -> &'static Self {
        &NOTHING
    }

    /// Nothing yet; what is asked for is noted.
    pub(super) fn noting() -> Self {
        Self { wanted: Some(Mutex::default()), ..Self::nothing() }
    }

    /// What was asked for and isn't known, each once.
    pub(super) fn take_wanted(&mut self) -> Vec<Address> {
        let wanted =
            self.wanted.as_mut().map(|wanted| wanted.get_mut().unwrap_or_else(PoisonError::into_inner));
        let mut wanted = wanted.map(std::mem::take).unwrap_or_default();
        wanted.sort();
        wanted.dedup();
        wanted
    }

    pub(super) fn learn(&mut self, address: Address, answer: Answer) {
        self.answers.insert(address, answer);
    }

    /// What is known of an address, which is noted when nothing is.
    fn of(&self, domain: usize, mailbox: &Mailbox) -> Option<&Answer> {
        let local_part = local_part_key(mailbox.local_part.as_str()).into_owned();
        let address = Address { domain, local_part };
        let answer = self.answers.get(&address);
        if let (None, Some(wanted)) = (answer, &self.wanted) {
            wanted.lock().unwrap_or_else(PoisonError::into_inner).push(address);
        }
        answer
    }
}

/// The mailboxes of a site as far as they are known: what is declared, and what was looked up.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    pub(super) directory: &'a Directory,
    pub(super) looked_up: &'a LookedUp,
}

impl<'a> Known<'a> {
    pub(super) fn find(&self, mailbox: &Mailbox) -> Found<'a> {
        let Directory { declared, index, .. } = self.directory;
        let found = index.find(declared, mailbox);
        let Found::InTables(place, domain) = found else { return found };
        match self.looked_up.of(place, mailbox) {
            Some(Answer::Entry(entry)) => Found::Entry(domain, entry),
            Some(Answer::Absent) => domain.catch_all.as_ref().map_or(Found::Unknown, Found::CatchAll),
            Some(Answer::Unsure(why)) => Found::Unsure(why),
            None => Found::Unsure("the tables were not asked"),
        }
    }
}
