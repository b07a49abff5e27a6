//! The certificates of this server: read, looked at, and chosen from by what a client asks for.
//!
//! Invariants: a certificate is only here with the key that belongs to it; nothing of a key gets into a problem.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, Error, InconsistentKeys, SignatureAlgorithm};
use smtp::time::WallTime;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer as _;

use super::provider;
use crate::config::{CertificateFiles, Config, NamedFile, Problem};
use crate::mailboxes::folded_domain;
use crate::sign::read_private;

/// Largest file of certificates, in octets (ours; a chain has some thousands).
const FILE_OCTETS_MAX: u64 = 1024 * 1024;

/// How long before its end a certificate is warned about (ours: certificates of six days are renewed after three).
const ENDS_SOON_SECONDS: u64 = 2 * 86_400;

/// The certificates of this server.
#[derive(Debug)]
pub(crate) struct Certificates {
    all: Vec<Arc<CertifiedKey>>,
    /// By the names that they are for, in lower case.
    named: HashMap<String, Vec<usize>>,
    /// By the names above a wildcard, `example.org` for `*.example.org`.
    wild: HashMap<String, Vec<usize>>,
}

impl Certificates {
    /// Those of files, looked at as of `now`. What is wrong is added to `problems`; `None` when something can't be used.
    /// Blocks on the disk.
    pub(super) fn load(config: &Config, now: WallTime, problems: &mut Vec<Problem>) -> Option<Self> {
        let mut is_whole = true;
        let mut all = Self { all: Vec::new(), named: HashMap::new(), wild: HashMap::new() };
        for files in &config.inward_tls.certificates {
            match read(files, problems) {
                Some(key) => {
                    check_dates(&key, &files.chain, now, problems);
                    let names = all.add(key);
                    check_names(&names, config, &files.chain, problems);
                }
                None => is_whole = false,
            }
        }
        if let (true, Some(first)) = (is_whole, config.inward_tls.certificates.first()) {
            let hostname = folded_domain(config.hostname.as_str());
            if !all.names(&hostname) && !problems.iter().any(|problem| *problem.place() == first.chain.place)
            {
                let title = format!("no certificate names `{hostname}`");
                let label = "servers that look at names (MTA-STS, RFC 8461) keep their mail";
                let advice =
                    "get one for the server's name, or set `hostname` to a name that it has".to_owned();
                problems.push(Problem::warning(title, first.chain.place.clone(), label).help(advice));
            }
        }
        is_whole.then_some(all)
    }

    /// One certificate of this server's own making.
    pub(super) fn of(key: CertifiedKey) -> Self {
        let mut all = Self { all: Vec::new(), named: HashMap::new(), wild: HashMap::new() };
        all.add(key);
        all
    }

    /// Those that clients may be shown who ask for `name`: those that are for it, else the first.
    pub(super) fn shown_for(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let otherwise = self.all.first().filter(|_| !self.names(name));
        self.for_name(name).chain(otherwise)
    }

    fn add(&mut self, key: CertifiedKey) -> Vec<String> {
        let names = names_of(&key);
        let place = self.all.len();
        for name in &names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(above) => (&mut self.wild, above),
                None => (&mut self.named, name.as_str()),
            };
            map.entry(name.to_owned()).or_default().push(place);
        }
        self.all.push(Arc::new(key));
        names
    }

    fn for_name(&self, name: &str) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let above = name.split_once('.').map(|(_, above)| above);
        let places = [self.named.get(name), above.and_then(|above| self.wild.get(above))];
        places.into_iter().flatten().flatten().filter_map(|place| self.all.get(*place))
    }

    /// Whether one is for this name.
    fn names(&self, name: &str) -> bool {
        self.for_name(name).next().is_some()
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().map(str::to_ascii_lowercase);
        let named = name.iter().flat_map(|name| self.for_name(name));
        let usable = |key: &&Arc<CertifiedKey>| can_use(&hello, key);
        // With none that the client can use the handshake fails, and says so.
        named.chain(&self.all).find(usable).or(self.all.first()).cloned()
    }
}

