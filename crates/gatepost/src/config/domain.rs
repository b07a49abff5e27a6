//! Domains and their addresses as they stand in the configuration.
//!
//! Invariants: places stand beside what was read, in the same order, for the checks that come after.

use std::io;
use std::path::Path;
use std::sync::Arc;

use smtp::address::{DomainName, LocalPart, Mailbox};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::address_form::{Target, domain_name};
use super::beside::Beside;
use super::key::{Frame, Table, as_table, in_order};
use super::problem::{Place, Problem, SourceFile};
use super::read::{plain, resolved};
use super::{keys, table};
use crate::mailboxes::{Entry, LocalDomain, MailboxSettings, Role};

/// A domain, and where its parts were read.
pub(super) struct Draft {
    pub(super) domain: LocalDomain,
    /// The places of its name and of its aliases.
    pub(super) names: Vec<Place>,
    pub(super) catch_all: Option<Place>,
    /// Where its route is named.
    pub(super) route: Option<Place>,
    /// One for each entry.
    pub(super) entries: Vec<EntryPlaces>,
    /// Tables that it names, and where.
    pub(super) tables: Vec<(Arc<str>, Place)>,
}

/// Where the parts of an entry were read.
pub(super) struct EntryPlaces {
    pub(super) name: Place,
    /// One for each of the role's targets.
    pub(super) targets: Vec<Place>,
    /// The owner, when it is written.
    pub(super) owner: Option<Place>,
}

impl Draft {
    pub(super) fn push(&mut self, local_part: LocalPart, name: Place, role: PlacedRole) {
        let PlacedRole { role, targets, owner } = role;
        self.domain.entries.push(Entry { local_part, role });
        self.entries.push(EntryPlaces { name, targets, owner });
    }
}

/// A role, and where its addresses were read.
pub(super) struct PlacedRole {
    pub(super) role: Role,
    pub(super) targets: Vec<Place>,
    pub(super) owner: Option<Place>,
}

impl From<Role> for PlacedRole {
    fn from(role: Role) -> Self {
        Self { role, targets: Vec::new(), owner: None }
    }
}

/// The way to the files of tables.
pub(super) struct TableFiles<'r> {
    /// Where relative paths start.
    pub(super) base: Option<&'r Path>,
    pub(super) read: &'r mut dyn FnMut(&Path) -> io::Result<String>,
    /// Whether no table failed.
    pub(super) all_read: bool,
    /// What the files beside them said when they could be used last.
    pub(super) before: &'r Beside,
    /// What they say now.
    pub(super) beside: Beside,
}

