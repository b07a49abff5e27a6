//! The DSNs that the outcomes of a delivery cause, ready to be settled together with them.

use std::collections::{HashMap, HashSet};

use queue::body::StoredMessage;
use queue::delivery::RecipientOutcome;
use queue::dsn::{self, Action, Expansions, Notice, Original, Report};
use queue::message::{Draft, QueuedMessage, QueuedRecipient};
use smtp::address::{ForwardPath, Mailbox};
use smtp::envelope::RcptParameters;
use smtp::time::WallTime;

use super::attempt::{Attempt, Failure};
use super::reading::header_section;
use super::route;
use crate::config::Config;
use crate::mailboxes::{Known, LookedUp};
use crate::site::Site;

/// What a delivery's attempts came to.
pub(super) struct Results<'a> {
    /// The message.
    pub(super) stored: &'a StoredMessage,
    /// The recipients that were tried, by their place in the message.
    pub(super) indexes: &'a [u32],
    /// One for each of them.
    pub(super) attempts: &'a [Attempt],
    /// One for each of them.
    pub(super) outcomes: &'a [RecipientOutcome],
    /// Whether they were tried for the first time.
    pub(super) is_first: bool,
    /// When those that were deferred will go back; set when their sender is to hear of the delay now.
    pub(super) warned_until: Option<WallTime>,
}

/// The DSNs for `results`: none when nothing is to be reported, one for up to a hundred recipients.
pub(super) async fn drafts(site: &Site, results: &Results<'_>, now: WallTime, random: u64) -> Vec<Draft> {
    let message = &results.stored.message;
    let mut reports: Vec<Report<'_>> = results.reports();
    reports.retain(|report| dsn::wanted(message, report.recipient, report.action));
    if reports.is_empty() {
        return Vec::new();
    }
    let looked_up = look_up(site, message, &reports).await;
    let known = site.directory.with(&looked_up);
    let told = told(known, message, &reports);
    for (report, recipient) in reports.iter_mut().zip(&told) {
        report.recipient = recipient;
    }
    let whole = reports.iter().any(|report| report.action.is_failure())
        && dsn::returns_whole(message, results.stored.body.size_octets());
    let body = if whole { results.stored.read_body().ok() } else { None };
    let header = if body.is_none() { header_section(results.stored) } else { Vec::new() };
    let notice = Notice {
        reporting_mta: &site.config.hostname,
        queue_id: results.stored.id,
        message,
        original: body.as_deref().map_or(Original::HeaderSection(&header), Original::Whole),
        reports: &reports,
        now,
        random,
    };
    dsn::compose(&notice)
        .into_iter()
        .filter_map(|composed| addressed(&site.config, known, composed, now))
        .collect()
}

/// The DSNs on recipients, by their place in the message, that somebody here has given up.
pub(crate) async fn given_up(
    site: &Site,
    stored: &StoredMessage,
    indexes: &[u32],
    (status, diagnostic): (&str, &str),
    now: WallTime,
    random: u64,
) -> Vec<Draft> {
    let attempt = Attempt::Failed(Failure::local(status, diagnostic));
    let outcome = RecipientOutcome::Failed { reply: diagnostic.to_owned() };
    let attempts = vec![attempt; indexes.len()];
    let outcomes = vec![outcome; indexes.len()];
    let (attempts, outcomes) = (&attempts, &outcomes);
    let results = Results { stored, indexes, attempts, outcomes, is_first: false, warned_until: None };
    drafts(site, &results, now, random).await
}

/// Composed DSNs, each with its recipient resolved as that of any message.
pub(super) async fn addressed_all(site: &Site, composed: Vec<dsn::Dsn>, now: WallTime) -> Vec<Draft> {
    let paths: Vec<ForwardPath> =
        composed.iter().map(|dsn| ForwardPath::Mailbox(dsn.recipient.clone())).collect();
    let looked_up = site.look_up(|known| paths.iter().for_each(|path| drop(known.resolve(path)))).await;
    let known = site.directory.with(&looked_up);
    composed.into_iter().filter_map(|dsn| addressed(&site.config, known, dsn, now)).collect()
}

/// What tables say of the one who is told, and of the addresses that the mail was sent to.
async fn look_up(site: &Site, message: &QueuedMessage, reports: &[Report<'_>]) -> LookedUp {
    let reverse_path = message.reverse_path.mailbox().cloned().map(ForwardPath::Mailbox);
    let resolve = |known: Known<'_>| {
        let accepted_as = reports.iter().map(|report| &report.recipient.accepted_as);
        accepted_as.chain(&reverse_path).for_each(|path| drop(known.resolve(path)));
    };
    site.look_up(resolve).await
}

