//! `gatepost codes`: explains reply codes, and lists those that fit.

use std::io::{self, IsTerminal as _, Read as _, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Args as ClapArgs;
use serde::Serialize;
use smtp::catalogue::Stage;

use crate::codes::page::{self, Style};
use crate::codes::table::{STAGE_SYNONYMS, stage};
use crate::codes::{Explanation, Filter, Language, Listing, Query, Table};

/// The width of a page that no terminal bounds, in columns.
const COLUMNS_DEFAULT: usize = 100;
/// The most that is read from standard input, in octets: a reply is far shorter.
const INPUT_OCTETS_MAX: u64 = 65_536;

const EXAMPLES: &str = "\
Examples:
  gatepost codes                          every code, by class
  gatepost codes 451                      one code
  gatepost codes 5.7.1                    an enhanced code; 4.7.1, X.7.1 and 7.1 work too
  gatepost codes '550 5.7.26 This mail…'  a reply, or a whole log line with a reply in it
  gatepost codes - < line.log             the same, from standard input
  gatepost codes --reject --at recipient  the codes for a refusal at RCPT, and enhanced codes
  gatepost codes --at mail --temporary    the 4yz codes seen at MAIL

Stages: connect, helo, starttls, auth, mail, recipient, data, verify, help, message (the end of
the mail data) and command (anything else).

JSON (--json) is one object; while `schema` stays 1, fields are only ever added:
  kind list or reject
    language, stage, codes: [{code, class, standing, gatepost, source, meaning,
    stages: {listed, common}, listed (with --at), enhanced (with --reject)}]
  kind explanation, or unknown (basic and enhanced are null)
    language, query: {code, enhanced, text, stage}, notices: [{level, name, text}],
    basic: {code, class, standing, gatepost, source, stages, meaning, condition, peers, server,
    sender, refuser, enhanced}, enhanced: {code, title, subject, registered, owner, source,
    stages, meaning, peers, sender, basic}, gatepost: [{name, reply, condition, source, stages}]
  codes that go together: [{code, title, pairing, gatepost}]
  standing: core, extension, registered, private; pairing: registry, usual; level: warning, note

Exit codes:
  0  explained or listed
  1  a code that no table holds
  2  no code in the input, or a wrong option";

/// Explain SMTP reply codes, or list those usable in a refusal.
#[derive(Debug, Default, ClapArgs)]
#[command(after_long_help = EXAMPLES, after_help = "See --help for examples, stages, JSON and exit codes.")]
pub struct Args {
    /// A code, an enhanced code, a reply or a log line; `-` reads it from standard input.
    #[arg(value_name = "CODE OR REPLY", conflicts_with_all = ["reject", "at", "temporary", "permanent"])]
    pub question: Vec<String>,
    /// List only codes that may be chosen for a refusal, with the enhanced codes that go with each.
    #[arg(long)]
    pub reject: bool,
    /// List only codes that are seen at this stage.
    #[arg(long, value_name = "STAGE", value_parser = parse_stage)]
    pub at: Option<Stage>,
    /// List only 4yz codes.
    #[arg(long, conflicts_with = "permanent")]
    pub temporary: bool,
    /// List only 5yz codes.
    #[arg(long)]
    pub permanent: bool,
    /// The language of the texts; by default that of the locale (LC_ALL, LC_MESSAGES, LANG).
    #[arg(long, value_enum)]
    pub lang: Option<Language>,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Explained or listed: exit code 0.
    Told,
    /// No table holds the code: exit code 1.
    Unknown,
    /// The input holds no code: exit code 2.
    Misread,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Told => Self::SUCCESS,
            Outcome::Unknown => Self::from(1),
            Outcome::Misread => Self::from(2),
        }
    }
}

/// What the surroundings decide: the locale's language and the look of the page.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// The language without `--lang`.
    pub language: Language,
    /// The look of the page.
    pub style: Style,
}

impl Setting {
    /// The setting of this process: its locale, and the terminal that standard output may be.
    #[must_use]
    pub fn of_process() -> Self {
        let terminal = io::stdout().is_terminal();
        let columns = terminal_size::terminal_size()
            .filter(|_| terminal)
            .map_or(COLUMNS_DEFAULT, |(terminal_size::Width(columns), _)| usize::from(columns));
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            language: Language::from_locale(|name| std::env::var(name).ok()),
            style: Style { columns, emphasis: terminal && !plain },
        }
    }
}

