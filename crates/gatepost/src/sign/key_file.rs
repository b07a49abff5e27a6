//! Keys and secrets in files: read when a configuration is put in force, with a warning when others can read them.
//!
//! Invariants: nothing of a file's content gets into a problem; a file that can't be used is an error, so that no mail leaves
//! unsigned because of one.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use super::dkim::{DkimDomain, DkimKey};
use super::key::SigningKey;
use super::{Sealer, Signing};
use crate::config::{Config, KeyFile, Place, Problem};
use crate::srs::Srs;

/// Largest file of a key or of secrets, in octets (ours; an RSA key of 8192 bits has about 6500).
const FILE_OCTETS_MAX: u64 = 64 * 1024;

/// Fewest characters of a secret that is not warned about (ours: 80 bits in base32).
const SECRET_CHARACTERS_MIN: usize = 16;

/// Reads the keys of a configuration for a server that vouches under `own_names`. Warnings are added to `problems`.
///
/// # Errors
/// All problems, those of `problems` included. Blocks on the disk.
pub fn load(
    config: &Config,
    own_names: &Arc<[String]>,
    problems: &mut Vec<Problem>,
) -> Result<Signing, Vec<Problem>> {
    let settings = &config.signing;
    let mut is_whole = true;
    let mut domains = Vec::with_capacity(settings.dkim.len());
    for domain in &settings.dkim {
        let mut keys = Vec::with_capacity(domain.keys.len());
        for file in &domain.keys {
            match read_key(file, problems) {
                Some(key) => keys.push(DkimKey { selector: file.selector.clone(), key }),
                None => is_whole = false,
            }
        }
        domains.push(DkimDomain {
            domain: domain.domain.clone(),
            keys,
            headers: domain.headers.clone(),
            oversigned: domain.oversigned.clone(),
            expires_seconds: domain.expires.map(|expires| expires.as_secs()),
        });
    }
    let mut sealer = None;
    if let Some(arc) = &settings.arc {
        match read_key(&arc.key, problems) {
            Some(key) => {
                let selector = arc.key.selector.clone();
                sealer = Some(Sealer { domain: arc.domain.clone(), selector, key });
            }
            None => is_whole = false,
        }
    }
    if !is_whole {
        return Err(std::mem::take(problems));
    }
    Ok(Signing::new((config.hostname.as_str(), Arc::clone(own_names)), domains, sealer))
}

/// Reads the secrets of a configuration, when it rewrites reverse-paths. Warnings are added to `problems`.
///
/// # Errors
/// All problems, those of `problems` included. Blocks on the disk.
pub fn srs_secrets(config: &Config, problems: &mut Vec<Problem>) -> Result<Option<Srs>, Vec<Problem>> {
    let Some(settings) = &config.signing.srs else { return Ok(None) };
    let text = match read_private(&settings.secrets, &settings.place, problems) {
        Ok(text) => text,
        Err(problem) => {
            problems.push(*problem);
            return Err(std::mem::take(problems));
        }
    };
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let secrets: Vec<&str> = lines.collect();
    if secrets.is_empty() {
        let title = format!("no secret in `{}`", settings.secrets.display());
        problems.push(Problem::error(title, settings.place.clone(), "expected one a line"));
        return Err(std::mem::take(problems));
    }
    if secrets.iter().any(|secret| secret.chars().count() < SECRET_CHARACTERS_MIN) {
        let title = format!("a secret in `{}` is short", settings.secrets.display());
        let label =
            format!("whoever guesses it can have mail led anywhere; use {SECRET_CHARACTERS_MIN} characters");
        problems.push(Problem::warning(title, settings.place.clone(), label));
    }
    Ok(Some(Srs::new(settings.domain.clone(), &secrets)))
}

fn read_key(file: &KeyFile, problems: &mut Vec<Problem>) -> Option<SigningKey> {
    let read = read_private(&file.file, &file.place, problems).and_then(|pem| {
        SigningKey::from_pem(&pem).map_err(|why| {
            let title = format!("can't sign with `{}`: {why}", file.file.display());
            let label = "expected a private key in PEM, PKCS#8 or PKCS#1";
            Box::new(Problem::error(title, file.place.clone(), label))
        })
    });
    match read {
        Ok(key) => Some(key),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

/// The text of a file that others should not be able to read or change.
///
/// # Errors
/// A problem at `place`. Blocks on the disk.
pub(crate) fn read_private(
    path: &Path,
    place: &Place,
    problems: &mut Vec<Problem>,
) -> Result<String, Box<Problem>> {
    let text = || -> io::Result<(String, u32)> {
        let mut text = String::new();
        let file = File::open(path)?;
        let mode = file.metadata()?.permissions().mode();
        file.take(FILE_OCTETS_MAX + 1).read_to_string(&mut text)?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > FILE_OCTETS_MAX {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it is too large"));
        }
        Ok((text, mode))
    };
    let (text, mode) = text().map_err(|error| {
        let title = format!("can't read `{}`: {error}", path.display());
        let advice = match error.kind() {
            io::ErrorKind::NotFound => {
                Some("a relative path starts at the configuration's directory".to_owned())
            }
            _ => None,
        };
        Problem::error(title, place.clone(), "expected a file that the server can read").help(advice)
    })?;
    // A group may read it: keys are often root's, and the server in that group.
    if mode & 0o027 != 0 {
        let title = format!("others than its owner can get at `{}`", path.display());
        let advice = format!("chmod 600 {}", path.display());
        problems.push(
            Problem::warning(title, place.clone(), format!("its mode is {:o}", mode & 0o777)).help(advice),
        );
    }
    Ok(text)
}

/// Writes a file that only its owner can read, and that was not there before.
///
/// # Errors
/// When it is there, or can't be written.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}
