//! Every key of the configuration: name, form, default, example and meaning.
//!
//! Invariants: a key stands here once; defaults and examples are values that the key takes (tests hold this).

use std::time::Duration;

use super::address_form::{
    DelimiterForm, DnsServerForm, DomainForm, FileForm, HostnameForm, NetworkForm, RefusedForm, TargetForm,
    TemplateForm,
};
use super::form::{Choice, Count, Flag, ListOf, Maybe, Placed, Size, Time, WordForm};
use super::key::{Documented, Key, Section};
pub(crate) use super::keys_auth::*;
pub(crate) use super::keys_in::*;
pub(crate) use super::keys_out::*;
pub(crate) use super::keys_tls::TLS;
use super::reports::{LineForm, TimeOfDayForm};
use super::table_source::{SocketmapForm, TYPE_WORDS, TemplatedForm, TextForm, TypeWord};
use super::{EarlyTalkers, LogLevel, OtherClients};
use crate::journal::Mask;
use crate::mailboxes::OverQuota;
use crate::tables::{Scope, Template};

/// Least message size that a server must take, in octets (RFC 5321 §4.5.3.1.7).
const MESSAGE_OCTETS_MIN: u64 = 64 * 1024;

/// Largest message size that can be set, in octets (ours).
const MESSAGE_OCTETS_MAX: u64 = 2_000_000_000;

/// Largest sizes of disks and mailboxes that can be set, in octets (ours).
const STORAGE_OCTETS_MAX: u64 = 1_000_000_000_000_000;

/// Longest retry lifetime that can be set, in seconds (ours; RFC 5321 §4.5.4.1 has 4 to 5 days).
const LIFETIME_SECONDS_MAX: u64 = Duration::from_secs(30 * 86_400).as_secs();

const NETWORKS: ListOf<NetworkForm> =
    ListOf { element: NetworkForm, named: "a list of networks", or_one: false };
const ADDRESSES: ListOf<TargetForm> =
    ListOf { element: TargetForm, named: "a list of addresses", or_one: true };

type Networks = Key<ListOf<NetworkForm>>;
type Addresses = Key<ListOf<TargetForm>>;

macro_rules! keys {
    ($section:ident = $header:literal, $tables:expr, $about:literal;
     $($constant:ident: $type:ty = $name:literal, $form:expr, $default:literal, $example:literal, $sentence:literal;)+) => {
        $(pub(crate) static $constant: $type = Key::new($name, $form, $default, $example, $sentence);)+
        pub(crate) static $section: Section =
            Section { header: $header, sentence: $about, keys: &[$(&$constant as &dyn Documented),+], tables: $tables };
    };
}
pub(super) use keys;

keys! {
    TOP = "", &["listen", "auth", "limits", "clients", "verify", "spool", "policy", "journal", "queue", "relay", "route", "dkim", "arc", "srs", "tls", "dns", "geo", "log", "reports", "sendmail", "domain", "table"],
    "Keys at the top of the file, before the first table.";

    HOSTNAME: Key<Placed<HostnameForm>> = "hostname", Placed(HostnameForm), "\"localhost\"", "\"mx.example.org\"",
        "The server's own name in its greeting, in EHLO and in the trace fields it adds; it should resolve to its \
         address (RFC 5321 §2.3.5). Mail for `postmaster` at this name is accepted.";
    POSTMASTER: Key<Placed<TargetForm>> = "postmaster", Placed(TargetForm), "", "\"alice@example.org\"",
        "Who gets the mail for `postmaster` of every domain that has no such mailbox of its own (RFC 5321 §4.5.1). A \
         name without a domain is one of the first domain. By default it is the mailbox `postmaster` of the first \
         domain, else that domain's first mailbox.";
    MAILDIR: Key<Maybe<TemplateForm>> = "maildir", Maybe(TemplateForm),
        "\"{state}/maildir/{domain}/{local_part}\"", "\"/home/{local_part}/Maildir\"",
        "Where Maildirs are. A relative path starts in the state directory.";
}

