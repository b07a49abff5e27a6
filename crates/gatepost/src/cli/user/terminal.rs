//! A line that is typed without being seen.

use std::io::{self, BufRead as _, Read as _, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::LINE_OCTETS_MAX;

/// Shows again what is typed, once it is dropped.
struct Shown(Termios);

impl Drop for Shown {
    fn drop(&mut self) {
        // There is nobody to tell of a terminal that has gone.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// Asks on the terminal, and gives the line that is typed.
///
/// # Errors
/// When standard input is no terminal, or has ended.
pub(super) fn ask_unseen(prompt: &str) -> io::Result<Vec<u8>> {
    let before = tcgetattr(io::stdin())?;
    let mut unseen = before.clone();
    unseen.local_modes.remove(LocalModes::ECHO);
    unseen.local_modes.insert(LocalModes::ECHONL);
    let shown = Shown(before);
    tcsetattr(io::stdin(), OptionalActions::Flush, &unseen)?;
    let mut stderr = io::stderr();
    write!(stderr, "{prompt}")?;
    stderr.flush()?;
    let mut line = Vec::new();
    let read = io::stdin().lock().take(LINE_OCTETS_MAX).read_until(b'\n', &mut line)?;
    drop(shown);
    if read == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(line) }
}
