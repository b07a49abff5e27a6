//! Tables of a site: what stands under a key, in files, in databases, in an LDAP directory or behind a socketmap.
//!
//! Invariants: absence is never a failure, and a failure never absence; what a client chose only ever reaches a source as a
//! bound parameter, an escaped value or a counted string; every wait, connection and answer has a limit.

mod answers;
pub(crate) mod entries;
mod files;
mod folder;
pub(crate) mod key;
mod ldap;
pub(crate) mod read;
mod routes;
mod settings;
mod socketmap;
mod sql;
mod sqlite;
mod template;
mod values;

use std::collections::HashMap;
use std::sync::Arc;

pub(crate) use key::normal as normal_key;
pub use routes::route_for;
pub use settings::{
    InMemory, Keep, LdapSettings, Limits, Scope, Secret, SocketmapAddress, SqlSettings, TableKind,
    TableSettings,
};
pub(crate) use sql::sqlite_path;
pub use template::{PLACEHOLDERS, Template, TemplateError, TemplateMistake};
pub use values::{VALUES_MAX, VALUES_OCTETS_MAX, Value, Values};

use crate::clock;
use crate::config::Problem;
use answers::Answers;
use files::Files;
use folder::Folder;
use ldap::Ldap;
use socketmap::Socketmap;
use sql::Sql;

/// What a table has for a key: values, nothing, or that it could not be asked.
pub type Outcome = Result<Option<Arc<Values>>, TableFailure>;

/// A table that could not be asked, or whose answer can't be used: it may have an entry or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableFailure {
    /// The table.
    pub table: Arc<str>,
    /// What went wrong, for the log.
    pub why: Arc<str>,
}

impl TableFailure {
    /// A failure of the table `name`, which is said in the log.
    pub(crate) fn of(name: &Arc<str>, why: Arc<str>) -> Self {
        let failure = Self { table: Arc::clone(name), why };
        tracing::warn!(target: "gatepost::tables", "{failure}");
        failure
    }
}

impl std::fmt::Display for TableFailure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the table `{}` can't be asked: {}", self.table, self.why)
    }
}

impl std::error::Error for TableFailure {}

/// All tables of a site, by their names.
#[derive(Debug, Default)]
pub struct Tables {
    tables: Vec<Arc<Table>>,
    by_name: HashMap<Arc<str>, usize>,
}

/// One table.
#[derive(Debug)]
pub struct Table {
    settings: TableSettings,
    source: Source,
}

#[derive(Debug)]
enum Source {
    Files(Files),
    Folder(Folder),
    /// What is asked, with what it answered lately.
    Asked(Asked, Answers),
    /// A server that a rehearsal leaves alone.
    NotAsked,
}

#[derive(Debug)]
enum Asked {
    Sql(Sql),
    Ldap(Box<Ldap>),
    Socketmap(Socketmap),
}

impl Tables {
    /// The tables of `settings`. What is declared as it was `before` keeps its connections and, where its file can't be
    /// read, its entries; what was answered is forgotten. Unless `asks_servers`, a table that is another program's fails.
    /// What is wrong with files comes beside. Blocks on the disk.
    #[must_use]
    pub fn of(settings: &[TableSettings], before: Option<&Self>, asks_servers: bool) -> (Self, Vec<Problem>) {
        let mut problems = Vec::new();
        let mut tables = Self::default();
        for settings in settings {
            let known = before.and_then(|before| before.get(&settings.name));
            let table = match known.filter(|known| known.settings == *settings) {
                Some(known) => {
                    known.forget();
                    Arc::clone(known)
                }
                None => Arc::new(Table::new(settings.clone(), asks_servers)),
            };
            problems.extend(table.read_again());
            tables.by_name.insert(Arc::clone(&settings.name), tables.tables.len());
            tables.tables.push(table);
        }
        (tables, problems)
    }

