//! What the commands share that read the journal: opening it, its times, and what it has and lacks.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Serialize;
use smtp::time::WallTime;

use super::{SiteOptions, WrongUsage};
use crate::clock;
use crate::journal::day::{parse_time, show_time};
use crate::journal::store::{self, Reader};

/// Opens the journal of the site, beside a server that may be writing it.
///
/// # Errors
/// When there is none, or it can't be read.
pub(super) fn open(options: &SiteOptions) -> anyhow::Result<Reader> {
    let folder = store::folder(&options.state);
    if !folder.is_dir() {
        bail!(
            "there is no journal in {}; --state names the directory that the server was run with",
            options.state.display()
        );
    }
    Reader::open(&folder).with_context(|| format!("cannot read {}", folder.display()))
}

/// The time that an option gives, or the one `back` from now without it.
///
/// # Errors
/// When the text is no time.
pub(super) fn since(text: Option<&str>, back: Duration) -> anyhow::Result<WallTime> {
    let now = clock::wall();
    match text {
        None => {
            let millis = u64::try_from(back.as_millis()).unwrap_or(u64::MAX);
            Ok(WallTime::from_unix_millis(now.as_unix_millis().saturating_sub(millis)))
        }
        Some(text) => parse_time(text, now).ok_or_else(|| {
            let forms = "7d, 12h, 30min, 2026-11-25 and 2026-11-25T10:30 (UTC) are some";
            WrongUsage(format!("`{text}` is no time; {forms}")).into()
        }),
    }
}

/// As [`since`], for an end; without it there is none.
///
/// # Errors
/// When the text is no time.
pub(super) fn until(text: Option<&str>) -> anyhow::Result<Option<WallTime>> {
    text.map(|text| since(Some(text), Duration::ZERO)).transpose()
}

/// What the journal has and lacks.
#[derive(Debug, Serialize)]
pub(super) struct Coverage {
    /// The days there are, the newest first.
    days: Vec<String>,
    /// Files that can't be read, and why.
    unreadable: Vec<Unreadable>,
    /// What was lost, by hour.
    lost: Vec<Lost>,
}

#[derive(Debug, Serialize)]
struct Unreadable {
    file: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Lost {
    hour: String,
    why: String,
    chunks: u64,
}

impl Coverage {
    /// Of what was recorded since then.
    ///
    /// # Errors
    /// When a file can't be read.
    pub(super) fn of(reader: &Reader, since: WallTime) -> anyhow::Result<Self> {
        let unreadable = reader
            .unreadable
            .iter()
            .map(|(path, why)| Unreadable { file: path.display().to_string(), why: why.clone() })
            .collect();
        let lost = reader
            .lost(since)?
            .into_iter()
            .map(|row| Lost { hour: show_time(row.hour), why: row.reason, chunks: row.chunks })
            .collect();
        Ok(Self { days: reader.days().map(|day| day.to_string()).collect(), unreadable, lost })
    }

    /// The same in sentences, each a line.
    pub(super) fn in_words(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = match (self.days.last(), self.days.first()) {
            (Some(oldest), Some(newest)) if oldest != newest => {
                writeln!(text, "The journal has {} days, from {oldest} to {newest}.", self.days.len())
            }
            (Some(day), _) => writeln!(text, "The journal has one day: {day}."),
            _ => writeln!(text, "The journal has no day."),
        };
        for Unreadable { file, why } in &self.unreadable {
            let _ = writeln!(text, "Can't be read: {file}: {why}.");
        }
        let chunks: u64 = self.lost.iter().map(|lost| lost.chunks).sum();
        if let (Some(first), Some(last)) = (self.lost.first(), self.lost.last()) {
            let _ = writeln!(
                text,
                "Lost between {} and the hour of {}: {chunks} parts of sessions ({}).",
                first.hour,
                last.hour,
                self.reasons()
            );
        }
        text
    }

    fn reasons(&self) -> String {
        let mut sums: Vec<(&str, u64)> = Vec::new();
        for lost in &self.lost {
            match sums.iter_mut().find(|(why, _)| *why == lost.why) {
                Some((_, sum)) => *sum += lost.chunks,
                None => sums.push((&lost.why, lost.chunks)),
            }
        }
        sums.iter().map(|(why, sum)| format!("{why}: {sum}")).collect::<Vec<_>>().join(", ")
    }
}