/// Whether the client can verify a signature of the key, and speaks a cipher suite for it.
fn can_use(hello: &ClientHello<'_>, key: &CertifiedKey) -> bool {
    let needle = match key.key.algorithm() {
        SignatureAlgorithm::RSA => "_ECDHE_RSA_",
        _ => "_ECDHE_ECDSA_",
    };
    let fits = |suite: &CipherSuite| {
        suite.as_str().is_some_and(|name| name.starts_with("TLS13_") || name.contains(needle))
    };
    key.key.choose_scheme(hello.signature_schemes()).is_some() && hello.cipher_suites().iter().any(fits)
}

/// The DNS names that a certificate is for, in lower case.
pub(super) fn names_of(key: &CertifiedKey) -> Vec<String> {
    let Some(own) = key.cert.first() else { return Vec::new() };
    let Ok(certificate) = EndEntityCert::try_from(own) else { return Vec::new() };
    certificate.valid_dns_names().map(str::to_ascii_lowercase).collect()
}

/// The first and the last second, since the epoch, at which a certificate is good.
pub(super) fn dates_of(key: &CertifiedKey) -> Option<(u64, u64)> {
    let (_, certificate) = X509Certificate::from_der(key.cert.first()?).ok()?;
    let validity = certificate.validity();
    let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
    Some((seconds(validity.not_before.timestamp()), seconds(validity.not_after.timestamp())))
}

fn read(files: &CertificateFiles, problems: &mut Vec<Problem>) -> Option<CertifiedKey> {
    let chain = read_chain(&files.chain).map_err(|problem| problems.push(*problem));
    let key = read_key(&files.key, problems);
    let (chain, key) = (chain.ok()?, key?);
    let key = provider().key_provider.load_private_key(key).map_err(|error| {
        let title = format!("can't use the key `{}`: {error}", files.key.path.display());
        let label = "expected an RSA key of 2048 bits or more, an ECDSA key, or an Ed25519 key";
        problems.push(Problem::error(title, files.key.place.clone(), label));
    });
    let certified = CertifiedKey::new(chain, key.ok()?);
    match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Some(certified),
        Err(Error::InconsistentKeys(_)) => {
            problems.push(mismatch(files, &certified));
            None
        }
        Err(error) => {
            let title = format!("can't use the certificate `{}`: {error}", files.chain.path.display());
            problems.push(Problem::error(title, files.chain.place.clone(), "expected X.509, version 3"));
            None
        }
    }
}

fn mismatch(files: &CertificateFiles, certified: &CertifiedKey) -> Problem {
    let title = format!(
        "the key `{}` is not that of the certificate `{}`",
        files.key.path.display(),
        files.chain.path.display()
    );
    let others = certified.cert.iter().skip(1);
    let fits = |other: &CertificateDer<'static>| {
        CertifiedKey::new(vec![other.clone()], Arc::clone(&certified.key)).keys_match().is_ok()
    };
    let advice = if others.clone().any(fits) {
        "the file holds the right certificate further down: this server's own must stand first"
    } else {
        "name the files of one certificate; with certbot they are fullchain.pem and privkey.pem of one directory"
    };
    Problem::error(title, files.key.place.clone(), "another key than the certificate's")
        .also(files.chain.place.clone(), "the certificate")
        .help(advice.to_owned())
}

