//! Servers with STARTTLS that Gatepost hands mail to, and authorities that vouch for them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::TLSA;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::PATIENCE;

/// An authority, which no system trusts.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A server's certificate with its key.
pub(crate) struct Certificate {
    own: CertificateDer<'static>,
    authority: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Authority {
    /// A new one.
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "an authority of the tests");
        let key = KeyPair::generate().unwrap();
        let made = params.self_signed(&key).unwrap();
        let (certificate, pem) = (made.der().clone(), made.pem());
        Self { issuer: Issuer::new(params, key), certificate, pem }
    }

    /// Its certificate, in PEM.
    pub(crate) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a name, until a year.
    pub(crate) fn certify(&self, name: &str, until: i32) -> Certificate {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Certificate { own, authority: self.certificate.clone(), key: key.serialize_der() }
    }
}

impl Authority {
    /// A certificate for these names, good in these years.
    pub(crate) fn certify_for(&self, names: &[&str], years: (i32, i32)) -> Certificate {
        let mut params =
            CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(years.0, 1, 1), date_time_ymd(years.1, 1, 1));
        self.sign(params, KeyPair::generate().unwrap())
    }

    /// The same, with an RSA key.
    pub(crate) fn certify_rsa(&self, name: &str) -> Certificate {
        let params = CertificateParams::new([name.to_owned()]).unwrap();
        self.sign(params, KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap())
    }

    /// A client's certificate.
    pub(crate) fn certify_client(&self, common_name: &str, until: i32) -> Certificate {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
        self.sign(params, KeyPair::generate().unwrap())
    }

    fn sign(&self, params: CertificateParams, key: KeyPair) -> Certificate {
        let own = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        Certificate { own, authority: self.certificate.clone(), key: key.serialize_der() }
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }
}

impl Certificate {
    /// It and its authority's, in PEM.
    pub(crate) fn chain_pem(&self) -> String {
        [&self.own, &self.authority].map(|certificate| pem("CERTIFICATE", certificate)).concat()
    }

    /// Its private key, in PEM.
    pub(crate) fn key_pem(&self) -> String {
        pem("PRIVATE KEY", &self.key)
    }

    /// It, in DER.
    pub(crate) fn der(&self) -> &CertificateDer<'static> {
        &self.own
    }

    /// It with its authority's, and its key.
    pub(crate) fn chain_and_key(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let key = PrivateKeyDer::try_from(self.key.clone()).unwrap();
        (vec![self.own.clone(), self.authority.clone()], key)
    }

    /// The TLSA record `3 0 1` of the certificate.
    pub(crate) fn record(&self) -> RData {
        record(3, &self.own)
    }

    /// The TLSA record `2 0 1` of its authority.
    pub(crate) fn record_of_authority(&self) -> RData {
        record(2, &self.authority)
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn record(usage: u8, certificate: &CertificateDer<'_>) -> RData {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    RData::TLSA(TLSA::new(usage.into(), 0.into(), 1.into(), digest.as_ref().to_vec()))
}

/// A server that offers STARTTLS and takes everything.
#[derive(Debug)]
pub(crate) struct TlsPeer {
    address: SocketAddr,
    taken: Arc<Mutex<Vec<Taken>>>,
}

/// A message that a server has taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    /// Whether it came under TLS.
    pub(crate) is_encrypted: bool,
    /// The server's name that the client asked for in the handshake (RFC 6066 §3).
    pub(crate) asked_for: Option<String>,
    /// It.
    pub(crate) message: String,
}

impl TlsPeer {
    /// Starts one with this certificate.
    pub(crate) fn start(certificate: &Certificate) -> Self {
        let key = PrivateKeyDer::try_from(certificate.key.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.own.clone(), certificate.authority.clone()], key)
            .unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Arc::<Mutex<Vec<Taken>>>::default();
        let (shared, config) = (Arc::clone(&taken), Arc::new(config));
        // The thread ends with the test's process.
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
                // A client that does not like the certificate goes away.
                thread::spawn(move || drop(serve(stream, config, &shared)));
            }
        });
        Self { address, taken }
    }

    /// Its port, on 127.0.0.1.
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// What it has taken so far.
    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, config: Arc<ServerConfig>, taken: &Mutex<Vec<Taken>>) -> std::io::Result<()> {
    stream.write_all(b"220 peer.example ESMTP\r\n")?;
    if !talk(BufReader::new(&mut stream), true, None, taken)? {
        return Ok(());
    }
    let mut secured = StreamOwned::new(ServerConnection::new(config).unwrap(), stream);
    // The handshake, so that the name is known.
    while secured.conn.is_handshaking() {
        secured.conn.complete_io(&mut secured.sock)?;
    }
    let asked_for = secured.conn.server_name().map(str::to_owned);
    talk(BufReader::new(&mut secured), false, asked_for, taken).map(drop)
}

/// A dialogue; whether it is to go on under TLS.
fn talk<S: Read + Write>(
    mut reader: BufReader<S>,
    offers_tls: bool,
    asked_for: Option<String>,
    taken: &Mutex<Vec<Taken>>,
) -> std::io::Result<bool> {
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(false);
        }
        let verb = line.get(..4).unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" if offers_tls => "250-peer.example\r\n250 STARTTLS\r\n",
            "EHLO" => "250 peer.example\r\n",
            "STAR" => "220 2.0.0 go ahead\r\n",
            "DATA" => "354 go ahead\r\n",
            "QUIT" => "221 2.0.0 closing\r\n",
            _ => "250 2.0.0 ok\r\n",
        };
        reader.get_mut().write_all(reply.as_bytes())?;
        reader.get_mut().flush()?;
        match verb.as_str() {
            "STAR" => return Ok(true),
            "QUIT" => return Ok(false),
            "DATA" => {
                let mut message = String::new();
                while !message.ends_with("\r\n.\r\n") {
                    if reader.read_line(&mut message)? == 0 {
                        return Ok(false);
                    }
                }
                let asked_for = asked_for.clone();
                taken.lock().unwrap().push(Taken { is_encrypted: !offers_tls, asked_for, message });
                reader.get_mut().write_all(b"250 2.0.0 taken\r\n")?;
                reader.get_mut().flush()?;
            }
            _ => {}
        }
    }
}
