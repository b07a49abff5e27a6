//! The files of the store: which there are, and which must go.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::day::Day;

/// The ending of a day's file.
const ENDING: &str = ".sqlite";

/// What SQLite keeps beside a file.
const BESIDE: [&str; 2] = ["-wal", "-shm"];

/// A day's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayFile {
    /// The day.
    pub day: Day,
    /// Where it is.
    pub path: PathBuf,
    /// Its octets on disk, with what SQLite keeps beside it.
    pub octets: u64,
}

pub(super) fn path(folder: &Path, day: Day) -> PathBuf {
    folder.join(format!("{day}{ENDING}"))
}

fn beside(path: &Path) -> impl Iterator<Item = PathBuf> {
    BESIDE.into_iter().map(|ending| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        PathBuf::from(name)
    })
}

/// The files of the store, the oldest first; none when there is no store.
///
/// # Errors
/// When the folder can't be read.
pub fn list(folder: &Path) -> io::Result<Vec<DayFile>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let Some(day) = name.and_then(|name| name.strip_suffix(ENDING)).and_then(Day::parse) else {
            continue;
        };
        let size = |path: &Path| fs::metadata(path).map_or(0, |metadata| metadata.len());
        let octets = size(&path) + beside(&path).map(|path| size(&path)).sum::<u64>();
        files.push(DayFile { day, path, octets });
    }
    files.sort_by_key(|file| file.day);
    Ok(files)
}

/// The files, given from the oldest, that must go: those of days before `oldest`, and then as many as make the rest fit
/// into `octets_max`. Today's never does.
pub(super) fn surplus(files: &[DayFile], today: Day, oldest: Day, octets_max: u64) -> Vec<&DayFile> {
    let mut octets: u64 = files.iter().map(|file| file.octets).sum();
    let mut gone = Vec::new();
    for file in files.iter().filter(|file| file.day < today) {
        if file.day < oldest || octets > octets_max {
            octets -= file.octets;
            gone.push(file);
        }
    }
    gone
}

/// Deletes a file and what is beside it.
pub(super) fn delete(file: &DayFile) -> io::Result<()> {
    fs::remove_file(&file.path)?;
    for path in beside(&file.path) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    #[test]
    fn what_is_too_old_goes_and_then_what_is_too_much() {
        let files: Vec<DayFile> = ["2026-11-20", "2026-11-21", "2026-11-22", "2026-11-23"]
            .map(|text| DayFile { day: day(text), path: PathBuf::from(text), octets: 10 })
            .to_vec();
        let gone = |oldest: &str, octets_max| -> Vec<String> {
            let gone = surplus(&files, day("2026-11-23"), day(oldest), octets_max);
            gone.into_iter().map(|file| file.day.to_string()).collect()
        };
        assert_eq!(gone("2026-11-01", 40), [""; 0]);
        assert_eq!(gone("2026-11-21", 40), ["2026-11-20"]);
        assert_eq!(gone("2026-11-01", 29), ["2026-11-20", "2026-11-21"]);
        assert_eq!(gone("2026-11-30", 0), ["2026-11-20", "2026-11-21", "2026-11-22"]);
    }

    #[test]
    fn only_files_of_days_are_listed_and_deleted_with_what_is_beside() {
        let folder = tempfile::tempdir().unwrap();
        for name in
            ["2026-11-22.sqlite", "2026-11-21.sqlite", "2026-11-21.sqlite-wal", "ids", "2026-11-99.sqlite"]
        {
            fs::write(folder.path().join(name), "12345").unwrap();
        }
        let files = list(folder.path()).unwrap();
        let seen: Vec<(String, u64)> = files.iter().map(|file| (file.day.to_string(), file.octets)).collect();
        assert_eq!(seen, [("2026-11-21".into(), 10), ("2026-11-22".into(), 5)]);
        delete(&files[0]).unwrap();
        assert_eq!(list(folder.path()).unwrap().len(), 1);
        assert!(!folder.path().join("2026-11-21.sqlite-wal").exists());
        assert_eq!(list(&folder.path().join("none")).unwrap(), []);
    }
}