keys! {
    LIMITS = "[limits]", &[],
    "What a client may use. The limits for one address, one network and new connections don't count for clients that \
     may relay (`clients.relay`); all others hold for everybody.";

    MESSAGE_SIZE: Key<Size> = "message_size",
        Size { min_octets: MESSAGE_OCTETS_MIN, max_octets: MESSAGE_OCTETS_MAX }, "\"50 MB\"", "\"1 MiB\"",
        "Largest message; announced with SIZE (RFC 1870), 552 beyond it.";
    RECIPIENTS: Key<Count> = "recipients", Count { min: 1, max: 100_000 }, "1000", "500",
        "Most recipients in one transaction, 452 beyond it. RFC 5321 §4.5.3.1.8 asks for at least 100.";
    MESSAGES_PER_SESSION: Key<Count> = "messages_per_session", Count { min: 1, max: 1_000_000 }, "1000", "100",
        "Most messages in one session, 421 beyond it.";
    ERRORS: Key<Count> = "errors", Count { min: 1, max: 10_000 }, "20", "10",
        "Errors in one session after which it is closed with 421.";
    CONNECTIONS: Key<Count> = "connections", Count { min: 1, max: 1_000_000 }, "1000", "10000",
        "Most connections at a time, 421 beyond it.";
    CONNECTIONS_PER_ADDRESS: Key<Count> = "connections_per_address", Count { min: 1, max: 1_000_000 }, "20", "5",
        "Most connections at a time from one IP address, 421 beyond it.";
    CONNECTIONS_PER_NETWORK: Key<Count> = "connections_per_network", Count { min: 1, max: 1_000_000 }, "50", "100",
        "Most connections at a time from one network (IPv4 /24, IPv6 /64), 421 beyond it.";
    NEW_CONNECTIONS_PER_MINUTE: Key<Count> = "new_connections_per_minute", Count { min: 1, max: 1_000_000 },
        "120", "30", "Most new connections a minute from one IP address, 421 beyond it.";
    HANDSHAKES: Key<Count> = "handshakes", Count { min: 1, max: 100_000 }, "200", "50",
        "Most TLS handshakes with clients at a time; further ones wait for a place, no longer than `handshake_timeout`.";
    HANDSHAKE_TIMEOUT: Key<Time> = "handshake_timeout", Time { min_seconds: 1, max_seconds: 300 }, "\"30s\"", "\"10s\"",
        "Longest TLS handshake; the connection is closed after it.";
    COMMAND_TIMEOUT: Key<Time> = "command_timeout", Time { min_seconds: 1, max_seconds: 3_600 }, "\"5m\"", "\"10m\"",
        "Longest wait for the next command, 421 after it. RFC 5321 §4.5.3.2.7 asks for at least 5 minutes.";
    DATA_TIMEOUT: Key<Time> = "data_timeout", Time { min_seconds: 1, max_seconds: 3_600 }, "\"3m\"", "\"10m\"",
        "Longest wait for more mail data, 421 after it.";
    SESSION_TIMEOUT: Key<Time> = "session_timeout", Time { min_seconds: 1, max_seconds: 7 * 86_400 }, "\"1h\"",
        "\"30m\"", "Longest session, 421 after it.";
    DRAIN_TIMEOUT: Key<Time> = "drain_timeout", Time { min_seconds: 0, max_seconds: 3_600 }, "\"30s\"", "\"2m\"",
        "How long transactions in flight may go on once the server shuts down; 421 after it.";
}

