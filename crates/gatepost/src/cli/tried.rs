//! A rule that was tried, as the pages of `explain` and `dialogue` show it.

use std::fmt::Write as _;

use crate::journal::tried::{RulePlace, Tried};

/// The rule with what it came to, and below it its condition and the facts that it saw.
pub(super) fn write_tried(text: &mut String, tried: &Tried) {
    let mark = match (tried.answered, tried.observed) {
        (true, _) => format!("  <- {}", tried.does),
        (false, true) => String::from("  (observed only)"),
        _ => String::new(),
    };
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(text, "    {:<8} {}{mark}", tried.outcome, placed(&tried.rule));
    if !tried.condition.is_empty() {
        let _ = writeln!(text, "             when {}", tried.condition);
    }
    for seen in &tried.facts {
        let _ = writeln!(text, "             {} = {}", seen.name, seen.state);
    }
}

/// The rule with its place.
pub(super) fn placed(rule: &RulePlace) -> String {
    rule.place.as_ref().map_or_else(|| rule.name.clone(), |place| format!("{} ({place})", rule.name))
}
