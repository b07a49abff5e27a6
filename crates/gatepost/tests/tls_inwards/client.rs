//! A client that speaks TLS, and the sites that it meets.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};

use super::harness::{Authority, Certificate, PATIENCE, Server, Setup};

pub(super) const NAME: &str = "mx.example.org";

/// A site with these certificates, and these lines in its configuration: those of `[tls]`, then whole sections.
pub(super) fn setup(certificates: &[(&'static str, &Certificate)], tls: &str, sections: &str) -> Setup {
    let mut files = Vec::new();
    let mut named = Vec::new();
    for (name, certificate) in certificates {
        let [chain, key] = [".pem", ".key"].map(|end| &*format!("{name}{end}").leak());
        named.push(format!("{{ chain = \"{chain}\", key = \"{key}\" }}"));
        files.push((chain, certificate.chain_pem()));
        files.push((key, certificate.key_pem()));
    }
    let config = format!(
        "hostname = \"{NAME}\"\n[tls]\ncertificate = [{}]\n{tls}\n{sections}\n\
         [domain.\"example.org\".mailbox]\npostmaster = {{}}\nalice = {{}}\n",
        named.join(", ")
    );
    Setup { config: Some(config), files, ..Setup::default() }
}

/// A site with a certificate for its name, from this authority.
pub(super) fn site(authority: &Authority, tls: &str, sections: &str) -> Server {
    Server::start(setup(&[("mx", &authority.certify(NAME, 2100))], tls, sections))
}

/// A client that trusts the authority.
pub(super) fn trusting(authority: &Authority) -> ClientConfig {
    config(authority, None, &[&rustls::version::TLS13, &rustls::version::TLS12])
}

/// The same, with a certificate of its own.
pub(super) fn showing(authority: &Authority, certificate: &Certificate) -> ClientConfig {
    config(authority, Some(certificate), &[&rustls::version::TLS13])
}

/// The same, speaking these versions.
pub(super) fn config(
    authority: &Authority,
    certificate: Option<&Certificate>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    config_with(provider, authority, certificate, versions)
}

/// The same, with this cryptography.
pub(super) fn config_with(
    provider: CryptoProvider,
    authority: &Authority,
    certificate: Option<&Certificate>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let provider = Arc::new(provider);
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate()).unwrap();
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_webpki_verifier(verifier);
    match certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = certificate.chain_and_key();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    }
}

/// A session under TLS.
pub(super) struct Client {
    reader: BufReader<StreamOwned<ClientConnection, TcpStream>>,
}

impl Client {
    /// Secures a session with STARTTLS.
    pub(super) fn start(server: &Server, config: &Arc<ClientConfig>) -> Self {
        Self::start_for(server, config, NAME).unwrap()
    }

    /// The same, asking for a name.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(super) fn start_for(
        server: &Server,
        config: &Arc<ClientConfig>,
        name: &str,
    ) -> std::io::Result<Self> {
        let mut reader = BufReader::new(connect(server.address()));
        assert!(reply(&mut reader).starts_with("220 "));
        for (command, code) in [("EHLO client.example", "250"), ("STARTTLS", "220")] {
            reader.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
            let said = reply(&mut reader);
            assert!(said.starts_with(code), "{command}: {said}");
        }
        assert!(reader.buffer().is_empty());
        Self::over(reader.into_inner(), config, name)
    }

    /// Secures a stream.
    ///
    /// # Errors
    /// When the handshake fails.
    pub(super) fn over(stream: TcpStream, config: &Arc<ClientConfig>, name: &str) -> std::io::Result<Self> {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connection = ClientConnection::new(Arc::clone(config), name).unwrap();
        let mut stream = StreamOwned::new(connection, stream);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Self { reader: BufReader::new(stream) })
    }

    /// Says something and gives what is answered.
    pub(super) fn ask(&mut self, command: &str) -> String {
        self.reader.get_mut().write_all(format!("{command}\r\n").as_bytes()).unwrap();
        self.reader.get_mut().flush().unwrap();
        self.reply()
    }

    /// The same; the answer must begin with the code.
    pub(super) fn ask_for(&mut self, command: &str, code: &str) -> String {
        let said = self.ask(command);
        assert!(said.starts_with(code), "{command}: {said}");
        said
    }

    /// The next reply.
    pub(super) fn reply(&mut self) -> String {
        reply(&mut self.reader)
    }

    /// Sends a message to alice.
    pub(super) fn send(&mut self) {
        self.ask_for("EHLO client.example", "250");
        self.ask_for("MAIL FROM:<bob@client.example>", "250");
        self.ask_for("RCPT TO:<alice@example.org>", "250");
        self.ask_for("DATA", "354");
        self.ask_for("Subject: hello\r\n\r\nhello\r\n.", "250");
    }

    /// Ends the session; whether the server has ended it with a close_notify.
    pub(super) fn quit(mut self) -> bool {
        self.ask_for("QUIT", "221");
        // Without a close_notify the end is an error.
        self.reader.read_until(b'\n', &mut Vec::new()).is_ok_and(|octets| octets == 0)
    }

    /// The certificate that was shown.
    pub(super) fn shown(&self) -> CertificateDer<'static> {
        self.connection().peer_certificates().unwrap()[0].clone()
    }

    /// Whether a session was resumed.
    pub(super) fn is_resumed(&self) -> bool {
        self.connection().handshake_kind() == Some(HandshakeKind::Resumed)
    }

    pub(super) fn connection(&self) -> &ClientConnection {
        &self.reader.get_ref().conn
    }
}

/// A connection from 127.0.0.1.
pub(super) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn reply(reader: &mut impl std::io::BufRead) -> String {
    let mut text = String::new();
    loop {
        let start = text.len();
        assert!(reader.read_line(&mut text).unwrap() > 0, "the connection ended after {text:?}");
        if text.as_bytes().get(start + 3) == Some(&b' ') {
            return text;
        }
    }
}
