//! Who signs and who rewrites: `[dkim]`, `[arc]` and `[srs]`.
//!
//! Invariants: names are in A-labels, as the DNS has them; files are only named here, and read when the configuration is
//! put in force.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use smtp::address::{Domain, DomainName};
use toml::Spanned;
use toml::de::DeValue;

use super::address_form::{DomainForm, FileForm, domain_name};
use super::domain::{is_unquoted, unquoted};
use super::form::{Fault, Form, text_of};
use super::key::{Table, as_table, in_order};
use super::problem::{Place, Problem};
use super::read::{plain, resolved};
use super::{Config, keys};
use crate::mailboxes::{Index, domain_key};
use crate::sign::UNSIGNABLE;

/// Who signs and who rewrites.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SigningSettings {
    /// The domains that sign.
    pub dkim: Vec<DkimSettings>,
    /// Who seals what passes through.
    pub arc: Option<ArcSettings>,
    /// How reverse-paths of forwarded mail are rewritten.
    pub srs: Option<SrsSettings>,
}

/// A domain that signs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DkimSettings {
    /// In A-labels.
    pub domain: DomainName,
    /// Its keys; at least one.
    pub keys: Vec<KeyFile>,
    /// Fields that are signed when they are there.
    pub headers: Vec<String>,
    /// Fields that nobody may add.
    pub oversigned: Vec<String>,
    /// How long a signature is good.
    pub expires: Option<Duration>,
}

/// A key's name in the DNS, and the file with its private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyFile {
    /// In A-labels.
    pub selector: DomainName,
    /// A path that can be opened.
    pub file: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

/// Who seals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArcSettings {
    /// In A-labels.
    pub domain: DomainName,
    /// The key.
    pub key: KeyFile,
}

/// How reverse-paths are rewritten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrsSettings {
    /// The domain of rewritten addresses; one of the site's.
    pub domain: DomainName,
    /// The file of secrets, a path that can be opened.
    pub secrets: PathBuf,
    /// Where the configuration names it.
    pub place: Place,
}

/// A selector with the file of its key.
pub(crate) struct KeyFileForm;

impl KeyFileForm {
    const KEYS: [&'static str; 2] = ["selector", "file"];
}

impl Form for KeyFileForm {
    type Value = (DomainName, Spanned<String>);

    fn describe(&self) -> String {
        "`{ selector = \"…\", file = \"…\" }`".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<Self::Value> {
        let DeValue::Table(table) = value.get_ref() else {
            faults.push(Fault::wrong_type(value, &self.describe()));
            return None;
        };
        for (key, _) in table.iter().filter(|(key, _)| !Self::KEYS.contains(&key.get_ref().as_ref())) {
            let title = format!("unknown key `{}`", key.get_ref());
            let near = policy::nearest::did_you_mean(key.get_ref(), Self::KEYS);
            faults.push(Fault::new(key.span(), title, "expected `selector` or `file`").help(near));
        }
        let missing = |name| Fault::new(value.span(), format!("no `{name}`"), "expected it here");
        let selector = match table.get("selector") {
            Some(selector) => DomainForm.read(selector, faults),
            None => {
                faults.push(missing("selector"));
                None
            }
        };
        let file = match table.get("file") {
            Some(file) => FileForm.read(file, faults).map(|path| Spanned::new(file.span(), path)),
            None => {
                faults.push(missing("file"));
                None
            }
        };
        Some((ascii(&selector?)?, file?))
    }
}

/// The name of a header field that may be signed.
pub(crate) struct SignedFieldForm;

impl Form for SignedFieldForm {
    type Value = String;

    fn describe(&self) -> String {
        "a header field's name".into()
    }

