//! Who reports, and what a report's times and names are.

use smtp::address::Mailbox;

use crate::config::Config;
use crate::journal::day::Day;

/// Who reports.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'w> {
    /// For people.
    pub(super) organisation: &'w str,
    /// Whom to ask.
    pub(super) contact: &'w str,
    /// Where reports come from.
    pub(super) address: &'w Mailbox,
    /// This server's name.
    pub(super) submitter: &'w str,
}

impl<'w> Who<'w> {
    /// Who reports for a site; `None` when it has no address for it.
    pub(super) fn of(config: &'w Config) -> Option<Self> {
        let settings = &config.reports;
        Some(Self {
            organisation: &settings.organisation,
            contact: &settings.contact,
            address: settings.address.as_ref()?,
            submitter: config.hostname.as_str(),
        })
    }

    #[cfg(test)]
    pub(super) const fn example(address: &'w Mailbox) -> Self {
        Self { organisation: "Here", contact: "reports@here.example", address, submitter: "mx.here.example" }
    }

    /// A name for a report on the day that no other has: dot-atoms (RFC 9990 §3.5.1), and a random number between them.
    pub(super) fn name(&self, day: Day, random: u64) -> String {
        format!("{day}.{random:016x}@{}", self.submitter)
    }
}

/// The first and the last second of a day, since 1970.
pub(super) fn seconds(day: Day) -> (u64, u64) {
    let next = Day::numbered(day.number() + 1);
    (day.start().as_unix_seconds(), next.start().as_unix_seconds().saturating_sub(1))
}

/// What of a report's name may stand in a file's: letters and digits (RFC 9990 §3.5.2).
pub(super) fn unique(report_id: &str) -> String {
    report_id.chars().filter(char::is_ascii_alphanumeric).collect()
}
