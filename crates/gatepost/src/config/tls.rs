//! How connections to other servers are protected: `[tls]` and `[tls.domain]`.
//!
//! Invariants: what rests on DNSSEC can't be asked for where answers are not validated; the files that are named hold
//! certificates.

use std::path::PathBuf;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::domain::TableFiles;
use super::form::Form as _;
use super::key::{Table, in_order};
use super::problem::{Place, Problem};
use super::read::resolved;
use super::route::{DomainPattern, TlsChoice, closest, pattern};
use super::tls_inwards::{InwardTls, read_inwards};
use super::{keys, keys_out};

/// How connections to other servers are protected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    /// The file of authorities that are trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Whether the policies of domains hold (RFC 8461).
    pub mta_sts: bool,
    /// The port at which they are fetched.
    pub mta_sts_port: u16,
    /// What is asked of MX hosts of whose domain nothing else is known; never [`TlsChoice::Dane`].
    pub default: TlsChoice,
    /// What is asked of the MX hosts of some domains, whatever they say themselves.
    pub domains: Vec<(DomainPattern, TlsChoice)>,
}

impl TlsSettings {
    /// What is asked of the MX hosts of `domain`, which is in its normal form: by the pattern that names it most closely.
    #[must_use]
    pub fn of_domain(&self, domain: &str) -> Option<TlsChoice> {
        closest(self.domains.iter().map(|(own, level)| (own, *level)), domain)
    }
}

/// Reads `[tls]`: what it says of other servers, and of clients.
pub(super) fn read_tls(
    top: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> (TlsSettings, InwardTls) {
    let table = top.section("tls", &keys::TLS, problems);
    let inwards = read_inwards(&table, files.base, problems);
    let outwards = TlsSettings {
        ca_file: read_ca_file(&table, files, problems),
        mta_sts: table.read(&keys::MTA_STS, problems),
        mta_sts_port: u16::try_from(table.read(&keys::MTA_STS_PORT, problems)).unwrap_or(443),
        default: table.read(&keys::TLS_DEFAULT, problems),
        domains: read_domains(top, &table, problems),
    };
    (outwards, inwards)
}

fn read_domains(
    top: &Table<'_>,
    table: &Table<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<(DomainPattern, TlsChoice)> {
    let Some(domains) = table.table("domain", problems) else { return Vec::new() };
    let mut read = Vec::new();
    for (key, value) in in_order(domains) {
        let mut faults = Vec::new();
        let level = keys_out::TLS_LEVEL.read(value, &mut faults);
        problems.extend(faults.into_iter().map(|fault| top.frame.problem(fault)));
        if level == Some(TlsChoice::Dane) {
            demand_dnssec(top, top.frame.place(value.span()), problems);
        }
        let name = key.get_ref().as_ref();
        match (pattern(name), level) {
            (Ok(pattern), Some(level)) => read.push((pattern, level)),
            (Ok(_), None) => {}
            (Err(why), _) => {
                let advice = match name.strip_prefix('.') {
                    Some(below) => format!("write \"*.{below}\" for all domains below it"),
                    None => String::from("write \"example.org\", or \"*.example.org\" for all below it"),
                };
                let place = top.frame.place(key.span());
                problems.push(Problem::error(format!("`{name}` is not a domain"), place, why).help(advice));
            }
        }
    }
    read
}

/// Records that answers are not validated, where something at `place` rests on that.
pub(super) fn demand_dnssec(top: &Table<'_>, place: Place, problems: &mut Vec<Problem>) {
    // What is wrong with the section itself is said where it is read.
    let dns = top.section("dns", &keys::DNS, &mut Vec::new());
    if !dns.read(&keys::DNSSEC, &mut Vec::new()) {
        let label = "no TLSA record is ever proven, so no mail would go";
        problems.push(
            Problem::error("\"dane\" without DNSSEC", place, label)
                .help("set `dns.dnssec = true`".to_owned()),
        );
    }
}

/// The path of the file, whose certificates are looked at once.
fn read_ca_file(
    table: &Table<'_>,
    files: &mut TableFiles<'_>,
    problems: &mut Vec<Problem>,
) -> Option<PathBuf> {
    let file = table.read(&keys::CA_FILE, problems)?;
    let place = table.frame.place(file.span());
    let path = resolved(files.base, file.get_ref());
    files.beside(&path, problems, |text| {
        let wrong = match text {
            Ok(text) if CertificateDer::pem_slice_iter(text.as_bytes()).any(|found| found.is_ok()) => {
                return Ok(());
            }
            Ok(_) => String::from("it holds no certificate in PEM"),
            Err(error) => error.to_string(),
        };
        let title = format!("cannot use `{}`", file.get_ref());
        Err(Box::new(Problem::error(title, place.clone(), wrong)))
    })?;
    Some(path)
}
