//! Where a client's address is: its country and its autonomous system, from files in MaxMind's format.
//!
//! Invariants: a file that can't be read again stays as it was. An address that a file says nothing of has no country, and
//! without a file the country is unsure: a rule on where clients are from must not fire for want of the file.

use std::fmt;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use maxminddb::{PathElement, Reader};
use policy::value::State;

use super::Findings;
use crate::config::{Geo, Stamp};

/// Largest file, in octets (ours; those of all cities have about 120 MB).
const FILE_OCTETS_MAX: u64 = 512 * 1024 * 1024;

/// What a file tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Countries, as ISO 3166 two letters.
    Country,
    /// Numbers of autonomous systems.
    Asn,
}

impl Kind {
    /// Words in the type that a file gives itself.
    const fn words(self) -> &'static [&'static str] {
        match self {
            Self::Country => &["Country", "City", "Enterprise"],
            Self::Asn => &["ASN", "ISP", "Enterprise"],
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Country => Self::Asn,
            Self::Asn => Self::Country,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Country => "countries",
            Self::Asn => "autonomous systems",
        })
    }
}

/// A file that was read.
pub type Database = Reader<Vec<u8>>;

/// Reads a file. Blocks on the disk.
///
/// # Errors
/// Why it can't be used.
pub fn open(path: &Path, kind: Kind) -> Result<Database, String> {
    let size_octets = fs::metadata(path).map_err(|error| error.to_string())?.len();
    if size_octets > FILE_OCTETS_MAX {
        return Err(format!("it has more than {FILE_OCTETS_MAX} octets"));
    }
    let octets = fs::read(path).map_err(|error| error.to_string())?;
    let database = Reader::from_source(octets).map_err(|error| error.to_string())?;
    let says = |kind: Kind| kind.words().iter().any(|word| database.metadata().database_type.contains(word));
    if says(kind.other()) && !says(kind) {
        return Err(format!("it tells {}, not {kind}", kind.other()));
    }
    Ok(database)
}

/// The files of a site.
#[derive(Debug)]
pub struct Places {
    country: Option<File>,
    asn: Option<File>,
}

struct File {
    path: PathBuf,
    kind: Kind,
    /// As it was when it was read last.
    stamp: Mutex<Option<Stamp>>,
    /// None while it was never read.
    database: RwLock<Option<Arc<Database>>>,
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "File({})", self.path.display())
    }
}

impl Places {
    /// Reads the files of a configuration; what can't be read is said beside, in words for the log. Blocks on the disk.
    #[must_use]
    pub fn open(geo: &Geo) -> (Self, Vec<String>) {
        let file = |path: &Option<PathBuf>, kind| path.clone().map(|path| File::new(path, kind));
        let places = Self { country: file(&geo.country, Kind::Country), asn: file(&geo.asn, Kind::Asn) };
        let problems = places.reload();
        (places, problems)
    }

    /// Reads the files again that have changed. What can't be read stays as it was and is said, once a change. Blocks on
    /// the disk.
    #[must_use]
    pub fn reload(&self) -> Vec<String> {
        [&self.country, &self.asn].into_iter().flatten().filter_map(|file| file.reload().err()).collect()
    }

    /// `client.country` and `client.asn`.
    #[must_use]
    pub fn find(&self, client: IpAddr) -> Findings {
        let client = client.to_canonical();
        let country = ask(self.country.as_ref(), "country", client, |database| {
            let path = [PathElement::Key("country"), PathElement::Key("iso_code")];
            let country: Option<String> = database.lookup(client)?.decode_path(&path)?;
            Ok(State::text_or_missing(country.as_deref()))
        });
        let asn = ask(self.asn.as_ref(), "asn", client, |database| {
            let path = [PathElement::Key("autonomous_system_number")];
            let number: Option<u32> = database.lookup(client)?.decode_path(&path)?;
            Ok(number.map_or(State::Missing, |number| State::number(number.into())))
        });
        vec![("client.country", country), ("client.asn", asn)]
    }
}

fn ask(
    file: Option<&File>,
    key: &str,
    client: IpAddr,
    find: impl FnOnce(&Database) -> Result<State, maxminddb::MaxMindDbError>,
) -> State {
    let Some(file) = file else {
        return State::unsure(&format!("`geo.{key}` isn't set in the configuration"));
    };
    let Some(database) = file.current() else { return State::unsure("the file can't be read") };
    if client.is_ipv6() && database.metadata().ip_version == 4 {
        return State::unsure("the file knows IPv4 addresses only");
    }
    find(&database).unwrap_or_else(|error| State::unsure(&error.to_string()))
}

impl File {
    const fn new(path: PathBuf, kind: Kind) -> Self {
        Self { path, kind, stamp: Mutex::new(None), database: RwLock::new(None) }
    }

    fn current(&self) -> Option<Arc<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn stamp(&self) -> MutexGuard<'_, Option<Stamp>> {
        self.stamp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reload(&self) -> Result<(), String> {
        let stamp = Stamp::of(&self.path);
        let has_changed = *self.stamp() != stamp;
        if !has_changed && (stamp.is_some() || self.current().is_some()) {
            return Ok(());
        }
        *self.stamp() = stamp;
        let database =
            open(&self.path, self.kind).map_err(|why| format!("`{}`: {why}", self.path.display()))?;
        *self.database.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(database));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
