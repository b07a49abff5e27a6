//! The figures of a bench run, as tables and as JSON.

use std::fmt::Write as _;
use std::fs;
use std::thread::available_parallelism;
use std::time::Duration;

use serde_json::{Value, json};

use super::contestant::Contestant;
use super::load::Achieved;

/// The name of the memory measurement.
pub(super) const IDLE_NAME: &str = "idle connections";

/// One server in one scenario, over all rounds.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    scenario: &'static str,
    unit: &'static str,
    contestant: Contestant,
    in_time: u64,
    in_all: u64,
    elapsed: Duration,
    processor: Duration,
}

/// The memory of one server's idle connections.
#[derive(Debug, Clone, Copy)]
pub(super) struct IdleFigure {
    pub(super) contestant: Contestant,
    pub(super) connections: usize,
    pub(super) octets_each: u64,
}

impl Figure {
    pub(super) const fn new(scenario: &'static str, unit: &'static str, contestant: Contestant) -> Self {
        let zero = Duration::ZERO;
        Self { scenario, unit, contestant, in_time: 0, in_all: 0, elapsed: zero, processor: zero }
    }

    pub(super) fn add(&mut self, achieved: &Achieved, processor: Duration) {
        self.in_time += achieved.in_time;
        self.in_all += achieved.in_all;
        self.elapsed += achieved.elapsed;
        self.processor += processor;
    }

    fn per_second(&self) -> f64 {
        ratio(self.in_time as f64, self.elapsed.as_secs_f64())
    }

    /// Processor time of 1,000 units, in milliseconds.
    fn processor_ms(&self) -> f64 {
        ratio(self.processor.as_secs_f64() * 1e6, self.in_all as f64)
    }
}

fn ratio(one: f64, other: f64) -> f64 {
    if other > 0.0 { one / other } else { 0.0 }
}

/// All figures of a run.
#[derive(Debug)]
pub(super) struct Report {
    contestants: Vec<Contestant>,
    figures: Vec<Figure>,
    idle: Vec<IdleFigure>,
}

impl Report {
    pub(super) const fn new(contestants: Vec<Contestant>) -> Self {
        Self { contestants, figures: Vec::new(), idle: Vec::new() }
    }

