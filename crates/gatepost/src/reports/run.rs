//! Sending: what one domain is to be told of one day is read, composed, handed over and forgotten.
//!
//! Invariants: what can't be found out or handed over now waits; what nobody wants is forgotten; a report is written down
//! as handed over before it is, and its rows go when it was (`store.rs` says what a crash in between costs: a report that
//! is lost, never one that is told twice).

use std::fmt;

use queue::spool::Spool;
use smtp::address::Mailbox;
use smtp::time::WallTime;
use url::Url;

use super::destinations::{self, Destinations};
use super::store::{Due, Kind, Store, StoredRow};
use super::who::Who;
use super::{dmarc, outbox, tls};
use crate::net::dns::Dns;
use crate::site::Site;

/// Rows that are read and reported at a time (ours: some MB of memory).
const ROWS_AT_ONCE: usize = 5_000;

/// Largest report as it is sent, in octets (ours: the mail fits into the spool's log, and into any mailbox).
const REPORT_OCTETS_MAX: u64 = 900 * 1_024;

/// What a domain would be told of a day, and whom.
#[derive(Debug)]
pub(crate) struct Preview<'s> {
    who: Who<'s>,
    store: &'s Store,
    due: &'s Due,
    destinations: Destinations,
    /// What has been shown last.
    after: Option<StoredRow>,
}

/// What came of sending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tally {
    /// Reports that were handed over.
    pub(crate) sent: u64,
    /// Domains of which nobody wants any.
    pub(crate) unwanted: u64,
    /// Domains that wait, and why.
    pub(crate) waiting: Vec<String>,
}

impl Tally {
    /// Counts what came of one domain's day.
    pub(super) fn count(&mut self, told: Told) {
        match told {
            Told::Sent(reports) => self.sent += reports,
            Told::Unwanted => self.unwanted += 1,
            Told::Later { sent, why } => {
                self.sent += sent;
                self.waiting.push(why);
            }
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, unwanted, waiting } = self;
        write!(formatter, "{sent} reports sent; {unwanted} domains want none; {} wait", waiting.len())?;
        waiting.iter().try_for_each(|why| write!(formatter, "\n  {why}"))
    }
}

/// What came of one domain's day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Told {
    /// So many reports are on their way.
    Sent(u64),
    /// Nobody wants to know.
    Unwanted,
    /// Not now.
    Later {
        /// Reports that are on their way all the same.
        sent: u64,
        /// Why.
        why: String,
    },
}

/// Sends what a domain is to be told. `is_late`: what could not be found out yet is not waited for any more.
pub(super) async fn tell<S: Spool>(
    site: &Site,
    spool: &S,
    store: &mut Store,
    due: &Due,
    (now, is_late): (WallTime, bool),
) -> Told {
    let later = |what: &str, why: &dyn fmt::Display| Told::Later {
        sent: 0,
        why: format!("{}: {what}: {why}", due.domain),
    };
    let Some(who) = Who::of(&site.config) else { return later("not sent", &"`reports.address` is not set") };
    let dns = match site.services.dns() {
        Ok(dns) => dns,
        Err(why) => return later("the DNS can't be asked", &why),
    };
    let destinations = match find(dns, due).await {
        Err(failure) => return later("who wants reports can't be found out", &failure),
        Ok(found) => match found.unsure {
            Some(failure) if !is_late => return later("not all who want reports can be found out", &failure),
            _ => found,
        },
    };
    if destinations.is_nobody() {
        return match blocking(|| store.forget(due)) {
            Ok(()) => Told::Unwanted,
            Err(error) => later("can't be forgotten", &error),
        };
    }
    let mut sent = 0;
    match tell_all(site, spool, store, (&who, due, &destinations), now, &mut sent).await {
        Ok(()) => Told::Sent(sent),
        Err(why) => Told::Later { sent, why: format!("{}: {why}", due.domain) },
    }
}

