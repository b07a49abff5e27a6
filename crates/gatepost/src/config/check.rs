//! What a configuration must hold as a whole, once each of its values is read.
//!
//! Invariants: a value that was refused stands for its default here, so no check may blame it again; addresses are only
//! blamed for leading nowhere when every table was read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use policy::nearest::did_you_mean;
use smtp::address::{DomainName, ForwardPath, Mailbox};
use toml::Spanned;
use toml::de::DeValue;

use super::address_form::Target;
use super::domain::Draft;
use super::loops;
use super::problem::{Place, Problem};
use super::read::Site;
use super::{Config, EarlyTalkers, auth, route, signing};
use crate::mailboxes::{
    Declared, Destination, Directory, Found, Index, PathTemplate, Role, Undeliverable, domain_key,
    local_part_key,
};

/// The site's mailboxes, with a postmaster for every domain. When none is named it is the mailbox `postmaster` of the
/// first domain, else that domain's first mailbox.
pub(super) fn declare(
    hostname: &DomainName,
    literals: Vec<IpAddr>,
    drafts: &[Draft],
    named: Option<Target>,
    maildir: PathTemplate,
) -> Declared {
    let first = drafts.first().map(|draft| &draft.domain);
    let postmaster = first.and_then(|first| {
        let home = &first.name;
        let own = first.entries.iter().find(|entry| entry.local_part.is_postmaster());
        let any = || first.entries.iter().find(|entry| matches!(entry.role, Role::Mailbox(_)));
        let entry = || own.or_else(any).map(|entry| first.mailbox(&entry.local_part));
        named.map(|target| target.at(home)).or_else(entry)
    });
    let domains = drafts.iter().map(|draft| draft.domain.clone()).collect();
    Declared::new(hostname, literals, domains, postmaster, maildir)
}

/// Checks the parts of a configuration against each other.
pub(super) fn check(site: Site<'_>, tables_read: bool, problems: &mut Vec<Problem>) -> Config {
    check_listen(&site, problems);
    check_times(&site, problems);
    check_limits(&site, problems);
    for (network, place) in &site.relay {
        if network.prefix_bits() == 0 {
            let label = "every client in the world could send mail through this server";
            problems.push(Problem::error("an open relay", place.clone(), label));
        }
    }
    if site.domains.is_empty() && site.top.get("domain").is_none() {
        problems.push(
            Problem::error("no domain", site.top.frame.place(0..0), "no mail could be received").help(
                "add `[domain.\"example.org\".mailbox]` and below it a line `alice = {}` for each mailbox"
                    .to_owned(),
            ),
        );
    }
    check_names(&site.domains, problems);
    check_routes(&site, problems);
    check_tables(&site, problems);
    let index = Index::new(&site.config.mailboxes);
    signing::check_srs(site.top, &site.config, &index, problems);
    if tables_read {
        let Site { config, domains, .. } = &site;
        let check = Addresses { config, drafts: domains, index };
        check.check_targets(problems);
        loops::check(&config.mailboxes, &check.index, domains, problems);
        check.check_postmaster(site.top.place("postmaster"), problems);
        check.check_maildirs(problems);
    }
    site.config
}

/// A domain's route must be there, and no way out may lead back in.
fn check_routes(site: &Site<'_>, problems: &mut Vec<Problem>) {
    route::check_circles(site.top, &site.config, problems);
    for draft in &site.domains {
        let (Some(name), Some(place)) = (&draft.domain.route, &draft.route) else { continue };
        if site.config.route(name).is_some() {
            continue;
        }
        let names = site.config.routes.iter().map(|route| route.name.as_str());
        let advice = did_you_mean(name, names).unwrap_or_else(|| {
            format!("add `[route.\"{name}\"]` with a key `to`, such as \"lmtp:/run/dovecot/lmtp\"")
        });
        let title = format!("no route `{name}`");
        problems.push(Problem::error(title, place.clone(), "no such route is declared").help(advice));
    }
}

fn check_listen(site: &Site<'_>, problems: &mut Vec<Problem>) {
    let section = site.top.section("listen", &super::keys::LISTEN, &mut Vec::new());
    let mut placed = section.read(&super::keys::LISTEN_MX, &mut Vec::new());
    if let Some(place) = section.place("mx").filter(|_| section.is_empty_list("mx")) {
        problems.push(Problem::error("no address to listen on", place, "expected an IP address with a port"));
    }
    let mut seen = HashMap::new();
    let submission =
        section.get("submission").map(|_| section.read(&super::keys::LISTEN_SUBMISSION, &mut Vec::new()));
    let submissions = section.read(&super::keys::LISTEN_SUBMISSIONS, &mut Vec::new());
    for address in placed.iter().chain(submission.iter().flatten()).chain(&submissions) {
        let place = site.top.frame.place(address.span());
        if let Some(first) = seen.insert(*address.get_ref(), place.clone()) {
            let title = format!("`{}` is listed twice", address.get_ref());
            problems.push(Problem::error(title, place, "again here").also(first, "first here"));
        }
    }
    placed.extend(submission.into_iter().flatten());
    placed.extend(submissions);
    check_hostname(site, &placed, problems);
}

