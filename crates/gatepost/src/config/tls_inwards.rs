//! How connections from clients are protected: certificates, versions, cipher suites, and who is asked for a certificate.
//!
//! Invariants: files are only named here, and read when the configuration is put in force; some cipher suite fits the
//! versions that are spoken.

use std::path::{Path, PathBuf};

use policy::nearest::did_you_mean;
use toml::Spanned;
use toml::de::DeValue;

use super::address_form::FileForm;
use super::form::{Fault, Form};
use super::key::Table;
use super::keys_tls as keys;
use super::problem::{Place, Problem};
use super::read::{plain, resolved};
use super::{Network, any_contains};
use crate::net::tls::Cipher;

/// How connections from clients are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InwardTls {
    /// What is shown to clients; empty: a certificate that this server makes itself.
    pub certificates: Vec<CertificateFiles>,
    /// The oldest version that is spoken.
    pub minimum: TlsVersion,
    /// Cipher suites, best first; empty: all, in the client's order.
    pub(crate) ciphers: Vec<Cipher>,
    /// Whether STARTTLS is offered to other servers.
    pub mx: Offer,
    /// Whether STARTTLS is offered to users; by default it is required of all but those of the loopback network.
    pub submission: Option<Offer>,
    /// Who is asked for a certificate.
    pub client_certificates: Vec<Network>,
    /// The authorities that vouch for clients, instead of the usual ones.
    pub client_ca_file: Option<NamedFile>,
}

/// A certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// Certificates, this server's own first.
    pub chain: NamedFile,
    /// The private key.
    pub key: NamedFile,
}

/// A file that the configuration names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedFile {
    /// A path that can be opened.
    pub path: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

/// Whether STARTTLS is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// 502.
    Off,
    /// Whoever wants it uses it.
    Offered,
    /// MAIL and AUTH need it.
    Required,
}

impl InwardTls {
    /// Whether the client is asked for a certificate.
    #[must_use]
    pub fn asks(&self, client: std::net::IpAddr) -> bool {
        any_contains(&self.client_certificates, client)
    }
}

/// A certificate's files.
pub(crate) struct CertificateForm;

impl CertificateForm {
    const KEYS: [&'static str; 2] = ["chain", "key"];
}

impl Form for CertificateForm {
    type Value = (Spanned<String>, Spanned<String>);

    fn describe(&self) -> String {
        "`{ chain = \"…\", key = \"…\" }`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let DeValue::Table(table) = value.get_ref() else {
            faults.push(Fault::wrong_type(value, &self.describe()));
            return None;
        };
        for (key, _) in table.iter().filter(|(key, _)| !Self::KEYS.contains(&key.get_ref().as_ref())) {
            let title = format!("unknown key `{}`", key.get_ref());
            let near = did_you_mean(key.get_ref(), Self::KEYS);
            faults.push(Fault::new(key.span(), title, "expected `chain` or `key`").help(near));
        }
        let [chain, key] = Self::KEYS.map(|name| match table.get(name) {
            Some(file) => FileForm.read(file, faults).map(|path| Spanned::new(file.span(), path)),
            None => {
                faults.push(Fault::new(value.span(), format!("no `{name}`"), "expected it here"));
                None
            }
        });
        Some((chain?, key?))
    }
}

/// Reads what `[tls]` says of clients.
pub(super) fn read_inwards(table: &Table<'_>, base: Option<&Path>, problems: &mut Vec<Problem>) -> InwardTls {
    let named = |file: Spanned<String>| NamedFile {
        path: resolved(base, file.get_ref()),
        place: table.frame.place(file.span()),
    };
    let certificates: Vec<_> = plain(table.read(&keys::CERTIFICATE, problems));
    let settings = InwardTls {
        certificates: certificates
            .into_iter()
            .map(|(chain, key)| CertificateFiles { chain: named(chain), key: named(key) })
            .collect(),
        minimum: table.read(&keys::MINIMUM, problems),
        ciphers: plain(table.read(&keys::CIPHERS, problems)),
        mx: table.read(&keys::OFFER, problems),
        submission: table.read(&keys::SUBMISSION, problems),
        client_certificates: plain(table.read(&keys::CLIENT_CERTIFICATES, problems)),
        client_ca_file: table.read(&keys::CLIENT_CA_FILE, problems).map(named),
    };
    check(&settings, table, problems);
    settings
}

/// Checks the settings against each other.
fn check(settings: &InwardTls, table: &Table<'_>, problems: &mut Vec<Problem>) {
    let fits = |cipher: &Cipher| settings.minimum == TlsVersion::V1_2 || cipher.version() == TlsVersion::V1_3;
    if let (Some(place), false) = (table.place("ciphers"), settings.ciphers.is_empty())
        && !settings.ciphers.iter().any(fits)
    {
        let title = "no cipher suite for TLS 1.3";
        let advice = "add `TLS_AES_256_GCM_SHA384`, or set `tls.minimum = \"1.2\"`".to_owned();
        problems.push(Problem::error(title, place, "with these nobody could use TLS").help(advice));
    }
    if let (Offer::Required, Some(place)) = (settings.mx, table.place("mx")) {
        let title = "other servers must use TLS";
        let label = "mail from those that can't goes back to its senders";
        let advice = "\"offered\" is what RFC 3207 §4 asks of a server that all may reach".to_owned();
        problems.push(Problem::warning(title, place, label).help(advice));
    }
    if let Some(place) = table.place("client_ca_file").filter(|_| settings.client_certificates.is_empty()) {
        let label = "no client is asked for a certificate";
        problems.push(
            Problem::warning("`client_ca_file` is never used", place, label)
                .help("name networks in `tls.client_certificates`".to_owned()),
        );
    }
}
