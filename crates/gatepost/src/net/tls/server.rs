//! TLS of clients: what the server speaks with them, and their handshakes, bounded in time and count.
//!
//! Invariants: a client that could not be secured is never served in clear text after it asked for TLS; tickets stay good
//! over a reload, so that clients resume their sessions.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::CertificateDer;
use rustls::server::{ProducesTickets, WantsServerCert};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ConfigBuilder, Error, HandshakeKind, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection,
    SupportedProtocolVersion,
};
use smtp::time::WallTime;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::certificates::Certificates;
use super::client_certificate::{AskForAny, ClientCertificate};
use super::{Authorities, cipher, own, provider};
use crate::clock;
use crate::config::{Config, InwardTls, Problem, Stamp, TlsVersion};

/// The first octet of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// What the server speaks with clients.
#[derive(Debug)]
pub(crate) struct ServerTls {
    certificates: Arc<Certificates>,
    is_own: bool,
    plain: Arc<ServerConfig>,
    /// For clients that are asked for a certificate.
    asking: Option<Asking>,
    settings: InwardTls,
    ticketer: Arc<dyn ProducesTickets>,
    places: Arc<Semaphore>,
    places_max: u32,
    timeout: Duration,
    files: Files,
}

#[derive(Debug)]
struct Asking {
    config: Arc<ServerConfig>,
    roots: Arc<RootCertStore>,
}

/// The files of certificates and keys, as they were when they were read.
#[derive(Debug)]
pub(crate) struct Files(Vec<(PathBuf, Option<Stamp>)>);

impl Files {
    /// As they are now.
    pub(crate) fn of(config: &Config) -> Self {
        let settings = &config.inward_tls;
        let certificates = settings.certificates.iter().flat_map(|files| [&files.chain, &files.key]);
        let own = certificates.chain(&settings.client_ca_file).map(|file| &file.path);
        let asks = !settings.client_certificates.is_empty() && settings.client_ca_file.is_none();
        let usual = config.tls.ca_file.iter().filter(|_| asks);
        Self(own.chain(usual).map(|path| (path.clone(), Stamp::of(path))).collect())
    }

    /// Whether one has changed; costs a look at each one's metadata.
    pub(crate) fn changed(&self) -> bool {
        self.0.iter().any(|(path, stamp)| Stamp::of(path) != *stamp)
    }

    /// Whether one changed just now.
    pub(crate) fn is_fresh(&self, now: WallTime) -> bool {
        self.0.iter().any(|(path, _)| Stamp::of(path).is_some_and(|stamp| stamp.is_fresh(now)))
    }
}

/// What is known of a connection that is secured.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secured {
    /// `TLSv1.3`.
    pub(crate) version: &'static str,
    /// The cipher suite, by its IANA name.
    pub(crate) cipher: &'static str,
    /// The name that the client asked for (RFC 6066 §3).
    pub(crate) sni: Option<String>,
    /// What the client has shown.
    pub(crate) certificate: Option<ClientCertificate>,
    /// Whether it resumed a session.
    pub(crate) is_resumed: bool,
    /// What AUTH can be bound to: `tls-exporter` (RFC 9266), in TLS 1.3.
    pub(crate) exporter: Option<[u8; 32]>,
}

/// Why a connection is not secured.
#[derive(Debug)]
pub(crate) enum Unsecured {
    /// Something that is no TLS came; it is still to be read.
    ClearText(TcpStream),
    /// The client has closed.
    Closed,
    /// It took too long.
    TimedOut,
    /// The two don't agree; the alert was sent.
    Failed(io::Error, TcpStream),
}

