//! Delivery into a Maildir: written under `tmp`, synced, renamed into `new`, and the directory synced.
//!
//! Invariants: `Ok` means durable. The name is made of the queue id and the recipient's number, so that an attempt that
//! is repeated after a crash finds the first one's file instead of delivering twice. The octets stand as they were
//! received, CRLF included, behind Return-Path and Delivered-To.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use queue::body::StoredMessage;
use queue::message::{QueuedMessage, QueuedRecipient};
use queue::spool::SpoolError;
use smtp::address::ForwardPath;

/// One message for one Maildir.
#[derive(Debug)]
pub(crate) struct Letter<'a> {
    /// The Maildir.
    pub(crate) maildir: &'a Path,
    /// The message.
    pub(crate) stored: &'a StoredMessage,
    /// The recipient's place in it.
    pub(crate) index: u32,
    /// The recipient.
    pub(crate) recipient: &'a QueuedRecipient,
    /// This server's name, for the file name.
    pub(crate) hostname: &'a str,
    /// Whether an earlier attempt may have delivered it already.
    pub(crate) repeated: bool,
}

/// Why a letter was not delivered.
#[derive(Debug)]
pub(crate) enum LetterError {
    /// The file system says no.
    Disk(io::Error),
    /// The spool can't give the body.
    Spool(SpoolError),
}

impl From<io::Error> for LetterError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

