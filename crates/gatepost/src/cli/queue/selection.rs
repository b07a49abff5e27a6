//! Which messages a queue command is about.

use queue::queue_id::QueueId;

use super::super::WrongUsage;
use crate::clock;
use crate::control::{Filter, Phase, Time};
use crate::journal::day::parse_time;

/// The options that choose messages; all that are given must match.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Selection {
    /// These messages, by their queue ids.
    #[arg(value_name = "ID")]
    ids: Vec<QueueId>,
    /// From this reverse-path: an address, @domain, or `<>`.
    #[arg(long, value_name = "ADDRESS")]
    sender: Option<String>,
    /// To this recipient: an address, or @domain.
    #[arg(long, value_name = "ADDRESS", conflicts_with = "domain")]
    recipient: Option<String>,
    /// To recipients in this domain.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Going there: local, relay, mx:example.org and route:NAME are some; `stats` lists them.
    #[arg(long, value_name = "KEY")]
    destination: Option<String>,
    /// Standing there.
    #[arg(long, value_enum, value_name = "PHASE")]
    phase: Option<PhaseOption>,
    /// Received longer ago than that: 2h, 30min, 5d; or before 2026-11-25T10:30 (UTC).
    #[arg(long, value_name = "TIME")]
    older: Option<String>,
    /// Received less long ago than that, or since then.
    #[arg(long, value_name = "TIME")]
    younger: Option<String>,
    /// The last reply holds this text.
    #[arg(long, value_name = "TEXT")]
    reply: Option<String>,
    /// Tried so often at least.
    #[arg(long, value_name = "NUMBER")]
    attempts: Option<u32>,
    /// Everything in the queue.
    #[arg(long)]
    all: bool,
}

/// Where a recipient stands.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PhaseOption {
    /// Waits for its time.
    Waiting,
    /// Held until released.
    Held,
    /// An attempt is under way.
    Active,
}

impl Selection {
    /// The filter.
    ///
    /// # Errors
    /// [`WrongUsage`].
    pub(super) fn filter(&self) -> anyhow::Result<Filter> {
        let now = clock::wall();
        let time = |text: &Option<String>| -> anyhow::Result<Option<Time>> {
            let Some(text) = text else { return Ok(None) };
            let time = parse_time(text, now).ok_or_else(|| {
                WrongUsage(format!("`{text}` is no time; 2h, 30min, 5d and 2026-11-25T10:30 (UTC) are some"))
            })?;
            Ok(Some(Time(time)))
        };
        let domain = self.domain.as_ref().map(|domain| format!("@{}", domain.trim_start_matches('@')));
        Ok(Filter {
            ids: self.ids.clone(),
            sender: self.sender.clone(),
            recipient: self.recipient.clone().or(domain),
            destination: self.destination.clone(),
            phase: self.phase.map(|phase| match phase {
                PhaseOption::Waiting => Phase::Waiting,
                PhaseOption::Held => Phase::Held,
                PhaseOption::Active => Phase::Active,
            }),
            received_before: time(&self.older)?,
            received_since: time(&self.younger)?,
            reply: self.reply.clone(),
            attempts: self.attempts,
        })
    }

    /// The filter of a command that changes something: everything is meant only when that is said.
    ///
    /// # Errors
    /// [`WrongUsage`].
    pub(super) fn deliberate(&self) -> anyhow::Result<Filter> {
        let filter = self.filter()?;
        let why = match (filter.is_all(), self.all) {
            (true, false) => {
                "say which messages: by their ids, by --sender, --recipient, --domain, --destination, --phase, \
                 --older, --younger, --reply or --attempts; or --all"
            }
            (false, true) => "--all means everything: leave it or what narrows it out",
            _ => return Ok(filter),
        };
        Err(WrongUsage(why.to_owned()).into())
    }

    /// How many of the ids that were given are not among the messages that were found.
    pub(super) fn missing(&self, found: u64) -> u64 {
        let ids: std::collections::BTreeSet<&QueueId> = self.ids.iter().collect();
        (ids.len() as u64).saturating_sub(found)
    }
}
