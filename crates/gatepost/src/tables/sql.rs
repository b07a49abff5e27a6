//! Tables that are queries of a database: PostgreSQL and MySQL over a pool of connections, SQLite from its file.
//!
//! Invariants: a key is bound as a parameter, never written into the query; nothing is connected before the first
//! question; a connection that has broken is replaced.

use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::TryStreamExt as _;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions, MySqlRow};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Row, TypeInfo as _, ValueRef as _};

use super::settings::{Limits, Secret, SqlSettings};
use super::sqlite::Sqlite;
use super::template::Placeholder;
use super::values::Values;

/// A query of a database.
#[derive(Debug)]
pub(super) struct Sql {
    settings: SqlSettings,
    limits: Limits,
    /// None before the first question, and while the place of the database can't be read.
    database: Mutex<Option<Database>>,
}

#[derive(Debug, Clone)]
enum Database {
    Postgres(PgPool, Arc<Query>),
    MySql(MySqlPool, Arc<Query>),
    Sqlite(Arc<Sqlite>),
}

/// The query with the marks of its database, and what is bound to them.
#[derive(Debug)]
struct Query {
    text: String,
    bound: Vec<Placeholder>,
}

impl Sql {
    pub(super) const fn new(settings: SqlSettings, limits: Limits) -> Self {
        Self { settings, limits, database: Mutex::new(None) }
    }

