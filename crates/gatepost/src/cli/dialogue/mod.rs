//! `gatepost dialogue`: a session that is played against a policy, and what each rule saw; nothing is stored or sent.

mod expect;
mod facts;
mod page;
mod report;
mod script;

use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use self::expect::Expected;
use self::facts::{Mistake, Plan};
use self::report::Report;
use super::SiteOptions;
use crate::policy_files;
use crate::receive::rehearsal::{Rehearsal, Terms};
use crate::site::Site;

/// The client's port where none is given (ours: one that systems give to clients).
const CLIENT_PORT: u16 = 50_000;

/// Exit code of wrong usage, as clap has it.
const USAGE: u8 = 2;

const EXAMPLES: &str = "\
Examples:
  gatepost dialogue --client 192.0.2.9 --mail a@b.example --rcpt c@example.org
  gatepost dialogue --policy new.policy --facts clean.facts --fact zen.listed=unsure
  gatepost dialogue --mail '<>' --rcpt c@example.org --message mail.eml --expect 550
  gatepost dialogue --raw session.txt --json

Facts are written as in a policy's tests:
  --fact client.ptr=missing --fact zen.listed=unsure --fact per_client=201
  --fact 'client.ptr=\"mail.example\"' --fact 'attachment.type=\"exe\", \"pdf\"'
In a file they stand one a line, with # comments. What is given is taken for true. What
the DNS would say and is not given is unsure; --dns asks it. The greylist and the rates
begin empty. Facts of a message bring a stand-in where there is no --message. Those that
are the session's own (client.ip, helo.name, sender.address, recipient.address ...) set
it up, in place of the options.

JSON (--json): while `schema` stays 1, fields are only ever added.

Exit codes:
  0  nothing was refused, or --expect was met
  1  something was refused, or --expect was not met; or the configuration or the
     policy is refused, or a file can't be read
  2  wrong usage, wrong facts among it";

