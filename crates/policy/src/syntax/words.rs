//! The words of the language, in one list for the parser, the reference and the editors' files; and what other languages
//! call them.
//!
//! A word keeps its meaning in its place only: a rule may be called `greylist`. Only [`RESERVED`] can't be names of what
//! conditions speak of.

use crate::stage::Stage;

/// What can stand at the top of a file.
pub const ITEMS: [&str; 18] = [
    "include", "networks", "names", "patterns", "shadow", "dnsbl", "dnswl", "rhsbl", "table", "rate",
    "milter", "service", "clamav", "rspamd", "greylist", "define", "reply", "at",
];

/// What opens a test, or facts that tests share.
pub const TRIALS: [&str; 2] = ["given", "test"];

/// What can stand in a stage's block.
pub const ENTRIES: [&str; 3] = ["rule", "observe", "use"];

/// What a rule does.
pub const ACTIONS: [&str; 11] = [
    "accept",
    "reject",
    "defer",
    "disconnect",
    "tag",
    "add",
    "quarantine",
    "hold",
    "redirect",
    "discard",
    "tarpit",
];

/// What a condition is joined of.
pub const CONDITIONS: [&str; 16] = [
    "when", "and", "or", "not", "any", "every", "is", "in", "contains", "starts", "ends", "with", "like",
    "matches", "present", "missing",
];

/// What goes into declarations, actions and tests besides.
pub const PARTICLES: [&str; 24] = [
    "unsure", "relay", "header", "to", "of", "codes", "weight", "timeout", "file", "cidr", "regex",
    "external", "apply", "failing", "keyed", "by", "over", "as", "window", "bucket", "from", "expect", "yes",
    "no",
];

/// What a rate can count.
pub const COUNTED: [&str; 5] = ["connections", "messages", "recipients", "refusals", "failures"];

/// The settings of the greylist.
pub const GREYLIST: [&str; 6] = ["wait", "keep", "retry-within", "ipv4", "ipv6", "auto-allow"];

/// What a test can expect of a stage.
pub const VERDICTS: [&str; 12] = [
    "accept",
    "relay",
    "reject",
    "defer",
    "disconnect",
    "tag",
    "header",
    "quarantine",
    "hold",
    "redirect",
    "discard",
    "tarpit",
];

/// Names that lists, sources, definitions and facts can't have, since a condition would not know them for names.
pub const RESERVED: [&str; 31] = [
    "when",
    "and",
    "or",
    "not",
    "any",
    "every",
    "is",
    "in",
    "contains",
    "starts",
    "ends",
    "like",
    "matches",
    "rule",
    "observe",
    "use",
    "at",
    "unsure",
    "accept",
    "reject",
    "defer",
    "disconnect",
    "tag",
    "add",
    "quarantine",
    "hold",
    "redirect",
    "discard",
    "tarpit",
    "yes",
    "no",
];

