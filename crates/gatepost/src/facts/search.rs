//! From the facts that a policy waits for to whoever knows them.
//!
//! Invariants: every fact of a group is told at once; what fails outside is unsure.

use std::net::IpAddr;
use std::sync::Arc;

use policy::facts::Group;
use policy::policy::Policy;
use policy::slot::{Facts, Origin, Slot, SlotInfo};
use policy::source::{Contents, DnsListKind, Field, Source, SourceKind};
use policy::value::{State, Value};
use tokio::sync::OnceCell;

use super::arc;
use super::client_name::client_name;
use super::dkim::Dkim;
use super::dmarc::Dmarc;
use super::dns_list::{DnsList, Listed, Listing};
use super::helo_name::helo_name;
use super::recipient_domain::recipient_domain;
use super::sender_domain::sender_domain;
use super::services::Services;
use super::spf::{Envelope, Spf};
use super::{Findings, Found};
use crate::clock;
use crate::net::dns::Dns;
use crate::net::mail_auth::message::SignedMessage;
use crate::policies::InForce;

/// What a search is about.
#[derive(Debug)]
pub struct Subject {
    /// The client.
    pub client: IpAddr,
    /// What it called itself; empty before EHLO.
    pub helo: String,
    /// This server's name.
    pub hostname: String,
    /// The reverse-path's mailbox; empty for the null reverse-path.
    pub sender: String,
    /// The domain of the reverse-path.
    pub sender_domain: String,
    /// The recipient's mailbox.
    pub recipient: String,
    /// Its domain, and whether that is served here.
    pub recipient_domain: (String, bool),
    /// The message, once its data are all there.
    pub message: Option<Arc<SignedMessage>>,
    /// What was verified for the transaction.
    pub verified: Arc<Verified>,
}

/// Who sent a message, as far as it was asked: each look-up is made once in a transaction.
#[derive(Debug, Default)]
pub struct Verified {
    /// SPF.
    pub spf: OnceCell<Spf>,
    /// The signatures.
    pub dkim: OnceCell<Dkim>,
    /// DMARC.
    pub dmarc: OnceCell<Dmarc>,
    /// The chain.
    pub arc: OnceCell<arc::Arc>,
}

/// The facts that must be known before a group is asked.
#[must_use]
pub fn keys(policy: &Policy, group: Group) -> Vec<Slot> {
    match group {
        Group::Source(place) => match policy.sources().get(usize::from(place)).map(|source| &source.kind) {
            Some(SourceKind::DnsList { key, .. } | SourceKind::Table { key, .. }) => vec![*key],
            Some(SourceKind::Rate { keys, .. }) => keys.clone(),
            Some(SourceKind::Filter(filter)) => filter.client_name.into_iter().collect(),
            None => Vec::new(),
        },
        Group::ListScore => scored(policy).map(|(slot, _)| slot).collect(),
        _ => Vec::new(),
    }
}

/// The facts from which the score is made, with what each adds.
fn scored(policy: &Policy) -> impl Iterator<Item = (Slot, i64)> {
    numbered(policy).filter_map(|(slot, info)| {
        let Origin::Source(place, Field::Listed) = info.origin else { return None };
        let source = policy.sources().get(usize::from(place)).filter(|source| !source.shadow)?;
        match source.kind {
            SourceKind::DnsList { kind: DnsListKind::Dnsbl, weight, .. } => Some((slot, weight)),
            SourceKind::DnsList { kind: DnsListKind::Dnswl, weight, .. } => Some((slot, -weight)),
            _ => None,
        }
    })
}

fn numbered(policy: &Policy) -> impl Iterator<Item = (Slot, &SlotInfo)> {
    (0..).map(Slot).zip(policy.slots())
}

/// Finds out the facts of `group` that the policy can ask for; `facts` holds the keys.
pub async fn find_out(
    services: &Services,
    in_force: &InForce,
    group: Group,
    facts: &Facts,
    subject: &Subject,
) -> Found {
    let policy = &in_force.policy;
    match group {
        Group::Source(place) => match policy.sources().get(usize::from(place)) {
            Some(source) => of_source(services, in_force, (place, source), facts).await,
            None => Vec::new(),
        },
        Group::ListScore => named(policy, vec![("dnsbl.score", score(policy, facts))]),
        Group::Place => named(policy, services.places().find(subject.client)),
        Group::Greylist => named(policy, greylist(services, policy, subject).await),
        // The session's own, and what a message's content says, are told by whoever has them.
        Group::Session | Group::Mailbox | Group::Content => Vec::new(),
        _ => match services.dns() {
            Ok(dns) => named(policy, of_dns(dns, group, subject).await),
            Err(why) => all_unsure(policy, group, why),
        },
    }
}

