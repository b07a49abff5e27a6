//! Tables that stand elsewhere, as they are declared: `[table."NAME"]`.
//!
//! Invariants: a key that says nothing for the table's type is refused, and so is a table without what its type needs;
//! nothing is opened or asked.

use std::path::PathBuf;
use std::sync::Arc;

use policy::nearest::did_you_mean;
use toml::Spanned;
use toml::de::{DeString, DeValue};

use super::form::{Fault, Form, text_of};
use super::key::{Table, as_table, in_order};
use super::keys;
use super::problem::{Place, Problem};
use super::read::{plain, resolved};
use crate::tables::{
    InMemory, Keep, LdapSettings, Limits, PLACEHOLDERS, Secret, SocketmapAddress, SqlSettings, TableKind,
    TableSettings, Template, TemplateMistake, sqlite_path,
};

/// What a table is, by the word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TypeWord {
    Inline,
    File,
    Directory,
    Cidr,
    Regex,
    Sql,
    Ldap,
    Socketmap,
}

/// The words for types.
pub(crate) const TYPE_WORDS: &[(&str, TypeWord)] = &[
    ("inline", TypeWord::Inline),
    ("file", TypeWord::File),
    ("directory", TypeWord::Directory),
    ("cidr", TypeWord::Cidr),
    ("regex", TypeWord::Regex),
    ("sql", TypeWord::Sql),
    ("ldap", TypeWord::Ldap),
    ("socketmap", TypeWord::Socketmap),
];

/// Keys for what is asked over a connection.
const ASKED: [&str; 5] = ["timeout", "connections", "cache", "negative_cache", "cache_entries"];

impl TypeWord {
    fn as_str(self) -> &'static str {
        TYPE_WORDS.iter().find(|(_, word)| *word == self).map_or("", |(text, _)| text)
    }

    /// Keys that mean something for it besides [`ASKED`], and whether those do.
    const fn keys(self) -> (&'static [&'static str], bool) {
        match self {
            Self::Inline => (&["entries"], false),
            Self::File | Self::Cidr | Self::Regex => (&["path"], false),
            Self::Directory => (&["path", "timeout"], false),
            Self::Sql => (&["url", "url_file", "query"], true),
            Self::Ldap => (
                &[
                    "url",
                    "starttls",
                    "bind_dn",
                    "bind_password_file",
                    "base",
                    "scope",
                    "filter",
                    "attributes",
                ],
                true,
            ),
            Self::Socketmap => (&["address", "map"], true),
        }
    }
}

