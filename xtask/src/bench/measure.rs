//! What a server's processes have used, read from /proc: processor time and resident memory of the whole tree.

use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::stopwatch::Stopwatch;

/// How long the processor time must stand still for the work to be done.
const STILL: Duration = Duration::from_millis(400);

/// Longest wait for that; a server that works on after this is measured as it stands.
const SETTLE_MAX: Duration = Duration::from_secs(60);

/// One process, as /proc shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    /// Its own processor time, user and system, in clock ticks.
    own_ticks: u64,
    /// That of its children which have ended.
    ended_children_ticks: u64,
}

/// Processor time that the tree under `root` has used since it began, its ended processes included.
///
/// # Errors
/// When /proc can't be read or the root is gone.
pub(super) fn processor_time(root: u32) -> Result<Duration> {
    let ticks: u64 = tree(root)?.iter().map(|process| process.own_ticks + process.ended_children_ticks).sum();
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Ok(Duration::from_millis(ticks * 1_000 / per_second))
}

/// The same, once it has stood still: what was accepted has been delivered too.
///
/// # Errors
/// As for [`processor_time`].
pub(super) fn settled_processor_time(root: u32) -> Result<Duration> {
    let whole = Stopwatch::start();
    let mut last = processor_time(root)?;
    let mut still = Stopwatch::start();
    while still.elapsed() < STILL && whole.elapsed() < SETTLE_MAX {
        thread::sleep(STILL / 8);
        let now = processor_time(root)?;
        if now != last {
            last = now;
            still = Stopwatch::start();
        }
    }
    Ok(last)
}

/// Memory of the tree under `root`, in octets, what processes share counted once (proportional set size).
///
/// # Errors
/// When /proc can't be read.
pub(super) fn memory_octets(root: u32) -> Result<u64> {
    let mut sum = 0;
    for process in tree(root)? {
        let Ok(text) = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)) else { continue };
        sum += kilobytes(&text, "Pss:").unwrap_or_default() * 1_024;
    }
    Ok(sum)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// The process `root` and all that descend from it.
fn tree(root: u32) -> Result<Vec<Process>> {
    let mut all = Vec::new();
    for entry in fs::read_dir("/proc").context("no /proc")? {
        let name = entry.context("can't read /proc")?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        // A process may end between the listing and the look at it.
        let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
        all.extend(parse(pid, &text));
    }
    let mut found: Vec<Process> = all.iter().copied().filter(|process| process.pid == root).collect();
    anyhow::ensure!(!found.is_empty(), "the server's process is gone");
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).map(|process| process.pid) {
        looked_at += 1;
        found.extend(all.iter().copied().filter(|process| process.parent == parent && process.pid != root));
    }
    Ok(found)
}

/// A line of /proc/PID/stat; the name in it may hold spaces and parentheses.
fn parse(pid: u32, text: &str) -> Option<Process> {
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    // Fields 4 and 14 to 17 of proc(5); this list begins with field 3.
    Some(Process {
        pid,
        parent: u32::try_from(number(1)?).ok()?,
        own_ticks: number(11)? + number(12)?,
        ended_children_ticks: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_past_any_name() {
        let line = "7 (a) b (c) S 3 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5 6 7";
        let expected = Process { pid: 7, parent: 3, own_ticks: 33, ended_children_ticks: 77 };
        assert_eq!(parse(7, line), Some(expected));
        assert_eq!(parse(7, "7 (a) S 3"), None);
    }

    #[test]
    fn the_tree_holds_children_and_the_memory_is_counted() {
        let own = std::process::id();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let pids: Vec<u32> = tree(own).unwrap().iter().map(|process| process.pid).collect();
        assert!(pids.contains(&own) && pids.contains(&child.id()), "{pids:?}");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(memory_octets(own).unwrap() > 100_000);
        assert!(tree(u32::MAX).is_err());
        assert_eq!(kilobytes("Rss:  12 kB\nPss:  7 kB\n", "Pss:"), Some(7));
    }
}
