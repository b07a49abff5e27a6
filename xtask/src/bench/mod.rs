//! `cargo xtask bench`: messages a second, processor time and memory, beside the bare minimum, Postfix, and itself under a policy that asks for more.
//!
//! The servers take turns (A B C, A B C) at each scenario, so that what else the machine does hits all alike; a
//! scenario's figure is taken over all its rounds. Processor time is that of the server's processes alone, measured
//! until they have come to rest, so that what is accepted is also settled.

mod contestant;
mod load;
mod measure;
mod name_server;
mod next_server;
mod postfix;
pub(crate) mod receiver;
mod report;
mod script;
mod starter;

use std::net::SocketAddr;
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;
use std::{env, fs, thread};

use anyhow::{Context as _, Result, ensure};

use self::contestant::Contestant;
use self::load::Achieved;
use self::next_server::NextServer;
use self::report::{Figure, IdleFigure, Report};
use self::script::Script;
use crate::dialogue::{Dialogue, loopback_source};
use crate::process;
use crate::scratch::Scratch;
use crate::server::{Server, raise_open_files};
use crate::stopwatch::Stopwatch;
use crate::workspace::Workspace;

/// Idle connections that the memory is measured with; Postfix has a process for each and gets fewer.
const IDLE_CONNECTIONS: usize = 10_000;
const IDLE_CONNECTIONS_QUICK: usize = 2_000;
const IDLE_CONNECTIONS_POSTFIX: usize = 100;

/// Open files beside the connections.
const OPEN_FILES_SPARE: u64 = 500;

/// Longest wait for what was accepted to be relayed.
const RELAYED_WAIT_MAX: Duration = Duration::from_secs(300);

/// How often it is looked whether all has been relayed.
const RELAYED_LOOK: Duration = Duration::from_millis(5);

/// What `bench` is asked to do.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One short round of each scenario: to see that it works, not to compare.
    #[arg(long)]
    quick: bool,
    /// Only these servers; without it all that can be had.
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Contestant>,
    /// Only scenarios whose name holds this.
    #[arg(long, value_name = "WORDS")]
    only: Option<String>,
    /// Rounds of each scenario.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seconds of load in a round.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Print the figures as JSON instead of tables.
    #[arg(long)]
    json: bool,
    /// Write the tables to docs/reference/benchmarks.md as well.
    #[arg(long)]
    record: bool,
}

struct Scenario {
    name: &'static str,
    /// What is counted.
    unit: &'static str,
    sessions: usize,
    script: fn() -> Script,
    /// Whether the messages go on to [`NextServer`], and count once they have arrived.
    relayed: bool,
}

const SCENARIOS: [Scenario; 6] = [
    Scenario {
        name: "4 KB, 20 sessions, pipelined",
        unit: "messages",
        sessions: 20,
        script: || script::pipelined_messages(4 * 1_024),
        relayed: false,
    },
    Scenario {
        name: "4 KB, 20 sessions, command by command",
        unit: "messages",
        sessions: 20,
        script: || script::stepwise_messages(4 * 1_024),
        relayed: false,
    },
    Scenario {
        name: "4 KB, 1 session, pipelined",
        unit: "messages",
        sessions: 1,
        script: || script::pipelined_messages(4 * 1_024),
        relayed: false,
    },
    Scenario {
        name: "100 KB, 20 sessions, pipelined",
        unit: "messages",
        sessions: 20,
        script: || script::pipelined_messages(100 * 1_024),
        relayed: false,
    },
    Scenario {
        name: "storm of refused recipients, 100 sessions, 10 each",
        unit: "refusals",
        sessions: 100,
        script: script::refused_recipients,
        relayed: false,
    },
    Scenario {
        name: "4 KB, 20 sessions, relayed",
        unit: "messages",
        sessions: 20,
        script: || script::relayed_messages(4 * 1_024),
        relayed: true,
    },
];

/// A server that is up.
struct Entrant {
    contestant: Contestant,
    server: Server,
}

/// Measures and prints.
///
/// # Errors
/// When a build, a server that was asked for or a run fails.
pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<bool> {
    if cfg!(debug_assertions) {
        return measure_with_release_build(workspace);
    }
    raise_open_files(IDLE_CONNECTIONS as u64 + OPEN_FILES_SPARE)?;
    let scratch = Scratch::new(&workspace.target, "bench")?;
    let next_server = NextServer::start()?;
    let entrants = start_all(workspace, args, &scratch)?;
    let mut report = Report::new(entrants.iter().map(|entrant| entrant.contestant).collect());
    let wanted = |name: &str| args.only.as_deref().is_none_or(|words| name.contains(words));
    let relays = SCENARIOS.iter().any(|scenario| scenario.relayed && wanted(scenario.name));
    let relaying = if relays { relaying(workspace, &entrants, &scratch, &next_server)? } else { Vec::new() };
    for scenario in SCENARIOS.iter().filter(|scenario| wanted(scenario.name)) {
        let entrants = if scenario.relayed { &relaying } else { &entrants };
        for figure in play(scenario, entrants, args, &next_server)? {
            report.add(figure);
        }
    }
    if wanted(report::IDLE_NAME) {
        let contestants: Vec<Contestant> = entrants.iter().map(|entrant| entrant.contestant).collect();
        // A server that has worked has memory to spare, and a new one shows what a connection takes.
        drop((entrants, relaying));
        for contestant in contestants {
            let folder = scratch.path().join("idle").join(contestant.folder());
            let server = contestant.start(workspace, &folder, None)?;
            report.add_idle(idle(contestant, &server, args.quick)?);
        }
    }
    if args.json {
        println!("{:#}", report.json());
    } else {
        print!("{}", report.markdown());
    }
    if args.record {
        let path = workspace.root.join("docs/reference/benchmarks.md");
        fs::write(&path, report.document()).with_context(|| format!("can't write {}", path.display()))?;
        eprintln!("docs/reference/benchmarks.md: written");
    }
    Ok(true)
}

