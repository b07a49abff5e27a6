//! The log: lines gathered in memory and written together, so that a line costs no system call of its own.
//!
//! Invariants: a line waits at most [`FLUSH_EVERY`]; warnings and errors do not wait; memory is bounded by
//! [`GATHERED_OCTETS_MAX`] and a line. A terminal gets colours, and then the library makes the lines.

mod line;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use self::line::LogLine;

/// Longest wait of a line.
const FLUSH_EVERY: Duration = Duration::from_millis(100);

/// Octets gathered before they are written without waiting (ours).
const GATHERED_OCTETS_MAX: usize = 64 * 1024;

static GATHERED: Mutex<Vec<u8>> = Mutex::new(Vec::new());

fn gathered() -> MutexGuard<'static, Vec<u8>> {
    GATHERED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Logs to standard error at `level`; `GATEPOST_LOG` overrides it, by target if wanted.
///
/// # Errors
/// When the thread that writes the lines can't be started.
pub fn start(level: &str) -> io::Result<()> {
    let filter = EnvFilter::try_from_env("GATEPOST_LOG").unwrap_or_else(|_| EnvFilter::new(level));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Lines);
    if io::stderr().is_terminal() {
        lines.init();
    } else {
        lines.with_ansi(false).event_format(LogLine).init();
    }
    std::thread::Builder::new().name("log".into()).spawn(|| {
        loop {
            std::thread::sleep(FLUSH_EVERY);
            flush();
        }
    })?;
    Ok(())
}

/// Writes what was gathered.
pub fn flush() {
    write_out(&mut gathered());
}

fn write_out(lines: &mut Vec<u8>) {
    if !lines.is_empty() {
        // A standard error that is gone leaves nowhere to say so.
        let _ = io::stderr().write_all(lines);
        lines.clear();
    }
}

/// Makes the writers of lines.
struct Lines;

/// The writer of one line.
struct Line {
    urgent: bool,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { urgent: false }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line {
        Line { urgent: *metadata.level() <= Level::WARN }
    }
}

impl io::Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut lines = gathered();
        lines.extend_from_slice(octets);
        if self.urgent || lines.len() >= GATHERED_OCTETS_MAX {
            write_out(&mut lines);
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        flush();
        Ok(())
    }
}