/// Hands all reports over that there are, and counts them in `sent`.
///
/// # Errors
/// In words, what could not be read or handed over.
async fn tell_all<S: Spool>(
    site: &Site,
    spool: &S,
    store: &mut Store,
    (who, due, destinations): (&Who<'_>, &Due, &Destinations),
    now: WallTime,
    sent: &mut u64,
) -> Result<(), String> {
    loop {
        let next = next(store, who, due, destinations.octets_max());
        let Some((reports, is_last)) = next.map_err(|error| format!("can't be read: {error}"))? else {
            return Ok(());
        };
        for report in reports {
            hand_over(site, spool, store, (who, due, destinations), &report, now).await?;
            *sent += 1;
        }
        if is_last {
            return Ok(());
        }
    }
}

impl<'s> Preview<'s> {
    /// Finds out whom a domain would have told.
    ///
    /// # Errors
    /// In words, what can't be found out.
    pub(crate) async fn of(site: &'s Site, store: &'s Store, due: &'s Due) -> Result<Self, String> {
        let who = Who::of(&site.config).ok_or("`reports.address` is not set")?;
        let destinations = find(site.services.dns()?, due).await.map_err(|failure| failure.to_string())?;
        Ok(Self { who, store, due, destinations, after: None })
    }

    /// Who gets the reports.
    pub(crate) fn recipients(&self) -> Vec<String> {
        let mailboxes = self.destinations.mailboxes.iter().map(|one| format!("mailto:{}", one.mailbox));
        mailboxes.chain(self.destinations.urls.iter().map(Url::to_string)).collect()
    }

    /// The texts of the next reports, XML or JSON; `None` when all were shown.
    ///
    /// # Errors
    /// In words, what can't be read.
    pub(crate) fn next(&mut self) -> Result<Option<Vec<String>>, String> {
        let rows = self
            .store
            .rows(self.due, self.after.as_ref(), ROWS_AT_ONCE)
            .map_err(|error| error.to_string())?;
        let Some(last) = rows.last() else { return Ok(None) };
        self.after = Some(last.clone());
        let reports = compose(&self.who, self.due, rows, self.destinations.octets_max()).reports;
        Ok(Some(reports.into_iter().map(|report| report.text).collect()))
    }
}

async fn find(dns: &Dns, due: &Due) -> Result<Destinations, crate::net::dns::DnsFailure> {
    match due.kind {
        Kind::Dmarc => destinations::of_dmarc(dns, &due.domain).await,
        Kind::Tls => destinations::of_tls(dns, &due.domain).await,
    }
}

/// The next reports, and whether they are the last; `None` when there is nothing left.
fn next(
    store: &mut Store,
    who: &Who<'_>,
    due: &Due,
    octets_max: Option<u64>,
) -> rusqlite::Result<Option<(Vec<dmarc::Composed>, bool)>> {
    let rows = blocking(|| store.rows(due, None, ROWS_AT_ONCE))?;
    if rows.is_empty() {
        return Ok(None);
    }
    let is_last = rows.len() < ROWS_AT_ONCE;
    let dmarc::Made { reports, unfit } = blocking(|| compose(who, due, rows, octets_max));
    if !unfit.is_empty() {
        tracing::warn!(domain = due.domain, rows = unfit.len(), "rows that fit into no report are forgotten");
        blocking(|| store.forget_rows(&unfit))?;
    }
    Ok(Some((reports, is_last)))
}

fn compose(who: &Who<'_>, due: &Due, rows: Vec<StoredRow>, octets_max: Option<u64>) -> dmarc::Made {
    // Without random numbers names could meet; the time tells them apart then.
    let random = || getrandom::u64().unwrap_or_else(|_| crate::clock::wall().as_unix_millis());
    let name = || who.name(due.day, random());
    match due.kind {
        Kind::Dmarc => {
            let octets_max = octets_max.unwrap_or(REPORT_OCTETS_MAX).min(REPORT_OCTETS_MAX);
            dmarc::make(who, due, rows, octets_max, &name)
        }
        Kind::Tls => {
            let report_id = name();
            let text = tls::report(who, due.day, &report_id, &rows);
            let file = tls::file(&text);
            dmarc::Made { reports: vec![dmarc::Composed { report_id, rows, text, file }], unfit: Vec::new() }
        }
    }
}

/// Hands one report over to all who want it.
async fn hand_over<S: Spool>(
    site: &Site,
    spool: &S,
    store: &mut Store,
    (who, due, destinations): (&Who<'_>, &Due, &Destinations),
    report: &dmarc::Composed,
    now: WallTime,
) -> Result<(), String> {
    let recipients = destinations.recipients();
    blocking(|| store.begin(&report.report_id, &report.rows)).map_err(|error| error.to_string())?;
    let mut failures = Vec::new();
    let mut is_taken = false;
    if !recipients.is_empty() {
        let mail = mail(who, due, report, &recipients, now);
        match outbox::queue(site, spool, who.address, &recipients, mail, now).await {
            Ok(()) => is_taken = true,
            Err(error) => failures.push(error.to_string()),
        }
    }
    for url in &destinations.urls {
        match outbox::post(site, url, report.file.clone()).await {
            Ok(()) => is_taken = true,
            Err(why) => failures.push(format!("{url}: {why}")),
        }
    }
    for why in &failures {
        tracing::warn!(domain = due.domain, why, "a report was not taken");
    }
    let settled = if is_taken {
        blocking(|| store.done(&report.report_id))
    } else {
        blocking(|| store.cancel(&report.report_id))
    };
    settled.map_err(|error| format!("what was sent can't be noted: {error}"))?;
    if !is_taken {
        return Err(failures.join("; "));
    }
    tracing::info!(
        kind = due.kind.name(),
        domain = due.domain,
        day = %due.day,
        report_id = report.report_id,
        rows = report.rows.len(),
        "a report is on its way"
    );
    Ok(())
}

fn mail(
    who: &Who<'_>,
    due: &Due,
    report: &dmarc::Composed,
    recipients: &[Mailbox],
    now: WallTime,
) -> Vec<u8> {
    match due.kind {
        Kind::Dmarc => dmarc::mail(who, due, report, recipients, now),
        Kind::Tls => tls::mail(who, due, (&report.report_id, &report.file), recipients, now),
    }
}

/// Does what blocks on the disk.
pub(super) fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}