/// Play a session against a policy: the dialogue, and what each rule saw; nothing is stored or sent.
#[derive(Debug, Clone, clap::Args)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples, facts and exit codes.")]
pub struct Args {
    /// The policy; without it that of the configuration, or the built-in one.
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The client's address, with its port if that matters. [default: 203.0.113.1]
    #[arg(long, value_name = "IP[:PORT]", value_parser = parse_client)]
    client: Option<SocketAddr>,
    /// The name in EHLO. [default: client.example]
    #[arg(long, value_name = "NAME")]
    helo: Option<String>,
    /// Use STARTTLS; the version is what `tls.version` says.
    #[arg(long, value_name = "VERSION", num_args = 0..=1, default_missing_value = "TLSv1.3")]
    tls: Option<String>,
    /// Log in; any password is this user's.
    #[arg(long, value_name = "USER")]
    auth: Option<String>,
    /// The reverse-path; `<>` is the null one.
    #[arg(long, value_name = "ADDRESS", allow_hyphen_values = true)]
    mail: Option<String>,
    /// The size that MAIL declares, in octets.
    #[arg(long, value_name = "OCTETS")]
    size: Option<u64>,
    /// A recipient (may be given several times).
    #[arg(long, value_name = "ADDRESS")]
    rcpt: Vec<String>,
    /// Ask VRFY for this before the mail (may be given several times).
    #[arg(long, value_name = "TEXT")]
    vrfy: Vec<String>,
    /// Ask EXPN for this before the mail (may be given several times).
    #[arg(long, value_name = "TEXT")]
    expn: Vec<String>,
    /// The message; `-` is standard input. Lines may end in LF alone.
    #[arg(long, value_name = "FILE")]
    message: Option<PathBuf>,
    /// Take a fact for true (may be given several times).
    #[arg(long, value_name = "NAME=VALUE")]
    fact: Vec<String>,
    /// Take the facts of this file for true, one `fact = value` a line; `-` is standard input.
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,
    /// Ask the DNS for what is not given.
    #[arg(long)]
    dns: bool,
    /// What the last answer, QUIT's aside, is to be: `accept`, a reply code, or one with its enhanced code.
    #[arg(long, value_name = "CODE|accept")]
    expect: Option<Expected>,
    /// Play the lines of this file as they stand, each ended by CRLF; `-` is standard input.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["helo", "mail", "size", "rcpt", "vrfy", "expn", "message"])]
    raw: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

fn parse_client(text: &str) -> Result<SocketAddr, String> {
    let address = text.parse::<IpAddr>().map(|address| SocketAddr::new(address, CLIENT_PORT));
    address.or_else(|_| text.parse()).map_err(|_| {
        String::from("no address; 192.0.2.9, 192.0.2.9:50000, 2001:db8::9 and [2001:db8::9]:50000 are some")
    })
}

/// Plays the session.
///
/// # Errors
/// When a file can't be read, or standard output is gone.
pub fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let played = match play(args, options)? {
        Ok(played) => played,
        Err(code) => return Ok(code),
    };
    io::stdout().write_all(played.text.as_bytes())?;
    Ok(if played.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A session that was played.
struct Played {
    /// The page or the JSON.
    text: String,
    /// Whether nothing was refused, or what came was expected.
    passed: bool,
}

/// Plays the session; `Err` is the exit code where it could not be, and standard error says why.
fn play(args: &Args, options: &SiteOptions) -> anyhow::Result<Result<Played, ExitCode>> {
    let Some(site) = load(args, options)? else { return Ok(Err(ExitCode::FAILURE)) };
    let plan = match Plan::of(args, &site.policy.policy) {
        Ok(plan) => plan,
        Err(Mistake::Unreadable(error)) => return Err(error),
        Err(Mistake::Usage(why)) => {
            writeln!(io::stderr(), "gatepost dialogue: {why}")?;
            return Ok(Err(ExitCode::from(USAGE)));
        }
        Err(Mistake::Facts(refused)) => {
            super::policy::tell(&refused.findings, &refused.files);
            return Ok(Err(ExitCode::from(USAGE)));
        }
    };
    let report = perform(site, plan, args)?;
    let text =
        if args.json { format!("{}\n", serde_json::to_string_pretty(&report)?) } else { page::page(&report) };
    Ok(Ok(Played { text, passed: report.passed }))
}

/// The site that the session is played at; `None` when its configuration or policy is refused, which is shown.
fn load(args: &Args, options: &SiteOptions) -> anyhow::Result<Option<Site>> {
    let Some(config) = super::configuration(options) else { return Ok(None) };
    let text = args.policy.as_deref().map(policy_files::read).transpose()?;
    let other = args.policy.as_deref().zip(text.as_deref());
    let loaded = super::accepted(Site::rehearsing(config, other, &options.state, args.dns));
    Ok(loaded.map(|(site, warnings)| {
        super::show(&warnings);
        site
    }))
}

fn perform(site: Site, plan: Plan, args: &Args) -> anyhow::Result<Report> {
    let Plan { client, given, tls, user, script, is_stand_in } = plan;
    let about = report::About::of(&site, client, user.is_some(), args);
    let terms = Terms { client, given, tls: tls.clone(), user: user.clone(), is_stand_in };
    let (moments, unplayed) = super::runtime()?.block_on(async {
        let mut rehearsal = Rehearsal::begin(site, terms).await;
        let unplayed = script.play(&mut rehearsal).await;
        (rehearsal.into_moments(), unplayed)
    });
    Ok(Report::of(about, moments, is_stand_in, unplayed, args.expect.as_ref()))
}

/// The octets of a file, or of standard input for `-`.
fn octets_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    if path == Path::new("-") {
        let mut octets = Vec::new();
        io::stdin().lock().read_to_end(&mut octets).context("cannot read standard input")?;
        return Ok(octets);
    }
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}
