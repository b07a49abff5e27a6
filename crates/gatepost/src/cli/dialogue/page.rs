//! A dialogue as a page: what was said, and between a command and its reply the rules that decided.

use std::fmt::Write as _;

use super::super::tried::{placed, write_tried};
use super::report::{Decision, Message, Report, Said, Step};

/// The page.
pub(super) fn page(report: &Report) -> String {
    let mut text = String::new();
    let about = &report.about;
    let dns = if about.asks_dns { "the DNS is asked" } else { "the DNS is not asked" };
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        text,
        "# {} at {}, decided by {}; {dns}, nothing is kept\n",
        about.client,
        about.hostname,
        about.policy.files.join(", ")
    );
    for step in &report.dialogue {
        match step {
            Step::Client { line } => {
                let _ = writeln!(text, "C: {line}");
            }
            Step::Data { octets } => {
                let _ = writeln!(text, "C: ({octets} octets of mail data)");
            }
            Step::Server(said) => {
                for line in &said.lines {
                    // A 334 without a challenge ends in a blank.
                    let _ = writeln!(text, "S: {}", line.trim_end());
                }
                text.push('\n');
            }
            Step::Decision(decision) => write_decision(&mut text, decision),
            Step::Tls => text.push_str("(encrypted from here on)\n\n"),
            Step::Kept(message) => write_kept(&mut text, message),
            Step::Closed => text.push_str("(closed)\n\n"),
        }
    }
    write_end(&mut text, report);
    text
}

fn write_decision(text: &mut String, decision: &Decision) {
    let by = decision.rule.as_ref().map_or_else(String::new, |rule| format!(", by {}", placed(rule)));
    let arm = if decision.by_unsure_arm { ", its `unsure` arm" } else { "" };
    let closes = if decision.disconnects { " (and closed)" } else { "" };
    let _ = writeln!(text, "  {}: {}{closes}{by}{arm}", decision.stage, decision.answer);
    decision.tried.iter().for_each(|tried| write_tried(text, tried));
    for done in &decision.effects {
        let _ = writeln!(text, "  also: {}, by {}", done.effect, placed(&done.rule));
    }
    let names = |rules: &[crate::journal::tried::RulePlace]| {
        rules.iter().map(|rule| rule.name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if !decision.observed.is_empty() {
        let _ = writeln!(text, "  observed: {} would have answered", names(&decision.observed));
    }
    if !decision.unsure.is_empty() {
        let _ = writeln!(text, "  unsure: {} could not be told and did not answer", names(&decision.unsure));
    }
    if let Some(then) = &decision.then {
        let _ = writeln!(text, "  without it: {then}");
    }
}

fn write_kept(text: &mut String, message: &Message) {
    for recipient in &message.recipients {
        let goes_to = match (recipient.goes_to.as_slice(), message.discarded) {
            ([], true) => String::from("is thrown away"),
            ([], false) => {
                String::from("goes nowhere: it is thrown away, or the configuration has no such mailbox")
            }
            (mailboxes, _) => format!("goes to {}", mailboxes.join(", ")),
        };
        let _ = writeln!(text, "  kept: mail for {} {goes_to}", recipient.recipient);
    }
    if let Some(held) = message.held {
        let _ = writeln!(text, "  kept: waits for the postmaster ({held})");
    }
    for field in &message.fields {
        let _ = writeln!(text, "  kept: with {field}");
    }
    if let Some(tags) = &message.tags {
        let _ = writeln!(text, "  kept: tagged {tags}");
    }
}

fn write_end(text: &mut String, report: &Report) {
    if !report.not_given.is_empty() {
        let _ = writeln!(
            text,
            "Not given, and so unsure: {}.\n--fact NAME=VALUE gives a fact, --dns asks the DNS.",
            report.not_given.join(", ")
        );
    }
    for note in &report.notes {
        let _ = writeln!(text, "Note: {note}.");
    }
    let last = report.last.as_ref().map_or_else(|| String::from("nothing"), in_short);
    let _ = match &report.expected {
        Some(expected) if report.passed => writeln!(text, "As expected ({expected}): {last}"),
        Some(expected) => writeln!(text, "Not as expected ({expected}): {last}"),
        None if report.refusals == 0 => writeln!(text, "Nothing was refused."),
        None if report.refusals == 1 => writeln!(text, "One refusal; the last answer was {last}"),
        None => writeln!(text, "{} refusals; the last answer was {last}", report.refusals),
    };
}

fn in_short(said: &Said) -> String {
    let enhanced = said.enhanced.as_ref().map_or_else(String::new, |enhanced| format!(" {enhanced}"));
    format!("{}{enhanced} {}", said.code, said.text.replace('\n', " / "))
}