    fn read(&self, value: &Spanned<DeValue<'_>>, faults: &mut Vec<Fault>) -> Option<String> {
        let text = text_of(value, "a header field's name", faults)?;
        let is_name = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b':' | b';');
        if text.is_empty() || !text.bytes().all(is_name) {
            let title = format!("`{text}` is no header field's name");
            faults.push(Fault::new(value.span(), title, "expected a name such as `Subject`"));
            return None;
        }
        if UNSIGNABLE.iter().any(|name| name.eq_ignore_ascii_case(text)) {
            let title = format!("`{text}` can't be signed");
            faults.push(Fault::new(
                value.span(),
                title,
                "others change or add it on the way (RFC 6376 §5.4)",
            ));
            return None;
        }
        Some(text.to_owned())
    }
}

/// The name in A-labels.
fn ascii(name: &DomainName) -> Option<DomainName> {
    domain_key(name.as_str())?.parse().ok()
}

/// Reads the three sections; relative paths start at `base`.
pub(super) fn read_signing(
    top: &Table<'_>,
    base: Option<&Path>,
    problems: &mut Vec<Problem>,
) -> SigningSettings {
    let path = |file: &str| resolved(base, file);
    SigningSettings {
        dkim: read_dkim(top, &path, problems),
        arc: read_arc(top, &path, problems),
        srs: read_srs(top, &path, problems),
    }
}

fn read_dkim(
    top: &Table<'_>,
    path: &impl Fn(&str) -> PathBuf,
    problems: &mut Vec<Problem>,
) -> Vec<DkimSettings> {
    let Some(domains) = top.table("dkim", problems) else { return Vec::new() };
    let frame = top.frame;
    let mut read: Vec<DkimSettings> = Vec::new();
    for (key, value) in in_order(domains) {
        let place = frame.place(key.span());
        let domain = match domain_name(key.get_ref()).map(|name| ascii(&name)) {
            Ok(Some(name)) => name,
            Ok(None) => continue,
            Err(why) => {
                let title = format!("`{}` is not a domain name", key.get_ref());
                problems.push(Problem::error(title, place, why));
                continue;
            }
        };
        if let Some(table) = as_table(frame, key, value, problems) {
            if is_unquoted(table, &["keys"]) {
                problems.push(unquoted(frame, key, "dkim"));
                continue;
            }
            if read.iter().any(|known| known.domain == domain) {
                let title = format!("domain `{domain}` signs twice");
                problems.push(Problem::error(title, place.clone(), "again here"));
            }
            let table = Table::new(frame, table, &keys::DKIM, problems);
            read.push(read_dkim_domain(domain, place, &table, path, problems));
        }
    }
    read
}

fn read_dkim_domain(
    domain: DomainName,
    place: Place,
    table: &Table<'_>,
    path: &impl Fn(&str) -> PathBuf,
    problems: &mut Vec<Problem>,
) -> DkimSettings {
    let mut seen: HashMap<String, Place> = HashMap::new();
    let before = problems.len();
    let mut keys = Vec::new();
    for key in table.read(&keys::DKIM_KEYS, problems) {
        let place = table.frame.place(key.span());
        let (selector, file) = key.into_inner();
        if let Some(first) = seen.insert(selector.to_string(), place.clone()) {
            let title = format!("selector `{selector}` stands twice");
            problems.push(Problem::error(title, place, "again here").also(first, "first here"));
            continue;
        }
        let place = table.frame.place(file.span());
        keys.push(KeyFile { selector, file: path(file.get_ref()), place });
    }
    if keys.is_empty() && problems.len() == before {
        let advice = format!("`gatepost dkim new {domain}` makes one");
        let title = format!("`{domain}` has no key to sign with");
        problems.push(Problem::error(title, place, "expected `keys` here").help(advice));
    }
    let headers = plain(table.read(&keys::DKIM_HEADERS, problems));
    let mut oversigned = plain(table.read(&keys::DKIM_OVERSIGN, problems));
    // Without From a signature counts for nothing (RFC 6376 §5.4).
    if !oversigned.iter().any(|name| name.eq_ignore_ascii_case("From")) {
        oversigned.insert(0, "From".to_owned());
    }
    DkimSettings { domain, keys, headers, oversigned, expires: table.read(&keys::DKIM_EXPIRES, problems) }
}

fn read_arc(
    top: &Table<'_>,
    path: &impl Fn(&str) -> PathBuf,
    problems: &mut Vec<Problem>,
) -> Option<ArcSettings> {
    let table = top.section("arc", &keys::ARC, problems);
    let before = problems.len();
    let domain = table.read(&keys::ARC_DOMAIN, problems);
    let selector = table.read(&keys::ARC_SELECTOR, problems);
    let key = table.read(&keys::ARC_KEY, problems);
    if problems.len() == before && (domain.is_some() || selector.is_some() || key.is_some()) {
        demand(top, &table, "arc", &["domain", "selector", "key"], problems);
    }
    let key = key?;
    let place = table.frame.place(key.span());
    let file = path(key.get_ref());
    let key = KeyFile { selector: ascii(selector?.get_ref())?, file, place };
    Some(ArcSettings { domain: ascii(domain?.get_ref())?, key })
}

fn read_srs(
    top: &Table<'_>,
    path: &impl Fn(&str) -> PathBuf,
    problems: &mut Vec<Problem>,
) -> Option<SrsSettings> {
    let table = top.section("srs", &keys::SRS, problems);
    let before = problems.len();
    let domain = table.read(&keys::SRS_DOMAIN, problems);
    let secrets = table.read(&keys::SRS_SECRETS, problems);
    if problems.len() == before && (domain.is_some() || secrets.is_some()) {
        demand(top, &table, "srs", &["domain", "secrets_file"], problems);
    }
    let secrets = secrets?;
    let place = table.frame.place(secrets.span());
    Some(SrsSettings { domain: ascii(domain?.get_ref())?, secrets: path(secrets.get_ref()), place })
}

/// Checks that a section that is written has all these keys.
fn demand(top: &Table<'_>, table: &Table<'_>, section: &str, names: &[&str], problems: &mut Vec<Problem>) {
    let header = top.get(section).map_or(0..0, |(key, _)| key.span());
    for name in names.iter().filter(|name| table.get(name).is_none()) {
        let title = format!("no `{name}` under `[{section}]`");
        let all: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
        let label = format!("expected {}", all.join(", "));
        problems.push(Problem::error(title, top.frame.place(header.clone()), label));
    }
}

/// Checks that bounces to rewritten addresses come here.
pub(super) fn check_srs(top: &Table<'_>, config: &Config, index: &Index, problems: &mut Vec<Problem>) {
    let Some(srs) = &config.signing.srs else { return };
    if index.domain(&config.mailboxes, &Domain::Name(srs.domain.clone())).is_none() {
        let table = top.section("srs", &keys::SRS, &mut Vec::new());
        let place = table.place("domain").unwrap_or_else(|| top.frame.place(0..0));
        let title = format!("bounces to `{}` do not come here", srs.domain);
        let advice = format!(
            "add it to `aliases` of a domain, or write `[domain.\"{}\"]`; its MX record must name this server",
            srs.domain
        );
        problems.push(Problem::error(title, place, "expected a domain whose mail ends here").help(advice));
    }
}
