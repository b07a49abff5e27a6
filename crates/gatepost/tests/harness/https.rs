//! An HTTPS server that serves one text, with a certificate of its own.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;

/// The server, whose thread ends with the test's process.
#[derive(Debug)]
pub(crate) struct HttpsServer {
    address: SocketAddr,
    certificate: String,
    script: Arc<Mutex<Script>>,
}

/// What is answered, and what was asked.
#[derive(Debug)]
struct Script {
    answer: Option<String>,
    /// Given once, before it.
    first: Option<String>,
    asked: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

impl HttpsServer {
    /// A server with a certificate for `name` that answers everything with this text.
    pub(crate) fn start(name: &str, text: &str) -> Self {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let script =
            Arc::new(Mutex::new(Script { answer: None, first: None, asked: Vec::new(), bodies: Vec::new() }));
        let (shared, config) = (Arc::clone(&script), Arc::new(config));
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
                thread::spawn(move || {
                    stream.set_read_timeout(Some(PATIENCE)).unwrap();
                    let session = ServerConnection::new(config).unwrap();
                    // A client that does not like the certificate goes away.
                    let _ = serve(StreamOwned::new(session, stream), &shared);
                });
            }
        });
        let server = Self { address, certificate: made.cert.pem(), script };
        server.answer(text);
        server
    }

    /// Answers with this text from now on.
    pub(crate) fn answer(&self, text: &str) {
        self.answer_raw(&format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n\r\n{text}",
            text.len()
        ));
    }

    /// Answers with these octets from now on.
    pub(crate) fn answer_raw(&self, answer: &str) {
        self.script.lock().unwrap().answer = Some(answer.to_owned());
    }

    /// Answers once with these octets before all others.
    pub(crate) fn answer_first(&self, answer: &str) {
        self.script.lock().unwrap().first = Some(answer.to_owned());
    }

    /// Closes every connection from now on.
    pub(crate) fn fall_silent(&self) {
        self.script.lock().unwrap().answer = None;
    }

    /// Its port, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// Its certificate, in PEM.
    pub(crate) fn certificate(&self) -> &str {
        &self.certificate
    }

    /// The body of every request.
    pub(crate) fn bodies(&self) -> Vec<Vec<u8>> {
        self.script.lock().unwrap().bodies.clone()
    }

    /// The first line of every request.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.script.lock().unwrap().asked.clone()
    }
}

fn serve(
    stream: StreamOwned<ServerConnection, std::net::TcpStream>,
    script: &Mutex<Script>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    let mut length = 0;
    while reader.read_line(&mut line)? > 2 {
        let field = line.to_ascii_lowercase();
        if let Some(value) = field.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let answer = {
        let mut script = script.lock().unwrap();
        script.bodies.push(body);
        script.asked.push(first.trim_end().to_owned());
        script.first.take().or_else(|| script.answer.clone())
    };
    let Some(answer) = answer else { return Ok(()) };
    let stream = reader.get_mut();
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}