impl ServerTls {
    /// What `config` says, with the certificate of the server's own making in `state` if it names none; `None` when there is
    /// none either. Goes on with the tickets of `before`. Warnings are added to `problems`. Blocks on the disk.
    ///
    /// # Errors
    /// All problems, those of `problems` included.
    pub(crate) fn load(
        config: &Config,
        state: Option<&Path>,
        before: Option<&Self>,
        problems: &mut Vec<Problem>,
    ) -> Result<Option<Self>, Vec<Problem>> {
        let settings = &config.inward_tls;
        let files = Files::of(config);
        let is_own = settings.certificates.is_empty();
        let certificates = match state {
            _ if !is_own => Certificates::load(config, clock::wall(), problems),
            Some(state) => match own::read(state) {
                Some(key) => Some(Certificates::of(key)),
                None => return Ok(None),
            },
            None => return Ok(None),
        };
        let ticketer = before.map(|before| Arc::clone(&before.ticketer));
        let ticketer = ticketer.or_else(|| Ticketer::new().ok()).unwrap_or_else(|| Arc::new(NoTickets));
        let roots = client_roots(config, problems);
        let (Some(certificates), Some(roots)) = (certificates, roots) else {
            return Err(std::mem::take(problems));
        };
        let certificates = Arc::new(certificates);
        let fault = |error: Error| {
            let place = settings.certificates.first().map(|files| files.chain.place.clone());
            place
                .map(|place| Problem::error(format!("TLS can't be used: {error}"), place, ""))
                .into_iter()
                .collect::<Vec<_>>()
        };
        let plain = speaking(settings).map_err(fault)?.with_no_client_auth();
        let plain = Arc::new(finished(plain, &certificates, settings, &ticketer));
        let asking = match roots {
            None => None,
            Some(roots) => {
                let own_authorities = settings.client_ca_file.is_some().then_some(&*roots);
                let algorithms = provider().signature_verification_algorithms;
                let verifier = AskForAny::new(own_authorities, algorithms);
                let asking = speaking(settings).map_err(fault)?.with_client_cert_verifier(verifier);
                let config = Arc::new(finished(asking, &certificates, settings, &ticketer));
                Some(Asking { config, roots })
            }
        };
        let places_max = config.limits.handshakes;
        let places = before.filter(|before| before.places_max == places_max);
        let places = places.map_or_else(|| room(places_max), |before| Arc::clone(&before.places));
        Ok(Some(Self {
            certificates,
            is_own,
            plain,
            asking,
            settings: settings.clone(),
            ticketer,
            places,
            places_max,
            timeout: config.limits.handshake_timeout,
            files,
        }))
    }

    /// Whether the certificate is of the server's own making.
    pub(crate) const fn is_own(&self) -> bool {
        self.is_own
    }

    /// The certificates that clients may be shown for a name, each with those that lead to its authority behind it.
    pub(crate) fn shown_for(&self, name: &str) -> Vec<Vec<CertificateDer<'static>>> {
        self.certificates.shown_for(name).map(|key| key.cert.clone()).collect()
    }

    /// The files that it was read from.
    pub(crate) const fn files(&self) -> &Files {
        &self.files
    }

    /// Has `stream` secured. What came in clear text is left to be read.
    ///
    /// # Errors
    /// Why it is not.
    pub(crate) async fn secure(
        &self,
        stream: TcpStream,
        client: IpAddr,
    ) -> Result<(Box<TlsStream<TcpStream>>, Secured), Unsecured> {
        let handshake = self.handshake(stream, client);
        tokio::time::timeout(self.timeout, handshake).await.unwrap_or(Err(Unsecured::TimedOut))
    }

    async fn handshake(
        &self,
        stream: TcpStream,
        client: IpAddr,
    ) -> Result<(Box<TlsStream<TcpStream>>, Secured), Unsecured> {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1..) if first == [HANDSHAKE_RECORD] => {}
            Ok(1..) => return Err(Unsecured::ClearText(stream)),
            Ok(0) => return Err(Unsecured::Closed),
            Err(error) => return Err(Unsecured::Failed(error, stream)),
        }
        // Only a client that has begun takes a place from others.
        let _place = self.places.acquire().await;
        let asking = self.asking.as_ref().filter(|_| self.settings.asks(client));
        let config = asking.map_or(&self.plain, |asking| &asking.config);
        let accepting = TlsAcceptor::from(Arc::clone(config)).accept(stream).into_fallible();
        let stream = accepting.await.map_err(|(error, stream)| Unsecured::Failed(error, stream))?;
        let (_, connection) = stream.get_ref();
        let mut secured = Secured::of(connection);
        if let (Some(asking), Some(shown)) = (asking, connection.peer_certificates()) {
            let algorithms = config.crypto_provider().signature_verification_algorithms;
            secured.certificate = ClientCertificate::judge(shown, &asking.roots, algorithms, clock::wall());
        }
        Ok((Box::new(stream), secured))
    }
}