    /// The table of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(*self.by_name.get(name)?)
    }

    /// What the table of that name has for `key`.
    ///
    /// # Errors
    /// When it can't be known whether there is an entry, for want of the table, too.
    pub async fn look_up(&self, name: &Arc<str>, key: &str) -> Outcome {
        match self.get(name) {
            Some(table) => table.look_up(key).await,
            None => Err(TableFailure::of(name, "there is no such table".into())),
        }
    }

    /// Reads the files again that have changed and lie still. What can't be read stays as it was, and is a problem, once a
    /// change. Blocks on the disk.
    #[must_use]
    pub fn reload(&self) -> Vec<Problem> {
        self.tables.iter().flat_map(|table| table.read_again()).collect()
    }
}

impl Table {
    fn new(settings: TableSettings, asks_servers: bool) -> Self {
        let limits = settings.limits;
        let is_servers = match &settings.kind {
            TableKind::Files(_) | TableKind::Folder(_) => false,
            TableKind::Sql(sql) => !sql.is_file(),
            TableKind::Ldap(_) | TableKind::Socketmap { .. } => true,
        };
        let asked = |server| Source::Asked(server, Answers::new(settings.keep));
        let source = match &settings.kind {
            _ if is_servers && !asks_servers => Source::NotAsked,
            TableKind::Files(files) => Source::Files(Files::new(files.clone())),
            TableKind::Folder(path) => Source::Folder(Folder::new(path.clone())),
            TableKind::Sql(sql) => asked(Asked::Sql(Sql::new(sql.clone(), limits))),
            TableKind::Ldap(ldap) => asked(Asked::Ldap(Box::new(Ldap::new(ldap.clone(), limits)))),
            TableKind::Socketmap { address, map } => {
                asked(Asked::Socketmap(Socketmap::new(address.clone(), map.clone(), limits)))
            }
        };
        Self { settings, source }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.settings.name
    }

    /// The values that stand under `key`, or `None` when there is no such entry; letters' case counts for patterns alone. Those who ask for one
    /// key at a time share the answer. A source that is asked answers within the table's `timeout`.
    ///
    /// # Errors
    /// When it can't be known whether there is an entry.
    pub async fn look_up(&self, key: &str) -> Outcome {
        let found = match &self.source {
            Source::Files(files) => files.look_up(key),
            Source::Folder(folder) => {
                let key = key::normal(key);
                self.in_time(folder.look_up(&key)).await.map(|values| values.map(Arc::new))
            }
            Source::Asked(asked, answers) => {
                let key = key::normal(key);
                answers.get_or_ask(&key, clock::monotonic, self.in_time(asked.look_up(&key))).await
            }
            Source::NotAsked => Err("a rehearsal asks no servers".into()),
        };
        found.map_err(|why| TableFailure::of(self.name(), why))
    }

    async fn in_time(
        &self,
        asked: impl Future<Output = Result<Option<Values>, String>>,
    ) -> Result<Option<Values>, Arc<str>> {
        let timeout = self.settings.limits.timeout;
        match tokio::time::timeout(timeout, asked).await {
            Ok(found) => found.map_err(Arc::from),
            Err(_) => Err(format!("no answer within {} seconds", timeout.as_secs()).into()),
        }
    }

    /// Forgets what was answered, and what else may be another after a reload.
    fn forget(&self) {
        match &self.source {
            Source::Files(files) => files.forget(),
            Source::Asked(asked, answers) => {
                if let Asked::Sql(sql) = asked {
                    sql.forget();
                }
                answers.forget();
            }
            Source::Folder(_) | Source::NotAsked => {}
        }
    }

    fn read_again(&self) -> Vec<Problem> {
        match &self.source {
            Source::Files(files) => files.read_again(),
            _ => Vec::new(),
        }
    }
}

impl Asked {
    async fn look_up(&self, key: &str) -> Result<Option<Values>, String> {
        match self {
            Self::Sql(sql) => sql.look_up(key).await,
            Self::Ldap(ldap) => ldap.look_up(key).await,
            Self::Socketmap(socketmap) => socketmap.look_up(key).await,
        }
    }
}

#[cfg(test)]
mod tests;
