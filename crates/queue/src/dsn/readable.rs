//! The first part of a DSN: what happened, in plain words for the person who wrote (RFC 6522 §3).

use std::time::Duration;

use super::delivery_status::{DIAGNOSTIC_OCTETS_MAX, REMOTE_OCTETS_MAX};
use super::encoding::{self, Part, clean, clipped, push_paragraph};
use super::explanation::{self, Explanation};
use super::{Action, Notice, Report, accepted_as, status};

/// Which section a recipient stands in: its heading for one address and for several, and its subject.
struct Section {
    subject: &'static str,
    one: &'static str,
    several: &'static str,
}

/// The sections, the worst news first.
const SECTIONS: [Section; 6] = [
    Section {
        subject: "Your message could not be delivered",
        one: "It could not be delivered to this address and will not be tried again:",
        several: "It could not be delivered to these addresses and will not be tried again:",
    },
    Section {
        subject: "Your message could not be delivered in time",
        one: "It could not be delivered to this address in time and will not be tried again:",
        several: "It could not be delivered to these addresses in time and will not be tried again:",
    },
    Section {
        subject: "Your message is delayed",
        one: "It has not reached this address yet. It is still being tried; do not send it again:",
        several: "It has not reached these addresses yet. It is still being tried; do not send it again:",
    },
    Section {
        subject: "Your message was delivered",
        one: "It was delivered to this address:",
        several: "It was delivered to these addresses:",
    },
    Section {
        subject: "Your message was passed on",
        one: "It reached this address, and was passed on to the addresses behind it. You will hear no more of it unless \
              something goes wrong:",
        several: "It reached these addresses, and was passed on to the addresses behind them. You will hear no more of it \
                  unless something goes wrong:",
    },
    Section {
        subject: "Your message was relayed",
        one: "It was handed on to the mail server of this address. That server sends no reports, so you will hear no \
              more of it unless something goes wrong:",
        several: "It was handed on to the mail servers of these addresses. Those servers send no reports, so you will \
                  hear no more of it unless something goes wrong:",
    },
];

/// The number of the section that an action is told in.
pub(super) fn section(action: Action) -> usize {
    match action {
        Action::Failed => 0,
        Action::Expired => 1,
        Action::Delayed { .. } => 2,
        Action::Delivered => 3,
        Action::Expanded => 4,
        Action::Relayed => 5,
    }
}

/// The subject: the worst news.
pub(super) fn subject(reports: &[Report<'_>]) -> &'static str {
    let worst = reports.iter().map(|report| section(report.action)).min().unwrap_or(0);
    SECTIONS.get(worst).map_or("", |section| section.subject)
}

/// The part.
pub(super) fn part(notice: &Notice<'_>, reports: &[Report<'_>], smtputf8: bool) -> Part {
    let text = text(notice, reports);
    let content_type =
        if text.is_ascii() { "text/plain; charset=us-ascii" } else { "text/plain; charset=utf-8" };
    let (encoding, octets) = encoding::encode(text.into_bytes(), smtputf8);
    Part { description: "Notification", content_type, encoding, octets }
}

fn text(notice: &Notice<'_>, reports: &[Report<'_>]) -> String {
    let Notice { reporting_mta, queue_id, message, .. } = *notice;
    let mut text = String::new();
    let received = message.received.to_date_time();
    let opening = format!(
        "This is the mail server {reporting_mta}. It reports on a message with you as its sender, which came in on \
         {received}."
    );
    push_paragraph(&mut text, "", &opening);
    for (number, section_texts) in SECTIONS.iter().enumerate() {
        let mut told = reports.iter().filter(|report| section(report.action) == number).peekable();
        if told.peek().is_none() {
            continue;
        }
        let heading = if told.clone().nth(1).is_none() { section_texts.one } else { section_texts.several };
        text.push_str("\r\n");
        push_paragraph(&mut text, "", heading);
        for report in told {
            text.push_str("\r\n");
            push_report(&mut text, notice, report);
        }
    }
    text.push_str("\r\n");
    let closing = format!(
        "Attached are a report for mail programs and the message or its header section. If you need help, write to \
         postmaster@{reporting_mta} and name the queue id {queue_id}."
    );
    push_paragraph(&mut text, "", &closing);
    text
}

fn push_report(text: &mut String, notice: &Notice<'_>, report: &Report<'_>) {
    push_paragraph(text, "  ", &format!("<{}>", clean(&accepted_as(notice, report.recipient))));
    let status = status(report);
    if let Some(diagnostic) = report.diagnostic.map(|text| clipped(text, DIAGNOSTIC_OCTETS_MAX)) {
        let remote = report.remote.map(|remote| clipped(remote, REMOTE_OCTETS_MAX));
        let said = match remote.as_deref() {
            Some(remote) if !remote.is_empty() => format!("The server {remote} said: {diagnostic}"),
            _ => format!("Reason: {diagnostic}"),
        };
        push_paragraph(text, "    ", &said);
    }
    let Explanation { meaning, advice } = explanation::of(&status);
    let age = notice.now.since(notice.message.received);
    match report.action {
        Action::Failed => push_paragraph(text, "    ", &format!("What {status} means: {meaning} {advice}")),
        Action::Expired => {
            let tried = format!("It was tried for {}. What {status} means: {meaning} {advice}", spell(age));
            push_paragraph(text, "    ", &tried);
        }
        Action::Delayed { until } => {
            let tried = format!(
                "It has been tried for {} and will be until {}. What {status} means: {meaning}",
                spell(age),
                until.to_date_time()
            );
            push_paragraph(text, "    ", &tried);
        }
        Action::Delivered | Action::Expanded | Action::Relayed => {}
    }
}

/// The duration in its largest unit, rounded down.
fn spell(duration: Duration) -> String {
    let minutes = duration.as_secs() / 60;
    let (count, unit) = match minutes {
        0..120 => (minutes, "minute"),
        120..2880 => (minutes / 60, "hour"),
        _ => (minutes / 1440, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}