/// A text that is not empty.
pub(crate) struct TextForm(pub(crate) &'static str);

impl Form for TextForm {
    type Value = String;

    fn describe(&self) -> String {
        self.0.into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<String> {
        let text = text_of(value, self.0, faults)?;
        if text.is_empty() || text.contains(char::is_control) {
            faults.push(Fault::new(
                value.span(),
                "nothing that can be meant",
                format!("expected {}", self.0),
            ));
            return None;
        }
        Some(text.to_owned())
    }
}

/// A query or a filter with places for the key.
pub(crate) struct TemplatedForm {
    pub(crate) named: &'static str,
    pub(crate) parse: fn(&str) -> Result<Template, crate::tables::TemplateError>,
}

impl Form for TemplatedForm {
    type Value = Template;

    fn describe(&self) -> String {
        format!("{} with `{{address}}`, `{{local_part}}`, `{{domain}}` or `{{key}}`", self.named)
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Template> {
        let text = text_of(value, self.named, faults)?;
        let error = match (self.parse)(text) {
            Ok(template) => return Some(template),
            Err(error) => error,
        };
        let fault = match error.mistake {
            TemplateMistake::Unknown(name) => Fault::new(
                value.span(),
                format!("`{{{name}}}` stands for nothing"),
                "expected `{address}`, `{local_part}`, `{domain}` or `{key}`",
            )
            .help(did_you_mean(&name, PLACEHOLDERS)),
            TemplateMistake::Quoted(name) => Fault::new(
                value.span(),
                format!("`{{{name}}}` in quotation marks is only a text"),
                "it is bound as a parameter",
            )
            .help(Some(format!("write `{{{name}}}` without quotation marks"))),
            TemplateMistake::NoPlace => {
                Fault::new(value.span(), "every key would have the same answer", "expected `{address}` in it")
            }
        };
        faults.push(fault);
        None
    }
}

/// Where a socketmap is asked.
pub(crate) struct SocketmapForm;

impl Form for SocketmapForm {
    type Value = SocketmapAddress;

    fn describe(&self) -> String {
        "`unix:/path` or `inet:host:port`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<SocketmapAddress> {
        let text = text_of(value, &self.describe(), faults)?;
        let inet = |rest: &str| {
            let (host, port) = rest.rsplit_once(':')?;
            let port: u16 = port.parse().ok().filter(|port| *port != 0)?;
            let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
            (!host.is_empty()).then(|| SocketmapAddress::Inet(host.to_owned(), port))
        };
        let address = match text.split_once(':') {
            Some(("unix", path)) if path.starts_with('/') => {
                Some(SocketmapAddress::Unix(PathBuf::from(path)))
            }
            Some(("inet", rest)) => inet(rest),
            _ => None,
        };
        if address.is_none() {
            let title = format!("`{text}` is no address of a socketmap");
            faults.push(Fault::new(value.span(), title, format!("expected {}", self.describe())));
        }
        address
    }
}

/// Reads `[table]`, in the order of the file. Relative paths start at `base`.
pub(super) fn read_tables(
    top: &Table<'_>,
    base: Option<&std::path::Path>,
    problems: &mut Vec<Problem>,
) -> Vec<TableSettings> {
    let Some(tables) = top.table("table", problems) else { return Vec::new() };
    let frame = top.frame;
    let mut declared = Vec::new();
    for (key, value) in in_order(tables) {
        let Some(table) = as_table(frame, key, value, problems) else { continue };
        let table = Table::new(frame, table, &keys::TABLE, problems);
        let reader = Reader { table: &table, key, base };
        declared.extend(reader.read(problems));
    }
    declared
}

struct Reader<'r, 't> {
    table: &'r Table<'t>,
    /// The table's name.
    key: &'r Spanned<DeString<'t>>,
    base: Option<&'r std::path::Path>,
}

impl Reader<'_, '_> {
    fn name_place(&self) -> Place {
        self.table.frame.place(self.key.span())
    }

    fn lacks(&self, what: &str, problems: &mut Vec<Problem>) {
        let title = format!("the table `{}` lacks `{what}`", self.key.get_ref());
        // What was written and refused is a problem already.
        if what.split("` or `").all(|name| self.table.get(name).is_none()) {
            problems.push(Problem::error(title, self.name_place(), format!("expected a key `{what}` here")));
        }
    }

    fn read(&self, problems: &mut Vec<Problem>) -> Option<TableSettings> {
        let Some(word) = self.table.read(&keys::TABLE_TYPE, problems) else {
            self.lacks("type", problems);
            return None;
        };
        let word = word.into_inner();
        self.check_keys(word, problems);
        let kind = self.kind(word, problems)?;
        let table = self.table;
        Some(TableSettings {
            name: Arc::from(self.key.get_ref().as_ref()),
            kind,
            keep: Keep {
                values: table.read(&keys::TABLE_CACHE, problems),
                absence: table.read(&keys::NEGATIVE_CACHE, problems),
                entries: table.read(&keys::TABLE_CACHE_ENTRIES, problems),
            },
            limits: Limits {
                timeout: table.read(&keys::TABLE_TIMEOUT, problems),
                connections: table.read(&keys::TABLE_CONNECTIONS, problems),
            },
        })
    }

    /// Blames keys that say nothing for the type.
    fn check_keys(&self, word: TypeWord, problems: &mut Vec<Problem>) {
        let (own, is_asked) = word.keys();
        let all = keys::TABLE.keys.iter().map(|key| key.name()).chain(["entries"]);
        for name in all.filter(|name| *name != "type" && !own.contains(name)) {
            let Some((key, _)) = self.table.get(name).filter(|_| !(is_asked && ASKED.contains(&name))) else {
                continue;
            };
            let title = format!("`{name}` says nothing for a table of type \"{}\"", word.as_str());
            let place = self.table.frame.place(key.span());
            let known: Vec<&str> =
                own.iter().copied().chain(ASKED.iter().copied().filter(|_| is_asked)).collect();
            let advice = format!("keys for this type: {}", known.join(", "));
            problems.push(Problem::error(title, place, "one of them is a mistake").help(advice));
        }
    }

    fn kind(&self, word: TypeWord, problems: &mut Vec<Problem>) -> Option<TableKind> {
        Some(match word {
            TypeWord::Inline => TableKind::Files(self.entries(problems)?),
            TypeWord::File => TableKind::Files(InMemory::File(self.path(problems)?)),
            TypeWord::Cidr => TableKind::Files(InMemory::Cidr(self.path(problems)?)),
            TypeWord::Regex => TableKind::Files(InMemory::Regex(self.path(problems)?)),
            TypeWord::Directory => TableKind::Folder(self.path(problems)?),
            TypeWord::Sql => TableKind::Sql(self.sql(problems)?),
            TypeWord::Ldap => TableKind::Ldap(self.ldap(problems)?),
            TypeWord::Socketmap => {
                let address = self.table.read(&keys::SOCKETMAP_ADDRESS, problems);
                let map = self.table.read(&keys::SOCKETMAP_MAP, problems);
                if address.is_none() {
                    self.lacks("address", problems);
                }
                if map.is_none() {
                    self.lacks("map", problems);
                }
                let map = map?;
                if map.contains(' ') {
                    let place = self.table.place("map").unwrap_or_else(|| self.name_place());
                    problems.push(Problem::error(
                        "a map's name has no space",
                        place,
                        "the key follows a space",
                    ));
                }
                TableKind::Socketmap { address: address?, map }
            }
        })
    }

    fn path(&self, problems: &mut Vec<Problem>) -> Option<PathBuf> {
        let path = self.table.read(&keys::TABLE_PATH, problems);
        if path.is_none() {
            self.lacks("path", problems);
        }
        path.map(|path| resolved(self.base, &path))
    }

    fn entries(&self, problems: &mut Vec<Problem>) -> Option<InMemory> {
        let Some(entries) = self.table.table("entries", problems) else {
            self.lacks("entries", problems);
            return None;
        };
        let mut pairs: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        let mut seen: std::collections::HashMap<String, Place> = std::collections::HashMap::new();
        for (key, value) in in_order(entries) {
            let DeValue::String(text) = value.get_ref() else {
                problems.push(self.table.frame.problem(Fault::wrong_type(value, "a text")));
                continue;
            };
            let place = self.table.frame.place(key.span());
            let normal = crate::tables::normal_key(key.get_ref()).into_owned();
            if let Some(first) = seen.insert(normal, place.clone()) {
                let title = format!("`{}` stands twice in the table", key.get_ref());
                problems.push(Problem::error(title, place, "again here").also(first, "first here"));
            }
            pairs.push((Arc::from(key.get_ref().as_ref()), Arc::from(text.as_ref())));
        }
        Some(InMemory::Inline(pairs.into()))
    }

    fn sql(&self, problems: &mut Vec<Problem>) -> Option<SqlSettings> {
        let query = self.table.read(&keys::QUERY, problems);
        if query.is_none() {
            self.lacks("query", problems);
        }
        let written = self.table.read(&keys::TABLE_URL, problems);
        let file = self.table.read(&keys::URL_FILE, problems);
        let url = match (written, file) {
            (Some(_), Some(_)) => {
                let place = self.table.place("url_file").unwrap_or_else(|| self.name_place());
                problems.push(Problem::error(
                    "a table can't have both `url` and `url_file`",
                    place,
                    "one is too many",
                ));
                return None;
            }
            (Some(url), None) => {
                self.check_database(&url, problems);
                Secret::Written(url)
            }
            (None, Some(file)) => Secret::File(resolved(self.base, &file)),
            (None, None) => {
                self.lacks("url` or `url_file", problems);
                return None;
            }
        };
        Some(SqlSettings { url, query: query? })
    }

    fn check_database(&self, url: &str, problems: &mut Vec<Problem>) {
        let place = self.table.place("url").unwrap_or_else(|| self.name_place());
        let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
        let why = match scheme {
            "postgres" | "postgresql" | "mysql" | "mariadb" => {
                url::Url::parse(url).err().map(|error| error.to_string())
            }
            "sqlite" => {
                sqlite_path(url).is_none().then(|| "expected an absolute path, as in sqlite:/path".into())
            }
            _ => Some("expected postgres://, mysql:// or sqlite:/".to_owned()),
        };
        if let Some(why) = why {
            problems.push(Problem::error("not a database's URL", place, why));
        }
    }

    fn ldap(&self, problems: &mut Vec<Problem>) -> Option<LdapSettings> {
        let table = self.table;
        let starttls = table.read(&keys::STARTTLS, problems);
        let url = table.read(&keys::TABLE_URL, problems);
        match &url {
            Some(url) => self.check_directory(url, starttls, problems),
            None => self.lacks("url", problems),
        }
        let filter = table.read(&keys::FILTER, problems);
        if filter.is_none() {
            self.lacks("filter", problems);
        }
        let base = table.read(&keys::BASE, problems);
        if base.is_none() {
            self.lacks("base", problems);
        }
        let attributes = plain(table.read(&keys::ATTRIBUTES, problems));
        if attributes.is_empty() {
            self.lacks("attributes", problems);
        }
        let name = table.read(&keys::BIND_DN, problems);
        let password = table.read(&keys::BIND_PASSWORD_FILE, problems);
        let bind = match (name, password) {
            (Some(name), Some(file)) => Some((name, Secret::File(resolved(self.base, &file)))),
            (None, None) => None,
            (Some(_), None) => {
                self.lacks("bind_password_file", problems);
                None
            }
            (None, Some(_)) => {
                self.lacks("bind_dn", problems);
                None
            }
        };
        let scope = table.read(&keys::SCOPE, problems);
        Some(LdapSettings { url: url?, starttls, bind, base: base?, scope, filter: filter?, attributes })
    }

    fn check_directory(&self, url: &str, starttls: bool, problems: &mut Vec<Problem>) {
        let place = self.table.place("url").unwrap_or_else(|| self.name_place());
        let parsed = url::Url::parse(url).ok();
        let has_host = parsed.as_ref().and_then(url::Url::host_str).is_some_and(|host| !host.is_empty());
        let scheme = parsed.as_ref().map_or("", url::Url::scheme);
        if !matches!(scheme, "ldap" | "ldaps" | "ldapi") || !has_host {
            let label = "expected ldap://host, ldaps://host or ldapi://%2Fpath";
            problems.push(Problem::error("not the URL of an LDAP server", place, label));
        } else if starttls && scheme != "ldap" {
            let label = "STARTTLS is for ldap:// alone";
            problems.push(Problem::error("`starttls` can't secure this connection", place, label));
        }
    }
}