/// Units of sizes and the octets in one of them; a size is written `50 MB`.
pub const SIZE_UNITS: [(&str, i64); 8] = [
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Units of times and the milliseconds in one of them; a time is written `5min`.
pub const TIME_UNITS: [(&str, i64); 5] =
    [("ms", 1), ("s", 1_000), ("min", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Every word of the language, each once, in the order of the alphabet: those above, the stages and the units.
#[must_use]
pub fn all() -> Vec<&'static str> {
    let mut words: Vec<&'static str> =
        [&ITEMS[..], &TRIALS, &ENTRIES, &ACTIONS, &CONDITIONS, &PARTICLES, &COUNTED, &GREYLIST, &VERDICTS]
            .concat();
    words.extend(Stage::ALL.map(Stage::name));
    words.extend(SIZE_UNITS.map(|(unit, _)| unit));
    words.extend(TIME_UNITS.map(|(unit, _)| unit));
    words.sort_unstable();
    words.dedup();
    words
}

/// The stage that other servers, or the protocol itself, call `word`.
#[must_use]
pub fn familiar_stage(word: &str) -> Option<Stage> {
    Some(match word.to_ascii_lowercase().as_str() {
        "connection" | "client" | "conn" | "greeting" => Stage::Connect,
        "ehlo" | "lhlo" => Stage::Helo,
        "authentication" | "login" => Stage::Auth,
        "from" | "sender" | "mailfrom" | "mail-from" | "mail_from" => Stage::Mail,
        "rcpt" | "rcptto" | "rcpt-to" | "rcpt_to" | "recipients" | "to" => Stage::Recipient,
        "predata" | "pre-data" => Stage::Data,
        "eod" | "eom" | "end-of-data" | "end_of_data" | "content" | "body" | "mime" => Stage::Message,
        "vrfy" | "expn" => Stage::Verify,
        _ => return None,
    })
}

/// The action that other servers call `word`, when there is one; otherwise what to write instead.
#[must_use]
pub fn familiar_action(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "permit" | "allow" | "ok" | "pass" => "accept",
        "deny" | "refuse" | "bounce" | "block" => "reject",
        "tempfail" | "defer_if_permit" | "defer_if_reject" | "temporary" => "defer",
        "drop" | "close" => "disconnect",
        "warn" | "log" => "tag",
        "prepend" => "add",
        "delay" | "sleep" => "tarpit",
        _ => return ACTIONS.into_iter().find(|action| action.eq_ignore_ascii_case(word)),
    })
}

/// The word of a condition that other languages write as `word`.
#[must_use]
pub fn familiar_test(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "startswith" | "starts-with" | "starts_with" | "begins" => "starts with",
        "endswith" | "ends-with" | "ends_with" => "ends with",
        "equals" | "eq" => "==",
        "ne" => "!=",
        "gt" => ">",
        "lt" => "<",
        "ge" => ">=",
        "le" => "<=",
        "has" | "includes" | "include" => "contains",
        "glob" | "wildcard" => "like",
        "match" | "regex" | "regexp" | "pcre" => "matches",
        "isnt" => "is not",
        _ => return None,
    })
}

/// The value or word behind `is` that other languages write as `word`.
#[must_use]
pub fn familiar_value(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "true" | "on" => "yes",
        "false" | "off" => "no",
        "null" | "nil" | "undefined" | "empty" | "unset" | "absent" => "missing",
        "set" | "exists" | "defined" | "nonempty" => "present",
        _ => return None,
    })
}

/// The fact that other servers and the protocol itself call `name`, when there is one.
#[must_use]
pub fn familiar_fact(name: &str) -> Option<String> {
    let lower = name.to_ascii_lowercase();
    let known = match lower.trim_start_matches('$') {
        "client_address" | "client_addr" | "sender_host_address" | "remote_ip" | "src" | "client.address" => {
            "client.ip"
        }
        "client_name" | "sender_host_name" | "fcrdns" | "client.hostname" => "client.name",
        "reverse_client_name" | "rdns" | "client.rdns" | "client.reverse" => "client.ptr",
        "helo_name" | "sender_helo_name" | "helo" | "ehlo" => "helo.name",
        "sasl_username" | "authenticated_id" | "auth" | "user" | "auth.username" => "auth.user",
        "sender" | "mail_from" | "mailfrom" | "sender_address" | "envelope_from" => "sender.address",
        "sender_domain" | "sender_address_domain" => "sender.domain",
        "recipient" | "rcpt" | "rcpt_to" | "envelope_to" => "recipient.address",
        "recipient_domain" | "domain" => "recipient.domain",
        "local_part" => "recipient.local",
        "size" | "message_size" => "message.size",
        "subject" => "message.subject",
        "spf" => "spf.result",
        "dkim" => "dkim.result",
        "dmarc" => "dmarc.result",
        _ => {
            let (group, field) = lower.split_once('.')?;
            let group = match group {
                "rcpt" | "to" => "recipient",
                "ehlo" => "helo",
                "mail" | "from" | "mailfrom" => "sender",
                "msg" | "email" => "message",
                "sasl" => "auth",
                "ip" | "host" | "remote" | "peer" => "client",
                _ => return None,
            };
            return Some(format!("{group}.{field}"));
        }
    };
    Some(known.to_owned())
}