async fn of_dns(dns: &Dns, group: Group, subject: &Subject) -> Findings {
    match group {
        Group::ClientName => client_name(dns, subject.client).await,
        Group::HeloName => helo_name(dns, &subject.helo, subject.client).await,
        Group::SenderDomain => sender_domain(dns, &subject.sender_domain).await,
        Group::RecipientDomain => {
            let (domain, is_local) = &subject.recipient_domain;
            recipient_domain(dns, domain, *is_local).await
        }
        Group::Spf => subject.spf(dns).await.findings(),
        Group::Dkim => subject.dkim(dns).await.map_or_else(Vec::new, Dkim::findings),
        Group::Dmarc => subject.dmarc(dns).await.map_or_else(Vec::new, Dmarc::findings),
        Group::Arc => subject.chain(dns).await.map_or_else(Vec::new, arc::Arc::findings),
        _ => Vec::new(),
    }
}

/// Verifies whatever says who sent the message of `subject`; what was verified before isn't again.
pub async fn verify_all(dns: &Dns, subject: &Subject) {
    tokio::join!(subject.spf(dns), subject.dmarc(dns), subject.dkim(dns), subject.chain(dns));
}

impl Subject {
    /// What SPF is asked.
    #[must_use]
    pub fn envelope(&self) -> Envelope<'_> {
        Envelope { client: self.client, helo: &self.helo, sender: &self.sender, receiver: &self.hostname }
    }

    /// What SPF says of the client, asked once.
    pub async fn spf(&self, dns: &Dns) -> &Spf {
        self.verified.spf.get_or_init(|| async { Spf::check(dns, &self.envelope()).await }).await
    }

    /// What the message's DKIM signatures are worth, verified once; `None` without a message.
    pub async fn dkim(&self, dns: &Dns) -> Option<&Dkim> {
        let message = self.message.as_ref()?;
        Some(self.verified.dkim.get_or_init(|| Dkim::verify(dns, message)).await)
    }

    /// What DMARC says of the message, asked once; `None` without one.
    pub async fn dmarc(&self, dns: &Dns) -> Option<&Dmarc> {
        let message = self.message.as_ref()?;
        let spf = self.spf(dns).await;
        Some(self.verified.dmarc.get_or_init(|| Dmarc::verify(dns, message, spf)).await)
    }

    /// What the message's ARC chain is worth, verified once; `None` without a message.
    pub async fn chain(&self, dns: &Dns) -> Option<&arc::Arc> {
        let message = self.message.as_ref()?;
        Some(self.verified.arc.get_or_init(|| arc::Arc::verify(dns, message)).await)
    }
}

/// Notes the attempt in the greylist: at once when memory can tell, else on a thread that may wait for the disk.
async fn greylist(services: &Services, policy: &Policy, subject: &Subject) -> Findings {
    let unsure =
        |why: &str| vec![("greylist.passed", State::unsure(why)), ("greylist.age", State::unsure(why))];
    let Some(greylist) = services.greylist().map(Arc::clone) else {
        return unsure("the greylist can't be opened");
    };
    let settings = policy.greylist();
    let now = clock::wall();
    let known = greylist.passed_at_hand(settings, subject.client, &subject.sender, &subject.recipient, now);
    if let Some(findings) = known {
        return findings;
    }
    let settings = settings.clone();
    let (client, sender, recipient) = (subject.client, subject.sender.clone(), subject.recipient.clone());
    let asked =
        tokio::task::spawn_blocking(move || greylist.passed(&settings, client, &sender, &recipient, now));
    asked.await.unwrap_or_else(|_| unsure("the greylist ended abnormally"))
}

