//! `gatepost policy show`: the whole policy in force, fixed rules and fixed replies included.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use policy::stage::Stage;
use policy::{Loaded, Policy, RuleInfo};
use serde::Serialize;
use smtp::catalogue::{self, Entry};

use super::json::{Place, SCHEMA};
use crate::cli::{self, SiteOptions, user};
use crate::site;

/// What `gatepost policy show` takes.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The policy's main file; without one, the configuration's, or else the fixed rules alone.
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// A rule as it is tried.
#[derive(Debug, Serialize)]
struct Rule {
    name: String,
    #[serde(flatten)]
    place: Option<Place>,
    observe: bool,
    fixed: bool,
    /// Its condition; empty when it holds always.
    condition: String,
    answer: String,
}

/// The rules of a stage, in the order in which they are tried.
#[derive(Debug, Serialize)]
struct Tried {
    stage: &'static str,
    rules: Vec<Rule>,
    /// The facts that they can ask for.
    asks: Vec<String>,
}

/// A fixed reply of the session.
#[derive(Debug, Serialize)]
struct Reply {
    name: &'static str,
    reply: String,
    /// Whether the site gave it other words.
    replaced: bool,
    condition: &'static str,
    source: &'static str,
    stages: Vec<&'static str>,
}

/// The policy.
#[derive(Debug, Serialize)]
struct Shown {
    schema: u8,
    kind: &'static str,
    fingerprint: String,
    files: Vec<String>,
    stages: Vec<Tried>,
    replies: Vec<Reply>,
}

/// Prints the policy; exit code 1 when it is refused, or the configuration that names it.
///
/// # Errors
/// When the file can't be read, or standard output can't be written.
pub(super) fn run(args: &Args, options: &SiteOptions) -> anyhow::Result<ExitCode> {
    let file = match (&args.file, &options.config) {
        (None, Some(config)) => match site::read(Some(config), &user()) {
            Ok(loaded) => loaded.config.policy.file.map(|(file, _)| file),
            Err(problems) => {
                cli::show(&problems);
                return Ok(ExitCode::FAILURE);
            }
        },
        (file, _) => file.clone(),
    };
    let policy = match &file {
        None => Policy::builtin(),
        Some(file) => match super::load(file)? {
            Ok(Loaded { policy, .. }) => policy,
            Err(refused) => {
                super::tell(&refused.findings, &refused.files);
                return Ok(ExitCode::FAILURE);
            }
        },
    };
    let shown = shown(&policy);
    let mut output = io::stdout();
    let written = if args.json {
        writeln!(output, "{}", serde_json::to_string_pretty(&shown)?)
    } else {
        write(&mut output, &shown)
    };
    match written {
        // A reader that has seen enough is no failure.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written?,
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(policy: &Policy) -> Shown {
    let rule = |info: &RuleInfo| Rule {
        name: info.name.to_string(),
        place: Place::of(info.span, policy.files()),
        observe: info.observe,
        fixed: info.fixed,
        condition: info.condition.clone(),
        answer: info.answer.clone(),
    };
    let stages = Stage::ALL.map(|stage| Tried {
        stage: stage.name(),
        rules: policy.rules_at(stage).iter().filter_map(|id| policy.rule(*id)).map(rule).collect(),
        asks: policy
            .needs(stage)
            .iter()
            .filter_map(|slot| policy.slots().get(slot.index()))
            .map(|info| info.name.to_string())
            .collect(),
    });
    Shown {
        schema: SCHEMA,
        kind: "policy",
        fingerprint: format!("{:016x}", policy.fingerprint()),
        files: policy.all_files().iter().map(|file| file.name.to_string()).collect(),
        stages: stages.into(),
        replies: fixed_replies(policy),
    }
}

/// The refusals of the session itself, and those of the fixed rules where the session gives them too (VRFY).
fn fixed_replies(policy: &Policy) -> Vec<Reply> {
    let refuses = |entry: &&Entry| entry.code.value() >= 400;
    let reply = |entry: &Entry| {
        let own = policy.reply(entry.name);
        let reply = own.map_or_else(
            || entry.reply(),
            |own| smtp::reply::Reply::new(own.code, Some(own.enhanced), own.text.clone(), entry.name),
        );
        Reply {
            name: entry.name,
            reply: reply.to_string(),
            replaced: own.is_some(),
            condition: entry.condition,
            source: entry.section,
            stages: entry.stages.iter().map(|stage| stage.name()).collect(),
        }
    };
    catalogue::ALL.iter().filter(refuses).map(reply).collect()
}

fn write(output: &mut impl Write, shown: &Shown) -> io::Result<()> {
    writeln!(output, "# policy {}, of {}", shown.fingerprint, shown.files.join(", "))?;
    for stage in shown.stages.iter().filter(|stage| !stage.rules.is_empty()) {
        writeln!(output, "\nat {}", stage.stage)?;
        for rule in &stage.rules {
            let place = rule.place.as_ref().map_or_else(String::new, Place::line);
            let observe = if rule.observe { "observe " } else { "" };
            let fixed = if rule.fixed { ", fixed" } else { "" };
            let when =
                if rule.condition.is_empty() { String::new() } else { format!(" when {}", rule.condition) };
            writeln!(
                output,
                "    # {place}{fixed}\n    {observe}rule {}{when}\n        {}",
                rule.name, rule.answer
            )?;
        }
        if !stage.asks.is_empty() {
            writeln!(output, "    # can ask for: {}", stage.asks.join(", "))?;
        }
    }
    writeln!(output, "\n# Replies of the session itself; `reply NAME ...` gives them other words.")?;
    for reply in &shown.replies {
        let own = if reply.replaced { " (the site's words)" } else { "" };
        writeln!(
            output,
            "{:<26} {}{own}\n{:<26} {} ({})",
            reply.name, reply.reply, "", reply.condition, reply.source
        )?;
    }
    Ok(())
}
