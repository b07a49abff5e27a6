//! Where mail goes: the keys under which the spool groups recipients.
//!
//! A key says only how mail leaves; which Maildir, which smart host or which MX hosts they are, is looked up at each
//! attempt, so that a changed configuration holds for what is queued already.

use queue::message::Destination;
use smtp::address::Domain;
use smtp::envelope::RcptParameters;

use crate::config::{Config, Hop, key_of, route_for};
use crate::mailboxes::{self, Resolved};

/// What the keys of MX delivery, of routes and of routes in tables begin with.
const MX: &str = "mx:";
const ROUTE: &str = "route:";
const TABLE: &str = "table:";

/// The way of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way<'a> {
    /// Into a Maildir of this server, or to be told why not.
    Local,
    /// To a smart host.
    Relay,
    /// To the MX hosts of this domain, which is in its normal form.
    Mx(&'a str),
    /// By the route of this name; with a domain when that leads to its MX hosts.
    Route {
        /// The route.
        name: &'a str,
        /// The domain, in its normal form.
        domain: Option<&'a str>,
    },
    /// Where a table says that the mail for this domain goes, which is in its normal form.
    Table(&'a str),
    /// Nowhere.
    Discard,
}

impl<'a> Way<'a> {
    /// The key of the way.
    pub(crate) fn key(self) -> Destination {
        match self {
            Self::Local => Destination::new("local"),
            Self::Relay => Destination::new("relay"),
            Self::Mx(domain) => Destination::new(&format!("{MX}{domain}")),
            Self::Route { name, domain: None } => Destination::new(&format!("{ROUTE}{name}")),
            Self::Route { name, domain: Some(domain) } => {
                Destination::new(&format!("{ROUTE}{name}@{domain}"))
            }
            Self::Table(domain) => Destination::new(&format!("{TABLE}{domain}")),
            Self::Discard => Destination::new("discard"),
        }
    }

    /// The way of a key; a key that no version of ours wrote is looked up as local mail.
    pub(crate) fn of(destination: &'a Destination) -> Self {
        match destination.as_str() {
            "relay" => Self::Relay,
            "discard" => Self::Discard,
            key => match (key.strip_prefix(MX), key.strip_prefix(ROUTE)) {
                (Some(domain), _) => Self::Mx(domain),
                (_, Some(route)) => match route.rsplit_once('@') {
                    Some((name, domain)) => Self::Route { name, domain: Some(domain) },
                    None => Self::Route { name: route, domain: None },
                },
                _ => key.strip_prefix(TABLE).map_or(Self::Local, Self::Table),
            },
        }
    }
}

/// The key for a resolved recipient. What is thrown away is not even looked at, unless its sender wants to hear of it.
pub(crate) fn destination(config: &Config, resolved: &Resolved, parameters: &RcptParameters) -> Destination {
    let reports_success = parameters.notify.is_some_and(|notify| notify.success);
    match &resolved.destination {
        mailboxes::Destination::Maildir(_) | mailboxes::Destination::Undeliverable(_) => Way::Local.key(),
        mailboxes::Destination::Route(name) => by_route(config, name, &resolved.mailbox.domain),
        mailboxes::Destination::Relay => {
            let domain = &resolved.mailbox.domain;
            match route_for(&config.routes, domain) {
                Some(route) => by_route(config, &route.name, domain),
                None if !config.relaying.routes_from.is_empty() => Way::Table(&key_of(domain)).key(),
                None if config.relaying.mx && config.relaying.smart_hosts.is_empty() => {
                    Way::Mx(&key_of(domain)).key()
                }
                None => Way::Relay.key(),
            }
        }
        mailboxes::Destination::Discard if reports_success => Way::Local.key(),
        mailboxes::Destination::Discard => Way::Discard.key(),
    }
}

/// The key for mail to `domain` by the route `name`.
fn by_route(config: &Config, name: &str, domain: &Domain) -> Destination {
    let asks_mx = config.route(name).is_some_and(|route| route.hops.contains(&Hop::Mx));
    let domain = asks_mx.then(|| key_of(domain));
    Way::Route { name, domain: domain.as_deref() }.key()
}