keys! {
    CLIENTS = "[clients]", &[], "Who may do what, by IP address.";

    RELAY: Networks = "relay", NETWORKS, "[\"127.0.0.0/8\", \"::1\"]", "[\"192.0.2.0/24\"]",
        "Clients that may send mail for other domains. Without `relay.smart_host`, `relay.mx` and a \
         route there is no way for it to go, and nobody may: 550 5.7.1.";
    TRUSTED: Networks = "trusted", NETWORKS, "[\"127.0.0.0/8\", \"::1\"]", "[\"192.0.2.10\"]",
        "Clients that `HELP STATUS` tells the counts of queue and sessions.";
    PROXIES: Networks = "proxies", NETWORKS, "[]", "[\"192.0.2.53\", \"192.0.2.54\"]",
        "Proxies in front of this server, such as HAProxy: each of their connections begins with a header of the PROXY \
         protocol, version 1 or 2, or it is closed; whom the header names counts as the client.";
    REFUSED: Key<ListOf<RefusedForm>> = "refused",
        ListOf { element: RefusedForm, named: "a list of networks", or_one: false }, "[]",
        "[\"203.0.113.0/24\", { network = \"198.51.100.7\", text = \"go away\" }]",
        "Clients that are greeted with 554, with a text of their own if one is given, and then get 503 to all but QUIT \
         (RFC 5321 §3.1). The first network that holds the client counts.";
    EARLY_TALKERS: Key<Choice<EarlyTalkers>> = "early_talkers",
        Choice {
            words: &[("note", EarlyTalkers::Note), ("refuse", EarlyTalkers::Refuse)],
            fallback: EarlyTalkers::Note,
        },
        "\"note\"", "\"refuse\"",
        "What becomes of clients that send before the greeting (RFC 5321 §4.3.1): they are only noted in the log, or \
         refused with 554.";
    GREETING_DELAY: Key<Time> = "greeting_delay", Time { min_seconds: 0, max_seconds: 60 }, "\"0s\"", "\"2s\"",
        "How long the greeting waits, so that early talkers show.";
}

keys! {
    VERIFY = "[verify]", &[], "Who may ask which mailboxes there are (RFC 5321 §3.5.3, §7.3).";

    VRFY: Key<Choice<OtherClients>> = "vrfy",
        Choice {
            words: &[("conceal", OtherClients::Conceal), ("off", OtherClients::Off)],
            fallback: OtherClients::Conceal,
        },
        "\"conceal\"", "\"off\"",
        "What VRFY answers clients that are not in `vrfy_clients`: \"conceal\" is 252 for every address, \"off\" is 502.";
    VRFY_CLIENTS: Networks = "vrfy_clients", NETWORKS, "[]", "[\"127.0.0.1\"]",
        "Clients that VRFY tells the truth: 250, 251, 551, 550 or 553.";
    EXPN_CLIENTS: Networks = "expn_clients", NETWORKS, "[]", "[\"127.0.0.1\"]",
        "Clients that EXPN tells the members of lists; others get 502.";
}

keys! {
    SPOOL = "[spool]", &[], "The disk that accepted mail is kept on. Below any of these, mail is answered 452 4.3.1.";

    MIN_FREE: Key<Size> = "min_free", Size { min_octets: 0, max_octets: STORAGE_OCTETS_MAX }, "\"200 MB\"",
        "\"5 GB\"", "Space that must stay free.";
    MIN_FREE_PERCENT: Key<Count> = "min_free_percent", Count { min: 0, max: 90 }, "1", "5",
        "Part of the file system that must stay free, in percent.";
    MIN_FREE_INODES: Key<Count> = "min_free_inodes", Count { min: 0, max: 4_000_000_000 }, "1000",
        "20000", "Inodes that must stay free, on file systems that count them.";
}

keys! {
    POLICY = "[policy]", &[], "Who is refused, and with which reply.";

    POLICY_FILE: Key<Placed<FileForm>> = "file", Placed(FileForm), "", "\"site.policy\"",
        "The policy. Without one only the fixed refusals hold; `gatepost policy show` prints them. A relative path starts at \
         the configuration's directory.";
    POLICY_DEADLINE: Key<Time> = "deadline", Time { min_seconds: 1, max_seconds: 120 }, "\"10s\"", "\"5s\"",
        "Longest wait for the facts that one decision needs; what isn't known then is unsure, and refuses nothing for good.";
    POLICY_RESULTS: Key<Flag> = "authentication_results", Flag, "true", "false",
        "Whether messages get the results of SPF, DKIM, DMARC and ARC that the policy asked for in an \
         Authentication-Results field (RFC 8601), and a Received-SPF field (RFC 7208 §9.1). Fields that others forged in our \
         name are removed in any case.";
}

