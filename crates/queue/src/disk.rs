//! The disk seam: one directory of flat names, as the kernel has it and as tests simulate it.
//!
//! What a power cut may do is part of the contract: a write is durable once its file's `sync` returned `Ok`; a name that
//! was made, changed or removed is durable once `sync_directory` returned `Ok`; until then any subset may survive.

use std::io;

/// A directory that one spool has to itself.
pub trait Disk: Send + Sync + 'static {
    /// An open file.
    type File: DiskFile;

    /// The names in the directory with their sizes in octets, in any order.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;

    /// A new file of `size_octets` zeros, whose space is reserved where the file system can.
    ///
    /// # Errors
    /// `AlreadyExists`, `StorageFull`, or what the system says; then there is no such file.
    fn create(&self, name: &str, size_octets: u64) -> io::Result<Self::File>;

    /// Opens a file for reading and writing.
    ///
    /// # Errors
    /// `NotFound`, or what the system says.
    fn open(&self, name: &str) -> io::Result<Self::File>;

    /// Gives a file another name.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, old: &str, new: &str) -> io::Result<()>;

    /// Removes a name.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes all names durable.
    ///
    /// # Errors
    /// What the system says.
    fn sync_directory(&self) -> io::Result<()>;

    /// What is free.
    ///
    /// # Errors
    /// What the system says.
    fn free(&self) -> io::Result<FreeSpace>;
}

/// An open file of a [`Disk`].
pub trait DiskFile: Send + Sync + 'static {
    /// Reads from `offset` on until the buffer is full or the file ends; returns the octets read.
    ///
    /// # Errors
    /// What the system says.
    fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `octets` at `offset`.
    ///
    /// # Errors
    /// What the system says; any part may have been written.
    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()>;

    /// Makes all writes durable.
    ///
    /// # Errors
    /// Any write since the last `Ok` may be lost, whatever a later call says.
    fn sync(&self) -> io::Result<()>;
}

/// What a file system has left for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Free octets.
    pub octets: u64,
    /// Free inodes; `u64::MAX` where the file system has no such number.
    pub inodes: u64,
}