/// Builds the program and these commands for release, and goes on as the latter.
fn measure_with_release_build(workspace: &Workspace) -> Result<bool> {
    let mut build = process::cargo();
    build.args(["build", "--release", "--locked", "--package", "gatepost", "--package", "xtask"]);
    process::run(build.current_dir(&workspace.root))?;
    let error = Command::new(workspace.program("release", "xtask")).args(env::args_os().skip(1)).exec();
    Err(error).context("can't go on as the release build")
}

/// Starts every server that was asked for, or all that can be had.
fn start_all(workspace: &Workspace, args: &Args, scratch: &Scratch) -> Result<Vec<Entrant>> {
    let mut entrants = Vec::new();
    for contestant in Contestant::ALL {
        let asked = args.servers.contains(&contestant);
        if !asked && !args.servers.is_empty() {
            continue;
        }
        match contestant.start(workspace, &scratch.path().join(contestant.folder()), None) {
            Ok(server) => entrants.push(Entrant { contestant, server }),
            // Postfix is a peer for comparison; the rest is measured without it.
            Err(error) if contestant == Contestant::Postfix && !asked => {
                eprintln!("without postfix: {error:#}")
            }
            Err(error) => return Err(error.context(format!("can't start {}", contestant.name()))),
        }
    }
    Ok(entrants)
}

/// Starts those that relay once more, with a server that they relay to.
fn relaying(
    workspace: &Workspace,
    entrants: &[Entrant],
    scratch: &Scratch,
    next_server: &NextServer,
) -> Result<Vec<Entrant>> {
    let relaying = entrants.iter().map(|entrant| entrant.contestant).filter(|contestant| contestant.relays());
    let start = |contestant: Contestant| {
        let folder = scratch.path().join("relaying").join(contestant.folder());
        let server = contestant.start(workspace, &folder, Some(next_server.address()))?;
        Ok(Entrant { contestant, server })
    };
    relaying.map(start).collect()
}

fn play(
    scenario: &Scenario,
    entrants: &[Entrant],
    args: &Args,
    next_server: &NextServer,
) -> Result<Vec<Figure>> {
    let (rounds, duration) = if args.quick { (1, 1) } else { (args.rounds, args.seconds) };
    let duration = Duration::from_secs(duration.max(1));
    let script = (scenario.script)();
    let mut figures: Vec<Figure> = entrants
        .iter()
        .map(|entrant| Figure::new(scenario.name, scenario.unit, entrant.contestant))
        .collect();
    for round in 1..=rounds.max(1) {
        for (Entrant { contestant, server }, figure) in entrants.iter().zip(&mut figures) {
            eprintln!("{}: {}, round {round}", scenario.name, contestant.name());
            let before = measure::settled_processor_time(server.pid())?;
            let (watch, relayed_before) = (Stopwatch::start(), next_server.messages());
            let mut achieved = load::run(server.address(), &script, scenario.sessions, duration)
                .with_context(|| format!("{}: {}", contestant.name(), scenario.name))?;
            if scenario.relayed {
                await_relayed(next_server, relayed_before + achieved.in_all)
                    .with_context(|| contestant.name().to_owned())?;
                achieved = Achieved { in_time: achieved.in_all, elapsed: watch.elapsed(), ..achieved };
            }
            let after = measure::settled_processor_time(server.pid())?;
            ensure!(achieved.in_time > 0, "{}: nothing was done in time", contestant.name());
            figure.add(&achieved, after.saturating_sub(before));
        }
    }
    Ok(figures)
}

/// Waits until the next server has taken `messages` in all.
fn await_relayed(next_server: &NextServer, messages: u64) -> Result<()> {
    let watch = Stopwatch::start();
    while next_server.messages() < messages {
        ensure!(
            watch.elapsed() < RELAYED_WAIT_MAX,
            "{} messages have not been relayed",
            messages - next_server.messages()
        );
        thread::sleep(RELAYED_LOOK);
    }
    Ok(())
}

/// Opens idle connections and sees what each costs.
fn idle(contestant: Contestant, server: &Server, quick: bool) -> Result<IdleFigure> {
    let connections = match contestant {
        Contestant::Postfix => IDLE_CONNECTIONS_POSTFIX,
        Contestant::Gatepost | Contestant::Starter | Contestant::Bare if quick => IDLE_CONNECTIONS_QUICK,
        Contestant::Gatepost | Contestant::Starter | Contestant::Bare => IDLE_CONNECTIONS,
    };
    eprintln!("{}: {}, {connections} connections", report::IDLE_NAME, contestant.name());
    let before = measure::memory_octets(server.pid())?;
    let open = (0..connections)
        .map(|number| greet(server.address(), number))
        .collect::<Result<Vec<Dialogue>>>()
        .with_context(|| format!("{}: {}", contestant.name(), report::IDLE_NAME))?;
    let after = measure::memory_octets(server.pid())?;
    let octets_each = after.saturating_sub(before) / open.len().max(1) as u64;
    Ok(IdleFigure { contestant, connections: open.len(), octets_each })
}

fn greet(server: SocketAddr, number: usize) -> Result<Dialogue> {
    let mut dialogue = Dialogue::open(server, loopback_source(number))?;
    dialogue.ask(b"EHLO idle.bench.example\r\n", 250)?;
    Ok(dialogue)
}
