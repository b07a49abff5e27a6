//! Replies on their way to the client: gathered, and written in one go.

use std::io;

use tokio::net::TcpStream;

/// Octets that replies get at first, so that those to a group of commands find room (ours).
const ROOM_OCTETS: usize = 512;

/// Replies that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    octets: Vec<u8>,
    written: usize,
}

impl Output {
    /// Whether nothing waits.
    pub(super) const fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    /// The buffer to write replies into.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if self.octets.is_empty() {
            self.octets.reserve(ROOM_OCTETS);
        }
        &mut self.octets
    }

    /// Writes what the socket takes without waiting; true, and the memory given back, when that is everything.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) fn write(&mut self, stream: &TcpStream) -> io::Result<bool> {
        while let Some(rest) = self.octets.get(self.written..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => self.written += octets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        *self = Self::default();
        Ok(true)
    }

    /// Writes everything, waiting where the client is slow.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        while !self.write(stream)? {
            stream.writable().await?;
        }
        Ok(())
    }
}