impl fmt::Debug for Secured {
    /// All but what AUTH is bound to.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, cipher, sni, certificate, is_resumed, .. } = self;
        write!(
            formatter,
            "{version} {cipher} {sni:?} {certificate:?}{}",
            if *is_resumed { " resumed" } else { "" }
        )
    }
}

impl Secured {
    fn of(connection: &ServerConnection) -> Self {
        Self {
            version: match connection.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "unknown",
            },
            cipher: connection.negotiated_cipher_suite().map_or("unknown", cipher::name_of),
            sni: connection.server_name().map(str::to_owned),
            certificate: None,
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            exporter: exporter(connection),
        }
    }
}

/// RFC 9266 §4.2: TLS 1.2 would need the extended master secret for it, and does not say whether that is used.
fn exporter(connection: &ServerConnection) -> Option<[u8; 32]> {
    if connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return None;
    }
    connection.export_keying_material([0; 32], b"EXPORTER-Channel-Binding", Some(&[])).ok()
}

/// Sessions that are not resumed: the system has no random numbers for keys of tickets.
#[derive(Debug)]
struct NoTickets;

impl ProducesTickets for NoTickets {
    fn enabled(&self) -> bool {
        false
    }

    fn lifetime(&self) -> u32 {
        0
    }

    fn encrypt(&self, _plain: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn decrypt(&self, _cipher: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

fn room(places: u32) -> Arc<Semaphore> {
    Arc::new(Semaphore::new(usize::try_from(places).unwrap_or(Semaphore::MAX_PERMITS)))
}

/// The versions and cipher suites.
fn speaking(settings: &InwardTls) -> Result<ConfigBuilder<ServerConfig, rustls::WantsVerifier>, Error> {
    let mut provider = CryptoProvider::clone(&provider());
    if !settings.ciphers.is_empty() {
        provider.cipher_suites = settings.ciphers.iter().map(|cipher| cipher.suite()).collect();
    }
    let versions: &[&SupportedProtocolVersion] = match settings.minimum {
        TlsVersion::V1_2 => &[&TLS13, &TLS12],
        TlsVersion::V1_3 => &[&TLS13],
    };
    ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)
}

fn finished(
    builder: ConfigBuilder<ServerConfig, WantsServerCert>,
    certificates: &Arc<Certificates>,
    settings: &InwardTls,
    ticketer: &Arc<dyn ProducesTickets>,
) -> ServerConfig {
    let mut config = builder.with_cert_resolver(Arc::clone(certificates) as _);
    config.ticketer = Arc::clone(ticketer);
    config.ignore_client_order = !settings.ciphers.is_empty();
    config
}

/// The authorities that vouch for clients; `Some(None)` when no client is asked.
fn client_roots(config: &Config, problems: &mut Vec<Problem>) -> Option<Option<Arc<RootCertStore>>> {
    let settings = &config.inward_tls;
    if settings.client_certificates.is_empty() {
        return Some(None);
    }
    let Some(file) = &settings.client_ca_file else {
        // What is wrong with `ca_file` is said where it is read.
        let roots = Authorities::load(config.tls.ca_file.as_deref()).map(|authorities| authorities.0);
        return Some(Some(roots.unwrap_or_else(|_| Arc::new(RootCertStore::empty()))));
    };
    match Authorities::only(&file.path) {
        Ok(authorities) => Some(Some(authorities.0)),
        Err(error) => {
            let title = format!("can't use `{}`: {error}", file.path.display());
            problems.push(Problem::error(title, file.place.clone(), "expected certificates in PEM"));
            None
        }
    }
}