keys! {
    QUEUE = "[queue]", &[], "When mail that could not be delivered is tried again (RFC 5321 §4.5.4.1).";

    RETRY_FIRST: Key<Time> = "retry_first", Time { min_seconds: 1, max_seconds: 86_400 }, "\"5m\"", "\"15m\"",
        "Wait before the second attempt.";
    RETRY_FACTOR: Key<Count> = "retry_factor", Count { min: 1, max: 10 }, "2", "3",
        "How many times longer each wait is than the one before.";
    RETRY_MAX: Key<Time> = "retry_max", Time { min_seconds: 1, max_seconds: 86_400 }, "\"4h\"", "\"2h\"",
        "Longest wait between two attempts.";
    LIFETIME: Key<Time> = "lifetime", Time { min_seconds: 1, max_seconds: LIFETIME_SECONDS_MAX }, "\"5d\"", "\"4d\"",
        "When a message that could not be delivered goes back. RFC 5321 §4.5.4.1 has 4 to 5 days.";
    DELAY_WARNING: Key<Time> = "delay_warning", Time { min_seconds: 60, max_seconds: LIFETIME_SECONDS_MAX }, "\"4h\"",
        "\"1d\"", "Age at which the sender hears that a message is delayed, once (RFC 3461 §4.1). One that is not \
        shorter than `lifetime` switches the warning off.";
    SENDER_RATE: Key<Maybe<Count>> = "sender_rate", Maybe(Count { min: 1, max: 60_000 }), "", "30",
        "Most messages a minute that leave this server from one sender of the site's own: from clients that may relay or have \
         authenticated. The rest waits in the queue. Reverse-paths that differ behind a `+`, `-` or `=` are one sender; DSNs \
         don't count. By default there is no such limit.";
    STOP_TIMEOUT: Key<Time> = "stop_timeout", Time { min_seconds: 0, max_seconds: 3_600 }, "\"20s\"", "\"1m\"",
        "How long deliveries under way may go on once the server shuts down. What is cut off is tried again after the \
        next start.";
}

keys! {
    DNS = "[dns]", &[], "How names are looked up in the DNS. A look-up that fails never counts as a name that isn't there.";

    DNS_SERVERS: Key<ListOf<DnsServerForm>> = "servers",
        ListOf { element: DnsServerForm, named: "a list of IP addresses with or without a port", or_one: false }, "",
        "[\"127.0.0.1\", \"[2001:db8::53]:5353\"]",
        "Recursive servers that are asked; port 53 unless one is written. By default those of `/etc/resolv.conf`. A \
         validating server on this machine is best: lists in the DNS refuse the large public ones.";
    DNS_TIMEOUT: Key<Time> = "timeout", Time { min_seconds: 1, max_seconds: 60 }, "\"3s\"", "\"5s\"",
        "Longest wait for an answer before the question is asked again.";
    DNS_ATTEMPTS: Key<Count> = "attempts", Count { min: 1, max: 10 }, "2", "3",
        "How often a question is asked. Whoever waits for the answer waits no longer than `timeout` times this.";
    CACHE_ENTRIES: Key<Count> = "cache_entries", Count { min: 0, max: 10_000_000 }, "20000", "100000",
        "Most answers that are kept for as long as they may be (RFC 2308 for those that say there is nothing), at most a \
         day; 0 keeps none.";
    DNSSEC: Key<Flag> = "dnssec", Flag, "false", "true",
        "Whether answers are validated here (RFC 4035). One that ought to be signed and isn't counts as a look-up that \
         failed. The servers must pass signatures on.";
    TRUST_ANCHORS: Key<Maybe<FileForm>> = "trust_anchors", Maybe(FileForm), "", "\"root.key\"",
        "A file of DNSKEY records in which validating starts, in place of the root's keys that are built in. A relative \
         path starts at the configuration's directory.";
}

keys! {
    GEO = "[geo]", &[],
    "Files in MaxMind's format that say where addresses are; policies ask for `client.country` and `client.asn`. They are \
     read again when they change. A relative path starts at the configuration's directory.";

    COUNTRY: Key<Maybe<FileForm>> = "country", Maybe(FileForm), "", "\"/var/lib/GeoIP/GeoLite2-Country.mmdb\"",
        "The file of countries; one of cities does as well. It is held in memory.";
    ASN: Key<Maybe<FileForm>> = "asn", Maybe(FileForm), "", "\"/var/lib/GeoIP/GeoLite2-ASN.mmdb\"",
        "The file of autonomous systems. It is held in memory.";
}

