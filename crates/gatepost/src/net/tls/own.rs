//! A certificate of the server's own making, for a site that names none: nobody vouches for it, and mail is encrypted all
//! the same (RFC 7435).
//!
//! Invariant: its key stays when it is made anew, so that a TLSA record that names the key stays right.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use smtp::time::WallTime;

use super::certificates::{dates_of, names_of};
use super::provider;

/// How long it is good (ours: it says nothing that could go stale, and nobody renews it).
const YEARS: i32 = 10;

/// How long before its end it is made anew, in seconds (ours).
const RENEWED_SECONDS: u64 = 365 * 86_400;

/// The file, with the certificate and then the key.
pub(crate) fn file(state: &Path) -> PathBuf {
    state.join("tls/self-signed.pem")
}

/// The certificate that was made before, if there is one that can be used.
pub(super) fn read(state: &Path) -> Option<CertifiedKey> {
    let text = fs::read(file(state)).ok()?;
    let certificate = CertificateDer::from_pem_slice(&text).ok()?;
    let key = PrivateKeyDer::from_pem_slice(&text).ok()?;
    let key = provider().key_provider.load_private_key(key).ok()?;
    let certified = CertifiedKey::new(vec![certificate], key);
    certified.keys_match().is_ok().then_some(certified)
}

/// Makes one for `hostname`, unless there is one that is good for it. Whether one was made.
///
/// # Errors
/// When it can't be made or written.
pub(crate) fn make(state: &Path, hostname: &str, now: WallTime) -> io::Result<bool> {
    if let Some(before) = read(state) {
        let is_named = names_of(&before).iter().any(|name| name == hostname);
        let lasts = dates_of(&before).is_some_and(|(_, end)| end > now.as_unix_seconds() + RENEWED_SECONDS);
        if is_named && lasts {
            return Ok(false);
        }
    }
    let path = file(state);
    let key = fs::read_to_string(&path).ok().and_then(|text| KeyPair::from_pem(&text).ok());
    let key = key.map_or_else(KeyPair::generate, Ok).map_err(io::Error::other)?;
    let mut params = CertificateParams::new([hostname.to_owned()]).map_err(io::Error::other)?;
    params.distinguished_name.push(DnType::CommonName, hostname);
    let (year, _, _) = now.date();
    let year = i32::try_from(year).unwrap_or(i32::MAX - YEARS);
    params.not_before = rcgen::date_time_ymd(year, 1, 1);
    params.not_after = rcgen::date_time_ymd(year + YEARS, 1, 1);
    let certificate = params.self_signed(&key).map_err(io::Error::other)?;
    let folder = path.parent().unwrap_or(state);
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    crate::sign::write_new(&new, &format!("{}{}", certificate.pem(), key.serialize_pem()))?;
    fs::rename(&new, &path)?;
    Ok(true)
}