    /// The columns of the rows that the query has for `key`; NULL is no value.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<Values>, String> {
        match self.database().await? {
            Database::Postgres(pool, query) => {
                let mut asked = sqlx::query(AssertSqlSafe(query.text.clone()));
                for place in &query.bound {
                    asked = asked.bind(place.value(key).to_owned());
                }
                gather(asked.fetch(&pool), postgres_text).await
            }
            Database::MySql(pool, query) => {
                let mut asked = sqlx::query(AssertSqlSafe(query.text.clone()));
                for place in &query.bound {
                    asked = asked.bind(place.value(key).to_owned());
                }
                gather(asked.fetch(&pool), mysql_text).await
            }
            Database::Sqlite(sqlite) => sqlite.look_up(key).await,
        }
    }

    /// Forgets the database whose place stands in a file, which may name another now.
    pub(super) fn forget(&self) {
        if matches!(self.settings.url, Secret::File(_)) {
            *self.database.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    async fn database(&self) -> Result<Database, String> {
        let known = || self.database.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(database) = known().clone() {
            return Ok(database);
        }
        let url = self.settings.url.read().await?;
        let opened = self.open(url.trim())?;
        Ok(known().get_or_insert(opened).clone())
    }

    fn open(&self, url: &str) -> Result<Database, String> {
        let Limits { timeout, connections } = self.limits;
        // What the parsers say may quote the URL, and the password in it.
        let malformed = "the database's URL is malformed";
        let query = |mark: fn(usize) -> String| {
            let (text, bound) = self.settings.query.with_marks(mark);
            Arc::new(Query { text, bound })
        };
        match url.split_once(':').map(|(scheme, _)| scheme) {
            Some("postgres" | "postgresql") => {
                let options = PgConnectOptions::from_str(url).map_err(|_| malformed)?;
                let options = options.application_name("gatepost").disable_statement_logging();
                let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(timeout);
                let pool = pool.connect_lazy_with(options);
                Ok(Database::Postgres(pool, query(|number| format!("${number}"))))
            }
            Some("mysql" | "mariadb") => {
                let options = MySqlConnectOptions::from_str(url).map_err(|_| malformed)?;
                let options = options.disable_statement_logging();
                let pool = MySqlPoolOptions::new().max_connections(connections).acquire_timeout(timeout);
                let pool = pool.connect_lazy_with(options);
                Ok(Database::MySql(pool, query(|_| "?".into())))
            }
            Some("sqlite") => {
                let path = sqlite_path(url).ok_or(malformed)?;
                let (text, bound) = self.settings.query.with_marks(|number| format!("?{number}"));
                Ok(Database::Sqlite(Arc::new(Sqlite::new(path.into(), (text, bound), self.limits))))
            }
            _ => Err("the database's URL begins with none of postgres:, mysql: and sqlite:".into()),
        }
    }
}

/// The file that a URL of SQLite names, when that is an absolute path.
pub(crate) fn sqlite_path(url: &str) -> Option<&str> {
    let rest = url.strip_prefix("sqlite:")?;
    let path = rest.strip_prefix("//").unwrap_or(rest);
    path.starts_with('/').then_some(path)
}

/// The values of all rows.
async fn gather<R: Row>(
    mut rows: impl futures_util::Stream<Item = Result<R, sqlx::Error>> + Unpin,
    text_of: fn(&R, usize) -> Result<Option<String>, sqlx::Error>,
) -> Result<Option<Values>, String> {
    let mut values: Option<Values> = None;
    while let Some(row) = rows.try_next().await.map_err(|error| said(&error))? {
        let values = values.get_or_insert_default();
        for (place, column) in row.columns().iter().enumerate() {
            let text = text_of(&row, place).map_err(|error| said(&error))?;
            if let Some(text) = text {
                values.push(&Arc::from(column.name()), text)?;
            }
        }
    }
    Ok(values)
}

fn said(error: &sqlx::Error) -> String {
    match error {
        sqlx::Error::PoolTimedOut => "no connection to the database in time".into(),
        sqlx::Error::ColumnDecode { index, .. } => {
            format!("column {index} is neither text, number nor boolean: cast it to text in the query")
        }
        error => error.to_string(),
    }
}

/// A column of another type than those that have a plain text.
fn not_text(column: &str) -> sqlx::Error {
    let source = "a type without a plain text";
    sqlx::Error::ColumnDecode { index: format!("`{column}`"), source: source.into() }
}

fn postgres_text(row: &PgRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().name().to_ascii_uppercase();
    Ok(Some(match kind.as_str() {
        "TEXT" | "VARCHAR" | "CHAR" | "BPCHAR" | "NAME" | "CITEXT" | "UNKNOWN" => {
            row.try_get_unchecked::<String, _>(place)?
        }
        "INT2" => row.try_get::<i16, _>(place)?.to_string(),
        "INT4" => row.try_get::<i32, _>(place)?.to_string(),
        "INT8" => row.try_get::<i64, _>(place)?.to_string(),
        "BOOL" => row.try_get::<bool, _>(place)?.to_string(),
        _ => return Err(not_text(row.column(place).name())),
    }))
}

fn mysql_text(row: &MySqlRow, place: usize) -> Result<Option<String>, sqlx::Error> {
    let raw = row.try_get_raw(place)?;
    if raw.is_null() {
        return Ok(None);
    }
    let kind = raw.type_info().name().to_ascii_uppercase();
    Ok(Some(match kind.as_str() {
        "BOOLEAN" | "TINYINT" | "SMALLINT" | "MEDIUMINT" | "INT" | "BIGINT" => {
            row.try_get_unchecked::<i64, _>(place)?.to_string()
        }
        "TINYINT UNSIGNED" | "SMALLINT UNSIGNED" | "MEDIUMINT UNSIGNED" | "INT UNSIGNED"
        | "BIGINT UNSIGNED" => row.try_get_unchecked::<u64, _>(place)?.to_string(),
        "VARCHAR" | "CHAR" | "TEXT" | "TINYTEXT" | "MEDIUMTEXT" | "LONGTEXT" | "ENUM" | "SET"
        | "VARBINARY" | "BINARY" | "BLOB" | "TINYBLOB" | "MEDIUMBLOB" | "LONGBLOB" => {
            row.try_get_unchecked::<String, _>(place)?
        }
        _ => return Err(not_text(row.column(place).name())),
    }))
}
