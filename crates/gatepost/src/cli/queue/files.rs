//! Exported messages as files: `ID.eml` has the mail data, `ID.json` the envelope; names say how far an import is.
//!
//! Invariants: `ID.json` appears after `ID.eml` is whole and durable; a message is imported from `ID.json` alone, which
//! has another name while that is done and afterwards, so that none is imported twice.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::control::Message;

/// Ends of the names of envelopes: to be imported, being imported, imported.
const ENVELOPE: &str = ".json";
const IMPORTING: &str = ".json.importing";
const IMPORTED: &str = ".json.imported";

/// A directory that is exported to.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    open: Option<Open>,
}

/// A message that is being written.
#[derive(Debug)]
struct Open {
    message: Box<Message>,
    file: File,
    left_octets: u64,
}

impl Folder {
    /// The directory, made if it isn't there: what is written is for its owner alone.
    pub(super) fn make(path: &Path) -> anyhow::Result<Self> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.with_context(|| format!("cannot make the directory {}", path.display()))?;
        Ok(Self { path: path.to_owned(), open: None })
    }

    fn partial(&self, message: &Message) -> PathBuf {
        self.path.join(format!("{}.partial", message.id))
    }

    /// Begins a message.
    pub(super) fn begin(&mut self, message: Box<Message>) -> anyhow::Result<()> {
        let partial = self.partial(&message);
        let file = create(&partial)?;
        let left_octets = message.size_octets;
        self.open = Some(Open { message, file, left_octets });
        self.end_if_whole()
    }

    /// Writes mail data.
    pub(super) fn write(&mut self, octets: &[u8]) -> anyhow::Result<()> {
        let Some(open) = &mut self.open else { bail!("mail data came without its envelope") };
        let Some(left) = open.left_octets.checked_sub(octets.len() as u64) else {
            bail!("{} has more mail data than its envelope says", open.message.id);
        };
        open.file.write_all(octets)?;
        open.left_octets = left;
        self.end_if_whole()
    }

    /// Gives the files their names once all is there.
    fn end_if_whole(&mut self) -> anyhow::Result<()> {
        let Some(Open { message, file, .. }) = self.open.take_if(|open| open.left_octets == 0) else {
            return Ok(());
        };
        file.sync_all()?;
        let partial = self.partial(&message);
        fs::rename(&partial, self.path.join(format!("{}.eml", message.id)))?;
        let mut envelope = create(&partial)?;
        envelope.write_all(format!("{}\n", serde_json::to_string_pretty(&message)?).as_bytes())?;
        envelope.sync_all()?;
        fs::rename(&partial, self.path.join(format!("{}{ENVELOPE}", message.id)))?;
        Ok(())
    }

    /// Makes the names durable.
    pub(super) fn close(self) -> anyhow::Result<()> {
        if let Some(open) = &self.open {
            bail!("{} was not exported whole", open.message.id);
        }
        File::open(&self.path).and_then(|folder| folder.sync_all())?;
        Ok(())
    }
}

fn create(path: &Path) -> anyhow::Result<File> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.with_context(|| format!("cannot write {}", path.display()))
}

/// An exported message that is to be imported.
#[derive(Debug)]
pub(super) struct Exported {
    /// Its envelope.
    pub(super) message: Message,
    /// Its mail data.
    pub(super) body: File,
    stem: PathBuf,
}

/// What a directory has: the envelopes to be imported, and those whose import was interrupted.
pub(super) fn envelopes(folder: &Path) -> anyhow::Result<(Vec<PathBuf>, Vec<PathBuf>)> {
    let (mut waiting, mut interrupted) = (Vec::new(), Vec::new());
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = path.as_os_str().as_encoded_bytes();
        if name.ends_with(ENVELOPE.as_bytes()) {
            waiting.push(path);
        } else if name.ends_with(IMPORTING.as_bytes()) {
            interrupted.push(path);
        }
    }
    waiting.sort_unstable();
    interrupted.sort_unstable();
    Ok((waiting, interrupted))
}

impl Exported {
    /// Reads the envelope, and looks whether its mail data is whole.
    pub(super) fn open(envelope: &Path) -> anyhow::Result<Self> {
        let stem = envelope.with_extension("");
        let text = fs::read(envelope).with_context(|| format!("cannot read {}", envelope.display()))?;
        let message: Message = serde_json::from_slice(&text)
            .with_context(|| format!("{} is no envelope of an exported message", envelope.display()))?;
        let eml = with(&stem, ".eml");
        let body = File::open(&eml).with_context(|| format!("cannot read {}", eml.display()))?;
        let octets = body.metadata()?.len();
        if octets != message.size_octets {
            bail!(
                "{} has {octets} octets and its envelope says {}: if it was changed on purpose, correct `size_octets`",
                eml.display(),
                message.size_octets
            );
        }
        Ok(Self { message, body, stem })
    }

    /// Marks it as being imported.
    pub(super) fn importing(&self) -> anyhow::Result<()> {
        self.rename(ENVELOPE, IMPORTING).with_context(|| {
            format!("cannot rename {}{ENVELOPE}, which keeps it from being imported twice: copy it to where that can be done", self.stem.display())
        })
    }

    /// Marks it as imported.
    pub(super) fn imported(&self) -> io::Result<()> {
        self.rename(IMPORTING, IMPORTED)
    }

    /// Marks it as not imported after all.
    pub(super) fn refused(&self) -> io::Result<()> {
        self.rename(IMPORTING, ENVELOPE)
    }

    fn rename(&self, before: &str, after: &str) -> io::Result<()> {
        fs::rename(with(&self.stem, before), with(&self.stem, after))
    }
}

/// The path with `end` behind it.
fn with(stem: &Path, end: &str) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}
