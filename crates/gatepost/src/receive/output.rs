//! Replies on their way to the client: gathered, and written in one go.

use std::io;

use tokio::net::TcpStream;

/// Replies that wait to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    octets: Vec<u8>,
}

impl Output {
    /// The buffer to write replies into.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// Writes everything, waiting where the client is slow, and gives the memory back.
    ///
    /// # Errors
    /// When the connection is gone.
    pub(super) async fn flush(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut written = 0;
        while let Some(rest) = self.octets.get(written..).filter(|rest| !rest.is_empty()) {
            match stream.try_write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(octets) => written += octets,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stream.writable().await?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.octets = Vec::new();
        Ok(())
    }
}
