//! A disk in memory that loses what was not synced: any subset of it, also parts of a write.
//!
//! Clones share the disk. Every call of [`Disk`] and [`DiskFile`] but reads counts, so that a test can stop the power
//! before any of them, or have it fail.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use crate::disk::{Disk, DiskFile, FreeSpace};
use crate::wait::lock;

/// Parts that a power cut can tear a write into: more would only multiply the outcomes.
const WRITE_PARTS_MAX: usize = 6;

/// A simulated disk.
#[derive(Debug, Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Platter>>);

/// An open file of a [`SimulatedDisk`].
#[derive(Debug)]
pub struct SimulatedFile {
    platter: Arc<Mutex<Platter>>,
    inode: usize,
}

#[derive(Debug, Clone, Default)]
struct Platter {
    files: Vec<Content>,
    names: Names,
    durable_names: Names,
    /// Changes that a power cut may lose, in the order in which they were made.
    unsynced: Vec<Change>,
    sector_octets: usize,
    calls: u64,
    failure: Option<Failure>,
    syncs_ignored: bool,
    full: bool,
    free: Option<FreeSpace>,
}

type Names = BTreeMap<String, usize>;

#[derive(Debug, Clone)]
struct Content {
    seen: Vec<u8>,
    durable: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { inode: usize, offset: usize, octets: Vec<u8> },
    Create { name: String, inode: usize },
    Rename { old: String, new: String },
    Remove { name: String },
}

#[derive(Debug, Clone, Copy)]
struct Failure {
    call: u64,
    kind: io::ErrorKind,
    /// Whether every later call fails too.
    lasting: bool,
}

impl SimulatedDisk {
    /// An empty disk. A write is torn only at multiples of `sector_octets` within its file.
    #[must_use]
    pub fn new(sector_octets: usize) -> Self {
        Self(Arc::new(Mutex::new(Platter { sector_octets: sector_octets.max(1), ..Platter::default() })))
    }

    /// Calls so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        lock(&self.0).calls
    }

    /// Stops the power before call number `call`, counted from 0: that one and all later ones fail and do nothing.
    pub fn stop_before(&self, call: u64) {
        lock(&self.0).failure = Some(Failure { call, kind: io::ErrorKind::Other, lasting: true });
    }

    /// Lets call number `call`, counted from 0, fail with `kind` and do nothing.
    pub fn fail_call(&self, call: u64, kind: io::ErrorKind) {
        lock(&self.0).failure = Some(Failure { call, kind, lasting: false });
    }

    /// Whether the call that was to fail came.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let platter = lock(&self.0);
        platter.failure.is_some_and(|failure| platter.calls > failure.call)
    }

    /// Makes every sync report success and do nothing: the check of the checks.
    pub fn ignore_syncs(&self) {
        lock(&self.0).syncs_ignored = true;
    }

    /// Whether there is no space for another file from now on.
    pub fn set_full(&self, full: bool) {
        lock(&self.0).full = full;
    }

    /// What [`Disk::free`] reports from now on.
    pub fn set_free(&self, free: FreeSpace) {
        lock(&self.0).free = Some(free);
    }

    /// Changes that a power cut may lose.
    #[must_use]
    pub fn unsynced(&self) -> usize {
        lock(&self.0).unsynced.len()
    }

    /// The disk after a power cut that kept exactly those unsynced changes whose bit (by age, oldest lowest) is set;
    /// those from the 64th on are lost.
    #[must_use]
    pub fn after_power_cut(&self, kept: u64) -> Self {
        let platter = lock(&self.0);
        let mut files = platter.files.clone();
        let mut names = platter.durable_names.clone();
        for (position, change) in platter.unsynced.iter().enumerate() {
            if position >= 64 || kept >> position & 1 == 0 {
                continue;
            }
            match change {
                Change::Write { inode, offset, octets } => {
                    if let Some(file) = files.get_mut(*inode) {
                        put(&mut file.durable, *offset, octets);
                    }
                }
                naming => rename(&mut names, naming),
            }
        }
        for file in &mut files {
            file.seen = file.durable.clone();
        }
        let sector_octets = platter.sector_octets;
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(Platter {
            files,
            names,
            durable_names,
            sector_octets,
            ..Platter::default()
        })))
    }

    /// The octets of a file as they are read now.
    #[must_use]
    pub fn contents(&self, name: &str) -> Option<Vec<u8>> {
        let platter = lock(&self.0);
        let inode = *platter.names.get(name)?;
        platter.files.get(inode).map(|file| file.seen.clone())
    }

    /// Replaces the octets of a file, durably: damage, or a cut.
    pub fn set_contents(&self, name: &str, octets: Vec<u8>) {
        let mut platter = lock(&self.0);
        if let Some(&inode) = platter.names.get(name)
            && let Some(file) = platter.files.get_mut(inode)
        {
            *file = Content { seen: octets.clone(), durable: octets };
        }
    }

    /// A disk of its own with what is read now, all of it durable.
    #[must_use]
    pub fn copy(&self) -> Self {
        let mut platter = lock(&self.0).clone();
        for file in &mut platter.files {
            file.durable = file.seen.clone();
        }
        let Platter { files, names, sector_octets, .. } = platter;
        let durable_names = names.clone();
        Self(Arc::new(Mutex::new(Platter {
            files,
            names,
            durable_names,
            sector_octets,
            ..Platter::default()
        })))
    }
}

