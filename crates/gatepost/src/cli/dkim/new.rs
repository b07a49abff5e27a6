//! `gatepost dkim new`: a key that never was before, in a file that only its owner can read, and what to do with it.

use std::fs::DirBuilder;
use std::io::{self, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use smtp::address::DomainName;

use super::{Published, parse_domain};
use crate::cli::SiteOptions;
use crate::clock;
use crate::net::mail_auth::key_record::zone_line;
use crate::sign::{NewKey, SigningKey, write_new};

/// What `gatepost dkim new` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The domain that signs.
    #[arg(value_parser = parse_domain)]
    domain: DomainName,
    /// The key's name in the DNS. [default: `r` or `e` and the day, as in r20261125]
    #[arg(long, value_parser = parse_domain)]
    selector: Option<DomainName>,
    /// The kind of key; every verifier knows RSA.
    #[arg(long = "type", value_enum, default_value = "rsa")]
    kind: Kind,
    /// The length of an RSA key: 2048, 3072 or 4096.
    #[arg(long, default_value_t = 2048)]
    bits: u32,
    /// The file for the private key. [default: dkim/DOMAIN.SELECTOR.pem in the state directory]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Rsa,
    Ed25519,
}

pub(super) fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let kind = match args.kind {
        Kind::Rsa => NewKey::Rsa(args.bits),
        Kind::Ed25519 => NewKey::Ed25519,
    };
    let selector = match &args.selector {
        Some(selector) => selector.clone(),
        None => dated(args.kind)?,
    };
    if args.kind == Kind::Rsa && !crate::sign::RSA_BITS.contains(&args.bits) {
        bail!("RSA keys of {} bits are not made: --bits takes 2048, 3072 or 4096", args.bits);
    }
    let file = args.out.clone().map_or_else(|| in_state(&options.state, &args.domain, &selector), Ok)?;
    let pem = kind.make().context("the system gives no key")?;
    let published = Published::of(&args.domain, &selector, &SigningKey::from_pem(&pem)?)?;
    write_new(&file, &pem).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => anyhow::anyhow!(
            "{} is there already, and a key is never written over; choose another --selector or --out",
            file.display()
        ),
        _ => anyhow::Error::new(error).context(format!("cannot write {}", file.display())),
    })?;
    let file = file.canonicalize().unwrap_or(file);
    let mut out = io::stdout().lock();
    writeln!(out, "# {}, written to {}\n", published.kind, file.display())?;
    writeln!(out, "# 1. Put this into the DNS:")?;
    out.write_all(zone_line(&published.name, &published.record).as_bytes())?;
    let domain = &args.domain;
    writeln!(
        out,
        "\n# 2. Once it can be seen there, put the key into the configuration, beside others of the domain:"
    )?;
    writeln!(out, "[dkim.\"{domain}\"]")?;
    writeln!(out, "keys = [{{ selector = \"{selector}\", file = \"{}\" }}]", quoted(&file))?;
    writeln!(out, "\n# 3. `gatepost dkim check {domain}` tells whether the two match; then reload.")?;
    Ok(ExitCode::SUCCESS)
}

/// A selector that tells the day, as keys are replaced now and then, and the kind, as a domain may have one of each.
fn dated(kind: Kind) -> anyhow::Result<DomainName> {
    let (year, month, day) = clock::wall().date();
    let kind = match kind {
        Kind::Rsa => 'r',
        Kind::Ed25519 => 'e',
    };
    parse_domain(&format!("{kind}{year:04}{month:02}{day:02}")).map_err(anyhow::Error::msg)
}

/// The file in the state directory; the folders on the way are made.
fn in_state(state: &Path, domain: &DomainName, selector: &DomainName) -> anyhow::Result<PathBuf> {
    let folder = state.join("dkim");
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder.join(format!("{domain}.{selector}.pem")))
}

/// The path as a string of TOML.
fn quoted(path: &Path) -> String {
    path.display().to_string().replace('\\', "\\\\").replace('"', "\\\"")
}
