//! What a configuration says of a table.
//!
//! Invariants: paths are resolved; a secret is never printed.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::template::Template;

/// A table as it is declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSettings {
    /// Its name.
    pub name: Arc<str>,
    /// What it is.
    pub kind: TableKind,
    /// How long answers are kept; not for what is at hand.
    pub keep: Keep,
    /// What asking may use.
    pub limits: Limits,
}

/// How long answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// Values.
    pub values: Duration,
    /// That there is no entry.
    pub absence: Duration,
    /// Most keys.
    pub entries: u32,
}

/// What asking may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest wait for an answer, connecting included.
    pub timeout: Duration,
    /// Most connections; at least one.
    pub connections: u32,
}

/// What a table is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TableKind {
    /// Entries in memory.
    Files(InMemory),
    /// A directory with a file for each key.
    Folder(PathBuf),
    /// A query of a database.
    Sql(SqlSettings),
    /// A search in a directory.
    Ldap(LdapSettings),
    /// Another program's map.
    Socketmap {
        /// Where it is asked.
        address: SocketmapAddress,
        /// The map's name.
        map: String,
    },
}

impl TableKind {
    /// The word for it, as in the configuration.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Files(InMemory::Inline(_)) => "inline",
            Self::Files(InMemory::File(_)) => "file",
            Self::Files(InMemory::Cidr(_)) => "cidr",
            Self::Files(InMemory::Regex(_)) => "regex",
            Self::Folder(_) => "directory",
            Self::Sql(_) => "sql",
            Self::Ldap(_) => "ldap",
            Self::Socketmap { .. } => "socketmap",
        }
    }
}

/// Entries that are held in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InMemory {
    /// Keys and values in the configuration.
    Inline(Arc<[(Arc<str>, Arc<str>)]>),
    /// A file of `key value` lines.
    File(PathBuf),
    /// A file of `network value` lines.
    Cidr(PathBuf),
    /// A file of `/expression/ value` lines.
    Regex(PathBuf),
}

/// A text that may be secret: written, or the first line of a file.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// It is written in the configuration.
    Written(String),
    /// It stands in a file of its own.
    File(PathBuf),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Written(_) => formatter.write_str("Written(…)"),
            Self::File(path) => formatter.debug_tuple("File").field(path).finish(),
        }
    }
}

/// Largest file that holds a secret, in octets (ours).
const SECRET_OCTETS_MAX: usize = 16 * 1024;

impl Secret {
    /// The text. A file is read anew each time, on a thread that may block.
    ///
    /// # Errors
    /// When the file can't be read.
    pub(super) async fn read(&self) -> Result<String, String> {
        let path = match self {
            Self::Written(text) => return Ok(text.clone()),
            Self::File(path) => path.clone(),
        };
        let read = tokio::task::spawn_blocking(move || {
            let text = crate::config::read_text(&path)
                .map_err(|error| format!("can't read `{}`: {error}", path.display()))?;
            if text.len() > SECRET_OCTETS_MAX {
                return Err(format!("`{}` is too large", path.display()));
            }
            Ok(text.lines().next().unwrap_or_default().to_owned())
        });
        read.await.unwrap_or_else(|_| Err("reading a file ended abnormally".into()))
    }
}

/// A query of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlSettings {
    /// Where the database is: `postgres://`, `mysql://` or `sqlite:`.
    pub url: Secret,
    /// The query, whose placeholders are bound as parameters.
    pub query: Template,
}

impl SqlSettings {
    /// Whether the database is known to be a file.
    #[must_use]
    pub fn is_file(&self) -> bool {
        matches!(&self.url, Secret::Written(url) if url.starts_with("sqlite:"))
    }
}

/// A search in an LDAP directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LdapSettings {
    /// Where it is: `ldap://`, `ldaps://` or `ldapi://`.
    pub url: String,
    /// Whether the connection is secured before anything else is said.
    pub starttls: bool,
    /// Who asks, and where the password is; anybody when it isn't written.
    pub bind: Option<(String, Secret)>,
    /// Where the search begins.
    pub base: String,
    /// How deep it goes.
    pub scope: Scope,
    /// What is searched for; values are escaped (RFC 4515 §3).
    pub filter: Template,
    /// The attributes whose values count.
    pub attributes: Vec<String>,
}

/// How deep a search goes (RFC 4511 §4.5.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The base alone.
    Base,
    /// Its children.
    One,
    /// All below it.
    Subtree,
}

/// Where a socketmap is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SocketmapAddress {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A host and a port.
    Inet(String, u16),
}

impl std::fmt::Display for SocketmapAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix:{}", path.display()),
            Self::Inet(host, port) => write!(formatter, "inet:{host}:{port}"),
        }
    }
}
