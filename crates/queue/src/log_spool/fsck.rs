//! Checking a spool that is not in use: every octet is read, nothing is changed.

use std::io;
use std::path::Path;

use super::large_body::Source;
use super::names::Name;
use super::payload::{BodyForm, RawMessage};
use super::record::{HEADER_OCTETS, read_record};
use super::recovery::{OpenError, Purpose, Recovered, Report, recover};
use super::scan::Damage;
use crate::body::ChunkSource;
use crate::disk::Disk;
use crate::kernel_disk::KernelDisk;
use crate::queue_id::QueueId;

/// Checks the spool in a directory.
///
/// # Errors
/// [`OpenError`]; of kind `ResourceBusy` when the spool is in use.
pub fn fsck(path: &Path) -> Result<Report, OpenError> {
    if !path.is_dir() {
        let why = format!("{} is not a directory", path.display());
        return Err(OpenError::Disk(io::Error::new(io::ErrorKind::NotADirectory, why)));
    }
    fsck_disk(&KernelDisk::open(path)?)
}

/// Checks the spool on a disk. `leftovers` counts what the next start will remove.
///
/// # Errors
/// [`OpenError`].
pub fn fsck_disk<D: Disk>(disk: &D) -> Result<Report, OpenError> {
    let recovered = recover(disk, Purpose::Check)?;
    let mut damaged = Vec::new();
    for id in recovered.index.ids() {
        if !reads(disk, &recovered, id)? {
            damaged.push(id);
        }
    }
    let mut report = recovered.report;
    for id in damaged {
        if report.damaged.iter().any(|damage| damage.id == Some(id) && damage.is_message) {
            continue;
        }
        report.damaged.push(Damage { segment: 0, offset: 0, octets: 0, id: Some(id), is_message: true });
    }
    Ok(report)
}

/// Whether the message's envelope parses and, where that was not checked yet, its body is whole.
fn reads<D: Disk>(disk: &D, recovered: &Recovered<D::File>, id: QueueId) -> Result<bool, OpenError> {
    let Some(place) = recovered.index.message_place(id) else { return Ok(false) };
    let Some(segment) = recovered.segments.get(&place.segment) else { return Ok(false) };
    let Some((_, octets)) = read_record(segment.file.as_ref(), place, segment.salt)? else {
        return Ok(false);
    };
    let raw = RawMessage::read(octets.get(HEADER_OCTETS..).unwrap_or_default());
    let Some(raw) = raw.filter(|raw| raw.parse().is_some()) else { return Ok(false) };
    let BodyForm::Large(size_octets) = raw.form else { return Ok(true) };
    let Ok(file) = disk.open(&Name::Large(id).to_string()) else { return Ok(false) };
    let source = Source { file, id, size_octets };
    let mut chunk = Vec::new();
    let mut number = 0;
    loop {
        if source.read_chunk(number, &mut chunk).is_err() {
            return Ok(false);
        }
        if chunk.is_empty() {
            return Ok(true);
        }
        number += 1;
    }
}