keys! {
    LOG = "[log]", &[], "What is written to the log.";

    LEVEL: Key<Choice<LogLevel>> = "level",
        Choice {
            words: &[
                ("error", LogLevel::Error),
                ("warn", LogLevel::Warn),
                ("info", LogLevel::Info),
                ("debug", LogLevel::Debug),
                ("trace", LogLevel::Trace),
            ],
            fallback: LogLevel::Info,
        },
        "\"info\"", "\"debug\"", "The least grave that is written.";
}

keys! {
    JOURNAL = "[journal]", &[],
    "What is remembered of sessions, so that `gatepost explain`, `gatepost replay` and `gatepost policy report` can tell. \
     It is kept under `journal` in the state directory, a file a day. A journal that can't be written refuses no mail; \
     what was lost is counted.";

    JOURNAL_ENABLED: Key<Flag> = "enabled", Flag, "true", "false", "Whether anything is remembered.";
    JOURNAL_DAYS: Key<Count> = "days", Count { min: 1, max: 3_650 }, "14", "30",
        "How many days are kept, today included.";
    JOURNAL_SIZE: Key<Size> = "size", Size { min_octets: 1_000_000, max_octets: STORAGE_OCTETS_MAX }, "\"2 GB\"",
        "\"20 GB\"", "How much the journal may hold; the oldest goes first.";
    JOURNAL_MASK: Key<Choice<Mask>> = "mask",
        Choice {
            words: &[("none", Mask::None), ("addresses", Mask::Addresses), ("all", Mask::All)],
            fallback: Mask::All,
        },
        "\"none\"", "\"addresses\"",
        "What is made illegible before it is written. \"addresses\": local parts are hashed with a key that is forgotten \
         after a day, and client addresses cut to their network (IPv4 /24, IPv6 /48). \"all\": every other text that the \
         client or the DNS gave is hashed, too, and the dialogue is not kept. What is masked can't be decided again: \
         `gatepost replay` says so and counts it.";
    JOURNAL_DIALOGUE: Key<Flag> = "dialogue", Flag, "true", "false",
        "Whether the last of the dialogue before a refusal is kept, for `gatepost explain`.";
    JOURNAL_IDS: Key<Flag> = "ids", Flag, "true", "false",
        "Whether refusals end in the id that `gatepost explain` takes: `550 5.1.1 no such mailbox [k7q2-m3xf]`.";
}

keys! {
    REPORTS = "[reports]", &[],
    "Reports to other domains: what came of mail in their name (DMARC, RFC 9990) and of TLS with them (RFC 8460). They are \
     collected over a day (UTC) and sent to who asks for them in the DNS. What is collected stands in `reports.sqlite` in the \
     state directory. `gatepost reports` shows and sends them.";

    REPORTS_DMARC: Key<Flag> = "dmarc", Flag, "false", "true",
        "Whether DMARC aggregate reports are sent. DMARC is then evaluated for all mail from outside that is accepted, \
         whatever the policy asks for.";
    REPORTS_TLS: Key<Flag> = "tls", Flag, "false", "true", "Whether TLS reports are sent.";
    REPORTS_ADDRESS: Key<Placed<TargetForm>> = "address", Placed(TargetForm), "", "\"reports@example.org\"",
        "Where reports come from, in the envelope and in From. Its domain must sign with DKIM (`[dkim]`) or have an SPF record \
         that names this server: who gets reports refuses others.";
    REPORTS_ORGANISATION: Key<Maybe<LineForm>> = "organisation", Maybe(LineForm("a name")), "", "\"Example Ltd\"",
        "Who reports, for people; by default `hostname`.";
    REPORTS_CONTACT: Key<Maybe<LineForm>> = "contact", Maybe(LineForm("an address or a URL")), "",
        "\"postmaster@example.org\"", "Whom to ask about a report; by default `address`.";
    REPORTS_AT: Key<TimeOfDayForm> = "at", TimeOfDayForm, "\"00:30\"", "\"03:30\"",
        "When a day is reported on, after its end, in UTC; each domain gets its reports up to four hours later, always at the \
         same time (RFC 8460 §4.1).";
}