/// Reads `[domain]`, in the order of the file.
pub(super) fn read_domains(
    top: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<Draft> {
    let Some(domains) = top.table("domain", problems) else { return Vec::new() };
    let frame = top.frame;
    let mut drafts = Vec::new();
    for (key, value) in in_order(domains) {
        let name = match domain_name(key.get_ref()) {
            Ok(name) => name,
            Err(why) => {
                let title = format!("`{}` is not a domain name", key.get_ref());
                problems.push(Problem::error(title, frame.place(key.span()), why));
                continue;
            }
        };
        if let Some(table) = as_table(frame, key, value, problems) {
            if is_unquoted(table, &["mailbox"]) {
                problems.push(unquoted(frame, key, "domain"));
                continue;
            }
            let table = Table::new(frame, table, &keys::DOMAIN, problems);
            drafts.push(read_domain(name, frame.place(key.span()), &table, files, problems));
        }
    }
    drafts
}

/// Whether a domain's table holds only tables that are not among `known`: what `[domain.example.org]` says.
pub(super) fn is_unquoted(table: &DeTable<'_>, known: &[&str]) -> bool {
    let part_of_name = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| {
        !known.contains(&key.get_ref().as_ref()) && matches!(value.get_ref(), DeValue::Table(_))
    };
    !table.is_empty() && table.iter().all(part_of_name)
}

pub(super) fn unquoted(frame: &Frame, key: &Spanned<DeString<'_>>, section: &str) -> Problem {
    let title = format!("`{}` is only the first part of a domain's name", key.get_ref());
    Problem::error(title, frame.place(key.span()), "a dot ends a key in TOML")
        .help(format!("write the name in quotation marks: `[{section}.\"example.org\"]`"))
}

fn read_domain(
    name: DomainName,
    place: Place,
    table: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Draft {
    let aliases = table.read(&keys::ALIASES, problems);
    let mut names = vec![place];
    names.extend(aliases.iter().map(|alias| table.frame.place(alias.span())));
    let catch_all = table.read(&keys::CATCH_ALL, problems);
    let route = table.read(&keys::DOMAIN_ROUTE, problems);
    let aliases_from = table.read(&keys::ALIASES_FROM, problems);
    let mailboxes_from = table.read(&keys::MAILBOXES_FROM, problems);
    let frame = table.frame;
    let domain = LocalDomain {
        aliases: plain(aliases),
        subaddress: table.read(&keys::SUBADDRESS, problems),
        catch_all: catch_all.map(|target| target.into_inner().at(&name)),
        maildir: table.read(&keys::DOMAIN_MAILDIR, problems),
        route: route.as_ref().map(|route| route.get_ref().as_str().into()),
        entries: Vec::new(),
        aliases_from: names_of(&aliases_from),
        mailboxes_from: names_of(&mailboxes_from),
        name,
    };
    let route = route.map(|route| frame.place(route.span()));
    let tables = aliases_from.iter().chain(&mailboxes_from);
    let tables =
        tables.map(|table| (Arc::from(table.get_ref().as_str()), frame.place(table.span()))).collect();
    let catch_all = table.place("catch_all");
    let mut draft = Draft { domain, names, catch_all, route, entries: Vec::new(), tables };
    read_mailboxes(table, &mut draft, problems);
    for file in table.read(&keys::TABLES, problems) {
        let place = table.frame.place(file.span());
        read_file(file.get_ref(), place, &mut draft, files, problems);
    }
    draft
}

fn names_of(tables: &[Spanned<String>]) -> Vec<Arc<str>> {
    tables.iter().map(|table| Arc::from(table.get_ref().as_str())).collect()
}

fn read_mailboxes(table: &Table<'_>, draft: &mut Draft, problems: &mut Vec<Problem>) {
    let Some(mailboxes) = table.table("mailbox", problems) else { return };
    let frame = table.frame;
    for (key, value) in in_order(mailboxes) {
        let place = frame.place(key.span());
        let local_part = match LocalPart::new(key.get_ref().as_ref()) {
            Ok(local_part) if !key.get_ref().is_empty() && !key.get_ref().contains('@') => local_part,
            Ok(_) => {
                let title = format!("`{}` is not a mailbox's name", key.get_ref());
                let advice = "the domain stands in the table's header".to_owned();
                problems
                    .push(Problem::error(title, place, "expected what stands before the `@`").help(advice));
                continue;
            }
            Err(why) => {
                let title = format!("`{}` is not a mailbox's name", key.get_ref());
                problems.push(Problem::error(title, place, why.to_string()));
                continue;
            }
        };
        let role = match settings(frame, key, value, problems) {
            Some(settings) => {
                let settings = Table::new(frame, settings, &keys::MAILBOX, problems);
                read_role(&settings, &draft.domain.name, problems)
            }
            None => Role::Mailbox(MailboxSettings::default()).into(),
        };
        draft.push(local_part, place, role);
    }
}

/// The keys of an address; what else stands there was probably meant as an alias.
fn settings<'t>(
    frame: &Frame,
    key: &Spanned<DeString<'_>>,
    value: &'t Spanned<DeValue<'t>>,
    problems: &mut Vec<Problem>,
) -> Option<&'t DeTable<'t>> {
    if let DeValue::String(_) | DeValue::Array(_) = value.get_ref() {
        let written = frame.place(value.span());
        let title = format!("`{}`: an address where its keys are expected", key.get_ref());
        let advice = format!("for an alias, write `{{ alias = {} }}`", written.text());
        problems.push(Problem::error(title, written, "expected a table").help(advice));
        return None;
    }
    as_table(frame, key, value, problems)
}

fn read_file(
    file: &str,
    place: Place,
    draft: &mut Draft,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) {
    let path = resolved(files.base, file);
    match (files.read)(&path) {
        Ok(text) => {
            let source = Arc::new(SourceFile { name: path.to_string_lossy().into(), text: text.into() });
            table::read_table(&source, draft, problems);
        }
        Err(error) => {
            files.all_read = false;
            let title = format!("can't read the table `{}`: {error}", path.display());
            problems.push(Problem::error(title, place, "a file with addresses is expected there"));
        }
    }
}

/// Keys that say what becomes of mail; an address has one at most.
const ROLES: [&str; 5] = ["alias", "members", "forward", "moved", "discard"];

/// Keys that need another: what they go with, by its key or as the mailbox that no key makes.
const COMPANIONS: [(&str, Option<&str>); 7] = [
    ("busy", None),
    ("quota", None),
    ("full", None),
    ("over_quota", None),
    ("maildir", None),
    ("disclose", Some("forward")),
    ("owner", Some("members")),
];

/// Reads what becomes of mail for an address in the domain `home`.
pub(super) fn read_role(table: &Table<'_>, home: &DomainName, problems: &mut Vec<Problem>) -> PlacedRole {
    let mut written = ROLES.iter().filter_map(|name| table.get(name).map(|(key, _)| (*name, key.span())));
    let first = written.next();
    for (name, span) in written {
        if let Some((first_name, first_span)) = &first {
            let title = format!("an address can't have both `{first_name}` and `{name}`");
            problems.push(
                Problem::error(title, table.frame.place(span), "one of them is too many")
                    .also(table.frame.place(first_span.clone()), "the other"),
            );
        }
    }
    let role = first.map(|(name, _)| name);
    for (name, companion) in COMPANIONS {
        if let Some((key, _)) = table.get(name)
            && companion != role
        {
            let title = match companion {
                Some(companion) => format!("`{name}` goes with `{companion}` only"),
                None => {
                    format!("`{name}` is for mailboxes, and `{}` makes this none", role.unwrap_or_default())
                }
            };
            problems.push(Problem::error(title, table.frame.place(key.span()), "this says nothing here"));
        }
    }
    match role {
        Some("alias") => placed_list(table, table.read(&keys::ALIAS, problems), home, problems, Role::Alias),
        Some("members") => {
            let owner = table.read(&keys::OWNER, problems).map(|owner| owner.into_inner().at(home));
            let owner =
                owner.or_else(|| Target::parse("postmaster").ok().map(|postmaster| postmaster.at(home)));
            let members = table.read(&keys::MEMBERS, problems);
            let list = |members: Vec<Mailbox>| match owner {
                Some(owner) => Role::List { members, owner },
                None => Role::Alias(members),
            };
            PlacedRole { owner: table.place("owner"), ..placed_list(table, members, home, problems, list) }
        }
        Some("forward") => {
            let disclosed = table.read(&keys::DISCLOSE, problems);
            match table.read(&keys::FORWARD, problems) {
                Some(target) => PlacedRole {
                    targets: vec![table.frame.place(target.span())],
                    ..Role::Forward { address: target.into_inner().at(home), disclosed }.into()
                },
                None => Role::Discard.into(),
            }
        }
        Some("moved") => match table.read(&keys::MOVED, problems) {
            Some(target) => Role::Moved(target.into_inner().at(home)).into(),
            None => Role::Discard.into(),
        },
        Some(_) if table.read(&keys::DISCARD, problems) => Role::Discard.into(),
        _ => Role::Mailbox(read_mailbox(table, problems)).into(),
    }
}

fn read_mailbox(table: &Table<'_>, problems: &mut Vec<Problem>) -> MailboxSettings {
    MailboxSettings {
        busy: table.read(&keys::BUSY, problems),
        full: table.read(&keys::FULL, problems),
        quota_octets: table.read(&keys::QUOTA, problems),
        over_quota: table.read(&keys::OVER_QUOTA, problems),
        maildir: table.read(&keys::MAILBOX_MAILDIR, problems),
    }
}

fn placed_list(
    table: &Table<'_>,
    targets: Vec<Spanned<Target>>,
    home: &DomainName,
    problems: &mut Vec<Problem>,
    role: impl FnOnce(Vec<Mailbox>) -> Role,
) -> PlacedRole {
    let places = targets.iter().map(|target| table.frame.place(target.span())).collect();
    let empty = ["alias", "members"].into_iter().find(|name| table.is_empty_list(name));
    if let Some(place) = empty.and_then(|name| table.place(name)) {
        let advice = "for an address whose mail is thrown away, write `discard = true`".to_owned();
        problems.push(Problem::error("mail would go to nobody", place, "expected an address").help(advice));
    }
    let mailboxes = targets.into_iter().map(|target| target.into_inner().at(home)).collect();
    PlacedRole { targets: places, ..role(mailboxes).into() }
}
