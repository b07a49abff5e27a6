//! A server for tests that does on each connection what a script says.
//!
//! A script has a step a line: `S` sends, `P` sends as it stands, `\\r` and `\\n` being a line's end, `C` reads a line that must begin so, `D`
//! reads mail data up to the lone dot, `L` reads any line, `B` whatever octets come, `R` reads all up to the client's end, `E` waits for that with
//! nothing before it, `T` does a TLS handshake as the server, `X` closes.

use std::net::SocketAddr;

use tokio::io::{
    AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader,
};
use tokio::net::{TcpListener, UnixListener};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::certificates;

use smtp::client::Protocol;

use crate::deliver::next_hop::{Endpoint, NextHop, NextHost, Sources, TlsLevel, TlsPlan};

/// What a connection comes over.
pub(super) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that a script is run on.
pub(super) type Connected = BufReader<Box<dyn Wire>>;

/// A server that runs one script a connection, in order, each to its end.
pub(super) struct Scripted {
    pub(super) address: SocketAddr,
    task: JoinHandle<Vec<String>>,
}

impl Scripted {
    pub(super) async fn start(scripts: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let scripts: Vec<String> = scripts.iter().map(|script| (*script).to_owned()).collect();
        let task = tokio::spawn(async move {
            let mut read = Vec::new();
            for script in scripts {
                let mut connection = accept(&listener).await;
                read.push(run_script(&script, &mut connection).await);
            }
            read
        });
        Self { address, task }
    }

    pub(super) fn next_hop(&self) -> NextHop {
        next_hop(&[self.address])
    }

    /// What was read on each connection, once every script has ended.
    pub(super) async fn finish(self) -> Vec<String> {
        self.task.await.unwrap()
    }
}

/// The next hop with hosts at these addresses, in clear text.
pub(super) fn next_hop(addresses: &[SocketAddr]) -> NextHop {
    let host = |address: &SocketAddr| NextHost {
        name: address.ip().to_string(),
        endpoint: Endpoint::Tcp(*address),
        tls: TlsPlan { level: TlsLevel::Off, implicit: false, reported: None },
    };
    NextHop {
        protocol: Protocol::Smtp,
        hosts: addresses.iter().map(host).collect(),
        credentials: None,
        sources: Sources::default(),
    }
}

/// The next connection.
pub(super) async fn accept(listener: &TcpListener) -> Connected {
    BufReader::new(Box::new(listener.accept().await.unwrap().0))
}

/// Runs a script on the first connection to a Unix socket; gives what was read.
pub(super) async fn serve_unix(listener: UnixListener, script: &str) -> String {
    let mut connection: Connected = BufReader::new(Box::new(listener.accept().await.unwrap().0));
    run_script(script, &mut connection).await
}

async fn read_line(connection: &mut Connected) -> String {
    let mut line = String::new();
    connection.read_line(&mut line).await.unwrap();
    line
}

/// Runs a script on a connection; gives what was read.
pub(super) async fn run_script(script: &str, connection: &mut Connected) -> String {
    let mut read = String::new();
    for line in script.lines() {
        let (what, text) = line.split_at(1);
        let text = text.strip_prefix(' ').unwrap_or(text);
        match what {
            // A client that has heard enough may be gone.
            "S" => drop(connection.write_all(format!("{text}\r\n").as_bytes()).await),
            "P" => {
                let text = text.replace("\\r", "\r").replace("\\n", "\n");
                connection.write_all(text.as_bytes()).await.unwrap();
            }
            "T" => {
                let gone: Connected = BufReader::new(Box::new(tokio::io::empty()));
                let clear = std::mem::replace(connection, gone).into_inner();
                match TlsAcceptor::from(certificates::server()).accept(clear).await {
                    Ok(secured) => *connection = BufReader::new(Box::new(secured)),
                    Err(_) => return read,
                }
            }
            "C" => {
                let line = read_line(connection).await;
                assert!(line.starts_with(text), "{text:?} was due, {line:?} came");
                read.push_str(&line);
            }
            "D" => loop {
                let line = read_line(connection).await;
                assert_ne!(line, "", "the mail data don't end");
                read.push_str(&line);
                if line == ".\r\n" {
                    break;
                }
            },
            "E" => {
                let mut rest = Vec::new();
                // A client that closes in the middle of TLS has sent nothing more either.
                let _ = connection.read_to_end(&mut rest).await;
                assert_eq!(rest, b"", "nothing more was due");
            }
            "B" => {
                let octets = connection.fill_buf().await.unwrap().len();
                connection.consume(octets);
            }
            "L" => read.push_str(&read_line(connection).await),
            "R" => {
                let mut rest = Vec::new();
                // A client that has heard enough may leave what is said behind that unread.
                let _ = connection.read_to_end(&mut rest).await;
                read.push_str(&String::from_utf8_lossy(&rest));
            }
            "X" => return read,
            other => panic!("no such step: {other}"),
        }
    }
    read
}