impl Platter {
    /// Counts a call and fails it when it is its turn.
    fn call(&mut self) -> io::Result<()> {
        let call = self.calls;
        self.calls += 1;
        match self.failure {
            Some(failure) if call == failure.call || failure.lasting && call > failure.call => {
                Err(io::Error::new(failure.kind, "simulated"))
            }
            _ => Ok(()),
        }
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, change: Change) {
        rename(&mut self.names, &change);
        self.unsynced.push(change);
    }
}

impl Disk for SimulatedDisk {
    type File = SimulatedFile;

    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let platter = lock(&self.0);
        let size = |inode: &usize| platter.files.get(*inode).map_or(0, |file| file.seen.len() as u64);
        Ok(platter.names.iter().map(|(name, inode)| (name.clone(), size(inode))).collect())
    }

    fn create(&self, name: &str, size_octets: u64) -> io::Result<SimulatedFile> {
        let mut platter = lock(&self.0);
        platter.call()?;
        if platter.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if platter.full {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let zeros = vec![0; usize::try_from(size_octets).unwrap_or(0)];
        let inode = platter.files.len();
        platter.files.push(Content { seen: zeros.clone(), durable: zeros });
        platter.name(Change::Create { name: name.to_owned(), inode });
        Ok(SimulatedFile { platter: Arc::clone(&self.0), inode })
    }

    fn open(&self, name: &str) -> io::Result<SimulatedFile> {
        let inode = lock(&self.0).inode(name)?;
        Ok(SimulatedFile { platter: Arc::clone(&self.0), inode })
    }

    fn rename(&self, old: &str, new: &str) -> io::Result<()> {
        let mut platter = lock(&self.0);
        platter.call()?;
        platter.inode(old)?;
        platter.name(Change::Rename { old: old.to_owned(), new: new.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut platter = lock(&self.0);
        platter.call()?;
        platter.inode(name)?;
        platter.name(Change::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut platter = lock(&self.0);
        platter.call()?;
        if !platter.syncs_ignored {
            platter.durable_names = platter.names.clone();
            platter.unsynced.retain(|change| matches!(change, Change::Write { .. }));
        }
        Ok(())
    }

    fn free(&self) -> io::Result<FreeSpace> {
        let free = lock(&self.0).free;
        Ok(free.unwrap_or(FreeSpace { octets: u64::MAX, inodes: u64::MAX }))
    }
}

impl DiskFile for SimulatedFile {
    fn read_at(&self, octets: &mut [u8], offset: u64) -> io::Result<usize> {
        let platter = lock(&self.platter);
        let file = platter.files.get(self.inode).ok_or(io::ErrorKind::NotFound)?;
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let stored = file.seen.get(start..).unwrap_or_default();
        let count = stored.len().min(octets.len());
        for (octet, stored) in octets.iter_mut().zip(stored) {
            *octet = *stored;
        }
        Ok(count)
    }

    fn write_at(&self, octets: &[u8], offset: u64) -> io::Result<()> {
        let mut platter = lock(&self.platter);
        platter.call()?;
        let inode = self.inode;
        let mut offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if let Some(file) = platter.files.get_mut(inode) {
            put(&mut file.seen, offset, octets);
        }
        let mut rest = octets;
        for part in 1..=WRITE_PARTS_MAX {
            let to_edge = platter.sector_octets - offset % platter.sector_octets;
            let length = if part == WRITE_PARTS_MAX { rest.len() } else { to_edge.min(rest.len()) };
            let (head, tail) = rest.split_at(length);
            if !head.is_empty() {
                platter.unsynced.push(Change::Write { inode, offset, octets: head.to_vec() });
            }
            offset += length;
            rest = tail;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut platter = lock(&self.platter);
        platter.call()?;
        if platter.syncs_ignored {
            return Ok(());
        }
        let ours = self.inode;
        if let Some(file) = platter.files.get_mut(ours) {
            file.durable = file.seen.clone();
        }
        platter.unsynced.retain(|change| !matches!(change, Change::Write { inode, .. } if *inode == ours));
        Ok(())
    }
}

/// Carries out a change of names; one that builds on a name that was lost does nothing.
fn rename(names: &mut Names, change: &Change) {
    match change {
        Change::Create { name, inode } => {
            names.insert(name.clone(), *inode);
        }
        Change::Rename { old, new } => {
            if let Some(inode) = names.remove(old) {
                names.insert(new.clone(), inode);
            }
        }
        Change::Remove { name } => {
            names.remove(name);
        }
        Change::Write { .. } => {}
    }
}

fn put(file: &mut Vec<u8>, offset: usize, octets: &[u8]) {
    let end = offset.saturating_add(octets.len());
    if file.len() < end {
        file.resize(end, 0);
    }
    for (stored, octet) in file.iter_mut().skip(offset).zip(octets) {
        *stored = *octet;
    }
}
