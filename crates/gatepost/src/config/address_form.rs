//! Forms of values that are addresses: networks, listeners, hosts, domains, mailboxes.
//!
//! Invariants: an address that was read is one that the protocol can carry.

use std::net::{IpAddr, SocketAddr};

use policy::nearest::did_you_mean;
use smtp::address::{Domain, DomainName, LocalPart, Mailbox};
use toml::Spanned;
use toml::de::DeValue;

use super::form::{Fault, Form, Whole, text_of};
use super::network::{Network, NetworkError};
use super::{Host, RefusedClient, SmartHost};
use crate::mailboxes::{PLACES, PathTemplate, TemplateError, domain_key};

/// A network in CIDR notation.
pub(crate) struct NetworkForm;

impl Form for NetworkForm {
    type Value = Network;

    fn describe(&self) -> String {
        "a network".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Network> {
        let text = text_of(value, "a network", faults)?;
        let fault = match text.parse() {
            Ok(network) => return Some(network),
            Err(NetworkError::Malformed) => Fault::new(
                value.span(),
                format!("`{text}` is not a network"),
                "expected an IP address or a network",
            )
            .help(Some("write a network as \"192.0.2.0/24\", \"2001:db8::/32\" or \"127.0.0.1\"".into())),
            Err(NetworkError::HostBits(meant)) => {
                let title = format!("`{text}` has bits set right of its prefix");
                Fault::new(value.span(), title, "expected a network")
                    .help(Some(format!("did you mean `{meant}`?")))
            }
        };
        faults.push(fault);
        None
    }
}

/// A client that is refused: a network, or a table of network and text.
pub(crate) struct RefusedForm;

impl RefusedForm {
    const KEYS: [&'static str; 2] = ["network", "text"];
}

impl Form for RefusedForm {
    type Value = RefusedClient;

    fn describe(&self) -> String {
        "a network, or `{ network = \"…\", text = \"…\" }`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<RefusedClient> {
        let DeValue::Table(table) = value.get_ref() else {
            return NetworkForm.read(value, faults).map(|network| RefusedClient { network, text: None });
        };
        for (key, _) in table.iter().filter(|(key, _)| !Self::KEYS.contains(&key.get_ref().as_ref())) {
            let title = format!("unknown key `{}`", key.get_ref());
            let near = did_you_mean(key.get_ref(), Self::KEYS);
            faults.push(Fault::new(key.span(), title, "expected `network` or `text`").help(near));
        }
        let text = match table.get("text") {
            Some(text) => Some(text_of(text, "the text of a reply", faults)?.to_owned()),
            None => None,
        };
        let Some(network) = table.get("network") else {
            faults.push(Fault::new(value.span(), "no network", "expected a key `network` here"));
            return None;
        };
        NetworkForm.read(network, faults).map(|network| RefusedClient { network, text })
    }
}

/// An IP address with a port to listen on; beside it, the port that is mostly meant.
pub(crate) struct ListenForm(pub(crate) u16);

impl Form for ListenForm {
    type Value = SocketAddr;

    fn describe(&self) -> String {
        "an IP address with a port".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<SocketAddr> {
        let text = text_of(value, "an IP address with a port", faults)?;
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Some(address);
        }
        let meant = match text.parse::<IpAddr>() {
            Ok(address) => format!("did you mean `{}`?", SocketAddr::new(address, self.0)),
            Err(_) => "write an address as \"127.0.0.1:2525\", \"[::1]:25\" or \"0.0.0.0:25\" (all)".into(),
        };
        let title = format!("`{text}` is not an address to listen on");
        faults.push(Fault::new(value.span(), title, "expected an IP address with a port").help(Some(meant)));
        None
    }
}

/// A DNS server: its IP address, with a port unless that is 53.
pub(crate) struct DnsServerForm;

/// The port of the DNS (RFC 1035 §4.2).
const DNS_PORT: u16 = 53;

impl Form for DnsServerForm {
    type Value = SocketAddr;

    fn describe(&self) -> String {
        "an IP address with or without a port".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<SocketAddr> {
        let text = text_of(value, &self.describe(), faults)?;
        let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
        let address = match bare.parse::<IpAddr>() {
            Ok(address) => Ok(SocketAddr::new(address, DNS_PORT)),
            Err(_) => text.parse::<SocketAddr>(),
        };
        if let Some(address) = address.ok().filter(|address| address.port() != 0) {
            return Some(address);
        }
        let advice =
            "write a server as \"127.0.0.1\", \"::1\", \"192.0.2.53:5353\" or \"[2001:db8::53]:5353\"";
        let title = format!("`{text}` is not the address of a DNS server");
        let fault = Fault::new(value.span(), title, format!("expected {}", self.describe()));
        faults.push(fault.help(Some(advice.into())));
        None
    }
}

/// A domain name that IDNA takes.
pub(crate) struct DomainForm;

impl Form for DomainForm {
    type Value = DomainName;

    fn describe(&self) -> String {
        "a domain name".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let text = text_of(value, "a domain name", faults)?;
        domain_name(text)
            .map_err(|why| {
                faults.push(Fault::new(value.span(), format!("`{text}` is not a domain name"), why))
            })
            .ok()
    }
}

/// A domain name as greetings and trace fields have it: in ASCII.
pub(crate) struct HostnameForm;

impl Form for HostnameForm {
    type Value = DomainName;

