//! Tables behind a socketmap, as Postfix and Sendmail ask it: a netstring `map key`, and a netstring with the answer.
//!
//! Invariants: only OK is an entry and only NOTFOUND absence; a connection that was used half is never used again; an
//! answer has a limit.

use std::sync::{Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::Semaphore;

use super::settings::{Limits, SocketmapAddress};
use super::values::Values;

/// Largest answer, in octets (Postfix's limit, socketmap_table(5)).
const ANSWER_OCTETS_MAX: usize = 100_000;

/// A map of another program.
#[derive(Debug)]
pub(super) struct Socketmap {
    address: SocketmapAddress,
    map: String,
    places: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

#[derive(Debug)]
enum Connection {
    Unix(BufReader<UnixStream>),
    Inet(BufReader<TcpStream>),
}

/// Why a question has no answer.
#[derive(Debug, PartialEq, Eq)]
enum AskError {
    /// The connection ended before an answer began.
    Ended(String),
    /// The answer is none, or none that can be used.
    Refused(String),
}

impl Socketmap {
    pub(super) fn new(address: SocketmapAddress, map: String, limits: Limits) -> Self {
        let places = Semaphore::new(usize::try_from(limits.connections).unwrap_or(1));
        Self { address, map, places, idle: Mutex::default() }
    }

    /// The value of the map for `key`.
    pub(super) async fn look_up(&self, key: &str) -> Result<Option<Values>, String> {
        let _place = self.places.acquire().await.map_err(|_| "it is closed")?;
        // The lock ends before the wait begins.
        let known = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = known {
            match self.ask_on(connection, key).await {
                Ok(found) => return Ok(found),
                Err(AskError::Refused(why)) => return Err(why),
                // One that was idle may have been closed by the server long ago.
                Err(AskError::Ended(_)) => {}
            }
        }
        let connection = self.connect().await.map_err(|error| format!("{}: {error}", self.address))?;
        match self.ask_on(connection, key).await {
            Ok(found) => Ok(found),
            Err(AskError::Refused(why) | AskError::Ended(why)) => Err(why),
        }
    }

    async fn connect(&self) -> std::io::Result<Connection> {
        Ok(match &self.address {
            SocketmapAddress::Unix(path) => {
                Connection::Unix(BufReader::new(UnixStream::connect(path).await?))
            }
            SocketmapAddress::Inet(host, port) => {
                Connection::Inet(BufReader::new(TcpStream::connect((host.as_str(), *port)).await?))
            }
        })
    }

    /// Asks, and keeps the connection for the next one when the answer was whole.
    async fn ask_on(&self, mut connection: Connection, key: &str) -> Result<Option<Values>, AskError> {
        let answer = match &mut connection {
            Connection::Unix(stream) => ask(stream, &self.map, key).await,
            Connection::Inet(stream) => ask(stream, &self.map, key).await,
        }?;
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        understood(&answer).map_err(AskError::Refused)
    }
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut BufReader<S>,
    map: &str,
    key: &str,
) -> Result<Vec<u8>, AskError> {
    let ended = |error: std::io::Error| AskError::Ended(error.to_string());
    let refused = |why: &str| AskError::Refused(why.to_owned());
    let question = format!("{}:{map} {key},", map.len() + 1 + key.len());
    stream.write_all(question.as_bytes()).await.map_err(ended)?;
    stream.flush().await.map_err(ended)?;
    let mut length = 0_usize;
    let mut digits = 0;
    loop {
        match stream.read_u8().await.map_err(ended)? {
            b':' if digits > 0 => break,
            digit @ b'0'..=b'9' if length <= ANSWER_OCTETS_MAX => {
                length = length * 10 + usize::from(digit - b'0');
                digits += 1;
            }
            _ => return Err(refused("the answer is no netstring")),
        }
    }
    if length > ANSWER_OCTETS_MAX {
        return Err(refused("the answer is too large"));
    }
    let mut answer = vec![0; length];
    let cut = |error: std::io::Error| AskError::Refused(format!("the answer was cut off: {error}"));
    stream.read_exact(&mut answer).await.map_err(cut)?;
    if stream.read_u8().await.map_err(cut)? != b',' {
        return Err(refused("the answer is no netstring"));
    }
    Ok(answer)
}

/// What an answer says: `OK value`, `NOTFOUND`, or `TEMP`, `TIMEOUT` or `PERM` with a reason.
fn understood(answer: &[u8]) -> Result<Option<Values>, String> {
    let Ok(answer) = str::from_utf8(answer) else { return Err("the answer is not in UTF-8".into()) };
    let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
    match word {
        "OK" => Ok(Some(Values::one(rest))),
        "NOTFOUND" => Ok(None),
        // PERM is a fault of the table, too: it doesn't say that there is no entry.
        "TEMP" | "TIMEOUT" | "PERM" => Err(format!("the server says {word}: {rest}")),
        _ => Err("the answer is none that a socketmap gives".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ok_is_an_entry_and_only_notfound_absence() {
        assert_eq!(understood(b"OK a@x, b@y"), Ok(Some(Values::one("a@x, b@y"))));
        assert_eq!(understood(b"OK "), Ok(Some(Values::one(""))));
        assert_eq!(understood(b"NOTFOUND "), Ok(None));
        assert_eq!(understood(b"NOTFOUND"), Ok(None));
        for failure in ["TEMP down", "TIMEOUT slow", "PERM no such map", "", "ok a", "NOTFOUNDx", "OKa"] {
            assert!(understood(failure.as_bytes()).is_err(), "{failure}");
        }
        assert!(understood(b"OK \xff").is_err());
    }

    /// What is made of the octets that a server sends.
    fn said(answer: &[u8]) -> Result<Vec<u8>, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (near, mut far) = tokio::io::duplex(256 * 1024);
            far.write_all(answer).await.unwrap();
            far.shutdown().await.unwrap();
            let asked = ask(&mut BufReader::new(near), "map", "a@x").await;
            let mut question = vec![0; 10];
            far.read_exact(&mut question).await.unwrap();
            assert_eq!(question, b"7:map a@x,");
            asked
        })
    }

    #[test]
    fn answers_are_netstrings_of_a_limited_length() {
        assert_eq!(said(b"4:OK x,"), Ok(b"OK x".to_vec()));
        assert!(matches!(said(b""), Err(AskError::Ended(_))));
        let long = format!("100001:{},", "x".repeat(100_001));
        let malformed =
            ["4:OK x", "4:OK x;", ":OK x,", "x", "99999999999999999999:", "-1:,", "5:OK x,", long.as_str()];
        for answer in malformed {
            assert!(matches!(said(answer.as_bytes()), Err(AskError::Refused(_))), "{answer}");
        }
        let longest = format!("100000:OK {},", "x".repeat(99_997));
        assert_eq!(said(longest.as_bytes()).unwrap().len(), 100_000);
    }
}
