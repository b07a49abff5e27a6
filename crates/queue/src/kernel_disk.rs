//! The disk seam over the operating system: a directory that is locked for as long as it is used.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FallocateFlags, FlockOperation};

use crate::disk::{Disk, DiskFile, FreeSpace};

/// The name of the file whose lock says that the directory is in use.
pub(crate) const LOCK_NAME: &str = "lock";

/// Mail is for nobody else's eyes.
const FILE_MODE: u32 = 0o600;
const DIRECTORY_MODE: u32 = 0o700;

/// A locked directory.
#[derive(Debug)]
pub struct KernelDisk {
    path: PathBuf,
    directory: File,
    _lock: File,
}

impl KernelDisk {
    /// Takes the directory, which is made when there is none.
    ///
    /// # Errors
    /// `ResourceBusy` when another process has it, else what the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(path)?;
        let directory = File::open(path)?;
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path.join(LOCK_NAME))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { path: path.to_owned(), directory, _lock: lock }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(io::Error::new(
                io::ErrorKind::ResourceBusy,
                format!("{} is in use by another process", path.display()),
            )),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a process has the directory. It is locked for the moment of the question: who opens it just then is told
    /// that it is in use.
    ///
    /// # Errors
    /// What the system says; a directory that is not there is no error, and free.
    pub fn is_in_use(path: &Path) -> io::Result<bool> {
        let lock = match File::open(path.join(LOCK_NAME)) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

impl Disk for KernelDisk {
    type File = File;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                names.push((name, entry.metadata()?.len()));
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str, size_octets: u64) -> io::Result<File> {
        let path = self.path.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(FILE_MODE).open(&path)?;
        if size_octets > 0
            && let Err(error) = allocate(&file, size_octets)
        {
            // The error that matters is the first one; an empty file is cleared away when the spool is next opened.
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(self.path.join(name))
    }

    fn rename(&self, old: &str, new: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(old), self.path.join(new))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn free(&self) -> io::Result<FreeSpace> {
        let volume = rustix::fs::fstatvfs(&self.directory)?;
        // Some file systems (btrfs among them) make inodes as they go and report none at all.
        let inodes = if volume.f_files == 0 { u64::MAX } else { volume.f_favail };
        Ok(FreeSpace { octets: volume.f_bavail.saturating_mul(volume.f_frsize), inodes })
    }
}

impl DiskFile for File {
    fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = octets.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(octets, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Reserves space; a file system that cannot only sets the size.
fn allocate(file: &File, size_octets: u64) -> io::Result<()> {
    match rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size_octets) {
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(size_octets),
        other => Ok(other?),
    }
}