/// Runs the command on standard output.
///
/// # Errors
/// Standard input or output fails.
pub fn run(mut args: Args) -> anyhow::Result<ExitCode> {
    if args.question == ["-"] {
        let mut input = Vec::new();
        io::stdin().take(INPUT_OCTETS_MAX).read_to_end(&mut input).context("cannot read standard input")?;
        args.question = vec![String::from_utf8_lossy(&input).into_owned()];
    }
    let mut page = Vec::new();
    let outcome = run_to(&args, Setting::of_process(), &mut page, &mut io::stderr().lock())?;
    match io::stdout().lock().write_all(&page) {
        // `gatepost codes | head` is no failure.
        Err(failure) if failure.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("cannot write to standard output")?,
    }
    Ok(outcome.into())
}

/// Runs the command: the page goes to `out`, complaints go to `complaints`.
///
/// # Errors
/// A writer fails.
pub fn run_to(
    args: &Args,
    setting: Setting,
    out: &mut impl Write,
    complaints: &mut impl Write,
) -> anyhow::Result<Outcome> {
    let table = Table::load().context("the tables of codes are malformed")?;
    let language = args.lang.unwrap_or(setting.language);
    if args.question.is_empty() {
        let class = if args.temporary { Some(4) } else { args.permanent.then_some(5) };
        let listing = Listing::new(&table, Filter { reject: args.reject, stage: args.at, class }, language);
        print(out, args.json, &listing, || page::listing(&listing, setting.style))?;
        return Ok(Outcome::Told);
    }
    let question = args.question.join(" ");
    let Some(query) = Query::parse(&question) else {
        writeln!(complaints, "{}", misread(question.trim(), language))?;
        return Ok(Outcome::Misread);
    };
    let explanation = Explanation::new(&table, query, language);
    let known = explanation.known();
    if known || args.json {
        print(out, args.json, &explanation, || page::explanation(&explanation, setting.style))?;
    } else {
        for notice in &explanation.notices {
            writeln!(complaints, "gatepost codes: {}", notice.text)?;
        }
    }
    Ok(if known { Outcome::Told } else { Outcome::Unknown })
}

fn print<T: Serialize>(
    out: &mut impl Write,
    json: bool,
    value: &T,
    page: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    if json {
        serde_json::to_writer_pretty(&mut *out, value)?;
        writeln!(out)?;
    } else {
        out.write_all(page().as_bytes())?;
    }
    Ok(())
}

/// The complaint about input without a code.
fn misread(question: &str, language: Language) -> String {
    let is_number = !question.is_empty() && question.bytes().all(|octet| octet.is_ascii_digit());
    match (language, is_number) {
        (Language::En, true) => {
            format!(
                "gatepost codes: {question} is no SMTP reply code; these run from 200 to 599, such \
            as 550"
            )
        }
        (Language::En, false) => {
            "gatepost codes: no reply code found; ask for 451, for 5.7.1, or paste a reply such as '550 \
            5.1.1 no such user'"
                .to_owned()
        }
        (Language::De, true) => {
            format!(
                "gatepost codes: {question} ist kein SMTP-Antwortcode; die reichen von 200 bis 599, \
            etwa 550"
            )
        }
        (Language::De, false) => {
            "gatepost codes: kein Antwortcode gefunden; fragen Sie nach 451, nach 5.7.1, oder geben Sie \
            eine Antwort wie '550 5.1.1 no such user' an"
                .to_owned()
        }
    }
}

fn parse_stage(name: &str) -> Result<Stage, String> {
    stage(name).ok_or_else(|| {
        let names: Vec<_> = Stage::ALL.into_iter().map(Stage::name).collect();
        let advice = policy::nearest::did_you_mean(
            name,
            names.iter().copied().chain(STAGE_SYNONYMS.map(|(synonym, _)| synonym)),
        );
        let advice = advice.map(|advice| format!("{advice} ")).unwrap_or_default();
        format!("{advice}the stages are {}", names.join(", "))
    })
}

#[cfg(test)]
#[path = "codes_tests.rs"]
mod tests;
