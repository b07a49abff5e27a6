//! The server that the contestants relay to: takes all mail, keeps none, and counts it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::{Context as _, Result};

/// Octets read at once.
const READ_OCTETS: usize = 64 * 1024;

/// A server in threads of this process, which end with it.
#[derive(Debug, Clone)]
pub(super) struct NextServer {
    address: SocketAddr,
    messages: Arc<AtomicU64>,
}

impl NextServer {
    /// Starts one.
    ///
    /// # Errors
    /// When no port can be had.
    pub(super) fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("can't listen")?;
        let address = listener.local_addr().context("can't tell a port")?;
        let messages = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&messages);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let counter = Arc::clone(&counter);
                // A client that goes away is counted for what it has sent.
                thread::spawn(move || drop(serve(stream, &counter)));
            }
        });
        Ok(Self { address, messages })
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Messages that it has taken so far.
    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }
}

fn serve(mut stream: TcpStream, messages: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::with_capacity(READ_OCTETS, stream.try_clone()?);
    let mut replies = b"220 next.bench.example\r\n".to_vec();
    let (mut line, mut in_data) = (Vec::new(), false);
    loop {
        // What was asked in one group is answered in one write (RFC 2920 §3.2).
        if reader.buffer().is_empty() && !replies.is_empty() {
            stream.write_all(&replies)?;
            replies.clear();
        }
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if in_data {
            if line == b".\r\n" {
                in_data = false;
                messages.fetch_add(1, Ordering::Relaxed);
                replies.extend(b"250 2.0.0 taken\r\n");
            }
            continue;
        }
        match line.get(..4).unwrap_or_default() {
            b"EHLO" => replies.extend(b"250-next.bench.example\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
            b"DATA" => {
                in_data = true;
                replies.extend(b"354 go on\r\n");
            }
            b"QUIT" => return stream.write_all(b"221 2.0.0 bye\r\n"),
            _ => replies.extend(b"250 2.0.0 go on\r\n"),
        }
    }
}