impl Letter<'_> {
    /// The name of its file: the Maildir convention's time, unique part and host.
    fn file_name(&self) -> String {
        let host: String = self
            .hostname
            .chars()
            .map(|character| if matches!(character, '/' | ':') { '_' } else { character })
            .collect();
        let seconds = self.stored.message.received.as_unix_seconds();
        format!("{seconds}.Q{}R{}.{host}", self.stored.id, self.index)
    }

    /// Writes the letter and moves it into `new`; the directory is still to be synced with [`sync_new`].
    ///
    /// # Errors
    /// What failed; the letter is then in `tmp` or nowhere.
    pub(crate) fn write(&self) -> Result<(), LetterError> {
        prepare(self.maildir)?;
        let name = self.file_name();
        if self.repeated && self.is_there(&name)? {
            return Ok(());
        }
        let temporary = self.maildir.join("tmp").join(&name);
        let written = self.write_file(&temporary);
        if written.is_err() {
            // What is left is of no use; that it can't be removed changes nothing.
            let _ = fs::remove_file(&temporary);
        }
        written?;
        fs::rename(&temporary, self.maildir.join("new").join(&name))?;
        Ok(())
    }

    fn write_file(&self, path: &Path) -> Result<(), LetterError> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(trace_fields(&self.stored.message, self.recipient).as_bytes())?;
        let mut reader = self.stored.body.reader();
        while let Some(chunk) = reader.next_chunk().map_err(LetterError::Spool)? {
            file.write_all(chunk)?;
        }
        file.sync_all()?;
        Ok(())
    }

    /// Whether an earlier attempt delivered the letter; a mail reader may have moved it to `cur`, with flags behind `:`.
    fn is_there(&self, name: &str) -> io::Result<bool> {
        if self.maildir.join("new").join(name).try_exists()? {
            return Ok(true);
        }
        let flagged = OsString::from(format!("{name}:"));
        for entry in fs::read_dir(self.maildir.join("cur"))? {
            let found = entry?.file_name();
            if found == *name || found.as_encoded_bytes().starts_with(flagged.as_encoded_bytes()) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Return-Path (RFC 5321 §4.4), Delivered-To, and X-Original-To where it differs.
pub(super) fn trace_fields(message: &QueuedMessage, recipient: &QueuedRecipient) -> String {
    let mailbox = &recipient.mailbox;
    let mut fields = format!("Return-Path: {}\r\nDelivered-To: {mailbox}\r\n", message.reverse_path);
    match &recipient.accepted_as {
        ForwardPath::Mailbox(original) if original == mailbox => {}
        ForwardPath::Mailbox(original) => fields.push_str(&format!("X-Original-To: {original}\r\n")),
        ForwardPath::Postmaster => fields.push_str("X-Original-To: postmaster\r\n"),
    }
    fields
}

/// Makes the Maildir when it isn't there, for its owner alone, and its names durable.
fn prepare(maildir: &Path) -> io::Result<()> {
    if maildir.join("new").is_dir() && maildir.join("tmp").is_dir() && maildir.join("cur").is_dir() {
        return Ok(());
    }
    let missing: Vec<PathBuf> =
        maildir.ancestors().take_while(|folder| !folder.is_dir()).map(Path::to_path_buf).collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    for folder in ["tmp", "new", "cur"] {
        builder.create(maildir.join(folder))?;
    }
    sync_folder(maildir)?;
    for folder in missing {
        if let Some(parent) = folder.parent() {
            sync_folder(parent)?;
        }
    }
    Ok(())
}

/// Makes the names in `new` durable.
///
/// # Errors
/// When the sync fails: what was moved there may be gone after a power cut.
pub(crate) fn sync_new(maildir: &Path) -> io::Result<()> {
    sync_folder(&maildir.join("new"))
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    // The empty path is the current directory's relative name.
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use queue::body::Body;
    use queue::memory_spool::MemorySpool;
    use queue::message::{Destination, Origin};
    use queue::spool::Spool as _;
    use smtp::time::WallTime;
    use std::os::unix::fs::PermissionsExt as _;

    async fn stored(body: &[u8]) -> StoredMessage {
        let spool = MemorySpool::new();
        let received = WallTime::from_unix_millis(1_795_434_399_000);
        let id = spool.allot(received);
        let message = QueuedMessage {
            reverse_path: "<bob@client.example>".parse().unwrap(),
            parameters: smtp::envelope::MailParameters::default(),
            received,
            hold: None,
            origin: Origin::default(),
            recipients: vec![QueuedRecipient {
                mailbox: "alice@example.org".parse().unwrap(),
                accepted_as: "<alice+lists@example.org>".parse().unwrap(),
                parameters: smtp::envelope::RcptParameters::default(),
                destination: Destination::new("local"),
            }],
        };
        spool.enqueue(id, message, Body::Memory(body.to_vec())).await.unwrap();
        spool.open(id).await.unwrap()
    }

    fn files(folder: &Path) -> Vec<PathBuf> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    #[tokio::test]
    async fn the_file_holds_the_octets_behind_the_trace_fields_and_a_repetition_changes_nothing() {
        let state = tempfile::tempdir().unwrap();
        let maildir = state.path().join("example.org/alice");
        let stored = stored(b"Subject: x\r\n\r\n.dot\r\n\xff\r\n").await;
        let letter = |repeated| Letter {
            maildir: &maildir,
            stored: &stored,
            index: 0,
            recipient: &stored.message.recipients[0],
            hostname: "mx.example.org",
            repeated,
        };
        letter(false).write().unwrap();
        sync_new(&maildir).unwrap();
        let delivered = files(&maildir.join("new"));
        assert_eq!(delivered.len(), 1);
        let expected = b"Return-Path: <bob@client.example>\r\nDelivered-To: alice@example.org\r\nX-Original-To: alice+lists@example.org\r\nSubject: x\r\n\r\n.dot\r\n\xff\r\n";
        assert_eq!(fs::read(&delivered[0]).unwrap(), expected);
        assert_eq!(fs::metadata(&delivered[0]).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(&maildir).unwrap().permissions().mode() & 0o777, 0o700);

        letter(true).write().unwrap();
        assert_eq!(files(&maildir.join("new")).len(), 1);
        let name = delivered[0].file_name().unwrap().to_str().unwrap();
        fs::rename(&delivered[0], maildir.join("cur").join(format!("{name}:2,S"))).unwrap();
        letter(true).write().unwrap();
        assert_eq!(files(&maildir.join("new")).len(), 0);
        assert_eq!(files(&maildir.join("tmp")).len(), 0);
    }
}
