//! The plainest SMTP client: one command, one reply, blocking; for probes and for load that is not measured.

use std::error::Error;
use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, Protocol, Socket, Type};

/// Longest wait for a reply: a server that is slower than this on loopback hangs.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// A reply with another code than the one that was due.
#[derive(Debug)]
pub(crate) struct Unexpected {
    due: u16,
    line: String,
}

impl fmt::Display for Unexpected {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} was due, but the server said: {}", self.due, self.line)
    }
}

impl Error for Unexpected {}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Dialogue {
    stream: BufReader<TcpStream>,
}

impl Dialogue {
    /// Connects from `source` and reads the greeting.
    ///
    /// # Errors
    /// When the connection fails or the greeting isn't 220.
    pub(crate) fn open(server: SocketAddr, source: Ipv4Addr) -> Result<Self> {
        let socket = socket_from(source)?;
        socket.connect_timeout(&server.into(), REPLY_TIMEOUT).context("can't connect")?;
        let stream: TcpStream = socket.into();
        stream.set_read_timeout(Some(REPLY_TIMEOUT)).context("can't set a time-out")?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT)).context("can't set a time-out")?;
        // The replies of a command-by-command dialogue fit a small buffer, and thousands may be open at once.
        let mut dialogue = Self { stream: BufReader::with_capacity(512, stream) };
        dialogue.expect(220)?;
        Ok(dialogue)
    }

    /// Sends `octets` and reads one reply, which must have `code`.
    ///
    /// # Errors
    /// When the connection fails or the reply has another code.
    pub(crate) fn ask(&mut self, octets: &[u8], code: u16) -> Result<()> {
        self.stream.get_mut().write_all(octets).context("can't send")?;
        self.expect(code)
    }

    fn expect(&mut self, code: u16) -> Result<()> {
        let mut line = String::new();
        loop {
            line.clear();
            if self.stream.read_line(&mut line).context("can't read a reply")? == 0 {
                bail!("the connection was closed where {code} was due");
            }
            if line.get(..3) != Some(code.to_string().as_str()) {
                return Err(Unexpected { due: code, line: line.trim_end().to_owned() }.into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}

/// A TCP socket bound to `source`.
///
/// # Errors
/// When the system has no socket or no port left.
pub(crate) fn socket_from(source: Ipv4Addr) -> Result<Socket> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).context("no socket")?;
    socket.bind(&SocketAddr::new(IpAddr::V4(source), 0).into()).context("can't bind to a source address")?;
    socket.set_tcp_nodelay(true).context("can't set TCP_NODELAY")?;
    Ok(socket)
}

/// A loopback address of its own for client `number`, so that no address runs out of ports.
pub(crate) const fn loopback_source(number: usize) -> Ipv4Addr {
    // 127.1.1.1 to 127.1.200.200: far from 127.0.0.1, never x.0 or x.255.
    let third = 1 + (number / 200) % 200;
    let fourth = 1 + number % 200;
    Ipv4Addr::new(127, 1, third as u8, fourth as u8)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn replies_of_several_lines_are_read_and_other_codes_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let peer = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(b"220 x\r\n").unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            lines.next();
            stream.write_all(b"250-one\r\n250 two\r\n").unwrap();
            lines.next();
            stream.write_all(b"451 4.3.0 no\r\n").unwrap();
        });
        let mut dialogue = Dialogue::open(server, loopback_source(0)).unwrap();
        dialogue.ask(b"EHLO x\r\n", 250).unwrap();
        let error = dialogue.ask(b"MAIL\r\n", 250).unwrap_err();
        assert!(error.is::<Unexpected>() && error.to_string().contains("451 4.3.0 no"), "{error}");
        peer.join().unwrap();
    }

    #[test]
    fn sources_are_loopback_and_differ() {
        let sources: BTreeSet<Ipv4Addr> = (0..40_000).map(loopback_source).collect();
        assert_eq!(sources.len(), 40_000);
        assert!(sources.iter().all(Ipv4Addr::is_loopback));
    }
}
