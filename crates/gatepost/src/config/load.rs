//! Configurations from disk, and tables that are read again when they change.
//!
//! Invariants: a file is stamped before it is read, so a change in between is seen at the next look; what was loaded
//! stays as it is when reading again fails.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use smtp::time::WallTime;

use super::address_form::Target;
use super::beside::Beside;
use super::problem::{Place, Problem, SourceFile};
use super::read::{GeoPlaces, Parsed, parse_again};
use super::{Config, Geo};
use crate::facts::place::Kind;

/// Largest configuration or table, in octets (ours: a table of a million addresses is about 40 MB).
const FILE_OCTETS_MAX: u64 = 256 * 1024 * 1024;

/// How long a table must have lain still before it is believed to be whole (ours: many programs empty a file first and
/// fill it then, and an address that is missing for a moment would be refused for good).
pub const STILL: Duration = Duration::from_millis(200);

/// A configuration that can be used, and what it was made of.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub config: Config,
    /// What is hardly meant so.
    pub warnings: Vec<Problem>,
    /// The tables it names.
    pub tables: Tables,
}

/// The tables of a configuration, as they were when they were read.
#[derive(Debug)]
pub struct Tables {
    file_name: String,
    text: String,
    stamps: Stamps,
    /// What files beside them said when they could be used last.
    beside: Beside,
}

/// What changes when a file does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stamp {
    modified: SystemTime,
    size_octets: u64,
    /// Tells a file from another that was renamed into its place.
    inode: u64,
}

impl Stamp {
    /// Whether the file changed less than [`STILL`] before `now`.
    pub(crate) fn is_fresh(&self, now: WallTime) -> bool {
        let modified = self.modified.duration_since(UNIX_EPOCH).unwrap_or_default();
        let age = i128::from(now.as_unix_millis()) - i128::try_from(modified.as_millis()).unwrap_or(0);
        (0..i128::try_from(STILL.as_millis()).unwrap_or(0)).contains(&age)
    }

    /// The stamp of the file as it is now; none when there is no such file.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let metadata = fs::metadata(path).ok()?;
        let modified = metadata.modified().ok()?;
        Some(Self { modified, size_octets: metadata.len(), inode: metadata.ino() })
    }
}

impl Tables {
    /// Whether a table differs from what was read last; costs a look at each file's metadata.
    #[must_use]
    pub fn changed(&self) -> bool {
        self.stamps.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Whether a table may be in the middle of being written: it changed just now, or since it was read.
    #[must_use]
    pub fn in_flux(&self, now: WallTime) -> bool {
        self.changed() || self.is_fresh(now)
    }

    /// Whether a table changed just now.
    #[must_use]
    pub fn is_fresh(&self, now: WallTime) -> bool {
        self.stamps.iter().any(|(path, _)| Stamp::of(path).is_some_and(|stamp| stamp.is_fresh(now)))
    }

    /// Reads the tables again, under the configuration as it was read: what has changed in its own file since waits for
    /// [`load`].
    ///
    /// # Errors
    /// All problems. [`Tables::changed`] is false then too, until a table changes again.
    pub fn reload(&mut self) -> Result<Parsed, Vec<Problem>> {
        let (parsed, stamps) = read(&self.text, &self.file_name, &self.beside);
        self.stamps = stamps;
        let mut parsed = parsed?;
        self.beside = std::mem::take(&mut parsed.beside);
        Ok(parsed)
    }
}

/// Reads the configuration `file` and its tables.
///
/// # Errors
/// All problems, by file and place. A file that can't be read is one.
pub fn load(file: &Path) -> Result<Loaded, Vec<Problem>> {
    let file_name = file.to_string_lossy().into_owned();
    match read_text(file) {
        Ok(text) => loaded(text, file_name),
        Err(error) => {
            let title = format!("can't read the configuration `{file_name}`: {error}");
            let source = Arc::new(SourceFile { name: file_name.into(), text: "".into() });
            let advice = match error.kind() {
                io::ErrorKind::NotFound => {
                    "a path that does not start with `/` starts in the working directory"
                }
                io::ErrorKind::IsADirectory => "name the file in it",
                io::ErrorKind::PermissionDenied => "whoever runs this must be able to read it",
                io::ErrorKind::InvalidData => "it must be a text in UTF-8",
                _ => "`--config` names the file",
            };
            Err(vec![Problem::error(title, Place::new(&source, 0..0), "").help(advice.to_owned())])
        }
    }
}

/// The configuration of a site without a file: 127.0.0.1:2525, domain localhost, mailboxes `postmaster` and `user`; no
/// mailbox for a user whose name is no local part.
///
/// # Errors
/// None, but for a fault of ours.
pub fn zero_configuration(user: &str) -> Result<Loaded, Vec<Problem>> {
    let mut text = "[domain.localhost.mailbox]\npostmaster = {}\n".to_owned();
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if Target::parse(user).is_ok() && user.chars().all(plain) && !user.eq_ignore_ascii_case("postmaster") {
        text.push_str(&format!("\"{user}\" = {{}}\n"));
    }
    loaded(text, "the built-in configuration".into())
}

fn loaded(text: String, file_name: String) -> Result<Loaded, Vec<Problem>> {
    let (parsed, stamps) = read(&text, &file_name, &Beside::default());
    let Parsed { config, warnings, geo_places, beside } = parsed?;
    check_geo(&config.geo, geo_places)?;
    Ok(Loaded { config, warnings, tables: Tables { file_name, text, stamps, beside } })
}

/// Whether the files that say where addresses are can be used.
fn check_geo(geo: &Geo, places: GeoPlaces) -> Result<(), Vec<Problem>> {
    let files = [(Kind::Country, &geo.country, places.country), (Kind::Asn, &geo.asn, places.asn)];
    let problem = |(kind, path, place): (Kind, &Option<PathBuf>, Option<Place>)| {
        let path = path.as_ref()?;
        let why = crate::facts::place::open(path, kind).err()?;
        let title = format!("can't use `{}`: {why}", path.display());
        Some(Problem::error(title, place?, format!("expected a file of {kind} in MaxMind's format")))
    };
    let problems: Vec<_> = files.into_iter().filter_map(problem).collect();
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

type Stamps = Vec<(PathBuf, Option<Stamp>)>;

fn read(text: &str, file_name: &str, before: &Beside) -> (Result<Parsed, Vec<Problem>>, Stamps) {
    let mut stamps = Vec::new();
    let mut read_table = |path: &Path| {
        stamps.push((path.to_owned(), Stamp::of(path)));
        read_text(path)
    };
    let parsed = parse_again(text, file_name, &mut read_table, before);
    (parsed, stamps)
}

/// The text of a configuration or a table.
pub(crate) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    fs::File::open(path)?.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_OCTETS_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the file is too large"));
    }
    // Some editors mark UTF-8 with a character that can't be seen, which would become part of the first name.
    if text.starts_with('\u{FEFF}') {
        text.remove(0);
    }
    Ok(text)
}
