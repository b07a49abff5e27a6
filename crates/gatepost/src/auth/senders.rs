//! The addresses that a user may send from (RFC 6409 §6.1).
//!
//! Invariants: what a table can't tell is not known, never refused; an address of another domain is nobody's own unless it
//! is the user's name, or the site says so.

use smtp::address::{Domain, DomainName, ForwardPath, LocalPart, Mailbox};

use super::preparation::prepared_name;
use crate::mailboxes::{Destination, Known, domain_key, folded_domain, local_part_key};
use crate::site::Site;

/// Most addresses of one message that are looked at (ours); a message with more is not the user's.
pub(crate) const AUTHORS_MAX: usize = 100;

/// Addresses that a user may send from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SenderPattern {
    /// This one.
    Address(Mailbox),
    /// All of a domain.
    Domain(DomainName),
    /// All there are.
    Any,
}

impl SenderPattern {
    /// Reads `name@example.org`, `@example.org` or `*`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim() {
            "*" => Some(Self::Any),
            text => match text.strip_prefix('@') {
                Some(domain) => domain.parse().ok().map(Self::Domain),
                None => text.parse().ok().map(Self::Address),
            },
        }
    }

    fn holds(&self, mailbox: &Mailbox) -> bool {
        match self {
            Self::Any => true,
            Self::Address(own) => is_same(own, mailbox),
            Self::Domain(domain) => is_domain(domain, &mailbox.domain),
        }
    }
}

/// Whether the user may send from all these addresses. `Err`: it can't be known, and why.
///
/// # Errors
/// When a table that may say so can't be asked.
pub(crate) async fn may_send_from(site: &Site, user: &str, mailboxes: &[Mailbox]) -> Result<bool, String> {
    let own = own_address(site, user);
    let mut unsure = None;
    for mailbox in mailboxes {
        match may_send_from_one(site, (user, own.as_ref()), mailbox).await {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(why) => unsure = Some(why),
        }
    }
    unsure.map_or(Ok(true), Err)
}

async fn may_send_from_one(
    site: &Site,
    (user, own): (&str, Option<&Mailbox>),
    mailbox: &Mailbox,
) -> Result<bool, String> {
    let auth = &site.config.auth;
    let declared = auth.senders.iter().filter(|(name, _)| name == user).flat_map(|(_, patterns)| patterns);
    if own.is_some_and(|own| is_same(own, mailbox))
        || declared.into_iter().any(|pattern| pattern.holds(mailbox))
    {
        return Ok(true);
    }
    let mut unsure = None;
    if let Some(own) = own {
        match leads_to(site, own, mailbox).await {
            Ok(false) => {}
            Ok(true) => return Ok(true),
            Err(why) => unsure = Some(why),
        }
    }
    for table in &auth.senders_from {
        match site.services.tables.look_up(table, user).await {
            Ok(None) => {}
            Ok(Some(values)) => {
                let texts =
                    values.texts().flat_map(|text| text.split([',', ' '])).filter(|text| !text.is_empty());
                if texts.filter_map(SenderPattern::parse).any(|pattern| pattern.holds(mailbox)) {
                    return Ok(true);
                }
            }
            Err(failure) => unsure = Some(failure.to_string()),
        }
    }
    unsure.map_or(Ok(false), Err)
}

/// The address that the user's name is: one of the first domain when it has none.
pub(crate) fn own_address(site: &Site, user: &str) -> Option<Mailbox> {
    if user.contains('@') {
        return user.parse().ok();
    }
    let domain = site.directory.domains().first()?;
    LocalPart::new(user).ok().map(|local_part| domain.mailbox(&local_part))
}

/// Whether the mail for `mailbox`, which must be of a domain that is served here, goes to the user's own mailbox alone.
async fn leads_to(site: &Site, own: &Mailbox, mailbox: &Mailbox) -> Result<bool, String> {
    if !site.directory.is_local(&mailbox.domain) {
        return Ok(false);
    }
    let paths = [own, mailbox].map(|mailbox| ForwardPath::Mailbox(mailbox.clone()));
    let looked_up =
        site.look_up(|known: Known<'_>| paths.iter().for_each(|path| drop(known.resolve(path)))).await;
    let known = site.directory.with(&looked_up);
    let [own, other] = paths.each_ref().map(|path| known.resolve(path));
    let failed = own.iter().chain(&other).find_map(|resolved| match &resolved.destination {
        Destination::Undeliverable(crate::mailboxes::Undeliverable::Unsure(why)) => Some(why.clone()),
        _ => None,
    });
    if let Some(why) = failed {
        return Err(why);
    }
    Ok(match (own.as_slice(), other.as_slice()) {
        ([own], [other]) => {
            let is_kept = !matches!(
                other.destination,
                Destination::Discard | Destination::Undeliverable(crate::mailboxes::Undeliverable::Unknown)
            );
            is_kept && is_same(&own.mailbox, &other.mailbox)
        }
        _ => false,
    })
}

/// Whether both are the same address, as addresses are compared here.
fn is_same(one: &Mailbox, other: &Mailbox) -> bool {
    let domain = |mailbox: &Mailbox| match &mailbox.domain {
        Domain::Name(name) => folded_domain(name.as_str()).into_owned(),
        literal @ Domain::Literal(_) => literal.to_string(),
    };
    let local_part = |mailbox: &Mailbox| {
        let folded = local_part_key(mailbox.local_part.as_str());
        prepared_name(&folded).unwrap_or_else(|| folded.to_string())
    };
    domain(one) == domain(other) && local_part(one) == local_part(other)
}

fn is_domain(domain: &DomainName, other: &Domain) -> bool {
    match other {
        Domain::Name(name) => {
            let key = |name: &DomainName| domain_key(name.as_str()).map(|key| key.into_owned());
            key(domain).is_some() && key(domain) == key(name)
        }
        Domain::Literal(_) => false,
    }
}
