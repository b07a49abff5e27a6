//! The other end of the control socket: it asks a running server.

use std::io::{self, BufReader, Read, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::answer::{Answer, Done, Failure};
use super::request::Request;
use super::wire::{read_answer, read_greeting, write_line};
use super::{VERSION, socket, socket_path};

/// Longest wait for the greeting (ours: it comes at once, unless the machine is overloaded).
const GREETING_TIMEOUT: Duration = Duration::from_secs(30);

/// Octets of mail data that are sent at a time (ours).
const CHUNK_OCTETS: usize = 256 * 1024;

/// A connection to a running server.
#[derive(Debug)]
pub struct Client {
    input: BufReader<UnixStream>,
}

/// Why a running server can't be asked, or did not answer to the end.
#[derive(Debug)]
pub struct Unreachable(String);

impl std::fmt::Display for Unreachable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Unreachable {
    /// With this sentence.
    #[must_use]
    pub fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

/// How a request that was asked ended early.
#[derive(Debug)]
pub(super) enum Broken {
    /// The connection.
    Lost(Unreachable),
    /// Whoever was given the answers.
    Taker(anyhow::Error),
}

impl Client {
    /// Connects to the server of a state directory; `None` when none listens there.
    ///
    /// # Errors
    /// [`Unreachable`]: one may listen, but can't be asked.
    pub fn connect(state: &Path) -> Result<Option<Self>, Unreachable> {
        let path = socket_path(state);
        if socket::check_length(&path).is_err() {
            // No server could listen there.
            return Ok(None);
        }
        let stream = match UnixStream::connect(&path) {
            Ok(stream) => stream,
            Err(error) => {
                return match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                    io::ErrorKind::PermissionDenied => Err(Unreachable(format!(
                        "{} is for root and the server's user alone: ask as one of them",
                        path.display()
                    ))),
                    _ => Err(Unreachable(format!("cannot ask at {}: {error}", path.display()))),
                };
            }
        };
        let failed = |error: io::Error| {
            Unreachable(format!("{} does not answer as a server does: {error}", path.display()))
        };
        stream.set_read_timeout(Some(GREETING_TIMEOUT)).map_err(failed)?;
        let mut input = BufReader::new(stream);
        let greeting = read_greeting(&mut input).map_err(failed)?;
        if greeting.control != VERSION {
            return Err(Unreachable(format!(
                "the server is {} and speaks version {} of the control requests, this program {VERSION}: restart the server",
                greeting.product, greeting.control
            )));
        }
        // A long search says nothing for long.
        input.get_ref().set_read_timeout(None).map_err(failed)?;
        Ok(Some(Self { input }))
    }

    /// Asks, hands each answer but the last to `take`, and gives that one. `body` is the mail data of an import.
    ///
    /// # Errors
    /// [`Unreachable`] when the answers end early, and what `take` says. The connection is of no use then.
    pub fn ask(
        &mut self,
        request: &Request,
        body: Option<&mut dyn Read>,
        take: &mut dyn FnMut(Answer) -> anyhow::Result<()>,
    ) -> anyhow::Result<Result<Done, Failure>> {
        self.converse(request, body, take).map_err(|broken| match broken {
            Broken::Lost(unreachable) => unreachable.into(),
            Broken::Taker(error) => error,
        })
    }

    fn converse(
        &mut self,
        request: &Request,
        body: Option<&mut dyn Read>,
        take: &mut dyn FnMut(Answer) -> anyhow::Result<()>,
    ) -> Result<Result<Done, Failure>, Broken> {
        let lost = |error: io::Error| {
            Broken::Lost(Unreachable(format!("the server has ended the connection: {error}")))
        };
        // Who is refused is told so without having been heard: what can't be sent may have an answer all the same.
        let sent = self.send(request, body);
        loop {
            let answer = match (read_answer(&mut self.input), &sent) {
                (Ok(answer), _) => answer,
                (Err(_), Err(error)) => return Err(lost(io::Error::new(error.kind(), error.to_string()))),
                (Err(error), Ok(())) => return Err(lost(error)),
            };
            match answer {
                Answer::Done(done) => return Ok(Ok(done)),
                Answer::Failed(failure) => return Ok(Err(failure)),
                answer => take(answer).map_err(Broken::Taker)?,
            }
        }
    }

    fn send(&self, request: &Request, body: Option<&mut dyn Read>) -> io::Result<()> {
        let mut line = Vec::new();
        write_line(&mut line, request)?;
        let mut out = self.input.get_ref();
        out.write_all(&line)?;
        let Some(body) = body else { return Ok(()) };
        let mut chunk = vec![0; CHUNK_OCTETS];
        loop {
            let read = body.read(&mut chunk)?;
            if read == 0 {
                return Ok(());
            }
            out.write_all(chunk.get(..read).unwrap_or_default())?;
        }
    }
}
