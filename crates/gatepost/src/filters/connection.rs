//! A connection with another program, over TCP or a socket of this machine, and the few that are kept for the next one.
//!
//! Invariants: each wait has a limit; a connection that was used half is never used again; no more than
//! [`CONNECTIONS_MAX`] are open to a filter at a time.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use policy::source::FilterAddress;
use smtp::time::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::clock;

/// Most connections to a filter at a time (ours: as many as `limits.connections` has clients by default, each of which may
/// have a milter's ear for its whole session).
pub const CONNECTIONS_MAX: usize = 1_000;

/// Most connections that wait for the next use (ours).
const IDLE_MAX: usize = 20;

/// How long a connection is kept unused (ours: shorter than any filter's patience).
const IDLE_TIME: Duration = Duration::from_secs(60);

/// Octets that are read ahead (ours: most answers are shorter, and a session that waits holds no more).
const BUFFER_OCTETS: usize = 1024;

trait Both: AsyncRead + AsyncWrite + Send + Sync + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Both for T {}

/// A connection, and the place that it takes.
pub struct Connection {
    stream: BufReader<Box<dyn Both>>,
    timeout: Duration,
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connection")
    }
}

/// Connections to one filter.
#[derive(Debug)]
pub struct Pool {
    address: FilterAddress,
    timeout: Duration,
    places: Arc<Semaphore>,
    idle: Mutex<Vec<(Timestamp, Connection)>>,
}

impl Pool {
    /// For the filter at `address`, each of whose answers is waited for as long as `timeout`.
    #[must_use]
    pub fn new(address: FilterAddress, timeout: Duration) -> Self {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Self { address, timeout, places, idle: Mutex::default() }
    }

    /// Where the filter listens.
    #[must_use]
    pub const fn address(&self) -> &FilterAddress {
        &self.address
    }

    /// A connection that waits for use, the one that was used last.
    pub fn idle(&self) -> Option<Connection> {
        let now = clock::monotonic();
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(since, _)| now.since(*since) < IDLE_TIME);
        idle.pop().map(|(_, connection)| connection)
    }

    /// Keeps a connection for the next use; it has been used whole.
    pub fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX && connection.stream.buffer().is_empty() {
            idle.push((clock::monotonic(), connection));
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self) -> Result<Connection, String> {
        let connecting = async {
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(|error| error.to_string())?;
            let stream: std::io::Result<Box<dyn Both>> = match &self.address {
                FilterAddress::Unix(path) => {
                    UnixStream::connect(&**path).await.map(|stream| Box::new(stream) as Box<dyn Both>)
                }
                FilterAddress::Inet(host, port) => TcpStream::connect((&**host, *port)).await.map(|stream| {
                    // Answers are awaited one by one; a stream that can't be told so is slower.
                    let _ = stream.set_nodelay(true);
                    Box::new(stream) as Box<dyn Both>
                }),
            };
            let stream = stream.map_err(|error| error.to_string())?;
            Ok(Connection {
                stream: BufReader::with_capacity(BUFFER_OCTETS, stream),
                timeout: self.timeout,
                _place: place,
            })
        };
        let connected = tokio::time::timeout(self.timeout, connecting).await;
        connected
            .unwrap_or_else(|_| Err("time-out".to_owned()))
            .map_err(|why: String| format!("{}: {why}", self.address))
    }
}

impl Connection {
    /// Writes all of `octets`.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub async fn write(&mut self, octets: &[u8]) -> Result<(), String> {
        let writing = async {
            self.stream.write_all(octets).await?;
            self.stream.flush().await
        };
        within(self.timeout, writing).await
    }

    /// Reads until `octets` is full.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub async fn read_exact(&mut self, octets: &mut [u8]) -> Result<(), String> {
        within(self.timeout, self.stream.read_exact(octets)).await.map(|_| ())
    }

    /// Reads what is there, at most as much as `octets` holds; 0 at the end.
    ///
    /// # Errors
    /// The connection is of no use any more.
    pub async fn read(&mut self, octets: &mut [u8]) -> Result<usize, String> {
        within(self.timeout, self.stream.read(octets)).await
    }
}

async fn within<T>(
    timeout: Duration,
    waiting: impl Future<Output = std::io::Result<T>>,
) -> Result<T, String> {
    match tokio::time::timeout(timeout, waiting).await {
        Ok(done) => done.map_err(|error| error.to_string()),
        Err(_) => Err("time-out".to_owned()),
    }
}
