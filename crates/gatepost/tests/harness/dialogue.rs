//! A client by hand: octets out, replies in, each checked to be well formed (RFC 5321 §4.2).

use std::fmt;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::PATIENCE;

/// A reply as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its lines, without CRLF.
    pub(crate) lines: Vec<String>,
}

impl Reply {
    /// Whether every line bears `code`: `250`, or with the enhanced code `250 2.1.5`.
    pub(crate) fn is(&self, code: &str) -> bool {
        self.lines.iter().all(|line| {
            let line = line.replacen('-', " ", 1);
            line == code || line.starts_with(&format!("{code} "))
        })
    }

    /// The whole reply holds `words`.
    pub(crate) fn says(&self, words: &str) -> bool {
        self.to_string().contains(words)
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.lines.join("\n"))
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(crate) struct Dialogue {
    reader: BufReader<TcpStream>,
}

impl Dialogue {
    /// Connects from the loopback address `source`; the greeting is still to be read.
    pub(crate) fn connect(server: SocketAddr, source: Ipv4Addr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
        socket.connect_timeout(&server.into(), PATIENCE).unwrap();
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { reader: BufReader::new(stream) }
    }

    /// The next reply; `None` when the server closed the connection instead.
    pub(crate) fn reply_or_close(&mut self) -> Option<Reply> {
        let mut lines: Vec<String> = Vec::new();
        loop {
            let mut line = Vec::new();
            let read = self.reader.read_until(b'\n', &mut line);
            match read.unwrap_or_else(|error| panic!("no reply came: {error}; so far {lines:?}")) {
                0 if lines.is_empty() => return None,
                _ => {}
            }
            let shown = String::from_utf8_lossy(&line).into_owned();
            assert!(line.ends_with(b"\r\n"), "a reply's line ends with CRLF: {shown:?} after {lines:?}");
            assert!(line.len() <= 512, "a reply's line has at most 512 octets: {shown:?}");
            assert!(
                line[..line.len() - 2].iter().all(|octet| matches!(octet, b'\t' | b' '..=b'~')),
                "a reply is printable ASCII: {shown:?}"
            );
            let text = shown.trim_end_matches("\r\n").to_owned();
            if let Some(first) = lines.first() {
                assert_eq!(first.get(..3), text.get(..3), "every line of a reply bears the same code");
            }
            let continues = text.as_bytes().get(3) == Some(&b'-');
            lines.push(text);
            if !continues {
                return Some(Reply { lines });
            }
        }
    }

    /// The next reply.
    pub(crate) fn reply(&mut self) -> Reply {
        self.reply_or_close().expect("the server closed the connection instead of replying")
    }

    /// Whether the server has sent something that was not read yet.
    pub(crate) fn has_input(&self) -> bool {
        let stream = self.reader.get_ref();
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        !self.reader.buffer().is_empty() || peeked.is_ok()
    }

    /// Sends octets as they are.
    pub(crate) fn send(&mut self, octets: &[u8]) {
        self.reader.get_mut().write_all(octets).unwrap();
    }

    /// Sends `command` and reads its reply.
    pub(crate) fn ask(&mut self, command: &str) -> Reply {
        self.send(command.as_bytes());
        self.send(b"\r\n");
        self.reply()
    }

    /// Reads a reply, which must bear `code`.
    pub(crate) fn expect(&mut self, code: &str) -> Reply {
        let reply = self.reply();
        assert!(reply.is(code), "expected {code}, got: {reply}");
        reply
    }

    /// Sends `command`; its reply must bear `code`.
    pub(crate) fn ask_for(&mut self, command: &str, code: &str) -> Reply {
        let reply = self.ask(command);
        assert!(reply.is(code), "expected {code} to {command:?}, got: {reply}");
        reply
    }

    /// Sends mail data that stand as given, with their end; the reply must bear `code`.
    pub(crate) fn data(&mut self, data: &[u8], code: &str) -> Reply {
        self.ask_for("DATA", "354");
        self.send(data);
        self.send(b".\r\n");
        self.expect(code)
    }

    /// Reads the greeting and says EHLO.
    pub(crate) fn greeted(mut self) -> Self {
        self.expect("220");
        self.ask_for("EHLO client.example", "250");
        self
    }

    /// Opens a transaction with these recipients.
    pub(crate) fn transaction(&mut self, recipients: &[&str]) {
        self.ask_for("MAIL FROM:<sender@client.example>", "250 2.1.0");
        for recipient in recipients {
            self.ask_for(&format!("RCPT TO:<{recipient}>"), "250 2.1.5");
        }
    }

    /// Sends a whole message, which must be accepted.
    pub(crate) fn deliver(&mut self, recipient: &str, data: &[u8]) {
        self.transaction(&[recipient]);
        self.data(data, "250 2.6.0");
    }

    /// The next reply is the last one: 421 with the server's name in front (RFC 5321 §4.2.3), then the close.
    pub(crate) fn expect_last(&mut self, code: &str, hostname: &str) -> Reply {
        let reply = self.expect(code);
        let text = reply.lines[0].trim_start_matches(|c: char| c.is_ascii_digit() || " .-".contains(c));
        assert!(text.starts_with(hostname), "a 421 begins with the server's name: {reply}");
        self.expect_close();
        reply
    }

    /// The server must close without another reply.
    pub(crate) fn expect_close(&mut self) {
        let mut rest = Vec::new();
        // A reset is a close, too; a time-out is none.
        if let Err(error) = self.reader.read_to_end(&mut rest) {
            assert_eq!(
                error.kind(),
                std::io::ErrorKind::ConnectionReset,
                "the connection stays open: {error}"
            );
        }
        assert!(rest.is_empty(), "a close was due, got: {}", String::from_utf8_lossy(&rest));
    }
}