    fn describe(&self) -> String {
        DomainForm.describe()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let name = DomainForm.read(value, faults)?;
        if name.as_str().is_ascii() {
            return Some(name);
        }
        let advice = domain_key(name.as_str()).map(|ascii| format!("did you mean `{ascii}`?"));
        let title = format!("`{name}` is not in ASCII");
        faults.push(Fault::new(value.span(), title, "expected the form that DNS has").help(advice));
        None
    }
}

/// The domain name that `text` is, or why it is none.
pub(crate) fn domain_name(text: &str) -> Result<DomainName, String> {
    let name: DomainName = text.parse().map_err(|error| format!("{error}"))?;
    let is_refused = domain_key(name.as_str()).is_none();
    if is_refused { Err("IDNA refuses the name".to_owned()) } else { Ok(name) }
}

/// An address: a full one, or a local part of the domain at hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    local_part: LocalPart,
    domain: Option<Domain>,
}

impl Target {
    /// The address that `text` is.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if let Ok(local_part) = text.parse::<LocalPart>() {
            return Ok(Self { local_part, domain: None });
        }
        let Mailbox { local_part, domain } = text.parse().map_err(|error| format!("{error}"))?;
        if domain.name().is_some_and(|name| domain_key(name.as_str()).is_none()) {
            return Err("IDNA refuses the domain".into());
        }
        Ok(Self { local_part, domain: Some(domain) })
    }

    /// The full address, where `home` is the domain at hand.
    pub(crate) fn at(&self, home: &DomainName) -> Mailbox {
        let domain = self.domain.clone().unwrap_or_else(|| Domain::Name(home.clone()));
        Mailbox { local_part: self.local_part.clone(), domain }
    }
}

/// An address, in full or in the domain at hand.
pub(crate) struct TargetForm;

impl Form for TargetForm {
    type Value = Target;

    fn describe(&self) -> String {
        "an address".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Target> {
        let text = text_of(value, "an address", faults)?;
        Target::parse(text)
            .map_err(|why| faults.push(Fault::new(value.span(), format!("`{text}` is not an address"), why)))
            .ok()
    }
}

/// The server that mail for other domains goes through.
pub(crate) struct SmartHostForm;

impl Form for SmartHostForm {
    type Value = SmartHost;

    fn describe(&self) -> String {
        "a host with a port".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<SmartHost> {
        let text = text_of(value, "a host with a port", faults)?;
        match host_and_port(text, None) {
            Ok(host) => Some(host),
            Err(why) => {
                let fault = Fault::new(value.span(), format!("`{text}` is not a host with a port"), why);
                faults.push(
                    fault.help(Some(
                        "write a host as \"mail.example.net:587\", \"192.0.2.1:25\" or \"[2001:db8::1]:25\""
                            .into(),
                    )),
                );
                None
            }
        }
    }
}

/// A host with a port, which may be left out when there is a `usual` one.
pub(super) fn host_and_port(text: &str, usual: Option<u16>) -> Result<SmartHost, String> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        let port = Some(address.port()).filter(|port| *port != 0).ok_or("the port is 0")?;
        return Ok(SmartHost { host: Host::Address(address.ip()), port });
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let (Ok(address), Some(port)) = (bare.parse::<IpAddr>(), usual) {
        return Ok(SmartHost { host: Host::Address(address), port });
    }
    let (host, port) = match (text.rsplit_once(':'), usual) {
        (Some((host, port)), _) => {
            let port = port.parse().ok().filter(|port| *port != 0);
            (host, port.ok_or("the port is not from 1 to 65535")?)
        }
        (None, Some(usual)) => (text, usual),
        (None, None) => return Err("no port".into()),
    };
    let name = domain_name(host)?;
    if name.labels().next_back().is_some_and(|label| label.bytes().all(|octet| octet.is_ascii_digit())) {
        return Err("not an IP address, and no domain name ends with a number".into());
    }
    Ok(SmartHost { host: Host::Name(name), port })
}

/// Where Maildirs are.
pub(crate) struct TemplateForm;

impl Form for TemplateForm {
    type Value = PathTemplate;

    fn describe(&self) -> String {
        "a path with `{state}`, `{domain}`, `{local_part}`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let text = text_of(value, "a path", faults)?;
        let error = match PathTemplate::parse(text) {
            Ok(template) => return Some(template),
            Err(error) => error,
        };
        let (why, near) = match &error {
            TemplateError::Empty => ("expected a path".to_owned(), None),
            TemplateError::Brace => ("a brace has no partner".to_owned(), None),
            TemplateError::StateInside => ("`{state}` may only stand at the start".to_owned(), None),
            TemplateError::UnknownPlace(place) => {
                ("expected `{state}`, `{domain}` or `{local_part}`".to_owned(), did_you_mean(place, PLACES))
            }
        };
        let title = format!("`{text}` is not a path for Maildirs");
        faults.push(Fault::new(value.span(), title, why).help(near));
        None
    }
}

/// A file's path.
pub(crate) struct FileForm;

impl Form for FileForm {
    type Value = String;

    fn describe(&self) -> String {
        "a file's path".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<String> {
        let text = text_of(value, "a file's path", faults)?;
        if text.is_empty() || text.contains('\0') {
            faults.push(Fault::new(value.span(), "not a path", "expected a file's path"));
            return None;
        }
        Some(text.to_owned())
    }
}

/// What separates a mailbox's name from a sub-address.
pub(crate) struct DelimiterForm;

impl Form for DelimiterForm {
    type Value = Option<char>;

    fn describe(&self) -> String {
        "one of `+ - _ = ~ # .`, or \"\" for none".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let text = text_of(value, "a character", faults)?;
        let mut characters = text.chars();
        match (characters.next(), characters.next()) {
            (None, _) => Some(None),
            (Some(delimiter), None) if "+-_=~#.".contains(delimiter) => Some(Some(delimiter)),
            _ => {
                let title = format!("`{text}` can't separate a sub-address");
                faults.push(Fault::new(value.span(), title, format!("expected {}", self.describe())));
                None
            }
        }
    }
}

impl Whole for DelimiterForm {
    fn fallback(&self) -> Option<char> {
        None
    }
}