    pub(super) fn add(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    pub(super) fn add_idle(&mut self, figure: IdleFigure) {
        self.idle.push(figure);
    }

    /// The figure of Gatepost in the same scenario.
    fn ours(&self, scenario: &str) -> Option<&Figure> {
        self.figures
            .iter()
            .find(|figure| figure.scenario == scenario && figure.contestant == Contestant::Gatepost)
    }

    /// The tables.
    pub(super) fn markdown(&self) -> String {
        let tables = [self.scenario_table(), self.idle_table()];
        tables.into_iter().flatten().collect::<Vec<_>>().join("\n")
    }

    fn scenario_table(&self) -> Option<String> {
        let mut text =
            "| scenario | server | per second | CPU ms per 1,000 | Gatepost's speed | Gatepost's CPU |\n\
                        |---|---|---:|---:|---:|---:|\n"
                .to_owned();
        for figure in &self.figures {
            let ours = self.ours(figure.scenario).filter(|ours| ours.contestant != figure.contestant);
            let compared = ours.map_or_else(
                || "| | |".to_owned(),
                |ours| {
                    let speed = ratio(ours.per_second(), figure.per_second());
                    let processor = ratio(ours.processor_ms(), figure.processor_ms());
                    format!("| × {speed:.2} | × {processor:.2} |")
                },
            );
            let (scenario, server, unit) = (figure.scenario, figure.contestant.name(), figure.unit);
            let (speed, processor) = (figure.per_second(), figure.processor_ms());
            // Writing to a string cannot fail.
            let _ = writeln!(text, "| {scenario} | {server} | {speed:.0} {unit} | {processor:.1} {compared}");
        }
        (!self.figures.is_empty()).then_some(text)
    }

    fn idle_table(&self) -> Option<String> {
        let mut text = format!("| {IDLE_NAME} | server | memory each |\n|---:|---|---:|\n");
        for IdleFigure { contestant, connections, octets_each } in &self.idle {
            let kib = *octets_each as f64 / 1_024.0;
            let _ = writeln!(text, "| {connections} | {} | {kib:.1} KiB |", contestant.name());
        }
        (!self.idle.is_empty()).then_some(text)
    }

    /// The tables with what is needed to read them, as the reference keeps them.
    pub(super) fn document(&self) -> String {
        format!(
            "# Benchmarks\n\nWritten by `cargo xtask bench --record`. What counts is the ratio between servers that took turns in the same\n\
             run; the figures alone say as much about the machine: {}.\n\nEvery message is acknowledged after it has been synced to disk, and then discarded. Processor time is that of the\n\
             server's processes, in user and system mode, until they rest. \"Gatepost's speed\" and \"Gatepost's CPU\" are\n\
             Gatepost's figure divided by that row's. Every server keeps a log; Postfix has a process a connection, so its idle\n\
             connections are fewer. `starter.policy` is the one of examples/policies, its facts all known already. Memory is the proportional set size of the server's processes.\n\n{}",
            machine(),
            self.markdown()
        )
    }

    /// The same figures for other programs.
    pub(super) fn json(&self) -> Value {
        let figures: Vec<Value> = self
            .figures
            .iter()
            .map(|figure| {
                json!({
                    "scenario": figure.scenario,
                    "server": figure.contestant.name(),
                    "unit": figure.unit,
                    "per_second": figure.per_second(),
                    "processor_ms_per_1000": figure.processor_ms(),
                })
            })
            .collect();
        let idle: Vec<Value> = self
            .idle
            .iter()
            .map(|figure| {
                json!({
                    "server": figure.contestant.name(),
                    "connections": figure.connections,
                    "memory_octets_each": figure.octets_each,
                })
            })
            .collect();
        let servers: Vec<&str> = self.contestants.iter().map(|contestant| contestant.name()).collect();
        json!({ "machine": machine(), "servers": servers, "figures": figures, "idle": idle })
    }
}

/// The machine in a few words: processor, number of cores, kernel.
fn machine() -> String {
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = kernel.trim().split('-').next().unwrap_or_default();
    let cores = available_parallelism().map_or(1, std::num::NonZero::get);
    format!("{cores} cores of {}, Linux {release}", model.unwrap_or("an unnamed processor"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut report = Report::new(vec![Contestant::Gatepost, Contestant::Bare]);
        for (contestant, units, processor) in [(Contestant::Gatepost, 500, 30), (Contestant::Bare, 1_000, 20)]
        {
            let mut figure = Figure::new("4 KB", "messages", contestant);
            let achieved = Achieved { in_time: units, in_all: 1_000, elapsed: Duration::from_secs(1) };
            figure.add(&achieved, Duration::from_millis(processor));
            figure.add(&achieved, Duration::from_millis(processor));
            report.add(figure);
        }
        report.add_idle(IdleFigure { contestant: Contestant::Gatepost, connections: 10, octets_each: 2_048 });
        report
    }

    #[test]
    fn ratios_are_ours_over_theirs() {
        let text = report().markdown();
        assert!(text.contains("| 4 KB | gatepost | 500 messages | 30.0 | | |"), "{text}");
        assert!(text.contains("| 4 KB | bare minimum | 1000 messages | 20.0 | × 0.50 | × 1.50 |"), "{text}");
        assert!(text.contains("| 10 | gatepost | 2.0 KiB |"), "{text}");
    }

    #[test]
    fn json_holds_the_same_figures() {
        let json = report().json();
        assert_eq!(json["figures"][1]["per_second"], 1_000.0);
        assert_eq!(json["figures"][0]["processor_ms_per_1000"], 30.0);
        assert_eq!(json["idle"][0]["memory_octets_each"], 2_048);
    }
}