/// Checks that clients from outside hear a name that means something to them.
fn check_hostname(site: &Site<'_>, listen: &[Spanned<SocketAddr>], problems: &mut Vec<Problem>) {
    let outside = listen.iter().find(|address| !address.get_ref().ip().to_canonical().is_loopback());
    let name = site.top.get("hostname").map(|(_, value)| value.get_ref());
    let unnamed = match name {
        Some(DeValue::String(name)) => name.eq_ignore_ascii_case("localhost"),
        Some(_) => false,
        None => true,
    };
    if let Some(outside) = outside.filter(|_| unnamed) {
        let place = site.top.place("hostname").unwrap_or_else(|| site.top.frame.place(outside.span()));
        problems.push(
            Problem::warning("other servers will hear the name `localhost`", place, "seen from outside")
                .help("set `hostname` to the server's full name, as in DNS".to_owned()),
        );
    }
}

fn check_times(site: &Site<'_>, problems: &mut Vec<Problem>) {
    let (limits, queue) = (&site.config.limits, &site.config.queue);
    let pairs = [
        ("limits", "session_timeout", limits.session_timeout, "command_timeout", limits.command_timeout),
        ("queue", "retry_max", queue.max, "retry_first", queue.first),
        ("queue", "lifetime", queue.lifetime, "retry_first", queue.first),
    ];
    for (section, longer_name, longer, shorter_name, shorter) in pairs {
        if longer < shorter {
            let place = place_in(site, section, [longer_name, shorter_name]);
            let title = format!("`{longer_name}` is shorter than `{shorter_name}`");
            let label = format!(
                "{} against {}",
                super::form::show_seconds(longer.as_secs()),
                super::form::show_seconds(shorter.as_secs())
            );
            problems.push(Problem::error(title, place, label));
        }
    }
    if site.config.clients.early_talkers == EarlyTalkers::Refuse
        && site.config.clients.greeting_delay.is_zero()
    {
        let place = place_in(site, "clients", ["early_talkers", "greeting_delay"]);
        problems.push(
            Problem::warning(
                "the greeting waits for nobody",
                place,
                "hardly a client is early without a wait",
            )
            .help("set `greeting_delay = \"2s\"`".to_owned()),
        );
    }
}

fn check_limits(site: &Site<'_>, problems: &mut Vec<Problem>) {
    let limits = &site.config.limits;
    let pairs = [
        (
            "connections_per_address",
            limits.connections_per_address,
            "connections_per_network",
            limits.connections_per_network,
        ),
        ("connections_per_network", limits.connections_per_network, "connections", limits.connections),
    ];
    for (part_name, part, whole_name, whole) in pairs {
        if part > whole {
            let place = place_in(site, "limits", [part_name, whole_name]);
            let title = format!("`{part_name}` is never reached");
            problems.push(Problem::warning(
                title,
                place,
                format!("{part} is more than {whole_name}, {whole}"),
            ));
        }
    }
}

/// Where one of the two keys of the section is written, else the top of the file.
fn place_in(site: &Site<'_>, section: &str, names: [&str; 2]) -> Place {
    let known = super::keys::SECTIONS.iter().find(|known| known.header == format!("[{section}]"));
    let table = known.map(|known| site.top.section(section, known, &mut Vec::new()));
    let written = table.and_then(|table| names.into_iter().find_map(|name| table.place(name)));
    written.unwrap_or_else(|| site.top.frame.place(0..0))
}

/// Checks that no domain and no address stands twice.
fn check_names(drafts: &[Draft], problems: &mut Vec<Problem>) {
    let mut domains: HashMap<String, &Place> = HashMap::new();
    for draft in drafts {
        for (name, place) in draft.domain.names().zip(&draft.names) {
            let Some(key) = domain_key(name.as_str()) else { continue };
            if let Some(first) = domains.insert(key.into_owned(), place) {
                let title = format!("domain `{name}` stands twice");
                let problem = Problem::error(title, place.clone(), "again here");
                problems.push(problem.also(first.clone(), "first here"));
            }
        }
        let mut entries: HashMap<String, &Place> = HashMap::new();
        for (entry, places) in draft.domain.entries.iter().zip(&draft.entries) {
            let key = local_part_key(entry.local_part.as_str()).into_owned();
            if let Some(first) = entries.insert(key, &places.name) {
                let title = format!("address `{}` stands twice", draft.domain.mailbox(&entry.local_part));
                let problem = Problem::error(title, places.name.clone(), "again here");
                problems.push(problem.also(first.clone(), "first here"));
            }
        }
    }
}