async fn of_source(
    services: &Services,
    in_force: &InForce,
    (place, source): (u16, &Source),
    facts: &Facts,
) -> Found {
    let states = match &source.kind {
        SourceKind::DnsList { key, .. } => {
            let listing = list(services, source, facts.get(*key)).await;
            vec![
                (Field::Listed, listing.listed),
                (Field::Reason, listing.reason),
                (Field::Codes, listing.codes),
            ]
        }
        SourceKind::Table { contents: Contents::External(name), key } => {
            external(services, name, facts.get(*key)).await.into()
        }
        SourceKind::Table { key, .. } => in_force.tables.look_up(place, facts.get(*key)).into(),
        SourceKind::Rate { .. } => {
            vec![(Field::Count, in_force.rates.look(place, source, facts, clock::monotonic()))]
        }
        // Whoever has the session asks them.
        SourceKind::Filter(_) => Vec::new(),
    };
    of_fields(&in_force.policy, place, &states)
}

/// Facts of a source by the policy's numbers; what it can't ask for is left out.
#[must_use]
pub fn of_fields(policy: &Policy, place: u16, states: &[(Field, State)]) -> Found {
    numbered(policy)
        .filter_map(|(slot, info)| match info.origin {
            Origin::Source(origin, field) if origin == place => {
                let state = states.iter().find(|(known, _)| *known == field)?.1.clone();
                Some((slot, state))
            }
            _ => None,
        })
        .collect()
}

/// Looks a key up in a table of the configuration, as it is. The first value counts; an entry without one is there, and
/// its value empty.
async fn external(services: &Services, name: &str, key: &State) -> [(Field, State); 2] {
    let both = |state: State| [(Field::Value, state.clone()), (Field::Key, state)];
    let key = match key {
        State::Known(Value::Address(address)) => address.to_canonical().to_string(),
        State::Known(value) => value.to_string(),
        State::Missing => return both(State::Missing),
        State::Unsure(why) => return both(State::Unsure(Arc::clone(why))),
        State::NotAsked => return both(State::unsure("the table's key isn't known")),
    };
    let Some(table) = services.tables.get(name) else {
        return both(State::unsure("the configuration has no such table"));
    };
    match table.look_up(&key).await {
        Ok(Some(values)) => {
            let value = values.texts().next().unwrap_or_default();
            [(Field::Value, State::text(value)), (Field::Key, State::text(&key))]
        }
        Ok(None) => both(State::Missing),
        Err(failure) => both(State::unsure(&failure.to_string())),
    }
}

/// Looks a key up in a list of the DNS. What has no key is on no list.
async fn list(services: &Services, source: &Source, key: &State) -> Listing {
    let (Some(list), dns) = (DnsList::of(&source.kind), services.dns()) else {
        return Listing::unsure("it is no list");
    };
    let dns = match dns {
        Ok(dns) => dns,
        Err(why) => return Listing::unsure(why),
    };
    let text: [Arc<str>; 1];
    let key = match key {
        State::Known(Value::Address(address)) => Listed::Address(*address),
        State::Known(Value::Texts(domains)) => Listed::Domains(domains),
        State::Known(Value::Text(domain)) => {
            text = [Arc::clone(domain)];
            Listed::Domains(&text)
        }
        State::Unsure(why) => return Listing::unsure(why),
        State::NotAsked => return Listing::unsure("what is looked up isn't known"),
        State::Known(_) | State::Missing => Listed::Domains(&[]),
    };
    services.lists.look_up(dns, &list, &key).await
}

/// The sum over the lists; unsure when one of them is.
fn score(policy: &Policy, facts: &Facts) -> State {
    let mut sum = 0_i64;
    for (slot, weight) in scored(policy) {
        match facts.get(slot) {
            State::Known(Value::Boolean(true)) => sum = sum.saturating_add(weight),
            State::Unsure(why) => return State::Unsure(Arc::clone(why)),
            _ => {}
        }
    }
    State::Known(Value::Number(sum))
}

/// Findings by the policy's numbers; what it can't ask for is left out.
fn named(policy: &Policy, findings: Findings) -> Found {
    findings.into_iter().filter_map(|(name, state)| Some((policy.slot(name)?, state))).collect()
}

/// Nothing of a group can be found out.
fn all_unsure(policy: &Policy, group: Group, why: &str) -> Found {
    numbered(policy)
        .filter(|(_, info)| info.group == group)
        .map(|(slot, _)| (slot, State::unsure(why)))
        .collect()
}
