//! Findings as a page, as JSON, and what should stand in the DNS as a piece of a zone file.

use std::fmt::Write as _;

use serde::Serialize;

use super::Served;
use super::finding::{Finding, Verdict, Wanted};

/// Columns of the widest verdict.
const VERDICT_COLUMNS: usize = 7;

/// The version of the JSON.
const SCHEMA: u32 = 1;

/// What is printed as JSON.
#[derive(Serialize)]
pub(super) struct Page<'p> {
    schema: u32,
    hostname: &'p str,
    addresses: Vec<String>,
    findings: Vec<Row<'p>>,
}

#[derive(Serialize)]
struct Row<'p> {
    subject: &'p str,
    record: &'static str,
    name: &'p str,
    verdict: &'static str,
    advised: bool,
    why: Option<&'p str>,
    found: &'p [String],
    write: Vec<&'p str>,
    hint: Option<&'p str>,
    policy: Option<&'p str>,
}

/// The findings for programs.
pub(super) fn json<'p>(served: &'p Served<'_>, findings: &'p [Finding]) -> Page<'p> {
    let row = |finding: &'p Finding| {
        let Finding { wanted, verdict, found } = finding;
        Row {
            subject: &wanted.subject,
            record: wanted.record,
            name: &wanted.name,
            verdict: verdict.word(),
            advised: wanted.is_advised,
            why: verdict.why(),
            found,
            write: wanted.write.iter().map(|line| line.trim_end()).collect(),
            hint: wanted.hint.as_deref(),
            policy: wanted.policy.as_deref(),
        }
    };
    Page {
        schema: SCHEMA,
        hostname: &served.hostname,
        addresses: served.addresses.iter().map(ToString::to_string).collect(),
        findings: findings.iter().map(row).collect(),
    }
}

/// The findings for people: what is well in a line, and below what isn't what to write.
pub(super) fn text(findings: &[Finding], is_coloured: bool) -> String {
    let mut page = String::new();
    let records = findings.iter().map(|finding| finding.wanted.record.len()).max().unwrap_or(0);
    for of_one in findings.chunk_by(|one, other| one.wanted.subject == other.wanted.subject) {
        let Some(first) = of_one.first() else { continue };
        let (bold, end) = if is_coloured { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        let _ = writeln!(page, "{bold}{}{end}", first.wanted.subject);
        for finding in of_one {
            put(&mut page, finding, records, is_coloured);
        }
        page.push('\n');
    }
    let count = |word: &str| findings.iter().filter(|finding| finding.verdict.word() == word).count();
    let _ = writeln!(
        page,
        "{} ok, {} missing, {} wrong, {} could not be found out",
        count("ok"),
        count("missing"),
        count("wrong"),
        count("unknown")
    );
    page
}

fn put(page: &mut String, finding: &Finding, records: usize, is_coloured: bool) {
    let Finding { wanted, verdict, found } = finding;
    let colour = match verdict {
        Verdict::Ok => "\x1b[32m",
        _ if wanted.is_advised => "\x1b[2m",
        Verdict::Missing | Verdict::Wrong(_) => "\x1b[31m",
        Verdict::Unknown(_) => "\x1b[33m",
    };
    let (colour, end) = if is_coloured { (colour, "\x1b[0m") } else { ("", "") };
    let advised = if wanted.is_advised && *verdict != Verdict::Ok { " (advised)" } else { "" };
    let _ = writeln!(
        page,
        "  {colour}{:VERDICT_COLUMNS$}{end}  {:records$}  {}{advised}",
        verdict.word(),
        wanted.record,
        wanted.name
    );
    let indent = " ".repeat(VERDICT_COLUMNS + records + 6);
    let mut line = |label: &str, text: &str| {
        // What stands in the DNS may be anything, and a terminal is not to act on it.
        let text = text.replace(|character: char| character.is_control(), "\u{FFFD}");
        let _ = writeln!(page, "{indent}{label}{text}");
    };
    for record in found {
        line("is     ", record);
    }
    if let Some(why) = verdict.why() {
        line("", why);
    }
    if matches!(verdict, Verdict::Missing | Verdict::Wrong(_)) {
        if let Some(hint) = &wanted.hint {
            line("", hint);
        }
        for piece in wanted.write.iter().flat_map(|line| line.lines()) {
            line("write  ", piece);
        }
        if let Some(policy) = &wanted.policy {
            line("", &format!("and this at https://mta-sts.{}/.well-known/mta-sts.txt", wanted.subject));
            policy.lines().for_each(|text| line("       ", text));
        }
    }
}

/// What should stand in the DNS, as a piece of a zone file; what is only advised stands as a comment.
pub(super) fn zone(wanted: &[Wanted]) -> String {
    let mut zone = String::new();
    for of_one in wanted.chunk_by(|one, other| one.subject == other.subject) {
        let Some(first) = of_one.first() else { continue };
        let _ = writeln!(zone, "; {}", first.subject);
        for one in of_one {
            if one.write.is_empty() {
                let why = one
                    .hint
                    .as_deref()
                    .unwrap_or("this server's public address isn't known: --address gives it");
                let _ = writeln!(zone, "; {} {}: {why}", one.record, one.name);
            }
            for line in one.write.iter().flat_map(|line| line.lines()) {
                let comment = if one.is_advised { "; advised: " } else { "" };
                let _ = writeln!(zone, "{comment}{line}");
            }
        }
        zone.push('\n');
    }
    zone
}