fn read_chain(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, Box<Problem>> {
    let text = read_text(&file.path).map_err(|error| unreadable(file, &error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        Ok(_) => {
            let title = format!("no certificate in `{}`", file.path.display());
            let has_key = PrivateKeyDer::from_pem_slice(&text).is_ok();
            let advice = has_key.then(|| "it holds a private key, which belongs under `key`".to_owned());
            let label = "expected certificates in PEM";
            Err(Box::new(Problem::error(title, file.place.clone(), label).help(advice)))
        }
        Err(error) => {
            let title = format!("can't read the certificate `{}`: {error}", file.path.display());
            Err(Box::new(Problem::error(title, file.place.clone(), "expected certificates in PEM")))
        }
    }
}

fn read_key(file: &NamedFile, problems: &mut Vec<Problem>) -> Option<PrivateKeyDer<'static>> {
    let text = read_private(&file.path, &file.place, problems).map_err(|problem| problems.push(*problem));
    let text = text.ok()?;
    match PrivateKeyDer::from_pem_slice(text.as_bytes()) {
        Ok(key) => Some(key),
        Err(_) => {
            let title = format!("no private key in `{}`", file.path.display());
            let advice = if text.contains("ENCRYPTED") {
                Some(format!(
                    "it is encrypted, and nobody is there to type the passphrase: `openssl pkey -in {}` prints it without",
                    file.path.display()
                ))
            } else if text.contains("BEGIN CERTIFICATE") {
                Some("it holds a certificate, which belongs under `chain`".to_owned())
            } else {
                None
            };
            let label = "expected a private key in PEM: PKCS#8, PKCS#1 or SEC 1";
            problems.push(Problem::error(title, file.place.clone(), label).help(advice));
            None
        }
    }
}

fn read_text(path: &Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(FILE_OCTETS_MAX + 1).read_to_end(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_OCTETS_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
    }
    Ok(text)
}

fn unreadable(file: &NamedFile, error: &io::Error) -> Box<Problem> {
    let title = format!("can't read `{}`: {error}", file.path.display());
    let advice = match error.kind() {
        io::ErrorKind::NotFound => Some("a relative path starts at the configuration's directory".to_owned()),
        io::ErrorKind::PermissionDenied => Some("the server's user must be able to read it".to_owned()),
        _ => None,
    };
    let label = "expected a file that the server can read";
    Box::new(Problem::error(title, file.place.clone(), label).help(advice))
}

fn check_dates(key: &CertifiedKey, file: &NamedFile, now: WallTime, problems: &mut Vec<Problem>) {
    let Some((begin, end)) = dates_of(key) else { return };
    let now = now.as_unix_seconds();
    let name = file.path.display();
    let (title, label) = if end < now {
        (format!("the certificate `{name}` has expired"), format!("it ended on {}", day(end)))
    } else if begin > now {
        (format!("the certificate `{name}` is not good yet"), format!("it begins on {}", day(begin)))
    } else if end - now < ENDS_SOON_SECONDS {
        (format!("the certificate `{name}` expires soon"), format!("it ends on {}", day(end)))
    } else {
        return;
    };
    let advice = "clients that look at certificates go away: renew it; the server takes a new file by itself";
    problems.push(Problem::warning(title, file.place.clone(), label).help(advice.to_owned()));
}

fn day(seconds: u64) -> String {
    let (year, month, day) = WallTime::from_unix_millis(seconds.saturating_mul(1000)).date();
    format!("{year:04}-{month:02}-{day:02}")
}

/// Whether one of the names is the server's, or one of its domains or below one.
fn check_names(names: &[String], config: &Config, file: &NamedFile, problems: &mut Vec<Problem>) {
    let hostname = folded_domain(config.hostname.as_str());
    let domains: Vec<String> = config
        .mailboxes
        .domains
        .iter()
        .flat_map(crate::mailboxes::LocalDomain::names)
        .map(|name| folded_domain(name.as_str()).into_owned())
        .collect();
    let is_ours = |name: &String| {
        let bare = name.strip_prefix("*.").unwrap_or(name);
        let is_at_or_below = |domain: &String| {
            bare.strip_suffix(domain.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
        };
        let wild = name.strip_prefix("*.").is_some_and(|above| {
            hostname.split_once('.').is_some_and(|(_, hostname_above)| hostname_above == above)
        });
        *name == hostname || wild || domains.iter().any(is_at_or_below)
    };
    if names.iter().any(is_ours) {
        return;
    }
    let named = match names {
        [] => String::from("it has no DNS name"),
        [name] => format!("it is for {name}"),
        [first, rest @ ..] => format!("it is for {first} and {} more", rest.len()),
    };
    let title = format!("the certificate `{}` names nothing of this site", file.path.display());
    let advice = format!("get one for {hostname}: servers that look at names keep their mail");
    problems.push(Problem::warning(title, file.place.clone(), named).help(advice));
}