keys! {
    DOMAIN = "[domain.\"example.org\"]", &["mailbox"],
    "A domain whose mail ends here; one table for each. The first one answers for `<postmaster>`.";

    ALIASES: Key<ListOf<DomainForm>> = "aliases",
        ListOf { element: DomainForm, named: "a list of domain names", or_one: false }, "[]", "[\"example.net\"]",
        "Other names of the domain, with the same mailboxes.";
    SUBADDRESS: Key<DelimiterForm> = "subaddress", DelimiterForm, "\"+\"", "\"-\"",
        "What separates a mailbox's name from a sub-address: mail for `alice+lists` goes to `alice` unless `alice+lists` \
         is an address itself. \"\" for none.";
    CATCH_ALL: Key<Placed<TargetForm>> = "catch_all", Placed(TargetForm), "", "\"alice\"",
        "Who gets the mail for every name that has no address; without it such mail is refused, 550 5.1.1.";
    DOMAIN_MAILDIR: Key<Maybe<TemplateForm>> = "maildir", Maybe(TemplateForm), "",
        "\"/var/mail/example.org/{local_part}\"", "Where the Maildirs of this domain are.";
    DOMAIN_ROUTE: Key<Placed<WordForm>> = "route", Placed(WordForm("a route's name")), "", "\"dovecot\"",
        "The route by which the mail of its mailboxes is delivered, to Dovecot over LMTP for example, instead of into \
         Maildirs.";
    TABLES: Key<ListOf<FileForm>> = "tables",
        ListOf { element: FileForm, named: "a list of files", or_one: false }, "[]", "[\"aliases\"]",
        "Files with more addresses of the domain; they are read again when they change. A relative path starts at the \
         configuration's directory.";
    ALIASES_FROM: Key<ListOf<TextForm>> = "aliases_from", TABLE_NAMES, "[]", "[\"aliases\"]",
        "Tables (`[table.\"…\"]`) with more aliases of the domain: the values under `name@example.org`, under the name \
         without its sub-address, or under `@example.org` are the addresses that mail goes to, commas between them. What is \
         declared here comes first. While a table fails, its addresses are answered 451.";
    MAILBOXES_FROM: Key<ListOf<TextForm>> = "mailboxes_from", TABLE_NAMES, "[]", "[\"users\"]",
        "Tables with more mailboxes of the domain: `name@example.org` is one when it stands there. A value called `quota` or \
         `maildir` (a column, an attribute, or `quota=2 GB`) is the mailbox's. While a table fails, its addresses are \
         answered 451.";
}

keys! {
    MAILBOX = "[domain.\"example.org\".mailbox]", &[],
    "The addresses of a domain, each a line `name = { … }` with these keys. `alice = {}` is a mailbox. An address has at \
     most one of `alias`, `members`, `forward`, `moved` and `discard`; with none of them it is a mailbox, and `busy`, \
     `quota`, `full`, `over_quota` and `maildir` are for mailboxes only.";

    BUSY: Key<Flag> = "busy", Flag, "false", "true", "The mailbox takes no mail for now: 450.";
    QUOTA: Key<Maybe<Size>> = "quota", Maybe(Size { min_octets: 1, max_octets: STORAGE_OCTETS_MAX }), "", "\"2 GB\"",
        "How much the mailbox may hold. It is measured at most once a minute; with SIZE, a message that would not fit is \
         refused at RCPT.";
    FULL: Key<Flag> = "full", Flag, "false", "true", "The mailbox counts as over its quota, whatever it holds.";
    OVER_QUOTA: Key<Choice<OverQuota>> = "over_quota",
        Choice { words: &[("reject", OverQuota::Reject), ("defer", OverQuota::Defer)], fallback: OverQuota::Reject },
        "\"reject\"", "\"defer\"", "What a mailbox over its quota answers: \"reject\" is 552, \"defer\" is 452.";
    MAILBOX_MAILDIR: Key<Maybe<TemplateForm>> = "maildir", Maybe(TemplateForm), "", "\"/home/alice/Maildir\"",
        "Where the mailbox's Maildir is.";
    ALIAS: Addresses = "alias", ADDRESSES, "", "[\"alice\", \"bob@example.net\"]",
        "Mail goes to these addresses. A name without a domain is one of this domain.";
    MEMBERS: Addresses = "members", ADDRESSES, "", "[\"alice\", \"bob\"]",
        "A list: as an alias, but EXPN shows it as a list, and DSNs go to its owner (RFC 5321 §3.9.2).";
    OWNER: Key<Placed<TargetForm>> = "owner", Placed(TargetForm), "", "\"alice\"",
        "Who owns the list and gets the DSNs for its mail; `postmaster` of the domain unless it is written.";
    FORWARD: Key<Placed<TargetForm>> = "forward", Placed(TargetForm), "", "\"carol@example.net\"",
        "Mail goes to this address.";
    DISCLOSE: Key<Flag> = "disclose", Flag, "false", "true",
        "Whether clients hear where a forward goes: 251 with the address, else 250.";
    MOVED: Key<Placed<TargetForm>> = "moved", Placed(TargetForm), "", "\"erin@example.net\"",
        "The mailbox has moved, and mail is not forwarded: 551 with this address.";
    DISCARD: Key<Flag> = "discard", Flag, "false", "true", "Mail is accepted, logged and thrown away.";
}