/// Checks that every table that a domain names is declared.
fn check_tables(site: &Site<'_>, problems: &mut Vec<Problem>) {
    // One that was refused is declared, too.
    let declared = site.top.table("table", &mut Vec::new());
    let declared: Vec<&str> =
        declared.into_iter().flat_map(|tables| tables.keys().map(|key| key.get_ref().as_ref())).collect();
    let relay = site.top.section("relay", &super::keys::RELAYING, &mut Vec::new());
    let routes = relay.read(&super::keys::ROUTES_FROM, &mut Vec::new());
    let routes: Vec<_> = routes
        .iter()
        .map(|name| (Arc::from(name.get_ref().as_str()), relay.frame.place(name.span())))
        .collect();
    for (name, place) in site
        .domains
        .iter()
        .flat_map(|draft| &draft.tables)
        .chain(&routes)
        .chain(&auth::named_tables(site.top))
    {
        if !declared.contains(&&**name) {
            let title = format!("no table `{name}`");
            let label = format!("expected the name of a `[table.\"{name}\"]`");
            let near = did_you_mean(name, declared.iter().copied());
            problems.push(Problem::error(title, place.clone(), label).help(near));
        }
    }
}

struct Addresses<'a> {
    config: &'a Config,
    drafts: &'a [Draft],
    index: Index,
}