/// The DSN with its recipient resolved as that of any message.
fn addressed(config: &Config, known: Known<'_>, composed: dsn::Dsn, now: WallTime) -> Option<Draft> {
    let resolved = known.resolve(&ForwardPath::Mailbox(composed.recipient.clone()));
    let mut draft =
        composed.into_draft(now, route::destination(config, resolved.first()?, &RcptParameters::default()));
    let recipient = draft.message.recipients.pop()?;
    draft.message.recipients = resolved
        .into_iter()
        .map(|resolved| QueuedRecipient {
            destination: route::destination(config, &resolved, &recipient.parameters),
            mailbox: resolved.mailbox,
            ..recipient.clone()
        })
        .collect();
    Some(draft)
}

/// The recipients as the one who is told knows them: a list's owner knows its members, everybody else the address that
/// the mail was sent to (RFC 5321 §3.9.2, RFC 3464 §2.3.2).
fn told(known: Known<'_>, message: &QueuedMessage, reports: &[Report<'_>]) -> Vec<QueuedRecipient> {
    let owner = message.reverse_path.mailbox();
    let mut members: HashMap<&ForwardPath, HashSet<Mailbox>> = HashMap::new();
    let members_of = |list| {
        let resolved = known.resolve(list).into_iter();
        resolved.filter(|end| end.list_owner.as_ref() == owner).map(|end| end.mailbox).collect()
    };
    let told = reports.iter().map(|report| {
        let accepted_as = &report.recipient.accepted_as;
        let mut told = report.recipient.clone();
        let members = members.entry(accepted_as).or_insert_with(|| members_of(accepted_as));
        if owner.is_some() && members.contains(&told.mailbox) {
            told.accepted_as = ForwardPath::Mailbox(told.mailbox.clone());
        }
        told
    });
    told.collect()
}

impl<'a> Results<'a> {
    fn reports(&self) -> Vec<Report<'a>> {
        let recipients = &self.stored.message.recipients;
        let expansions = Expansions::of(&self.stored.message);
        let mut reports = Vec::with_capacity(self.indexes.len());
        for ((index, attempt), outcome) in self.indexes.iter().zip(self.attempts).zip(self.outcomes) {
            let Some(recipient) = usize::try_from(*index).ok().and_then(|index| recipients.get(index)) else {
                continue;
            };
            if self.is_first && expansions.is_first(*index, recipient) {
                reports.push(success(recipient, Action::Expanded));
            }
            let report = report(recipient, attempt, outcome, self.warned_until);
            // Success behind an alias was reported with its expansion.
            let is_told = |report: &Report<'_>| {
                !(matches!(report.action, Action::Delivered | Action::Relayed)
                    && expansions.contains(recipient))
            };
            reports.extend(report.filter(is_told));
        }
        reports
    }
}

/// A success that was found here.
const fn success(recipient: &QueuedRecipient, action: Action) -> Report<'_> {
    Report { recipient, action, status: "2.0.0", diagnostic: None, remote: None }
}

fn report<'a>(
    recipient: &'a QueuedRecipient,
    attempt: &'a Attempt,
    outcome: &RecipientOutcome,
    warned_until: Option<WallTime>,
) -> Option<Report<'a>> {
    let missed = |action, failure: &'a Failure| Report {
        recipient,
        action,
        status: &failure.status,
        diagnostic: Some(&failure.diagnostic),
        remote: failure.remote.as_deref(),
    };
    match (attempt, outcome) {
        (Attempt::Failed(failure), _) => Some(missed(Action::Failed, failure)),
        (Attempt::Deferred(failure), RecipientOutcome::Expired { .. }) => {
            Some(missed(Action::Expired, failure))
        }
        (Attempt::Deferred(failure), _) => {
            warned_until.map(|until| missed(Action::Delayed { until }, failure))
        }
        (Attempt::Delivered, _) => Some(success(recipient, Action::Delivered)),
        // Who it goes to now is reported on.
        (Attempt::Rerouted(_), _) => None,
        // A server that knows DSN reports the success itself (RFC 3461 §5.2.2).
        (Attempt::Relayed { dsn_offered: true, .. }, _) => None,
        (Attempt::Relayed { remote, reply, .. }, _) => Some(Report {
            recipient,
            action: Action::Relayed,
            status: "2.0.0",
            diagnostic: Some(reply),
            remote: Some(remote),
        }),
    }
}