keys! {
    TABLE = "[table.\"users\"]", &["entries"],
    "A table that stands elsewhere, by a name of its own: `aliases_from`, `mailboxes_from` and policies name it. Tables of \
     the types \"inline\" (with `entries`, a table of keys and values), \"file\", \"cidr\" and \"regex\" are held in memory, and \
     read again when their file changes; a \"directory\" has a file for each key with a value on each line; \"sql\", \"ldap\" and \
     \"socketmap\" are asked, and their answers kept for a while. A table that can't be asked never counts as one without \
     the entry.";

    TABLE_TYPE: Key<Placed<Choice<TypeWord>>> = "type",
        Placed(Choice { words: TYPE_WORDS, fallback: TypeWord::Inline }), "", "\"sql\"", "What the table is.";
    TABLE_PATH: Key<Maybe<FileForm>> = "path", Maybe(FileForm), "", "\"aliases.txt\"",
        "The file of a table of type \"file\" (lines of key and value), \"cidr\" (of network and value) or \"regex\" (of \
         `/expression/` and value), or the directory of one of type \"directory\". A relative path starts at the \
         configuration's directory.";
    TABLE_URL: Key<Maybe<TextForm>> = "url", Maybe(TextForm("a URL")), "", "\"postgres://mail@db.example.org/mail\"",
        "Where a database is (`postgres://`, `mysql://`, `sqlite:/path`) or an LDAP server (`ldap://`, `ldaps://`, \
         `ldapi://`). Nothing is connected before the first question.";
    URL_FILE: Key<Maybe<FileForm>> = "url_file", Maybe(FileForm), "", "\"database.url\"",
        "A file whose first line is the database's URL, for one with a password in it.";
    QUERY: Key<Maybe<TemplatedForm>> = "query",
        Maybe(TemplatedForm { named: "a query", parse: Template::sql }), "",
        "\"SELECT goto FROM alias WHERE address = {address} AND active\"",
        "What a database is asked. `{address}` (or `{key}`) is the key in lower case, `{local_part}` and `{domain}` are what \
         stands before and behind its `@`; of a key without one, both are the whole. They are bound as parameters, never \
         written into the query. All columns of all rows are values; NULL is none.";
    STARTTLS: Key<Flag> = "starttls", Flag, "false", "true",
        "Whether a connection to `ldap://` is secured with TLS before anything else is said.";
    BIND_DN: Key<Maybe<TextForm>> = "bind_dn", Maybe(TextForm("a distinguished name")), "",
        "\"cn=gatepost,dc=example,dc=org\"", "Who asks the LDAP server; anonymous unless it is written.";
    BIND_PASSWORD_FILE: Key<Maybe<FileForm>> = "bind_password_file", Maybe(FileForm), "", "\"ldap.password\"",
        "A file whose first line is the password for `bind_dn`.";
    BASE: Key<Maybe<TextForm>> = "base", Maybe(TextForm("a distinguished name")), "", "\"ou=people,dc=example,dc=org\"",
        "Where an LDAP search begins.";
    SCOPE: Key<Choice<Scope>> = "scope",
        Choice {
            words: &[("base", Scope::Base), ("one", Scope::One), ("subtree", Scope::Subtree)],
            fallback: Scope::Subtree,
        },
        "\"subtree\"", "\"one\"", "How deep it goes.";
    FILTER: Key<Maybe<TemplatedForm>> = "filter",
        Maybe(TemplatedForm { named: "a filter", parse: Template::filter }), "", "\"(mail={address})\"",
        "What is searched for (RFC 4515), with the places of `query`. What stands for them is escaped.";
    ATTRIBUTES: Key<ListOf<TextForm>> = "attributes",
        ListOf { element: TextForm("an attribute"), named: "a list of attributes", or_one: false }, "[]",
        "[\"mailForwardingAddress\"]", "The attributes whose values count, in this order, of all entries that are found.";
    SOCKETMAP_ADDRESS: Key<Maybe<SocketmapForm>> = "address", Maybe(SocketmapForm), "", "\"unix:/run/mlmmj/map\"",
        "Where another program is asked with the socketmap protocol, as Postfix does it.";
    SOCKETMAP_MAP: Key<Maybe<TextForm>> = "map", Maybe(TextForm("a map's name")), "", "\"virtual\"",
        "The map that it is asked for.";
    TABLE_TIMEOUT: Key<Time> = "timeout", Time { min_seconds: 1, max_seconds: 60 }, "\"5s\"", "\"2s\"",
        "Longest wait for an answer, connecting included; then the table counts as failing.";
    TABLE_CONNECTIONS: Key<Count> = "connections", Count { min: 1, max: 1_000 }, "4", "10",
        "Most questions at a time; a database has so many connections, an LDAP server one for all.";
    TABLE_CACHE: Key<Time> = "cache", Time { min_seconds: 0, max_seconds: 86_400 }, "\"5m\"", "\"1h\"",
        "How long values are kept. SIGHUP forgets them; 0s keeps none.";
    NEGATIVE_CACHE: Key<Time> = "negative_cache", Time { min_seconds: 0, max_seconds: 86_400 }, "\"1m\"", "\"10s\"",
        "How long it is kept that there is no entry. Failures are never kept.";
    TABLE_CACHE_ENTRIES: Key<Count> = "cache_entries", Count { min: 0, max: 10_000_000 }, "10000", "100000",
        "Most keys whose answers are kept; 0 keeps none.";
}