impl Addresses<'_> {
    fn declared(&self) -> &Declared {
        &self.config.mailboxes
    }

    /// Checks that every address that mail is sent on to can take it.
    fn check_targets(&self, problems: &mut Vec<Problem>) {
        let mut elsewhere: Vec<(&Mailbox, &Place)> = Vec::new();
        for draft in self.drafts {
            for (entry, places) in draft.domain.entries.iter().zip(&draft.entries) {
                for (target, place) in entry.role.targets().iter().zip(&places.targets) {
                    self.check_target(target, place, problems);
                    if self.index.find(self.declared(), target) == Found::NotLocal {
                        elsewhere.push((target, place));
                    }
                }
                if let (Role::List { owner, .. }, Some(place)) = (&entry.role, &places.owner) {
                    self.check_target(owner, place, problems);
                }
            }
            if let (Some(catch_all), Some(place)) = (&draft.domain.catch_all, &draft.catch_all) {
                self.check_catch_all(catch_all, place, problems);
            }
        }
        if let (Some((target, place)), false) = (elsewhere.first(), self.config.has_way_out()) {
            let title = format!("no way for mail to `{target}`");
            let label = match elsewhere.len() {
                1 => "mail for this address waits in the queue".to_owned(),
                count => {
                    format!("mail for this address, and {} more elsewhere, waits in the queue", count - 1)
                }
            };
            let advice = "set `smart_host` or `mx` under `[relay]`".to_owned();
            problems.push(Problem::warning(title, (*place).clone(), label).help(advice));
        }
    }

    fn check_target(&self, target: &Mailbox, place: &Place, problems: &mut Vec<Problem>) {
        match self.index.find(self.declared(), target) {
            Found::Unknown => problems.push(self.unknown(target, place)),
            Found::Entry(_, entry) => {
                if let Role::Moved(address) = &entry.role {
                    let title = format!("`{target}` has moved and takes no mail");
                    let advice = format!("send it to `{address}`");
                    problems.push(
                        Problem::error(title, place.clone(), "all its mail would go back").help(advice),
                    );
                }
            }
            // What stands in tables can't be known here.
            Found::CatchAll(_) | Found::NotLocal | Found::InTables(..) | Found::Unsure(_) => {}
        }
    }

    /// Checks a catch-all, which no other may catch: they could pass mail round.
    fn check_catch_all(&self, target: &Mailbox, place: &Place, problems: &mut Vec<Problem>) {
        match self.index.find(self.declared(), target) {
            Found::CatchAll(_) => problems.push(self.unknown(target, place)),
            _ => self.check_target(target, place, problems),
        }
    }

    fn unknown(&self, target: &Mailbox, place: &Place) -> Problem {
        let domain = self.index.domain(self.declared(), &target.domain);
        let domain = domain.and_then(|domain| self.declared().domains.get(domain));
        let known =
            domain.iter().flat_map(|domain| domain.entries.iter().map(|entry| entry.local_part.as_str()));
        Problem::error(format!("no mailbox `{target}`"), place.clone(), "expected an address that takes mail")
            .help(did_you_mean(target.local_part.as_str(), known))
    }

    /// Checks that the mail for every postmaster is read by somebody (RFC 5321 §4.5.1).
    fn check_postmaster(&self, named: Option<Place>, problems: &mut Vec<Problem>) {
        let Some(first) = self.drafts.first() else { return };
        let Some(first_place) = first.names.first() else { return };
        let Some(postmaster) = &self.declared().postmaster else {
            let label = "expected a mailbox for `postmaster` (RFC 5321 §4.5.1)";
            problems.push(
                Problem::error("nobody gets the postmaster's mail", first_place.clone(), label)
                    .help("add a mailbox here, or set `postmaster` at the top of the file".to_owned()),
            );
            return;
        };
        if let Some(place) = &named {
            self.check_target(postmaster, place, problems);
        } else if !postmaster.local_part.is_postmaster() {
            let title = format!("`{postmaster}` gets the postmaster's mail");
            let label = "no mailbox `postmaster` here, and no key `postmaster`";
            let advice = format!("write `postmaster = \"{postmaster}\"` at the top of the file");
            problems.push(Problem::warning(title, first_place.clone(), label).help(advice));
        }
        let is_declared = |place: usize| {
            let entries = self.drafts.get(place).map(|draft| &draft.domain.entries);
            entries.is_some_and(|entries| entries.iter().any(|entry| entry.local_part.is_postmaster()))
        };
        // Every domain without such a mailbox has an alias `postmaster` to it.
        let place = self.index.domain(self.declared(), &postmaster.domain);
        if postmaster.local_part.is_postmaster() && place.is_some_and(|place| !is_declared(place)) {
            let label = "expected a mailbox that is declared, or one of another name";
            let place = named.clone().unwrap_or_else(|| first_place.clone());
            let title = format!("`{postmaster}` leads to itself");
            problems.push(Problem::error(title, place, label));
            return;
        }
        let directory = Directory::new(self.declared().clone(), Path::new(""));
        for draft in self.drafts {
            let own = draft.domain.entries.iter().position(|entry| entry.local_part.is_postmaster());
            let own = own.and_then(|own| Some((draft.domain.entries.get(own)?, draft.entries.get(own)?)));
            let (mailbox, place) = match own {
                Some((entry, places)) => (draft.domain.mailbox(&entry.local_part), places.name.clone()),
                None => (postmaster.clone(), named.clone().unwrap_or_else(|| first_place.clone())),
            };
            let resolved = directory.resolve(&ForwardPath::Mailbox(mailbox.clone()));
            if let Some(why) = resolved.iter().find_map(|resolved| nobody_reads(&resolved.destination)) {
                let title = format!("mail for `{mailbox}` {why}");
                let label = "the postmaster's mail must be accepted and read (RFC 5321 §4.5.1)";
                problems.push(Problem::error(title, place, label));
            }
        }
    }

    /// Checks that no two mailboxes share a Maildir.
    fn check_maildirs(&self, problems: &mut Vec<Problem>) {
        let directory = Directory::new(self.declared().clone(), Path::new(""));
        let mut maildirs: HashMap<PathBuf, (&Place, Mailbox)> = HashMap::new();
        for draft in self.drafts {
            for (entry, places) in draft.domain.entries.iter().zip(&draft.entries) {
                let Role::Mailbox(settings) = &entry.role else { continue };
                let maildir = directory.maildir(&draft.domain, entry, settings);
                let mailbox = draft.domain.mailbox(&entry.local_part);
                let (first, first_mailbox) =
                    maildirs.entry(maildir.clone()).or_insert((&places.name, mailbox.clone()));
                // The same address twice is another problem.
                if self.index.find(self.declared(), first_mailbox)
                    != self.index.find(self.declared(), &mailbox)
                {
                    let title = format!("two mailboxes in the Maildir `{}`", maildir.display());
                    let advice = "for one mailbox with two names, write `alias`; else put `{domain}` and \
                                  `{local_part}` into `maildir`";
                    problems.push(
                        Problem::error(title, places.name.clone(), "this one")
                            .also((*first).clone(), "and this one")
                            .help(advice.to_owned()),
                    );
                }
            }
        }
    }
}

/// Why nobody reads mail that goes to `destination`, if so.
const fn nobody_reads(destination: &Destination) -> Option<&'static str> {
    match destination {
        Destination::Maildir(_) | Destination::Relay | Destination::Route(_) => None,
        Destination::Discard => Some("would be thrown away"),
        Destination::Undeliverable(why) => match why {
            Undeliverable::Busy => Some("would be deferred: the mailbox is busy"),
            Undeliverable::OverQuota { .. } => Some("would be refused: the mailbox is declared full"),
            Undeliverable::Moved(_) => Some("would be refused: the mailbox has moved"),
            // Both are problems of their own.
            Undeliverable::Unknown | Undeliverable::TooManyAliases => None,
            // It stands in a table.
            Undeliverable::Unsure(_) => None,
        },
    }
}
