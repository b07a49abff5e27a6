//! The page of `docs/reference` that says what replies of other servers mean, printed from the table that decides it.

use std::fmt::Write as _;

use smtp::client::meaning::{Attempt, Fate, Host, Retry, Row};
use smtp::client::table::TABLE;

const PREFACE: &str = "\
<!-- Generated from the table that decides; `cargo xtask docs` writes it. -->

# What replies of other servers mean

What Gatepost makes of each reply that a server gives while mail is handed to it, and of a reply that doesn't come. The
first row that fits decides. *X* in an enhanced code is any class: the reply code rules. `gatepost codes` explains the
codes themselves.

A recipient whose message *may have arrived* is tried again, as the server was never heard to take it; it is the one case
in which a message can arrive twice (RFC 1047). An AUTH LOGIN answers two 334 before this table is asked. Where nothing
is left to *the next host*, the retry schedule decides. What else ends a session is told in the last table.

| when | reply | dialogue | host | recipients | tried again | why |
|---|---|---|---|---|---|---|
";

const FOUND_HERE: &str = "
## What is found here

| found | enhanced code | recipients | tried again |
|---|---|---|---|
| no connection within 30 s | 4.4.1 | deferred | next host |
| the TLS handshake fails; TLS is wanted, not needed | | | at once, without TLS, on a new connection |
| the TLS handshake fails, or the certificate is not the host's; TLS is needed | 4.7.5 | deferred | next host |
| STARTTLS is not offered; TLS is needed | 4.7.10 | deferred | next host |
| the message demands REQUIRETLS (RFC 8689), which is not offered, or the host is not verified | 5.7.30 | failed | next host first |
| no login is possible: no PLAIN and no LOGIN, or no TLS to protect it | 4.7.0 | deferred | by schedule |
| the message is larger than SIZE | 5.3.4 | failed | next host first |
| 8BITMIME or BINARYMIME is not offered, and the message can't be converted | 5.6.3 | failed | next host first |
| SMTPUTF8 is not offered, and an address or the header section needs it | 5.6.7 | failed | next host first |
| too many recipients for LIMITS (RFC 9422) or for 100 in a transaction | | | at once, in another transaction |
| the mail data can't be read or are damaged | 4.3.0, 4.6.0 | deferred | by schedule |

## When the schedule tries again

The waits are those of `queue.retry_first` and its neighbours, each longer than the one before, but for these:

| what stood in the way | wait |
|---|---|
| a greylist: 450 or 451 with X.7.1, or with that word in its text | 5 minutes at most, for the first four attempts |
| a full mailbox: X.2.2 | 1 hour at least |
| TLS, where it is needed | 15 minutes at least |

No wait is longer for it than `queue.retry_max`. Where recipients of one message met different things, a greylist goes
first, and a full mailbox or TLS counts only when nothing else stood in the way.
";

/// The page.
#[must_use]
pub fn remote_replies() -> String {
    let mut text = PREFACE.to_owned();
    for row in TABLE {
        write_row(&mut text, row);
    }
    text.push_str(FOUND_HERE);
    text
}

fn write_row(text: &mut String, row: &Row) {
    let stages: Vec<String> = row.stages.iter().map(ToString::to_string).collect();
    let stages = if stages.is_empty() { String::from("any") } else { stages.join(", ") };
    let meaning = row.meaning;
    let dialogue = match meaning.attempt {
        Attempt::Continues => "goes on",
        Attempt::FallsBack => "goes on without it, if it may",
        Attempt::TransactionOver => "this transaction is over",
        Attempt::SessionOver => "is over",
    };
    let host = match meaning.host {
        Host::Usable => "usable",
        Host::TurnOver => "turn over",
    };
    let fate = match meaning.fate {
        Fate::Undecided => "",
        Fate::Accepted => "accepted",
        Fate::Delivered => "delivered",
        Fate::Failed => "failed",
        Fate::Deferred => "deferred",
        Fate::Unknown => "may have arrived",
    };
    let retry = match (meaning.fate, meaning.retry) {
        (Fate::Undecided | Fate::Accepted | Fate::Delivered, _) => "",
        (Fate::Failed, Retry::NextHost) => "next host first",
        (_, Retry::Never) => "never",
        (_, Retry::Again) => "at once, same host",
        (_, Retry::NextHost) => "next host",
        (_, Retry::Later) => "by schedule",
    };
    // Writing to a string cannot fail.
    let _ =
        writeln!(text, "| {stages} | {} | {dialogue} | {host} | {fate} | {retry} | {} |", row.when, row.why);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_a_row_of_the_page() {
        let page = remote_replies();
        let rows: Vec<&str> = page.lines().filter(|line| line.matches(" | ").count() == 6).collect();
        assert_eq!(rows.len(), TABLE.len() + 1);
        for (row, line) in TABLE.iter().zip(rows.iter().skip(1)) {
            assert!(line.ends_with(&format!(" | {} |", row.why)), "{line}");
        }
        assert!(
            page.contains("| greeting | 521 | is over | turn over | failed | next host first |"),
            "{page}"
        );
    }
}
