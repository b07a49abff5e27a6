//! The octets of a message as they were given: in memory, or past 1 MiB in a file without a name.

use std::fs::File;
use std::io::{self, BufRead, Read, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Octets that are kept in memory (ours).
const MEMORY_OCTETS_MAX: usize = 1024 * 1024;

/// Longest message that is read (ours: no server takes a larger one).
pub const OCTETS_MAX: u64 = 2_000_000_000;

/// A message's octets, to be read as often as they are needed.
#[derive(Debug)]
pub enum Content {
    /// All of them.
    Memory(Vec<u8>),
    /// Those of a file from `start` to `end`, whatever it grows to.
    File {
        /// The file.
        file: File,
        /// Octets of something else in front.
        start: u64,
        /// Where it ends.
        end: u64,
    },
}

impl Content {
    /// Reads a message to its end: to a line with a dot alone, if `dot_ends`, or else to the end of the input. The lines
    /// are kept as they are.
    ///
    /// # Errors
    /// When the input can't be read, a file can't be written, or there is no end.
    pub fn read(mut input: impl BufRead, dot_ends: bool, folder: &Path) -> io::Result<Self> {
        let mut memory = Vec::new();
        let mut spilled: Option<File> = None;
        let mut octets = 0_u64;
        let mut is_at_line_start = true;
        loop {
            let start = memory.len();
            let read = input.by_ref().take(MEMORY_OCTETS_MAX as u64).read_until(b'\n', &mut memory)?;
            let line = memory.get(start..).unwrap_or_default();
            if dot_ends && is_at_line_start && matches!(line, b".\n" | b".\r\n" | b".") {
                memory.truncate(start);
                break;
            }
            if read == 0 {
                break;
            }
            is_at_line_start = line.ends_with(b"\n");
            octets += read as u64;
            if octets > OCTETS_MAX {
                return Err(io::ErrorKind::FileTooLarge.into());
            }
            if memory.len() > MEMORY_OCTETS_MAX {
                let file = match &mut spilled {
                    Some(file) => file,
                    None => spilled.insert(nameless(folder)?),
                };
                file.write_all(&memory)?;
                memory.clear();
            }
        }
        match spilled {
            None => Ok(Self::Memory(memory)),
            Some(mut file) => {
                file.write_all(&memory)?;
                Ok(Self::File { file, start: 0, end: octets })
            }
        }
    }

    /// A reader from the start on; it is independent of all others.
    pub fn reader(&self) -> Reader<'_> {
        match self {
            Self::Memory(octets) => Reader::Memory(octets),
            Self::File { file, start, end } => Reader::File { file, at: *start, end: *end },
        }
    }
}

/// Reads a content.
#[derive(Debug)]
pub enum Reader<'a> {
    /// What is left.
    Memory(&'a [u8]),
    /// What is left behind `at`.
    File {
        /// The file.
        file: &'a File,
        /// Octets that are read already.
        at: u64,
        /// Where it ends.
        end: u64,
    },
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Memory(octets) => octets.read(buffer),
            Self::File { file, at, end } => {
                let left = usize::try_from(end.saturating_sub(*at)).unwrap_or(usize::MAX);
                let room = buffer.len().min(left);
                let read = file.read_at(buffer.get_mut(..room).unwrap_or_default(), *at)?;
                *at += read as u64;
                Ok(read)
            }
        }
    }
}

/// A file that nobody else can open.
fn nameless(folder: &Path) -> io::Result<File> {
    let mode = Mode::RUSR | Mode::WUSR;
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    if let Ok(file) = rustix::fs::open(folder, flags | OFlags::TMPFILE, mode) {
        return Ok(file.into());
    }
    // Not every file system has such files.
    let random = getrandom::u64().map_err(|_| io::Error::other("the system has no random numbers"))?;
    let path = folder.join(format!("gatepost.{random:016x}"));
    let file = rustix::fs::open(&path, flags | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW, mode)?;
    std::fs::remove_file(&path)?;
    Ok(file.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(input: &[u8], dot_ends: bool) -> Vec<u8> {
        let content = Content::read(input, dot_ends, &std::env::temp_dir()).unwrap();
        let mut octets = Vec::new();
        content.reader().read_to_end(&mut octets).unwrap();
        let mut again = Vec::new();
        content.reader().read_to_end(&mut again).unwrap();
        assert_eq!(octets, again, "it is read as often as wanted");
        octets
    }

    #[test]
    fn a_lone_dot_ends_the_input_where_it_may() {
        assert_eq!(read(b"a\n.\nb\n", true), b"a\n");
        assert_eq!(read(b"a\r\n.\r\nb\n", true), b"a\r\n");
        assert_eq!(read(b"a\n.", true), b"a\n");
        assert_eq!(read(b"a\n..\nb.\n.b\n", true), b"a\n..\nb.\n.b\n");
        assert_eq!(read(b"a\n.\nb", false), b"a\n.\nb");
    }

    #[test]
    fn a_long_message_is_the_same_from_a_file() {
        let mut message = b"line\n.\n".repeat(400_000);
        message.extend_from_slice(&vec![b'x'; 3 * MEMORY_OCTETS_MAX]);
        message.extend_from_slice(b"\n.\n");
        assert!(read(&message, false) == message);
    }

    #[test]
    fn a_dot_at_a_cut_of_a_long_line_ends_nothing() {
        let mut message = vec![b'x'; MEMORY_OCTETS_MAX];
        message.extend_from_slice(b".\ny\n");
        assert!(read(&message, true) == message);
    }
}
