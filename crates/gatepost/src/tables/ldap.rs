//! Tables that are searches in an LDAP directory (RFC 4511).
//!
//! Invariants: values in the filter are escaped (RFC 4515 §3); one connection serves all searches, each under a message id
//! of its own, and is replaced once it has broken; nothing but success is an answer.

use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ldap3::{LdapConnAsync, LdapConnSettings, ResultEntry, SearchEntry, ldap_escape};
use tokio::sync::Semaphore;

use super::settings::{LdapSettings, Limits, Scope};
use super::values::Values;

/// A search in a directory.
pub(super) struct Ldap {
    settings: LdapSettings,
    limits: Limits,
    attributes: Vec<Arc<str>>,
    places: Semaphore,
    connection: Mutex<Option<ldap3::Ldap>>,
    /// Held by the one who connects, so that the others get that connection.
    connecting: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Ldap {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Ldap").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Why a search has no answer.
enum SearchError {
    /// The connection has broken: another one may do.
    Broken(String),
    /// The server refused, or its answer can't be used.
    Refused(String),
}

impl SearchError {
    fn into_why(self) -> String {
        match self {
            Self::Broken(why) | Self::Refused(why) => why,
        }
    }
}

/// A connection that is given up unless it has answered: one whose other end is gone without a word would hold up every
/// search to come.
struct Suspect<'a> {
    of: &'a Ldap,
    is_sound: bool,
}

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if !self.is_sound {
            *self.of.known() = None;
        }
    }
}

impl Ldap {
    pub(super) fn new(settings: LdapSettings, limits: Limits) -> Self {
        let attributes = settings.attributes.iter().map(|name| Arc::from(name.as_str())).collect();
        let places = Semaphore::new(usize::try_from(limits.connections).unwrap_or(1));
        Self {
            settings,
            limits,
            attributes,
            places,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// The values of the attributes of all entries that the filter finds for `key`.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<Values>, String> {
        let _place = self.places.acquire().await.map_err(|_| "it is closed")?;
        let filter = self.settings.filter.filled(key, |value| ldap_escape(value));
        let (known, connection) = self.connection().await?;
        match self.search(connection, &filter).await {
            Err(SearchError::Broken(_)) if known => {}
            outcome => return outcome.map_err(SearchError::into_why),
        }
        // A connection that was idle may have been closed by the server long ago.
        let (_, connection) = self.connection().await?;
        self.search(connection, &filter).await.map_err(SearchError::into_why)
    }

    /// The connection, made if there is none, and whether there was one.
    async fn connection(&self) -> Result<(bool, ldap3::Ldap), String> {
        let known = || self.known().clone().filter(|connection| !connection.clone().is_closed());
        if let Some(connection) = known() {
            return Ok((true, connection));
        }
        let _connecting = self.connecting.lock().await;
        if let Some(connection) = known() {
            return Ok((true, connection));
        }
        let made = self.connect().await?;
        *self.known() = Some(made.clone());
        Ok((false, made))
    }

    fn known(&self) -> MutexGuard<'_, Option<ldap3::Ldap>> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<ldap3::Ldap, String> {
        let said = |error: ldap3::LdapError| error.to_string();
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.limits.timeout)
            .set_starttls(self.settings.starttls);
        let (driver, mut connection) =
            LdapConnAsync::with_settings(settings, &self.settings.url).await.map_err(said)?;
        tokio::spawn(async move {
            if let Err(error) = driver.drive().await {
                tracing::debug!(%error, "a connection to an LDAP server has ended");
            }
        });
        if let Some((name, password)) = &self.settings.bind {
            let password = password.read().await?;
            if password.is_empty() {
                // An empty password would bind as nobody and succeed (RFC 4513 §5.1.2).
                return Err("the password for the bind is empty".into());
            }
            let bound = connection.simple_bind(name, &password).await.map_err(said)?;
            bound.success().map_err(|error| format!("the bind was refused: {error}"))?;
        }
        Ok(connection)
    }

    async fn search(&self, mut connection: ldap3::Ldap, filter: &str) -> Result<Option<Values>, SearchError> {
        let mut suspect = Suspect { of: self, is_sound: false };
        let scope = match self.settings.scope {
            Scope::Base => ldap3::Scope::Base,
            Scope::One => ldap3::Scope::OneLevel,
            Scope::Subtree => ldap3::Scope::Subtree,
        };
        let base = &self.settings.base;
        let searched = connection.search(base, scope, filter, &self.settings.attributes).await;
        let found = match searched {
            Ok(found) => found,
            Err(ldap3::LdapError::FilterParsing) => {
                return Err(SearchError::Refused("the filter is malformed".into()));
            }
            Err(error) => return Err(SearchError::Broken(error.to_string())),
        };
        suspect.is_sound = true;
        // unavailable and busy, and every other refusal (RFC 4511 §4.1.9), leave open whether there is an entry.
        let (entries, _) = found.success().map_err(|error| SearchError::Refused(error.to_string()))?;
        let mut values: Option<Values> = None;
        for entry in entries.into_iter().filter(|entry| !entry.is_ref() && !entry.is_intermediate()) {
            let values = values.get_or_insert_default();
            self.take(entry, values).map_err(SearchError::Refused)?;
        }
        Ok(values)
    }

    /// Takes over what an entry has, in the order of the attributes.
    fn take(&self, entry: ResultEntry, values: &mut Values) -> Result<(), String> {
        // The library panics where a server breaks the encoding.
        let entry = panic::catch_unwind(AssertUnwindSafe(|| SearchEntry::construct(entry)))
            .map_err(|_| "the server's answer is malformed")?;
        for name in &self.attributes {
            if entry.bin_attrs.keys().any(|known| known.eq_ignore_ascii_case(name)) {
                return Err(format!("the attribute `{name}` is not in UTF-8"));
            }
            let found = entry.attrs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
            for text in found.into_iter().flat_map(|(_, texts)| texts) {
                values.push(name, text.clone())?;
            }
        }
        Ok(())
    }
}