pub(super) const TABLE_NAMES: ListOf<TextForm> =
    ListOf { element: TextForm("a table's name"), named: "a list of tables' names", or_one: false };

/// All sections, in the order of the reference.
pub(crate) static SECTIONS: &[&Section] = &[
    &TOP,
    &LISTEN,
    &AUTH,
    &AUTH_SENDERS,
    &SENDMAIL,
    &LIMITS,
    &CLIENTS,
    &VERIFY,
    &SPOOL,
    &POLICY,
    &JOURNAL,
    &QUEUE,
    &RELAYING,
    &ROUTE,
    &DKIM,
    &ARC,
    &SRS,
    &TLS,
    &TLS_DOMAIN,
    &DNS,
    &GEO,
    &LOG,
    &REPORTS,
    &DOMAIN,
    &MAILBOX,
    &TABLE,
];

/// The header under which `name` is a key.
pub(crate) fn home_of(name: &str) -> Option<&'static str> {
    let has = |section: &&&Section| section.keys.iter().any(|key| key.name() == name);
    SECTIONS.iter().find(has).map(|section| section.header).filter(|header| !header.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_and_example_is_a_value_of_its_key() {
        for section in SECTIONS {
            for key in section.keys {
                let (name, default) = (key.name(), key.default_text());
                assert!(default.is_empty() || key.takes(default), "default of {} {name}", section.header);
                assert!(key.takes(key.example()), "example of {} {name}", section.header);
                assert_ne!(default, key.example(), "the example of {name} shows nothing new");
            }
        }
    }

    #[test]
    fn a_misplaced_key_is_found_again() {
        assert_eq!(home_of("recipients"), Some("[limits]"));
        assert_eq!(home_of("hostname"), None);
        assert_eq!(home_of("nothing"), None);
    }
}
